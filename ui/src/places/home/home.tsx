import { lazy, Suspense, useMemo, useState } from 'react';
import { Link } from 'wouter';
import { problemOf } from '@/backend/problem';
import type { RunSummary } from '@/backend/types';
import { Waiting } from '@/components/empty';
import { Place, Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { isRunning, waitsForYou } from '@/components/state-mark';
import { useListKeys } from '@/hooks/use-list-keys';
import { useFinished, useUnfinished } from '@/hooks/use-runs';
import { usePreferences } from '@/hooks/use-settings';
import { timeOfDay } from '@/text/format';
import { NightStrip } from './night-strip';
import { FinishedRow, PausedRow, QueueRow } from './rows';
import { RunTile } from './run-tile';
import { WaitRow } from './wait-row';

// Only who is new sees it.
const FirstSteps = lazy(() => import('../welcome/first-steps').then((module) => ({ default: module.FirstSteps })));

/** More than a person answers in one sitting; the rest comes on request, so that a long list costs nothing. */
const WAITING_SHOWN = 40;
const QUEUE_SHOWN = 12;
const FINISHED_SHOWN = 15;

/** Questions first: they block work; then pauses; reviews after them, the oldest first. */
function byUrgency(one: RunSummary, other: RunSummary): number {
  const rank = (run: RunSummary) => (run.state.type === 'waiting' ? 0 : run.state.type === 'paused' ? 1 : 2);
  return rank(one) - rank(other) || Date.parse(one.updatedAt) - Date.parse(other.updatedAt);
}

export function Home() {
  const unfinished = useUnfinished();
  const finished = useFinished();
  const { leftAt } = usePreferences();
  const list = useListKeys<HTMLDivElement>();
  const [shown, setShown] = useState(WAITING_SHOWN);
  const runs = unfinished.data;
  const parts = useMemo(() => {
    const all = runs ?? [];
    return {
      waiting: all.filter((run) => waitsForYou(run.state)).sort(byUrgency),
      running: all.filter((run) => isRunning(run.state)),
      queued: all.filter((run) => run.state.type === 'queued').reverse(),
      rests: all.filter((run) => run.state.type === 'paused' && run.state.reason.type === 'person'),
    };
  }, [runs]);
  const over = finished.data ?? [];
  const since = over.filter((run) => Date.parse(run.updatedAt) >= leftAt).sort((one, other) => Date.parse(other.updatedAt) - Date.parse(one.updatedAt));
  /** Whether a person was away so shortly that the time of day names the moment. */
  const leftLately = leftAt > Date.now() - 20 * 3_600_000;
  const error = unfinished.error ?? finished.error;
  const loaded = runs !== undefined && finished.data !== undefined;

  if (loaded && runs.length === 0 && over.length === 0) {
    return (
      <Place title="Welcome" name="Welcome">
        <Suspense fallback={null}>
          <FirstSteps />
        </Suspense>
      </Place>
    );
  }
  return (
    <Place
      title="The night"
      name={parts.waiting.length > 0 ? `(${parts.waiting.length}) Home` : 'Home'}
      bar={loaded && <p className="text-faint">{summaryOf(parts.waiting.length, parts.running.length, parts.queued.length)}</p>}
    >
      <div ref={list} className="mx-auto max-w-[1480px] space-y-7 px-5 pt-4 pb-10">
        {error !== null && <ProblemBox problem={problemOf(error)} retry={() => void Promise.all([unfinished.refetch(), finished.refetch()])} />}
        <NightStrip runs={[...(runs ?? []), ...over]} leftAt={leftAt} />
        {!loaded && error === null && <Waiting rows={6} />}
        {loaded && (
          <div className="grid grid-cols-1 items-start gap-x-7 gap-y-7 min-[1180px]:grid-cols-[minmax(0,1fr)_minmax(300px,38%)]">
            <div className="min-w-0 space-y-7">
              <Section title="Waits for you" count={parts.waiting.length}>
                {parts.waiting.length === 0 ? (
                  <p className="rounded-lg border border-dashed border-line px-4 py-3 text-faint">Nothing. Questions, pauses and reviews appear here.</p>
                ) : (
                  <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-raised">
                    {parts.waiting.slice(0, shown).map((run) => (
                      <WaitRow key={run.run} run={run} />
                    ))}
                    {parts.waiting.length > shown && (
                      <li className="px-3.5 py-2">
                        <button type="button" data-row onClick={() => setShown(shown + 200)} className="rounded-sm text-soft hover:text-ink">
                          {parts.waiting.length - shown} more
                        </button>
                      </li>
                    )}
                  </ul>
                )}
              </Section>
              <Section title={leftLately ? `Finished since you left at ${timeOfDay(leftAt)}` : 'Finished lately'} count={since.length} aside={<Link href="/history" className="hover:text-ink">History</Link>}>
                {since.length === 0 ? (
                  <p className="rounded-lg border border-dashed border-line px-4 py-3 text-faint">{leftLately ? 'Nothing since then.' : 'Nothing. What is merged, closed or failed appears here.'}</p>
                ) : (
                  <ul className="divide-y divide-line/70 overflow-hidden rounded-lg border border-line">
                    {since.slice(0, FINISHED_SHOWN).map((run) => (
                      <FinishedRow key={run.run} run={run} />
                    ))}
                  </ul>
                )}
              </Section>
            </div>
            <div className="min-w-0 space-y-7">
              <Section title="Running" count={parts.running.length}>
                {parts.running.length === 0 ? (
                  <p className="rounded-lg border border-dashed border-line px-4 py-3 text-faint">No agent works right now.</p>
                ) : (
                  <ul className="grid grid-cols-[repeat(auto-fill,minmax(212px,1fr))] gap-3">
                    {parts.running.map((run) => (
                      <RunTile key={run.run} run={run} />
                    ))}
                  </ul>
                )}
              </Section>
              {(parts.queued.length > 0 || parts.rests.length > 0) && (
                <Section title="Queue" count={parts.queued.length + parts.rests.length} aside={parts.queued.length > QUEUE_SHOWN && <Link href="/history?state=queued" className="hover:text-ink">All {parts.queued.length}</Link>}>
                  <ul className="divide-y divide-line/70 overflow-hidden rounded-lg border border-line">
                    {parts.queued.slice(0, QUEUE_SHOWN).map((run, index) => (
                      <QueueRow key={run.run} run={run} number={index + 1} />
                    ))}
                    {parts.rests.map((run) => (
                      <PausedRow key={run.run} run={run} />
                    ))}
                  </ul>
                </Section>
              )}
            </div>
          </div>
        )}
      </div>
    </Place>
  );
}

function summaryOf(waiting: number, running: number, queued: number): string {
  const parts = [waiting === 0 ? 'nothing waits for you' : waiting === 1 ? 'one thing waits for you' : `${waiting} things wait for you`, running === 0 ? 'nothing runs' : `${running} running`, ...(queued === 0 ? [] : [`${queued} queued`])];
  const text = parts.join(', ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
