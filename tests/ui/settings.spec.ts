import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SettingsValues } from '../../ui/src/backend/types';
import { changesOf, draftOf, hostsIn, valuesOf } from '../../ui/src/places/settings/draft';
import { expect, letIn, test } from './bench';
import { Owner } from './owner';

const VALUES: SettingsValues = {
  engine: 'nightshift',
  model: 'claude-sonnet-5-5',
  contextTokens: null,
  limits: { turns: 200, tokens: 20_000_000, costMicrodollars: 10_000_000, seconds: 7_200 },
  sandboxes: 3,
  memoryMib: 2_048,
  processors: 2,
  spare: true,
  diskReserveMib: null,
  diskSandboxMib: 12_288,
  hosts: [],
  egressAllow: ['example.org'],
  egressSetUp: [],
  egressPermit: [],
};

test('a draft that nothing was changed in is the values it was made of', () => {
  const draft = draftOf(VALUES);
  expect(valuesOf(draft, VALUES)).toEqual({ values: VALUES, errors: {} });
  expect(changesOf(draft, VALUES)).toEqual([]);
});

test('what is changed is named, and a list that is only written otherwise is no change', () => {
  const draft = { ...draftOf(VALUES), egressAllow: ' example.org,\n', sandboxes: '', dollars: '2.5' };
  expect(changesOf(draft, VALUES)).toEqual(['dollars', 'sandboxes']);
  const { values } = valuesOf(draft, VALUES);
  expect([values.sandboxes, values.limits.costMicrodollars, values.egressAllow]).toEqual([null, 2_500_000, ['example.org']]);
});

test('what is no value says what would be one, and everything else is read all the same', () => {
  const draft = { ...draftOf(VALUES), dollars: 'ten', minutes: '1.5', sandboxes: '0', memoryMib: '', model: ' ', hosts: [{ name: '', uri: 'x', pool: 'default', memoryMib: null }] };
  const { values, errors } = valuesOf(draft, VALUES);
  expect(Object.keys(errors).sort()).toEqual(['dollars', 'hosts', 'memoryMib', 'minutes', 'model', 'sandboxes']);
  expect(errors.sandboxes).toBe('A whole number from 1 to 1,000');
  expect(values.processors).toBe(2);
});

test('a sandbox may write any amount or at least what it comes up with, and what stays free may be nothing', () => {
  const of = (diskSandboxMib: string, diskReserveMib: string) => valuesOf({ ...draftOf(VALUES), diskSandboxMib, diskReserveMib }, VALUES);
  const any = of(' 0 ', '0');
  expect([any.values.diskSandboxMib, any.values.diskReserveMib, any.errors]).toEqual([0, 0, {}]);
  expect([of('256', '').values.diskSandboxMib, of('256', '').values.diskReserveMib]).toEqual([256, null]);
  expect(of('255', '-1').errors).toEqual({ diskSandboxMib: 'A whole number from 256 to 1,000,000,000', diskReserveMib: 'A whole number from 0 to 1,000,000,000' });
  expect(changesOf({ ...draftOf(VALUES), diskSandboxMib: '4096' }, VALUES)).toEqual(['diskSandboxMib']);
});

test('hosts are parted by lines, blanks and commas, each once', () => {
  expect(hostsIn('a.org, *.b.org\n\na.org  c.org:8443')).toEqual(['a.org', '*.b.org', 'c.org:8443']);
});

test('a setting is changed, refused with its reason, kept, undone, and taken up by a restart while the page stays', async ({ app }) => {
  const { page } = app;
  const file = join(app.owner.home, 'config.toml');
  const before = readFileSync(file, 'utf8');
  await app.goto('/settings');
  await page.getByLabel('Always open').fill('http://example.org');
  await page.getByLabel('At once').fill('5');
  await expect(page.getByText('2 changes: sandboxes at once, what sandboxes may reach')).toBeVisible();
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('alert')).toContainText('name the host alone, as in example.org');
  expect(readFileSync(file, 'utf8')).toBe(before);
  await page.getByLabel('Always open').fill('example.org');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByText('Kept, and used when the owner starts again.')).toBeVisible();
  expect(readFileSync(file, 'utf8')).toContain('sandboxes = 5');
  await page.getByRole('button', { name: 'Undo the last change' }).click();
  await expect(page.getByLabel('At once')).toHaveValue('3');
  expect(readFileSync(file, 'utf8')).toBe(before);
  await page.getByLabel('Budget').fill('4.5');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('button', { name: 'Restart the owner' }).click();
  await expect(page.getByText('The owner is back with the new settings')).toBeVisible();
  await expect(page.getByRole('status').filter({ hasText: 'Owner' })).toBeVisible();
  await expect(page.getByText('The last change is in use.')).toBeVisible();
  // A new task starts with what is set.
  await app.goto('/new');
  await expect(page.getByLabel('US dollars')).toHaveAttribute('placeholder', '4.5');
  await app.goto('/settings');
  await page.getByRole('button', { name: 'Undo the last change' }).click();
  await expect(page.getByLabel('Budget')).toHaveValue('10');
  expect(app.errors).toEqual([]);
});

