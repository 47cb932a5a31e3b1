/**
 * The device side of a split virtqueue in guest RAM (virtio 1.2, section 2.7; sheet 05, section 11). The guest owns every
 * byte read here, so nothing is trusted: a malformed ring makes the device "broken" through {@link QueueHost.fail} and
 * never throws.
 */
import { assert } from '../assert.ts';
import type { GuestMemory } from '../memory.ts';
import { Chain } from './chain.ts';

/** Largest queue and largest number of segments of one chain (sheet 05, section 10.3, QueueNumMax). */
export const VIRTQUEUE_MAX_SIZE = 1024;
/** Chains served in one go before the ring counts as never-ending: the whole space of a 16-bit index. */
const MAX_CHAINS_PER_RUN = 0x1_0000;
/** The one detour buffer for memory outside RAM holds a page; a second one in the same chain breaks the device. */
const UNBACKED_MAX = 4096;

const DESC_SIZE = 16;
const DESC_F_NEXT = 1;
const DESC_F_WRITE = 2;
const DESC_F_INDIRECT = 4;
const AVAIL_F_NO_INTERRUPT = 1;
const RING_IDX = 2;
const RING_ENTRIES = 4;
const USED_ELEM_SIZE = 8;
const TWO_32 = 0x1_0000_0000;

/** What a queue asks of the device that it belongs to. */
export interface QueueHost {
  readonly memory: GuestMemory;
  /** True after {@link QueueHost.fail} until the device is reset. */
  readonly broken: boolean;
  /** True when VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIdx: boolean;
  /** Stops the device: the driver broke the rules of queue `queue`. */
  fail(queue: number, reason: string): void;
  /** Sets bit 0 of InterruptStatus. */
  raiseUsed(): void;
  /** A used element was written; for the trace. */
  completed(queue: number, head: number, used: number): void;
}

/** One split virtqueue. */
export class VirtQueue {
  readonly index: number;
  /** Size in descriptors when the driver writes no QueueNum. */
  readonly defaultSize: number;
  readonly #host: QueueHost;
  readonly #memory: GuestMemory;
  readonly #peeked: Chain;
  #chain: Chain;
  #num: number;
  #desc = 0;
  #avail = 0;
  #used = 0;
  #lastAvail = 0;
  #usedIdx = 0;
  #signalledUsed = 0;
  #signalledValid = false;
  #inFlight = 0;
  #budget = MAX_CHAINS_PER_RUN;

  constructor(index: number, defaultSize: number, host: QueueHost) {
    assert(defaultSize >= 1 && defaultSize <= VIRTQUEUE_MAX_SIZE, 'queue size out of range');
    this.index = index;
    this.defaultSize = defaultSize;
    this.#num = defaultSize;
    this.#host = host;
    this.#memory = host.memory;
    this.#chain = new Chain(host.memory);
    this.#peeked = new Chain(host.memory);
  }

  /** True once the driver handed over rings; QueueReady = 0 does not take them back (sheet 05, section 19, quirk 5). */
  get usable(): boolean {
    return this.#desc !== 0;
  }

  /** Size in descriptors. */
  get num(): number {
    return this.#num;
  }

  /** Chains that were popped and neither pushed nor forgotten. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Takes size and ring addresses at QueueReady = 1. Indices stay. Rings outside RAM break the device. */
  latch(num: number, desc: number, avail: number, used: number): void {
    this.#num = num;
    this.#desc = desc;
    this.#avail = avail;
    this.#used = used;
    if (desc === 0) return;
    const memory = this.#memory;
    if (!memory.contains(desc, DESC_SIZE * num)) this.#fail('descriptor table outside RAM');
    else if (!memory.contains(avail, RING_ENTRIES + 2 * num)) this.#fail('available ring outside RAM');
    else if (!memory.contains(used, RING_ENTRIES + USED_ELEM_SIZE * num)) this.#fail('used ring outside RAM');
    else return;
    this.#desc = 0;
  }

