// One binary message of the live screen: docs/live-screen.md has the layout. Lengths and positions are checked: what does
// not fit is no update, and the connection is given up.

export type Encoding = 'plain' | 'png' | 'jpeg';

export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
  encoding: Encoding;
  pixels: Uint8Array<ArrayBuffer>;
}

export interface Update {
  key: boolean;
  exact: boolean;
  sequence: number;
  width: number;
  height: number;
  /** When the pixels were taken, in milliseconds since 1970. */
  takenAt: number;
  rectangles: Rectangle[];
}

const HEADER = 24;
const RECTANGLE = 16;
const ENCODINGS: readonly Encoding[] = ['plain', 'png', 'jpeg'];

/** The largest side of a screen that is drawn; canvases end somewhere, and a hostile size must not be allocated. */
const LARGEST_SIDE = 8_192;

/** Reads a message; `null` for a kind of message of a newer owner. */
export function readUpdate(message: ArrayBuffer): Update | null {
  const view = new DataView(message);
  if (message.byteLength < 1) throw new RangeError('the message is empty');
  if (view.getUint8(0) !== 1) return null;
  if (message.byteLength < HEADER) throw new RangeError('the message is shorter than its header');
  const flags = view.getUint8(1);
  const width = view.getUint16(12, true);
  const height = view.getUint16(14, true);
  if (width === 0 || height === 0 || width > LARGEST_SIDE || height > LARGEST_SIDE) throw new RangeError('the screen has no possible size');
  const rectangles: Rectangle[] = [];
  let at = HEADER;
  for (let left = view.getUint16(2, true); left > 0; left -= 1) {
    if (at + RECTANGLE > message.byteLength) throw new RangeError('a rectangle is cut');
    const [x, y, w, h] = [0, 2, 4, 6].map((offset) => view.getUint16(at + offset, true)) as [number, number, number, number];
    const encoding = ENCODINGS[view.getUint8(at + 8)];
    const length = view.getUint32(at + 12, true);
    at += RECTANGLE;
    if (encoding === undefined) throw new RangeError('a rectangle is encoded in an unknown way');
    if (w === 0 || h === 0 || x + w > width || y + h > height) throw new RangeError('a rectangle is outside the screen');
    if (at + length > message.byteLength) throw new RangeError('the pixels of a rectangle are cut');
    if (encoding === 'plain' && length !== w * h * 4) throw new RangeError('a plain rectangle has the wrong number of pixels');
    rectangles.push({ x, y, width: w, height: h, encoding, pixels: new Uint8Array(message, at, length) });
    at += length;
  }
  return { key: (flags & 1) !== 0, exact: (flags & 2) !== 0, sequence: view.getUint32(4, true), width, height, takenAt: view.getFloat64(16, true), rectangles };
}
