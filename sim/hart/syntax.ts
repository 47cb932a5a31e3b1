/** How assembly text writes operands: one list per instruction format, read by the assembler and the disassembler. */
import type { Format } from './isa.ts';
import { CSR_CYCLE, CSR_INSTRET, CSR_TIME, REGISTER_NAMES } from './isa.ts';

/**
 * One operand. `sp` is the stack pointer written out; `mem` is `imm(rs1)`, `at` is `(rs1)`; `target` is a pc-relative
 * address, `upper` an immediate's bits 31:12, `uimm` a number in the rs1 field. `rdrs1` is both destination and source.
 */
export type Operand =
  'rd' | 'rs1' | 'rs2' | 'rdrs1' | 'sp' | 'imm' | 'mem' | 'at' | 'target' | 'upper' | 'csr' | 'uimm';

/** Operands of each format of the 32-bit instructions, in the order of the text. */
export const OPERANDS: Readonly<Record<Format, readonly Operand[]>> = {
  r: ['rd', 'rs1', 'rs2'],
  i: ['rd', 'rs1', 'imm'],
  load: ['rd', 'mem'],
  s: ['rs2', 'mem'],
  b: ['rs1', 'rs2', 'target'],
  u: ['rd', 'upper'],
  j: ['rd', 'target'],
  shift6: ['rd', 'rs1', 'imm'],
  shift5: ['rd', 'rs1', 'imm'],
  amo: ['rd', 'rs2', 'at'],
  lr: ['rd', 'at'],
  csr: ['rd', 'csr', 'rs1'],
  csri: ['rd', 'csr', 'uimm'],
  fence: [],
  sfence: ['rs1', 'rs2'],
  none: [],
};

/** Operands of the 16-bit instructions. */
export const COMPRESSED_OPERANDS: ReadonlyMap<string, readonly Operand[]> = new Map<string, readonly Operand[]>([
  ['c.addi4spn', ['rd', 'sp', 'imm']],
  ['c.lw', ['rd', 'mem']],
  ['c.ld', ['rd', 'mem']],
  ['c.sw', ['rs2', 'mem']],
  ['c.sd', ['rs2', 'mem']],
  ['c.addi', ['rdrs1', 'imm']],
  ['c.addiw', ['rdrs1', 'imm']],
  ['c.li', ['rd', 'imm']],
  ['c.addi16sp', ['sp', 'imm']],
  ['c.lui', ['rd', 'upper']],
  ['c.srli', ['rdrs1', 'imm']],
  ['c.srai', ['rdrs1', 'imm']],
  ['c.andi', ['rdrs1', 'imm']],
  ['c.sub', ['rdrs1', 'rs2']],
  ['c.xor', ['rdrs1', 'rs2']],
  ['c.or', ['rdrs1', 'rs2']],
  ['c.and', ['rdrs1', 'rs2']],
  ['c.subw', ['rdrs1', 'rs2']],
  ['c.addw', ['rdrs1', 'rs2']],
  ['c.j', ['target']],
  ['c.beqz', ['rs1', 'target']],
  ['c.bnez', ['rs1', 'target']],
  ['c.slli', ['rdrs1', 'imm']],
  ['c.lwsp', ['rd', 'mem']],
  ['c.ldsp', ['rd', 'mem']],
  ['c.jr', ['rs1']],
  ['c.mv', ['rd', 'rs2']],
  ['c.ebreak', []],
  ['c.jalr', ['rs1']],
  ['c.add', ['rdrs1', 'rs2']],
  ['c.swsp', ['rs2', 'mem']],
  ['c.sdsp', ['rs2', 'mem']],
]);

/** CSRs by name. */
export const CSR_NAMES: ReadonlyMap<string, number> = new Map([
  ['cycle', CSR_CYCLE],
  ['time', CSR_TIME],
  ['instret', CSR_INSTRET],
]);

/** Number of a register by ABI name, `x` name or `fp`; null for anything else. */
export function registerNumber(name: string): number | null {
  if (name === 'fp') return 8;
  const abi = REGISTER_NAMES.indexOf(name);
  if (abi >= 0) return abi;
  const match = /^x([0-9]|[12][0-9]|3[01])$/.exec(name);
  return match ? Number(match[1]) : null;
}
