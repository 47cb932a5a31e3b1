/** Bundle images, "NXBI" (sheet 55, section 10.3): what bundlemgrd serves and packagefsd reads. */
import { ascii } from '../lib/text.ts';
import type { SlotId } from '../updated/wire.ts';

/** Magic and version. */
const MAGIC: readonly number[] = [0x4e, 0x58, 0x42, 0x49];
const VERSION = 1;
const HEADER = 7;
/** Kind of a file; other kinds are passed over by readers. */
export const KIND_FILE = 0;
/** Limits of the length fields. */
export const IMAGE_NAME_MAX = 0xff;
export const IMAGE_PATH_MAX = 0xffff;
export const IMAGE_ENTRIES_MAX = 0xffff;

/** One entry; names and paths are bytes, views of the image. */
export interface ImageEntry {
  readonly bundle: Uint8Array;
  readonly version: Uint8Array;
  readonly path: Uint8Array;
  /** u16. */
  readonly kind: number;
  readonly data: Uint8Array;
}

/** Why an image did not decode: no whole header, wrong magic, wrong version, a field past the end. */
export type ImageReject = 'short' | 'magic' | 'version' | 'truncated';

/** A decoded image; bytes behind the counted entries are ignored. */
export interface Image {
  readonly entries: readonly ImageEntry[];
  /** Offset behind the last entry. */
  readonly end: number;
}

/** Decodes any bytes. */
export function decodeImage(bytes: Uint8Array): Image | ImageReject {
  if (bytes.length < HEADER) return 'short';
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) return 'magic';
  if (bytes[4] !== VERSION) return 'version';
  const reader = new Reader(bytes, 5);
  const count = reader.uint(2) ?? 0;
  const entries: ImageEntry[] = [];
  for (let i = 0; i < count; i++) {
    const bundle = reader.field(1);
    const version = reader.field(1);
    const path = reader.field(2);
    const kind = reader.uint(2);
    const data = reader.field(4);
    if (bundle === null || version === null || path === null || kind === null || data === null) return 'truncated';
    entries.push({ bundle, version, path, kind, data });
  }
  return { entries, end: reader.at };
}

/** Walks fields; null once something lies past the end. */
class Reader {
  at: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** Unsigned integer of 1, 2 or 4 bytes. */
  uint(size: number): number | null {
    if (this.at + size > this.#bytes.length) return null;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (this.#bytes[this.at + i] ?? 0);
    this.at += size;
    return value;
  }

  /** Bytes behind their length of `size` bytes. */
  field(size: number): Uint8Array | null {
    const length = this.uint(size);
    if (length === null || this.at + length > this.#bytes.length) return null;
    const field = this.#bytes.subarray(this.at, this.at + length);
    this.at += length;
    return field;
  }
}

/** Encodes an image; fields must fit their length fields. */
export function encodeImage(entries: readonly ImageEntry[]): Uint8Array {
  const size = (entry: ImageEntry): number =>
    10 + entry.bundle.length + entry.version.length + entry.path.length + entry.data.length;
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + size(entry), HEADER));
  const view = new DataView(bytes.buffer);
  bytes.set([...MAGIC, VERSION]);
  view.setUint16(5, entries.length, true);
  let at = HEADER;
  const put = (field: Uint8Array, lengthBytes: 1 | 2 | 4): void => {
    if (lengthBytes === 1) view.setUint8(at, field.length);
    else if (lengthBytes === 2) view.setUint16(at, field.length, true);
    else view.setUint32(at, field.length, true);
    bytes.set(field, at + lengthBytes);
    at += lengthBytes + field.length;
  };
  for (const entry of entries) {
    put(entry.bundle, 1);
    put(entry.version, 1);
    put(entry.path, 2);
    view.setUint16(at, entry.kind, true);
    at += 2;
    put(entry.data, 4);
  }
  return bytes;
}

/** The image bundlemgrd serves while `slot` is active: the system's properties, which name the slot. */
export function systemImage(slot: SlotId): Uint8Array {
  return encodeImage([
    {
      bundle: ascii('system'),
      version: ascii(`1.0.0-${slot}`),
      path: ascii('build.prop'),
      kind: KIND_FILE,
      data: ascii(`ro.nexus.build=dev\nro.nexus.slot=${slot}\n`),
    },
  ]);
}
