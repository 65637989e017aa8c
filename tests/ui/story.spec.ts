import { expect, test } from '@playwright/test';
import type { RunEvent } from '../../ui/src/backend/types';
import { filesAt } from '../../ui/src/story/files';
import { wordsOf } from '../../ui/src/story/step';
import { asOf, emptyStory, lastAt, onRoad, tell, upTo, workedMs } from '../../ui/src/story/story';

const at = (second: number) => new Date(Date.UTC(2026, 10, 1, 0, 0, second)).toISOString();

function event(seq: number, body: Record<string, unknown>): RunEvent {
  return { position: seq, run: 'run-0000000000', seq, at: at(seq), ...body } as unknown as RunEvent;
}

const intended = (seq: number, step: string, name: string, input: unknown, write?: unknown) => event(seq, { type: 'stepIntended', step, call: { id: `c${step}`, name, input }, ...(write === undefined ? {} : { write }) });
const finished = (seq: number, step: string, more: Record<string, unknown> = {}) => event(seq, { type: 'stepFinished', step, call: `c${step}`, outcome: 'done', content: [], tookMs: 5, ...more });

test('events that are known already and events that come too early change nothing', () => {
  const story = emptyStory();
  expect(tell(story, event(1, { type: 'personSaid', text: 'one' }))).toBe('taken');
  expect(tell(story, event(1, { type: 'personSaid', text: 'one' }))).toBe('known');
  expect(tell(story, event(3, { type: 'personSaid', text: 'three' }))).toBe('gap');
  expect(story.said.map((said) => said.text)).toEqual(['one']);
  expect(story.lastSeq).toBe(1);
});

test('what critics found is kept in order and said in the timeline', () => {
  const story = emptyStory();
  tell(story, event(1, { type: 'selfReviewBegun', round: 1, head: 'd', system: '', message: { type: 'user', content: [] } }));
  const review = (round: number, outcome: string, verdict: string) => ({ round, of: 2, verdicts: [{ criterion: 1, verdict, words: 'Seen.' }], words: '', outcome: { type: outcome } });
  tell(story, event(2, { type: 'selfReviewed', review: review(1, 'sentBack', 'notMet') }));
  tell(story, event(3, { type: 'selfReviewed', review: review(2, 'passed', 'notVerifiable') }));
  expect(story.selfReviews.map((each) => each.review.round)).toEqual([1, 2]);
  const notes = story.rows.flatMap((row) => (row.type === 'note' ? [`${row.note.tone}: ${row.note.text}`] : []));
  expect(notes).toEqual([
    'lamp: Self-review, round 1: a critic with a fresh context looks at the work',
    'lamp: Self-review, round 1: not everything is met: back to the agent',
    'good: Self-review, round 2: nothing found, and not everything could be verified',
  ]);
});

test('what a critic says is not taken for the agent, and its verdict is a step with words of its own', () => {
  const story = emptyStory();
  const says = (seq: number, turn: number, text: string) => event(seq, { type: 'turnFinished', turn, message: { type: 'assistant', blocks: [{ type: 'text', text }], verbatim: [] }, stop: { type: 'endTurn' }, usage: {}, model: 'm' });
  const review = { round: 1, of: 1, verdicts: [], words: '', outcome: { type: 'sentBack' } };
  tell(story, says(1, 1, 'It is done.'));
  tell(story, event(2, { type: 'selfReviewBegun', round: 1, head: 'd', system: '', message: { type: 'user', content: [] } }));
  tell(story, says(3, 2, 'It is not.'));
  tell(story, event(4, { type: 'selfReviewed', review }));
  tell(story, says(5, 3, 'I mend it.'));
  expect(story.said.map((said) => `${said.who}: ${said.text}`)).toEqual(['agent: It is done.', 'critic: It is not.', 'agent: I mend it.']);
  expect(wordsOf('verdict', { criteria: [], summary: 'One is missing.' })).toEqual({ kind: 'finish', verb: 'Judge the work', object: 'One is missing.', point: null });
});

