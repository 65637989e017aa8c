import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { changedPart, compareTexts } from '../../ui/src/diff/compare';
import { comparePixels } from '../../ui/src/diff/pixels';
import { type FileDiff, parseDiff, unquote } from '../../ui/src/diff/parse';
import { rowsOf } from '../../ui/src/diff/rows';
import { wholeOf } from '../../ui/src/diff/whole';
import { recordingIn } from '../../ui/src/places/review/body';

const plain = (file: FileDiff) => file.hunks.flatMap((hunk) => hunk.lines.map((line) => [line.kind, line.before, line.after, line.text]));

test('a diff becomes files, hunks and numbered lines', () => {
  const files = parseDiff(['diff --git a/src/a.ts b/src/a.ts', 'index 1..2 100644', '--- a/src/a.ts', '+++ b/src/a.ts', '@@ -1,3 +1,3 @@ function a()', ' one', '-two', '+zwei', ' three', '\\ No newline at end of file'].join('\n'));
  expect(files).toHaveLength(1);
  expect(files[0]).toMatchObject({ path: 'src/a.ts', from: null, change: 'modified', added: 1, removed: 1 });
  expect(files[0]?.hunks[0]?.context).toBe('function a()');
  expect(plain(files[0] as FileDiff)).toEqual([
    ['same', 1, 1, 'one'],
    ['remove', 2, null, 'two'],
    ['add', null, 2, 'zwei'],
    ['same', 3, 3, 'three'],
    ['note', null, null, 'No newline at end of file'],
  ]);
});

test('lines that look like the head of another file stay lines of this one', () => {
  const files = parseDiff(['diff --git a/x b/x', '--- a/x', '+++ b/x', '@@ -1,2 +1,2 @@', '--- a/y', '-diff --git a/z b/z', '+++ b/y', '+@@ -1 +1 @@'].join('\n'));
  expect(files.map((file) => file.path)).toEqual(['x']);
  expect(plain(files[0] as FileDiff).map((line) => line[3])).toEqual(['-- a/y', 'diff --git a/z b/z', '++ b/y', '@@ -1 +1 @@']);
});

test('new, removed, renamed, binary and oddly named files are told apart', () => {
  const files = parseDiff(
    [
      'diff --git a/new b/new', 'new file mode 100644', '--- /dev/null', '+++ b/new', '@@ -0,0 +1 @@', '+x',
      'diff --git a/old b/old', 'deleted file mode 100644', '--- a/old', '+++ /dev/null', '@@ -1 +0,0 @@', '-x',
      'diff --git a/from name b/to name', 'similarity index 100%', 'rename from from name', 'rename to to name',
      'diff --git a/p.png b/p.png', 'Binary files a/p.png and b/p.png differ',
      'diff --git "a/\\303\\244 b.txt" "b/\\303\\244 b.txt"', 'new file mode 100644',
      'diff --git a/a b/c b/a b/c', 'old mode 100644', 'new mode 100755',
    ].join('\n'),
  );
  expect(files.map(({ path, from, change, binary }) => [path, from, change, binary])).toEqual([
    ['new', null, 'added', false],
    ['old', null, 'removed', false],
    ['to name', 'from name', 'renamed', false],
    ['p.png', null, 'modified', true],
    ['ä b.txt', null, 'added', false],
    ['a b/c', null, 'modified', false],
  ]);
});

test('nonsense is no diff and no exception', () => {
  for (const text of ['', '\n\n', '@@ -1 +1 @@\n+x', 'diff --git', 'diff --git a/x', '+++ b/x\n--- a/y', `diff --git a/x b/x\n@@ -1,99999999 +1,99999999 @@\n+${'y'.repeat(100_000)}`]) {
    expect(() => rowsOf(parseDiff(text), { split: true, folded: new Set(), commented: new Set() })).not.toThrow();
  }
  expect(unquote('"\\')).toBe('"\\');
});

