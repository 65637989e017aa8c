// The connection to one run's screen: draws what comes, in order, and sends what a person does while they have taken over.

import { socketAddress } from '@/backend/client';
import { waitBefore } from '@/backend/follow';
import { readUpdate, type Update } from './update';

export type Holder = 'agent' | 'you' | 'somebody';

export interface ViewerState {
  /** `dark` has nothing to show, and says why. */
  status: 'connecting' | 'live' | 'dark' | 'over' | 'cut';
  reason: string;
  holder: Holder;
  size: { width: number; height: number } | null;
  pointer: { x: number; y: number } | null;
  press: { x: number; y: number; at: number } | null;
  /** Why mouse and keyboard, which the person had and did not hand back, are no longer theirs; until they act on it. */
  lost: string | null;
  /** Why what was asked was not done. */
  refused: Refused | null;
}

export interface Refused {
  message: string;
  hint: string;
}

type Said =
  | { type: 'dark'; reason: string; over: boolean }
  | { type: 'pointer' | 'press'; x: number; y: number }
  | { type: 'lease'; holder: Holder }
  | { type: 'clipboard'; text: string }
  | { type: 'refused'; error: Refused };

const BEGIN: ViewerState = { status: 'connecting', reason: '', holder: 'agent', size: null, pointer: null, press: null, lost: null, refused: null };

/** An update and the pictures of its rectangles; none for one of plain pixels, and for one that cannot be decoded. */
interface Picture {
  update: Update;
  bitmaps: (ImageBitmap | null)[];
}

/** Reads a message and decodes what is in it; `null` for a kind of message of a newer owner. */
async function read(message: ArrayBuffer): Promise<Picture | null> {
  const update = readUpdate(message);
  if (update === null) return null;
  const bitmaps = await Promise.all(
    update.rectangles.map((rectangle) =>
      rectangle.encoding === 'plain' ? null : createImageBitmap(new Blob([rectangle.pixels], { type: `image/${rectangle.encoding}` })).catch(() => null),
    ),
  );
  return { update, bitmaps };
}

function draw(context: CanvasRenderingContext2D, { update, bitmaps }: Picture): void {
  const { canvas } = context;
  if (canvas.width !== update.width || canvas.height !== update.height) {
    canvas.width = update.width;
    canvas.height = update.height;
  }
  for (const [index, rectangle] of update.rectangles.entries()) {
    const { x, y, width, height, pixels } = rectangle;
    if (rectangle.encoding === 'plain') {
      const data = new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.byteLength);
      context.putImageData(new ImageData(data, width, height), x, y);
      continue;
    }
    const bitmap = bitmaps[index];
    if (bitmap === null || bitmap === undefined) continue;
    context.drawImage(bitmap, x, y, width, height);
    bitmap.close();
  }
}

/** A viewer of a run's screen; a store that React can subscribe to. */
export class ScreenViewer {
  state: ViewerState = BEGIN;
  #context: CanvasRenderingContext2D | null = null;
  #socket: WebSocket | null = null;
  #listeners = new Set<() => void>();
  #drawn: Promise<void> = Promise.resolve();
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #closed = false;
  #clipboard: ((text: string) => void) | null = null;
  /** Whether the person has handed back, and it is not known yet that it was heard. */
  #handing = false;

  constructor(readonly run: string) {}

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  snapshot = (): ViewerState => this.state;

  /** Shows the screen on a canvas until `close`. */
  open(canvas: HTMLCanvasElement): void {
    this.#closed = false;
    this.#context = canvas.getContext('2d', { alpha: false });
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
    this.#context = null;
  }

  /** Sends what a person did who has mouse and keyboard; false when it was not sent. */
  input(message: Record<string, unknown>): boolean {
    return this.state.holder === 'you' && this.#say(message);
  }

  /** Tells the person why what they did was not done; `null` when there is nothing to tell any more. */
  refuse(refused: Refused | null): void {
    if (this.state.refused !== refused) this.#change({ refused });
  }

