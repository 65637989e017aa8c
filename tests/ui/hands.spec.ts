// What needs a sandbox: the live screen, taking over, a shell, forks, notifications.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { barriers } from './barriers';
import { pixel, placeOf } from './canvas';
import { critic, expect, test, type Turn } from './hosted';

/** What the drawn screen has: the mark where the pointer is, and what is behind it. */
const POINTER = [0xf5, 0x9e, 0x0b];
const DESKTOP = [0x2b, 0x3a, 0x55];

const OUTPUT = join(import.meta.dirname, 'output/pictures');

const call = (tool: string, input: Record<string, unknown>): Turn => ({ calls: [{ tool, input }] });

const ASKS: Turn[] = [call('ask', { question: 'Which port?' }), call('ask', { question: 'And now?' })];

test('a task is submitted, watched, taken over, clicked in, handed back, reviewed and merged', async ({ begin }) => {
  const turns: Turn[] = [
    call('shell', { command: 'echo two >> notes.txt; git commit -qam Note; cat notes.txt' }),
    call('computer', { action: 'left_click', coordinate: [60, 60] }),
    call('ask', { question: 'Is the note where you want it?' }),
    {
      calls: [
        { tool: 'evidence', input: { claim: 'There are two notes.', step: '1.1', criterion: 1 } },
        { tool: 'evidence', input: { claim: 'One click.', step: '2.1' } },
      ],
    },
    call('finish', { title: 'Add a note', summary: 'There is a second note now.' }),
  ];
  const { owner, app } = await begin(turns, false, [critic(turns.length + 1)]);
  const { page } = app;
  await app.goto('/new');
  await page.getByLabel('What is to be done?').fill('Add a second note');
  await page.getByLabel('Acceptance criteria').fill('There are two notes');
  await page.getByLabel('Repository').fill(owner.repository);
  await page.getByRole('button', { name: /Start in the background/ }).click();
  await expect(page).toHaveURL(/\/runs\/run-/);
  const run = new URL(page.url()).pathname.split('/')[2] ?? '';
  // Watch: the agent's click is on the live screen, pixel by pixel.
  await expect(page.getByRole('log').getByText('Is the note where you want it?')).toBeVisible();
  await expect.poll(() => pixel(page, 64, 64)).toEqual(POINTER);
  await expect.poll(() => pixel(page, 200, 150)).toEqual(DESKTOP);
  // Take over, by its key, and click: what the sandbox drew of it is seen.
  await page.keyboard.press('o');
  await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
  const there = await placeOf(page, 206, 156);
  await page.mouse.click(there.x, there.y);
  await expect.poll(() => pixel(page, 210, 160)).toEqual(POINTER);
  await expect.poll(() => pixel(page, 64, 64)).toEqual(DESKTOP);
  await page.getByLabel('What the agent should know').fill('I looked at it, it is fine');
  await page.getByRole('button', { name: 'Hand back' }).click();
  await expect(page.getByText('You watch. The agent has mouse and keyboard.')).toBeVisible();
  await expect(page.getByRole('list', { name: 'Timeline' }).getByText(/You handed back after/)).toBeVisible();
  // Both moments are pictures of the recording.
  await page.getByRole('textbox', { name: /Answer|Steer/ }).fill('Yes');
  await page.keyboard.press('Enter');
  await owner.until(run, 'inReview');
  await page.getByRole('button', { name: 'Review', exact: true }).click();
  await expect(page.getByText('There is a second note now.').first()).toBeVisible();
  await expect(page.getByText('There are two notes.').first()).toBeVisible();
  await expect(page.getByText('Round 1 of 2: every criterion is met')).toBeVisible();
  await page.getByRole('button', { name: 'Approve and merge' }).click();
  await page.getByRole('button', { name: 'Merge', exact: true }).click();
  await expect(page.getByText(/Merged into trunk as [0-9a-f]{8}/)).toBeVisible();
  const events = await owner.ask<{ type: string; summary?: string }[]>(`/runs/${run}/events?after=0`);
  expect(events.find((event) => event.type === 'handedBack')?.summary).toMatch(/1 click.*I looked at it, it is fine/s);
  expect(app.errors).toEqual([]);
});

