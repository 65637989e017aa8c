// The real window under Xvfb, driven by WebKitGTK's own WebDriver, over the real owner. `./dev test app` runs it.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';

// Beside the program: what the tests of whole runs are built with.
const { NIGHTSHIFT_APP: APP, NIGHTSHIFT_PROGRAM: PROGRAM, NIGHTSHIFT_UI, NIGHTSHIFT_VM_IMAGES, NIGHTSHIFT_GUEST } = process.env;
const WITHIN = 60_000;

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Asks until `ask` returns something true, and returns it. */
async function until(what, ask) {
  const deadline = Date.now() + WITHIN;
  let last;
  for (;;) {
    last = await ask().catch((error) => ((last = error), false));
    if (last) return last;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const beside = (name) => join(dirname(PROGRAM), name);

/** A desktop's panel: what it was asked, and a person's clicks on it. */
class Panel {
  #said = [];

  constructor(child) {
    this.child = child;
    // Services that the bus starts write there as well.
    createInterface({ input: child.stdout }).on('line', (line) => line.startsWith('{') && this.#said.push(JSON.parse(line)));
  }

  /** Waits for the next thing of a kind that it says. */
  async said(kind) {
    return until(`the panel to say ${kind}`, async () => {
      const at = this.#said.findIndex((each) => kind in each);
      return at >= 0 && { is: this.#said.splice(at, 1)[0][kind] };
    }).then(({ is }) => is);
  }

  click(order) {
    this.child.stdin.write(`${JSON.stringify(order)}\n`);
  }

  breaches() {
    return this.#said.filter((each) => 'breach' in each);
  }
}

/** An owner whose sandboxes are folders of this host with a drawn screen, for an app with this home. */
class Night {
  async start(home, turns) {
    const script = join(home, 'script.json');
    writeFileSync(script, JSON.stringify({ turns }));
    this.child = spawn(beside('nightshift-night'), ['--ui', NIGHTSHIFT_UI, '--script', script], { stdio: ['pipe', 'pipe', 'ignore'] });
    const line = await new Promise((resolve) => createInterface({ input: this.child.stdout }).once('line', resolve));
    Object.assign(this, JSON.parse(line));
    mkdirSync(join(home, 'data'), { mode: 0o700 });
    const address = { pid: this.child.pid, url: this.url, token: this.token, version: '0' };
    writeFileSync(join(home, 'data/owner.json'), JSON.stringify(address), { mode: 0o600 });
  }

  async submit(description) {
    const headers = { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${this.url}/api/v1/tasks`, { method: 'POST', headers, body: JSON.stringify({ description, repository: this.repository }) });
    return (await answer.json()).run;
  }

  async end(home) {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.stdin.end();
    await ended;
    rmSync(join(home, 'data/owner.json'), { force: true });
  }
}

/** A screen, a session bus, a driver and a home of its own. */
class Desktop {
  #children = [];
  home = mkdtempSync(join(tmpdir(), 'nightshift-window-'));

  async start(program = PROGRAM, { panel = false } = {}) {
    // The owner has twenty seconds to start; reading the program from a busy disk is none of them.
    await new Promise((resolve) => execFile(PROGRAM, ['--version'], resolve));
    // It takes a number that is free and says it when it is ready: the screen of the desktop before may still be going.
    this.screen = this.#spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1400x900x24', '-nolisten', 'tcp'], {}, ['ignore', 'ignore', 'ignore', 'pipe']);
    const [number] = await once(this.screen.stdio[3], 'data');
    const display = `:${String(number).trim()}`;
    this.environment = {
      PATH: process.env.PATH,
      HOME: this.home,
      NIGHTSHIFT_HOME: this.home,
      DISPLAY: display,
      NIGHTSHIFT_PROGRAM: program,
      NIGHTSHIFT_UI,
      NIGHTSHIFT_VM_IMAGES,
      NIGHTSHIFT_GUEST,
      ANTHROPIC_API_KEY: 'a-key-for-tests',
      ANTHROPIC_BASE_URL: 'http://127.0.0.1:9',
      NO_AT_BRIDGE: '1',
      TAURI_WEBVIEW_AUTOMATION: 'true',
    };
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    if (panel) {
      // A panel on the same bus; its standard input is the session's, its output alone comes here.
      const script = 'exec 3<&0; "$1" <&3 & exec WebKitWebDriver --port="$2" >/dev/null 2>&1';
      const child = this.#spawn('dbus-run-session', ['--', 'sh', '-c', script, 'sh', beside('nightshift-panel'), String(port)], this.environment, ['pipe', 'pipe', 'ignore']);
      this.panel = new Panel(child);
      await this.panel.said('ready');
    } else {
      this.#spawn('dbus-run-session', ['--', 'WebKitWebDriver', `--port=${port}`], this.environment);
    }
    await until('the driver', async () => (await fetch(`${this.url}/status`)).ok);
    const { sessionId } = await this.#ask('POST', '/session', { capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': { binary: APP, args: [] } } } });
    this.session = `/session/${sessionId}`;
  }

  #spawn(program, args, env, stdio = 'ignore') {
    const child = spawn(program, args, { env: { PATH: process.env.PATH, ...env }, stdio, detached: true });
    this.#children.push(child);
    return child;
  }

  async #ask(method, path, body, within = WITHIN) {
    const answer = await fetch(`${this.url}${path}`, { method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(within) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
    return value;
  }

  /** Runs a function's body in the page. */
  run(script) {
    // One that is asked for while the window goes elsewhere may never be answered.
    return this.#ask('POST', `${this.session}/execute/sync`, { script, args: [] }, 10_000);
  }

  text() {
    return this.run('return document.body.innerText');
  }

  /** Waits for what a script in the page returns; what the page showed instead is told when it never comes. */
  until(what, script) {
    return until(what, () => this.run(script)).catch(async (error) => {
      const shown = await this.run('return `${location.href}\n${document.body.innerText}`').catch((unread) => unread.message);
      throw new Error(`${error.message}; the window shows ${shown}`);
    });
  }

  /** Starts the app once more and returns how that ended. */
  again(...args) {
    return new Promise((resolve) => {
      execFile(APP, args, { env: this.environment, timeout: WITHIN }, (error, _, stderr) => resolve({ code: error?.code ?? 0, stderr }));
    });
  }

  /** Takes the keyboard away from the window, as another window does that a person goes to (XSetInputFocus(3), to none). */
  lookAway() {
    const script = "import ctypes\nx = ctypes.CDLL('libX11.so.6')\nx.XOpenDisplay.restype = ctypes.c_void_p\nd = ctypes.c_void_p(x.XOpenDisplay(None))\nx.XSetInputFocus(d, 0, 0, 0)\nx.XSync(d, 0)";
    return new Promise((resolve, reject) => {
      execFile('python3', ['-c', script], { env: this.environment }, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  owner() {
    try {
      return JSON.parse(readFileSync(join(this.home, 'data/owner.json'), 'utf8'));
    } catch {
      return null;
    }
  }

  /** Whether the app's process is there. */
  isOpen() {
    return readdirSync('/proc').some((pid) => {
      try {
        return realpathSync(`/proc/${pid}/exe`) === realpathSync(APP) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`NIGHTSHIFT_HOME=${this.home}\0`);
      } catch {
        return false;
      }
    });
  }

  /** Ends the app as a person does: by closing the window, on a desktop without a tray. */
  close() {
    return this.#ask('DELETE', `${this.session}/window`);
  }

  async end() {
    const owner = this.owner();
    if (owner !== null) process.kill(owner.pid);
    for (const child of this.#children) {
      try {
        process.kill(-child.pid);
      } catch {
        // It is gone already.
      }
    }
    if (owner !== null) await until('the owner to end', async () => this.owner() === null);
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}

describe('the window', () => {
  const desktop = new Desktop();
  before(() => desktop.start());
  after(() => desktop.end());

  test('starts the owner and shows its UI, let in', async () => {
    await desktop.until('Home', "return document.querySelector('nav[aria-label=Places]') !== null");
    const owner = desktop.owner();
    assert.equal(await desktop.run('return location.origin'), owner.url);
    assert.equal(await desktop.run('return location.hash'), '', 'the ticket stays nowhere');
    await desktop.until('the owner\'s version', 'return /Owner \\d/.test(document.body.innerText)');
  });

  test('tells the page that it is the app, and gives it no command', async () => {
    assert.match(await desktop.run('return window.nightshiftApp'), /^\d+\.\d+/);
    await desktop.run("window.__refused = null; window.__TAURI_INTERNALS__?.invoke('plugin:window|close').then(() => (window.__refused = 'done'), () => (window.__refused = 'refused')); window.__TAURI_INTERNALS__ ?? (window.__refused = 'refused')");
    assert.equal(await desktop.until('an answer', 'return window.__refused'), 'refused');
  });

  test('is one, and a link leads to its place without loading the page anew', async () => {
    await desktop.run('window.__same = true');
    assert.deepEqual(await desktop.again('nightshift://doctor'), { code: 0, stderr: '' });
    await desktop.until('the doctor', "return location.pathname === '/doctor' && document.title.startsWith('Doctor')");
    assert.equal(await desktop.run('return window.__same'), true);
  });

  test('leaves notifications to the app, and says so where a browser would ask for leave', async () => {
    assert.deepEqual(await desktop.again('nightshift://settings'), { code: 0, stderr: '' });
    await desktop.until('the settings', "return document.title.startsWith('Settings') && /The app shows them/.test(document.body.innerText)");
    assert.equal(await desktop.run("return [...document.querySelectorAll('main button')].some((button) => button.textContent === 'Turn on')"), false);
    assert.deepEqual(await desktop.again('nightshift://doctor'), { code: 0, stderr: '' });
    await desktop.until('the doctor', "return location.pathname === '/doctor'");
  });

  test('stays where it is for a link that leads nowhere, which is told to who started it', async () => {
    const { code, stderr } = await desktop.again('nightshift://merge/run-0000000000');
    assert.equal(code, 0);
    assert.match(stderr, /there is no place "merge\/run-0000000000"/);
    assert.equal(await desktop.run('return location.pathname'), '/doctor');
  });

  test('leaves the owner running when it is closed', async () => {
    const { pid, url, token } = desktop.owner();
    assert.equal(desktop.isOpen(), true);
    await desktop.close();
    await until('the app to end', async () => !desktop.isOpen());
    process.kill(pid, 0);
    const health = await fetch(`${url}/api/v1/health`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(health.status, 200);
  });
});

describe('on a desktop with a panel', () => {
  const desktop = new Desktop();
  const night = new Night();
  let run;
  before(async () => {
    await night.start(desktop.home, [{ calls: [{ tool: 'ask', input: { question: 'Which port?' } }] }]);
    await desktop.start(PROGRAM, { panel: true });
  });
  after(async () => {
    await night.end(desktop.home);
    await desktop.end();
  });

  test('its icon is in the tray, and asks for attention when something waits', async () => {
    await desktop.until('Home', "return document.querySelector('nav[aria-label=Places]') !== null");
    assert.equal(await desktop.panel.said('icon'), true);
    await desktop.lookAway();
    run = await night.submit('Find a port');
    await until('the icon to ask for attention', async () => {
      desktop.panel.click({ do: 'look' });
      return (await desktop.panel.said('tray')) === 'NeedsAttention';
    });
  });

  test('a notification says what is asked, keeps the rules, and a click leads there', async () => {
    const { id, title, body } = await desktop.panel.said('notified');
    assert.match(`${title} ${body}`, /Find a port.*Which port\?/s);
    desktop.panel.click({ do: 'click', id });
    await desktop.until('the run', `return location.pathname === '/runs/${run}'`);
    assert.deepEqual(desktop.panel.breaches(), []);
  });

  test('shows the live screen, pixel by pixel', async () => {
    const pixel = "const canvas = document.querySelector('canvas'); return canvas === null || canvas.width !== 320 ? null : [canvas.width, canvas.height, ...canvas.getContext('2d').getImageData(200, 150, 1, 1).data]";
    assert.deepEqual(await desktop.until('a live frame', pixel), [320, 200, 0x2b, 0x3a, 0x55, 255]);
  });
});

describe('without an owner that can start', () => {
  const desktop = new Desktop();
  after(() => desktop.end());

  test('the window says why and what to do, and tries again when asked', async () => {
    const program = join(desktop.home, 'nightshift');
    const error = { code: 'toolMissing', message: 'git was <b>not</b> found', hint: 'Install git.' };
    writeFileSync(program, `#!/bin/sh\necho '${JSON.stringify({ type: 'error', error })}'\nexit 1\n`, { mode: 0o755 });
    await desktop.start(program);
    await desktop.until('the reason', "return document.getElementById('message')?.textContent !== ''");
    assert.equal(await desktop.run("return document.getElementById('message').textContent"), error.message);
    assert.equal(await desktop.run("return document.getElementById('hint').textContent"), error.hint);
    writeFileSync(program, `#!/bin/sh\nexec ${PROGRAM} "$@"\n`, { mode: 0o755 });
    await desktop.run("document.getElementById('again').click()");
    await desktop.until('Home', "return document.querySelector('nav[aria-label=Places]') !== null");
  });
});
