/**
 * policyd's frames (sheet 30, sections 2 and 3): magic `PO`, versions 1 (no nonce), 2 (nonce, names) and 3 (nonce, ids).
 * Every byte string decodes to a request or to the reject whose answer the sheet names; decoding never throws.
 */
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { unreachable } from '../../sim/assert.ts';

const MAGIC_0 = 0x50;
const MAGIC_1 = 0x4f;
/** Bit 7 of the op byte marks an answer. */
export const REPLY_BIT = 0x80;

/** Op byte (sheet 30, section 2). */
export const PolicyOp = {
  CHECK: 1,
  ROUTE: 2,
  EXEC: 3,
  CHECK_CAP: 4,
  CHECK_CAP_DELEGATED: 5,
  LOG_PROBE: 0x7f,
} as const;

/** Status byte of answers. */
export const PolicyStatus = {
  ALLOW: 0,
  DENY: 1,
  MALFORMED: 2,
  UNSUPPORTED: 3,
} as const;
export type PolicyStatus = (typeof PolicyStatus)[keyof typeof PolicyStatus];

/** Bytes below which nothing is a frame. */
export const FRAME_MIN = 6;
/** Bytes of a service name in ROUTE and EXEC; CHECK takes up to 255. */
export const NAME_MAX = 48;
export const CHECK_NAME_MAX = 255;
/** Bytes of a capability name the server accepts; 0 is well formed and denied. */
export const CAPABILITY_MAX = 48;
/** Bytes of answers: version 1, versions 2 and 3. */
export const REPLY_V1_LENGTH = 6;
export const REPLY_NONCE_LENGTH = 10;

/** u32 of the client's choosing, echoed as it came; 0 in answers to requests too short to carry one. */
export type PolicyNonce = number & { readonly __brand: 'PolicyNonce' };
/** Capability name as asked: valid UTF-8 of 0..48 bytes. Bytes that are not UTF-8 are read as the empty name. */
export type CapabilityName = string & { readonly __brand: 'CapabilityName' };
/** Service name as claimed in a payload: one character per byte, so any bytes are a name. */
export type ClaimedName = string & { readonly __brand: 'ClaimedName' };

const NO_NONCE = 0 as PolicyNonce;

/** Any u32 is a nonce; other numbers wrap. */
export function policyNonce(value: number): PolicyNonce {
  return (value >>> 0) as PolicyNonce;
}

/** CHECK: may the named service take part at all (`ipc.core`)? */
export interface CheckRequest {
  readonly op: 'check';
  readonly version: 1;
  readonly requester: ClaimedName;
}

/** ROUTE: may `requester` be told the way to `target`? */
export type RouteRequest =
  | {
      readonly op: 'route';
      readonly version: 1;
      readonly requester: ClaimedName;
      readonly target: ClaimedName;
    }
  | {
      readonly op: 'route';
      readonly version: 2;
      readonly nonce: PolicyNonce;
      readonly requester: ClaimedName;
      readonly target: ClaimedName;
    }
  | {
      readonly op: 'route';
      readonly version: 3;
      readonly nonce: PolicyNonce;
      readonly requester: ServiceId;
      readonly target: ServiceId;
    };

/** EXEC: may `requester` start image `image` (a u8 that decides nothing)? */
export type ExecRequest =
  | {
      readonly op: 'exec';
      readonly version: 1;
      readonly requester: ClaimedName;
      readonly image: number;
    }
  | {
      readonly op: 'exec';
      readonly version: 2;
      readonly nonce: PolicyNonce;
      readonly requester: ClaimedName;
      readonly image: number;
    }
  | {
      readonly op: 'exec';
      readonly version: 3;
      readonly nonce: PolicyNonce;
      readonly requester: ServiceId;
      readonly image: number;
    };

/** CHECK_CAP: does the asking service hold the capability? */
export interface CheckCapRequest {
  readonly op: 'check_cap';
  readonly version: 1;
  readonly subject: ServiceId;
  readonly capability: CapabilityName;
}

