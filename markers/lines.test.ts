import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { LineSplitter, LineStore, MAX_LINE_CHARS, TAIL_LINES } from './lines.ts';

describe('LineStore', () => {
  it('keeps the beginning within its bound and the last 220 lines, whatever the order of long and short', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 30 }), { maxLength: 600 }), fc.nat({ max: 4000 }), (lengths, bound) => {
        const store = new LineStore(bound);
        const all = lengths.map((length, index) => String(index % 10).repeat(length));
        for (const line of all) store.push(line);
        let head = 0;
        for (let chars = 0; head < all.length; head++) {
          chars += all[head]!.length;
          if (chars > bound) break;
        }
        expect(store.count).toBe(all.length);
        all.forEach((line, index) => {
          const kept = index < head || index >= all.length - TAIL_LINES;
          expect(store.at(index + 1)).toBe(kept ? line : undefined);
        });
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('gives ranges inside the log', () => {
    const store = new LineStore();
    for (const line of ['a', 'b', 'c']) store.push(line);
    expect([store.range(-5, 2), store.range(2, 99), store.range(4, 9)]).toEqual([['a', 'b'], ['b', 'c'], []]);
    expect(store.at(0)).toBeUndefined();
  });
});

describe('LineSplitter', () => {
  it('cuts at LF, drops one CR, keeps other ones', () => {
    const splitter = new LineSplitter();
    expect(splitter.feed('a\r\nb\n\r\r\nc')).toEqual(['a', 'b', '\r']);
    expect(splitter.feed('d\r')).toEqual([]);
    expect(splitter.feed('\ne')).toEqual(['cd']);
    expect([splitter.end(), splitter.end()]).toEqual(['e', undefined]);
  });

  it('drops the rest of an endless line', () => {
    const splitter = new LineSplitter();
    for (let i = 0; i < 20; i++) splitter.feed('x'.repeat(10_000));
    expect(splitter.feed('\ny\n').map((line) => line.slice(0, MAX_LINE_CHARS).length)).toEqual([MAX_LINE_CHARS, 1]);
  });
});
