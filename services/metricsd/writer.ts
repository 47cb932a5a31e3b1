/**
 * Carries retention to the store (sheet 40, section 14.5). The contract: every write is a version 2 request with a moved
 * reply capability, one is outstanding at a time, and its acknowledgement is the proof of persistence (OBS-20, OBS-21).
 * Quirk wal-unacknowledged: version 1 requests whose replies nobody reads, and one acknowledged proof write.
 */
import { NONBLOCK } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import type { Inbox } from '../lib/inbox.ts';
import { budgetOf, sendWithin } from '../lib/ipc.ts';
import type { Budget, Call } from '../lib/ipc.ts';
import type { NexusLog } from '../lib/nexus-log.ts';
import {
  MAGIC_0,
  MAGIC_1,
  OP_DEL,
  OP_PUT,
  STATUS_NOT_FOUND,
  STATUS_OK,
  decodeStatusReply,
  encodeDel,
  encodePut,
} from '../statefsd/wire.ts';
import type { EncodeFault } from '../statefsd/wire.ts';
import { segmentKey, windowKey, windowText } from './retention.ts';
import type { RecordKind, Retention, RetentionLimits, RetentionStep, RollupWindow, WindowKind } from './retention.ts';

/** Slots the writer uses. */
export interface WriterSlots {
  /** SEND to the store. */
  readonly store: number;
  /** metricsd's own SEND to its reply inbox; cloned and moved with every acknowledged request. */
  readonly replySend: number;
}

/** Longest wait for the acknowledgements of one event, ns: below the 500 ms that metricsd's client waits. */
export const EVENT_ACK_NS = 400_000_000;
/** Shortest share of {@link EVENT_ACK_NS} one attempt gets when many attempts are configured, ns. */
export const ATTEMPT_MIN_NS = 50_000_000;
/** Budget of the reference's proof write, send and reply together, ns. */
export const PROOF_NS = 2_000_000_000;
/** Deletes that wait for their acknowledgement at most; the oldest is given up beyond it. */
export const OWED_DELETES_MAX = 32;
/** Receive buffer for acknowledgements, bytes. */
export const ACK_RECV_MAX = 64;

/** What went wrong with a write, as counted in notes `retention.<cause>`. */
export type RetentionLoss = 'send' | 'ack-missing' | 'ack-late' | 'refused' | 'record' | 'rollup' | 'delete';

const TARGET = 'metricsd';

function isStoreReply(frame: Uint8Array): boolean {
  return frame[0] === MAGIC_0 && frame[1] === MAGIC_1;
}

/** Writer of one metricsd process. */
export class RetentionWriter {
  readonly #sys: Sys;
  readonly #engine: Retention;
  readonly #limits: RetentionLimits;
  readonly #slots: WriterSlots;
  readonly #inbox: Inbox;
  readonly #log: NexusLog;
  readonly #unacknowledged: boolean;
  readonly #encoder = new TextEncoder();
  readonly #losses = new Map<RetentionLoss, number>();
  readonly #windowSeen = new Set<WindowKind>();
  readonly #owedDeletes: string[] = [];
  #lastNonce = 0n;
  #active = false;
  #verified = false;

  constructor(
    sys: Sys,
    engine: Retention,
    limits: RetentionLimits,
    slots: WriterSlots,
    inbox: Inbox,
    log: NexusLog,
    unacknowledged: boolean,
  ) {
    this.#sys = sys;
    this.#engine = engine;
    this.#limits = limits;
    this.#slots = slots;
    this.#inbox = inbox;
    this.#log = log;
    this.#unacknowledged = unacknowledged;
  }

