// The night as a picture: which run worked when, packed into as few lanes as fit.

import type { RunSummary, StateName } from '@/backend/types';
import { isRunning } from '@/components/state-mark';

export interface Bar {
  run: RunSummary;
  /** From 0, the beginning of what is shown, to 1, now. */
  from: number;
  to: number;
  lane: number;
  state: StateName;
}

/** Bars are at least this wide, so that a run of seconds can be seen. */
const NARROWEST = 0.006;

/** Lays out the runs that were under way between `begin` and `now`. */
export function layNight(runs: readonly RunSummary[], begin: number, now: number, lanes: number): { bars: Bar[]; left: number } {
  const span = now - begin;
  const place = (at: number) => Math.min(1, Math.max(0, (at - begin) / span));
  const shown = runs
    .map((run) => ({ run, start: Date.parse(run.task.createdAt), end: isRunning(run.state) ? now : Date.parse(run.updatedAt) }))
    .filter(({ run, end }) => end >= begin && run.state.type !== 'queued')
    .sort((one, other) => one.start - other.start);
  const free: number[] = Array.from({ length: lanes }, () => -1);
  const bars: Bar[] = [];
  let left = 0;
  for (const { run, start, end } of shown) {
    const from = Math.min(place(start), 1 - NARROWEST);
    const to = Math.max(place(end), from + NARROWEST);
    const lane = free.findIndex((until) => until <= from);
    if (lane < 0) {
      left += 1;
      continue;
    }
    free[lane] = to + 0.004;
    bars.push({ run, from, to, lane, state: run.state.type });
  }
  return { bars, left };
}

/** The full hours between two times, thinned so that at most `most` are left. */
export function hoursBetween(begin: number, now: number, most: number): number[] {
  const hour = 3_600_000;
  const all: number[] = [];
  const first = new Date(begin);
  first.setMinutes(60, 0, 0);
  for (let at = first.getTime(); at < now; at += hour) all.push(at);
  const every = Math.max(1, Math.ceil(all.length / most));
  return all.filter((at) => new Date(at).getHours() % every === 0);
}
