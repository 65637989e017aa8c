import { execFileSync } from 'node:child_process';
import { expect, RUNS, test } from './bench';

test('a task is submitted and waits in the queue with its reason', async ({ app }) => {
  const { page } = app;
  await app.goto('/new');
  await page.getByLabel('What is to be done?').fill('Count the open notes');
  await page.getByLabel('Repository').fill(`${app.owner.home}/work/trailhead`);
  await page.getByRole('button', { name: /Start in the background/ }).click();
  await expect(page).toHaveURL(/\/runs\/run-/);
  await expect(page.getByRole('heading', { name: 'Count the open notes' })).toBeVisible();
  await expect(page.getByText('Queued').first()).toBeVisible();
  await page.keyboard.press('g');
  await page.keyboard.press('h');
  await expect(page.getByRole('link', { name: /Count the open notes/ })).toBeVisible();
  await page.getByRole('link', { name: /Count the open notes/ }).click();
  await page.getByRole('button', { name: 'Cancel this run' }).click();
  await page.getByRole('button', { name: 'Cancel the run' }).click();
  await expect(page.getByText('Cancelled').first()).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('steering reaches the run, and other windows see it without a reload', async ({ app }) => {
  const { page } = app;
  const other = await page.context().newPage();
  await other.goto(`${app.owner.address.url}/runs/${RUNS.works}`);
  await app.goto(`/runs/${RUNS.works}`);
  await expect(page.getByRole('log')).toContainText('Please keep the public function');
  await page.keyboard.press('m');
  await page.keyboard.type('Use the clock that is passed in.');
  await page.keyboard.press('Enter');
  for (const window of [page, other]) {
    await expect(window.getByRole('log').getByText('Use the clock that is passed in.')).toHaveCount(1);
  }
  await expect(page.getByRole('textbox', { name: 'Steer the agent' })).toHaveValue('');
  expect(app.errors).toEqual([]);
});

test('what is being written outlives the chat’s column, and words typed during an interrupt are kept', async ({ app }) => {
  const { page } = app;
  await app.goto(`/runs/${RUNS.works}`);
  const box = page.getByRole('textbox', { name: 'Steer the agent' });
  await box.fill('Half a thought');
  await page.setViewportSize({ width: 1000, height: 800 });
  await expect(box).toHaveCount(0);
  await page.getByRole('radio', { name: 'Chat' }).check();
  await expect(box).toHaveValue('Half a thought');
  await box.fill('');
  // The answer to the interrupt comes when something has been written.
  await page.route('**/interrupt', async (route) => {
    await box.fill('And then');
    await route.fulfill({ json: {} });
  });
  await page.getByRole('button', { name: 'Interrupt' }).click();
  await expect(page.getByRole('button', { name: 'Interrupt' })).toBeEnabled();
  await expect(box).toHaveValue('And then');
  await page.getByRole('radio', { name: 'Timeline' }).check();
  await page.setViewportSize({ width: 1280, height: 800 });
  await expect(box).toHaveValue('And then');
  expect(app.errors).toEqual([]);
});

test('a comment on a line goes to the agent, and is kept until it is sent', async ({ app }) => {
  const { page } = app;
  await app.goto(`/review/${RUNS.retry}`);
  const line = page.getByText('400 << attempt.min(6)').first();
  await line.scrollIntoViewIfNeeded();
  await line.hover();
  await page.getByRole('button', { name: 'Comment on line 2' }).last().click();
  await page.keyboard.type('Say why six.');
  await page.keyboard.press('Control+Enter');
  await expect(page.getByText('not sent yet')).toBeVisible();
  await page.reload();
  await expect(page.getByRole('button', { name: /Ask for changes\s*1/ })).toBeVisible();
  await page.getByRole('button', { name: /Ask for changes/ }).click();
  await page.getByRole('textbox', { name: 'What should be different' }).fill('Nearly there.');
  await page.getByRole('button', { name: 'Send to the agent' }).click();
  await expect(page.getByText('Sent to the agent', { exact: true })).toBeVisible();
  // It is gone to what was asked for, and what is done about it.
  await expect(page.getByText('0 of 2 resolved')).toBeInViewport();
  await expect(page.getByRole('main').getByText('In review', { exact: true })).toHaveCount(0);
  const events = await app.owner.ask<{ type: string; items?: { words: string; source: unknown }[] }[]>(`/runs/${RUNS.retry}/events?after=0`);
  const items = events.findLast((event) => event.type === 'feedbackReceived')?.items ?? [];
  expect(items.map((item) => item.words)).toEqual(['Nearly there.', 'Say why six.']);
  expect(items[1]?.source).toEqual({ type: 'line', path: 'crates/depot/src/retry.rs', line: 2, side: 'after', quote: '400 << attempt.min(6)' });
  expect(app.errors).toEqual([]);
});

test('a comment being written outlives scrolling, folding, another comment, another layout and a reload', async ({ app }) => {
  const { page } = app;
  await app.goto(`/review/${RUNS.mega}`);
  const diff = page.getByRole('region', { name: 'Changes' });
  await page.getByRole('button', { name: 'Unfold generated/1.sql' }).click();
  const comment = async (line: number) => {
    await diff.getByText(`'Street ${line - 1}'`, { exact: false }).first().hover();
    await page.getByRole('button', { name: `Comment on line ${line}`, exact: true }).first().click();
  };
  await comment(3);
  await page.keyboard.type('Why a street ');
  const [first, second] = [page.getByRole('textbox', { name: 'Comment' }).first(), page.getByRole('textbox', { name: 'Comment' }).nth(1)];
  // Far away, what is typed still goes there.
  await diff.evaluate((element) => element.scrollTo(0, 60_000));
  await expect(diff.getByText(/'Street 2\d{3}'/).first()).toBeVisible();
  await expect(first).not.toBeInViewport();
  await page.keyboard.type('without a name?');
  await diff.evaluate((element) => element.scrollTo(0, 0));
  await expect(first).toHaveValue('Why a street without a name?');
  // Another one beside it, which has the keys.
  await comment(5);
  await page.keyboard.type('And this');
  await expect(first).toHaveValue('Why a street without a name?');
  await expect(second).toHaveValue('And this');
  await page.getByRole('button', { name: 'Show the diff split' }).click();
  await page.getByRole('button', { name: 'Fold generated/1.sql' }).first().click();
  await expect(first).toHaveCount(0);
  await page.getByRole('button', { name: 'Unfold generated/1.sql' }).first().click();
  await expect(second).toHaveValue('And this');
  await page.reload();
  await page.getByRole('button', { name: 'Unfold generated/1.sql' }).click();
  await expect(first).toHaveValue('Why a street without a name?');
  // Only what was added is sent, and what is not is said.
  await second.press('Control+Enter');
  await page.getByRole('button', { name: /Ask for changes\s*1/ }).click();
  await expect(page.getByRole('dialog')).toContainText('Still being written, and not sent with this: generated/1.sql:3.');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Show the diff unified' }).click();
  expect(app.errors).toEqual([]);
});

test('two windows on one review have the same comments, and neither writes over the other’s', async ({ app }) => {
  const { page } = app;
  const other = await page.context().newPage();
  for (const window of [page, other]) {
    await window.goto(`${app.owner.address.url}/review/${RUNS.dark}`);
    await expect(window.getByRole('button', { name: 'Ask for changes' })).toBeVisible();
  }
  for (const [window, words] of [[page, 'From the first window.'], [other, 'From the second window.']] as const) {
    const button = window.getByRole('button', { name: /^Comment on line/ }).first();
    await button.scrollIntoViewIfNeeded();
    await button.focus();
    await window.keyboard.press('Enter');
    await window.keyboard.type(words);
    await window.keyboard.press('Control+Enter');
  }
  for (const window of [page, other]) {
    await expect(window.getByText('not sent yet')).toHaveCount(2);
    await expect(window.getByRole('button', { name: /Ask for changes\s*2/ })).toBeVisible();
  }
  // Gone from one, it is gone from the other.
  await page.getByRole('button', { name: 'Remove this comment' }).first().click();
  await expect(other.getByText('not sent yet')).toHaveCount(1);
  await expect(other.getByText('From the second window.')).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('work is approved without merging it, and where it is at a site that is said before it is merged there', async ({ app }) => {
  const { page } = app;
  await app.goto(`/review/${RUNS.dark}`);
  await page.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(page.getByRole('region', { name: 'Decision' })).toContainText('You found this good');
  await expect(page.getByRole('button', { name: 'Approve', exact: true })).toHaveCount(0);
  const events = await app.owner.ask<{ type: string }[]>(`/runs/${RUNS.dark}/events?after=0`);
  expect(events.filter((event) => event.type === 'reviewApproved')).toHaveLength(1);
  // The same at a site.
  await page.route(/\/pull-requests\/[^/]+$/, async (route) => {
    const detail = await (await route.fetch()).json();
    detail.summary.url = 'https://forge.example/trailhead/pull/1';
    await route.fulfill({ json: detail });
  });
  await page.reload();
  await page.getByRole('button', { name: 'Approve and merge' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('it is merged there');
  await expect(dialog).not.toContainText('git pull');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await expect(dialog).toContainText('closed at its site');
  expect(app.errors).toEqual([]);
});

test('approving merges into the base branch, once, also from two windows, and says in each how to take the work', async ({ app }) => {
  const { page } = app;
  const [other, third] = [await page.context().newPage(), await page.context().newPage()];
  for (const window of [page, other, third]) await window.goto(`${app.owner.address.url}/review/${RUNS.dark}`);
  for (const window of [page, other]) {
    await window.getByRole('button', { name: 'Approve and merge' }).click();
    await expect(window.getByRole('dialog')).toContainText('git pull');
  }
  // What is merged is what was there when it was asked for: another commit would be another answer.
  const { summary } = await app.owner.ask<{ summary: { head: string } }>(`/pull-requests/${RUNS.dark}`);
  const refused = await fetch(`${app.owner.address.url}/api/v1/pull-requests/${RUNS.dark}/merge`, { method: 'POST', headers: { authorization: `Bearer ${app.owner.address.token}`, 'content-type': 'application/json' }, body: JSON.stringify({ head: 'd'.repeat(40) }) });
  expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([409, 'conflict']);
  const asked = page.waitForRequest(/\/merge$/);
  await Promise.all([page, other].map((window) => window.getByRole('button', { name: 'Merge', exact: true }).click()));
  expect((await asked).postDataJSON()).toEqual({ head: summary.head });
  // All three are told, the one that only looked too, and it stays there.
  for (const window of [page, other, third]) {
    const decision = window.getByRole('region', { name: 'Decision' });
    await expect(decision).toContainText(/Merged into main as [0-9a-f]{8}/);
    await expect(decision).toContainText(/git pull \S+ main/);
    await expect(window.getByRole('button', { name: 'Approve and merge' })).toHaveCount(0);
  }
  const events = await app.owner.ask<{ type: string; state?: { type: string } }[]>(`/runs/${RUNS.dark}/events?after=0`);
  expect(events.filter((event) => event.type === 'stateChanged' && event.state?.type === 'merged')).toHaveLength(1);
  const { bareRepository } = await app.owner.ask<{ bareRepository: string }>(`/pull-requests/${RUNS.dark}`);
  expect(execFileSync('git', ['-C', bareRepository, 'rev-list', '--merges', '--count', 'main'], { encoding: 'utf8' }).trim()).toBe('1');
  expect(app.errors).toEqual([]);
});

test('a run at its limit is given more where it waits, and goes on', async ({ app }) => {
  const { page } = app;
  await app.goto('/');
  const waiting = page.locator('section').filter({ has: page.getByRole('heading', { name: 'Waits for you' }) });
  const row = waiting.getByRole('listitem').filter({ hasText: 'Raise coverage of the invoice module' });
  const raised = row.getByRole('textbox', { name: 'Budget from now on, in US dollars' });
  await raised.fill('3');
  await expect(row.getByRole('button', { name: 'Raise and continue' })).toBeDisabled();
  await raised.fill('12.5');
  // The run has the same in its own place, with the reason.
  const other = await page.context().newPage();
  await other.goto(`${app.owner.address.url}/runs/${RUNS.limit}`);
  await expect(other.getByText('A limit of the task is reached ($3.00: $2.94 are spent and the next call may cost $0.11).')).toBeVisible();
  // The key that continues other runs leads to the field there, from an earlier moment too.
  await expect(other.getByRole('button', { name: 'Continue', exact: true })).toHaveCount(0);
  await other.keyboard.press('k');
  await expect(other.getByText('A limit of the task is reached (')).toHaveCount(0);
  await other.keyboard.press('p');
  await expect(other.getByRole('textbox', { name: 'Budget from now on, in US dollars' })).toBeFocused();
  // Raised, but not gone on: what is left to do is to continue, and not to raise it once more.
  await page.route('**/continue', (route) => route.abort(), { times: 1 });
  await row.getByRole('button', { name: 'Raise and continue' }).click();
  await expect(row.getByRole('alert')).toBeVisible();
  await expect(raised).toHaveCount(0);
  await row.getByRole('button', { name: 'Continue', exact: true }).click();
  await expect(row).toHaveCount(0);
  await expect(other.getByText('A limit of the task is reached')).toHaveCount(0);
  const events = await app.owner.ask<{ type: string; limits?: { costMicrodollars: number }; state?: { type: string } }[]>(`/runs/${RUNS.limit}/events?after=0`);
  const after = events.slice(events.findIndex((event) => event.type === 'limitsRaised'));
  expect(events.flatMap((event) => (event.type === 'limitsRaised' ? [event.limits?.costMicrodollars] : []))).toEqual([12_500_000]);
  expect(after.find((event) => event.type === 'stateChanged')?.state?.type).toBe('queued');
  expect(app.errors).toEqual([]);
});

test('a question is answered from home', async ({ app }) => {
  const { page } = app;
  await app.goto('/');
  await page.getByRole('textbox', { name: 'Answer' }).fill('Take "Sie".');
  await page.getByRole('button', { name: 'Answer' }).click();
  await expect(page.getByText('Two of the error texts address the reader.')).toHaveCount(0);
  const events = await app.owner.ask<{ type: string; text?: string }[]>(`/runs/${RUNS.asks}/events?after=0`);
  expect(events.filter((event) => event.type === 'personSaid').map((event) => event.text)).toEqual(['Take "Sie".']);
  expect(app.errors).toEqual([]);
});
