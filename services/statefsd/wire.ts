/**
 * The "SF" protocol between statefsd and its clients (sheet 50, sections 9 and 20). Version 1 carries no nonce,
 * version 2 a u64 that the reply echoes. Both sides live here: the server decodes requests and encodes replies, the
 * clients (keystored, updated, metricsd, selftest-client) do the opposite. All integers are little-endian.
 */
import { keyBytes, keyText, MAX_KEY_LEN } from './key.ts';
import type { KeyText } from './key.ts';

/** Correlation nonce of version 2; u64. Identity and policy never depend on it (RFC-0019, COR-2). */
export type StatefsNonce = bigint & { readonly __brand: 'StatefsNonce' };
/** Number of keys a LIST asks for, 1..{@link MAX_LIST_LIMIT}. */
export type ListLimit = number & { readonly __brand: 'ListLimit' };

export const MAGIC_0 = 0x53;
export const MAGIC_1 = 0x46;
export const VERSION_1 = 1;
export const VERSION_2 = 2;

/** Operation bytes; a reply carries op | 0x80. */
export const OP_PUT = 1;
export const OP_GET = 2;
export const OP_DEL = 3;
export const OP_LIST = 4;
export const OP_SYNC = 5;
export const OP_REOPEN = 6;
export const REPLY_BIT = 0x80;

/** Status bytes. */
export const STATUS_OK = 0;
export const STATUS_NOT_FOUND = 1;
export const STATUS_ACCESS_DENIED = 2;
export const STATUS_VALUE_TOO_LARGE = 3;
export const STATUS_KEY_TOO_LONG = 4;
export const STATUS_INVALID_KEY = 5;
export const STATUS_MALFORMED = 6;
export const STATUS_IO_ERROR = 7;
export const STATUS_UNSUPPORTED = 8;

/** Largest value in bytes that the format allows; what fits into one frame is less (section 9.5). */
export const MAX_VALUE_SIZE = 65_536;
/** Largest LIST limit; 0 counts as 1, anything above as this. */
export const MAX_LIST_LIMIT = 256;
/** A LIST reply never exceeds this many bytes, header included; keys that do not fit are left out without a sign. */
export const MAX_LIST_REPLY = 512;

const HEADER_V1 = 4;
const HEADER_V2 = 12;

/** Errors of the store as clients and the engine name them (section 9.4). */
export type StatefsError =
  | 'not-found'
  | 'access-denied'
  | 'value-too-large'
  | 'key-too-long'
  | 'invalid-key'
  | 'corrupted'
  | 'io'
  | 'replay-limit';

/** A decoded request. `value` is a view of the frame. */
export type StatefsRequest =
  | {
      readonly kind: 'put';
      readonly nonce: StatefsNonce | null;
      readonly key: KeyText;
      readonly value: Uint8Array;
    }
  | { readonly kind: 'get' | 'del'; readonly nonce: StatefsNonce | null; readonly key: KeyText }
  | {
      readonly kind: 'list';
      readonly nonce: StatefsNonce | null;
      readonly prefix: KeyText;
      readonly limit: ListLimit;
    }
  | { readonly kind: 'sync' | 'reopen'; readonly nonce: StatefsNonce | null };

/** Why a request was refused before anything looked at its content. */
export type RejectClass = 'malformed' | 'unsupported' | 'key-too-long' | 'value-too-large';

/** A refused request, with what its reply needs. */
export interface Reject {
  readonly kind: 'reject';
  readonly reason: RejectClass;
  /** Byte 3 of the frame, or GET when the frame is shorter than 4 bytes. */
  readonly op: number;
  /** The nonce, when magic and version 2 were right and its bytes were there. */
  readonly nonce: StatefsNonce | null;
}

const REJECT_STATUS: Readonly<Record<RejectClass, number>> = {
  malformed: STATUS_MALFORMED,
  unsupported: STATUS_UNSUPPORTED,
  'key-too-long': STATUS_KEY_TOO_LONG,
  'value-too-large': STATUS_VALUE_TOO_LARGE,
};

const ERROR_STATUS: Readonly<Record<StatefsError, number>> = {
  'not-found': STATUS_NOT_FOUND,
  'access-denied': STATUS_ACCESS_DENIED,
  'value-too-large': STATUS_VALUE_TOO_LARGE,
  'key-too-long': STATUS_KEY_TOO_LONG,
  'invalid-key': STATUS_INVALID_KEY,
  corrupted: STATUS_MALFORMED,
  io: STATUS_IO_ERROR,
  'replay-limit': STATUS_IO_ERROR,
};

/** Status byte of an engine error (section 9.4); null is success. */
export function statusOf(error: StatefsError | null): number {
  return error === null ? STATUS_OK : ERROR_STATUS[error];
}

