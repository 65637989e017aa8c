import type { ReactNode } from 'react';
import type { Plan, SelfReview } from '@/backend/types';
import { Waiting } from '@/components/empty';
import { SelfReviewList } from '@/components/self-review';
import type { Row } from '@/story/story';
import { PlanPanel } from './plan-panel';
import { Timeline } from './timeline';

interface Props {
  run: string;
  plan: Plan | null;
  selfReview: SelfReview | null;
  criteria: readonly string[];
  rows: readonly Row[];
  /** Whether an event led to the moment shown. */
  counts: (seq: number) => boolean;
  version: number;
  caughtUp: boolean;
  moment: number | null;
  onMoment: (seq: number | null) => void;
  /** What leads to another column where there is room for one only. */
  top: ReactNode;
}

/** What the agent means to do, what a critic found, and everything that happened. */
export function StepsColumn({ run, plan, selfReview, criteria, rows, counts, version, caughtUp, moment, onMoment, top }: Props) {
  return (
    <aside aria-label="Plan and timeline" className="flex w-[272px] shrink-0 flex-col border-r border-line 2xl:w-[320px]">
      {top}
      <h2 className="px-4 pt-3 pb-1 font-semibold">Plan</h2>
      <div className="max-h-[34%] shrink-0 overflow-y-auto" tabIndex={0} role="region" aria-label="Plan">
        <PlanPanel plan={plan} />
      </div>
      {selfReview !== null && (
        <>
          <h2 className="border-t border-line px-4 pt-2.5 pb-1 font-semibold">Self-review</h2>
          <div className="max-h-[30%] shrink-0 overflow-y-auto px-4 pb-2" tabIndex={0} role="region" aria-label="Self-review">
            <SelfReviewList run={run} criteria={criteria} review={selfReview} />
          </div>
        </>
      )}
      <h2 className="border-t border-line px-4 pt-2.5 pb-1 font-semibold">Timeline</h2>
      {!caughtUp && rows.length === 0 ? <Waiting rows={6} /> : <Timeline rows={rows} counts={counts} version={version} moment={moment} onMoment={onMoment} />}
    </aside>
  );
}
