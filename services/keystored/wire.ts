/**
 * keystored's protocol, magic `KS`, version 1 (sheet 60, section 3.2). No nonce. Every byte string decodes to a request or
 * to the reject class that the sheet's order of checks names; decoding never throws. All integers are little-endian.
 */
import { unreachable } from '../../sim/assert.ts';

export const MAGIC_0 = 0x4b;
export const MAGIC_1 = 0x53;
export const VERSION = 1;
/** Bit 7 of the op byte marks a response. */
export const REPLY_BIT = 0x80;

/** Operation bytes. */
export const Op = {
  PUT: 1,
  GET: 2,
  DEL: 3,
  VERIFY: 4,
  SIGN: 5,
  DEVICE_KEYGEN: 10,
  GET_DEVICE_PUBKEY: 11,
  DEVICE_SIGN: 12,
  GET_DEVICE_PRIVKEY: 13,
  DEVICE_RELOAD: 14,
} as const;

/** Status bytes. */
export const Status = {
  OK: 0,
  NOT_FOUND: 1,
  MALFORMED: 2,
  TOO_LARGE: 3,
  UNSUPPORTED: 4,
  DENY: 5,
  KEY_EXISTS: 10,
  KEY_NOT_FOUND: 11,
  PRIVATE_EXPORT_DENIED: 12,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Bytes of a frame's prefix, of the key/value header, of a response's header. */
const PREFIX = 4;
const KEY_HEADER = 7;
export const RESPONSE_HEADER = 7;
/** Offsets of the payload in SIGN and VERIFY. */
const SIGN_HEADER = 8;
const VERIFY_HEADER = 104;
const PUBLIC_KEY_AT = 8;
const SIGNATURE_AT = 40;

/** Largest key and value, bytes. */
export const KEY_MAX = 64;
export const VALUE_MAX = 256;
/** Largest payload of SIGN, DEVICE_SIGN and VERIFY, bytes. Larger than any frame: the frame's own size bounds first. */
export const PAYLOAD_MAX = 1_048_576;
/** Largest value of a response, bytes. */
export const RESPONSE_VALUE_MAX = 0xffff;

/** Bytes of Ed25519 keys and signatures. */
export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** Name of a stored value: 1..{@link KEY_MAX} bytes. */
export type StoreKey = Uint8Array & { readonly __brand: 'StoreKey' };
/** A stored value: 0..{@link VALUE_MAX} bytes. */
export type StoreValue = Uint8Array & { readonly __brand: 'StoreValue' };
/** What is signed or verified: 0..{@link PAYLOAD_MAX} bytes. */
export type SignedPayload = Uint8Array & { readonly __brand: 'SignedPayload' };
/** {@link PUBLIC_KEY_BYTES} bytes, not checked to be a point. */
export type PublicKeyBytes = Uint8Array & { readonly __brand: 'PublicKeyBytes' };
/** {@link SIGNATURE_BYTES} bytes, R and S. */
export type SignatureBytes = Uint8Array & { readonly __brand: 'SignatureBytes' };

/** A decoded request; byte fields are views of the frame. */
export type KeystoreRequest =
  | { readonly kind: 'put'; readonly key: StoreKey; readonly value: StoreValue }
  | { readonly kind: 'get' | 'del'; readonly key: StoreKey }
  | {
      readonly kind: 'verify';
      readonly publicKey: PublicKeyBytes;
      readonly signature: SignatureBytes;
      readonly payload: SignedPayload;
    }
  | { readonly kind: 'sign' | 'device-sign'; readonly payload: SignedPayload }
  | { readonly kind: 'device-keygen' | 'device-pubkey' | 'device-privkey' | 'device-reload' };

/** Why a frame was refused before anything looked at its content. */
export type RejectClass = 'malformed' | 'too-large' | 'unsupported';

/** A refused frame; `op` is what its response carries, without bit 7 set by us. */
export interface Reject {
  readonly kind: 'reject';
  readonly reason: RejectClass;
  readonly op: number;
}

const REJECT_STATUS: Readonly<Record<RejectClass, Status>> = {
  malformed: Status.MALFORMED,
  'too-large': Status.TOO_LARGE,
  unsupported: Status.UNSUPPORTED,
};

/** Status byte of a reject class. */
export function rejectStatus(reason: RejectClass): Status {
  return REJECT_STATUS[reason];
}

/** The bytes as a key; null when empty or too long. */
export function storeKey(bytes: Uint8Array): StoreKey | null {
  return bytes.length >= 1 && bytes.length <= KEY_MAX ? (bytes as StoreKey) : null;
}

/** The bytes as a value; null when too long. */
export function storeValue(bytes: Uint8Array): StoreValue | null {
  return bytes.length <= VALUE_MAX ? (bytes as StoreValue) : null;
}

/** Decodes any bytes in the order of section 3.2. */
export function decodeRequest(frame: Uint8Array): KeystoreRequest | Reject {
  if (frame.length < PREFIX || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1) return reject('malformed', Op.GET);
  const op = byteAt(frame, 3);
  if (frame[2] !== VERSION) return reject('unsupported', op);
  switch (op) {
    case Op.VERIFY:
      return decodeVerify(frame);
    case Op.SIGN:
      return decodeSigned(frame, Op.SIGN, 'sign');
    case Op.DEVICE_SIGN:
      return decodeSigned(frame, Op.DEVICE_SIGN, 'device-sign');
    // These four read nothing: trailing bytes are accepted (section 11, Q14).
    case Op.DEVICE_KEYGEN:
      return { kind: 'device-keygen' };
    case Op.GET_DEVICE_PUBKEY:
      return { kind: 'device-pubkey' };
    case Op.GET_DEVICE_PRIVKEY:
      return { kind: 'device-privkey' };
    case Op.DEVICE_RELOAD:
      return { kind: 'device-reload' };
    default:
      return decodeKeyed(frame, op);
  }
}

/** PUT, GET, DEL, and unknown ops: these must be well formed as well to be answered UNSUPPORTED (Q14). */
function decodeKeyed(frame: Uint8Array, op: number): KeystoreRequest | Reject {
  if (frame.length < KEY_HEADER) return reject('malformed', op);
  const keyLength = byteAt(frame, 4);
  const valueLength = viewOf(frame).getUint16(5, true);
  if (keyLength > KEY_MAX || valueLength > VALUE_MAX) return reject('too-large', op);
  if (keyLength === 0 || frame.length !== KEY_HEADER + keyLength + valueLength) return reject('malformed', op);
  const key = frame.subarray(KEY_HEADER, KEY_HEADER + keyLength) as StoreKey;
  switch (op) {
    case Op.PUT:
      return { kind: 'put', key, value: frame.subarray(KEY_HEADER + keyLength) as StoreValue };
    case Op.GET:
      return { kind: 'get', key };
    case Op.DEL:
      return { kind: 'del', key };
    default:
      return reject('unsupported', op);
  }
}

function decodeVerify(frame: Uint8Array): KeystoreRequest | Reject {
  const payload = payloadFrom(frame, VERIFY_HEADER);
  if (typeof payload === 'string') return reject(payload, Op.VERIFY);
  return {
    kind: 'verify',
    publicKey: frame.subarray(PUBLIC_KEY_AT, SIGNATURE_AT) as PublicKeyBytes,
    signature: frame.subarray(SIGNATURE_AT, VERIFY_HEADER) as SignatureBytes,
    payload,
  };
}

function decodeSigned(frame: Uint8Array, op: number, kind: 'sign' | 'device-sign'): KeystoreRequest | Reject {
  const payload = payloadFrom(frame, SIGN_HEADER);
  return typeof payload === 'string' ? reject(payload, op) : { kind, payload };
}

/** The payload behind `header` bytes, its u32 length at 4: short frame, then size, then exact length. */
function payloadFrom(frame: Uint8Array, header: number): SignedPayload | 'malformed' | 'too-large' {
  if (frame.length < header) return 'malformed';
  const length = viewOf(frame).getUint32(4, true);
  if (length > PAYLOAD_MAX) return 'too-large';
  return frame.length === header + length ? (frame.subarray(header) as SignedPayload) : 'malformed';
}

function reject(reason: RejectClass, op: number): Reject {
  return { kind: 'reject', reason, op };
}

/** Op byte of a request. */
export function opOf(request: KeystoreRequest): number {
  switch (request.kind) {
    case 'put':
      return Op.PUT;
    case 'get':
      return Op.GET;
    case 'del':
      return Op.DEL;
    case 'verify':
      return Op.VERIFY;
    case 'sign':
      return Op.SIGN;
    case 'device-keygen':
      return Op.DEVICE_KEYGEN;
    case 'device-pubkey':
      return Op.GET_DEVICE_PUBKEY;
    case 'device-sign':
      return Op.DEVICE_SIGN;
    case 'device-privkey':
      return Op.GET_DEVICE_PRIVKEY;
    case 'device-reload':
      return Op.DEVICE_RELOAD;
    default:
      return unreachable(request);
  }
}

/** Encodes a request. */
export function encodeRequest(request: KeystoreRequest): Uint8Array {
  switch (request.kind) {
    case 'put':
      return keyedFrame(opOf(request), request.key, request.value);
    case 'get':
    case 'del':
      return keyedFrame(opOf(request), request.key, NO_BYTES);
    case 'verify': {
      const frame = payloadFrame(Op.VERIFY, VERIFY_HEADER, request.payload);
      frame.set(request.publicKey, PUBLIC_KEY_AT);
      frame.set(request.signature, SIGNATURE_AT);
      return frame;
    }
    case 'sign':
    case 'device-sign':
      return payloadFrame(opOf(request), SIGN_HEADER, request.payload);
    case 'device-keygen':
    case 'device-pubkey':
    case 'device-privkey':
    case 'device-reload':
      return startFrame(opOf(request), PREFIX);
    default:
      return unreachable(request);
  }
}

const NO_BYTES = new Uint8Array(0);

function keyedFrame(op: number, key: StoreKey, value: Uint8Array): Uint8Array {
  const frame = startFrame(op, KEY_HEADER + key.length + value.length);
  frame[4] = key.length;
  viewOf(frame).setUint16(5, value.length, true);
  frame.set(key, KEY_HEADER);
  frame.set(value, KEY_HEADER + key.length);
  return frame;
}

function payloadFrame(op: number, header: number, payload: SignedPayload): Uint8Array {
  const frame = startFrame(op, header + payload.length);
  viewOf(frame).setUint32(4, payload.length, true);
  frame.set(payload, header);
  return frame;
}

/** A response as its client sees it. `op` is the request's. */
export interface KeystoreResponse {
  readonly op: number;
  readonly status: number;
  readonly value: Uint8Array;
}

/** Encodes a response to op byte `op`; the value has at most {@link RESPONSE_VALUE_MAX} bytes. */
export function encodeResponse(op: number, status: Status, value: Uint8Array = NO_BYTES): Uint8Array {
  const frame = startFrame(op | REPLY_BIT, RESPONSE_HEADER + value.length);
  frame[4] = status;
  viewOf(frame).setUint16(5, value.length, true);
  frame.set(value, RESPONSE_HEADER);
  return frame;
}

/** Decodes a response whose length is exactly what it says; null for anything else. The value is a view. */
export function decodeResponse(frame: Uint8Array): KeystoreResponse | null {
  if (frame.length < RESPONSE_HEADER || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1 || frame[2] !== VERSION)
    return null;
  const op = byteAt(frame, 3);
  if ((op & REPLY_BIT) === 0 || frame.length !== RESPONSE_HEADER + viewOf(frame).getUint16(5, true)) return null;
  return { op: op & ~REPLY_BIT, status: byteAt(frame, 4), value: frame.subarray(RESPONSE_HEADER) };
}

function startFrame(op: number, length: number): Uint8Array {
  const frame = new Uint8Array(length);
  frame[0] = MAGIC_0;
  frame[1] = MAGIC_1;
  frame[2] = VERSION;
  frame[3] = op;
  return frame;
}

function byteAt(frame: Uint8Array, at: number): number {
  return frame[at] ?? 0;
}

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}
