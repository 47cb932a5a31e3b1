/**
 * The stack's pseudo-random numbers (sheet 70, section 3): transaction ids and initial sequence numbers. A constant seed,
 * so that every boot sends the same frames.
 */

/** First state. */
const SEED = 0x1234_5678n;
const MULTIPLIER = 0xbb2e_fcec_3c39_611dn;
const INCREMENT = 0x7590_ef39n;
const U64 = 0xffff_ffff_ffff_ffffn;

/** A 64-bit congruential generator whose output bits are chosen by its top bits. */
export class Prng {
  #state = SEED;
  #drawn = 0;

  /** Numbers drawn. */
  get count(): number {
    return this.#drawn;
  }

  /** The next number, 32 bits unsigned. */
  next(): number {
    this.#drawn += 1;
    this.#state = (this.#state * MULTIPLIER + INCREMENT) & U64;
    return Number((this.#state >> (29n - (this.#state >> 61n))) & 0xffff_ffffn);
  }

  /** Draws `count` numbers at once, in a time that grows with the logarithm of `count`. */
  skip(count: number): void {
    this.#drawn += count;
    let factor = MULTIPLIER;
    let offset = INCREMENT;
    for (let rest = count; rest > 0; rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) this.#state = (this.#state * factor + offset) & U64;
      offset = (offset * (factor + 1n)) & U64;
      factor = (factor * factor) & U64;
    }
  }
}
