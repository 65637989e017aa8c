import { useQuery } from '@tanstack/react-query';
import { GitPullRequest } from 'lucide-react';
import { Link } from 'wouter';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import type { PullRequestSummary } from '@/backend/types';
import { Empty, Waiting } from '@/components/empty';
import { Place, Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { StateMark } from '@/components/state-mark';
import { useListKeys } from '@/hooks/use-list-keys';
import { useCoarseNow } from '@/hooks/use-now';
import { ago, repositoryName } from '@/text/format';
import { upright } from '@/text/visible';

const DECIDED_SHOWN = 30;

/** All pull requests: those that wait, the longest waiting first, then those that are decided. */
export function ReviewList() {
  const { data, error, refetch } = useQuery({ queryKey: ['pull-requests'], queryFn: ({ signal }) => backend.pullRequests(signal) });
  const list = useListKeys<HTMLDivElement>();
  const open = (data ?? []).filter((each) => each.state.type === 'open').reverse();
  const decided = (data ?? []).filter((each) => each.state.type !== 'open');
  return (
    <Place title="Review" name="Review">
      <div ref={list} className="mx-auto max-w-[1100px] space-y-7 px-5 pt-5 pb-10">
        {error !== null && <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />}
        {data === undefined && error === null && <Waiting rows={5} />}
        {data !== undefined && data.length === 0 && (
          <Empty icon={<GitPullRequest />} title="No pull request yet">
            A finished task becomes a pull request, with its evidence. It waits here for your decision.
          </Empty>
        )}
        {open.length > 0 && (
          <Section title="Wait for you" count={open.length}>
            <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-raised">
              {open.map((each) => (
                <OpenRow key={each.run} pullRequest={each} />
              ))}
            </ul>
          </Section>
        )}
        {data !== undefined && data.length > 0 && open.length === 0 && <p className="rounded-lg border border-dashed border-line px-4 py-3 text-faint">Nothing waits for a review.</p>}
        {decided.length > 0 && (
          <Section title="Decided" count={decided.length} aside={decided.length > DECIDED_SHOWN && <Link href="/history?state=merged" className="hover:text-ink">All in History</Link>}>
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

function OpenRow({ pullRequest }: { pullRequest: PullRequestSummary }) {
  const now = useCoarseNow();
  return (
    <li>
      <Link href={`/review/${pullRequest.run}`} data-row className="flex items-center gap-3 px-4 py-3 hover:bg-hover focus-visible:bg-hover focus-visible:outline-offset-[-2px]">
        <StateMark state="inReview" />
        <span className="min-w-0 flex-1">
          <span className="foreign block truncate font-medium">{upright(pullRequest.title)}</span>
          <span className="foreign block truncate text-small text-faint">
            {repositoryName(pullRequest.repository)} #{pullRequest.number} · {pullRequest.branch} into {pullRequest.base}
          </span>
        </span>
        <span className="figures shrink-0 text-small text-faint">waits {ago(Date.parse(pullRequest.createdAt), now).replace(' ago', '')}</span>
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