  /** Keeps the record of one accepted event received at `now` (ns). Best effort: the event stays accepted. */
  *keep(kind: RecordKind, record: string, now: number): Call<void> {
    const step = this.#engine.append(kind, this.#encoder.encode(record), now);
    if (step === null) return;
    const attempts = kind === 'metric' ? this.#limits.bestEffortRetries : this.#limits.criticalRetries;
    if (this.#unacknowledged) yield* this.#keepPlain(step, attempts);
    else yield* this.#keepAcknowledged(step, attempts);
  }

  // -- the contract ---------------------------------------------------------------------------------------------------

  *#keepAcknowledged(step: RetentionStep, attempts: number): Call<void> {
    for (const id of step.gc10s) this.#oweDelete(windowKey('10s', id));
    for (const id of step.gc60s) this.#oweDelete(windowKey('60s', id));
    const start = yield this.#sys.nsec();
    const deadline = start + EVENT_ACK_NS;
    const stored = yield* this.#put(segmentKey(step.slot), step.segment, attempts, deadline);
    if (!stored) {
      this.#lost('record');
      if (step.rollup10s !== null) this.#lost('rollup');
      if (step.rollup60s !== null) this.#lost('rollup');
      return;
    }
    if (!this.#verified) {
      this.#verified = true;
      yield* this.#say('retention wal active');
      yield* this.#say('retention wal verified');
    }
    yield* this.#putWindow(step.rollup10s, this.#limits.bestEffortRetries, deadline);
    yield* this.#putWindow(step.rollup60s, this.#limits.criticalRetries, deadline);
    yield* this.#deleteOwed(deadline);
  }