/** What a client makes of a status byte (section 9.4); null is success. */
export function errorOf(status: number): StatefsError | null {
  switch (status) {
    case STATUS_OK:
      return null;
    case STATUS_NOT_FOUND:
      return 'not-found';
    case STATUS_ACCESS_DENIED:
      return 'access-denied';
    case STATUS_VALUE_TOO_LARGE:
      return 'value-too-large';
    case STATUS_KEY_TOO_LONG:
      return 'key-too-long';
    case STATUS_INVALID_KEY:
      return 'invalid-key';
    case STATUS_IO_ERROR:
      return 'io';
    default:
      return 'corrupted';
  }
}

/** The u64 nonce of a counter value (wraps). */
export function statefsNonce(value: bigint): StatefsNonce {
  return BigInt.asUintN(64, value) as StatefsNonce;
}

/** LIST limits: 0 → 1, above {@link MAX_LIST_LIMIT} → that. Applied by encoder and decoder alike (section 9.1). */
export function listLimit(limit: number): ListLimit {
  return Math.min(Math.max(Math.trunc(limit), 1), MAX_LIST_LIMIT) as ListLimit;
}

// ---------------------------------------------------------------------------------------------------------------
// Requests

/** Decodes any bytes into a request or the first failing check of section 9.3. */
export function decodeRequest(frame: Uint8Array): StatefsRequest | Reject {
  const op = frame.length < HEADER_V1 ? OP_GET : byteAt(frame, 3);
  if (frame.length < HEADER_V1 || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1) return reject('malformed', op, null);
  const version = frame[2];
  if (version !== VERSION_1 && version !== VERSION_2) return reject('malformed', op, null);
  if (version === VERSION_2 && frame.length < HEADER_V2) return reject('malformed', op, null);
  const nonce = version === VERSION_2 ? (viewOf(frame).getBigUint64(4, true) as StatefsNonce) : null;
  const payload = frame.subarray(version === VERSION_2 ? HEADER_V2 : HEADER_V1);
  switch (op) {
    case OP_PUT:
      return decodePut(payload, nonce);
    case OP_GET:
    case OP_DEL:
      return decodeKeyOnly(payload, op, nonce);
    case OP_LIST:
      return decodeList(payload, nonce);
    case OP_SYNC:
    case OP_REOPEN:
      if (payload.length !== 0) return reject('malformed', op, nonce);
      return { kind: op === OP_SYNC ? 'sync' : 'reopen', nonce };
    default:
      return reject('unsupported', op, nonce);
  }
}

function decodePut(payload: Uint8Array, nonce: StatefsNonce | null): StatefsRequest | Reject {
  if (payload.length < 6) return reject('malformed', OP_PUT, nonce);
  const view = viewOf(payload);
  const keyLen = view.getUint16(0, true);
  const valueLen = view.getUint32(2, true);
  if (keyLen === 0) return reject('malformed', OP_PUT, nonce);
  if (keyLen > MAX_KEY_LEN) return reject('key-too-long', OP_PUT, nonce);
  if (valueLen > MAX_VALUE_SIZE) return reject('value-too-large', OP_PUT, nonce);
  if (payload.length !== 6 + keyLen + valueLen) return reject('malformed', OP_PUT, nonce);
  const key = keyText(payload.subarray(6, 6 + keyLen));
  if (key === null) return reject('malformed', OP_PUT, nonce);
  return { kind: 'put', nonce, key, value: payload.subarray(6 + keyLen) };
}

function decodeKeyOnly(
  payload: Uint8Array,
  op: typeof OP_GET | typeof OP_DEL,
  nonce: StatefsNonce | null,
): StatefsRequest | Reject {
  if (payload.length < 2) return reject('malformed', op, nonce);
  const keyLen = viewOf(payload).getUint16(0, true);
  if (keyLen === 0) return reject('malformed', op, nonce);
  if (keyLen > MAX_KEY_LEN) return reject('key-too-long', op, nonce);
  if (payload.length !== 2 + keyLen) return reject('malformed', op, nonce);
  const key = keyText(payload.subarray(2));
  if (key === null) return reject('malformed', op, nonce);
  return { kind: op === OP_GET ? 'get' : 'del', nonce, key };
}

function decodeList(payload: Uint8Array, nonce: StatefsNonce | null): StatefsRequest | Reject {
  if (payload.length < 4) return reject('malformed', OP_LIST, nonce);
  const view = viewOf(payload);
  const prefixLen = view.getUint16(0, true);
  if (prefixLen > MAX_KEY_LEN) return reject('key-too-long', OP_LIST, nonce);
  if (payload.length !== 4 + prefixLen) return reject('malformed', OP_LIST, nonce);
  const prefix = keyText(payload.subarray(4));
  if (prefix === null) return reject('malformed', OP_LIST, nonce);
  return { kind: 'list', nonce, prefix, limit: listLimit(view.getUint16(2, true)) };
}

