/**
 * 64-bit multiplication and division on pairs of Int32 halves (sheet 05, section 18.4). No bigints: one of them in a loop
 * costs more than the rest of its iteration. Results go into a register file laid out as in `state.ts`.
 */
import { HIGH } from './state.ts';

const TWO_32 = 0x1_0000_0000;

/**
 * Upper 32 bits, signed, of the unsigned product of two words. The product as a double is off by less than 2^12; without its
 * lower word, which is known exactly, it is so near to a multiple of 2^32 that rounding finds it.
 */
export function multiplyHigh32(a: number, b: number): number {
  return (((a >>> 0) * (b >>> 0) - (Math.imul(a, b) >>> 0)) / TWO_32 + 0.5) | 0;
}

/** x[rd] = upper half of the unsigned 128-bit product (`mulhu`). */
export function multiplyHigh(x: Int32Array, rd: number, al: number, ah: number, bl: number, bh: number): void {
  const middle = (multiplyHigh32(al, bl) >>> 0) + (Math.imul(al, bh) >>> 0) + (Math.imul(ah, bl) >>> 0);
  const low =
    (multiplyHigh32(al, bh) >>> 0) +
    (multiplyHigh32(ah, bl) >>> 0) +
    (Math.imul(ah, bh) >>> 0) +
    Math.floor(middle / TWO_32);
  x[rd] = low;
  x[rd + HIGH] = multiplyHigh32(ah, bh) + Math.floor(low / TWO_32);
}

/** x[rd] -= (bh, bl) where `negative`: turns an unsigned product's upper half into a signed one's. */
function correct(x: Int32Array, rd: number, negative: boolean, bl: number, bh: number): void {
  if (!negative) return;
  const low = x[rd] as number;
  x[rd] = low - bl;
  x[rd + HIGH] = (x[rd + HIGH] as number) - bh - (low >>> 0 < bl >>> 0 ? 1 : 0);
}

/** `mulh`. */
export function multiplyHighSigned(x: Int32Array, rd: number, al: number, ah: number, bl: number, bh: number): void {
  multiplyHigh(x, rd, al, ah, bl, bh);
  correct(x, rd, ah < 0, bl, bh);
  correct(x, rd, bh < 0, al, ah);
}

/** `mulhsu`: a signed, b unsigned. */
export function multiplyHighMixed(x: Int32Array, rd: number, al: number, ah: number, bl: number, bh: number): void {
  multiplyHigh(x, rd, al, ah, bl, bh);
  correct(x, rd, ah < 0, bl, bh);
}

/** x[rd] = quotient or remainder, unsigned (`divu`, `remu`). */
export function divideUnsigned(
  x: Int32Array,
  rd: number,
  al: number,
  ah: number,
  bl: number,
  bh: number,
  remainder: boolean,
): void {
  if ((bl | bh) === 0) {
    x[rd] = remainder ? al : -1;
    x[rd + HIGH] = remainder ? ah : -1;
    return;
  }
  const a = (ah >>> 0) * TWO_32 + (al >>> 0);
  const b = (bh >>> 0) * TWO_32 + (bl >>> 0);
  if (a <= Number.MAX_SAFE_INTEGER && b <= Number.MAX_SAFE_INTEGER) {
    const value = remainder ? a % b : Math.floor(a / b);
    x[rd] = value;
    x[rd + HIGH] = value / TWO_32;
    return;
  }
  // A divisor of one word takes two steps, the upper word first, so that each step's quotient is one word.
  const top = bh === 0 ? Math.floor((ah >>> 0) / (bl >>> 0)) : 0;
  const rest = bh === 0 ? (ah >>> 0) % (bl >>> 0) : ah >>> 0;
  // A quotient below 2^32 from values rounded to 53 bits is wrong by one at most.
  let quotient = Math.floor((rest * TWO_32 + (al >>> 0)) / b);
  if (quotient >= TWO_32) quotient = TWO_32 - 1;
  const q = quotient | 0;
  const productLow = Math.imul(q, bl);
  const productHigh = multiplyHigh32(q, bl) + Math.imul(q, bh);
  let low = (al - productLow) | 0;
  let high = (rest - productHigh - (al >>> 0 < productLow >>> 0 ? 1 : 0)) | 0;
  let step = 0;
  if (tooLarge(q, bl, bh, rest, al)) {
    step = -1;
    low = (low + bl) | 0;
    high = (high + bh + (low >>> 0 < bl >>> 0 ? 1 : 0)) | 0;
  } else if (high >>> 0 > bh >>> 0 || (high === bh && low >>> 0 >= bl >>> 0)) {
    step = 1;
    high = (high - bh - (low >>> 0 < bl >>> 0 ? 1 : 0)) | 0;
    low = (low - bl) | 0;
  }
  if (remainder) {
    x[rd] = low;
    x[rd + HIGH] = high;
    return;
  }
  const value = quotient + step;
  x[rd] = value;
  x[rd + HIGH] = top + Math.floor(value / TWO_32);
}

/** True when q * b is above (ah, al): compares 96-bit products by words. */
function tooLarge(q: number, bl: number, bh: number, ah: number, al: number): boolean {
  const low = Math.imul(q, bl) >>> 0;
  const middle = (multiplyHigh32(q, bl) >>> 0) + (Math.imul(q, bh) >>> 0);
  const high = (multiplyHigh32(q, bh) >>> 0) + Math.floor(middle / TWO_32);
  if (high !== 0) return true;
  const word = middle >>> 0;
  return word > ah >>> 0 || (word === ah >>> 0 && low > al >>> 0);
}

/** x[rd] = quotient or remainder, signed, rounded towards zero (`div`, `rem`). The overflow case comes out by itself. */
export function divideSigned(
  x: Int32Array,
  rd: number,
  al: number,
  ah: number,
  bl: number,
  bh: number,
  remainder: boolean,
): void {
  const negativeA = ah < 0;
  const negativeB = bh < 0;
  const low = negativeA ? -al | 0 : al;
  const high = negativeA ? (~ah + (al === 0 ? 1 : 0)) | 0 : ah;
  const divisorLow = negativeB ? -bl | 0 : bl;
  const divisorHigh = negativeB ? (~bh + (bl === 0 ? 1 : 0)) | 0 : bh;
  divideUnsigned(x, rd, low, high, divisorLow, divisorHigh, remainder);
  const byZero = (bl | bh) === 0;
  if (remainder ? negativeA : negativeA !== negativeB && !byZero) negate(x, rd);
}

function negate(x: Int32Array, rd: number): void {
  const low = -(x[rd] as number) | 0;
  x[rd + HIGH] = ~(x[rd + HIGH] as number) + (low === 0 ? 1 : 0);
  x[rd] = low;
}

/** Quotient or remainder of two words as a signed word, unsigned operands (`divuw`, `remuw`). */
export function divideUnsigned32(a: number, b: number, remainder: boolean): number {
  if (b === 0) return remainder ? a : -1;
  return remainder ? ((a >>> 0) % (b >>> 0)) | 0 : ((a >>> 0) / (b >>> 0)) | 0;
}

/** Quotient or remainder of two words as a signed word (`divw`, `remw`). */
export function divideSigned32(a: number, b: number, remainder: boolean): number {
  if (b === 0) return remainder ? a : -1;
  return remainder ? (a % b) | 0 : (a / b) | 0;
}
