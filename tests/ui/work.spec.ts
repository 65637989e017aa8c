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
  await expect(page.getByText('0 of 2 resolved')).toBeVisible();
  const events = await app.owner.ask<{ type: string; items?: { words: string; source: unknown }[] }[]>(`/runs/${RUNS.retry}/events?after=0`);
  const items = events.findLast((event) => event.type === 'feedbackReceived')?.items ?? [];
  expect(items.map((item) => item.words)).toEqual(['Nearly there.', 'Say why six.']);
  expect(items[1]?.source).toEqual({ type: 'line', path: 'crates/depot/src/retry.rs', line: 2, side: 'after', quote: '400 << attempt.min(6)' });
  expect(app.errors).toEqual([]);
});

test('approving merges into the base branch, once, and says how to take the work', async ({ app }) => {
  const { page } = app;
  await app.goto(`/review/${RUNS.dark}`);
  await page.getByRole('button', { name: 'Approve and merge' }).click();
  await expect(page.getByRole('dialog')).toContainText('git pull');
  await page.getByRole('button', { name: 'Merge', exact: true }).click();
  await expect(page.getByText(/Merged into main as [0-9a-f]{8}/)).toBeVisible();
  await expect(page.getByRole('button', { name: 'Approve and merge' })).toHaveCount(0);
  const { state } = await app.owner.ask<{ state: { type: string } }>(`/runs/${RUNS.dark}`).then((detail) => (detail as unknown as { summary: { state: { type: string } } }).summary);
  expect(state.type).toBe('merged');
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
