/**
 * One call to netstackd (sheet 70, sections 8.1 and 12.2): a request with a moved clone of the own inbox, its answer found
 * by nonce among whatever else arrives there. The two modes differ in how long they try to send and to receive.
 */
import { Errno, NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { NonceGen, ReplyBuffer } from '../lib/correlation.ts';
import type { Inbox, Wanted } from '../lib/inbox.ts';
import { CLIENT_RECV_MAX, TIMEOUT, WOULD_BLOCK, send } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import {
  MAGIC_0,
  MAGIC_1,
  NONCE_BYTES,
  RESPONSE_HEAD,
  VERSION,
  decodeResponse,
  encodeRequest,
} from '../netstackd/wire.ts';
import type { FacadeRequest, FacadeResponse } from '../netstackd/wire.ts';
import { Slot } from './options.ts';

/** Answers to other calls that are kept, and their largest size in bytes. */
export const PENDING_REPLIES = 16;
export const PENDING_REPLY_MAX = 512;
/** Single machine: attempts to send, each blocking for at most this long, and the wait for the answer. ns. */
export const SEND_ATTEMPTS = 64;
export const SEND_WAIT_NS = 20_000_000;
export const ANSWER_NS = 500_000_000;
/** Pair of machines: receives while waiting for the answer. */
export const RECEIVE_TRIES = 50_000;

const NO_SPACE = -Errno.ENOSPC;
const ANSWER_MIN = RESPONSE_HEAD + NONCE_BYTES;

/** Bounds by time (single machine) or by number (pair of machines). */
export type RpcMode = 'single-vm' | 'cross-vm';

/** True for frames of netstackd's protocol. */
export function isFacadeFrame(frame: Uint8Array): boolean {
  return frame[0] === MAGIC_0 && frame[1] === MAGIC_1 && frame[2] === VERSION;
}

/** Calls of one mode; nonces count from 1. */
export class FacadeRpc {
  readonly #sys: Sys;
  readonly #inbox: Inbox;
  readonly #mode: RpcMode;
  readonly #nonces = new NonceGen(1n);
  readonly #pending = new ReplyBuffer(PENDING_REPLIES, PENDING_REPLY_MAX);
  #cloneMissing = false;
  #strays = 0;

  /** `inbox` is the process's reply inbox, shared with its other clients. */
  constructor(sys: Sys, inbox: Inbox, mode: RpcMode) {
    this.#sys = sys;
    this.#inbox = inbox;
    this.#mode = mode;
  }

  /** A loop whose passes are calls of this client. */
  loop(tries: number): Lap {
    return new Lap(tries, [this.#nonces]);
  }

  /** Frames so far that were kept or given out again: what a call does depends on them. */
  get strays(): number {
    return this.#strays;
  }

  /** Sends `request` with the next nonce in place of its own. Null: not sent, or no answer in time. */
  *call(request: FacadeRequest): Call<FacadeResponse | null> {
    const nonce = this.#nonces.next();
    const bytes = new Uint8Array(NONCE_BYTES);
    new DataView(bytes.buffer).setBigUint64(0, nonce, true);
    const frame = encodeRequest({ ...request, nonce: bytes });
    const wanted: Wanted = (answer) => nonceOf(answer) === nonce && decodeResponse(answer, request.op) !== null;
    const answer =
      this.#mode === 'single-vm'
        ? yield* this.#timed(frame, nonce, wanted)
        : yield* this.#counted(frame, nonce, wanted);
    const response = answer === null ? null : decodeResponse(answer, request.op);
    return response === null ? null : { status: response.status, body: response.body.subarray(0, -NONCE_BYTES) };
  }

  /** Files a frame that another reader of the inbox does not know: answers under their nonce, the rest for others. */
  keep(frame: Uint8Array): void {
    this.#strays += 1;
    if (isFacadeFrame(frame)) this.#file(frame);
    else this.#keepForeign(frame);
  }

  *#timed(frame: Uint8Array, nonce: bigint, wanted: Wanted): Call<Uint8Array | null> {
    const sys = this.#sys;
    const clone = yield sys.capClone(Slot.INBOX_SEND);
    if (clone < 0 && !this.#cloneMissing) {
      this.#cloneMissing = true;
      yield sys.println('dsoftbusd: cap clone missing; fallback to direct recv');
    }
    const sent = yield* this.#sendTimed(frame, clone);
    // After a success it has moved; after a failure it must not fill the table.
    if (clone >= 0) yield sys.capClose(clone);
    if (!sent) return null;
    const kept = this.#takeKept(nonce);
    if (kept !== null) return kept;
    const slot = clone < 0 ? Slot.NETSTACKD_RECV : this.#inbox.slot;
    const deadline = (yield sys.nsec()) + ANSWER_NS;
    for (;;) {
      const poll = sys.beginPoll();
      poll.slots = [slot];
      poll.deadline = deadline;
      poll.clockEvery = 1;
      poll.clockFirst = true;
      if ((yield sys.runPoll()) < 0) return null;
      const got = yield sys.recv(slot, CLIENT_RECV_MAX, NONBLOCK | TRUNCATE);
      if (got === WOULD_BLOCK) continue;
      if (got < 0) return null;
      const answer = sys.message.payload;
      if (wanted(answer)) return answer;
      this.keep(answer);
    }
  }

  *#sendTimed(frame: Uint8Array, clone: number): Call<boolean> {
    for (let i = 0; i < SEND_ATTEMPTS; i++) {
      const sent = yield* send(this.#sys, Slot.NETSTACKD, frame, SEND_WAIT_NS, clone);
      if (sent >= 0) return true;
      if (sent !== TIMEOUT && sent !== WOULD_BLOCK && sent !== NO_SPACE) return false;
      yield this.#sys.yieldCpu();
    }
    return false;
  }

  *#counted(frame: Uint8Array, nonce: bigint, wanted: Wanted): Call<Uint8Array | null> {
    const sys = this.#sys;
    const clone = yield sys.capClone(Slot.INBOX_SEND);
    if (clone < 0) return null;
    const sent = yield sys.send(Slot.NETSTACKD, frame, NONBLOCK, 0, clone);
    yield sys.capClose(clone);
    if (sent < 0) return null;
    const kept = this.#takeKept(nonce);
    if (kept !== null) return kept;
    for (let tries = 0; tries < RECEIVE_TRIES;) {
      const poll = sys.beginPoll();
      poll.slots = [this.#inbox.slot];
      poll.maxRounds = RECEIVE_TRIES;
      poll.round = tries;
      if ((yield sys.runPoll()) < 0) return null;
      tries = poll.round + 1;
      const got = yield sys.recv(this.#inbox.slot, CLIENT_RECV_MAX, NONBLOCK | TRUNCATE);
      if (got === WOULD_BLOCK) continue;
      if (got < 0) return null;
      const answer = sys.message.payload;
      if (wanted(answer)) return answer;
      this.keep(answer);
    }
    return null;
  }

  /** The answer, if an earlier receive or another reader came upon it. */
  #takeKept(nonce: bigint): Uint8Array | null {
    const inbox = this.#inbox;
    for (let kept = inbox.takeStashed(isFacadeFrame); kept !== null; kept = inbox.takeStashed(isFacadeFrame)) {
      this.#strays += 1;
      this.#file(kept);
    }
    const kept = this.#pending.take(nonce);
    if (kept !== null) this.#strays += 1;
    return kept;
  }

  /** An answer without nonce belongs to nobody. */
  #file(frame: Uint8Array): void {
    const pending = this.#pending;
    const before = pending.drops;
    const nonce = nonceOf(frame);
    if (nonce !== null) pending.push(nonce, frame);
    else pending.drops += 1;
    if (pending.drops > before) this.#sys.note('netstackd.stray', pending.drops);
  }

  #keepForeign(frame: Uint8Array): void {
    const before = this.#inbox.drops;
    this.#inbox.keep(frame);
    if (this.#inbox.drops > before) this.#sys.note('inbox.dropped', this.#inbox.drops);
  }
}

/** The trailing nonce; null where the frame is too short for one. */
function nonceOf(frame: Uint8Array): bigint | null {
  if (frame.length < ANSWER_MIN) return null;
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getBigUint64(frame.length - NONCE_BYTES, true);
}
