// The owner cuts a diff that is too long. What it changes in all is asked for apart, and what is not here is named: nobody
// may merge what they were not shown without knowing it.

import type { ChangedFile } from '@/backend/types';
import { type FileDiff, parseDiff } from './parse';

/** The line that the owner puts at the end of a diff that it has cut. */
const CUT = '\n(the rest is left out: the diff is longer than 16 MiB)\n';

/** Reads a diff that may be cut, with the files that it changes in all. Files that are not wholly here say so. */
export function wholeOf(text: string, changed: readonly ChangedFile[]): FileDiff[] {
  const files = parseDiff(text);
  const [counted, moved] = [new Map<string, { added: number; removed: number }>(), new Set<string>()];
  for (const { path, from, added, removed } of files) {
    // One that became another kind of file is there twice.
    const before = counted.get(path) ?? { added: 0, removed: 0 };
    counted.set(path, { added: before.added + added, removed: before.removed + removed });
    // What was renamed is counted as one file that went and one that came.
    if (from !== null) for (const name of [from, path]) moved.add(name);
  }
  const truth = new Map(changed.map((file) => [file.path, file]));
  const ends = text.endsWith(CUT);
  const read = files.map((file, index): FileDiff => {
    const { added, removed } = truth.get(file.path) ?? {};
    const here = counted.get(file.path);
    const differs = !moved.has(file.path) && added != null && removed != null && (added !== here?.added || removed !== here.removed);
    if (differs) return { ...file, added, removed, leftOut: true };
    return ends && index === files.length - 1 ? { ...file, leftOut: true } : file;
  });
  const missing = changed.filter(({ path }) => !counted.has(path) && !moved.has(path));
  return [...read, ...missing.map(({ path, added, removed }): FileDiff => ({ path, from: null, change: 'modified', binary: added == null, added: added ?? 0, removed: removed ?? 0, hunks: [], leftOut: true }))];
}
