// The files an agent wrote with its editor, as they were at any moment. What shell commands wrote is not in here: only
// the editor's steps say what a file held before and after.

import type { Step } from './story';

export interface WrittenFile {
  path: string;
  /** The artifact with the content before the first change; `null` when there was no such file. */
  before: string | null;
  /** The artifact with the content at the moment asked for; `null` when it is removed. */
  after: string | null;
  /** The newest step that changed it. */
  step: Step;
  changes: number;
}

/**
 * The files changed by successful steps that ended at or before a moment, ordered by path. `counts` tells which events led
 * to that moment: what the run went back behind is undone.
 */
export function filesAt(steps: readonly Step[], moment: number | null, counts: (seq: number) => boolean = () => true): WrittenFile[] {
  const files = new Map<string, WrittenFile>();
  for (const step of steps) {
    if (moment !== null && step.seq > moment) break;
    if (step.write === null || step.outcome !== 'done') continue;
    if (moment !== null && (step.endSeq === null || step.endSeq > moment)) continue;
    if (!counts(step.endSeq ?? step.seq)) continue;
    const { path, before, after } = step.write;
    const known = files.get(path);
    if (known === undefined) files.set(path, { path, before: before ?? null, after: after ?? null, step, changes: 1 });
    else files.set(path, { ...known, after: after ?? null, step, changes: known.changes + 1 });
  }
  return [...files.values()].filter((file) => file.before !== file.after).sort((one, other) => one.path.localeCompare(other.path));
}
