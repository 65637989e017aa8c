// A set-up, in sandboxes that are folders of this host: its phases, its log, a phase that fails, and trying again.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from './hosted';
import { git, write } from './repository';

test('a repository is set up: its log is followed, a check that fails is tried again from there, and it is removed', async ({ begin }) => {
  const { owner, app } = await begin([{ calls: [{ tool: 'ask', input: { question: 'Never asked?' } }] }]);
  const outside = mkdtempSync(join(tmpdir(), 'nightshift-outside-'));
  const mended = join(outside, 'mended');
  write(join(owner.repository, '.nightshift/environment.toml'), `steps = [{ name = "plant", run = "echo 'planted <b>trees</b>'" }]\nchecks = [{ name = "pick", run = "test -e ${mended} || { echo no ladder; exit 3; }" }]\n`);
  git(owner.repository, 'add', '-A');
  git(owner.repository, 'commit', '-q', '-m', 'How it is set up');
  const { page } = app;
  await app.goto('/environments');
  await page.getByRole('button', { name: 'Set up a repository' }).click();
  const dialog = page.getByRole('dialog', { name: 'Set up a repository' });
  await dialog.getByLabel('Repository').fill(owner.repository);
  await dialog.getByRole('button', { name: 'Show how' }).click();
  await expect(dialog.getByRole('region', { name: 'What would be done' })).toContainText('.nightshift/environment.toml');
  await dialog.getByRole('button', { name: 'Set it up' }).click();
  await expect(page).toHaveURL(/\/environments\/environment-/);
  const log = page.getByRole('region', { name: 'What was printed' });
  await expect(log).toContainText('planted <b>trees</b>');
  await expect(page.getByRole('status').filter({ hasText: 'Failed: check: pick' })).toBeVisible();
  await expect(page.getByRole('alert').first()).toContainText('exit 3');
  await expect(log).toContainText('no ladder');
  const phases = page.getByRole('list', { name: 'Phases' }).getByRole('listitem');
  await expect(phases.filter({ hasText: 'plant' })).toContainText('done');
  writeFileSync(mended, '');
  await page.getByRole('button', { name: 'Try again from here' }).click();
  await expect(page.getByText('Ready: tasks of this repository start from it')).toBeVisible();
  await page.getByRole('link', { name: 'All environments' }).click();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Remove this environment' }).click();
  await page.getByRole('button', { name: 'Remove it' }).click();
  await expect(page.getByText('No repository is set up')).toBeVisible();
  rmSync(outside, { recursive: true });
  expect(app.errors).toEqual([]);
});
