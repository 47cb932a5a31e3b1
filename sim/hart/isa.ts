/**
 * The instruction set of the hart as data: RV64I M A, Zicsr, Zifencei and the privileged instructions (sheet 05, sections
 * 18.1 and 18.2; the RISC-V unprivileged specification's listings). One row per instruction; decoder, disassembler and
 * assembler read the same rows. The C extension is in `compressed.ts`.
 */

/**
 * Operation numbers, dense so that a switch over them becomes a jump table. 0 is nobody's: the interpreter marks what it
 * has not decoded yet with it.
 */
export const Op = {
  illegal: 1,
  lui: 2,
  auipc: 3,
  jal: 4,
  jalr: 5,
  beq: 6,
  bne: 7,
  blt: 8,
  bge: 9,
  bltu: 10,
  bgeu: 11,
  lb: 12,
  lh: 13,
  lw: 14,
  ld: 15,
  lbu: 16,
  lhu: 17,
  lwu: 18,
  sb: 19,
  sh: 20,
  sw: 21,
  sd: 22,
  addi: 23,
  slti: 24,
  sltiu: 25,
  xori: 26,
  ori: 27,
  andi: 28,
  slli: 29,
  srli: 30,
  srai: 31,
  addiw: 32,
  slliw: 33,
  srliw: 34,
  sraiw: 35,
  add: 36,
  sub: 37,
  sll: 38,
  slt: 39,
  sltu: 40,
  xor: 41,
  srl: 42,
  sra: 43,
  or: 44,
  and: 45,
  addw: 46,
  subw: 47,
  sllw: 48,
  srlw: 49,
  sraw: 50,
  mul: 51,
  mulh: 52,
  mulhsu: 53,
  mulhu: 54,
  div: 55,
  divu: 56,
  rem: 57,
  remu: 58,
  mulw: 59,
  divw: 60,
  divuw: 61,
  remw: 62,
  remuw: 63,
  'lr.w': 64,
  'sc.w': 65,
  'amoswap.w': 66,
  'amoadd.w': 67,
  'amoxor.w': 68,
  'amoand.w': 69,
  'amoor.w': 70,
  'amomin.w': 71,
  'amomax.w': 72,
  'amominu.w': 73,
  'amomaxu.w': 74,
  'lr.d': 75,
  'sc.d': 76,
  'amoswap.d': 77,
  'amoadd.d': 78,
  'amoxor.d': 79,
  'amoand.d': 80,
  'amoor.d': 81,
  'amomin.d': 82,
  'amomax.d': 83,
  'amominu.d': 84,
  'amomaxu.d': 85,
  fence: 86,
  'fence.i': 87,
  ecall: 88,
  ebreak: 89,
  sret: 90,
  mret: 91,
  wfi: 92,
  'sfence.vma': 93,
  csrrw: 94,
  csrrs: 95,
  csrrc: 96,
  csrrwi: 97,
  csrrsi: 98,
  csrrci: 99,
} as const;

/** Name of an operation as assemblers write it. */
export type Mnemonic = keyof typeof Op;
/** Number of an operation. */
export type Op = (typeof Op)[Mnemonic];
/** Number of one operation, for `case 36 satisfies OpOf<'add'>`: a literal in the code, checked against the table. */
export type OpOf<M extends Mnemonic> = (typeof Op)[M];

/**
 * Where the operands stand. `shift6` and `shift5` are I with a shift amount; `csr` and `csri` have the CSR number as
 * immediate and, in `csri`, the 5-bit operand in the rs1 field; `none` takes no operands.
 */
export type Format =
  | 'r'
  | 'i'
  | 'load'
  | 's'
  | 'b'
  | 'u'
  | 'j'
  | 'shift6'
  | 'shift5'
  | 'amo'
  | 'lr'
  | 'csr'
  | 'csri'
  | 'fence'
  | 'sfence'
  | 'none';

