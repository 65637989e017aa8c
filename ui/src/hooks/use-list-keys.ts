import { type RefObject, useRef } from 'react';
import { useKeys } from './use-keys';

/** Moves the focus with j and k over everything marked `data-row` inside; Enter then opens it, as it is a link or a button. */
export function useListKeys<T extends HTMLElement>(): RefObject<T | null> {
  const list = useRef<T>(null);
  const move = (by: 1 | -1) => {
    const rows = [...(list.current?.querySelectorAll<HTMLElement>('[data-row]') ?? [])];
    if (rows.length === 0) return;
    const current = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
    const next = current < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, current + by));
    rows[next]?.focus();
    rows[next]?.scrollIntoView({ block: 'nearest' });
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  return list;
}
