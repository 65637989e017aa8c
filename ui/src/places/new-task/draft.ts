// The task that is being written, kept in this browser until it is submitted.

import type { Draft } from '@/text/triage';

export interface Form extends Draft {
  repository: string;
  branch: string;
  model: string;
  dollars: string;
  minutes: string;
}

/** Empty limits and an empty model are those of the settings. */
export const EMPTY: Form = { what: '', criteria: '', tests: '', constraints: '', repository: '', branch: '', model: '', dollars: '', minutes: '' };

const KEY = 'nightshift.new-task';

export function readDraft(): Form {
  try {
    return { ...EMPTY, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Form>) };
  } catch {
    return EMPTY;
  }
}

export function keepDraft(form: Form): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(form));
  } catch {
    // It holds until the page is closed.
  }
}

/** Puts what is known already into the draft, for the place where it is written. */
export function startDraft(known: Partial<Form>): void {
  keepDraft({ ...readDraft(), ...known });
}
