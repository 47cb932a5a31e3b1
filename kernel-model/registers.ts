/**
 * 64-bit registers as numbers. Handlers work on numbers; a register stands for its signed value, so that the upper half
 * of the canonical addresses is small and negative and u64 max is -1 ("any slot"). What no exact number can hold is far
 * beyond every limit of the kernel; it becomes a huge number with the same low 32 bits, so that alignment checks and
 * u16/u32 truncations see what the register held.
 */

const EXACT = 2 ** 53;
const HUGE = 2 ** 52;
const WORD = 2 ** 32;

/** A register given as two unsigned words. */
export function wordsToNumber(low: number, high: number): number {
  const signed = (high >= 0x8000_0000 ? high - WORD : high) * WORD + low;
  return signed >= -EXACT && signed <= EXACT ? signed : HUGE + low;
}

/** A register given as an unsigned 64-bit integer. */
export function registerToNumber(value: bigint): number {
  return wordsToNumber(Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
}

/** An unsigned quantity (length, offset, deadline): what is not exact stays huge and positive. */
export function unsignedToNumber(value: bigint): number {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : HUGE + Number(value & 0xffff_ffffn);
}

/** A result as a register: negative errno in two's complement. */
export function numberToRegister(value: number): bigint {
  return BigInt.asUintN(64, BigInt(Math.trunc(value)));
}

/** True when all of bits 63..39 equal bit 38 (sheet 05, section 16.3). */
export function isCanonical(va: number): boolean {
  return va >= -(2 ** 38) && va < 2 ** 38;
}
