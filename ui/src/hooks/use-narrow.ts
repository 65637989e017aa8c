import { useSyncExternalStore } from 'react';

/** Below this width three columns leave too little for the one in the middle. */
const query = matchMedia('(max-width: 1119px)');

/** Whether the window is too narrow for three columns. */
export function useNarrow(): boolean {
  return useSyncExternalStore(
    (listener) => {
      query.addEventListener('change', listener);
      return () => query.removeEventListener('change', listener);
    },
    () => query.matches,
  );
}
