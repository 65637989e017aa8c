import { useCallback, useEffect, useRef, useState } from 'react';
import type { Comment } from './comments';

// A review under way survives a reload and a closed window: words a person typed are never lost. What is kept is the
// truth for all windows: each change is made to it, so none writes over what another window has added.

export interface Draft {
  summary: string;
  comments: Comment[];
  /** Comments that are still being written: their line's editor is open. */
  begun: Comment[];
}

const EMPTY: Draft = { summary: '', comments: [], begun: [] };
const keyOf = (run: string) => `nightshift.review.${run}`;

/** What is kept of a run's review; `null` where this browser keeps nothing. */
function read(run: string): Draft | null {
  let text: string | null;
  try {
    text = localStorage.getItem(keyOf(run));
  } catch {
    return null;
  }
  try {
    const kept: unknown = JSON.parse(text ?? 'null');
    if (typeof kept === 'object' && kept !== null && 'comments' in kept && Array.isArray(kept.comments)) return { ...EMPTY, ...(kept as Partial<Draft>) };
  } catch {
    // Damaged: an empty draft it is.
  }
  return EMPTY;
}

/** Keeps it; false where this browser does not. */
function keep(run: string, draft: Draft): boolean {
  try {
    if (draft.summary === '' && draft.comments.length === 0 && draft.begun.length === 0) localStorage.removeItem(keyOf(run));
    else localStorage.setItem(keyOf(run), JSON.stringify(draft));
    return true;
  } catch {
    return false;
  }
}

/** What is left of a draft once this much of it was sent: what was written meanwhile, here or in another window. */
export function withoutSent(draft: Draft, sent: Pick<Draft, 'summary' | 'comments'>): Draft {
  const ids = new Set(sent.comments.map((comment) => comment.id));
  return { ...draft, summary: draft.summary === sent.summary ? '' : draft.summary, comments: draft.comments.filter((comment) => !ids.has(comment.id)) };
}

export function useDraft(run: string): { draft: Draft; change: (to: (before: Draft) => Partial<Draft>) => void } {
  const [draft, setDraft] = useState(() => read(run) ?? EMPTY);
  // It holds until the page is closed, where the browser keeps nothing.
  const held = useRef({ draft, kept: true });
  useEffect(() => {
    const listen = ({ key }: StorageEvent) => {
      if (key !== null && key !== keyOf(run)) return;
      held.current = { draft: read(run) ?? held.current.draft, kept: true };
      setDraft(held.current.draft);
    };
    addEventListener('storage', listen);
    return () => removeEventListener('storage', listen);
  }, [run]);
  const change = useCallback(
    (to: (before: Draft) => Partial<Draft>) => {
      const before = (held.current.kept ? read(run) : null) ?? held.current.draft;
      const after = { ...before, ...to(before) };
      held.current = { draft: after, kept: keep(run, after) };
      setDraft(after);
    },
    [run],
  );
  return { draft, change };
}
