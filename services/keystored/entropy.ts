/** keystored's client of rngd (sheet 60, section 3.6): one request at a time on the inbox that policyd answers on, too. */
import type { Sys } from '../../kernel-model/sys.ts';
import { sendWithin, TIMEOUT } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import type { Protocol, ReplyInbox } from '../lib/reply-inbox.ts';
import { decodeEntropy, encodeRequest, ENTROPY_MAX, entropyNonce, responseNonce } from '../rngd/wire.ts';

/** Time for the request to be taken, and again for its answer to arrive, ns. */
export const ENTROPY_SEND_NS = 500_000_000;
export const ENTROPY_ANSWER_NS = 500_000_000;
/** First nonce; policy checks count from 1 on the same inbox. */
export const FIRST_ENTROPY_NONCE = 0x1000;

/** Nonce of rngd's answers on the reply inbox. */
export const entropyReplyNonce: Protocol = (frame) => {
  const nonce = responseNonce(frame);
  return nonce === null ? null : BigInt(nonce);
};

/** Asks rngd. */
export class EntropyClient {
  readonly #sys: Sys;
  readonly #inbox: ReplyInbox;
  readonly #sendSlot: number;
  readonly #replySendSlot: number;
  #nextNonce = FIRST_ENTROPY_NONCE;

  /** `sendSlot` leads to rngd; `replySendSlot` is the SEND side of the inbox. */
  constructor(sys: Sys, inbox: ReplyInbox, sendSlot: number, replySendSlot: number) {
    this.#sys = sys;
    this.#inbox = inbox;
    this.#sendSlot = sendSlot;
    this.#replySendSlot = replySendSlot;
  }

  /** The bytes of one answer, of any length; null when there is none in time or it is a refusal. */
  *request(count: number): Call<Uint8Array | null> {
    if (count < 1 || count > ENTROPY_MAX) return null;
    const sys = this.#sys;
    const nonce = entropyNonce(this.#nextNonce);
    this.#nextNonce = nonce + 1;
    yield* this.#inbox.prepare(entropyReplyNonce);
    const reply = yield sys.capClone(this.#replySendSlot);
    if (reply < 0) return null;
    const asked = yield sys.nsec();
    if (asked < 0) return null;
    const budget = { deadline: asked + ENTROPY_SEND_NS, round: 0 };
    const sent = yield* sendWithin(sys, this.#sendSlot, encodeRequest(nonce, count), budget, reply);
    // After any other failure the clone stays in the table, as in the real library (section 11, Q17).
    if (sent < 0 && sent !== TIMEOUT) return null;
    yield sys.capClose(reply);
    if (sent < 0) return null;
    const waiting = yield sys.nsec();
    if (waiting < 0) return null;
    const wait = { deadline: waiting + ENTROPY_ANSWER_NS, round: 0 };
    const answer = yield* this.#inbox.await(entropyReplyNonce, BigInt(nonce), wait);
    return answer === null ? null : decodeEntropy(answer, nonce);
  }
}
