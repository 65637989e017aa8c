import { useQueryClient } from '@tanstack/react-query';
import clsx from 'clsx';
import { Check, RotateCcw, Trash2, X } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import { Button } from '@/components/button';
import { Confirm } from '@/components/confirm';
import { Empty, Waiting } from '@/components/empty';
import { Place } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { tellDone } from '@/components/toasts';
import { duration, repositoryName } from '@/text/format';
import { DOTS } from './environments';
import { type Phase, phasesOf, progressOf } from './phases';
import { Planned } from './set-up';
import { type Log, useEnvironment, useLog } from './use-environments';

/** One environment: its phases, its log as it is written, and what can be done when a phase failed. */
export function EnvironmentPlace({ id }: { id: string }) {
  const { data, error, refetch } = useEnvironment(id);
  const log = useLog(data);
  const client = useQueryClient();
  const [, go] = useLocation();
  const [busy, setBusy] = useState(false);
  const [removing, setRemoving] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const retry = async () => {
    setBusy(true);
    setProblem(null);
    try {
      client.setQueryData(['environments', id], await backend.retryEnvironment(id));
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  if (data === undefined) {
    const refused = error === null ? null : problemOf(error);
    return (
      <Place title="Environment" name="Environment">
        {refused === null && <Waiting rows={6} />}
        {refused !== null && refused.status === 404 && (
          <Empty title="There is no such environment" action={<Button onClick={() => go('/environments')}>All environments</Button>}>
            No environment’s id begins with <code className="foreign">{id}</code>.
          </Empty>
        )}
        {refused !== null && refused.status !== 404 && (
          <div className="p-6">
            <ProblemBox problem={refused} retry={() => void refetch()} />
          </div>
        )}
      </Place>
    );
  }
  const failed = data.state.type === 'failed' ? data.state.failure : null;
  return (
    <Place
      name={`Environment of ${repositoryName(data.repository)}`}
      scrolls={false}
      title={
        <div className="flex min-w-0 items-center gap-2.5">
          <span aria-hidden className={clsx('size-2.5 shrink-0 rounded-full', DOTS[data.state.type])} />
          <h1 className="foreign truncate text-large font-semibold">{repositoryName(data.repository)}</h1>
          <span className="foreign truncate text-small text-faint" title={data.repository}>
            {data.branch} at {data.commit.slice(0, 8)}
          </span>
        </div>
      }
      actions={
        <>
          {failed !== null && (
            <Button look="main" busy={busy} icon={<RotateCcw aria-hidden className="size-3.5" />} onClick={() => void retry()}>
              Try again from here
            </Button>
          )}
          {data.state.type !== 'removed' && <Button aria-label="Remove this environment" icon={<Trash2 aria-hidden className="size-3.5" />} onClick={() => setRemoving(true)} />}
        </>
      }
    >
      <div className="flex h-full min-h-0">
        <aside aria-label="Phases" className="w-[300px] shrink-0 space-y-4 overflow-y-auto border-r border-line p-4 2xl:w-[380px]">
          <p role="status" className={clsx('foreign', failed === null ? 'text-soft' : 'text-bad')}>
            {progressOf(data)}
          </p>
          <ol className="space-y-0.5" aria-label="Phases">
            {phasesOf(data).map((phase, index) => (
              <PhaseLine key={index} of={phase} />
            ))}
          </ol>
          <details className="border-t border-line pt-3">
            <summary className="rounded-sm font-medium">How it is set up</summary>
            <div className="pt-2">
              <Planned of={data} />
            </div>
          </details>
          <Link href="/environments" className="inline-block rounded-sm text-small text-soft hover:text-ink">
            All environments
          </Link>
        </aside>
        <section aria-label="Log" className="flex min-w-0 flex-1 flex-col">
          {(failed !== null || problem !== null) && (
            <div className="shrink-0 space-y-2 border-b border-line p-3">
              {failed !== null && (
                <ProblemBox problem={failed.error}>
                  {failed.command != null && (
                    <p className="pt-1 font-mono text-small">
                      {failed.command}
                      {failed.exitCode != null && <span className="text-bad"> · exit {failed.exitCode}</span>}
                    </p>
                  )}
                  <p className="pt-1 text-soft">The machine is kept as it is; trying again goes on from this phase.</p>
                </ProblemBox>
              )}
              {problem !== null && <ProblemBox problem={problem} />}
            </div>
          )}
          <LogView log={log} busy={data.state.type === 'settingUp'} />
        </section>
      </div>
      <Confirm
        open={removing}
        onClose={() => setRemoving(false)}
        title={`Remove the environment of ${repositoryName(data.repository)}?`}
        action="Remove it"
        danger
        act={async () => {
          await backend.removeEnvironment(id);
          await client.invalidateQueries({ queryKey: ['environments'] });
          tellDone('Removed');
          go('/environments');
        }}
      >
        Tasks of this repository start from the plain template then. Sandboxes that started from it go on.
      </Confirm>
    </Place>
  );
}

const MARKS: Record<Phase['state'], string> = { done: 'bg-good-soft text-good', active: 'animate-breathe bg-work-soft text-work', failed: 'bg-bad-soft text-bad', pending: 'border border-line-strong text-faint' };
const NAMES: Record<Phase['state'], string> = { done: 'done', active: 'under way', failed: 'failed', pending: 'to come' };

function PhaseLine({ of: phase }: { of: Phase }) {
  return (
    <li className="flex gap-2.5 py-1">
      <span className={clsx('mt-px flex size-[18px] shrink-0 items-center justify-center rounded-full', MARKS[phase.state])}>
        {phase.state === 'done' && <Check aria-hidden className="size-3 stroke-[2.6]" />}
        {phase.state === 'failed' && <X aria-hidden className="size-3 stroke-[2.6]" />}
        {phase.state === 'active' && <span aria-hidden className="size-1.5 rounded-full bg-work" />}
        <span className="sr-only">{NAMES[phase.state]}</span>
      </span>
      <span className="foreign min-w-0 flex-1">
        <span className={clsx('block', phase.state === 'pending' ? 'text-faint' : 'text-ink')}>{phase.name}</span>
        {phase.command !== '' && phase.command !== phase.name && <code className="block truncate text-tiny text-faint" title={phase.command}>{phase.command}</code>}
      </span>
      {phase.tookMs !== null && <span className="figures shrink-0 text-small text-faint">{duration(phase.tookMs)}</span>}
    </li>
  );
}

/** The log, followed while nobody looks back. */
function LogView({ log, busy }: { log: Log; busy: boolean }) {
  const scroller = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    const element = scroller.current;
    if (element !== null && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [log.text]);
  return (
    <div
      ref={scroller}
      tabIndex={0}
      role="region"
      aria-label="What was printed"
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        atEnd.current = scrollHeight - scrollTop - clientHeight < 60;
      }}
      className="min-h-0 flex-1 overflow-y-auto bg-well px-4 py-3 focus-visible:outline-offset-[-2px]"
    >
      {log.problem !== null && <ProblemBox problem={log.problem} />}
      {log.cut && <p className="pb-2 text-small text-faint">The beginning is left out here; `nightshift environment log` prints all of it.</p>}
      {log.text === '' && log.problem === null ? (
        <p className="text-faint">{busy ? 'Nothing was printed yet. A sandbox is made first, and what runs in it appears here.' : 'Nothing was printed.'}</p>
      ) : (
        <pre className="foreign font-mono text-[12px] leading-[1.15rem] whitespace-pre-wrap">{log.text}</pre>
      )}
    </div>
  );
}

