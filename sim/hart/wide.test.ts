import { describe, expect, it } from 'vitest';
import { HIGH, highHalf, join, lowHalf } from './state.ts';
import { Chance } from './testing.ts';
import {
  divideSigned,
  divideUnsigned,
  multiplyHigh,
  multiplyHigh32,
  multiplyHighMixed,
  multiplyHighSigned,
} from './wide.ts';

const ROUNDS = 40_000;
const s64 = (value: bigint): bigint => BigInt.asIntN(64, value);
const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

type Halves = (x: Int32Array, rd: number, al: number, ah: number, bl: number, bh: number) => void;

function apply(operation: Halves, a: bigint, b: bigint): bigint {
  const x = new Int32Array(2 * HIGH);
  operation(x, 5, lowHalf(a), highHalf(a), lowHalf(b), highHalf(b));
  return join(x[5]!, x[5 + HIGH]!);
}

/** Pairs, many of them with a quotient within one of a whole number, where an estimate errs. */
function* pairs(seed: number): Generator<readonly [bigint, bigint]> {
  const chance = new Chance(seed);
  for (let i = 0; i < ROUNDS; i++) {
    const a = chance.operand();
    const b = chance.operand();
    yield [a, b];
    const near = b === 0n ? a : a - (a % b) + BigInt(chance.below(3)) - 1n;
    yield [u64(near), b];
  }
}

function check(operation: Halves, model: (a: bigint, b: bigint) => bigint): void {
  for (const [a, b] of pairs(20240)) {
    const actual = apply(operation, a, b);
    if (actual !== u64(model(a, b))) expect(actual, `${a}, ${b}`).toBe(u64(model(a, b)));
  }
}

describe('64-bit arithmetic on halves', () => {
  it('multiplies words', () => {
    for (const [a, b] of pairs(1)) {
      const expected = BigInt.asIntN(32, (BigInt.asUintN(32, a) * BigInt.asUintN(32, b)) >> 32n);
      const actual = BigInt(multiplyHigh32(lowHalf(a), lowHalf(b)));
      if (actual !== expected) expect(actual, `${a}, ${b}`).toBe(expected);
    }
  });
  it('mulhu', () => check(multiplyHigh, (a, b) => (a * b) >> 64n));
  it('mulh', () => check(multiplyHighSigned, (a, b) => (s64(a) * s64(b)) >> 64n));
  it('mulhsu', () => check(multiplyHighMixed, (a, b) => (s64(a) * b) >> 64n));
  it('divu', () =>
    check(
      (x, rd, al, ah, bl, bh) => divideUnsigned(x, rd, al, ah, bl, bh, false),
      (a, b) => (b === 0n ? -1n : a / b),
    ));
  it('remu', () =>
    check(
      (x, rd, al, ah, bl, bh) => divideUnsigned(x, rd, al, ah, bl, bh, true),
      (a, b) => (b === 0n ? a : a % b),
    ));
  it('div', () =>
    check(
      (x, rd, al, ah, bl, bh) => divideSigned(x, rd, al, ah, bl, bh, false),
      (a, b) => (b === 0n ? -1n : s64(a) / s64(b)),
    ));
  it('rem', () =>
    check(
      (x, rd, al, ah, bl, bh) => divideSigned(x, rd, al, ah, bl, bh, true),
      (a, b) => (b === 0n ? a : s64(a) % s64(b)),
    ));
});
