import { MAX_FRAME } from '../../kernel-model/abi.ts';
import { CLIENT_RECV_MAX } from '../lib/ipc.ts';

/** What an image decides about keystored, as plain data (quirks.md). */
export interface KeystoredOptions {
  /** Receive buffer in bytes: 8192, with quirk `receive-cut` 512. Longer frames are cut to it. */
  readonly receiveMax: number;
  /** Foreign frames on the reply inbox are dropped instead of kept (quirk `inbox-discards`). */
  readonly inboxDiscards: boolean;
  /** A reply of policyd or rngd that came before its request serves it (quirk `stash-authorises`). */
  readonly stashAuthorises: boolean;
}

/** The contract. */
export const KEYSTORED_CONTRACT: KeystoredOptions = {
  receiveMax: MAX_FRAME,
  inboxDiscards: false,
  stashAuthorises: false,
};

/** The reference image. */
export const KEYSTORED_REFERENCE: KeystoredOptions = {
  receiveMax: CLIENT_RECV_MAX,
  inboxDiscards: true,
  stashAuthorises: true,
};