test('what a subagent does has its name, and its end says what became of its commits', () => {
  const story = emptyStory();
  const says = (seq: number, turn: number, text: string) => event(seq, { type: 'turnFinished', turn, message: { type: 'assistant', blocks: [{ type: 'text', text }], verbatim: [] }, stop: { type: 'endTurn' }, usage: {}, model: 'm' });
  const subagent = { number: 1, name: 'reviewer-1', agent: 'reviewer', step: '1.1', title: 'Review', rule: 'Reviews go to reviewer.', model: 'm', tools: [], background: true, maxTurns: 9 };
  tell(story, event(1, { type: 'subagentStarted', subagent, system: '', message: { type: 'user', content: [] } }));
  tell(story, intended(2, '10001.1', 'shell', { command: 'ls' }));
  tell(story, intended(3, '2.1', 'shell', { command: 'ls' }));
  tell(story, says(4, 10_002, 'It is fine.'));
  tell(story, event(5, { type: 'subagentFinished', number: 1, outcome: { type: 'reported' }, report: 'It is fine.', work: { type: 'apart', commits: 1, why: 'conflict' } }));
  tell(story, intended(6, '20001.1', 'spawn', { title: 'Look' }));
  expect(story.steps.map((step) => step.by)).toEqual(['reviewer-1', null, 'subagent 2']);
  expect(story.said.map((said) => `${said.who} ${said.by}: ${said.text}`)).toEqual(['subagent reviewer-1: It is fine.']);
  const notes = story.rows.flatMap((row) => (row.type === 'note' ? [`${row.note.tone}: ${row.note.text}`] : []));
  expect(notes).toEqual(['lamp: reviewer-1 works beside the agent: Review (rule: Reviews go to reviewer.)', 'bad: reviewer-1 reported; 1 commit apart']);
});

test('a foreign agent tells what it does, and its model calls count where they were made', () => {
  const story = emptyStory();
  const acts = (seq: number, status: string, detail?: string) => event(seq, { type: 'engineActed', turn: 1, action: { number: 1, kind: 'execute', title: 'npm test', status, detail } });
  const calls = (seq: number, call: object) => event(seq, { type: 'engineCalledModel', turn: 1, call: { provider: 'anthropic', model: 'm', usage: { outputTokens: 9 }, tookMs: 1, ...call } });
  tell(story, event(1, { type: 'engineStarted', turn: 1, engine: 'claude-code', agent: 'Claude Agent 1', session: 's', resumed: false }));
  tell(story, event(2, { type: 'engineSaid', turn: 1, text: 'I look first.' }));
  tell(story, acts(3, 'begun'));
  tell(story, acts(4, 'done'));
  tell(story, acts(5, 'failed', '1 failed'));
  tell(story, calls(6, { status: 200 }));
  tell(story, calls(7, { status: 529 }));
  tell(story, calls(8, { refused: 'the task may use $5' }));
  tell(story, event(9, { type: 'engineCallIntended', turn: 1, call: { number: 4, provider: 'anthropic', model: 'lost', worst: { outputTokens: 300 } } }));
  tell(story, calls(10, { number: 4, model: 'lost', usage: { outputTokens: 300 } }));
  tell(story, calls(11, { number: 5, usage: { outputTokens: 0 } }));
  const rows = story.rows.map((row) => (row.type === 'note' ? `${row.note.tone}: ${row.note.text}` : row.type));
  expect(rows).toEqual([
    'lamp: Claude Agent 1 begins (claude-code)',
    'said',
    'plain: Runs npm test',
    'bad: Failed: npm test: 1 failed',
    'bad: m answered with status 529',
    'bad: A call of m was not made: the task may use $5',
    'bad: lost gave no answer that is known; it counts as the most it may have used',
    'bad: m gave no answer',
  ]);
  expect(story.turns.map((turn) => turn.model)).toEqual(['m', 'lost']);
});

