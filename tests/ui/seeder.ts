import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { program } from './programs';

/** The program that writes a history through the owner's own store and forge: one JSON line in, one out. */
export class Seeder {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #lines: Interface;
  #errors = '';

  constructor(home: string) {
    this.#child = spawn(program('nightshift-seed'), ['--home', home], { stdio: ['pipe', 'pipe', 'pipe'] });
    if (this.#child.stdout === null || this.#child.stderr === null) throw new Error('nightshift-seed has no output');
    this.#child.stderr.on('data', (piece: Buffer) => {
      this.#errors += piece.toString();
    });
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  async send<T = Record<string, unknown>>(line: Record<string, unknown>): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(line)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error(`nightshift-seed ended: ${this.#errors}\nat ${JSON.stringify(line).slice(0, 2_000)}`);
    return JSON.parse(value) as T;
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await ended;
    this.#lines.close();
  }
}
