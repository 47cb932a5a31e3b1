/**
 * Answers of policyd and rngd on a service's reply inbox (sheet 60, sections 2.4 and 13). The contract takes an answer only
 * for the request that is in flight: whatever of its protocol came before that was sent is counted and dropped, frames of
 * other protocols stay for their readers. With `stashAuthorises` the reference's pending buffer serves instead.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import { recvMatch, ReplyBuffer } from './correlation.ts';
import type { NonceOf } from './correlation.ts';
import { Inbox } from './inbox.ts';
import { CLIENT_RECV_MAX, sendWithin, TIMEOUT } from './ipc.ts';
import type { Budget, Call } from './ipc.ts';

/** Frames and bytes per frame of the reference's pending buffer. */
export const PENDING_FRAMES = 16;
export const PENDING_FRAME_MAX = 512;
/** Frames an inbox can hold: what is looked at before a request goes out. */
const INBOX_DEPTH = 8;

/** Behaviour of a reply inbox; all false is the contract. */
export interface ReplyInboxOptions {
  /** Any answer is kept under its bare number and serves a later request with that number (quirk `stash-authorises`). */
  readonly stashAuthorises: boolean;
  /** Frames of other protocols are dropped instead of kept (quirk `inbox-discards`). */
  readonly inboxDiscards: boolean;
}

/** Time for a request to be taken, and again for its answer to arrive, ns (section 2.5). */
export const REQUEST_SEND_NS = 500_000_000;
export const REQUEST_ANSWER_NS = 500_000_000;

/** A protocol on the inbox: the nonce of its answers, null for frames of other protocols. */
export type Protocol = NonceOf;

/** A request whose answer comes over a moved clone of the inbox's SEND side. */
export interface InboxRequest {
  readonly protocol: Protocol;
  readonly nonce: bigint;
  readonly frame: Uint8Array;
  /** SEND to the server, SEND to the own inbox. */
  readonly sendSlot: number;
  readonly replySlot: number;
}

/** The inbox of one task, read for `protocols`; other clients of the task share {@link inbox}. */
export class ReplyInbox {
  readonly inbox: Inbox;
  readonly #sys: Sys;
  readonly #stashAuthorises: boolean;
  readonly #protocols: readonly Protocol[];
  readonly #pending = new ReplyBuffer(PENDING_FRAMES, PENDING_FRAME_MAX);
  #notInFlight = 0;
  #noted = 0;
  readonly #anyNonce: NonceOf = (frame) => {
    for (const protocol of this.#protocols) {
      const nonce = protocol(frame);
      if (nonce !== null) return nonce;
    }
    return null;
  };

  /** `slot` is the inbox's RECV side. */
  constructor(sys: Sys, slot: number, protocols: readonly Protocol[], options: ReplyInboxOptions) {
    this.#sys = sys;
    this.inbox = new Inbox(slot, options.inboxDiscards);
    this.#stashAuthorises = options.stashAuthorises;
    this.#protocols = protocols;
  }

  /** Answers that were dropped because nothing they could answer was in flight, and frames lost to bounds. */
  get drops(): number {
    return this.#notInFlight + this.inbox.drops + this.#pending.drops;
  }

  /** Sends a request and waits for its answer (section 2.5, steps 1 to 4). Null: no answer in time, or any error. */
  *exchange(request: InboxRequest): Call<Uint8Array | null> {
    const sys = this.#sys;
    if (!this.#stashAuthorises) yield* this.#dropEarly(request.protocol);
    const clone = yield sys.capClone(request.replySlot);
    if (clone < 0) return null;
    const asked = yield sys.nsec();
    if (asked < 0) return null;
    // rngd's second bound, 200 000 attempts, cannot be reached: at two syscalls each they outlast the 500 ms.
    const budget = { deadline: asked + REQUEST_SEND_NS, round: 0 };
    const sent = yield* sendWithin(sys, request.sendSlot, request.frame, budget, clone);
    // After any other failure the clone stays in the table, as in the real library (section 11, Q17).
    if (sent < 0 && sent !== TIMEOUT) return null;
    yield sys.capClose(clone);
    if (sent < 0) return null;
    const waiting = yield sys.nsec();
    if (waiting < 0) return null;
    return yield* this.#await(request.protocol, request.nonce, { deadline: waiting + REQUEST_ANSWER_NS, round: 0 });
  }

  /** Drops every answer of `protocol` that came before its request (COR-2, OBS-23). */
  *#dropEarly(protocol: Protocol): Call<void> {
    const early = (frame: Uint8Array): boolean => {
      if (protocol(frame) === null) return false;
      this.#notInFlight += 1;
      return true;
    };
    yield* this.inbox.drain(this.#sys, INBOX_DEPTH, CLIENT_RECV_MAX, early);
    this.#note();
  }

  *#await(protocol: Protocol, nonce: bigint, budget: Budget): Call<Uint8Array | null> {
    const frame = this.#stashAuthorises
      ? yield* this.#awaitAnyProtocol(nonce, budget)
      : yield* this.inbox.take(this.#sys, (f) => protocol(f) === nonce, budget, CLIENT_RECV_MAX);
    this.#note();
    return frame;
  }

  /** The reference's receive: one pending buffer, keyed by the number alone. */
  *#awaitAnyProtocol(nonce: bigint, budget: Budget): Call<Uint8Array | null> {
    const known = (frame: Uint8Array): boolean => this.#anyNonce(frame) !== null;
    for (let kept = this.inbox.takeStashed(known); kept !== null; kept = this.inbox.takeStashed(known)) {
      const got = this.#anyNonce(kept);
      if (got !== null) this.#pending.push(got, kept);
    }
    const nonceOf: NonceOf = (frame) => {
      const got = this.#anyNonce(frame);
      if (got === null) this.inbox.keep(frame);
      return got;
    };
    return yield* recvMatch(this.#sys, this.inbox.slot, this.#pending, nonceOf, nonce, budget, PENDING_FRAME_MAX);
  }

  #note(): void {
    const drops = this.drops;
    if (drops === this.#noted) return;
    this.#noted = drops;
    this.#sys.note('inbox.dropped', drops);
  }
}
