/**
 * Runtime limits of metricsd (sheet 40, section 13): the embedded recipe, its small grammar and the validation. The
 * grammar is part of the contract and is not TOML: integers only, sections verbatim, the last duplicate wins.
 */
import type { RateLimit } from '../lib/rate-limiter.ts';
import type { RegistryLimits } from './registry.ts';
import type { RetentionLimits } from './retention.ts';
import { MAX_ATTRS_LEN, MAX_LABELS_LEN, MAX_METRIC_NAME_LEN, MAX_SPAN_NAME_LEN } from './wire.ts';

/** All limits of one metricsd process. */
export interface MetricsdConfig {
  readonly registry: RegistryLimits;
  readonly ingest: RateLimit;
  readonly retention: RetentionLimits;
}

/** What is wrong with a recipe; metricsd then falls back to the defaults. */
export type ConfigError = 'invalid-value' | 'unknown-key';

/** Result of {@link parseConfig}. */
export type ParsedConfig =
  { readonly ok: true; readonly config: MetricsdConfig } | { readonly ok: false; readonly error: ConfigError };

/** The recipe `recipes/observability/metrics.toml` as it is compiled into the service. */
export const RECIPE = `# Limits of metricsd. Every value must be greater than zero (retention.enabled: 0 switches retention off).

[metrics]
max_series_total = 64
max_series_per_metric = 16
max_live_spans = 64

[ingest]
rate_window_ns = 1000000000
max_events_per_window = 64
max_subjects = 64

[wire] # can only be tightened
max_metric_name_len = 48
max_labels_len = 192
max_span_name_len = 48
max_attrs_len = 192

[retention]
enabled = 1
max_segments = 8
max_records_per_segment = 64
rollup_every = 16
best_effort_retries = 1
critical_retries = 2
ttl_windows = 12
gc_batch = 2
`;

const U64_MAX = 0xffff_ffff_ffff_ffffn;

/**
 * One row per key: its default, whether the OS stores it as u32 (the value is taken modulo 2^32; all others keep 64
 * bits) and the most it may be.
 */
interface KeyRule {
  readonly preset: bigint;
  readonly u32: boolean;
  readonly max: bigint;
  /** A zero is an error, except for the one boolean. */
  readonly zeroAllowed?: true;
}

function wide(preset: bigint, max = U64_MAX): KeyRule {
  return { preset, u32: false, max };
}

function narrow(preset: bigint): KeyRule {
  return { preset, u32: true, max: U64_MAX };
}

const KEYS = {
  'metrics.max_series_total': wide(64n),
  'metrics.max_series_per_metric': wide(16n),
  'metrics.max_live_spans': wide(64n),
  'ingest.rate_window_ns': wide(1_000_000_000n),
  'ingest.max_events_per_window': narrow(64n),
  'ingest.max_subjects': wide(64n),
  'wire.max_metric_name_len': wide(48n, BigInt(MAX_METRIC_NAME_LEN)),
  'wire.max_labels_len': wide(192n, BigInt(MAX_LABELS_LEN)),
  'wire.max_span_name_len': wide(48n, BigInt(MAX_SPAN_NAME_LEN)),
  'wire.max_attrs_len': wide(192n, BigInt(MAX_ATTRS_LEN)),
  'retention.enabled': { preset: 1n, u32: false, max: U64_MAX, zeroAllowed: true },
  'retention.max_segments': narrow(8n),
  'retention.max_records_per_segment': narrow(64n),
  'retention.rollup_every': narrow(16n),
  'retention.best_effort_retries': narrow(1n),
  'retention.critical_retries': narrow(2n),
  'retention.ttl_windows': narrow(12n),
  'retention.gc_batch': narrow(2n),
} as const satisfies Record<string, KeyRule>;

type Key = keyof typeof KEYS;
type Values = Record<Key, bigint>;

const KEY_NAMES: readonly Key[] = Object.keys(KEYS) as Key[];

function presets(): Values {
  return Object.fromEntries(KEY_NAMES.map((key) => [key, KEYS[key].preset])) as Values;
}

