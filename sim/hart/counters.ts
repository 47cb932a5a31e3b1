/** What the counter CSRs of a hart show (sheet 05, section 5): virtual time, which instructions move. */
import type { CSR_CYCLE, CSR_INSTRET, CSR_TIME } from './isa.ts';
import { CSR_TIME as TIME } from './isa.ts';

export type CounterCsr = typeof CSR_CYCLE | typeof CSR_TIME | typeof CSR_INSTRET;

/** Answer for a counter that the hart may not read now (mcounteren, scounteren): an illegal instruction. */
export const COUNTER_DENIED = -1;

export interface HartCounters {
  /**
   * Value of a counter when `retired` instructions have retired since the hart's start, the reading one not counted:
   * a number from 0 to 2^53 - 1, or {@link COUNTER_DENIED}.
   */
  read(csr: CounterCsr, retired: number): number;
}

/** Nanoseconds per instruction under `-icount 1`, and per tick of `time`. */
export const NS_PER_INSTRUCTION = 2;
export const NS_PER_TICK = 100;

/**
 * Counters of a machine whose virtual time only instructions move: `cycle` and `instret` are nanoseconds since reset,
 * `time` is ticks of 100 ns.
 */
export class InstructionClock implements HartCounters {
  /** Virtual time in ns when the hart had retired nothing. */
  readonly startNs: number;

  constructor(startNs: number) {
    this.startNs = startNs;
  }

  read(csr: CounterCsr, retired: number): number {
    const ns = this.startNs + NS_PER_INSTRUCTION * retired;
    return csr === TIME ? Math.floor(ns / NS_PER_TICK) : ns;
  }
}
