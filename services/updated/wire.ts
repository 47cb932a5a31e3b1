/**
 * updated's protocol, magic `UD`, version 1 (sheet 55, section 3). No nonce. Every byte string decodes to a request or to
 * the reject class that the sheet's order of checks names. All integers are little-endian.
 */
import { unreachable } from '../../sim/assert.ts';

const MAGIC_0 = 0x55;
const MAGIC_1 = 0x44;
const VERSION = 1;
const REPLY_BIT = 0x80;

/** Operation bytes. */
export const UpdatedOp = {
  STAGE: 1,
  SWITCH: 2,
  HEALTH_OK: 3,
  GET_STATUS: 4,
  BOOT_ATTEMPT: 5,
  LOG_PROBE: 0x7f,
} as const;

/** Status bytes. */
export const UpdatedStatus = { OK: 0, MALFORMED: 1, UNSUPPORTED: 2, FAILED: 3 } as const;
export type UpdatedStatus = (typeof UpdatedStatus)[keyof typeof UpdatedStatus];

/** Largest archive that STAGE announces, bytes. The kernel's frame limit leaves room for 8184. */
export const STAGE_MAX = 8192;
const HEADER = 4;
const STAGE_HEADER = 8;
const SWITCH_LENGTH = 5;
const REPLY_HEADER = 7;
const NO_BYTES = new Uint8Array(0);

/** A slot of the system. */
export type SlotId = 'a' | 'b';
/** Boot attempts a new slot gets, 1..255. */
export type Tries = number & { readonly __brand: 'Tries' };
/** Archive bytes of a STAGE, 1..{@link STAGE_MAX}. */
export type ArchiveBytes = Uint8Array & { readonly __brand: 'ArchiveBytes' };

/** Code of a slot on all wires and in the bootctl record. */
export function slotCode(slot: SlotId): number {
  return slot === 'a' ? 1 : 2;
}

/** The slot of a code, or null. */
export function slotOfCode(code: number | undefined): SlotId | null {
  if (code === 1) return 'a';
  return code === 2 ? 'b' : null;
}

/** A decoded request; `archive` is a view of the frame. */
export type UpdatedRequest =
  | { readonly op: 'stage'; readonly archive: ArchiveBytes }
  | { readonly op: 'switch'; readonly tries: Tries }
  | { readonly op: 'health_ok' | 'get_status' | 'boot_attempt' | 'log_probe' };

/** Why a request was refused. */
export type RejectClass = 'malformed' | 'unsupported';

/** A refused frame; `opByte` is what its reply carries, without bit 7. */
export interface Reject {
  readonly op: 'reject';
  readonly reason: RejectClass;
  readonly opByte: number;
}

/** True for frames that are announced by their op byte: header right, whatever follows. */
export function hasHeader(frame: Uint8Array): boolean {
  return frame.length >= HEADER && frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === VERSION;
}

/** Decodes any bytes. */
export function decodeRequest(frame: Uint8Array): UpdatedRequest | Reject {
  if (!hasHeader(frame)) return reject('malformed', UpdatedOp.STAGE);
  const op = frame[3] ?? 0;
  switch (op) {
    case UpdatedOp.STAGE: {
      if (frame.length < STAGE_HEADER) return reject('malformed', op);
      const length = viewOf(frame).getUint32(4, true);
      if (length === 0 || length > STAGE_MAX || frame.length !== STAGE_HEADER + length) return reject('malformed', op);
      return { op: 'stage', archive: frame.subarray(STAGE_HEADER) as ArchiveBytes };
    }
    case UpdatedOp.SWITCH: {
      const tries = frame[4] ?? 0;
      return frame.length === SWITCH_LENGTH && tries > 0
        ? { op: 'switch', tries: tries as Tries }
        : reject('malformed', op);
    }
    case UpdatedOp.HEALTH_OK:
      return frame.length === HEADER ? { op: 'health_ok' } : reject('malformed', op);
    case UpdatedOp.GET_STATUS:
      return { op: 'get_status' };
    case UpdatedOp.BOOT_ATTEMPT:
      return frame.length === HEADER ? { op: 'boot_attempt' } : reject('malformed', op);
    case UpdatedOp.LOG_PROBE:
      return { op: 'log_probe' };
    default:
      return reject('unsupported', op);
  }
}

