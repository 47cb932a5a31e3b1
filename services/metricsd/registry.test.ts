import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Registry, senderId } from './registry.ts';
import type { LiveSpan, RegistryLimits } from './registry.ts';
import { amount, attrs, gaugeValue, labels, metricName, spanId, spanName, spanTime, traceId } from './wire.ts';
import type { Attrs, Labels, MetricName, SpanName } from './wire.ts';

const LIMITS: RegistryLimits = {
  maxSeriesTotal: 64,
  maxSeriesPerMetric: 16,
  maxLiveSpans: 64,
  maxMetricNameLen: 48,
  maxLabelsLen: 192,
  maxSpanNameLen: 48,
  maxAttrsLen: 192,
};
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const name = (text: string): MetricName => metricName(bytes(text))!;
const label = (text: string): Labels => labels(bytes(text))!;
const attr = (text: string): Attrs => attrs(bytes(text))!;
const ME = senderId(0x1234n);
const OK = { ok: true } as const;
const rejected = (reject: string): unknown => ({ ok: false, reject });

function span(sender: bigint, id: bigint, extra: Partial<LiveSpan> = {}): LiveSpan {
  return {
    sender: senderId(sender),
    spanId: spanId(id),
    traceId: traceId(77n),
    parentSpanId: spanId(0n),
    name: spanName(bytes('s'))!,
    startAttrs: attr(''),
    startNs: spanTime(100n),
    ...extra,
  };
}

