import { Play } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import type { Limits, RunState, RunSummary } from '@/backend/types';
import { count } from '@/text/format';
import { reached, suggested, UNITS } from '@/text/limits';
import { Button } from './button';
import { Select, TextInput } from './field';
import { ProblemBox } from './problem-box';

/**
 * Lets a run that is at a limit go on with another one: twice as much is offered. `state` is the run's newest; the summary
 * may lag behind it.
 */
export function RaiseLimit({ run, state }: { run: RunSummary; state: RunState }) {
  // Until a person has chosen or typed, it follows what is known of the run.
  const [chosen, setChosen] = useState<keyof Limits | null>(null);
  const [typed, setTyped] = useState<string | null>(null);
  // Raised already, and not gone on yet: raising it twice is not what anybody wanted.
  const [raised, setRaised] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const which = chosen ?? reached(run, state);
  const unit = UNITS[which];
  const now = run.task.limits[which];
  const text = typed ?? String(suggested(run, which) / unit.of);
  const wanted = Math.round(Number(text) * unit.of);
  const raises = Number.isSafeInteger(wanted) && wanted > now;
  // A number was typed for the limit that is shown beside it.
  const type = (value: string) => {
    setChosen(which);
    setTyped(value);
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      if (!raised) {
        await backend.raiseLimits(run.run, { [which]: wanted });
        setRaised(true);
      }
      await backend.continueRun(run.run);
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form onSubmit={(event) => void submit(event)} className="space-y-2">
      <div className="flex flex-wrap items-center gap-2">
        {raised ? (
          <span className="text-small text-faint">The limit is raised.</span>
        ) : (
          <>
            <Select
              aria-label="Which limit"
              value={which}
              onChange={(event) => {
                setChosen(event.target.value as keyof Limits);
                setTyped(null);
              }}
              className="h-7! w-auto!"
            >
              {(Object.keys(UNITS) as (keyof Limits)[]).map((each) => (
                <option key={each} value={each}>
                  {UNITS[each].name}
                </option>
              ))}
            </Select>
            <TextInput aria-label={`${unit.name} from now on, in ${unit.unit}`} aria-invalid={!raises} inputMode="decimal" value={text} onChange={(event) => type(event.target.value)} className="figures h-7! w-24! text-right" />
            <span className="text-small text-faint">
              {unit.unit}, until now {count(now / unit.of)}
            </span>
          </>
        )}
        <Button type="submit" busy={busy} disabled={!raised && !raises} icon={<Play aria-hidden className="size-3" />}>
          {raised ? 'Continue' : 'Raise and continue'}
        </Button>
      </div>
      {problem !== null && <ProblemBox problem={problem} />}
    </form>
  );
}
