/**
 * Answers of policyd and rngd on a service's reply inbox (sheet 60, sections 2.4 and 13). The contract takes an answer only
 * for the request that is in flight: whatever of its protocol came before that was sent is counted and dropped, frames of
 * other protocols stay for their readers. With `stashAuthorises` the reference's pending buffer serves instead.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import { recvMatch, ReplyBuffer } from './correlation.ts';
import type { NonceOf } from './correlation.ts';
import { Inbox } from './inbox.ts';
import { CLIENT_RECV_MAX } from './ipc.ts';
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

/** A protocol on the inbox: the nonce of its answers, null for frames of other protocols. */
export type Protocol = NonceOf;

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

  /**
   * Before a request of `protocol` goes out: drops every answer of it that is already here (COR-2, OBS-23). The reference
   * does nothing.
   */
  *prepare(protocol: Protocol): Call<void> {
    if (this.#stashAuthorises) return;
    const stale = (frame: Uint8Array): boolean => {
      if (protocol(frame) === null) return false;
      this.#notInFlight += 1;
      return true;
    };
    yield* this.inbox.drain(this.#sys, INBOX_DEPTH, CLIENT_RECV_MAX, stale);
    this.#note();
  }

  /** Waits for the answer to `nonce`; null at the deadline or on a receive error. */
  *await(protocol: Protocol, nonce: bigint, budget: Budget): Call<Uint8Array | null> {
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
    this.#sys.note('reply-inbox-drops', drops);
  }
}
