// A diff of two texts by lines: Myers' greedy algorithm (E. W. Myers, "An O(ND) Difference Algorithm and Its Variations",
// 1986) between common ends, given up for "all removed, all added" where the texts have too little in common.

import type { DiffLine, FileDiff, Hunk } from './parse';

/** Changed lines beyond which the middle is shown as replaced: the work grows with the square of it. */
const MOST_EDITS = 2_000;

const CONTEXT = 3;

type Edit = { kind: 'same' | 'add' | 'remove'; text: string };

function edits(before: readonly string[], after: readonly string[]): Edit[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let endBefore = before.length;
  let endAfter = after.length;
  while (endBefore > start && endAfter > start && before[endBefore - 1] === after[endAfter - 1]) {
    endBefore -= 1;
    endAfter -= 1;
  }
  const same = (lines: readonly string[]): Edit[] => lines.map((text) => ({ kind: 'same', text }));
  return [...same(before.slice(0, start)), ...middle(before.slice(start, endBefore), after.slice(start, endAfter)), ...same(before.slice(endBefore))];
}

function middle(before: readonly string[], after: readonly string[]): Edit[] {
  const n = before.length;
  const m = after.length;
  const most = Math.min(n + m, MOST_EDITS);
  const furthest = new Map<number, number>([[1, 0]]);
  const trace: Map<number, number>[] = [];
  for (let d = 0; d <= most; d += 1) {
    trace.push(new Map(furthest));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (furthest.get(k - 1) ?? -1) < (furthest.get(k + 1) ?? -1));
      let x = down ? (furthest.get(k + 1) ?? 0) : (furthest.get(k - 1) ?? 0) + 1;
      let y = x - k;
      while (x < n && y < m && before[x] === after[y]) {
        x += 1;
        y += 1;
      }
      furthest.set(k, x);
      if (x >= n && y >= m) return backtrack(trace, before, after, d);
    }
  }
  const replaced: Edit[] = before.map((text) => ({ kind: 'remove', text }));
  return replaced.concat(after.map((text) => ({ kind: 'add', text })));
}

function backtrack(trace: readonly Map<number, number>[], before: readonly string[], after: readonly string[], depth: number): Edit[] {
  const found: Edit[] = [];
  let x = before.length;
  let y = after.length;
  for (let d = depth; d > 0; d -= 1) {
    const furthest = trace[d] ?? new Map<number, number>();
    const k = x - y;
    const down = k === -d || (k !== d && (furthest.get(k - 1) ?? -1) < (furthest.get(k + 1) ?? -1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = furthest.get(fromK) ?? 0;
    const fromY = fromX - fromK;
    while (x > fromX && y > fromY && x > 0 && y > 0 && before[x - 1] === after[y - 1]) {
      found.push({ kind: 'same', text: before[x - 1] ?? '' });
      x -= 1;
      y -= 1;
    }
    if (down) found.push({ kind: 'add', text: after[y - 1] ?? '' });
    else found.push({ kind: 'remove', text: before[x - 1] ?? '' });
    x = fromX;
    y = fromY;
  }
  while (x > 0 && y > 0) {
    found.push({ kind: 'same', text: before[x - 1] ?? '' });
    x -= 1;
    y -= 1;
  }
  return found.reverse();
}

const linesOf = (text: string | null): string[] => {
  if (text === null || text === '') return [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
};

/** The diff of a file from one text to another; `null` is a file that is not there. */
export function compareTexts(path: string, before: string | null, after: string | null): FileDiff {
  const lines: DiffLine[] = [];
  let numberBefore = 1;
  let numberAfter = 1;
  for (const { kind, text } of edits(linesOf(before), linesOf(after))) {
    lines.push({ kind, text, before: kind === 'add' ? null : numberBefore, after: kind === 'remove' ? null : numberAfter });
    if (kind !== 'add') numberBefore += 1;
    if (kind !== 'remove') numberAfter += 1;
  }
  const count = (kind: DiffLine['kind']) => lines.filter((line) => line.kind === kind).length;
  return {
    path,
    from: null,
    change: before === null ? 'added' : after === null ? 'removed' : 'modified',
    binary: false,
    added: count('add'),
    removed: count('remove'),
    hunks: hunksOf(lines),
  };
}

function hunksOf(lines: readonly DiffLine[]): Hunk[] {
  const hunks: Hunk[] = [];
  let last = -1;
  for (const [index, line] of lines.entries()) {
    if (line.kind === 'same') continue;
    const from = Math.max(index - CONTEXT, last + 1);
    const current = hunks.at(-1);
    const until = Math.min(lines.length, index + CONTEXT + 1);
    if (current === undefined || index - CONTEXT > last + 1) {
      const first = lines[from];
      const begin = (side: 'before' | 'after') => lines.slice(from).find((candidate) => candidate[side] !== null)?.[side] ?? first?.[side] ?? 1;
      hunks.push({ context: '', before: begin('before'), after: begin('after'), lines: lines.slice(from, until) });
    } else {
      current.lines.push(...lines.slice(last + 1, until));
    }
    last = until - 1;
  }
  return hunks;
}

/** The part of two lines that differs: everything between their common beginning and their common end. */
export function changedPart(one: string, other: string): { start: number; endOne: number; endOther: number } | null {
  let start = 0;
  const shorter = Math.min(one.length, other.length);
  while (start < shorter && one.charCodeAt(start) === other.charCodeAt(start)) start += 1;
  let tail = 0;
  while (tail < shorter - start && one.charCodeAt(one.length - 1 - tail) === other.charCodeAt(other.length - 1 - tail)) tail += 1;
  const alike = start + tail;
  // Lines that share little are two different lines; marking nearly all of them says nothing.
  if (alike < shorter * 0.4 || (start === one.length && start === other.length)) return null;
  return { start, endOne: one.length - tail, endOther: other.length - tail };
}
