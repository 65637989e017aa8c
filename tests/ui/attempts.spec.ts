import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import { test as base, type Page } from '@playwright/test';
import { type App, expect, letIn } from './bench';
import { Night } from './night';
import { Owner } from './owner';

interface Tried {
  owner: Owner;
  task: string;
  runs: readonly [string, string, string];
}

/** An owner of its own, because what is merged here is merged for good. */
const test = base.extend<{ tried: Tried; app: App<Owner> }>({
  // biome-ignore lint: Playwright wants an object pattern here.
  tried: async ({}, use) => {
    const home = mkdtempSync(join(tmpdir(), 'nightshift-ui-'));
    const night = new Night(home);
    const attempts = await night.attempts();
    await night.end();
    const owner = new Owner(home);
    await owner.start();
    await use({ owner, ...attempts });
    await owner.end();
    rmSync(home, { recursive: true, force: true });
  },
  app: async ({ tried, browser, viewport, colorScheme }, use) => {
    const { app, context } = await letIn(tried.owner, browser, { viewport, colorScheme });
    await use(app);
    await context.close();
  },
});

const OUTPUT = join(import.meta.dirname, 'output/pictures');

/** Serious barriers of what is shown, by axe. */
async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: typeof axe }).axe.run(document, { resultTypes: ['violations'] });
    return violations.filter((each) => each.impact === 'serious' || each.impact === 'critical').map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')}`);
  });
}

test('three attempts are asked for in New task, limits hold for each, and all are seen side by side and in every list', async ({ app }) => {
  const { page } = app;
  await app.goto('/new');
  await page.getByLabel('What is to be done?').fill('Sort the work list by distance');
  await page.getByLabel('Repository').fill(`${app.owner.home}/work/summit`);
  await page.getByLabel('US dollars').fill('4');
  const attempts = page.getByLabel('Attempts');
  await expect(attempts).toHaveValue('1');
  await attempts.selectOption('3');
  await expect(page.getByText('The limits hold for each: at most $12.00 in all.')).toBeVisible();
  await page.keyboard.press('Control+Enter');
  await expect(page).toHaveURL(/\/attempts\/task-/);
  const cards = page.getByRole('list', { name: 'Attempts' }).getByRole('listitem');
  await expect(cards).toHaveCount(3);
  await expect(page.getByRole('heading', { name: 'Sort the work list by distance' })).toBeVisible();
  const task = page.url().split('/').at(-1) ?? '';
  const { attempts: made } = await app.owner.ask<{ attempts: { run: { run: string; branch: string; attempt: unknown; task: { limits: { costMicrodollars: number } } } }[] }>(`/tasks/${task}/attempts`);
  expect(made.map(({ run }) => run.attempt)).toEqual([1, 2, 3].map((number) => ({ number, of: 3 })));
  expect(new Set(made.map(({ run }) => run.branch)).size).toBe(3);
  expect(made.map(({ run }) => run.task.limits.costMicrodollars)).toEqual([4_000_000, 4_000_000, 4_000_000]);
  // The next task has one again.
  await app.goto('/new');
  await expect(page.getByLabel('What is to be done?')).toHaveValue('');
  await expect(page.getByLabel('US dollars')).toHaveValue('4');
  await expect(page.getByLabel('Attempts')).toHaveValue('1');
  for (const place of ['/', '/history']) {
    await app.goto(place);
    for (const words of ['1 of 3', '2 of 3', '3 of 3']) await expect(page.getByRole('link', { name: new RegExp(`Sort the work list by distance.*${words}`) }).first()).toBeVisible();
  }
  expect(app.errors).toEqual([]);
});

test('an attempt leads to its siblings, by keyboard too', async ({ app, tried }) => {
  const { page } = app;
  const [first, second, third] = tried.runs;
  await app.goto(`/runs/${third}`);
  const trigger = page.getByRole('button', { name: 'Attempt 3 of 3' });
  await trigger.focus();
  await page.keyboard.press('Enter');
  const menu = page.getByRole('menu');
  await expect(menu.getByRole('menuitem')).toHaveCount(4);
  await expect(menu.getByRole('menuitem', { name: /Attempt 2/ })).toContainText('1st');
  await expect(menu.getByRole('menuitem', { name: /Attempt 3/ })).toContainText('this one');
  await menu.getByRole('menuitem', { name: /Attempt 1/ }).focus();
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(`/review/${first}`));
  const section = page.getByRole('region', { name: 'Attempts' });
  await expect(section.getByRole('link', { name: /Attempt 1/ })).toHaveAttribute('aria-current', 'page');
  await section.getByRole('link', { name: /Attempt 2/ }).click();
  await expect(page).toHaveURL(new RegExp(`/review/${second}`));
  // Its keys are there with it.
  await expect(section.getByRole('link', { name: /Attempt 2/ })).toHaveAttribute('aria-current', 'page');
  await page.keyboard.press('a');
  await expect(page).toHaveURL(new RegExp(`/attempts/${tried.task}`));
  expect(app.errors).toEqual([]);
});