describe('series (sheet 40, 11.1 and 18.4)', () => {
  it('OBS-6: a counter only grows', () => {
    const registry = new Registry(LIMITS);
    expect(registry.counterInc(ME, name('c'), label(''), amount(3n))).toEqual({ ...OK, value: 3n });
    expect(registry.counterInc(ME, name('c'), label(''), amount(2n))).toEqual({ ...OK, value: 5n });
    expect(registry.counterInc(ME, name('c'), label(''), amount(0n))).toEqual({ ...OK, value: 5n });
  });

  it('saturates counters and histogram sums at u64', () => {
    const registry = new Registry(LIMITS);
    const max = (1n << 64n) - 1n;
    const half = amount((1n << 63n) - 1n);
    for (let i = 0; i < 3; i++) registry.counterInc(ME, name('c'), label(''), half);
    expect(registry.counterInc(ME, name('c'), label(''), half)).toEqual({ ...OK, value: max });
    for (let i = 0; i < 3; i++) registry.histObserve(ME, name('h'), label(''), half);
    expect(registry.histObserve(ME, name('h'), label(''), half)).toMatchObject({ value: { count: 4n, sum: max } });
  });

  it('OBS-6: a gauge is replaced', () => {
    const registry = new Registry(LIMITS);
    expect(registry.gaugeSet(ME, name('g'), label(''), gaugeValue(9n))).toEqual({ ...OK, value: 9n });
    expect(registry.gaugeSet(ME, name('g'), label(''), gaugeValue(-2n))).toEqual({ ...OK, value: -2n });
  });

  it('OBS-6: a histogram has fixed buckets with inclusive bounds', () => {
    const registry = new Registry(LIMITS);
    registry.histObserve(ME, name('h'), label(''), amount(1_000_000n));
    registry.histObserve(ME, name('h'), label(''), amount(5_000_000n));
    const third = registry.histObserve(ME, name('h'), label(''), amount(500_000_000n));
    expect(third).toEqual({ ...OK, value: { count: 3n, sum: 506_000_000n, buckets: [1n, 1n, 0n, 0n, 1n] } });
    const edges = [1_000_001n, 20_000_000n, 20_000_001n, 100_000_000n, 100_000_001n, 0n];
    const last = edges.map((v) => registry.histObserve(ME, name('h'), label(''), amount(v))).at(-1);
    expect(last).toMatchObject({ value: { count: 9n, buckets: [2n, 2n, 1n, 2n, 2n] } });
  });

  it('OBS-5: takes 16 label sets of a metric and refuses the 17th', () => {
    const registry = new Registry(LIMITS);
    const results = Array.from({ length: 17 }, (_, i) =>
      registry.counterInc(ME, name('selftest.cap'), label(`id=${String(i).padStart(2, '0')}\n`), amount(1n)),
    );
    expect(results.slice(0, 16).every((r) => r.ok)).toBe(true);
    expect(results[16]).toEqual(rejected('over-limit'));
    expect(registry.seriesCount).toBe(16);
  });

  it('OBS-5: counts a metric over all senders, apart per kind, and reuses at the cap', () => {
    const registry = new Registry(LIMITS);
    const results = Array.from({ length: 20 }, (_, i) =>
      registry.counterInc(senderId(BigInt(i)), name('m'), label(''), amount(1n)),
    );
    expect(results.map((r) => r.ok).lastIndexOf(true)).toBe(15);
    expect(results[19]).toEqual(rejected('over-limit'));
    expect(registry.gaugeSet(ME, name('m'), label(''), gaugeValue(1n)).ok).toBe(true);
    expect(registry.counterInc(senderId(0n), name('m'), label(''), amount(1n))).toEqual({ ...OK, value: 2n });
  });

  it('OBS-5, OBS-22: the total cap of the configuration holds over all metrics', () => {
    const registry = new Registry({ ...LIMITS, maxSeriesTotal: 1 });
    expect(registry.counterInc(ME, name('m.a'), label(''), amount(1n)).ok).toBe(true);
    expect(registry.counterInc(ME, name('m.b'), label(''), amount(1n))).toEqual(rejected('over-limit'));
    expect(registry.gaugeSet(ME, name('m.a'), label(''), gaugeValue(1n))).toEqual(rejected('over-limit'));
    expect(registry.counterInc(ME, name('m.a'), label(''), amount(1n))).toEqual({ ...OK, value: 2n });
  });

  it('OBS-22: tightened lengths refuse before reuse, total and per-metric caps are looked at', () => {
    const registry = new Registry({ ...LIMITS, maxMetricNameLen: 2, maxLabelsLen: 1 });
    expect(registry.counterInc(ME, name('abc'), label(''), amount(1n))).toEqual(rejected('over-limit'));
    expect(registry.counterInc(ME, name('ab'), label('xy'), amount(1n))).toEqual(rejected('over-limit'));
    expect(registry.counterInc(ME, name('ab'), label('x'), amount(1n)).ok).toBe(true);
    expect(registry.seriesCount).toBe(1);
  });

  it('refuses the empty name and oversized fields that a wrong caller might let through', () => {
    const registry = new Registry(LIMITS);
    const long = new Uint8Array(49) as MetricName;
    expect(registry.counterInc(ME, new Uint8Array(0) as MetricName, label(''), amount(1n))).toEqual(
      rejected('invalid-args'),
    );
    expect(registry.counterInc(ME, long, label(''), amount(1n))).toEqual(rejected('over-limit'));
    expect(registry.counterInc(ME, name('m'), new Uint8Array(193) as Labels, amount(1n))).toEqual(
      rejected('over-limit'),
    );
    expect(registry.seriesCount).toBe(0);
  });

  it('tells (name, labels) pairs apart that concatenate to the same bytes', () => {
    const registry = new Registry(LIMITS);
    registry.counterInc(ME, name('ab'), label('c'), amount(1n));
    expect(registry.counterInc(ME, name('a'), label('bc'), amount(1n))).toEqual({ ...OK, value: 1n });
    expect(registry.counterInc(senderId(0x12341n), name('ab'), label('c'), amount(1n))).toEqual({ ...OK, value: 1n });
  });
});

