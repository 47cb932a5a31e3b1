/** Tar as the OS's packer writes it and as updated reads it (sheet 55, sections 5.1, 5.5 and 18). */
import { ascii } from '../lib/text.ts';
import { trimWhiteSpace, utf8Text } from '../lib/utf8.ts';

/** Bytes of a header and of the unit that data is padded to. */
export const BLOCK = 512;
/** Type flags; no other means anything. */
const TYPE_FILE = 0x30;
const TYPE_DIRECTORY = 0x35;
const NAME_LENGTH = 100;
const SIZE_AT = 124;
const SIZE_END = 136;
const CHECKSUM_AT = 148;
const CHECKSUM_END = 156;
const TYPE_AT = 156;
const MAGIC = { at: 257, text: 'ustar  ' } as const;
/** Zero blocks that end an archive. */
const END_BLOCKS = 2;

/** One member. */
export interface TarEntry {
  /** Trimmed, never empty, a relative path without `..`. */
  readonly name: string;
  readonly directory: boolean;
  /** A view of the archive. */
  readonly data: Uint8Array;
}

/** Why an archive can not be walked; the texts are the OS's. */
export type TarFault =
  | 'tar name invalid utf-8'
  | 'empty tar name'
  | 'unsafe path'
  | 'invalid tar size'
  | 'missing tar size'
  | 'truncated tar entry';

/** All members up to the first zero header or the last whole block. Checksum, magic and prefix are not looked at. */
export function walkTar(archive: Uint8Array): readonly TarEntry[] | TarFault {
  const entries: TarEntry[] = [];
  let at = 0;
  while (at + BLOCK <= archive.length) {
    const header = archive.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) break;
    const name = nameOf(header);
    if (!name.ok) return name.fault;
    const size = sizeOf(header);
    if (typeof size === 'string') return size;
    const start = at + BLOCK;
    if (start + size > archive.length) return 'truncated tar entry';
    entries.push({
      name: name.text,
      directory: header[TYPE_AT] === TYPE_DIRECTORY,
      data: archive.subarray(start, start + size),
    });
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return entries;
}

function nameOf(header: Uint8Array): { readonly ok: true; readonly text: string } | { ok: false; fault: TarFault } {
  const field = header.subarray(0, NAME_LENGTH);
  const end = field.indexOf(0);
  const raw = utf8Text(end < 0 ? field : field.subarray(0, end));
  if (raw === null) return { ok: false, fault: 'tar name invalid utf-8' };
  const text = trimWhiteSpace(raw);
  if (text === '') return { ok: false, fault: 'empty tar name' };
  if (text.startsWith('/') || text.split('/').includes('..')) return { ok: false, fault: 'unsafe path' };
  return { ok: true, text };
}

/** Twelve octal digits stay below 2^36, so nothing overflows. */
function sizeOf(header: Uint8Array): number | TarFault {
  let size = 0;
  let digits = 0;
  for (const byte of header.subarray(SIZE_AT, SIZE_END)) {
    if (byte === 0 || byte === 0x20) continue;
    if (byte < 0x30 || byte > 0x37) return 'invalid tar size';
    size = size * 8 + (byte - 0x30);
    digits += 1;
  }
  return digits === 0 ? 'missing tar size' : size;
}

/** A member to write: a file, or a directory where `data` is null (its name ends in a slash). */
export interface TarMember {
  /** At most 100 ASCII characters. */
  readonly name: string;
  readonly data: Uint8Array | null;
}

/** The archive of the members in their order. */
export function writeTar(members: readonly TarMember[]): Uint8Array {
  const blocks = members.reduce((sum, member) => sum + 1 + Math.ceil((member.data?.length ?? 0) / BLOCK), END_BLOCKS);
  const archive = new Uint8Array(blocks * BLOCK);
  let at = 0;
  for (const member of members) {
    writeHeader(archive.subarray(at, at + BLOCK), member);
    at += BLOCK;
    if (member.data === null) continue;
    archive.set(member.data, at);
    at += Math.ceil(member.data.length / BLOCK) * BLOCK;
  }
  return archive;
}

function writeHeader(header: Uint8Array, member: TarMember): void {
  const directory = member.data === null;
  header.set(ascii(member.name));
  header.set(ascii(directory ? '0000755' : '0000644'), 100);
  header.set(ascii('0000000'), 108);
  header.set(ascii('0000000'), 116);
  header.set(ascii(octal(member.data?.length ?? 0, 11)), SIZE_AT);
  header.set(ascii('00000000000'), 136);
  header.fill(0x20, CHECKSUM_AT, CHECKSUM_END);
  header[TYPE_AT] = directory ? TYPE_DIRECTORY : TYPE_FILE;
  header.set(ascii(MAGIC.text), MAGIC.at);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(ascii(`${octal(sum, 7)}\0`), CHECKSUM_AT);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
