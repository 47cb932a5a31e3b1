/**
 * samgrd's frames, version 1 (sheet 60, section 7.2): magic `SM`. Four ops are known by their first four bytes; the rest
 * goes to the table's ops, with their own checks. Decoding never throws.
 */
import { unreachable } from '../../sim/assert.ts';

const MAGIC_0 = 0x53;
const MAGIC_1 = 0x4d;
const VERSION = 1;
const REPLY_BIT = 0x80;

/** Op byte. */
export const SamgrOp = {
  REGISTER: 1,
  LOOKUP: 2,
  PING_CAP_MOVE: 3,
  SENDER_PID: 4,
  SENDER_SERVICE_ID: 5,
  RESOLVE_STATUS: 6,
  LOG_PROBE: 0x7f,
} as const;

/** Status byte. */
export const SamgrStatus = {
  OK: 0,
  NOT_FOUND: 1,
  MALFORMED: 2,
  UNSUPPORTED: 3,
} as const;
export type SamgrStatus = (typeof SamgrStatus)[keyof typeof SamgrStatus];

/** Log probe's status byte when logd did not take the record. */
export const PROBE_FAILED = 3;
/** Bytes of a table answer. */
export const TABLE_REPLY_LENGTH = 13;
/** Bytes of a name: REGISTER and LOOKUP by their length byte, RESOLVE_STATUS less. */
export const NAME_MAX = 255;
export const RESOLVE_NAME_MAX = 48;

const PING_NONCE_LENGTH = 12;
const PID_NONCE_LENGTH = 16;
const ID_NONCE_LENGTH = 12;
const REGISTER_HEADER = 13;
const NAME_HEADER = 5;

/** Name bytes, one character per byte. */
export type EntryName = string & { readonly __brand: 'EntryName' };
/** A slot number as a client gave it; samgrd stores it and believes nothing. */
export type SlotNumber = number & { readonly __brand: 'SlotNumber' };

/** The two slots a registration stores, from the registering task's view. */
export interface EntrySlots {
  readonly send: SlotNumber;
  readonly recv: SlotNumber;
}

/** Ops that change or read the table. */
export type TableRequest =
  | {
      readonly op: 'register';
      readonly name: EntryName;
      readonly slots: EntrySlots;
    }
  | { readonly op: 'lookup'; readonly name: EntryName }
  | { readonly op: 'resolve_status'; readonly name: EntryName };

/** Ops about the message itself. `nonce` null: the form without one. */
export type SenderRequest =
  | { readonly op: 'ping'; readonly nonce: bigint | null }
  | { readonly op: 'sender_pid'; readonly nonce: bigint | null }
  | { readonly op: 'sender_service_id'; readonly nonce: bigint | null };

export type SamgrRequest = TableRequest | SenderRequest | { readonly op: 'log_probe' };

/** A refused frame: the op byte its answer carries (without bit 7) and the status. */
export interface Rejected {
  readonly op: 'reject';
  readonly opByte: number;
  readonly status: typeof SamgrStatus.MALFORMED | typeof SamgrStatus.UNSUPPORTED;
}

/** Decodes a frame; `moved` says whether a capability came with it. */
export function decodeRequest(frame: Uint8Array, moved: boolean): SamgrRequest | Rejected {
  if (hasHead(frame)) {
    switch (frame[3]) {
      case SamgrOp.LOG_PROBE:
        return { op: 'log_probe' };
      case SamgrOp.PING_CAP_MOVE:
        return { op: 'ping', nonce: nonceIf(frame, PING_NONCE_LENGTH, 4) };
      case SamgrOp.SENDER_PID:
        if (moved)
          return {
            op: 'sender_pid',
            nonce: nonceIf(frame, PID_NONCE_LENGTH, 8),
          };
        break;
      case SamgrOp.SENDER_SERVICE_ID:
        if (moved)
          return {
            op: 'sender_service_id',
            nonce: nonceIf(frame, ID_NONCE_LENGTH, 4),
          };
        break;
      default:
        break;
    }
  }
  return decodeTable(frame);
}

/** True for the frames samgrd greets with `register seen`: `SM` 1 1, whatever follows. */
export function looksLikeRegister(frame: Uint8Array): boolean {
  return hasHead(frame) && frame[3] === SamgrOp.REGISTER;
}

function decodeTable(frame: Uint8Array): SamgrRequest | Rejected {
  if (frame.length < NAME_HEADER || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1) return malformed(SamgrOp.LOOKUP);
  const op = frame[3] ?? 0;
  if (frame[2] !== VERSION) return { op: 'reject', opByte: op, status: SamgrStatus.UNSUPPORTED };
  const n = frame[4] ?? 0;
  switch (op) {
    case SamgrOp.REGISTER: {
      if (n === 0 || frame.length !== REGISTER_HEADER + n) return malformed(op);
      const slots = { send: slotAt(frame, 5), recv: slotAt(frame, 9) };
      return { op: 'register', name: nameFrom(frame, REGISTER_HEADER), slots };
    }
    case SamgrOp.LOOKUP:
      if (n === 0 || frame.length !== NAME_HEADER + n) return malformed(op);
      return { op: 'lookup', name: nameFrom(frame, NAME_HEADER) };
    case SamgrOp.RESOLVE_STATUS:
      if (n === 0 || n > RESOLVE_NAME_MAX || frame.length !== NAME_HEADER + n) return malformed(op);
      return { op: 'resolve_status', name: nameFrom(frame, NAME_HEADER) };
    default:
      return { op: 'reject', opByte: op, status: SamgrStatus.UNSUPPORTED };
  }
}

