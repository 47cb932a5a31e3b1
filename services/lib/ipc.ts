/**
 * The user IPC layer, "nexus-ipc" (sheet 10, section 9): waits, budget loops, route queries and reply capabilities. Every
 * function is one library call of the real crate, with the syscalls it makes in their order. Results are numbers as the
 * kernel gives them: a length or count, or a negative errno (-EAGAIN would-block, -ETIMEDOUT timeout, -ENOSPC no-space).
 * Polling loops run as one kernel poll, so that waiting can be skipped (design, decision 3).
 */
import { Errno, NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Sys, Syscall } from '../../kernel-model/sys.ts';

/** Every library call is a generator over syscalls. */
export type Call<T> = Generator<Syscall, T, number>;

/** Receive buffer of the library's plain receives, bytes (sheet 10, section 9.2). Longer frames are cut silently. */
export const CLIENT_RECV_MAX = 512;
/** Budget loops read the clock on attempts 0, 128, 256, ... (sheet 10, section 9.4). */
export const CLOCK_EVERY = 128;
/** Control slots of every task: SEND of requests to init, RECV of its answers (sheet 20, section 1). */
export const CTRL_SEND = 1;
export const CTRL_RECV = 2;
/** Bounds of the generic route query (sheet 10, section 9.3). */
export const ROUTE_BUDGET_NS = 100_000_000;
export const ROUTE_DRAIN_FRAMES = 32;
export const ROUTE_BUFFER = 32;
export const ROUTE_NAME_MAX = 48;

/** How long a library send or receive waits: 'now' = NonBlocking, 'forever' = Blocking, else a timeout in ns. */
export type Wait = 'now' | 'forever' | number;

/** Result of a call that never got an answer in its time or bounds. */
export const TIMEOUT = -Errno.ETIMEDOUT;
export const WOULD_BLOCK = -Errno.EAGAIN;
/** Library-level refusal without a syscall (IpcError::Unsupported). */
export const UNSUPPORTED = -Errno.EINVAL;

/**
 * A deadline and the spin counter of its budget loop. The counter decides in which attempts the clock is read, so callers
 * that go on polling after a foreign frame keep the same object.
 */
export interface Budget {
  /** Absolute ns. */
  readonly deadline: number;
  round: number;
}

/** `deadline_after`: one NSEC, then now + `ns`. */
export function* budgetOf(sys: Sys, ns: number): Call<Budget> {
  const now = yield sys.nsec();
  return { deadline: now + ns, round: 0 };
}

/** Library send (sheet 10, sections 9.1 and 9.2). `moveSlot` >= 0 moves that capability with the frame. */
export function* send(sys: Sys, slot: number, frame: Uint8Array, wait: Wait, moveSlot = -1): Call<number> {
  if (wait === 'now') return yield sys.send(slot, frame, NONBLOCK, 0, moveSlot);
  if (wait === 'forever') return yield sys.send(slot, frame, 0, 0, moveSlot);
  const now = yield sys.nsec();
  return yield sys.send(slot, frame, 0, now + wait, moveSlot);
}

/** Library receive (RECV_V1, cut to `max`); the frame stands in `sys.message`. */
export function* recv(sys: Sys, slot: number, wait: Wait, max: number = CLIENT_RECV_MAX): Call<number> {
  if (wait === 'now') return yield sys.recv(slot, max, NONBLOCK | TRUNCATE);
  if (wait === 'forever') return yield sys.recv(slot, max, TRUNCATE);
  const now = yield sys.nsec();
  return yield sys.recv(slot, max, TRUNCATE, now + wait);
}

/** Server receive (RECV_V2, cut to `max`); sender id and moved capability stand in `sys.message`. */
export function* recvRequest(sys: Sys, slot: number, wait: Wait, max: number = CLIENT_RECV_MAX): Call<number> {
  if (wait === 'now') return yield sys.recvV2(slot, max, NONBLOCK | TRUNCATE);
  if (wait === 'forever') return yield sys.recvV2(slot, max, TRUNCATE);
  const now = yield sys.nsec();
  return yield sys.recvV2(slot, max, TRUNCATE, now + wait);
}

/** The reply capability that came with the last received frame: its slot, or -1 (sheet 10, section 9.2). */
export function movedSlot(sys: Sys): number {
  return (sys.message.flags & 1) !== 0 ? sys.message.src : -1;
}

/**
 * Budget loop around a NONBLOCK send (sheet 10, section 9.4): retries QueueFull with a yield, reads the clock every 128
 * attempts. Any other error ends it.
 */
export function* sendWithin(sys: Sys, slot: number, frame: Uint8Array, budget: Budget, moveSlot = -1): Call<number> {
  const first = yield sys.send(slot, frame, NONBLOCK, 0, moveSlot);
  if (first !== WOULD_BLOCK) return first;
  // The attempt above was round `budget.round` of the loop: finish it (clock, yield), then let the kernel poll.
  if (budget.round % CLOCK_EVERY === 0 && (yield sys.nsec()) >= budget.deadline) return TIMEOUT;
  yield sys.yieldCpu();
  budget.round += 1;
  const poll = sys.beginPoll();
  poll.sendSlots = [slot];
  const ended = yield* pollWithin(sys, budget);
  if (ended < 0) return ended;
  return yield sys.send(slot, frame, NONBLOCK, 0, moveSlot);
}

