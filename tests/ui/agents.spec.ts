import { join } from 'node:path';
import { expect, test } from './bench';
import { agentDefinition as definition, HOSTILE } from './night';
import { newRepository, write } from './repository';

test('the agents of a repository are shown with what they may, which of them counts, and what is wrong with the others', async ({ app }) => {
  const { page } = app;
  const repository = newRepository(join(app.owner.home, 'work/with-agents'), {
    'AGENTS.md': '# Agents\n\n## Routing\n\n- Reviews go to reviewer.\n',
    '.nightshift/agents/reviewer.md': definition('reviewer', 'Reads the diff after every change.', 'tools: [Read, Bash]\nmodel: opus\nmaxTurns: 20\n'),
    '.claude/agents/reviewer.md': definition('reviewer', 'An older one.'),
    '.claude/agents/wrong.md': definition('wrong', 'Never used.', 'max-turns: 3\n'),
    '.claude/agents/harm.md': definition('harm', HOSTILE),
  });
  await app.goto('/agents');
  const field = page.getByRole('combobox', { name: 'Repository' });
  await field.fill(repository);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/agents\?repository=/);
  const section = page.locator('section').filter({ has: page.getByRole('heading', { name: 'Of the repository' }) });
  const row = (file: string) => section.getByRole('listitem').filter({ hasText: file });
  await expect(row('.nightshift/agents/reviewer.md').first()).toContainText('opus · at most 20 model calls · Read, Bash');
  await expect(row('.claude/agents/reviewer.md').filter({ hasText: 'An older one.' })).toContainText('.nightshift/agents/reviewer.md has the same name and counts first');
  await expect(row('.claude/agents/wrong.md').first()).toContainText('wrongCannot be used');
  await expect(row('.claude/agents/wrong.md').first()).toContainText('line 4, column 1 there is no field max-turns; maxTurns is meant?');
  await expect(row('.claude/agents/harm.md').first()).toContainText('<script>');
  expect(await page.evaluate(() => (window as unknown as { harmed?: number }).harmed)).toBeUndefined();
  await expect(page.locator('section').filter({ has: page.getByRole('heading', { name: 'Which is for what' }) })).toContainText('Reviews go to reviewer.');
  // The address leads here again.
  await page.reload();
  await expect(row('.nightshift/agents/reviewer.md').first()).toBeVisible();
  expect(app.errors).toEqual([]);
});

test('a repository that is not there says so where it was named, and what was typed stays', async ({ app }) => {
  const { page } = app;
  await app.goto('/agents');
  const field = page.getByRole('combobox', { name: 'Repository' });
  await expect(field).not.toHaveValue('');
  await field.fill('/no/such/folder');
  await page.getByRole('button', { name: 'Look' }).click();
  await expect(page.getByRole('alert')).toContainText('/no/such/folder');
  await expect(field).toHaveValue('/no/such/folder');
  expect(app.errors).toEqual([]);
});

test('a broken definition of the person is shown with its line and what to do, and once mended it counts at the next look', async ({ app }) => {
  const { page } = app;
  const repository = newRepository(join(app.owner.home, 'work/without-agents'), { 'README.md': '# Plain\n' });
  const file = join(app.owner.home, '.claude/agents/late.md');
  write(file, definition('late', 'Stays up.', 'color: mauve\n'));
  await app.goto(`/agents?repository=${encodeURIComponent(repository)}`);
  await expect(page.getByText('None are defined.')).toBeVisible();
  const section = page.locator('section').filter({ has: page.getByRole('heading', { name: 'Yours, in every repository' }) });
  const row = section.getByRole('listitem').filter({ hasText: '~/.claude/agents/late.md' }).first();
  await expect(row).toContainText('Cannot be used');
  await expect(row).toContainText('line 4, column 8 color has to be red, blue, green, yellow, purple, orange, pink, cyan, not mauve');
  await expect(section).toContainText('Mend a file and look again');
  write(file, definition('late', 'Stays up.', 'color: pink\n'));
  await page.getByRole('button', { name: 'Look' }).click();
  await expect(row).toContainText('Stays up.');
  await expect(row).not.toContainText('Cannot be used');
  expect(app.errors).toEqual([]);
});
