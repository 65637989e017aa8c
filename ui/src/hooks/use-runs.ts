import { type Query, type QueryClient, useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useSyncExternalStore } from 'react';
import { backend, type RunChanged, type RunQuery } from '@/backend/backend';
import { follow, type Link } from '@/backend/follow';
import { client as api, readStream } from '@/backend/client';
import type { Problem } from '@/backend/problem';
import type { RunList, RunSummary } from '@/backend/types';


const FINISHED = 'merged,closed,cancelled,failed';

async function allOf(query: RunQuery, signal: AbortSignal): Promise<RunSummary[]> {
  const runs: RunSummary[] = [];
  let cursor: string | undefined;
  // Two thousand unfinished runs are more than a night has; what is beyond is in History.
  for (let page = 0; page < 4; page += 1) {
    const answer: RunList = await backend.runs({ ...query, limit: 500, ...(cursor === undefined ? {} : { cursor }) }, signal);
    runs.push(...answer.runs);
    if (answer.next === null || answer.next === undefined) break;
    cursor = answer.next;
  }
  return runs;
}

export function useUnfinished() {
  return useQuery({ queryKey: ['runs', 'unfinished'], queryFn: ({ signal }) => allOf({ state: 'unfinished' }, signal) });
}

/** The newest finished runs; enough for a night. */
export function useFinished() {
  return useQuery({ queryKey: ['runs', 'finished'], queryFn: async ({ signal }) => (await backend.runs({ state: FINISHED, limit: 100 }, signal)).runs });
}

/** A list of runs in parts, for History. */
export function useRunPages(query: RunQuery) {
  return useInfiniteQuery({
    queryKey: ['runs', 'pages', query],
    queryFn: ({ signal, pageParam }) => backend.runs({ ...query, limit: 200, ...(pageParam === '' ? {} : { cursor: pageParam }) }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? null,
  });
}

// --- what the stream of everything tells ------------------------------------------------------------------------------

export interface OwnerLink {
  link: Link;
  /** Whether it was open once: before, an owner that does not answer is a different thing to say. */
  everOpen: boolean;
  refused: Problem | null;
  /** When it was cut, in milliseconds. */
  cutAt: number | null;
}

let ownerLink: OwnerLink = { link: 'connecting', everOpen: false, refused: null, cutAt: null };
const linkListeners = new Set<() => void>();

function setLink(link: Link, refused: Problem | null): void {
  ownerLink = {
    link,
    refused,
    everOpen: ownerLink.everOpen || link === 'open',
    cutAt: link === 'cut' ? (ownerLink.cutAt ?? Date.now()) : null,
  };
  for (const listener of linkListeners) listener();
}

export function useOwnerLink(): OwnerLink {
  return useSyncExternalStore(
    (listener) => {
      linkListeners.add(listener);
      return () => linkListeners.delete(listener);
    },
    () => ownerLink,
  );
}

type RunWatcher = (before: RunSummary | undefined, after: RunSummary) => void;
const watchers = new Set<RunWatcher>();

/** Is told of every change of a run while the app is open. */
export function watchRuns(watcher: RunWatcher): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

const final = (run: RunSummary) => ['merged', 'closed', 'cancelled', 'failed'].includes(run.state.type);

/** Puts a changed run where it belongs in the lists that are known. */
export function placeRun(client: QueryClient, run: RunSummary): void {
  const known = client.getQueryData<RunSummary[]>(['runs', 'unfinished']);
  const before = known?.find((each) => each.run === run.run);
  if (before !== undefined && before.lastSeq > run.lastSeq) return;
  const without = (list: RunSummary[]) => list.filter((each) => each.run !== run.run);
  client.setQueryData<RunSummary[]>(['runs', 'unfinished'], (list) => {
    if (list === undefined) return list;
    if (final(run)) return without(list);
    return list.some((each) => each.run === run.run) ? list.map((each) => (each.run === run.run ? run : each)) : [run, ...list];
  });
  client.setQueryData<RunSummary[]>(['runs', 'finished'], (list) => {
    if (list === undefined || !final(run)) return list;
    return [run, ...without(list)];
  });
  if (before?.state.type !== run.state.type) {
    void client.invalidateQueries({ queryKey: ['run', run.run] });
    void client.invalidateQueries({ queryKey: ['pull-request', run.run] });
    void client.invalidateQueries({ queryKey: ['pull-requests'] });
    void client.invalidateQueries({ queryKey: ['runs', 'pages'] });
    void client.invalidateQueries({ queryKey: ['attempts', run.task.id] });
  }
  for (const watcher of watchers) watcher(before, run);
}

/** Whether asking again may bring something else than is shown. */
function changesOrFailed(query: Query): boolean {
  return query.state.status === 'error' || query.observers.some(({ options }) => options.staleTime !== Number.POSITIVE_INFINITY);
}

/** Keeps the lists of runs current as long as the app is open: one stream for all of it. */
export function useEverything(): void {
  const client = useQueryClient();
  useEffect(() => {
    let position: number | null = null;
    let openBefore = false;
    return follow({
      read: async (signal, opened) => {
        // Lists first, then the changes after them; a change that both bring is the same twice.
        position ??= (await backend.overview(signal)).position;
        await readStream(
          api.GET('/api/v1/stream', { params: { query: { after: position } }, signal, parseAs: 'stream' }),
          () => {
            opened();
            // What the lists hold may be older than the stream's beginning; and after an owner that was gone, everything
            // that is shown, but for what its content names and is there.
            if (openBefore) void client.invalidateQueries({ type: 'active', predicate: changesOrFailed });
            else void client.invalidateQueries({ queryKey: ['runs'] });
            openBefore = true;
          },
          (sent) => {
            // Counts come as events of their own; the lists are counted here.
            if (sent.name !== 'run') return;
            const changed = JSON.parse(sent.data) as RunChanged;
            position = Math.max(position ?? 0, changed.position);
            placeRun(client, changed.run);
          },
        );
      },
      link: (link, refused) => setLink(link, refused ?? null),
    });
  }, [client]);
}
