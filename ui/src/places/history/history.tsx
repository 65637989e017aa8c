import { useInfiniteQuery } from '@tanstack/react-query';
import { useVirtualizer } from '@tanstack/react-virtual';
import { Search } from 'lucide-react';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import type { RunSummary, SearchHit, StateName } from '@/backend/types';
import { Button } from '@/components/button';
import { AttemptNote } from '@/components/attempt';
import { Empty, Waiting } from '@/components/empty';
import { Select, TextInput } from '@/components/field';
import { Place } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { StateMark, stateWords } from '@/components/state-mark';
import { scrollKeys } from '@/hooks/scroll-keys';
import { useHeldRow } from '@/hooks/use-held-row';
import { useKeys } from '@/hooks/use-keys';
import { useListKeys } from '@/hooks/use-list-keys';
import { useCoarseNow } from '@/hooks/use-now';
import { useRunPages } from '@/hooks/use-runs';
import { ago, count, money, repositoryName, titleOf } from '@/text/format';

const STATES: StateName[] = ['working', 'preparing', 'queued', 'waiting', 'paused', 'delivering', 'inReview', 'merged', 'closed', 'failed', 'cancelled'];

/** Everything that ever ran, and a search over all that was said and done in it. */
export function HistoryPlace() {
  const search = useSearch();
  const [, go] = useLocation();
  const parameters = new URLSearchParams(search);
  const state = parameters.get('state') ?? '';
  const repository = parameters.get('repository') ?? '';
  const query = parameters.get('q') ?? '';
  const [typed, setTyped] = useState(query);
  // What the address said last, and what was put there from here: an address that changes otherwise is followed.
  const [followed, setFollowed] = useState(query);
  const written = useRef(query);
  if (query !== followed) {
    setFollowed(query);
    if (query !== written.current) {
      written.current = query;
      setTyped(query);
    }
  }
  const field = useRef<HTMLInputElement>(null);
  useKeys({ '/': () => field.current?.focus() });
  const show = (change: Record<string, string>) => {
    const next = new URLSearchParams(search);
    for (const [name, value] of Object.entries(change)) {
      if (value === '') next.delete(name);
      else next.set(name, value);
    }
    go(next.size > 0 ? `/history?${next.toString()}` : '/history', { replace: true });
  };
  const showing = useRef(show);
  showing.current = show;
  useEffect(() => {
    if (typed === query) return;
    const timer = setTimeout(() => {
      written.current = typed;
      showing.current({ q: typed });
    }, 180);
    return () => clearTimeout(timer);
  }, [typed, query]);
  return (
    <Place
      title="History"
      name="History"
      scrolls={false}
      bar={
        <div className="flex min-w-0 flex-1 items-center gap-2 pl-4">
          <span className="relative w-full max-w-[30rem]">
            <Search aria-hidden className="absolute top-2 left-2.5 size-3.5 text-faint" />
            <TextInput ref={field} type="search" aria-label="Search everything" placeholder="Search descriptions, commands, output, what was said" value={typed} onChange={(event) => setTyped(event.target.value)} className="h-[30px]! pl-8!" />
          </span>
          <Select aria-label="State" value={state} onChange={(event) => show({ state: event.target.value })} className="h-[30px]! w-auto!" disabled={query !== ''}>
            <option value="">All states</option>
            {STATES.map((each) => (
              <option key={each} value={each}>
                {stateWords(each).name}
              </option>
            ))}
          </Select>
          {repository !== '' && query === '' && (
            <Button size="small" onClick={() => show({ repository: '' })} title={repository}>
              {repositoryName(repository)} ×
            </Button>
          )}
        </div>
      }
    >
      {query === '' ? <RunTable state={state} repository={repository} /> : <Hits query={query} />}
    </Place>
  );
}

