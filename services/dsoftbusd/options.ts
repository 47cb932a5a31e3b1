/** What quirks change in dsoftbusd, as plain options (quirks.md). */
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import { CLIENT_RECV_MAX } from '../lib/ipc.ts';
import type { X25519 } from '../lib/x25519.ts';

export interface DsoftbusdOptions {
  /** Receive buffer of the own endpoint in bytes: 8192, with quirk `receive-cut` 512. Longer frames are cut to it. */
  readonly receiveMax: number;
  /** The proxy takes any message for the answer and says ok without one (quirk `proxy-unchecked`). */
  readonly proxyUnchecked: boolean;
  /** Metrics are asked a route for that never comes, and vanish (quirk `metrics-unrouted`). */
  readonly metricsUnrouted: boolean;
  /** The log sink finds logd by routing although init gave its slots (quirk `sink-slots-unused`). */
  readonly sinkSlotsUnused: boolean;
  /** Lines that logd did not take leave no trace (quirk `silent-sink`). */
  readonly silentSink: boolean;
  /** Foreign frames on the reply inbox are dropped (quirk `inbox-discards`). */
  readonly inboxDiscards: boolean;
  /** Memory of what the host has computed for this machine already; absent: one of its own. */
  readonly x25519?: X25519;
}

/** The contract. */
export const DSOFTBUSD_CONTRACT: Omit<DsoftbusdOptions, 'x25519'> = {
  receiveMax: MAX_FRAME,
  proxyUnchecked: false,
  metricsUnrouted: false,
  sinkSlotsUnused: false,
  silentSink: false,
  inboxDiscards: false,
};

/** The reference image. */
export const DSOFTBUSD_REFERENCE: Omit<DsoftbusdOptions, 'x25519'> = {
  receiveMax: CLIENT_RECV_MAX,
  proxyUnchecked: true,
  metricsUnrouted: true,
  sinkSlotsUnused: true,
  silentSink: true,
  inboxDiscards: true,
};

/** Slots as init wires them (sheet 70, section 7). */
export const Slot = {
  NETSTACKD: 3,
  NETSTACKD_RECV: 4,
  INBOX_RECV: 5,
  INBOX_SEND: 6,
  LOGD: 0x0b,
} as const;
