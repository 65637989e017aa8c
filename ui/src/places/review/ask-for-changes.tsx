import { useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import { Button } from '@/components/button';
import { Dialog } from '@/components/dialog';
import { TextArea } from '@/components/field';
import { ProblemBox } from '@/components/problem-box';
import { type Comment, commentsOf } from './comments';

export function AskForChanges({ open, onClose, run, summary, comments, unfinished, onSummary, onSent }: { open: boolean; onClose: () => void; run: string; summary: string; comments: Comment[]; /** Comments that are still being written, which are not sent along. */ unfinished: readonly Comment[]; onSummary: (text: string) => void; onSent: (sent: { summary: string; comments: Comment[] }) => void }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const empty = summary.trim() === '' && comments.length === 0;
  const send = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await backend.askForChanges(run, { words: summary.trim(), comments: commentsOf(comments) });
      onSent({ summary, comments });
    } catch (thrown) {
      // Words and comments are kept as a draft until they have arrived.
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open={open} onClose={onClose} title="Ask for changes" className="w-[36rem] max-w-[94vw]">
      <div className="min-h-0 space-y-3 overflow-y-auto px-5 pt-1 pb-4">
        <p className="text-soft">The agent goes back to work in its sandbox. It deals with each remark or explains why not, and the pull request is brought up to date, with new evidence.</p>
        <TextArea aria-label="What should be different" placeholder="What should be different?" rows={3} value={summary} onChange={(event) => onSummary(event.target.value)} autoFocus />
        {comments.length > 0 ? (
          <ul className="divide-y divide-line rounded-md border border-line">
            {comments.map((comment) => (
              <li key={comment.id} className="px-3 py-2">
                <p className="foreign truncate font-mono text-tiny text-faint">
                  {comment.path}:{comment.line}
                </p>
                <p className="foreign whitespace-pre-wrap">{comment.text}</p>
              </li>
            ))}
          </ul>
        ) : (
          <p className="text-small text-faint">Comments on lines of the diff are sent along. Point at a line to write one.</p>
        )}
        {unfinished.length > 0 && (
          <p className="foreign text-small text-lamp-text">
            Still being written, and not sent with this: {unfinished.map((comment) => `${comment.path}:${comment.line}`).join(', ')}. Add the comment there to send it along.
          </p>
        )}
        {problem !== null && <ProblemBox problem={problem} />}
        <div className="flex justify-end gap-2 pt-1">
          <Button look="quiet" onClick={onClose}>
            Not now
          </Button>
          <Button look="main" busy={busy} disabled={empty} onClick={() => void send()}>
            Send to the agent
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
