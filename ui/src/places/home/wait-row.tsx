import { CornerDownLeft, Play } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { backend } from '@/backend/backend';
import { type Problem, problemOf, sentence } from '@/backend/problem';
import type { RunSummary } from '@/backend/types';
import { ApprovalForm } from '@/components/approval';
import { AttemptNote } from '@/components/attempt';
import { Button } from '@/components/button';
import { TextInput } from '@/components/field';
import { ProblemBox } from '@/components/problem-box';
import { RaiseLimit } from '@/components/raise-limit';
import { StateChip } from '@/components/state-mark';
import { useCoarseNow } from '@/hooks/use-now';
import { ago, repositoryName, titleOf } from '@/text/format';
import { limitWords } from '@/text/limits';

/** One thing that waits for a person, with what can be done about it right here. */
export function WaitRow({ run }: { run: RunSummary }) {
  const now = useCoarseNow();
  const [, go] = useLocation();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const href = run.state.type === 'inReview' ? `/review/${run.run}` : `/runs/${run.run}`;
  const act = async (what: () => Promise<unknown>) => {
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
  return (
    <li className="px-3.5 py-2.5 hover:bg-hover/50">
      <div className="flex items-center gap-3">
        <span className="w-[84px] shrink-0">
          <StateChip state={run.state.type} />
        </span>
        <Link href={href} data-row className="min-w-0 flex-1 rounded-sm">
          <span className="flex min-w-0 items-baseline gap-2">
            <span className="foreign truncate font-medium">{titleOf(run.task.description)}</span>
            <span className="foreign max-w-48 shrink-0 truncate text-small text-faint">{repositoryName(run.task.repository)}</span>
            <AttemptNote run={run} />
            {run.suspended === true && <span className="shrink-0 text-small text-faint">suspended to disk</span>}
          </span>
        </Link>
        <span className="figures shrink-0 text-small text-faint">
          {ago(Date.parse(run.updatedAt), now)}
        </span>
        <span className="flex w-[92px] shrink-0 justify-end">
          {run.state.type === 'inReview' && (
            <Button onClick={() => go(href)} className="w-full">
              Review
            </Button>
          )}
          {run.state.type === 'waiting' && (
            <Button onClick={() => go(href)} className="w-full">
              Look
            </Button>
          )}
          {run.state.type === 'paused' && run.state.reason.type !== 'limit' && (
            <Button busy={busy} icon={<Play aria-hidden className="size-3" />} onClick={() => void act(() => backend.continueRun(run.run))} className="w-full">
              Continue
            </Button>
          )}
        </span>
      </div>
      <div className="pl-24">
        <Why run={run} />
        {run.state.type === 'waiting' && run.state.approval != null && (
          <div className="mt-2">
            <ApprovalForm run={run.run} step={run.state.approval} />
          </div>
        )}
        {run.state.type === 'paused' && run.state.reason.type === 'limit' && (
          <div className="mt-2">
            <RaiseLimit key={run.state.reason.limit} run={run} state={run.state} />
          </div>
        )}
        {run.state.type === 'waiting' && run.state.approval == null && <Answer busy={busy} onAnswer={(text) => act(() => backend.say(run.run, text))} />}
        {problem !== null && (
          <div className="mt-2">
            <ProblemBox problem={problem} />
          </div>
        )}
      </div>
    </li>
  );
}

function Why({ run: { state } }: { run: RunSummary }) {
  if (state.type === 'waiting') return <p className="foreign mt-1 line-clamp-3 max-w-[90ch] whitespace-pre-line">{state.question}</p>;
  if (state.type !== 'paused') return null;
  if (state.reason.type === 'limit') return <p className="foreign mt-0.5 text-soft">A limit of the task is reached ({limitWords(state.reason.limit)}). Nothing is lost.</p>;
  if (state.reason.type === 'trouble') {
    const { message, hint } = state.reason.error;
    return (
      <p className="foreign mt-0.5 line-clamp-2 text-soft">
        {sentence(message)} {sentence(hint)}
      </p>
    );
  }
  return null;
}

function Answer({ busy, onAnswer }: { busy: boolean; onAnswer: (text: string) => Promise<void> }) {
  const [text, setText] = useState('');
  const send = async (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() !== '') await onAnswer(text);
  };
  return (
    <form onSubmit={(event) => void send(event)} className="mt-2 flex max-w-[46rem] gap-2">
      <TextInput aria-label="Answer" placeholder="Answer, and the run goes on" value={text} onChange={(event) => setText(event.target.value)} className="h-7!" />
      <Button type="submit" busy={busy} disabled={text.trim() === ''} icon={<CornerDownLeft aria-hidden className="size-3.5" />}>
        Answer
      </Button>
    </form>
  );
}
