import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RECIPE, defaultConfig, parseConfig, trimWhiteSpace } from './config.ts';
import type { MetricsdConfig } from './config.ts';

const DEFAULTS: MetricsdConfig = {
  registry: {
    maxSeriesTotal: 64,
    maxSeriesPerMetric: 16,
    maxLiveSpans: 64,
    maxMetricNameLen: 48,
    maxLabelsLen: 192,
    maxSpanNameLen: 48,
    maxAttrsLen: 192,
  },
  ingest: { windowNs: 1_000_000_000, eventsPerWindow: 64, maxSenders: 64 },
  retention: {
    enabled: true,
    maxSegments: 8,
    maxRecordsPerSegment: 64,
    rollupEvery: 16,
    bestEffortRetries: 1,
    criticalRetries: 2,
    ttlWindows: 12,
    gcBatch: 2,
  },
};

function outcome(text: string): unknown {
  const parsed = parseConfig(text);
  return parsed.ok ? parsed.config : parsed.error;
}
const with_ = <K extends keyof MetricsdConfig>(part: K, change: Partial<MetricsdConfig[K]>): MetricsdConfig => ({
  ...DEFAULTS,
  [part]: { ...DEFAULTS[part], ...change },
});

describe('metrics.toml (sheet 40, 13)', () => {
  it('OBS-22: the embedded recipe parses to the defaults and names every key', () => {
    expect(defaultConfig()).toEqual(DEFAULTS);
    expect(outcome(RECIPE)).toEqual(DEFAULTS);
    expect(RECIPE.split('\n').filter((line) => /^\w+ = /.test(line))).toHaveLength(18);
  });

  it('OBS-22: the valid vector of 18.4', () => {
    const text = `[metrics]
max_series_total = 8
max_series_per_metric = 4
max_live_spans = 5
[ingest]
rate_window_ns = 2000
max_events_per_window = 3
max_subjects = 2
[wire]
max_metric_name_len = 32
max_labels_len = 64
max_span_name_len = 32
max_attrs_len = 64
[retention]
enabled = 1
max_segments = 2
max_records_per_segment = 2
rollup_every = 2
best_effort_retries = 1
critical_retries = 3
ttl_windows = 2
gc_batch = 1
`;
    expect(outcome(text)).toEqual({
      registry: {
        maxSeriesTotal: 8,
        maxSeriesPerMetric: 4,
        maxLiveSpans: 5,
        maxMetricNameLen: 32,
        maxLabelsLen: 64,
        maxSpanNameLen: 32,
        maxAttrsLen: 64,
      },
      ingest: { windowNs: 2000, eventsPerWindow: 3, maxSenders: 2 },
      retention: {
        enabled: true,
        maxSegments: 2,
        maxRecordsPerSegment: 2,
        rollupEvery: 2,
        bestEffortRetries: 1,
        criticalRetries: 3,
        ttlWindows: 2,
        gcBatch: 1,
      },
    });
  });

  const table: readonly [string, unknown][] = [
    ['', DEFAULTS],
    ['[weird]', DEFAULTS],
    ['[]', DEFAULTS],
    ['[a=b]', DEFAULTS],
    ['# only a comment\n\n  \t\n', DEFAULTS],
    ['x=1', 'unknown-key'],
    ['[metrics]\nfoo=1', 'unknown-key'],
    ['[ metrics ]\nmax_series_total=5', 'unknown-key'],
    ['[[metrics]]\nmax_series_total=5', 'unknown-key'],
    ['[]\nmetrics.max_series_total=5', 'unknown-key'],
    ['metrics.max_series_total=5', 'unknown-key'],
    ['[wire]\nmax_series_total=5', 'unknown-key'],
    ['[metrics]\nfoo=x', 'invalid-value'],
    ['[metrics]\nmax_series_total', 'invalid-value'],
    ['[metrics]\nmax_series_total = 0', 'invalid-value'],
    ['[metrics]\nmax_series_total =', 'invalid-value'],
    ['[metrics]\nmax_live_spans=1_0', 'invalid-value'],
    ['[metrics]\nmax_live_spans= -1', 'invalid-value'],
    ['[metrics]\nmax_live_spans= -0', 'invalid-value'],
    ['[metrics]\nmax_live_spans= +', 'invalid-value'],
    ['[metrics]\nmax_live_spans= ++1', 'invalid-value'],
    ['[metrics]\nmax_live_spans=0x10', 'invalid-value'],
    ['[metrics]\nmax_live_spans="5"', 'invalid-value'],
    ['[metrics]\nmax_live_spans=1 2', 'invalid-value'],
    ['[metrics]\nmax_live_spans=1=2', 'invalid-value'],
    ['[metrics]\nmax_live_spans=٣', 'invalid-value'],
    ['[metrics]\nmax_live_spans=18446744073709551616', 'invalid-value'],
    ['[retention]\nenabled=true', 'invalid-value'],
    ['[metrics] junk', 'invalid-value'],
    ['[', 'invalid-value'],
    ['[ingest]\nmax_events_per_window=4294967296', 'invalid-value'],
    ['[wire]\nmax_attrs_len=193', 'invalid-value'],
    ['[wire]\nmax_labels_len=193', 'invalid-value'],
    ['[wire]\nmax_span_name_len=49', 'invalid-value'],
    ['[wire]\nmax_metric_name_len = 999', 'invalid-value'],
    ['[metrics]\nmax_series_total=+5', with_('registry', { maxSeriesTotal: 5 })],
    ['[metrics]\nmax_series_total=007', with_('registry', { maxSeriesTotal: 7 })],
    ['[metrics]\nmax_live_spans = 5 # c', with_('registry', { maxLiveSpans: 5 })],
    ['[metrics] # c\nmax_live_spans = 5', with_('registry', { maxLiveSpans: 5 })],
    ['[metrics]\nmax_live_spans=5\nmax_live_spans=6', with_('registry', { maxLiveSpans: 6 })],
    ['[metrics]\nmax_live_spans=0\nmax_live_spans=6', with_('registry', { maxLiveSpans: 6 })],
    ['[ingest]\nmax_events_per_window=4294967299', with_('ingest', { eventsPerWindow: 3 })],
    ['[ingest]\nmax_subjects=4294967299', with_('ingest', { maxSenders: 4294967299 })],
    ['[retention]\nenabled=0', with_('retention', { enabled: false })],
    ['[retention]\nenabled=7', with_('retention', { enabled: true })],
    ['[retention]\nenabled=4294967296', with_('retention', { enabled: true })],
    // Section 24: lines split at LF only.
    ['[metrics]\r\nmax_live_spans=5\r\n', with_('registry', { maxLiveSpans: 5 })],
    ['[metrics]\rmax_live_spans=5', 'unknown-key'],
    ['[metrics]\u2028max_live_spans=5', 'unknown-key'],
    ['[metrics]\n\u0085\u00a0\u3000max_live_spans\u000b=\u000c5\u205f', with_('registry', { maxLiveSpans: 5 })],
    ['\ufeff[metrics]', 'invalid-value'],
    ['[metrics]\nmax_live_spans=5\u200b', 'invalid-value'],
    ['[metrics]\nmax_live_spans=5\u180e', 'invalid-value'],
  ];
  for (const [text, expected] of table) {
    it(`${JSON.stringify(text)} is ${typeof expected === 'string' ? expected : 'accepted'}`, () => {
      expect(outcome(text)).toEqual(expected);
    });
  }

  it('every one of the 17 counted keys refuses zero', () => {
    let section = '';
    const refused: string[] = [];
    for (const line of RECIPE.split('\n')) {
      section = /^\[\w+\]/.exec(line)?.[0] ?? section;
      const key = /^(\w+) = /.exec(line)?.[1];
      if (key !== undefined && outcome(`${section}\n${key}=0`) === 'invalid-value') refused.push(key);
    }
    expect(refused).toHaveLength(17);
    expect(refused).not.toContain('enabled');
  });

  it('trims exactly the Unicode White_Space of section 24', () => {
    const space: number[] = [];
    for (let code = 0; code <= 0xffff; code++) if (trimWhiteSpace(String.fromCharCode(code)) === '') space.push(code);
    const named = [9, 10, 11, 12, 13, 32, 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000];
    for (let code = 0x2000; code <= 0x200a; code++) named.push(code);
    expect(space).toEqual(named.sort((a, b) => a - b));
    expect(trimWhiteSpace('\u0085 a b \u00a0')).toBe('a b');
  });

  it('OBS-14: arbitrary text never throws, and what it accepts is bounded', () => {
    const word = fc.constantFrom(
      '[metrics]',
      '[wire]',
      'max_live_spans',
      'max_attrs_len',
      '=',
      '5',
      '0',
      '\n',
      '#',
      ' ',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.array(word, { maxLength: 20 }).map((w) => w.join('')),
    );
    fc.assert(
      fc.property(text, (input) => {
        const parsed = parseConfig(input);
        if (!parsed.ok) return;
        expect(parsed.config.registry.maxAttrsLen).toBeLessThanOrEqual(192);
        expect(parsed.config.registry.maxLiveSpans).toBeGreaterThan(0);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });
});
