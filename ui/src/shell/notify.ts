import { useEffect } from 'react';
import type { RunSummary } from '@/backend/types';
import { waitsForYou } from '@/components/state-mark';
import { currentPreferences } from '@/hooks/use-settings';
import { watchRuns } from '@/hooks/use-runs';
import { titleOf } from '@/text/format';
import { inDesktopWindow } from './desktop';

/** What a change of a run is worth telling: it needs you, is finished, or failed; nothing else. */
export function newsOf(before: RunSummary | undefined, after: RunSummary): { title: string; href: string } | null {
  if (before === undefined || before.state.type === after.state.type) return null;
  const run = `/runs/${after.run}`;
  if (after.state.type === 'inReview') return { title: 'Ready for review', href: `/review/${after.run}` };
  if (after.state.type === 'waiting') return { title: 'Asks you', href: run };
  if (after.state.type === 'failed') return { title: 'Failed', href: run };
  if (waitsForYou(after.state)) return { title: 'Paused, needs you', href: run };
  return null;
}

/** Shows the system's notifications where a person allowed them and does not look at the app. The desktop window has its own. */
export function useNotifications(go: (href: string) => void): void {
  useEffect(
    () =>
      inDesktopWindow ? undefined : watchRuns((before, after) => {
        const news = newsOf(before, after);
        if (news === null || !currentPreferences().notifications || document.hasFocus()) return;
        if (!('Notification' in window) || Notification.permission !== 'granted') return;
        const shown = new Notification(news.title, { body: titleOf(after.task.description), tag: after.run });
        shown.onclick = () => {
          window.focus();
          go(news.href);
          shown.close();
        };
      }),
    [go],
  );
}
