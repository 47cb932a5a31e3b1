/**
 * The delegated capability check of keystored and rngd (sheet 60, section 2.5): policyd decides whether the sender of a
 * request holds a capability. Whatever is not an ALLOW for this very question denies (OBS-23). statefsd's check asks the
 * same frames under other bounds (services/statefsd/policy.ts).
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import {
  CAPABILITY_MAX,
  capabilityName,
  decodeDelegatedReply,
  encodeRequest,
  policyNonce,
  PolicyStatus,
  REPLY_NONCE_LENGTH,
} from '../policyd/wire.ts';
import type { PolicyNonce } from '../policyd/wire.ts';
import { sendWithin, TIMEOUT } from './ipc.ts';
import type { Call } from './ipc.ts';
import type { Protocol, ReplyInbox } from './reply-inbox.ts';
import { ascii } from './text.ts';

/** Time for the request to be taken, and again for its answer to arrive, ns. */
export const CHECK_SEND_NS = 500_000_000;
export const CHECK_ANSWER_NS = 500_000_000;

/** Slots of a check: SEND to policyd, SEND to the own reply inbox. */
export interface CheckSlots {
  readonly policyd: number;
  readonly inboxSend: number;
}

/** `PO` v2 CHECK_CAP_DELEGATED; null for a name that is empty or longer than {@link CAPABILITY_MAX}. */
export function encodeCheck(nonce: PolicyNonce, subject: ServiceId, name: string): Uint8Array | null {
  const capability = capabilityName(ascii(name));
  if (capability.length === 0 || capability.length > CAPABILITY_MAX) return null;
  return encodeRequest({ op: 'check_cap_delegated', version: 2, nonce, subject, capability });
}

/** Nonce of policyd's answers on the reply inbox: 10 bytes, `PO` 02, whatever the op. */
export const checkReplyNonce: Protocol = (frame) => {
  if (frame.length !== REPLY_NONCE_LENGTH || frame[0] !== 0x50 || frame[1] !== 0x4f || frame[2] !== 2) return null;
  return BigInt(new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(4, true));
};

/** Asks policyd, one check at a time. */
export class DelegatedCheck {
  readonly #sys: Sys;
  readonly #inbox: ReplyInbox;
  #nextNonce = policyNonce(1);

  constructor(sys: Sys, inbox: ReplyInbox) {
    this.#sys = sys;
    this.#inbox = inbox;
  }

  /** True only if policyd says ALLOW. */
  *allows(slots: CheckSlots, subject: ServiceId, capability: string): Call<boolean> {
    const sys = this.#sys;
    const nonce = this.#nextNonce;
    const frame = encodeCheck(nonce, subject, capability);
    if (frame === null) return false;
    this.#nextNonce = policyNonce(nonce + 1);
    yield* this.#inbox.prepare(checkReplyNonce);
    const reply = yield sys.capClone(slots.inboxSend);
    if (reply < 0) return false;
    const asked = yield sys.nsec();
    if (asked < 0) return false;
    // rngd's second bound, 200 000 attempts, cannot be reached: at two syscalls each they outlast the 500 ms.
    const sent = yield* sendWithin(sys, slots.policyd, frame, { deadline: asked + CHECK_SEND_NS, round: 0 }, reply);
    // After any other failure the clone stays in the table, as in the real library (section 11, Q17).
    if (sent < 0 && sent !== TIMEOUT) return false;
    yield sys.capClose(reply);
    if (sent < 0) return false;
    const waiting = yield sys.nsec();
    if (waiting < 0) return false;
    const budget = { deadline: waiting + CHECK_ANSWER_NS, round: 0 };
    const answer = yield* this.#inbox.await(checkReplyNonce, BigInt(nonce), budget);
    return answer !== null && decodeDelegatedReply(answer, nonce) === PolicyStatus.ALLOW;
  }
}
