import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { barriers } from './barriers';
import { expect, letIn, RUNS, test } from './bench';

const places = (home: string): Record<string, string> => ({
  home: '/',
  'new-task': '/new',
  run: `/runs/${RUNS.dark}`,
  'run-working': `/runs/${RUNS.works}`,
  'run-asks': `/runs/${RUNS.asks}`,
  'run-terminal': `/runs/${RUNS.dark}?view=terminal`,
  'run-diff': `/runs/${RUNS.dark}?view=diff`,
  'run-files': `/runs/${RUNS.dark}?view=files`,
  'review-list': '/review',
  review: `/review/${RUNS.dark}`,
  history: '/history',
  search: '/history?q=tests',
  statistics: '/statistics',
  environments: '/environments',
  agents: `/agents?repository=${encodeURIComponent(`${home}/work/depot`)}`,
  settings: '/settings',
  doctor: '/doctor',
  welcome: '/welcome',
});

/** What opens above a place: where, by what, and what is seen then. */
const ABOVE: Record<string, { path: string; open: (page: Page) => Promise<void>; seen: (page: Page) => ReturnType<Page['locator']> }> = {
  palette: { path: '/', open: (page) => page.keyboard.press('Control+k'), seen: (page) => page.getByRole('dialog', { name: 'Go to or do' }) },
  keyboard: { path: '/', open: (page) => page.keyboard.press('?'), seen: (page) => page.getByRole('dialog', { name: 'Keyboard' }) },
  'cancel-run': { path: `/runs/${RUNS.works}`, open: (page) => page.getByRole('button', { name: 'Cancel' }).first().click(), seen: (page) => page.getByRole('dialog', { name: 'Cancel this run?' }) },
  'ask-for-changes': { path: `/review/${RUNS.dark}`, open: (page) => page.getByRole('button', { name: 'Ask for changes' }).click(), seen: (page) => page.getByRole('dialog', { name: 'Ask for changes' }) },
  merge: { path: `/review/${RUNS.dark}`, open: (page) => page.getByRole('button', { name: 'Approve and merge' }).click(), seen: (page) => page.getByRole('dialog').filter({ has: page.getByRole('button', { name: 'Merge', exact: true }) }) },
  'set-up': { path: '/environments', open: (page) => page.getByRole('button', { name: 'Set up a repository' }).first().click(), seen: (page) => page.getByRole('dialog', { name: 'Set up a repository' }) },
};

const OUTPUT = join(import.meta.dirname, 'output/pictures');