function reject(reason: RejectClass, op: number, nonce: StatefsNonce | null): Reject {
  return { kind: 'reject', reason, op, nonce };
}

/** What a request encoder refuses: the key is checked before the value (section 20). */
export type EncodeFault = 'key-too-long' | 'value-too-large';

/** PUT. `nonce` null writes version 1. An empty key is encoded (and refused by the server). */
export function encodePut(nonce: bigint | null, key: string, value: Uint8Array): Uint8Array | EncodeFault {
  const keyField = keyBytes(key);
  if (keyField.length > MAX_KEY_LEN) return 'key-too-long';
  if (value.length > MAX_VALUE_SIZE) return 'value-too-large';
  const { frame, view, at } = requestFrame(OP_PUT, nonce, 6 + keyField.length + value.length);
  view.setUint16(at, keyField.length, true);
  view.setUint32(at + 2, value.length, true);
  frame.set(keyField, at + 6);
  frame.set(value, at + 6 + keyField.length);
  return frame;
}

/** GET. `nonce` null writes version 1. */
export function encodeGet(nonce: bigint | null, key: string): Uint8Array | EncodeFault {
  return encodeKeyOnly(OP_GET, nonce, key);
}

/** DEL. `nonce` null writes version 1. */
export function encodeDel(nonce: bigint | null, key: string): Uint8Array | EncodeFault {
  return encodeKeyOnly(OP_DEL, nonce, key);
}

function encodeKeyOnly(op: number, nonce: bigint | null, key: string): Uint8Array | EncodeFault {
  const keyField = keyBytes(key);
  if (keyField.length > MAX_KEY_LEN) return 'key-too-long';
  const { frame, view, at } = requestFrame(op, nonce, 2 + keyField.length);
  view.setUint16(at, keyField.length, true);
  frame.set(keyField, at + 2);
  return frame;
}

/** LIST of at most `limit` keys that start with `prefix`. */
export function encodeList(nonce: bigint | null, prefix: string, limit: number): Uint8Array | EncodeFault {
  const prefixField = keyBytes(prefix);
  if (prefixField.length > MAX_KEY_LEN) return 'key-too-long';
  const { frame, view, at } = requestFrame(OP_LIST, nonce, 4 + prefixField.length);
  view.setUint16(at, prefixField.length, true);
  view.setUint16(at + 2, listLimit(limit), true);
  frame.set(prefixField, at + 4);
  return frame;
}

/** SYNC: flush what was written. */
export function encodeSync(nonce: bigint | null): Uint8Array {
  return requestFrame(OP_SYNC, nonce, 0).frame;
}

/** REOPEN: drop the map and replay the journal. */
export function encodeReopen(nonce: bigint | null): Uint8Array {
  return requestFrame(OP_REOPEN, nonce, 0).frame;
}

function requestFrame(
  op: number,
  nonce: bigint | null,
  payload: number,
): { readonly frame: Uint8Array; readonly view: DataView; readonly at: number } {
  const at = nonce === null ? HEADER_V1 : HEADER_V2;
  const frame = new Uint8Array(at + payload);
  const view = viewOf(frame);
  writeHeader(frame, nonce, op);
  if (nonce !== null) view.setBigUint64(4, nonce, true);
  return { frame, view, at };
}

// ---------------------------------------------------------------------------------------------------------------
// Replies

/** Reply of PUT, DEL, SYNC, REOPEN: `op` is the request's. */
export function encodeStatusReply(op: number, status: number, nonce: StatefsNonce | null): Uint8Array {
  return replyFrame(op, status, nonce, 0).frame;
}

/** Reply of GET; errors carry an empty value. */
export function encodeGetReply(status: number, nonce: StatefsNonce | null, value: Uint8Array): Uint8Array {
  const { frame, view, at } = replyFrame(OP_GET, status, nonce, 4 + value.length);
  view.setUint32(at, value.length, true);
  frame.set(value, at + 4);
  return frame;
}

/**
 * Reply of LIST. Keys longer than 255 bytes are skipped; the first key that would push the frame over
 * {@link MAX_LIST_REPLY} bytes ends the list, without a sign that there are more (section 9.2).
 */
export function encodeListReply(status: number, nonce: StatefsNonce | null, keys: readonly string[]): Uint8Array {
  const room = MAX_LIST_REPLY - (nonce === null ? 7 : 15);
  const fields: Uint8Array[] = [];
  let used = 0;
  for (const key of keys) {
    const field = keyBytes(key);
    if (field.length > MAX_KEY_LEN) continue;
    if (used + 2 + field.length > room) break;
    used += 2 + field.length;
    fields.push(field);
  }
  const { frame, view, at } = replyFrame(OP_LIST, status, nonce, 2 + used);
  view.setUint16(at, fields.length, true);
  let offset = at + 2;
  for (const field of fields) {
    view.setUint16(offset, field.length, true);
    frame.set(field, offset + 2);
    offset += 2 + field.length;
  }
  return frame;
}