function RunTable({ state, repository }: { state: string; repository: string }) {
  const pages = useRunPages({ ...(state === '' ? {} : { state }), ...(repository === '' ? {} : { repository }) });
  const runs = useMemo(() => pages.data?.pages.flatMap((page) => page.runs) ?? [], [pages.data]);
  const list = useListKeys<HTMLDivElement>();
  const keyOf = useCallback((index: number) => runs[index]?.run ?? index, [runs]);
  const { rangeExtractor, holder } = useHeldRow(runs.length, keyOf);
  const rows = useVirtualizer({ count: runs.length, getScrollElement: () => list.current, getItemKey: keyOf, estimateSize: () => 36, rangeExtractor, overscan: 20 });
  const items = rows.getVirtualItems();
  useMore(rows.range?.endIndex ?? 0, runs.length, pages);
  if (pages.error !== null && runs.length === 0) {
    return (
      <div className="p-5">
        <ProblemBox problem={problemOf(pages.error)} retry={() => void pages.refetch()} />
      </div>
    );
  }
  if (pages.data === undefined) return <Waiting rows={12} className="pt-1" />;
  if (runs.length === 0) {
    return (
      <Empty title="No such run">{state === '' && repository === '' ? 'What has run is listed here.' : 'Nothing fits what you filter by.'}</Empty>
    );
  }
  return (
    <div className="flex h-full flex-col">
      <div aria-hidden className={`${COLUMNS} h-8 shrink-0 border-b border-line px-5 text-small text-faint`}>
        <span />
        <span>Task</span>
        <span>Repository</span>
        <span className={`text-right ${WIDE}`}>Steps</span>
        <span className={`text-right ${WIDE}`}>Cost</span>
        <span className="text-right">Submitted</span>
      </div>
      <div ref={list} tabIndex={-1} className="min-h-0 flex-1 overflow-y-auto">
        <ul {...holder} aria-label="Runs" className="relative" style={{ height: rows.getTotalSize() }}>
          {items.map((item) => {
            const run = runs[item.index];
            return run === undefined ? null : (
              <li key={run.run} data-index={item.index} aria-posinset={item.index + 1} aria-setsize={pages.hasNextPage ? -1 : runs.length} className="absolute inset-x-0 top-0" style={{ height: item.size, transform: `translateY(${item.start}px)` }}>
                <RunRow run={run} />
              </li>
            );
          })}
        </ul>
      </div>
      <PagesProblem {...pages} />
      <p role="status" className="figures h-7 shrink-0 border-t border-line px-5 leading-7 text-small text-faint">
        {count(runs.length)} {runs.length === 1 ? 'run' : 'runs'}
        {pages.hasNextPage && ', more below'}
      </p>
    </div>
  );
}

/** Rows from the end of what is known at which more is asked for. */
const MORE_FROM_END = 30;

/** Asks for the next page when the end of what is known comes near. */
function useMore(last: number, known: number, { hasNextPage, isFetchingNextPage, fetchNextPage, isFetchNextPageError }: { hasNextPage: boolean; isFetchingNextPage: boolean; isFetchNextPageError: boolean; fetchNextPage: () => Promise<unknown> }): void {
  useEffect(() => {
    if (last >= known - MORE_FROM_END && hasNextPage && !isFetchingNextPage && !isFetchNextPageError) void fetchNextPage();
  }, [last, known, hasNextPage, isFetchingNextPage, isFetchNextPageError, fetchNextPage]);
}

/** Why what is known is not all or not current, below it: it stays, and so does the place in it. */
function PagesProblem({ error, isFetchNextPageError, fetchNextPage, refetch }: { error: unknown; isFetchNextPageError: boolean; fetchNextPage: () => Promise<unknown>; refetch: () => Promise<unknown> }) {
  if (error === null) return null;
  return (
    <div className="shrink-0 border-t border-line p-3">
      <ProblemBox problem={problemOf(error)} retry={() => void (isFetchNextPageError ? fetchNextPage() : refetch())} />
    </div>
  );
}

const COLUMNS = 'grid grid-cols-[92px_minmax(0,1fr)_160px_56px_72px_92px] items-center gap-4 max-[1000px]:grid-cols-[92px_minmax(0,1fr)_120px_92px]';
/** What a narrow window has no room for. */
const WIDE = 'max-[1000px]:hidden';

function RunRow({ run }: { run: RunSummary }) {
  const now = useCoarseNow();
  const reviewed = run.state.type === 'merged' || run.state.type === 'closed' || run.state.type === 'inReview';
  const words = stateWords(run.state.type);
  return (
    <Link href={reviewed ? `/review/${run.run}` : `/runs/${run.run}`} data-row className={`${COLUMNS} h-full border-b border-line/50 px-5 hover:bg-hover focus-visible:bg-hover focus-visible:outline-offset-[-2px]`}>
      <span className={`flex items-center gap-2 text-small ${words.tone}`}>
        <StateMark state={run.state.type} />
        {words.name}
      </span>
      <span className="flex min-w-0 items-baseline gap-2">
        <span className="foreign truncate">{titleOf(run.task.description)}</span>
        <AttemptNote run={run} />
      </span>
      <span className="foreign truncate text-small text-soft">{repositoryName(run.task.repository)}</span>
      <span className={`figures text-right text-small text-faint ${WIDE}`}>{count(run.steps)}</span>
      <span className={`figures text-right text-small text-faint ${WIDE}`}>{money(run.usage.costMicrodollars)}</span>
      <span className="figures text-right text-small text-faint">{ago(Date.parse(run.task.createdAt), now)}</span>
    </Link>
  );
}

