import type { ReactNode } from 'react';

/** What a place says when there is nothing in it yet: why, and what to do. */
export function Empty({ icon, title, children, action }: { icon?: ReactNode; title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="mx-auto flex max-w-96 flex-col items-center gap-2 px-6 py-12 text-center">
      {icon !== undefined && <div className="mb-1 text-faint [&_svg]:size-6 [&_svg]:stroke-[1.5]">{icon}</div>}
      <p className="text-large font-medium">{title}</p>
      {children !== undefined && <div className="text-soft">{children}</div>}
      {action !== undefined && <div className="pt-2">{action}</div>}
    </div>
  );
}

/** Grey bars where text will be, of the height the text will have. */
export function Waiting({ rows = 3, className = '' }: { rows?: number; className?: string }) {
  return (
    <div role="status" aria-label="Loading" className={className}>
      {Array.from({ length: rows }, (_, row) => (
        <div key={row} className="flex h-9 items-center gap-3 px-3">
          <span className="size-2.5 rounded-full bg-line" />
          <span className={`h-2.5 rounded-sm bg-line ${['w-2/5', 'w-3/5', 'w-1/3'][row % 3] ?? ''}`} />
        </div>
      ))}
    </div>
  );
}
