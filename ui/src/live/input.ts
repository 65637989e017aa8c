// What a person does while they have mouse and keyboard, as messages of the live screen. The keyboard is taken by a text
// field that nobody sees: only into one does a browser put what a dead key, an input method or a paste comes to.

import { count } from '@/text/format';
import type { Refused, ScreenViewer } from './viewer';

const BUTTONS = ['left', 'middle', 'right', 'back', 'forward'] as const;

/** Wheel events in pixels, lines or pages as whole notches; what is left over is kept for the next one. */
export class Wheel {
  #right = 0;
  #down = 0;

  turn(event: Pick<WheelEvent, 'deltaX' | 'deltaY' | 'deltaMode'>): { right: number; down: number } {
    const unit = event.deltaMode === 0 ? 100 : event.deltaMode === 1 ? 3 : 1;
    this.#right += event.deltaX / unit;
    this.#down += event.deltaY / unit;
    const right = Math.trunc(this.#right);
    const down = Math.trunc(this.#down);
    this.#right -= right;
    this.#down -= down;
    return { right, down };
  }
}

/** The screen's pixel under a point of the page; never outside the screen. */
export function pixelAt(canvas: Pick<HTMLCanvasElement, 'width' | 'height' | 'getBoundingClientRect'>, clientX: number, clientY: number): { x: number; y: number } {
  const box = canvas.getBoundingClientRect();
  const within = (value: number, most: number) => Math.min(most - 1, Math.max(0, Math.floor(value)));
  return {
    x: within(((clientX - box.left) / box.width) * canvas.width, canvas.width),
    y: within(((clientY - box.top) / box.height) * canvas.height, canvas.height),
  };
}

/** Keys that change what another means and are nothing by themselves. */
const MODIFIERS = new Set(['Shift', 'Control', 'Alt', 'AltGraph', 'Meta', 'CapsLock']);

/** How long a paste may take to come after its keys; a browser that has nothing to paste sends none. */
const PASTE_MS = 100;

/** The longest text that is pasted, in bytes, and the longest that is typed at once, in characters: docs/live-screen.md. */
const LONGEST_PASTE = 100_000;
const LONGEST_TEXT = 10_000;

const tooLong = (what: string): Refused => ({ message: `Nothing was put in: ${what}`, hint: 'Put it in by parts, or write it to a file in your shell' });

/** Why a text cannot be pasted, if it cannot. */
function pasteRefused(text: string): Refused | null {
  const size = new TextEncoder().encode(text).length;
  return size > LONGEST_PASTE ? tooLong(`the text has ${count(size)} bytes, and at most ${count(LONGEST_PASTE)} can be pasted`) : null;
}

/** Why a text cannot be typed, if it cannot. */
function textRefused(text: string): Refused | null {
  const length = [...text].length;
  return length > LONGEST_TEXT ? tooLong(`the text has ${count(length)} characters, and at most ${count(LONGEST_TEXT)} can be typed at once`) : null;
}

/**
 * Takes what is pressed and lets none of it reach anything, until the returned function is called: mouse and keyboard are
 * gone, and whoever still types into the sandbox must not type into the app. F6 leads out, to `leave`.
 */
export function swallowInput(around: HTMLElement, keyboard: HTMLTextAreaElement, leave: () => void): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  const swallow = (event: Event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  for (const name of ['mousedown', 'mouseup', 'auxclick', 'contextmenu'] as const) around.addEventListener(name, (event) => event.preventDefault(), { signal });
  around.addEventListener('mousedown', () => keyboard.focus({ preventScroll: true }), { signal });
  for (const name of ['keyup', 'paste'] as const) keyboard.addEventListener(name, swallow, { signal });
  keyboard.addEventListener('keydown', (event) => {
    swallow(event);
    if (event.key === 'F6') leave();
  }, { signal });
  keyboard.addEventListener('input', () => {
    keyboard.value = '';
  }, { signal });
  return () => stop.abort();
}

/** Sends input until the returned function is called, which lets go of everything that is held. F6 leads out, to `leave`. */
export function sendInput(canvas: HTMLCanvasElement, keyboard: HTMLTextAreaElement, viewer: Pick<ScreenViewer, 'input' | 'refuse'>, leave: () => void): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  const wheel = new Wheel();
  const heldKeys = new Map<string, string>();
  const heldButtons = new Set<(typeof BUTTONS)[number]>();
  let last = { x: 0, y: 0 };
  let moved = false;
  const at = (event: MouseEvent) => {
    last = pixelAt(canvas, event.clientX, event.clientY);
    return last;
  };
  const flush = () => {
    moved = false;
    viewer.input({ type: 'pointer', ...last });
  };
  const button = (event: PointerEvent, down: boolean) => {
    const name = BUTTONS[event.button];
    if (name === undefined) return;
    if (down) {
      keyboard.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      heldButtons.add(name);
    } else heldButtons.delete(name);
    viewer.input({ type: 'button', ...at(event), button: name, down });
  };
  canvas.addEventListener('pointermove', (event) => {
    at(event);
    // One message a frame: a mouse may report a thousand times a second.
    if (!moved) {
      moved = true;
      requestAnimationFrame(flush);
    }
  }, { signal });
  canvas.addEventListener('pointerdown', (event) => button(event, true), { signal });
  canvas.addEventListener('pointerup', (event) => button(event, false), { signal });
  // The focus stays with the keyboard, nothing scrolls by itself, and no button goes back in this window's history.
  for (const name of ['mousedown', 'mouseup', 'auxclick', 'contextmenu'] as const) canvas.addEventListener(name, (event) => event.preventDefault(), { signal });
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const { right, down } = wheel.turn(event);
    if (right !== 0 || down !== 0) viewer.input({ type: 'wheel', ...at(event), right, down });
  }, { signal, passive: false });
  const press = (event: KeyboardEvent, down: boolean) => {
    if (down) heldKeys.set(event.code, event.key);
    else heldKeys.delete(event.code);
    viewer.input({ type: 'key', code: event.code, key: event.key, down });
  };
  // A dead key was pressed: what the next one makes of it is the browser's to know.
  let dead = false;
  // The keys of a paste, until what is pasted is known: the sandbox's clipboard has to have it when they arrive.
  let pasting: { keys: KeyboardEvent; timer: ReturnType<typeof setTimeout> } | null = null;
  const pasted = (text: string) => {
    if (pasting === null) return;
    clearTimeout(pasting.timer);
    const { keys } = pasting;
    pasting = null;
    if (text !== '') {
      const refused = pasteRefused(text);
      viewer.refuse(refused);
      // Pressed without it, the key would paste what the sandbox's clipboard had before: it is pressed once it is there.
      if (refused === null) viewer.input({ type: 'setClipboard', text, press: { code: keys.code, key: keys.key } });
      return;
    }
    press(keys, true);
    press(keys, false);
  };
  const typed = () => {
    const text = keyboard.value;
    keyboard.value = '';
    if (text === '') return;
    const refused = textRefused(text);
    viewer.refuse(refused);
    if (refused === null) viewer.input({ type: 'text', text });
  };
  keyboard.addEventListener('keydown', (event) => {
    event.stopPropagation();
    if (event.key === 'F6') {
      event.preventDefault();
      return leave();
    }
    if (event.key === 'Dead') dead = true;
    if (event.isComposing || event.key === 'Process' || event.key === 'Dead') return;
    if (dead && !MODIFIERS.has(event.key)) {
      dead = false;
      // With a modifier it is a command of its own; AltGr only picks the character.
      const commands = !event.getModifierState('AltGraph') && (event.ctrlKey || event.metaKey || event.altKey);
      if ([...event.key].length === 1 && !commands) return;
    }
    if ((event.ctrlKey || event.metaKey) && event.code === 'KeyV' && !event.repeat) {
      pasting = { keys: event, timer: setTimeout(() => pasted(''), PASTE_MS) };
      return;
    }
    event.preventDefault();
    // A held key is repeated by the guest itself.
    if (!event.repeat) press(event, true);
  }, { signal });
  keyboard.addEventListener('keyup', (event) => {
    event.preventDefault();
    event.stopPropagation();
    // Nothing was pasted, and what is let go now was held with it.
    if (pasting !== null) pasted('');
    if (heldKeys.has(event.code)) press(event, false);
  }, { signal });
  keyboard.addEventListener('paste', (event) => {
    event.preventDefault();
    pasted(event.clipboardData?.getData('text/plain') ?? '');
  }, { signal });
  keyboard.addEventListener('input', (event) => {
    if (!(event as InputEvent).isComposing) typed();
  }, { signal });
  // Some browsers put the text in before they say so, and some after it.
  keyboard.addEventListener('compositionend', () => setTimeout(typed, 0), { signal });
  const release = () => {
    // Its modifier is let go of here: what came later would be a bare letter.
    if (pasting !== null) clearTimeout(pasting.timer);
    pasting = null;
    for (const [code, key] of heldKeys) viewer.input({ type: 'key', code, key, down: false });
    for (const name of heldButtons) viewer.input({ type: 'button', ...last, button: name, down: false });
    heldKeys.clear();
    heldButtons.clear();
    dead = false;
  };
  keyboard.addEventListener('blur', release, { signal });
  return () => {
    release();
    stop.abort();
  };
}
