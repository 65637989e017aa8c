import { useVirtualizer } from '@tanstack/react-virtual';
import clsx from 'clsx';
import { ArrowDown, ArrowUp, Square } from 'lucide-react';
import { type Dispatch, type KeyboardEvent, type ReactNode, type Ref, type SetStateAction, useCallback, useEffect, useImperativeHandle, useRef, useState } from 'react';
import { backend } from '@/backend/backend';
import { type Problem, problemOf } from '@/backend/problem';
import type { RunState } from '@/backend/types';
import { ApprovalForm } from '@/components/approval';
import { Button } from '@/components/button';
import { TextArea } from '@/components/field';
import { Markdown } from '@/components/markdown';
import { ProblemBox } from '@/components/problem-box';
import { isFinal, stateWords } from '@/components/state-mark';
import { Tip } from '@/components/tip';
import { scrollKeys } from '@/hooks/scroll-keys';
import { NEAR_END, useFollowsEnd } from '@/hooks/use-follows-end';
import { useHeldRow } from '@/hooks/use-held-row';
import { useNews } from '@/hooks/use-news';
import { lastAt, type Said } from '@/story/story';
import { timeOfDay } from '@/text/format';

export interface ChatHandle {
  focus: () => void;
}

interface Props {
  run: string;
  /** What is written and not sent; it outlives this column. */
  draft: string;
  onDraft: Dispatch<SetStateAction<string>>;
  said: readonly Said[];
  /** Whether all that was said before is there, so that what comes is new. */
  caughtUp: boolean;
  /** Words of the model that are arriving. */
  words: string;
  state: RunState | null;
  moment: number | null;
  onMoment: (seq: number) => void;
  /** What leads to another column where there is room for one only. */
  top?: ReactNode;
  ref?: Ref<ChatHandle>;
}

/** What an entry is thought to take before it is measured, in pixels: a head, and lines of some forty characters. */
const heightOf = (text: string) => 26 + 20 * Math.ceil(Math.min(text.length, 6_000) / 40);

/** What was said, and a line to steer with. */
export function Chat({ run, draft, onDraft, said, caughtUp, words, state, moment, onMoment, top = null, ref }: Props) {
  return (
    <aside aria-label="Chat with the agent" className={clsx('flex h-full shrink-0 flex-col border-line', top === null ? 'w-[320px] border-l 2xl:w-[380px]' : 'w-[272px] border-r')}>
      {top}
      <Log said={said} caughtUp={caughtUp} words={words} moment={moment} onMoment={onMoment} />
      <Composer run={run} text={draft} setText={onDraft} state={state} {...(ref === undefined ? {} : { handle: ref })} />
    </aside>
  );
}

/**
 * What was said, only what is in view of it being on the page. It stays at its end while somebody reads there, stays where
 * it is while somebody reads further up, and goes to the moment that is looked at.
 */
function Log({ said, caughtUp, words, moment, onMoment }: Pick<Props, 'said' | 'caughtUp' | 'words' | 'moment' | 'onMoment'>) {
  const scroller = useRef<HTMLDivElement>(null);
  const { follows, setFollows, scrolled } = useFollowsEnd(scroller, moment !== null);
  const arriving = words !== '' && moment === null;
  const count = said.length + (arriving ? 1 : 0);
  // The same function as long as it is the same run: another one would have every row measured again.
  const keyOf = useCallback((index: number) => said[index]?.seq ?? 'arriving', [said]);
  const { rangeExtractor, holder } = useHeldRow(count, keyOf);
  const news = useNews(follows && caughtUp && moment === null, scroller, NEAR_END);
  const list = useVirtualizer({
    count,
    getScrollElement: () => scroller.current,
    getItemKey: keyOf,
    estimateSize: (index) => heightOf(said[index]?.text ?? ''),
    rangeExtractor,
    overscan: 8,
    gap: 14,
    paddingStart: 14,
    paddingEnd: 14,
    anchorTo: 'end',
    followOnAppend: moment === null,
    scrollEndThreshold: NEAR_END,
  });
  useEffect(() => {
    if (moment === null && follows) list.scrollToEnd();
  }, [count, words, moment, follows, list]);
  const place = moment === null ? -1 : lastAt(said, moment);
  // While the run is being read, rows come before and behind the place, and it is gone to once more when all are there.
  const read = caughtUp ? 'whole' : count;
  useEffect(() => {
    const { range } = list;
    if (place < 0 || (range !== null && place >= range.startIndex && place <= range.endIndex)) return;
    setFollows(false);
    list.scrollToIndex(place, { align: 'center' });
  }, [place, list, read]);
  const toNewest = () => {
    // The button goes away with the press: the keys go on in the list.
    scroller.current?.focus({ preventScroll: true });
    setFollows(true);
  };
  return (
    <div className="relative min-h-0 flex-1">
      <div
        ref={scroller}
        tabIndex={0}
        role="log"
        aria-label="What was said"
        aria-live={news ? 'polite' : 'off'}
        onScroll={scrolled}
        onKeyDown={scrollKeys(list)}
        className="h-full overflow-y-auto [overflow-anchor:none] focus-visible:outline-offset-[-2px]"
      >
        {count === 0 && <p className="px-4 pt-10 text-center text-faint">What you and the agent say to each other stands here.</p>}
        <div {...holder} className="relative" style={{ height: list.getTotalSize() }}>
          {list.getVirtualItems().map((item) => {
            const entry = said[item.index];
            return (
              <div key={item.key} data-index={item.index} ref={list.measureElement} className="absolute inset-x-4 top-0" style={{ transform: `translateY(${item.start}px)` }}>
                {entry !== undefined ? (
                  <Entry said={entry} number={item.index + 1} of={said.length} faded={moment !== null && entry.seq > moment} onMoment={onMoment} />
                ) : (
                  <div className="foreign whitespace-pre-wrap text-soft" aria-hidden>
                    {words}
                    <span className="ml-0.5 inline-block h-3.5 w-[6px] translate-y-0.5 animate-breathe bg-work" />
                  </div>
                )}
              </div>
            );
          })}
        </div>
      </div>
      {!follows && moment === null && (
        <Button size="small" icon={<ArrowDown aria-hidden className="size-3.5" />} onClick={toNewest} className="absolute bottom-2.5 left-1/2 -translate-x-1/2 shadow-md">
          Newest
        </Button>
      )}
    </div>
  );
}

