import { Problem, unreachable } from './problem';
import { SentEventReader, type SentEvent } from './sse';
import type { UserError } from './types';

/** Where the owner is; empty for the page's own origin. */
let base = '';

/** Points every request at another origin: the desktop window's page is not served by the owner. */
export function setBase(url: string): void {
  base = url.replace(/\/$/, '');
}

/** The full address of an API path. */
export function address(path: string): string {
  return `${base}/api/v1${path}`;
}

/** The address of a WebSocket below the API. */
export function socketAddress(path: string): string {
  const url = new URL(address(path), location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.toString();
}

type Query = Record<string, string | number | boolean | null | undefined>;

/** Writes a query, leaving out what is not set. */
export function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text === '' ? path : `${path}?${text}`;
}

interface Asked {
  method?: string;
  body?: unknown;
  signal?: AbortSignal | null;
  headers?: Record<string, string>;
}

async function ask(path: string, { method = 'GET', body, signal, headers = {} }: Asked): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address(path), {
      method,
      credentials: 'same-origin',
      headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw unreachable();
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response: Response): Promise<Problem> {
  const fallback: UserError = {
    code: 'internal',
    message: `The owner answered with status ${response.status}.`,
    hint: 'Its log, owner.log in the data folder, may say more.',
  };
  try {
    const answer: unknown = await response.json();
    if (typeof answer === 'object' && answer !== null && 'code' in answer && 'message' in answer) {
      return new Problem(response.status, { ...fallback, ...(answer as UserError) });
    }
  } catch {
    // No JSON: something between this page and the owner answered.
  }
  return new Problem(response.status, fallback);
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await ask(path, { signal: signal ?? null })).json()) as T;
}

export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  return (await ask(path, { signal: signal ?? null })).text();
}

export async function getBytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  return (await ask(path, { signal: signal ?? null })).arrayBuffer();
}

export async function send<T>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T> {
  const response = await ask(path, { method, body, headers: headers ?? {} });
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** Reads a stream of events until it ends or is cut; a refusal is thrown as a `Problem`. */
export async function readStream(
  path: string,
  signal: AbortSignal,
  opened: () => void,
  take: (event: SentEvent) => void,
): Promise<void> {
  const response = await ask(path, { signal, headers: { accept: 'text/event-stream' } });
  if (response.body === null) throw unreachable();
  opened();
  const events = new SentEventReader();
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await text.read();
      if (done) return;
      for (const event of events.take(value)) take(event);
    }
  } finally {
    // Whatever ended the reading ends the connection: a browser has six of them for an owner, and no more.
    await text.cancel().catch(() => undefined);
  }
}
