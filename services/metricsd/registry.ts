/**
 * Series and live spans of metricsd (sheet 40, sections 11.1 and 11.2). Pure state: what decoded and passed the rate
 * limiter comes in with the kernel's sender id, a value or a reject class comes out. A reject changes nothing.
 */
import type { Amount, Attrs, GaugeValue, Labels, MetricName, SpanId, SpanName, SpanTime, TraceId } from './wire.ts';

/** Kernel-attested service id of a request's sender (u64), never taken from a payload (OBS-1). */
export type SenderId = bigint & { readonly __brand: 'SenderId' };

/** The u64 that `value` is modulo 2^64. */
export function senderId(value: bigint): SenderId {
  return BigInt.asUintN(64, value) as SenderId;
}

/** Identity of a series: (sender, kind, name, labels). */
export type SeriesId = string & { readonly __brand: 'SeriesId' };

/** Caps of the registry (13.1); lengths in bytes. */
export interface RegistryLimits {
  readonly maxSeriesTotal: number;
  readonly maxSeriesPerMetric: number;
  readonly maxLiveSpans: number;
  readonly maxMetricNameLen: number;
  readonly maxLabelsLen: number;
  readonly maxSpanNameLen: number;
  readonly maxAttrsLen: number;
}

/** Why the registry refused. */
export type RegistryReject = 'invalid-args' | 'over-limit' | 'not-found';

/** A value, or the reason why not. */
export type Outcome<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reject: RegistryReject };

/** Kind of a series. */
export type MetricKind = 'counter' | 'gauge' | 'histogram';

/** Upper bounds (ns, inclusive) of the histogram buckets; the last bucket has none. */
export const BUCKET_BOUNDS: readonly bigint[] = [1_000_000n, 5_000_000n, 20_000_000n, 100_000_000n];

/** A histogram after an observation. Buckets are internal: exports carry count and sum. */
export interface HistogramState {
  readonly count: bigint;
  readonly sum: bigint;
  /** Observations per bucket, overflow last. */
  readonly buckets: readonly bigint[];
}

/** A live span. */
export interface LiveSpan {
  readonly sender: SenderId;
  readonly spanId: SpanId;
  readonly traceId: TraceId;
  readonly parentSpanId: SpanId;
  readonly name: SpanName;
  readonly startAttrs: Attrs;
  readonly startNs: SpanTime;
}

/** A span that has ended: what the export tells about it. */
export interface EndedSpan {
  readonly span: LiveSpan;
  /** end - start in ns, 0 when the end lies before the start. */
  readonly durationNs: bigint;
  readonly status: number;
  readonly endAttrs: Attrs;
}

interface HistogramSeries {
  count: bigint;
  sum: bigint;
  readonly buckets: bigint[];
}

const U64_MAX = 0xffff_ffff_ffff_ffffn;
const LO32 = 0xffff_ffffn;

const INVALID_ARGS = { ok: false, reject: 'invalid-args' } as const;
const OVER_LIMIT = { ok: false, reject: 'over-limit' } as const;
const NOT_FOUND = { ok: false, reject: 'not-found' } as const;

