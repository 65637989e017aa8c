import clsx from 'clsx';
import { Check } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { Link } from 'wouter';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import type { Check as DoctorCheck } from '@/backend/types';
import { Button } from '@/components/button';
import { Words } from '@/components/words';
import { ProblemBox } from '@/components/problem-box';
import { isPending, useOwnerSettings } from '@/hooks/use-owner-settings';
import { useDoctor } from '../doctor/doctor';
import { KeyRow } from '../settings/keys';
import { Pending } from '../settings/owner-settings';
import { FirstTask } from './first-task';

/** From nothing to a first task: what this machine needs, in order, each mended where it is shown. */
export function FirstSteps() {
  const doctor = useDoctor();
  const { data: settings } = useOwnerSettings();
  const [making, setMaking] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const checks = doctor.data?.checks ?? [];
  const named = (...names: string[]) => checks.filter((check) => names.includes(check.name));
  const model = named('model', 'key', 'model key');
  const template = named('template');
  const machine = checks.filter((check) => !model.includes(check) && !template.includes(check));
  const loaded = doctor.data !== undefined;
  const good = (list: readonly DoctorCheck[]) => loaded && list.every((check) => check.outcome.type !== 'bad');
  const templateReady = loaded && template.length > 0 && template.every((check) => check.outcome.type === 'good');
  const keys = settings?.keys.filter((key) => key.purpose !== 'github' && key.purpose !== 'webhooks' && !key.purpose.startsWith('mcp: ')) ?? [];
  const keyless = settings !== undefined && keys.every((key) => key.place === 'none');
  // What is kept and not used yet says so itself; what the doctor found is older.
  const waits = settings !== undefined && isPending(settings);
  const make = async () => {
    setMaking(true);
    setProblem(null);
    try {
      await backend.prepareTemplate();
      await doctor.refetch();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setMaking(false);
    }
  };
  return (
    <div className="mx-auto max-w-[720px] px-6 pt-10 pb-12">
      <h2 className="text-display font-semibold tracking-[-0.01em]">Describe it, leave, come back to a pull request</h2>
      <p className="mt-2 max-w-[58ch] text-large text-soft">Each task gets an agent with a Linux desktop of its own on this machine. It changes code, runs the tests, tries the app with mouse and screen, and hands you the work with the proof in it.</p>
      {doctor.error !== null && (
        <div className="mt-6">
          <ProblemBox problem={problemOf(doctor.error)} retry={() => void doctor.refetch()} />
        </div>
      )}
      <ol className="mt-8 space-y-1">
        <Step number={1} done={good(machine)} title="This machine" busy={!loaded}>
          {good(machine) ? <p>It can run sandboxes. <Link href="/doctor" className="text-work hover:underline">{machine.some((check) => check.outcome.type === 'weak') ? 'What could be better' : 'What was looked at'}</Link></p> : <Bad checks={machine} />}
        </Step>
        <Step number={2} done={good(model)} title="A model" busy={!loaded}>
          {good(model) ? <p>The provider's key is there.</p> : keyless ? <p>The agent thinks with a model of a provider, whose key you give here: it is made in the provider's console.</p> : !waits && <Bad checks={model} />}
          {settings !== undefined && (!good(model) || waits) && loaded && (
            <>
              <ul className="divide-y divide-line rounded-lg border border-line bg-raised">
                {keys.map((key) => (
                  <KeyRow key={key.name} of={key} />
                ))}
              </ul>
              <Pending settings={settings} />
              <p className="text-small text-faint">
                It is kept {settings.keepsIn === 'keyRing' ? 'in the desktop’s key ring' : 'in a file only you may read'}, and never enters a sandbox. Local models need none: <Link href="/settings" className="text-work hover:underline">Settings</Link>
              </p>
            </>
          )}
        </Step>
        <Step number={3} done={templateReady} title="The template" busy={!loaded || making}>
          {templateReady ? (
            <p>A frozen desktop that every sandbox is copied from is ready.</p>
          ) : (
            <>
              <p>A desktop that every sandbox is copied from. It is made once, in some minutes; the first task makes it if you do not.</p>
              {problem !== null && <ProblemBox problem={problem} />}
              <Button busy={making} onClick={() => void make()}>
                {making ? 'Making it; you can go on meanwhile' : 'Make it now'}
              </Button>
            </>
          )}
        </Step>
        <Step number={4} done={false} title="A first task">
          <FirstTask ready={loaded && good(machine) && good(model)} />
        </Step>
      </ol>
    </div>
  );
}

function Step({ number, done, title, busy = false, children }: { number: number; done: boolean; title: string; busy?: boolean; children: ReactNode }) {
  return (
    <li className="group relative flex gap-4 pb-6">
      <span aria-hidden className="absolute top-8 bottom-0 left-[13px] w-px bg-line group-last:hidden" />
      <span className={clsx('figures flex size-[27px] shrink-0 items-center justify-center rounded-full border text-small font-semibold', done ? 'border-transparent bg-good-soft text-good' : 'border-line-strong text-soft', busy && 'animate-breathe')}>{done ? <Check aria-label="Done" className="size-3.5 stroke-[2.6]" /> : number}</span>
      <div className="min-w-0 flex-1 space-y-2 pt-[3px] text-soft">
        <h3 className="text-large font-semibold text-ink">{title}</h3>
        {children}
      </div>
    </li>
  );
}

function Bad({ checks }: { checks: readonly DoctorCheck[] }) {
  return (
    <ul className="space-y-2">
      {checks.map(
        (check) =>
          check.outcome.type === 'bad' && (
            <li key={check.name} className="foreign">
              <span className="text-ink">{check.outcome.error.message.replace(/\.$/, '')}.</span> <Words text={check.outcome.error.hint} />
            </li>
          ),
      )}
    </ul>
  );
}
