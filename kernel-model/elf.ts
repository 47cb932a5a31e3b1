/**
 * A bounded reader of RV64 ELF files (sheet 10, sections 1.6 and 6.3). It looks only at what the kernel looks at, reads
 * only inside the file, and never throws: an ELF is hostile input. 64-bit fields become numbers as in registers.ts.
 */
import { wordsToNumber } from './registers.ts';

/** Sizes and constants of the format. */
export const ELF_HEADER_SIZE = 64;
export const PROGRAM_HEADER_SIZE = 56;
export const SECTION_HEADER_SIZE = 64;
export const SYMBOL_SIZE = 24;
export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;
const SHT_SYMTAB = 2;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;

/** Why a header was refused; the words are those of the kernel's init loader. */
export type ElfReject = 'elf too short' | 'bad elf magic' | 'not elf64' | 'not little endian' | 'bad phoff';

/** What the kernel reads from the file header. */
export interface ElfHeader {
  readonly entry: number;
  readonly phoff: number;
  readonly phentsize: number;
  readonly phnum: number;
  readonly shoff: number;
  readonly shentsize: number;
  readonly shnum: number;
  readonly shstrndx: number;
}

/** One program header. `offset`, `filesz` and `memsz` are unsigned, `vaddr` is an address. */
export interface ProgramHeader {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly vaddr: number;
  readonly filesz: number;
  readonly memsz: number;
}

/** A file with a valid header. */
export class ElfFile {
  readonly bytes: Uint8Array;
  readonly header: ElfHeader;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, view: DataView, header: ElfHeader) {
    this.bytes = bytes;
    this.#view = view;
    this.header = header;
  }

  /** Program header `index`, null when it does not lie in the file. */
  programHeader(index: number): ProgramHeader | null {
    const at = this.header.phoff + index * this.header.phentsize;
    const view = this.#view;
    if (!(at <= view.byteLength - PROGRAM_HEADER_SIZE)) return null;
    return {
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset: unsigned(view, at + 8),
      vaddr: signed(view, at + 16),
      filesz: unsigned(view, at + 32),
      memsz: unsigned(view, at + 40),
    };
  }

  /** The little-endian word at a file offset, 0 outside the file. */
  word(offset: number): number {
    return offset <= this.#view.byteLength - 4 ? this.#view.getUint32(offset, true) : 0;
  }

  /** Address of the section with this name, null when there is none. */
  sectionAddress(name: string): number | null {
    const { shoff, shentsize, shnum, shstrndx } = this.header;
    const view = this.#view;
    const headerAt = (index: number): number => {
      const at = shoff + index * shentsize;
      return at <= view.byteLength - SECTION_HEADER_SIZE ? at : -1;
    };
    const stringsHeader = headerAt(shstrndx);
    if (shoff === 0 || stringsHeader < 0) return null;
    const strings = unsigned(view, stringsHeader + 24);
    for (let i = 0; i < shnum; i++) {
      const at = headerAt(i);
      if (at < 0) return null;
      if (this.#nameIs(strings + view.getUint32(at, true), name)) return signed(view, at + 16);
    }
    return null;
  }

  /** Value of the symbol with this name, null when the file has no such symbol. */
  symbolValue(name: string): number | null {
    const { shoff, shentsize, shnum } = this.header;
    const view = this.#view;
    if (shoff === 0) return null;
    for (let i = 0; i < shnum; i++) {
      const at = shoff + i * shentsize;
      if (!(at <= view.byteLength - SECTION_HEADER_SIZE)) return null;
      if (view.getUint32(at + 4, true) !== SHT_SYMTAB) continue;
      const stringsHeader = shoff + view.getUint32(at + 40, true) * shentsize;
      if (!(stringsHeader <= view.byteLength - SECTION_HEADER_SIZE)) return null;
      const strings = unsigned(view, stringsHeader + 24);
      const start = unsigned(view, at + 24);
      const end = Math.min(start + unsigned(view, at + 32), view.byteLength);
      for (let symbol = start; symbol <= end - SYMBOL_SIZE; symbol += SYMBOL_SIZE) {
        if (this.#nameIs(strings + view.getUint32(symbol, true), name)) return signed(view, symbol + 8);
      }
    }
    return null;
  }

  #nameIs(offset: number, name: string): boolean {
    if (!(offset < this.bytes.length - name.length)) return false;
    for (let i = 0; i < name.length; i++) if (this.bytes[offset + i] !== name.charCodeAt(i)) return false;
    return this.bytes[offset + name.length] === 0;
  }
}

/** Reads and checks the file header, in the kernel's order (type, machine and version are not checked). */
export function readElf(bytes: Uint8Array): ElfFile | ElfReject {
  if (bytes.length < ELF_HEADER_SIZE) return 'elf too short';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, false) !== 0x7f45_4c46) return 'bad elf magic';
  if (bytes[4] !== ELFCLASS64) return 'not elf64';
  if (bytes[5] !== ELFDATA2LSB) return 'not little endian';
  const phoff = unsigned(view, 32);
  if (phoff >= bytes.length) return 'bad phoff';
  return new ElfFile(bytes, view, {
    entry: signed(view, 24),
    phoff,
    phentsize: view.getUint16(54, true),
    phnum: view.getUint16(56, true),
    shoff: unsigned(view, 40),
    shentsize: view.getUint16(58, true),
    shnum: view.getUint16(60, true),
    shstrndx: view.getUint16(62, true),
  });
}

function signed(view: DataView, at: number): number {
  return wordsToNumber(view.getUint32(at, true), view.getUint32(at + 4, true));
}

function unsigned(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}