test('a yes and a no to a command are told apart', () => {
  const story = emptyStory();
  tell(story, event(1, { type: 'approvalDecided', step: '4.1', decision: { type: 'approved' } }));
  tell(story, event(2, { type: 'approvalDecided', step: '5.1', decision: { type: 'denied', words: 'Leave it to me.' } }));
  expect(story.rows.map((row) => (row.type === 'note' ? row.note.text : row.type))).toEqual(['You allowed step 4.1', 'You did not allow step 5.1']);
});

test('any way of cutting and repeating a stream tells the same story', () => {
  const events = Array.from({ length: 30 }, (_, index) => event(index + 1, { type: 'personSaid', text: `word ${index}` }));
  const whole = emptyStory();
  for (const each of events) tell(whole, each);
  for (let seed = 1; seed < 40; seed += 1) {
    const story = emptyStory();
    let random = seed;
    while (story.lastSeq < events.length) {
      random = (random * 1_103_515_245 + 12_345) % 2_147_483_648;
      const from = Math.max(0, story.lastSeq - (random % 4));
      for (const each of events.slice(from, from + (random % 7) + 4)) tell(story, each);
    }
    expect(story.said).toEqual(whole.said);
  }
});

test('a step has its outcome, and its picture is a moment of the screen', () => {
  const story = emptyStory();
  const image = { artifact: 'a'.repeat(64), mediaType: 'image/png', width: 1280, height: 800 };
  tell(story, intended(1, '1.1', 'computer', { action: 'left_click', coordinate: [10, 20] }));
  expect(story.steps[0]).toMatchObject({ id: '1.1', outcome: null, verb: 'Click', point: { x: 10, y: 20 } });
  tell(story, finished(2, '1.1', { content: [{ type: 'image', image }], exitCode: 3 }));
  expect(story.steps[0]).toMatchObject({ outcome: 'done', exitCode: 3, endSeq: 2, image });
  expect(story.shots.map((shot) => shot.seq)).toEqual([2]);
  tell(story, intended(3, '1.2', 'computer', { action: 'zoom', region: [0, 0, 5, 5] }));
  tell(story, finished(4, '1.2', { content: [{ type: 'image', image }] }));
  expect(story.shots).toHaveLength(1);
});

test('an outcome without its step, and an event of a newer owner, are passed over', () => {
  const story = emptyStory();
  tell(story, finished(1, '9.9'));
  tell(story, event(2, { type: 'somethingNew', with: 'fields' }));
  expect([story.lastSeq, story.steps.length]).toEqual([2, 0]);
});

test('the newest item at a moment is found, also before the first and after the last', () => {
  const items = [{ seq: 2 }, { seq: 5 }, { seq: 9 }];
  expect([1, 2, 4, 5, 8, 100].map((seq) => lastAt(items, seq))).toEqual([-1, 0, 0, 1, 1, 2]);
  expect(asOf(items, 1)).toBe(null);
  expect(asOf(items, null)).toEqual({ seq: 9 });
  expect(upTo(items, 5)).toEqual([{ seq: 2 }, { seq: 5 }]);
});

