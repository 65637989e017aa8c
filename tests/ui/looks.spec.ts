import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
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
        // Run in the page by the debugging protocol: the page's own policy allows no script of a test.
        await page.evaluate(axe.source);
        const violations = await page.evaluate(async () => {
          const { violations: all } = await (window as unknown as { axe: typeof axe }).axe.run(document, { resultTypes: ['violations'] });
          return all.filter((each) => each.impact === 'serious' || each.impact === 'critical').map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
        });
        found.push(...violations.map((violation) => `${name}: ${violation}`));
      }
      expect(found).toEqual([]);
      expect(app.errors).toEqual([]);
      await context.close();
    });
  }
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
