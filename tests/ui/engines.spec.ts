import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineList } from '../../ui/src/backend/types';
import { engineChoice, modelOf, usualEngine } from '../../ui/src/text/engines';
import { expect, test } from './bench';

const NO_KEY = { code: 'missingKey', message: 'the engine codex cannot work: there is no key', hint: 'Set it.' } as const;
const LIST: EngineList = {
  defaultEngine: 'claude-code',
  engines: [
    { name: 'nightshift', takesModel: true },
    { name: 'claude-code', provider: 'anthropic', takesModel: true, install: 'npm install claude' },
    { name: 'codex', provider: 'openai', takesModel: true, trouble: NO_KEY },
    { name: 'mine', provider: 'anthropic', takesModel: false },
  ],
};

test('what cannot work now is in the list, says so, and why when it is chosen', () => {
  expect(engineChoice(LIST, 'codex')).toEqual({
    options: [
      { value: 'nightshift', label: 'Nightshift’s own' },
      { value: 'claude-code', label: 'claude-code' },
      { value: 'codex', label: 'codex (cannot work now)' },
      { value: 'mine', label: 'mine' },
    ],
    trouble: NO_KEY,
    install: null,
    foreign: true,
    takesModel: true,
  });
});

test('each engine says what it needs and whether it can be told a model', () => {
  const facts = (name: string) => {
    const { trouble, install, foreign, takesModel } = engineChoice(LIST, name);
    return [trouble, install, foreign, takesModel];
  };
  expect(facts('nightshift')).toEqual([null, null, false, true]);
  expect(facts('claude-code')).toEqual([null, 'npm install claude', true, true]);
  expect(facts('mine')).toEqual([null, null, true, false]);
});

test('a model that was typed for one engine is no part of a task whose engine takes none', () => {
  expect(modelOf(engineChoice(LIST, 'mine'), 'gpt-6.1-sol')).toBe('');
  expect(modelOf(engineChoice(LIST, 'claude-code'), 'claude-opus-5-5')).toBe('claude-opus-5-5');
});

test('an engine of an old draft that is not there any more stays to be seen and to be changed', () => {
  const { options, trouble } = engineChoice(LIST, 'goose');
  expect(options.at(-1)).toEqual({ value: 'goose', label: 'goose (not there any more)' });
  expect(trouble?.message).toBe('there is no engine goose');
  // As long as the owner has said nothing, nothing is held against it.
  expect(engineChoice(undefined, 'goose')).toMatchObject({ options: [{ value: 'goose', label: 'goose' }], trouble: null });
});

test('a task that says nothing has the engine of the settings, by its name', () => {
  expect([usualEngine(undefined).label, usualEngine(LIST).label]).toEqual(['As in the settings', 'As in the settings: claude-code']);
});

test('an engine is chosen for a task, one without a key says what to do, and the draft keeps the choice', async ({ app }) => {
  const { page } = app;
  await app.goto('/new');
  const engine = page.getByLabel('Engine', { exact: true });
  const start = page.getByRole('button', { name: /Start in the background/ });
  await page.getByLabel('What is to be done?').fill('Show the number of open notes in the tab title');
  await page.getByLabel('Repository').fill('/nowhere/at/all');
  await expect(engine.locator('option')).toHaveText(['As in the settings: Nightshift’s own', 'Nightshift’s own', 'claude-code', 'codex (cannot work now)']);
  await expect(start).toBeEnabled();
  await engine.selectOption('codex');
  await expect(page.getByText('The engine codex cannot work: there is no key for the provider openai: OPENAI_API_KEY is not set. Set it with')).toBeVisible();
  await expect(engine).toHaveAttribute('aria-invalid', 'true');
  await expect(start).toBeDisabled();
  await engine.selectOption('claude-code');
  await expect(page.getByText('sudo npm install --global --prefix /opt/claude-code node@22 @agentclientprotocol/claude-agent-acp@latest')).toBeVisible();
  await expect(page.getByText('If empty, the configured one; the engine’s own where that is of another provider.')).toBeVisible();
  await page.reload();
  await expect(engine).toHaveValue('claude-code');
  // What it cannot be given is refused with the reason, before anything begins.
  await page.getByLabel('Model').fill('gpt-6.1-sol');
  const sent = page.waitForRequest((request) => request.method() === 'POST' && request.url().endsWith('/tasks'));
  await start.click();
  expect((await sent).postDataJSON()).toMatchObject({ engine: 'claude-code', model: 'gpt-6.1-sol' });
  await expect(page.getByRole('alert')).toContainText('The engine claude-code cannot use gpt-6.1-sol: it calls models of anthropic.');
  await expect(page.getByLabel('Model')).toHaveValue('gpt-6.1-sol');
  expect(app.errors).toEqual([]);
});

test('what was typed as the model stays with the draft, and is not sent with an engine that takes none', async ({ app }) => {
  const { page } = app;
  await page.route('**/engines', (route) => route.fulfill({ json: LIST }));
  await app.goto('/new');
  const model = page.getByLabel('Model');
  await page.getByLabel('What is to be done?').fill('Show the number of open notes in the tab title');
  await page.getByLabel('Repository').fill('/nowhere/at/all');
  await model.fill('claude-opus-5-5');
  await page.getByLabel('Engine', { exact: true }).selectOption('mine');
  await expect(model).toBeDisabled();
  await expect(model).toHaveValue('');
  const sent = page.waitForRequest((request) => request.method() === 'POST' && request.url().endsWith('/tasks'));
  await page.getByRole('button', { name: /Start in the background/ }).click();
  expect((await sent).postDataJSON()).toMatchObject({ engine: 'mine', model: null });
  // This owner has no such engine: the refusal is of that, and loses nothing.
  await expect(page.getByRole('alert')).toContainText('There is no engine mine');
  await page.getByLabel('Engine', { exact: true }).selectOption('claude-code');
  await expect(model).toHaveValue('claude-opus-5-5');
  expect(app.errors).toEqual([]);
});

test('the engine of tasks that name none is set once, and new tasks say which it is', async ({ app }) => {
  const { page } = app;
  const file = join(app.owner.home, 'config.toml');
  await app.goto('/settings');
  const engine = page.getByLabel('Engine', { exact: true });
  await expect(engine).toHaveValue('nightshift');
  await engine.selectOption('codex');
  await expect(page.getByText('OPENAI_API_KEY is not set. Set it with')).toBeVisible();
  await engine.selectOption('claude-code');
  await expect(page.getByText('One change: engine')).toBeVisible();
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByText('Kept, and used when the owner starts again.')).toBeVisible();
  expect(readFileSync(file, 'utf8')).toContain('engine = "claude-code"');
  await page.getByRole('button', { name: 'Restart the owner' }).click();
  await expect(page.getByText('The owner is back with the new settings')).toBeVisible();
  await app.goto('/new');
  await expect(page.getByLabel('Engine', { exact: true }).locator('option').first()).toHaveText('As in the settings: claude-code');
  await expect(page.getByText('sudo npm install --global --prefix /opt/claude-code node@22 @agentclientprotocol/claude-agent-acp@latest')).toBeVisible();
  await app.goto('/settings');
  await page.getByRole('button', { name: 'Undo the last change' }).click();
  await page.getByRole('button', { name: 'Restart the owner' }).click();
  await expect(page.getByText('The owner is back with the new settings')).toBeVisible();
  expect(await app.owner.ask<EngineList>('/engines')).toMatchObject({ defaultEngine: 'nightshift' });
  expect(app.errors).toEqual([]);
});
