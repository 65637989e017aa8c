import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useMemo, useState } from 'react';
import { useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import type { PlannedEnvironment } from '@/backend/types';
import { Button } from '@/components/button';
import { Dialog } from '@/components/dialog';
import { Field, TextInput } from '@/components/field';
import { ProblemBox } from '@/components/problem-box';
import { useFinished, useUnfinished } from '@/hooks/use-runs';

/** Asks which repository, shows how it would be set up, and has it done. */
export function SetUp({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [, go] = useLocation();
  const client = useQueryClient();
  const { data: unfinished } = useUnfinished();
  const { data: finished } = useFinished();
  const known = useMemo(() => [...new Set([...(unfinished ?? []), ...(finished ?? [])].map((run) => run.task.repository))].slice(0, 12), [unfinished, finished]);
  const [repository, setRepository] = useState('');
  const [branch, setBranch] = useState('');
  const [planned, setPlanned] = useState<PlannedEnvironment | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const wish = { repository: repository.trim(), branch: branch.trim() === '' ? null : branch.trim() };
  const doing = async (what: () => Promise<void>) => {
    setBusy(true);
    setProblem(null);
    try {
      await what();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void doing(async () => {
      if (planned === null) return setPlanned(await backend.planEnvironment(wish));
      const begun = await backend.setUpEnvironment(wish);
      await client.invalidateQueries({ queryKey: ['environments'] });
      onClose();
      setPlanned(null);
      go(`/environments/${begun.environment}`);
    });
  };
  const changed = () => setPlanned(null);
  const empty = planned !== null && planned.plan.steps.length === 0 && planned.plan.devServer == null;
  return (
    <Dialog open={open} onClose={onClose} title="Set up a repository" className="w-[36rem] max-w-[94vw]">
      <form onSubmit={submit} className="flex min-h-0 flex-col">
        <div className="min-h-0 space-y-4 overflow-y-auto px-5 pt-2 pb-4">
          <div className="grid grid-cols-[minmax(0,1fr)_9rem] gap-3">
            <Field label="Repository">
              {(ids) => (
                <>
                  <TextInput
                    {...ids}
                    mono
                    list="set-up-repositories"
                    placeholder="/home/you/src/app"
                    value={repository}
                    onChange={(event) => {
                      setRepository(event.target.value);
                      changed();
                    }}
                  />
                  <datalist id="set-up-repositories">
                    {known.map((each) => (
                      <option key={each} value={each} />
                    ))}
                  </datalist>
                </>
              )}
            </Field>
            <Field label="Branch" optional>
              {(ids) => (
                <TextInput
                  {...ids}
                  mono
                  placeholder="main"
                  value={branch}
                  onChange={(event) => {
                    setBranch(event.target.value);
                    changed();
                  }}
                />
              )}
            </Field>
          </div>
          {planned === null && <p className="text-soft">How is read from its own files, as they are committed: environment.toml, devcontainer.json, or its manifests. You see it before anything is done.</p>}
          {planned !== null && <Planned of={planned} />}
          {problem !== null && <ProblemBox problem={problem} />}
        </div>
        <div className="flex justify-end gap-2 border-t border-line px-5 py-3">
          <Button look="quiet" onClick={onClose}>
            Not now
          </Button>
          <Button type="submit" look="main" busy={busy} disabled={wish.repository === '' || empty}>
            {planned === null ? 'Show how' : 'Set it up'}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** What would be done, in its order, and from which files that is known. */
export function Planned({ of: planned }: { of: Pick<PlannedEnvironment, 'plan' | 'commit'> & { registries?: readonly string[] } }) {
  const { plan } = planned;
  const nothing = plan.steps.length === 0 && plan.devServer == null;
  return (
    <div className="space-y-3" role="region" aria-label="What would be done">
      {nothing ? (
        <p className="rounded-md border border-lamp/45 bg-lamp-soft px-3 py-2">There is nothing to set up: no file of it says what to install. Its tasks start from the template.</p>
      ) : (
        <p className="foreign text-soft">
          Read from {plan.sources.length === 0 ? 'nothing' : plan.sources.join(', ')} at {planned.commit.slice(0, 8)}.
        </p>
      )}
      <Commands title="Steps" list={plan.steps} />
      <Commands title="Checks that must be green" list={plan.checks} />
      {plan.devServer != null && <Commands title={`Runs in every sandbox, at port ${plan.devServer.port}`} list={[{ name: 'development server', run: plan.devServer.run }]} />}
      {plan.hosts.length > 0 && <p className="foreign text-soft">It asks to reach {plan.hosts.join(', ')}, as far as the settings permit.</p>}
      {(planned.registries?.length ?? 0) > 0 && <p className="foreign text-small text-faint">Registries it may reach: {planned.registries?.join(', ')}</p>}
      {plan.notes.map((note) => (
        <p key={note} className="foreign text-small text-faint">
          {note}
        </p>
      ))}
    </div>
  );
}

function Commands({ title, list }: { title: string; list: readonly { name: string; run: string }[] }) {
  if (list.length === 0) return null;
  return (
    <section>
      <h3 className="mb-1 text-small font-medium text-faint">{title}</h3>
      <ol className="divide-y divide-line/70 rounded-md border border-line">
        {list.map((step, index) => (
          <li key={index} className="foreign px-3 py-1.5">
            {step.name !== step.run && <span className="block">{step.name}</span>}
            <code className="block text-small text-soft">{step.run}</code>
          </li>
        ))}
      </ol>
    </section>
  );
}
