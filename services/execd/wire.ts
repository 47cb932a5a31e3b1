/**
 * execd's frames (sheet 60, sections 6.2 and 6.3): its own protocol `EX` version 1, and its side of init's exec check `PC`
 * version 1. Little-endian. Decoding never throws: what is no request becomes the reject its answer needs.
 */
import { unreachable } from '../../sim/assert.ts';

const MAGIC_0 = 0x45;
const MAGIC_1 = 0x58;
const VERSION = 1;
const REPLY_BIT = 0x80;

/** Op byte. */
export const ExecdOp = { EXEC_IMAGE: 1, REPORT_EXIT: 2, WAIT_PID: 3 } as const;

/** Status byte. */
export const ExecdStatus = { OK: 0, MALFORMED: 1, UNSUPPORTED: 2, FAILED: 3, DENIED: 4 } as const;
export type ExecdStatus = (typeof ExecdStatus)[keyof typeof ExecdStatus];

/** Frame lengths, and bytes of a requester's name. */
export const SHORT_REPLY_LENGTH = 9;
export const WAIT_REPLY_LENGTH = 13;
export const REQUESTER_MAX = 48;
const HEAD_LENGTH = 4;
const EXEC_HEADER = 7;
const REPORT_LENGTH = 12;
const WAIT_LENGTH = 8;

/** Bytes of the requester's name as sent, 1..48. A claim: the kernel's sender id decides. */
export type Requester = Uint8Array & { readonly __brand: 'Requester' };
/** u32 pid as a client names it. */
export type ClaimedPid = number & { readonly __brand: 'ClaimedPid' };

/** A name that fits its length byte, null for others. */
export function requester(bytes: Uint8Array): Requester | null {
  return bytes.length >= 1 && bytes.length <= REQUESTER_MAX ? (bytes as Requester) : null;
}

/** The low 32 bits as a pid. */
export function claimedPid(value: number): ClaimedPid {
  return (value >>> 0) as ClaimedPid;
}

/** A request. `image` and `stackPages` are bytes as sent; `code` is signed. */
export type ExecdRequest =
  | {
      readonly op: 'exec_image';
      readonly image: number;
      readonly stackPages: number;
      readonly requester: Requester;
    }
  | { readonly op: 'report_exit'; readonly pid: ClaimedPid; readonly code: number }
  | { readonly op: 'wait_pid'; readonly pid: ClaimedPid };

/** A refused frame: the op byte of its answer (without bit 7), and the status. */
export interface ExecdReject {
  readonly op: 'reject';
  readonly opByte: number;
  readonly status: typeof ExecdStatus.MALFORMED | typeof ExecdStatus.UNSUPPORTED;
}

/** Decodes a frame, in the sheet's order: head, version, then length by op. */
export function decodeRequest(frame: Uint8Array): ExecdRequest | ExecdReject {
  if (frame.length < HEAD_LENGTH || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1) {
    return reject(ExecdOp.EXEC_IMAGE, ExecdStatus.MALFORMED);
  }
  const opByte = frame[3] ?? 0;
  if (frame[2] !== VERSION) return reject(opByte, ExecdStatus.UNSUPPORTED);
  const view = viewOf(frame);
  switch (opByte) {
    case ExecdOp.WAIT_PID:
      if (frame.length !== WAIT_LENGTH) return reject(opByte, ExecdStatus.MALFORMED);
      return { op: 'wait_pid', pid: claimedPid(view.getUint32(4, true)) };
    case ExecdOp.REPORT_EXIT:
      if (frame.length !== REPORT_LENGTH) return reject(opByte, ExecdStatus.MALFORMED);
      return { op: 'report_exit', pid: claimedPid(view.getUint32(4, true)), code: view.getInt32(8, true) };
    case ExecdOp.EXEC_IMAGE: {
      if (frame.length < EXEC_HEADER) return reject(opByte, ExecdStatus.MALFORMED);
      const name = requester(frame.subarray(EXEC_HEADER));
      if (name === null || name.length !== frame[6]) return reject(opByte, ExecdStatus.MALFORMED);
      return { op: 'exec_image', image: frame[4] ?? 0, stackPages: frame[5] ?? 0, requester: name };
    }
    default:
      return reject(opByte, ExecdStatus.UNSUPPORTED);
  }
}

function reject(opByte: number, status: ExecdReject['status']): ExecdReject {
  return { op: 'reject', opByte: opByte & ~REPLY_BIT, status };
}

/** Encodes a request (clients and tests). */
export function encodeRequest(request: ExecdRequest): Uint8Array<ArrayBuffer> {
  switch (request.op) {
    case 'exec_image': {
      const name = request.requester;
      const frame = head(ExecdOp.EXEC_IMAGE, EXEC_HEADER + name.length);
      frame.set([request.image, request.stackPages, name.length], 4);
      frame.set(name, EXEC_HEADER);
      return frame;
    }
    case 'report_exit': {
      const frame = head(ExecdOp.REPORT_EXIT, REPORT_LENGTH);
      viewOf(frame).setUint32(4, request.pid, true);
      viewOf(frame).setInt32(8, request.code, true);
      return frame;
    }
    case 'wait_pid': {
      const frame = head(ExecdOp.WAIT_PID, WAIT_LENGTH);
      viewOf(frame).setUint32(4, request.pid, true);
      return frame;
    }
    default:
      return unreachable(request);
  }
}

