// Reads a diff as git writes it (git-diff(1), "Generating patch text with -p"). The text may be hostile: nothing in it is
// believed beyond its line's first character, and every count in a hunk's head is checked by the lines that follow.

export type LineKind = 'same' | 'add' | 'remove' | 'note';

export interface DiffLine {
  kind: LineKind;
  /** Line number before; `null` on added lines. */
  before: number | null;
  /** Line number after; `null` on removed lines. */
  after: number | null;
  text: string;
}

export interface Hunk {
  /** What git shows beside the numbers: the function around it. */
  context: string;
  before: number;
  after: number;
  lines: DiffLine[];
}

export interface FileDiff {
  path: string;
  /** The path before, where it is another one. */
  from: string | null;
  change: 'added' | 'removed' | 'modified' | 'renamed';
  binary: boolean;
  added: number;
  removed: number;
  hunks: Hunk[];
  /** Not all of it is here: the diff was cut. The counts are those of all of it. */
  leftOut?: boolean;
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/;

/** Undoes git's quoting of paths (core.quotePath): octal bytes are UTF-8. */
export function unquote(path: string): string {
  if (!path.startsWith('"') || !path.endsWith('"') || path.length < 2) return path;
  const bytes: number[] = [];
  const inner = path.slice(1, -1);
  const named: Record<string, number> = { n: 10, t: 9, r: 13, a: 7, b: 8, f: 12, v: 11, '"': 34, '\\': 92 };
  for (let index = 0; index < inner.length; index += 1) {
    const character = inner.charAt(index);
    if (character !== '\\') {
      for (const byte of new TextEncoder().encode(character)) bytes.push(byte);
      continue;
    }
    const octal = /^[0-3][0-7]{2}/.exec(inner.slice(index + 1));
    if (octal !== null) {
      bytes.push(Number.parseInt(octal[0], 8));
      index += 3;
    } else {
      bytes.push(named[inner.charAt(index + 1)] ?? inner.charCodeAt(index + 1));
      index += 1;
    }
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}

const named = (text: string): string | null => {
  const path = unquote(text.replace(/\t$/, ''));
  return path === '/dev/null' ? null : path.replace(/^[ab]\//, '');
};

/** Both paths of `diff --git a/… b/…`, which are the same unless the file was renamed (and then said again below). */
function headPaths(line: string): { from: string; to: string } {
  const rest = line.slice('diff --git '.length);
  const quoted = /^("(?:[^"\\]|\\.)*"|\S.*?) ("b\/(?:[^"\\]|\\.)*"|b\/.*)$/.exec(rest);
  // Unquoted paths may hold spaces, also " b/"; both halves are equally long then.
  const half = (rest.length - 1) / 2;
  if (!rest.startsWith('"') && Number.isInteger(half) && rest.slice(2, half) === rest.slice(half + 3)) {
    return { from: rest.slice(2, half), to: rest.slice(half + 3) };
  }
  return { from: named(quoted?.[1] ?? rest) ?? rest, to: named(quoted?.[2] ?? rest) ?? rest };
}

/** Reads a whole diff. */
export function parseDiff(text: string): FileDiff[] {
  const files: FileDiff[] = [];
  let file: FileDiff | null = null;
  let hunk: Hunk | null = null;
  let before = 0;
  let after = 0;
  let leftBefore = 0;
  let leftAfter = 0;
  let start = 0;
  while (start < text.length) {
    let end = text.indexOf('\n', start);
    if (end < 0) end = text.length;
    const line = text.slice(start, end);
    start = end + 1;
    if (hunk !== null && file !== null && (leftBefore > 0 || leftAfter > 0)) {
      const body = line.slice(1);
      const sign = line.charAt(0);
      if (sign === '+' && leftAfter > 0) {
        hunk.lines.push({ kind: 'add', before: null, after, text: body });
        file.added += 1;
        after += 1;
        leftAfter -= 1;
        continue;
      }
      if (sign === '-' && leftBefore > 0) {
        hunk.lines.push({ kind: 'remove', before, after: null, text: body });
        file.removed += 1;
        before += 1;
        leftBefore -= 1;
        continue;
      }
      if (sign === ' ' || line === '') {
        hunk.lines.push({ kind: 'same', before, after, text: body });
        before += 1;
        after += 1;
        leftBefore -= 1;
        leftAfter -= 1;
        continue;
      }
    }
    if (line.startsWith('\\') && hunk !== null) {
      hunk.lines.push({ kind: 'note', before: null, after: null, text: line.slice(2) });
      continue;
    }
    if (line.startsWith('diff --git ')) {
      const { from, to } = headPaths(line);
      file = { path: to, from: from === to ? null : from, change: 'modified', binary: false, added: 0, removed: 0, hunks: [] };
      files.push(file);
      hunk = null;
      continue;
    }
    if (file === null) continue;
    const head = HUNK.exec(line);
    if (head !== null) {
      before = Number(head[1]);
      after = Number(head[3]);
      leftBefore = head[2] === undefined ? 1 : Number(head[2]);
      leftAfter = head[4] === undefined ? 1 : Number(head[4]);
      hunk = { context: head[5] ?? '', before, after, lines: [] };
      file.hunks.push(hunk);
    } else if (line.startsWith('new file mode')) file.change = 'added';
    else if (line.startsWith('deleted file mode')) file.change = 'removed';
    else if (line.startsWith('rename from ')) {
      file.change = 'renamed';
      file.from = unquote(line.slice('rename from '.length));
    } else if (line.startsWith('rename to ')) file.path = unquote(line.slice('rename to '.length));
    else if (line.startsWith('Binary files ') || line.startsWith('GIT binary patch')) file.binary = true;
    else if (line.startsWith('--- ') && hunk === null) {
      const path = named(line.slice(4));
      if (path !== null && path !== file.path) file.from = path;
    } else if (line.startsWith('+++ ') && hunk === null) file.path = named(line.slice(4)) ?? file.path;
  }
  return files;
}