for (const scheme of ['dark', 'light'] as const) {
  for (const [width, height] of [[1280, 800], [1920, 1080]] as const) {
    test(`every place is photographed, ${scheme}, ${width} by ${height}, and has no serious barrier`, async ({ owner, browser }) => {
      test.setTimeout(180_000);
      mkdirSync(OUTPUT, { recursive: true });
      const { app, context } = await letIn(owner, browser, { viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce' });
      const { page } = app;
      const found: string[] = [];
      for (const [name, path] of Object.entries(places(owner.home))) {
        await app.goto(path);
        // The heading comes with what is shown; a place that is being fetched has none yet.
        await page.locator('main h1').filter({ hasText: /\S/ }).first().waitFor();
        await expect(page.getByRole('status', { name: 'Loading' })).toHaveCount(0);
        await page.waitForFunction(() => document.fonts.status === 'loaded' && [...document.images].every((image) => image.complete || image.loading === 'lazy'));
        await page.screenshot({ path: join(OUTPUT, `${name}-${scheme}-${width}.png`) });
        const violations = await barriers(page);
        found.push(...violations.map((violation) => `${name}: ${violation}`));
      }
      expect(found).toEqual([]);
      expect(app.errors).toEqual([]);
      await context.close();
    });
  }
}

for (const scheme of ['dark', 'light'] as const) {
  test(`what opens above a place, and what is seen without a session, is photographed, ${scheme}, and has no serious barrier`, async ({ owner, browser }) => {
    mkdirSync(OUTPUT, { recursive: true });
    const options = { viewport: { width: 1280, height: 800 }, colorScheme: scheme, reducedMotion: 'reduce' } as const;
    const { app, context } = await letIn(owner, browser, options);
    const { page } = app;
    const found: string[] = [];
    for (const [name, { path, open, seen }] of Object.entries(ABOVE)) {
      await app.goto(path);
      await page.locator('main h1').filter({ hasText: /\S/ }).first().waitFor();
      await expect(page.getByRole('status', { name: 'Loading' })).toHaveCount(0);
      await open(page);
      await expect(seen(page), name).toBeVisible();
      // A field that was measured before it was shown is a slit.
      const fields = seen(page).locator('textarea, input:not([type=radio]):not([type=checkbox])').filter({ visible: true });
      for (const field of await fields.all()) expect((await field.boundingBox())?.height, name).toBeGreaterThanOrEqual(20);
      await page.screenshot({ path: join(OUTPUT, `above-${name}-${scheme}.png`) });
      found.push(...(await barriers(page)).map((barrier) => `${name}: ${barrier}`));
      // It closes by the key that closes everything.
      await page.keyboard.press('Escape');
      await expect(seen(page), name).toHaveCount(0);
    }
    expect(app.errors).toEqual([]);
    await context.close();
    const stranger = await browser.newContext(options);
    const without = await stranger.newPage();
    await without.goto(owner.address.url);
    await expect(without.getByRole('heading', { name: 'This window has no session' })).toBeVisible();
    await without.screenshot({ path: join(OUTPUT, `sign-in-${scheme}.png`) });
    found.push(...(await barriers(without)).map((barrier) => `sign-in: ${barrier}`));
    await stranger.close();
    expect(found).toEqual([]);
  });
}

for (const width of [800, 1024]) {
  test(`every place has everything in reach in a window ${width} wide`, async ({ owner, browser }) => {
    test.setTimeout(120_000);
    mkdirSync(OUTPUT, { recursive: true });
    const { app, context } = await letIn(owner, browser, { viewport: { width, height: 720 }, colorScheme: 'dark', reducedMotion: 'reduce' });
    const { page } = app;
    const found: string[] = [];
    for (const [name, path] of Object.entries(places(owner.home))) {
      await app.goto(path);
      await page.locator('main h1').filter({ hasText: /\S/ }).first().waitFor();
      await expect(page.getByRole('status', { name: 'Loading' })).toHaveCount(0);
      await page.screenshot({ path: join(OUTPUT, `${name}-narrow-${width}.png`) });
      // What can be pressed or typed into is inside the window, or inside something that scrolls sideways on purpose.
      const outside = await page.evaluate(() => {
        const scrolls = (element: Element | null): boolean => element !== null && (['auto', 'scroll'].includes(getComputedStyle(element).overflowX) ? element.scrollWidth > element.clientWidth : scrolls(element.parentElement));
        return [...document.querySelectorAll<HTMLElement>('main button, main a, main input, main select, main textarea')]
          .filter((element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
          .filter((element) => {
            const box = element.getBoundingClientRect();
            return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1) && !scrolls(element);
          })
          .map((element) => element.getAttribute('aria-label') ?? element.textContent?.slice(0, 60) ?? element.tagName);
      });
      found.push(...outside.map((each) => `${name}: ${each}`));
      if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push(`${name}: the page scrolls sideways`);
    }
    expect(found).toEqual([]);
    // Steering and the plan share one column of a run.
    await app.goto(`/runs/${RUNS.works}`);
    await page.getByRole('radio', { name: 'Chat' }).check();
    await expect(page.getByRole('log')).toContainText('Please keep the public function');
    await page.getByRole('radio', { name: 'Timeline' }).check();
    await expect(page.getByRole('region', { name: 'Plan' })).toBeVisible();
    await page.keyboard.press('m');
    await expect(page.getByRole('textbox', { name: 'Steer the agent' })).toBeFocused();
    expect(app.errors).toEqual([]);
    await context.close();
  });
}