  takeOver(): void {
    this.#handing = false;
    this.#change({ refused: null });
    this.#say({ type: 'takeOver' });
  }

  /** The person knows that mouse and keyboard are no longer theirs, and goes on watching. */
  watch(): void {
    this.#change({ lost: null, refused: null });
  }

  handBack(note: string): void {
    this.#handing = true;
    this.#say(note.trim() === '' ? { type: 'handBack' } : { type: 'handBack', note: note.trim() });
  }

  /** The sandbox's clipboard; rejected when it does not answer within two seconds. */
  clipboard(): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the sandbox did not give its clipboard')), 2_000);
      this.#clipboard = (text) => {
        clearTimeout(timer);
        resolve(text);
      };
      this.#say({ type: 'getClipboard' });
    });
  }

  #say(message: Record<string, unknown>): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Who has mouse and keyboard from now on, and why they are gone if the person had them. */
  #holder(holder: Holder, why: string): Pick<ViewerState, 'holder' | 'lost'> {
    const lost = holder === 'you' ? null : this.state.holder === 'you' && !this.#handing ? why : this.state.lost;
    this.#handing = false;
    return { holder, lost };
  }

  #change(to: Partial<ViewerState>): void {
    this.state = { ...this.state, ...to };
    for (const listener of this.#listeners) listener();
  }

  #connect(): void {
    const socket = new WebSocket(socketAddress('/api/v1/runs/{run}/screen', { path: { run: this.run } }));
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempt = 0;
    };
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      if (typeof data === 'string') this.#heard(JSON.parse(data) as Said);
      else this.#picture(data, socket);
    };
    socket.onclose = () => {
      if (this.#socket !== socket || this.#closed) return;
      if (this.state.status === 'over') return;
      this.#change({ status: this.#attempt === 0 && this.state.size === null ? 'connecting' : 'cut', ...this.#holder('agent', 'the connection was cut') });
      this.#attempt += 1;
      this.#timer = setTimeout(() => this.#connect(), waitBefore(this.#attempt));
    };
  }

  #picture(message: ArrayBuffer, socket: WebSocket): void {
    // Decoding takes a while, so it begins at once: the next picture is decoded while this one is drawn. No more than two
    // are under way. They are drawn in their order.
    const reading = read(message);
    // It is waited for, and what went wrong dealt with, when it is its turn.
    reading.catch(() => undefined);
    this.#drawn = this.#drawn.then(async () => {
      try {
        const picture = await reading;
        const context = this.#context;
        if (picture === null || context === null || this.#socket !== socket) return;
        const { update } = picture;
        draw(context, picture);
        if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'acknowledge', sequence: update.sequence }));
        const { size, status } = this.state;
        if (status !== 'live' || size?.width !== update.width || size.height !== update.height) this.#change({ status: 'live', reason: '', size: { width: update.width, height: update.height } });
      } catch {
        // No update of ours: begin anew rather than show half of something.
        socket.close();
      }
    });
  }

  #heard(said: Said): void {
    switch (said.type) {
      case 'dark':
        // Whoever had them loses them with the screen.
        this.#change({ status: said.over ? 'over' : 'dark', reason: said.reason, pointer: null, press: null, ...this.#holder('agent', said.reason) });
        break;
      case 'pointer':
        this.#change({ pointer: { x: said.x, y: said.y } });
        break;
      case 'press':
        this.#change({ pointer: { x: said.x, y: said.y }, press: { x: said.x, y: said.y, at: Date.now() } });
        break;
      case 'lease':
        this.#change({ ...this.#holder(said.holder, 'they went back to the agent, as they do after 15 minutes without input'), refused: null });
        break;
      case 'clipboard':
        this.#clipboard?.(said.text);
        this.#clipboard = null;
        break;
      case 'refused':
        this.#change({ refused: said.error });
        break;
      default:
        break;
    }
  }
}
