// Lists of thousands: little of them is on the page, and nothing is lost by it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Locator, Page } from '@playwright/test';
import { placeOfHeld, rowsKept } from '../../ui/src/hooks/use-held-row';
import { type App, expect, letIn, test as base } from './bench';
import { Night } from './night';
import { Owner } from './owner';

const MESSAGES = 5_000;

/** An owner of its own: what is said here would be in the way elsewhere. */
const test = base.extend<{ long: App<Owner> }, { talk: { owner: Owner; run: string } }>({
  talk: [
    // biome-ignore lint: Playwright wants an object pattern here.
    async ({}, use) => {
      const home = mkdtempSync(join(tmpdir(), 'nightshift-long-'));
      const night = new Night(home);
      const run = await night.talkative(MESSAGES);
      await night.end();
      const owner = new Owner(home);
      await owner.start();
      await use({ owner, run });
      await owner.end();
      rmSync(home, { recursive: true, force: true });
    },
    { scope: 'worker', timeout: 180_000 },
  ],
  long: async ({ talk, browser, viewport, colorScheme }, use) => {
    const { app, context } = await letIn(talk.owner, browser, { viewport, colorScheme });
    await use(app);
    await context.close();
  },
});

const log = (page: Page) => page.getByRole('log', { name: 'What was said' });
/** The message with this number, which is on the page only near where somebody looks. */
const message = (page: Page, number: number) => log(page).getByRole('article').filter({ hasText: `Message ${number}:` });
const onPage = (list: Locator) => list.count();
/** The numbers of the rows that are on the page, in the order of the document. */
const positions = (rows: Locator) => rows.evaluateAll((all) => all.map((row) => Number(row.getAttribute('aria-posinset'))));

test('a chat of 5,000 messages has few on the page, in their order, and is gone through by keys', async ({ long, talk }) => {
  const { page } = long;
  await long.goto(`/runs/${talk.run}`);
  await expect(message(page, MESSAGES)).toBeInViewport();
  const entries = log(page).getByRole('article');
  expect(await onPage(entries)).toBeLessThan(60);
  await expect(entries.first()).toHaveAttribute('aria-setsize', String(MESSAGES));
  await log(page).focus();
  await page.keyboard.press('Home');
  await expect(message(page, 1)).toBeInViewport();
  await page.keyboard.press('PageDown');
  await expect(message(page, 1)).not.toBeInViewport();
  const shown = await positions(entries);
  expect(shown).toEqual([...shown].sort((one, other) => one - other));
  await page.keyboard.press('End');
  await expect(message(page, MESSAGES)).toBeInViewport();
  expect(long.errors).toEqual([]);
});

test('a link to a moment shows what was said then, and coming back to now shows the newest', async ({ long, talk }) => {
  const { page } = long;
  const events = await talk.owner.ask<{ seq: number; type: string; turn?: number }[]>(`/runs/${talk.run}/events?after=4000&limit=1000`);
  const there = events.find((event) => event.type === 'turnFinished' && (event.turn ?? 0) >= 2_300);
  await long.goto(`/runs/${talk.run}?at=${there?.seq}`);
  await expect(message(page, there?.turn ?? 0)).toBeInViewport();
  await expect(message(page, (there?.turn ?? 0) + 1)).toHaveCSS('opacity', '0.4');
  await expect(message(page, there?.turn ?? 0)).toHaveCSS('opacity', '1');
  await expect(page).toHaveURL(new RegExp(`at=${there?.seq}$`));
  // The same moment in the timeline.
  await expect(page.getByRole('list', { name: 'Timeline' }).locator('[aria-current=step]')).toContainText(`Message ${there?.turn}:`);
  // Picked here, it stays where it is.
  const near = message(page, (there?.turn ?? 0) + 1).getByRole('button', { name: /\d\d:\d\d/ });
  const before = await near.boundingBox();
  await near.click();
  await expect(message(page, (there?.turn ?? 0) + 1)).toHaveCSS('opacity', '1');
  expect(Math.abs(((await near.boundingBox())?.y ?? 0) - (before?.y ?? 0))).toBeLessThan(2);
  await log(page).evaluate((element) => element.blur());
  await page.keyboard.press('l');
  await expect(message(page, MESSAGES)).toBeInViewport();
  expect(long.errors).toEqual([]);
});

