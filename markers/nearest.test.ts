import { readFileSync } from 'node:fs';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fixtures } from './fixtures/fixtures.ts';
import { knownMarkers } from './ladder.ts';
import { editDistance, isKnownMarkerText, nearestMarkers, unknownMarkerHint } from './nearest.ts';

const { ladder } = fixtures((path) => readFileSync(new URL(path, import.meta.url), 'utf8'));

const DEFAULT = ladder('default');
const KNOWN = knownMarkers(DEFAULT);

/** The textbook recursion, over whole strings or the best piece. */
function naive(a: string, b: string): number {
  const memo = new Map<string, number>();
  const go = (i: number, j: number): number => {
    if (i === 0 || j === 0) return i + j;
    const key = `${i},${j}`;
    const known = memo.get(key);
    if (known !== undefined) return known;
    const swap = go(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
    const value = Math.min(swap, go(i - 1, j) + 1, go(i, j - 1) + 1);
    memo.set(key, value);
    return value;
  };
  return go(a.length, b.length);
}

describe('editDistance', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 7 });

  it('equals the textbook, capped at the limit plus one', () => {
    fc.assert(
      fc.property(word, word, fc.nat({ max: 8 }), (a, b, limit) => {
        const pieces: string[] = [];
        for (let i = 0; i <= b.length; i++) for (let j = i; j <= b.length; j++) pieces.push(b.slice(i, j));
        const best = Math.min(...pieces.map((piece) => naive(a, piece)));
        expect(editDistance(a, b, true, limit)).toBe(Math.min(naive(a, b), limit + 1));
        expect(editDistance(a, b, false, limit)).toBe(Math.min(best, limit + 1));
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});

describe('suggestions', () => {
  it.each([
    ['SELFTEST: metrics countrs ok', 'SELFTEST: metrics counters ok', 1],
    ['selftest: Metrics Gauges OK', 'SELFTEST: metrics gauges ok', 0],
    ['init: start keystord', 'init: start keystored', 1],
    ['init: redy', 'init: ready', 1],
    ['tracing span ok', 'SELFTEST: tracing spans ok', 1],
    ['logd: reject rate_limit', 'logd: reject rate_limited', 0],
  ])('%s -> %s', (text, marker, distance) => {
    expect(nearestMarkers(text, KNOWN)[0]).toEqual({ marker, distance });
  });

  it('are few, sorted, and none for something else altogether', () => {
    const near = nearestMarkers('init: up logd', KNOWN);
    expect(near[0]).toEqual({ marker: 'init: up logd', distance: 0 });
    expect(near.length).toBeLessThanOrEqual(3);
    expect([...near].sort((a, b) => a.distance - b.distance)).toEqual(near);
    expect(nearestMarkers('zzzzzzzzzzzzzzzzzzzzzz', KNOWN)).toEqual([]);
    expect(nearestMarkers('', KNOWN)).toEqual([]);
  });

  it('find a marker with one letter changed', () => {
    fc.assert(
      fc.property(fc.constantFrom(...KNOWN), fc.nat(), (marker, place) => {
        const at = place % marker.length;
        const typo = `${marker.slice(0, at)}~${marker.slice(at + 1)}`;
        expect(nearestMarkers(typo, KNOWN).map((suggestion) => suggestion.marker)).toContain(marker);
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('endless text is cut', () => {
    expect(nearestMarkers('x'.repeat(1_000_000), KNOWN)).toEqual([]);
  });
});

describe('known texts', () => {
  it.each([
    'SELFTEST: end',
    'metrics counters',
    'execd: crash report pid=36',
    'net: smoltcp iface up 10.0.2.15',
    'KSELFTEST: ipc endpoint quota ok (created=384)',
    'SELFTEST: keystored capmove ok',
  ])('%s', (text) => {
    expect(isKnownMarkerText(text, KNOWN)).toBe(true);
    expect(unknownMarkerHint(text, DEFAULT)).toBeUndefined();
  });

  it.each(['init: start keystoredd', 'init: start nobody', 'SELFTEST: vfs stat okk'])('not %s', (text) => {
    expect(isKnownMarkerText(text, KNOWN)).toBe(false);
  });

  it('a hint names ladder and neighbours', () => {
    expect(unknownMarkerHint('SELFTEST: vfs stat okk', DEFAULT)).toMatch(
      /^marker 'SELFTEST: vfs stat okk' is not in ladder 'default'; nearest: 'SELFTEST: vfs stat ok'/,
    );
    expect(unknownMarkerHint('%%%%%%%%', DEFAULT)).toBe(
      "marker '%%%%%%%%' is not in ladder 'default'; nothing is near it",
    );
  });
});
