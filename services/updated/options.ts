/** What quirks change in updated, as plain options; all false is the contract (quirks.md). */
export interface UpdatedOptions {
  /** The log sink finds logd by routing although init gave its slots (quirk `sink-slots-unused`). */
  readonly sinkUnconfigured: boolean;
  /** Lines that logd did not take leave no trace (quirk `silent-sink`). */
  readonly silentSink: boolean;
  /** Foreign frames on the reply inbox are dropped (quirk `inbox-discards`). */
  readonly inboxDiscards: boolean;
}

/** The contract. */
export const UPDATED_CONTRACT: UpdatedOptions = { sinkUnconfigured: false, silentSink: false, inboxDiscards: false };

/** The reference image. */
export const UPDATED_REFERENCE: UpdatedOptions = { sinkUnconfigured: true, silentSink: true, inboxDiscards: true };
