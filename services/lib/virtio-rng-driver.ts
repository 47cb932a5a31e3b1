/**
 * rngd's virtio-rng driver (sheet 60, section 5; sheet 05, section 13): one queue of 1, one buffer of 256 bytes, completion
 * by polling. Every read resets the device and starts it anew, so a completion that came too late harms nobody. Features
 * are neither read nor taken: this device works without VERSION_1.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import type { Call } from './ipc.ts';
import {
  DESC_WRITE,
  DmaPages,
  DriverQueue,
  high32,
  low32,
  mapRegisters,
  queueLayout,
  Reg,
  Status,
  TRANSPORT_MODERN,
  VIRTIO_MAGIC,
} from './virtqueue-driver.ts';

/** Virtual addresses of the register window, the queue page and the buffer page. */
export const RNG_MMIO_VA = 0x2000_e000;
export const RNG_QUEUE_VA = 0x2004_0000;
export const RNG_BUFFER_VA = 0x2006_0000;

/** Bytes of the buffer, and most that one read gives. */
export const RNG_READ_MAX = 256;
/** A read is given up after this much virtual time, or this many looks at the ring. */
export const RNG_TIMEOUT_NS = 80_000_000;
export const RNG_POLLS = 200_000;

const DEVICE_ID_RNG = 4;
const QUEUE_SIZE = 1;
const LAYOUT = queueLayout(QUEUE_SIZE);

/** Why a read failed. */
export type RngFault =
  'zero-length' | 'oversized' | 'map-failed' | 'not-found' | 'not-ready' | 'timeout' | 'short-answer';

/** Behaviour of the driver; all false is the contract. */
export interface RngDriverOptions {
  /** Bytes the device did not write are given out as well: those of an earlier read (quirk `blk-status-preset`). */
  readonly staleBytes: boolean;
}

/** One entropy device behind the MMIO capability in `slot`. */
export class VirtioRngDriver {
  readonly #sys: Sys;
  readonly #slot: number;
  readonly #options: RngDriverOptions;
  readonly #queuePage = new DmaPages(RNG_QUEUE_VA);
  readonly #bufferPage = new DmaPages(RNG_BUFFER_VA);

  constructor(sys: Sys, slot: number, options: RngDriverOptions) {
    this.#sys = sys;
    this.#slot = slot;
    this.#options = options;
  }

  /** `count` fresh bytes, 1..{@link RNG_READ_MAX}, as a copy. The steps are those of section 5, in their order. */
  *read(count: number): Call<Uint8Array | RngFault> {
    const sys = this.#sys;
    if (count === 0) return 'zero-length';
    if (count > RNG_READ_MAX) return 'oversized';
    if (!(yield* mapRegisters(sys, this.#slot, RNG_MMIO_VA))) return 'map-failed';
    const fault = this.#reset();
    if (fault !== null) return fault;
    if (!(yield* this.#queuePage.acquire(sys)) || !(yield* this.#bufferPage.acquire(sys))) return 'map-failed';
    const queue = this.#setUpQueue();
    if (queue === null) return 'not-ready';
    queue.describe(0, this.#bufferPage.physical, RNG_READ_MAX, DESC_WRITE, 0);
    queue.publish(0);
    // The device may serve the buffer at DRIVER_OK already; the notify is then for nothing.
    this.#write(Reg.STATUS, this.#read(Reg.STATUS) | Status.DRIVER_OK);
    this.#write(Reg.QUEUE_NOTIFY, 0);
    if (!(yield* this.#awaitCompletion(queue))) return 'timeout';
    if (!this.#options.staleBytes && queue.usedLength(0) < count) return 'short-answer';
    return this.#bufferPage.bytes(sys).slice(0, count);
  }

  /** Steps 3 to 6: identify, reset, negotiate nothing. */
  #reset(): RngFault | null {
    if (this.#read(Reg.MAGIC_VALUE) !== VIRTIO_MAGIC || this.#read(Reg.DEVICE_ID) !== DEVICE_ID_RNG) return 'not-found';
    if (this.#read(Reg.VERSION) !== TRANSPORT_MODERN) return 'not-ready';
    this.#write(Reg.STATUS, 0);
    this.#write(Reg.STATUS, Status.ACKNOWLEDGE | Status.DRIVER);
    for (const word of [0, 1]) {
      this.#write(Reg.DRIVER_FEATURES_SEL, word);
      this.#write(Reg.DRIVER_FEATURES, 0);
    }
    this.#write(Reg.STATUS, this.#read(Reg.STATUS) | Status.FEATURES_OK);
    const accepted = this.#read(Reg.STATUS);
    if ((accepted & Status.FEATURES_OK) !== 0) return null;
    this.#write(Reg.STATUS, accepted | Status.FAILED);
    return 'not-ready';
  }

  /** Steps 8 and 9: an empty queue at the start of its page. Null: the device has no such queue. */
  #setUpQueue(): DriverQueue | null {
    const page = this.#queuePage.bytes(this.#sys);
    page.fill(0);
    const physical = this.#queuePage.physical;
    this.#write(Reg.QUEUE_SEL, 0);
    if (this.#read(Reg.QUEUE_NUM_MAX) < QUEUE_SIZE) return null;
    this.#write(Reg.QUEUE_NUM, QUEUE_SIZE);
    this.#writeAddress(Reg.QUEUE_DESC_LOW, physical);
    this.#writeAddress(Reg.QUEUE_DRIVER_LOW, physical + LAYOUT.avail);
    this.#writeAddress(Reg.QUEUE_DEVICE_LOW, physical + LAYOUT.used);
    this.#write(Reg.QUEUE_READY, 1);
    return new DriverQueue(page, LAYOUT);
  }

  /** Step 12: clock first, then the ring, no yield. */
  *#awaitCompletion(queue: DriverQueue): Call<boolean> {
    const sys = this.#sys;
    const start = yield sys.nsec();
    const poll = sys.beginPoll();
    poll.ready = () => queue.usedIndex !== 0;
    poll.deadline = start + RNG_TIMEOUT_NS;
    poll.clockEvery = 1;
    poll.clockFirst = true;
    poll.spin = true;
    poll.maxRounds = RNG_POLLS;
    return (yield sys.runPoll()) >= 0;
  }

  #writeAddress(lowRegister: number, address: number): void {
    this.#write(lowRegister, low32(address));
    this.#write(lowRegister + 4, high32(address));
  }

  #read(register: number): number {
    return this.#sys.load32(RNG_MMIO_VA + register) >>> 0;
  }

  #write(register: number, value: number): void {
    this.#sys.store32(RNG_MMIO_VA + register, value >>> 0);
  }
}
