/** Needles against String.includes, one by one. */
import fc from 'fast-check';
import { expect, it } from 'vitest';

import { NeedleSet } from './needles.ts';

const unit = fc.constantFrom(
  'a',
  'b',
  'A',
  ' ',
  ':',
  '.',
  '*',
  '[',
  ']',
  '(',
  '|',
  '\\',
  '^',
  '$',
  '?',
  '{',
  '\n',
  'é',
);

it('finds what includes() finds', () => {
  const needles = fc.array(fc.string({ unit, minLength: 1, maxLength: 5 }), { maxLength: 6 });
  const lines = fc.array(fc.string({ unit, maxLength: 12 }), { maxLength: 4 });
  fc.assert(
    fc.property(needles, lines, (texts, plain) => {
      const set = new NeedleSet(texts);
      for (const line of [...plain, ...texts.map((text, i) => `${plain[i] ?? ''}${text}${plain[i + 1] ?? ''}`)]) {
        const expected = texts.flatMap((text, index) => (line.includes(text) ? [index] : []));
        const found: number[] = [];
        set.forEachIn(line, (index) => void found.push(index));
        expect(found.sort((a, b) => a - b)).toEqual(expected);
        expect(set.firstIn(line)).toBe(expected[0] ?? -1);
        expect(set.anyIn(line)).toBe(expected.length > 0);
      }
    }),
    { seed: 85, numRuns: 500 },
  );
});
