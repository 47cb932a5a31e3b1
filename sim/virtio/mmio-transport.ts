/**
 * The virtio-mmio register window, modern (version 2), as sheet 05, sections 10.3 and 10.4 measured it: one flat switch
 * for reads, one for writes. Registers answer 32-bit accesses only; the config space answers 8, 16 and 32 bits.
 */
import { assert } from '../assert.ts';
import type { Clock } from '../clock.ts';
import type { GuestMemory, InterruptLine, MmioDevice } from '../memory.ts';
import type { Trace } from '../trace.ts';
import type { VirtioBackend, VirtioPort } from './backend.ts';
import {
  STATUS_DRIVER_OK,
  STATUS_FEATURES_OK,
  STATUS_NEEDS_RESET,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from './backend.ts';
import type { QueueHost } from './virtqueue.ts';
import { VIRTQUEUE_MAX_SIZE, VirtQueue } from './virtqueue.ts';

export const MAGIC_VALUE = 0x000;
export const VERSION = 0x004;
export const DEVICE_ID = 0x008;
export const VENDOR_ID = 0x00c;
export const DEVICE_FEATURES = 0x010;
export const DEVICE_FEATURES_SEL = 0x014;
export const DRIVER_FEATURES = 0x020;
export const DRIVER_FEATURES_SEL = 0x024;
export const GUEST_PAGE_SIZE = 0x028;
export const QUEUE_SEL = 0x030;
export const QUEUE_NUM_MAX = 0x034;
export const QUEUE_NUM = 0x038;
export const QUEUE_ALIGN = 0x03c;
export const QUEUE_PFN = 0x040;
export const QUEUE_READY = 0x044;
export const QUEUE_NOTIFY = 0x050;
export const INTERRUPT_STATUS = 0x060;
export const INTERRUPT_ACK = 0x064;
export const STATUS = 0x070;
export const QUEUE_DESC_LOW = 0x080;
export const QUEUE_DESC_HIGH = 0x084;
export const QUEUE_DRIVER_LOW = 0x090;
export const QUEUE_DRIVER_HIGH = 0x094;
export const QUEUE_DEVICE_LOW = 0x0a0;
export const QUEUE_DEVICE_HIGH = 0x0a4;
export const SHM_SEL = 0x0ac;
export const SHM_LEN_LOW = 0x0b0;
export const SHM_LEN_HIGH = 0x0b4;
export const SHM_BASE_LOW = 0x0b8;
export const SHM_BASE_HIGH = 0x0bc;
export const QUEUE_RESET = 0x0c0;
export const CONFIG_GENERATION = 0x0fc;
export const CONFIG = 0x100;

/** Bytes of one register window; beyond it the bus faults (sheet 05, section 10.3). */
export const VIRTIO_MMIO_SIZE = 0x200;
/** "virt". */
export const MAGIC = 0x7472_6976;
/** "QEMU". */
export const VENDOR = 0x554d_4551;
/** Modern transport. */
export const VERSION_MODERN = 2;

/** InterruptStatus bits. */
export const ISR_USED = 1;
export const ISR_CONFIG = 2;

const ALL_ONES = 0xffff_ffff;
const TWO_32 = 0x1_0000_0000;

/** What a transport needs from the board. */
export interface VirtioContext {
  readonly memory: GuestMemory;
  readonly irq: InterruptLine;
  readonly clock: Clock;
  readonly trace: Trace;
}

/** Queue registers between their writing and QueueReady. */
interface QueueSetup {
  num: number;
  descLow: number;
  descHigh: number;
  driverLow: number;
  driverHigh: number;
  deviceLow: number;
  deviceHigh: number;
}

/** One occupied virtio-mmio slot. */
export class VirtioMmio implements MmioDevice, VirtioPort, QueueHost {
  readonly name: string;
  readonly memory: GuestMemory;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly #backend: VirtioBackend;
  readonly #irq: InterruptLine;
  readonly #queues: readonly VirtQueue[];
  readonly #setups: readonly QueueSetup[];
  /** QueueReady as read back, also for queues that do not exist. */
  readonly #ready = new Uint8Array(VIRTQUEUE_MAX_SIZE);
  #status = 0;
  #isr = 0;
  #generation = 0;
  #broken = false;
  #queueSel = 0;
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  #driverFeaturesLow = 0;
  #driverFeaturesHigh = 0;
  #negotiatedLow = 0;
  #negotiatedHigh = 0;

  constructor(backend: VirtioBackend, context: VirtioContext) {
    this.name = backend.name;
    this.memory = context.memory;
    this.clock = context.clock;
    this.trace = context.trace;
    this.#backend = backend;
    this.#irq = context.irq;
    this.#queues = backend.queueSizes.map((size, index) => new VirtQueue(index, size, this));
    this.#setups = backend.queueSizes.map(emptySetup);
    backend.attach(this);
  }

  get driverOk(): boolean {
    return (this.#status & STATUS_DRIVER_OK) !== 0;
  }

  get broken(): boolean {
    return this.#broken;
  }

  get eventIdx(): boolean {
    return this.has(VIRTIO_F_EVENT_IDX);
  }

  has(bit: number): boolean {
    return ((bit < 32 ? this.#negotiatedLow >>> bit : this.#negotiatedHigh >>> (bit - 32)) & 1) !== 0;
  }

  queue(index: number): VirtQueue {
    const queue = this.#queues[index];
    assert(queue !== undefined, 'virtio queue index out of range');
    return queue;
  }

  fail(queue: number, reason: string): void {
    if (this.#broken) return;
    this.#broken = true;
    if (this.has(VIRTIO_F_VERSION_1)) {
      this.#status |= STATUS_NEEDS_RESET;
      this.configChanged();
    }
    if (this.trace.on) this.trace.emit({ kind: 'virtio-broken', device: this.name, queue, reason });
  }

  configChanged(): void {
    if (!this.driverOk) return;
    this.#generation = (this.#generation + 1) >>> 0;
    this.#setIsr(this.#isr | ISR_USED | ISR_CONFIG);
  }

  raiseUsed(): void {
    this.#setIsr(this.#isr | ISR_USED);
  }

  completed(queue: number, head: number, used: number): void {
    if (this.trace.on) this.trace.emit({ kind: 'virtio-request', device: this.name, queue, head, used });
  }

  read(offset: number, width: 1 | 2 | 4): number {
    if (offset >= CONFIG) return this.#readConfig(offset - CONFIG, width);
    if (width !== 4) {
      this.#unknown(offset, false, 0);
      return 0;
    }
    switch (offset) {
      case MAGIC_VALUE:
        return MAGIC;
      case VERSION:
        return VERSION_MODERN;
      case DEVICE_ID:
        return this.#backend.deviceId;
      case VENDOR_ID:
        return VENDOR;
      case DEVICE_FEATURES:
        return this.#deviceFeaturesSel === 0 ? this.#backend.features.low : this.#backend.features.high;
      case QUEUE_NUM_MAX:
        return this.#queueSel < this.#queues.length ? VIRTQUEUE_MAX_SIZE : 0;
      case QUEUE_READY:
        return this.#ready[this.#queueSel] ?? 0;
      case INTERRUPT_STATUS:
        return this.#isr;
      case STATUS:
        return this.#status;
      case SHM_LEN_LOW:
      case SHM_LEN_HIGH:
        return ALL_ONES;
      case CONFIG_GENERATION:
        return this.#generation;
      case DEVICE_FEATURES_SEL:
      case DRIVER_FEATURES:
      case DRIVER_FEATURES_SEL:
      case GUEST_PAGE_SIZE:
      case QUEUE_SEL:
      case QUEUE_NUM:
      case QUEUE_ALIGN:
      case QUEUE_PFN:
      case QUEUE_NOTIFY:
      case INTERRUPT_ACK:
      case QUEUE_DESC_LOW:
      case QUEUE_DESC_HIGH:
      case QUEUE_DRIVER_LOW:
      case QUEUE_DRIVER_HIGH:
      case QUEUE_DEVICE_LOW:
      case QUEUE_DEVICE_HIGH:
      case SHM_SEL:
      case SHM_BASE_LOW:
      case SHM_BASE_HIGH:
      case QUEUE_RESET:
        return 0;
      default:
        this.#unknown(offset, false, 0);
        return 0;
    }
  }

  write(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset >= CONFIG) {
      this.#writeConfig(offset - CONFIG, width, value);
      return;
    }
    if (width !== 4) {
      this.#unknown(offset, true, value);
      return;
    }
    const setup = this.#setups[this.#queueSel];
    switch (offset) {
      case DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSel = value;
        return;
      case DRIVER_FEATURES:
        if (this.#driverFeaturesSel === 0) this.#driverFeaturesLow = value >>> 0;
        else this.#driverFeaturesHigh = value >>> 0;
        return;
      case DRIVER_FEATURES_SEL:
        this.#driverFeaturesSel = value;
        return;
      case QUEUE_SEL:
        if (value < VIRTQUEUE_MAX_SIZE) this.#queueSel = value;
        return;
      case QUEUE_NUM:
        if (setup !== undefined && value >= 1 && value <= VIRTQUEUE_MAX_SIZE) setup.num = value;
        return;
      case QUEUE_READY:
        this.#writeReady(value, setup);
        return;
      case QUEUE_NOTIFY:
        this.#notify(value);
        return;
      case INTERRUPT_ACK:
        this.#setIsr(this.#isr & ~value);
        return;
      case STATUS:
        this.#writeStatus(value & 0xff);
        return;
      case QUEUE_DESC_LOW:
        if (setup !== undefined) setup.descLow = value;
        return;
      case QUEUE_DESC_HIGH:
        if (setup !== undefined) setup.descHigh = value;
        return;
      case QUEUE_DRIVER_LOW:
        if (setup !== undefined) setup.driverLow = value;
        return;
      case QUEUE_DRIVER_HIGH:
        if (setup !== undefined) setup.driverHigh = value;
        return;
      case QUEUE_DEVICE_LOW:
        if (setup !== undefined) setup.deviceLow = value;
        return;
      case QUEUE_DEVICE_HIGH:
        if (setup !== undefined) setup.deviceHigh = value;
        return;
      // Legacy registers, shared memory and QueueReset are accepted and do nothing (sheet 05, section 10.3).
      case GUEST_PAGE_SIZE:
      case QUEUE_ALIGN:
      case QUEUE_PFN:
      case SHM_SEL:
      case QUEUE_RESET:
        return;
      default:
        this.#unknown(offset, true, value);
    }
  }

  #writeReady(value: number, setup: QueueSetup | undefined): void {
    this.#ready[this.#queueSel] = value === 0 ? 0 : 1;
    if (value === 0 || setup === undefined) return;
    const queue = this.queue(this.#queueSel);
    queue.latch(
      setup.num === 0 ? queue.num : setup.num,
      setup.descHigh * TWO_32 + setup.descLow,
      setup.driverHigh * TWO_32 + setup.driverLow,
      setup.deviceHigh * TWO_32 + setup.deviceLow,
    );
  }

  #notify(index: number): void {
    const queue = this.#queues[index];
    if (queue === undefined || !queue.usable || this.#broken) return;
    queue.beginRun();
    this.#backend.notify(index);
  }

  #writeStatus(value: number): void {
    if (value === 0) {
      this.#reset();
    } else {
      if ((value & STATUS_FEATURES_OK) !== 0 && (this.#status & STATUS_FEATURES_OK) === 0) {
        this.#negotiatedLow = (this.#driverFeaturesLow & this.#backend.features.low) >>> 0;
        this.#negotiatedHigh = (this.#driverFeaturesHigh & this.#backend.features.high) >>> 0;
      }
      this.#status = value;
    }
    if (this.trace.on) this.trace.emit({ kind: 'virtio-status', device: this.name, status: value });
    if (value === 0 || this.#broken) return;
    for (const queue of this.#queues) queue.beginRun();
    this.#backend.statusWritten(value);
  }

  #reset(): void {
    this.#backend.reset();
    this.#status = 0;
    this.#broken = false;
    this.#negotiatedLow = 0;
    this.#negotiatedHigh = 0;
    this.#queueSel = 0;
    this.#ready.fill(0);
    for (const queue of this.#queues) queue.reset();
    for (const setup of this.#setups) Object.assign(setup, emptySetup());
    this.#setIsr(0);
  }

  #setIsr(value: number): void {
    this.#isr = value;
    this.#irq.set(value !== 0);
  }

  #readConfig(offset: number, width: 1 | 2 | 4): number {
    const config = this.#backend.config;
    if (offset + width > config.length) return ALL_ONES >>> (32 - 8 * width);
    let value = 0;
    for (let i = width - 1; i >= 0; i -= 1) value = value * 256 + (config[offset + i] ?? 0);
    return value;
  }

  #writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset + width <= this.#backend.config.length) this.#backend.configWritten(offset, width, value);
  }

  #unknown(offset: number, write: boolean, value: number): void {
    if (this.trace.on) this.trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write, value });
  }
}

function emptySetup(): QueueSetup {
  return { num: 0, descLow: 0, descHigh: 0, driverLow: 0, driverHigh: 0, deviceLow: 0, deviceHigh: 0 };
}
