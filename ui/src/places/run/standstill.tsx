import type { Ref } from 'react';
import type { RunState, RunSummary } from '@/backend/types';
import { ProblemBox } from '@/components/problem-box';
import { RaiseLimit } from '@/components/raise-limit';
import { limitWords } from '@/text/limits';

/** Why a run stands still, and what to do about it; nothing for one that goes on. `ref` is where a limit is raised. */
export function Standstill({ state, summary, ref }: { state: RunState | null; summary: RunSummary | null; ref?: Ref<HTMLDivElement> }) {
  const problem = state?.type === 'failed' ? state.reason.error : state?.type === 'paused' && state.reason.type === 'trouble' ? state.reason.error : null;
  if (problem !== null) {
    return (
      <div className="shrink-0 border-b border-line p-3">
        <ProblemBox problem={problem} />
      </div>
    );
  }
  if (state?.type !== 'paused' || state.reason.type !== 'limit' || summary === null) return null;
  return (
    <div ref={ref} className="shrink-0 space-y-2 border-b border-lamp/40 bg-lamp-soft px-4 py-3">
      <p className="foreign">
        <span className="font-medium">A limit of the task is reached ({limitWords(state.reason.limit)}).</span> Nothing is lost.
      </p>
      <RaiseLimit key={state.reason.limit} run={summary} state={state} />
    </div>
  );
}
