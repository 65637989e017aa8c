// A real sandbox, from the task to the merge, by the app alone: the agent's screen is watched on the canvas, taken over,
// clicked in and handed back.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from '@playwright/test';
import { type Asked, letIn } from './bench';
import { look, placeOf } from './canvas';
import { critic } from './hosted';
import { program, ROOT } from './programs';
import { newRepository } from './repository';

/** How long the way from the click that submits to the merge may take, in milliseconds, on a machine that translates instructions. */
const JOURNEY = 90_000;

const TURNS = [
  { calls: [{ tool: 'shell', input: { command: 'echo two >> notes.txt && git commit -qam Note && cat notes.txt' } }, { tool: 'computer', input: { action: 'screenshot' } }] },
  { calls: [{ tool: 'ask', input: { question: 'Is the note where you want it?' } }] },
  { calls: [{ tool: 'evidence', input: { claim: 'There are two notes.', step: '1.1', criterion: 1 } }] },
  { calls: [{ tool: 'finish', input: { title: 'Add a note', summary: 'There is a second note now.' } }] },
];

class RealOwner implements Asked {
  address = { url: '', token: '' };
  // Short, because sockets live below it.
  readonly home = mkdtempSync('/tmp/nsj');
  #children: ChildProcess[] = [];

  #spawn(name: string, args: string[], env: Record<string, string | undefined>): ChildProcess {
    const child = spawn(program(name), args, { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'], HOME: homedir(), ...env } });
    this.#children.push(child);
    return child;
  }

  async start(): Promise<void> {
    const script = join(this.home, 'script.json');
    writeFileSync(script, JSON.stringify({ turns: TURNS, conversations: [critic(TURNS.length + 1)] }));
    const model = this.#spawn('nightshift-scripted-model', ['--script', script, '--log', join(this.home, 'model.log')], {});
    let listening = '';
    if (model.stdout !== null) {
      for await (const line of createInterface({ input: model.stdout })) {
        listening = (JSON.parse(line) as { listening: string }).listening;
        break;
      }
    }
    this.#spawn('nightshift', ['serve'], {
      NIGHTSHIFT_HOME: this.home,
      XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'],
      NIGHTSHIFT_VM_IMAGES: process.env['NIGHTSHIFT_VM_IMAGES'] ?? join(ROOT, 'vm-images'),
      NIGHTSHIFT_GUEST: process.env['NIGHTSHIFT_GUEST'],
      NIGHTSHIFT_UI: join(ROOT, 'ui/dist'),
      NIGHTSHIFT_LOG: 'warn',
      ANTHROPIC_API_KEY: 'scripted',
      ANTHROPIC_BASE_URL: listening,
    });
    await expect
      .poll(
        () => {
          try {
            this.address = JSON.parse(readFileSync(join(this.home, 'data/owner.json'), 'utf8')) as { url: string; token: string };
          } catch {
            // It is not there yet.
          }
          return this.address.url;
        },
        { timeout: 30_000 },
      )
      .not.toBe('');
    await this.ask('/health');
  }

  async ask<T>(path: string, init: RequestInit = {}): Promise<T> {
    const answer = await fetch(`${this.address.url}/api/v1${path}`, { ...init, headers: { authorization: `Bearer ${this.address.token}`, 'content-type': 'application/json', ...init.headers } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async window(): Promise<string> {
    return (await this.ask<{ url: string }>('/session/tickets', { method: 'POST' })).url;
  }

  /** Ends everything; machines too, which would outlive their owner. */
  async end(): Promise<void> {
    const { runs } = await this.ask<{ runs: { run: string }[] }>('/runs?state=unfinished').catch(() => ({ runs: [] }));
    for (const { run } of runs) {
      await this.ask(`/runs/${run}/cancel`, { method: 'POST' }).catch(() => undefined);
      // A run whose work is in review is closed, which ends its machine too.
      await this.ask(`/pull-requests/${run}/close`, { method: 'POST' }).catch(() => undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    for (const child of this.#children.reverse()) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null && child.kill()) await ended;
    }
    rmSync(this.home, { recursive: true, force: true });
  }
}

test('a task in a real sandbox is submitted, watched, taken over, clicked in, handed back, reviewed and merged', async ({ browser }) => {
  const owner = new RealOwner();
  try {
    await owner.start();
    // The template is made before, so that only the journey is timed.
    await owner.ask('/template', { method: 'POST' });
    const repository = newRepository(join(owner.home, 'notes'), { 'notes.txt': 'one\n' });
    const { app, context } = await letIn(owner, browser, { viewport: { width: 1280, height: 800 } });
    const { page } = app;
    await app.goto('/new');
    await page.getByLabel('What is to be done?').fill('Add a second note');
    await page.getByLabel('Acceptance criteria').fill('There are two notes');
    await page.getByLabel('Repository').fill(repository);
    const began = Date.now();
    await page.getByRole('button', { name: /Start in the background/ }).click();
    await expect(page).toHaveURL(/\/runs\/run-/);
    const within = { timeout: JOURNEY };
    await expect(page.getByRole('log').getByText('Is the note where you want it?')).toBeVisible(within);
    // The desktop with its browser is on the canvas, in the sandbox's own size.
    const bar = { x: 0, y: 0, width: 1_280, height: 110 };
    await expect.poll(async () => (await look(page, bar)).width, within).toBe(1_280);
    await expect.poll(async () => (await look(page, bar)).colours, within).toBeGreaterThan(20);
    const before = await look(page, bar);
    await page.keyboard.press('o');
    await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
    // What is typed into the browser's bar is seen there.
    const there = await placeOf(page, 500, 62);
    await page.mouse.click(there.x, there.y);
    await page.keyboard.press('Control+l');
    await page.keyboard.type('nightshift', { delay: 20 });
    await expect.poll(async () => (await look(page, bar)).sum, within).not.toBe(before.sum);
    await page.getByLabel('What the agent should know').fill('I had a look');
    await page.getByRole('button', { name: 'Hand back' }).click();
    await expect(page.getByText('You watch. The agent has mouse and keyboard.')).toBeVisible();
    await page.getByRole('textbox', { name: /Answer|Steer/ }).fill('Yes');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Review', exact: true }).click(within);
    await expect(page.getByText('There are two notes.').first()).toBeVisible();
    await expect(page.getByText('Round 1 of 2: every criterion is met')).toBeVisible();
    await page.getByRole('button', { name: 'Approve and merge' }).click();
    await page.getByRole('button', { name: 'Merge', exact: true }).click();
    await expect(page.getByText(/Merged into main as [0-9a-f]{8}/)).toBeVisible();
    const took = Date.now() - began;
    const run = new URL(page.url()).pathname.split('/')[2] ?? '';
    const events = await owner.ask<{ type: string; summary?: string; screen?: { width: number } | null }[]>(`/runs/${run}/events?after=0`);
    const handed = events.find((event) => event.type === 'handedBack');
    expect(handed?.summary).toMatch(/1 click.*I had a look/s);
    expect(handed?.screen?.width).toBe(1_280);
    expect(app.errors).toEqual([]);
    expect(took, 'the journey in milliseconds').toBeLessThan(JOURNEY);
    process.stderr.write(`the journey took ${(took / 1_000).toFixed(1)} s\n`);
    await context.close();
  } finally {
    await owner.end();
  }
});
