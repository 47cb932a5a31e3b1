/**
 * The C extension as data (sheet 05, section 18.3): each 16-bit pattern expands to a 32-bit operation. The first row that
 * matches a pattern wins; rows without an expansion are the reserved encodings inside a legal group.
 */
import type { Instruction, Mnemonic } from './isa.ts';
import { Op } from './isa.ts';

/**
 * Where an operand's register number comes from: bits 11:7, bits 6:2, the three-bit fields 9:7 and 4:2 (x8..x15), or a
 * fixed register.
 */
export type RegisterField = 'bits11_7' | 'bits6_2' | 'short9_7' | 'short4_2' | 0 | 1 | 2;

/** Moves `width` bits of the pattern, the lowest being bit `from`, to bit `to` of the immediate. */
export type ImmediatePart = readonly [from: number, width: number, to: number];

/** One immediate layout. A signed one has its sign in pattern bit 12, which is the immediate's bit `sign`. */
export interface ImmediateField {
  readonly sign: number | null;
  readonly parts: readonly ImmediatePart[];
}

/** One 16-bit encoding: `(bits & mask) === match`. */
export interface CompressedEncoding {
  readonly name: string;
  readonly mask: number;
  readonly match: number;
  /** Null: reserved, illegal. */
  readonly expansion: Expansion | null;
}

/** What a compressed instruction stands for. Absent registers are x0, an absent immediate 0. */
export interface Expansion {
  readonly op: Mnemonic;
  readonly rd?: RegisterField;
  readonly rs1?: RegisterField;
  readonly rs2?: RegisterField;
  readonly imm?: ImmediateField;
}

const unsigned = (...parts: readonly ImmediatePart[]): ImmediateField => ({ sign: null, parts });
const signed = (sign: number, ...parts: readonly ImmediatePart[]): ImmediateField => ({ sign, parts });

const S6 = signed(5, [2, 5, 0]);
const SHIFT = unsigned([12, 1, 5], [2, 5, 0]);
const WIDE = unsigned([11, 2, 4], [7, 4, 6], [6, 1, 2], [5, 1, 3]);
const WORD = unsigned([10, 3, 3], [6, 1, 2], [5, 1, 6]);
const DOUBLE = unsigned([10, 3, 3], [5, 2, 6]);
const ADDI16SP = signed(9, [6, 1, 4], [5, 1, 6], [3, 2, 7], [2, 1, 5]);
const UPPER = signed(17, [2, 5, 12]);
const JUMP = signed(11, [11, 1, 4], [9, 2, 8], [8, 1, 10], [7, 1, 6], [6, 1, 7], [3, 3, 1], [2, 1, 5]);
const BRANCH = signed(8, [10, 2, 3], [5, 2, 6], [3, 2, 1], [2, 1, 5]);
const LWSP = unsigned([12, 1, 5], [4, 3, 2], [2, 2, 6]);
const LDSP = unsigned([12, 1, 5], [5, 2, 3], [2, 3, 6]);
const SWSP = unsigned([9, 4, 2], [7, 2, 6]);
const SDSP = unsigned([10, 3, 3], [7, 3, 6]);

const SHORT = 'short9_7';
const SHORT2 = 'short4_2';
const FULL = 'bits11_7';
const FULL2 = 'bits6_2';

/** Masks: quadrant and funct3, alone or with the fields that must be zero or select further. */
const F3 = 0xe003;
const F3_RD = 0xef83;
const F3_SELECT = 0xec03;
const F3_ARITHMETIC = 0xfc63;
const F4 = 0xf003;
const F4_RS2 = 0xf07f;
const F4_BOTH = 0xffff;

const c = (name: string, mask: number, match: number, expansion: Expansion | null): CompressedEncoding => ({
  name,
  mask,
  match,
  expansion,
});
const reserved = (mask: number, match: number): CompressedEncoding => c('', mask, match, null);
const arithmetic = (op: Mnemonic, match: number): CompressedEncoding =>
  c(`c.${op}`, F3_ARITHMETIC, match, { op, rd: SHORT, rs1: SHORT, rs2: SHORT2 });