describe('spans (sheet 40, 11.2 and 18.4)', () => {
  it('OBS-7: an ended span tells duration, parent, status and both attribute sets', () => {
    const registry = new Registry(LIMITS);
    const id = (0x1234n << 32n) | 1n;
    const live = span(0x1234n, id, { startAttrs: attr('phase=run\n') });
    expect(registry.spanStart(live)).toEqual({ ...OK, value: null });
    expect(registry.liveSpanCount).toBe(1);
    expect(registry.spanEnd(ME, spanId(id), spanTime(180n), 0, attr('result=ok\n'))).toEqual({
      ...OK,
      value: { span: live, durationNs: 80n, status: 0, endAttrs: attr('result=ok\n') },
    });
    expect(registry.liveSpanCount).toBe(0);
  });

  it('OBS-1: a span id that is not bound to the sender is invalid', () => {
    const registry = new Registry(LIMITS);
    expect(registry.spanStart(span(0x1111n, (0x9999n << 32n) | 1n))).toEqual(rejected('invalid-args'));
    expect(registry.liveSpanCount).toBe(0);
  });

  it('OBS-8: only the lower half of the sender id is bound', () => {
    const registry = new Registry(LIMITS);
    const id = (0x2222_1111n << 32n) | 9n;
    expect(registry.spanStart(span(0xaaaa_bbbb_2222_1112n, id)).ok).toBe(false);
    expect(registry.spanStart(span(0x2222_1111_0000_0000n, id)).ok).toBe(false);
    expect(registry.spanStart(span(0xaaaa_bbbb_2222_1111n, id)).ok).toBe(true);
    expect(registry.spanStart(span(0xcccc_dddd_2222_1111n, id)).ok).toBe(true);
  });

  it('OBS-5: 64 live spans over all senders, the 65th is over the limit', () => {
    const registry = new Registry(LIMITS);
    const start = (i: number): unknown => registry.spanStart(span(BigInt(i % 2), (BigInt(i % 2) << 32n) | BigInt(i)));
    const results = Array.from({ length: 65 }, (_, i) => start(i));
    expect(results.slice(0, 64).every((r) => (r as { ok: boolean }).ok)).toBe(true);
    expect(results[64]).toEqual(rejected('over-limit'));
  });

  it('at a full table: duplicate before cap, foreign before duplicate, room after an end', () => {
    const registry = new Registry({ ...LIMITS, maxLiveSpans: 1 });
    const id = (1n << 32n) | 1n;
    registry.spanStart(span(1n, id));
    expect(registry.spanStart(span(1n, id))).toEqual(rejected('invalid-args'));
    expect(registry.spanStart(span(1n, id + 1n))).toEqual(rejected('over-limit'));
    expect(registry.spanStart(span(2n, id))).toEqual(rejected('invalid-args'));
    registry.spanEnd(senderId(1n), spanId(id), spanTime(0n), 0, attr(''));
    expect(registry.spanStart(span(1n, id + 1n)).ok).toBe(true);
  });

  it('ends a span once, for its own sender only; the id may start again', () => {
    const registry = new Registry(LIMITS);
    const id = spanId((1n << 32n) | 1n);
    const end = (sender: bigint): unknown => registry.spanEnd(senderId(sender), id, spanTime(10n), 255, attr(''));
    registry.spanStart(span(1n, id, { startNs: spanTime(1000n) }));
    expect(end((5n << 32n) | 1n)).toEqual(rejected('not-found'));
    expect(end(1n)).toMatchObject({ value: { durationNs: 0n, status: 255 } });
    expect(end(1n)).toEqual(rejected('not-found'));
    expect(registry.spanStart(span(1n, id)).ok).toBe(true);
  });

  it('OBS-22: tightened lengths: binding, lengths, duplicate in this order; end: lengths before not found', () => {
    const registry = new Registry({ ...LIMITS, maxSpanNameLen: 1, maxAttrsLen: 1 });
    const id = (1n << 32n) | 1n;
    const long = { name: spanName(bytes('ab'))! };
    registry.spanStart(span(1n, id));
    expect(registry.spanStart(span(2n, id, long))).toEqual(rejected('invalid-args'));
    expect(registry.spanStart(span(1n, id, long))).toEqual(rejected('over-limit'));
    expect(registry.spanStart(span(1n, id, { startAttrs: attr('ab') }))).toEqual(rejected('over-limit'));
    expect(registry.spanStart(span(1n, id, { name: new Uint8Array(0) as SpanName }))).toEqual(rejected('invalid-args'));
    expect(registry.spanEnd(ME, spanId(9n), spanTime(0n), 0, attr('ab'))).toEqual(rejected('over-limit'));
    expect(registry.spanEnd(ME, spanId(9n), spanTime(0n), 0, attr('a'))).toEqual(rejected('not-found'));
  });
});

