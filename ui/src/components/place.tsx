import clsx from 'clsx';
import { type ReactNode, useEffect } from 'react';

/** The frame of a place: a bar with what it is and what can be done, and the content below. One that is only read, and may have
 * nothing in it to press, is itself gone to by keyboard, which then scrolls it. */
export function Place({ title, bar, actions, children, scrolls = true, reads = false, name }: { title: ReactNode; bar?: ReactNode; actions?: ReactNode; children: ReactNode; scrolls?: boolean; reads?: boolean; name: string }) {
  useEffect(() => {
    document.title = `${name} · Nightshift`;
  }, [name]);
  return (
    <main className="flex h-full min-w-0 flex-1 flex-col">
      <header className="flex h-12 shrink-0 items-center gap-3 border-b border-line bg-page pr-4 pl-5">
        <div className="flex min-w-0 flex-1 items-center gap-3">
          {typeof title === 'string' ? <h1 className="truncate text-large font-semibold">{title}</h1> : title}
          {bar}
        </div>
        {actions !== undefined && <div className="flex shrink-0 items-center gap-2">{actions}</div>}
      </header>
      <div {...(reads ? { tabIndex: 0, role: 'region', 'aria-label': name } : {})} className={clsx('min-h-0 flex-1 outline-offset-[-2px]', scrolls ? 'overflow-y-auto' : 'overflow-hidden')}>
        {children}
      </div>
    </main>
  );
}

/** A titled part of a place. */
export function Section({ title, count, aside, children, className }: { title: ReactNode; count?: number; aside?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={className}>
      <div className="mb-2 flex h-6 items-center gap-2">
        <h2 className="font-semibold">{title}</h2>
        {count !== undefined && <span className="figures text-small text-faint">{count}</span>}
        {aside !== undefined && <div className="ml-auto flex items-center gap-2 text-small text-faint">{aside}</div>}
      </div>
      {children}
    </section>
  );
}
