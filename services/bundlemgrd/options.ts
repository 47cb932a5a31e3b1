/** What quirks change in bundlemgrd, as plain options (quirks.md). */
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import { CLIENT_RECV_MAX } from '../lib/ipc.ts';

export interface BundlemgrdOptions {
  /** Receive buffer in bytes: 8192, with quirk `receive-cut` 512. Longer frames are cut to it. */
  readonly receiveMax: number;
  /** Metrics are asked a route for that never comes, and vanish (quirk `metrics-unrouted`). */
  readonly metricsUnrouted: boolean;
  /** The log sink finds logd by routing although init gave its slots (quirk `sink-slots-unused`). */
  readonly sinkUnconfigured: boolean;
  /** Lines that logd did not take leave no trace (quirk `silent-sink`). */
  readonly silentSink: boolean;
  /** Foreign frames on the reply inbox are dropped (quirk `inbox-discards`). */
  readonly inboxDiscards: boolean;
}

/** The contract. */
export const BUNDLEMGRD_CONTRACT: BundlemgrdOptions = {
  receiveMax: MAX_FRAME,
  metricsUnrouted: false,
  sinkUnconfigured: false,
  silentSink: false,
  inboxDiscards: false,
};

/** The reference image. */
export const BUNDLEMGRD_REFERENCE: BundlemgrdOptions = {
  receiveMax: CLIENT_RECV_MAX,
  metricsUnrouted: true,
  sinkUnconfigured: true,
  silentSink: true,
  inboxDiscards: true,
};
