/**
 * Records of the remote proxy before encryption (sheet 70, section 12.6): fixed sizes, no length in front. A request carries
 * a frame for a service of the other node, a response that service's answer, both unchanged.
 */
import { TAG_BYTES } from '../lib/noise.ts';

/** Bytes of the areas. */
export const REQUEST_AREA = 256;
export const RESPONSE_AREA = 512;
const HEAD = 3;
/** Bytes of a record, and of it on the wire. */
export const REQUEST_PLAIN = HEAD + REQUEST_AREA;
export const RESPONSE_PLAIN = HEAD + RESPONSE_AREA;
export const REQUEST_WIRE = REQUEST_PLAIN + TAG_BYTES;
export const RESPONSE_WIRE = RESPONSE_PLAIN + TAG_BYTES;

/** Services that a node lets its peer reach. */
export const RemoteService = { SAMGRD: 1, BUNDLEMGRD: 2 } as const;

export const RecordStatus = { OK: 0, FAIL: 1 } as const;
export type RecordStatus = (typeof RecordStatus)[keyof typeof RecordStatus];

/** `service` may be none of {@link RemoteService}; `payload` is a view of the record. */
export interface RequestRecord {
  readonly service: number;
  readonly payload: Uint8Array;
}

export interface ResponseRecord {
  readonly status: number;
  readonly payload: Uint8Array;
}

/** Why a record is refused, in this order. */
export type RecordReject = 'malformed' | 'oversized';

/** A request; a longer payload is cut to the area. */
export function encodeRequestRecord({ service, payload }: RequestRecord): Uint8Array {
  return encode(service, payload, REQUEST_AREA);
}

export function decodeRequestRecord(plain: Uint8Array): RequestRecord | RecordReject {
  const payload = decode(plain, REQUEST_AREA);
  return typeof payload === 'string' ? payload : { service: plain[0] ?? 0, payload };
}

/** A response; a longer payload is cut to the area. */
export function encodeResponseRecord({ status, payload }: ResponseRecord): Uint8Array {
  return encode(status, payload, RESPONSE_AREA);
}

export function decodeResponseRecord(plain: Uint8Array): ResponseRecord | RecordReject {
  const payload = decode(plain, RESPONSE_AREA);
  return typeof payload === 'string' ? payload : { status: plain[0] ?? 0, payload };
}

function encode(first: number, payload: Uint8Array, area: number): Uint8Array {
  const used = Math.min(payload.length, area);
  const plain = new Uint8Array(HEAD + area);
  plain[0] = first;
  plain[1] = used & 0xff;
  plain[2] = used >> 8;
  plain.set(payload.subarray(0, used), HEAD);
  return plain;
}

function decode(plain: Uint8Array, area: number): Uint8Array | RecordReject {
  if (plain.length !== HEAD + area) return 'malformed';
  const used = (plain[1] ?? 0) | ((plain[2] ?? 0) << 8);
  return used > area ? 'oversized' : plain.subarray(HEAD, HEAD + used);
}

const RESOLVED: readonly number[] = [0x53, 0x4d, 1, 0x86, 0];
const RESOLVED_MIN = 13;
const LISTED: readonly number[] = [0x42, 0x4e, 1, 0x81, 0];
const LISTED_MIN = 8;
const COUNT_AT = 5;

/** True when samgrd on the other node knows the name. */
export function resolved({ status, payload }: ResponseRecord): boolean {
  return status === RecordStatus.OK && payload.length >= RESOLVED_MIN && startsWith(payload, RESOLVED);
}

/** Bundles that bundlemgrd on the other node counts, or null. */
export function bundleCount({ status, payload }: ResponseRecord): number | null {
  if (status !== RecordStatus.OK || payload.length < LISTED_MIN || !startsWith(payload, LISTED)) return null;
  return (payload[COUNT_AT] ?? 0) | ((payload[COUNT_AT + 1] ?? 0) << 8);
}

function startsWith(bytes: Uint8Array, head: readonly number[]): boolean {
  return head.every((byte, i) => bytes[i] === byte);
}
