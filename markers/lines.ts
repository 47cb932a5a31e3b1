/**
 * The bounded memory of a log that excerpts are cut from: the beginning of the log whole, and a short tail of the rest.
 */

/** Characters of the log's beginning that are kept, the harness's UART_LOG_MAX (sheet 85, section 8). */
export const MAX_KEPT_CHARS = 10_485_760;

/** Lines shown from the end when no start is known (sheet 85, section 4.5, step 5). */
export const TAIL_LINES = 220;

/** Longest line, in characters, that is looked at; the rest of a longer one is dropped. */
export const MAX_LINE_CHARS = 65_536;

export class LineStore {
  private readonly head: string[] = [];
  private headChars = 0;
  /** The last lines that did not fit the head, as a ring. */
  private readonly tail: string[] = [];
  private total = 0;
  private readonly maxChars: number;

  constructor(maxChars: number = MAX_KEPT_CHARS) {
    this.maxChars = maxChars;
  }

  push(text: string): void {
    this.total += 1;
    // Once a line did not fit, no later one may go to the head, or the head would have a hole.
    if (this.head.length === this.total - 1 && this.headChars + text.length <= this.maxChars) {
      this.head.push(text);
      this.headChars += text.length;
      return;
    }
    this.tail[(this.total - this.head.length - 1) % TAIL_LINES] = text;
  }

  get count(): number {
    return this.total;
  }

  /** Line by its 1-based number, `undefined` when it is not kept. */
  at(number: number): string | undefined {
    if (number < 1 || number > this.total) return undefined;
    if (number <= this.head.length) return this.head[number - 1];
    if (number <= this.total - TAIL_LINES) return undefined;
    return this.tail[(number - this.head.length - 1) % TAIL_LINES];
  }

  /** The kept lines with numbers `first` to `last`, both included. */
  range(first: number, last: number): readonly string[] {
    const lines: string[] = [];
    for (let number = Math.max(1, first); number <= Math.min(last, this.total); number++) {
      const text = this.at(number);
      if (text !== undefined) lines.push(text);
    }
    return lines;
  }
}

/**
 * Cuts text that comes in pieces into lines at LF, without LF and without one CR before it. An unfinished line waits
 * for its rest.
 */
export class LineSplitter {
  private rest = '';

  /** Takes the next piece and gives the lines that it finished. */
  feed(chunk: string): readonly string[] {
    const parts = chunk.split('\n');
    const lines: string[] = [];
    parts.forEach((part, index) => {
      // One character beyond the limit is kept, as it may be the CR of the line's ending.
      this.rest = (this.rest + part).slice(0, MAX_LINE_CHARS + 1);
      if (index < parts.length - 1) lines.push(this.take());
    });
    return lines;
  }

  /** The unfinished line at the end of the log, `undefined` if there is none. */
  end(): string | undefined {
    return this.rest === '' ? undefined : this.take();
  }

  private take(): string {
    const line = this.rest.endsWith('\r') ? this.rest.slice(0, -1) : this.rest;
    this.rest = '';
    return line;
  }
}
