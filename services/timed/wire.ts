/**
 * timed's frames, version 1 (sheet 60, section 8.2): magic `TM`, a u32 nonce in every frame, little-endian. Decoding never
 * throws: what is no request becomes the reject that its answer needs.
 */
import { unreachable } from '../../sim/assert.ts';

const MAGIC_0 = 0x54;
const MAGIC_1 = 0x4d;
const VERSION = 1;
const REPLY_BIT = 0x80;

/** Op byte. */
export const TimedOp = { REGISTER: 1, CANCEL: 2, SLEEP_UNTIL: 3 } as const;

/** Status byte. */
export const TimedStatus = {
  OK: 0,
  INVALID_ARGS: 1,
  OVER_LIMIT: 2,
  NOT_FOUND: 3,
  MALFORMED: 4,
  INTERNAL: 5,
} as const;
export type TimedStatus = (typeof TimedStatus)[keyof typeof TimedStatus];

/** Frame lengths. */
export const DEADLINE_REQUEST_LENGTH = 18;
export const CANCEL_REQUEST_LENGTH = 12;
export const REGISTER_REPLY_LENGTH = 21;
export const SLEEP_REPLY_LENGTH = 17;
export const SHORT_REPLY_LENGTH = 9;

const HEAD_LENGTH = 4;
const NONCE_END = 8;

/** u32 that a client picks and finds in the answer; 0 where the request has none. */
export type TimedNonce = number & { readonly __brand: 'TimedNonce' };
/** u32 id of a registration, never 0; 0 in an answer means none. */
export type TimerId = number & { readonly __brand: 'TimerId' };
/** u64 absolute monotonic time in ns. */
export type DeadlineNs = bigint & { readonly __brand: 'DeadlineNs' };

const U64 = 0xffff_ffff_ffff_ffffn;

/** The low 32 bits as a nonce. */
export function timedNonce(value: number): TimedNonce {
  return (value >>> 0) as TimedNonce;
}

/** The low 32 bits as a timer id. */
export function timerId(value: number): TimerId {
  return (value >>> 0) as TimerId;
}

/** The low 64 bits as a deadline. */
export function deadlineNs(value: bigint): DeadlineNs {
  return (value & U64) as DeadlineNs;
}

/** A request. `qos` is the byte as sent: its class is decided with the deadline (section 8.4). */
export type TimedRequest =
  | {
      readonly op: 'register' | 'sleep_until';
      readonly nonce: TimedNonce;
      readonly qos: number;
      readonly deadline: DeadlineNs;
    }
  | { readonly op: 'cancel'; readonly nonce: TimedNonce; readonly id: TimerId };

/** A refused frame: the op byte its answer carries (without bit 7), and the nonce as far as the frame has one. */
export interface TimedReject {
  readonly op: 'reject';
  readonly opByte: number;
  readonly nonce: TimedNonce;
  /** What it was meant to be: REGISTER is audited, SLEEP_UNTIL has its own answer form. */
  readonly meant: 'register' | 'sleep_until' | 'other';
}

/** Decodes a frame. The reserved byte is ignored. */
export function decodeRequest(frame: Uint8Array): TimedRequest | TimedReject {
  const view = viewOf(frame);
  const opByte = frame[3] ?? 0;
  const nonce = timedNonce(frame.length < NONCE_END ? 0 : view.getUint32(4, true));
  const echoed = opByte & ~REPLY_BIT;
  switch (frame.length >= HEAD_LENGTH && hasHead(frame) ? opByte : 0) {
    case TimedOp.REGISTER:
    case TimedOp.SLEEP_UNTIL: {
      const op = opByte === TimedOp.REGISTER ? 'register' : 'sleep_until';
      if (frame.length !== DEADLINE_REQUEST_LENGTH) return { op: 'reject', opByte: echoed, nonce, meant: op };
      return { op, nonce, qos: view.getUint8(8), deadline: deadlineNs(view.getBigUint64(10, true)) };
    }
    case TimedOp.CANCEL:
      if (frame.length !== CANCEL_REQUEST_LENGTH) break;
      return { op: 'cancel', nonce, id: timerId(view.getUint32(8, true)) };
    default:
      break;
  }
  return { op: 'reject', opByte: echoed, nonce, meant: 'other' };
}

