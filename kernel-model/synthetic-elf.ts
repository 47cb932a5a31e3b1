/**
 * Small valid RV64 ELF files whose note names a program (design, decision 1). The kernel loads them like any other:
 * headers, segments and sections are real; only the body is a generator instead of instructions. The note is a PT_NOTE
 * with owner `nexus-sim`, type 1, and the program's name (UTF-8) as its descriptor.
 */
import { ELF_HEADER_SIZE, PF_R, PROGRAM_HEADER_SIZE, PT_LOAD, PT_NOTE, SECTION_HEADER_SIZE } from './elf.ts';
import type { ElfFile } from './elf.ts';

/** One PT_LOAD. `bytes` is what the file holds of it (the rest of `memsz` is zero); `flags` are PF_X 1, PF_W 2, PF_R 4. */
export interface SyntheticSegment {
  readonly vaddr: number;
  readonly memsz: number;
  readonly flags: number;
  readonly bytes?: Uint8Array;
}

/** A section that the file names, with its address: `.sdata` gives the first task its gp. */
export interface SyntheticSection {
  readonly name: string;
  readonly address: number;
}

/** What to write. Addresses and sizes below 2^53. */
export interface SyntheticElf {
  readonly entry: number;
  readonly segments: readonly SyntheticSegment[];
  /** Name of the program in the image; null writes no note. */
  readonly program: string | null;
  readonly sections?: readonly SyntheticSection[];
}

const NOTE_OWNER = 'nexus-sim';
const NOTE_TYPE = 1;
const NOTE_HEADER_SIZE = 12;
/** Notes of a file looked at, and bytes of a program's name, at most. */
const MAX_PROGRAM_HEADERS = 64;
const MAX_PROGRAM_NAME = 64;
const EM_RISCV = 243;
const ET_EXEC = 2;
const SHT_PROGBITS = 1;
const SHT_STRTAB = 3;
const NO_BYTES = new Uint8Array(0) as Readonly<Uint8Array> as Uint8Array;

/** Writes the file. */
export function writeElf(elf: SyntheticElf): Uint8Array<ArrayBuffer> {
  const note = elf.program === null ? null : encodeNote(elf.program);
  const count = elf.segments.length + (note === null ? 0 : 1);
  const payloads = elf.segments.map((segment) => segment.bytes ?? NO_BYTES);
  if (note !== null) payloads.push(note);
  let at = ELF_HEADER_SIZE + count * PROGRAM_HEADER_SIZE;
  const offsets = payloads.map((payload) => {
    const offset = align8(at);
    at = offset + payload.length;
    return offset;
  });
  const sections = elf.sections ?? [];
  const names = encodeNames(sections);
  const stringsAt = at;
  const shoff = sections.length === 0 ? 0 : align8(stringsAt + names.bytes.length);
  const shnum = sections.length === 0 ? 0 : sections.length + 2;
  const bytes = new Uint8Array(sections.length === 0 ? at : shoff + shnum * SECTION_HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, EM_RISCV, true);
  view.setUint32(20, 1, true);
  writeU64(view, 24, elf.entry);
  writeU64(view, 32, ELF_HEADER_SIZE);
  writeU64(view, 40, shoff);
  view.setUint16(52, ELF_HEADER_SIZE, true);
  view.setUint16(54, PROGRAM_HEADER_SIZE, true);
  view.setUint16(56, count, true);
  view.setUint16(58, SECTION_HEADER_SIZE, true);
  view.setUint16(60, shnum, true);
  view.setUint16(62, shnum === 0 ? 0 : shnum - 1, true);
  payloads.forEach((payload, i) => {
    const segment = elf.segments[i];
    const header = ELF_HEADER_SIZE + i * PROGRAM_HEADER_SIZE;
    const offset = offsets[i] ?? 0;
    view.setUint32(header, segment ? PT_LOAD : PT_NOTE, true);
    view.setUint32(header + 4, segment ? segment.flags : PF_R, true);
    writeU64(view, header + 8, offset);
    writeU64(view, header + 16, segment ? segment.vaddr : 0);
    writeU64(view, header + 24, segment ? segment.vaddr : 0);
    writeU64(view, header + 32, payload.length);
    writeU64(view, header + 40, segment ? segment.memsz : payload.length);
    writeU64(view, header + 48, segment ? 0x1000 : 4);
    bytes.set(payload, offset);
  });
  if (sections.length > 0) {
    bytes.set(names.bytes, stringsAt);
    sections.forEach((section, i) => {
      const header = shoff + (i + 1) * SECTION_HEADER_SIZE;
      view.setUint32(header, names.offsets[i] ?? 0, true);
      view.setUint32(header + 4, SHT_PROGBITS, true);
      writeU64(view, header + 16, section.address);
    });
    const strings = shoff + (shnum - 1) * SECTION_HEADER_SIZE;
    view.setUint32(strings + 4, SHT_STRTAB, true);
    writeU64(view, strings + 24, stringsAt);
    writeU64(view, strings + 32, names.bytes.length);
  }
  return bytes;
}

/** Name of the program that the file's note gives, null without such a note. Never throws, whatever the file holds. */
export function programNote(elf: ElfFile): string | null {
  const count = Math.min(elf.header.phnum, MAX_PROGRAM_HEADERS);
  for (let i = 0; i < count; i++) {
    const header = elf.programHeader(i);
    if (header === null) return null;
    if (header.type !== PT_NOTE || !(header.offset + header.filesz <= elf.bytes.length)) continue;
    const name = decodeNote(elf.bytes.subarray(header.offset, header.offset + header.filesz));
    if (name !== null) return name;
  }
  return null;
}

function encodeNote(program: string): Uint8Array {
  const name = new TextEncoder().encode(program);
  const owner = NOTE_OWNER.length + 1;
  const bytes = new Uint8Array(NOTE_HEADER_SIZE + align4(owner) + align4(name.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, owner, true);
  view.setUint32(4, name.length, true);
  view.setUint32(8, NOTE_TYPE, true);
  for (let i = 0; i < NOTE_OWNER.length; i++) bytes[NOTE_HEADER_SIZE + i] = NOTE_OWNER.charCodeAt(i);
  bytes.set(name, NOTE_HEADER_SIZE + align4(owner));
  return bytes;
}

function decodeNote(bytes: Uint8Array): string | null {
  const descriptorAt = NOTE_HEADER_SIZE + align4(NOTE_OWNER.length + 1);
  if (bytes.length < descriptorAt) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(4, true);
  if (view.getUint32(0, true) !== NOTE_OWNER.length + 1 || view.getUint32(8, true) !== NOTE_TYPE) return null;
  if (length > MAX_PROGRAM_NAME || descriptorAt + length > bytes.length) return null;
  for (let i = 0; i < NOTE_OWNER.length; i++) {
    if (bytes[NOTE_HEADER_SIZE + i] !== NOTE_OWNER.charCodeAt(i)) return null;
  }
  return new TextDecoder().decode(bytes.subarray(descriptorAt, descriptorAt + length));
}

function encodeNames(sections: readonly SyntheticSection[]): { bytes: Uint8Array; offsets: number[] } {
  const text = ['', ...sections.map((section) => section.name)].join('\0') + '\0';
  const offsets: number[] = [];
  let at = 1;
  for (const section of sections) {
    offsets.push(at);
    at += section.name.length + 1;
  }
  return { bytes: new TextEncoder().encode(text), offsets };
}

function writeU64(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
}

function align4(value: number): number {
  return (value + 3) & ~3;
}

function align8(value: number): number {
  return (value + 7) & ~7;
}
