// The way of somebody who has never seen it: from the first page of an empty Nightshift to a merged pull request, in a real
// sandbox, with the model of `./dev demo`. Each stage is photographed.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { letIn } from './bench';
import { ROOT } from './programs';
import { RealOwner } from './real-owner';

const OUTPUT = join(import.meta.dirname, 'output/pictures');

/** How long the agent and its critic may take, in milliseconds, on a machine that translates instructions and does other work. */
const WORK = 420_000;

test('a newcomer gets from the first page to a merged pull request by what the pages say', async ({ browser }) => {
  test.setTimeout(1_200_000);
  mkdirSync(OUTPUT, { recursive: true });
  const owner = new RealOwner();
  try {
    await owner.start(JSON.parse(readFileSync(join(ROOT, 'examples/dark-mode/script.json'), 'utf8')) as object);
    const { app, context } = await letIn(owner, browser, { viewport: { width: 1280, height: 800 } });
    const { page } = app;
    let stage = 0;
    const photograph = async (name: string): Promise<void> => {
      await page.waitForFunction(() => [...document.images].every((image) => image.complete || image.getBoundingClientRect().top > innerHeight));
      await page.screenshot({ path: join(OUTPUT, `newcomer-${(stage += 1)}-${name}.png`) });
    };

    await expect(page.getByRole('heading', { name: 'Describe it, leave, come back to a pull request' })).toBeVisible();
    const begin = page.getByRole('button', { name: 'Start the example task' });
    await expect(begin).toBeEnabled();
    await photograph('first-page');
    await begin.click();
    await expect(page).toHaveURL(/\/runs\/run-/);
    const said = page.getByRole('log');
    await expect(said).toContainText('I begin by reading the repository', { timeout: WORK });
    await photograph('it-works');
    await expect(said).toContainText('Now the button, the dark colours', { timeout: WORK });
    await photograph('it-edits');

    // The critic says what it does, and then what it found.
    await expect(said).toContainText('Now the page.', { timeout: WORK });
    await photograph('the-critic');
    await page.getByRole('button', { name: 'Review', exact: true }).click({ timeout: WORK });
    const main = page.getByRole('main');
    await expect(main.getByText('Round 1 of 2: every criterion is met')).toBeVisible();
    const criteria = ['A toggle at the top right switches the page to dark', 'The choice persists after a reload', 'All tests pass'];
    for (const criterion of criteria) {
      await expect(main.locator('section').filter({ has: page.getByRole('heading', { name: 'Self-review' }) }).getByRole('listitem').filter({ hasText: criterion })).toContainText('met');
      await expect(main.locator('section').filter({ has: page.getByRole('heading', { name: 'Evidence' }) }).getByRole('listitem').filter({ hasText: criterion }).getByText('Backed by evidence')).toHaveCount(1);
    }
    await photograph('review');
    await page.getByRole('heading', { name: 'Before and after' }).scrollIntoViewIfNeeded();
    await photograph('before-and-after');
    await page.keyboard.press('d');
    await photograph('diff');

    // What is asked for leads back to the agent, and the answer stands in the review.
    await page.getByRole('button', { name: 'Ask for changes' }).click();
    await page.getByRole('textbox', { name: 'What should be different' }).fill('Could the button be a little smaller?');
    await photograph('ask');
    await page.getByRole('button', { name: 'Send to the agent' }).click();
    await expect(main.getByText('I am the script of the demo', { exact: false })).toBeVisible({ timeout: WORK });
    // It is read where one is, and the agent is at it no more.
    await expect(main.getByText('I am the script of the demo', { exact: false })).toBeInViewport();
    await expect(page.getByRole('button', { name: 'Ask for changes' })).toBeEnabled({ timeout: WORK });
    await photograph('answered');
    const merge = page.getByRole('button', { name: 'Approve and merge' });
    await merge.click();
    await photograph('merge');
    await page.getByRole('button', { name: 'Merge', exact: true }).click();
    await expect(page.getByRole('region', { name: 'Decision' })).toBeInViewport();
    await expect(page.getByRole('region', { name: 'Decision' })).toContainText(/Merged into main as [0-9a-f]{8}.*git pull/s);
    await photograph('merged');
    await page.getByRole('link', { name: /^Home/ }).click();
    await expect(page.getByRole('heading', { name: 'The night' })).toBeVisible();
    await photograph('home');
    const run = (await owner.ask<{ runs: { run: string; state: { type: string } }[] }>('/runs')).runs[0];
    expect(run?.state.type).toBe('merged');
    expect(app.errors).toEqual([]);
    await context.close();
  } finally {
    await owner.end();
  }
});
