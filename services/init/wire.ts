/**
 * Frames that init speaks (sheet 20): routing and exec checks with its children, queries to policyd, the boot
 * conversations with updated and bundlemgrd. Decoders return null for anything that is not exactly the frame; init drops
 * such frames without an answer (section 7, rule 5).
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
import { ROUTE_NAME_MAX } from '../lib/ipc.ts';
import { ascii } from '../lib/text.ts';

/** ROUTE_RSP status (sheet 20, section 7.1). MALFORMED (2) is never sent by init. */
export const RouteStatus = { OK: 0, NOT_FOUND: 1, MALFORMED: 2, DENIED: 3 } as const;

/** Verdict byte of exec checks and policy replies. */
export const Verdict = { ALLOW: 0, DENY: 1 } as const;

/** A decoded ROUTE_GET; `nonce` is null for the 9.3 form. */
export interface RouteGet {
  readonly name: string;
  readonly nonce: number | null;
}

/** ROUTE_GET: length exactly 5+n, else exactly 5+n+4 (sheet 20, section 7.1). Names are byte strings. */
export function decodeRouteGet(frame: Uint8Array): RouteGet | null {
  const n = frame[4] ?? 0;
  if (!startsWith(frame, [0x52, 0x54, 1, 0x40]) || n < 1 || n > ROUTE_NAME_MAX) return null;
  if (frame.length !== 5 + n && frame.length !== 9 + n) return null;
  return { name: latin1(frame.subarray(5, 5 + n)), nonce: frame.length === 9 + n ? u32(frame, 5 + n) : null };
}

/** ROUTE_RSP: 13 bytes, 17 with the request's nonce. Slots are 0 unless OK. */
export function encodeRouteResponse(status: number, send: number, recv: number, nonce: number | null): Uint8Array {
  const frame = new Uint8Array(nonce === null ? 13 : 17);
  const view = new DataView(frame.buffer);
  frame.set([0x52, 0x54, 1, 0x41, status]);
  view.setUint32(5, send, true);
  view.setUint32(9, recv, true);
  if (nonce !== null) view.setUint32(13, nonce, true);
  return frame;
}

/** A decoded EXEC_CHECK (sheet 20, section 7.4). */
export interface ExecCheck {
  readonly nonce: number;
  readonly requester: string;
  readonly image: number;
}

/** EXEC_CHECK: exactly 10+n bytes, n 1..48. */
export function decodeExecCheck(frame: Uint8Array): ExecCheck | null {
  const n = frame[8] ?? 0;
  if (!startsWith(frame, [0x50, 0x43, 1, 1]) || n < 1 || n > ROUTE_NAME_MAX || frame.length !== 10 + n) return null;
  return { nonce: u32(frame, 4), requester: latin1(frame.subarray(9, 9 + n)), image: frame[9 + n] ?? 0 };
}

/** EXEC_CHECK response, 9 bytes. */
export function encodeExecResponse(nonce: number, verdict: number): Uint8Array {
  const frame = new Uint8Array(9);
  frame.set([0x50, 0x43, 1, 0x81]);
  new DataView(frame.buffer).setUint32(4, nonce, true);
  frame[8] = verdict;
  return frame;
}

/** A health request's nonce form (sheet 20, section 7.5). */
export interface HealthRequest {
  readonly nonce: number | null;
}

/** `IH` v1 op 1, 4 bytes or 8 with nonce; null for anything else. */
export function decodeHealth(frame: Uint8Array): HealthRequest | null {
  if (!startsWith(frame, [0x49, 0x48, 1, 1])) return null;
  if (frame.length === 4) return { nonce: null };
  return frame.length === 8 ? { nonce: u32(frame, 4) } : null;
}

/** Health response: status 0 OK, 1 FAILED. */
export function encodeHealthResponse(status: number, nonce: number | null): Uint8Array {
  const frame = new Uint8Array(nonce === null ? 5 : 9);
  frame.set([0x49, 0x48, 1, 0x81, status]);
  if (nonce !== null) new DataView(frame.buffer).setUint32(5, nonce, true);
  return frame;
}

