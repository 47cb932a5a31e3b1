/**
 * statefsd's virtio-blk driver (sheet 50, sections 3 to 5; sheet 05, section 12): one queue of 8, one request in flight,
 * completion by polling. The start-up is the specification's list of steps (virtio 1.2, section 3.1.1) with the reference
 * driver's extra register accesses in their place.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import { yields } from './ipc.ts';
import type { Call } from './ipc.ts';
import {
  DESC_NEXT,
  DESC_WRITE,
  DmaPages,
  DriverQueue,
  hex32,
  high32,
  low32,
  mapRegisters,
  queueLayout,
  Reg,
  Status,
  TRANSPORT_LEGACY,
  TRANSPORT_MODERN,
  VIRTIO_MAGIC,
} from './virtqueue-driver.ts';

/** Virtual addresses of the register window, the queue page and the buffer page. */
export const MMIO_VA = 0x2001_0000;
export const QUEUE_VA = 0x2008_0000;
export const BUFFER_VA = 0x2009_0000;

/** Bytes of a sector; also the block size. */
export const SECTOR_SIZE = 512;
/** Virtual ns after which a request is given up. */
export const REQUEST_TIMEOUT_NS = 2_000_000_000;
/** Yields between the device's start and the warm-up read. */
export const SETTLE_YIELDS = 1000;

const DEVICE_ID_BLOCK = 2;
const QUEUE_SIZE = 8;
const LAYOUT = queueLayout(QUEUE_SIZE);

/** Feature bit 9 of word 0; VERSION_1 is bit 32, i.e. bit 0 of word 1. */
const FEATURE_FLUSH = 1 << 9;
const FEATURE_VERSION_1 = 1;

/** Request types. */
const TYPE_IN = 0;
const TYPE_OUT = 1;
const TYPE_FLUSH = 4;
type RequestType = typeof TYPE_IN | typeof TYPE_OUT | typeof TYPE_FLUSH;

/** Offsets in the buffer page. */
const HEADER_AT = 0;
const HEADER_SIZE = 16;
const DATA_AT = 512;
const STATUS_AT = 1024;

const STATUS_OK = 0;
/** No device writes this status, so what stays is a request without an answer. */
const STATUS_UNANSWERED = 0xff;

/** Why the driver could not start or a request failed. */
export type BlkFault =
  | 'unsupported'
  | 'bad-magic'
  | 'not-block-device'
  | 'unsupported-version'
  | 'device-rejected-features'
  | 'io'
  | 'timeout';

/** Behaviour of the driver; all false is the contract. */
export interface BlkDriverOptions {
  /** The status byte starts as OK and data is copied before it is looked at (quirk `blk-status-preset`). */
  readonly statusPreset: boolean;
  /** Every start asks for new pages, so only the first can succeed; a timeout goes unnoticed (quirk `statefs-restart`). */
  readonly restartFails: boolean;
}

/** One virtio block device behind the MMIO capability in `slot`. Blocks are sectors; faults of requests are `io`. */
export class VirtioBlkDriver {
  readonly blockSize = SECTOR_SIZE;
  readonly #sys: Sys;
  readonly #slot: number;
  readonly #options: BlkDriverOptions;
  #queuePages = new DmaPages(QUEUE_VA);
  #bufferPages = new DmaPages(BUFFER_VA);
  #queue: DriverQueue | null = null;
  #buffer: Uint8Array | null = null;
  #capacity = 0;
  /** used.idx as last seen. */
  #lastUsed = 0;
  #abandoned = false;
  readonly #completed = (): boolean => this.#queue !== null && this.#queue.usedIndex !== this.#lastUsed;

  constructor(sys: Sys, slot: number, options: BlkDriverOptions) {
    this.#sys = sys;
    this.#slot = slot;
    this.#options = options;
  }

  /** Capacity in sectors, as read at the start. */
  get blockCount(): number {
    return this.#capacity;
  }

