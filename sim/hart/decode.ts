/**
 * Instruction bits to operation and operands (sheet 05, section 18.2): one pure function over the rows of `isa.ts` and
 * `compressed.ts`. Interpreter, disassembler and assembler tests share it; nothing here knows state or memory.
 */
import { decodeCompressed } from './compressed.ts';
import type { Encoding, Format, Instruction } from './isa.ts';
import { ENCODINGS, Op } from './isa.ts';

const OPCODES = 128;
const FUNCT3S = 8;

/** Rows by opcode and funct3; every row fixes its opcode. */
const BUCKETS: readonly (readonly Encoding[])[] = buckets();

function buckets(): readonly (readonly Encoding[])[] {
  const rows = Array.from({ length: OPCODES * FUNCT3S }, (): Encoding[] => []);
  for (const encoding of ENCODINGS) {
    const { mask, match } = encoding;
    for (let funct3 = 0; funct3 < FUNCT3S; funct3++)
      if ((((funct3 << 12) ^ match) & mask & 0x7000) === 0) rows[((match & 0x7f) << 3) | funct3]?.push(encoding);
  }
  return rows;
}

/** Length in bytes of the instruction that starts with this halfword. Longer formats do not exist here: 32 bits, illegal. */
export function instructionLength(halfword: number): 2 | 4 {
  return (halfword & 3) === 3 ? 4 : 2;
}

/** Decodes the instruction in the low bits; a 16-bit one ignores the upper half. What is no instruction is `illegal`. */
export function decode(bits: number): Instruction {
  if ((bits & 3) !== 3) return decodeCompressed(bits & 0xffff);
  const bucket = BUCKETS[((bits & 0x7f) << 3) | ((bits >>> 12) & 7)] ?? [];
  for (const { mask, match, format, mnemonic } of bucket)
    if (((bits & mask) ^ match) === 0) return operands(Op[mnemonic], format, bits);
  return { op: Op.illegal, rd: 0, rs1: 0, rs2: 0, imm: 0, length: 4 };
}

function operands(op: Op, format: Format, bits: number): Instruction {
  const hasRd = format !== 's' && format !== 'b' && format !== 'fence' && format !== 'sfence' && format !== 'none';
  const hasRs1 = format !== 'u' && format !== 'j' && format !== 'fence' && format !== 'none';
  const hasRs2 = format === 'r' || format === 's' || format === 'b' || format === 'amo' || format === 'sfence';
  return {
    op,
    rd: hasRd ? (bits >>> 7) & 31 : 0,
    rs1: hasRs1 ? (bits >>> 15) & 31 : 0,
    rs2: hasRs2 ? (bits >>> 20) & 31 : 0,
    imm: immediate(format, bits),
    length: 4,
  };
}

function immediate(format: Format, bits: number): number {
  switch (format) {
    case 'i':
    case 'load':
      return bits >> 20;
    case 's':
      return ((bits >> 20) & ~31) | ((bits >>> 7) & 31);
    case 'b':
      return ((bits >> 19) & ~0xfff) | ((bits & 0x80) << 4) | ((bits >>> 20) & 0x7e0) | ((bits >>> 7) & 0x1e);
    case 'u':
      return bits & ~0xfff;
    case 'j':
      return ((bits >> 11) & ~0xf_ffff) | (bits & 0xf_f000) | ((bits >>> 9) & 0x800) | ((bits >>> 20) & 0x7fe);
    case 'shift6':
      return (bits >>> 20) & 63;
    case 'shift5':
      return (bits >>> 20) & 31;
    case 'csr':
    case 'csri':
      return bits >>> 20;
    case 'r':
    case 'amo':
    case 'lr':
    case 'fence':
    case 'sfence':
    case 'none':
      return 0;
  }
}
