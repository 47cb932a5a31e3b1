/**
 * The interrupt inputs of one hart, in the layout of mip (sheet 05, sections 18.6 and 18.7). Interrupt controllers drive
 * them; whoever runs the hart reads {@link HartInputs.pending} and merges it with its own CSR.
 */
import type { InterruptLine } from './memory.ts';

/** Bit numbers in mip, which are also the interrupt codes. */
export const SSIP = 1;
export const MSIP = 3;
export const MTIP = 7;
export const SEIP = 9;
export const MEIP = 11;

/** Number of an interrupt input. */
export type HartInput = typeof SSIP | typeof MSIP | typeof MTIP | typeof SEIP | typeof MEIP;

/** Inputs of one hart. */
export class HartInputs {
  /** Bit mask of the lines that are high. */
  pending = 0;

  /** The line that drives one input. */
  line(input: HartInput): InterruptLine {
    const bit = 1 << input;
    return {
      set: (level) => {
        this.pending = level ? this.pending | bit : this.pending & ~bit;
      },
    };
  }

  /** Drops an input that stays set after a pulse: SSIP, which the hart clears by writing sip. */
  clear(input: HartInput): void {
    this.pending &= ~(1 << input);
  }
}