/** Every 16-bit encoding. Patterns that no row matches are illegal. */
export const COMPRESSED: readonly CompressedEncoding[] = [
  // Quadrant 0
  reserved(0xffe3, 0x0000),
  c('c.addi4spn', F3, 0x0000, { op: 'addi', rd: SHORT2, rs1: 2, imm: WIDE }),
  c('c.lw', F3, 0x4000, { op: 'lw', rd: SHORT2, rs1: SHORT, imm: WORD }),
  c('c.ld', F3, 0x6000, { op: 'ld', rd: SHORT2, rs1: SHORT, imm: DOUBLE }),
  c('c.sw', F3, 0xc000, { op: 'sw', rs1: SHORT, rs2: SHORT2, imm: WORD }),
  c('c.sd', F3, 0xe000, { op: 'sd', rs1: SHORT, rs2: SHORT2, imm: DOUBLE }),
  // Quadrant 1
  c('c.addi', F3, 0x0001, { op: 'addi', rd: FULL, rs1: FULL, imm: S6 }),
  reserved(F3_RD, 0x2001),
  c('c.addiw', F3, 0x2001, { op: 'addiw', rd: FULL, rs1: FULL, imm: S6 }),
  c('c.li', F3, 0x4001, { op: 'addi', rd: FULL, rs1: 0, imm: S6 }),
  reserved(0xf07f, 0x6001),
  c('c.addi16sp', F3_RD, 0x6101, { op: 'addi', rd: 2, rs1: 2, imm: ADDI16SP }),
  c('c.lui', F3, 0x6001, { op: 'lui', rd: FULL, imm: UPPER }),
  c('c.srli', F3_SELECT, 0x8001, { op: 'srli', rd: SHORT, rs1: SHORT, imm: SHIFT }),
  c('c.srai', F3_SELECT, 0x8401, { op: 'srai', rd: SHORT, rs1: SHORT, imm: SHIFT }),
  c('c.andi', F3_SELECT, 0x8801, { op: 'andi', rd: SHORT, rs1: SHORT, imm: S6 }),
  arithmetic('sub', 0x8c01),
  arithmetic('xor', 0x8c21),
  arithmetic('or', 0x8c41),
  arithmetic('and', 0x8c61),
  arithmetic('subw', 0x9c01),
  arithmetic('addw', 0x9c21),
  c('c.j', F3, 0xa001, { op: 'jal', rd: 0, imm: JUMP }),
  c('c.beqz', F3, 0xc001, { op: 'beq', rs1: SHORT, rs2: 0, imm: BRANCH }),
  c('c.bnez', F3, 0xe001, { op: 'bne', rs1: SHORT, rs2: 0, imm: BRANCH }),
  // Quadrant 2
  c('c.slli', F3, 0x0002, { op: 'slli', rd: FULL, rs1: FULL, imm: SHIFT }),
  reserved(F3_RD, 0x4002),
  c('c.lwsp', F3, 0x4002, { op: 'lw', rd: FULL, rs1: 2, imm: LWSP }),
  reserved(F3_RD, 0x6002),
  c('c.ldsp', F3, 0x6002, { op: 'ld', rd: FULL, rs1: 2, imm: LDSP }),
  reserved(F4_BOTH, 0x8002),
  c('c.jr', F4_RS2, 0x8002, { op: 'jalr', rd: 0, rs1: FULL }),
  c('c.mv', F4, 0x8002, { op: 'add', rd: FULL, rs1: 0, rs2: FULL2 }),
  c('c.ebreak', F4_BOTH, 0x9002, { op: 'ebreak' }),
  c('c.jalr', F4_RS2, 0x9002, { op: 'jalr', rd: 1, rs1: FULL }),
  c('c.add', F4, 0x9002, { op: 'add', rd: FULL, rs1: FULL, rs2: FULL2 }),
  c('c.swsp', F3, 0xc002, { op: 'sw', rs1: 2, rs2: FULL2, imm: SWSP }),
  c('c.sdsp', F3, 0xe002, { op: 'sd', rs1: 2, rs2: FULL2, imm: SDSP }),
];

/** Rows by quadrant and funct3. */
const BUCKETS: readonly (readonly CompressedEncoding[])[] = Array.from({ length: 32 }, (_, key) => {
  const bits = ((key & 7) << 13) | (key >> 3);
  return COMPRESSED.filter(({ match }) => ((bits ^ match) & F3) === 0);
});

/** The row of a 16-bit pattern, or null where it is illegal. */
export function compressedEncoding(bits: number): CompressedEncoding | null {
  const bucket = BUCKETS[((bits & 3) << 3) | ((bits >>> 13) & 7)] ?? [];
  for (const encoding of bucket) if ((bits & encoding.mask) === encoding.match) return encoding;
  return null;
}

/** Expands a 16-bit pattern. */
export function decodeCompressed(bits: number): Instruction {
  const expansion = compressedEncoding(bits)?.expansion;
  if (!expansion) return { op: Op.illegal, rd: 0, rs1: 0, rs2: 0, imm: 0, length: 2 };
  return {
    op: Op[expansion.op],
    rd: register(expansion.rd ?? 0, bits),
    rs1: register(expansion.rs1 ?? 0, bits),
    rs2: register(expansion.rs2 ?? 0, bits),
    imm: expansion.imm === undefined ? 0 : immediate(expansion.imm, bits),
    length: 2,
  };
}

function register(field: RegisterField, bits: number): number {
  switch (field) {
    case 'bits11_7':
      return (bits >>> 7) & 31;
    case 'bits6_2':
      return (bits >>> 2) & 31;
    case 'short9_7':
      return 8 + ((bits >>> 7) & 7);
    case 'short4_2':
      return 8 + ((bits >>> 2) & 7);
    default:
      return field;
  }
}

function immediate(field: ImmediateField, bits: number): number {
  let value = field.sign !== null && (bits & 0x1000) !== 0 ? -1 << field.sign : 0;
  for (const [from, width, to] of field.parts) value |= ((bits >>> from) & ((1 << width) - 1)) << to;
  return value;
}
