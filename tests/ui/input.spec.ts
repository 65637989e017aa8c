import { setMaxListeners } from 'node:events';
import { expect, test } from '@playwright/test';
import { sendInput, swallowInput } from '../../ui/src/live/input';

// All listeners hang on one signal, and Node takes more than ten for a leak.
setMaxListeners(32);

interface Press {
  key: string;
  code: string;
  ctrlKey?: boolean;
  altKey?: boolean;
  altGraph?: boolean;
}

/** A keyboard that has the sandbox, and what was said to it so far; `key` tells whether the browser was left to act. */
function taken({ cut = false } = {}) {
  const canvas = new EventTarget();
  const keyboard = Object.assign(new EventTarget(), { value: '', focus: () => undefined });
  const said: string[] = [];
  const refused: string[] = [];
  const viewer = {
    input: (message: Record<string, unknown>) => {
      if (cut) return false;
      const key = (message['press'] as { key: string } | undefined)?.key;
      said.push(message['type'] === 'key' ? `${String(message['key'])} ${message['down'] === true ? 'down' : 'up'}` : [message['type'], ...(key === undefined ? [] : [key])].join(' '));
      return true;
    },
    refuse: (why: { message: string } | null) => {
      if (why !== null) refused.push(why.message);
    },
  };
  const stop = sendInput(canvas as unknown as HTMLCanvasElement, keyboard as unknown as HTMLTextAreaElement, viewer, () => undefined);
  const paste = (text: string) => keyboard.dispatchEvent(Object.assign(new Event('paste', { cancelable: true }), { clipboardData: { getData: () => text } }));
  const key = (type: 'keydown' | 'keyup', { altGraph = false, ...press }: Press): boolean => {
    const state = { ctrlKey: false, altKey: false, metaKey: false, isComposing: false, repeat: false, getModifierState: (name: string) => altGraph && name === 'AltGraph', ...press };
    return keyboard.dispatchEvent(Object.assign(new Event(type, { cancelable: true }), state));
  };
  return { keyboard, said, refused, stop, paste, down: (press: Press) => key('keydown', press), up: (press: Press) => key('keyup', press) };
}

const CONTROL: Press = { key: 'Control', code: 'ControlLeft', ctrlKey: true };
const PASTE: Press = { key: 'v', code: 'KeyV', ctrlKey: true };
const DEAD: Press = { key: 'Dead', code: 'BracketLeft' };
const afterPaste = () => new Promise((done) => setTimeout(done, 150));

test('the keys of a paste that never comes are pressed with their modifier', async () => {
  const { said, down, stop } = taken();
  down(CONTROL);
  down(PASTE);
  expect(said).toEqual(['Control down']);
  await afterPaste();
  stop();
  expect(said).toEqual(['Control down', 'v down', 'v up', 'Control up']);
});

test('a window that loses the focus before its paste has come presses no bare letter later', async () => {
  for (const leaves of ['blur', 'stop'] as const) {
    const { keyboard, said, down, stop } = taken();
    down(CONTROL);
    down(PASTE);
    if (leaves === 'blur') keyboard.dispatchEvent(new Event('blur'));
    else stop();
    await afterPaste();
    // Neither does a paste that comes late, nor the key that is let go in another window.
    keyboard.dispatchEvent(new Event('paste', { cancelable: true }));
    expect(said, leaves).toEqual(['Control down', 'Control up']);
    stop();
  }
});

test('the keys of a paste are pressed only when its text was sent, and a text that is too long is told', () => {
  for (const { cut, text, says } of [
    { cut: false, text: 'é'.repeat(50_000), says: [] },
    { cut: false, text: 'é'.repeat(50_001), says: ['Nothing was put in: the text has 100,002 bytes, and at most 100,000 can be pasted'] },
    { cut: true, text: 'short', says: [] },
  ]) {
    const { said, refused, down, paste, stop } = taken({ cut });
    down(CONTROL);
    down(PASTE);
    paste(text);
    stop();
    const pressed = !cut && says.length === 0;
    expect(said, text.slice(0, 9)).toEqual(cut ? [] : ['Control down', ...(pressed ? ['setClipboard v'] : []), 'Control up']);
    expect(refused).toEqual(says);
  }
});

test('what is pressed once mouse and keyboard are gone reaches nothing, and F6 leads out', () => {
  const canvas = new EventTarget();
  let focused = 0;
  const keyboard = Object.assign(new EventTarget(), { value: '', focus: () => (focused += 1) });
  let left = 0;
  const stop = swallowInput(canvas as unknown as HTMLCanvasElement, keyboard as unknown as HTMLTextAreaElement, () => (left += 1));
  const press = (key: string) => keyboard.dispatchEvent(Object.assign(new Event('keydown', { cancelable: true }), { key }));
  expect([press('p'), press('Tab'), press('Enter'), press('F6')]).toEqual([false, false, false, false]);
  expect(left).toBe(1);
  keyboard.value = '日本';
  keyboard.dispatchEvent(new Event('input'));
  expect(keyboard.value).toBe('');
  // A click on the picture leaves the focus on the keyboard, or gives it back.
  expect(canvas.dispatchEvent(new Event('mousedown', { cancelable: true }))).toBe(false);
  expect(focused).toBe(1);
  stop();
  expect(press('p')).toBe(true);
});

test('what a dead key makes of the next one is left to the browser', () => {
  const { said, down } = taken();
  expect(down(DEAD)).toBe(true);
  expect(down({ key: 'Shift', code: 'ShiftLeft' })).toBe(false);
  expect(down({ key: 'E', code: 'KeyE' })).toBe(true);
  expect(down({ key: 'x', code: 'KeyX' })).toBe(false);
  expect(said).toEqual(['Shift down', 'x down']);
});

test('a command directly after a dead key reaches the sandbox', () => {
  const { said, down, up } = taken();
  down(DEAD);
  down(CONTROL);
  expect(down({ key: 'c', code: 'KeyC', ctrlKey: true })).toBe(false);
  up({ key: 'c', code: 'KeyC', ctrlKey: true });
  up(CONTROL);
  expect(said).toEqual(['Control down', 'c down', 'c up', 'Control up']);
});

test('a character of AltGr after a dead key is a character, however the system reports its modifiers', () => {
  const { said, down } = taken();
  down(DEAD);
  expect(down({ key: '€', code: 'KeyE', ctrlKey: true, altKey: true, altGraph: true })).toBe(true);
  expect(said).toEqual([]);
});
