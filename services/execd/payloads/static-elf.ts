/** Writes the smallest executable ELF: header, one program header, one segment (sheet 55, section 13). */

/** Sizes of the format. */
const ELF_HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
const ET_EXEC = 2;
const EM_RISCV = 243;
const PT_LOAD = 1;
/** PF_R and PF_X. */
const READ_EXEC = 5;
const PAGE = 0x1000;

/** One segment, readable and executable, that the file holds in full and that starts with the entry. */
export interface StaticElf {
  readonly vaddr: number;
  /** Where the segment starts in the file: at least 120. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The file's length is a multiple of this. */
  readonly padTo: number;
}

/** The file. */
export function writeStaticElf({ vaddr, offset, bytes, padTo }: StaticElf): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(Math.ceil((offset + bytes.length) / padTo) * padTo);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, EM_RISCV, true);
  view.setUint32(20, 1, true);
  view.setUint32(24, vaddr, true);
  view.setUint32(32, ELF_HEADER_SIZE, true);
  view.setUint16(52, ELF_HEADER_SIZE, true);
  view.setUint16(54, PROGRAM_HEADER_SIZE, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, PT_LOAD, true);
  view.setUint32(68, READ_EXEC, true);
  view.setUint32(72, offset, true);
  view.setUint32(80, vaddr, true);
  view.setUint32(88, vaddr, true);
  view.setUint32(96, bytes.length, true);
  view.setUint32(104, bytes.length, true);
  view.setUint32(112, PAGE, true);
  file.set(bytes, offset);
  return file;
}