const KINDS: Record<string, string> = {
  runSubmitted: 'Description',
  personSaid: 'You said',
  turnFinished: 'The agent said',
  stepIntended: 'Step',
  stepFinished: 'Output',
  workFinished: 'Summary',
  evidenceNoted: 'Evidence',
  planChanged: 'Plan',
  stateChanged: 'State',
};

/** What an excerpt of two lines takes, in pixels. */
const HIT_HEIGHT = 78;

function Hits({ query }: { query: string }) {
  const list = useListKeys<HTMLDivElement>();
  const pages = useInfiniteQuery({
    queryKey: ['search', query],
    queryFn: ({ signal, pageParam }) => backend.search(query, pageParam, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? null,
    placeholderData: (before) => before,
  });
  const hits = useMemo(() => pages.data?.pages.flatMap((page) => page.hits) ?? [], [pages.data]);
  const keyOf = useCallback((index: number) => `${hits[index]?.run ?? ''} ${hits[index]?.seq ?? index}`, [hits]);
  const { rangeExtractor, holder } = useHeldRow(hits.length, keyOf);
  const rows = useVirtualizer({ count: hits.length, getScrollElement: () => list.current, getItemKey: keyOf, estimateSize: () => HIT_HEIGHT, rangeExtractor, overscan: 12 });
  useMore(rows.range?.endIndex ?? 0, hits.length, pages);
  const { isPlaceholderData } = pages;
  useEffect(() => {
    // Other finds are read from their first on.
    if (!isPlaceholderData) rows.scrollToOffset(0);
  }, [query, isPlaceholderData, rows]);
  if (pages.error !== null && hits.length === 0) {
    return (
      <div className="p-5">
        <ProblemBox problem={problemOf(pages.error)} retry={() => void pages.refetch()} />
      </div>
    );
  }
  if (pages.data === undefined) return <Waiting rows={12} className="pt-1" />;
  if (hits.length === 0) return <Empty title="Nothing found">Every word has to be in it. Fewer words, or only their beginnings, find more.</Empty>;
  return (
    <div className="flex h-full flex-col">
      <div ref={list} tabIndex={-1} onKeyDown={scrollKeys(rows)} className="min-h-0 flex-1 overflow-y-auto [overflow-anchor:none]">
        <ul {...holder} aria-label="Finds" className="relative" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => {
            const hit = hits[item.index];
            return hit === undefined ? null : (
              <li key={item.key} data-index={item.index} ref={rows.measureElement} aria-posinset={item.index + 1} aria-setsize={pages.hasNextPage ? -1 : hits.length} className="absolute inset-x-0 top-0" style={{ transform: `translateY(${item.start}px)` }}>
                <HitRow hit={hit} />
              </li>
            );
          })}
        </ul>
      </div>
      <PagesProblem {...pages} />
      <p role="status" className="figures h-7 shrink-0 border-t border-line px-5 leading-7 text-small text-faint">
        {count(hits.length)} {hits.length === 1 ? 'find' : 'finds'}
        {pages.hasNextPage && ', more below'}
      </p>
    </div>
  );
}

function HitRow({ hit }: { hit: SearchHit }) {
  const now = useCoarseNow();
  return (
    <Link href={hit.kind === 'runSubmitted' ? `/runs/${hit.run}` : `/runs/${hit.run}?at=${hit.seq}`} data-row className="block border-b border-line/50 px-5 py-2.5 hover:bg-hover focus-visible:bg-hover focus-visible:outline-offset-[-2px]">
      <span className="flex items-baseline gap-3">
        <span className="foreign truncate font-medium">{hit.title}</span>
        <span className="shrink-0 text-small text-faint">{KINDS[hit.kind] ?? hit.kind}</span>
        <span className="figures ml-auto shrink-0 text-small text-faint">{ago(Date.parse(hit.at), now)}</span>
      </span>
      <span className="foreign mt-0.5 line-clamp-2 text-small text-soft">
        {hit.excerpt.map((part, index) =>
          part.isMatch ? (
            <mark key={index} className="rounded-sm bg-lamp-soft px-0.5 font-medium text-lamp-text">
              {part.text}
            </mark>
          ) : (
            part.text
          ),
        )}
      </span>
    </Link>
  );
}
