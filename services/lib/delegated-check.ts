/**
 * The delegated capability check of keystored and rngd (sheet 60, section 2.5): policyd decides whether the sender of a
 * request holds a capability. Whatever is not an ALLOW for this very question denies (OBS-23). statefsd's check asks the
 * same frames under other bounds (services/statefsd/policy.ts).
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
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
import type { Call } from './ipc.ts';
import type { Protocol, ReplyInbox } from './reply-inbox.ts';
import { ascii } from './text.ts';

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
  readonly #inbox: ReplyInbox;
  #nextNonce = policyNonce(1);

  constructor(inbox: ReplyInbox) {
    this.#inbox = inbox;
  }

  /** True only if policyd says ALLOW. */
  *allows(slots: CheckSlots, subject: ServiceId, capability: string): Call<boolean> {
    const nonce = this.#nextNonce;
    const frame = encodeCheck(nonce, subject, capability);
    if (frame === null) return false;
    this.#nextNonce = policyNonce(nonce + 1);
    const answer = yield* this.#inbox.exchange({
      protocol: checkReplyNonce,
      nonce: BigInt(nonce),
      frame,
      sendSlot: slots.policyd,
      replySlot: slots.inboxSend,
    });
    return answer !== null && decodeDelegatedReply(answer, nonce) === PolicyStatus.ALLOW;
  }
}
