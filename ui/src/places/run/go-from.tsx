import { GitFork, Undo2 } from 'lucide-react';
import { Popover } from 'radix-ui';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import { Button } from '@/components/button';
import { Confirm } from '@/components/confirm';
import { Choices, TextArea } from '@/components/field';
import { ProblemBox } from '@/components/problem-box';
import { tellDone } from '@/components/toasts';
import type { Checkpoint } from '@/story/story';
import { timeOfDay } from '@/text/format';

/** Goes on from a checkpoint: the run itself, or others beside it. */
export function GoFrom({ run, checkpoint, rewinds, onRewound }: { run: string; checkpoint: Checkpoint; rewinds: boolean; onRewound: () => void }) {
  const [, go] = useLocation();
  const [open, setOpen] = useState(false);
  const [asking, setAsking] = useState(false);
  const [count, setCount] = useState<'1' | '2' | '3'>('1');
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const at = timeOfDay(Date.parse(checkpoint.at));
  const fork = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const { runs } = await backend.fork(run, { checkpoint: checkpoint.id, count: Number(count), text: text.trim() === '' ? null : text.trim() });
      setOpen(false);
      setText('');
      tellDone(runs.length === 1 ? 'Forked; the other run goes on by itself' : `Forked ${runs.length} times`);
      const [first] = runs;
      if (runs.length === 1 && first !== undefined) go(`/runs/${first}`);
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Popover.Root open={open} onOpenChange={setOpen}>
        <Popover.Trigger asChild>
          <Button size="small" icon={<GitFork aria-hidden className="size-3.5" />}>
            From {at}
          </Button>
        </Popover.Trigger>
        <Popover.Portal>
          <Popover.Content align="end" side="top" sideOffset={8} aria-label="Go on from here" className="z-40 w-80 space-y-3 rounded-lg border border-line-strong bg-raised p-4 shadow-float">
            <p>
              <span className="font-medium">The checkpoint of {at}</span>
              <span className="block text-soft">Memory, disk, browser and conversation are kept as they were then.</span>
            </p>
            <TextArea aria-label="What the fork should do differently" placeholder="What should it do differently?" rows={2} value={text} onChange={(event) => setText(event.target.value)} />
            <div className="flex items-center gap-2">
              <Choices label="How many" value={count} onChange={setCount} options={[{ value: '1', name: '1' }, { value: '2', name: '2' }, { value: '3', name: '3' }]} />
              <span className="flex-1" />
              <Button look="main" busy={busy} icon={<GitFork aria-hidden className="size-3.5" />} onClick={() => void fork()}>
                Fork
              </Button>
            </div>
            {problem !== null && <ProblemBox problem={problem} />}
            {rewinds && (
              <Button
                look="quiet"
                className="w-full"
                icon={<Undo2 aria-hidden className="size-3.5" />}
                onClick={() => {
                  setOpen(false);
                  setAsking(true);
                }}
              >
                Take this run back to it instead
              </Button>
            )}
          </Popover.Content>
        </Popover.Portal>
      </Popover.Root>
      <Confirm
        open={asking}
        onClose={() => setAsking(false)}
        title={`Go back to ${at}?`}
        action="Go back"
        danger
        act={async () => {
          await backend.rewind(run, checkpoint.id);
          onRewound();
        }}
      >
        The agent goes on from there and knows nothing of what came after it. What the machine is at now is saved first as a checkpoint, so you can come back to it; the history keeps all of it.
      </Confirm>
    </>
  );
}
