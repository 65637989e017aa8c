import type { ReactNode } from 'react';

/** A setting: its name and what it means on the left, how it is set on the right. */
export function Line({ name, help, children }: { name: ReactNode; help?: ReactNode; children?: ReactNode }) {
  return (
    <div className="flex flex-wrap items-center gap-x-6 gap-y-2 px-4 py-3">
      <div className="min-w-56 flex-1">
        <p className="font-medium">{name}</p>
        {help !== undefined && <p className="text-small text-faint">{help}</p>}
      </div>
      {children}
    </div>
  );
}

/** Lines in one box. */
export function Lines({ children }: { children: ReactNode }) {
  return <div className="divide-y divide-line rounded-lg border border-line bg-raised">{children}</div>;
}
