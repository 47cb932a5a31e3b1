import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JOURNAL_LIMITS, Journal } from './journal.ts';
import type { JournalLimits } from './journal.ts';
import { SEED, appendRequest, sid, text } from './test-kit.ts';
import { logTime } from './wire.ts';

const at = (ns: number) => logTime(BigInt(ns));
const body = (scope: string | Uint8Array, message: string | Uint8Array, fields: string | Uint8Array = '') =>
  appendRequest({ scope, message, fields });

function journal(limits: Partial<JournalLimits>): Journal {
  return new Journal({ ...JOURNAL_LIMITS, ...limits });
}

function messages(journal: Journal, since = 0n, max = 100): string[] {
  return journal.query(since, max).map((record) => text(record.message));
}

describe('journal (sheet 40, section 4; vectors of 18.1)', () => {
  it('LOG-1: drops the oldest by records', () => {
    const j = journal({ capRecords: 2 });
    for (const m of ['m1', 'm2', 'm3']) j.append(sid(1), at(1), body('s', m));
    expect(messages(j)).toEqual(['m2', 'm3']);
    expect(j.stats()).toMatchObject({ dropped: 1, total: 3, usedRecords: 2 });
  });

  it('LOG-1: drops the oldest by bytes', () => {
    const j = journal({ capRecords: 100, capBytes: 200 });
    for (let i = 0; i < 3; i++) j.append(sid(1), at(i), body('scope', `message${i}`));
    expect(j.stats()).toMatchObject({ dropped: 1, usedRecords: 2, usedBytes: 154 });
  });

  it('LOG-1: quirk lifetime-budget, contract: the budget bounds what is kept, and eviction makes room for ever', () => {
    const j = journal({ capRecords: 2, capBytes: 200, budgetBytes: 220 });
    const ids = Array.from({ length: 400 }, (_, i) => j.append(sid(1), at(i), body('s', 'm')));
    expect(ids).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
    // Also where the budget is the tighter bound.
    const tight = journal({ capBytes: 200, budgetBytes: 70 });
    expect([1, 2, 3].map((i) => tight.append(sid(1), at(i), body('s', 'm')))).toEqual([1, 2, 3]);
    expect(tight.stats()).toMatchObject({ usedRecords: 1, dropped: 2 });
    expect(tight.append(sid(1), at(4), body('scope', 'message'))).toBeNull();
  });

  it('quirk lifetime-budget, reference: refuses for ever once the budget is spent', () => {
    const j = journal({ capRecords: 2, capBytes: 200, budgetBytes: 220, lifetimeBudget: true });
    const ids = Array.from({ length: 6 }, (_, i) => j.append(sid(1), at(i), body('s', 'm')));
    expect(ids).toEqual([1, 2, 3, null, null, null]);
    expect(j.stats()).toMatchObject({ total: 3, dropped: 1, usedRecords: 2 });
  });

  it('the default sizes hold the contract and the quirk (Q-11)', () => {
    const size = 64 + 32 + 128 + 128;
    const big = body(new Uint8Array(32), new Uint8Array(128), new Uint8Array(128));
    const spent = Math.floor(262_144 / size);
    for (const lifetimeBudget of [false, true]) {
      const j = journal({ lifetimeBudget });
      let stored = 0;
      for (let i = 0; i < spent + 10; i++) if (j.append(sid(1), at(i), big) !== null) stored += 1;
      expect(stored).toBe(lifetimeBudget ? spent : spent + 10);
    }
  });

  it('refuses what is larger than itself and evicts nothing for it', () => {
    const j = journal({ capRecords: 1, capBytes: 70 });
    expect(j.append(sid(1), at(1), body('s', 'm'))).toBe(1);
    expect(j.append(sid(1), at(2), body('s', 'x'.repeat(100)))).toBeNull();
    expect(j.stats()).toMatchObject({ total: 1, dropped: 0, usedRecords: 1 });
    expect(journal({ capRecords: 1, capBytes: 50 }).append(sid(1), at(1), body('', 'x'.repeat(100)))).toBeNull();
  });

  it('LOG-8: queries in order, from a time, at most so many', () => {
    const j = journal({});
    for (const ns of [100, 200]) j.append(sid(1), at(ns), body('s', `m${ns}`));
    expect(messages(j, 999n)).toEqual([]);
    expect(messages(j, 0n, 0)).toEqual([]);
    expect(messages(j, 0n, 100)).toEqual(['m100', 'm200']);
    expect(messages(j, 101n)).toEqual(['m200']);
    expect(messages(j, 100n, 1)).toEqual(['m100']);
  });

  it('starts empty, and clamps its sizes to one', () => {
    expect(journal({ capRecords: 10, capBytes: 1024 }).stats()).toEqual({
      total: 0,
      dropped: 0,
      capRecords: 10,
      capBytes: 1024,
      usedRecords: 0,
      usedBytes: 0,
    });
    expect(journal({ capRecords: 0, capBytes: 0 }).stats()).toMatchObject({ capRecords: 1, capBytes: 1 });
  });

  it('LOG-3, LOG-7: stores sender and times as given, ids from 1', () => {
    const j = journal({});
    j.append(sid(0xabc), at(7), body('a', 'b', 'c'));
    j.append(sid(0xdef), at(8), body('a', 'b', 'c'));
    expect(j.query(0n, 9).map((r) => [r.id, r.serviceId, r.timestamp, r.level])).toEqual([
      [1, 0xabcn, 7n, 2],
      [2, 0xdefn, 8n, 2],
    ]);
  });

  it('cuts what it stores, and keeps its own copy', () => {
    const j = journal({});
    const scope = new Uint8Array(64).fill(1);
    j.append(sid(1), at(1), body(scope, new Uint8Array(256), new Uint8Array(512)));
    scope.fill(9);
    const [record] = j.query(0n, 1);
    expect([record!.scope.length, record!.message.length, record!.fields.length]).toEqual([32, 128, 128]);
    expect(record!.scope.every((byte) => byte === 1)).toBe(true);
    expect(j.stats().usedBytes).toBe(352);
  });

  it('OBS-5, LOG-1, LOG-2: agrees with a list that forgets its head', () => {
    const sizes = fc.record({
      capRecords: fc.integer({ min: 0, max: 12 }),
      capBytes: fc.integer({ min: 0, max: 900 }),
      budgetBytes: fc.integer({ min: 0, max: 2500 }),
      lifetimeBudget: fc.boolean(),
    });
    const op = fc.record({
      s: fc.nat(40),
      m: fc.nat(140),
      f: fc.nat(140),
      gap: fc.nat(3),
      since: fc.nat(30),
      max: fc.nat(6),
    });
    fc.assert(
      fc.property(sizes, fc.array(op, { maxLength: 40 }), (limits, ops) => {
        const j = new Journal(limits);
        const capRecords = limits.capRecords || 1;
        const capBytes = limits.capBytes || 1;
        const budget = limits.budgetBytes || 1;
        // The model keeps everything ever stored and derives what is visible.
        const all: { ts: number; size: number }[] = [];
        let first = 0;
        let now = 0;
        for (const { s, m, f, gap, since, max } of ops) {
          now += gap;
          const size = 64 + Math.min(s, 32) + Math.min(m, 128) + Math.min(f, 128);
          const used = () => all.slice(first).reduce((sum, r) => sum + r.size, 0);
          const stored = all.reduce((sum, r) => sum + r.size, 0);
          const room = limits.lifetimeBudget ? capBytes : Math.min(capBytes, budget);
          const fits = size <= room && (!limits.lifetimeBudget || stored + size <= budget);
          if (fits) {
            all.push({ ts: now, size });
            while (all.length - first > capRecords || used() > room) first += 1;
          }
          const id = j.append(sid(1), at(now), body(new Uint8Array(s), new Uint8Array(m), new Uint8Array(f)));
          expect(id).toBe(fits ? all.length : null);
          expect(j.stats()).toEqual({
            total: all.length,
            dropped: first,
            capRecords,
            capBytes,
            usedRecords: all.length - first,
            usedBytes: used(),
          });
          const visible = all.map((r, i) => ({ id: i + 1, ts: r.ts })).slice(first);
          expect(j.query(BigInt(since), max).map((r) => Number(r.id))).toEqual(
            visible
              .filter((r) => r.ts >= since)
              .slice(0, max)
              .map((r) => r.id),
          );
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
  });
});