test('who reads further up is not moved by what is said meanwhile, and who reads at the end sees it', async ({ long, talk }) => {
  const { page } = long;
  const say = (text: string) => talk.owner.ask(`/runs/${talk.run}/messages`, { method: 'POST', body: JSON.stringify({ text, delivery: 'steer' }) });
  await long.goto(`/runs/${talk.run}`);
  await expect(message(page, MESSAGES)).toBeInViewport();
  await expect(log(page)).toHaveAttribute('aria-live', 'polite');
  await say('Is the first lamp lit?');
  await expect(log(page).getByText('Is the first lamp lit?')).toBeInViewport();
  await log(page).hover();
  await page.mouse.wheel(0, -6_000);
  await expect(page.getByRole('button', { name: 'Newest' })).toBeVisible();
  // Rows that come into view by scrolling are no news to a screen reader.
  await expect(log(page)).toHaveAttribute('aria-live', 'off');
  const entries = log(page).getByRole('article');
  const middle = entries.nth(Math.floor((await onPage(entries)) / 2));
  const number = await middle.getAttribute('aria-posinset');
  const held = log(page).locator(`article[aria-posinset="${number}"]`);
  await expect.poll(async () => (await held.boundingBox())?.y).toBe((await held.boundingBox())?.y);
  const before = (await held.boundingBox())?.y ?? 0;
  await say('And the second one?');
  await expect(page.getByRole('list', { name: 'Timeline' }).getByText('And the second one?')).toBeVisible();
  await expect(entries.first()).toHaveAttribute('aria-setsize', String(MESSAGES + 2));
  expect(Math.abs(((await held.boundingBox())?.y ?? 0) - before)).toBeLessThan(2);
  await page.getByRole('button', { name: 'Newest' }).click();
  await expect(log(page).getByText('And the second one?')).toBeInViewport();
  await expect(page.getByRole('button', { name: 'Newest' })).toHaveCount(0);
  expect(long.errors).toEqual([]);
});

test('who reads further up in the timeline is not moved by what happens meanwhile, and who is at its end sees it', async ({ long, talk }) => {
  const { page } = long;
  const say = (text: string) => talk.owner.ask(`/runs/${talk.run}/messages`, { method: 'POST', body: JSON.stringify({ text, delivery: 'steer' }) });
  const timeline = page.getByRole('list', { name: 'Timeline' });
  await long.goto(`/runs/${talk.run}`);
  await expect(message(page, MESSAGES)).toBeInViewport();
  await say('Is the fourth lamp lit?');
  await expect(timeline.getByText('Is the fourth lamp lit?')).toBeInViewport();
  await timeline.hover();
  await page.mouse.wheel(0, -3_000);
  await expect(timeline.getByText('Is the fourth lamp lit?')).not.toBeInViewport();
  const top = () => timeline.evaluate((element) => element.scrollTop);
  const before = await top();
  await say('And the fifth one?');
  await expect(log(page).getByText('And the fifth one?')).toBeInViewport();
  expect(await top()).toBe(before);
  await page.mouse.wheel(0, 1_000_000);
  await expect(timeline.getByText('And the fifth one?')).toBeInViewport();
  await say('And the sixth?');
  await expect(timeline.getByText('And the sixth?')).toBeInViewport();
  expect(long.errors).toEqual([]);
});

