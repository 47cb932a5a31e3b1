/**
 * bundlemgrd's protocol, magic `BN`, version 1 (sheet 55, section 10.2). No nonce. Every byte string decodes to a request
 * or to the reject class that the sheet's order of checks names. All integers are little-endian.
 */
import { unreachable } from '../../sim/assert.ts';
import { slotCode, slotOfCode } from '../updated/wire.ts';
import type { SlotId } from '../updated/wire.ts';

const MAGIC_0 = 0x42;
const MAGIC_1 = 0x4e;
const VERSION = 1;
const REPLY_BIT = 0x80;

/** Operation bytes. */
export const BundleOp = { LIST: 1, ROUTE_STATUS: 2, FETCH_IMAGE: 3, SET_ACTIVE_SLOT: 4, LOG_PROBE: 0x7f } as const;

/** Status bytes. */
export const BundleStatus = { OK: 0, MALFORMED: 1, UNSUPPORTED: 2 } as const;
export type BundleStatus = (typeof BundleStatus)[keyof typeof BundleStatus];

/** Status of a route as init gives it, handed on in ROUTE_STATUS. */
export const RouteStatus = { OK: 0, NOT_FOUND: 1, MALFORMED: 2, DENIED: 3 } as const;

/** Bundles that LIST counts: the system itself. */
export const BUNDLE_COUNT = 1;
/** Bytes of a target's name. */
export const TARGET_MAX = 48;
const HEADER = 4;
const NAME_HEADER = 5;
const SET_ACTIVE_LENGTH = 5;
const FIXED_REPLY = 8;
const IMAGE_REPLY_HEADER = 9;

/** Bytes of a ROUTE_STATUS target, 1..{@link TARGET_MAX}; may be no UTF-8. */
export type TargetName = Uint8Array & { readonly __brand: 'TargetName' };

/** A decoded request; `target` is a view of the frame. */
export type BundleRequest =
  | { readonly op: 'list' | 'fetch_image' | 'log_probe' }
  | { readonly op: 'route_status'; readonly target: TargetName }
  | { readonly op: 'set_active_slot'; readonly slot: SlotId };

/** Why a request was refused. */
export type RejectClass = 'malformed' | 'unsupported';

/** A refused frame; `opByte` is what its reply carries. */
export interface Reject {
  readonly op: 'reject';
  readonly reason: RejectClass;
  readonly opByte: number;
}

/** Decodes any bytes. */
export function decodeRequest(frame: Uint8Array): BundleRequest | Reject {
  if (frame.length < HEADER || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1) return reject('malformed', BundleOp.LIST);
  const op = frame[3] ?? 0;
  if (frame[2] !== VERSION) return reject('unsupported', op);
  switch (op) {
    case BundleOp.LIST:
      return frame.length === HEADER ? { op: 'list' } : reject('malformed', op);
    case BundleOp.ROUTE_STATUS: {
      const length = frame[4] ?? 0;
      if (length === 0 || length > TARGET_MAX || frame.length !== NAME_HEADER + length) return reject('malformed', op);
      return { op: 'route_status', target: frame.subarray(NAME_HEADER) as TargetName };
    }
    case BundleOp.FETCH_IMAGE:
      return { op: 'fetch_image' };
    case BundleOp.SET_ACTIVE_SLOT: {
      const slot = frame.length === SET_ACTIVE_LENGTH ? slotOfCode(frame[4]) : null;
      return slot === null ? reject('malformed', op) : { op: 'set_active_slot', slot };
    }
    case BundleOp.LOG_PROBE:
      return { op: 'log_probe' };
    default:
      return reject('unsupported', op);
  }
}

function reject(reason: RejectClass, opByte: number): Reject {
  return { op: 'reject', reason, opByte };
}

/** Bytes as a target; null when empty or over {@link TARGET_MAX}. */
export function targetName(bytes: Uint8Array): TargetName | null {
  return bytes.length >= 1 && bytes.length <= TARGET_MAX ? (bytes as TargetName) : null;
}

/** Encodes a request (clients and tests). */
export function encodeRequest(request: BundleRequest): Uint8Array {
  switch (request.op) {
    case 'list':
      return frameOf(BundleOp.LIST, []);
    case 'fetch_image':
      return frameOf(BundleOp.FETCH_IMAGE, []);
    case 'log_probe':
      return frameOf(BundleOp.LOG_PROBE, []);
    case 'route_status':
      return frameOf(BundleOp.ROUTE_STATUS, [request.target.length, ...request.target]);
    case 'set_active_slot':
      return frameOf(BundleOp.SET_ACTIVE_SLOT, [slotCode(request.slot)]);
    default:
      return unreachable(request);
  }
}

/** A fixed reply; `value` is the u16 behind the status. */
export function encodeReply(opByte: number, status: BundleStatus, value = 0): Uint8Array {
  return frameOf((opByte | REPLY_BIT) & 0xff, [status, value & 0xff, (value >> 8) & 0xff, 0]);
}

/** The reply to a refused frame. */
export function encodeReject(refused: Reject): Uint8Array {
  return encodeReply(
    refused.opByte,
    refused.reason === 'malformed' ? BundleStatus.MALFORMED : BundleStatus.UNSUPPORTED,
  );
}

/** The reply of FETCH_IMAGE. */
export function encodeImageReply(image: Uint8Array): Uint8Array {
  const frame = new Uint8Array(IMAGE_REPLY_HEADER + image.length);
  frame.set(frameOf(BundleOp.FETCH_IMAGE | REPLY_BIT, [BundleStatus.OK]));
  new DataView(frame.buffer).setUint32(5, image.length, true);
  frame.set(image, IMAGE_REPLY_HEADER);
  return frame;
}

/** A fixed reply to `opByte` as its client sees it: exactly 8 bytes, right head; null for any other frame. */
export function decodeReply(
  frame: Uint8Array,
  opByte: number,
): { readonly status: number; readonly value: number } | null {
  if (frame.length !== FIXED_REPLY || !isReplyTo(frame, opByte)) return null;
  return { status: frame[4] ?? 0, value: (frame[5] ?? 0) | ((frame[6] ?? 0) << 8) };
}

/** The image in a FETCH_IMAGE reply of status OK and exact length, a view; null for any other frame. */
export function decodeImageReply(frame: Uint8Array): Uint8Array | null {
  if (frame.length < IMAGE_REPLY_HEADER || !isReplyTo(frame, BundleOp.FETCH_IMAGE)) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame[4] !== BundleStatus.OK || view.getUint32(5, true) !== frame.length - IMAGE_REPLY_HEADER) return null;
  return frame.subarray(IMAGE_REPLY_HEADER);
}

function isReplyTo(frame: Uint8Array, opByte: number): boolean {
  return frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === VERSION && frame[3] === (opByte | REPLY_BIT);
}

function frameOf(op: number, body: readonly number[]): Uint8Array {
  return Uint8Array.of(MAGIC_0, MAGIC_1, VERSION, op, ...body);
}
