// Writes one run's events in the order an owner would write them.

import type { Seeder } from './seeder';

export interface TaskFacts {
  description: string;
  repository: string;
  baseBranch: string;
  baseCommit: string;
  model?: string;
  dollars?: number;
  /** Which attempt it is, and the word of the task that is common to all. */
  attempt?: { task: string; number: number; of: number };
}

export interface Picture {
  artifact: string;
  mediaType: string;
  width: number;
  height: number;
}

type Body = Record<string, unknown>;

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** An id that begins with a readable word; letters that ids do not have are left out. */
export function idOf(prefix: string, word: string): string {
  const clean = [...word.toLowerCase()].filter((letter) => ALPHABET.includes(letter)).join('');
  return `${prefix}-${clean.slice(0, 10).padEnd(10, '0')}`;
}

/** A run that is being told: a clock that goes on, and events that are sent in batches of one instant. */
/** A branch as it came out of a sandbox, and how much it changes. */
export interface Received {
  head: string;
  commits: number;
  files: number;
  added: number;
  removed: number;
}

/** What backs a delivery, counted. */
export interface Tallies {
  checks?: { passed: number; failed: number };
  critic?: { met: number; notMet: number; notVerifiable: number; of: number };
}

export class RunWriter {
  readonly run: string;
  readonly task: string;
  readonly branch: string;
  readonly evidence: Body[] = [];
  readonly commands: { command: string; exitCode: number | null }[] = [];
  #turn = 0;
  #call = 0;
  #tokens = 0;
  usage = { inputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, outputTokens: 0, costMicrodollars: 0 };