test('back at the newest by keyboard the keys go on in the list, and only what is said from then on is read out', async ({ long, talk }) => {
  const { page } = long;
  // What a screen reader is told: the entries that are added while the list is live, from the first frame on.
  await page.addInitScript(() => {
    const told: string[] = [];
    Object.assign(window, { told });
    new MutationObserver((changes) => {
      for (const node of changes.flatMap((change) => [...change.addedNodes])) {
        if (!(node instanceof Element)) continue;
        const live = node.closest('[role=log]')?.getAttribute('aria-live') === 'polite';
        for (const entry of live ? node.querySelectorAll('article') : []) told.push(entry.querySelector('header + *')?.textContent ?? '');
      }
    }).observe(document, { childList: true, subtree: true });
  });
  const told = () => page.evaluate(() => (window as unknown as { told: string[] }).told);
  await long.goto(`/runs/${talk.run}`);
  await expect(log(page)).toHaveAttribute('aria-live', 'polite');
  await log(page).focus();
  await page.keyboard.press('Home');
  await expect(message(page, 1)).toBeInViewport();
  await expect(log(page)).toHaveAttribute('aria-live', 'off');
  await page.getByRole('button', { name: 'Newest' }).focus();
  await page.keyboard.press('Enter');
  await expect(message(page, MESSAGES)).toBeVisible();
  await expect(page.getByRole('button', { name: 'Newest' })).toHaveCount(0);
  await expect(log(page)).toBeFocused();
  await expect(log(page)).toHaveAttribute('aria-live', 'polite');
  expect(await told()).toEqual([]);
  await talk.owner.ask(`/runs/${talk.run}/messages`, { method: 'POST', body: JSON.stringify({ text: 'Is the third lamp lit?', delivery: 'steer' }) });
  await expect(log(page).getByText('Is the third lamp lit?')).toBeInViewport();
  expect(await told()).toEqual(['Is the third lamp lit?']);
  await page.keyboard.press('Home');
  await expect(message(page, 1)).toBeInViewport();
  await page.keyboard.press('End');
  await expect(log(page).getByText('Is the third lamp lit?')).toBeInViewport();
  await expect(log(page)).toHaveAttribute('aria-live', 'polite');
  expect(await told()).toEqual(['Is the third lamp lit?']);
  expect(long.errors).toEqual([]);
});

test('what has the focus keeps it however far the list is scrolled, and the next key goes on from there', async ({ long, talk }) => {
  const { page } = long;
  await long.goto(`/runs/${talk.run}`);
  await expect(message(page, MESSAGES - 1)).toBeVisible();
  const time = message(page, MESSAGES - 1).getByRole('button');
  await time.focus();
  await log(page).hover();
  await page.mouse.wheel(0, -40_000);
  await expect(message(page, MESSAGES - 1)).not.toBeInViewport();
  await expect(message(page, MESSAGES - 12)).toHaveCount(0);
  await expect(time).toBeFocused();
  await page.keyboard.press('Shift+Tab');
  await expect(message(page, MESSAGES - 2).getByRole('button')).toBeFocused();
  await expect(message(page, MESSAGES - 2)).toBeInViewport();
  expect(long.errors).toEqual([]);
});

test('a search with 5,000 finds has few on the page, goes on by itself, and is gone through by keys', async ({ long, talk }) => {
  test.setTimeout(240_000);
  const { page } = long;
  await long.goto('/history?q=lantern');
  const finds = page.getByRole('list', { name: 'Finds' });
  const rows = finds.getByRole('listitem');
  await expect(rows.first()).toContainText(`Message ${MESSAGES}:`);
  const told = page.getByRole('status').filter({ hasText: /find/ });
  await expect(told).toHaveText(/^\d+ finds, more below$/);
  for (const _ of [1, 2, 3]) await page.keyboard.press('j');
  await expect(rows.nth(2).getByRole('link')).toBeFocused();
  // To the very end, by the wheel as anybody would.
  await finds.hover();
  await expect
    .poll(
      async () => {
        await page.mouse.wheel(0, 100_000);
        return told.textContent();
      },
      { timeout: 180_000, intervals: [30] },
    )
    .toBe(`${MESSAGES.toLocaleString('en')} finds`);
  await page.mouse.wheel(0, 1_000_000);
  await expect(rows.filter({ hasText: 'Message 1:' })).toBeInViewport();
  expect(await onPage(rows)).toBeLessThan(60);
  expect((await positions(rows)).at(-1)).toBe(MESSAGES);
  // The focus is still on the third, and its neighbour is the next.
  await page.keyboard.press('j');
  await expect(finds.locator('li[aria-posinset="4"]').getByRole('link')).toBeFocused();
  await expect(finds.locator('li[aria-posinset="4"]')).toBeInViewport();
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(`/runs/${talk.run}\\?at=\\d+$`));
  await expect(message(page, MESSAGES - 3)).toBeInViewport();
  expect(long.errors).toEqual([]);
});