test('time counts as it does for the limit: while the agent works, its sandbox runs, nobody has the mouse and an owner is there', () => {
  const story = emptyStory();
  let seq = 0;
  const happens = (second: number, body: Record<string, unknown>) => tell(story, { ...event((seq += 1), body), at: at(second) } as RunEvent);
  const state = (second: number, type: string) => happens(second, { type: 'stateChanged', state: type === 'paused' ? { type, reason: { type: 'person' } } : { type } });
  state(0, 'queued');
  state(10, 'preparing');
  state(100, 'working');
  state(160, 'paused');
  expect(workedMs(story, Date.parse(at(400)))).toBe(60_000);
  state(400, 'working');
  happens(410, { type: 'takenOver' });
  expect(workedMs(story, Date.parse(at(999)))).toBe(70_000);
  happens(500, { type: 'handedBack', seconds: 90, summary: '' });
  happens(505, { type: 'personSaid', text: 'Go on.' });
  happens(900, { type: 'ownerResumed', found: '' });
  expect(workedMs(story, null)).toBe(75_000);
  expect(workedMs(story, Date.parse(at(901)))).toBe(76_000);
  happens(900 + 3_600, { type: 'hostSlept', seconds: 3_600 });
  expect(workedMs(story, null)).toBe(75_000);
  happens(910 + 3_600, { type: 'connectionsRecorded' });
  happens(920 + 3_600, { type: 'rewound', checkpoint: 'checkpoint-0' });
  happens(950 + 3_600, { type: 'sandboxRestored', tookMs: 5 });
  state(960 + 3_600, 'delivering');
  expect(workedMs(story, Date.parse(at(999 + 3_600)))).toBe(105_000);
});

test('a raised limit is the limit, and what a summary cost is spent', () => {
  const story = emptyStory();
  const usage = (costMicrodollars: number) => ({ inputTokens: 1, cacheReadTokens: 2, cacheWriteTokens: 3, outputTokens: 4, costMicrodollars });
  tell(story, event(1, { type: 'runSubmitted', branch: 'b', task: { limits: { costMicrodollars: 5, turns: 1, tokens: 1, seconds: 1 } } }));
  tell(story, event(2, { type: 'turnFinished', turn: 1, message: { type: 'assistant', blocks: [], verbatim: [] }, stop: { type: 'endTurn' }, usage: usage(100), model: 'm' }));
  tell(story, event(3, { type: 'compacted', turn: 2, usage: usage(20), model: 'm' }));
  tell(story, event(4, { type: 'limitsRaised', limits: { costMicrodollars: 900, turns: 9, tokens: 9, seconds: 9 } }));
  expect(story.spent).toEqual({ costMicrodollars: 120, tokens: 20 });
  expect(story.task?.limits.costMicrodollars).toBe(900);
  expect(story.turns).toHaveLength(1);
});

test('what a run went back behind is undone from then on, also when it goes back to that once more', () => {
  const story = emptyStory();
  const write = (after: string, before: string | null) => ({ path: '/home/agent/app/a.txt', before, after });
  let seq = 0;
  const happens = (body: Record<string, unknown>) => {
    tell(story, event((seq += 1), body));
    return seq;
  };
  const edits = (step: string, after: string, before: string | null) => {
    tell(story, intended((seq += 1), step, 'edit', { action: 'create', path: 'a.txt' }, write(after, before)));
    tell(story, finished((seq += 1), step));
    return seq;
  };
  const shown = (moment: number | null) => filesAt(story.steps, moment, onRoad(story.roads, moment)).map((file) => file.after);
  edits('1.1', 'one', null);
  happens({ type: 'checkpointSaved', checkpoint: 'checkpoint-a', cause: 'asked' });
  edits('2.1', 'two', 'one');
  const undone = happens({ type: 'checkpointSaved', checkpoint: 'checkpoint-b', cause: 'beforeRewind' });
  const back = happens({ type: 'rewound', checkpoint: 'checkpoint-a' });
  expect(shown(null)).toEqual(['one']);
  expect(shown(back)).toEqual(['one']);
  // Before it, it was so.
  expect(shown(undone)).toEqual(['two']);
  edits('2.1', 'three', 'one');
  expect(shown(null)).toEqual(['three']);
  // Back to what was left: then this is undone, and the other is not.
  happens({ type: 'rewound', checkpoint: 'checkpoint-b' });
  expect(shown(null)).toEqual(['two']);
  edits('3.1', 'four', 'two');
  expect(shown(null)).toEqual(['four']);
});

