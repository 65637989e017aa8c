import { defaultRangeExtractor, type Range } from '@tanstack/react-virtual';
import { type FocusEvent, useCallback, useState } from 'react';

/** The rows of a virtualised list that are on the page: those in view, and the held one with its neighbours. */
export function rowsKept(range: Range, held: number | null): number[] {
  const rows = defaultRangeExtractor(range);
  if (held === null) return rows;
  const near = [held - 1, held, held + 1].filter((index) => index >= 0 && index < range.count && !rows.includes(index));
  return near.length === 0 ? rows : [...near, ...rows].sort((one, other) => one - other);
}

interface HeldRow {
  rangeExtractor: (range: Range) => number[];
  /** For the element around the rows, which say their number by `data-index`. */
  holder: { onFocus: (event: FocusEvent<HTMLElement>) => void; onBlur: (event: FocusEvent<HTMLElement>) => void };
}

/** Keeps the row that has the focus on the page however far its list is scrolled away, so that no key loses its place. */
export function useHeldRow(): HeldRow {
  const [held, setHeld] = useState<number | null>(null);
  const rangeExtractor = useCallback((range: Range) => rowsKept(range, held), [held]);
  const onFocus = useCallback(({ target }: FocusEvent<HTMLElement>) => {
    const index = Number(target.closest<HTMLElement>('[data-index]')?.dataset['index'] ?? Number.NaN);
    setHeld(Number.isNaN(index) ? null : index);
  }, []);
  const onBlur = useCallback(({ currentTarget, relatedTarget, target }: FocusEvent<HTMLElement>) => {
    // A window that is left keeps its focus for when it is come back to.
    if (!currentTarget.contains(relatedTarget) && document.activeElement !== target) setHeld(null);
  }, []);
  return { rangeExtractor, holder: { onFocus, onBlur } };
}
