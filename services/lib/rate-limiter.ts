/**
 * The fixed-window limiter of logd and metricsd (sheet 40, sections 5.2 and 11.3). One window per sender, started by
 * the sender's first event and restarted by the first event after it has passed; senders are never forgotten.
 */
import { assert } from '../../sim/assert.ts';

/** Limits of one limiter. */
export interface RateLimit {
  /** Length of a window in ns, > 0. */
  readonly windowNs: number;
  /** Events that pass per sender and window. */
  readonly eventsPerWindow: number;
  /** Senders that can be tracked; every further sender is limited for ever. */
  readonly maxSenders: number;
}

interface SenderWindow {
  start: number;
  used: number;
}

/** Counts events per kernel-attested sender. A limited event changes nothing. */
export class RateLimiter {
  readonly #limit: RateLimit;
  readonly #senders = new Map<bigint, SenderWindow>();

  constructor(limit: RateLimit) {
    assert(limit.windowNs > 0, 'a rate window must have a length');
    this.#limit = limit;
  }

  /** Senders tracked so far. */
  get senders(): number {
    return this.#senders.size;
  }

  /** Counts one event of `sender` at `now` (ns). True when it passes, false when the sender is limited. */
  allow(sender: bigint, now: number): boolean {
    const window = this.#senders.get(sender);
    if (window === undefined) {
      if (this.#senders.size >= this.#limit.maxSenders) return false;
      // The first event passes even with a budget of zero: the sheet's step 2 does not look at the budget.
      this.#senders.set(sender, { start: now, used: 1 });
      return true;
    }
    // A clock that went backwards saturates to an elapsed time of zero, so the window stays.
    if (now - window.start >= this.#limit.windowNs) {
      window.start = now;
      window.used = 0;
    }
    if (window.used >= this.#limit.eventsPerWindow) return false;
    window.used += 1;
    return true;
  }
}
