import clsx from 'clsx';
import { Check, Minus } from 'lucide-react';
import type { Plan, PlanStepState } from '@/backend/types';

const NAMES: Record<PlanStepState, string> = { pending: 'not begun', active: 'under way', done: 'done', dropped: 'dropped' };

function Mark({ state }: { state: PlanStepState }) {
  return (
    <span
      className={clsx(
        'mt-[3px] flex size-3.5 shrink-0 items-center justify-center rounded-full',
        state === 'done' && 'bg-good-soft text-good',
        state === 'active' && 'border-[1.5px] border-work',
        state === 'pending' && 'border-[1.5px] border-line-strong',
        state === 'dropped' && 'text-faint',
      )}
    >
      {state === 'done' && <Check aria-hidden className="size-2.5 stroke-[3]" />}
      {state === 'active' && <span className="size-1.5 animate-breathe rounded-full bg-work" />}
      {state === 'dropped' && <Minus aria-hidden className="size-3" />}
      <span className="sr-only">{NAMES[state]}</span>
    </span>
  );
}

/** What the agent means to do, as it stands at the moment shown. */
export function PlanPanel({ plan }: { plan: Plan | null }) {
  if (plan === null) return <p className="px-4 py-2 text-faint">No plan yet.</p>;
  return (
    <ol className="px-4 pb-2">
      {plan.steps.map((step, index) => (
        <li key={index} className="flex gap-2 py-[3px]">
          <Mark state={step.state} />
          <span className={clsx('foreign min-w-0', step.state === 'done' && 'text-soft', step.state === 'dropped' && 'text-faint line-through', step.state === 'active' && 'font-medium')}>{step.title}</span>
        </li>
      ))}
    </ol>
  );
}