test('the run that has the focus keeps it while others begin before it, and the next key goes on from there', async ({ app }) => {
  const { page } = app;
  await app.goto('/history');
  const runs = page.getByRole('list', { name: 'Runs' });
  await expect(runs.getByRole('link').first()).toBeVisible();
  const [held, next] = await runs.getByRole('link').evaluateAll((links) => [links[1], links[2]].map((link) => link?.getAttribute('href') ?? ''));
  const row = (address: string | undefined) => runs.locator(`a[href="${address}"]`);
  await row(held).focus();
  await runs.hover();
  await page.mouse.wheel(0, 100_000);
  await expect(row(held)).not.toBeInViewport();
  const place = async () => Number(await runs.getByRole('listitem').filter({ has: page.locator(`a[href="${held}"]`) }).getAttribute('aria-posinset'));
  expect(await place()).toBe(2);
  for (const name of ['one', 'two', 'three', 'four', 'five']) {
    const task = { description: `Oil lamp ${name}`, repository: join(app.owner.home, 'work/ledger') };
    await app.owner.ask('/tasks', { method: 'POST', body: JSON.stringify(task) });
  }
  await expect.poll(place).toBe(7);
  await expect(row(held)).toBeFocused();
  await page.keyboard.press('j');
  await expect(row(next)).toBeFocused();
  await expect(row(next)).toBeInViewport();
  expect(app.errors).toEqual([]);
});

test('runs that could not be looked up again stay, with the place in them, and are looked up when asked to', async ({ app }) => {
  const { page } = app;
  await app.goto('/history');
  const runs = page.getByRole('list', { name: 'Runs' });
  const third = runs.getByRole('listitem').nth(2).getByRole('link');
  await third.focus();
  const address = await third.getAttribute('href');
  const lists = /\/api\/v1\/runs\?.*limit=200/;
  await page.route(lists, (route) => route.fulfill({ status: 507, json: { code: 'internal', message: 'the disk is full', hint: 'Make room on it.' } }));
  const task = { description: 'Trim the wick', repository: join(app.owner.home, 'work/ledger') };
  await app.owner.ask('/tasks', { method: 'POST', body: JSON.stringify(task) });
  const problem = page.getByRole('alert').filter({ hasText: 'The disk is full' });
  await expect(problem).toBeVisible();
  await expect(runs.locator(`a[href="${address}"]`)).toBeFocused();
  await expect(runs.getByText('Trim the wick')).toHaveCount(0);
  await page.unroute(lists);
  await problem.getByRole('button', { name: 'Try again' }).click();
  await expect(runs.getByText('Trim the wick')).toBeVisible();
  await expect(problem).toHaveCount(0);
  expect(app.errors).toEqual([]);
});

test('a held row is found where it went, and nowhere once it has gone', () => {
  const of = (keys: string) => ({ count: keys.length, keyOf: (index: number) => keys[index] ?? '' });
  const found = (key: string, index: number, keys: string) => placeOfHeld({ key, index }, of(keys).count, of(keys).keyOf);
  expect(found('c', 2, 'abcdef')).toBe(2);
  expect(found('c', 2, 'xyzabcdef')).toBe(5);
  expect(found('e', 4, 'de')).toBe(1);
  expect(found('f', 5, 'f')).toBe(0);
  expect(found('a', 0, 'xyza')).toBe(3);
  expect(found('c', 2, 'abdef')).toBe(null);
  expect(found('c', 2, '')).toBe(null);
});

test('the rows of a list are those in view, and the held one with its neighbours in their order', () => {
  const range = { startIndex: 100, endIndex: 102, overscan: 1, count: 200 };
  expect(rowsKept(range, null)).toEqual([99, 100, 101, 102, 103]);
  expect(rowsKept(range, 3)).toEqual([2, 3, 4, 99, 100, 101, 102, 103]);
  expect(rowsKept(range, 199)).toEqual([99, 100, 101, 102, 103, 198, 199]);
  expect(rowsKept(range, 104)).toEqual([99, 100, 101, 102, 103, 104, 105]);
  expect(rowsKept({ ...range, count: 0, startIndex: 0, endIndex: -1 }, 5)).toEqual(rowsKept({ ...range, count: 0, startIndex: 0, endIndex: -1 }, null));
});
