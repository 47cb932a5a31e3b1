/**
 * netstackd's facade, magic `NS`, version 1 (sheet 70, section 6): sockets for other services. Both sides live here.
 * Every request may end with an 8-byte nonce, which is there when the frame is 8 bytes longer than the request itself;
 * its response then ends with the same bytes. All integers are little-endian, addresses are four bytes in dotted order.
 * Decoding never throws.
 */
import { readIpv4, writeU32 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';

export const MAGIC_0 = 0x4e;
export const MAGIC_1 = 0x53;
export const VERSION = 1;
/** Bit 7 of the op byte marks a response. */
export const REPLY_BIT = 0x80;
export const NONCE_BYTES = 8;

/** Operations (section 6.3). */
export const Op = {
  LISTEN: 1,
  ACCEPT: 2,
  CONNECT: 3,
  READ: 4,
  WRITE: 5,
  UDP_BIND: 6,
  UDP_SEND_TO: 7,
  UDP_RECV_FROM: 8,
  ICMP_PING: 9,
  LOCAL_ADDR: 10,
  CLOSE: 11,
  WAIT_WRITABLE: 12,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

/** Status bytes (section 6.2). */
export const Status = { OK: 0, NOT_FOUND: 1, MALFORMED: 2, WOULD_BLOCK: 3, IO: 4, TIMED_OUT: 5 } as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Most bytes one READ gives. */
export const READ_MAX = 480;
/** Most bytes one UDP_RECV_FROM gives. */
export const UDP_RECV_MAX = 460;

const PREFIX = 4;
/** Prefix and status. */
export const RESPONSE_HEAD = 5;
const WRITE_HEAD = 10;
const UDP_SEND_HEAD = 16;

/** A TCP or UDP port, 0..65535. */
export type Port = number & { readonly __brand: 'Port' };
/** Handle of a listener, stream or UDP socket, as the client says it: any u32. */
export type Handle = number & { readonly __brand: 'Handle' };
/** The eight nonce bytes, a view of the request; null when there is none. */
export type Nonce = Uint8Array | null;

/** The low 16 bits as a port. */
export function port(value: number): Port {
  return (value & 0xffff) as Port;
}

/** A well-formed request; `data` is a view of the frame. */
export type FacadeRequest =
  | { readonly op: typeof Op.LISTEN; readonly ip: Ipv4 | null; readonly port: Port; readonly nonce: Nonce }
  | { readonly op: typeof Op.ACCEPT; readonly listener: Handle; readonly nonce: Nonce }
  | { readonly op: typeof Op.CONNECT; readonly ip: Ipv4; readonly port: Port; readonly nonce: Nonce }
  | { readonly op: typeof Op.READ; readonly stream: Handle; readonly max: number; readonly nonce: Nonce }
  | { readonly op: typeof Op.WRITE; readonly stream: Handle; readonly data: Uint8Array; readonly nonce: Nonce }
  | { readonly op: typeof Op.UDP_BIND; readonly ip: Ipv4 | null; readonly port: Port; readonly nonce: Nonce }
  | {
      readonly op: typeof Op.UDP_SEND_TO;
      readonly udp: Handle;
      readonly ip: Ipv4;
      readonly port: Port;
      readonly data: Uint8Array;
      readonly nonce: Nonce;
    }
  | { readonly op: typeof Op.UDP_RECV_FROM; readonly udp: Handle; readonly max: number; readonly nonce: Nonce }
  | { readonly op: typeof Op.ICMP_PING; readonly ip: Ipv4; readonly timeoutMs: number; readonly nonce: Nonce }
  | { readonly op: typeof Op.LOCAL_ADDR; readonly nonce: Nonce }
  | { readonly op: typeof Op.CLOSE; readonly stream: Handle; readonly nonce: Nonce }
  | { readonly op: typeof Op.WAIT_WRITABLE; readonly stream: Handle; readonly nonce: Nonce };

/** Why a frame is no request, in the order of the checks. */
export type RejectClass = 'head' | 'unknown-op' | 'length';

/** Answered with MALFORMED, without nonce; `op` is 0 for a bad head. */
export interface Reject {
  readonly reject: RejectClass;
  readonly op: number;
}

/** Decodes any bytes in the order of section 6.2. */
export function decodeRequest(frame: Uint8Array): FacadeRequest | Reject {
  if (frame.length < PREFIX || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1 || frame[2] !== VERSION) {
    return { reject: 'head', op: 0 };
  }
  const op = frame[3] ?? 0;
  const base = baseLength(op, frame);
  if (base === 'unknown-op') return { reject: 'unknown-op', op };
  if (base === 'length') return { reject: 'length', op };
  return decodeBody(op as Op, frame, base);
}

/** Bytes of the request without nonce, when the frame's length allows it. */
function baseLength(op: number, frame: Uint8Array): number | 'unknown-op' | 'length' {
  switch (op as Op) {
    case Op.LISTEN:
    case Op.UDP_BIND:
      return either(frame, 6, 10);
    case Op.ACCEPT:
    case Op.CLOSE:
    case Op.WAIT_WRITABLE:
      return either(frame, 8);
    case Op.CONNECT:
    case Op.READ:
    case Op.UDP_RECV_FROM:
    case Op.ICMP_PING:
      return either(frame, 10);
    case Op.WRITE:
      return frame.length < WRITE_HEAD ? 'length' : either(frame, WRITE_HEAD + u16(frame, 8));
    case Op.UDP_SEND_TO:
      return frame.length < UDP_SEND_HEAD ? 'length' : either(frame, UDP_SEND_HEAD + u16(frame, 14));
    case Op.LOCAL_ADDR:
      return either(frame, PREFIX);
    default:
      return 'unknown-op';
  }
}

function either(frame: Uint8Array, ...bases: readonly number[]): number | 'length' {
  return bases.find((base) => frame.length === base || frame.length === base + NONCE_BYTES) ?? 'length';
}

function decodeBody(op: Op, frame: Uint8Array, base: number): FacadeRequest {
  const nonce = frame.length === base ? null : frame.subarray(base);
  const handle = u32(frame, 4) as Handle;
  switch (op) {
    case Op.LISTEN:
    case Op.UDP_BIND:
      return base === 6
        ? { op, ip: null, port: port(u16(frame, 4)), nonce }
        : { op, ip: readIpv4(frame, 4), port: port(u16(frame, 8)), nonce };
    case Op.ACCEPT:
      return { op, listener: handle, nonce };
    case Op.CLOSE:
    case Op.WAIT_WRITABLE:
      return { op, stream: handle, nonce };
    case Op.CONNECT:
      return { op, ip: readIpv4(frame, 4), port: port(u16(frame, 8)), nonce };
    case Op.READ:
      return { op, stream: handle, max: u16(frame, 8), nonce };
    case Op.WRITE:
      return { op, stream: handle, data: frame.subarray(WRITE_HEAD, base), nonce };
    case Op.UDP_SEND_TO: {
      const data = frame.subarray(UDP_SEND_HEAD, base);
      return { op, udp: handle, ip: readIpv4(frame, 8), port: port(u16(frame, 12)), data, nonce };
    }
    case Op.UDP_RECV_FROM:
      return { op, udp: handle, max: u16(frame, 8), nonce };
    case Op.ICMP_PING:
      return { op, ip: readIpv4(frame, 4), timeoutMs: u16(frame, 8), nonce };
    case Op.LOCAL_ADDR:
      return { op, nonce };
  }
}

/** Encodes a request. `data` may hold 65,535 bytes at most; a nonce has eight. */
export function encodeRequest(request: FacadeRequest): Uint8Array {
  const frame = new Uint8Array(requestBase(request) + (request.nonce === null ? 0 : NONCE_BYTES));
  frame.set([MAGIC_0, MAGIC_1, VERSION, request.op]);
  switch (request.op) {
    case Op.LISTEN:
    case Op.UDP_BIND:
      if (request.ip !== null) writeU32(frame, 4, request.ip);
      putU16(frame, request.ip === null ? 4 : 8, request.port);
      break;
    case Op.ACCEPT:
      putU32(frame, 4, request.listener);
      break;
    case Op.CLOSE:
    case Op.WAIT_WRITABLE:
      putU32(frame, 4, request.stream);
      break;
    case Op.CONNECT:
      writeU32(frame, 4, request.ip);
      putU16(frame, 8, request.port);
      break;
    case Op.READ:
      putU32(frame, 4, request.stream);
      putU16(frame, 8, request.max);
      break;
    case Op.WRITE:
      putU32(frame, 4, request.stream);
      putU16(frame, 8, request.data.length);
      frame.set(request.data, WRITE_HEAD);
      break;
    case Op.UDP_SEND_TO:
      putU32(frame, 4, request.udp);
      writeU32(frame, 8, request.ip);
      putU16(frame, 12, request.port);
      putU16(frame, 14, request.data.length);
      frame.set(request.data, UDP_SEND_HEAD);
      break;
    case Op.UDP_RECV_FROM:
      putU32(frame, 4, request.udp);
      putU16(frame, 8, request.max);
      break;
    case Op.ICMP_PING:
      writeU32(frame, 4, request.ip);
      putU16(frame, 8, request.timeoutMs);
      break;
    case Op.LOCAL_ADDR:
      break;
  }
  if (request.nonce !== null) frame.set(request.nonce, frame.length - NONCE_BYTES);
  return frame;
}

function requestBase(request: FacadeRequest): number {
  switch (request.op) {
    case Op.LISTEN:
    case Op.UDP_BIND:
      return request.ip === null ? 6 : 10;
    case Op.ACCEPT:
    case Op.CLOSE:
    case Op.WAIT_WRITABLE:
      return 8;
    case Op.CONNECT:
    case Op.READ:
    case Op.UDP_RECV_FROM:
    case Op.ICMP_PING:
      return 10;
    case Op.WRITE:
      return WRITE_HEAD + request.data.length;
    case Op.UDP_SEND_TO:
      return UDP_SEND_HEAD + request.data.length;
    case Op.LOCAL_ADDR:
      return PREFIX;
  }
}

/** What a request came to: the status, and for OK the body of its operation. */
export interface Answer {
  readonly status: Status;
  readonly body: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/** An answer without body: every status but OK, and OK of CLOSE and WAIT_WRITABLE. */
export function answer(status: Status): Answer {
  return { status, body: NO_BYTES };
}

/** OK with a new handle: LISTEN, ACCEPT, CONNECT, UDP_BIND. */
export function handleAnswer(handle: number): Answer {
  const body = new Uint8Array(4);
  putU32(body, 0, handle);
  return { status: Status.OK, body };
}

/** OK with a count: WRITE, UDP_SEND_TO (bytes taken), ICMP_PING (round trip in ms, capped at 65,535). */
export function countAnswer(count: number): Answer {
  const body = new Uint8Array(2);
  putU16(body, 0, Math.min(count, 0xffff));
  return { status: Status.OK, body };
}

/** OK of READ. */
export function readAnswer(data: Uint8Array): Answer {
  const body = new Uint8Array(2 + data.length);
  putU16(body, 0, data.length);
  body.set(data, 2);
  return { status: Status.OK, body };
}

/** OK of UDP_RECV_FROM. */
export function datagramAnswer(data: Uint8Array, ip: Ipv4, source: Port): Answer {
  const body = new Uint8Array(8 + data.length);
  putU16(body, 0, data.length);
  writeU32(body, 2, ip);
  putU16(body, 6, source);
  body.set(data, 8);
  return { status: Status.OK, body };
}

/** OK of LOCAL_ADDR. */
export function localAddressAnswer(ip: Ipv4, prefix: number): Answer {
  const body = new Uint8Array(5);
  writeU32(body, 0, ip);
  body[4] = prefix;
  return { status: Status.OK, body };
}

/** The response frame, exact length. */
export function encodeResponse(op: number, { status, body }: Answer, nonce: Nonce = null): Uint8Array {
  const frame = new Uint8Array(RESPONSE_HEAD + body.length + (nonce === null ? 0 : NONCE_BYTES));
  frame.set([MAGIC_0, MAGIC_1, VERSION, (op | REPLY_BIT) & 0xff, status]);
  frame.set(body, RESPONSE_HEAD);
  if (nonce !== null) frame.set(nonce, RESPONSE_HEAD + body.length);
  return frame;
}

/** The response to a frame that is no request. */
export function encodeReject(reject: Reject): Uint8Array {
  return encodeResponse(reject.op, answer(Status.MALFORMED));
}

/** A response as clients see it: `body` is what follows the status, the nonce included. */
export interface FacadeResponse {
  readonly status: number;
  readonly body: Uint8Array;
}

/** A response to `op`; null for any other frame. */
export function decodeResponse(frame: Uint8Array, op: Op): FacadeResponse | null {
  if (frame.length < RESPONSE_HEAD || frame[0] !== MAGIC_0 || frame[1] !== MAGIC_1 || frame[2] !== VERSION) return null;
  if (frame[3] !== (op | REPLY_BIT)) return null;
  return { status: frame[4] ?? 0, body: frame.subarray(RESPONSE_HEAD) };
}

function u16(frame: Uint8Array, at: number): number {
  return (frame[at] ?? 0) | ((frame[at + 1] ?? 0) << 8);
}

function u32(frame: Uint8Array, at: number): number {
  return (u16(frame, at) | (u16(frame, at + 2) << 16)) >>> 0;
}

function putU16(frame: Uint8Array, at: number, value: number): void {
  frame[at] = value & 0xff;
  frame[at + 1] = (value >>> 8) & 0xff;
}

function putU32(frame: Uint8Array, at: number, value: number): void {
  putU16(frame, at, value & 0xffff);
  putU16(frame, at + 2, value >>> 16);
}
