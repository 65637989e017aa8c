import { Box } from 'lucide-react';
import { useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import { Button } from '@/components/button';
import { Place, Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { tellDone } from '@/components/toasts';
import { useDoctor } from '../doctor/doctor';

/** What sandboxes start from. */
export function Environments() {
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
    <Place title="Environments" name="Environments">
      <div className="mx-auto max-w-[820px] space-y-7 px-5 pt-5 pb-10">
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
      </div>
    </Place>
  );
}
