// A real sandbox, from the task to the merge, by the app alone: the agent's screen is watched on the canvas, taken over,
// clicked in and handed back.

import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { letIn } from './bench';
import { look, placeOf } from './canvas';
import { critic } from './hosted';
import { RealOwner } from './real-owner';
import { newRepository } from './repository';

/** How long the way from the click that submits to the merge may take, in milliseconds, on a machine that translates instructions. */
const JOURNEY = 90_000;

const TURNS = [
  { calls: [{ tool: 'shell', input: { command: 'echo two >> notes.txt && git commit -qam Note && cat notes.txt' } }, { tool: 'computer', input: { action: 'screenshot' } }] },
  { calls: [{ tool: 'ask', input: { question: 'Is the note where you want it?' } }] },
  { calls: [{ tool: 'evidence', input: { claim: 'There are two notes.', step: '1.1', criterion: 1 } }] },
  { calls: [{ tool: 'finish', input: { title: 'Add a note', summary: 'There is a second note now.' } }] },
];

test('a task in a real sandbox is submitted, watched, taken over, clicked in, handed back, reviewed and merged', async ({ browser }) => {
  const owner = new RealOwner();
  try {
    await owner.start({ turns: TURNS, conversations: [critic(TURNS.length + 1)] });
    // The template is made before, so that only the journey is timed.
    await owner.ask('/template', { method: 'POST' });
    const repository = newRepository(join(owner.home, 'notes'), { 'notes.txt': 'one\n' });
    const { app, context } = await letIn(owner, browser, { viewport: { width: 1280, height: 800 } });
    const { page } = app;
    await app.goto('/new');
    await page.getByLabel('What is to be done?').fill('Add a second note');
    await page.getByLabel('Acceptance criteria').fill('There are two notes');
    await page.getByLabel('Repository').fill(repository);
    const began = Date.now();
    await page.getByRole('button', { name: /Start in the background/ }).click();
    await expect(page).toHaveURL(/\/runs\/run-/);
    const within = { timeout: JOURNEY };
    await expect(page.getByRole('log').getByText('Is the note where you want it?')).toBeVisible(within);
    // The desktop with its browser is on the canvas, in the sandbox's own size.
    const bar = { x: 0, y: 0, width: 1_280, height: 110 };
    await expect.poll(async () => (await look(page, bar)).width, within).toBe(1_280);
    await expect.poll(async () => (await look(page, bar)).colours, within).toBeGreaterThan(20);
    const before = await look(page, bar);
    await page.keyboard.press('o');
    await expect(page.getByText('You have mouse and keyboard. The agent waits.')).toBeVisible();
    // What is typed into the browser's bar is seen there.
    const there = await placeOf(page, 500, 62);
    await page.mouse.click(there.x, there.y);
    await page.keyboard.press('Control+l');
    await page.keyboard.type('nightshift', { delay: 20 });
    await expect.poll(async () => (await look(page, bar)).sum, within).not.toBe(before.sum);
    await page.getByLabel('What the agent should know').fill('I had a look');
    await page.getByRole('button', { name: 'Hand back' }).click();
    await expect(page.getByText('You watch. The agent has mouse and keyboard.')).toBeVisible();
    await page.getByRole('textbox', { name: /Answer|Steer/ }).fill('Yes');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Review', exact: true }).click(within);
    await expect(page.getByText('There are two notes.').first()).toBeVisible();
    await expect(page.getByText('Round 1 of 2: every criterion is met')).toBeVisible();
    await page.getByRole('button', { name: 'Approve and merge' }).click();
    await page.getByRole('button', { name: 'Merge', exact: true }).click();
    await expect(page.getByText(/Merged into main as [0-9a-f]{8}/)).toBeVisible();
    const took = Date.now() - began;
    const run = new URL(page.url()).pathname.split('/')[2] ?? '';
    const events = await owner.ask<{ type: string; summary?: string; screen?: { width: number } | null }[]>(`/runs/${run}/events?after=0`);
    const handed = events.find((event) => event.type === 'handedBack');
    expect(handed?.summary).toMatch(/1 click.*I had a look/s);
    expect(handed?.screen?.width).toBe(1_280);
    expect(app.errors).toEqual([]);
    expect(took, 'the journey in milliseconds').toBeLessThan(JOURNEY);
    process.stderr.write(`the journey took ${(took / 1_000).toFixed(1)} s\n`);
    await context.close();
  } finally {
    await owner.end();
  }
});