function addSaturating(a: bigint, b: bigint): bigint {
  const sum = a + b;
  return sum > U64_MAX ? U64_MAX : sum;
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** Registry of one metricsd process. */
export class Registry {
  readonly #limits: RegistryLimits;
  readonly #counters = new Map<SeriesId, bigint>();
  readonly #gauges = new Map<SeriesId, bigint>();
  readonly #histograms = new Map<SeriesId, HistogramSeries>();
  /** Series per (kind, name), over all senders and labels. */
  readonly #perMetric = new Map<string, number>();
  readonly #spans = new Map<string, LiveSpan>();

  constructor(limits: RegistryLimits) {
    this.#limits = limits;
  }

  /** Series of all kinds and senders; they are never removed. */
  get seriesCount(): number {
    return this.#counters.size + this.#gauges.size + this.#histograms.size;
  }

  /** Live spans of all senders. */
  get liveSpanCount(): number {
    return this.#spans.size;
  }

  /** Adds `delta` (saturating at u64); the value is the counter afterwards. */
  counterInc(sender: SenderId, name: MetricName, labels: Labels, delta: Amount): Outcome<bigint> {
    const admitted = this.#admit('counter', this.#counters, sender, name, labels);
    if (!admitted.ok) return admitted;
    const value = addSaturating(this.#counters.get(admitted.value) ?? 0n, delta);
    this.#counters.set(admitted.value, value);
    return { ok: true, value };
  }

  /** Replaces the gauge's value. */
  gaugeSet(sender: SenderId, name: MetricName, labels: Labels, value: GaugeValue): Outcome<bigint> {
    const admitted = this.#admit('gauge', this.#gauges, sender, name, labels);
    if (!admitted.ok) return admitted;
    this.#gauges.set(admitted.value, value);
    return { ok: true, value };
  }

  /** Counts one observation; the value is the histogram afterwards. */
  histObserve(sender: SenderId, name: MetricName, labels: Labels, observed: Amount): Outcome<HistogramState> {
    const admitted = this.#admit('histogram', this.#histograms, sender, name, labels);
    if (!admitted.ok) return admitted;
    let series = this.#histograms.get(admitted.value);
    if (series === undefined) {
      series = { count: 0n, sum: 0n, buckets: [...BUCKET_BOUNDS.map(() => 0n), 0n] };
      this.#histograms.set(admitted.value, series);
    }
    series.count = addSaturating(series.count, 1n);
    series.sum = addSaturating(series.sum, observed);
    const found = BUCKET_BOUNDS.findIndex((bound) => observed <= bound);
    const bucket = found < 0 ? BUCKET_BOUNDS.length : found;
    series.buckets[bucket] = addSaturating(series.buckets[bucket] ?? 0n, 1n);
    return { ok: true, value: { count: series.count, sum: series.sum, buckets: [...series.buckets] } };
  }

  /** Registers a live span (11.2). */
  spanStart(span: LiveSpan): Outcome<null> {
    // Only the lower half of the sender id fits into a span id, so only that half is bound.
    if (span.spanId >> 32n !== (span.sender & LO32)) return INVALID_ARGS;
    if (span.name.length === 0) return INVALID_ARGS;
    if (span.name.length > this.#limits.maxSpanNameLen) return OVER_LIMIT;
    if (span.startAttrs.length > this.#limits.maxAttrsLen) return OVER_LIMIT;
    const key = spanKey(span.sender, span.spanId);
    if (this.#spans.has(key)) return INVALID_ARGS;
    if (this.#spans.size >= this.#limits.maxLiveSpans) return OVER_LIMIT;
    this.#spans.set(key, span);
    return { ok: true, value: null };
  }

  /** Ends a live span of `sender`; ended spans are not remembered. */
  spanEnd(sender: SenderId, id: SpanId, endNs: SpanTime, status: number, endAttrs: Attrs): Outcome<EndedSpan> {
    if (endAttrs.length > this.#limits.maxAttrsLen) return OVER_LIMIT;
    const key = spanKey(sender, id);
    const span = this.#spans.get(key);
    if (span === undefined) return NOT_FOUND;
    this.#spans.delete(key);
    const durationNs = endNs > span.startNs ? endNs - span.startNs : 0n;
    return { ok: true, value: { span, durationNs, status, endAttrs } };
  }

  /** Finds or makes room for a series in the order of 11.1; the caller stores its state under the returned id. */
  #admit(
    kind: MetricKind,
    ofKind: ReadonlyMap<SeriesId, unknown>,
    sender: SenderId,
    name: MetricName,
    labels: Labels,
  ): Outcome<SeriesId> {
    if (name.length === 0) return INVALID_ARGS;
    if (name.length > this.#limits.maxMetricNameLen || labels.length > this.#limits.maxLabelsLen) return OVER_LIMIT;
    const nameText = latin1(name);
    // The name's length keeps (name, labels) apart from any other split of the same bytes.
    const id = `${sender.toString(16)}:${String(name.length)}:${nameText}${latin1(labels)}` as SeriesId;
    if (ofKind.has(id)) return { ok: true, value: id };
    if (this.seriesCount >= this.#limits.maxSeriesTotal) return OVER_LIMIT;
    const metric = `${kind}:${nameText}`;
    const sameMetric = this.#perMetric.get(metric) ?? 0;
    if (sameMetric >= this.#limits.maxSeriesPerMetric) return OVER_LIMIT;
    this.#perMetric.set(metric, sameMetric + 1);
    return { ok: true, value: id };
  }
}

function spanKey(sender: SenderId, id: SpanId): string {
  return `${sender.toString(16)}:${id.toString(16)}`;
}
