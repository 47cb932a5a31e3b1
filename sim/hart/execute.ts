/**
 * The instructions and cases that the interpreter's loop leaves out, one at a time: divisions and upper products, atomics,
 * CSRs, traps, and memory accesses that miss the TLB.
 */
import { executeAtomic } from './atomic.ts';
import type { HartCounters } from './counters.ts';
import { CSR_ILLEGAL, readCsr } from './csr.ts';
import { Op } from './isa.ts';
import type { AccessWidth, HartMemory } from './memory.ts';
import type { HartState } from './state.ts';
import { HIGH } from './state.ts';
import { Cause } from './trap.ts';
import {
  divideSigned,
  divideSigned32,
  divideUnsigned,
  divideUnsigned32,
  multiplyHigh,
  multiplyHighMixed,
  multiplyHighSigned,
} from './wide.ts';

const TWO_32 = 0x1_0000_0000;

/**
 * Executes the instruction in a slot (`slots.ts`) that neither computes on two registers alone nor jumps. False where it
 * traps: the fault is noted in `memory` and nothing has changed. `retired` is the hart's count at this moment.
 */
export function execute(
  state: HartState,
  memory: HartMemory,
  counters: HartCounters,
  word: number,
  imm: number,
  retired: number,
): boolean {
  const { x } = state;
  const op = word & 127;
  const rd = (word >>> 7) & 63;
  const rs1 = (word >>> 13) & 31;
  const rs2 = (word >>> 18) & 31;
  const a = x[rs1] as number;
  const ah = x[rs1 + HIGH] as number;
  const b = x[rs2] as number;
  const bh = x[rs2 + HIGH] as number;
  switch (op) {
    case Op.lb:
      return load(x, memory, rd, a, ah, imm, 1) && extend(x, rd, 24);
    case Op.lh:
      return load(x, memory, rd, a, ah, imm, 2) && extend(x, rd, 16);
    case Op.lw:
      return load(x, memory, rd, a, ah, imm, 4) && extend(x, rd, 0);
    case Op.ld:
      return load(x, memory, rd, a, ah, imm, 8);
    case Op.lbu:
      return load(x, memory, rd, a, ah, imm, 1);
    case Op.lhu:
      return load(x, memory, rd, a, ah, imm, 2);
    case Op.lwu:
      return load(x, memory, rd, a, ah, imm, 4);
    case Op.sb:
    case Op.sh:
    case Op.sw:
    case Op.sd: {
      const low = (a + imm) | 0;
      return memory.store(low, upperHalf(low, a, ah, imm), (1 << (op - Op.sb)) as AccessWidth, b, bh);
    }
    case Op.mulh:
      multiplyHighSigned(x, rd, a, ah, b, bh);
      return true;
    case Op.mulhsu:
      multiplyHighMixed(x, rd, a, ah, b, bh);
      return true;
    case Op.mulhu:
      multiplyHigh(x, rd, a, ah, b, bh);
      return true;
    case Op.div:
    case Op.rem:
      divideSigned(x, rd, a, ah, b, bh, op === Op.rem);
      return true;
    case Op.divu:
    case Op.remu:
      divideUnsigned(x, rd, a, ah, b, bh, op === Op.remu);
      return true;
    case Op.divw:
    case Op.remw:
      return setWord(x, rd, divideSigned32(a, b, op === Op.remw));
    case Op.divuw:
    case Op.remuw:
      return setWord(x, rd, divideUnsigned32(a, b, op === Op.remuw));
    case Op['fence.i']:
      memory.fenceI();
      return true;
    case Op.csrrw:
    case Op.csrrs:
    case Op.csrrc:
    case Op.csrrwi:
    case Op.csrrsi:
    case Op.csrrci: {
      const value = readCsr(op, imm, counters, retired);
      if (value === CSR_ILLEGAL) return memory.raise(Cause.illegal, imm, 0);
      x[rd] = value;
      x[rd + HIGH] = Math.floor(value / TWO_32);
      return true;
    }
    case Op.ecall:
      return memory.raise(Cause.ecallFromU, 0, 0);
    case Op.ebreak:
      return memory.raise(Cause.breakpoint, 0, 0);
    case Op.illegal:
    case Op.sret:
    case Op.mret:
    case Op.wfi:
    case Op['sfence.vma']:
      // User mode has none of these.
      return memory.raise(Cause.illegal, imm, 0);
    default:
      return executeAtomic(state, memory, op, rd, rs1, rs2);
  }
}

/** Upper half of (ah, a) + imm, whose lower half is `low`. */
function upperHalf(low: number, a: number, ah: number, imm: number): number {
  return (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
}

function load(
  x: Int32Array,
  memory: HartMemory,
  rd: number,
  a: number,
  ah: number,
  imm: number,
  width: AccessWidth,
): boolean {
  const low = (a + imm) | 0;
  if (!memory.load(low, upperHalf(low, a, ah, imm), width)) return false;
  x[rd] = memory.low;
  x[rd + HIGH] = memory.high;
  return true;
}

/** Sign-extends what {@link load} put into x[rd]; `shift` are the bits above it in its word. */
function extend(x: Int32Array, rd: number, shift: number): true {
  return setWord(x, rd, ((x[rd] as number) << shift) >> shift);
}

function setWord(x: Int32Array, rd: number, word: number): true {
  x[rd] = word;
  x[rd + HIGH] = word >> 31;
  return true;
}
