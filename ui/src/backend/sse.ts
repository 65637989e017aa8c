// Server-sent events (HTML Living Standard, 9.2.6) from a fetch body: unlike EventSource it tells why a stream was
// refused, and the reader decides when to ask again.

export interface SentEvent {
  name: string;
  data: string;
  id: string | null;
}

/** A field longer than this is no event of ours, and is not kept. */
const LONGEST = 64 * 1024 * 1024;

/** Cuts a stream of text into events. */
export class SentEventReader {
  #rest = '';
  #name = '';
  #data: string[] = [];
  #id: string | null = null;

  /** Takes the next piece and returns the events it completes. */
  take(piece: string): SentEvent[] {
    const text = this.#rest + piece;
    // A carriage return at the end may be the first half of a line end.
    const end = text.endsWith('\r') ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? '') + text.slice(end);
    if (this.#rest.length > LONGEST) throw new Error('an event of the stream is too long');
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): SentEvent[] {
    if (line === '') {
      const event = { name: this.#name || 'message', data: this.#data.join('\n'), id: this.#id };
      const complete = this.#data.length > 0;
      this.#name = '';
      this.#data = [];
      return complete ? [event] : [];
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#name = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    return [];
  }
}
