/**
 * packagefsd's frames (sheet 55, section 11.2): no magic, no version, no nonce. Every byte string is a request: what is none
 * is answered as not found, and an empty frame not at all.
 */
import { utf8Text } from '../lib/utf8.ts';

/** The only operation. */
export const OP_RESOLVE = 2;
/** First byte of replies. */
export const REPLY_FAILED = 0;
export const REPLY_OK = 1;
/** Bytes before the contents. */
export const REPLY_HEADER = 11;
/** Kinds of entries. */
export const KIND_FILE = 0;
export const KIND_DIRECTORY = 1;
const NO_BYTES = new Uint8Array(0);

/** A decoded request. `path` is empty where it was no UTF-8. */
export type PackageRequest = { readonly op: 'resolve'; readonly path: string } | { readonly op: 'unknown' | 'empty' };

/** Decodes any bytes. */
export function decodeRequest(frame: Uint8Array): PackageRequest {
  if (frame.length === 0) return { op: 'empty' };
  if (frame[0] !== OP_RESOLVE) return { op: 'unknown' };
  return { op: 'resolve', path: utf8Text(frame.subarray(1)) ?? '' };
}

/** Asks for a path relative to `pkg:/`. */
export function encodeResolve(path: string): Uint8Array {
  const bytes = new TextEncoder().encode(path);
  const frame = new Uint8Array(1 + bytes.length);
  frame[0] = OP_RESOLVE;
  frame.set(bytes, 1);
  return frame;
}

/** What a path names. */
export interface PackageEntry {
  /** u16; {@link KIND_FILE} or {@link KIND_DIRECTORY}. */
  readonly kind: number;
  readonly bytes: Uint8Array;
}

/** Reply: the entry, or not found. */
export function encodeReply(entry: PackageEntry | null): Uint8Array {
  const bytes = entry?.bytes ?? NO_BYTES;
  const frame = new Uint8Array(REPLY_HEADER + bytes.length);
  if (entry === null) return frame;
  const view = new DataView(frame.buffer);
  frame[0] = REPLY_OK;
  view.setBigUint64(1, BigInt(bytes.length), true);
  view.setUint16(9, entry.kind, true);
  frame.set(bytes, REPLY_HEADER);
  return frame;
}

/** A found entry as vfsd sees it: the size that was announced and the bytes that arrived. Null: not found or too short. */
export function decodeReply(
  frame: Uint8Array,
): { readonly size: bigint; readonly kind: number; readonly bytes: Uint8Array } | null {
  if (frame.length < REPLY_HEADER || frame[0] !== REPLY_OK) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return { size: view.getBigUint64(1, true), kind: view.getUint16(9, true), bytes: frame.subarray(REPLY_HEADER) };
}