function reject(reason: RejectClass, opByte: number): Reject {
  return { op: 'reject', reason, opByte };
}

/** Number of attempts as a field; null outside 1..255. */
export function triesOf(value: number): Tries | null {
  return Number.isInteger(value) && value >= 1 && value <= 255 ? (value as Tries) : null;
}

/** Archive bytes as a field; null when empty or over {@link STAGE_MAX}. */
export function archiveOf(bytes: Uint8Array): ArchiveBytes | null {
  return bytes.length >= 1 && bytes.length <= STAGE_MAX ? (bytes as ArchiveBytes) : null;
}

/** Op byte of a request. */
export function opByteOf(request: UpdatedRequest): number {
  switch (request.op) {
    case 'stage':
      return UpdatedOp.STAGE;
    case 'switch':
      return UpdatedOp.SWITCH;
    case 'health_ok':
      return UpdatedOp.HEALTH_OK;
    case 'get_status':
      return UpdatedOp.GET_STATUS;
    case 'boot_attempt':
      return UpdatedOp.BOOT_ATTEMPT;
    case 'log_probe':
      return UpdatedOp.LOG_PROBE;
    default:
      return unreachable(request);
  }
}

/** Encodes a request (clients and tests). */
export function encodeRequest(request: UpdatedRequest): Uint8Array {
  const op = opByteOf(request);
  switch (request.op) {
    case 'stage': {
      const frame = start(op, STAGE_HEADER + request.archive.length);
      viewOf(frame).setUint32(4, request.archive.length, true);
      frame.set(request.archive, STAGE_HEADER);
      return frame;
    }
    case 'switch': {
      const frame = start(op, SWITCH_LENGTH);
      frame[4] = request.tries;
      return frame;
    }
    case 'health_ok':
    case 'get_status':
    case 'boot_attempt':
    case 'log_probe':
      return start(op, HEADER);
    default:
      return unreachable(request);
  }
}

/** A reply to op byte `opByte`. */
export function encodeReply(opByte: number, status: UpdatedStatus, payload: Uint8Array = NO_BYTES): Uint8Array {
  const frame = start((opByte | REPLY_BIT) & 0xff, REPLY_HEADER + payload.length);
  frame[4] = status;
  viewOf(frame).setUint16(5, payload.length, true);
  frame.set(payload, REPLY_HEADER);
  return frame;
}

/** The reply to a refused frame. */
export function encodeReject(refused: Reject): Uint8Array {
  const status = refused.reason === 'malformed' ? UpdatedStatus.MALFORMED : UpdatedStatus.UNSUPPORTED;
  return encodeReply(refused.opByte, status);
}

/** A reply as its client sees it; `opByte` without bit 7, `payload` a view. */
export interface UpdatedReply {
  readonly opByte: number;
  readonly status: number;
  readonly payload: Uint8Array;
}

/** Decodes a reply whose length is what it says; null for anything else. */
export function decodeReply(frame: Uint8Array): UpdatedReply | null {
  if (frame.length < REPLY_HEADER || !hasHeader(frame)) return null;
  const op = frame[3] ?? 0;
  if ((op & REPLY_BIT) === 0 || frame.length !== REPLY_HEADER + viewOf(frame).getUint16(5, true)) return null;
  return { opByte: op & ~REPLY_BIT, status: frame[4] ?? 0, payload: frame.subarray(REPLY_HEADER) };
}

function start(op: number, length: number): Uint8Array {
  const frame = new Uint8Array(length);
  frame[0] = MAGIC_0;
  frame[1] = MAGIC_1;
  frame[2] = VERSION;
  frame[3] = op;
  return frame;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