test('a run is forked from a checkpoint, with other words, and both go on by themselves', async ({ begin }) => {
  const { owner, app } = await begin([call('shell', { command: 'echo two >> notes.txt' }), ...ASKS], true);
  const run = await owner.submit('Add a second note');
  await owner.until(run, 'waiting');
  await owner.ask(`/runs/${run}/checkpoints`, { method: 'POST', body: '{}' });
  const saved = (await owner.ask<{ type: string; seq: number }[]>(`/runs/${run}/events?after=0`)).findLast((event) => event.type === 'checkpointSaved');
  const { page } = app;
  await app.goto(`/runs/${run}?at=${saved?.seq ?? 0}`);
  await page.getByRole('button', { name: /^From \d/ }).click();
  const popover = page.getByRole('dialog', { name: 'Go on from here' });
  await popover.getByLabel('What the fork should do differently').fill('Port 8080, this time');
  await popover.getByRole('button', { name: 'Fork' }).click();
  // It leads to the other run, which was told and has asked its next question; the first one still asks its own.
  await expect(page).not.toHaveURL(new RegExp(run));
  await expect(page).toHaveURL(/\/runs\/run-/);
  const fork = new URL(page.url()).pathname.split('/')[2] ?? '';
  await expect(page.getByRole('log').getByText('Port 8080, this time')).toBeVisible();
  await expect(page.getByRole('log').getByText('And now?')).toBeVisible();
  await owner.until(run, 'waiting');
  const events = await owner.ask<{ type: string; from?: string; text?: string }[]>(`/runs/${fork}/events?after=0`);
  expect(events.find((event) => event.type === 'runForked')?.from).toBe(run);
  const first = await owner.ask<{ type: string; text?: string }[]>(`/runs/${run}/events?after=0`);
  expect(first.filter((event) => event.type === 'personSaid' || event.type === 'runForked')).toEqual([]);
  // What the first had written is in the fork’s folder too.
  await page.keyboard.press('2');
  await page.getByRole('button', { name: 'Your shell', exact: true }).click();
  await expect(page.getByText('Your own shell, as the agent’s user.', { exact: false })).toBeVisible();
  await page.keyboard.type('tail -n 1 notes.txt');
  await page.keyboard.press('Enter');
  await expect(page.locator('.xterm-rows')).toContainText('two');
  expect(app.errors).toEqual([]);
});

for (const scheme of ['dark', 'light'] as const) {
  test.describe(scheme, () => {
    test.use({ colorScheme: scheme });
    test(`taking over, and losing it, is photographed, ${scheme}, and has no serious barrier`, async ({ begin }) => {
      const { owner, app } = await begin(ASKS);
      const run = await owner.submit('Wait');
      await owner.until(run, 'waiting');
      const { page } = app;
      mkdirSync(OUTPUT, { recursive: true });
      const found: string[] = [];
      const look = async (name: string) => {
        await page.screenshot({ path: join(OUTPUT, `hands-${name}-${scheme}.png`) });
        found.push(...(await barriers(page)).map((barrier) => `${name}: ${barrier}`));
      };
      await app.goto(`/runs/${run}`);
      await expect(page.getByText('You watch. The agent has mouse and keyboard.')).toBeVisible();
      await look('watching');
      await page.keyboard.press('o');
      await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
      await look('taken-over');
      await owner.ask(`/runs/${run}/cancel`, { method: 'POST' });
      await expect(page.getByRole('alert').filter({ hasText: 'Mouse and keyboard are no longer yours.' })).toBeVisible();
      await look('lost');
      expect(found).toEqual([]);
      expect(app.errors).toEqual([]);
    });
  });
}

