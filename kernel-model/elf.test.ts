import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ElfFile, PT_LOAD, readElf } from './elf.ts';
import { programNote, writeElf } from './synthetic-elf.ts';

const VALID = writeElf({
  entry: 0x1040_0000,
  segments: [
    { vaddr: 0x1040_0000, memsz: 0x11bb8, flags: 5, bytes: new Uint8Array([0x17, 4, 0, 0]) },
    { vaddr: 0x104f_66c0, memsz: 0x80941, flags: 6 },
  ],
  program: 'init-lite',
  sections: [
    { name: '.text', address: 0x1040_0000 },
    { name: '.sdata', address: 0x104f_66c0 },
  ],
});

function opened(bytes: Uint8Array): ElfFile {
  const elf = readElf(bytes);
  if (!(elf instanceof ElfFile)) throw new Error(elf);
  return elf;
}

describe('ELF reader', () => {
  it('reads back what the synthetic writer wrote', () => {
    const elf = opened(VALID);
    expect(elf.header).toMatchObject({ entry: 0x1040_0000, phoff: 64, phentsize: 56, phnum: 3 });
    expect(elf.programHeader(0)).toMatchObject({
      type: PT_LOAD,
      vaddr: 0x1040_0000,
      memsz: 0x11bb8,
      filesz: 4,
      flags: 5,
    });
    expect(elf.programHeader(1)).toMatchObject({ type: PT_LOAD, vaddr: 0x104f_66c0, memsz: 0x80941, filesz: 0 });
    expect(elf.sectionAddress('.sdata')).toBe(0x104f_66c0);
    expect(elf.sectionAddress('.data')).toBeNull();
    expect(programNote(elf)).toBe('init-lite');
    expect(elf.word(elf.programHeader(0)?.offset ?? 0)).toBe(0x417);
  });

  it('finds a symbol through its table and string table', () => {
    const name = '__global_pointer$';
    const table = 0x200;
    const bytes = new Uint8Array(0x300);
    bytes.set(VALID.subarray(0, 64));
    const view = new DataView(bytes.buffer);
    view.setBigUint64(40, 0x100n, true);
    view.setUint16(58, 64, true);
    view.setUint16(60, 2, true);
    view.setUint32(0x100 + 4, 2, true);
    view.setBigUint64(0x100 + 24, BigInt(table), true);
    view.setBigUint64(0x100 + 32, 48n, true);
    view.setUint32(0x100 + 40, 1, true);
    view.setBigUint64(0x140 + 24, 0x280n, true);
    bytes.set(new TextEncoder().encode(`\0${name}\0`), 0x280);
    view.setUint32(table + 24, 1, true);
    view.setBigUint64(table + 24 + 8, 0x1234n, true);
    expect(opened(bytes).symbolValue(name)).toBe(0x1234);
    expect(opened(bytes).symbolValue('_start')).toBeNull();
    expect(opened(VALID).symbolValue(name)).toBeNull();
  });

  it('names the first failing check', () => {
    const with_ = (at: number, value: number): Uint8Array => {
      const copy = VALID.slice();
      copy[at] = value;
      return copy;
    };
    expect(readElf(VALID.subarray(0, 63))).toBe('elf too short');
    expect(readElf(with_(1, 0))).toBe('bad elf magic');
    expect(readElf(with_(4, 1))).toBe('not elf64');
    expect(readElf(with_(5, 2))).toBe('not little endian');
    expect(readElf(with_(39, 0xff))).toBe('bad phoff');
    expect(readElf(with_(18, 0))).toBeInstanceOf(ElfFile);
  });

  it('has no program without a note, and none in a cut note', () => {
    const plain = writeElf({ entry: 0, segments: [{ vaddr: 0, memsz: 1, flags: 4 }], program: null });
    expect(programNote(opened(plain))).toBeNull();
    const cut = VALID.slice();
    new DataView(cut.buffer).setBigUint64(64 + 2 * 56 + 32, 20n, true);
    expect(programNote(opened(cut))).toBeNull();
  });

  it('never throws, whatever the bytes are', () => {
    const explore = (bytes: Uint8Array): void => {
      const elf = readElf(bytes);
      if (!(elf instanceof ElfFile)) return;
      for (let i = 0; i < Math.min(elf.header.phnum, 8); i++) elf.programHeader(i);
      elf.sectionAddress('.sdata');
      elf.symbolValue('__global_pointer$');
      elf.word(elf.header.entry);
      programNote(elf);
    };
    const edits = fc.array(fc.tuple(fc.nat({ max: VALID.length - 1 }), fc.nat({ max: 255 })), { maxLength: 12 });
    fc.assert(
      fc.property(edits, fc.nat({ max: VALID.length }), (changes, length) => {
        const copy = VALID.slice(0, length);
        for (const [at, value] of changes) if (at < length) copy[at] = value;
        explore(copy);
      }),
      { seed: 20240, numRuns: 1500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        explore(bytes);
        const headed = bytes.slice();
        headed.set(VALID.subarray(0, Math.min(6, headed.length)));
        explore(headed);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });
});
