/** Test finisher (sheet 05, section 7.1): a write ends or resets the machine. */
import { assert } from '../assert.ts';
import type { AccessRule, BusDevice } from '../bus.ts';
import type { Trace } from '../trace.ts';

/** Commands in the low 16 bits; the high 16 bits are the code. */
export const FINISHER_FAIL = 0x3333;
export const FINISHER_PASS = 0x5555;
export const FINISHER_RESET = 0x7777;

/** What the guest asked for. `exit` carries the exit status of the machine, 0..255. */
export type FinisherRequest = { readonly kind: 'exit'; readonly status: number } | { readonly kind: 'reset' };

/** The finisher. Reads give 0, unknown commands are ignored. */
export class Finisher implements BusDevice {
  readonly name = 'finisher';
  readonly access: AccessRule = { widths: [2, 4] };
  readonly #trace: Trace;
  readonly #finish: (request: FinisherRequest) => void;

  /** `finish` is called inside the guest's store; a reset is carried out by building a new board. */
  constructor(trace: Trace, finish: (request: FinisherRequest) => void) {
    this.#trace = trace;
    this.#finish = finish;
  }

  read(offset: number): number {
    if (offset !== 0 && this.#trace.on) {
      this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write: false, value: 0 });
    }
    return 0;
  }

  write(offset: number, width: 1 | 2 | 4, value: number): void {
    assert(width !== 1, 'the bus refuses byte writes to the finisher');
    const command = offset === 0 ? value & 0xffff : 0;
    if (command === FINISHER_PASS) this.#finish({ kind: 'exit', status: 0 });
    else if (command === FINISHER_FAIL) this.#finish({ kind: 'exit', status: (value >>> 16) & 0xff });
    else if (command === FINISHER_RESET) this.#finish({ kind: 'reset' });
    else if (this.#trace.on) this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write: true, value });
  }
}
