/**
 * The UART as lines: a view that assembles bytes, calls a listener per line and puts `uart-line` into the trace. Writers
 * end lines with CR LF or with LF alone (sheet 05, section 6.1); the ending is kept, it tells the writers apart.
 */
import type { Trace } from './trace.ts';

/** Longest line kept, in bytes without its ending. The longest line of the reference has 228. */
export const MAX_LINE_LENGTH = 4096;

/** One complete line. */
export interface UartLine {
  /** The line without its ending, one character per byte (Latin-1), cut at {@link MAX_LINE_LENGTH}. */
  readonly text: string;
  readonly ending: 'crlf' | 'lf';
  /** Bytes of an overlong line that are missing from `text`. */
  readonly dropped: number;
}

export type UartLineListener = (line: UartLine) => void;

const CR = 0x0d;
const LF = 0x0a;

/** Assembles lines from the bytes given to {@link push}. */
export class UartLines {
  readonly #trace: Trace;
  readonly #listeners: UartLineListener[] = [];
  readonly #buffer = new Uint8Array(MAX_LINE_LENGTH);
  #length = 0;
  #dropped = 0;
  #lastByte = 0;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  /** Calls `listener` with every line completed from now on. Listeners run in order of subscription, before the trace. */
  listen(listener: UartLineListener): void {
    this.#listeners.push(listener);
  }

  /** Takes one byte; fits as the sink of a UART. */
  readonly push = (byte: number): void => {
    if (byte === LF) {
      this.#finish();
    } else if (this.#length < MAX_LINE_LENGTH) {
      this.#buffer[this.#length++] = byte;
    } else {
      this.#dropped += 1;
    }
    this.#lastByte = byte;
  };

  /** The text received since the last line end. */
  get partial(): string {
    return this.#text(this.#length);
  }

  #finish(): void {
    const crlf = this.#lastByte === CR;
    const total = this.#length + this.#dropped - (crlf ? 1 : 0);
    const kept = Math.min(total, MAX_LINE_LENGTH);
    const wanted = this.#listeners.length > 0 || this.#trace.on;
    const text = wanted ? this.#text(kept) : '';
    this.#length = 0;
    this.#dropped = 0;
    if (!wanted) return;
    const line: UartLine = { text, ending: crlf ? 'crlf' : 'lf', dropped: total - kept };
    for (const listener of this.#listeners) listener(line);
    if (this.#trace.on) this.#trace.emit({ kind: 'uart-line', text, ending: line.ending });
  }

  #text(length: number): string {
    // Building by apply is one call for the usual line; the argument list stays far below the engine's limit.
    return String.fromCharCode.apply(null, this.#buffer.subarray(0, length) as unknown as number[]);
  }
}