/** CHECK_CAP_DELEGATED: does `subject`, whose request a delegate serves, hold the capability? */
export type DelegatedRequest =
  | {
      readonly op: 'check_cap_delegated';
      readonly version: 1;
      readonly subject: ServiceId;
      readonly capability: CapabilityName;
    }
  | {
      readonly op: 'check_cap_delegated';
      readonly version: 2;
      readonly nonce: PolicyNonce;
      readonly subject: ServiceId;
      readonly capability: CapabilityName;
    };

/** A request that policy decides. `op` is the word audit records use. */
export type DecidedRequest = CheckRequest | RouteRequest | ExecRequest | CheckCapRequest | DelegatedRequest;

/** Every well-formed frame. */
export type PolicyRequest = DecidedRequest | { readonly op: 'log_probe'; readonly version: 1 };

/** An answer. Version 1 carries no nonce. `op` is the op byte without or with bit 7. */
export type PolicyReply =
  | { readonly version: 1; readonly op: number; readonly status: number }
  | {
      readonly version: 2 | 3;
      readonly op: number;
      readonly nonce: PolicyNonce;
      readonly status: number;
    };

/** Outcome of decoding: a request, or the answer that refuses the frame. */
export type Decoded =
  | { readonly ok: true; readonly request: PolicyRequest }
  | {
      readonly ok: false;
      readonly reject: 'malformed' | 'unsupported';
      readonly reply: PolicyReply;
    };

/** Decodes a request frame in the order of sheet 30, section 2. */
export function decodeRequest(frame: Uint8Array): Decoded {
  if (frame.length < FRAME_MIN || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1) return malformed(1, PolicyOp.CHECK);
  const version = frame[2] ?? 0;
  const op = frame[3] ?? 0;
  switch (version) {
    case 1:
      return decodeV1(frame, op);
    case 2:
      return decodeV2(frame, op);
    case 3:
      return decodeV3(frame, op);
    default:
      return unsupported(op);
  }
}

function decodeV1(frame: Uint8Array, op: number): Decoded {
  switch (op) {
    case PolicyOp.LOG_PROBE:
      return accepted({ op: 'log_probe', version: 1 });
    case PolicyOp.CHECK: {
      if (frame.length !== 5 + byteAt(frame, 4)) return malformed(1, op);
      return accepted({
        op: 'check',
        version: 1,
        requester: claimed(frame, 5, frame.length),
      });
    }
    case PolicyOp.ROUTE: {
      const names = twoNames(frame, 4);
      return names === null ? malformed(1, op) : accepted({ op: 'route', version: 1, ...names });
    }
    case PolicyOp.EXEC: {
      const exec = nameAndImage(frame, 4);
      return exec === null ? malformed(1, op) : accepted({ op: 'exec', version: 1, ...exec });
    }
    case PolicyOp.CHECK_CAP:
    case PolicyOp.CHECK_CAP_DELEGATED: {
      const question = subjectAndCapability(frame, 4);
      if (question === null) return malformed(1, op);
      if (op === PolicyOp.CHECK_CAP) return accepted({ op: 'check_cap', version: 1, ...question });
      return accepted({ op: 'check_cap_delegated', version: 1, ...question });
    }
    default:
      return unsupported(op);
  }
}

function decodeV2(frame: Uint8Array, op: number): Decoded {
  switch (op) {
    case PolicyOp.ROUTE: {
      const names = twoNames(frame, 8);
      return names === null
        ? malformed(2, op)
        : accepted({
            op: 'route',
            version: 2,
            nonce: nonceAt(frame),
            ...names,
          });
    }
    case PolicyOp.EXEC: {
      const exec = nameAndImage(frame, 8);
      return exec === null ? malformed(2, op) : accepted({ op: 'exec', version: 2, nonce: nonceAt(frame), ...exec });
    }
    case PolicyOp.CHECK_CAP_DELEGATED: {
      if (frame.length < 17) return malformed(2, op);
      const question = subjectAndCapability(frame, 8);
      return question === null
        ? malformed(2, op, nonceAt(frame))
        : accepted({
            op: 'check_cap_delegated',
            version: 2,
            nonce: nonceAt(frame),
            ...question,
          });
    }
    default:
      return unsupported(op);
  }
}