test('a file is shown as the last finished step before the moment left it', () => {
  const story = emptyStory();
  const write = (before: string | null, after: string | null) => ({ path: '/home/agent/app/a.txt', before, after });
  tell(story, intended(1, '1.1', 'edit', { action: 'create', path: 'a.txt' }, write(null, 'one')));
  tell(story, finished(2, '1.1'));
  tell(story, intended(3, '1.2', 'edit', { action: 'replace', path: 'a.txt' }, write('one', 'two')));
  expect(filesAt(story.steps, null).map((file) => file.after)).toEqual(['one']);
  tell(story, finished(4, '1.2'));
  expect(filesAt(story.steps, null)[0]).toMatchObject({ before: null, after: 'two', changes: 2 });
  expect(filesAt(story.steps, 2)[0]).toMatchObject({ after: 'one', changes: 1 });
  tell(story, intended(5, '1.3', 'edit', { action: 'undo', path: 'a.txt' }, write('two', null)));
  tell(story, finished(6, '1.3'));
  expect(filesAt(story.steps, null)).toEqual([]);
});

test('what was done with the browser is told by what it was done to', () => {
  const told = (input: unknown) => {
    const words = wordsOf('browser', input);
    return `${words.kind}: ${words.verb} ${words.object}`.trim();
  };
  expect([
    told({ action: 'open', url: 'http://localhost:4173/' }),
    told({ action: 'click', reference: 'k7-4' }),
    told({ action: 'fill', reference: 'k7-4', text: 'Buy rope' }),
    told({ action: 'problems' }),
  ]).toEqual([
    'browser: Open http://localhost:4173/',
    'browser: Click in the page k7-4',
    'browser: Fill k7-4: Buy rope',
    'browser: Look for errors of the page',
  ]);
});

test('a call of a server is told by its server and tool, and its picture is no screen', () => {
  expect(wordsOf('mcp__db__query__all', { sql: 'select 1\nfrom a', limit: 5, deep: {} })).toEqual({ kind: 'server', verb: 'db · query__all', object: 'select 1', point: null });
  expect(wordsOf('mcp__db', {})).toMatchObject({ kind: 'other' });
  const story = emptyStory();
  const image = (artifact: string) => ({ type: 'image', image: { artifact, mediaType: 'image/png', width: 4, height: 3 } });
  tell(story, intended(1, '1.1', 'mcp__db__draw', {}));
  tell(story, finished(2, '1.1', { content: [image('a')] }));
  tell(story, intended(3, '1.2', 'computer', { action: 'screenshot' }));
  tell(story, finished(4, '1.2', { content: [image('b')] }));
  expect(story.byId.get('1.1')?.image?.artifact).toBe('a');
  expect(story.shots.map((shot) => shot.image.artifact)).toEqual(['b']);
});

test('servers of the repository are named, with why one was not started and what is left out', () => {
  const story = emptyStory();
  const tool = { name: 'mcp__db__query', tool: 'query', description: '', schema: {} };
  const servers = [
    { name: 'db', state: { type: 'ready', protocol: '2026-07-28' }, tools: [tool], notes: ['The tool x is left out: it is too long.'] },
    { name: 'docs', state: { type: 'refused', reason: 'it ended before it answered' } },
  ];
  tell(story, event(1, { type: 'mcpServersStarted', servers, problem: 'it is odd' }));
  const notes = story.rows.flatMap((row) => (row.type === 'note' ? [row.note.text] : []));
  expect(notes).toEqual(['.mcp.json: it is odd', 'Server db: 1 tool', 'Server db: The tool x is left out: it is too long.', 'Server docs was not started: it ended before it answered']);
});

test('input of any shape has words', () => {
  for (const input of [null, 7, 'text', [], {}, { action: 5, coordinate: ['x', 'y'], command: { nested: true } }]) {
    for (const tool of ['shell', 'edit', 'computer', 'browser', 'plan', 'evidence', 'ask', 'finish', 'a_new_tool']) {
      const words = wordsOf(tool, input);
      expect(typeof words.verb).toBe('string');
      expect(words.point).toBe(null);
    }
  }
});
