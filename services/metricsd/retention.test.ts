import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultConfig } from './config.ts';
import { Retention, SEGMENT_MAX_BYTES, segmentKey, windowKey, windowText } from './retention.ts';
import type { RecordKind, RetentionLimits, RetentionOptions, RetentionStep } from './retention.ts';

const DEFAULTS = defaultConfig().retention;
const REFERENCE: RetentionOptions = { rollupByCount: true, segmentMaxBytes: Infinity };
const CONTRACT: RetentionOptions = { rollupByCount: false, segmentMaxBytes: SEGMENT_MAX_BYTES };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

function engine(
  change: Partial<RetentionLimits>,
  options = REFERENCE,
): (kind: RecordKind, rec: string, now?: number) => RetentionStep {
  const retention = new Retention({ ...DEFAULTS, ...change }, options);
  return (kind, rec, now = 0) => retention.append(kind, bytes(rec), now)!;
}

describe('windows of events (sheet 40, 14.2 and 18.4; quirk rollup-by-count)', () => {
  it('rotates: 2 segments of 2 records', () => {
    const append = engine({ maxSegments: 2, maxRecordsPerSegment: 2, rollupEvery: 10 });
    const seen = ['r1', 'r2', 'r3', 'r4', 'r5'].map((r) => append('metric', r)).map((s) => [s.slot, text(s.segment)]);
    expect(seen).toEqual([
      [0, 'r1\n'],
      [0, 'r1\nr2\n'],
      [1, 'r3\n'],
      [1, 'r3\nr4\n'],
      [0, 'r5\n'],
    ]);
  });

  it('rolls up: metric then span with rollup_every 2', () => {
    const append = engine({ rollupEvery: 2 });
    expect(append('metric', 'm1').rollup10s).toBeNull();
    const step = append('span', 's1');
    expect(windowText(step.rollup10s!)).toBe('kind=10s\nwindow_id=1\nmetrics_total=1\nspans_total=1\n');
    expect(step.rollup60s).toBeNull();
  });

  it('rolls up 60s after six windows', () => {
    const append = engine({ rollupEvery: 1 });
    const steps = Array.from({ length: 6 }, (_, i) => append(i % 2 === 0 ? 'metric' : 'span', 'x'));
    expect(steps.slice(0, 5).every((s) => s.rollup60s === null)).toBe(true);
    expect(windowText(steps[5]!.rollup60s!)).toBe('kind=60s\nwindow_id=1\nmetrics_total=3\nspans_total=3\n');
  });

  it('collects: ttl 2, one per event', () => {
    const append = engine({ rollupEvery: 1, ttlWindows: 2, gcBatch: 1 });
    expect([append('metric', 'a'), append('metric', 'b'), append('metric', 'c')].map((s) => s.gc10s)).toEqual([
      [],
      [],
      [1],
    ]);
  });

  it('does nothing when disabled', () => {
    expect(new Retention({ ...DEFAULTS, enabled: false }, REFERENCE).append('metric', bytes('x'), 0)).toBeNull();
  });

  it('OBS-20: the executed timeline with defaults (14.7)', () => {
    const append = engine({});
    const at = new Map<number, RetentionStep>();
    for (let n = 1; n <= 1344; n++) at.set(n, append('metric', `record ${String(n)}`));
    const show = (n: number): unknown => {
      const s = at.get(n)!;
      return [s.slot, s.rollup10s?.id ?? null, s.rollup60s?.id ?? null, s.gc10s, s.gc60s];
    };
    expect([15, 16, 32, 48, 64].map(show)).toEqual([
      [0, null, null, [], []],
      [0, 1, null, [], []],
      [0, 2, null, [], []],
      [0, 3, null, [], []],
      [0, 4, null, [], []],
    ]);
    expect(show(65)).toEqual([1, null, null, [], []]);
    expect(show(96)).toEqual([1, 6, 1, [], []]);
    expect(windowText(at.get(96)!.rollup60s!)).toBe('kind=60s\nwindow_id=1\nmetrics_total=96\nspans_total=0\n');
    expect(show(192)).toEqual([2, 12, 2, [], []]);
    expect(show(208)).toEqual([3, 13, null, [1], []]);
    expect(show(224)).toEqual([3, 14, null, [2], []]);
    expect([at.get(512)!.slot, at.get(513)!.slot]).toEqual([7, 0]);
    expect(text(at.get(513)!.segment)).toBe('record 513\n');
    expect(show(1248)).toEqual([3, 78, 13, [66], [1]]);
    expect(show(1344)).toEqual([4, 84, 14, [72], [2]]);
  });

  it('agrees with a model that keeps every event', () => {
    const limits = fc.record({
      maxSegments: fc.integer({ min: 1, max: 3 }),
      maxRecordsPerSegment: fc.integer({ min: 1, max: 4 }),
      rollupEvery: fc.integer({ min: 1, max: 4 }),
      ttlWindows: fc.integer({ min: 1, max: 4 }),
      gcBatch: fc.integer({ min: 1, max: 3 }),
    });
    const kinds = fc.array(fc.constantFrom<RecordKind>('metric', 'span'), { maxLength: 80 });
    fc.assert(
      fc.property(limits, kinds, (l, events) => {
        const append = engine(l);
        const kept: Record<'10s' | '60s', number[]> = { '10s': [], '60s': [] };
        const gc = (kind: '10s' | '60s'): number[] => {
          const gone: number[] = [];
          while (kept[kind].length > l.ttlWindows && gone.length < l.gcBatch) gone.push(kept[kind].shift()!);
          return gone;
        };
        events.forEach((kind, i) => {
          const n = i + 1;
          const segment = Math.floor(i / l.maxRecordsPerSegment);
          const first = segment * l.maxRecordsPerSegment;
          const span = (from: number): { metrics: number; spans: number } => {
            const part = events.slice(from, n);
            return {
              metrics: part.filter((k) => k === 'metric').length,
              spans: part.filter((k) => k === 'span').length,
            };
          };
          const short = n % l.rollupEvery === 0;
          const long = n % (6 * l.rollupEvery) === 0;
          if (short) kept['10s'].push(n / l.rollupEvery);
          if (long) kept['60s'].push(n / l.rollupEvery / 6);
          const step = append(kind, `e${String(i)}`);
          expect(step).toEqual({
            slot: segment % l.maxSegments,
            segment: bytes(Array.from({ length: n - first }, (_, k) => `e${String(first + k)}\n`).join('')),
            rollup10s: short ? { kind: '10s', id: n / l.rollupEvery, ...span(n - l.rollupEvery) } : null,
            rollup60s: long ? { kind: '60s', id: n / l.rollupEvery / 6, ...span(n - 6 * l.rollupEvery) } : null,
            gc10s: short ? gc('10s') : [],
            gc60s: long ? gc('60s') : [],
          });
        });
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});

const S = 1_000_000_000;

describe('windows of virtual time (contract)', () => {
  it('OBS-20: an event closes the windows that ended before it and counts in its own', () => {
    const append = engine({ rollupEvery: 1 }, CONTRACT);
    expect(append('metric', 'a', 9.999 * S).rollup10s).toBeNull();
    const second = append('span', 'b', 10 * S);
    expect(windowText(second.rollup10s!)).toBe('kind=10s\nwindow_id=0\nmetrics_total=1\nspans_total=0\n');
    expect(append('metric', 'c', 19 * S).rollup10s).toBeNull();
    const fourth = append('metric', 'd', 61 * S);
    expect(windowText(fourth.rollup10s!)).toBe('kind=10s\nwindow_id=1\nmetrics_total=1\nspans_total=1\n');
    expect(windowText(fourth.rollup60s!)).toBe('kind=60s\nwindow_id=0\nmetrics_total=2\nspans_total=1\n');
  });

  it('OBS-20: empty windows are not written', () => {
    const append = engine({}, CONTRACT);
    append('metric', 'a', 5 * S);
    expect(append('metric', 'b', 1000 * S)).toMatchObject({ rollup10s: { id: 0 }, rollup60s: { id: 0 } });
    expect(append('metric', 'c', 1019 * S)).toMatchObject({ rollup10s: { id: 100 }, rollup60s: null });
    expect(append('metric', 'd', 1020 * S)).toMatchObject({
      rollup10s: { id: 101 },
      rollup60s: { id: 16, metrics: 2 },
    });
  });

  it('OBS-20: the oldest written windows are collected, ttl_windows and gc_batch as configured', () => {
    const append = engine({ ttlWindows: 2, gcBatch: 1 }, CONTRACT);
    const steps = Array.from({ length: 30 }, (_, i) => append('metric', 'x', i * 10 * S));
    expect(steps.map((s) => s.gc10s).filter((g) => g.length > 0)).toEqual(Array.from({ length: 27 }, (_, i) => [i]));
    expect(steps.map((s) => s.gc60s).filter((g) => g.length > 0)).toEqual([[0], [1]]);
  });

  it('every event is in exactly one 10s window, and a 60s window is the sum of its 10s windows', () => {
    const event = fc.record({ kind: fc.constantFrom<RecordKind>('metric', 'span'), gap: fc.nat(25 * S) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const append = engine({}, CONTRACT);
        const bins = new Map<string, { metrics: number; spans: number }>();
        const rolled = new Map<string, { metrics: number; spans: number }>();
        let now = 0;
        for (const { kind, gap } of events) {
          now += gap;
          for (const [w, ns] of [
            ['10s', 10 * S],
            ['60s', 60 * S],
          ] as const) {
            const key = `${w}:${String(Math.floor(now / ns))}`;
            const bin = bins.get(key) ?? { metrics: 0, spans: 0 };
            bin[kind === 'metric' ? 'metrics' : 'spans'] += 1;
            bins.set(key, bin);
          }
          const step = append(kind, 'x', now);
          for (const w of [step.rollup10s, step.rollup60s]) {
            if (w !== null) rolled.set(`${w.kind}:${String(w.id)}`, { metrics: w.metrics, spans: w.spans });
          }
        }
        // All windows but the two that are still open at the end have been written, with the right sums.
        bins.delete(`10s:${String(Math.floor(now / (10 * S)))}`);
        bins.delete(`60s:${String(Math.floor(now / (60 * S)))}`);
        expect(rolled).toEqual(bins);
      }),
      { seed: 20240, numRuns: 300 },
    );
  });

  it('OBS-20, OBS-5: a segment rotates before a record that would take it over 8,000 bytes', () => {
    const append = engine({}, CONTRACT);
    const record = 'r'.repeat(999);
    const steps = Array.from({ length: 9 }, () => append('metric', record));
    expect(steps.map((s) => [s.slot, s.segment.length])).toEqual([
      ...Array.from({ length: 8 }, (_, i) => [0, 1000 * (i + 1)]),
      [1, 1000],
    ]);
    const reference = engine({}, REFERENCE);
    const wide = Array.from({ length: 9 }, () => reference('metric', record));
    expect(wide.at(-1)).toMatchObject({ slot: 0, segment: { length: 9000 } });
  });

  it('never leaves a slot empty: neither for a record over the limit nor after a full segment', () => {
    const append = engine({ maxRecordsPerSegment: 2 }, CONTRACT);
    const slots = [8500, 10, 4000, 3000, 7000].map((n) => append('metric', 'r'.repeat(n)).slot);
    expect(slots).toEqual([0, 1, 1, 2, 3]);
  });

  it('steps own their bytes', () => {
    const append = engine({}, CONTRACT);
    const first = append('metric', 'one');
    append('metric', 'two');
    expect(text(first.segment)).toBe('one\n');
  });
});

describe('keys (sheet 40, 14.4)', () => {
  it('has the paths of the sheet', () => {
    const key = segmentKey(0);
    expect(key).toBe('/state/observability/metricsd/wal/seg_0');
    expect(key).toHaveLength(39);
    expect(windowKey('10s', 13 as never)).toBe('/state/observability/metricsd/rollup/10s/w_13');
    expect(windowKey('60s', 1 as never)).toBe('/state/observability/metricsd/rollup/60s/w_1');
  });
});