test('attempts stand side by side with rank and reason, and two are compared by the picture of one criterion', async ({ app, tried }) => {
  const { page } = app;
  await app.goto(`/attempts/${tried.task}`);
  const card = (name: string) => page.getByRole('list', { name: 'Attempts' }).getByRole('listitem').filter({ hasText: name });
  await expect(card('Attempt 2')).toContainText('1st');
  await expect(card('Attempt 2')).toContainText('3 of 3 met');
  await expect(card('Attempt 2')).toContainText('1 passed');
  await expect(card('Attempt 1')).toContainText('2nd');
  await expect(card('Attempt 1')).toContainText('1 of 3 met, 2 not');
  await expect(card('Attempt 1')).toContainText('1 of 1 failed');
  await expect(card('Attempt 3')).toContainText('Working');
  const { attempts } = await app.owner.ask<{ attempts: { why: string }[] }>(`/tasks/${tried.task}/attempts`);
  for (const [index, { why }] of attempts.entries()) await expect(card(`Attempt ${index + 1}`)).toContainText(why, { ignoreCase: true });
  // The two with pictures, for what both show.
  await expect(page.getByLabel('One attempt')).toHaveValue(tried.runs[1]);
  await expect(page.getByLabel('Shown for').locator('option:checked')).toHaveText('The page is dark where the system is');
  await page.getByRole('slider', { name: 'How much of the picture attempt 2 is shown' }).fill('80');
  await page.getByRole('radio', { name: 'Difference' }).check();
  await expect(page.getByText(/pixels differ/)).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('merging one closes the others unless told not to, and says what became of them', async ({ app, tried }) => {
  const { page } = app;
  const [first, second, third] = tried.runs;
  await app.goto(`/review/${second}`);
  await expect(page.getByRole('region', { name: 'Attempts' })).toBeVisible();
  await page.getByRole('button', { name: 'Approve and merge' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByRole('checkbox', { name: /Close the other 2 attempts/ })).toBeChecked();
  await dialog.getByRole('button', { name: 'Merge', exact: true }).click();
  await expect(page.getByText('Other attempts: 1 closed, 1 cancelled; their branches are kept')).toBeVisible();
  await expect(page.getByRole('region', { name: 'Decision' })).toContainText('Merged into main');
  const state = async (run: string) => (await app.owner.ask<{ summary: { state: { type: string } } }>(`/runs/${run}`)).summary.state.type;
  await expect.poll(() => Promise.all([first, second, third].map(state))).toEqual(['closed', 'merged', 'cancelled']);
  await expect(page.getByRole('region', { name: 'Attempts' }).getByRole('link', { name: /Cancelled: Attempt 3/ })).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('others that were kept at the merge, or could not be closed, are closed later', async ({ app, tried }) => {
  const { page } = app;
  const [first, second] = tried.runs;
  await app.goto(`/review/${second}`);
  await page.getByRole('button', { name: 'Approve and merge' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('checkbox', { name: /Close the other 2 attempts/ }).uncheck();
  await dialog.getByRole('button', { name: 'Merge', exact: true }).click();
  await expect(page.getByRole('region', { name: 'Decision' })).toContainText('Merged into main');
  const later = page.getByRole('region', { name: 'Attempts' }).getByRole('button', { name: 'Close the other 2' });
  await expect(later).toBeVisible();
  expect((await app.owner.ask<{ summary: { state: { type: string } } }>(`/runs/${first}`)).summary.state.type).toBe('inReview');
  await page.route('**/others/close', (route) => route.abort(), { times: 1 });
  await later.click();
  await expect(page.getByText(/The other attempts were not given up/)).toBeVisible();
  await later.click();
  await expect(page.getByText('Other attempts: 1 closed, 1 cancelled; their branches are kept')).toBeVisible();
  await expect(later).toHaveCount(0);
  expect(app.errors).toEqual([]);
});

for (const scheme of ['dark', 'light'] as const) {
  test(`attempts have no serious barrier and are photographed, ${scheme}`, async ({ tried, browser }) => {
    mkdirSync(OUTPUT, { recursive: true });
    const { app, context } = await letIn(tried.owner, browser, { viewport: { width: 1280, height: 800 }, colorScheme: scheme, reducedMotion: 'reduce' });
    const { page } = app;
    const found: string[] = [];
    const picture = async (name: string, fullPage = false) => {
      await page.waitForFunction(() => [...document.images].every((image) => image.complete || image.loading === 'lazy'));
      await page.screenshot({ path: join(OUTPUT, `${name}-${scheme}-1280.png`), fullPage });
      found.push(...(await barriers(page)).map((each) => `${name}: ${each}`));
    };
    await app.goto(`/attempts/${tried.task}`);
    await page.getByRole('heading', { name: 'Two against each other' }).waitFor();
    await picture('attempts');
    await page.getByRole('heading', { name: 'Two against each other' }).scrollIntoViewIfNeeded();
    await page.getByRole('slider').scrollIntoViewIfNeeded();
    await picture('attempts-compare');
    await app.goto('/');
    await expect(page.getByText('3 of 3')).toBeVisible();
    await picture('attempts-home');
    await app.goto(`/runs/${tried.runs[2]}`);
    await page.getByRole('button', { name: 'Attempt 3 of 3' }).click();
    await expect(page.getByRole('menuitem')).toHaveCount(4);
    await picture('attempts-run');
    await app.goto(`/review/${tried.runs[1]}`);
    await expect(page.getByRole('region', { name: 'Attempts' })).toBeVisible();
    await picture('attempts-review');
    await page.getByRole('button', { name: 'Approve and merge' }).click();
    await picture('attempts-merge');
    await app.goto('/new');
    await page.getByLabel('Attempts').selectOption('3');
    await picture('attempts-new');
    expect(found).toEqual([]);
    expect(app.errors).toEqual([]);
    await context.close();
  });
}