  *#putWindow(window: RollupWindow | null, attempts: number, deadline: number): Call<void> {
    if (window === null) return;
    const key = windowKey(window.kind, window.id);
    const stored = yield* this.#put(key, this.#encoder.encode(windowText(window)), attempts, deadline);
    if (stored) yield* this.#sayWindow(window.kind);
    else this.#lost('rollup');
  }

  /** Writes a key; true once the store has acknowledged it. All attempts together end at `deadline`. */
  *#put(key: string, value: Uint8Array, attempts: number, deadline: number): Call<boolean> {
    for (let left = attempts; left > 0; left--) {
      const now = yield this.#sys.nsec();
      if (now < 0 || now >= deadline) return false;
      const share = Math.max(ATTEMPT_MIN_NS, Math.ceil((deadline - now) / left));
      const until = Math.min(deadline, now + share);
      const status = yield* this.#request(OP_PUT, (nonce) => encodePut(nonce, key, value), until);
      if (status === STATUS_OK) return true;
      if (status !== null) this.#lost('refused');
    }
    return false;
  }

  #oweDelete(key: string): void {
    this.#owedDeletes.push(key);
    if (this.#owedDeletes.length <= OWED_DELETES_MAX) return;
    this.#owedDeletes.shift();
    this.#lost('delete');
  }

  /** Deletes what is owed, oldest first; what the store does not acknowledge in time stays owed. */
  *#deleteOwed(deadline: number): Call<void> {
    for (;;) {
      const key = this.#owedDeletes[0];
      if (key === undefined || (yield this.#sys.nsec()) >= deadline) return;
      const status = yield* this.#request(OP_DEL, (nonce) => encodeDel(nonce, key), deadline);
      if (status === null) return;
      this.#owedDeletes.shift();
      // A window that was never written is as good as deleted.
      if (status !== STATUS_OK && status !== STATUS_NOT_FOUND) this.#lost('delete');
    }
  }

  /** One request with its acknowledgement, until `until` (absolute ns). The status, or null when there is none. */
  *#request(op: number, encode: (nonce: bigint) => Uint8Array | EncodeFault, until: number): Call<number | null> {
    const sys = this.#sys;
    this.#lastNonce += 1n;
    const nonce = this.#lastNonce;
    const frame = encode(nonce);
    if (typeof frame === 'string') return this.#lost('send');
    const clone = yield sys.capClone(this.#slots.replySend);
    if (clone < 0) return this.#lost('send');
    const sent = yield* sendWithin(sys, this.#slots.store, frame, { deadline: until, round: 0 }, clone);
    if (sent < 0) {
      // The kernel put the clone back into its slot.
      yield sys.capClose(clone);
      return this.#lost('send');
    }
    const budget: Budget = { deadline: until, round: 0 };
    for (;;) {
      // Every reply of the store is taken, so that an answer that came too late does not fill the stash.
      const reply = yield* this.#inbox.take(sys, isStoreReply, budget, ACK_RECV_MAX);
      if (reply === null) return this.#lost('ack-missing');
      const status = decodeStatusReply(reply, op, nonce);
      if (status !== null) return status;
      this.#lost('ack-late');
    }
  }

  #lost(cause: RetentionLoss): null {
    const count = (this.#losses.get(cause) ?? 0) + 1;
    this.#losses.set(cause, count);
    this.#sys.note(`retention.${cause}`, count);
    return null;
  }

  // -- quirk wal-unacknowledged ---------------------------------------------------------------------------------------

  *#keepPlain(step: RetentionStep, attempts: number): Call<void> {
    const key = segmentKey(step.slot);
    if (!(yield* this.#sendPlain(encodePut(null, key, step.segment), attempts))) return;
    if (!this.#active) {
      this.#active = true;
      yield* this.#say('retention wal active');
    }
    if (!this.#verified && (yield* this.#prove(key, step.segment))) {
      this.#verified = true;
      yield* this.#say('retention wal verified');
    }
    yield* this.#sendWindow(step.rollup10s, this.#limits.bestEffortRetries);
    for (const id of step.gc10s) yield* this.#sendDelete(windowKey('10s', id));
    yield* this.#sendWindow(step.rollup60s, this.#limits.criticalRetries);
    for (const id of step.gc60s) yield* this.#sendDelete(windowKey('60s', id));
  }

  /** Up to `attempts` non-blocking sends, one yield after each that failed. */
  *#sendPlain(frame: Uint8Array | EncodeFault, attempts: number): Call<boolean> {
    for (let i = 0; i < attempts; i++) {
      if (typeof frame !== 'string' && (yield this.#sys.send(this.#slots.store, frame, NONBLOCK)) >= 0) return true;
      yield this.#sys.yieldCpu();
    }
    return false;
  }

  *#sendWindow(window: RollupWindow | null, attempts: number): Call<void> {
    if (window === null) return;
    const value = this.#encoder.encode(windowText(window));
    yield* this.#sendPlain(encodePut(null, windowKey(window.kind, window.id), value), attempts);
    yield* this.#sayWindow(window.kind);
  }

  *#sendDelete(key: string): Call<void> {
    const frame = encodeDel(null, key);
    if (typeof frame !== 'string') yield this.#sys.send(this.#slots.store, frame, NONBLOCK);
  }

  /** The acknowledged client of the reference (sheet 50, section 12.1). A clone that was not sent is never closed. */
  *#prove(key: string, value: Uint8Array): Call<boolean> {
    const sys = this.#sys;
    this.#lastNonce += 1n;
    const nonce = this.#lastNonce;
    const frame = encodePut(nonce, key, value);
    if (typeof frame === 'string') return false;
    const clone = yield sys.capClone(this.#slots.replySend);
    if (clone < 0) return false;
    const budget = yield* budgetOf(sys, PROOF_NS);
    if (budget.deadline < PROOF_NS) return false;
    if ((yield* sendWithin(sys, this.#slots.store, frame, budget, clone)) < 0) return false;
    const isAck = (reply: Uint8Array): boolean => decodeStatusReply(reply, OP_PUT, nonce) !== null;
    const wait: Budget = { deadline: budget.deadline, round: 0 };
    const reply = yield* this.#inbox.take(sys, isAck, wait, ACK_RECV_MAX);
    return reply !== null && decodeStatusReply(reply, OP_PUT, nonce) === STATUS_OK;
  }

  // -- log lines ------------------------------------------------------------------------------------------------------

  *#say(text: string): Call<void> {
    yield* this.#log.info(TARGET, text);
  }

  *#sayWindow(kind: WindowKind): Call<void> {
    if (this.#windowSeen.has(kind)) return;
    this.#windowSeen.add(kind);
    yield* this.#say(`retention rollup ${kind} active`);
  }
}
