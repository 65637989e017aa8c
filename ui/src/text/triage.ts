// Hints while a task is written: whether it is fit for the background and what is missing. Deterministic, and only hints;
// the owner has the last word when the task is submitted.

export interface Draft {
  what: string;
  criteria: string;
  tests: string;
  constraints: string;
}

export interface Hint {
  /** `missing` would make the result worse, `keep` says that a person should stay with it, `good` is as it should be. */
  tone: 'missing' | 'keep' | 'good';
  text: string;
}

export type Verdict = 'empty' | 'background' | 'afterAnswers' | 'keep';

const SENSITIVE: [RegExp, string][] = [
  [/\b(auth|login|password|oauth|sso|session tokens?|permissions?)\b/i, 'sign-in and permissions'],
  [/\b(crypto|encrypt\w*|certificate|tls|signing keys?)\b/i, 'cryptography'],
  [/\b(migrat\w+|schema change|drop table)\b/i, 'a data migration'],
  [/\b(payment|billing|invoice)s?\b/i, 'payments'],
];
const ARCHITECTURE = /\b(re-?architect\w*|rewrite|redesign|whole code ?base|everywhere|everything)\b/i;
const VAGUE = /\b(improve|clean up|make (it )?better|optimi[sz]e|refactor)\b/i;

/** The criteria as a list: one for each line. */
export function criteriaOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/^\s*(?:[-*+]|\d+[.)])\s*/, '').trim())
    .filter((line) => line !== '');
}

/** Judges a draft. */
export function triage(draft: Draft): { verdict: Verdict; hints: Hint[] } {
  const what = draft.what.trim();
  if (what === '') return { verdict: 'empty', hints: [] };
  const hints: Hint[] = [];
  const criteria = criteriaOf(draft.criteria);
  if (what.split(/\s+/).length < 4) hints.push({ tone: 'missing', text: 'Say a little more: what is to change, and where.' });
  if (criteria.length === 0) hints.push({ tone: 'missing', text: 'No acceptance criteria: the agent decides itself when it is done.' });
  else hints.push({ tone: 'good', text: `${criteria.length} acceptance ${criteria.length === 1 ? 'criterion' : 'criteria'}; each gets evidence.` });
  if (criteria.length > 8) hints.push({ tone: 'keep', text: 'More than eight criteria: split it into several tasks.' });
  if (draft.tests.trim() === '') hints.push({ tone: 'missing', text: 'No tests named: the agent looks for the ones that fit.' });
  else hints.push({ tone: 'good', text: 'Tests to run are named.' });
  if (VAGUE.test(what) && criteria.length === 0) hints.push({ tone: 'missing', text: 'It asks for "better": say how one sees that it is.' });
  const all = `${what}\n${draft.criteria}`;
  if (ARCHITECTURE.test(what)) hints.push({ tone: 'keep', text: 'It sounds cross-cutting. Decide on the approach together first, or split it.' });
  for (const [pattern, name] of SENSITIVE) {
    if (pattern.test(all)) hints.push({ tone: 'keep', text: `It touches ${name}: review it with more care than usual.` });
  }
  const keep = hints.some((hint) => hint.tone === 'keep');
  const missing = hints.some((hint) => hint.tone === 'missing');
  return { verdict: keep ? 'keep' : missing ? 'afterAnswers' : 'background', hints };
}

/** Writes the draft as the description that is submitted. */
export function describe(draft: Draft): string {
  const section = (title: string, body: string) => (body.trim() === '' ? [] : [`## ${title}\n\n${body.trim()}`]);
  const criteria = criteriaOf(draft.criteria).map((line) => `- ${line}`).join('\n');
  return [
    draft.what.trim(),
    ...section('Acceptance criteria', criteria),
    ...section('Tests to run', draft.tests),
    ...section('Constraints', draft.constraints),
  ].join('\n\n');
}

/** The acceptance criteria of a description written by `describe`, or by hand in the same form. */
export function criteriaIn(description: string): string[] {
  const section = /^##\s*acceptance criteria\s*$([\s\S]*?)(?=^##\s|(?![\s\S]))/im.exec(description);
  return section === null ? [] : criteriaOf(section[1] ?? '');
}
