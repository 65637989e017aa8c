// A run's recording as a line of time: where each moment is on it, and which picture stands for which moment.

import { asOf, type Row, type Shot } from './story';

/** When a row was over, in milliseconds since 1970: a step is looked at as it was then. */
export function timeOf(row: Row): number {
  if (row.type === 'note') return Date.parse(row.note.at);
  if (row.type === 'said') return Date.parse(row.said.at);
  return Date.parse(row.step.at) + (row.step.tookMs ?? 0);
}

/** A stretch in which nothing happened, drawn shorter than it was. */
export interface Cut {
  /** Where it is, from 0 to 1. */
  place: number;
  ms: number;
}

export interface Axis {
  /** Where each row is, from 0 to 1, never falling. */
  places: readonly number[];
  /** Times written below the line, far enough apart to be read. */
  marks: readonly { place: number; at: number }[];
  cuts: readonly Cut[];
}

/** A stretch counts as a pause from here on, in milliseconds. */
const PAUSE = 60_000;

/** Times that are written below the line are at least this far apart, as a share of it. */
const MARK_DISTANCE = 0.19;

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}

/**
 * Lays rows out by the time between them. Pauses are drawn as long as four usual steps and said to be cut; what happened
 * in the same moment is drawn apart, so that each row can be picked.
 */
export function axisOf(rows: readonly Row[]): Axis {
  if (rows.length === 0) return { places: [], marks: [], cuts: [] };
  const times: number[] = [];
  for (const row of rows) {
    const before = times.at(-1);
    const time = timeOf(row);
    // Clocks of a host may be set back; the order of what happened is its events'.
    times.push(before === undefined ? time : Math.max(before, Number.isNaN(time) ? before : time));
  }
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? time));
  const usual = Math.max(1_000, median(gaps.filter((gap) => gap > 0)));
  const widths = gaps.map((gap) => Math.min(Math.max(gap, usual / 8), usual * 4));
  const total = widths.reduce((sum, width) => sum + width, 0);
  const places = [0];
  for (const width of widths) places.push(Math.min(1, (places.at(-1) ?? 0) + width / Math.max(total, 1)));
  if (places.length > 1) places[places.length - 1] = 1;
  const cuts = gaps.flatMap((gap, index) => {
    if (gap < PAUSE || gap <= (widths[index] ?? 0) * 2) return [];
    return [{ place: ((places[index] ?? 0) + (places[index + 1] ?? 0)) / 2, ms: gap }];
  });
  const marks: { place: number; at: number }[] = [];
  for (const [index, place] of places.entries()) {
    const last = marks.at(-1);
    const at = times[index] ?? 0;
    // The end has its time beside the bar, so a mark must not run into it; and no minute is written twice.
    const apart = last === undefined || (place - last.place >= MARK_DISTANCE && Math.floor(at / 60_000) !== Math.floor(last.at / 60_000));
    if (apart && (index === 0 || place <= 1 - MARK_DISTANCE / 3)) marks.push({ place, at });
  }
  return { places, marks, cuts };
}

/** The row nearest to a place on the line. */
export function rowAt(axis: Axis, place: number): number {
  let low = 0;
  let high = axis.places.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((axis.places[middle] ?? 1) < place) low = middle + 1;
    else high = middle;
  }
  const before = axis.places[low - 1];
  const here = axis.places[low];
  return before !== undefined && here !== undefined && place - before < here - place ? low - 1 : Math.max(0, low);
}

/** The picture that stands for a moment, and how near it is. */
export interface Framing {
  shot: Shot;
  /** Its number, from 1. */
  number: number;
  of: number;
  /** How long before the moment it was taken, in milliseconds. */
  agoMs: number;
  /** How long after it the next one was taken; `null` for the last. */
  nextMs: number | null;
}

/** Finds the picture that was newest at a moment; `at` is that moment's time. */
export function framingAt(shots: readonly Shot[], moment: number | null, at: number | null): Framing | null {
  const shot = asOf(shots, moment);
  if (shot === null) return null;
  const index = shots.indexOf(shot);
  const taken = Date.parse(shot.at);
  const next = shots[index + 1];
  return { shot, number: index + 1, of: shots.length, agoMs: at === null ? 0 : Math.max(0, at - taken), nextMs: next === undefined ? null : Math.max(0, Date.parse(next.at) - taken) };
}

/** How far apart pictures are, in milliseconds: half of them are nearer than `usual`. `null` where there are fewer than two. */
export function spacing(shots: readonly Shot[]): { usual: number; longest: number } | null {
  if (shots.length < 2) return null;
  const gaps = shots.slice(1).map((shot, index) => Math.max(0, Date.parse(shot.at) - Date.parse(shots[index]?.at ?? shot.at)));
  return { usual: median(gaps), longest: Math.max(...gaps) };
}

/** The picture after or before a moment, or before the present (`null`); `null` where there is none. */
export function nextShot(shots: readonly Shot[], moment: number | null, by: 1 | -1): Shot | null {
  if (by > 0) return moment === null ? null : (shots.find((shot) => shot.seq > moment) ?? null);
  const current = asOf(shots, moment);
  if (current === null) return null;
  // From the present, and from between two pictures, back leads to the newest one.
  if (moment === null || current.seq < moment) return current;
  return shots[shots.indexOf(current) - 1] ?? null;
}
