import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { trimWhiteSpace, utf8Text } from './utf8.ts';

describe('trimWhiteSpace (sheet 55, section 18)', () => {
  it('takes White_Space and nothing else', () => {
    expect(trimWhiteSpace('\u0085\u2028a\u3000')).toBe('a');
    for (const kept of ['\ufeff', '\u200b', '\x1c', '\x1f', '\u180e']) expect(trimWhiteSpace(kept)).toBe(kept);
    expect(trimWhiteSpace(' \t ')).toBe('');
    expect(trimWhiteSpace('a b')).toBe('a b');
  });

  it('every code unit as Unicode has it', () => {
    const units = Array.from({ length: 0xd800 }, (_, unit) => String.fromCharCode(unit));
    expect(units.filter((text) => (trimWhiteSpace(text) === '') !== /\p{White_Space}/u.test(text))).toEqual([]);
  });
});

describe('utf8Text', () => {
  it('is strict and keeps a byte order mark', () => {
    expect(utf8Text(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
    expect(utf8Text(Uint8Array.of(0xc0, 0x80))).toBeNull();
    expect(utf8Text(Uint8Array.of(0xed, 0xa0, 0x80))).toBeNull();
    expect(utf8Text(Uint8Array.of(0xe2, 0x82))).toBeNull();
  });

  it('encode(decode(x)) = x where it decodes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const text = utf8Text(bytes);
        if (text !== null) expect(new TextEncoder().encode(text)).toEqual(bytes);
        else expect(Buffer.from(Buffer.from(bytes).toString('utf8'), 'utf8')).not.toEqual(Buffer.from(bytes));
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});
