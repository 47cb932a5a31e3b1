/**
 * Decoded instructions in the form the interpreter runs: two Int32 words per halfword of a page.
 *
 * Word 0 holds op (bits 6:0), rd (12:7), rs1 (17:13), rs2 (22:18) and the length in bytes (31:29); rd is {@link SINK} where
 * the instruction writes x0 or nothing. Word 1 holds the immediate, or the instruction bits where a trap may report them.
 */
import { decode } from './decode.ts';
import { Op } from './isa.ts';
import { SINK } from './state.ts';

/** Bytes per page, and the index behind a page's last slot: the slot of page offset o is words o and o + 1. */
export const PAGE_SIZE = 4096;

/** Word 0 of a slot that is not decoded. */
export const NOT_DECODED = 0;
/** Op of the slot behind a page, which leads to the next one. */
export const PAGE_END = 100;

/** Slots of one code page, nothing decoded yet. */
export function emptyPage(): Int32Array {
  const page = new Int32Array(PAGE_SIZE + 4);
  page[PAGE_SIZE] = PAGE_END;
  page[PAGE_SIZE + 2] = PAGE_END;
  return page;
}

/** Word 0 of the slot of an instruction. */
export function slotWord(bits: number): number {
  const { op, rd, rs1, rs2, length } = decode(bits);
  return op | ((rd === 0 ? SINK : rd) << 7) | (rs1 << 13) | (rs2 << 18) | (length << 29);
}

/** Word 1 of the slot of an instruction. */
export function slotImmediate(bits: number): number {
  const { op, imm, length } = decode(bits);
  const reportsBits = op === Op.illegal || op >= Op.sret;
  return reportsBits ? (length === 2 ? bits & 0xffff : bits | 0) : imm;
}
