// Several attempts at one task, in words.

import type { AttemptSummary, CheckTally, OthersClosed, RunSummary, VerdictTally } from '@/backend/types';
import { count } from './format';

/** Which attempt a run is, as lists show it: `2 of 3`; empty where it is the only one. */
export function attemptOf({ attempt, forkedFrom }: Pick<RunSummary, 'attempt' | 'forkedFrom'>): string {
  if (attempt == null) return '';
  return forkedFrom == null ? `${attempt.number} of ${attempt.of}` : `fork of ${attempt.number}`;
}

/** What an attempt is called among those of its task. */
export function attemptName({ number, forkOf }: Pick<AttemptSummary, 'number' | 'forkOf'>, all: readonly AttemptSummary[]): string {
  const origin = forkOf == null ? undefined : all.find((each) => each.run.run === forkOf);
  return origin === undefined ? `Attempt ${number}` : `Attempt ${number}, a fork of ${origin.number}`;
}

const ENDINGS: Record<string, string> = { one: 'st', two: 'nd', few: 'rd', other: 'th' };
const ORDINALS = new Intl.PluralRules('en', { type: 'ordinal' });

/** A place in a ranking: `1st`. */
export function ordinal(place: number): string {
  return `${place}${ENDINGS[ORDINALS.select(place)] ?? 'th'}`;
}

/** What the critic found of the criteria. */
export function criticWords({ met, notMet, of }: VerdictTally): string {
  return `${met} of ${of} met${notMet > 0 ? `, ${notMet} not` : ''}`;
}

/** How the checks ended. */
export function checkWords({ passed, failed }: CheckTally): string {
  return failed > 0 ? `${count(failed)} of ${count(passed + failed)} failed` : `${count(passed)} passed`;
}

/** What became of the other attempts, in a sentence. Those that were over before need none. */
export function closedWords({ others }: OthersClosed): string {
  const done = (type: string) => others.filter((other) => other.outcome.type === type).length;
  const closed = done('pullRequestClosed');
  const cancelled = done('cancelled');
  const parts = [...(closed > 0 ? [`${closed} closed`] : []), ...(cancelled > 0 ? [`${cancelled} cancelled`] : [])];
  if (parts.length === 0) return done('refused') > 0 ? '' : 'The other attempts were over before';
  return `Other attempts: ${parts.join(', ')}; their branches are kept`;
}
