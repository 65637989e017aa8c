// What came of a self-review, in words.

import type { CriterionVerdict, SelfReview } from '@/backend/types';

/** The outcome in a few words; a critic's reason is the model's and is shown as foreign text elsewhere. */
export function outcomeWords(review: SelfReview): string {
  const { outcome, verdicts } = review;
  switch (outcome.type) {
    case 'passed':
      return verdicts.some((found) => found.verdict === 'notVerifiable') ? 'nothing found, and not everything could be verified' : 'every criterion is met';
    case 'sentBack':
      return 'not everything is met: back to the agent';
    case 'disagreed':
      return 'critic and agent disagree';
    case 'noVerdict':
      return 'it came to no verdict';
    case 'brokenOff':
      return 'broken off, because you wrote';
    default:
      return 'over';
  }
}

export function outcomeTone(review: SelfReview): 'plain' | 'good' | 'bad' | 'lamp' {
  switch (review.outcome.type) {
    case 'passed':
      return 'good';
    case 'sentBack':
    case 'noVerdict':
      return 'lamp';
    case 'disagreed':
      return 'bad';
    default:
      return 'plain';
  }
}

const VERDICTS: Record<CriterionVerdict['verdict'], string> = { met: 'met', notMet: 'not met', notVerifiable: 'not verifiable' };

export function verdictWords(found: CriterionVerdict): string {
  return VERDICTS[found.verdict];
}

/** The critic's step that shows it, if there is one. */
export function stepOf(found: CriterionVerdict): string | null {
  return found.evidence?.step ?? null;
}
