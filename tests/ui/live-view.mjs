// Shows one run's screen in the app and reads off the canvas when each change was made: the guest's program (crates/nightshift-bench/src/benches/live_view/drawing.py) writes the time into it.
// `node tests/ui/live-view.mjs WINDOW RUN`, where WINDOW is the address that lets a browser in; prints one line:
// {"smallMs":[…],"ownMs":[…],"fullShown":…,"fullDrawn":…,"fullSeconds":…}; `ownMs` is, of small updates alone, from the
// moment the owner took the pixels to the moment they were drawn: what neither guest nor QEMU has a part in.

import { chromium } from '@playwright/test';

const [window, run] = process.argv.slice(2);
if (run === undefined) {
  process.stderr.write('usage: node tests/ui/live-view.mjs WINDOW RUN\n');
  process.exit(2);
}
const WATCHED_MS = 26_000;

/** Runs in the page. After every drawing to a canvas that is shown, the row of cells at its top is read. */
function watchCanvases() {
  const CELL = 8;
  const CELLS = 48;
  const seen = [];
  let last = -1;
  const read = (context) => {
    const { data } = context.getImageData(0, CELL / 2, CELL * CELLS, 1);
    const bytes = [0, 0, 0, 0, 0, 0];
    for (let cell = 0; cell < CELLS; cell += 1) if (data[(cell * CELL + CELL / 2) * 4 + 1] > 127) bytes[cell >> 3] |= 0x80 >> (cell & 7);
    if ((bytes[0] + bytes[1] + bytes[2] + bytes[3] + bytes[4]) % 256 !== bytes[5]) return;
    const head = bytes.slice(0, 5).reduce((value, byte) => value * 256 + byte, 0);
    const number = head % 2 ** 15;
    if (number === last || head === 0) return;
    last = number;
    const now = Date.now() % 2 ** 24;
    const drawn = Math.floor(head / 2 ** 15) % 2 ** 24;
    seen.push({ whole: head >= 2 ** 39, number, drawn, late: (now - drawn + 2 ** 24) % 2 ** 24, at: performance.now() });
  };
  for (const name of ['putImageData', 'drawImage']) {
    const original = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function draw(...parameters) {
      original.apply(this, parameters);
      if (this.canvas.isConnected && this.canvas.width >= CELL * CELLS) read(this);
    };
  }
  const getContext = HTMLCanvasElement.prototype.getContext;
  // A canvas that is read often is kept where it can be read.
  HTMLCanvasElement.prototype.getContext = function get(kind, options) {
    return getContext.call(this, kind, kind === '2d' ? { ...options, willReadFrequently: true } : options);
  };
  globalThis.seen = seen;

  // The owner writes into each update when its pixels were taken (docs/live-screen.md), and the app acknowledges what is drawn.
  const own = [];
  const taken = new Map();
  const LARGEST_SMALL = 64 * 1024;
  globalThis.own = own;
  globalThis.WebSocket = class extends WebSocket {
    constructor(...parameters) {
      super(...parameters);
      this.addEventListener('message', ({ data }) => {
        if (!(data instanceof ArrayBuffer) || data.byteLength < 24 || data.byteLength > LARGEST_SMALL) return;
        const view = new DataView(data);
        taken.set(view.getUint32(4, true), view.getFloat64(16, true));
      });
    }

    send(data) {
      const said = typeof data === 'string' && data.includes('acknowledge') ? JSON.parse(data) : {};
      const at = taken.get(said.sequence);
      if (at !== undefined) own.push(performance.timeOrigin + performance.now() - at);
      taken.delete(said.sequence);
      super.send(data);
    }
  };
}

/** What was seen in a page, of small changes and of whole screens; those that follow a change of both are left out. */
async function watched(page) {
  await page.waitForFunction(() => globalThis.seen.length > 0, undefined, { timeout: 30_000 });
  await page.evaluate(() => {
    globalThis.seen.splice(0);
    globalThis.own.splice(0);
  });
  await page.waitForTimeout(WATCHED_MS);
  const seen = await page.evaluate(() => globalThis.seen);
  const smallMs = [];
  let [fullShown, fullDrawn, fullSeconds] = [0, 0, 0];
  for (const [index, change] of seen.entries()) {
    const before = seen[index - 1];
    if (before === undefined || before.whole !== change.whole) continue;
    if (!change.whole) smallMs.push(change.late);
    else {
      fullShown += 1;
      fullDrawn += (change.number - before.number + 2 ** 15) % 2 ** 15;
      fullSeconds += (change.at - before.at) / 1000;
    }
  }
  const ownMs = await page.evaluate(() => globalThis.own);
  return { smallMs, ownMs, fullShown, fullDrawn, fullSeconds };
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
await context.addInitScript(watchCanvases);

const app = await context.newPage();
await app.goto(window);
await app.getByRole('navigation', { name: 'Places' }).waitFor();
await app.goto(new URL(`/runs/${run}`, window).href);
const seen = await watched(app);
await browser.close();
process.stdout.write(`${JSON.stringify(seen)}\n`);
