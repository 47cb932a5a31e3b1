/**
 * Retention of metricsd as pure state (sheet 40, section 14): a ring of write-ahead segments, 10 s and 60 s rollup
 * windows, and the list of windows whose time is up. `writer.ts` carries the results to the store.
 */

/** Limits of retention (13.1). */
export interface RetentionLimits {
  /** False: nothing is kept, written or logged. */
  readonly enabled: boolean;
  /** Slots of the segment ring. */
  readonly maxSegments: number;
  /** Records after which a segment is full. */
  readonly maxRecordsPerSegment: number;
  /** Events per 10 s window where windows count events; unused otherwise. */
  readonly rollupEvery: number;
  /** Attempts for the write of a metric record and of a 10 s window. */
  readonly bestEffortRetries: number;
  /** Attempts for the write of a span record and of a 60 s window. */
  readonly criticalRetries: number;
  /** Windows kept per kind. */
  readonly ttlWindows: number;
  /** Most windows dropped per kind and event. */
  readonly gcBatch: number;
}

/** How the engine departs from plain counting. */
export interface RetentionOptions {
  /** True: windows close after a number of events. False (the contract): they are windows of virtual time. */
  readonly rollupByCount: boolean;
  /** A segment rotates before a record that would take its value over this many bytes; Infinity for no such limit. */
  readonly segmentMaxBytes: number;
}

/** Longest segment value (bytes) that fits a frame together with its key and header. */
export const SEGMENT_MAX_BYTES = 8000;

/** Length of a short window of virtual time, in ns. */
export const WINDOW_10S_NS = 10_000_000_000;
/** Length of a long window of virtual time, in ns. */
export const WINDOW_60S_NS = 60_000_000_000;
/** Short windows in a long one where windows count events. */
export const SHORT_PER_LONG = 6;

/** What a record is about. */
export type RecordKind = 'metric' | 'span';

/** Kind of a rollup window. */
export type WindowKind = '10s' | '60s';

/** Id of a rollup window: a running number from 1 by count, floor(t / length) by time. */
export type WindowId = number & { readonly __brand: 'WindowId' };

/** A closed window. */
export interface RollupWindow {
  readonly kind: WindowKind;
  readonly id: WindowId;
  readonly metrics: number;
  readonly spans: number;
}

/** What one event asks the store for. */
export interface RetentionStep {
  /** Ring slot of the segment that holds the record. */
  readonly slot: number;
  /** The whole segment, record included. A copy. */
  readonly segment: Uint8Array;
  readonly rollup10s: RollupWindow | null;
  readonly rollup60s: RollupWindow | null;
  /** Windows to delete, oldest first. */
  readonly gc10s: readonly WindowId[];
  readonly gc60s: readonly WindowId[];
}

const KEY_PREFIX = '/state/observability/metricsd';

/** Store key of a segment (14.4). */
export function segmentKey(slot: number): string {
  return `${KEY_PREFIX}/wal/seg_${String(slot)}`;
}

/** Store key of a rollup window (14.4). */
export function windowKey(kind: WindowKind, id: WindowId): string {
  return `${KEY_PREFIX}/rollup/${kind}/w_${String(id)}`;
}

/** Text of a rollup window (14.3). */
export function windowText(window: RollupWindow): string {
  return (
    `kind=${window.kind}\nwindow_id=${String(window.id)}\n` +
    `metrics_total=${String(window.metrics)}\nspans_total=${String(window.spans)}\n`
  );
}

/** Counts of a window that is still open. */
interface OpenWindow {
  id: WindowId;
  metrics: number;
  spans: number;
}

/** The engine. Deterministic: the same events at the same times give the same bytes. */
export class Retention {
  readonly #limits: RetentionLimits;
  readonly #options: RetentionOptions;
  #activeSegment = 0;
  #activeRecords = 0;
  #segment = new Uint8Array(1024);
  #segmentLen = 0;
  #events = 0;
  #short: OpenWindow | null = null;
  #long: OpenWindow | null = null;
  #shortInLong = 0;
  readonly #kept10s: WindowId[] = [];
  readonly #kept60s: WindowId[] = [];

  constructor(limits: RetentionLimits, options: RetentionOptions) {
    this.#limits = limits;
    this.#options = options;
  }

