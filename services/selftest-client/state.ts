/**
 * What the selftest client carries from step to step (sheet 80, sections 3 and 4): its slots, its nonce counters, its log
 * facade. One object per task; steps live in the files beside it.
 */
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { NonceGen, ReplyBuffer } from '../lib/correlation.ts';
import { Inbox } from '../lib/inbox.ts';
import type { Call } from '../lib/ipc.ts';
import { NexusLog } from '../lib/nexus-log.ts';
import type { MetricsClient } from '../lib/nexus-metrics.ts';
import type { X25519 } from '../lib/x25519.ts';

export const NAME = 'selftest-client';
/** The task's canonical id (sheet 80, section 1). */
export const OWN_SERVICE_ID: ServiceId = serviceIdOf(NAME);

/** Capability slots (sheet 80, section 3). */
export const Slot = {
  BOOTSTRAP: 0,
  CTRL_SEND: 1,
  CTRL_RECV: 2,
  VFSD: 0x03,
  VFSD_RECV: 0x04,
  POLICYD: 0x07,
  POLICYD_RECV: 0x08,
  BUNDLEMGRD: 0x09,
  BUNDLEMGRD_RECV: 0x0a,
  UPDATED: 0x0b,
  UPDATED_RECV: 0x0c,
  SAMGRD: 0x0d,
  SAMGRD_RECV: 0x0e,
  EXECD: 0x0f,
  EXECD_RECV: 0x10,
  KEYSTORED: 0x11,
  KEYSTORED_RECV: 0x12,
  STATEFSD: 0x13,
  STATEFSD_RECV: 0x14,
  LOGD: 0x15,
  LOGD_RECV: 0x16,
  INBOX_RECV: 0x17,
  INBOX_SEND: 0x18,
  RNGD: 0x1d,
  RNGD_RECV: 0x1e,
  MMIO: 0x30,
} as const;

/** Plain options, contract settings unless a quirk asks otherwise (quirks.md). */
export interface SelftestOptions {
  /** Steps in program order; those of absent services are left out of the image (design, decision 6). */
  readonly steps: readonly StepId[];
  /** quirk cap-check-reply: policy replies are expected in 5 bytes and every error counts as a denial. */
  readonly capCheckFiveBytes: boolean;
  /** quirk cap-check-subject: S26 names netstackd although policyd answers for the sender. */
  readonly capCheckOtherSubject: boolean;
  /** quirk routing-unchecked: routing lines are printed without asking init. */
  readonly routingUnchecked: boolean;
  /** quirk wait-by-rounds: rate-window waits end after 16,384 yields. */
  readonly waitByRounds: boolean;
  /** quirk child-exit-unchecked: `child exit ok` whatever the exit code. */
  readonly childExitUnchecked: boolean;
  /** The payload of S35, as execd has it; its header is printed. */
  readonly helloElf: Uint8Array;
  /** Receive buffer of the client of vfsd, bytes: 8192, with quirk receive-cut 512. */
  readonly receiveMax: number;
  /**
   * Answers of others may lie in statefsd's response queue, so S22 looks for its own; absent: the first one is taken, as the
   * sheet has it. Only with quirk `wal-unacknowledged` on and `metrics-unrouted` off, see docs/decisions.md.
   */
  readonly strayAnswers?: boolean;
  /** quirk silent-sink. */
  readonly silentSink: boolean;
  /** quirk inbox-discards. */
  readonly inboxDiscards: boolean;
  /** Memory of what the host has computed for this machine already; absent: one of its own. */
  readonly x25519?: X25519;
}

/** Steps of sheet 80, section 5; `wait` is the rate-window wait between S40, S41 and S42. */
export type StepId =
  | 'S01'
  | 'S02'
  | 'S04'
  | 'S05'
  | 'S06'
  | 'S07'
  | 'S08'
  | 'S09'
  | 'S10'
  | 'S11'
  | 'S12'
  | 'S13'
  | 'S14'
  | 'S15'
  | 'S16'
  | 'S17'
  | 'S17-bundlemgrd'
  | 'S17-updated'
  | 'S18'
  | 'S19'
  | 'S20'
  | 'S21'
  | 'S22'
  | 'S23'
  | 'S24'
  | 'S25'
  | 'S26'
  | 'S28'
  | 'S29'
  | 'S30'
  | 'S31'
  | 'S32'
  | 'S33'
  | 'S34'
  | 'S35'
  | 'S36'
  | 'S37'
  | 'S38'
  | 'S39'
  | 'S40'
  | 'wait'
  | 'S41'
  | 'wait-metrics'
  | 'S42'
  | 'S47'
  | 'S48'
  | 'S49'
  | 'S50'
  | 'S51'
  | 'S52'
  | 'S53'
  | 'S54'
  | 'S55'
  | 'S56'
  | 'S57'
  | 'S58'
  | 'S59'
  | 'S60'
  | 'S61'
  | 'S62'
  | 'S63'
  | 'S64'
  | 'S65';

/** A step's body. False: a fatal point (section 9), the task ends with an error. */
export type Step = (state: SelftestState) => Call<boolean>;

/** Frames of other exchanges that RM keeps: 8 of 64 bytes (section 2, tag RM). */
const PENDING_FRAMES = 8;
const PENDING_BYTES = 64;

/** The selftest client's state. */
export class SelftestState {
  readonly sys: Sys;
  readonly options: SelftestOptions;
  readonly log: NexusLog;
  readonly inbox: Inbox;
  /** Buffer of nonce-matched receives on the inbox. */
  readonly pending = new ReplyBuffer(PENDING_FRAMES, PENDING_BYTES);
  /** Nonce counters, first values as in section 4. */
  readonly nonces = {
    routing: new NonceGen(1n),
    append: new NonceGen(1n),
    statsMoved: new NonceGen(1000n),
    statsPlain: new NonceGen(2000n),
    query: new NonceGen(10_000n),
    statefs: new NonceGen(1n),
    soak: new NonceGen(0x1000n),
    samgrdPing: new NonceGen(1n),
    samgrdPid: new NonceGen(2n),
    samgrdId: new NonceGen(3n),
    bootctl: new NonceGen(1n),
    health: new NonceGen(1n),
  };
  /** Slots keystored was found on in S01. */
  keystored = {
    send: Slot.KEYSTORED as number,
    recv: Slot.KEYSTORED_RECV as number,
  };
  /** Client of S41 to S46, made on first use. */
  metrics: MetricsClient | null = null;
  /** Replies of updated that no exchange has asked for yet, oldest first (section 6.9). */
  readonly updatedReplies: Uint8Array[] = [];
  /** Own IPv4 address of S61, null without one. */
  localAddress: Ipv4 | null = null;
  /** Device public key of S07, compared in S11. */
  deviceKey: Uint8Array | null = null;

  constructor(sys: Sys, options: SelftestOptions) {
    this.sys = sys;
    this.options = options;
    this.inbox = new Inbox(Slot.INBOX_RECV, options.inboxDiscards);
    this.log = new NexusLog(
      sys,
      {
        service: NAME,
        sink: true,
        silentSink: options.silentSink,
        inboxDiscards: options.inboxDiscards,
      },
      this.inbox,
    );
  }

  /** Prints one line. */
  *say(text: string): Call<void> {
    yield this.sys.println(text);
  }

  /** Prints the marker with `ok`, or with `FAIL` (contract-only failures print nothing else, quirks.md). */
  *verdict(marker: string, passed: boolean): Call<void> {
    yield this.sys.println(`SELFTEST: ${marker} ${passed ? 'ok' : 'FAIL'}`);
  }
}
