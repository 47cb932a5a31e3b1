/**
 * The question to init whether a requester may run an image (sheet 60, section 6.3, step 3; OBS-23): fails closed. Contract: an
 * answer counts only while its question is in flight. Quirk stash-authorises: answers to other nonces are kept, and one
 * that came early decides a later question.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { ReplyBuffer, recvMatch } from '../lib/correlation.ts';
import { CTRL_RECV, CTRL_SEND, budgetOf, sendWithin } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { CHECK_ALLOW, CheckNonces, checkReplyNonce, decodeCheckReply, encodeExecCheck } from './wire.ts';
import type { Requester } from './wire.ts';

/** Budget of the send and of the receive, each, ns. */
export const CHECK_NS = 2_000_000_000;
/** Receive buffer, and answers kept by the quirk. */
const CHECK_BUFFER = 16;
const PENDING_ANSWERS = 8;
/** Frames the control channel can hold: what is looked at before a question goes out. */
const CONTROL_DEPTH = 8;

/** `failed`: no answer in time, or no way to ask. `malformed` and `denied` are both denials. */
export type CheckVerdict = 'allowed' | 'denied' | 'malformed' | 'failed';

/** The exec checks of one execd. */
export class ExecCheck {
  readonly #sys: Sys;
  readonly #stashAuthorises: boolean;
  readonly #nonces = new CheckNonces();
  readonly #pending: ReplyBuffer;
  #stale = 0;
  #noted = 0;

  /** `stashAuthorises`: the quirk of this name. */
  constructor(sys: Sys, stashAuthorises: boolean) {
    this.#sys = sys;
    this.#stashAuthorises = stashAuthorises;
    this.#pending = new ReplyBuffer(stashAuthorises ? PENDING_ANSWERS : 0, CHECK_BUFFER);
  }

  /** Asks, and waits for the answer to this question. */
  *ask(name: Requester, image: number): Call<CheckVerdict> {
    const sys = this.#sys;
    const nonce = this.#nonces.next();
    if (!this.#stashAuthorises) yield* this.#dropStale();
    const asking = yield* budgetOf(sys, CHECK_NS);
    if ((yield* sendWithin(sys, CTRL_SEND, encodeExecCheck(nonce, name, image), asking)) < 0) return 'failed';
    const waiting = yield* budgetOf(sys, CHECK_NS);
    const wanted = BigInt(nonce);
    const frame = yield* recvMatch(sys, CTRL_RECV, this.#pending, checkReplyNonce, wanted, waiting, CHECK_BUFFER);
    this.#note();
    if (frame === null) return 'failed';
    const status = decodeCheckReply(frame, nonce);
    // The receive has matched the nonce already; whatever else it let through is no permission.
    if (status === null) return 'malformed';
    return status === CHECK_ALLOW ? 'allowed' : 'denied';
  }

  /** What waits on the channel now answers nothing that is in flight; nor does anybody wait for a route answer. */
  *#dropStale(): Call<void> {
    for (let i = 0; i < CONTROL_DEPTH; i++) {
      if ((yield this.#sys.recv(CTRL_RECV, CHECK_BUFFER, NONBLOCK | TRUNCATE)) < 0) return;
      this.#stale += 1;
    }
  }

  #note(): void {
    const drops = this.#stale + this.#pending.drops;
    if (drops === this.#noted) return;
    this.#noted = drops;
    this.#sys.note('exec-check-drops', drops);
  }
}