/** Budget loop around a NONBLOCK|TRUNCATE receive; the frame stands in `sys.message`. */
export function* recvWithin(sys: Sys, slot: number, budget: Budget, max: number = CLIENT_RECV_MAX): Call<number> {
  const poll = sys.beginPoll();
  poll.slots = [slot];
  const ended = yield* pollWithin(sys, budget);
  if (ended < 0) return ended;
  return yield sys.recv(slot, max, NONBLOCK | TRUNCATE);
}

/** As {@link recvWithin} with RECV_V2. */
export function* recvV2Within(sys: Sys, slot: number, budget: Budget, max: number = CLIENT_RECV_MAX): Call<number> {
  const poll = sys.beginPoll();
  poll.slots = [slot];
  const ended = yield* pollWithin(sys, budget);
  if (ended < 0) return ended;
  return yield sys.recvV2(slot, max, NONBLOCK | TRUNCATE);
}

function* pollWithin(sys: Sys, budget: Budget): Call<number> {
  const poll = sys.poll;
  poll.deadline = budget.deadline;
  poll.clockEvery = CLOCK_EVERY;
  poll.round = budget.round;
  const ended = yield sys.runPoll();
  budget.round = poll.round;
  return ended;
}

/** `n` plain yields. */
export function* yields(sys: Sys, n: number): Call<void> {
  const poll = sys.beginPoll();
  poll.maxRounds = n;
  yield sys.runPoll();
}

/** Yields for ever: the normal end of a task that must not exit. */
export function* yieldForever(sys: Sys): Call<never> {
  for (;;) {
    sys.beginPoll();
    yield sys.runPoll();
  }
}

/**
 * Replies on a moved capability and closes it. As the real library, a failed send leaves the slot open (sheet 10, Q18).
 * Returns the send's result.
 */
export function* replyAndClose(sys: Sys, slot: number, frame: Uint8Array, wait: Wait = 'now'): Call<number> {
  const sent = yield* send(sys, slot, frame, wait);
  if (sent < 0) return sent;
  yield sys.capClose(slot);
  return sent;
}

/** Slots of a routed peer. */
export interface Route {
  readonly send: number;
  readonly recv: number;
}

const ROUTE_GET_OP = 0x40;
const ROUTE_RSP_OP = 0x41;

/** ROUTE_GET frame (sheet 20, section 7.1); `nonce` appends the u32 extension. `name` is 1..48 ASCII bytes. */
export function encodeRouteGet(name: string, nonce?: number): Uint8Array {
  const n = name.length;
  const frame = new Uint8Array(5 + n + (nonce === undefined ? 0 : 4));
  frame.set([0x52, 0x54, 1, ROUTE_GET_OP, n]);
  for (let i = 0; i < n; i++) frame[5 + i] = name.charCodeAt(i);
  if (nonce !== undefined) new DataView(frame.buffer).setUint32(5 + n, nonce, true);
  return frame;
}

/** ROUTE_RSP as decoded: exactly 13 bytes; nonce answers are cut to 13 by their clients (sheet 20, section 7.1). */
export interface RouteResponse {
  readonly status: number;
  readonly send: number;
  readonly recv: number;
}

/** Decodes a 13-byte ROUTE_RSP; null for anything else. */
export function decodeRouteResponse(frame: Uint8Array): RouteResponse | null {
  if (frame.length !== 13 || frame[0] !== 0x52 || frame[1] !== 0x54 || frame[2] !== 1 || frame[3] !== ROUTE_RSP_OP)
    return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return { status: frame[4] ?? 0, send: view.getUint32(5, true), recv: view.getUint32(9, true) };
}

/**
 * The generic route query, without nonce (sheet 10, section 9.3): drains up to 32 stale answers, then asks once, both
 * halves within one 100 ms budget; the first frame decides. Null: unsupported, denied, malformed or too late.
 */
export function* routeQuery(sys: Sys, name: string): Call<Route | null> {
  if (name.length === 0 || name.length > ROUTE_NAME_MAX) return null;
  for (let i = 0; i < ROUTE_DRAIN_FRAMES; i++) {
    if ((yield sys.recv(CTRL_RECV, ROUTE_BUFFER, NONBLOCK | TRUNCATE)) < 0) break;
  }
  const budget = yield* budgetOf(sys, ROUTE_BUDGET_NS);
  if ((yield* sendWithin(sys, CTRL_SEND, encodeRouteGet(name), budget)) < 0) return null;
  const answer: Budget = { deadline: budget.deadline, round: 0 };
  if ((yield* recvWithin(sys, CTRL_RECV, answer, ROUTE_BUFFER)) < 0) return null;
  const response = decodeRouteResponse(sys.message.payload);
  if (response === null || response.status !== 0) return null;
  return { send: response.send, recv: response.recv };
}