/** policyd CHECK_CAP v1 (sheet 20, section 6.1): no nonce. */
export function encodeCheckCap(subject: ServiceId, capability: string): Uint8Array {
  const frame = new Uint8Array(13 + capability.length);
  frame.set([0x50, 0x4f, 1, 4]);
  new DataView(frame.buffer).setBigUint64(4, subject, true);
  frame[12] = capability.length;
  frame.set(ascii(capability), 13);
  return frame;
}

/** Verdict of a CHECK_CAP v1 reply; null = no answer (section 6.1). */
export function decodeCheckCapReply(frame: Uint8Array): 'allowed' | 'denied' | null {
  if (frame.length < 6 || !startsWith(frame, [0x50, 0x4f, 1, 0x84])) return null;
  if (frame[4] === Verdict.ALLOW) return 'allowed';
  return frame[4] === Verdict.DENY ? 'denied' : null;
}

/** policyd ops that init queries in version 3. */
export const PolicyOp = { ROUTE: 2, EXEC: 3 } as const;

/** policyd ROUTE v3, 24 bytes (sheet 20, section 7.3). */
export function encodePolicyRoute(nonce: number, requester: ServiceId, target: ServiceId): Uint8Array {
  const frame = new Uint8Array(24);
  const view = new DataView(frame.buffer);
  frame.set([0x50, 0x4f, 3, PolicyOp.ROUTE]);
  view.setUint32(4, nonce, true);
  view.setBigUint64(8, requester, true);
  view.setBigUint64(16, target, true);
  return frame;
}

/** policyd EXEC v3, 17 bytes (sheet 20, section 7.4). */
export function encodePolicyExec(nonce: number, requester: ServiceId, image: number): Uint8Array {
  const frame = new Uint8Array(17);
  const view = new DataView(frame.buffer);
  frame.set([0x50, 0x4f, 3, PolicyOp.EXEC]);
  view.setUint32(4, nonce, true);
  view.setBigUint64(8, requester, true);
  frame[16] = image;
  return frame;
}

/** A 10-byte v2/v3 policyd response. */
export interface PolicyReply {
  readonly op: number;
  readonly nonce: number;
  readonly status: number;
}

/** Null where the frame is not a v2/v3 policyd response. */
export function decodePolicyReply(frame: Uint8Array): PolicyReply | null {
  const version = frame[2];
  const op = frame[3] ?? 0;
  if (frame.length !== 10 || frame[0] !== 0x50 || frame[1] !== 0x4f || (version !== 2 && version !== 3)) return null;
  if ((op & 0x80) === 0) return null;
  return { op: op & 0x7f, nonce: u32(frame, 4), status: frame[8] ?? 0 };
}

/** updated ops of init's conversations (sheet 20, section 8). */
export const UpdatedOp = { HEALTH_OK: 3, GET_STATUS: 4, BOOT_ATTEMPT: 5 } as const;

/** A 4-byte request to updated. */
export function encodeUpdated(op: number): Uint8Array {
  return Uint8Array.of(0x55, 0x44, 1, op);
}

/** What a boot-attempt reply says: `slot` 0 = nothing to publish. Byte offset of the slot is a quirk (8.1). */
export interface BootAttemptReply {
  readonly status: number;
  readonly slot: number;
}

/** Exactly 8 bytes `UD` 1 0x85. `slotByte` is 7 by contract and 5, the length byte, in the reference. */
export function decodeBootAttempt(frame: Uint8Array, slotByte: 5 | 7): BootAttemptReply | null {
  if (frame.length !== 8 || !startsWith(frame, [0x55, 0x44, 1, 0x85])) return null;
  return { status: frame[4] ?? 0, slot: frame[slotByte] ?? 0 };
}

/** bundlemgrd SET_ACTIVE_SLOT (sheet 20, section 8.2). */
export function encodeSetActiveSlot(slot: number): Uint8Array {
  return Uint8Array.of(0x42, 0x4e, 1, 4, slot);
}

/** True for any SET_ACTIVE_SLOT answer of bundlemgrd. */
export function isSetActiveReply(frame: Uint8Array): boolean {
  return frame.length === 8 && startsWith(frame, [0x42, 0x4e, 1, 0x84]);
}

function startsWith(frame: Uint8Array, head: readonly number[]): boolean {
  return frame.length >= head.length && head.every((byte, i) => frame[i] === byte);
}

function u32(frame: Uint8Array, at: number): number {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(at, true);
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
