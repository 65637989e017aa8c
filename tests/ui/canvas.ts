// The live screen as a test sees it: pixels of the canvas, and where they are in the window.

import type { Page } from '@playwright/test';

/** One pixel of the live screen's canvas, as red, green and blue; empty while there is none. */
export async function pixel(page: Page, x: number, y: number): Promise<number[]> {
  return page.locator('canvas').evaluate(
    (canvas: HTMLCanvasElement, at) => {
      if (canvas.width === 0) return [];
      return [...(canvas.getContext('2d')?.getImageData(at.x, at.y, 1, 1).data ?? [])].slice(0, 3);
    },
    { x, y },
  );
}

/** How many colours the canvas shows, up to a thousand, and a number that changes with any pixel of a part of it. */
export async function look(page: Page, part: { x: number; y: number; width: number; height: number }): Promise<{ colours: number; sum: number; width: number; height: number }> {
  return page.locator('canvas').evaluate((canvas: HTMLCanvasElement, at) => {
    const context = canvas.getContext('2d');
    if (canvas.width === 0 || context === null) return { colours: 0, sum: 0, width: 0, height: 0 };
    const whole = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    const colours = new Set<number>();
    for (const value of whole) if (colours.size < 1_000) colours.add(value);
    let sum = 0;
    for (const value of new Uint32Array(context.getImageData(at.x, at.y, at.width, at.height).data.buffer)) sum = (Math.imul(sum, 31) + value) | 0;
    return { colours: colours.size, sum, width: canvas.width, height: canvas.height };
  }, part);
}

/** Where a pixel of the sandbox's screen is in the window. */
export async function placeOf(page: Page, x: number, y: number): Promise<{ x: number; y: number }> {
  const canvas = page.locator('canvas');
  const box = await canvas.boundingBox();
  const size = await canvas.evaluate((element: HTMLCanvasElement) => ({ width: element.width, height: element.height }));
  if (box === null) throw new Error('the canvas is not shown');
  return { x: box.x + ((x + 0.5) / size.width) * box.width, y: box.y + ((y + 0.5) / size.height) * box.height };
}
