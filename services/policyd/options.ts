/** What an image decides about policyd, as plain data; `false` everywhere is the contract (quirks.md). */
import { CLIENT_RECV_MAX } from '../lib/ipc.ts';
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import type { PolicySet } from './policy.ts';

export interface PolicydOptions {
  /** The compiled policy. */
  readonly policy: PolicySet;
  /** Quirk audit-decision-byte. */
  readonly auditDecisionByte: boolean;
  /** Quirk cap-check-subject: an unprivileged CHECK_CAP about somebody else is evaluated for the sender. */
  readonly capCheckAsSender: boolean;
  /** Quirk inbox-discards: foreign frames on the reply inbox are dropped instead of kept. */
  readonly inboxDiscards: boolean;
  /** Receive buffer in bytes: 8192, with quirk receive-cut 512. Longer frames are cut to it. */
  readonly receiveMax: number;
}

/** The contract's settings. */
export function contractOptions(policy: PolicySet): PolicydOptions {
  return {
    policy,
    auditDecisionByte: false,
    capCheckAsSender: false,
    inboxDiscards: false,
    receiveMax: MAX_FRAME,
  };
}

/** The reference image's settings. */
export function referenceOptions(policy: PolicySet): PolicydOptions {
  return {
    policy,
    auditDecisionByte: true,
    capCheckAsSender: true,
    inboxDiscards: true,
    receiveMax: CLIENT_RECV_MAX,
  };
}
