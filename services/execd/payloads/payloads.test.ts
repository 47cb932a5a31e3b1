/** The payloads are the sheet's, bit for bit. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ElfFile, readElf } from '../../../kernel-model/elf.ts';
import { exit0Elf, exit42Elf, helloElf } from './payloads.ts';

const words = (file: Uint8Array, offset: number, count: number): string => {
  const view = new DataView(file.buffer, file.byteOffset);
  const at = (i: number): string =>
    view
      .getUint32(offset + 4 * i, true)
      .toString(16)
      .padStart(8, '0');
  return Array.from({ length: count }, (_, i) => at(i)).join(' ');
};

describe.each([
  {
    name: 'hello',
    file: helloElf(),
    length: 409,
    sha256: '400a0c32bccd981ad39832ebb1e31d50808eb8df1be22776f88ca0aab3766e21',
    entry: 0x1_0130,
    offset: 0x130,
    size: 0x69,
    code: '00000417 02c40413 00044503 00050a63 01000893 00000073 00140413 fedff06f 00000893 00000073 ff9ff06f',
    text: 'child: hello-elf\n\0',
  },
  {
    name: 'exit0',
    file: exit0Elf(),
    length: 324,
    sha256: '954dd1ed8ed727ceb662eb07b3acf0cf2de03902899863dcec92b044d3ca3b9a',
    entry: 0x1000,
    offset: 0x100,
    size: 68,
    code: '00000417 03040413 00044503 00050a63 01000893 00000073 00140413 fedff06f 00000513 00b00893 00000073 0000006f',
    text: 'child: exit0 start\n\0',
  },
  {
    name: 'exit42',
    file: exit42Elf(),
    length: 328,
    sha256: 'd1156c7263e070245f52063ea0afac254824fe44dfb9ea5dbfdc3cd5e2d13605',
    entry: 0x1000,
    offset: 0x100,
    size: 69,
    code: '00000417 03040413 00044503 00050a63 01000893 00000073 00140413 fedff06f 02a00513 00b00893 00000073 0000006f',
    text: 'child: exit42 start\n\0',
  },
])('$name (sheet 55, section 13)', ({ file, length, sha256, entry, offset, size, code, text }) => {
  it('is the file of the sheet', () => {
    expect(file.length).toBe(length);
    expect(createHash('sha256').update(file).digest('hex')).toBe(sha256);
  });

  it('has the sheet’s header, segment, code and string', () => {
    const elf = readElf(file);
    if (!(elf instanceof ElfFile)) throw new Error(elf);
    expect(elf.header).toEqual({
      entry,
      phoff: 0x40,
      phentsize: 56,
      phnum: 1,
      shoff: 0,
      shentsize: 0,
      shnum: 0,
      shstrndx: 0,
    });
    expect(elf.programHeader(0)).toEqual({ type: 1, flags: 5, offset, vaddr: entry, filesz: size, memsz: size });
    const count = code.split(' ').length;
    expect(words(file, offset, count)).toBe(code);
    const at = offset + 4 * count;
    expect(Buffer.from(file.subarray(at, at + text.length)).toString()).toBe(text);
    expect(file.subarray(at + text.length).every((byte) => byte === 0)).toBe(true);
    expect(file.subarray(120, offset).every((byte) => byte === 0)).toBe(true);
  });
});
