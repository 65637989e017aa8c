import { expect, RUNS, test } from './bench';
import type { Owner } from './owner';

/** The first step in which the agent changed a file. */
async function stepThatWrote(owner: Owner, path: string): Promise<string> {
  const events = await owner.ask<{ step?: string; write?: { path: string } }[]>(`/runs/${RUNS.dark}/events?after=0`);
  return events.find((event) => event.write?.path.endsWith(path))?.step ?? '';
}

test('home shows what waits first, what runs, the queue with its reason, and what is finished', async ({ app }) => {
  const { page } = app;
  await app.goto('/');
  const sections = page.locator('section h2');
  await expect(sections.first()).toHaveText('Waits for you');
  await expect(page.getByText('Two of the error texts address the reader.')).toBeVisible();
  await expect(page.getByText('A limit of the task is reached ($3.00: $2.94 are spent and the next call may cost $0.11). Nothing is lost.')).toBeVisible();
  await expect(page.getByText('Set another one in the settings, then continue the run.')).toBeVisible();
  await expect(page.getByRole('link', { name: /2 of 4 steps done Mark overdue invoices in the list/ })).toBeVisible();
  await expect(page.getByText('3 sandboxes run already').first()).toBeVisible();
  await expect(page.getByRole('link', { name: /Print invoices on A5 paper/ })).toBeVisible();
  await expect(page).toHaveTitle('(6) Home · Nightshift');
  expect(app.errors).toEqual([]);
});

test('the way by keyboard: every place by its keys, lists by j and k, the palette, the help', async ({ app }) => {
  const { page } = app;
  await page.getByText('Two of the error texts').waitFor();
  for (const [keys, title] of [['g r', 'Review'], ['g i', 'History'], ['g t', 'Statistics'], ['g e', 'Environments'], ['g a', 'Agents'], ['g d', 'Doctor'], ['g s', 'Settings'], ['g h', 'Home']] as const) {
    for (const key of keys.split(' ')) await page.keyboard.press(key);
    await expect(page).toHaveTitle(new RegExp(`${title} · Nightshift$`));
  }
  await page.getByText('Two of the error texts').waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(`/runs/${RUNS.asks}`));
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'Keyboard' })).toBeVisible();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('dark mode toggle');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(`/review/${RUNS.dark}`));
  // What no place and no run is called is searched for in everything.
  await page.keyboard.press('Control+k');
  await page.keyboard.type('printer driver');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('list', { name: 'Finds' }).getByText('Print invoices on A5 paper')).toBeVisible();
  const theme = () => page.evaluate(() => document.documentElement.dataset['theme']);
  expect(await theme()).toBe('dark');
  await page.keyboard.press('t');
  expect(await theme()).toBe('light');
  await page.reload();
  expect(await theme()).toBe('light');
  expect(app.errors).toEqual([]);
});

test('the palette finds a run by its title that is not among those it lists', async ({ app }) => {
  const { page } = app;
  await page.getByText('Two of the error texts').waitFor();
  // As if there were many newer ones: none is known but by asking for it.
  await page.route(/\/runs\?(?!.*text=)/, (route) => route.fulfill({ json: { runs: [], next: null } }));
  await page.reload();
  await page.getByRole('navigation', { name: 'Places' }).waitFor();
  await page.keyboard.press('Control+k');
  await page.keyboard.type('dark mode tog');
  await expect(page.getByRole('option', { name: /Add a dark mode toggle/ })).toBeVisible();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(`/review/${RUNS.dark}`));
  expect(app.errors).toEqual([]);
});

test('two windows have one draft of a task', async ({ app }) => {
  const { page } = app;
  const other = await page.context().newPage();
  for (const window of [page, other]) await window.goto(`${app.owner.address.url}/new`);
  await page.getByLabel('What is to be done?').fill('Count the open notes');
  await expect(other.getByLabel('What is to be done?')).toHaveValue('Count the open notes');
  await other.getByLabel('Acceptance criteria').fill('They are counted');
  await page.reload();
  await expect(page.getByLabel('What is to be done?')).toHaveValue('Count the open notes');
  await expect(page.getByLabel('Acceptance criteria')).toHaveValue('They are counted');
  await page.getByLabel('What is to be done?').fill('');
  await page.getByLabel('Acceptance criteria').fill('');
  expect(app.errors).toEqual([]);
});

