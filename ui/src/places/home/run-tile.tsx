import { Monitor } from 'lucide-react';
import { Link } from 'wouter';
import type { RunSummary } from '@/backend/types';
import { AttemptNote } from '@/components/attempt';
import { PlanMeter } from '@/components/meter';
import { StateChip, stateReason } from '@/components/state-mark';
import { useNow } from '@/hooks/use-now';
import { clock, money, repositoryName, titleOf } from '@/text/format';
import { Thumbnail } from '../run/thumbnail';

/** A run under way: its screen, how far it is, what it costs. */
export function RunTile({ run }: { run: RunSummary }) {
  const { glance } = run;
  const title = titleOf(run.task.description);
  const doing = run.state.type === 'working' ? glance.doing || 'Reading and planning' : stateReason(run.state) || 'The branch becomes a pull request';
  return (
    <li className="min-w-0">
      <Link href={`/runs/${run.run}`} data-row className="group block overflow-hidden rounded-lg border border-line bg-raised hover:border-line-strong">
        <div className="relative aspect-[16/10] bg-screen">
          {run.sandbox !== null && run.sandbox !== undefined ? (
            <Thumbnail run={run.run} still={glance.screen ?? null} />
          ) : (
            <span className="flex h-full items-center justify-center text-faint">
              <Monitor aria-hidden className="size-6 stroke-[1.3]" />
            </span>
          )}
          {run.state.type !== 'working' && (
            <span className="absolute top-2 left-2">
              <StateChip state={run.state.type} />
            </span>
          )}
        </div>
        <div className="space-y-1.5 px-3 pt-2.5 pb-2.5">
          <PlanMeter done={glance.planDone} steps={glance.planSteps} active={run.state.type === 'working'} />
          <p className="foreign truncate pt-0.5 font-medium">{title}</p>
          <p className="foreign truncate text-small text-soft">{doing}</p>
          <p className="figures flex gap-3 text-small text-faint">
            <span className="flex min-w-0 flex-1 items-center gap-2">
              <span className="foreign truncate">{repositoryName(run.task.repository)}</span>
              <AttemptNote run={run} />
            </span>
            <span>{money(run.usage.costMicrodollars)}</span>
            <Elapsed since={run.task.createdAt} />
          </p>
        </div>
      </Link>
    </li>
  );
}

function Elapsed({ since }: { since: string }) {
  const now = useNow();
  return <span>{clock(now - Date.parse(since))}</span>;
}