const ROUTE_V3_LENGTH = 24;
const EXEC_V3_LENGTH = 17;

function decodeV3(frame: Uint8Array, op: number): Decoded {
  switch (op) {
    case PolicyOp.ROUTE: {
      if (frame.length !== ROUTE_V3_LENGTH) return malformed(3, op);
      const requester = idAt(frame, 8);
      return accepted({
        op: 'route',
        version: 3,
        nonce: nonceAt(frame),
        requester,
        target: idAt(frame, 16),
      });
    }
    case PolicyOp.EXEC: {
      if (frame.length !== EXEC_V3_LENGTH) return malformed(3, op);
      const requester = idAt(frame, 8);
      return accepted({
        op: 'exec',
        version: 3,
        nonce: nonceAt(frame),
        requester,
        image: byteAt(frame, 16),
      });
    }
    default:
      return unsupported(op);
  }
}

function accepted(request: PolicyRequest): Decoded {
  return { ok: true, request };
}

function malformed(version: 1 | 2 | 3, op: number, nonce: PolicyNonce = NO_NONCE): Decoded {
  const status = PolicyStatus.MALFORMED;
  const reply: PolicyReply = version === 1 ? { version, op, status } : { version, op, nonce, status };
  return { ok: false, reject: 'malformed', reply };
}

/** Always in version 1's shape, whatever the request's version. */
function unsupported(op: number): Decoded {
  return {
    ok: false,
    reject: 'unsupported',
    reply: { version: 1, op, status: PolicyStatus.UNSUPPORTED },
  };
}

/** `r` u8, requester, `t` u8, target, and nothing more; each name 1..48 bytes. */
function twoNames(frame: Uint8Array, at: number): { requester: ClaimedName; target: ClaimedName } | null {
  const r = byteAt(frame, at);
  const targetAt = at + 1 + r;
  if (r === 0 || r > NAME_MAX || frame.length < targetAt + 1) return null;
  const t = byteAt(frame, targetAt);
  if (t === 0 || t > NAME_MAX || frame.length !== targetAt + 1 + t) return null;
  return {
    requester: claimed(frame, at + 1, targetAt),
    target: claimed(frame, targetAt + 1, frame.length),
  };
}

/** `r` u8, requester, image u8. */
function nameAndImage(frame: Uint8Array, at: number): { requester: ClaimedName; image: number } | null {
  const r = byteAt(frame, at);
  if (r === 0 || r > NAME_MAX || frame.length !== at + 2 + r) return null;
  return {
    requester: claimed(frame, at + 1, at + 1 + r),
    image: byteAt(frame, at + 1 + r),
  };
}

/** Subject u64, `c` u8, capability. */
function subjectAndCapability(
  frame: Uint8Array,
  at: number,
): { subject: ServiceId; capability: CapabilityName } | null {
  if (frame.length < at + 9) return null;
  const c = byteAt(frame, at + 8);
  if (c > CAPABILITY_MAX || frame.length !== at + 9 + c) return null;
  return {
    subject: idAt(frame, at),
    capability: capabilityName(frame.subarray(at + 9)),
  };
}

/** Reads capability bytes: strict UTF-8 that keeps a leading BOM, else the empty name (sheet 30, sections 3 and 11). */
export function capabilityName(bytes: Uint8Array): CapabilityName {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) as CapabilityName;
  } catch {
    return '' as CapabilityName;
  }
}

/** A text as the name bytes of a request. */
export function claimedName(text: string): ClaimedName {
  return latin1(new TextEncoder().encode(text)) as ClaimedName;
}

/** Id that a claimed name stands for: FNV-1a of its bytes, no case folding. */
export function claimedId(name: ClaimedName): ServiceId {
  return serviceIdOf(name);
}

/** Op byte of a request. */
export function opByte(request: PolicyRequest): number {
  switch (request.op) {
    case 'check':
      return PolicyOp.CHECK;
    case 'route':
      return PolicyOp.ROUTE;
    case 'exec':
      return PolicyOp.EXEC;
    case 'check_cap':
      return PolicyOp.CHECK_CAP;
    case 'check_cap_delegated':
      return PolicyOp.CHECK_CAP_DELEGATED;
    case 'log_probe':
      return PolicyOp.LOG_PROBE;
    default:
      return unreachable(request);
  }
}

