// An owner over a rich night, shared by all tests of a file; each test gets a browser of its own that is let in.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, type Browser, type BrowserContext, type Page } from '@playwright/test';
import { Night } from './night';
import { Owner } from './owner';

interface Shared {
  owner: Owner;
}

interface Own {
  app: App<Owner>;
}

/** An owner, as far as a window needs it. */
export interface Asked {
  address: { url: string; token: string };
  ask<T>(path: string, init?: RequestInit): Promise<T>;
  /** The address a window is opened with. */
  window(): Promise<string>;
}

/** A browser that has a session. */
export class App<O extends Asked = Asked> {
  /** What went wrong in the page, which must be nothing. */
  readonly errors: string[] = [];

  constructor(
    readonly owner: O,
    readonly page: Page,
  ) {
    page.on('pageerror', (error) => this.errors.push(error.message));
    page.on('console', (message) => {
      // A browser reports refused requests there as well; they are part of what is tested.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource') && !message.text().startsWith('WebSocket connection')) this.errors.push(message.text());
    });
  }

  async goto(path: string): Promise<void> {
    await this.page.goto(`${this.owner.address.url}${path}`);
  }
}

/** Opens a browser and lets it in. */
export async function letIn<O extends Asked>(owner: O, browser: Browser, options: Parameters<Browser['newContext']>[0] = {}): Promise<{ app: App<O>; context: BrowserContext }> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const app = new App(owner, page);
  await page.goto(await owner.window());
  await page.getByRole('navigation', { name: 'Places' }).waitFor();
  return { app, context };
}

export const test = base.extend<Own, Shared>({
  owner: [
    // biome-ignore lint: Playwright wants an object pattern here.
    async ({}, use) => {
      const home = mkdtempSync(join(tmpdir(), 'nightshift-ui-'));
      const night = new Night(home);
      await night.rich();
      await night.huge();
      await night.end();
      const owner = new Owner(home);
      await owner.start();
      await use(owner);
      await owner.end();
      rmSync(home, { recursive: true, force: true });
    },
    { scope: 'worker', timeout: 180_000 },
  ],
  app: async ({ owner, browser, viewport, colorScheme }, use) => {
    const { app, context } = await letIn(owner, browser, { viewport, colorScheme });
    await use(app);
    await context.close();
  },
});

export { expect } from '@playwright/test';

export const RUNS = {
  dark: 'run-dark000000',
  asks: 'run-ask0000000',
  works: 'run-wrk1000000',
  harm: 'run-harm000000',
  retry: 'run-retry00000',
  mega: 'run-mega000000',
  limit: 'run-cap0000000',
} as const;