  constructor(
    readonly seeder: Seeder,
    readonly word: string,
    readonly facts: TaskFacts,
    public at: number,
  ) {
    this.run = idOf('run', word);
    this.task = idOf('task', facts.attempt?.task ?? word);
    const slug = facts.description.split('\n')[0]?.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-|-$/g, '').slice(0, 40) ?? 'work';
    this.branch = `nightshift/${slug || 'work'}-${this.run.slice(4)}`;
  }

  get turns(): number {
    return this.#turn;
  }

  async append(...bodies: Body[]): Promise<void> {
    await this.seeder.send({ type: 'append', run: this.run, at: new Date(this.at).toISOString(), bodies });
  }

  pass(seconds: number): this {
    this.at += seconds * 1_000;
    return this;
  }

  async submitted(): Promise<this> {
    const { description, repository, baseBranch, baseCommit, model = 'claude-sonnet-5-5', dollars = 10 } = this.facts;
    await this.append(
      {
        type: 'runSubmitted',
        branch: this.branch,
        ...(this.facts.attempt === undefined ? {} : { attempt: { number: this.facts.attempt.number, of: this.facts.attempt.of } }),
        task: { id: this.task, description, repository, baseBranch, baseCommit, model, createdAt: new Date(this.at).toISOString(), limits: { turns: 200, tokens: 20_000_000, costMicrodollars: dollars * 1_000_000, seconds: 7_200 } },
      },
      { type: 'stateChanged', state: { type: 'queued', reason: { type: 'submitted' } } },
    );
    return this;
  }

  state(state: Body): Promise<void> {
    return this.append({ type: 'stateChanged', state });
  }

  /** From the queue to work: sandbox, repository, conversation. */
  async begins(): Promise<this> {
    const sandbox = idOf('sandbox', this.word);
    await this.pass(4).state({ type: 'preparing', phase: 'sandbox' });
    await this.append({ type: 'sandboxRequested', sandbox });
    await this.pass(2).append({ type: 'sandboxReady', sandbox, facts: { driver: 'qemu', acceleration: 'kvm', template: 'desktop-4f1c', firstFrameMs: 410, shellMs: 980, readyMs: 1_120 } }, { type: 'stateChanged', state: { type: 'preparing', phase: 'repository' } });
    await this.pass(1).append({ type: 'repositoryImported', commit: this.facts.baseCommit }, { type: 'conversationStarted', system: 'You are an agent.', message: { type: 'user', content: [{ type: 'text', text: this.facts.description }] } });
    await this.state({ type: 'working' });
    return this;
  }

  /** One model call: its words and the tool calls it asks for. */
  async turn(say: string, calls: { tool: string; input: Body }[]): Promise<void> {
    this.#turn += 1;
    this.#call = 0;
    this.#tokens += 1_400 + calls.length * 350;
    const usage = { inputTokens: 900, cacheReadTokens: this.#tokens * 3, cacheWriteTokens: 1_200, outputTokens: 240 + say.length, costMicrodollars: 14_000 + this.#tokens * 2 };
    for (const key of Object.keys(usage) as (keyof typeof usage)[]) this.usage[key] += usage[key];
    const blocks: Body[] = say === '' ? [] : [{ type: 'text', text: say }];
    for (const [index, call] of calls.entries()) blocks.push({ type: 'toolCall', call: { id: `call_${this.#turn}_${index + 1}`, name: call.tool, input: call.input } });
    await this.append({ type: 'turnRequested', turn: this.#turn });
    await this.pass(6).append({ type: 'turnFinished', turn: this.#turn, message: { type: 'assistant', blocks, verbatim: null }, stop: calls.length > 0 ? { type: 'toolUse' } : { type: 'endTurn' }, usage, model: this.facts.model ?? 'claude-sonnet-5-5' });
  }

  /** Many model calls that only say something, a second apart, in few batches. */
  async talks(words: readonly string[]): Promise<void> {
    const usage = { inputTokens: 900, cacheReadTokens: 0, cacheWriteTokens: 0, outputTokens: 90, costMicrodollars: 1_000 };
    for (let from = 0; from < words.length; from += 100) {
      const bodies = words.slice(from, from + 100).flatMap((text) => {
        this.#turn += 1;
        const message = { type: 'assistant', blocks: [{ type: 'text', text }], verbatim: null };
        return [{ type: 'turnRequested', turn: this.#turn }, { type: 'turnFinished', turn: this.#turn, message, stop: { type: 'endTurn' }, usage, model: this.facts.model ?? 'claude-sonnet-5-5' }];
      });
      await this.pass(100).append(...bodies);
    }
  }

  /** Carries a call of the newest turn out. */
  async step(tool: string, input: Body, result: { text?: string; picture?: Picture; exitCode?: number; failed?: boolean; seconds?: number; write?: Body; output?: string } = {}): Promise<string> {
    this.#call += 1;
    const step = `${this.#turn}.${this.#call}`;
    const call = `call_${this.#turn}_${this.#call}`;
    await this.append({ type: 'stepIntended', step, call: { id: call, name: tool, input }, ...(result.write === undefined ? {} : { write: result.write }) });
    const seconds = result.seconds ?? 0.4;
    const content: Body[] = [];
    if (result.text !== undefined) content.push({ type: 'text', text: result.text });
    if (result.picture !== undefined) content.push({ type: 'image', image: result.picture });
    await this.pass(seconds).append({
      type: 'stepFinished',
      step,
      call,
      outcome: result.failed === true ? 'failed' : 'done',
      content,
      tookMs: Math.round(seconds * 1_000),
      ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
      ...(result.output === undefined ? {} : { output: result.output }),
    });
    if (tool === 'shell') this.commands.push({ command: String(input['command']), exitCode: result.exitCode ?? null });
    return step;
  }

  async shell(command: string, text: string, exitCode = 0, seconds = 2): Promise<string> {
    return this.step('shell', { command }, { text, exitCode, seconds, failed: false });
  }

  async plan(steps: readonly string[], done: number): Promise<void> {
    const plan = { steps: steps.map((title, index) => ({ title, state: index < done ? 'done' : index === done ? 'active' : 'pending' })) };
    await this.step('plan', plan, { text: 'Recorded.', seconds: 0.01 });
    await this.append({ type: 'planChanged', plan });
  }

  async prove(claim: string, source: Body): Promise<void> {
    const evidence = { claim, source };
    await this.step('evidence', { claim, step: source['step'] }, { text: 'Noted.', seconds: 0.01 });
    await this.append({ type: 'evidenceNoted', evidence });
    this.evidence.push(evidence);
  }

  async stops(reason: string): Promise<void> {
    await this.append({ type: 'sandboxStopped', sandbox: idOf('sandbox', this.word), reason });
  }

  /** Leaves the run as it is while a model call is under way: whoever takes it up asks the model. */
  async thinks(): Promise<void> {
    this.#turn += 1;
    await this.append({ type: 'turnRequested', turn: this.#turn });
  }

  /** From finished work to an open pull request. */
  async delivers(title: string, summary: string, notVerified: string, received: Received, tallies: Tallies = {}): Promise<number> {
    const { head, commits, ...size } = received;
    await this.append({ type: 'workFinished', title, summary, notVerified });
    await this.pass(1).append({ type: 'stateChanged', state: { type: 'delivering' } }, { type: 'deliveryIntended', branch: this.branch });
    const measure = { ...size, reworkedPercent: 0, unbackedCriteria: 0, notVerified: notVerified !== '', disputed: false, ...tallies };
    await this.pass(3).append({ type: 'branchReceived', branch: this.branch, head, commits }, { type: 'deliveryChecked', head, target: 'local', findings: [], measure });
    const { number } = await this.seeder.send<{ number: number }>({
      type: 'open',
      source: this.facts.repository,
      title,
      summary,
      notVerified,
      branch: this.branch,
      base: this.facts.baseBranch,
      baseCommit: this.facts.baseCommit,
      head,
      task: this.task,
      run: this.run,
      evidence: this.evidence,
      commands: this.commands,
      model: this.facts.model ?? 'claude-sonnet-5-5',
      turns: this.#turn,
      usage: this.usage,
      seconds: 420,
      at: new Date(this.at).toISOString(),
    });
    await this.append({ type: 'pullRequestOpened', pullRequest: number }, { type: 'stateChanged', state: { type: 'inReview', pullRequest: number } });
    await this.pass(1).stops('the work is delivered');
    return number;
  }

  async merges(number: number): Promise<void> {
    await this.seeder.send({ type: 'merge', source: this.facts.repository, number, at: new Date(this.at).toISOString() });
    await this.state({ type: 'merged', pullRequest: number });
  }

  async closes(number: number): Promise<void> {
    await this.seeder.send({ type: 'close', source: this.facts.repository, number, at: new Date(this.at).toISOString() });
    await this.state({ type: 'closed', pullRequest: number });
  }
}
