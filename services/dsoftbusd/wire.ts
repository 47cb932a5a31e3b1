/**
 * dsoftbusd's own protocol, magic `DS`, version 1 (sheet 70, section 12.9): what tasks of a node ask about the other node.
 * No nonce. Every byte string decodes to a request or to its reject class.
 */
import { unreachable } from '../../sim/assert.ts';

const MAGIC_0 = 0x44;
const MAGIC_1 = 0x53;
const VERSION = 1;
const REPLY_BIT = 0x80;
const HEAD = 4;
const NAME_AT = 5;
const STATUS_AT = 4;
const COUNT_AT = 5;
const LIST_REPLY = 7;

/** Operation bytes. */
export const SoftbusOp = { REMOTE_RESOLVE: 1, REMOTE_BUNDLE_LIST: 2, LOG_PROBE: 0x7f } as const;
/** Status bytes. */
export const SoftbusStatus = { OK: 0, FAIL: 1 } as const;

/** Bytes of a name, 1..255. */
export const NAME_MAX = 255;
export type RemoteName = Uint8Array & { readonly __brand: 'RemoteName' };

/** `name` is a view of the frame. */
export type SoftbusRequest =
  { readonly op: 'remote_resolve'; readonly name: RemoteName } | { readonly op: 'remote_bundle_list' | 'log_probe' };

/** Why a frame is no request, in the order of the checks. */
export type RejectClass = 'head' | 'unknown-op' | 'length';

/** A refused frame; `opByte` is what its reply carries, without bit 7. */
export interface Reject {
  readonly op: 'reject';
  readonly reason: RejectClass;
  readonly opByte: number;
}

/** What a request came to. */
export type SoftbusReply =
  | { readonly op: 'remote_resolve' | 'log_probe'; readonly ok: boolean }
  /** Bundles on the other node; null: failed. */
  | { readonly op: 'remote_bundle_list'; readonly count: number | null };

/** 1..255 bytes as a name. */
export function remoteName(bytes: Uint8Array): RemoteName | null {
  return bytes.length === 0 || bytes.length > NAME_MAX ? null : (bytes as RemoteName);
}

/** Decodes any bytes. */
export function decodeRequest(frame: Uint8Array): SoftbusRequest | Reject {
  if (frame.length < HEAD || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1 || frame[2] !== VERSION) {
    return { op: 'reject', reason: 'head', opByte: 0 };
  }
  const opByte = frame[3] ?? 0;
  switch (opByte) {
    case SoftbusOp.REMOTE_RESOLVE: {
      const name = remoteName(frame.subarray(NAME_AT));
      if (name === null || frame[4] !== name.length) return { op: 'reject', reason: 'length', opByte };
      return { op: 'remote_resolve', name };
    }
    case SoftbusOp.REMOTE_BUNDLE_LIST:
      return { op: 'remote_bundle_list' };
    case SoftbusOp.LOG_PROBE:
      return { op: 'log_probe' };
    default:
      return { op: 'reject', reason: 'unknown-op', opByte };
  }
}

/** Encodes a request (clients and tests). */
export function encodeRequest(request: SoftbusRequest): Uint8Array {
  switch (request.op) {
    case 'remote_resolve':
      return frameOf(SoftbusOp.REMOTE_RESOLVE, [request.name.length, ...request.name]);
    case 'remote_bundle_list':
      return frameOf(SoftbusOp.REMOTE_BUNDLE_LIST, []);
    case 'log_probe':
      return frameOf(SoftbusOp.LOG_PROBE, []);
  }
}

/** The reply to a request. */
export function encodeReply(reply: SoftbusReply): Uint8Array {
  switch (reply.op) {
    case 'remote_resolve':
      return frameOf(SoftbusOp.REMOTE_RESOLVE | REPLY_BIT, [statusOf(reply.ok)]);
    case 'log_probe':
      return frameOf(SoftbusOp.LOG_PROBE | REPLY_BIT, [statusOf(reply.ok)]);
    case 'remote_bundle_list': {
      const count = reply.count ?? 0;
      const body = [statusOf(reply.count !== null), count & 0xff, (count >> 8) & 0xff];
      return frameOf(SoftbusOp.REMOTE_BUNDLE_LIST | REPLY_BIT, body);
    }
    default:
      return unreachable(reply);
  }
}

/** The reply to a frame that is no request. */
export function encodeReject(reject: Reject): Uint8Array {
  return frameOf(reject.opByte | REPLY_BIT, [SoftbusStatus.FAIL]);
}

/** A reply as its client reads it; null: none of this protocol, or of another length. */
export function decodeReply(frame: Uint8Array): SoftbusReply | null {
  if (frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1 || frame[2] !== VERSION) return null;
  const ok = frame[STATUS_AT] === SoftbusStatus.OK;
  switch (frame[3]) {
    case SoftbusOp.REMOTE_RESOLVE | REPLY_BIT:
      return frame.length === HEAD + 1 ? { op: 'remote_resolve', ok } : null;
    case SoftbusOp.LOG_PROBE | REPLY_BIT:
      return frame.length === HEAD + 1 ? { op: 'log_probe', ok } : null;
    case SoftbusOp.REMOTE_BUNDLE_LIST | REPLY_BIT: {
      if (frame.length !== LIST_REPLY) return null;
      const count = (frame[COUNT_AT] ?? 0) | ((frame[COUNT_AT + 1] ?? 0) << 8);
      return { op: 'remote_bundle_list', count: ok ? count : null };
    }
    default:
      return null;
  }
}

function statusOf(ok: boolean): number {
  return ok ? SoftbusStatus.OK : SoftbusStatus.FAIL;
}

function frameOf(opByte: number, rest: readonly number[]): Uint8Array {
  return Uint8Array.from([MAGIC_0, MAGIC_1, VERSION, opByte, ...rest]);
}
