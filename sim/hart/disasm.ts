/** Instruction bits to text that the assembler reads back. 16-bit instructions are shown under their own names. */
import { compressedEncoding, decodeCompressed } from './compressed.ts';
import { decode } from './decode.ts';
import { encodingOf } from './encode.ts';
import type { Instruction, Mnemonic } from './isa.ts';
import { Op, REGISTER_NAMES } from './isa.ts';
import type { Operand } from './syntax.ts';
import { COMPRESSED_OPERANDS, CSR_NAMES, OPERANDS } from './syntax.ts';

const MNEMONICS: ReadonlyMap<number, Mnemonic> = new Map(
  Object.entries(Op).map(([mnemonic, op]) => [op, mnemonic as Mnemonic]),
);

/**
 * Text of the instruction in the low bits, found at `pc` (branch targets are absolute). What is illegal becomes `.word`
 * or `.half`. The aq and rl bits and the fields of fences are not shown.
 */
export function disassemble(bits: number, pc: bigint): string {
  if ((bits & 3) !== 3) {
    const half = bits & 0xffff;
    const name = compressedEncoding(half)?.name ?? '';
    const operands = COMPRESSED_OPERANDS.get(name);
    if (operands === undefined) return `.half 0x${half.toString(16).padStart(4, '0')}`;
    return line(name, operands, decodeCompressed(half), pc);
  }
  const instruction = decode(bits);
  const mnemonic = MNEMONICS.get(instruction.op) ?? 'illegal';
  const format = encodingOf(mnemonic)?.format;
  if (format === undefined) return `.word 0x${(bits >>> 0).toString(16).padStart(8, '0')}`;
  return line(mnemonic, OPERANDS[format], instruction, pc);
}

function line(name: string, operands: readonly Operand[], instruction: Instruction, pc: bigint): string {
  if (operands.length === 0) return name;
  return `${name} ${operands.map((operand) => text(operand, instruction, pc)).join(', ')}`;
}

function text(operand: Operand, { rd, rs1, rs2, imm }: Instruction, pc: bigint): string {
  switch (operand) {
    case 'rd':
    case 'rdrs1':
      return name(rd);
    case 'rs1':
      return name(rs1);
    case 'rs2':
      return name(rs2);
    case 'sp':
      return 'sp';
    case 'imm':
      return String(imm);
    case 'mem':
      return `${imm}(${name(rs1)})`;
    case 'at':
      return `(${name(rs1)})`;
    case 'target':
      return `0x${BigInt.asUintN(64, pc + BigInt(imm)).toString(16)}`;
    case 'upper':
      return `0x${(imm >>> 12).toString(16)}`;
    case 'csr':
      return [...CSR_NAMES].find(([, number]) => number === imm)?.[0] ?? `0x${imm.toString(16)}`;
    case 'uimm':
      return String(rs1);
  }
}

function name(register: number): string {
  return REGISTER_NAMES[register] ?? '?';
}
