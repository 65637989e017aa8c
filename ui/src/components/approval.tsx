import { Check, X } from 'lucide-react';
import { useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import { Button } from './button';
import { TextInput } from './field';
import { ProblemBox } from './problem-box';

/** A yes or a no to the command that a run waits with. The words go with a no. */
export function ApprovalForm({ run, step }: { run: string; step: string }) {
  const [words, setWords] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const decide = async (yes: boolean) => {
    setBusy(true);
    setProblem(null);
    try {
      await backend.decide(run, { step, decision: yes ? { type: 'approved' } : { type: 'denied', words } });
      setWords('');
    } catch (thrown) {
      // The words stay where they are: nothing that was typed is lost.
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="space-y-2">
      {problem !== null && <ProblemBox problem={problem} />}
      <div role="group" aria-label={`A yes or a no to step ${step}`} className="flex max-w-[46rem] gap-2">
        <Button look="main" busy={busy} icon={<Check aria-hidden className="size-3.5" />} onClick={() => void decide(true)}>
          Allow
        </Button>
        <TextInput aria-label="Why not" placeholder="Why not, or what to do instead" value={words} onChange={(event) => setWords(event.target.value)} className="h-7!" />
        <Button busy={busy} icon={<X aria-hidden className="size-3.5" />} onClick={() => void decide(false)}>
          Deny
        </Button>
      </div>
    </div>
  );
}