/** One 32-bit encoding: `(bits & mask) === match`. */
export interface Encoding {
  readonly mnemonic: Mnemonic;
  readonly format: Format;
  /** Unsigned. */
  readonly mask: number;
  /** Unsigned. */
  readonly match: number;
}

const MASK_OPCODE = 0x7f;
const MASK_F3 = 0x707f;
const MASK_F7 = 0xfe00_707f;
const MASK_SHIFT6 = 0xfc00_707f;
const MASK_AMO = 0xf800_707f;
const MASK_LR = 0xf9f0_707f;
const MASK_ALL = 0xffff_ffff;

/** Major opcodes, bits 6:0. */
const LOAD = 0x03;
const MISC_MEM = 0x0f;
const OP_IMM = 0x13;
const AUIPC = 0x17;
const OP_IMM_32 = 0x1b;
const STORE = 0x23;
const AMO = 0x2f;
const OP = 0x33;
const LUI = 0x37;
const OP_32 = 0x3b;
const BRANCH = 0x63;
const JALR = 0x67;
const JAL = 0x6f;
const SYSTEM = 0x73;

const row = (mnemonic: Mnemonic, format: Format, mask: number, match: number): Encoding => ({
  mnemonic,
  format,
  mask,
  match: match >>> 0,
});
const i = (mnemonic: Mnemonic, format: Format, opcode: number, f3: number): Encoding =>
  row(mnemonic, format, MASK_F3, (f3 << 12) | opcode);
const r = (mnemonic: Mnemonic, opcode: number, f7: number, f3: number): Encoding =>
  row(mnemonic, 'r', MASK_F7, (f7 << 25) | (f3 << 12) | opcode);
const shift6 = (mnemonic: Mnemonic, f6: number, f3: number): Encoding =>
  row(mnemonic, 'shift6', MASK_SHIFT6, (f6 << 26) | (f3 << 12) | OP_IMM);
const shift5 = (mnemonic: Mnemonic, f7: number, f3: number): Encoding =>
  row(mnemonic, 'shift5', MASK_F7, (f7 << 25) | (f3 << 12) | OP_IMM_32);
const amo = (name: 'sc' | `amo${string}`, f5: number): readonly Encoding[] => [
  row(`${name}.w` as Mnemonic, 'amo', MASK_AMO, (f5 << 27) | (2 << 12) | AMO),
  row(`${name}.d` as Mnemonic, 'amo', MASK_AMO, (f5 << 27) | (3 << 12) | AMO),
];

