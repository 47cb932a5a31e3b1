import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { MAX_TIMERS, MAX_TIMERS_PER_OWNER, TimerTable, WINDOWS_NS, coalesce } from './timers.ts';
import { deadlineNs, timerId } from './wire.ts';
import type { TimerId } from './wire.ts';

const SEED = { seed: 20240, numRuns: 300 };
const U64_MAX = 2n ** 64n - 1n;
const owner = (n: number): ServiceId => BigInt(n) as ServiceId;
const at = (ns: bigint): ReturnType<typeof deadlineNs> => deadlineNs(ns);

describe('coalescing (sheet 60, section 8.3)', () => {
  it('the vectors of the sheet', () => {
    expect(coalesce(at(10_000_001n), 1)).toBe(12_000_000n);
    expect(coalesce(at(1_000_000n), 255)).toBeNull();
    expect(WINDOWS_NS).toEqual([8_000_000n, 4_000_000n, 1_000_000n, 0n]);
    expect(coalesce(at(0n), 4)).toBeNull();
  });

  it('every class but the four is invalid', () => {
    for (let qos = 0; qos < 256; qos++) expect(coalesce(at(5n), qos) === null).toBe(qos > 3);
  });

  it('leaves a deadline on a window, and PerfBurst, alone', () => {
    expect(coalesce(at(8_000_000n), 0)).toBe(8_000_000n);
    expect(coalesce(at(0n), 0)).toBe(0n);
    expect(coalesce(at(U64_MAX), 3)).toBe(U64_MAX);
  });

  it('is invalid where the window ends beyond u64', () => {
    const last = U64_MAX - (U64_MAX % 1_000_000n);
    expect(coalesce(at(last), 2)).toBe(last);
    expect(coalesce(at(last + 1n), 2)).toBeNull();
    expect(coalesce(at(last - 1n), 2)).toBe(last);
  });

  it('is the least multiple of the window that is not earlier', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: U64_MAX }), fc.integer({ min: 0, max: 2 }), (ns, qos) => {
        const window = WINDOWS_NS[qos]!;
        const moved = coalesce(at(ns), qos);
        if (moved === null) {
          expect((ns / window + 1n) * window > U64_MAX).toBe(true);
          return;
        }
        expect(moved % window).toBe(0n);
        expect(moved - ns >= 0n && moved - ns < window).toBe(true);
      }),
      SEED,
    );
  });
});

describe('registrations (sheet 60, sections 8.4 and 8.5)', () => {
  it('64 of one owner, then no more of this one', () => {
    const table = new TimerTable();
    for (let i = 1; i <= MAX_TIMERS_PER_OWNER; i++) {
      expect(table.register(owner(1), 0, at(1n))).toMatchObject({ ok: true, id: i });
    }
    expect(table.register(owner(1), 0, at(1n))).toEqual({ ok: false, reason: 'over_limit' });
    expect(table.register(owner(2), 0, at(1n)).ok).toBe(true);
    expect(table.cancel(owner(1), timerId(5))).toBe(true);
    expect(table.register(owner(1), 0, at(1n)).ok).toBe(true);
  });

  it('1024 over all owners', () => {
    const table = new TimerTable();
    for (let i = 0; i < MAX_TIMERS; i++) expect(table.register(owner(i), 3, at(1n)).ok).toBe(true);
    expect(table.register(owner(MAX_TIMERS), 3, at(1n))).toEqual({ ok: false, reason: 'over_limit' });
  });

  it('looks at the arguments before the quotas, and refusals use no id', () => {
    const table = new TimerTable();
    for (let i = 0; i < MAX_TIMERS_PER_OWNER; i++) table.register(owner(1), 0, at(1n));
    expect(table.register(owner(1), 4, at(1n))).toEqual({ ok: false, reason: 'invalid_args' });
    expect(table.register(owner(1), 1, at(U64_MAX))).toEqual({ ok: false, reason: 'invalid_args' });
    expect(table.register(owner(2), 0, at(1n))).toMatchObject({ id: MAX_TIMERS_PER_OWNER + 1 });
  });

  it('only the owner cancels, once', () => {
    const table = new TimerTable();
    table.register(owner(1), 0, at(1n));
    expect(table.cancel(owner(2), timerId(1))).toBe(false);
    expect(table.cancel(owner(1), timerId(2))).toBe(false);
    expect(table.cancel(owner(1), timerId(1))).toBe(true);
    expect(table.cancel(owner(1), timerId(1))).toBe(false);
    expect(table.size).toBe(0);
  });

  it('ids wrap past 0', () => {
    const table = new TimerTable(0xffff_ffff);
    expect(table.register(owner(1), 0, at(1n))).toMatchObject({ id: 0xffff_ffff });
    expect(table.register(owner(1), 0, at(1n))).toMatchObject({ id: 1 });
  });

  it('agrees with a naive model', () => {
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ kind: fc.constant('register' as const), who: fc.nat(20), qos: fc.nat(4) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), who: fc.nat(20), id: fc.nat(1500) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 400, maxLength: 1600 }), (steps) => {
        const table = new TimerTable();
        const live = new Map<TimerId, number>();
        let issued = 0;
        for (const one of steps) {
          if (one.kind === 'cancel') {
            const expected = live.get(timerId(one.id)) === one.who;
            if (expected) live.delete(timerId(one.id));
            expect(table.cancel(owner(one.who), timerId(one.id))).toBe(expected);
            continue;
          }
          const owned = [...live.values()].filter((who) => who === one.who).length;
          const got = table.register(owner(one.who), one.qos, at(1n));
          if (one.qos > 3) expect(got).toEqual({ ok: false, reason: 'invalid_args' });
          else if (owned >= 64 || live.size >= 1024) expect(got).toEqual({ ok: false, reason: 'over_limit' });
          else {
            issued += 1;
            expect(got).toMatchObject({ ok: true, id: issued });
            live.set(timerId(issued), one.who);
          }
          expect(table.size).toBe(live.size);
        }
      }),
      { seed: 20240, numRuns: 8 },
    );
  });
});
