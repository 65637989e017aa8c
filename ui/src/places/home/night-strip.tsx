import clsx from 'clsx';
import { useMemo } from 'react';
import { Link } from 'wouter';
import type { RunSummary, StateName } from '@/backend/types';
import { stateWords } from '@/components/state-mark';
import { useCoarseNow } from '@/hooks/use-now';
import { timeOfDay, titleOf } from '@/text/format';
import { hoursBetween, layNight } from './night';

const HOURS = 12;
const LANES = 7;
const LANE = 9;

const FILLS: Partial<Record<StateName, string>> = {
  working: 'bg-work',
  preparing: 'bg-work/60',
  delivering: 'bg-work',
  waiting: 'bg-lamp',
  inReview: 'bg-lamp',
  paused: 'bg-faint',
  merged: 'bg-merged/80',
  failed: 'bg-bad',
  closed: 'bg-line-strong',
  cancelled: 'bg-line-strong',
};

/** The last twelve hours: one bar for each run, now at the right edge. */
export function NightStrip({ runs, leftAt }: { runs: readonly RunSummary[]; leftAt: number }) {
  const now = useCoarseNow();
  const begin = now - HOURS * 3_600_000;
  const { bars, left } = useMemo(() => layNight(runs, begin, now, LANES), [runs, begin, now]);
  const lanes = Math.max(3, ...bars.map((bar) => bar.lane + 1));
  const share = (at: number) => `${((at - begin) / (now - begin)) * 100}%`;
  const wasHere = leftAt > begin && leftAt < now;
  return (
    // The lists below say the same in words; this is the picture of it.
    <div aria-hidden className="relative select-none">
      <div className="relative border-b border-line" style={{ height: lanes * LANE + 6 }}>
        {hoursBetween(begin, now, 12).map((at) => (
          <span key={at} className="absolute top-0 bottom-0 w-px bg-line/70" style={{ left: share(at) }} />
        ))}
        {wasHere && <span className="absolute top-0 bottom-0 w-px bg-lamp" style={{ left: share(leftAt) }} />}
        {bars.map((bar) => (
          <Link
            key={bar.run.run}
            href={bar.state === 'inReview' ? `/review/${bar.run.run}` : `/runs/${bar.run.run}`}
            tabIndex={-1}
            title={`${titleOf(bar.run.task.description)} · ${stateWords(bar.state).name}`}
            className={clsx('absolute h-[5px] rounded-full transition-[height,margin] duration-75 hover:-mt-px hover:h-[7px]', FILLS[bar.state] ?? 'bg-line-strong', bar.state === 'working' && 'rounded-r-none')}
            style={{ left: `${bar.from * 100}%`, width: `${(bar.to - bar.from) * 100}%`, bottom: bar.lane * LANE + 5 }}
          />
        ))}
      </div>
      <div className="figures relative h-5 text-tiny text-faint">
        {hoursBetween(begin, now, 12)
          .filter((at) => (at - begin) / (now - begin) < 0.95 && (!wasHere || Math.abs(at - leftAt) / (now - begin) > 0.05))
          .map((at) => (
            <span key={at} className="absolute top-1 -translate-x-1/2" style={{ left: share(at) }}>
              {timeOfDay(at)}
            </span>
          ))}
        {wasHere && (
          <span className="absolute top-1 -translate-x-1/2 whitespace-nowrap text-lamp-text" style={{ left: share(leftAt) }}>
            you left
          </span>
        )}
        <span className="absolute top-1 right-0">now</span>
        {left > 0 && <span className="absolute top-1 left-0">+{left}</span>}
      </div>
    </div>
  );
}
