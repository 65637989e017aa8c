// The connection to a shell in a run's sandbox. A cut connection is opened again to the same shell, which the owner keeps;
// what it printed lately comes again, so the terminal is cleared before.

import { waitBefore } from '@/backend/follow';
import { socketAddress } from '@/backend/client';

export type ShellState = 'connecting' | 'open' | 'cut' | 'ended' | 'refused';

export interface ShellStatus {
  state: ShellState;
  /** Why there is none, or how it ended. */
  says: string;
}

/** What shows the bytes. */
export interface ShellScreen {
  /** `kept`: it was printed before, and what it asked of the terminal was answered then. */
  write: (bytes: Uint8Array, kept: boolean) => void;
  clear: () => void;
  size: () => { columns: number; rows: number };
}

type Said = { type: 'open'; session: string } | { type: 'missed' } | { type: 'ended'; code?: number | null } | { type: 'refused'; error: { message: string; hint: string } };

export class ShellSession {
  status: ShellStatus = { state: 'connecting', says: '' };
  #socket: WebSocket | null = null;
  #session: string | null;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #closed = false;
  /** Whether the next output is what is kept of before: it comes first, in one piece. */
  #keptIsNext = false;
  #listeners = new Set<() => void>();

  /** `session` names a shell that was open before, if it is to be found again. */
  constructor(
    readonly run: string,
    readonly screen: ShellScreen,
    session: string | null,
    readonly remember: (session: string | null) => void,
  ) {
    this.#session = session;
    this.#connect();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  snapshot = (): ShellStatus => this.status;

  type(text: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(new TextEncoder().encode(text));
  }

  resize(size: { columns: number; rows: number }): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type: 'resize', ...size }));
  }

  /** Begins a new shell after one has ended. */
  again(): void {
    this.#session = null;
    this.screen.clear();
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
  }

  #change(state: ShellState, says = ''): void {
    this.status = { state, says };
    for (const listener of this.#listeners) listener();
  }

  #connect(): void {
    if (this.#closed) return;
    this.#change(this.#attempt === 0 ? 'connecting' : 'cut');
    const query = { ...this.screen.size(), ...(this.#session === null ? {} : { session: this.#session }) };
    const socket = new WebSocket(socketAddress('/api/v1/runs/{run}/terminal', { path: { run: this.run }, query }));
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      if (this.#socket !== socket) return;
      if (typeof data === 'string') this.#heard(JSON.parse(data) as Said);
      else {
        this.screen.write(new Uint8Array(data), this.#keptIsNext);
        this.#keptIsNext = false;
      }
    };
    socket.onclose = () => {
      if (this.#socket !== socket || this.#closed || this.status.state === 'ended' || this.status.state === 'refused') return;
      this.#attempt += 1;
      this.#change('cut');
      this.#timer = setTimeout(() => this.#connect(), waitBefore(this.#attempt));
    };
  }

  #heard(said: Said): void {
    switch (said.type) {
      case 'open':
        this.#attempt = 0;
        this.#keptIsNext = said.session === this.#session;
        this.#session = said.session;
        this.remember(said.session);
        this.screen.clear();
        this.#change('open');
        break;
      case 'missed':
        this.#keptIsNext = true;
        this.screen.clear();
        break;
      case 'ended':
        this.remember(null);
        this.#change('ended', said.code === undefined || said.code === null ? 'The shell was ended.' : `The shell has ended with status ${said.code}.`);
        break;
      case 'refused':
        this.remember(null);
        this.#change('refused', `${said.error.message}. ${said.error.hint}`);
        break;
      default:
        break;
    }
  }
}
