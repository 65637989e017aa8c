import clsx from 'clsx';
import { Blocks, Bot, CircleHelp, GitPullRequest, History, House, Plus, Settings, Stethoscope } from 'lucide-react';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import { Tip } from '@/components/tip';

interface Way {
  href: string;
  name: string;
  icon: ReactNode;
  shortcut: string;
  count?: number;
}

function RailLink({ way, current }: { way: Way; current: boolean }) {
  return (
    <Tip text={way.name} shortcut={way.shortcut} side="right">
      <Link
        href={way.href}
        aria-current={current ? 'page' : undefined}
        className={clsx(
          'relative flex h-[50px] w-full flex-col items-center justify-center gap-[3px] rounded-md text-[10.5px] leading-none font-medium transition-colors duration-75 [&_svg]:size-[18px] [&_svg]:stroke-[1.7]',
          current ? 'bg-hover text-ink' : 'text-faint hover:bg-hover hover:text-ink',
        )}
      >
        {current && <span aria-hidden className="absolute top-3 bottom-3 -left-1.5 w-[3px] rounded-full bg-lamp" />}
        <span className="relative">
          {way.icon}
          {way.count !== undefined && way.count > 0 && (
            <span aria-hidden className="figures absolute -top-1.5 left-3 flex h-[15px] min-w-[15px] items-center justify-center rounded-full bg-lamp px-1 text-[9.5px] font-semibold text-lamp-ink ring-2 ring-well">
              {way.count > 99 ? '99+' : way.count}
            </span>
          )}
        </span>
        {way.name}
        {way.count !== undefined && way.count > 0 && <span className="sr-only">, {way.count} waiting</span>}
      </Link>
    </Tip>
  );
}

/** The way to every place. */
export function Rail({ waits, reviews, onHelp }: { waits: number; reviews: number; onHelp: () => void }) {
  const [path] = useLocation();
  const top: Way[] = [
    { href: '/', name: 'Home', icon: <House aria-hidden />, shortcut: 'g h', count: waits },
    { href: '/review', name: 'Review', icon: <GitPullRequest aria-hidden />, shortcut: 'g r', count: reviews },
    { href: '/history', name: 'History', icon: <History aria-hidden />, shortcut: 'g i' },
    { href: '/environments', name: 'Environments', icon: <Blocks aria-hidden />, shortcut: 'g e' },
    { href: '/agents', name: 'Agents', icon: <Bot aria-hidden />, shortcut: 'g a' },
  ];
  const bottom: Way[] = [
    { href: '/doctor', name: 'Doctor', icon: <Stethoscope aria-hidden />, shortcut: 'g d' },
    { href: '/settings', name: 'Settings', icon: <Settings aria-hidden />, shortcut: 'g s' },
  ];
  const current = (href: string) => (href === '/' ? path === '/' || path.startsWith('/runs') : path.startsWith(href) || (href === '/review' && path.startsWith('/attempts')));
  return (
    <nav aria-label="Places" className="flex w-[88px] shrink-0 flex-col gap-0.5 border-r border-line bg-well px-1.5 py-2">
      <Tip text="New task" shortcut="n" side="right">
        <Link
          href="/new"
          aria-label="New task"
          aria-current={path === '/new' ? 'page' : undefined}
          className="mb-1.5 flex h-[42px] w-full flex-col items-center justify-center gap-px rounded-md bg-lamp text-[10.5px] leading-none font-semibold text-lamp-ink hover:brightness-105"
        >
          <Plus aria-hidden className="size-[17px] stroke-[2.2]" />
          New
        </Link>
      </Tip>
      {top.map((way) => (
        <RailLink key={way.href} way={way} current={current(way.href)} />
      ))}
      <div className="flex-1" />
      <button type="button" onClick={onHelp} aria-label="Keyboard shortcuts" className="flex h-9 w-full items-center justify-center rounded-md text-faint hover:bg-hover hover:text-ink">
        <CircleHelp aria-hidden className="size-[17px] stroke-[1.7]" />
      </button>
      {bottom.map((way) => (
        <RailLink key={way.href} way={way} current={current(way.href)} />
      ))}
    </nav>
  );
}
