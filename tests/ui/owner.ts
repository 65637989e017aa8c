import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { program, ROOT } from './programs';

interface Address {
  url: string;
  token: string;
}

/** `nightshift serve` over a home, with a model on the wire that thinks for ever: runs that work go on working. */
export class Owner {
  #child: ChildProcess | null = null;
  #model: Server | null = null;
  address: Address = { url: '', token: '' };
  port = 0;

  /** `key` is the provider's, as the environment has it; `null` for an owner that has none. */
  constructor(
    readonly home: string,
    readonly key: string | null = 'a-key-for-tests',
  ) {}

  async start(): Promise<void> {
    this.#model ??= await thinkingModel();
    const { port } = this.#model.address() as AddressInfo;
    const data = join(this.home, 'data');
    rmSync(join(data, 'owner.json'), { force: true });
    const child = spawn(program('nightshift'), ['serve', '--port', String(this.port)], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        HOME: this.home,
        NIGHTSHIFT_HOME: this.home,
        XDG_CACHE_HOME: join(this.home, 'cache'),
        NIGHTSHIFT_VM_IMAGES: join(ROOT, 'vm-images'),
        NIGHTSHIFT_UI: join(ROOT, 'ui/dist'),
        ...(this.key === null ? {} : { ANTHROPIC_API_KEY: this.key }),
        ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`,
        // Only git: a run that gets room must not begin to build a guest image here.
        PATH: onlyGit(this.home),
      },
    });
    this.#child = child;
    let log = '';
    child.stderr?.on('data', (piece: Buffer) => {
      log += piece.toString();
    });
    const deadline = Date.now() + 30_000;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the owner ended at once: ${log}`);
      const found = read(join(data, 'owner.json'));
      if (found !== null) {
        const health = await fetch(`${found.url}/api/v1/health`, { headers: { authorization: `Bearer ${found.token}` } }).catch(() => null);
        if (health?.ok === true) {
          this.address = found;
          // The same address when it comes back: the page that was open goes on.
          this.port = Number(new URL(found.url).port);
          return;
        }
      }
      if (Date.now() > deadline) throw new Error(`the owner does not answer: ${log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends it as a person would, or as a crash does. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
    this.#child = null;
  }

  async end(): Promise<void> {
    await this.stop();
    this.#model?.closeAllConnections();
    this.#model?.close();
  }

  /** Asks the API as a script would. */
  async ask<T>(path: string, init: RequestInit = {}): Promise<T> {
    const answer = await fetch(`${this.address.url}/api/v1${path}`, { ...init, headers: { authorization: `Bearer ${this.address.token}`, 'content-type': 'application/json', ...init.headers } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  /** The address a window is opened with; each lets one browser in. */
  async window(): Promise<string> {
    return (await this.ask<{ url: string }>('/session/tickets', { method: 'POST' })).url;
  }
}

function read(file: string): Address | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Address;
  } catch {
    return null;
  }
}

function onlyGit(home: string): string {
  const folder = join(home, 'programs');
  mkdirSync(folder, { recursive: true });
  for (const [name, path] of [['git', '/usr/bin/git'], ['sh', '/bin/sh']] as const) {
    if (!existsSync(join(folder, name))) symlinkSync(path, join(folder, name));
  }
  writeFileSync(join(home, 'config.toml'), 'sandboxes = 3\n');
  return folder;
}

/** The provider's real protocol, and an answer that never ends: a word every half second. */
async function thinkingModel(): Promise<Server> {
  const words = 'The retry waits twice as long each time, so the third attempt is at 800 ms. I look at how the clock is passed in before I change it. '.split(' ');
  const server = createServer((request, response) => {
    // What no key may be: that it reached here shows that it is used.
    if (request.headers['x-api-key'] === 'a-wrong-key') {
      response.writeHead(401, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } }));
      return;
    }
    if (request.method === 'GET') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ type: 'model', id: 'claude-sonnet-5-5', display_name: 'Claude Sonnet 5.5', created_at: '2026-06-01T00:00:00Z' }));
      return;
    }
    request.resume();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const send = (event: Record<string, unknown>) => response.write(`event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`);
    send({ type: 'message_start', message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-5-5', content: [], stop_reason: null, usage: { input_tokens: 100, output_tokens: 1 } } });
    send({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
    let word = 0;
    const timer = setInterval(() => {
      send({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: `${words[word++ % words.length] ?? ''} ` } });
    }, 250);
    response.on('close', () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