/** The answer to a request, in its version and with its nonce (COR-1). */
export function replyTo(request: PolicyRequest, status: PolicyStatus): PolicyReply {
  const op = opByte(request);
  if (request.version === 1) return { version: 1, op, status };
  return { version: request.version, op, nonce: request.nonce, status };
}

/** Encodes a request; names and capabilities are within their limits by the caller. */
export function encodeRequest(request: PolicyRequest): Uint8Array {
  const head = [MAGIC_0, MAGIC_1, request.version, opByte(request)];
  if (request.version !== 1) head.push(...le32(request.nonce));
  switch (request.op) {
    case 'check':
      return bytes(head, [request.requester.length], charCodes(request.requester));
    case 'route':
      if (request.version === 3) return bytes(head, le64(request.requester), le64(request.target));
      return bytes(head, sized(charCodes(request.requester)), sized(charCodes(request.target)));
    case 'exec':
      if (request.version === 3) return bytes(head, le64(request.requester), [request.image]);
      return bytes(head, sized(charCodes(request.requester)), [request.image]);
    case 'check_cap':
    case 'check_cap_delegated':
      return bytes(head, le64(request.subject), sized(new TextEncoder().encode(request.capability)));
    case 'log_probe':
      return bytes(head, [0, 0]);
    default:
      return unreachable(request);
  }
}

/** Encodes an answer (sheet 30, section 2). */
export function encodeReply(reply: PolicyReply): Uint8Array {
  const head = [MAGIC_0, MAGIC_1, reply.version, reply.op | REPLY_BIT];
  return reply.version === 1 ? bytes(head, [reply.status, 0]) : bytes(head, le32(reply.nonce), [reply.status, 0]);
}

/** Decodes a version 2 or 3 answer of exactly 10 bytes; null for anything else. `op` comes without bit 7. */
export function decodeReply(frame: Uint8Array): Extract<PolicyReply, { readonly version: 2 | 3 }> | null {
  const version = frame[2];
  const op = frame[3] ?? 0;
  if (frame.length !== REPLY_NONCE_LENGTH || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1) return null;
  if ((version !== 2 && version !== 3) || (op & REPLY_BIT) === 0) return null;
  return {
    version,
    op: op & ~REPLY_BIT,
    nonce: nonceAt(frame),
    status: byteAt(frame, 8),
  };
}

/**
 * Status of a delegated check's answer: exactly 10 bytes, version 2, op 0x85, the expected nonce; else null, which its
 * clients take for a denial (OBS-23).
 */
export function decodeDelegatedReply(frame: Uint8Array, nonce: number): number | null {
  const reply = decodeReply(frame);
  if (reply?.version !== 2 || reply.op !== PolicyOp.CHECK_CAP_DELEGATED || reply.nonce !== nonce) return null;
  return reply.status;
}

function byteAt(frame: Uint8Array, at: number): number {
  return frame[at] ?? 0;
}

function nonceAt(frame: Uint8Array): PolicyNonce {
  return view(frame).getUint32(4, true) as PolicyNonce;
}

function idAt(frame: Uint8Array, at: number): ServiceId {
  return view(frame).getBigUint64(at, true) as ServiceId;
}

function view(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

function claimed(frame: Uint8Array, from: number, to: number): ClaimedName {
  return latin1(frame.subarray(from, to)) as ClaimedName;
}

function latin1(name: Uint8Array): string {
  let text = '';
  for (const byte of name) text += String.fromCharCode(byte);
  return text;
}

function charCodes(text: string): number[] {
  return Array.from(text, (char) => char.charCodeAt(0));
}

function sized(part: ArrayLike<number>): number[] {
  return [part.length, ...Array.from(part)];
}

function bytes(...parts: readonly (readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flat());
}

function le32(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

function le64(value: bigint): number[] {
  return Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}
