import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { waitBefore } from '../../ui/src/backend/follow';
import { ticketIn } from '../../ui/src/backend/session';
import { SentEventReader } from '../../ui/src/backend/sse';
import { pixelAt, Wheel } from '../../ui/src/live/input';
import { readUpdate } from '../../ui/src/live/update';
import { layNight } from '../../ui/src/places/home/night';
import { commentsOf } from '../../ui/src/places/review/comments';
import { likeness, matchCriteria } from '../../ui/src/places/review/criteria';
import { plainOutput } from '../../ui/src/text/ansi';
import { ago, clock, duration, money, repositoryName, titleOf } from '../../ui/src/text/format';
import { parseMarkdown, safeAddress } from '../../ui/src/text/markdown';
import { quoted, takeBranch } from '../../ui/src/text/shell';
import { criteriaIn, describe as describeTask, triage } from '../../ui/src/text/triage';
import type { AttemptSummary, OthersClosed } from '../../ui/src/backend/types';
import { attemptName, attemptOf, checkWords, closedWords, criticWords, ordinal } from '../../ui/src/text/attempts';

test('a file of the history is linked by its address, and nothing else of that kind is', () => {
  const id = 'a'.repeat(64);
  expect(parseMarkdown(`[The recording (MP4)](artifact:${id})`)).toEqual([
    { type: 'paragraph', content: [{ type: 'link', href: `/api/v1/artifacts/${id}`, content: [{ type: 'text', text: 'The recording (MP4)' }] }] },
  ]);
  for (const odd of [`artifact:${id}0`, 'artifact:../session', `artifact:${id.toUpperCase()}`]) {
    expect(JSON.stringify(parseMarkdown(`[x](${odd})`))).not.toContain('link');
  }
});

test('events are read however the stream is cut', () => {
  const text = 'event: event\r\nid: 7\ndata: {"a":\ndata: 1}\n\n: a comment\n\nevent: live\rdata: x\r\rdata: last\n\n';
  const whole = new SentEventReader().take(text);
  expect(whole).toEqual([
    { name: 'event', data: '{"a":\n1}', id: '7' },
    { name: 'live', data: 'x', id: '7' },
    { name: 'message', data: 'last', id: '7' },
  ]);
  for (let size = 1; size < 12; size += 1) {
    const reader = new SentEventReader();
    const found = [];
    for (let start = 0; start < text.length; start += size) found.push(...reader.take(text.slice(start, start + size)));
    expect(found).toEqual(whole);
  }
});

