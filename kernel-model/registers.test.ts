import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isCanonical, numberToRegister, registerToNumber, unsignedToNumber } from './registers.ts';

describe('registers as numbers', () => {
  it('keeps small signed values exactly and the low 32 bits of every value', () => {
    expect(registerToNumber(2n ** 64n - 1n)).toBe(-1);
    expect(registerToNumber(0xffff_ffc0_0000_0000n)).toBe(-(2 ** 38));
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const number = registerToNumber(value);
        expect(BigInt.asUintN(32, BigInt(number))).toBe(value & 0xffff_ffffn);
        const signed = BigInt.asIntN(64, value);
        expect(isCanonical(number)).toBe(signed >= -(2n ** 38n) && signed < 2n ** 38n);
        if (signed > -(2n ** 53n) && signed < 2n ** 53n) expect(numberToRegister(number)).toBe(value);
        expect(unsignedToNumber(value)).toBeGreaterThanOrEqual(Number(value < 2n ** 52n ? value : 2n ** 52n));
      }),
      { seed: 20240, numRuns: 400 },
    );
  });
});
