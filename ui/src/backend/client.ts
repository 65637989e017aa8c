// The client of the API: addresses, parameters, bodies and answers are checked against the owner's document when the
// interface is built (`@/api/schema` is generated of it), so that nothing is asked for that it does not have.

import createClient, { createFinalURL, createQuerySerializer, defaultPathSerializer } from 'openapi-fetch';
import type { paths } from '@/api/schema';
import { Problem, unreachable } from './problem';
import { type SentEvent, SentEventReader } from './sse';
import type { UserError } from './types';

const written = createQuerySerializer<Record<string, unknown>>();

/** Writes a query, leaving out what is empty: a field that nobody filled in asks for nothing. */
function querySerializer(query: Record<string, unknown>): string {
  return written(Object.fromEntries(Object.entries(query).filter(([, value]) => value !== '')));
}

/** Asks the page's own origin. A refusal, or no answer at all, is thrown as a `Problem`. */
export const client = createClient<paths>({ credentials: 'same-origin', querySerializer: (query) => querySerializer({ ...query }) });

client.use({
  async onResponse({ response }) {
    if (!response.ok) throw await refusal(response);
  },
  onError({ error }) {
    return error instanceof DOMException && error.name === 'AbortError' ? error : unreachable();
  },
});

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

type Answer<Asked> = Asked extends { error?: never; data: infer Data } ? Data : never;

/** What the owner answered. */
export async function answer<Asked extends { data?: unknown }>(asked: Promise<Asked>): Promise<Answer<Asked>> {
  return (await asked).data as Answer<Asked>;
}

type Parameters<Path extends keyof paths> = paths[Path] extends { get: { parameters: infer Parameters } } ? Parameters : never;
type Placed<Path extends keyof paths> = { [Part in 'path' | 'query' as Parameters<Path> extends { [part in Part]?: never } ? never : Part]: Part extends keyof Parameters<Path> ? NonNullable<Parameters<Path>[Part]> : never };

/** The address of something that the page shows or connects to by itself. */
export function address<Path extends keyof paths>(path: Path, params: Placed<Path>): string {
  return createFinalURL(path, { baseUrl: '', params, querySerializer: (query: Record<string, unknown>) => querySerializer(query), pathSerializer: defaultPathSerializer });
}

/** The address of a WebSocket. */
export function socketAddress<Path extends keyof paths>(path: Path, params: Placed<Path>): string {
  const url = new URL(address(path, params), location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.toString();
}

/** Reads a stream of events, asked for with `parseAs: 'stream'`, until it ends or is cut. */
export async function readStream(asked: Promise<{ data?: ReadableStream<Uint8Array<ArrayBuffer>> | null }>, opened: () => void, take: (event: SentEvent) => void): Promise<void> {
  const { data } = await asked;
  if (data === undefined || data === null) throw unreachable();
  opened();
  const events = new SentEventReader();
  const text = data.pipeThrough(new TextDecoderStream()).getReader();
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
