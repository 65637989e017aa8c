import type { UserError } from './types';

/** An answer of the owner that is an error, or no answer at all. */
export class Problem extends Error {
  /** HTTP status; 0 when the owner did not answer. */
  readonly status: number;
  readonly code: UserError['code'];
  /** What to do next; may be empty. */
  readonly hint: string;

  constructor(status: number, error: UserError) {
    super(error.message);
    this.name = 'Problem';
    this.status = status;
    this.code = error.code;
    this.hint = error.hint;
  }

  /** Whether asking again later may help. */
  get passes(): boolean {
    return this.status === 0 || this.status >= 500;
  }
}

/** The problem of an owner that cannot be reached. */
export function unreachable(): Problem {
  return new Problem(0, {
    code: 'ownerUnreachable',
    message: 'The owner does not answer.',
    hint: 'It is asked again every few seconds. Started by hand: nightshift serve.',
  });
}

/** Any thrown thing as a problem that can be shown. */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new Problem(-1, { code: 'internal', message, hint: 'This is a defect of the app; reloading may help.' });
}

/** A message of the API as a sentence: it begins in lower case there, because the command line puts it after "error:". */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}