function Entry({ said, number, of, faded, onMoment }: { said: Said; number: number; of: number; faded: boolean; onMoment: (seq: number) => void }) {
  const names = { person: 'You', agent: 'Agent', critic: 'Critic', question: 'Agent asks', subagent: said.by ?? 'Subagent' } as const;
  return (
    <article aria-posinset={number} aria-setsize={of} className={clsx('group', faded && 'opacity-40', said.who === 'person' && 'rounded-lg bg-hover px-3 py-2', said.who === 'question' && 'rounded-lg border border-lamp/40 bg-lamp-soft px-3 py-2')}>
      <header className="mb-0.5 flex items-baseline gap-2 text-small">
        <span className={clsx('font-medium', said.who === 'agent' || said.who === 'critic' || said.who === 'subagent' ? 'text-faint' : 'text-ink')}>{names[said.who]}</span>
        <button type="button" onClick={() => onMoment(said.seq)} className="figures rounded-sm text-tiny text-faint hover:text-ink" title="Go back to this moment">
          {timeOfDay(Date.parse(said.at))}
        </button>
      </header>
      {said.who === 'person' ? <p className="foreign whitespace-pre-wrap">{said.text}</p> : <Markdown text={said.text} />}
    </article>
  );
}

/** What can be written now, and what becomes of it. */
function role(state: RunState | null): { label: string; help: string; possible: boolean } {
  if (state === null) return { label: 'Write to the agent', help: '', possible: false };
  if (state.type === 'waiting' && state.approval != null) return { label: 'Write to the agent', help: 'It reads this when you have decided about the command.', possible: true };
  if (state.type === 'waiting') return { label: 'Answer', help: 'The run goes on with your answer.', possible: true };
  if (isFinal(state)) return { label: 'Write to the agent', help: `The run is ${stateWords(state.type).name.toLowerCase()}: nobody reads here any more.`, possible: false };
  if (state.type === 'inReview') return { label: 'Write to the agent', help: 'The work is delivered and waits for your review. Asking for changes there sends it back to work.', possible: false };
  if (state.type === 'paused' || state.type === 'queued') return { label: 'Write to the agent', help: 'It reads this when it goes on.', possible: true };
  return { label: 'Steer the agent', help: 'It reads this before its next step; nothing is lost.', possible: true };
}

function Composer({ run, text, setText, state, handle }: { run: string; text: string; setText: Dispatch<SetStateAction<string>>; state: RunState | null; handle?: Ref<ChatHandle> }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const box = useRef<HTMLDivElement>(null);
  useImperativeHandle(handle, () => ({ focus: () => box.current?.querySelector('textarea')?.focus() }));
  const { label, help, possible } = role(state);
  const works = state?.type === 'working';
  const send = async (delivery: 'steer' | 'interrupt' = 'steer') => {
    if (busy || (text.trim() === '' && delivery === 'steer')) return;
    setBusy(true);
    setProblem(null);
    try {
      await (text.trim() === '' ? backend.interrupt(run) : backend.say(run, text, delivery));
      // Words that were typed meanwhile were not sent.
      setText((now) => (now === text ? '' : now));
    } catch (thrown) {
      // The words stay where they are: nothing that was typed is lost.
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      void send(works && (event.ctrlKey || event.metaKey) ? 'interrupt' : 'steer');
    }
    if (event.key === 'Escape') (event.target as HTMLElement).blur();
  };
  // What was typed before is kept to be sent, should it be possible again; an empty box that takes nothing is not shown.
  if (!possible && text === '') return help === '' ? null : <p className="border-t border-line px-4 py-3 text-small text-faint">{help}</p>;
  return (
    <div ref={box} className="space-y-2 border-t border-line px-3 pt-3 pb-2.5">
      {problem !== null && <ProblemBox problem={problem} />}
      {state?.type === 'waiting' && state.approval != null && <ApprovalForm run={run} step={state.approval} />}
      <div className="relative">
        <TextArea aria-label={label} placeholder={possible ? label : ''} rows={2} value={text} disabled={!possible} onChange={(event) => setText(event.target.value)} onKeyDown={keys} className="pr-10!" />
        <Button look="main" size="small" aria-label="Send" busy={busy} disabled={!possible || text.trim() === ''} onClick={() => void send()} icon={<ArrowUp aria-hidden className="size-3.5 stroke-[2.2]" />} className="absolute right-1.5 bottom-1.5" />
      </div>
      <div className="flex min-h-6 items-start gap-2">
        <p className="min-w-0 flex-1 text-small text-faint">{help}</p>
        {works && (
          <Tip text={text.trim() === '' ? 'Stop what it does now; it goes on from there' : 'Stop what it does now, and have it read this at once'} shortcut="ctrl+enter" side="top">
            <Button look="quiet" size="small" busy={busy} icon={<Square aria-hidden className="size-3 stroke-[2.2]" />} onClick={() => void send('interrupt')}>
              Interrupt
            </Button>
          </Tip>
        )}
      </div>
    </div>
  );
}
