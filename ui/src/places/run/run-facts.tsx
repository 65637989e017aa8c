import { Popover } from 'radix-ui';
import { UseMeter } from '@/components/meter';
import { useNow } from '@/hooks/use-now';
import { type Story, workedMs } from '@/story/story';
import { clock, count, duration, money, tokens } from '@/text/format';

/** Time and money at a glance; what is used of each limit on request. `current`: an owner is there, and its time goes on. */
export function RunFacts({ story, current }: { story: Story; current: boolean }) {
  const now = useNow();
  const { task } = story;
  if (task === null) return null;
  const worked = workedMs(story, current ? now : null);
  const { costMicrodollars: cost, tokens: used } = story.spent;
  const { limits } = task;
  const turns = story.turns.length;
  return (
    <Popover.Root>
      <Popover.Trigger className="figures flex h-7 items-center gap-3 rounded-md px-2 text-small text-soft hover:bg-hover hover:text-ink">
        <span className="sr-only">Time, cost and limits:</span>
        <span>{clock(worked)}</span>
        <span>{money(cost)}</span>
        <span className="hidden 2xl:inline">{count(story.steps.length)} steps</span>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content align="end" sideOffset={6} aria-label="Limits" className="figures z-40 w-72 space-y-3 rounded-lg border border-line-strong bg-raised p-4 shadow-float">
          <Limit name="Money" used={cost} limit={limits.costMicrodollars} show={money} />
          <Limit name="Working time" used={worked / 1_000} limit={limits.seconds} show={(seconds) => duration(seconds * 1_000)} />
          <Limit name="Model calls" used={turns} limit={limits.turns} show={count} />
          <Limit name="Tokens" used={used} limit={limits.tokens} show={tokens} />
          <dl className="space-y-1 border-t border-line pt-3 text-small">
            {task.engine != null && <Fact name="Engine" value={task.engine} />}
            <Fact name="Model" value={story.turns.at(-1)?.model ?? task.model} />
            <Fact name="Branch" value={story.branch} />
            <Fact name="Starts from" value={`${task.baseBranch} at ${task.baseCommit.slice(0, 8)}`} />
            <Fact name="Steps" value={count(story.steps.length)} />
          </dl>
          <p className="text-small text-faint">At a limit the run pauses and asks; nothing is lost.</p>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

function Limit({ name, used, limit, show }: { name: string; used: number; limit: number; show: (value: number) => string }) {
  return (
    <div className="space-y-1">
      <div className="flex justify-between text-small">
        <span>{name}</span>
        <span className="text-faint">
          {show(used)} of {show(limit)}
        </span>
      </div>
      <UseMeter used={used} limit={limit} label={name} />
    </div>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div className="flex gap-3">
      <dt className="w-20 shrink-0 text-faint">{name}</dt>
      <dd className="foreign min-w-0 flex-1 font-mono text-tiny leading-[1.125rem]">{value}</dd>
    </div>
  );
}