/** The built-in limits, equal to {@link RECIPE}. */
export function defaultConfig(): MetricsdConfig {
  return toConfig(presets());
}

/** Parses a recipe (13.2). Never throws; the first error in the text decides, then the validation. */
export function parseConfig(text: string): ParsedConfig {
  const values = presets();
  let section = '';
  for (const rawLine of text.split('\n')) {
    const hash = rawLine.indexOf('#');
    const line = trimWhiteSpace(hash < 0 ? rawLine : rawLine.slice(0, hash));
    if (line === '') continue;
    if (line.startsWith('[') && line.endsWith(']')) {
      section = line.slice(1, -1);
      continue;
    }
    const equals = line.indexOf('=');
    if (equals < 0) return { ok: false, error: 'invalid-value' };
    const value = parseU64(trimWhiteSpace(line.slice(equals + 1)));
    if (value === null) return { ok: false, error: 'invalid-value' };
    const key = findKey(section, trimWhiteSpace(line.slice(0, equals)));
    if (key === undefined) return { ok: false, error: 'unknown-key' };
    values[key] = KEYS[key].u32 ? BigInt.asUintN(32, value) : value;
  }
  for (const key of KEY_NAMES) {
    const rule: KeyRule = KEYS[key];
    if (values[key] === 0n && rule.zeroAllowed !== true) return { ok: false, error: 'invalid-value' };
    if (values[key] > rule.max) return { ok: false, error: 'invalid-value' };
  }
  return { ok: true, config: toConfig(values) };
}

function findKey(section: string, key: string): Key | undefined {
  // Section and key are compared apart: a dot inside either must not make a known name.
  return KEY_NAMES.find((name) => {
    const dot = name.indexOf('.');
    return name.slice(0, dot) === section && name.slice(dot + 1) === key;
  });
}

/** Unsigned 64-bit decimal with an optional leading `+`, as Rust's `u64::from_str`; null when it is not one. */
function parseU64(text: string): bigint | null {
  if (!/^\+?[0-9]+$/.test(text)) return null;
  const value = BigInt(text.startsWith('+') ? text.slice(1) : text);
  return value > U64_MAX ? null : value;
}

/** Strips Unicode White_Space at both ends. Differs from `String.prototype.trim` at U+0085 and U+FEFF (section 24). */
export function trimWhiteSpace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isWhiteSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isWhiteSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isWhiteSpace(code: number): boolean {
  if (code <= 0x20) return code === 0x20 || (code >= 0x09 && code <= 0x0d);
  if (code >= 0x2000 && code <= 0x200a) return true;
  switch (code) {
    case 0x0085:
    case 0x00a0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202f:
    case 0x205f:
    case 0x3000:
      return true;
    default:
      return false;
  }
}

/**
 * Counts, lengths and times become numbers: values from 2^53 on lose their low bits, far above anything that is ever
 * counted or measured against them.
 */
function toConfig(values: Values): MetricsdConfig {
  const of = (key: Key): number => Number(values[key]);
  return {
    registry: {
      maxSeriesTotal: of('metrics.max_series_total'),
      maxSeriesPerMetric: of('metrics.max_series_per_metric'),
      maxLiveSpans: of('metrics.max_live_spans'),
      maxMetricNameLen: of('wire.max_metric_name_len'),
      maxLabelsLen: of('wire.max_labels_len'),
      maxSpanNameLen: of('wire.max_span_name_len'),
      maxAttrsLen: of('wire.max_attrs_len'),
    },
    ingest: {
      windowNs: of('ingest.rate_window_ns'),
      eventsPerWindow: of('ingest.max_events_per_window'),
      maxSenders: of('ingest.max_subjects'),
    },
    retention: {
      enabled: values['retention.enabled'] !== 0n,
      maxSegments: of('retention.max_segments'),
      maxRecordsPerSegment: of('retention.max_records_per_segment'),
      rollupEvery: of('retention.rollup_every'),
      bestEffortRetries: of('retention.best_effort_retries'),
      criticalRetries: of('retention.critical_retries'),
      ttlWindows: of('retention.ttl_windows'),
      gcBatch: of('retention.gc_batch'),
    },
  };
}
