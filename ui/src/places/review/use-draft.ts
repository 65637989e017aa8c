import { useCallback, useState } from 'react';
import type { Comment } from './comments';

// A review under way survives a reload and a closed window: words a person typed are never lost.

interface Draft {
  summary: string;
  comments: Comment[];
}

const EMPTY: Draft = { summary: '', comments: [] };
const keyOf = (run: string) => `nightshift.review.${run}`;

function read(run: string): Draft {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(keyOf(run)) ?? 'null');
    if (typeof kept === 'object' && kept !== null && 'comments' in kept && Array.isArray(kept.comments)) return { ...EMPTY, ...(kept as Draft) };
  } catch {
    // Blocked or damaged: an empty draft it is.
  }
  return EMPTY;
}

export function useDraft(run: string): { draft: Draft; change: (to: Partial<Draft>) => void; clear: () => void } {
  const [draft, setDraft] = useState(() => read(run));
  const change = useCallback(
    (to: Partial<Draft>) =>
      setDraft((before) => {
        const after = { ...before, ...to };
        try {
          localStorage.setItem(keyOf(run), JSON.stringify(after));
        } catch {
          // It holds until the page is closed.
        }
        return after;
      }),
    [run],
  );
  const clear = useCallback(() => {
    localStorage.removeItem(keyOf(run));
    setDraft(EMPTY);
  }, [run]);
  return { draft, change, clear };
}
