import { problemOf, type Problem } from './problem';

/** How a stream is doing. */
export type Link = 'connecting' | 'open' | 'cut';

export interface Followed {
  /** Reads from after `place` until the stream ends, calling `opened` once it is accepted. */
  read: (signal: AbortSignal, opened: () => void) => Promise<void>;
  /** Told whenever the stream's state changes; with the problem when it was refused for good. */
  link: (link: Link, refused?: Problem) => void;
}

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;

/** How long to wait before the given attempt, from 1; doubled each time, never more than five seconds. */
export function waitBefore(attempt: number): number {
  return Math.min(FIRST_WAIT_MS * 2 ** (attempt - 1), LONGEST_WAIT_MS);
}

/** Keeps a stream open until the returned function is called: when it is cut it is asked for again. */
export function follow({ read, link }: Followed): () => void {
  const stop = new AbortController();
  const again = new Set<() => void>();
  const wake = () => {
    for (const go of again) go();
  };
  addEventListener('online', wake);
  const wait = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(go, ms);
      function go() {
        clearTimeout(timer);
        again.delete(go);
        resolve();
      }
      again.add(go);
    });
  const run = async () => {
    let attempt = 0;
    while (!stop.signal.aborted) {
      link(attempt === 0 ? 'connecting' : 'cut');
      try {
        await read(stop.signal, () => {
          attempt = 0;
          link('open');
        });
      } catch (thrown) {
        if (stop.signal.aborted) return;
        const problem = problemOf(thrown);
        // What is refused stays refused: unknown run, no session. A defect of ours would only repeat itself.
        if (!problem.passes && problem.status > 0) return link('cut', problem);
      }
      if (stop.signal.aborted) return;
      attempt += 1;
      link('cut');
      await wait(waitBefore(attempt));
    }
  };
  void run();
  return () => {
    stop.abort();
    removeEventListener('online', wake);
    wake();
  };
}
