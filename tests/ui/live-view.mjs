// Shows one run's screen in the app and in noVNC, by turns, and reads off the canvas when each change was made: the guest's
// program (crates/nightshift-bench/src/benches/live_view/drawing.py) writes the time into it.
// `node tests/ui/live-view.mjs WINDOW RUN BRIDGE ROUNDS`, where WINDOW is the address that lets a browser in and BRIDGE that
// of a WebSocket which carries VNC; prints one line: {"rounds":[{"app":VIEWED,"novnc":VIEWED},…]}, where VIEWED is
// {"smallMs":[…],"ownMs":[…],"fullShown":…,"fullDrawn":…,"fullSeconds":…}. `smallMs` is by the guest's clock and this
// machine's; `ownMs` is, of small updates alone, from the moment the owner took the pixels to the moment they were drawn:
// what neither guest nor QEMU has a part in. noVNC has none.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from '@playwright/test';

const [window, run, bridge, rounds] = process.argv.slice(2);
if (rounds === undefined) {
  process.stderr.write('usage: node tests/ui/live-view.mjs WINDOW RUN BRIDGE ROUNDS\n');
  process.exit(2);
}

/** One round of the drawing is eight seconds of small changes and four of whole screens. */
const WATCHED_MS = 12_500;

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
    const at = performance.now();
    const drawn = Math.floor(head / 2 ** 15) % 2 ** 24;
    // The nearer way round: the guest's clock may be ahead.
    const passed = ((performance.timeOrigin + at - drawn) % 2 ** 24 + 2 ** 24) % 2 ** 24;
    seen.push({ whole: head >= 2 ** 39, number, late: passed < 2 ** 23 ? passed : passed - 2 ** 24, at });
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
  // As it is but for this: noVNC looks for what a socket has where a class made of it would not have it.
  globalThis.WebSocket = new Proxy(WebSocket, {
    construct(original, parameters) {
      const socket = Reflect.construct(original, parameters);
      socket.addEventListener('message', ({ data }) => {
        if (!(data instanceof ArrayBuffer) || data.byteLength < 24 || data.byteLength > LARGEST_SMALL) return;
        const view = new DataView(data);
        taken.set(view.getUint32(4, true), view.getFloat64(16, true));
      });
      return socket;
    },
  });
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function acknowledge(data) {
    const said = typeof data === 'string' && data.includes('acknowledge') ? JSON.parse(data) : {};
    const at = taken.get(said.sequence);
    if (at !== undefined) own.push(performance.timeOrigin + performance.now() - at);
    taken.delete(said.sequence);
    send.call(this, data);
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
      const drawn = (change.number - before.number + 2 ** 15) % 2 ** 15;
      // Backwards: half of a row was old, and its sum was right by chance.
      if (drawn >= 2 ** 14) continue;
      fullShown += 1;
      fullDrawn += drawn;
      fullSeconds += (change.at - before.at) / 1000;
    }
  }
  const ownMs = await page.evaluate(() => globalThis.own);
  return { smallMs, ownMs, fullShown, fullDrawn, fullSeconds };
}

/** noVNC as its package has it, on a page of its own: from this machine, as the app's is, because browsers keep pages from elsewhere away from it. */
const PAGE = `<!doctype html><title>noVNC</title><style>html,body,div{margin:0;height:100%}</style><div></div><script type="module">
import RFB from '/core/rfb.js';
const rfb = new RFB(document.querySelector('div'), ${JSON.stringify(bridge)});
rfb.viewOnly = true;
</script>`;
const folder = path.dirname(path.dirname(fileURLToPath(import.meta.resolve('@novnc/novnc'))));
const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  try {
    const [type, body] = pathname === '/' ? ['text/html', PAGE] : ['text/javascript', await readFile(path.join(folder, path.normalize(pathname)))];
    response.writeHead(200, { 'content-type': type }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const novnc = `http://127.0.0.1:${server.address().port}/`;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
await context.addInitScript(watchCanvases);

const page = await context.newPage();
await page.goto(window);
await page.getByRole('navigation', { name: 'Places' }).waitFor();
/** Who is not watched is not connected, and costs the other nothing. */
const viewed = async (address) => {
  await page.goto(address);
  const seen = await watched(page);
  await page.goto('about:blank');
  return seen;
};
const seen = [];
for (let round = 1; round <= Number(rounds); round += 1) {
  seen.push({ app: await viewed(new URL(`/runs/${run}`, window).href), novnc: await viewed(novnc) });
  process.stderr.write(`round ${round} of ${rounds} is seen\n`);
}
await browser.close();
server.close();
process.stdout.write(`${JSON.stringify({ rounds: seen })}\n`);
