import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import { Button } from '@/components/button';
import { Choices, TextInput } from '@/components/field';
import { ProblemBox } from '@/components/problem-box';
import { tellDone, tellNote } from '@/components/toasts';
import { startDraft } from '../new-task/draft';

/** The first task: in the example, which only has to be started, or in a repository of one's own. */
export function FirstTask({ ready }: { /** Whether it can run. */ ready: boolean }) {
  const [, go] = useLocation();
  const client = useQueryClient();
  const [where, setWhere] = useState<'example' | 'own'>('example');
  const [repository, setRepository] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const start = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const example = await backend.example();
      const { run, notes } = await backend.submit({ ...example, uncommitted: 'leaveOut' });
      void client.invalidateQueries({ queryKey: ['runs'] });
      tellDone('Submitted. You can leave; it goes on by itself.');
      notes?.forEach(tellNote);
      go(`/runs/${run}`);
    } catch (thrown) {
      setProblem(problemOf(thrown));
      setBusy(false);
    }
  };
  const write = () => {
    startDraft({ repository: repository.trim() });
    go('/new');
  };
  return (
    <>
      <Choices
        label="Where the first task is"
        value={where}
        onChange={setWhere}
        options={[
          { value: 'example', name: 'The example' },
          { value: 'own', name: 'A repository of mine' },
        ]}
      />
      {where === 'example' ? (
        <>
          <p>
            A small web application on this machine. The agent is asked to <q>add a dark mode toggle that persists to localStorage</q>, tries it in its browser, and brings you a pull request with pictures of before and after.
          </p>
          <Button look="main" busy={busy} disabled={!ready} onClick={() => void start()}>
            Start the example task
          </Button>
        </>
      ) : (
        <form
          className="space-y-2"
          onSubmit={(event) => {
            event.preventDefault();
            write();
          }}
        >
          <p>A small change that you would give to a colleague: one repository, and a result that can be seen or tested. Your checkout is only read; work arrives as a branch beside it.</p>
          <div className="flex gap-2">
            <TextInput aria-label="Repository" mono placeholder="/home/you/src/app" value={repository} onChange={(event) => setRepository(event.target.value)} />
            <Button type="submit" look="main" className="h-8!" shortcut="n">
              Write the task
            </Button>
          </div>
        </form>
      )}
      {!ready && <p className="text-small text-faint">It starts once the steps above are done.</p>}
      {problem !== null && <ProblemBox problem={problem} />}
    </>
  );
}