  /** Takes one event's record (without line end) at `now` (virtual ns). Null when retention is off. */
  append(kind: RecordKind, record: Uint8Array, now: number): RetentionStep | null {
    const limits = this.#limits;
    if (!limits.enabled) return null;
    const overlong = this.#segmentLen + record.length + 1 > this.#options.segmentMaxBytes;
    if (this.#activeRecords > 0 && overlong) this.#rotate();
    const slot = this.#activeSegment % limits.maxSegments;
    if (this.#activeRecords === 0) this.#segmentLen = 0;
    this.#appendLine(record);
    this.#activeRecords += 1;

    const closed = this.#options.rollupByCount ? this.#countEvent(kind) : this.#timeEvent(kind, now);
    const step: RetentionStep = {
      slot,
      segment: this.#segment.slice(0, this.#segmentLen),
      rollup10s: closed.short,
      rollup60s: closed.long,
      gc10s: closed.short === null ? [] : this.#keep(this.#kept10s, closed.short.id),
      gc60s: closed.long === null ? [] : this.#keep(this.#kept60s, closed.long.id),
    };
    if (this.#activeRecords >= limits.maxRecordsPerSegment) this.#rotate();
    return step;
  }

  #rotate(): void {
    this.#activeRecords = 0;
    this.#activeSegment += 1;
  }

  #appendLine(record: Uint8Array): void {
    const end = this.#segmentLen + record.length + 1;
    if (end > this.#segment.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#segment.length));
      grown.set(this.#segment.subarray(0, this.#segmentLen));
      this.#segment = grown;
    }
    this.#segment.set(record, this.#segmentLen);
    this.#segment[end - 1] = 0x0a;
    this.#segmentLen = end;
  }

  /** Windows of events (14.2, steps 5 and 6): the event that fills a window belongs to it. */
  #countEvent(kind: RecordKind): Closed {
    this.#events += 1;
    this.#short ??= open(0);
    count(this.#short, kind);
    if (this.#events % this.#limits.rollupEvery !== 0) return NOTHING_CLOSED;
    const id = this.#events / this.#limits.rollupEvery;
    const short = close('10s', { ...this.#short, id: windowId(id) });
    this.#short = null;
    this.#long = addTo(this.#long ?? open(0), short);
    this.#shortInLong += 1;
    if (this.#shortInLong < SHORT_PER_LONG) return { short, long: null };
    const long = close('60s', { ...this.#long, id: windowId(Math.floor(id / SHORT_PER_LONG)) });
    this.#long = null;
    this.#shortInLong = 0;
    return { short, long };
  }

  /** Windows of virtual time: an event closes the windows that ended before it, then counts in its own. */
  #timeEvent(kind: RecordKind, now: number): Closed {
    const shortId = windowId(Math.floor(now / WINDOW_10S_NS));
    const longId = windowId(Math.floor(now / WINDOW_60S_NS));
    let short: RollupWindow | null = null;
    let long: RollupWindow | null = null;
    if (this.#short !== null && this.#short.id < shortId) {
      short = close('10s', this.#short);
      this.#short = null;
      // Every closed short window lies inside the open long one: a long window closes together with its last short one.
      this.#long = addTo(this.#long ?? open(Math.floor(short.id / SHORT_PER_LONG)), short);
    }
    if (this.#long !== null && this.#long.id < longId) {
      long = close('60s', this.#long);
      this.#long = null;
    }
    this.#short ??= open(shortId);
    count(this.#short, kind);
    return { short, long };
  }

  /** Keeps a closed window and returns the ones whose time is up. */
  #keep(kept: WindowId[], id: WindowId): WindowId[] {
    kept.push(id);
    const excess = kept.length - this.#limits.ttlWindows;
    return excess > 0 ? kept.splice(0, Math.min(excess, this.#limits.gcBatch)) : [];
  }
}

interface Closed {
  readonly short: RollupWindow | null;
  readonly long: RollupWindow | null;
}

const NOTHING_CLOSED: Closed = { short: null, long: null };

function windowId(value: number): WindowId {
  return value as WindowId;
}

function open(id: number): OpenWindow {
  return { id: windowId(id), metrics: 0, spans: 0 };
}

function close(kind: WindowKind, window: OpenWindow): RollupWindow {
  return { kind, id: window.id, metrics: window.metrics, spans: window.spans };
}

function count(window: OpenWindow, kind: RecordKind): void {
  if (kind === 'metric') window.metrics += 1;
  else window.spans += 1;
}

function addTo(sum: OpenWindow, window: RollupWindow): OpenWindow {
  sum.metrics += window.metrics;
  sum.spans += window.spans;
  return sum;
}
