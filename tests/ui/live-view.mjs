// Shows one run's screen in the app and in noVNC, by turns, and reads off the canvas when each change was made: the guest's
// program (crates/nightshift-bench/src/benches/live_view/drawing.py) writes the time into it.
// `node tests/ui/live-view.mjs WINDOW RUN BRIDGE ROUNDS`, where WINDOW is the address that lets a browser in and BRIDGE that
// of a WebSocket which carries VNC; prints one line: {"rounds":[{"app":VIEWED,"novnc":VIEWED},…]}, where VIEWED is
// {"smallMs":[…],"ownMs":[…],"fullShown":…,"fullDrawn":…,"fullSeconds":…}. `smallMs` is by the guest's clock and this
// machine's; `ownMs` is, of small updates alone, from the moment the owner took the pixels to the moment they were drawn:
// what neither guest nor QEMU has a part in. noVNC has none.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

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

/**
 * The one tab of a browser, spoken to by the debugging protocol itself (https://chromedevtools.github.io/devtools-protocol/):
 * Playwright has every message of a page's WebSockets told to it, which takes a tenth of two processors while whole screens
 * come, and that would be measured with them.
 */
class Tab {
  #browser;
  #profile;
  #session;
  #asked = new Map();
  #loaded = () => undefined;
  #next = 0;

  static async open() {
    const tab = new Tab();
    tab.#profile = await mkdtemp(path.join(tmpdir(), 'nightshift-view-'));
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-extensions', '--disable-background-networking', '--disable-component-update', '--mute-audio'];
    tab.#browser = spawn(process.env.CHROMIUM ?? '/usr/bin/chromium', [...flags, '--remote-debugging-pipe', '--window-size=1280,800', `--user-data-dir=${tab.#profile}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    tab.#browser.once('exit', () => tab.#asked.forEach(({ reject }) => reject(new Error('the browser ended'))));
    tab.#listen(tab.#browser.stdio[4]);
    const { targetInfos } = await tab.send('Target.getTargets');
    const { targetId } = targetInfos.find(({ type }) => type === 'page') ?? (await tab.send('Target.createTarget', { url: 'about:blank' }));
    ({ sessionId: tab.#session } = await tab.send('Target.attachToTarget', { targetId, flatten: true }));
    await tab.send('Page.enable');
    await tab.send('Emulation.setDeviceMetricsOverride', { width: 1280, height: 800, deviceScaleFactor: 1, mobile: false });
    return tab;
  }

  /** Messages are JSON with a zero byte after each. */
  async #listen(stream) {
    stream.setEncoding('utf8');
    let rest = '';
    for await (const piece of stream) {
      const messages = (rest + piece).split('\0');
      rest = messages.pop();
      for (const { id, method, result, error } of messages.map((message) => JSON.parse(message))) {
        if (method === 'Page.loadEventFired') this.#loaded();
        const asked = this.#asked.get(id);
        this.#asked.delete(id);
        if (error !== undefined) asked?.reject(new Error(error.message));
        else asked?.resolve(result);
      }
    }
  }

  send(method, params = {}) {
    const id = (this.#next += 1);
    this.#browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.#session })}\0`);
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }

  async goto(url) {
    const loaded = new Promise((resolve) => {
      this.#loaded = resolve;
    });
    const { errorText } = await this.send('Page.navigate', { url });
    if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
    await loaded;
  }

  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, returnByValue: true });
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression is true, at most half a minute. */
  async until(expression) {
    for (const end = Date.now() + 30_000; !(await this.evaluate(expression)); await setTimeout(50)) {
      if (Date.now() > end) throw new Error(`it never became true: ${expression}`);
    }
  }

  async close() {
    const ended = new Promise((resolve) => this.#browser.once('exit', resolve));
    await this.send('Browser.close');
    await ended;
    await rm(this.#profile, { recursive: true, force: true });
  }
}

/** What was seen in a tab, of small changes and of whole screens; those that follow a change of both are left out. */
async function watched(tab) {
  await tab.until('globalThis.seen.length > 0');
  await tab.evaluate('void globalThis.seen.splice(0), void globalThis.own.splice(0)');
  await setTimeout(WATCHED_MS);
  const seen = await tab.evaluate('globalThis.seen');
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
  const ownMs = await tab.evaluate('globalThis.own');
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

const tab = await Tab.open();
await tab.send('Page.addScriptToEvaluateOnNewDocument', { source: `(${watchCanvases})()` });
await tab.goto(window);
await tab.until('document.querySelector("nav") !== null');
/** Who is not watched is not connected, and costs the other nothing. */
const viewed = async (address) => {
  await tab.goto(address);
  const seen = await watched(tab);
  await tab.goto('about:blank');
  return seen;
};
const seen = [];
for (let round = 1; round <= Number(rounds); round += 1) {
  seen.push({ app: await viewed(new URL(`/runs/${run}`, window).href), novnc: await viewed(novnc) });
  process.stderr.write(`round ${round} of ${rounds} is seen\n`);
}
await tab.close();
server.close();
process.stdout.write(`${JSON.stringify({ rounds: seen })}\n`);
