// An owner whose sandboxes are folders of this host with a drawn screen: what needs a sandbox, without a machine.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test as base, type Browser, type BrowserContext } from '@playwright/test';
import { App, type Asked, letIn } from './bench';
import { program, ROOT } from './programs';

export interface Turn {
  say?: string;
  calls: { tool: string; input: Record<string, unknown> }[];
}

/** Turns of conversations whose system prompt has these words. */
export interface Conversation {
  when: { systemContains: string };
  turns: readonly Turn[];
}

/** A critic that reads the note in its first turn, which is number `turn` of the run, and finds the one criterion met. */
export function critic(turn: number): Conversation {
  const found = { criterion: 1, verdict: 'met', why: 'Both notes are printed.', step: `${turn}.1` };
  return {
    when: { systemContains: 'You are a critic' },
    turns: [{ calls: [{ tool: 'shell', input: { command: 'cat notes.txt' } }] }, { calls: [{ tool: 'verdict', input: { criteria: [found] } }] }],
  };
}

/** The program, and the address it told. */
export class HostedOwner implements Asked {
  address = { url: '', token: '' };
  repository = '';
  #child: ChildProcess | null = null;
  #folder = mkdtempSync(join(tmpdir(), 'nightshift-night-'));
  #log = '';

  /** With `saves`, sandboxes can be saved, and are as the agent works. */
  async start(turns: readonly Turn[], saves: boolean, conversations: readonly Conversation[]): Promise<void> {
    const script = join(this.#folder, 'script.json');
    writeFileSync(script, JSON.stringify({ turns, conversations }));
    const child = spawn(program('nightshift-night'), ['--ui', join(ROOT, 'ui/dist'), '--script', script, ...(saves ? ['--checkpoints'] : [])], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    child.stderr?.on('data', (piece: Buffer) => {
      this.#log += piece.toString();
    });
    if (child.stdout === null) throw new Error('nightshift-night has no output');
    for await (const line of createInterface({ input: child.stdout })) {
      const said = JSON.parse(line) as { url: string; token: string; repository: string };
      this.address = { url: said.url, token: said.token };
      this.repository = said.repository;
      return;
    }
    throw new Error(`nightshift-night ended at once: ${this.#log}`);
  }

  /** Ends it; a model that was asked against its provider's rules is a failure. */
  async end(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.stdin?.end();
    const code = await ended;
    rmSync(this.#folder, { recursive: true, force: true });
    if (code !== 0) throw new Error(this.#log);
  }

  async ask<T>(path: string, init: RequestInit = {}): Promise<T> {
    const answer = await fetch(`${this.address.url}/api/v1${path}`, { ...init, headers: { authorization: `Bearer ${this.address.token}`, 'content-type': 'application/json', ...init.headers } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async window(): Promise<string> {
    return (await this.ask<{ url: string }>('/session/tickets', { method: 'POST' })).url;
  }

  async submit(description: string): Promise<string> {
    return (await this.ask<{ run: string }>('/tasks', { method: 'POST', body: JSON.stringify({ description, repository: this.repository }) })).run;
  }

  async until(run: string, state: string): Promise<void> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const { summary } = await this.ask<{ summary: { state: { type: string } } }>(`/runs/${run}`);
      if (summary.state.type === state) return;
      if (Date.now() > deadline) throw new Error(`${run} is ${JSON.stringify(summary.state)} and not ${state}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Begins a night with this script of the model, for one test. */
export const test = base.extend<{ begin: (turns: readonly Turn[], saves?: boolean, conversations?: readonly Conversation[]) => Promise<{ owner: HostedOwner; app: App; context: BrowserContext }> }>({
  begin: async ({ browser, viewport, colorScheme }, use) => {
    const owners: HostedOwner[] = [];
    const contexts: BrowserContext[] = [];
    await use(async (turns, saves = false, conversations = []) => {
      const owner = new HostedOwner();
      owners.push(owner);
      await owner.start(turns, saves, conversations);
      const { app, context } = await letIn(owner, browser as Browser, { viewport, colorScheme });
      contexts.push(context);
      return { owner, app, context };
    });
    for (const context of contexts) await context.close();
    for (const owner of owners) await owner.end();
  },
});

export { expect } from '@playwright/test';
