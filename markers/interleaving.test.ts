import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { MAX_COMPARED_LINES, compareOrder } from './interleaving.ts';

const text = (value: string): string[] => [...value];

describe('compareOrder', () => {
  it('the same log: every line and pair, nothing moved', () => {
    expect(compareOrder(text('abcab'), text('abcab'))).toEqual({
      inSequence: { of: 5, total: 5 },
      pairs: { of: 10, total: 10 },
      moved: [],
      extra: [],
    });
  });

  it('a block that comes earlier: its lines leave the sequence, its pairs with what it passed turn round', () => {
    expect(compareOrder(text('abcdefgXY'), text('abXYcdefg'))).toEqual({
      inSequence: { of: 7, total: 9 },
      pairs: { of: 36 - 10, total: 36 },
      moved: [{ line: 8, lines: ['X', 'Y'], at: 3 }],
      extra: [],
    });
  });

  it('a missing line loses its pairs and has no place; a line too many is extra', () => {
    expect(compareOrder(text('abc'), text('acc'))).toEqual({
      inSequence: { of: 2, total: 3 },
      pairs: { of: 1, total: 3 },
      moved: [{ line: 2, lines: ['b'], at: null }],
      extra: ['c'],
    });
    expect(compareOrder([], ['a'])).toEqual({
      inSequence: { of: 0, total: 0 },
      pairs: { of: 0, total: 0 },
      moved: [],
      extra: ['a'],
    });
  });

  it('agrees with the naive counts', () => {
    const log = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 9 });
    fc.assert(
      fc.property(log, log, (reference, lines) => {
        const { inSequence, pairs, moved, extra } = compareOrder(reference, lines);
        expect(inSequence.of).toBe(naiveLongest(reference, lines));
        expect(pairs.of).toBe(naivePairs(reference, lines));
        const lost = moved.reduce((sum, block) => sum + block.lines.length, 0);
        expect(lost + inSequence.of).toBe(reference.length);
        for (const block of moved)
          expect(reference.slice(block.line - 1, block.line - 1 + block.lines.length)).toEqual(block.lines);
        expect(extra.length).toBe(lines.length - placed(reference, lines).filter((place) => place >= 0).length);
      }),
      { seed: 17, numRuns: 500 },
    );
  });

  it('refuses logs whose table would not fit', () => {
    expect(() => compareOrder(['a'], new Array<string>(MAX_COMPARED_LINES + 1).fill('a'))).toThrow('at most 5000');
  });
});

function naiveLongest(a: readonly string[], b: readonly string[]): number {
  let best = 0;
  for (let mask = 0; mask < 1 << a.length; mask++) {
    const chosen = a.filter((_line, index) => (mask >> index) & 1);
    if (chosen.length <= best) continue;
    let at = 0;
    for (const line of b) if (line === chosen[at]) at += 1;
    if (at === chosen.length) best = chosen.length;
  }
  return best;
}

/** The k-th of a text stands at the k-th of that text. */
function placed(reference: readonly string[], lines: readonly string[]): number[] {
  return reference.map((line, index) => {
    const before = reference.slice(0, index).filter((other) => other === line).length;
    return lines.map((other, at) => (other === line ? at : -1)).filter((at) => at >= 0)[before] ?? -1;
  });
}

function naivePairs(reference: readonly string[], lines: readonly string[]): number {
  const places = placed(reference, lines);
  let count = 0;
  for (let i = 0; i < places.length; i++)
    for (let j = i + 1; j < places.length; j++)
      if (places[i]! >= 0 && places[j]! >= 0 && places[i]! < places[j]!) count += 1;
  return count;
}
