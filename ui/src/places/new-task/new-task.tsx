import { useQueryClient } from '@tanstack/react-query';
import { CircleAlert, CircleCheck, Hand } from 'lucide-react';
import { type FormEvent, type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react';
import { useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import { type Problem, problemOf, sentence } from '@/backend/problem';
import type { Limits, SubmitTask } from '@/backend/types';
import { Button } from '@/components/button';
import { Field, Select, TextArea, TextInput } from '@/components/field';
import { Place } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { tellDone, tellNote } from '@/components/toasts';
import { Words } from '@/components/words';
import { useEngines } from '@/hooks/use-engines';
import { useOwnerSettings } from '@/hooks/use-owner-settings';
import { useFinished, useUnfinished } from '@/hooks/use-runs';
import { money } from '@/text/format';
import { engineChoice, modelOf, usualEngine } from '@/text/engines';
import { describe, type Hint, triage, type Verdict } from '@/text/triage';
import { EMPTY, type Form, keepDraft, readDraft, watchDraft } from './draft';

/** A draft survives a closed window, and a refusal: what was typed is never lost. */
function useForm(): [Form, (change: Partial<Form>) => void, () => void] {
  const [form, setForm] = useState<Form>(readDraft);
  const latest = useRef(form);
  // Two windows have one draft: each would write over what the other has.
  useEffect(
    () =>
      watchDraft((theirs) => {
        latest.current = theirs;
        setForm(theirs);
      }),
    [],
  );
  // Kept at once: whoever submits is elsewhere before the page is drawn again.
  const keep = (next: Form) => {
    latest.current = next;
    keepDraft(next);
    setForm(next);
  };
  return [form, (change) => keep({ ...latest.current, ...change }), () => keep(afterSubmission(latest.current))];
}

/** What stays for the next task: where it is, and who works on it. */
function afterSubmission(before: Form): Form {
  return { ...EMPTY, repository: before.repository, engine: before.engine, model: before.model, dollars: before.dollars, minutes: before.minutes, rounds: before.rounds, approval: before.approval };
}

/** The owner's own limits, as long as it has not said what a person set. */
const DEFAULT_LIMITS: Limits = { turns: 200, tokens: 20_000_000, costMicrodollars: 10_000_000, seconds: 7_200 };

function requestOf(form: Form, model: string, leaveOut: boolean): SubmitTask {
  return {
    description: describe(form),
    repository: form.repository.trim(),
    baseBranch: form.branch.trim() === '' ? null : form.branch.trim(),
    engine: form.engine === '' ? null : form.engine,
    model: model.trim() === '' ? null : model.trim(),
    limits: {
      ...(form.dollars.trim() === '' ? {} : { costMicrodollars: Math.round(Number(form.dollars) * 1_000_000) }),
      ...(form.minutes.trim() === '' ? {} : { seconds: Math.round(Number(form.minutes) * 60) }),
    },
    attempts: Number(form.attempts),
    selfReviewRounds: form.rounds === '' ? null : Number(form.rounds),
    approval: form.approval === '' ? null : form.approval,
    uncommitted: leaveOut ? 'leaveOut' : 'refuse',
  };
}

/** Attempts at one task at most. */
const MOST_ATTEMPTS = 8;

/** A number above 0, or nothing: then what the settings say holds. */
const fits = (text: string) => text.trim() === '' || (Number.isFinite(Number(text)) && Number(text) > 0);

export function NewTask() {
  const [form, change, clear] = useForm();
  const [, go] = useLocation();
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const judged = useMemo(() => triage(form), [form]);
  const { data: unfinished } = useUnfinished();
  const { data: finished } = useFinished();
  const { data: settings } = useOwnerSettings();
  const limits = settings?.values.limits ?? DEFAULT_LIMITS;
  const known = useMemo(() => {
    const runs = [...(unfinished ?? []), ...(finished ?? [])];
    return { repositories: [...new Set(runs.map((run) => run.task.repository))].slice(0, 12), models: [...new Set(runs.map((run) => run.task.model))] };
  }, [unfinished, finished]);
  const { data: engines } = useEngines();
  const engine = engineChoice(engines, form.engine === '' ? (engines?.defaultEngine ?? '') : form.engine);
  const model = modelOf(engine, form.model);
  const attempts = Number(form.attempts);
  /** What one attempt may cost, in millionths of a dollar. */
  const allowed = form.dollars.trim() !== '' && fits(form.dollars) ? Math.round(Number(form.dollars) * 1_000_000) : limits.costMicrodollars;
  const ready = form.what.trim() !== '' && form.repository.trim() !== '' && fits(form.dollars) && fits(form.minutes) && engine.trouble === null;

  // A sandbox is made ready while the task is written. That none is only costs a moment later.
  const begun = form.what.trim() !== '';
  useEffect(() => {
    if (begun) backend.expectTask().catch(() => undefined);
  }, [begun]);

  const submit = async (leaveOut: boolean) => {
    setBusy(true);
    setProblem(null);
    try {
      const reply = await backend.submit(requestOf(form, model, leaveOut));
      clear();
      void client.invalidateQueries({ queryKey: ['runs'] });
      const several = reply.attempts.length;
      tellDone(several > 1 ? `Submitted: ${several} attempts. You can leave; they go on by themselves.` : 'Submitted. You can leave; it goes on by itself.');
      reply.notes?.forEach(tellNote);
      go(several > 1 ? `/attempts/${reply.task}` : `/runs/${reply.run}`);
    } catch (thrown) {
      setProblem(problemOf(thrown));
      setBusy(false);
    }
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (ready && !busy) void submit(false);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && ready && !busy) {
      event.preventDefault();
      void submit(false);
    }
  };
  const uncommitted = problem?.code === 'conflict' && problem.message.includes('not committed');
  return (
    <Place title="New task" name="New task">
      <form onSubmit={onSubmit} onKeyDown={onKey} className="mx-auto grid max-w-[1080px] gap-x-10 gap-y-6 px-6 pt-6 pb-10 lg:grid-cols-[minmax(0,1fr)_300px]">
        <div className="space-y-5">
          <Field label="What is to be done?" help="A sentence or two, as you would tell a colleague. The first line becomes the title.">
            {(ids) => <TextArea {...ids} autoFocus rows={3} placeholder="Add a dark mode toggle that persists to localStorage" value={form.what} onChange={(event) => change({ what: event.target.value })} className="text-large! leading-[1.45]!" />}
          </Field>
          <Field label="Acceptance criteria" help="One on each line. Each is answered with a screenshot or a command when the work comes back.">
            {(ids) => <TextArea {...ids} rows={3} placeholder={'The header has a button that switches the theme\nThe choice is still there after a reload'} value={form.criteria} onChange={(event) => change({ criteria: event.target.value })} />}
          </Field>
          <div className="grid gap-5 sm:grid-cols-2">
            <Field label="Tests to run" optional>
              {(ids) => <TextArea {...ids} rows={2} placeholder="npm test" value={form.tests} onChange={(event) => change({ tests: event.target.value })} className="font-mono text-small" />}
            </Field>
            <Field label="Constraints" optional>
              {(ids) => <TextArea {...ids} rows={2} placeholder="No new dependencies" value={form.constraints} onChange={(event) => change({ constraints: event.target.value })} />}
            </Field>
          </div>
          <div className="grid gap-5 border-t border-line pt-5 sm:grid-cols-[minmax(0,1fr)_180px]">
            <Field label="Repository" help="A folder on this machine, or a URL. It is only read; work arrives as a branch beside it.">
              {(ids) => (
                <>
                  <TextInput {...ids} mono list="repositories" placeholder="/home/you/src/app" value={form.repository} onChange={(event) => change({ repository: event.target.value })} />
                  <datalist id="repositories">
                    {known.repositories.map((each) => (
                      <option key={each} value={each} />
                    ))}
                  </datalist>
                </>
              )}
            </Field>
            <Field label="From branch" optional help="The checked-out one if empty.">
              {(ids) => <TextInput {...ids} mono placeholder="main" value={form.branch} onChange={(event) => change({ branch: event.target.value })} />}
            </Field>
          </div>
          {problem !== null && (
            <ProblemBox problem={problem}>
              {uncommitted && (
                <div className="pt-2">
                  <Button size="small" onClick={() => void submit(true)}>
                    Start from the last commit
                  </Button>
                </div>
              )}
            </ProblemBox>
          )}
          <div className="flex items-center gap-3">
            <Button type="submit" look="main" size="large" busy={busy} disabled={!ready} shortcut="ctrl+enter">
              Start in the background
            </Button>
            <span className="text-small text-faint">The draft is kept while you type.</span>
          </div>
        </div>
        <aside className="space-y-6">
          <Judgement verdict={judged.verdict} hints={judged.hints} />
          <section className="space-y-4">
            <h2 className="font-semibold">Limits</h2>
            <div className="grid grid-cols-2 gap-3">
              <Field label="US dollars" {...(fits(form.dollars) ? {} : { error: 'A number above 0' })}>
                {(ids) => <TextInput {...ids} inputMode="decimal" placeholder={String(limits.costMicrodollars / 1_000_000)} value={form.dollars} onChange={(event) => change({ dollars: event.target.value })} className="figures" />}
              </Field>
              <Field label="Minutes" {...(fits(form.minutes) ? {} : { error: 'A number above 0' })}>
                {(ids) => <TextInput {...ids} inputMode="numeric" placeholder={String(limits.seconds / 60)} value={form.minutes} onChange={(event) => change({ minutes: event.target.value })} className="figures" />}
              </Field>
            </div>
            <p className="text-small text-faint">The next call is refused before a limit is passed. The run pauses then and asks; nothing is lost.</p>
          </section>
          <section className="space-y-4">
            <h2 className="font-semibold">Who works</h2>
            <Field label="Attempts" help={attempts === 1 ? 'More than one: the same task in so many sandboxes, of which you choose the best afterwards.' : `The same task in ${attempts} sandboxes; choose the best afterwards. The limits hold for each: at most ${money(attempts * allowed)} in all.`}>
              {(ids) => (
                <Select {...ids} value={form.attempts} onChange={(event) => change({ attempts: event.target.value })}>
                  {Array.from({ length: MOST_ATTEMPTS }, (_, index) => (
                    <option key={index} value={index + 1}>
                      {index + 1}
                    </option>
                  ))}
                </Select>
              )}
            </Field>
            <Field label="Engine" {...(engine.trouble === null ? {} : { error: <Words text={`${sentence(engine.trouble.message)} ${engine.trouble.hint}`} /> })} help={engine.install === null ? 'The agent in the sandbox. Limits, evidence and review are the same.' : <EngineNeeds install={engine.install} />}>
              {(ids) => (
                <Select {...ids} value={form.engine} onChange={(event) => change({ engine: event.target.value })}>
                  {[usualEngine(engines), ...engine.options].map(({ value, label }) => (
                    <option key={value} value={value}>
                      {label}
                    </option>
                  ))}
                </Select>
              )}
            </Field>
            <Field label="Model" optional help={!engine.takesModel ? 'This engine always uses its own.' : engine.foreign ? 'If empty, the configured one; the engine’s own where that is of another provider.' : 'The configured one if empty.'}>
              {(ids) => (
                <>
                  <TextInput {...ids} mono list="models" disabled={!engine.takesModel} placeholder={engine.foreign ? '' : (settings?.values.model ?? '')} value={model} onChange={(event) => change({ model: event.target.value })} />
                  <datalist id="models">
                    {known.models.map((each) => (
                      <option key={each} value={each} />
                    ))}
                  </datalist>
                </>
              )}
            </Field>
          </section>
          <section className="space-y-4">
            <h2 className="font-semibold">While you are away</h2>
            <Field label="Self-review" help="A critic with a fresh eye tries the finished work, and sends it back if a criterion is not met.">
              {(ids) => (
                <Select {...ids} value={form.rounds} onChange={(event) => change({ rounds: event.target.value })}>
                  <option value="">As in the settings</option>
                  <option value="0">None</option>
                  <option value="1">Once</option>
                  <option value="2">At most twice</option>
                  <option value="3">At most three times</option>
                  <option value="5">At most five times</option>
                </Select>
              )}
            </Field>
            <Field label="Ask before" help="Everything else goes on without asking: the sandbox holds it.">
              {(ids) => (
                <Select {...ids} value={form.approval} onChange={(event) => change({ approval: event.target.value as Form['approval'] })}>
                  <option value="">As in the settings</option>
                  <option value="never">Nothing</option>
                  <option value="listed">Commands of my list</option>
                  <option value="risky">Anything that reaches out or needs root</option>
                </Select>
              )}
            </Field>
          </section>
        </aside>
      </form>
    </Place>
  );
}

/** What a repository needs for an engine whose program is not in the image. */
function EngineNeeds({ install }: { install: string }) {
  return (
    <>
      Its program has to be in the sandbox. In the repository’s environment: <code className="break-words text-[0.95em]">{install}</code>
    </>
  );
}

const VERDICTS: Record<Verdict, { title: string; tone: string }> = {
  empty: { title: 'Is it for the background?', tone: 'text-faint' },
  background: { title: 'Good for the background', tone: 'text-good' },
  afterAnswers: { title: 'Better with a little more', tone: 'text-lamp-text' },
  keep: { title: 'Think about doing it together', tone: 'text-lamp-text' },
};

function Judgement({ verdict, hints }: { verdict: Verdict; hints: readonly Hint[] }) {
  const words = VERDICTS[verdict];
  const icons = { good: <CircleCheck aria-hidden className="mt-0.5 size-4 shrink-0 text-good" />, missing: <CircleAlert aria-hidden className="mt-0.5 size-4 shrink-0 text-lamp-text" />, keep: <Hand aria-hidden className="mt-0.5 size-4 shrink-0 text-lamp-text" /> };
  return (
    <section aria-live="polite" className="min-h-[152px] rounded-lg border border-line bg-raised p-4">
      <h2 className={`font-semibold ${words.tone}`}>{words.title}</h2>
      {verdict === 'empty' ? (
        <p className="mt-1.5 text-soft">Well-scoped work of half an hour to two hours is. Hints appear here while you write.</p>
      ) : (
        <ul className="mt-2 space-y-1.5">
          {hints.map((hint) => (
            <li key={hint.text} className="flex gap-2 text-soft">
              {icons[hint.tone]}
              {hint.text}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
