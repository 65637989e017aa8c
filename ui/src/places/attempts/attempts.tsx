import { useQueries } from '@tanstack/react-query';
import clsx from 'clsx';
import { Columns3, Monitor } from 'lucide-react';
import { useMemo, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import { problemOf, sentence } from '@/backend/problem';
import type { AttemptList, AttemptSummary, Evidence, PullRequestDetail } from '@/backend/types';
import { ArtifactImage } from '@/components/artifact-image';
import { attemptPlace, RankMark } from '@/components/attempt';
import { Button } from '@/components/button';
import { Empty, Waiting } from '@/components/empty';
import { Place, Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { isFinal, StateChip } from '@/components/state-mark';
import { othersOf, useAttempts, useCloseOthers } from '@/hooks/use-attempts';
import { useListKeys } from '@/hooks/use-list-keys';
import { attemptName, checkWords, criticWords } from '@/text/attempts';
import { count, duration, money, repositoryName, titleOf } from '@/text/format';
import { criteriaIn } from '@/text/triage';
import { picturesOf } from '../review/criteria';
import { Thumbnail } from '../run/thumbnail';
import { CompareAttempts, type Shown } from './compare-attempts';

/** What each attempt shows for its work, as far as it has a pull request. */
function useEvidence(list: AttemptList | undefined): ReadonlyMap<string, readonly Evidence[]> {
  const delivered = list?.attempts.filter((each) => each.run.reviewing?.pullRequest != null) ?? [];
  return useQueries({
    queries: delivered.map(({ run: { run } }) => ({ queryKey: ['pull-request', run], queryFn: ({ signal }: { signal: AbortSignal }) => backend.pullRequest(run, signal) })),
    combine: (results) => new Map(results.flatMap(({ data }: { data: PullRequestDetail | undefined }) => (data === undefined ? [] : [[data.summary.run, data.evidence] as const]))),
  });
}

/** All attempts at one task, side by side, and two of them picture against picture. */
export function AttemptsPlace({ task }: { task: string }) {
  const [, go] = useLocation();
  const { data, error, refetch } = useAttempts(task);
  const evidence = useEvidence(data);
  const list = useListKeys<HTMLDivElement>();
  const [picked, setPicked] = useState<readonly string[] | null>(null);
  const closeOthers = useCloseOthers();
  const [closing, setClosing] = useState(false);
  const shown = useMemo(() => (data === undefined ? [] : data.attempts.map((each): Shown => ({ run: each.run.run, name: attemptName(each, data.attempts), evidence: evidence.get(each.run.run) ?? [] }))), [data, evidence]);
  const withPictures = shown.filter((each) => picturesOf(each.evidence).length > 0);
  // Until somebody chooses, the two that stand first among those with pictures.
  const usual = useMemo(() => {
    const rank = (run: string) => data?.attempts.find((each) => each.run.run === run)?.rank ?? Number.POSITIVE_INFINITY;
    return withPictures.map((each) => each.run).sort((one, other) => rank(one) - rank(other)).slice(0, 2);
  }, [data, withPictures]);
  const pair = picked ?? usual;
  const first = data?.attempts[0]?.run.task;
  const merged = data?.attempts.find((each) => each.run.state.type === 'merged');
  const left = merged === undefined ? [] : othersOf(data, merged.run.run);
  const title = first === undefined ? 'Attempts' : titleOf(first.description);
  return (
    <Place
      name={`Attempts: ${title}`}
      title={
        <div className="flex min-w-0 items-center gap-2.5">
          <Columns3 aria-hidden className="size-4 shrink-0 text-faint" />
          <h1 className="foreign truncate text-large font-semibold" title={title}>
            {title}
          </h1>
          {data !== undefined && first !== undefined && (
            <span className="foreign max-w-64 shrink-0 truncate text-small text-faint">
              {data.attempts.length === 1 ? '1 attempt' : `${data.attempts.length} attempts`} in {repositoryName(first.repository)}
            </span>
          )}
        </div>
      }
      actions={
        merged !== undefined &&
        left.length > 0 && (
          <Button
            busy={closing}
            onClick={() => {
              setClosing(true);
              void closeOthers(merged.run.run).finally(() => setClosing(false));
            }}
          >
            Close the {left.length === 1 ? 'other attempt' : `other ${left.length} attempts`}
          </Button>
        )
      }
    >
      <div ref={list} className="mx-auto max-w-[1440px] space-y-7 px-5 pt-5 pb-10">
        {error !== null && data === undefined && (problemOf(error).status === 404 ? <Empty title="There is no such task" action={<Button onClick={() => go('/history')}>Search the history</Button>}>{problemOf(error).message}</Empty> : <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />)}
        {data === undefined && error === null && <Waiting rows={6} />}
        {data !== undefined && (
          <>
            <ul aria-label="Attempts" className="grid grid-cols-[repeat(auto-fill,minmax(min(300px,100%),1fr))] gap-4">
              {data.attempts.map((each) => (
                <AttemptCard key={each.run.run} attempt={each} name={attemptName(each, data.attempts)} evidence={evidence.get(each.run.run) ?? null} />
              ))}
            </ul>
            {withPictures.length >= 2 && (
              <Section title="Two against each other">
                <CompareAttempts criteria={first?.criteria?.length ? first.criteria : criteriaIn(first?.description ?? '')} attempts={withPictures} pair={pair} onPair={setPicked} />
              </Section>
            )}
          </>
        )}
      </div>
    </Place>
  );
}

function AttemptCard({ attempt, name, evidence }: { attempt: AttemptSummary; name: string; evidence: readonly Evidence[] | null }) {
  const { run, rank, why, critic, checks, change } = attempt;
  const newest = evidence === null ? undefined : picturesOf(evidence).at(-1);
  const lost = isFinal(run.state) && run.state.type !== 'merged';
  return (
    <li className={clsx('flex min-w-0 flex-col overflow-hidden rounded-lg border bg-raised', run.state.type === 'merged' ? 'border-merged' : 'border-line')}>
      <Link href={attemptPlace(run)} data-row className="group block border-b border-line hover:bg-hover focus-visible:outline-offset-[-2px]">
        <div className={clsx('relative aspect-[16/10] overflow-hidden bg-screen', lost && 'opacity-60')}>
          {newest !== undefined ? (
            <ArtifactImage id={newest.image.artifact} alt={`Newest picture: ${newest.label}`} width={newest.image.width} height={newest.image.height} className="size-full object-cover object-top" />
          ) : run.sandbox != null ? (
            <Thumbnail run={run.run} still={run.glance.screen ?? null} />
          ) : (
            <span className="flex h-full items-center justify-center text-faint">
              <Monitor aria-hidden className="size-6 stroke-[1.3]" />
            </span>
          )}
        </div>
        <div className="flex items-center gap-2 px-3.5 pt-2.5 pb-2">
          <span className="min-w-0 flex-1 truncate font-semibold group-hover:underline">{name}</span>
          <RankMark rank={rank} />
          <StateChip state={run.state.type} />
        </div>
      </Link>
      <p className="foreign min-h-[3.25rem] px-3.5 pt-2.5 pb-1 text-soft">{sentence(why)}</p>
      <dl className="figures mt-auto px-3.5 pb-2.5">
        <Fact name="Criteria" note="by the critic">
          {critic == null ? null : <span className={critic.notMet > 0 ? 'text-bad' : critic.met === critic.of ? 'text-good' : ''}>{criticWords(critic)}</span>}
        </Fact>
        <Fact name="Checks">{checks == null ? null : <span className={checks.failed > 0 ? 'text-bad' : 'text-good'}>{checkWords(checks)}</span>}</Fact>
        <Fact name="Change">
          {change == null ? null : (
            <>
              <span className="text-good">+{count(change.added)}</span> <span className="text-bad">−{count(change.removed)}</span> in {count(change.files)} {change.files === 1 ? 'file' : 'files'}
            </>
          )}
        </Fact>
        <Fact name="Cost">{money(run.usage.costMicrodollars)}</Fact>
        <Fact name="Worked">{run.reviewing?.agentMs == null ? null : duration(run.reviewing.agentMs)}</Fact>
      </dl>
    </li>
  );
}

function Fact({ name, note, children }: { name: string; note?: string; children: React.ReactNode }) {
  return (
    <div className="flex h-7 items-center gap-2 border-t border-line/60 first:border-t-0">
      <dt className="text-faint">
        {name}
        {note !== undefined && <span className="sr-only">, {note}</span>}
      </dt>
      <dd className="ml-auto truncate text-right">{children ?? <span className="text-faint">–</span>}</dd>
    </div>
  );
}
