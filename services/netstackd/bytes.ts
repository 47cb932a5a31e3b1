/** A bounded queue of bytes: socket buffers and loopback (sheet 70, sections 3 and 6.5). */
import { assert } from '../../sim/assert.ts';

/** Bytes in order; `capacity` never changes. Bytes can also be put behind the end, to be taken in later (TCP). */
export class ByteRing {
  readonly capacity: number;
  readonly #bytes: Uint8Array;
  #start = 0;
  #length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#bytes = new Uint8Array(capacity);
  }

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that still fit. */
  get free(): number {
    return this.capacity - this.#length;
  }

  /** Appends as many bytes as fit; their number. */
  push(data: Uint8Array): number {
    const taken = this.writeAhead(0, data);
    this.#length += taken;
    return taken;
  }

  /** Removes and returns the first bytes, at most `max`. */
  pop(max: number): Uint8Array {
    const data = this.peek(0, max);
    this.drop(data.length);
    return data;
  }

  /** A copy of at most `max` bytes from `offset` on. */
  peek(offset: number, max: number): Uint8Array {
    const count = Math.max(0, Math.min(max, this.#length - offset));
    const out = new Uint8Array(count);
    const from = (this.#start + offset) % this.capacity;
    const head = Math.min(count, this.capacity - from);
    out.set(this.#bytes.subarray(from, from + head));
    out.set(this.#bytes.subarray(0, count - head), head);
    return out;
  }

  /** Removes the first `count` bytes. */
  drop(count: number): void {
    assert(count >= 0 && count <= this.#length, 'more bytes dropped than there are');
    this.#start = (this.#start + count) % this.capacity;
    this.#length -= count;
  }

  /** Puts bytes `offset` behind the end without taking them in; those that fit, their number. */
  writeAhead(offset: number, data: Uint8Array): number {
    const count = Math.max(0, Math.min(data.length, this.free - offset));
    const from = (this.#start + this.#length + offset) % this.capacity;
    const head = Math.min(count, this.capacity - from);
    this.#bytes.set(data.subarray(0, head), from);
    this.#bytes.set(data.subarray(head, count), 0);
    return count;
  }

  /** Takes in `count` bytes that were put behind the end. */
  extend(count: number): void {
    assert(count >= 0 && count <= this.free, 'more bytes taken in than fit');
    this.#length += count;
  }

  clear(): void {
    this.#start = 0;
    this.#length = 0;
  }
}
