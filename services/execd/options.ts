/** What an image decides about execd, as plain data; the defaults are the contract (quirks.md). */
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import { CLIENT_RECV_MAX } from '../lib/ipc.ts';
import { payloadImages } from './images.ts';
import type { ImageTable } from './images.ts';

export interface ExecdOptions {
  /** What the image bytes of EXEC_IMAGE stand for. */
  readonly images: ImageTable;
  /** Receive buffer in bytes: 8192, with quirk receive-cut 512. Longer frames are cut to it. */
  readonly receiveMax: number;
  /** quirk metrics-unrouted: init does not tell execd where metricsd is. */
  readonly metricsUnrouted: boolean;
  /** quirk span-requester-id: span and trace ids carry the requester's half. */
  readonly spanRequesterId: boolean;
  /** quirk crash-fields: the record of a crash has no fields. */
  readonly crashFieldsEmpty: boolean;
  /** quirk stash-authorises: an exec-check answer that came early decides a later question. */
  readonly stashAuthorises: boolean;
  /** quirk sink-slots-unused: the log sink finds logd by routing. */
  readonly sinkSlotsUnused: boolean;
  /** quirk silent-sink. */
  readonly silentSink: boolean;
  /** quirk inbox-discards. */
  readonly inboxDiscards: boolean;
}

/** The contract. */
export function execdContract(): ExecdOptions {
  return {
    images: payloadImages(),
    receiveMax: MAX_FRAME,
    metricsUnrouted: false,
    spanRequesterId: false,
    crashFieldsEmpty: false,
    stashAuthorises: false,
    sinkSlotsUnused: false,
    silentSink: false,
    inboxDiscards: false,
  };
}

/** The reference image. */
export function execdReference(): ExecdOptions {
  return {
    images: payloadImages(),
    receiveMax: CLIENT_RECV_MAX,
    metricsUnrouted: true,
    spanRequesterId: true,
    crashFieldsEmpty: true,
    stashAuthorises: true,
    sinkSlotsUnused: true,
    silentSink: true,
    inboxDiscards: true,
  };
}
