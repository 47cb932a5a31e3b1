import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateLimiter } from './rate-limiter.ts';
import type { RateLimit } from './rate-limiter.ts';

const METRICSD: RateLimit = { windowNs: 1_000_000_000, eventsPerWindow: 64, maxSenders: 64 };
const LOGD: RateLimit = { windowNs: 1_000_000_000, eventsPerWindow: 24, maxSenders: 64 };

function times(n: number, step: (i: number) => boolean): boolean[] {
  return Array.from({ length: n }, (_, i) => step(i));
}

describe('rate limiter', () => {
  it('OBS-3: limits the 65th event at t=10 (sheet 40, 18.4)', () => {
    const limiter = new RateLimiter(METRICSD);
    expect(times(65, () => limiter.allow(7n, 10))).toEqual([...Array<boolean>(64).fill(true), false]);
  });

  it('restarts the window exactly one window after its first event (sheet 40, 5.2)', () => {
    const limiter = new RateLimiter(LOGD);
    expect(times(25, () => limiter.allow(1n, 10)).lastIndexOf(true)).toBe(23);
    expect(limiter.allow(1n, 10 + 999_999_999)).toBe(false);
    expect(limiter.allow(1n, 1_000_000_010)).toBe(true);
  });

  it('OBS-14: never tracks a 65th sender, however late it comes', () => {
    const limiter = new RateLimiter(LOGD);
    expect(times(65, (i) => limiter.allow(BigInt(i), 0)).lastIndexOf(true)).toBe(63);
    expect(limiter.allow(64n, 100_000_000_000)).toBe(false);
    expect(limiter.senders).toBe(64);
    expect(limiter.allow(63n, 100_000_000_000)).toBe(true);
  });

  it('keeps the window when the clock goes backwards', () => {
    const limiter = new RateLimiter({ windowNs: 10, eventsPerWindow: 2, maxSenders: 1 });
    expect([limiter.allow(1n, 100), limiter.allow(1n, 5), limiter.allow(1n, 109), limiter.allow(1n, 110)]).toEqual([
      true,
      true,
      false,
      true,
    ]);
  });

  it('agrees with a list of passed events per sender', () => {
    const event = fc.record({ sender: fc.bigInt(0n, 5n), gap: fc.nat(12) });
    const limits = fc.record({
      windowNs: fc.integer({ min: 1, max: 20 }),
      eventsPerWindow: fc.integer({ min: 1, max: 4 }),
      maxSenders: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(limits, fc.array(event, { maxLength: 60 }), (limit, events) => {
        const limiter = new RateLimiter(limit);
        // The model remembers every passed event and finds the current window by replaying a sender's history.
        const passed: { sender: bigint; at: number }[] = [];
        let now = 0;
        for (const { sender, gap } of events) {
          now += gap;
          const mine = passed.filter((p) => p.sender === sender).map((p) => p.at);
          const known = new Set(passed.map((p) => p.sender));
          let start = mine[0];
          for (const at of mine) if (start !== undefined && at - start >= limit.windowNs) start = at;
          let expected: boolean;
          if (start === undefined) expected = known.size < limit.maxSenders;
          else if (now - start >= limit.windowNs) expected = true;
          else expected = mine.filter((at) => at >= start).length < limit.eventsPerWindow;
          expect(limiter.allow(sender, now)).toBe(expected);
          if (expected) passed.push({ sender, at: now });
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});
