import clsx from 'clsx';
import { Search } from 'lucide-react';
import type { RunSummary } from '@/backend/types';
import { isRunning } from '@/components/state-mark';
import { useNow } from '@/hooks/use-now';
import { useOwnerLink } from '@/hooks/use-runs';
import { duration, money } from '@/text/format';

/** The line at the bottom: how the owner is, what runs, what it costs. It never asks for attention. */
export function StatusBar({ runs, version, onPalette }: { runs: readonly RunSummary[] | undefined; version: string | undefined; onPalette: () => void }) {
  const running = runs?.filter((run) => isRunning(run.state)).length ?? 0;
  const queued = runs?.filter((run) => run.state.type === 'queued').length ?? 0;
  const spent = runs?.reduce((sum, run) => sum + run.usage.costMicrodollars, 0) ?? 0;
  return (
    <footer aria-label="Status" className="figures flex h-7 shrink-0 items-center gap-4 border-t border-line bg-well px-3 text-tiny text-faint">
      <OwnerState version={version} />
      {runs !== undefined && (
        <>
          <span>{running} running</span>
          <span>{queued} queued</span>
          <span>{money(spent)} in unfinished work</span>
        </>
      )}
      <button type="button" onClick={onPalette} className="ml-auto flex h-5 items-center gap-1.5 rounded-sm px-1.5 hover:bg-hover hover:text-ink">
        <Search aria-hidden className="size-3" />
        Go to or do
        <kbd className="font-sans">Ctrl K</kbd>
      </button>
    </footer>
  );
}

function OwnerState({ version }: { version: string | undefined }) {
  const { link, cutAt, everOpen } = useOwnerLink();
  return (
    <span role="status" className="flex items-center gap-1.5">
      <span aria-hidden className={clsx('size-1.5 rounded-full', link === 'open' ? 'bg-good' : link === 'cut' ? 'bg-lamp' : 'bg-line-strong')} />
      {link === 'open' && <span>Owner {version ?? ''}</span>}
      {link === 'connecting' && <span>Connecting</span>}
      {link === 'cut' && (
        <span className="text-lamp-text">
          {everOpen ? 'The owner is away' : 'The owner does not answer'}
          {cutAt !== null && <Since from={cutAt} />}; asking again
        </span>
      )}
    </span>
  );
}

function Since({ from }: { from: number }) {
  const now = useNow();
  return now - from < 5_000 ? null : <> for {duration(Math.floor((now - from) / 1_000) * 1_000)}</>;
}