/** Every 32-bit encoding. */
export const ENCODINGS: readonly Encoding[] = [
  row('lui', 'u', MASK_OPCODE, LUI),
  row('auipc', 'u', MASK_OPCODE, AUIPC),
  row('jal', 'j', MASK_OPCODE, JAL),
  i('jalr', 'load', JALR, 0),
  i('beq', 'b', BRANCH, 0),
  i('bne', 'b', BRANCH, 1),
  i('blt', 'b', BRANCH, 4),
  i('bge', 'b', BRANCH, 5),
  i('bltu', 'b', BRANCH, 6),
  i('bgeu', 'b', BRANCH, 7),
  i('lb', 'load', LOAD, 0),
  i('lh', 'load', LOAD, 1),
  i('lw', 'load', LOAD, 2),
  i('ld', 'load', LOAD, 3),
  i('lbu', 'load', LOAD, 4),
  i('lhu', 'load', LOAD, 5),
  i('lwu', 'load', LOAD, 6),
  i('sb', 's', STORE, 0),
  i('sh', 's', STORE, 1),
  i('sw', 's', STORE, 2),
  i('sd', 's', STORE, 3),
  i('addi', 'i', OP_IMM, 0),
  i('slti', 'i', OP_IMM, 2),
  i('sltiu', 'i', OP_IMM, 3),
  i('xori', 'i', OP_IMM, 4),
  i('ori', 'i', OP_IMM, 6),
  i('andi', 'i', OP_IMM, 7),
  shift6('slli', 0x00, 1),
  shift6('srli', 0x00, 5),
  shift6('srai', 0x10, 5),
  i('addiw', 'i', OP_IMM_32, 0),
  shift5('slliw', 0x00, 1),
  shift5('srliw', 0x00, 5),
  shift5('sraiw', 0x20, 5),
  r('add', OP, 0x00, 0),
  r('sub', OP, 0x20, 0),
  r('sll', OP, 0x00, 1),
  r('slt', OP, 0x00, 2),
  r('sltu', OP, 0x00, 3),
  r('xor', OP, 0x00, 4),
  r('srl', OP, 0x00, 5),
  r('sra', OP, 0x20, 5),
  r('or', OP, 0x00, 6),
  r('and', OP, 0x00, 7),
  r('addw', OP_32, 0x00, 0),
  r('subw', OP_32, 0x20, 0),
  r('sllw', OP_32, 0x00, 1),
  r('srlw', OP_32, 0x00, 5),
  r('sraw', OP_32, 0x20, 5),
  r('mul', OP, 0x01, 0),
  r('mulh', OP, 0x01, 1),
  r('mulhsu', OP, 0x01, 2),
  r('mulhu', OP, 0x01, 3),
  r('div', OP, 0x01, 4),
  r('divu', OP, 0x01, 5),
  r('rem', OP, 0x01, 6),
  r('remu', OP, 0x01, 7),
  r('mulw', OP_32, 0x01, 0),
  r('divw', OP_32, 0x01, 4),
  r('divuw', OP_32, 0x01, 5),
  r('remw', OP_32, 0x01, 6),
  r('remuw', OP_32, 0x01, 7),
  row('lr.w', 'lr', MASK_LR, (0x02 << 27) | (2 << 12) | AMO),
  row('lr.d', 'lr', MASK_LR, (0x02 << 27) | (3 << 12) | AMO),
  ...amo('sc', 0x03),
  ...amo('amoswap', 0x01),
  ...amo('amoadd', 0x00),
  ...amo('amoxor', 0x04),
  ...amo('amoand', 0x0c),
  ...amo('amoor', 0x08),
  ...amo('amomin', 0x10),
  ...amo('amomax', 0x14),
  ...amo('amominu', 0x18),
  ...amo('amomaxu', 0x1c),
  i('fence', 'fence', MISC_MEM, 0),
  i('fence.i', 'fence', MISC_MEM, 1),
  row('ecall', 'none', MASK_ALL, 0x0000_0073),
  row('ebreak', 'none', MASK_ALL, 0x0010_0073),
  row('sret', 'none', MASK_ALL, 0x1020_0073),
  row('mret', 'none', MASK_ALL, 0x3020_0073),
  row('wfi', 'none', MASK_ALL, 0x1050_0073),
  row('sfence.vma', 'sfence', 0xfe00_7fff, 0x1200_0073),
  i('csrrw', 'csr', SYSTEM, 1),
  i('csrrs', 'csr', SYSTEM, 2),
  i('csrrc', 'csr', SYSTEM, 3),
  i('csrrwi', 'csri', SYSTEM, 5),
  i('csrrsi', 'csri', SYSTEM, 6),
  i('csrrci', 'csri', SYSTEM, 7),
];

/** One decoded instruction. Fields that its format lacks are 0. */
export interface Instruction {
  readonly op: Op;
  /** Register numbers 0..31; in `csri` forms `rs1` is the 5-bit immediate operand. */
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  /** Sign-extended 32-bit value; upper-immediates stand in place (bits 31:12); the CSR number in csr forms. */
  readonly imm: number;
  /** Bytes: 2 or 4. */
  readonly length: 2 | 4;
}

/** ABI names of the registers, by number. */
export const REGISTER_NAMES: readonly string[] = (
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 ' + 's2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'
).split(' ');

/** Unprivileged counter CSRs (sheet 05, section 18.6). */
export const CSR_CYCLE = 0xc00;
export const CSR_TIME = 0xc01;
export const CSR_INSTRET = 0xc02;
