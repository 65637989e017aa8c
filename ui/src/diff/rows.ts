// A diff as a flat list of rows, for a virtualised list: a diff of 10 MB is a list of a few hundred thousand rows of
// which fifty are on the page.

import { changedPart } from './compare';
import type { DiffLine, FileDiff } from './parse';

export interface Mark {
  start: number;
  end: number;
}

/** A row; `key` is the same however the diff is laid out: folded or not, split or not, with comments or without. */
export type DiffRow = { key: number } & (
  | { type: 'file'; file: number }
  | { type: 'hunk'; file: number; hunk: number }
  | { type: 'line'; file: number; line: DiffLine; mark: Mark | null }
  | { type: 'pair'; file: number; left: DiffLine | null; right: DiffLine | null; leftMark: Mark | null; rightMark: Mark | null }
  | { type: 'comments'; file: number; line: DiffLine; at: string }
  | { type: 'binary'; file: number }
  | { type: 'leftOut'; file: number }
);

/** Names a line of a file for comments: the side and its number. */
export function lineKey(file: FileDiff, line: DiffLine): string {
  return line.after !== null ? `${file.path}:${line.after}` : `${file.path}:-${line.before ?? 0}`;
}

/** Files with more changed lines than this begin folded. */
export const LARGE_FILE = 1_500;

/** Pairs removed lines with the added ones that follow them. */
function blocks(lines: readonly DiffLine[]): { removed: DiffLine[]; added: DiffLine[]; same: DiffLine | null }[] {
  const found: { removed: DiffLine[]; added: DiffLine[]; same: DiffLine | null }[] = [];
  let open: { removed: DiffLine[]; added: DiffLine[]; same: DiffLine | null } | null = null;
  for (const line of lines) {
    if (line.kind === 'same' || line.kind === 'note') {
      open = null;
      found.push({ removed: [], added: [], same: line });
      continue;
    }
    if (open === null || (line.kind === 'remove' && open.added.length > 0)) {
      open = { removed: [], added: [], same: null };
      found.push(open);
    }
    (line.kind === 'remove' ? open.removed : open.added).push(line);
  }
  return found;
}

const LONGEST_MARKED = 2_000;

function marks(left: DiffLine | undefined, right: DiffLine | undefined): [Mark | null, Mark | null] {
  if (left === undefined || right === undefined) return [null, null];
  if (left.text.length > LONGEST_MARKED || right.text.length > LONGEST_MARKED) return [null, null];
  const part = changedPart(left.text, right.text);
  if (part === null) return [null, null];
  const mark = (end: number): Mark | null => (end > part.start ? { start: part.start, end } : null);
  return [mark(part.endOne), mark(part.endOther)];
}

interface Wanted {
  split: boolean;
  folded: ReadonlySet<string>;
  /** Lines with comments or an open editor, by `lineKey`. */
  commented: ReadonlySet<string>;
}

/** How many keys a file's rows take: three, and for each hunk its head, and for each line the line and its comments. */
const keysOf = (file: FileDiff) => file.hunks.reduce((keys, hunk) => keys + 1 + 2 * hunk.lines.length, 3);

/** Lays a diff out. */
export function rowsOf(files: readonly FileDiff[], { split, folded, commented }: Wanted): DiffRow[] {
  const rows: DiffRow[] = [];
  let free = 0;
  for (const [index, file] of files.entries()) {
    let key = free;
    free += keysOf(file);
    rows.push({ key, type: 'file', file: index });
    if (folded.has(file.path)) continue;
    const leftOut: DiffRow[] = file.leftOut === true ? [{ key: key + 2, type: 'leftOut', file: index }] : [];
    if (file.binary && leftOut.length === 0) {
      rows.push({ key: key + 1, type: 'binary', file: index });
      continue;
    }
    key += 3;
    const talk = (lineAt: number, line: DiffLine | null | undefined) => {
      if (line === null || line === undefined) return;
      const at = lineKey(file, line);
      if (commented.size > 0 && commented.has(at)) rows.push({ key: lineAt + 1, type: 'comments', file: index, line, at });
    };
    for (const [number, hunk] of file.hunks.entries()) {
      rows.push({ key, type: 'hunk', file: index, hunk: number });
      key += 1;
      for (const { removed, added, same } of blocks(hunk.lines)) {
        if (same !== null) {
          if (split && same.kind === 'same') rows.push({ key, type: 'pair', file: index, left: same, right: same, leftMark: null, rightMark: null });
          else rows.push({ key, type: 'line', file: index, line: same, mark: null });
          talk(key, same);
          key += 2;
          continue;
        }
        const [removedAt, addedAt] = [key, key + 2 * removed.length];
        key = addedAt + 2 * added.length;
        const count = Math.max(removed.length, added.length);
        // Only as many as each other are one line changed into another.
        const paired = removed.length === added.length;
        if (split) {
          for (let place = 0; place < count; place += 1) {
            const [leftMark, rightMark] = paired ? marks(removed[place], added[place]) : [null, null];
            rows.push({ key: (place < removed.length ? removedAt : addedAt) + 2 * place, type: 'pair', file: index, left: removed[place] ?? null, right: added[place] ?? null, leftMark, rightMark });
            talk(removedAt + 2 * place, removed[place]);
            talk(addedAt + 2 * place, added[place]);
          }
        } else {
          for (const [place, line] of removed.entries()) {
            rows.push({ key: removedAt + 2 * place, type: 'line', file: index, line, mark: paired ? marks(line, added[place])[0] : null });
            talk(removedAt + 2 * place, line);
          }
          for (const [place, line] of added.entries()) {
            rows.push({ key: addedAt + 2 * place, type: 'line', file: index, line, mark: paired ? marks(removed[place], line)[1] : null });
            talk(addedAt + 2 * place, line);
          }
        }
      }
    }
    rows.push(...leftOut);
  }
  return rows;
}