test('a search that is begun elsewhere while the history is open is the one that is shown', async ({ app }) => {
  const { page } = app;
  await app.goto('/history');
  const field = page.getByRole('searchbox', { name: 'Search everything' });
  await field.fill('overdue invoices');
  await expect(page).toHaveURL(/q=overdue\+invoices/);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('printer driver');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('list', { name: 'Finds' }).getByText('Print invoices on A5 paper')).toBeVisible();
  await expect(field).toHaveValue('printer driver');
  // As long as the field waits before it asks, and longer.
  await page.waitForTimeout(400);
  await expect(page).toHaveURL(/q=printer(\+|%20)driver/);
  await page.goBack();
  await expect(field).toHaveValue('overdue invoices');
  await field.fill('printer driver');
  await expect(page).toHaveURL(/q=printer\+driver/);
  expect(app.errors).toEqual([]);
});

test('a run tells its plan, its steps and what was said', async ({ app }) => {
  const { page } = app;
  await app.goto(`/runs/${RUNS.works}`);
  await expect(page.getByRole('heading', { name: 'Wait twice as long before each further attempt' })).toBeVisible();
  await expect(page.getByRole('region', { name: 'Plan' }).getByText('Change the back-off')).toBeVisible();
  await expect(page.getByRole('list', { name: 'Timeline' }).getByText('exit 100')).toBeVisible();
  await expect(page.getByRole('log').getByText('Please keep the public function as it is.')).toBeVisible();
  // Words of the model as they arrive.
  await expect(page.getByText('The retry waits twice as long').first()).toBeVisible();
  await page.getByRole('button', { name: 'Time, cost and limits' }).click();
  await expect(page.getByRole('meter', { name: 'Money' })).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('going back shows screen, terminal, diff and plan as they were, and the address leads there', async ({ app }) => {
  const { page } = app;
  await app.goto(`/runs/${RUNS.dark}`);
  const plan = page.getByRole('region', { name: 'Plan' });
  await expect(plan.getByText('done', { exact: true })).toHaveCount(6);
  await page.keyboard.press('k');
  await expect(page).toHaveURL(/at=\d+/);
  await app.goto(`/runs/${RUNS.dark}?step=${await stepThatWrote(app.owner, 'src/index.html')}`);
  await expect(page).toHaveURL(/at=\d+/);
  await expect(plan.getByText('done', { exact: true })).toHaveCount(3);
  await page.keyboard.press('3');
  const changes = page.getByRole('region', { name: 'Changes' });
  await expect(changes.getByText('src/theme.js', { exact: true })).toBeVisible();
  await expect(changes.getByText('src/app.js', { exact: true })).toHaveCount(0);
  await page.keyboard.press('2');
  const terminal = page.getByRole('region', { name: 'Terminal' });
  await expect(terminal.getByText('npm start')).toBeVisible();
  await expect(terminal.getByText('git add -A', { exact: false })).toHaveCount(0);
  const there = page.url();
  await page.keyboard.press('l');
  await expect(terminal.getByText('git add -A', { exact: false })).toBeVisible();
  await page.goto(there);
  await expect(page.getByRole('region', { name: 'Terminal' }).getByText('git add -A', { exact: false })).toHaveCount(0);
  await page.keyboard.press('1');
  await expect(page.getByRole('img', { name: /^The screen at/ })).toBeVisible();
  const image = page.getByRole('img', { name: /^The screen at/ });
  await expect.poll(() => image.evaluate((element: HTMLImageElement) => element.naturalWidth)).toBe(1280);
  expect(app.errors).toEqual([]);
});

test('the recording is gone through picture by picture, by keys and by the line of time, and says how far apart its pictures are', async ({ app }) => {
  const { page } = app;
  await app.goto(`/runs/${RUNS.dark}`);
  const shown = page.getByText(/^Picture \d+ of \d+$/);
  await expect(shown).toBeVisible();
  const [, , , total] = ((await shown.textContent()) ?? '').split(' ');
  await expect(shown).toHaveText(`Picture ${total} of ${total}`);
  await expect(page.getByText(/pictures usually .* apart, .* at most/)).toBeVisible();
  await page.keyboard.press(',');
  await expect(shown).toHaveText(`Picture ${Number(total) - 1} of ${total}`);
  await page.keyboard.press('.');
  await expect(shown).toHaveText(`Picture ${total} of ${total}`);
  const line = page.getByRole('slider', { name: 'Moment of the run' });
  await line.focus();
  await page.keyboard.press('Home');
  await expect(page.getByText('No picture of the screen yet')).toBeVisible();
  await expect(line).toHaveAttribute('aria-valuetext', /^\d\d:\d\d:\d\d: Submitted/);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('PageUp');
  await expect(page).toHaveURL(/at=\d+/);
  // From the beginning to the end, by itself.
  await page.keyboard.press('l');
  await page.getByRole('button', { name: 'Play the recording' }).click();
  await expect(shown).toHaveText(`Picture 1 of ${total}`);
  await expect(shown).toHaveText(`Picture 3 of ${total}`);
  await page.getByRole('button', { name: 'Stop playing' }).click();
  const there = await shown.textContent();
  await page.waitForTimeout(1_200);
  await expect(shown).toHaveText(there ?? '');
  // What is under the pointer is shown before it is gone to.
  const box = await line.boundingBox();
  await page.mouse.move((box?.x ?? 0) + (box?.width ?? 0) - 8, (box?.y ?? 0) + 8);
  await expect(page.getByText('Sandbox stopped: the work is delivered').last()).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('files show what the agent wrote and the repository of its branch', async ({ app }) => {
  const { page } = app;
  await app.goto(`/runs/${RUNS.dark}?view=files`);
  await page.getByRole('navigation', { name: 'Files' }).getByRole('button', { name: /src\/theme\.js/ }).click();
  await expect(page.getByRole('region', { name: 'src/theme.js' })).toContainText('export');
  await page.getByRole('button', { name: 'package.json' }).click();
  await expect(page.getByRole('region', { name: 'package.json' })).toContainText('"name"');
  await app.goto(`/runs/${RUNS.retry}?view=files`);
  await page.getByRole('button', { name: 'logo.bin' }).click();
  await expect(page.getByText('A binary file')).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('open reviews are in the order in which they are to be taken, each with why, and the limit is told', async ({ app }) => {
  const { page } = app;
  await app.goto('/review');
  const open = page.locator('section').filter({ hasText: 'Open' }).getByRole('listitem');
  await expect(open.first()).toContainText('Fix the flaky retry test');
  await expect(open.first()).toContainText('ready; tiny (2 lines in 2 files); nothing speaks against it');
  await expect(open.last()).toContainText('Generate the fixtures anew');
  await expect(open.filter({ hasText: 'dark mode' })).toContainText('something not verified');
  await expect(page.getByText('3 of 20 that may wait')).toBeVisible();
  await page.getByRole('link', { name: 'Statistics' }).click();
  await expect(page).toHaveTitle('Statistics · Nightshift');
  expect(app.errors).toEqual([]);
});

test('statistics sum up by repository, model, week and blueprint, and the address keeps what was chosen', async ({ app }) => {
  const { page } = app;
  await app.goto('/statistics');
  const rows = page.getByRole('region', { name: 'Table' }).getByRole('row');
  await expect(rows.filter({ has: page.getByRole('rowheader', { name: 'ledger' }) })).toContainText('100 %');
  await expect(page.getByText('4 of 4 merged')).toBeVisible();
  await page.getByRole('radio', { name: 'Week' }).check();
  await expect(page).toHaveURL(/by=week/);
  await expect(page.getByRole('rowheader', { name: /^\d{4}-W\d{2}$/ }).first()).toBeVisible();
  await page.getByRole('combobox', { name: 'Time' }).selectOption('7d');
  await expect(page).toHaveURL(/by=week&since=7d/);
  await page.reload();
  await expect(page.getByRole('combobox', { name: 'Time' })).toHaveValue('7d');
  await expect(rows.filter({ hasText: 'All' })).toContainText('4');
  expect(app.errors).toEqual([]);
});

test('a review begins with the criteria and what backs them, or that nothing does', async ({ app }) => {
  const { page } = app;
  await app.goto(`/review/${RUNS.dark}`);
  const cards = page.getByRole('main').locator('ol > li');
  await expect(cards.filter({ hasText: 'The choice persists after a reload' }).getByText('Backed by evidence')).toHaveCount(1);
  await expect(cards.filter({ hasText: 'The toggle can be reached and used by keyboard' }).getByText('No evidence', { exact: true })).toHaveCount(1);
  await expect(cards.filter({ hasText: 'All tests pass' }).getByText('exit 0')).toBeVisible();
  await expect(page.getByText('Whether the colours suit people')).toBeVisible();
  await page.getByRole('radio', { name: 'Difference' }).check();
  await expect(page.getByText(/[\d,]+ pixels differ, \d+\.\d % of the screen/)).toBeVisible();
  await page.getByRole('button', { name: 'Enlarge: after', exact: true }).click();
  await expect(page.getByRole('dialog')).toBeVisible();
  await page.keyboard.press('Escape');
  await page.keyboard.press('d');
  await expect(page.getByRole('region', { name: 'Changes' }).getByText('README.md', { exact: true }).first()).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('a review and its run show what the critic found, and where it and the agent disagree', async ({ app }) => {
  const { page } = app;
  await app.goto(`/review/${RUNS.retry}`);
  const section = page.getByRole('main').locator('section').filter({ has: page.getByRole('heading', { name: 'Self-review' }) });
  await expect(section.getByText('Round 1 of 1: critic and agent disagree')).toBeVisible();
  const finding = section.getByRole('listitem').filter({ hasText: 'No other test is changed' });
  await expect(finding).toContainText('not met: The queue test is changed too.');
  await finding.getByRole('link', { name: /^step / }).click();
  // The step’s address becomes that of its moment as soon as the run is read.
  await expect(page).toHaveURL(new RegExp(`/runs/${RUNS.retry}.*(step|at)=`));
  // That moment was before the verdict; the run as it is now has it.
  await app.goto(`/runs/${RUNS.retry}`);
  const panel = page.getByRole('region', { name: 'Self-review' });
  await expect(panel).toContainText('critic and agent disagree');
  await expect(panel).toContainText('The queue test is changed too.');
  expect(app.errors).toEqual([]);
});

test('a binary file in a diff says so', async ({ app }) => {
  await app.goto(`/review/${RUNS.retry}`);
  await expect(app.page.getByText('A binary file: there are no lines to compare.')).toBeVisible();
  await expect(app.page.getByText('No evidence', { exact: true })).toHaveCount(1);
});

test('history finds by state and repository, and in everything that was said and done', async ({ app }) => {
  const { page } = app;
  await app.goto('/history');
  await expect(page.getByRole('status').filter({ hasText: 'runs' }).first()).toBeVisible();
  await page.getByRole('combobox', { name: 'State' }).selectOption('failed');
  await expect(page.getByRole('list', { name: 'Runs' }).getByText('Print invoices on A5 paper')).toBeVisible();
  await expect(page.getByRole('list', { name: 'Runs' }).getByText('Mark overdue invoices')).toHaveCount(0);
  await page.keyboard.press('/');
  await page.keyboard.type('printer driver');
  await expect(page.getByRole('list', { name: 'Finds' }).getByText('Print invoices on A5 paper')).toBeVisible();
  await page.getByRole('list', { name: 'Finds' }).getByRole('link').first().click();
  await expect(page).toHaveURL(/\/runs\/run-brke000000\?at=\d+/);
  expect(app.errors).toEqual([]);
});

test('doctor says what is wrong and what to do', async ({ app }) => {
  await app.goto('/doctor');
  await expect(app.page.getByText(/keep tasks from running|Tasks run here|Everything is/)).toBeVisible();
  await expect(app.page.getByText('qemu-system-x86_64 is not installed')).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('settings are kept, and hold in every window', async ({ app }) => {
  const { page } = app;
  await app.goto('/settings');
  const other = await page.context().newPage();
  await other.goto(`${app.owner.address.url}/settings`);
  await page.getByRole('radio', { name: 'Light' }).check();
  await expect(other.getByRole('radio', { name: 'Light' })).toBeChecked();
  await expect.poll(() => other.evaluate(() => document.documentElement.dataset['theme'])).toBe('light');
  expect(app.errors).toEqual([]);
});

test('hints appear while a task is written, and the draft outlives a reload and a refusal', async ({ app }) => {
  const { page } = app;
  await app.goto('/new');
  const expected = page.waitForResponse((response) => response.url().endsWith('/tasks/expected'));
  await page.getByLabel('What is to be done?').fill('Rewrite everything around the login');
  expect((await expected).status()).toBe(204);
  await expect(page.getByText('Think about doing it together')).toBeVisible();
  await page.getByLabel('What is to be done?').fill('Show the number of open notes in the tab title');
  await expect(page.getByText('Better with a little more')).toBeVisible();
  await page.getByLabel('Acceptance criteria').fill('The title has the number');
  await page.getByLabel('Tests to run').fill('npm test');
  await expect(page.getByText('Good for the background')).toBeVisible();
  await page.getByLabel('Repository').fill('/nowhere/at/all');
  await page.getByLabel('Self-review').selectOption('At most three times');
  await page.getByLabel('Ask before').selectOption('Anything that reaches out or needs root');
  await page.reload();
  await expect(page.getByLabel('Acceptance criteria')).toHaveValue('The title has the number');
  await expect(page.getByLabel('Self-review')).toHaveValue('3');
  await expect(page.getByLabel('Ask before')).toHaveValue('risky');
  const sent = page.waitForRequest((request) => request.method() === 'POST' && request.url().endsWith('/tasks'));
  await page.keyboard.press('Control+Enter');
  await page.getByLabel('What is to be done?').click();
  await page.keyboard.press('Control+Enter');
  expect((await sent).postDataJSON()).toMatchObject({ selfReviewRounds: 3, approval: 'risky' });
  await expect(page.getByRole('alert')).toContainText('/nowhere/at/all');
  await expect(page.getByLabel('What is to be done?')).toHaveValue('Show the number of open notes in the tab title');
  expect(app.errors).toEqual([]);
});
