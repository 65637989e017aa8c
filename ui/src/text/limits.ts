// What a run has used of each of its limits, and which one it is nearest to. It never asks the owner.

import type { Limits, RunState, RunSummary } from '@/backend/types';

interface Unit {
  name: string;
  unit: string;
  /** How much of what the owner counts is one of what a person types. */
  of: number;
}

export const UNITS: Record<keyof Limits, Unit> = {
  costMicrodollars: { name: 'Budget', unit: 'US dollars', of: 1_000_000 },
  seconds: { name: 'Time', unit: 'minutes', of: 60 },
  turns: { name: 'Model calls', unit: 'calls', of: 1 },
  tokens: { name: 'Tokens', unit: 'million tokens', of: 1_000_000 },
};

/** What is used of a limit, in the limit's own unit. */
export function usedOf({ usage, turns, reviewing }: RunSummary, limit: keyof Limits): number {
  switch (limit) {
    case 'costMicrodollars':
      return usage.costMicrodollars;
    case 'seconds':
      return (reviewing?.agentMs ?? 0) / 1_000;
    case 'turns':
      return turns;
    case 'tokens':
      return usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens + usage.outputTokens;
  }
}

/** The argument of the command line that raises each limit: the owner's reason names it. */
const ARGUMENTS: Record<string, keyof Limits> = { budget: 'costMicrodollars', minutes: 'seconds', turns: 'turns', tokens: 'tokens' };

/** Why a run stands at a limit, without what only the command line has. */
export function limitWords(reason: string): string {
  return reason.replace(/\s*Raise it with --[a-z]+ to go on\.?\s*$/, '').replace(/\.$/, '');
}

/** The limit that a run stands at in `state`, which may be newer than its summary: the one the reason names, or the one of which most is used. */
export function reached(run: RunSummary, state: RunState): keyof Limits {
  const reason = state.type === 'paused' && state.reason.type === 'limit' ? state.reason.limit : '';
  return ARGUMENTS[/--([a-z]+) to go on/.exec(reason)?.[1] ?? ''] ?? nearest(run);
}

/** The limit of which most is used. */
export function nearest(run: RunSummary): keyof Limits {
  const share = (limit: keyof Limits) => usedOf(run, limit) / Math.max(1, run.task.limits[limit]);
  return (Object.keys(UNITS) as (keyof Limits)[]).reduce((most, each) => (share(each) > share(most) ? each : most));
}

/** What a limit might be raised to: twice as much, in whole units. */
export function suggested(run: RunSummary, limit: keyof Limits): number {
  const { of } = UNITS[limit];
  return Math.max(1, Math.ceil((run.task.limits[limit] * 2) / of)) * of;
}
