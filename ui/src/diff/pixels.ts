// What differs between two pictures of the same size, pixel by pixel.

export interface PixelDifference {
  /** Pixels that differ. */
  count: number;
  total: number;
  /** RGBA of the second picture, faded, with the differing pixels marked. */
  marked: Uint8ClampedArray<ArrayBuffer>;
  /** The smallest rectangle around all differences. */
  around: { left: number; top: number; right: number; bottom: number } | null;
}

/** Sum of the channels' differences below which two pixels are the same: the noise of JPEG and of font smoothing. */
const SAME_BELOW = 24;

/** Compares two RGBA pictures; `mark` is the colour of what differs. */
export function comparePixels(one: Uint8ClampedArray, other: Uint8ClampedArray, width: number, mark: readonly [number, number, number]): PixelDifference {
  const pixels = Math.min(one.length, other.length) / 4;
  const marked = new Uint8ClampedArray(pixels * 4);
  let count = 0;
  let left = width;
  let right = -1;
  let top = -1;
  let bottom = -1;
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const at = pixel * 4;
    const [r, g, b] = [other[at] ?? 0, other[at + 1] ?? 0, other[at + 2] ?? 0];
    const distance = Math.abs((one[at] ?? 0) - r) + Math.abs((one[at + 1] ?? 0) - g) + Math.abs((one[at + 2] ?? 0) - b);
    marked[at + 3] = 255;
    if (distance < SAME_BELOW) {
      const grey = 200 + ((r * 0.3 + g * 0.59 + b * 0.11) / 255) * 50;
      marked[at] = grey;
      marked[at + 1] = grey;
      marked[at + 2] = grey;
      continue;
    }
    count += 1;
    marked[at] = mark[0];
    marked[at + 1] = mark[1];
    marked[at + 2] = mark[2];
    const x = pixel % width;
    const y = (pixel - x) / width;
    if (x < left) left = x;
    if (x > right) right = x;
    if (top < 0) top = y;
    bottom = y;
  }
  return { count, total: pixels, marked, around: count === 0 ? null : { left, top, right, bottom } };
}
