/**
 * Recognises code that yields for ever: from one YIELD back to the same one by jumps and constants alone. Such a loop reads
 * nothing that could change, so no future round differs from the next one, and the kernel can run its rounds as those of a
 * poll that waits for nothing (design, decision 3). Everything else is executed.
 */
import { decode } from '../sim/hart/decode.ts';
import { Op } from '../sim/hart/isa.ts';
import { Nr } from './abi.ts';

/** Instructions of a round at most. */
export const IDLE_ROUND_MAX = 16;

const A7 = 17;
const ECALL_LENGTH = 4;

/** Instruction bits at an address, null where nothing may be fetched. */
export type FetchBits = (pc: number) => number | null;

/**
 * Instructions between two executions of the YIELD at `ecall` (a7 is YIELD there now), 0 when the code may ever do
 * anything else.
 */
export function idleRound(fetch: FetchBits, ecall: number): number {
  let a7: number = Nr.YIELD;
  let pc = ecall + ECALL_LENGTH;
  for (let n = 1; n <= IDLE_ROUND_MAX; n++) {
    const bits = fetch(pc);
    if (bits === null) return 0;
    const { op, rd, rs1, imm, length } = decode(bits);
    if (op === Op.jal && rd === 0) {
      pc += imm;
    } else if (op === Op.addi && rs1 === 0) {
      if (rd === A7) a7 = imm;
      pc += length;
    } else {
      return 0;
    }
    if (pc === ecall) return a7 === Nr.YIELD ? n : 0;
  }
  return 0;
}
