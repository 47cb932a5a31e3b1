/**
 * Platform-level interrupt controller (sheet 05, section 9; PLIC 1.0.0): 96 sources, 3-bit priorities, two contexts per
 * hart (2h M-mode, 2h+1 S-mode). The kernel of the OS never touches it.
 */
import { assert } from '../assert.ts';
import type { AccessRule, BusDevice } from '../bus.ts';
import type { InterruptLine } from '../memory.ts';
import type { Trace } from '../trace.ts';

/** Number of sources; ids 1..96 have a priority, 1..95 can pend. */
export const PLIC_SOURCES = 96;
/** Words of a pending or enable bit field. Source 96 would be the first bit of a fourth and has none. */
export const PLIC_WORDS = PLIC_SOURCES / 32;

/** Register map. */
export const PLIC_PRIORITY = 0x0;
export const PLIC_PENDING = 0x1000;
export const PLIC_ENABLE = 0x2000;
export const PLIC_ENABLE_STRIDE = 0x80;
export const PLIC_CONTEXT = 0x20_0000;
export const PLIC_CONTEXT_STRIDE = 0x1000;
export const PLIC_THRESHOLD = 0x0;
export const PLIC_CLAIM = 0x4;

const PRIORITY_MASK = 7;

/** One PLIC. */
export class Plic implements BusDevice {
  readonly name = 'plic';
  readonly access: AccessRule = { widths: [4] };
  readonly #trace: Trace;
  readonly #outputs: readonly InterruptLine[];
  readonly #priority = new Uint8Array(PLIC_SOURCES + 1);
  readonly #pending = new Uint32Array(PLIC_WORDS);
  readonly #claimed = new Uint32Array(PLIC_WORDS);
  /** Word w of context c at c * PLIC_WORDS + w. */
  readonly #enable: Uint32Array;
  readonly #threshold: Uint8Array;

  /** `outputs[c]` is the external-interrupt line of context c. */
  constructor(trace: Trace, outputs: readonly InterruptLine[]) {
    this.#trace = trace;
    this.#outputs = outputs;
    this.#enable = new Uint32Array(outputs.length * PLIC_WORDS);
    this.#threshold = new Uint8Array(outputs.length);
  }

  /**
   * The input of one source. Raising sets the pending bit again even if the line was high already; lowering leaves it
   * (section 9, rule 1).
   */
  line(source: number): InterruptLine {
    assert(Number.isInteger(source) && source > 0 && source < PLIC_SOURCES, 'PLIC source out of range');
    const word = source >> 5;
    const bit = 1 << (source & 31);
    return {
      set: (level) => {
        if (!level) return;
        this.#pending[word] = (this.#pending[word] ?? 0) | bit;
        this.#update();
      },
    };
  }

  read(offset: number): number {
    if (offset >= PLIC_CONTEXT) return this.#readContext(offset);
    if (offset >= PLIC_ENABLE) {
      const index = this.#enableIndex(offset);
      return index < 0 ? this.#unknown(offset, false, 0) : (this.#enable[index] ?? 0);
    }
    if (offset >= PLIC_PENDING) {
      const word = (offset - PLIC_PENDING) >> 2;
      return word < PLIC_WORDS ? (this.#pending[word] ?? 0) : this.#unknown(offset, false, 0);
    }
    const source = offset >> 2;
    return source <= PLIC_SOURCES ? (this.#priority[source] ?? 0) : this.#unknown(offset, false, 0);
  }

  write(offset: number, _width: 1 | 2 | 4, value: number): void {
    if (offset >= PLIC_CONTEXT) {
      this.#writeContext(offset, value);
    } else if (offset >= PLIC_ENABLE) {
      const index = this.#enableIndex(offset);
      // Outputs stay as they are until the next evaluation (section 9, rule 3).
      if (index < 0) this.#unknown(offset, true, value);
      else this.#enable[index] = value;
    } else if (offset >= PLIC_PENDING) {
      if (offset >= PLIC_PENDING + 4 * PLIC_WORDS) this.#unknown(offset, true, value);
    } else {
      const source = offset >> 2;
      if (source > PLIC_SOURCES) {
        this.#unknown(offset, true, value);
      } else if (source > 0) {
        this.#priority[source] = value & PRIORITY_MASK;
        this.#update();
      }
    }
  }

  /** Index into the enable words, -1 where no register is. */
  #enableIndex(offset: number): number {
    const context = Math.floor((offset - PLIC_ENABLE) / PLIC_ENABLE_STRIDE);
    const word = ((offset - PLIC_ENABLE) % PLIC_ENABLE_STRIDE) >> 2;
    return context < this.#outputs.length && word < PLIC_WORDS ? context * PLIC_WORDS + word : -1;
  }

  #readContext(offset: number): number {
    const context = Math.floor((offset - PLIC_CONTEXT) / PLIC_CONTEXT_STRIDE);
    const register = (offset - PLIC_CONTEXT) % PLIC_CONTEXT_STRIDE;
    if (context < this.#outputs.length) {
      if (register === PLIC_THRESHOLD) return this.#threshold[context] ?? 0;
      if (register === PLIC_CLAIM) return this.#claim(context);
    }
    return this.#unknown(offset, false, 0);
  }

  #writeContext(offset: number, value: number): void {
    const context = Math.floor((offset - PLIC_CONTEXT) / PLIC_CONTEXT_STRIDE);
    const register = (offset - PLIC_CONTEXT) % PLIC_CONTEXT_STRIDE;
    if (context < this.#outputs.length && register === PLIC_THRESHOLD) {
      this.#threshold[context] = value & PRIORITY_MASK;
      this.#update();
    } else if (context < this.#outputs.length && register === PLIC_CLAIM) {
      if (value < PLIC_SOURCES) {
        const word = value >> 5;
        this.#claimed[word] = (this.#claimed[word] ?? 0) & ~(1 << (value & 31));
        this.#update();
      }
    } else {
      this.#unknown(offset, true, value);
    }
  }

  #claim(context: number): number {
    const source = this.#best(context);
    if (source !== 0) {
      const word = source >> 5;
      const bit = 1 << (source & 31);
      this.#pending[word] = (this.#pending[word] ?? 0) & ~bit;
      this.#claimed[word] = (this.#claimed[word] ?? 0) | bit;
    }
    this.#update();
    return source;
  }

  /** The candidate of a context: highest priority above the threshold, lowest id on a tie, 0 for none. */
  #best(context: number): number {
    let best = 0;
    let floor = this.#threshold[context] ?? 0;
    for (let word = 0; word < PLIC_WORDS; word++) {
      let bits =
        (this.#pending[word] ?? 0) & ~(this.#claimed[word] ?? 0) & (this.#enable[context * PLIC_WORDS + word] ?? 0);
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        const source = word * 32 + bit;
        const priority = this.#priority[source] ?? 0;
        if (priority > floor) {
          floor = priority;
          best = source;
        }
      }
    }
    return best;
  }

  #update(): void {
    for (let context = 0; context < this.#outputs.length; context++) {
      this.#outputs[context]?.set(this.#best(context) !== 0);
    }
  }

  #unknown(offset: number, write: boolean, value: number): number {
    if (this.#trace.on) this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write, value });
    return 0;
  }
}
