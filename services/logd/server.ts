/**
 * logd's handler (sheet 40, sections 3 and 5): one frame in, one answer out. Pure: sender and time come with the frame.
 * Decode, then decide (identity claims, budget), then store (OBS-4).
 */
import { unreachable } from '../../sim/assert.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { RateLimiter } from '../lib/rate-limiter.ts';
import type { RateLimit } from '../lib/rate-limiter.ts';
import { encodeAppendAnswer, encodeEmptyPage, encodePage, encodeStatsAnswer } from './answers.ts';
import { JOURNAL_LIMITS, Journal } from './journal.ts';
import type { JournalLimits, StatsSnapshot } from './journal.ts';
import { claimsIdentity } from './spoof.ts';
import { AppendStatus, LogOp, U64_MASK, decodeRequest } from './wire.ts';
import type { AnswerShape, AppendRequest, LogOpCode, LogStatus, LogTime } from './wire.ts';

/** Budget of APPEND per sender (sheet 40, section 5.2). QUERY and STATS are free. */
export const APPEND_RATE: RateLimit = { windowNs: 1_000_000_000, eventsPerWindow: 24, maxSenders: 64 };

/** Why a frame was refused (OBS-3). */
export type RejectClass = 'malformed' | 'unsupported' | 'invalid-args' | 'over-limit' | 'rate-limited';

const REJECT_STATUS: Readonly<Record<RejectClass, LogStatus>> = {
  malformed: AppendStatus.MALFORMED,
  unsupported: AppendStatus.UNSUPPORTED,
  'invalid-args': AppendStatus.INVALID_ARGS,
  'over-limit': AppendStatus.OVER_LIMIT,
  'rate-limited': AppendStatus.RATE_LIMITED,
};

/** Plain options of the handler. */
export interface LogdCoreOptions {
  /** Once the budget of bytes ever stored is spent, every APPEND is refused. */
  readonly lifetimeBudget: boolean;
  /** A record that does not fit a page is left out of it instead of ending it. */
  readonly querySkips: boolean;
  /** Fault: APPENDs are answered OK with an id, but nothing is stored. */
  readonly dropAppends: boolean;
}

/** What became of one frame. */
export interface Handled {
  readonly response: Uint8Array;
  /** Op of the answer. */
  readonly op: LogOpCode;
  /** Null: accepted. */
  readonly reject: RejectClass | null;
}

/** Journal, limiter and their decisions. */
export class LogdCore {
  readonly #options: LogdCoreOptions;
  readonly #journal: Journal;
  readonly #limiter: RateLimiter;
  /** Ids given away for records that the fault dropped. */
  #falseIds = 0;

  constructor(options: LogdCoreOptions, limits: Omit<JournalLimits, 'lifetimeBudget'> = JOURNAL_LIMITS) {
    this.#options = options;
    this.#journal = new Journal({ ...limits, lifetimeBudget: options.lifetimeBudget });
    this.#limiter = new RateLimiter(APPEND_RATE);
  }

  /** Counters and sizes, for diagnostics. */
  stats(): StatsSnapshot {
    return this.#journal.stats();
  }

  /** Answers one frame of `sender` (kernel-attested) at `now` ({@link LogClock}). */
  handle(frame: Uint8Array, sender: ServiceId, now: LogTime): Handled {
    const decoded = decodeRequest(frame);
    if (!decoded.ok) return this.#refuse(decoded.shape, decoded.reject);
    const { request } = decoded;
    switch (request.op) {
      case LogOp.APPEND:
        return this.#append(request, sender, now);
      case LogOp.QUERY: {
        const records = this.#journal.since(request.since);
        const { querySkips } = this.#options;
        const response = encodePage(request, this.#journal.stats(), records, request.maxCount, querySkips);
        return { response, op: LogOp.QUERY, reject: null };
      }
      case LogOp.STATS: {
        const response = encodeStatsAnswer(request, AppendStatus.OK, this.#journal.stats());
        return { response, op: LogOp.STATS, reject: null };
      }
      default:
        return unreachable(request);
    }
  }

  #append(request: AppendRequest, sender: ServiceId, now: LogTime): Handled {
    if (claimsIdentity(request.fields)) return this.#refuse(request, 'invalid-args');
    // Below 2^53 ns the limiter's clock is exact, and virtual time stays there.
    if (!this.#limiter.allow(sender, Number(now))) return this.#refuse(request, 'rate-limited');
    const id = this.#options.dropAppends ? ++this.#falseIds : this.#journal.append(sender, now, request);
    if (id === null) return this.#refuse(request, 'over-limit');
    const response = encodeAppendAnswer(request, AppendStatus.OK, id, this.#journal.dropped);
    return { response, op: LogOp.APPEND, reject: null };
  }

  /** The error answer of a shape; its counters are the real ones (section 2.4). */
  #refuse(shape: AnswerShape, reject: RejectClass): Handled {
    const status = REJECT_STATUS[reject];
    switch (shape.op) {
      case LogOp.APPEND:
        return { response: encodeAppendAnswer(shape, status, 0, this.#journal.dropped), op: shape.op, reject };
      case LogOp.QUERY:
        return { response: encodeEmptyPage(shape, status, this.#journal.stats()), op: shape.op, reject };
      case LogOp.STATS:
        return { response: encodeStatsAnswer(shape, status, this.#journal.stats()), op: shape.op, reject };
      default:
        return unreachable(shape.op);
    }
  }
}

/**
 * Times of frames (sheet 40, section 4.4): the kernel's clock, but strictly increasing; u64 max repeats once reached. Also
 * malformed frames take one.
 */
export class LogClock {
  #last = 0n;
  #fallback = 0n;

  /** Time of the next frame; `candidate` is what the clock said, null when it failed. */
  stamp(candidate: bigint | null): LogTime {
    if (candidate === null && this.#fallback < U64_MASK) this.#fallback += 1n;
    const now = candidate ?? this.#fallback;
    if (now > this.#last) this.#last = now;
    else if (this.#last < U64_MASK) this.#last += 1n;
    return this.#last as LogTime;
  }
}
