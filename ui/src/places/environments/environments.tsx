import clsx from 'clsx';
import { Blocks, Box, Plus } from 'lucide-react';
import { useState } from 'react';
import { Link } from 'wouter';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import type { EnvironmentSummary } from '@/backend/types';
import { Button } from '@/components/button';
import { Waiting } from '@/components/empty';
import { Place, Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { tellDone } from '@/components/toasts';
import { useListKeys } from '@/hooks/use-list-keys';
import { useCoarseNow } from '@/hooks/use-now';
import { ago, repositoryName } from '@/text/format';
import { useDoctor } from '../doctor/doctor';
import { progressOf } from './phases';
import { SetUp } from './set-up';
import { useEnvironments } from './use-environments';

/** What sandboxes start from: the template, and each repository's environment. */
export function Environments() {
  const { data, error, refetch } = useEnvironments();
  const [asking, setAsking] = useState(false);
  const list = useListKeys<HTMLDivElement>();
  const none = data !== undefined && data.length === 0;
  return (
    <Place
      title="Environments"
      name="Environments"
      actions={
        !none &&
        data !== undefined && (
          <Button look="main" icon={<Plus aria-hidden className="size-3.5" />} onClick={() => setAsking(true)}>
            Set up a repository
          </Button>
        )
      }
    >
      <div ref={list} className="mx-auto max-w-[820px] space-y-7 px-5 pt-5 pb-10">
        <Section title="Repositories" {...(data === undefined ? {} : { count: data.length })}>
          {error !== null && data === undefined && <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />}
          {data === undefined && error === null && <Waiting rows={3} />}
          {none && (
            <div className="flex items-start gap-3.5 rounded-lg border border-dashed border-line p-4">
              <Blocks aria-hidden className="mt-0.5 size-5 shrink-0 stroke-[1.5] text-faint" />
              <div className="min-w-0 flex-1 space-y-1">
                <p className="font-medium">No repository is set up</p>
                <p className="text-soft">Tasks install what they need each time. Set a repository up once, and its tasks begin with everything installed, the checks seen to be green, and the development server running.</p>
              </div>
              <Button look="main" onClick={() => setAsking(true)}>
                Set up a repository
              </Button>
            </div>
          )}
          {data !== undefined && data.length > 0 && (
            <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-raised">
              {data.map((environment) => (
                <EnvironmentRow key={environment.environment} of={environment} />
              ))}
            </ul>
          )}
        </Section>
        <Template />
      </div>
      <SetUp open={asking} onClose={() => setAsking(false)} />
    </Place>
  );
}

export const DOTS: Record<EnvironmentSummary['state']['type'], string> = { ready: 'bg-good', settingUp: 'animate-breathe bg-work', failed: 'bg-bad', removed: 'bg-line-strong' };

function EnvironmentRow({ of: environment }: { of: EnvironmentSummary }) {
  const now = useCoarseNow();
  return (
    <li>
      <Link href={`/environments/${environment.environment}`} data-row className="flex h-14 items-center gap-3 px-4 hover:bg-hover focus-visible:outline-offset-[-2px]">
        <span aria-hidden className={clsx('size-2 shrink-0 rounded-full', DOTS[environment.state.type])} />
        <span className="min-w-0 flex-1">
          <span className="foreign flex items-baseline gap-2">
            <span className="truncate font-medium">{repositoryName(environment.repository)}</span>
            <span className="truncate text-small text-faint">
              {environment.branch} at {environment.commit.slice(0, 8)}
            </span>
          </span>
          <span className={clsx('foreign block truncate text-small', environment.state.type === 'failed' ? 'text-bad' : 'text-soft')}>{progressOf(environment)}</span>
        </span>
        <span className="shrink-0 text-small text-faint">{ago(Date.parse(environment.updatedAt), now)}</span>
      </Link>
    </li>
  );
}

/** The desktop that every sandbox and every environment is copied from. */
function Template() {
  const doctor = useDoctor();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const template = doctor.data?.checks.find((check) => check.name === 'template');
  const ready = template?.outcome.type === 'good';
  const prepare = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await backend.prepareTemplate();
      tellDone('The template is ready');
      await doctor.refetch();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  const found = template === undefined ? '' : template.outcome.type === 'bad' ? template.outcome.error.message : template.outcome.found;
  return (
    <Section title="Template">
      <div className="flex items-start gap-3.5 rounded-lg border border-line bg-raised p-4">
        <Box aria-hidden className="mt-0.5 size-5 shrink-0 stroke-[1.5] text-faint" />
        <div className="min-w-0 flex-1 space-y-1">
          <p className="font-medium">{doctor.data === undefined ? 'Looking' : ready ? 'Ready' : 'Not made yet'}</p>
          {found !== '' && <p className="foreign text-soft">{found}</p>}
          <p className="text-soft">A desktop with a browser open, booted once and frozen. Each sandbox is a copy of it that shares its memory, so a task starts in seconds.</p>
          {problem !== null && <ProblemBox problem={problem} retry={() => void prepare()} />}
        </div>
        <Button busy={busy} onClick={() => void prepare()}>
          {busy ? 'Making it' : ready ? 'Check it' : 'Make it now'}
        </Button>
      </div>
      {busy && <p className="mt-2 text-small text-faint">The first time this takes several minutes. It goes on when you leave this place.</p>}
    </Section>
  );
}
