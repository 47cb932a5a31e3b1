/** The kernel's writers on the UART (sheet 10, section 1.1). Every byte costs time; who prints decides the newline. */
import type { Clock } from '../sim/clock.ts';
import type { Costs } from './cost.ts';

/** Where bytes go: the board's UART transmitter. */
export interface UartSink {
  transmit(byte: number): void;
  /** The same as `transmit` of each byte; a string has one byte per character. */
  transmitAll?(bytes: Uint8Array | string): void;
}

const CR = 13;
const LF = 10;
/** First byte value that DEBUG_PUTC swallows (sheet 10, Q6). */
const FIRST_SILENT = 0x80;

export class KernelUart {
  readonly #sink: UartSink;
  readonly #clock: Clock;
  readonly #costs: Costs;

  constructor(sink: UartSink, clock: Clock, costs: Costs) {
    this.#sink = sink;
    this.#clock = clock;
    this.#costs = costs;
  }

  /** Kernel line: text (ASCII), CR LF. */
  line(text: string): void {
    this.raw(text);
    this.#kernelByte(CR);
    this.#kernelByte(LF);
  }

  /** Line of the boot wrapper and of the fault printers: text (ASCII), LF alone. */
  lf(text: string): void {
    this.raw(text);
    this.#kernelByte(LF);
  }

  /** Text (ASCII) without newline. */
  raw(text: string): void {
    // Nobody looks at the clock before the line has its end.
    this.#clock.advance(text.length * this.#costs.kernelByte);
    this.#transmitAll(text);
  }

  /** The byte of one DEBUG_PUTC: LF becomes CR LF, 0x80 and above print nothing. The caller charges the syscall. */
  putByte(byte: number): void {
    if (byte >= FIRST_SILENT) return;
    if (byte === LF) this.#sink.transmit(CR);
    this.#sink.transmit(byte);
  }

  /** Bytes of as many DEBUG_PUTC, none of them LF or silent ({@link plainLength}). */
  putPlain(bytes: Uint8Array): void {
    this.#transmitAll(bytes);
  }

  #transmitAll(bytes: Uint8Array | string): void {
    const sink = this.#sink;
    if (sink.transmitAll !== undefined) sink.transmitAll(bytes);
    else if (typeof bytes === 'string') for (let i = 0; i < bytes.length; i++) sink.transmit(bytes.charCodeAt(i));
    else for (const byte of bytes) sink.transmit(byte);
  }

  #kernelByte(byte: number): void {
    this.#clock.advance(this.#costs.kernelByte);
    this.#sink.transmit(byte);
  }
}

/** How many of the bytes from `from` on leave as they are, one for one. */
export function plainLength(bytes: Uint8Array, from: number): number {
  let to = from;
  while (to < bytes.length && bytes[to] !== LF && (bytes[to] ?? LF) < FIRST_SILENT) to += 1;
  return to - from;
}
