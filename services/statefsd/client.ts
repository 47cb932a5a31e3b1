/**
 * The statefs client that keystored, updated and metricsd share (sheet 50, section 12.1): version 2 frames, a moved reply
 * capability, two seconds for everything. The inbox may have other readers; their frames stay there for them.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import type { Inbox } from '../lib/inbox.ts';
import { budgetOf, sendWithin } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import {
  decodeGetReply,
  decodeListReply,
  decodeStatusReply,
  encodeDel,
  encodeGet,
  encodeList,
  encodePut,
  encodeSync,
  errorOf,
  OP_DEL,
  OP_GET,
  OP_LIST,
  OP_PUT,
  OP_SYNC,
  replyMatches,
  statefsNonce,
} from './wire.ts';
import type { EncodeFault, StatefsError, StatefsNonce } from './wire.ts';

/** Time for one operation, both ways. */
export const CLIENT_BUDGET_NS = 2_000_000_000;
/** Receive buffer: a longer reply is cut and reads as corrupted. */
export const CLIENT_BUFFER = 4096;

/** One task's client. */
export class StatefsClient {
  readonly #sys: Sys;
  readonly #sendSlot: number;
  readonly #replySendSlot: number;
  readonly #inbox: Inbox;
  #lastNonce = 0n;

  /** `sendSlot` leads to statefsd; `replySendSlot` is the SEND side of `inbox`. */
  constructor(sys: Sys, sendSlot: number, replySendSlot: number, inbox: Inbox) {
    this.#sys = sys;
    this.#sendSlot = sendSlot;
    this.#replySendSlot = replySendSlot;
    this.#inbox = inbox;
  }

  /** Stores a value. Null is success. */
  *put(key: string, value: Uint8Array): Call<StatefsError | null> {
    const nonce = this.#nextNonce();
    return yield* this.#statusExchange(encodePut(nonce, key, value), OP_PUT, nonce);
  }

  /** Reads a value. */
  *get(key: string): Call<Uint8Array | StatefsError> {
    const nonce = this.#nextNonce();
    const frame = yield* this.#exchange(encodeGet(nonce, key), OP_GET, nonce);
    if (typeof frame === 'string') return frame;
    const reply = decodeGetReply(frame, nonce);
    return reply === null ? 'corrupted' : (errorOf(reply.status) ?? reply.value);
  }

  /** Removes a key. Null is success. */
  *delete(key: string): Call<StatefsError | null> {
    const nonce = this.#nextNonce();
    return yield* this.#statusExchange(encodeDel(nonce, key), OP_DEL, nonce);
  }

  /** The first `limit` keys that start with `prefix`, as far as they fit into one reply. */
  *list(prefix: string, limit: number): Call<readonly string[] | StatefsError> {
    const nonce = this.#nextNonce();
    const frame = yield* this.#exchange(encodeList(nonce, prefix, limit), OP_LIST, nonce);
    if (typeof frame === 'string') return frame;
    const reply = decodeListReply(frame, nonce);
    return reply === null ? 'corrupted' : (errorOf(reply.status) ?? reply.keys);
  }

  /** Makes what was put so far durable. Null is success. */
  *sync(): Call<StatefsError | null> {
    const nonce = this.#nextNonce();
    return yield* this.#statusExchange(encodeSync(nonce), OP_SYNC, nonce);
  }

  *#statusExchange(request: Uint8Array | EncodeFault, op: number, nonce: StatefsNonce): Call<StatefsError | null> {
    const frame = yield* this.#exchange(request, op, nonce);
    if (typeof frame === 'string') return frame;
    const status = decodeStatusReply(frame, op, nonce);
    return status === null ? 'corrupted' : errorOf(status);
  }

  /** Sends the request and waits for its reply; `io` when either fails within the budget. */
  *#exchange(request: Uint8Array | EncodeFault, op: number, nonce: StatefsNonce): Call<Uint8Array | StatefsError> {
    if (typeof request === 'string') return request;
    const sys = this.#sys;
    // As in the real library, a send that fails leaves the clone in the table.
    const reply = yield sys.capClone(this.#replySendSlot);
    if (reply < 0) return 'io';
    const budget = yield* budgetOf(sys, CLIENT_BUDGET_NS);
    if ((yield* sendWithin(sys, this.#sendSlot, request, budget, reply)) < 0) return 'io';
    const wait = { deadline: budget.deadline, round: 0 };
    const wanted = (frame: Uint8Array): boolean => replyMatches(frame, op, nonce);
    return (yield* this.#inbox.take(sys, wanted, wait, CLIENT_BUFFER)) ?? 'io';
  }

  #nextNonce(): StatefsNonce {
    this.#lastNonce += 1n;
    return statefsNonce(this.#lastNonce);
  }
}
