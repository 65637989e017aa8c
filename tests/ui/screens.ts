// Pictures of screens for a seeded history: pages as an agent would have open, photographed in a real browser.

import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { chromium, type Page } from '@playwright/test';
import { ROOT } from './programs';

const WINDOW = (title: string, body: string, style = '') => `<!doctype html><html lang="en"><style>
*{box-sizing:border-box;margin:0}body{width:1280px;height:800px;background:#26303a;font:14px/1.45 "DejaVu Sans",sans-serif;color:#1d2430}
.bar{height:34px;background:#dfe3e8;display:flex;align-items:center;gap:10px;padding:0 12px;font-size:13px}
.tab{background:#fff;padding:7px 16px;border-radius:8px 8px 0 0;height:28px;margin-top:6px}
.address{height:34px;background:#fff;border-bottom:1px solid #d5d9df;padding:6px 14px;color:#5a6472}
.page{height:702px;background:#fff;overflow:hidden;${style}}
.panel{height:30px;background:#1b2129;color:#9fb0c0;display:flex;align-items:center;gap:18px;padding:0 14px;font-size:12px}
</style><div class="bar"><span class="tab">${title}</span></div><div class="address">http://127.0.0.1:4173/</div><div class="page">${body}</div>
<div class="panel"><span>Web</span><span>Terminal</span><span style="margin-left:auto">02:41</span></div></html>`;

const table = Array.from({ length: 14 }, (_, row) => `<tr>${['INV-20' + (410 + row), ['Larch & Sons', 'Fjell AS', 'Quay Street', 'Pine Labs'][row % 4], `2026-11-${10 + row}`, `€ ${(row * 137.4 + 220).toFixed(2)}`, row % 3 === 0 ? 'overdue' : 'paid'].map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('');

export const PAGES: Record<string, string> = {
  invoices: WINDOW('Ledger', `<div style="padding:28px 40px"><h1 style="font-size:24px;margin-bottom:18px">Invoices</h1><table style="width:100%;border-collapse:collapse">${table}</table></div><style>td{border-bottom:1px solid #e6e9ee;padding:11px 8px}tr:nth-child(3n+1) td:last-child{color:#b4341f;font-weight:700}</style>`),
  login: WINDOW('Sign in', `<form style="width:340px;margin:120px auto;padding:30px;border:1px solid #dde1e7;border-radius:12px;background:#fff"><h1 style="font-size:21px;margin-bottom:18px">Anmelden</h1><p>E-Mail</p><p style="border:1px solid #c6ccd5;border-radius:6px;height:38px;margin:4px 0 14px"></p><p>Passwort</p><p style="border:1px solid #c6ccd5;border-radius:6px;height:38px;margin:4px 0 20px"></p><p style="background:#2563c9;color:#fff;border-radius:6px;text-align:center;padding:9px">Weiter</p></form>`, 'background:#f2f5f9'),
  chart: WINDOW('Metrics', `<div style="padding:30px 40px"><h1 style="font-size:22px">Requests per minute</h1><svg viewBox="0 0 1200 500" style="margin-top:24px"><g stroke="#e3e7ed">${[0, 1, 2, 3, 4].map((line) => `<path d="M0 ${line * 110 + 20}h1200"/>`).join('')}</g><path fill="none" stroke="#0d8a6a" stroke-width="4" d="M0 400 ${Array.from({ length: 48 }, (_, index) => `L${index * 25} ${300 + Math.sin(index / 3) * 120 - index * 2}`).join(' ')}"/></svg></div>`),
  terminal: WINDOW('Terminal', `<pre style="padding:20px;font:14px/1.5 'DejaVu Sans Mono',monospace;color:#c9d5e3">agent@sandbox:~/depot$ cargo nextest run
    Starting 214 tests across 11 binaries
        PASS [   0.021s] depot::routes a_missing_parcel_is_404
        PASS [   0.043s] depot::routes a_label_is_printed_once
        FAIL [   1.204s] depot::retry the_third_attempt_waits_longer

  stderr ───
    thread 'main' panicked at crates/depot/src/retry.rs:88
    assertion failed: left == right
      left: 400ms
     right: 800ms

     Summary [   3.310s] 214 tests run: 213 passed, 1 failed
agent@sandbox:~/depot$ ▏</pre>`, 'background:#10151c'),
};

/** Applies one edit of an agent's script to a text; also what the seeded history does. */
export function edited(text: string, input: Record<string, unknown>): string {
  if (input['action'] === 'create') return String(input['text']);
  return input['action'] === 'replace' ? text.replace(String(input['old']), () => String(input['new'])) : text;
}

/** The example application before and after the demo's task, as its agent saw it. */
async function photographTrailhead(page: Page, folder: string): Promise<void> {
  const app = join(folder, 'trailhead');
  cpSync(join(ROOT, 'examples/trailhead'), app, { recursive: true });
  const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
  const server = createServer((request, response) => {
    const name = request.url === '/' ? 'index.html' : (request.url ?? '').slice(1).replaceAll('..', '');
    response.setHeader('content-type', types[extname(name)] ?? 'text/plain');
    response.end(existsSync(join(app, 'src', name)) ? readFileSync(join(app, 'src', name)) : '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto(url);
  await page.waitForSelector('#notes li');
  await page.screenshot({ path: join(folder, 'before.png') });
  const script = JSON.parse(readFileSync(join(ROOT, 'examples/dark-mode/script.json'), 'utf8')) as { turns: { calls: { tool: string; input: Record<string, unknown> }[] }[] };
  for (const { tool, input } of script.turns.flatMap((turn) => turn.calls)) {
    if (tool !== 'edit') continue;
    const file = join(app, String(input['path']));
    writeFileSync(file, edited(existsSync(file) ? readFileSync(file, 'utf8') : '', input));
  }
  await page.goto(url);
  await page.click('#theme-toggle');
  await page.mouse.move(640, 700);
  await page.screenshot({ path: join(folder, 'after.png') });
  server.close();
  server.closeAllConnections();
}

/** Photographs the pages once and returns the folder with `NAME.png`. */
export async function photograph(folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const missing = Object.entries(PAGES).filter(([name]) => !existsSync(join(folder, `${name}.png`)));
  if (missing.length === 0 && existsSync(join(folder, 'after.png'))) return folder;
  const browser = await chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  for (const [name, html] of missing) {
    await page.setContent(html);
    await page.screenshot({ path: join(folder, `${name}.png`) });
  }
  await photographTrailhead(page, folder);
  await browser.close();
  return folder;
}