test('what another window changed is not overwritten, and what is typed here is not lost', async ({ app }) => {
  const { page } = app;
  await app.goto('/settings');
  await page.getByLabel('Model calls').fill('150');
  const seen = await app.owner.ask<{ values: SettingsValues; revision: string }>('/settings');
  await app.owner.ask('/settings', { method: 'PUT', body: JSON.stringify({ values: { ...seen.values, processors: 4 }, revision: seen.revision }) });
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('alert')).toContainText('The settings were changed meanwhile');
  await expect(page.getByLabel('Model calls')).toHaveValue('150');
  await app.owner.ask('/settings/undo', { method: 'POST' });
  expect(app.errors).toEqual([]);
});

test('a number that cannot be is said where it is typed, and is not sent', async ({ app }) => {
  const { page } = app;
  await app.goto('/settings');
  await page.getByLabel('Memory of each').fill('12');
  await expect(page.getByText('A whole number from 512 to 65,536')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Save', exact: true })).toBeDisabled();
  await page.getByRole('button', { name: 'Discard' }).click();
  await expect(page.getByLabel('Memory of each')).toHaveValue('2048');
});

test('a key goes in and never comes out: it is kept for its owner alone, replaced and forgotten', async ({ app }) => {
  const { page } = app;
  const answers: string[] = [];
  page.on('response', (response) => {
    if (response.url().includes('/api/')) void response.text().then((text) => answers.push(text), () => undefined);
  });
  const file = join(app.owner.home, 'data/keys.json');
  await app.goto('/settings');
  const row = page.getByRole('listitem').filter({ hasText: 'OPENAI_API_KEY' });
  await expect(row.getByText('Not set')).toBeVisible();
  await row.getByRole('button', { name: 'Set OPENAI_API_KEY' }).click();
  await row.getByLabel('OPENAI_API_KEY', { exact: true }).fill('two words');
  await row.getByRole('button', { name: 'Keep it' }).click();
  await expect(row.getByRole('alert')).toContainText('it holds a blank');
  await row.getByLabel('OPENAI_API_KEY', { exact: true }).fill('sk-planted-key');
  await page.keyboard.press('Enter');
  await expect(row.getByText('In a file only you may read')).toBeVisible();
  await expect(row.getByText('not used yet')).toBeVisible();
  expect([readFileSync(file, 'utf8').includes('sk-planted-key'), statSync(file).mode & 0o777]).toEqual([true, 0o600]);
  await page.reload();
  await expect(row.getByText('In a file only you may read')).toBeVisible();
  await row.getByRole('button', { name: 'Forget OPENAI_API_KEY' }).click();
  await page.getByRole('button', { name: 'Forget it' }).click();
  await expect(row.getByText('Not set')).toBeVisible();
  expect(existsSync(file)).toBe(false);
  expect(await page.content()).not.toContain('sk-planted-key');
  expect(answers.filter((text) => text.includes('sk-planted-key'))).toEqual([]);
  // One of the environment is said to be there, and is not replaced from here.
  await expect(page.getByRole('listitem').filter({ hasText: 'ANTHROPIC_API_KEY' }).getByText('In the owner’s environment')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Replace ANTHROPIC_API_KEY' })).toHaveCount(0);
  expect(app.errors).toEqual([]);
});

test('who is new is led from nothing to a run: a key, the example, and its task', async ({ browser }) => {
  const home = mkdtempSync(join(tmpdir(), 'nightshift-new-'));
  const owner = new Owner(home, null);
  await owner.start();
  try {
    const { app, context } = await letIn(owner, browser, { viewport: { width: 1280, height: 800 } });
    const { page } = app;
    await expect(page.getByRole('heading', { name: 'Describe it, leave, come back to a pull request' })).toBeVisible();
    // The names of programs stay as they are written.
    await expect(page.getByText(/^qemu-system-x86_64 is not installed\.$/)).toBeVisible();
    await expect(page.getByText('whose key you give here')).toBeVisible();
    const start = page.getByRole('button', { name: 'Start the example task' });
    await expect(start).toBeDisabled();
    await page.getByRole('button', { name: 'Set ANTHROPIC_API_KEY' }).click();
    await page.getByLabel('ANTHROPIC_API_KEY', { exact: true }).fill('a-key-given-here');
    await page.getByRole('button', { name: 'Keep it' }).click();
    await expect(page.getByText('There is no key')).toHaveCount(0);
    await page.getByRole('button', { name: 'Restart the owner' }).click();
    await expect(page.getByText('The owner is back with the new settings')).toBeVisible();
    await expect(page.getByText('The provider\'s key is there.')).toBeVisible();
    // This machine has no QEMU, and says so; the task is what can be tried here.
    const example = await owner.ask<{ repository: string; description: string; criteria: string[] }>('/example', { method: 'POST' });
    expect(readFileSync(join(example.repository, 'package.json'), 'utf8')).toContain('trailhead');
    const again = await owner.ask<{ repository: string }>('/example', { method: 'POST' });
    expect(again.repository).toBe(example.repository);
    await page.getByRole('radio', { name: 'A repository of mine' }).check();
    await page.getByRole('textbox', { name: 'Repository' }).fill(example.repository);
    await page.getByRole('button', { name: /Write the task/ }).click();
    await expect(page.getByLabel('Repository')).toHaveValue(example.repository);
    await page.getByLabel('What is to be done?').fill(example.description);
    await page.getByRole('button', { name: /Start in the background/ }).click();
    await expect(page).toHaveURL(/\/runs\/run-/);
    await expect(page.getByRole('heading', { name: example.description })).toBeVisible();
    expect(app.errors).toEqual([]);
    await context.close();
  } finally {
    await owner.end();
    rmSync(home, { recursive: true, force: true });
  }
});
