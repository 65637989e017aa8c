import clsx from 'clsx';
import type { RunState, StateName } from '@/backend/types';
import { limitWords } from '@/text/limits';

interface Words {
  name: string;
  tone: string;
  soft: string;
  /** The shape differs too: colour alone says nothing to many. */
  shape: 'ring' | 'dot' | 'pulse' | 'half' | 'square' | 'cross' | 'check';
}

const STATES: Record<StateName, Words> = {
  queued: { name: 'Queued', tone: 'text-faint', soft: 'bg-hover', shape: 'ring' },
  preparing: { name: 'Preparing', tone: 'text-work', soft: 'bg-work-soft', shape: 'half' },
  working: { name: 'Working', tone: 'text-work', soft: 'bg-work-soft', shape: 'pulse' },
  waiting: { name: 'Asks you', tone: 'text-lamp-text', soft: 'bg-lamp-soft', shape: 'dot' },
  delivering: { name: 'Delivering', tone: 'text-work', soft: 'bg-work-soft', shape: 'half' },
  inReview: { name: 'In review', tone: 'text-lamp-text', soft: 'bg-lamp-soft', shape: 'dot' },
  paused: { name: 'Paused', tone: 'text-soft', soft: 'bg-hover', shape: 'square' },
  merged: { name: 'Merged', tone: 'text-merged', soft: 'bg-merged-soft', shape: 'check' },
  closed: { name: 'Closed', tone: 'text-faint', soft: 'bg-hover', shape: 'cross' },
  cancelled: { name: 'Cancelled', tone: 'text-faint', soft: 'bg-hover', shape: 'cross' },
  failed: { name: 'Failed', tone: 'text-bad', soft: 'bg-bad-soft', shape: 'cross' },
};

/** The words for a state, also for one of a newer owner. */
export function stateWords(state: StateName): Words {
  return STATES[state] ?? { name: String(state), tone: 'text-faint', soft: 'bg-hover', shape: 'ring' };
}

export function StateMark({ state, className }: { state: StateName; className?: string }) {
  const { tone, shape } = stateWords(state);
  return (
    <svg aria-hidden viewBox="0 0 12 12" className={clsx('size-3 shrink-0', tone, className)} fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round">
      {shape === 'ring' && <circle cx="6" cy="6" r="4" strokeDasharray="2 2.2" />}
      {shape === 'dot' && <circle cx="6" cy="6" r="4" fill="currentColor" stroke="none" />}
      {shape === 'pulse' && (
        <>
          <circle cx="6" cy="6" r="4.8" strokeWidth="1.2" opacity="0.4" />
          <circle cx="6" cy="6" r="2.6" fill="currentColor" stroke="none" className="animate-breathe" />
        </>
      )}
      {shape === 'half' && (
        <>
          <circle cx="6" cy="6" r="4.4" strokeWidth="1.2" />
          <path d="M6 2.6a3.4 3.4 0 0 1 0 6.8Z" fill="currentColor" stroke="none" />
        </>
      )}
      {shape === 'square' && <path d="M4.2 3v6M7.8 3v6" strokeWidth="1.9" />}
      {shape === 'cross' && <path d="m3.2 3.2 5.6 5.6m0-5.6L3.2 8.8" />}
      {shape === 'check' && <path d="m2.6 6.4 2.3 2.3 4.5-5.2" />}
    </svg>
  );
}

/** A state with its name. */
export function StateChip({ state, big = false }: { state: StateName; big?: boolean }) {
  const words = stateWords(state);
  return (
    <span className={clsx('inline-flex shrink-0 items-center gap-1.5 rounded-full font-medium whitespace-nowrap', words.tone, words.soft, big ? 'h-6 px-2.5 text-small' : 'h-5 px-2 text-tiny')}>
      <StateMark state={state} />
      {words.name}
    </span>
  );
}

const PHASES: Record<string, string> = {
  image: 'building the guest image, once',
  template: 'booting the template, once',
  sandbox: 'cloning the sandbox',
  repository: 'putting the repository in',
};

type Queued = Extract<RunState, { type: 'queued' }>;

/** Why a run waits for its start. */
function waitsFor(reason: Queued['reason']): string {
  switch (reason.type) {
    case 'sandboxLimit':
      return `${reason.limit} sandboxes run already`;
    case 'reviewLimit':
      return reason.limit === 1 ? 'a pull request waits for your review' : `${reason.limit} pull requests wait for your review`;
    case 'memory':
      return `less than ${reason.neededMib} MiB of memory are available`;
    case 'processors':
      return 'the processors have enough to do';
    case 'disk':
      return `less than ${reason.neededMib} MiB are free on the disk`;
    default:
      return 'waits for its turn';
  }
}

/** Why a run is where it is, in a few words; empty when the state's name says all. */
export function stateReason(state: RunState): string {
  switch (state.type) {
    case 'queued':
      if (state.reason.type === 'feedback') return 'goes back to work: changes were asked for';
      return waitsFor(state.reason);
    case 'preparing':
      return PHASES[state.phase] ?? state.phase;
    case 'waiting':
      return state.question;
    case 'paused':
      switch (state.reason.type) {
        case 'limit':
          return `limit reached: ${limitWords(state.reason.limit)}`;
        case 'trouble':
          return state.reason.error.message;
        default:
          return 'by you';
      }
    case 'failed':
      return state.reason.error.message;
    default:
      return '';
  }
}

/** Whether a run cannot go on without a person. */
export function waitsForYou(state: RunState): boolean {
  return state.type === 'waiting' || state.type === 'inReview' || (state.type === 'paused' && state.reason.type !== 'person');
}

export function isRunning(state: RunState): boolean {
  return state.type === 'working' || state.type === 'preparing' || state.type === 'delivering';
}

export function isFinal(state: RunState): boolean {
  return state.type === 'merged' || state.type === 'closed' || state.type === 'cancelled' || state.type === 'failed';
}