test('one person at a time has the mouse, others see it, and it is free again when the window goes', async ({ begin }) => {
  const { owner, app, context } = await begin(ASKS);
  const run = await owner.submit('Wait');
  await owner.until(run, 'waiting');
  const { page } = app;
  await app.goto(`/runs/${run}`);
  await page.getByRole('button', { name: /Take over/ }).click();
  await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
  const other = await context.newPage();
  await other.goto(`${owner.address.url}/runs/${run}`);
  await expect(other.getByText('Somebody else has mouse and keyboard.')).toBeVisible();
  await expect(other.getByRole('button', { name: /Take over/ })).toBeDisabled();
  // Keys go into the sandbox and are no shortcuts of the app.
  await page.keyboard.press('2');
  await expect(page.getByRole('tab', { name: 'Screen' })).toHaveAttribute('aria-selected', 'true');
  await expect.poll(() => pixel(page, 14, 15)).toEqual([0xe5, 0xe7, 0xeb]);
  await page.close();
  await expect(other.getByText('You watch. The agent has mouse and keyboard.')).toBeVisible();
  await other.getByRole('button', { name: /Take over/ }).click();
  await expect(other.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('composed and pasted text goes into the sandbox as text, and F6 leads out of its keyboard', async ({ begin }) => {
  const { owner, app, context } = await begin(ASKS);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const run = await owner.submit('Wait');
  await owner.until(run, 'waiting');
  const { page } = app;
  const said: { type: string; text?: string; key?: string; down?: boolean }[] = [];
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => typeof payload === 'string' && said.push(JSON.parse(payload) as (typeof said)[number])));
  await app.goto(`/runs/${run}`);
  await page.getByRole('button', { name: /Take over/ }).click();
  await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
  // What a dead key, an input method or an emoji picker comes to arrives without a key of its own.
  await page.keyboard.insertText('à bientôt');
  const composing = await context.newCDPSession(page);
  await composing.send('Input.imeSetComposition', { text: 'にほ', selectionStart: 2, selectionEnd: 2 });
  await composing.send('Input.insertText', { text: '日本' });
  await expect.poll(() => said.filter(({ type }) => type === 'text').map(({ text }) => text)).toEqual(['à bientôt', '日本']);
  await page.evaluate(() => navigator.clipboard.writeText('pasted'));
  await page.keyboard.press('Control+v');
  await expect.poll(() => said.findLast(({ type }) => type === 'key')).toMatchObject({ key: 'Control', down: false });
  const around = said.filter(({ type }) => type === 'key' || type === 'setClipboard');
  expect(around.map(({ type, text, key, down }) => (type === 'key' ? `${key} ${down === true ? 'down' : 'up'}` : `${type} ${text}`))).toEqual(['Control down', 'setClipboard pasted', 'Control up']);
  expect(said.find(({ type }) => type === 'setClipboard')).toEqual({ type: 'setClipboard', text: 'pasted', press: { code: 'KeyV', key: 'v' } });
  // What is too long is told, and its keys do not paste what was there before.
  await page.evaluate(() => navigator.clipboard.writeText('long '.repeat(20_001)));
  await page.keyboard.press('Control+v');
  await expect(page.getByRole('alert').filter({ hasText: 'at most 100,000 can be pasted' })).toBeVisible();
  expect(said.filter(({ type, key }) => type === 'setClipboard' || key === 'v')).toHaveLength(1);
  // A click in the sandbox keeps the keyboard there; F6 leads to what is said when handing back.
  const there = await placeOf(page, 206, 156);
  await page.mouse.click(there.x, there.y);
  await page.keyboard.press('x');
  await expect.poll(() => said.some(({ type, key }) => type === 'key' && key === 'x')).toBe(true);
  await page.keyboard.press('F6');
  await page.keyboard.type('done');
  await page.keyboard.press('Enter');
  await expect(page.getByText('You watch. The agent has mouse and keyboard.')).toBeVisible();
  // Not the key that pastes: this sandbox has no clipboard, and without it nothing is pressed.
  const events = await owner.ask<{ type: string; summary?: string }[]>(`/runs/${run}/events?after=0`);
  expect(events.find((event) => event.type === 'handedBack')?.summary).toMatch(/1 click, 5 keys.*They say: done/s);
  expect(app.errors).toEqual([]);
});

test('a run that is paused meanwhile leaves the way back, and a paused one can be taken over', async ({ begin }) => {
  const { owner, app } = await begin(ASKS);
  const run = await owner.submit('Wait');
  await owner.until(run, 'waiting');
  const { page } = app;
  await app.goto(`/runs/${run}`);
  await page.getByRole('button', { name: /Take over/ }).click();
  await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
  await owner.ask(`/runs/${run}/pause`, { method: 'POST' });
  await expect(page.getByText('Paused by you').first()).toBeVisible();
  await page.keyboard.press('F6');
  await page.keyboard.type('done');
  await expect(page.getByLabel('What the agent should know')).toHaveValue('done');
  await page.getByRole('button', { name: 'Hand back' }).click();
  await expect(page.getByText('You watch. The agent has mouse and keyboard.')).toBeVisible();
  await page.keyboard.press('o');
  await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('what is typed once mouse and keyboard are lost reaches neither the sandbox nor the app', async ({ begin }) => {
  const { owner, app } = await begin(ASKS);
  const run = await owner.submit('Wait');
  await owner.until(run, 'waiting');
  const { page } = app;
  const cut: (() => Promise<void>)[] = [];
  let letBack = () => {};
  const back = new Promise<void>((resolve) => {
    letBack = resolve;
  });
  await page.routeWebSocket(/\/screen$/, async (socket) => {
    if (cut.length > 0) await back;
    socket.connectToServer();
    cut.push(() => socket.close());
  });
  await app.goto(`/runs/${run}`);
  await page.getByRole('button', { name: /Take over/ }).click();
  await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
  const there = await placeOf(page, 206, 156);
  await cut[0]?.();
  const lost = page.getByRole('alert').filter({ hasText: 'Mouse and keyboard are no longer yours.' });
  await expect(lost).toContainText('The connection was cut.');
  // A click where the sandbox was changes nothing about it, away or back; Tab and Enter press no button.
  const press = async () => {
    await page.mouse.click(there.x, there.y);
    await page.keyboard.type('pn secret');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await expect(lost).toBeVisible();
  };
  await expect(page.locator('canvas')).toBeHidden();
  await press();
  letBack();
  await expect(page.locator('canvas')).toBeVisible();
  await expect.poll(() => pixel(page, 200, 150)).toEqual(DESKTOP);
  await press();
  await expect(page).toHaveURL(new RegExp(`/runs/${run}$`));
  await expect(page.getByRole('button', { name: 'Take over again' })).toBeEnabled();
  await page.keyboard.press('F6');
  await expect(page.getByRole('button', { name: 'Only watch' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByText('You watch. The agent has mouse and keyboard.')).toBeVisible();
  const events = await owner.ask<{ type: string; state?: { type: string } }[]>(`/runs/${run}/events?after=0`);
  expect(events.filter((event) => event.state?.type === 'paused')).toEqual([]);
  // A run that ends under somebody’s hands says so first.
  await page.keyboard.press('o');
  await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
  await owner.ask(`/runs/${run}/cancel`, { method: 'POST' });
  await expect(lost).toBeVisible();
  await page.keyboard.type('n');
  await expect(page).toHaveURL(new RegExp(`/runs/${run}$`));
  await page.getByRole('button', { name: 'Only watch' }).click();
  await expect(lost).toHaveCount(0);
  expect(app.errors).toEqual([]);
});

test('a file that is changed once more keeps the place in the diff, and one that cannot be read is said', async ({ begin }) => {
  const lines = Array.from({ length: 80 }, (_, line) => `line ${line}`).join('\n');
  const { owner, app } = await begin([
    call('edit', { action: 'create', path: 'long.txt', text: lines }),
    ...ASKS.slice(0, 1),
    call('edit', { action: 'replace', path: 'long.txt', old: 'line 70', new: 'line seventy' }),
    ...ASKS.slice(1),
  ]);
  const run = await owner.submit('Write it');
  await owner.until(run, 'waiting');
  const { page } = app;
  await app.goto(`/runs/${run}?view=diff`);
  const diff = page.getByRole('region', { name: 'Changes' });
  await expect(diff.getByText('line 3', { exact: true })).toBeVisible();
  await diff.evaluate((element) => element.scrollTo(0, 1_000_000));
  await expect(diff.getByText('line 79')).toBeInViewport();
  const top = await diff.evaluate((element) => element.scrollTop);
  await page.route('**/artifacts/*', (route) => route.abort());
  await page.getByRole('textbox', { name: 'Answer' }).fill('8080');
  await page.keyboard.press('Enter');
  await expect(page.getByText('long.txt could not be read, and is not shown as it is at this moment.')).toBeAttached();
  await expect(diff.getByText('line 79')).toBeInViewport();
  expect(await diff.evaluate((element) => element.scrollTop)).toBeGreaterThanOrEqual(top);
  await page.unroute('**/artifacts/*');
  await page.getByRole('tabpanel').getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByText('+80', { exact: true }).first()).toBeVisible();
  await diff.evaluate((element) => element.scrollTo(0, 1_000_000));
  await expect(diff.getByText('line seventy')).toBeVisible();
  await expect(page.getByText('long.txt could not be read', { exact: false })).toHaveCount(0);
});

test('what an agent does is interrupted, and it reads at once what was written with it', async ({ begin }) => {
  const { owner, app } = await begin([call('shell', { command: 'sleep 300' }), ...ASKS]);
  const run = await owner.submit('Wait');
  await owner.until(run, 'working');
  const { page } = app;
  await app.goto(`/runs/${run}`);
  await expect(page.getByRole('list', { name: 'Timeline' }).getByText('sleep 300')).toBeVisible();
  await page.keyboard.press('m');
  await page.keyboard.type('That takes too long.');
  await page.keyboard.press('Control+Enter');
  await expect(page.getByRole('log').getByText('That takes too long.')).toHaveCount(1);
  await expect(page.getByRole('log').getByText('Which port?')).toBeVisible();
  const events = await owner.ask<{ type: string; step?: string; outcome?: string }[]>(`/runs/${run}/events?after=0`);
  expect(events.filter((event) => event.type === 'interrupted')).toHaveLength(1);
  expect(app.errors).toEqual([]);
});

test('a shell of one’s own runs commands, keeps its history over another view, and ends when it is left', async ({ begin }) => {
  const { owner, app } = await begin(ASKS);
  const run = await owner.submit('Wait');
  await owner.until(run, 'waiting');
  const { page } = app;
  await app.goto(`/runs/${run}?view=terminal`);
  const mine = page.getByRole('button', { name: 'Your shell', exact: true });
  await mine.click();
  await expect(page.getByText('Your own shell, as the agent’s user.', { exact: false })).toBeVisible();
  const shown = page.locator('.xterm-rows');
  await page.keyboard.type('echo $((6 * 7))-yes');
  await page.keyboard.press('Enter');
  await expect(shown).toContainText('42-yes');
  // A program asks the terminal where its cursor is, and reads the answer.
  await page.keyboard.type("printf '\\033[6n'; read -rsd R; echo $((6 * 7))-read");
  await page.keyboard.press('Enter');
  await expect(shown).toContainText('42-read');
  await page.keyboard.press('F6');
  await page.keyboard.press('1');
  await expect(page.getByRole('tab', { name: 'Screen' })).toHaveAttribute('aria-selected', 'true');
  const typed: string[] = [];
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => typeof payload !== 'string' && typed.push(payload.toString())));
  await page.getByRole('tab', { name: 'Terminal' }).click();
  await mine.click();
  await expect(shown).toContainText('42-read');
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type('echo $((6 * 7))-back');
  await page.keyboard.press('Enter');
  await expect(shown).toContainText('42-back');
  // What was asked before was answered then, and is not answered once more into the shell.
  expect(typed.join('')).toBe('echo $((6 * 7))-back\r');
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type('exit');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: 'New shell' })).toBeVisible();
  await page.getByRole('button', { name: 'New shell' }).click();
  await expect(page.getByText('Your own shell, as the agent’s user.', { exact: false })).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('a window that is not looked at is told what needs its person, once, and a click leads there', async ({ begin }) => {
  const { owner, app } = await begin([call('shell', { command: 'sleep 1' }), ...ASKS]);
  const { page } = app;
  // The system's notifications, as a page sees them; the app must ask before it shows one.
  await page.addInitScript(() => {
    const shown: { title: string; body: string; tag: string; click: () => void }[] = [];
    Object.assign(window, { shown });
    class Fake {
      static permission = 'default';
      static requestPermission(): Promise<string> {
        Fake.permission = 'granted';
        return Promise.resolve('granted');
      }
      onclick: (() => void) | null = null;
      constructor(title: string, options: { body: string; tag: string }) {
        if (Fake.permission !== 'granted') throw new Error('shown without leave');
        shown.push({ title, body: options.body, tag: options.tag, click: () => this.onclick?.() });
      }
      close(): void {}
    }
    Object.assign(window, { Notification: Fake });
    document.hasFocus = () => false;
  });
  await app.goto('/settings');
  await page.getByRole('button', { name: 'Turn on' }).click();
  await expect(page.getByRole('button', { name: 'Turn off' })).toBeVisible();
  const run = await owner.submit('Tell me when you need me');
  await owner.until(run, 'waiting');
  const told = () => page.evaluate(() => (window as unknown as { shown: { title: string; body: string; tag: string }[] }).shown.map(({ title, body, tag }) => ({ title, body, tag })));
  await expect.poll(told).toEqual([{ title: 'Asks you', body: 'Tell me when you need me', tag: run }]);
  await page.evaluate(() => (window as unknown as { shown: { click: () => void }[] }).shown[0]?.click());
  await expect(page).toHaveURL(new RegExp(`/runs/${run}$`));
  expect(await told()).toHaveLength(1);
  expect(app.errors).toEqual([]);
});

test('a command that needs a yes waits for it, and a no reaches the agent with its words', async ({ begin }) => {
  const turns = [call('shell', { command: 'git push nowhere main' }), call('shell', { command: 'git push nowhere trunk; echo tried' }), ...ASKS];
  const { owner, app } = await begin(turns);
  const { page } = app;
  const task = { description: 'Push it', repository: owner.repository, approval: 'risky' };
  const { run } = await owner.ask<{ run: string }>('/tasks', { method: 'POST', body: JSON.stringify(task) });
  await owner.until(run, 'waiting');
  await app.goto('/');
  await page.getByLabel('Why not').fill('Leave it to me');
  await page.getByRole('button', { name: 'Deny' }).click();
  await app.goto(`/runs/${run}`);
  await expect(page.getByRole('list', { name: 'Timeline' }).getByText('You did not allow step 1.1')).toBeVisible();
  await expect(page.getByRole('log').getByText('git push nowhere trunk')).toBeVisible();
  await page.getByRole('group', { name: 'A yes or a no to step 2.1' }).getByRole('button', { name: 'Allow' }).click();
  await expect(page.getByRole('log').getByText('Which port?')).toBeVisible();
  const events = await owner.ask<{ type: string; step?: string; outcome?: string; content?: { text?: string }[] }[]>(`/runs/${run}/events?after=0`);
  const ended = events.filter((event) => event.type === 'stepFinished').map(({ step, outcome, content }) => ({ step, outcome, text: content?.[0]?.text ?? '' }));
  expect(ended).toMatchObject([
    { step: '1.1', outcome: 'failed' },
    { step: '2.1', outcome: 'done' },
  ]);
  expect(ended[0]?.text).toContain('Leave it to me');
  expect(ended[1]?.text).toContain('tried');
  expect(app.errors).toEqual([]);
});