test('ten megabytes are read and laid out within two seconds', () => {
  const lines = Array.from({ length: 160_000 }, (_, line) => `+insert into parcel values (${line}, 'Street ${line}', 12, 'some more text');`);
  const text = `diff --git a/big.sql b/big.sql\nnew file mode 100644\n--- /dev/null\n+++ b/big.sql\n@@ -0,0 +1,${lines.length} @@\n${lines.join('\n')}\n`;
  expect(text.length).toBeGreaterThan(10_000_000);
  const began = performance.now();
  const rows = rowsOf(parseDiff(text), { split: false, folded: new Set(), commented: new Set() });
  expect(performance.now() - began).toBeLessThan(2_000);
  expect(rows).toHaveLength(160_002);
});

test('two texts compared give the lines that git gives', () => {
  const folder = mkdtempSync(join(tmpdir(), 'diff-'));
  let random = 7;
  const next = (below: number) => {
    random = (random * 1_103_515_245 + 12_345) % 2_147_483_648;
    return random % below;
  };
  try {
    for (let round = 0; round < 25; round += 1) {
      const before = Array.from({ length: next(60) + 1 }, () => `line ${next(12)}`);
      const after = before.flatMap((line) => (next(5) === 0 ? [] : next(6) === 0 ? [line, `new ${next(9)}`] : [line]));
      const [one, other] = [before, after].map((lines) => lines.map((line) => `${line}\n`).join('')) as [string, string];
      writeFileSync(join(folder, 'one'), one);
      writeFileSync(join(folder, 'other'), other);
      let git = '';
      try {
        execFileSync('git', ['diff', '--no-index', '--minimal', 'one', 'other'], { cwd: folder, encoding: 'utf8' });
      } catch (differs) {
        git = String((differs as { stdout: string }).stdout);
      }
      const ours = compareTexts('x', one, other);
      const theirs = parseDiff(git)[0];
      // Two shortest ways may differ; their length may not.
      expect(ours.added + ours.removed).toBe((theirs?.added ?? 0) + (theirs?.removed ?? 0));
      const rebuilt = compareTexts('x', one, other).hunks.flatMap((hunk) => hunk.lines.filter((line) => line.kind !== 'remove').map((line) => line.after));
      expect(rebuilt).toEqual([...rebuilt].sort((left, right) => Number(left) - Number(right)));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a new file is all added and a removed one all removed', () => {
  expect(compareTexts('x', null, 'a\nb\n')).toMatchObject({ change: 'added', added: 2, removed: 0 });
  expect(compareTexts('x', 'a\nb\n', null)).toMatchObject({ change: 'removed', added: 0, removed: 2 });
  expect(compareTexts('x', 'a\n', 'a\n').hunks).toEqual([]);
});

test('only the part of a line that changed is marked', () => {
  expect(changedPart('const wait = 400;', 'const wait = 800;')).toEqual({ start: 13, endOne: 14, endOther: 14 });
  expect(changedPart('alpha', 'something else entirely')).toBe(null);
  expect(changedPart('same', 'same')).toBe(null);
});

test('split rows pair what changed and leave the rest empty', () => {
  const file = compareTexts('x', 'a\nold one\nb\n', 'a\nnew one\nnew two\nb\n');
  const rows = rowsOf([file], { split: true, folded: new Set(), commented: new Set(['x:3']) });
  expect(rows.map((row) => row.type)).toEqual(['file', 'hunk', 'pair', 'pair', 'pair', 'comments', 'pair']);
  expect(rowsOf([file], { split: false, folded: new Set(['x']), commented: new Set() })).toHaveLength(1);
});

test('a row is known by the same key however the diff is laid out, and no two rows by one', () => {
  const files = [compareTexts('x', 'a\nold one\nb\nc\n', 'a\nnew one\nnew two\nb\nd\n'), compareTexts('y', null, 'one\ntwo\n')];
  const laid = (split: boolean, folded: string[], commented: string[]) => rowsOf(files, { split, folded: new Set(folded), commented: new Set(commented) });
  const key = (rows: ReturnType<typeof laid>, at: string) => rows.find((row) => row.type === 'comments' && row.at === at)?.key;
  const held = key(laid(false, [], ['y:2']), 'y:2');
  expect(held).toBeDefined();
  for (const rows of [laid(true, ['x'], ['y:2']), laid(true, [], ['x:1', 'x:3', 'x:-2', 'y:1', 'y:2']), laid(false, [], ['x:2', 'x:-4', 'y:2'])]) {
    expect(key(rows, 'y:2')).toBe(held);
    expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
  }
});

test('what a diff was cut before is there with its counts, and nothing that is whole is taken for cut', () => {
  const [one, other] = ['diff --git a/a.txt b/a.txt\nnew file mode 100644\n--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1,3 @@\n+1\n+2\n+3', 'diff --git a/old b/new\nsimilarity index 90%\nrename from old\nrename to new\n--- a/old\n+++ b/new\n@@ -1 +1 @@\n-x\n+y'];
  const changed = [{ path: 'a.txt', added: 3, removed: 0 }, { path: 'new', added: 40, removed: 0 }, { path: 'old', added: 0, removed: 40 }, { path: 'z.sh', added: 7, removed: 2 }, { path: 'zz.png', added: null, removed: null }];
  const told = (text: string, files = changed) => wholeOf(text, files).map(({ path, added, removed, binary, leftOut }) => `${path} +${added} -${removed}${binary ? ' binary' : ''}${leftOut === true ? ' left out' : ''}`);
  expect(told(`${one}\n${other}\n`, changed.slice(0, 3))).toEqual(['a.txt +3 -0', 'new +1 -1']);
  expect(told(`${one}\n${other}\n`)).toEqual(['a.txt +3 -0', 'new +1 -1', 'z.sh +7 -2 left out', 'zz.png +0 -0 binary left out']);
  // Cut within a file, wherever: its counts say so, or the owner does.
  expect(told(`${one.slice(0, -3)}\n`, changed.slice(0, 1))).toEqual(['a.txt +3 -0 left out']);
  expect(told(`${other.slice(0, -3)}\n(the rest is left out: the diff is longer than 16 MiB)\n`, changed.slice(1, 3))).toEqual(['new +0 -1 left out']);
  const files = wholeOf(`${one.slice(0, -3)}\n`, changed.slice(3));
  expect(rowsOf(files, { split: false, folded: new Set(), commented: new Set() }).map((row) => row.type)).toEqual(['file', 'hunk', 'line', 'line', 'file', 'leftOut', 'file', 'leftOut']);
});

test('the recording is what the end of the evidence names, and not what a command printed', () => {
  const picture = '![What the screen showed, step by step](artifact:aa1)';
  const video = '[The same as a video (MP4)](artifact:bb2)';
  const printed = `\`\`\`\n\n${picture}\n\`\`\``;
  expect(recordingIn(`Done.\n\n## Evidence\n\n1. It is.\n\n${picture}\n\n${video}\n\n## Commands run\n`)).toEqual({ picture: 'aa1', video: 'bb2' });
  expect(recordingIn(`## Evidence\n\n${video}`)).toEqual({ picture: null, video: 'bb2' });
  for (const body of ['', 'Done.', `## Evidence\n\n${printed}\n\n## Cost\n`, `## Cost\n\n${picture}`]) expect(recordingIn(body), body).toEqual({ picture: null, video: null });
});

test('pixels that differ are counted and framed; noise is not', () => {
  const one = new Uint8ClampedArray(4 * 4 * 4).fill(100);
  const other = one.slice();
  other[0] = 104;
  other.fill(255, (4 * 2 + 1) * 4, (4 * 2 + 3) * 4);
  expect(comparePixels(one, other, 4, [255, 0, 0])).toMatchObject({ count: 2, total: 16, around: { left: 1, top: 2, right: 2, bottom: 2 } });
});