/** Encodes a request (clients and tests). */
export function encodeRequest(request: TimedRequest): Uint8Array<ArrayBuffer> {
  switch (request.op) {
    case 'register':
    case 'sleep_until': {
      const opByte = request.op === 'register' ? TimedOp.REGISTER : TimedOp.SLEEP_UNTIL;
      const frame = head(opByte, DEADLINE_REQUEST_LENGTH);
      const view = viewOf(frame);
      view.setUint32(4, request.nonce, true);
      view.setUint8(8, request.qos);
      view.setBigUint64(10, request.deadline, true);
      return frame;
    }
    case 'cancel': {
      const frame = head(TimedOp.CANCEL, CANCEL_REQUEST_LENGTH);
      viewOf(frame).setUint32(4, request.nonce, true);
      viewOf(frame).setUint32(8, request.id, true);
      return frame;
    }
    default:
      return unreachable(request);
  }
}

/** An answer. `short` is CANCEL's and that of frames nobody understood; `opByte` has no bit 7. */
export type TimedReply =
  | {
      readonly kind: 'register';
      readonly status: TimedStatus;
      readonly nonce: TimedNonce;
      readonly id: TimerId;
      readonly coalesced: DeadlineNs;
    }
  | { readonly kind: 'sleep'; readonly status: TimedStatus; readonly nonce: TimedNonce; readonly wake: DeadlineNs }
  | { readonly kind: 'short'; readonly opByte: number; readonly status: TimedStatus; readonly nonce: TimedNonce };

/** Encodes an answer. */
export function encodeReply(reply: TimedReply): Uint8Array<ArrayBuffer> {
  switch (reply.kind) {
    case 'register': {
      const frame = replyHead(TimedOp.REGISTER, REGISTER_REPLY_LENGTH, reply);
      viewOf(frame).setUint32(9, reply.id, true);
      viewOf(frame).setBigUint64(13, reply.coalesced, true);
      return frame;
    }
    case 'sleep': {
      const frame = replyHead(TimedOp.SLEEP_UNTIL, SLEEP_REPLY_LENGTH, reply);
      viewOf(frame).setBigUint64(9, reply.wake, true);
      return frame;
    }
    case 'short':
      return replyHead(reply.opByte, SHORT_REPLY_LENGTH, reply);
    default:
      return unreachable(reply);
  }
}

/** The answer to a refused frame (section 8.2): SLEEP_UNTIL keeps its form, everything else is short. */
export function rejectReply(reject: TimedReject): TimedReply {
  const { opByte, nonce, meant } = reject;
  if (meant === 'sleep_until') return { kind: 'sleep', status: TimedStatus.MALFORMED, nonce, wake: deadlineNs(0n) };
  return { kind: 'short', opByte, status: TimedStatus.MALFORMED, nonce };
}

/** Decodes an answer (clients and tests); null for anything that timed does not send. */
export function decodeReply(frame: Uint8Array): TimedReply | null {
  const opByte = (frame[3] ?? 0) & ~REPLY_BIT;
  if (frame.length < SHORT_REPLY_LENGTH || !hasHead(frame) || ((frame[3] ?? 0) & REPLY_BIT) === 0) return null;
  const view = viewOf(frame);
  const status = frame[4] ?? TimedStatus.INTERNAL;
  if (!isStatus(status)) return null;
  const nonce = timedNonce(view.getUint32(5, true));
  switch (frame.length) {
    case SHORT_REPLY_LENGTH:
      return { kind: 'short', opByte, status, nonce };
    case SLEEP_REPLY_LENGTH:
      if (opByte !== TimedOp.SLEEP_UNTIL) return null;
      return { kind: 'sleep', status, nonce, wake: deadlineNs(view.getBigUint64(9, true)) };
    case REGISTER_REPLY_LENGTH: {
      if (opByte !== TimedOp.REGISTER) return null;
      const coalesced = deadlineNs(view.getBigUint64(13, true));
      return { kind: 'register', status, nonce, id: timerId(view.getUint32(9, true)), coalesced };
    }
    default:
      return null;
  }
}

function isStatus(byte: number): byte is TimedStatus {
  return byte <= TimedStatus.INTERNAL;
}

function hasHead(frame: Uint8Array): boolean {
  return frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === VERSION;
}

function head(opByte: number, length: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(length);
  frame.set([MAGIC_0, MAGIC_1, VERSION, opByte]);
  return frame;
}

function replyHead(
  opByte: number,
  length: number,
  reply: { readonly status: TimedStatus; readonly nonce: TimedNonce },
): Uint8Array<ArrayBuffer> {
  const frame = head(opByte | REPLY_BIT, length);
  frame[4] = reply.status;
  viewOf(frame).setUint32(5, reply.nonce, true);
  return frame;
}

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}
