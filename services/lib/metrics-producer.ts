/**
 * How services report to metricsd under the contract (quirks.md, metrics-unrouted): fire and forget over their own SEND to
 * metricsd, with a reply capability to their own inbox and one nonce sequence per process. Nothing here waits: replies are
 * read when the next metric is sent, and what is lost is counted.
 */
import { NONBLOCK } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { OP_SPAN_END, STATUS_OK, encodeRequest, nonce, responseNonce } from '../metricsd/wire.ts';
import type { Nonce } from '../metricsd/wire.ts';
import { STASH_FRAME_MAX } from './inbox.ts';
import type { Inbox } from './inbox.ts';
import type { Call } from './ipc.ts';
import { MetricsBackend, bound } from './nexus-metrics.ts';
import type { CallResult, ClientError, Draft } from './nexus-metrics.ts';
import { RateLimiter } from './rate-limiter.ts';

/** Events a producer exports per second. */
export const PRODUCER_EVENTS = 8;
/** Length of the producer's budget window, ns. */
export const PRODUCER_WINDOW_NS = 1_000_000_000;
/** Requests without a reply at most: an inbox is 8 deep and takes the acknowledgements of the log, too. */
export const IN_FLIGHT_MAX = 5;
/** The same for span ends, which should not be lost: metricsd never forgets a span that is not ended. */
export const IN_FLIGHT_END_MAX = 7;
/** Frames that can wait in an inbox. */
const INBOX_DEPTH = 8;
/** A reply that has not come after this time (ns) is given up. */
export const REPLY_WAIT_NS = 1_000_000_000;

/** Why a metric or its reply was lost, as counted in notes `metrics.<cause>`. */
export type ProducerLoss = 'budget' | 'encode' | 'in-flight' | 'clone' | 'send' | 'refused' | 'unanswered' | 'stray';

/** Slots of a producer. */
export interface ProducerSlots {
  /** SEND to metricsd. */
  readonly metricsd: number;
  /** The process's own SEND to its reply inbox; cloned and moved with every request. */
  readonly replySend: number;
}

/** The one producer of a process. */
export class MetricsProducer extends MetricsBackend {
  readonly #sys: Sys;
  readonly #slots: ProducerSlots;
  readonly #inbox: Inbox;
  readonly #budget = new RateLimiter({
    windowNs: PRODUCER_WINDOW_NS,
    eventsPerWindow: PRODUCER_EVENTS,
    maxSenders: 1,
  });
  /** Time of sending by nonce, oldest first. */
  readonly #inFlight = new Map<Nonce, number>();
  readonly #losses = new Map<ProducerLoss, number>();
  #nextNonce = 1;

  /** `inbox` is the process's reply inbox, shared with its other clients. */
  constructor(sys: Sys, slots: ProducerSlots, inbox: Inbox) {
    super();
    this.#sys = sys;
    this.#slots = slots;
    this.#inbox = inbox;
  }

  /** Losses of one cause so far. */
  lost(cause: ProducerLoss): number {
    return this.#losses.get(cause) ?? 0;
  }

  /** Sends one request without waiting for its reply: the result's status is null. */
  *call(draft: Draft): Call<CallResult> {
    const sys = this.#sys;
    const n = nonce(this.#nextNonce);
    const request = bound(draft, n);
    if (typeof request === 'string') return this.#lose('encode', { kind: 'encode', reason: request });
    const now = yield sys.nsec();
    yield* this.#collect(now);
    // The end of a span was paid for by its start: a span that is never ended would stay in metricsd for ever.
    if (request.op !== OP_SPAN_END && !this.#budget.allow(0n, now)) return this.#lose('budget', { kind: 'budget' });
    const most = request.op === OP_SPAN_END ? IN_FLIGHT_END_MAX : IN_FLIGHT_MAX;
    if (this.#inFlight.size >= most) return this.#lose('in-flight', { kind: 'transport' });
    const clone = yield sys.capClone(this.#slots.replySend);
    if (clone < 0) return this.#lose('clone', { kind: 'transport' });
    if ((yield sys.send(this.#slots.metricsd, encodeRequest(request), NONBLOCK, 0, clone)) < 0) {
      // The kernel put the clone back into its slot.
      yield sys.capClose(clone);
      return this.#lose('send', { kind: 'transport' });
    }
    this.#nextNonce = nonce(this.#nextNonce + 1);
    this.#inFlight.set(n, now);
    return { ok: true, status: null };
  }

  /** Reads the replies that have come and gives up the ones that are overdue. */
  *#collect(now: number): Call<void> {
    if (this.#inFlight.size === 0) return;
    yield* this.#inbox.drain(this.#sys, INBOX_DEPTH, STASH_FRAME_MAX, (frame) => this.#take(frame));
    for (const [n, at] of this.#inFlight) {
      if (now - at < REPLY_WAIT_NS) break;
      this.#inFlight.delete(n);
      this.#count('unanswered');
    }
  }

  #take(frame: Uint8Array): boolean {
    const n = responseNonce(frame);
    if (n === null) return false;
    if (!this.#inFlight.delete(n)) this.#count('stray');
    else if (frame[4] !== STATUS_OK) this.#count('refused');
    return true;
  }

  #lose(cause: ProducerLoss, error: ClientError): CallResult {
    this.#count(cause);
    return { ok: false, error };
  }

  #count(cause: ProducerLoss): void {
    const count = this.lost(cause) + 1;
    this.#losses.set(cause, count);
    this.#sys.note(`metrics.${cause}`, count);
  }
}