/**
 * Reply to a request that did not decode. With `echoNonce` (the contract, COR-1) a known nonce comes back, in version
 * 2 and in the shape of the op's own reply; without it, and whenever the nonce is unknown, the version 1 status form.
 */
export function encodeRejectReply(refused: Reject, echoNonce: boolean): Uint8Array {
  const status = REJECT_STATUS[refused.reason];
  if (!echoNonce || refused.nonce === null) return encodeStatusReply(refused.op, status, null);
  switch (refused.op) {
    case OP_GET:
      return encodeGetReply(status, refused.nonce, NO_BYTES);
    case OP_LIST:
      return encodeListReply(status, refused.nonce, NO_KEYS);
    default:
      return encodeStatusReply(refused.op, status, refused.nonce);
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_KEYS: readonly string[] = [];

function replyFrame(
  op: number,
  status: number,
  nonce: StatefsNonce | null,
  extra: number,
): { readonly frame: Uint8Array; readonly view: DataView; readonly at: number } {
  const at = nonce === null ? 5 : 13;
  const frame = new Uint8Array(at + extra);
  const view = viewOf(frame);
  writeHeader(frame, nonce, op | REPLY_BIT);
  frame[4] = status;
  if (nonce !== null) view.setBigUint64(5, nonce, true);
  return { frame, view, at };
}

/**
 * True when `frame` answers the version 2 request (`op`, `nonce`): the test by which clients pick their reply out of a
 * shared inbox (section 12.1).
 */
export function replyMatches(frame: Uint8Array, op: number, nonce: bigint): boolean {
  return frame.length >= 13 && replyHeaderFits(frame, VERSION_2, op) && viewOf(frame).getBigUint64(5, true) === nonce;
}

/** Status byte of a status-shaped reply; null when header or length do not fit (the client's Corrupted). */
export function decodeStatusReply(frame: Uint8Array, op: number, nonce: bigint | null): number | null {
  return replyStatus(frame, op, nonce, nonce === null ? 5 : 13);
}

/** A GET reply; null when header or lengths do not fit. The value is a view of the frame. */
export function decodeGetReply(
  frame: Uint8Array,
  nonce: bigint | null,
): { readonly status: number; readonly value: Uint8Array } | null {
  const at = nonce === null ? 5 : 13;
  const status = replyStatus(frame, OP_GET, nonce, at + 4);
  if (status === null) return null;
  const length = viewOf(frame).getUint32(at, true);
  if (length > MAX_VALUE_SIZE || frame.length !== at + 4 + length) return null;
  return { status, value: frame.subarray(at + 4) };
}

/** A LIST reply; null when header or lengths do not fit. Trailing bytes are ignored, the keys' form is not checked. */
export function decodeListReply(
  frame: Uint8Array,
  nonce: bigint | null,
): { readonly status: number; readonly keys: readonly string[] } | null {
  const at = nonce === null ? 5 : 13;
  const status = replyStatus(frame, OP_LIST, nonce, at + 2);
  if (status === null) return null;
  const view = viewOf(frame);
  const count = view.getUint16(at, true);
  const keys: string[] = [];
  let offset = at + 2;
  for (let i = 0; i < count; i++) {
    if (offset + 2 > frame.length) return null;
    const length = view.getUint16(offset, true);
    if (offset + 2 + length > frame.length) return null;
    const key = keyText(frame.subarray(offset + 2, offset + 2 + length));
    if (key === null) return null;
    keys.push(key);
    offset += 2 + length;
  }
  return { status, keys };
}

function replyStatus(frame: Uint8Array, op: number, nonce: bigint | null, minimum: number): number | null {
  if (frame.length < minimum) return null;
  if (nonce === null) return replyHeaderFits(frame, VERSION_1, op) ? byteAt(frame, 4) : null;
  return replyMatches(frame, op, nonce) ? byteAt(frame, 4) : null;
}

function replyHeaderFits(frame: Uint8Array, version: number, op: number): boolean {
  return frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === version && frame[3] === (op | REPLY_BIT);
}

function writeHeader(frame: Uint8Array, nonce: bigint | null, op: number): void {
  frame[0] = MAGIC_0;
  frame[1] = MAGIC_1;
  frame[2] = nonce === null ? VERSION_1 : VERSION_2;
  frame[3] = op;
}

function byteAt(frame: Uint8Array, index: number): number {
  return frame[index] ?? 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
