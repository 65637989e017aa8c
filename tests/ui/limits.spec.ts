import { expect, test } from '@playwright/test';
import type { RunState, RunSummary } from '../../ui/src/backend/types';
import { limitWords, nearest, reached, suggested, usedOf } from '../../ui/src/text/limits';

const run = (used: { costMicrodollars?: number; turns?: number; agentMs?: number; tokens?: number }): RunSummary =>
  ({
    task: { limits: { costMicrodollars: 3_000_000, turns: 200, seconds: 7_200, tokens: 1_500_000 } },
    turns: used.turns ?? 0,
    usage: { costMicrodollars: used.costMicrodollars ?? 0, inputTokens: used.tokens ?? 0, cacheReadTokens: 1, cacheWriteTokens: 1, outputTokens: 1 },
    reviewing: { agentMs: used.agentMs ?? 0 },
  }) as RunSummary;

const at = (limit: string): RunState => ({ type: 'paused', reason: { type: 'limit', limit } });

test('the limit that a run is nearest to is the one that is offered', () => {
  expect(nearest(run({ costMicrodollars: 2_940_000, turns: 190 }))).toBe('costMicrodollars');
  expect(nearest(run({ costMicrodollars: 2_940_000, turns: 200 }))).toBe('turns');
  expect(nearest(run({ agentMs: 7_200_000 }))).toBe('seconds');
  expect(nearest(run({ tokens: 1_499_000 }))).toBe('tokens');
  expect(usedOf(run({ tokens: 7 }), 'tokens')).toBe(10);
});

test('what is offered is twice as much, in whole units', () => {
  expect(suggested(run({}), 'costMicrodollars')).toBe(6_000_000);
  expect(suggested(run({}), 'tokens')).toBe(3_000_000);
  expect(suggested({ ...run({}), task: { limits: { turns: 0, tokens: 1, seconds: 1, costMicrodollars: 1 } } } as RunSummary, 'turns')).toBe(1);
});

test('a reason names its limit by an argument, which is not shown', () => {
  expect(['budget', 'minutes', 'turns', 'tokens'].map((name) => reached(run({ turns: 200 }), at(`7200 seconds of work: all are used. Raise it with --${name} to go on.`)))).toEqual(['costMicrodollars', 'seconds', 'turns', 'tokens']);
  expect(reached(run({ turns: 200 }), at('the moon is full'))).toBe('turns');
  expect(limitWords('$3.00: $2.94 are spent. Raise it with --budget to go on.')).toBe('$3.00: $2.94 are spent');
  expect(limitWords('the moon is full')).toBe('the moon is full');
});

test('a summary that lags behind the state does not say which limit is reached', () => {
  const behind = { ...run({ turns: 199, costMicrodollars: 2_000_000 }), state: { type: 'working' } } as RunSummary;
  expect(reached(behind, at('$3.00: $2.94 are spent. Raise it with --budget to go on.'))).toBe('costMicrodollars');
  expect(reached({ ...behind, state: at('200 turns: all are used. Raise it with --turns to go on.') }, { type: 'working' })).toBe('turns');
});
