/** The I/O idioms of the selftest client, by the tags of sheet 80, section 2. */
import { NONBLOCK } from '../../kernel-model/abi.ts';
import {
  CLIENT_RECV_MAX,
  CTRL_RECV,
  CTRL_SEND,
  ROUTE_BUFFER,
  budgetOf,
  decodeRouteResponse,
  encodeRouteGet,
  recv,
  recvWithin,
  send,
  sendWithin,
} from '../lib/ipc.ts';
import type { Budget, Call, RouteResponse } from '../lib/ipc.ts';
import { recvMatch } from '../lib/correlation.ts';
import { Slot } from './state.ts';
import type { SelftestState } from './state.ts';

/** Milliseconds in ns. */
export const MS = 1_000_000;
/** One receive of RLB. */
const RLB_NS = 50 * MS;
/** RT1's budget. */
const RT1_NS = 500 * MS;

/** Looks at a frame: a value ends the receive, undefined skips the frame. */
export type Accept<T> = (frame: Uint8Array) => T | undefined;

/** NB(d): one deadline over send and receive; skipped frames cost no iteration. Null: send, receive or deadline failed. */
export function* exchangeNb<T>(
  state: SelftestState,
  slots: { readonly send: number; readonly recv: number },
  frame: Uint8Array,
  ns: number,
  max: number,
  accept: Accept<T>,
): Call<T | null> {
  const { sys } = state;
  const sending = yield* budgetOf(sys, ns);
  if ((yield* sendWithin(sys, slots.send, frame, sending)) < 0) return null;
  return yield* receiveNb(state, slots.recv, { deadline: sending.deadline, round: 0 }, max, accept);
}

/** The receive half of NB. */
export function* receiveNb<T>(
  state: SelftestState,
  slot: number,
  budget: Budget,
  max: number,
  accept: Accept<T>,
): Call<T | null> {
  for (;;) {
    if ((yield* recvWithin(state.sys, slot, budget, max)) < 0) return null;
    const value = accept(state.sys.message.payload);
    if (value !== undefined) return value;
  }
}

/** KC(s,r): kernel-blocking send and receive. The frame, or null with the failed half's errno in `failed`. */
export function* exchangeKc(
  state: SelftestState,
  slots: { readonly send: number; readonly recv: number },
  frame: Uint8Array,
  sendNs: number,
  recvNs: number,
): Call<{ readonly frame: Uint8Array } | { readonly failed: 'send' | 'recv'; readonly result: number }> {
  const { sys } = state;
  const sent = yield* send(sys, slots.send, frame, sendNs);
  if (sent < 0) return { failed: 'send', result: sent };
  const got = yield* recv(sys, slots.recv, recvNs);
  if (got < 0) return { failed: 'recv', result: got };
  return { frame: sys.message.payload };
}

/** BG(s,r): budgeted send and one budgeted receive. */
export function* exchangeBg(
  state: SelftestState,
  slots: { readonly send: number; readonly recv: number },
  frame: Uint8Array,
  sendNs: number,
  recvNs: number,
  max: number = CLIENT_RECV_MAX,
): Call<Uint8Array | null> {
  const { sys } = state;
  if ((yield* sendWithin(sys, slots.send, frame, yield* budgetOf(sys, sendNs))) < 0) return null;
  if ((yield* recvWithin(sys, slots.recv, yield* budgetOf(sys, recvNs), max)) < 0) return null;
  return sys.message.payload;
}

/** RLB: one budgeted receive of 50 ms on the reply inbox. */
export function* receiveReply(state: SelftestState, max: number): Call<Uint8Array | null> {
  const { sys } = state;
  if ((yield* recvWithin(sys, Slot.INBOX_RECV, yield* budgetOf(sys, RLB_NS), max)) < 0) return null;
  return sys.message.payload;
}

/** Up to `tries` RLB; the first accepted value. Others count as tries and are dropped. */
export function* awaitReply<T>(state: SelftestState, tries: number, max: number, accept: Accept<T>): Call<T | null> {
  for (let i = 0; i < tries; i++) {
    const frame = yield* receiveReply(state, max);
    if (frame === null) continue;
    const value = accept(frame);
    if (value !== undefined) return value;
  }
  return null;
}

/** CM: a fresh clone of the inbox's SEND capability, negative errno when there is none. */
export function* cloneInbox(state: SelftestState): Call<number> {
  return yield state.sys.capClone(Slot.INBOX_SEND);
}

/** A NONBLOCK send that moves `clone`. */
export function* sendMoving(state: SelftestState, slot: number, frame: Uint8Array, clone: number): Call<number> {
  return yield state.sys.send(slot, frame, NONBLOCK, 0, clone);
}

/** RT1(name): routing v1 with nonce, NB(500 ms), sent once. Null: no answer. */
export function* routeWithNonce(state: SelftestState, name: string): Call<RouteResponse | null> {
  const { sys } = state;
  const nonce = Number(state.nonces.routing.next() & 0xffff_ffffn);
  const sending = yield* budgetOf(sys, RT1_NS);
  if ((yield* sendWithin(sys, CTRL_SEND, encodeRouteGet(name, nonce), sending)) < 0) return null;
  const budget: Budget = { deadline: sending.deadline, round: 0 };
  for (;;) {
    if ((yield* recvWithin(sys, CTRL_RECV, budget, ROUTE_BUFFER)) < 0) return null;
    const frame = sys.message.payload;
    if (frame.length !== 17) {
      yield sys.yieldCpu();
      continue;
    }
    if (new DataView(frame.buffer, frame.byteOffset).getUint32(13, true) !== nonce) continue;
    return decodeRouteResponse(frame.subarray(0, 13));
  }
}

/** RM(d): nonce-matched receive on the inbox under a deadline taken earlier. */
export function* receiveMatched(
  state: SelftestState,
  nonce: bigint,
  budget: Budget,
  v2 = false,
): Call<Uint8Array | null> {
  return yield* recvMatch(state.sys, Slot.INBOX_RECV, state.pending, samgrdNonce, nonce, budget, 64, v2);
}

/** Nonce of a samgrd answer: `PONG` + nonce, sender pid, sender service id (sheet 80, S53 to S55). */
export function samgrdNonce(frame: Uint8Array): bigint | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length === 12 && startsWith(frame, [0x50, 0x4f, 0x4e, 0x47])) return view.getBigUint64(4, true);
  if (frame.length === 17 && startsWith(frame, [0x53, 0x4d, 1, 0x84])) return view.getBigUint64(9, true);
  if (frame.length === 21 && startsWith(frame, [0x53, 0x4d, 1, 0x85])) return view.getBigUint64(13, true);
  return null;
}

/** True when the frame begins with these bytes. */
export function startsWith(frame: Uint8Array, head: readonly number[]): boolean {
  return frame.length >= head.length && head.every((byte, i) => frame[i] === byte);
}

/** Concatenates byte strings and byte lists. */
export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Little-endian u16 at an offset; 0 past the end. */
export function u16At(frame: Uint8Array, at: number): number {
  return (frame[at] ?? 0) | ((frame[at + 1] ?? 0) << 8);
}

/** Little-endian bytes of an unsigned integer. */
export function le(value: number | bigint, bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  if (bytes === 8) {
    new DataView(out.buffer).setBigUint64(0, BigInt(value), true);
    return out;
  }
  let rest = Number(value);
  for (let i = 0; i < bytes; i++) {
    out[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return out;
}
