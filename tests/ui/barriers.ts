// What keeps people from using a page, as axe-core finds it.

import type { Page } from '@playwright/test';
import axe from 'axe-core';

/** The serious and critical barriers of what is shown, a sentence each. */
export async function barriers(page: Page): Promise<string[]> {
  // Run in the page by the debugging protocol: the page's own policy allows no script of a test.
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { violations: all } = await (window as unknown as { axe: typeof axe }).axe.run(document, { resultTypes: ['violations'] });
    return all.filter((each) => each.impact === 'serious' || each.impact === 'critical').map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
  });
}
