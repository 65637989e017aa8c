// What a person does on the canvas while they have mouse and keyboard, as messages of the live screen.

import type { ScreenViewer } from './viewer';

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

/** Sends input until the returned function is called, which lets go of everything that is held. */
export function sendInput(canvas: HTMLCanvasElement, viewer: ScreenViewer): () => void {
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
    viewer.say({ type: 'pointer', ...last });
  };
  const button = (event: PointerEvent, down: boolean) => {
    const name = BUTTONS[event.button];
    if (name === undefined) return;
    event.preventDefault();
    if (down) {
      canvas.focus();
      canvas.setPointerCapture(event.pointerId);
      heldButtons.add(name);
    } else heldButtons.delete(name);
    viewer.say({ type: 'button', ...at(event), button: name, down });
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
  canvas.addEventListener('contextmenu', (event) => event.preventDefault(), { signal });
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const { right, down } = wheel.turn(event);
    if (right !== 0 || down !== 0) viewer.say({ type: 'wheel', ...at(event), right, down });
  }, { signal, passive: false });
  canvas.addEventListener('keydown', (event) => {
    event.stopPropagation();
    // The way out has to be the browser's own: leaving full screen, or Tab with Ctrl and Shift to the next control.
    if (event.isComposing || event.key === 'Process' || event.key === 'Dead' || event.repeat) return event.preventDefault();
    event.preventDefault();
    if ((event.ctrlKey || event.metaKey) && event.code === 'KeyV') {
      void navigator.clipboard
        ?.readText()
        .then((text) => viewer.say({ type: 'setClipboard', text }))
        .catch(() => undefined)
        .finally(() => press(event, true));
      return;
    }
    press(event, true);
  }, { signal });
  const press = (event: KeyboardEvent, down: boolean) => {
    if (down) heldKeys.set(event.code, event.key);
    else heldKeys.delete(event.code);
    viewer.say({ type: 'key', code: event.code, key: event.key, down });
  };
  canvas.addEventListener('keyup', (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (heldKeys.has(event.code)) press(event, false);
  }, { signal });
  canvas.addEventListener('compositionend', (event) => {
    if (event.data !== '') viewer.say({ type: 'text', text: event.data });
  }, { signal });
  const release = () => {
    for (const [code, key] of heldKeys) viewer.say({ type: 'key', code, key, down: false });
    for (const name of heldButtons) viewer.say({ type: 'button', ...last, button: name, down: false });
    heldKeys.clear();
    heldButtons.clear();
  };
  canvas.addEventListener('blur', release, { signal });
  return () => {
    release();
    stop.abort();
  };
}