  /** Device reset (sheet 05, section 10.4): rings, indices and size back to power-on. */
  reset(): void {
    this.#num = this.defaultSize;
    this.#desc = 0;
    this.#avail = 0;
    this.#used = 0;
    this.#lastAvail = 0;
    this.#usedIdx = 0;
    this.#signalledUsed = 0;
    this.#signalledValid = false;
    this.#inFlight = 0;
  }

  /** Starts serving a notification: bounds how many chains the device may take before it returns to the guest. */
  beginRun(): void {
    this.#budget = MAX_CHAINS_PER_RUN;
  }

  /**
   * Number of chains the driver made available and the device has not taken. Larger than the queue: broken, and 0.
   * Also 0 for an unusable queue or a broken device.
   */
  pending(): number {
    if (this.#desc === 0 || this.#host.broken) return 0;
    const count = (this.#memory.readU16(this.#avail + RING_IDX) - this.#lastAvail) & 0xffff;
    if (count <= this.#num) return count;
    this.#fail(`avail.idx is ${String(count)} ahead in a queue of ${String(this.#num)}`);
    return 0;
  }

  /** Takes the next available chain, or null when there is none or the ring is broken. The result is reused. */
  pop(): Chain | null {
    if (this.pending() === 0) return null;
    if (this.#inFlight >= this.#num) return this.#fail('more chains in flight than the queue holds');
    if (this.#budget === 0) return this.#fail('queue does not drain');
    this.#budget -= 1;
    const at = this.#lastAvail;
    this.#lastAvail = (at + 1) & 0xffff;
    this.#setAvailEvent();
    const chain = this.#chain;
    if (!this.#walk(at, chain)) return null;
    this.#inFlight += 1;
    return chain;
  }

  /** Looks at the chain `ahead` entries after the next one, which must be pending, without taking it. */
  peek(ahead: number): Chain | null {
    const chain = this.#peeked;
    return this.#walk((this.#lastAvail + ahead) & 0xffff, chain) ? chain : null;
  }

  /** Keeps the chain of the last `pop` for a later completion: the next `pop` uses another object. */
  detach(chain: Chain): void {
    if (chain === this.#chain) this.#chain = new Chain(this.#memory);
  }

  /** Gives the last popped chain back, as if it had never been taken. */
  unpop(): void {
    this.#lastAvail = (this.#lastAvail - 1) & 0xffff;
    this.#inFlight -= 1;
  }

  /** Drops a popped chain without completing it. */
  forget(): void {
    this.#inFlight -= 1;
  }

  /** Completes one chain: used element, then used.idx. Call {@link VirtQueue.signal} after the last of a batch. */
  push(chain: Chain, length: number): void {
    this.fill(chain, length, 0);
    this.publish(1);
  }

  /** Writes the used element `ahead` places after used.idx, which the guest sees after {@link VirtQueue.publish}. */
  fill(chain: Chain, length: number, ahead: number): void {
    if (this.#host.broken) return;
    const element = this.#used + RING_ENTRIES + USED_ELEM_SIZE * ((this.#usedIdx + ahead) % this.#num);
    this.#memory.writeU32(element, chain.head);
    this.#memory.writeU32(element + 4, length >>> 0);
    this.#host.completed(this.index, chain.head, length);
  }

  /** Moves used.idx over `count` filled elements. */
  publish(count: number): void {
    this.#inFlight -= count;
    if (this.#host.broken) return;
    const next = (this.#usedIdx + count) & 0xffff;
    this.#usedIdx = next;
    this.#memory.writeU16(this.#used + RING_IDX, next);
  }

  /** Raises the used-buffer interrupt unless the driver suppresses it (sheet 05, section 11, rule 6). */
  signal(): void {
    if (this.#host.broken || this.#desc === 0) return;
    if (!this.#host.eventIdx) {
      if ((this.#memory.readU16(this.#avail) & AVAIL_F_NO_INTERRUPT) === 0) this.#host.raiseUsed();
      return;
    }
    const valid = this.#signalledValid;
    const old = this.#signalledUsed;
    const now = this.#usedIdx;
    this.#signalledValid = true;
    this.#signalledUsed = now;
    if (!valid || ((now - this.#usedEvent() - 1) & 0xffff) < ((now - old) & 0xffff)) this.#host.raiseUsed();
  }

  #fail(reason: string): null {
    this.#host.fail(this.index, reason);
    return null;
  }

  #usedEvent(): number {
    const address = this.#avail + RING_ENTRIES + 2 * this.#num;
    return this.#memory.contains(address, 2) ? this.#memory.readU16(address) : 0;
  }

  #setAvailEvent(): void {
    if (!this.#host.eventIdx) return;
    const address = this.#used + RING_ENTRIES + USED_ELEM_SIZE * this.#num;
    if (this.#memory.contains(address, 2)) this.#memory.writeU16(address, this.#lastAvail);
  }

  /** Resolves the chain at avail index `at` into `chain`; false when it breaks the device. */
  #walk(at: number, chain: Chain): boolean {
    const memory = this.#memory;
    const head = memory.readU16(this.#avail + RING_ENTRIES + 2 * (at % this.#num));
    if (head >= this.#num) return this.#refuse(`head ${String(head)} outside the descriptor table`);
    chain.begin(head);
    let table = this.#desc;
    let max = this.#num;
    let entry = table + DESC_SIZE * head;
    // Only the head may point to a table (sheet 05, section 11, rule 3); the bit means nothing further down the chain.
    if ((memory.readU16(entry + 12) & DESC_F_INDIRECT) !== 0) {
      const length = memory.readU32(entry + 8);
      if (length === 0 || length % DESC_SIZE !== 0) return this.#refuse(`indirect table of ${String(length)} bytes`);
      table = readAddress(memory, entry);
      if (!memory.contains(table, length)) return this.#refuse('indirect table outside RAM');
      max = length / DESC_SIZE;
      entry = table;
    }
    let unbacked = false;
    for (;;) {
      const flags = memory.readU16(entry + 12);
      const writable = (flags & DESC_F_WRITE) !== 0;
      if (!writable && chain.writableCount > 0) return this.#refuse('readable descriptor after a writable one');
      let address = readAddress(memory, entry);
      let left = memory.readU32(entry + 8);
      if (left === 0) return this.#refuse('descriptor of length zero');
      while (left > 0) {
        if (chain.readableCount + chain.writableCount === VIRTQUEUE_MAX_SIZE) {
          return this.#refuse('too many segments in one chain');
        }
        const size = this.#backed(address, left);
        if (size === 0) {
          if (unbacked) return this.#refuse('second buffer outside RAM');
          unbacked = true;
        }
        const taken = size === 0 ? Math.min(left, UNBACKED_MAX) : size;
        chain.add(address, taken, writable, size !== 0);
        address += taken;
        left -= taken;
      }
      if (chain.readableCount + chain.writableCount > max) return this.#refuse('descriptor chain loops');
      if ((flags & DESC_F_NEXT) === 0) return true;
      const next = memory.readU16(entry + 14);
      if (next >= max) return this.#refuse(`next ${String(next)} outside the descriptor table`);
      entry = table + DESC_SIZE * next;
    }
  }

  #refuse(reason: string): false {
    this.#fail(reason);
    return false;
  }

  /** How many of `length` bytes from `address` on are RAM without a gap. */
  #backed(address: number, length: number): number {
    const memory = this.#memory;
    if (memory.contains(address, length)) return length;
    if (!memory.contains(address, 1)) return 0;
    let inside = 1;
    let outside = length;
    while (outside - inside > 1) {
      const middle = Math.floor((inside + outside) / 2);
      if (memory.contains(address, middle)) inside = middle;
      else outside = middle;
    }
    return inside;
  }
}

/** A 64-bit address as a number: beyond 2^53 it is inexact, but then no RAM is near. */
function readAddress(memory: GuestMemory, entry: number): number {
  return memory.readU32(entry + 4) * TWO_32 + memory.readU32(entry);
}
