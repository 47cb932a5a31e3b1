/** keystored's client of rngd (sheet 60, section 3.6): one request at a time on the inbox that policyd answers on, too. */
import type { Call } from '../lib/ipc.ts';
import type { Protocol, ReplyInbox } from '../lib/reply-inbox.ts';
import { decodeEntropy, encodeRequest, ENTROPY_MAX, entropyNonce, responseNonce } from '../rngd/wire.ts';

/** First nonce; policy checks count from 1 on the same inbox. */
export const FIRST_ENTROPY_NONCE = 0x1000;

/** Nonce of rngd's answers on the reply inbox. */
export const entropyReplyNonce: Protocol = (frame) => {
  const nonce = responseNonce(frame);
  return nonce === null ? null : BigInt(nonce);
};

/** Asks rngd. */
export class EntropyClient {
  readonly #inbox: ReplyInbox;
  readonly #sendSlot: number;
  readonly #replySlot: number;
  #nextNonce = FIRST_ENTROPY_NONCE;

  /** `sendSlot` leads to rngd; `replySlot` is the SEND side of the inbox. */
  constructor(inbox: ReplyInbox, sendSlot: number, replySlot: number) {
    this.#inbox = inbox;
    this.#sendSlot = sendSlot;
    this.#replySlot = replySlot;
  }

  /** The bytes of one answer, of any length; null when there is none in time or it is a refusal. */
  *request(count: number): Call<Uint8Array | null> {
    if (count < 1 || count > ENTROPY_MAX) return null;
    const nonce = entropyNonce(this.#nextNonce);
    this.#nextNonce = nonce + 1;
    const answer = yield* this.#inbox.exchange({
      protocol: entropyReplyNonce,
      nonce: BigInt(nonce),
      frame: encodeRequest(nonce, count),
      sendSlot: this.#sendSlot,
      replySlot: this.#replySlot,
    });
    return answer === null ? null : decodeEntropy(answer, nonce);
  }
}
