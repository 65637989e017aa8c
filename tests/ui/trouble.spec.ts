import { expect, letIn, RUNS, test } from './bench';
import { HOSTILE } from './night';

test('hostile text is shown as text: nothing runs and nothing breaks out', async ({ app }) => {
  const { page } = app;
  for (const path of ['/', '/history', '/history?q=onerror', '/review', `/runs/${RUNS.harm}`, `/runs/${RUNS.harm}?view=terminal`, `/review/${RUNS.harm}`]) {
    await app.goto(path);
    await expect(page.getByText('<img src=x onerror="window.harmed=1">').first()).toBeVisible();
    expect(await page.evaluate(() => (window as { harmed?: number }).harmed), path).toBe(undefined);
    expect(await page.locator('img[src="x"], a[href^="javascript"], img[src^="http://evil"], img[src^="https://evil"]').count(), path).toBe(0);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    expect(wide, path).toBe(false);
  }
  const shown = await page.evaluate(() => document.body.innerText);
  expect(shown).not.toContain('‮');
  expect(HOSTILE).toContain('‮');
  expect(app.errors).toEqual([]);
});

test('unknown ids and addresses say so and lead on', async ({ app }) => {
  const { page } = app;
  await app.goto('/runs/run-zzzzzzzzzz');
  await expect(page.getByText('There is no such run')).toBeVisible();
  await app.goto('/review/run-zzzzzzzzzz');
  await expect(page.getByText('There is no such pull request')).toBeVisible();
  await app.goto('/environments/env-zzzzzzzzzz');
  await expect(page.getByText('There is no such environment')).toBeVisible();
  // A moment, a step and a view that there are not: the run is shown all the same.
  for (const query of ['at=987654321', 'at=-3', 'step=99.9', 'view=nonsense&at=x']) {
    await app.goto(`/runs/${RUNS.dark}?${query}`);
    await expect(page.getByRole('img', { name: /^The screen at/ })).toBeVisible();
  }
  await app.goto('/nowhere/at/all');
  await expect(page.getByText('There is nothing here')).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('a window without a session asks for one, and a ticket lets it in', async ({ owner, browser }) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${owner.address.url}/history`);
  await expect(page.getByRole('heading', { name: 'This window has no session' })).toBeVisible();
  await page.getByLabel('Address or ticket').fill('nonsense');
  await page.getByRole('button', { name: 'Let me in' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await page.getByLabel('Address or ticket').fill(await owner.window());
  await page.getByRole('button', { name: 'Let me in' }).click();
  await expect(page.getByRole('heading', { name: 'History' })).toBeVisible();
  // A ticket is for one browser, and does not stay in the address.
  const used = await owner.window();
  await page.goto(used);
  await expect(page).toHaveURL(/^[^#]*$/);
  await context.close();
});

test('a session that ends asks for a new one', async ({ app }) => {
  await app.goto('/');
  await expect(app.page.getByText('Waits for you')).toBeVisible();
  await app.page.context().clearCookies();
  await app.page.reload();
  await expect(app.page.getByRole('heading', { name: 'This window has no session' })).toBeVisible();
  // A browser cannot let itself in; the desktop window can, and is asked to by a link.
  const link = app.page.getByRole('link', { name: 'Let this window in again' });
  await expect(link).toHaveCount(0);
  await app.page.addInitScript(() => Object.assign(window, { nightshiftApp: true }));
  await app.page.reload();
  await expect(link).toHaveAttribute('href', 'shell:sign-in');
});

test('a session that has ended elsewhere loses no words, and says what to do', async ({ app }) => {
  const { page } = app;
  await app.goto(`/runs/${RUNS.works}`);
  await expect(page.getByRole('log')).toContainText('Please keep the public function');
  await page.context().clearCookies();
  const box = page.getByRole('textbox', { name: 'Steer the agent' });
  await box.fill('Keep this.');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('nightshift open');
  await expect(box).toHaveValue('Keep this.');
  // Another window of the same browser lets this one in too.
  const other = await page.context().newPage();
  await other.goto(await app.owner.window());
  await box.press('Enter');
  await expect(page.getByRole('log').getByText('Keep this.')).toHaveCount(1);
  expect(app.errors).toEqual([]);
});

test('a connection that is cut is opened again: no gap, nothing twice, no reload', async ({ app }) => {
  const { page } = app;
  await app.goto(`/runs/${RUNS.works}`);
  const log = page.getByRole('log');
  await expect(log).toContainText('Please keep the public function');
  await page.evaluate(() => Object.assign(window, { sameWindow: true }));
  const before = await log.locator('article').count();
  await page.context().setOffline(true);
  for (const text of ['While you were cut off, one.', 'While you were cut off, two.']) await app.owner.ask(`/runs/${RUNS.works}/messages`, { method: 'POST', body: JSON.stringify({ text }) });
  await page.context().setOffline(false);
  await expect(log.getByText('While you were cut off, one.')).toHaveCount(1);
  await expect(log.getByText('While you were cut off, two.')).toHaveCount(1);
  expect(await log.locator('article').count()).toBe(before + 2);
  await expect(page.getByText('The owner is away')).toHaveCount(0);
  expect(await page.evaluate(() => (window as { sameWindow?: boolean }).sameWindow)).toBe(true);
  expect(app.errors).toEqual([]);
});

test('a diff of ten megabytes is read, folded and unfolded without a pause', async ({ app }) => {
  const { page } = app;
  const began = Date.now();
  await app.goto(`/review/${RUNS.mega}`);
  await expect(page.getByText('+144,000', { exact: true })).toBeVisible();
  expect(Date.now() - began).toBeLessThan(12_000);
  await expect(page.getByText('large, so it begins folded').first()).toBeVisible();
  await page.getByRole('button', { name: 'Unfold generated/1.sql' }).click();
  await expect(page.getByText("'Street 12'").first()).toBeVisible();
  expect(await page.locator('[data-index]').count()).toBeLessThan(400);
  await page.getByRole('region', { name: 'Changes' }).evaluate((element) => element.scrollTo(0, 40_000));
  await expect(page.getByText(/'Street 1\d{3}'/).first()).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('a diff that was cut says which files are not shown, above all else and before merging, and each can be read', async ({ app }) => {
  const { page } = app;
  await page.route(/\/pull-requests\/[^/]+\/diff$/, async (route) => {
    const whole = await (await route.fetch()).text();
    const second = whole.indexOf('\ndiff --git', 10) + 1;
    const body = `${whole.slice(0, whole.indexOf('\n', second + 9_000))}\n(the rest is left out: the diff is longer than 16 MiB)\n`;
    await route.fulfill({ contentType: 'text/plain', body });
  });
  await app.goto(`/review/${RUNS.mega}`);
  const warning = page.getByRole('alert');
  await expect(warning).toContainText('39 of 40 files are not shown whole');
  await expect(warning).toContainText(/generated\/1\.sql, .* and 27 more/);
  await expect(page.getByText('40 files').first()).toBeVisible();
  await expect(page.getByText('+144,000', { exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Approve and merge' }).click();
  await expect(page.getByRole('dialog')).toContainText('39 files were not shown whole');
  await page.keyboard.press('Escape');
  await page.getByRole('navigation', { name: 'Parts of the review' }).getByRole('button', { name: /39\.sql/ }).click();
  await page.getByRole('button', { name: 'Unfold generated/39.sql' }).last().click();
  await page.getByRole('button', { name: 'Read it' }).click();
  await expect(page.getByText("'Street 12'").first()).toBeVisible();
  await page.keyboard.press('e');
  await expect(warning).toContainText('38 of 40 files');
  expect(app.errors).toEqual([]);
});

test('an owner that is gone and back is caught up with: no gap, nothing twice, no reload', async ({ owner, browser }) => {
  const { app, context } = await letIn(owner, browser);
  const { page } = app;
  await app.goto(`/runs/${RUNS.works}`);
  await expect(page.getByRole('log')).toContainText('Please keep the public function');
  await page.evaluate(() => Object.assign(window, { sameWindow: true }));
  const before = await page.getByRole('log').locator('article').count();
  await owner.stop('SIGKILL');
  await expect(page.getByText('The owner is away')).toBeVisible();
  await expect(page.getByRole('log')).toContainText('Please keep the public function');
  await owner.start();
  await expect(page.getByText('The owner is away')).toHaveCount(0);
  await owner.ask(`/runs/${RUNS.works}/messages`, { method: 'POST', body: JSON.stringify({ text: 'Are you there again?' }) });
  await expect(page.getByRole('log').getByText('Are you there again?')).toHaveCount(1);
  expect(await page.getByRole('log').locator('article').count()).toBe(before + 1);
  expect(await page.evaluate(() => (window as { sameWindow?: boolean }).sameWindow)).toBe(true);
  const events = await owner.ask<{ seq: number }[]>(`/runs/${RUNS.works}/events?after=0`);
  expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
  expect(app.errors).toEqual([]);
  await context.close();
});

test('what was opened while the owner is away is there when it is back, without being asked for', async ({ owner, browser }) => {
  const { app, context } = await letIn(owner, browser);
  const { page } = app;
  await app.goto(`/runs/${RUNS.works}`);
  await expect(page.getByRole('log')).toContainText('Please keep the public function');
  await owner.stop();
  await page.getByRole('tab', { name: 'Files' }).click();
  const files = page.getByRole('navigation', { name: 'Files' });
  await expect(files.getByRole('alert')).toContainText('The owner does not answer.');
  await expect(files.getByRole('button', { name: 'Try again' })).toBeVisible();
  await owner.start();
  await expect(files.getByRole('alert')).toHaveCount(0);
  await expect(files.getByRole('listitem').first()).toBeVisible();
  await context.close();
});

test('words that were typed while the owner is away stay where they are', async ({ owner, browser }) => {
  const { app, context } = await letIn(owner, browser);
  const { page } = app;
  await app.goto(`/runs/${RUNS.works}`);
  await expect(page.getByRole('log')).toContainText('Please keep the public function');
  await owner.stop();
  const box = page.getByRole('textbox', { name: 'Steer the agent' });
  await box.fill('Do not lose this.');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('The owner does not answer.');
  await expect(box).toHaveValue('Do not lose this.');
  await owner.start();
  await expect(page.getByText('The owner is away')).toHaveCount(0);
  await box.press('Enter');
  await expect(page.getByRole('log').getByText('Do not lose this.')).toHaveCount(1);
  await context.close();
});

test('the page allows no inline script and no foreign origin', async ({ app }) => {
  const answer = await app.page.goto(`${app.owner.address.url}/`);
  const policy = answer?.headers()['content-security-policy'] ?? '';
  expect(policy).toContain("script-src 'self'");
  expect(policy).not.toContain("script-src 'self' 'unsafe-inline'");
  const html = (await answer?.text()) ?? '';
  expect([...html.matchAll(/<script(?![^>]*\bsrc=)[^>]*>/g)]).toEqual([]);
  expect([...html.matchAll(/(?:src|href)="(?!\/)/g)]).toEqual([]);
});

test('a window that is older than the owner fetches the page anew, once, and goes where it was asked to', async ({ app }) => {
  const { page } = app;
  await app.goto('/');
  await expect(page.getByText('Waits for you')).toBeVisible();
  let refused = 0;
  // The file of a place as an owner of another version has it: not at all.
  await page.route(/\/assets\/history-/, async (route) => {
    refused += 1;
    await (refused === 1 ? route.fulfill({ status: 404 }) : route.continue());
  });
  await page.evaluate(() => Object.assign(window, { before: true }));
  await page.keyboard.press('g');
  await page.keyboard.press('i');
  await expect(page.getByRole('heading', { name: 'History' })).toBeVisible();
  expect(await page.evaluate(() => (window as { before?: boolean }).before)).toBe(undefined);
  expect(refused).toBe(2);
});
