// The task that is being written, kept in this browser until it is submitted.

import type { ApprovalPolicy } from '@/backend/types';
import type { Draft } from '@/text/triage';

export interface Form extends Draft {
  repository: string;
  branch: string;
  /** Which agent works on it, by its name; what the settings say if empty. */
  engine: string;
  /** The model; what the settings say if empty, or the engine's own where that is of another provider. */
  model: string;
  dollars: string;
  minutes: string;
  /** How many runs attempt it, as a number. */
  attempts: string;
  /** How often a critic looks at the work, as a number; what the settings say if empty. */
  rounds: string;
  /** Which commands need a yes; what the settings say if empty. */
  approval: '' | ApprovalPolicy;
}

/** What is empty of limits, engine, model, self-review and approval is what the settings say. */
export const EMPTY: Form = { what: '', criteria: '', tests: '', constraints: '', repository: '', branch: '', engine: '', model: '', dollars: '', minutes: '', attempts: '1', rounds: '', approval: '' };

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

/** Tells of a draft that was changed in another window; returns what ends that. */
export function watchDraft(changed: (form: Form) => void): () => void {
  const listen = ({ key }: StorageEvent) => {
    if (key === null || key === KEY) changed(readDraft());
  };
  addEventListener('storage', listen);
  return () => removeEventListener('storage', listen);
}

/** Puts what is known already into the draft, for the place where it is written. */
export function startDraft(known: Partial<Form>): void {
  keepDraft({ ...readDraft(), ...known });
}
