import clsx from 'clsx';
import { useState } from 'react';
import { Link } from 'wouter';
import type { AttemptList, AttemptSummary } from '@/backend/types';
import { sentence } from '@/backend/problem';
import { attemptPlace, RankMark } from '@/components/attempt';
import { Button } from '@/components/button';
import { StateMark, stateWords } from '@/components/state-mark';
import { othersOf } from '@/hooks/use-attempts';
import { attemptName } from '@/text/attempts';
import { money } from '@/text/format';

/** How this attempt stands among those of its task; the others are one step away. */
export function AttemptRows({ list, run, merged, onCloseOthers }: { list: AttemptList; run: string; merged: boolean; onCloseOthers: () => Promise<void> }) {
  const [busy, setBusy] = useState(false);
  const left = othersOf(list, run).length;
  return (
    <section aria-label="Attempts">
      <div className="mb-2.5 flex items-center gap-3">
        <h2 className="text-large font-semibold">Attempts</h2>
        <span className="figures text-small text-faint">{list.attempts.length}</span>
        <span className="flex-1" />
        {merged && left > 0 && (
          <Button
            size="small"
            busy={busy}
            onClick={() => {
              setBusy(true);
              void onCloseOthers().finally(() => setBusy(false));
            }}
          >
            Close the {left === 1 ? 'other one' : `other ${left}`}
          </Button>
        )}
        <Link href={`/attempts/${list.task}`} className="rounded-sm text-small text-work hover:underline">
          Side by side
        </Link>
      </div>
      <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-raised">
        {list.attempts.map((each) => (
          <Row key={each.run.run} attempt={each} name={attemptName(each, list.attempts)} here={each.run.run === run} />
        ))}
      </ul>
    </section>
  );
}

function Row({ attempt: { run, rank, why }, name, here }: { attempt: AttemptSummary; name: string; here: boolean }) {
  const words = stateWords(run.state.type);
  return (
    <li>
      <Link
        href={attemptPlace(run)}
        aria-current={here ? 'page' : undefined}
        className={clsx('grid grid-cols-[minmax(0,11rem)_minmax(0,1fr)_auto] items-center gap-x-4 px-3.5 py-2 hover:bg-hover focus-visible:outline-offset-[-2px] max-[1000px]:grid-cols-1', here && 'bg-hover/60')}
      >
        <span className="flex min-w-0 items-center gap-2">
          <span title={words.name}>
            <StateMark state={run.state.type} />
            <span className="sr-only">{words.name}: </span>
          </span>
          <span className={clsx('truncate', here && 'font-semibold')}>{name}</span>
          <RankMark rank={rank} />
        </span>
        {/* Checks, criteria and size are in it, and what decided. */}
        <span className="foreign text-soft">{sentence(why)}</span>
        <span className="figures text-small whitespace-nowrap text-faint">{money(run.usage.costMicrodollars)}</span>
      </Link>
    </li>
  );
}
