/** What an image decides about netstackd, as plain data (quirks.md; sheet 70, section 1). */
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import { HEAP_BYTES } from './heap.ts';

/** Bytes to which the reference's server cuts a request (sheet 70, section 6.1). */
export const REFERENCE_RECEIVE_MAX = 512;

/** Defaults are {@link NETSTACKD_CONTRACT}. */
export interface NetstackdOptions {
  /** Built for the single machine (feature `qemu-smoke`): long DHCP loop, fallback 10.0.2.15; else 10.42.0.H. */
  readonly smoke: boolean;
  /** Receive buffer in bytes: 8192, with quirk `receive-cut` 512. Longer frames are cut to it. */
  readonly receiveMax: number;
  /** A WRITE to a closed peer is answered without the nonce (quirk `error-drops-nonce`). */
  readonly errorDropsNonce: boolean;
  /** The DNS marker needs no answer and its window closes before a query can leave (quirk `dns-unchecked`). */
  readonly dnsUnchecked: boolean;
  /** Every TCP CONNECT uses the same local port (quirk `connect-port-reuse`). */
  readonly connectPortReuse: boolean;
  /** Size of its heap in bytes. */
  readonly heapBytes: number;
}

/** The contract, for the single machine. */
export const NETSTACKD_CONTRACT: NetstackdOptions = {
  smoke: true,
  receiveMax: MAX_FRAME,
  errorDropsNonce: false,
  dnsUnchecked: false,
  connectPortReuse: false,
  heapBytes: HEAP_BYTES,
};

/** The reference image. */
export const NETSTACKD_REFERENCE: NetstackdOptions = {
  smoke: true,
  receiveMax: REFERENCE_RECEIVE_MAX,
  errorDropsNonce: true,
  dnsUnchecked: true,
  connectPortReuse: true,
  heapBytes: HEAP_BYTES,
};
