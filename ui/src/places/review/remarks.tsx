import clsx from 'clsx';
import { Check, CircleDashed, MessageSquareReply } from 'lucide-react';
import type { ReviewRemark, RunState } from '@/backend/types';
import { stateReason } from '@/components/state-mark';
import { visible } from '@/text/visible';

type Source = ReviewRemark['feedback']['source'];

const STATES = {
  pending: { name: 'not sent yet', tone: 'text-lamp-text', icon: CircleDashed },
  asked: { name: 'with the agent', tone: 'text-lamp-text', icon: CircleDashed },
  answered: { name: 'answered', tone: 'text-soft', icon: MessageSquareReply },
  resolved: { name: 'resolved', tone: 'text-good', icon: Check },
} as const;

/** Where a remark is in the diff, as `lineKey` names it; null when it is about the whole. */
export function placeOf(source: Source): string | null {
  if (source.type === 'line') return source.side === 'before' ? `${source.path}:-${source.line}` : `${source.path}:${source.line}`;
  if (source.type === 'thread' && typeof source.line === 'number') return `${source.path}:${source.line}`;
  return null;
}

/** Who or what a remark comes from, in a few words. */
export function originOf(source: Source): string {
  switch (source.type) {
    case 'line':
      return `${source.path}:${source.line}`;
    case 'thread':
      return typeof source.line === 'number' ? `${source.author} on ${source.path}:${source.line}` : `${source.author} on ${source.path}`;
    case 'check':
      return `Check ${source.check} failed`;
    case 'conflict':
      return 'Conflict with the base branch';
    default:
      return source.author;
  }
}

/** What was said, what became of it, and what the agent answered. */
export function Remark({ remark, origin = false }: { remark: ReviewRemark; origin?: boolean }) {
  const { name, tone, icon: Icon } = STATES[remark.state];
  return (
    <div className="rounded-md border border-line bg-raised px-3 py-2">
      <div className="flex items-start gap-2">
        <div className="min-w-0 flex-1">
          {origin && <p className="foreign truncate text-tiny text-faint">{visible(originOf(remark.feedback.source))}</p>}
          <p className="foreign whitespace-pre-wrap">{visible(remark.feedback.words)}</p>
        </div>
        <span className={clsx('inline-flex shrink-0 items-center gap-1 text-tiny', tone)}>
          <Icon aria-hidden className="size-3" />
          {name}
        </span>
      </div>
      {remark.answer !== undefined && remark.answer !== null && <p className="foreign mt-1.5 border-l-2 border-line pl-2.5 whitespace-pre-wrap text-soft">{visible(remark.answer)}</p>}
    </div>
  );
}

/** Everything that was said about the pull request, and whether the agent is at it. */
export function Remarks({ remarks, state }: { remarks: readonly ReviewRemark[]; state: RunState }) {
  const settled = remarks.filter((remark) => remark.state === 'resolved').length;
  const rests = state.type === 'inReview' || state.type === 'merged' || state.type === 'closed';
  const reason = stateReason(state);
  if (remarks.length === 0) return null;
  return (
    <section>
      <h2 className="mb-2.5 flex items-baseline gap-3 text-large font-semibold">
        Remarks
        <span className="figures text-small font-normal text-faint">
          {settled} of {remarks.length} resolved
        </span>
      </h2>
      {!rests && (
        <p role="status" className="mb-2.5 rounded-lg border border-lamp/40 bg-lamp-soft px-3.5 py-2">
          {state.type === 'paused' ? 'The agent has stopped' : 'The agent deals with what was asked for'}
          {reason === '' ? '.' : `: ${reason}.`}
        </p>
      )}
      <ul className="space-y-2">
        {remarks.map((remark) => (
          <li key={remark.feedback.name}>
            <Remark remark={remark} origin />
          </li>
        ))}
      </ul>
    </section>
  );
}
