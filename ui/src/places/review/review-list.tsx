import { useQuery } from '@tanstack/react-query';
import { GitPullRequest } from 'lucide-react';
import { Link } from 'wouter';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import type { PullRequestSummary, ReviewEntry, ReviewQueue, RunSummary } from '@/backend/types';
import { AttemptNote } from '@/components/attempt';
import { Empty, Waiting } from '@/components/empty';
import { Place, Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { StateMark } from '@/components/state-mark';
import { useListKeys } from '@/hooks/use-list-keys';
import { useCoarseNow } from '@/hooks/use-now';
import { useUnfinished } from '@/hooks/use-runs';
import { ago, repositoryName } from '@/text/format';
import { upright } from '@/text/visible';

const DECIDED_SHOWN = 30;

/** All pull requests: those that wait, the one to take first at the top and why, then those that are decided. */
export function ReviewList() {
  // Under the beginning of one key, so that what makes the one stale makes the other stale. One more tells whether there are more.
  const { data: decided, error, refetch } = useQuery({ queryKey: ['pull-requests', 'decided'], queryFn: ({ signal }) => backend.decidedPullRequests(DECIDED_SHOWN + 1, signal) });
  const queue = useQuery({ queryKey: ['pull-requests', 'queue'], queryFn: ({ signal }) => backend.reviewQueue(signal) });
  // Attempts at one task often have the same title.
  const { data: runs } = useUnfinished();
  const list = useListKeys<HTMLDivElement>();
  const open = queue.data?.entries ?? [];
  const loaded = decided !== undefined && queue.data !== undefined;
  return (
    <Place
      title="Review"
      name="Review"
      bar={queue.data !== undefined && <Limit queue={queue.data} />}
      actions={
        <Link href="/statistics" className="rounded-sm text-soft hover:text-ink">
          Statistics
        </Link>
      }
    >
      <div ref={list} className="mx-auto max-w-[1100px] space-y-7 px-5 pt-5 pb-10">
        {error !== null && <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />}
        {queue.error !== null && error === null && <ProblemBox problem={problemOf(queue.error)} retry={() => void queue.refetch()} />}
        {!loaded && error === null && queue.error === null && <Waiting rows={5} />}
        {loaded && open.length === 0 && decided.length === 0 && (
          <Empty icon={<GitPullRequest />} title="No pull request yet">
            A finished task becomes a pull request, with its evidence. It waits here for your decision.
          </Empty>
        )}
        {open.length > 0 && (
          <Section title="Open" count={open.length} aside="ready, then small, then sure, then waiting longest">
            <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-raised">
              {open.map((each) => (
                <OpenRow key={each.pullRequest.run} entry={each} run={runs?.find((run) => run.run === each.pullRequest.run)} />
              ))}
            </ul>
          </Section>
        )}
        {loaded && open.length === 0 && decided.length > 0 && <p className="rounded-lg border border-dashed border-line px-4 py-3 text-faint">Nothing waits for a review.</p>}
        {decided !== undefined && decided.length > 0 && (
          <Section title="Decided" {...(decided.length > DECIDED_SHOWN ? {} : { count: decided.length })} aside={decided.length > DECIDED_SHOWN && <Link href="/history?state=merged" className="hover:text-ink">All in History</Link>}>
            <ul className="divide-y divide-line/70 overflow-hidden rounded-lg border border-line">
              {decided.slice(0, DECIDED_SHOWN).map((each) => (
                <DecidedRow key={each.run} pullRequest={each} />
              ))}
            </ul>
          </Section>
        )}
      </div>
    </Place>
  );
}

/** How many wait of those that may, and what is held back by them. */
function Limit({ queue: { limit, waiting, heldBack } }: { queue: ReviewQueue }) {
  if (limit === null || limit === undefined) return null;
  const full = waiting >= limit;
  const held = heldBack === 1 ? '1 task is held back' : `${heldBack} tasks are held back`;
  return (
    <p className={full ? 'text-lamp-text' : 'text-faint'}>
      {waiting} of {limit} that may wait
      {full && (heldBack > 0 ? `: ${held} until you decide on one` : ': new tasks stay queued until you decide on one')}
    </p>
  );
}

function OpenRow({ entry: { pullRequest, runState, since, why }, run }: { entry: ReviewEntry; run: RunSummary | undefined }) {
  const now = useCoarseNow();
  return (
    <li>
      <Link href={`/review/${pullRequest.run}`} data-row className="flex items-center gap-3 px-4 py-3 hover:bg-hover focus-visible:bg-hover focus-visible:outline-offset-[-2px]">
        <StateMark state={runState.type} />
        <span className="min-w-0 flex-1">
          <span className="flex min-w-0 items-baseline gap-2">
            <span className="foreign truncate font-medium">{upright(pullRequest.title)}</span>
            {run !== undefined && <AttemptNote run={run} />}
          </span>
          <span className="foreign block truncate text-small text-faint">
            {repositoryName(pullRequest.repository)} #{pullRequest.number} · {pullRequest.branch} into {pullRequest.base}
          </span>
          <span className="block text-small text-soft">{why}</span>
        </span>
        <span className="figures shrink-0 text-small text-faint">
          {runState.type === 'inReview' ? 'waits' : 'since'} {ago(Date.parse(since), now).replace(' ago', '')}
        </span>
      </Link>
    </li>
  );
}

function DecidedRow({ pullRequest }: { pullRequest: PullRequestSummary }) {
  const now = useCoarseNow();
  const state = pullRequest.state.type === 'merged' ? 'merged' : 'closed';
  return (
    <li>
      <Link href={`/review/${pullRequest.run}`} data-row className="flex h-9 items-center gap-3 px-4 hover:bg-hover focus-visible:bg-hover focus-visible:outline-offset-[-2px]">
        <StateMark state={state} />
        <span className="sr-only">{state}</span>
        <span className="foreign min-w-0 flex-1 truncate">
          {upright(pullRequest.title)}
          <span className="ml-2 text-small text-faint">
            {repositoryName(pullRequest.repository)} #{pullRequest.number}
          </span>
        </span>
        <span className="figures shrink-0 text-small text-faint">{ago(Date.parse(pullRequest.createdAt), now)}</span>
      </Link>
    </li>
  );
}
