// A run as its events tell it: the fold behind the Run place. It never asks the owner, never reads the clock.

import type { EngineActionKind, Evidence, Image, IntendedWrite, Plan, RunEvent, RunState, SelfReview, Task, Usage } from '@/backend/types';
import { duration, timeOfDay } from '@/text/format';
import { outcomeTone, outcomeWords } from './self-review';
import { type Point, type StepKind, wordsOf } from './step';

export interface Step {
  id: string;
  /** The event that intended it. */
  seq: number;
  at: string;
  /** The event with its outcome; `null` while it is under way. */
  endSeq: number | null;
  turn: number;
  /** The subagent whose step it is; `null` where it is the run's own agent's. */
  by: string | null;
  tool: string;
  input: unknown;
  kind: StepKind;
  verb: string;
  object: string;
  point: Point | null;
  outcome: 'done' | 'failed' | null;
  exitCode: number | null;
  tookMs: number | null;
  /** What the model read of the result. */
  text: string;
  image: Image | null;
  /** The whole output where `text` is shortened. */
  output: string | null;
  write: IntendedWrite | null;
  reconciled: string | null;
}

export type NoteTone = 'plain' | 'good' | 'bad' | 'lamp';

/** A line of the timeline that is no step. */
export interface Note {
  seq: number;
  at: string;
  text: string;
  tone: NoteTone;
}

export interface Said {
  seq: number;
  at: string;
  who: 'person' | 'agent' | 'critic' | 'question' | 'subagent';
  /** Which subagent. */
  by?: string;
  text: string;
}

export interface Shot {
  seq: number;
  at: string;
  image: Image;
  /** The step that looked; `null` where it was taken because a person came or left. */
  step: Step | null;
}

/** A moment the whole machine can go back to. */
export interface Checkpoint {
  seq: number;
  at: string;
  id: string;
  /** What led there. */
  road: Road;
  /** Whether a critic was at work. */
  critic: boolean;
}

/** The events that led to where a run is, as stretches from one seq to another: without those that it went back behind. */
export type Road = readonly { from: number; to: number }[];

export type Row = { type: 'step'; seq: number; step: Step } | { type: 'note'; seq: number; note: Note } | { type: 'said'; seq: number; said: Said };

/** How long a run's agent has worked, by the owner's own rule: not while the owner was away, or a person had the mouse. */
export interface Clock {
  workedMs: number;
  /** When the newest event was, in milliseconds since 1970. */
  lastAt: number;
  works: boolean;
  takenOver: boolean;
  /** The sandbox is saved and does not run. */
  suspended: boolean;
}

/** Everything known of a run. It is changed in place by `tell`, which also raises `version`. */
export interface Story {
  version: number;
  lastSeq: number;
  task: Task | null;
  branch: string;
  state: RunState | null;
  steps: Step[];
  rows: Row[];
  plans: { seq: number; plan: Plan }[];
  shots: Shot[];
  said: Said[];
  evidence: { seq: number; evidence: Evidence }[];
  /** What critics found, in order. */
  selfReviews: { seq: number; review: SelfReview }[];
  /** Whether turns are a critic's now. */
  critic: boolean;
  /** The names of subagents by their numbers. */
  subagents: Map<number, string>;
  checkpoints: Checkpoint[];
  /** The roads that the run was on, each from the event on that led to it. */
  roads: { seq: number; road: Road }[];
  /** What all model calls have used, those for summaries among them. */
  spent: { costMicrodollars: number; tokens: number };
  /** The time that counts for the limit, up to the newest event. */
  clock: Clock;
  turns: { seq: number; at: string; turn: number; usage: Usage; model: string }[];
  finished: { title: string; summary: string; notVerified: string } | null;
  pullRequest: number | null;
  /** Whether there is a machine to look at. */
  hasSandbox: boolean;
  byId: Map<string, Step>;
}

export function emptyStory(): Story {
  return {
    version: 0,
    lastSeq: 0,
    task: null,
    branch: '',
    state: null,
    steps: [],
    rows: [],
    plans: [],
    shots: [],
    said: [],
    evidence: [],
    selfReviews: [],
    critic: false,
    subagents: new Map(),
    checkpoints: [],
    roads: [{ seq: 0, road: [{ from: 0, to: Number.POSITIVE_INFINITY }] }],
    spent: { costMicrodollars: 0, tokens: 0 },
    clock: { workedMs: 0, lastAt: 0, works: false, takenOver: false, suspended: false },
    turns: [],
    finished: null,
    pullRequest: null,
    hasSandbox: false,
    byId: new Map(),
  };
}

