// Which evidence belongs to which acceptance criterion. Evidence that names one by its number belongs there. Another claim
// goes to the criterion it shares most words with, if those are enough. What fits none stands on its own: nothing is hidden.

import type { Evidence } from '@/backend/types';

export interface Group {
  claim: string;
  isCriterion: boolean;
  evidence: Evidence[];
}

const LITTLE_WORDS = new Set(['the', 'a', 'an', 'is', 'are', 'and', 'or', 'of', 'to', 'in', 'on', 'it', 'its', 'with', 'that', 'this', 'for', 'by', 'as', 'at', 'be', 'after', 'before', 'when', 'all', 'still', 'has', 'have']);

function words(text: string): Set<string> {
  const found = text.toLowerCase().match(/[\p{L}\p{N}]{2,}/gu) ?? [];
  // Plurals and simple endings are cut, so that "toggles" meets "toggle".
  return new Set(found.filter((word) => !LITTLE_WORDS.has(word)).map((word) => word.replace(/(?:ing|ed|es|s)$/, '')));
}

/** How alike two sentences are, from 0 to 1: shared words against those of the shorter one. */
export function likeness(one: string, other: string): number {
  const left = words(one);
  const right = words(other);
  const smaller = Math.min(left.size, right.size);
  if (smaller === 0) return 0;
  let shared = 0;
  for (const word of left) if (right.has(word)) shared += 1;
  return shared / smaller;
}

const ENOUGH = 0.5;

/** Groups evidence under criteria, in the order of the criteria. */
export function matchCriteria(criteria: readonly string[], evidence: readonly Evidence[]): Group[] {
  const groups: Group[] = criteria.map((claim) => ({ claim, isCriterion: true, evidence: [] }));
  const others: Group[] = [];
  for (const each of evidence) {
    let best: Group | null = groups[(each.criterion ?? 0) - 1] ?? null;
    let most = ENOUGH;
    for (const group of best === null ? groups : []) {
      const score = likeness(group.claim, each.claim);
      if (score >= most) {
        most = score + 1e-9;
        best = group;
      }
    }
    if (best !== null) best.evidence.push(each);
    else {
      const known = others.find((group) => group.claim === each.claim);
      if (known !== undefined) known.evidence.push(each);
      else others.push({ claim: each.claim, isCriterion: false, evidence: [each] });
    }
  }
  return [...groups, ...others];
}

/** All screenshots among evidence, in order, each once. */
export function picturesOf(evidence: readonly Evidence[]): { image: Extract<Evidence['source'], { type: 'screenshot' }>['image']; label: string; step: string }[] {
  const seen = new Set<string>();
  return evidence.flatMap(({ source }) => {
    if (source.type !== 'screenshot' || seen.has(`${source.step}${source.image.artifact}`)) return [];
    seen.add(`${source.step}${source.image.artifact}`);
    return [{ image: source.image, label: source.label, step: source.step }];
  });
}