function malformed(opByte: number): Rejected {
  return { op: 'reject', opByte, status: SamgrStatus.MALFORMED };
}

/** A text as name bytes. */
export function entryName(text: string): EntryName {
  return latin1(new TextEncoder().encode(text));
}

/** Encodes a request (clients and tests). */
export function encodeRequest(request: SamgrRequest): Uint8Array {
  switch (request.op) {
    case 'register': {
      const { send, recv } = request.slots;
      return head(SamgrOp.REGISTER, [request.name.length, ...le(send, 4), ...le(recv, 4), ...codes(request.name)]);
    }
    case 'lookup':
      return head(SamgrOp.LOOKUP, [request.name.length, ...codes(request.name)]);
    case 'resolve_status':
      return head(SamgrOp.RESOLVE_STATUS, [request.name.length, ...codes(request.name)]);
    case 'ping':
      return head(SamgrOp.PING_CAP_MOVE, nonceBytes(request.nonce));
    case 'sender_pid':
      return head(SamgrOp.SENDER_PID, request.nonce === null ? [] : [0, 0, 0, 0, ...le(request.nonce, 8)]);
    case 'sender_service_id':
      return head(SamgrOp.SENDER_SERVICE_ID, nonceBytes(request.nonce));
    case 'log_probe':
      return head(SamgrOp.LOG_PROBE, []);
    default:
      return unreachable(request);
  }
}

/** The 13-byte answer of the table's ops and of refusals; slots are 0 but in a LOOKUP that found. */
export function encodeTableReply(opByte: number, status: SamgrStatus, slots: EntrySlots | null = null): Uint8Array {
  return head(opByte | REPLY_BIT, [status, ...le(slots?.send ?? 0, 4), ...le(slots?.recv ?? 0, 4)]);
}

/** Op byte of a table request. */
export function tableOpByte(request: TableRequest): number {
  switch (request.op) {
    case 'register':
      return SamgrOp.REGISTER;
    case 'lookup':
      return SamgrOp.LOOKUP;
    case 'resolve_status':
      return SamgrOp.RESOLVE_STATUS;
    default:
      return unreachable(request);
  }
}

/** `PONG`, with the request's nonce behind it. */
export function encodePong(nonce: bigint | null): Uint8Array {
  return Uint8Array.from([0x50, 0x4f, 0x4e, 0x47, ...nonceBytes(nonce)]);
}

/** Answer to SENDER_PID: the pid that the kernel wrote. */
export function encodeSenderPid(pid: number, nonce: bigint | null): Uint8Array {
  return head(SamgrOp.SENDER_PID | REPLY_BIT, [SamgrStatus.OK, ...le(pid, 4), ...nonceBytes(nonce)]);
}

/** Answer to SENDER_SERVICE_ID: the id that the kernel attests. */
export function encodeSenderServiceId(id: bigint, nonce: bigint | null): Uint8Array {
  return head(SamgrOp.SENDER_SERVICE_ID | REPLY_BIT, [SamgrStatus.OK, ...le(id, 8), ...nonceBytes(nonce)]);
}

/** Answer to LOG_PROBE, 5 bytes. */
export function encodeProbeReply(logged: boolean): Uint8Array {
  return head(SamgrOp.LOG_PROBE | REPLY_BIT, [logged ? SamgrStatus.OK : PROBE_FAILED]);
}

function hasHead(frame: Uint8Array): boolean {
  return frame.length >= 4 && frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === VERSION;
}

function nonceIf(frame: Uint8Array, length: number, at: number): bigint | null {
  return frame.length === length ? view(frame).getBigUint64(at, true) : null;
}

function slotAt(frame: Uint8Array, at: number): SlotNumber {
  return view(frame).getUint32(at, true) as SlotNumber;
}

function view(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

function nameFrom(frame: Uint8Array, at: number): EntryName {
  return latin1(frame.subarray(at));
}

function latin1(bytes: Uint8Array): EntryName {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text as EntryName;
}

function head(opByte: number, rest: readonly number[]): Uint8Array {
  return Uint8Array.from([MAGIC_0, MAGIC_1, VERSION, opByte, ...rest]);
}

function codes(name: EntryName): number[] {
  return Array.from(name, (char) => char.charCodeAt(0));
}

function nonceBytes(nonce: bigint | null): number[] {
  return nonce === null ? [] : le(nonce, 8);
}

function le(value: number | bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
}
