/** Operation and operands to instruction bits: the inverse of `decode.ts`, over the same rows. */
import type { CompressedEncoding, ImmediateField, RegisterField } from './compressed.ts';
import { COMPRESSED, compressedEncoding, decodeCompressed } from './compressed.ts';
import { decode } from './decode.ts';
import type { Encoding, Format, Instruction, Mnemonic } from './isa.ts';
import { ENCODINGS, Op } from './isa.ts';

/** Operands of an instruction; those that its format lacks must be 0. */
export type Operands = Omit<Instruction, 'op' | 'length'>;

const BY_MNEMONIC: ReadonlyMap<string, Encoding> = new Map(ENCODINGS.map((row) => [row.mnemonic, row]));
const BY_NAME: ReadonlyMap<string, CompressedEncoding> = new Map(
  COMPRESSED.filter(({ expansion }) => expansion !== null).map((row) => [row.name, row]),
);

/** The row of a 32-bit instruction's name. */
export function encodingOf(mnemonic: string): Encoding | null {
  return BY_MNEMONIC.get(mnemonic) ?? null;
}

/** The row of a 16-bit instruction's name (`c.addi`). */
export function compressedEncodingOf(name: string): CompressedEncoding | null {
  return BY_NAME.get(name) ?? null;
}

/** Bits (unsigned) of a 32-bit instruction, or null where an operand does not fit its field. */
export function encode(mnemonic: Mnemonic, operands: Operands): number | null {
  const row = BY_MNEMONIC.get(mnemonic);
  if (row === undefined) return null;
  const { rd, rs1, rs2, imm } = operands;
  const bits = (row.match | (rd << 7) | (rs1 << 15) | (rs2 << 20) | immediateBits(row.format, imm)) >>> 0;
  return agrees(decode(bits), Op[mnemonic], operands) ? bits : null;
}

/** Bits of a 16-bit instruction with this expansion's operands, or null where they do not fit. */
export function encodeCompressed(row: CompressedEncoding, operands: Operands): number | null {
  const { expansion } = row;
  if (expansion === null) return null;
  const bits =
    row.match |
    registerBits(expansion.rd, operands.rd) |
    registerBits(expansion.rs1, operands.rs1) |
    registerBits(expansion.rs2, operands.rs2) |
    (expansion.imm === undefined ? 0 : scatter(expansion.imm, operands.imm));
  const same = compressedEncoding(bits) === row && agrees(decodeCompressed(bits), Op[expansion.op], operands);
  return same ? bits : null;
}

/** The 16-bit form of an operation, or null where there is none. */
export function compress(mnemonic: Mnemonic, operands: Operands): number | null {
  for (const row of COMPRESSED) {
    if (row.expansion?.op !== mnemonic) continue;
    const bits = encodeCompressed(row, operands);
    if (bits !== null) return bits;
  }
  return null;
}

function agrees(decoded: Instruction, op: number, { rd, rs1, rs2, imm }: Operands): boolean {
  return decoded.op === op && decoded.rd === rd && decoded.rs1 === rs1 && decoded.rs2 === rs2 && decoded.imm === imm;
}

/** What does not fit is cut here and found by decoding. */
function immediateBits(format: Format, imm: number): number {
  switch (format) {
    case 'i':
    case 'load':
    case 'csr':
    case 'csri':
      return imm << 20;
    case 's':
      return ((imm & ~31) << 20) | ((imm & 31) << 7);
    case 'b':
      return ((imm & 0x1000) << 19) | ((imm & 0x7e0) << 20) | ((imm & 0x1e) << 7) | ((imm & 0x800) >> 4);
    case 'u':
      return imm & ~0xfff;
    case 'j':
      return ((imm & 0x10_0000) << 11) | ((imm & 0x7fe) << 20) | ((imm & 0x800) << 9) | (imm & 0xf_f000);
    case 'shift6':
      return (imm & 63) << 20;
    case 'shift5':
      return (imm & 31) << 20;
    case 'r':
    case 'amo':
    case 'lr':
    case 'fence':
    case 'sfence':
    case 'none':
      return 0;
  }
}

function registerBits(field: RegisterField | undefined, register: number): number {
  switch (field) {
    case 'bits11_7':
      return register << 7;
    case 'bits6_2':
      return register << 2;
    case 'short9_7':
      return (register & 7) << 7;
    case 'short4_2':
      return (register & 7) << 2;
    default:
      return 0;
  }
}

function scatter(field: ImmediateField, imm: number): number {
  let bits = field.sign !== null && imm < 0 ? 0x1000 : 0;
  for (const [from, width, to] of field.parts) bits |= ((imm >>> to) & ((1 << width) - 1)) << from;
  return bits;
}
