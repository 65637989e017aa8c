import { useSyncExternalStore } from 'react';

/** One timer for all clocks of the page, so that they tick together. */
const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | null = null;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0 && timer !== null) {
      clearInterval(timer);
      timer = null;
    }
  };
}

const seconds = () => now;
const minutes = () => Math.floor(now / 15_000) * 15_000;

/** The time, renewed each second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, seconds);
}

/** The time, renewed four times a minute: enough for "5 min ago". */
export function useCoarseNow(): number {
  return useSyncExternalStore(subscribe, minutes);
}