test('waits between attempts grow to five seconds and no further', () => {
  expect([1, 2, 3, 4, 5, 6, 60].map(waitBefore)).toEqual([250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
});

test('a ticket is found in a whole address, in its end, and nowhere else', () => {
  expect(['http://127.0.0.1:7/#ticket=ab.cd', '#ticket=ab.cd', 'ticket=ab.cd', '#x=1&ticket=ab.cd'].map(ticketIn)).toEqual(Array(4).fill('ab.cd'));
  expect(['', '#nothing', 'aticket=x'].map(ticketIn)).toEqual([null, null, null]);
});

const rectangle = (x: number, y: number, w: number, h: number, encoding: number, pixels: Uint8Array) => {
  const bytes = new Uint8Array(16 + pixels.length);
  const view = new DataView(bytes.buffer);
  [x, y, w, h].forEach((value, index) => view.setUint16(index * 2, value, true));
  view.setUint8(8, encoding);
  view.setUint32(12, pixels.length, true);
  bytes.set(pixels, 16);
  return bytes;
};

function update(width: number, height: number, rectangles: Uint8Array[], count = rectangles.length): ArrayBuffer {
  const bytes = new Uint8Array(24 + rectangles.reduce((sum, each) => sum + each.length, 0));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 1);
  view.setUint8(1, 3);
  view.setUint16(2, count, true);
  view.setUint32(4, 9, true);
  view.setUint16(12, width, true);
  view.setUint16(14, height, true);
  view.setFloat64(16, 1_000.5, true);
  let at = 24;
  for (const each of rectangles) {
    bytes.set(each, at);
    at += each.length;
  }
  return bytes.buffer;
}

test('an update of the live screen is read as it was written', () => {
  const read = readUpdate(update(8, 4, [rectangle(1, 2, 2, 1, 0, new Uint8Array(8).fill(7)), rectangle(0, 0, 8, 4, 2, new Uint8Array([1, 2, 3]))]));
  expect(read).toMatchObject({ key: true, exact: true, sequence: 9, width: 8, height: 4, takenAt: 1_000.5 });
  expect(read?.rectangles.map(({ x, y, width, height, encoding, pixels }) => [x, y, width, height, encoding, pixels.length])).toEqual([
    [1, 2, 2, 1, 'plain', 8],
    [0, 0, 8, 4, 'jpeg', 3],
  ]);
});

test('an update that lies about its lengths, places or sizes is refused', () => {
  const good = rectangle(0, 0, 1, 1, 0, new Uint8Array(4));
  const bad: ArrayBuffer[] = [
    new ArrayBuffer(0),
    new Uint8Array([1, 0, 0]).buffer,
    update(0, 4, []),
    update(9_000, 4, []),
    update(8, 4, [], 1),
    update(8, 4, [rectangle(7, 0, 2, 1, 0, new Uint8Array(8))]),
    update(8, 4, [rectangle(0, 0, 2, 1, 0, new Uint8Array(7))]),
    update(8, 4, [rectangle(0, 0, 1, 1, 3, new Uint8Array(4))]),
    update(8, 4, [good]).slice(0, 42),
  ];
  for (const message of bad) expect(() => readUpdate(message)).toThrow(RangeError);
  expect(readUpdate(new Uint8Array([2, 9, 9]).buffer)).toBe(null);
});

test('wheels turn whole notches and keep what is left over', () => {
  const wheel = new Wheel();
  const down = (deltaY: number, deltaMode = 0) => wheel.turn({ deltaX: 0, deltaY, deltaMode }).down;
  expect([down(40), down(40), down(40), down(-300), down(3, 1), down(2, 2)]).toEqual([0, 0, 1, -2, 0, 2]);
});

test('a place on the canvas is a pixel of the screen, and never outside it', () => {
  const canvas = { width: 1280, height: 800, getBoundingClientRect: () => ({ left: 10, top: 20, width: 640, height: 400 }) as DOMRect };
  expect(pixelAt(canvas, 330, 220)).toEqual({ x: 640, y: 400 });
  expect(pixelAt(canvas, -50, 9_999)).toEqual({ x: 0, y: 799 });
});

test('output is plain: no escape sequences, no overwritten lines, no reversed text', () => {
  expect(plainOutput('\u001b[31mred\u001b[0m \u001b]0;title\u0007ok\rfinal\u0000\u202eabc\r\nnext')).toBe('finalabc\nnext');
  expect(plainOutput('10%\r50%\r100%\n')).toBe('100%\n');
});

test('markdown is read into elements', () => {
  expect(parseMarkdown('# Title\n\nSome **bold** and `code`.\n\n- one\n- two\n  more\n\n```js\nlet a;\n```')).toEqual([
    { type: 'heading', level: 1, content: [{ type: 'text', text: 'Title' }] },
    { type: 'paragraph', content: [{ type: 'text', text: 'Some ' }, { type: 'strong', content: [{ type: 'text', text: 'bold' }] }, { type: 'text', text: ' and ' }, { type: 'code', text: 'code' }, { type: 'text', text: '.' }] },
    { type: 'list', ordered: false, items: [[{ type: 'paragraph', content: [{ type: 'text', text: 'one' }] }], [{ type: 'paragraph', content: [{ type: 'text', text: 'two more' }] }]] },
    { type: 'code', text: 'let a;', language: 'js' },
  ]);
});

test('what is not in the tree cannot be shown: HTML is text, scripts are no links, pictures are ours', () => {
  const text = JSON.stringify(parseMarkdown('<script>x</script> [a](javascript:x) [b](data:text/html,x) ![c](https://evil.example/c.png) \\*plain\\*'));
  expect(text).not.toContain('"image"');
  expect(text.match(/"href":"[^"]*"/g)).toEqual(['"href":"https://evil.example/c.png"']);
  expect(text).toContain('<script>x</script>');
  expect(safeAddress('javascript:alert(1)')).toBe(null);
  expect(safeAddress('https://example.com/a')).toBe('https://example.com/a');
});

test('deep, long and endless markdown ends', () => {
  const began = performance.now();
  for (const text of ['>'.repeat(5_000), '- '.repeat(5_000), '['.repeat(20_000), '*'.repeat(20_000), '`'.repeat(20_001), '**a '.repeat(5_000), `${'a_'.repeat(10_000)}`, '```\nnever closed']) parseMarkdown(text);
  expect(performance.now() - began).toBeLessThan(4_000);
});

test('a draft is judged by what it has, and its criteria come back from its description', () => {
  const draft = { what: 'Add a dark mode toggle to the header', criteria: '- It toggles\n- It persists', tests: 'npm test', constraints: '' };
  expect(triage(draft).verdict).toBe('background');
  expect(triage({ ...draft, criteria: '' }).verdict).toBe('afterAnswers');
  expect(triage({ ...draft, what: 'Rewrite everything around login' }).verdict).toBe('keep');
  expect(triage({ what: ' ', criteria: '', tests: '', constraints: '' }).verdict).toBe('empty');
  expect(criteriaIn(describeTask(draft))).toEqual(['It toggles', 'It persists']);
});

test('evidence goes to the criterion it speaks of, and none of it is hidden', () => {
  const proof = (claim: string) => ({ claim, source: { type: 'command', step: '1.1', command: 'x', exitCode: 0, outputTail: '' } }) as never;
  const groups = matchCriteria(['The choice persists after a reload', 'All tests pass', 'It is fast'], [proof('After a reload the choice persists.'), proof('The tests pass, all of them.'), proof('Before: light.')]);
  expect(groups.map((group) => [group.claim, group.evidence.length])).toEqual([
    ['The choice persists after a reload', 1],
    ['All tests pass', 1],
    ['It is fast', 0],
    ['Before: light.', 1],
  ]);
  expect(likeness('', 'x')).toBe(0);
});

test('evidence that names a criterion by its number goes there, whatever its words', () => {
  const proof = (claim: string, criterion?: number) => ({ claim, criterion, source: { type: 'command', step: '1.1', command: 'x', exitCode: 0, outputTail: '' } }) as never;
  const groups = matchCriteria(['It prints', 'All tests pass'], [proof('All tests pass.', 1), proof('All tests pass.'), proof('Out of range.', 7)]);
  expect(groups.map((group) => [group.claim, group.evidence.length])).toEqual([
    ['It prints', 1],
    ['All tests pass', 1],
    ['Out of range.', 1],
  ]);
});

test('a review names file, line and text of each remark', () => {
  const comment = { id: 1, at: 'a:3', path: 'src/a.ts', line: 3, side: 'after' as const, quote: '  let a;', text: 'Name it.' };
  expect(commentsOf([comment])).toEqual([{ path: 'src/a.ts', line: 3, side: 'after', quote: 'let a;', words: 'Name it.' }]);
});

test('numbers read as people write them', () => {
  expect([0, 4_000, 1_250_000, 120_000_000].map(money)).toEqual(['$0', '<$0.01', '$1.25', '$120']);
  expect([20, 1_500, 59_000, 600_000, 5_400_000].map(duration)).toEqual(['20 ms', '1.5 s', '59 s', '10 min', '1 h 30 min']);
  expect([247_000, 3_847_000].map(clock)).toEqual(['4:07', '1:04:07']);
  expect([1_000, 300_000, 7_200_000].map((ms) => ago(0, ms))).toEqual(['just now', '5 min ago', '2 h ago']);
  expect(['/src/app/', 'git@host:team/app.git', 'https://host/app'].map(repositoryName)).toEqual(['app', 'app', 'app']);
  expect(titleOf('\n# Fix it \nmore')).toBe('Fix it');
});

test('the night is packed so that no two bars of a lane touch', () => {
  const run = (id: number, from: number, to: number) => ({ run: `run-${id}`, state: { type: 'merged', pullRequest: 1 }, task: { createdAt: new Date(from).toISOString() }, updatedAt: new Date(to).toISOString() }) as never;
  const runs = Array.from({ length: 40 }, (_, id) => run(id, id * 20_000, id * 20_000 + 90_000));
  const { bars, left } = layNight(runs, 0, 1_000_000, 5);
  expect(bars.length + left).toBe(40);
  for (const lane of [0, 1, 2, 3, 4]) {
    const inLane = bars.filter((bar) => bar.lane === lane);
    for (const [index, bar] of inLane.entries()) expect(bar.from).toBeGreaterThanOrEqual(inLane[index - 1]?.to ?? 0);
  }
});

test('a shell reads every quoted text as the one word it was', () => {
  for (const text of ['', 'main', 'a;touch harmed', '$(touch harmed)', '`touch harmed`', 'a&b|c>d', "it's", "'; touch harmed; '", '"$HOME" * ? !! #', 'two\nlines', 'back\\slash\\', '~', '~ä=%', '-n']) {
    expect(execFileSync('sh', ['-c', `printf '%s|' ${quoted(text)}`], { encoding: 'utf8' })).toBe(`${text}|`);
  }
  expect(takeBranch('pull', '/home/ada/.n/repo-1.git', 'main')).toBe('git pull /home/ada/.n/repo-1.git main');
  expect(quoted('nightshift/fix-it_2.0@x')).toBe('nightshift/fix-it_2.0@x');
});

test('a branch is taken whatever its name means to a shell or to git, and does nothing else', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nightshift-names-'));
  const [from, to] = [join(folder, "Ada's files; touch harmed", 'bare.git'), join(folder, 'to')];
  const git = (...words: string[]) => execFileSync('git', ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  mkdirSync(from, { recursive: true });
  for (const repository of [from, to]) git('init', '-q', ...(repository === from ? ['--bare'] : []), repository);
  const tree = execFileSync('git', ['-C', from, 'hash-object', '-t', 'tree', '-w', '--stdin'], { input: '', encoding: 'utf8' }).trim();
  const commit = git('-C', from, 'commit-tree', tree, '-m', 'Begin');
  for (const branch of ['a;touch${IFS}harmed', '$(touch${IFS}harmed)', '`touch${IFS}harmed`', 'a&touch${IFS}harmed', "it's|one", '--upload-pack=touch${IFS}harmed;git-upload-pack']) {
    git('-C', from, 'update-ref', `refs/heads/${branch}`, commit);
    execFileSync('sh', ['-c', takeBranch('fetch', from, branch)], { cwd: to, stdio: 'ignore' });
    expect(git('-C', to, 'rev-parse', 'FETCH_HEAD')).toBe(commit);
    rmSync(join(to, '.git/FETCH_HEAD'));
    for (const where of [to, from, folder]) expect(existsSync(join(where, 'harmed'))).toBe(false);
  }
  rmSync(folder, { recursive: true, force: true });
});

test('an attempt is named by its number, a fork by what it was made of, and the only one not at all', () => {
  const attempt = { number: 2, of: 3 };
  expect(attemptOf({})).toBe('');
  expect(attemptOf({ attempt })).toBe('2 of 3');
  expect(attemptOf({ attempt, forkedFrom: 'run-0000000001' })).toBe('fork of 2');
  const summary = (number: number, run: string, forkOf?: string) => ({ number, run: { run }, ...(forkOf === undefined ? {} : { forkOf }) }) as unknown as AttemptSummary;
  const all = [summary(1, 'run-a'), summary(2, 'run-b'), summary(3, 'run-c', 'run-b')];
  expect(all.map((each) => attemptName(each, all))).toEqual(['Attempt 1', 'Attempt 2', 'Attempt 3, a fork of 2']);
  expect([1, 2, 3, 4, 8].map(ordinal)).toEqual(['1st', '2nd', '3rd', '4th', '8th']);
});

test('what became of the other attempts is one sentence, and says nothing that did not happen', () => {
  const closed = (...types: string[]) => closedWords({ kept: 'run-k', others: types.map((type, index) => ({ number: index + 1, run: `run-${index}`, outcome: { type } })) } as unknown as OthersClosed);
  expect(closed('pullRequestClosed', 'cancelled', 'cancelled')).toBe('Other attempts: 1 closed, 2 cancelled; their branches are kept');
  expect(closed('pullRequestClosed', 'refused', 'overBefore')).toBe('Other attempts: 1 closed; their branches are kept');
  expect(closed('overBefore')).toBe('The other attempts were over before');
  expect(closed('refused', 'overBefore')).toBe('');
});

test('criteria and checks of an attempt are counted with what is wrong named', () => {
  expect(criticWords({ met: 3, notMet: 0, notVerifiable: 1, of: 4 })).toBe('3 of 4 met');
  expect(criticWords({ met: 1, notMet: 2, notVerifiable: 0, of: 3 })).toBe('1 of 3 met, 2 not');
  expect(checkWords({ passed: 1_200, failed: 0 })).toBe('1,200 passed');
  expect(checkWords({ passed: 3, failed: 1 })).toBe('1 of 4 failed');
});
