import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { RunSummary } from '@/backend/types';
import { AttemptNote } from '@/components/attempt';
import { StateMark, stateReason, stateWords } from '@/components/state-mark';
import { useCoarseNow } from '@/hooks/use-now';
import { ago, money, repositoryName, titleOf } from '@/text/format';

const ROW = 'grid h-[34px] items-center gap-3 px-3 hover:bg-hover focus-visible:bg-hover focus-visible:outline-offset-[-2px]';

function Title({ run }: { run: RunSummary }) {
  return (
    <span className="flex min-w-0 items-baseline gap-2">
      <span className="foreign truncate">{titleOf(run.task.description)}</span>
      <span className="foreign max-w-40 shrink-0 truncate text-small text-faint">{repositoryName(run.task.repository)}</span>
      <AttemptNote run={run} />
    </span>
  );
}

const Right = ({ children }: { children: ReactNode }) => <span className="figures text-right text-small whitespace-nowrap text-faint">{children}</span>;

/** A run that waits for room, and why. */
export function QueueRow({ run, number }: { run: RunSummary; number: number }) {
  const now = useCoarseNow();
  return (
    <li>
      <Link href={`/runs/${run.run}`} data-row className={`${ROW} grid-cols-[1.25rem_minmax(0,1fr)_auto_3rem]`}>
        <span className="figures text-right text-small text-faint">{number}</span>
        <Title run={run} />
        <Right>{stateReason(run.state)}</Right>
        <Right>{ago(Date.parse(run.task.createdAt), now).replace(' ago', '')}</Right>
      </Link>
    </li>
  );
}

/** A run a person has stopped for now. */
export function PausedRow({ run }: { run: RunSummary }) {
  const now = useCoarseNow();
  return (
    <li>
      <Link href={`/runs/${run.run}`} data-row className={`${ROW} grid-cols-[1.25rem_minmax(0,1fr)_auto_3rem]`}>
        <span className="flex justify-end">
          <StateMark state="paused" />
        </span>
        <Title run={run} />
        <Right>paused by you</Right>
        <Right>{ago(Date.parse(run.updatedAt), now).replace(' ago', '')}</Right>
      </Link>
    </li>
  );
}

/** A run that is over. */
export function FinishedRow({ run }: { run: RunSummary }) {
  const now = useCoarseNow();
  const reviewed = run.state.type === 'merged' || run.state.type === 'closed';
  return (
    <li>
      <Link href={reviewed ? `/review/${run.run}` : `/runs/${run.run}`} data-row className={`${ROW} grid-cols-[0.875rem_minmax(0,1fr)_3.5rem_4.5rem]`}>
        <span title={stateWords(run.state.type).name}>
          <StateMark state={run.state.type} />
          <span className="sr-only">{stateWords(run.state.type).name}</span>
        </span>
        <Title run={run} />
        <Right>{money(run.usage.costMicrodollars)}</Right>
        <Right>{ago(Date.parse(run.updatedAt), now)}</Right>
      </Link>
    </li>
  );
}
