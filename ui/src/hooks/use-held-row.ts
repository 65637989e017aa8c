import { defaultRangeExtractor, type Range } from '@tanstack/react-virtual';
import { type FocusEvent, useCallback, useMemo, useState } from 'react';

/** What a row is known by, wherever it stands in its list. */
type Key = string | number;

interface Held {
  key: Key;
  /** Where it was when it was taken hold of. */
  index: number;
}

/** The rows of a virtualised list that are on the page: those in view, and the held one with its neighbours. */
export function rowsKept(range: Range, held: number | null): number[] {
  const rows = defaultRangeExtractor(range);
  if (held === null) return rows;
  const near = [held - 1, held, held + 1].filter((index) => index >= 0 && index < range.count && !rows.includes(index));
  return near.length === 0 ? rows : [...near, ...rows].sort((one, other) => one - other);
}

/** Where the held row is now: rows come and go before it. Nowhere if it has left the list. */
export function placeOfHeld({ key, index }: Held, count: number, keyOf: (index: number) => Key): number | null {
  // Mostly where it was, or a few rows on.
  for (let apart = 0; apart <= Math.max(index, count - 1 - index); apart += 1) {
    for (const at of [index + apart, index - apart]) if (at >= 0 && at < count && keyOf(at) === key) return at;
  }
  return null;
}

interface HeldRow {
  rangeExtractor: (range: Range) => number[];
  /** For the element around the rows, which say their number by `data-index`. */
  holder: { onFocus: (event: FocusEvent<HTMLElement>) => void; onBlur: (event: FocusEvent<HTMLElement>) => void };
}

/**
 * Keeps the row that has the focus on the page however far its list is scrolled away, and whatever comes before it in the
 * list meanwhile, so that no key loses its place. `keyOf` is another function only when the list is another.
 */
export function useHeldRow(count: number, keyOf: (index: number) => Key): HeldRow {
  const [held, setHeld] = useState<Held | null>(null);
  const place = useMemo(() => (held === null ? null : placeOfHeld(held, count, keyOf)), [held, count, keyOf]);
  const rangeExtractor = useCallback((range: Range) => rowsKept(range, place), [place]);
  const onFocus = useCallback(
    ({ target }: FocusEvent<HTMLElement>) => {
      const index = Number(target.closest<HTMLElement>('[data-index]')?.dataset['index'] ?? Number.NaN);
      setHeld(Number.isNaN(index) ? null : { key: keyOf(index), index });
    },
    [keyOf],
  );
  const onBlur = useCallback(({ currentTarget, relatedTarget, target }: FocusEvent<HTMLElement>) => {
    // A window that is left keeps its focus for when it is come back to.
    if (!currentTarget.contains(relatedTarget) && document.activeElement !== target) setHeld(null);
  }, []);
  return { rangeExtractor, holder: { onFocus, onBlur } };
}
