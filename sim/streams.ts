/**
 * Named streams of chance (design, decision 7). Each is its own generator, seeded from the run's seed, the number of the
 * boot and the stream's name alone, so that a new stream, or another order of use, never shifts an existing one.
 */
import seedrandom from 'seedrandom';
import { assert } from './assert.ts';

/** Largest bound of {@link Stream.below}. */
export const MAX_BOUND = 2 ** 32;

/** Changes when the streams' values change, so that old recordings are told apart. */
const SCHEME = 'nexus-sim streams 1';

/** One source of chance. Not for secrets. */
export class Stream {
  readonly #next: () => number;
  readonly #fraction: () => number;

  /** Two streams made from the same key give the same values; the key must not be periodic (see {@link Streams}). */
  constructor(key: string) {
    const generator = seedrandom(key);
    this.#next = () => generator.int32() >>> 0;
    this.#fraction = () => generator.double();
  }

  /** The next 32 bits, unsigned. */
  u32(): number {
    return this.#next();
  }

  /** `length` bytes; costs one 32-bit word per four bytes begun. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.fill(bytes);
    return bytes;
  }

  /** Fills a buffer with what {@link bytes} of its length would give. */
  fill(target: Uint8Array): void {
    let word = 0;
    for (let i = 0; i < target.length; i++) {
      word = (i & 3) === 0 ? this.#next() : word >>> 8;
      target[i] = word;
    }
  }

  /** An integer in [0, bound), every one equally likely; `bound` is a whole number from 1 to 2^32. */
  below(bound: number): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= MAX_BOUND, 'stream bound must be 1 to 2^32');
    // Words of the incomplete last round would favour small results; at most half of all words are drawn again.
    const rounds = MAX_BOUND - (MAX_BOUND % bound);
    for (;;) {
      const word = this.#next();
      if (word < rounds) return word % bound;
    }
  }

  /** A number in [0, 1) with 53 random bits. */
  float(): number {
    return this.#fraction();
  }
}

/** The streams of one boot. */
export class Streams {
  readonly #prefix: string;
  readonly #streams = new Map<string, Stream>();

  /**
   * `seed`: the run's seed (7 and '7' are the same); `bootNumber`: 0 for the first boot of a run; `node`: name of the machine,
   * where several share a run.
   */
  constructor(seed: number | string, bootNumber: number, node = '') {
    assert(Number.isInteger(bootNumber) && bootNumber >= 0, 'boot number must be a whole number');
    const whose = node === '' ? '' : `node=${printable(node)} `;
    this.#prefix = `seed=${printable(String(seed))} boot=${bootNumber} ${whose}stream=`;
  }

  /** The stream of that name; the same object each time, so that its users share one sequence. */
  stream(name: string): Stream {
    const known = this.#streams.get(name);
    if (known) return known;
    const body = `${SCHEME} ${this.#prefix}${printable(name)}`;
    // The generator repeats its key up to 256 bytes, so "x" and "xx" would agree; the length in front rules that out.
    const stream = new Stream(`${body.length} ${body}`);
    this.#streams.set(name, stream);
    return stream;
  }
}

/** Printable ASCII without blanks: the generator looks at the low byte of each character only, and fields must not run together. */
function printable(text: string): string {
  return text.replace(/[^!-[\]-~]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