/** Turns of subagent number N are numbered from N times this on. */
const TURNS_OF_SUBAGENT = 10_000;

/** The subagent whose turn it is; `null` where it is the run's own agent's. */
function whose(story: Story, turn: number): string | null {
  const number = Math.floor(turn / TURNS_OF_SUBAGENT);
  return number === 0 ? null : (story.subagents.get(number) ?? `subagent ${number}`);
}

/** What is said of a model call of which it is not known what it used. */
function unanswered(usage: Usage): string {
  return usage.outputTokens > 0 ? 'gave no answer that is known; it counts as the most it may have used' : 'gave no answer';
}

/** What a foreign agent does by a tool of its own. */
function engineVerb(kind: EngineActionKind): string {
  switch (kind) {
    case 'read':
      return 'Reads';
    case 'edit':
      return 'Edits';
    case 'delete':
      return 'Removes';
    case 'move':
      return 'Moves';
    case 'search':
      return 'Searches:';
    case 'execute':
      return 'Runs';
    case 'think':
      return 'Thinks:';
    case 'fetch':
      return 'Fetches';
    case 'other':
      return 'Does:';
  }
}

/** What became of an event: taken, known already, or too early because one before it is missing. */
export type Told = 'taken' | 'known' | 'gap';

const seconds = (ms: number) => (ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`);

function stateNote(state: RunState): { text: string; tone: NoteTone } | null {
  switch (state.type) {
    case 'paused':
      switch (state.reason.type) {
        case 'person':
          return { text: 'Paused by you', tone: 'plain' };
        case 'limit':
          return { text: `Paused at a limit: ${state.reason.limit}`, tone: 'lamp' };
        case 'trouble':
          return { text: `Paused: ${state.reason.error.message}`, tone: 'bad' };
        default:
          return { text: 'Paused', tone: 'plain' };
      }
    case 'failed':
      return { text: `Failed: ${state.reason.error.message}`, tone: 'bad' };
    case 'cancelled':
      return { text: 'Cancelled', tone: 'plain' };
    case 'merged':
      return { text: 'Merged', tone: 'good' };
    case 'closed':
      return { text: 'Closed without merging', tone: 'plain' };
    case 'delivering':
      return { text: 'Delivering the branch', tone: 'plain' };
    default:
      return null;
  }
}

function resultText(content: readonly { type: string; text?: string }[]): string {
  return content.flatMap((part) => (part.type === 'text' && part.text !== undefined ? [part.text] : [])).join('\n');
}

/** Adds an event. Events come in the order of their seq; others are reported and change nothing. */
export function tell(story: Story, event: RunEvent): Told {
  if (event.seq <= story.lastSeq) return 'known';
  if (event.seq !== story.lastSeq + 1) return 'gap';
  story.lastSeq = event.seq;
  story.version += 1;
  const { seq, at } = event;
  countTime(story, event);
  const note = (text: string, tone: NoteTone = 'plain') => {
    story.rows.push({ type: 'note', seq, note: { seq, at, text, tone } });
  };
  const say = (who: Said['who'], text: string, by?: string) => {
    const said: Said = { seq, at, who, text, ...(by === undefined ? {} : { by }) };
    story.said.push(said);
    story.rows.push({ type: 'said', seq, said });
  };
  const spend = ({ costMicrodollars, inputTokens, cacheReadTokens, cacheWriteTokens, outputTokens }: Usage) => {
    story.spent = { costMicrodollars: story.spent.costMicrodollars + costMicrodollars, tokens: story.spent.tokens + inputTokens + cacheReadTokens + cacheWriteTokens + outputTokens };
  };
  switch (event.type) {
    case 'runSubmitted':
      story.task = event.task;
      story.branch = event.branch;
      note('Submitted');
      break;
    case 'stateChanged': {
      story.state = event.state;
      const words = stateNote(event.state);
      if (words !== null) note(words.text, words.tone);
      // The tool call that asks has no result yet; the question is in the state.
      if (event.state.type === 'waiting') say('question', event.state.question);
      break;
    }
    case 'sandboxReady':
      story.hasSandbox = true;
      note(`Sandbox ready in ${seconds(event.facts.readyMs)}`);
      break;
    case 'sandboxStopped':
      story.hasSandbox = false;
      note(`Sandbox stopped: ${event.reason}`);
      break;
    case 'repositoryImported':
      note(`Repository at ${event.commit.slice(0, 8)}`);
      break;
    case 'turnRetried':
      note(`Model call ${event.turn} is tried again in ${seconds(event.waitMs)}: ${event.reason}`);
      break;
    case 'limitsRaised':
      if (story.task !== null) story.task = { ...story.task, limits: event.limits };
      note('You raised the limits');
      break;
    case 'compacted':
      spend(event.usage);
      break;
    case 'turnLost':
      spend(event.usage);
      note(`A try of model call ${event.turn} brought no answer; what it used is paid`);
      break;
    case 'turnFinished': {
      spend(event.usage);
      story.turns.push({ seq, at, turn: event.turn, usage: event.usage, model: event.model });
      if (event.message.type === 'assistant') {
        const words = event.message.blocks.flatMap((block) => (block.type === 'text' && block.text.trim() !== '' ? [block.text.trim()] : []));
        const by = whose(story, event.turn);
        if (words.length > 0 && by !== null) say('subagent', words.join('\n\n'), by);
        else if (words.length > 0) say(story.critic ? 'critic' : 'agent', words.join('\n\n'));
      }
      break;
    }
    case 'stepIntended': {
      const step: Step = {
        id: event.step,
        seq,
        at,
        endSeq: null,
        turn: Number.parseInt(event.step, 10) || 0,
        by: whose(story, Number.parseInt(event.step, 10) || 0),
        tool: event.call.name,
        input: event.call.input,
        ...wordsOf(event.call.name, event.call.input),
        outcome: null,
        exitCode: null,
        tookMs: null,
        text: '',
        image: null,
        output: null,
        write: event.write ?? null,
        reconciled: null,
      };
      story.steps.push(step);
      story.byId.set(step.id, step);
      story.rows.push({ type: 'step', seq, step });
      break;
    }
    case 'stepFinished': {
      const step = story.byId.get(event.step);
      if (step === undefined) break;
      step.endSeq = seq;
      step.outcome = event.outcome;
      step.exitCode = event.exitCode ?? null;
      step.tookMs = event.tookMs;
      step.text = resultText(event.content);
      step.output = event.output ?? null;
      step.reconciled = event.reconciled ?? null;
      for (const part of event.content) if (part.type === 'image') step.image = part.image;
      // A closer look is no picture of the whole screen, and a server's is its own.
      if (step.image !== null && step.verb !== 'Look closer' && step.kind !== 'server') story.shots.push({ seq, at, image: step.image, step });
      break;
    }
    case 'planChanged':
      story.plans.push({ seq, plan: event.plan });
      break;
    case 'evidenceNoted':
      story.evidence.push({ seq, evidence: event.evidence });
      break;
    case 'personSaid':
      say('person', event.text);
      break;
    case 'approvalDecided':
      note(event.decision.type === 'approved' ? `You allowed step ${event.step}` : `You did not allow step ${event.step}`, 'lamp');
      break;
    case 'selfReviewBegun':
      story.critic = true;
      note(`Self-review, round ${event.round}: a critic with a fresh context looks at the work`, 'lamp');
      break;
    case 'selfReviewed':
      story.critic = false;
      story.selfReviews.push({ seq, review: event.review });
      note(`Self-review, round ${event.review.round}: ${outcomeWords(event.review)}`, outcomeTone(event.review));
      break;
    case 'mcpServersStarted':
      if (event.problem != null) note(`.mcp.json: ${event.problem}`, 'bad');
      for (const server of event.servers) {
        const { state, tools = [], notes = [] } = server;
        if (state.type === 'ready') note(`Server ${server.name}: ${tools.length} ${tools.length === 1 ? 'tool' : 'tools'}`);
        else note(`Server ${server.name} was not started: ${state.reason}`, 'bad');
        for (const said of notes) note(`Server ${server.name}: ${said}`);
      }
      break;
    case 'subagentStarted': {
      const { number, name, title, background, rule } = event.subagent;
      story.subagents.set(number, name);
      note(`${name} works${background ? ' beside the agent' : ''}: ${title}${rule == null ? '' : ` (rule: ${rule})`}`, 'lamp');
      break;
    }
    case 'engineStarted':
      note(`${event.agent} ${event.resumed ? 'goes on' : 'begins'} (${event.engine})`, 'lamp');
      break;
    case 'engineSaid':
      say('agent', event.text);
      break;
    case 'engineActed':
      if (event.action.status === 'begun') note(`${engineVerb(event.action.kind)} ${event.action.title}`);
      if (event.action.status === 'failed') note(`Failed: ${event.action.title}${event.action.detail == null ? '' : `: ${event.action.detail}`}`, 'bad');
      break;
    case 'engineCalledModel': {
      const { refused, status, model, usage } = event.call;
      spend(usage);
      const answered = status != null && status >= 200 && status <= 299;
      if (refused != null) note(`A call of ${model} was not made: ${refused}`, 'bad');
      else if (!answered) note(`${model} ${status == null ? unanswered(usage) : `answered with status ${status}`}`, 'bad');
      if (refused == null && (answered || (status == null && usage.outputTokens > 0))) story.turns.push({ seq, at, turn: event.turn, usage, model });
      break;
    }
    case 'subagentSaid':
      say('subagent', event.text, story.subagents.get(event.number) ?? `subagent ${event.number}`);
      break;
    case 'subagentTold':
      note(`To ${story.subagents.get(event.number) ?? `subagent ${event.number}`}: ${event.text}`);
      break;
    case 'subagentFinished': {
      const name = story.subagents.get(event.number) ?? `subagent ${event.number}`;
      const commits = event.work != null && event.work.type !== 'nothing' ? `${event.work.commits} ${event.work.commits === 1 ? 'commit' : 'commits'} ${event.work.type === 'joined' ? 'joined' : 'apart'}` : '';
      const how = event.outcome.type === 'reported' ? 'reported' : `ended without a report: ${event.outcome.reason}`;
      note(`${name} ${how}${commits === '' ? '' : `; ${commits}`}`, event.outcome.type === 'reported' && event.work?.type !== 'apart' ? 'good' : 'bad');
      break;
    }
    case 'workFinished':
      story.finished = { title: event.title, summary: event.summary, notVerified: event.notVerified };
      break;
    case 'branchReceived':
      note(`Branch received: ${event.commits} ${event.commits === 1 ? 'commit' : 'commits'}`);
      break;
    case 'pullRequestOpened':
      story.pullRequest = event.pullRequest;
      note(`Pull request #${event.pullRequest} opened`, 'good');
      break;
    case 'pullRequestDescribed':
      note('Pull request brought up to date', 'good');
      break;
    case 'lintRan':
      note(event.exitCode === 0 ? 'The lint passed' : 'The lint failed', event.exitCode === 0 ? 'good' : 'lamp');
      break;
    case 'pictureKept':
      note('A picture stays on this machine');
      break;
    case 'pullRequestReadied':
      note(event.whyNot == null ? 'Pull request ready for reviewers' : 'The pull request stays a draft', event.whyNot == null ? 'good' : 'lamp');
      break;
    case 'issueTold':
      note(`Linked under issue #${event.number}`);
      break;
    case 'feedbackReceived':
      note(`Changes were asked for: ${event.items.length} ${event.items.length === 1 ? 'remark' : 'remarks'}`, 'lamp');
      break;
    case 'feedbackAnswered': {
      const settled = event.answers.filter((answer) => answer.settled).length;
      note(`The agent answered ${event.answers.length} ${event.answers.length === 1 ? 'remark' : 'remarks'}, ${settled} resolved`);
      break;
    }
    case 'baseBroughtIn':
      note('The base branch was brought into the sandbox');
      break;
    case 'reviewApproved':
      note('You approved the work', 'good');
      break;
    case 'checkpointSaved':
      story.checkpoints.push({ seq, at, id: event.checkpoint, road: (story.roads.at(-1)?.road ?? []).map(({ from, to }) => ({ from, to: Math.min(to, seq) })), critic: story.critic });
      // Those that come by themselves every few steps are marks on the bar; a line for each would drown the steps.
      if (event.cause !== 'steps') note('Checkpoint');
      break;
    case 'checkpointFailed':
      note('A checkpoint could not be saved');
      break;
    case 'checkpointRemoved': {
      const place = story.checkpoints.findIndex((each) => each.id === event.checkpoint);
      if (place >= 0) story.checkpoints.splice(place, 1);
      break;
    }
    case 'rewound': {
      const to = story.checkpoints.find((each) => each.id === event.checkpoint);
      if (to !== undefined) {
        story.roads.push({ seq, road: [...to.road, { from: seq, to: Number.POSITIVE_INFINITY }] });
        story.critic = to.critic;
      }
      note(to === undefined ? 'Went back to a checkpoint' : `Went back to ${timeOfDay(Date.parse(to.at))}`, 'lamp');
      break;
    }
    case 'sandboxRestored':
      story.hasSandbox = true;
      note(`Sandbox restored in ${seconds(event.tookMs)}`);
      break;
    case 'runForked':
      note(`Forked from ${event.from}`);
      break;
    case 'takenOver':
      if (event.screen != null) story.shots.push({ seq, at, image: event.screen, step: null });
      note('You took over mouse and keyboard', 'lamp');
      break;
    case 'handedBack':
      if (event.screen != null) story.shots.push({ seq, at, image: event.screen, step: null });
      note(`You handed back after ${seconds(event.seconds * 1_000)}`, 'lamp');
      break;
    case 'ownerResumed':
      note(`The owner was restarted: ${event.found}`);
      break;
    case 'hostSlept':
      note(`The computer slept for ${duration(event.seconds * 1_000)}`);
      break;
    default:
      // Turn requests, the conversation's beginning, and events of a newer owner are nothing to look at.
      break;
  }
  return 'taken';
}