  /**
   * True after a request timed out: the device may still complete it, into buffers of the next one, so requests fail
   * until {@link start} has reset the device. Never with `restartFails`.
   */
  get needsRestart(): boolean {
    return this.#abandoned;
  }

  /** Brings the device up (sheet 50, section 3), printing the driver's lines. Null is success. May be called again. */
  *start(): Call<BlkFault | null> {
    const sys = this.#sys;
    if (this.#options.restartFails) {
      this.#queuePages = new DmaPages(QUEUE_VA);
      this.#bufferPages = new DmaPages(BUFFER_VA);
    }
    this.#queue = null;
    if (!(yield* mapRegisters(sys, this.#slot, MMIO_VA))) return 'unsupported';
    const version = this.#identify();
    if (typeof version === 'string') return version;
    const modern = version === TRANSPORT_MODERN;
    yield sys.println(`virtio-blk: mmio ${modern ? 'modern' : 'legacy'}`);
    this.#read(Reg.MAGIC_VALUE);
    this.#read(Reg.VERSION);
    this.#read(Reg.DEVICE_ID);
    this.#read(Reg.VENDOR_ID);
    this.#write(Reg.STATUS, 0);
    this.#write(Reg.LEGACY_GUEST_PAGE_SIZE, 4096);
    this.#read(Reg.VERSION);
    this.#write(Reg.STATUS, Status.ACKNOWLEDGE | Status.DRIVER);
    if (!(modern ? this.#negotiate() : this.#negotiateLegacy())) return 'device-rejected-features';

    if (!(yield* this.#queuePages.acquire(sys))) return 'unsupported';
    const queuePa = this.#queuePages.physical;
    const pfn = Math.floor(queuePa / 4096);
    yield sys.println(`virtio-blk: q_pa=0x${hex32(high32(queuePa))}${hex32(low32(queuePa))} pfn=0x${hex32(pfn)}`);
    const queuePage = this.#queuePages.bytes(sys);
    queuePage.fill(0);
    const queue = new DriverQueue(queuePage, LAYOUT);
    this.#write(Reg.QUEUE_SEL, 0);
    yield sys.println(`virtio-blk: q_max=${hex32(this.#read(Reg.QUEUE_NUM_MAX))}`);
    if (!this.#setUpQueue(modern, queuePa)) return 'unsupported';
    yield sys.println(`virtio-blk: status=${hex32(this.#read(Reg.STATUS))}`);
    this.#write(Reg.QUEUE_SEL, 0);
    yield sys.println(`virtio-blk: pfn_rb=${hex32(this.#read(Reg.LEGACY_QUEUE_PFN))}`);
    yield sys.println(
      `virtio-blk: q_layout desc=${hex32(QUEUE_VA)} avail=${hex32(QUEUE_VA + LAYOUT.avail)} used=${hex32(QUEUE_VA + LAYOUT.used)}`,
    );
    this.#write(Reg.STATUS, this.#read(Reg.STATUS) | Status.DRIVER_OK);
    yield sys.println(`virtio-blk: status_ok=${hex32(this.#read(Reg.STATUS))}`);
    this.#write(Reg.QUEUE_NOTIFY, 0);

    if (!(yield* this.#bufferPages.acquire(sys))) return 'unsupported';
    const bufferPa = this.#bufferPages.physical;
    yield sys.println(`virtio-blk: buf_pa=0x${hex32(high32(bufferPa))}${hex32(low32(bufferPa))}`);
    const capacityLow = this.#read(Reg.CONFIG);
    const capacityHigh = this.#read(Reg.CONFIG + 4);
    this.#capacity = capacityHigh * 2 ** 32 + capacityLow;
    yield sys.println(`virtio-blk: cap=${hex32(capacityHigh)}${hex32(capacityLow)} sectors`);

    this.#queue = queue;
    this.#buffer = this.#bufferPages.bytes(sys);
    this.#lastUsed = 0;
    this.#abandoned = false;
    yield* yields(sys, SETTLE_YIELDS);
    const warmup = yield* this.#request(TYPE_IN, 0, new Uint8Array(SECTOR_SIZE));
    yield sys.println(`virtio-blk: warmup ${warmup === null ? 'ok' : 'failed'}`);
    return warmup;
  }

  /** Reads sector `index` into the first 512 bytes of `into`. */
  *read(index: number, into: Uint8Array): Call<'io' | null> {
    return (yield* this.#request(TYPE_IN, index, into)) === null ? null : 'io';
  }

  /** Writes the first 512 bytes of `data` to sector `index`. */
  *write(index: number, data: Uint8Array): Call<'io' | null> {
    return (yield* this.#request(TYPE_OUT, index, data)) === null ? null : 'io';
  }

  /** FLUSH: what was written before is durable afterwards. */
  *flush(): Call<'io' | null> {
    return (yield* this.#request(TYPE_FLUSH, 0, null)) === null ? null : 'io';
  }

  #identify(): typeof TRANSPORT_LEGACY | typeof TRANSPORT_MODERN | BlkFault {
    if (this.#read(Reg.MAGIC_VALUE) !== VIRTIO_MAGIC) return 'bad-magic';
    if (this.#read(Reg.DEVICE_ID) !== DEVICE_ID_BLOCK) return 'not-block-device';
    const version = this.#read(Reg.VERSION);
    return version === TRANSPORT_LEGACY || version === TRANSPORT_MODERN ? version : 'unsupported-version';
  }

  #negotiate(): boolean {
    this.#write(Reg.DEVICE_FEATURES_SEL, 0);
    const offeredLow = this.#read(Reg.DEVICE_FEATURES);
    this.#write(Reg.DEVICE_FEATURES_SEL, 1);
    const offeredHigh = this.#read(Reg.DEVICE_FEATURES);
    this.#write(Reg.DRIVER_FEATURES_SEL, 0);
    this.#write(Reg.DRIVER_FEATURES, offeredLow & FEATURE_FLUSH);
    this.#write(Reg.DRIVER_FEATURES_SEL, 1);
    this.#write(Reg.DRIVER_FEATURES, offeredHigh & FEATURE_VERSION_1);
    const status = this.#read(Reg.STATUS);
    this.#write(Reg.STATUS, status | Status.FEATURES_OK);
    const accepted = this.#read(Reg.STATUS);
    if ((accepted & Status.FEATURES_OK) !== 0) return true;
    this.#write(Reg.STATUS, accepted | Status.FAILED);
    return false;
  }

  #negotiateLegacy(): boolean {
    this.#read(Reg.DEVICE_FEATURES);
    this.#write(Reg.DRIVER_FEATURES, 0);
    return true;
  }

  #setUpQueue(modern: boolean, queuePa: number): boolean {
    this.#write(Reg.QUEUE_SEL, 0);
    if (this.#read(Reg.QUEUE_NUM_MAX) < QUEUE_SIZE) return false;
    this.#write(Reg.QUEUE_NUM, QUEUE_SIZE);
    this.#read(Reg.VERSION);
    if (!modern) {
      this.#write(Reg.LEGACY_GUEST_PAGE_SIZE, 4096);
      this.#write(Reg.LEGACY_QUEUE_ALIGN, 4);
      this.#write(Reg.LEGACY_QUEUE_PFN, Math.floor(queuePa / 4096));
      return true;
    }
    this.#writeAddress(Reg.QUEUE_DESC_LOW, queuePa);
    this.#writeAddress(Reg.QUEUE_DRIVER_LOW, queuePa + LAYOUT.avail);
    this.#writeAddress(Reg.QUEUE_DEVICE_LOW, queuePa + LAYOUT.used);
    this.#write(Reg.QUEUE_READY, 1);
    return true;
  }

  /** One request from submission to completion (sheet 50, section 5). `data` is null for FLUSH. */
  *#request(type: RequestType, sector: number, data: Uint8Array | null): Call<BlkFault | null> {
    const sys = this.#sys;
    const queue = this.#queue;
    const buffer = this.#buffer;
    if (queue === null || buffer === null || this.#abandoned) return 'io';
    if (data !== null && data.length < SECTOR_SIZE) {
      yield sys.println('virtio-blk: short buf');
      return 'io';
    }
    if (sector >= this.#capacity) {
      yield sys.println('virtio-blk: bad sector');
      return 'io';
    }
    this.#fillBuffer(buffer, type, sector, data);
    this.#describe(queue, type);
    queue.publish(0);
    this.#write(Reg.QUEUE_NOTIFY, 0);
    const fault = yield* this.#awaitCompletion(queue);
    if (fault !== null) return fault;
    if (type === TYPE_IN && this.#options.statusPreset) data?.set(buffer.subarray(DATA_AT, DATA_AT + SECTOR_SIZE));
    const status = buffer[STATUS_AT] ?? STATUS_UNANSWERED;
    if (status !== STATUS_OK) {
      yield sys.println(`virtio-blk: status err=${hex32(status)}`);
      return 'io';
    }
    if (type === TYPE_IN && !this.#options.statusPreset) data?.set(buffer.subarray(DATA_AT, DATA_AT + SECTOR_SIZE));
    return null;
  }

  #fillBuffer(buffer: Uint8Array, type: RequestType, sector: number, data: Uint8Array | null): void {
    const header = new DataView(buffer.buffer, buffer.byteOffset + HEADER_AT, HEADER_SIZE);
    header.setUint32(0, type, true);
    header.setUint32(4, 0, true);
    header.setUint32(8, low32(sector), true);
    header.setUint32(12, high32(sector), true);
    buffer[STATUS_AT] = this.#options.statusPreset ? STATUS_OK : STATUS_UNANSWERED;
    if (type === TYPE_OUT && data !== null) buffer.set(data.subarray(0, SECTOR_SIZE), DATA_AT);
  }

  #describe(queue: DriverQueue, type: RequestType): void {
    const base = this.#bufferPages.physical;
    queue.describe(0, base + HEADER_AT, HEADER_SIZE, DESC_NEXT, 1);
    if (type === TYPE_FLUSH) {
      queue.describe(1, base + STATUS_AT, 1, DESC_WRITE, 0);
      return;
    }
    queue.describe(1, base + DATA_AT, SECTOR_SIZE, type === TYPE_IN ? DESC_NEXT | DESC_WRITE : DESC_NEXT, 2);
    queue.describe(2, base + STATUS_AT, 1, DESC_WRITE, 0);
  }

  *#awaitCompletion(queue: DriverQueue): Call<BlkFault | null> {
    const sys = this.#sys;
    const start = yield sys.nsec();
    const poll = sys.beginPoll();
    poll.ready = this.#completed;
    poll.deadline = start + REQUEST_TIMEOUT_NS;
    poll.clockEvery = 1;
    if ((yield sys.runPoll()) >= 0) {
      this.#lastUsed = queue.usedIndex;
      return null;
    }
    this.#abandoned = !this.#options.restartFails;
    yield sys.println(`virtio-blk: timeout last=${hex32(this.#lastUsed)} polls=${hex32(sys.poll.round + 1)}`);
    return 'timeout';
  }

  #writeAddress(lowRegister: number, address: number): void {
    this.#write(lowRegister, low32(address));
    this.#write(lowRegister + 4, high32(address));
  }

  #read(register: number): number {
    return this.#sys.load32(MMIO_VA + register) >>> 0;
  }

  #write(register: number, value: number): void {
    this.#sys.store32(MMIO_VA + register, value >>> 0);
  }
}
