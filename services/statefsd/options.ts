/** What quirks change in statefsd, as plain options; all false is the contract (quirks.md). */
export interface StatefsdOptions {
  /** Requests are received into 512 bytes and cut (quirk `receive-cut`). */
  readonly receiveCut: boolean;
  /** Replies to frames that do not decode come in version 1 without the nonce (quirk `error-drops-nonce`). */
  readonly errorDropsNonce: boolean;
  /** Denials go to slot 8 whatever stands there; without it only to a logd that was wired (quirk `statefs-audit-lost`). */
  readonly auditLost: boolean;
  /** A failed start can never succeed again, and memory serves meanwhile (quirk `statefs-restart`). */
  readonly restartFails: boolean;
  /** No end mark in the journal; after a failed replay its head is overwritten (quirk `statefs-tail`). */
  readonly staleTail: boolean;
  /** A request without a status byte reads as success (quirk `blk-status-preset`). */
  readonly statusPreset: boolean;
  /** A policy answer with another nonce denies at once (quirk `late-reply-denies`). */
  readonly lateReplyDenies: boolean;
  /**
   * ns to wait for room where an answer without a reply capability goes; null: for ever, as the sheet has it. Not null only
   * with quirk `wal-unacknowledged` on and `metrics-unrouted` off, see docs/decisions.md.
   */
  readonly answerWaitNs: number | null;
}

/** The contract. */
export const CONTRACT: StatefsdOptions = {
  receiveCut: false,
  errorDropsNonce: false,
  auditLost: false,
  restartFails: false,
  staleTail: false,
  statusPreset: false,
  lateReplyDenies: false,
  answerWaitNs: null,
};

/** The reference image. */
export const REFERENCE: StatefsdOptions = {
  receiveCut: true,
  errorDropsNonce: true,
  auditLost: true,
  restartFails: true,
  staleTail: true,
  statusPreset: true,
  lateReplyDenies: true,
  answerWaitNs: null,
};
