/**
 * One descriptor chain as a device sees it: a device-readable part followed by a device-writable part, each a list of
 * guest-physical segments (virtio 1.2, section 2.7.5). Offsets count bytes from the start of the part, over all of its
 * segments. The object is reused by its queue, so that a request allocates nothing.
 */
import type { GuestMemory } from '../memory.ts';

/** Address of a segment that no RAM backs: it reads as zeros and swallows writes (sheet 05, section 11). */
const UNBACKED = -1;

/** A flat list of segments. */
class Segments {
  count = 0;
  bytes = 0;
  readonly addresses: number[] = [];
  readonly lengths: number[] = [];

  clear(): void {
    this.count = 0;
    this.bytes = 0;
  }

  add(address: number, length: number): void {
    this.addresses[this.count] = address;
    this.lengths[this.count] = length;
    this.count += 1;
    this.bytes += length;
  }
}

/** A popped chain. Valid until the next `pop` of its queue unless detached from it. */
export class Chain {
  /** Index of the first descriptor; the id of the used element. */
  head = 0;
  readonly #memory: GuestMemory;
  readonly #readable = new Segments();
  readonly #writable = new Segments();

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Number of device-readable segments. */
  get readableCount(): number {
    return this.#readable.count;
  }

  /** Number of device-writable segments. */
  get writableCount(): number {
    return this.#writable.count;
  }

  /** Total device-readable bytes. */
  get readableBytes(): number {
    return this.#readable.bytes;
  }

  /** Total device-writable bytes. */
  get writableBytes(): number {
    return this.#writable.bytes;
  }

  /** Starts a new chain. For the queue that owns the chain. */
  begin(head: number): void {
    this.head = head;
    this.#readable.clear();
    this.#writable.clear();
  }

  /** Appends a segment; `backed` says that all of it is RAM. For the queue that owns the chain. */
  add(address: number, length: number, writable: boolean, backed: boolean): void {
    (writable ? this.#writable : this.#readable).add(backed ? address : UNBACKED, length);
  }

  /** Copies readable bytes from `offset` into `target`; returns how many there were. */
  read(offset: number, target: Uint8Array): number {
    return this.#copy(this.#readable, offset, target, false);
  }

  /** Copies `source` into the writable part at `offset`; returns how many bytes fitted. */
  write(offset: number, source: Uint8Array): number {
    return this.#copy(this.#writable, offset, source, true);
  }

  /** Stores one byte into the writable part at `offset`, which lies inside it. */
  writeU8(offset: number, value: number): void {
    const { addresses, lengths, count } = this.#writable;
    let at = offset;
    for (let i = 0; i < count; i += 1) {
      const length = lengths[i] ?? 0;
      const address = addresses[i] ?? UNBACKED;
      if (at < length) {
        if (address !== UNBACKED) this.#memory.writeU8(address + at, value);
        return;
      }
      at -= length;
    }
  }

  /** Reads up to four readable bytes at `offset` as a little-endian number; bytes past the end count as zero. */
  readU32(offset: number): number {
    const first = this.#readable.addresses[0] ?? UNBACKED;
    const length = this.#readable.count === 0 ? 0 : (this.#readable.lengths[0] ?? 0);
    if (first !== UNBACKED && offset + 4 <= length) return this.#memory.readU32(first + offset);
    let value = 0;
    for (let i = 3; i >= 0; i -= 1) value = ((value << 8) | this.#readU8(offset + i)) >>> 0;
    return value;
  }

  /**
   * Hands the first `limit` writable bytes to `fill`, segment by segment, in order; `fill` gets live guest views (and a
   * throw-away buffer for a segment outside RAM, so that it produces the same bytes either way).
   */
  fillWritable(limit: number, fill: (target: Uint8Array) => void): void {
    const { addresses, lengths, count } = this.#writable;
    let left = limit;
    for (let i = 0; i < count && left > 0; i += 1) {
      const length = Math.min(lengths[i] ?? 0, left);
      const address = addresses[i] ?? UNBACKED;
      fill(address === UNBACKED ? new Uint8Array(length) : this.#memory.slice(address, length));
      left -= length;
    }
  }

  #readU8(offset: number): number {
    const { addresses, lengths, count } = this.#readable;
    let at = offset;
    for (let i = 0; i < count; i += 1) {
      const length = lengths[i] ?? 0;
      const address = addresses[i] ?? UNBACKED;
      if (at < length) return address === UNBACKED ? 0 : this.#memory.readU8(address + at);
      at -= length;
    }
    return 0;
  }

  #copy(part: Segments, offset: number, buffer: Uint8Array, toGuest: boolean): number {
    let skip = offset;
    let done = 0;
    for (let i = 0; i < part.count && done < buffer.length; i += 1) {
      const length = part.lengths[i] ?? 0;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const size = Math.min(length - skip, buffer.length - done);
      const address = part.addresses[i] ?? UNBACKED;
      const host = size === buffer.length ? buffer : buffer.subarray(done, done + size);
      if (address !== UNBACKED) {
        const guest = this.#memory.slice(address + skip, size);
        if (toGuest) guest.set(host);
        else host.set(guest);
      } else if (!toGuest) {
        host.fill(0);
      }
      skip = 0;
      done += size;
    }
    return done;
  }
}