type Step =
  | {
      readonly do: 'metric';
      readonly kind: 0 | 1 | 2;
      readonly sender: bigint;
      readonly n: string;
      readonly l: string;
      readonly v: bigint;
    }
  | {
      readonly do: 'start' | 'end';
      readonly sender: bigint;
      readonly half: bigint;
      readonly local: bigint;
      readonly at: bigint;
    };

const sender = fc.bigInt(1n, 3n);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant('metric' as const),
      kind: fc.constantFrom(0 as const, 1 as const, 2 as const),
      sender,
      n: fc.constantFrom('a', 'b', 'toolong'),
      l: fc.constantFrom('', 'x', 'y', 'z', 'toolong'),
      v: fc.bigInt(0n, 30_000_000n),
    }),
    fc.record({
      do: fc.constantFrom('start' as const, 'end' as const),
      sender,
      half: fc.oneof({ weight: 4, arbitrary: fc.constant(0n) }, { weight: 1, arbitrary: sender }),
      local: fc.bigInt(0n, 3n),
      at: fc.bigInt(0n, 50n),
    }),
  ),
  { maxLength: 80 },
);

describe('against a naive model', () => {
  it('OBS-4: a reject leaves no trace, an accepted event gives the value the model computes', () => {
    const limits: RegistryLimits = {
      ...LIMITS,
      maxSeriesTotal: 9,
      maxSeriesPerMetric: 4,
      maxLiveSpans: 4,
      maxMetricNameLen: 3,
      maxLabelsLen: 3,
    };
    fc.assert(
      fc.property(steps, (list) => {
        const registry = new Registry(limits);
        const series: { id: string; metric: string; total: bigint; count: bigint }[] = [];
        let live: { sender: bigint; id: bigint; at: bigint }[] = [];
        for (const s of list) {
          if (s.do === 'metric') {
            const id = JSON.stringify([s.kind, String(s.sender), s.n, s.l]);
            const metric = JSON.stringify([s.kind, s.n]);
            let known = series.find((x) => x.id === id);
            const tooLong = s.n.length > 3 || s.l.length > 3;
            const full = series.length >= 9 || series.filter((x) => x.metric === metric).length >= 4;
            const args = [senderId(s.sender), name(s.n), label(s.l)] as const;
            let got: unknown;
            if (s.kind === 0) got = registry.counterInc(...args, amount(s.v));
            else if (s.kind === 1) got = registry.gaugeSet(...args, gaugeValue(-s.v));
            else got = registry.histObserve(...args, amount(s.v));
            if (tooLong || (known === undefined && full)) {
              expect(got).toEqual(rejected('over-limit'));
            } else {
              if (known === undefined) series.push((known = { id, metric, total: 0n, count: 0n }));
              known.total += s.v;
              known.count += 1n;
              if (s.kind === 0) expect(got).toEqual({ ...OK, value: known.total });
              else if (s.kind === 1) expect(got).toEqual({ ...OK, value: -s.v });
              else expect(got).toMatchObject({ ...OK, value: { count: known.count, sum: known.total } });
            }
          } else {
            const id = ((s.half === 0n ? s.sender : s.half) << 32n) | s.local;
            const found = live.find((x) => x.sender === s.sender && x.id === id);
            if (s.do === 'start') {
              const got = registry.spanStart(span(s.sender, id, { startNs: spanTime(s.at) }));
              if (id >> 32n !== s.sender || found) expect(got).toEqual(rejected('invalid-args'));
              else if (live.length >= 4) expect(got).toEqual(rejected('over-limit'));
              else {
                expect(got.ok).toBe(true);
                live.push({ sender: s.sender, id, at: s.at });
              }
            } else {
              const got = registry.spanEnd(senderId(s.sender), spanId(id), spanTime(s.at), 1, attr(''));
              if (found === undefined) expect(got).toEqual(rejected('not-found'));
              else {
                const durationNs = s.at > found.at ? s.at - found.at : 0n;
                expect(got).toMatchObject({ ok: true, value: { durationNs } });
                live = live.filter((x) => x !== found);
              }
            }
          }
          expect([registry.seriesCount, registry.liveSpanCount]).toEqual([series.length, live.length]);
        }
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});
