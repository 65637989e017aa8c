// An owner with real sandboxes.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from '@playwright/test';
import type { Asked } from './bench';
import { program, ROOT } from './programs';

/** `nightshift serve` over a home of its own, with a model that answers from a script. */
export class RealOwner implements Asked {
  address = { url: '', token: '' };
  // Short, because sockets live below it.
  readonly home = mkdtempSync('/tmp/nsj');
  #children: ChildProcess[] = [];

  #spawn(name: string, args: string[], env: Record<string, string | undefined>): ChildProcess {
    const child = spawn(program(name), args, { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'], HOME: homedir(), ...env } });
    this.#children.push(child);
    return child;
  }

  async start(said: object): Promise<void> {
    const script = join(this.home, 'script.json');
    writeFileSync(script, JSON.stringify(said));
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
