import type { EnvironmentSummary } from '../../ui/src/backend/types';
import { phasesOf, progressOf } from '../../ui/src/places/environments/phases';
import { expect, test } from './bench';

function summary(state: Record<string, unknown>): EnvironmentSummary {
  return {
    environment: 'env-0000000000',
    repository: '/src/app',
    branch: 'main',
    commit: 'a'.repeat(40),
    state,
    plan: { sources: ['package.json'], steps: [{ name: 'install', run: 'npm ci' }], checks: [{ name: 'npm test', run: 'npm test' }], devServer: { run: 'npm start', port: 3000 }, hosts: [], inputs: [], notes: [] },
    phases: [
      { name: 'make a sandbox', tookMs: 900 },
      { name: 'bring the repository in', tookMs: 300 },
      { name: 'install', tookMs: null },
      { name: 'check: npm test', tookMs: null },
      { name: 'start the development server', tookMs: null },
      { name: 'freeze the machine', tookMs: null },
    ],
    cause: 'asked',
    sandbox: null,
    createdAt: '2026-11-01T00:00:00Z',
    updatedAt: '2026-11-01T00:00:00Z',
  } as unknown as EnvironmentSummary;
}

test('each phase has its state and its command, and the rest are to come', () => {
  const phases = phasesOf(summary({ type: 'settingUp', phase: 2 }));
  expect(phases.map((phase) => phase.state)).toEqual(['done', 'done', 'active', 'pending', 'pending', 'pending']);
  expect(phases.map((phase) => phase.command)).toEqual(['', '', 'npm ci', 'npm test', 'npm start', '']);
});

test('a phase that failed is the one that is failed, and one that is ready has none left', () => {
  const failed = summary({ type: 'failed', phase: 3, failure: { error: { code: 'internal', message: 'x', hint: '' }, logTail: '' } });
  expect(phasesOf(failed).map((phase) => phase.state)).toEqual(['done', 'done', 'done', 'failed', 'pending', 'pending']);
  expect(new Set(phasesOf(summary({ type: 'ready', template: 'k' })).map((phase) => phase.state))).toEqual(new Set(['done']));
  expect(phasesOf(summary({ type: 'removed', reason: 'asked' })).map((phase) => phase.state)).toEqual(['done', 'done', 'pending', 'pending', 'pending', 'pending']);
});

test('how far it is is said by number and name', () => {
  expect([progressOf(summary({ type: 'settingUp', phase: 2 })), progressOf(summary({ type: 'failed', phase: 3, failure: {} })), progressOf(summary({ type: 'removed', reason: 'a person asked' }))]).toEqual(['3 of 6: install', 'Failed: check: npm test', 'Removed: a person asked']);
});

test('a plan is seen before anything is done, and what cannot be done says why where it was asked', async ({ app }) => {
  const { page } = app;
  await app.goto('/environments');
  await expect(page.getByText('No repository is set up')).toBeVisible();
  await page.getByRole('button', { name: 'Set up a repository' }).click();
  const dialog = page.getByRole('dialog', { name: 'Set up a repository' });
  await dialog.getByLabel('Repository').fill('/nowhere/at/all');
  await dialog.getByRole('button', { name: 'Show how' }).click();
  await expect(dialog.getByRole('alert')).toBeVisible();
  await dialog.getByLabel('Repository').fill(`${app.owner.home}/work/depot`);
  await dialog.getByRole('button', { name: 'Show how' }).click();
  await expect(dialog.getByText('There is nothing to set up')).toBeVisible();
  await expect(dialog.getByRole('button', { name: 'Set it up' })).toBeDisabled();
  await dialog.getByLabel('Repository').fill(`${app.owner.home}/work/orchard`);
  await dialog.getByRole('button', { name: 'Show how' }).click();
  await expect(dialog.getByRole('region', { name: 'What would be done' })).toContainText('make trees');
  await dialog.getByRole('button', { name: 'Set it up' }).click();
  // Every sandbox there may be runs already: it waits for room, and says so.
  await expect(page).toHaveURL(/\/environments\/environment-/);
  await expect(page.getByRole('status').filter({ hasText: '1 of 5: make a sandbox' })).toBeVisible();
  await expect(page.getByRole('region', { name: 'What was printed' })).toContainText('waiting: 3 sandboxes run already');
  await page.getByRole('link', { name: 'All environments' }).click();
  await page.getByRole('link', { name: /orchard/ }).click();
  await page.getByRole('button', { name: 'Remove this environment' }).click();
  await page.getByRole('button', { name: 'Remove it' }).click();
  await expect(page.getByText('No repository is set up')).toBeVisible();
  await app.goto('/environments/environment-zzzzzzzzzz');
  await expect(page.getByText('There is no such environment')).toBeVisible();
  expect(app.errors).toEqual([]);
});
