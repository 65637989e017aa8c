import { Play } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import type { Limits, RunSummary } from '@/backend/types';
import { count } from '@/text/format';
import { reached, suggested, UNITS } from '@/text/limits';
import { Button } from './button';
import { Select, TextInput } from './field';
import { ProblemBox } from './problem-box';

/** Lets a run that is at a limit go on with another one: twice as much is offered. */
export function RaiseLimit({ run }: { run: RunSummary }) {
  const [which, setWhich] = useState<keyof Limits>(() => reached(run));
  const [typed, setTyped] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const unit = UNITS[which];
  const now = run.task.limits[which];
  const text = typed ?? String(suggested(run, which) / unit.of);
  const wanted = Math.round(Number(text) * unit.of);
  const raises = Number.isSafeInteger(wanted) && wanted > now;
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await backend.raiseLimits(run.run, { [which]: wanted });
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
        <Select
          aria-label="Which limit"
          value={which}
          onChange={(event) => {
            setWhich(event.target.value as keyof Limits);
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
        <TextInput aria-label={`${unit.name} from now on, in ${unit.unit}`} aria-invalid={!raises} inputMode="decimal" value={text} onChange={(event) => setTyped(event.target.value)} className="figures h-7! w-24! text-right" />
        <span className="text-small text-faint">
          {unit.unit}, until now {count(now / unit.of)}
        </span>
        <Button type="submit" busy={busy} disabled={!raises} icon={<Play aria-hidden className="size-3" />}>
          Raise and continue
        </Button>
      </div>
      {problem !== null && <ProblemBox problem={problem} />}
    </form>
  );
}
