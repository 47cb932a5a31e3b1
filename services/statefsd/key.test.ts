import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareKeys, keyBytes, keyFault, keyText } from './key.ts';
import { hex } from './test-kit.ts';

describe('key rules (section 8.5)', () => {
  it.each(['/state/', '/state//x', '/state/a/', '/state/...', '/state/a/..b', '/state/\u0001', '/state/ü'])(
    'accepts %j',
    (key) => {
      expect(keyFault(key)).toBeNull();
    },
  );

  it.each([
    '/state',
    'state/x',
    '/other',
    '/state/..',
    '/state/.',
    '/state/../x',
    '/state/a/./b',
    '/state/../etc/passwd',
    '',
  ])('refuses %j', (key) => {
    expect(keyFault(key)).toBe('invalid-key');
  });

  it('checks the length in bytes first', () => {
    expect(keyFault(`/state/${'x'.repeat(255)}`)).toBe('key-too-long');
    expect(keyFault(`/state/${'x'.repeat(248)}`)).toBeNull();
    expect(keyFault(`/state/${'ü'.repeat(124)}`)).toBeNull();
    expect(keyFault(`/state/${'ü'.repeat(125)}`)).toBe('key-too-long');
    expect(keyFault('x'.repeat(256))).toBe('key-too-long');
  });
});

describe('key text', () => {
  it('is strict UTF-8 and keeps a leading BOM', () => {
    expect(keyText(hex('efbbbf61'))).toBe('\ufeffa');
    for (const bad of ['ff', 'c080', 'eda080', 'f4908080', 'e282']) expect(keyText(hex(bad))).toBeNull();
  });

  it('sorts as its bytes do', () => {
    const text = fc.string({ unit: 'binary', maxLength: 6 });
    const property = fc.property(text, text, (a, b) => {
      expect(Math.sign(compareKeys(a, b))).toBe(Math.sign(Buffer.compare(keyBytes(a), keyBytes(b))));
    });
    fc.assert(property, { seed: 20240, numRuns: 2000, examples: [['\u{10000}', '\uffff']] });
  });
});
