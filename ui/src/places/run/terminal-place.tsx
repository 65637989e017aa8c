import clsx from 'clsx';
import { type ComponentProps, lazy, Suspense, useState } from 'react';
import { Waiting } from '@/components/empty';
import { TerminalView } from './terminal-view';

// A terminal emulator is as large as the rest of the app: it comes when somebody wants it.
const Shell = lazy(() => import('@/live/shell'));

/** What the agent ran, and a shell of one's own where there is a sandbox. */
export function TerminalPlace({ run, shell, ...recorded }: ComponentProps<typeof TerminalView> & { run: string; shell: boolean }) {
  const [own, setOwn] = useState(false);
  if (!shell) return <TerminalView {...recorded} />;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div role="group" aria-label="Which terminal" className="flex h-8 shrink-0 items-center gap-0.5 border-b border-line px-2 text-small">
        {[
          { name: 'What the agent ran', mine: false },
          { name: 'Your shell', mine: true },
        ].map(({ name, mine }) => (
          <button key={name} type="button" aria-pressed={own === mine} onClick={() => setOwn(mine)} className={clsx('h-6 rounded-md px-2', own === mine ? 'bg-hover font-medium text-ink' : 'text-soft hover:bg-hover hover:text-ink')}>
            {name}
          </button>
        ))}
      </div>
      <div className="min-h-0 flex-1">
        {own ? (
          <Suspense fallback={<Waiting rows={4} />}>
            <Shell run={run} />
          </Suspense>
        ) : (
          <TerminalView {...recorded} />
        )}
      </div>
    </div>
  );
}