/** An answer. `code` is there in WAIT_PID's long form alone; `opByte` has no bit 7. */
export interface ExecdReply {
  readonly opByte: number;
  readonly status: ExecdStatus;
  readonly pid: ClaimedPid;
  readonly code: number | null;
}

/** The 9-byte answer. */
export function shortReply(opByte: number, status: ExecdStatus, pid = 0): ExecdReply {
  return { opByte, status, pid: claimedPid(pid), code: null };
}

/** WAIT_PID's 13-byte answer. */
export function waitReply(status: ExecdStatus, pid: number, code: number): ExecdReply {
  return { opByte: ExecdOp.WAIT_PID, status, pid: claimedPid(pid), code };
}

/** Encodes an answer. */
export function encodeReply(reply: ExecdReply): Uint8Array<ArrayBuffer> {
  const { opByte, status, pid, code } = reply;
  const frame = head(opByte | REPLY_BIT, code === null ? SHORT_REPLY_LENGTH : WAIT_REPLY_LENGTH);
  frame[4] = status;
  viewOf(frame).setUint32(5, pid, true);
  if (code !== null) viewOf(frame).setInt32(9, code, true);
  return frame;
}

/** Decodes an answer (clients and tests); null for anything that execd does not send. */
export function decodeReply(frame: Uint8Array): ExecdReply | null {
  if (frame.length !== SHORT_REPLY_LENGTH && frame.length !== WAIT_REPLY_LENGTH) return null;
  const [magic0, magic1, version, op = 0, status = 0] = frame;
  if (magic0 !== MAGIC_0 || magic1 !== MAGIC_1 || version !== VERSION || (op & REPLY_BIT) === 0) return null;
  const opByte = op & ~REPLY_BIT;
  const long = frame.length === WAIT_REPLY_LENGTH;
  if (!isStatus(status) || (long && opByte !== ExecdOp.WAIT_PID)) return null;
  const view = viewOf(frame);
  return { opByte, status, pid: claimedPid(view.getUint32(5, true)), code: long ? view.getInt32(9, true) : null };
}

function isStatus(byte: number): byte is ExecdStatus {
  return byte <= ExecdStatus.DENIED;
}

// -- init's exec check (sheet 20, section 7.4; sheet 60, section 6.3) ------------------------------------------------------

const CHECK_MAGIC_0 = 0x50;
const CHECK_MAGIC_1 = 0x43;
const CHECK_OP = 1;
const CHECK_HEADER = 9;
export const CHECK_REPLY_LENGTH = 9;
/** Status byte of an allowed check; 1 denies, 2 says malformed. */
export const CHECK_ALLOW = 0;

/** u32 nonce of an exec check, never 0. */
export type CheckNonce = number & { readonly __brand: 'CheckNonce' };

/** The nonces of one execd: from 1, leaving 0 out. */
export class CheckNonces {
  #next: number;

  /** `first`: 1 but in tests of the wrap. */
  constructor(first = 1) {
    this.#next = first;
  }

  next(): CheckNonce {
    const nonce = this.#next >>> 0 || 1;
    this.#next = (nonce + 1) >>> 0;
    return nonce as CheckNonce;
  }
}

/** The question: may `name` run `image`? */
export function encodeExecCheck(nonce: CheckNonce, name: Requester, image: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(CHECK_HEADER + name.length + 1);
  frame.set([CHECK_MAGIC_0, CHECK_MAGIC_1, VERSION, CHECK_OP]);
  viewOf(frame).setUint32(4, nonce, true);
  frame[8] = name.length;
  frame.set(name, CHECK_HEADER);
  frame[CHECK_HEADER + name.length] = image;
  return frame;
}

/** Nonce of an exec-check answer, null for every other frame. */
export function checkReplyNonce(frame: Uint8Array): bigint | null {
  if (frame.length !== CHECK_REPLY_LENGTH) return null;
  const [magic0, magic1, version, op] = frame;
  if (magic0 !== CHECK_MAGIC_0 || magic1 !== CHECK_MAGIC_1 || version !== VERSION) return null;
  return op === (CHECK_OP | REPLY_BIT) ? BigInt(viewOf(frame).getUint32(4, true)) : null;
}

/** Fail-closed: the status byte of the answer to `nonce`, null for anything else. */
export function decodeCheckReply(frame: Uint8Array, nonce: CheckNonce): number | null {
  return checkReplyNonce(frame) === BigInt(nonce) ? (frame[8] ?? null) : null;
}

function head(opByte: number, length: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(length);
  frame.set([MAGIC_0, MAGIC_1, VERSION, opByte]);
  return frame;
}

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}
