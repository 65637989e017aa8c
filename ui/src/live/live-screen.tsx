import clsx from 'clsx';
import { ClipboardCopy, Hand, Monitor, Undo2 } from 'lucide-react';
import { type ReactNode, type Ref, useEffect, useImperativeHandle, useRef, useState, useSyncExternalStore } from 'react';
import { sentence } from '@/backend/problem';
import { Button } from '@/components/button';
import { TextInput } from '@/components/field';
import { tellDone, tellProblem } from '@/components/toasts';
import { problemOf } from '@/backend/problem';
import { sendInput, swallowInput } from './input';
import { ScreenViewer } from './viewer';

export interface LiveHandle {
  /** Takes over, or hands back. */
  toggle: () => void;
}

/** A run's screen as it is now, with the pointer and the last press drawn on it, and mouse and keyboard to take over. */
export function LiveScreen({ run, takes, last, onHeld, ref }: { run: string; takes: boolean; /** What is shown while there is no picture: the last recorded one. */ last: ReactNode; /** Whether the person's keys go here: they must go nowhere else. */ onHeld: (held: boolean) => void; ref?: Ref<LiveHandle> }) {
  const [viewer] = useState(() => new ScreenViewer(run));
  const state = useSyncExternalStore(viewer.subscribe, viewer.snapshot);
  const canvas = useRef<HTMLCanvasElement>(null);
  const keyboard = useRef<HTMLTextAreaElement>(null);
  const words = useRef<HTMLInputElement>(null);
  const watching = useRef<HTMLButtonElement>(null);
  const place = useRef<HTMLDivElement>(null);
  const around = useRef<HTMLDivElement>(null);
  const [note, setNote] = useState('');
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return undefined;
    viewer.open(element);
    return () => viewer.close();
  }, [viewer]);
  const mine = state.holder === 'you';
  useEffect(() => {
    const [screen, keys] = [canvas.current, keyboard.current];
    if (!mine || screen === null || keys === null) return undefined;
    keys.focus({ preventScroll: true });
    return sendInput(screen, keys, viewer, () => words.current?.focus());
  }, [mine, viewer]);
  const lost = state.lost !== null;
  useEffect(() => {
    const [screen, keys] = [around.current, keyboard.current];
    if (!lost || screen === null || keys === null) return undefined;
    // What had the focus may have gone with the bar that it was in.
    const { activeElement } = document;
    if (activeElement === document.body || place.current?.contains(activeElement) === true) keys.focus({ preventScroll: true });
    return swallowInput(screen, keys, () => watching.current?.focus());
  }, [lost]);
  const held = mine || lost;
  useEffect(() => {
    onHeld(held);
    return () => onHeld(false);
  }, [held, onHeld]);
  const handBack = () => {
    viewer.handBack(note);
    setNote('');
  };
  useImperativeHandle(ref, () => ({ toggle: () => (viewer.state.holder === 'you' ? handBack() : viewer.takeOver()) }));
  const copy = async () => {
    try {
      const text = await viewer.clipboard();
      await navigator.clipboard.writeText(text);
      tellDone('The sandbox’s clipboard is copied');
    } catch (thrown) {
      tellProblem(problemOf(thrown));
    }
  };
  const { size } = state;
  const live = state.status === 'live' && size !== null;
  return (
    <div ref={place} className="flex h-full min-h-0 flex-col">
      <div ref={around} className="relative flex min-h-0 flex-1 items-center justify-center p-3">
        {/* Beside the picture and not in it: what is hidden, as a screen that is cut, cannot keep the focus. */}
        {held && <textarea ref={keyboard} aria-label={mine ? 'The sandbox’s keyboard; F6 leads out of it' : 'The keyboard, which is no longer the sandbox’s; F6 leads out of it'} autoComplete="off" autoCorrect="off" autoCapitalize="off" spellCheck={false} className="pointer-events-none absolute inset-0 resize-none opacity-0" />}
        <div className={clsx('max-h-full max-w-full overflow-hidden rounded-md ring-1', mine ? 'ring-2 ring-lamp' : 'ring-line', live ? 'relative' : 'invisible absolute')} style={{ aspectRatio: size === null ? '16 / 10' : `${size.width} / ${size.height}`, height: `min(100%, calc((100cqw - 24px) / ${size === null ? 1.6 : size.width / size.height}))` }}>
          <canvas ref={canvas} aria-label={mine ? 'The sandbox’s screen; your keyboard and mouse go there' : 'The sandbox’s screen, live'} role="img" className={clsx('size-full', mine ? 'cursor-crosshair' : lost ? 'cursor-not-allowed' : 'pointer-events-none')} />
          {size !== null && state.pointer !== null && !mine && <Pointer x={state.pointer.x / size.width} y={state.pointer.y / size.height} />}
          {size !== null && state.press !== null && <Press key={state.press.at} x={state.press.x / size.width} y={state.press.y / size.height} />}
        </div>
        {!live && (
          <>
            <div className="absolute inset-0">{last}</div>
            <p role="status" className="foreign relative flex max-w-96 items-center gap-2 rounded-full border border-line-strong bg-raised px-3.5 py-1.5 text-soft shadow-float">
              <Monitor aria-hidden className={clsx('size-4 shrink-0 stroke-[1.6] text-faint', (state.status === 'connecting' || state.status === 'cut') && 'animate-breathe')} />
              {state.status === 'connecting' ? 'Connecting to the screen' : state.status === 'cut' ? 'The screen does not answer; asking again' : sentence(state.reason) || 'There is no screen to show.'}
            </p>
          </>
        )}
      </div>
      {(held || (takes && live)) && (
        <div className={clsx('flex min-h-10 shrink-0 flex-wrap items-center gap-x-2.5 gap-y-1 border-t px-3 py-1', mine ? 'border-lamp/40 bg-lamp-soft' : lost ? 'border-bad/40 bg-bad-soft' : 'border-line')}>
          {lost && (
            <>
              <span role="alert" className="foreign min-w-0 flex-1">
                <span className="font-medium text-bad">Mouse and keyboard are no longer yours.</span> {sentence(state.lost ?? '')} What you press now goes nowhere.
                {state.refused !== null && ` ${sentence(state.refused.message)}`}
              </span>
              <Button ref={watching} size="small" onClick={() => viewer.watch()}>
                Only watch
              </Button>
              <Button look="main" icon={<Hand aria-hidden className="size-3.5" />} disabled={!live || state.holder === 'somebody'} onClick={() => viewer.takeOver()}>
                Take over again
              </Button>
            </>
          )}
          {mine && (
            <>
              {state.refused === null ? (
                <span className="shrink-0 font-medium text-lamp-text">You have mouse and keyboard. The agent waits.</span>
              ) : (
                <span role="alert" className="foreign w-full text-bad">
                  {sentence(state.refused.message)} {sentence(state.refused.hint)}
                </span>
              )}
              <TextInput ref={words} aria-label="What the agent should know" placeholder="Tell the agent" value={note} onChange={(event) => setNote(event.target.value)} onKeyDown={(event) => event.key === 'Enter' && handBack()} className="h-7! min-w-32 flex-1" />
              <Button size="small" aria-label="Copy the sandbox’s clipboard" icon={<ClipboardCopy aria-hidden className="size-3.5" />} onClick={() => void copy()} />
              <Button look="main" icon={<Undo2 aria-hidden className="size-3.5" />} onClick={handBack}>
                Hand back
              </Button>
            </>
          )}
          {!held && (
            <>
              <span className="foreign min-w-0 flex-1 truncate text-small text-faint">
                {state.refused !== null ? `${sentence(state.refused.message)} ${sentence(state.refused.hint)}` : state.holder === 'somebody' ? 'Somebody else has mouse and keyboard.' : 'You watch. The agent has mouse and keyboard.'}
              </span>
              <Button size="small" icon={<Hand aria-hidden className="size-3.5" />} disabled={state.holder === 'somebody'} onClick={() => viewer.takeOver()} shortcut="o">
                Take over
              </Button>
            </>
          )}
        </div>
      )}
    </div>
  );
}

const place = (x: number, y: number) => ({ left: `${x * 100}%`, top: `${y * 100}%` });

function Pointer({ x, y }: { x: number; y: number }) {
  return (
    <svg aria-hidden viewBox="0 0 16 20" className="pointer-events-none absolute w-4 drop-shadow transition-[left,top] duration-75" style={place(x, y)}>
      <path d="M1 1v15l4-3.6L7.6 18l2.6-1.2-2.5-5.4H13Z" fill="var(--lamp)" stroke="var(--lamp-ink)" strokeWidth="1.2" strokeLinejoin="round" />
    </svg>
  );
}

function Press({ x, y }: { x: number; y: number }) {
  return <span aria-hidden className="press pointer-events-none absolute size-8 -translate-x-1/2 -translate-y-1/2 rounded-full border-2 border-lamp" style={place(x, y)} />;
}
