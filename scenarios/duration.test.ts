import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatDuration, parseDuration, parseLatency } from './duration.ts';

describe('parseDuration', () => {
  it.each([
    ['1ns', 1],
    ['500 us', 500_000],
    ['1.5ms', 1_500_000],
    [' 30s ', 30_000_000_000],
    ['2min', 120_000_000_000],
    ['1h', 3_600_000_000_000],
    ['1000h', 3_600_000_000_000_000],
    ['0.4ns', null],
    ['0s', null],
    ['1000.1h', null],
    ['1001h', null],
    ['999999999999h', null],
    ['1', null],
    ['s', null],
    ['-1s', null],
    ['1e3s', null],
    ['1m', null],
    ['1s 2ms', null],
    ['١s', null],
    ['1.s', null],
    ['', null],
  ])('%s', (text, ns) => {
    expect(parseDuration(text)).toBe(ns);
  });

  it('gives null or whole ns in range for any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{1,14}(\.\d{1,12})? ?(ns|us|ms|s|min|h|d)$/)), (text) => {
        const ns = parseDuration(text);
        expect(ns === null || (Number.isSafeInteger(ns) && ns >= 1 && ns <= 3_600_000_000_000_000)).toBe(true);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0 ns'],
    [1, '1 ns'],
    [999, '999 ns'],
    [1000, '1 us'],
    [1_234_567, '1.235 ms'],
    [3_261_000_000, '3.261 s'],
    [90_000_000_000, '1.5 min'],
    [3_600_000_000_000, '1 h'],
  ])('%d', (ns, text) => {
    expect(formatDuration(ns)).toBe(text);
  });

  it('is read back to within its four digits', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_000_000_000_000_000 }), (ns) => {
        const back = parseDuration(formatDuration(ns));
        expect(back).not.toBeNull();
        expect(Math.abs(back! - ns)).toBeLessThanOrEqual(ns / 1000);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });
});

describe('parseLatency', () => {
  it.each([
    ['50us', 50_000, 50_000],
    ['1.5us..2 ms', 1500, 2_000_000],
    ['4s', 4_000_000_000, 4_000_000_000],
  ])('%s', (text, minNs, maxNs) => {
    expect(parseLatency(text)).toEqual({ minNs, maxNs });
  });

  it.each(['', '0us', '50', '2ms..1ms', '1ms..', '..1ms', '1ms..2ms..3ms', '1ms...2ms', '4001ms', '1ms..5s'])(
    '%j is none',
    (text) => {
      expect(parseLatency(text)).toBeNull();
    },
  );
});
