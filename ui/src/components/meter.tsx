import clsx from 'clsx';

/** How far a plan is: one segment for each step while they fit, one bar beyond. */
export function PlanMeter({ done, steps, active }: { done: number; steps: number; active: boolean }) {
  const label = steps === 0 ? 'No plan yet' : `${done} of ${steps} steps done`;
  if (steps === 0) return <div role="img" aria-label={label} className="h-[3px] rounded-full bg-line" />;
  if (steps > 14) {
    return (
      <div role="img" aria-label={label} className="h-[3px] overflow-hidden rounded-full bg-line">
        <div className="h-full rounded-full bg-work" style={{ width: `${(done / steps) * 100}%` }} />
      </div>
    );
  }
  return (
    <div role="img" aria-label={label} className="flex gap-[3px]">
      {Array.from({ length: steps }, (_, step) => (
        <span key={step} className={clsx('h-[3px] flex-1 rounded-full', step < done ? 'bg-work' : step === done && active ? 'animate-breathe bg-work/60' : 'bg-line')} />
      ))}
    </div>
  );
}

/** How much of a limit is used. */
export function UseMeter({ used, limit, label }: { used: number; limit: number; label: string }) {
  const share = limit > 0 ? Math.min(1, used / limit) : 0;
  return (
    <div role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={limit} aria-valuenow={Math.min(used, limit)} className="h-1 overflow-hidden rounded-full bg-line">
      <div className={clsx('h-full rounded-full', share >= 0.9 ? 'bg-bad' : share >= 0.7 ? 'bg-lamp' : 'bg-faint')} style={{ width: `${share * 100}%` }} />
    </div>
  );
}
