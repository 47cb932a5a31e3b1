/**
 * The architectural state of one hart (sheet 05, section 18.1): integer registers, pc, reservation and the count of
 * retired instructions. It has this one owner; caches of translations and of decoded code are not state.
 *
 * Registers are two Int32 halves each in one typed array, which is what the interpreter computes on.
 */
import { assert } from '../assert.ts';

/** Distance from a register's low half to its high half in {@link HartState.x}. */
export const HIGH = 64;
/** Where results for x0 go: a cell that nobody reads. */
export const SINK = 32;

/** Program-visible state. Every field is only declared, for speed; see {@link Ram} in `ram.ts`. */
export class HartState {
  /** x[n] is the low half of register n, x[n + HIGH] the high half. x[0] and x[HIGH] are always 0. */
  declare readonly x: Int32Array;
  /** Halves of the pc, signed; bit 0 is 0. */
  declare pcLow: number;
  declare pcHigh: number;
  /** The reservation of the last LR: whether there is one, its virtual address and the loaded value (section 18.5). */
  declare reserved: boolean;
  declare reservedLow: number;
  declare reservedHigh: number;
  declare reservedValueLow: number;
  declare reservedValueHigh: number;
  /** Instructions retired since the start. An instruction that traps, ecall and ebreak included, does not retire. */
  declare retired: number;

  constructor() {
    this.x = new Int32Array(2 * HIGH);
    this.pcLow = 0;
    this.pcHigh = 0;
    this.reserved = false;
    this.reservedLow = 0;
    this.reservedHigh = 0;
    this.reservedValueLow = 0;
    this.reservedValueHigh = 0;
    this.retired = 0;
  }

  /** Register 0..31, unsigned. */
  getX(register: number): bigint {
    assert(register >= 0 && register < SINK, 'register number');
    return join(this.x[register] ?? 0, this.x[register + HIGH] ?? 0);
  }

  /** Takes the value modulo 2^64; x0 stays 0. */
  setX(register: number, value: bigint): void {
    assert(register >= 0 && register < SINK, 'register number');
    if (register === 0) return;
    this.x[register] = lowHalf(value);
    this.x[register + HIGH] = highHalf(value);
  }

  get pc(): bigint {
    return join(this.pcLow, this.pcHigh);
  }

  /** Bit 0 is dropped (IALIGN 16). */
  set pc(value: bigint) {
    this.pcLow = lowHalf(value) & ~1;
    this.pcHigh = highHalf(value);
  }
}

/** Unsigned 64-bit value of two halves. */
export function join(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** Bits 31:0, signed. */
export function lowHalf(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

/** Bits 63:32, signed. */
export function highHalf(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n));
}
