/**
 * One journal record on disk (sheet 50, section 7): an 11-byte header, key, value and a CRC-32C over all of it.
 * Little-endian, unaligned, back to back.
 */
import { keyText, MAX_KEY_LEN } from './key.ts';
import type { KeyText } from './key.ts';
import { MAX_VALUE_SIZE } from './wire.ts';

/** On disk `46 53 58 4e`. */
export const RECORD_MAGIC = 0x4e58_5346;
export const RECORD_PUT = 1;
export const RECORD_DELETE = 2;
/** Never written; counted and otherwise ignored on replay. */
export const RECORD_CHECKPOINT = 3;

/** Header bytes: magic u32, opcode u8, key length u16, value length u32. */
export const RECORD_HEADER = 11;
/** Bytes a record has besides key and value: header and CRC. Also the shortest record. */
export const RECORD_OVERHEAD = 15;
/** Largest record that can be valid. */
export const MAX_RECORD_SIZE = RECORD_OVERHEAD + MAX_KEY_LEN + MAX_VALUE_SIZE;

export type RecordOpcode = typeof RECORD_PUT | typeof RECORD_DELETE | typeof RECORD_CHECKPOINT;

/** A parsed record. `value` is a view of the parsed bytes. */
export interface JournalRecord {
  readonly opcode: RecordOpcode;
  readonly key: KeyText;
  readonly value: Uint8Array;
  /** Bytes on disk. */
  readonly size: number;
}

/** Reflected Castagnoli polynomial of CRC-32C. */
const CRC32C_POLYNOMIAL = 0x82f6_3b78;
const CRC32C_TABLE: Readonly<Uint32Array> = crc32cTable();

function crc32cTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ CRC32C_POLYNOMIAL : crc >>> 1;
    table[byte] = crc >>> 0;
  }
  return table;
}

/** CRC-32C (section 7.2); of "123456789" it is 0xe3069283. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (let i = 0; i < bytes.length; i++) {
    crc = (crc >>> 8) ^ (CRC32C_TABLE[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  }
  return ~crc >>> 0;
}

/** Encodes a record, followed by `padding` zero bytes. Key and value are within their limits. */
export function encodeRecord(opcode: RecordOpcode, key: Uint8Array, value: Uint8Array, padding = 0): Uint8Array {
  const size = RECORD_OVERHEAD + key.length + value.length;
  const bytes = new Uint8Array(size + padding);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, RECORD_MAGIC, true);
  bytes[4] = opcode;
  view.setUint16(5, key.length, true);
  view.setUint32(7, value.length, true);
  bytes.set(key, RECORD_HEADER);
  bytes.set(value, RECORD_HEADER + key.length);
  view.setUint32(size - 4, crc32c(bytes.subarray(0, size - 4)), true);
  return bytes;
}

/** What the header at the start of `bytes` announces; null without at least 15 bytes that start with the magic. */
export function peekRecord(bytes: Uint8Array): { readonly size: number; readonly withinLimits: boolean } | null {
  if (bytes.length < RECORD_OVERHEAD) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== RECORD_MAGIC) return null;
  const keyLen = view.getUint16(5, true);
  const valueLen = view.getUint32(7, true);
  return {
    size: RECORD_OVERHEAD + keyLen + valueLen,
    withinLimits: keyLen <= MAX_KEY_LEN && valueLen <= MAX_VALUE_SIZE,
  };
}

/**
 * Parses the record at the start of `bytes` (section 8.2). `none`: no record starts here, or it is not complete;
 * `corrupted`: one starts here and is not valid. Both end a replay.
 */
export function parseRecord(bytes: Uint8Array): JournalRecord | 'none' | 'corrupted' {
  const head = peekRecord(bytes);
  if (head === null) return 'none';
  const opcode = bytes[4];
  if (opcode !== RECORD_PUT && opcode !== RECORD_DELETE && opcode !== RECORD_CHECKPOINT) return 'corrupted';
  if (!head.withinLimits) return 'corrupted';
  if (bytes.length < head.size) return 'none';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const crcAt = head.size - 4;
  if (view.getUint32(crcAt, true) !== crc32c(bytes.subarray(0, crcAt))) return 'corrupted';
  const valueAt = RECORD_HEADER + view.getUint16(5, true);
  const key = keyText(bytes.subarray(RECORD_HEADER, valueAt));
  if (key === null) return 'corrupted';
  return { opcode, key, value: bytes.subarray(valueAt, crcAt), size: head.size };
}
