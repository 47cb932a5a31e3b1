/** The kernel's writers on the UART (sheet 10, section 1.1). Every byte costs time; who prints decides the newline. */
import type { Clock } from '../sim/clock.ts';
import type { Costs } from './cost.ts';

/** Where bytes go: the board's UART transmitter. */
export interface UartSink {
  transmit(byte: number): void;
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
    for (let i = 0; i < text.length; i++) this.#kernelByte(text.charCodeAt(i));
  }

  /** The byte of one DEBUG_PUTC: LF becomes CR LF, 0x80 and above print nothing. The caller charges the syscall. */
  putByte(byte: number): void {
    if (byte >= FIRST_SILENT) return;
    if (byte === LF) this.#sink.transmit(CR);
    this.#sink.transmit(byte);
  }

  #kernelByte(byte: number): void {
    this.#clock.advance(this.#costs.kernelByte);
    this.#sink.transmit(byte);
  }
}
