import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import type { EnvironmentSummary } from '@/backend/types';
import { isBusy } from './phases';

/** How often it is looked how far a set-up is, in milliseconds. */
const LOOK_EVERY = 1_000;

/** The log that is kept on the page at most, in characters. */
const LONGEST_LOG = 400_000;

export function useEnvironments() {
  return useQuery({
    queryKey: ['environments'],
    queryFn: ({ signal }) => backend.environments(false, signal),
    refetchInterval: (query) => ((query.state.data ?? []).some(isBusy) ? LOOK_EVERY : false),
  });
}

export function useEnvironment(id: string) {
  return useQuery({
    queryKey: ['environments', id],
    queryFn: ({ signal }) => backend.environment(id, signal),
    refetchInterval: (query) => (query.state.data !== undefined && isBusy(query.state.data) ? LOOK_EVERY : false),
  });
}

export interface Log {
  text: string;
  /** Whether its beginning was left out. */
  cut: boolean;
  problem: Problem | null;
}

/** Reads an environment's log to its end, and follows it while something may come. */
export function useLog(environment: EnvironmentSummary | undefined): Log {
  const [log, setLog] = useState<Log>({ text: '', cut: false, problem: null });
  const id = environment?.environment ?? null;
  // Trying again goes on with the same log.
  const round = environment?.state.type === 'settingUp';
  useEffect(() => {
    setLog({ text: '', cut: false, problem: null });
  }, [id]);
  useEffect(() => {
    if (id === null) return undefined;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    let next = 0;
    let text = '';
    let cut = false;
    const look = async () => {
      let over = false;
      try {
        // Whole pieces at once until the end, then what is new.
        for (;;) {
          const piece = await backend.environmentLog(id, next, stop.signal);
          over = piece.over;
          if (piece.next === next || piece.text === '') break;
          next = piece.next;
          text += piece.text;
          if (text.length > LONGEST_LOG) {
            text = text.slice(-LONGEST_LOG);
            cut = true;
          }
        }
        setLog({ text, cut, problem: null });
      } catch (thrown) {
        if (stop.signal.aborted) return;
        const problem = problemOf(thrown);
        setLog((before) => ({ ...before, problem }));
        if (!problem.passes) return;
      }
      if (!over && !stop.signal.aborted) timer = setTimeout(() => void look(), LOOK_EVERY);
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id, round]);
  return log;
}
