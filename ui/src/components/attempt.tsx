import clsx from 'clsx';
import { ChevronDown, Columns3 } from 'lucide-react';
import { DropdownMenu } from 'radix-ui';
import { useState } from 'react';
import { useLocation } from 'wouter';
import type { RunSummary } from '@/backend/types';
import { useAttempts } from '@/hooks/use-attempts';
import { attemptName, attemptOf, ordinal } from '@/text/attempts';
import { Key } from './key';
import { StateMark, stateWords } from './state-mark';

/** Which attempt a run is, quietly; nothing where it is the only one. */
export function AttemptNote({ run }: { run: Pick<RunSummary, 'attempt' | 'forkedFrom'> }) {
  const words = attemptOf(run);
  if (words === '') return null;
  return (
    <span className="figures shrink-0 rounded-sm bg-hover px-1 text-tiny whitespace-nowrap text-faint">
      <span className="sr-only">attempt </span>
      {words}
    </span>
  );
}

/** A place in the ranking; the first one stands out. */
export function RankMark({ rank }: { rank: number | null | undefined }) {
  if (rank == null) return null;
  return (
    <span className={clsx('figures shrink-0 rounded-full px-2 text-tiny leading-5 font-medium', rank === 1 ? 'bg-good-soft text-good' : 'bg-hover text-soft')}>
      <span className="sr-only">Ranked </span>
      {ordinal(rank)}
    </span>
  );
}

/** Where an attempt is looked at: its review once there is one. */
export function attemptPlace(run: RunSummary): string {
  const reviewed = run.reviewing?.pullRequest != null;
  return reviewed ? `/review/${run.run}` : `/runs/${run.run}`;
}

const ITEM = 'flex h-8 cursor-default items-center gap-2.5 rounded-md px-2.5 outline-none data-[highlighted]:bg-hover';

/** Which attempt this run is, and the way to the others. */
export function AttemptMenu({ run }: { run: RunSummary }) {
  const [, go] = useLocation();
  const [open, setOpen] = useState(false);
  // The others are asked for when somebody wants to see them.
  const { data, error } = useAttempts(open ? run.task.id : null);
  const words = attemptOf(run);
  if (words === '') return null;
  return (
    <DropdownMenu.Root open={open} onOpenChange={setOpen} modal={false}>
      <DropdownMenu.Trigger className="figures flex h-6 shrink-0 items-center gap-1 rounded-md border border-line px-2 text-small whitespace-nowrap text-soft hover:bg-hover hover:text-ink data-[state=open]:bg-hover">
        Attempt {words}
        <ChevronDown aria-hidden className="size-3.5 text-faint" />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content align="start" sideOffset={6} collisionPadding={8} className="z-40 w-80 max-w-[92vw] rounded-lg border border-line-strong bg-raised p-1.5 shadow-float">
          {data === undefined && <p className="px-2.5 py-2 text-faint">{error === null ? 'Looking at the others' : 'The other attempts could not be looked up.'}</p>}
          {data?.attempts.map((each) => {
            const here = each.run.run === run.run;
            return (
              <DropdownMenu.Item key={each.run.run} className={clsx(ITEM, here && 'font-medium')} onSelect={() => go(attemptPlace(each.run))}>
                <StateMark state={each.run.state.type} />
                <span className="min-w-0 flex-1 truncate">
                  {attemptName(each, data.attempts)}
                  {here && <span className="font-normal text-faint"> (this one)</span>}
                </span>
                <RankMark rank={each.rank} />
                <span className={clsx('text-small', stateWords(each.run.state.type).tone)}>{stateWords(each.run.state.type).name}</span>
              </DropdownMenu.Item>
            );
          })}
          <DropdownMenu.Separator className="my-1 h-px bg-line" />
          <DropdownMenu.Item className={ITEM} onSelect={() => go(`/attempts/${run.task.id}`)}>
            <Columns3 aria-hidden className="size-3.5 text-faint" />
            <span className="flex-1">Side by side</span>
            <Key name="a" />
          </DropdownMenu.Item>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
