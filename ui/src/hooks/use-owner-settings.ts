import { useQuery, useQueryClient } from '@tanstack/react-query';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import type { Settings } from '@/backend/types';
import { tellDone, tellProblem } from '@/components/toasts';
import { useState } from 'react';

const KEY = ['settings'];

/** What the owner is set to, and which keys it has. */
export function useOwnerSettings() {
  return useQuery({ queryKey: KEY, queryFn: ({ signal }) => backend.settings(signal) });
}

/** Whether something kept is not used yet. */
export function isPending(settings: Settings): boolean {
  return settings.pending || settings.keys.some((key) => key.pending);
}

/** How long the owner may take to be back, in milliseconds. */
const BACK_WITHIN = 20_000;

/** Starts the owner again and waits until it answers with what is kept now. */
export function useRestart(): { busy: boolean; restart: () => Promise<void> } {
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const restart = async () => {
    setBusy(true);
    try {
      await backend.restart();
      const until = Date.now() + BACK_WITHIN;
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        try {
          const settings = await backend.settings();
          if (!isPending(settings)) {
            client.setQueryData(KEY, settings);
            break;
          }
        } catch (thrown) {
          if (!problemOf(thrown).passes) throw thrown;
        }
        if (Date.now() > until) throw new Error('The owner is not back yet. Its log, owner.log in the data folder, tells why.');
      }
      tellDone('The owner is back with the new settings');
      await client.invalidateQueries();
    } catch (thrown) {
      tellProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return { busy, restart };
}

/** Puts an answer of the owner in the place of what was known. */
export function useTakeSettings(): (settings: Settings) => void {
  const client = useQueryClient();
  return (settings) => client.setQueryData(KEY, settings);
}
