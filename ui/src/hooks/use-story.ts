import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { backend } from '@/backend/backend';
import { follow, type Link } from '@/backend/follow';
import { client, readStream } from '@/backend/client';
import type { Problem } from '@/backend/problem';
import type { Live, RunEvent } from '@/backend/types';
import { emptyStory, type Story, tell } from '@/story/story';

/** What is passing in a run and in no history: words of the model and output of a command as they arrive. */
export interface Passing {
  words: string;
  output: ReadonlyMap<string, string>;
  setUp: { what: string; phase: string; number: number; of: number } | null;
}

const NOTHING: Passing = { words: '', output: new Map(), setUp: null };

/** Passing text that is kept at most, in characters: the events bring all of it. */
const LONGEST_PASSING = 64_000;

/** Events of one answer of the owner. */
const PAGE = 1_000;

const cut = (text: string) => (text.length > LONGEST_PASSING ? text.slice(-LONGEST_PASSING) : text);

/** Follows one run. It is a store of its own, so that a page of a thousand events is drawn once. */
class RunFollower {
  readonly story: Story = emptyStory();
  passing: Passing = NOTHING;
  link: Link = 'connecting';
  refused: Problem | null = null;
  /** Whether all that had happened before is known, so that what is shown is the present. */
  caughtUp = false;
  #listeners = new Set<() => void>();
  #version = 0;
  #frame = 0;
  #stop: (() => void) | null = null;

  constructor(readonly run: string) {}

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#stop ??= follow({ read: (signal, opened) => this.#read(signal, opened), link: (link, refused) => this.#linked(link, refused) });
    return () => {
      this.#listeners.delete(listener);
      // A strict render unsubscribes and subscribes again at once.
      setTimeout(() => {
        if (this.#listeners.size > 0) return;
        this.#stop?.();
        this.#stop = null;
      }, 0);
    };
  };

  version = (): number => this.#version;

  async #read(signal: AbortSignal, opened: () => void): Promise<void> {
    for (;;) {
      const page = await backend.events(this.run, this.story.lastSeq, signal);
      for (const event of page) this.#event(event);
      this.#changed();
      if (page.length < PAGE) break;
    }
    const after = this.story.lastSeq;
    const gap = new AbortController();
    const both = AbortSignal.any([signal, gap.signal]);
    try {
      await readStream(
        client.GET('/api/v1/runs/{run}/stream', { params: { path: { run: this.run }, query: { after } }, signal: both, parseAs: 'stream' }),
        () => {
          this.caughtUp = true;
          opened();
        },
        (sent) => {
          if (sent.name === 'event' && this.#event(JSON.parse(sent.data) as RunEvent) === 'gap') gap.abort();
          if (sent.name === 'live') this.#live(JSON.parse(sent.data) as Live);
          this.#changed();
        },
      );
    } catch (thrown) {
      // Something is missing in between: asking again from the last known event brings it.
      if (!gap.signal.aborted) throw thrown;
    }
  }

  #event(event: RunEvent): ReturnType<typeof tell> {
    const told = tell(this.story, event);
    if (told !== 'taken') return told;
    if (event.type === 'turnFinished' || event.type === 'turnRequested') this.passing = { ...this.passing, words: '' };
    if (event.type === 'stepFinished') {
      const output = new Map(this.passing.output);
      output.delete(event.step);
      this.passing = { ...this.passing, output };
    }
    if (event.type === 'sandboxReady') this.passing = { ...this.passing, setUp: null };
    return told;
  }

  #live(live: Live): void {
    switch (live.type) {
      case 'modelText':
        this.passing = { ...this.passing, words: cut(this.passing.words + live.text) };
        break;
      case 'stepOutput': {
        const output = new Map(this.passing.output);
        output.set(live.step, cut((output.get(live.step) ?? '') + live.text));
        this.passing = { ...this.passing, output };
        break;
      }
      case 'setUpProgress':
        this.passing = { ...this.passing, setUp: { what: live.what, phase: live.phase, number: live.number, of: live.of } };
        break;
      default:
        break;
    }
  }

  #linked(link: Link, refused?: Problem): void {
    this.link = link;
    this.refused = refused ?? null;
    // What was passing is not told again.
    if (link === 'cut') this.passing = NOTHING;
    this.#changed();
  }

  #changed(): void {
    if (this.#frame !== 0) return;
    const publish = () => {
      this.#frame = 0;
      this.#version += 1;
      for (const listener of this.#listeners) listener();
    };
    // A hidden page gets no frames, and its title and notifications still have to follow.
    this.#frame = document.hidden ? Number(setTimeout(publish, 50)) : requestAnimationFrame(publish);
  }
}

export interface StoryView {
  story: Story;
  passing: Passing;
  link: Link;
  refused: Problem | null;
  caughtUp: boolean;
}

/** Follows a run from its first event on, without gap or repetition, also when the owner was gone for a while. */
export function useStory(run: string): StoryView {
  const [follower, setFollower] = useState(() => new RunFollower(run));
  const current = useRef(run);
  useEffect(() => {
    if (current.current === run) return;
    current.current = run;
    setFollower(new RunFollower(run));
  }, [run]);
  const version = useSyncExternalStore(follower.subscribe, follower.version);
  const view = useCallback(
    () => ({ story: follower.story, passing: follower.passing, link: follower.link, refused: follower.refused, caughtUp: follower.caughtUp }),
    [follower],
  );
  void version;
  return view();
}
