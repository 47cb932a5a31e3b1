/**
 * rngd's protocol, magic `RG`, version 1 (sheet 60, section 4.2): one operation, GET_ENTROPY. Both sides live here: the
 * server decodes requests, its clients decode responses. Decoding never throws. All integers are little-endian.
 */
export const MAGIC_0 = 0x52;
export const MAGIC_1 = 0x47;
export const VERSION = 1;
export const OP_GET_ENTROPY = 1;
/** Bit 7 of the op byte marks a response. */
export const REPLY_BIT = 0x80;

/** Status bytes. */
export const Status = { OK: 0, OVERSIZED: 1, DENIED: 2, UNAVAILABLE: 3, MALFORMED: 4 } as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Bytes of a request and of a response's header, with nonce and without. */
export const REQUEST_LENGTH = 10;
export const RESPONSE_HEADER = 9;
const SHORT_RESPONSE = 5;
const PREFIX = 4;

/** Most bytes one request gives. */
export const ENTROPY_MAX = 256;

/** Correlation nonce, u32. */
export type EntropyNonce = number & { readonly __brand: 'EntropyNonce' };
/** Bytes asked for, 1..{@link ENTROPY_MAX}. */
export type EntropyCount = number & { readonly __brand: 'EntropyCount' };

/** A decoded request, within bounds or not: bounds have a status of their own, which carries the nonce. */
export type EntropyRequest =
  | { readonly kind: 'get'; readonly nonce: EntropyNonce; readonly count: EntropyCount }
  | { readonly kind: 'oversized'; readonly nonce: EntropyNonce };

/** A frame that is none: answered in the 5-byte form without nonce. `op` is byte 3, or 1 where there is no prefix. */
export interface Reject {
  readonly kind: 'malformed';
  readonly op: number;
}

/** Any u32 is a nonce; other numbers wrap. */
export function entropyNonce(value: number): EntropyNonce {
  return (value >>> 0) as EntropyNonce;
}

/** The number as a count; null outside 1..{@link ENTROPY_MAX}. */
export function entropyCount(value: number): EntropyCount | null {
  return Number.isInteger(value) && value >= 1 && value <= ENTROPY_MAX ? (value as EntropyCount) : null;
}

/** Decodes any bytes in the order of section 4.2. */
export function decodeRequest(frame: Uint8Array): EntropyRequest | Reject {
  if (frame.length < PREFIX || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1) {
    return { kind: 'malformed', op: OP_GET_ENTROPY };
  }
  const op = frame[3] ?? 0;
  if (frame[2] !== VERSION || op !== OP_GET_ENTROPY || frame.length !== REQUEST_LENGTH)
    return { kind: 'malformed', op };
  const view = viewOf(frame);
  const nonce = view.getUint32(4, true) as EntropyNonce;
  const count = entropyCount(view.getUint16(8, true));
  return count === null ? { kind: 'oversized', nonce } : { kind: 'get', nonce, count };
}

/** GET_ENTROPY. `count` is any u16: the server refuses what is out of bounds. */
export function encodeRequest(nonce: EntropyNonce, count: number): Uint8Array {
  const frame = new Uint8Array(REQUEST_LENGTH);
  frame.set([MAGIC_0, MAGIC_1, VERSION, OP_GET_ENTROPY]);
  const view = viewOf(frame);
  view.setUint32(4, nonce, true);
  view.setUint16(8, count, true);
  return frame;
}

/** Response with nonce; only OK carries entropy. */
export function encodeResponse(status: Status, nonce: EntropyNonce, entropy: Uint8Array = NO_BYTES): Uint8Array {
  const frame = new Uint8Array(RESPONSE_HEADER + entropy.length);
  frame.set([MAGIC_0, MAGIC_1, VERSION, OP_GET_ENTROPY | REPLY_BIT, status]);
  viewOf(frame).setUint32(PREFIX + 1, nonce, true);
  frame.set(entropy, RESPONSE_HEADER);
  return frame;
}

const NO_BYTES = new Uint8Array(0);

/** Response to a frame that is none: op echoed, no nonce. */
export function encodeMalformed(op: number): Uint8Array {
  const frame = new Uint8Array(SHORT_RESPONSE);
  frame.set([MAGIC_0, MAGIC_1, VERSION, op | REPLY_BIT, Status.MALFORMED]);
  return frame;
}

/** Nonce of a response frame (length >= 9, `RG` 01), whatever its op and status; null for any other frame. */
export function responseNonce(frame: Uint8Array): EntropyNonce | null {
  if (frame.length < RESPONSE_HEADER || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1 || frame[2] !== VERSION)
    return null;
  return viewOf(frame).getUint32(PREFIX + 1, true) as EntropyNonce;
}

/** Entropy of an OK response to `nonce`, a view of the frame; null for anything else (section 3.6). */
export function decodeEntropy(frame: Uint8Array, nonce: EntropyNonce): Uint8Array | null {
  if (responseNonce(frame) !== nonce) return null;
  if (frame[3] !== (OP_GET_ENTROPY | REPLY_BIT) || frame[4] !== Status.OK) return null;
  return frame.subarray(RESPONSE_HEADER);
}

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}