/** The index of the last item at or before `seq`; -1 if there is none. Items are ordered by seq. */
export function lastAt(items: readonly { seq: number }[], seq: number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((items[middle]?.seq ?? Number.POSITIVE_INFINITY) <= seq) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The newest item at or before a moment; of all time if `moment` is `null`. */
export function asOf<T extends { seq: number }>(items: readonly T[], moment: number | null): T | null {
  return (moment === null ? items.at(-1) : items[lastAt(items, moment)]) ?? null;
}

/** The items up to a moment; all of them if `moment` is `null`. */
export function upTo<T extends { seq: number }>(items: readonly T[], moment: number | null): readonly T[] {
  return moment === null ? items : items.slice(0, lastAt(items, moment) + 1);
}

/** Whether something is on the road that the run was on at a moment, or is on now if `moment` is `null`. */
export function onRoad(roads: Story['roads'], moment: number | null): (seq: number) => boolean {
  const road = asOf(roads, moment)?.road ?? [];
  return (seq) => road.some(({ from, to }) => seq >= from && seq <= to);
}

const counts = ({ works, takenOver, suspended }: Clock) => works && !takenOver && !suspended;

/** Takes the time up to an event in, and what the event says about the time after it. */
function countTime({ clock }: Story, event: RunEvent): void {
  // The owner's notes on connections are no part of what the run does.
  if (event.type === 'connectionsRecorded') return;
  const at = Date.parse(event.at);
  // Nobody works while the owner is away or its computer sleeps.
  const away = event.type === 'ownerResumed' ? Number.POSITIVE_INFINITY : event.type === 'hostSlept' ? event.seconds * 1_000 : 0;
  if (counts(clock)) clock.workedMs += Math.max(0, at - clock.lastAt - away);
  clock.lastAt = at;
  switch (event.type) {
    case 'stateChanged':
      clock.works = event.state.type === 'working';
      break;
    case 'takenOver':
      clock.takenOver = true;
      break;
    case 'handedBack':
      clock.takenOver = false;
      break;
    case 'checkpointSaved':
      if (event.cause === 'suspended') clock.suspended = true;
      break;
    case 'rewound':
    case 'runForked':
      clock.suspended = true;
      break;
    case 'sandboxReady':
    case 'sandboxRestored':
    case 'sandboxStopped':
      clock.suspended = false;
      break;
    default:
      break;
  }
}

/** How long a run's agent has worked, in milliseconds, as its limit counts it; `now` is `null` where the newest event is all that is known. */
export function workedMs({ clock }: Story, now: number | null): number {
  return clock.workedMs + (now !== null && counts(clock) ? Math.max(0, now - clock.lastAt) : 0);
}
