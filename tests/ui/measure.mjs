// Opens Home in a fresh browser several times and says how long it took until it could be used, and how much the first
// page weighs. `node tests/ui/measure.mjs WINDOW SAMPLES`, where WINDOW is the address that `nightshift open` prints;
// prints one line: {"homeInteractiveMs":[…],"bundleKb":[…]}.

import { chromium } from '@playwright/test';

const [window, samples = '7'] = process.argv.slice(2);
if (window === undefined) {
  process.stderr.write('usage: node tests/ui/measure.mjs WINDOW [SAMPLES]\n');
  process.exit(2);
}
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const first = await browser.newContext();
const opening = await first.newPage();
await opening.goto(window);
await opening.getByRole('navigation', { name: 'Places' }).waitFor();
const session = await first.storageState();
await first.close();

const homeInteractiveMs = [];
const bundleKb = [];
for (let sample = 0; sample < Number(samples); sample += 1) {
  // A context of its own has an empty cache: the first page is fetched whole.
  const context = await browser.newContext({ storageState: session, viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const network = await context.newCDPSession(page);
  await network.send('Network.enable');
  const files = new Set();
  let bytes = 0;
  network.on('Network.responseReceived', ({ requestId, response }) => {
    if (!new URL(response.url).pathname.startsWith('/api/')) files.add(requestId);
  });
  network.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    if (files.has(requestId)) bytes += encodedDataLength;
  });
  await page.goto(new URL('/', window).href, { waitUntil: 'commit' });
  // Rows that keys move over are there, and a frame has been drawn with them.
  const at = await page.waitForFunction(() => (document.querySelector('main [data-row]') === null ? false : new Promise((resolve) => requestAnimationFrame(() => setTimeout(() => resolve(performance.now()), 0)))), undefined, { polling: 'raf', timeout: 60_000 });
  homeInteractiveMs.push(Math.round(await at.jsonValue()));
  await page.keyboard.press('j');
  if (!(await page.evaluate(() => document.activeElement?.hasAttribute('data-row')))) throw new Error('Home does not answer keys');
  await page.waitForTimeout(300);
  bundleKb.push(Math.round(bytes / 1024));
  await context.close();
}
await browser.close();
process.stdout.write(`${JSON.stringify({ homeInteractiveMs, bundleKb })}\n`);
