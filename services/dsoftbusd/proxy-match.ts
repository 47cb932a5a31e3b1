/** Which frames answer a forwarded one (quirks.md, proxy-unchecked): magic, op and, where the frame has one, nonce. */
import type { Wanted } from '../lib/inbox.ts';
import { sameBytes } from '../lib/text.ts';
import { decodeRequest, encodePong } from '../samgrd/wire.ts';

const SAMGRD: readonly number[] = [0x53, 0x4d, 1];
const BUNDLEMGRD: readonly number[] = [0x42, 0x4e, 1];
const REPLY_BIT = 0x80;
const OP_AT = 3;
const SAMGRD_MIN = 5;
const NONCE_BYTES = 8;

/** What the proxy hands to samgrd: five bytes and its head. */
export function isSamgrdFrame(payload: Uint8Array): boolean {
  return payload.length >= SAMGRD_MIN && startsWith(payload, SAMGRD);
}

/** Recognises samgrd's answer to a frame that {@link isSamgrdFrame} let pass. */
export function samgrdAnswers(payload: Uint8Array): Wanted {
  const request = decodeRequest(payload, true);
  if (request.op === 'ping') {
    const pong = encodePong(request.nonce);
    return (frame) => sameBytes(frame, pong);
  }
  const ours = answersTo(SAMGRD, payload[OP_AT] ?? 0);
  const nonce = request.op === 'sender_pid' || request.op === 'sender_service_id' ? request.nonce : null;
  return nonce === null ? ours : (frame) => ours(frame) && trailingNonce(frame) === nonce;
}

/** Recognises bundlemgrd's answer; to a frame that is none of its own it answers as to its first op. */
export function bundlemgrdAnswers(payload: Uint8Array): Wanted {
  const known = payload.length > OP_AT && startsWith(payload, BUNDLEMGRD.slice(0, 2));
  return answersTo(BUNDLEMGRD, known ? (payload[OP_AT] ?? 0) : 1);
}

function answersTo(head: readonly number[], op: number): Wanted {
  return (frame) => frame.length > OP_AT && startsWith(frame, head) && frame[OP_AT] === (op | REPLY_BIT);
}

function trailingNonce(frame: Uint8Array): bigint | null {
  if (frame.length < NONCE_BYTES) return null;
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getBigUint64(frame.length - NONCE_BYTES, true);
}

function startsWith(frame: Uint8Array, head: readonly number[]): boolean {
  return head.every((byte, i) => frame[i] === byte);
}
