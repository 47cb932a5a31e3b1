/**
 * netstackd's virtio-net driver (sheet 70, section 2; sheet 05, section 14.2): one receive and one transmit queue of 8
 * with 4 buffers each, polled. The start-up is the specification's list of steps (virtio 1.2, section 3.1.1) with the
 * reference driver's extra register accesses in their place.
 */
import { Errno, PAGE_SIZE } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { macOf } from '../../sim/net/address.ts';
import type { Mac } from '../../sim/net/address.ts';
import type { Call } from './ipc.ts';
import {
  DESC_WRITE,
  DmaPages,
  DriverQueue,
  high32,
  low32,
  queueLayout,
  Reg,
  Status,
  TRANSPORT_LEGACY,
  TRANSPORT_MODERN,
  VIRTIO_MAGIC,
} from './virtqueue-driver.ts';

/** Virtual addresses of the register window, the two queue pages and the eight buffer pages. */
export const MMIO_VA = 0x2000_e000;
export const QUEUE_VA = 0x2002_0000;
export const BUFFER_VA = 0x2004_0000;

const DEVICE_ID_NET = 1;
const QUEUE_SIZE = 8;
const LAYOUT = queueLayout(QUEUE_SIZE);
const RX_QUEUE = 0;
const TX_QUEUE = 1;
const QUEUE_PAGES = 2;
const LEGACY_ALIGN = 4;

/** Buffers of each direction; buffer i of RX is page i, of TX page 4 + i. */
export const BUFFERS = 4;
/** Longest frame that is sent; the rest of a longer one is cut. */
export const TX_FRAME_MAX = 1536;

/** MAC and MRG_RXBUF in word 0, VERSION_1 in word 1. */
const FEATURE_MRG_RXBUF = 1 << 15;
const WANTED_LOW = (1 << 5) | FEATURE_MRG_RXBUF;
const WANTED_HIGH = 1;
const HEADER_MERGED = 12;
const HEADER_SHORT = 10;
const NUM_BUFFERS_AT = 10;

/** Why the driver could not start; the words of `netstackd: net FAIL ...`. */
export type NetFault = 'unsupported' | 'no-bufs' | 'mmio-map' | 'virtio-probe' | 'virtio-features' | 'internal';

/** What the device said for the first time; the words after `net: virtio tx `. */
export type TxNews = 'reclaim' | 'stuck';

/** One virtio network card behind the MMIO capability in `slot`. */
export class VirtioNetDriver {
  readonly #sys: Sys;
  readonly #slot: number;
  readonly #queuePages = new DmaPages(QUEUE_VA, QUEUE_PAGES);
  readonly #bufferPages = new DmaPages(BUFFER_VA, 2 * BUFFERS);
  #rx: DriverQueue | null = null;
  #tx: DriverQueue | null = null;
  #buffers: Uint8Array = new Uint8Array(0);
  #header = HEADER_MERGED;
  #mac = macOf([]);
  /** used.idx as last seen. */
  #rxUsed = 0;
  #txUsed = 0;
  readonly #txBusy: boolean[] = Array<boolean>(BUFFERS).fill(false);
  #sawReclaim = false;
  #sawStuck = false;
  #news: TxNews[] = [];

  constructor(sys: Sys, slot: number) {
    this.#sys = sys;
    this.#slot = slot;
  }

  /** Address of the card, once started. */
  get mac(): Mac {
    return this.#mac;
  }

  /** Brings the card up. Null is success; may be called again after a failure. */
  *start(): Call<NetFault | null> {
    const sys = this.#sys;
    const mapped = yield sys.mmioMap(this.#slot, MMIO_VA, 0);
    if (mapped < 0 && mapped !== -Errno.EINVAL) return 'mmio-map';
    if (this.#read(Reg.MAGIC_VALUE) !== VIRTIO_MAGIC) return 'unsupported';
    if (this.#read(Reg.DEVICE_ID) !== DEVICE_ID_NET) return 'unsupported';
    const modern = this.#probe();
    if (modern === null) return 'virtio-probe';
    this.#write(Reg.STATUS, 0);
    this.#write(Reg.STATUS, Status.ACKNOWLEDGE | Status.DRIVER);
    if (!this.#negotiate()) return 'virtio-features';
    if (!(yield* this.#queuePages.acquire(sys))) return 'no-bufs';
    if (!this.#setUpQueue(RX_QUEUE, modern) || !this.#setUpQueue(TX_QUEUE, modern)) return 'internal';
    if (!(yield* this.#bufferPages.acquire(sys))) return 'no-bufs';
    const queuePages = this.#queuePages.bytes(sys);
    queuePages.fill(0);
    this.#buffers = this.#bufferPages.bytes(sys);
    const rx = new DriverQueue(queuePages, LAYOUT);
    this.#tx = new DriverQueue(queuePages, LAYOUT, PAGE_SIZE);
    this.#rx = rx;
    this.#rxUsed = 0;
    this.#txUsed = 0;
    this.#txBusy.fill(false);
    this.#mac = this.#readMac();
    for (let id = 0; id < BUFFERS; id++) {
      rx.describe(id, this.#bufferPages.physical + id * PAGE_SIZE, PAGE_SIZE, DESC_WRITE, 0);
      rx.publish(id);
    }
    this.#notify(RX_QUEUE);
    this.#write(Reg.STATUS, this.#read(Reg.STATUS) | Status.DRIVER_OK);
    this.#write(Reg.QUEUE_NOTIFY, RX_QUEUE);
    return null;
  }

  /** True when a frame has come in; reads memory only. */
  readonly frameWaits = (): boolean => this.#rx !== null && this.#rx.usedIndex !== this.#rxUsed;

  /** Hands the next frame to `consume`, then gives its buffer back; false when there is none. */
  receive(consume: (frame: Uint8Array) => void): boolean {
    const rx = this.#rx;
    if (rx === null) return false;
    this.#ackInterrupt();
    if (!this.frameWaits()) return false;
    const id = rx.usedId(this.#rxUsed);
    const used = rx.usedLength(this.#rxUsed);
    this.#rxUsed = (this.#rxUsed + 1) & 0xffff;
    // The ring is the device's to write: an id that names no buffer is passed over.
    if (id >= BUFFERS) return true;
    const length = Math.min(Math.max(0, used - this.#header), PAGE_SIZE - this.#header);
    const start = id * PAGE_SIZE + this.#header;
    consume(this.#buffers.subarray(start, start + length));
    rx.publish(id);
    this.#notify(RX_QUEUE);
    return true;
  }

  /** Sends a frame, or drops it when all buffers are in flight. */
  transmit(frame: Uint8Array): void {
    const tx = this.#tx;
    if (tx === null) return;
    this.#reclaim(tx);
    const id = this.#txBusy.indexOf(false);
    if (id < 0) {
      if (!this.#sawStuck) this.#news.push('stuck');
      this.#sawStuck = true;
      return;
    }
    const data = frame.length > TX_FRAME_MAX ? frame.subarray(0, TX_FRAME_MAX) : frame;
    const page = BUFFERS + id;
    const start = page * PAGE_SIZE;
    this.#buffers.fill(0, start, start + this.#header);
    if (this.#header === HEADER_MERGED) this.#buffers[start + NUM_BUFFERS_AT] = 1;
    this.#buffers.set(data, start + this.#header);
    const physical = this.#bufferPages.physical + start;
    tx.describe(id, physical, this.#header + data.length, 0, 0);
    tx.publish(id);
    this.#txBusy[id] = true;
    this.#notify(TX_QUEUE);
  }

  /** What there is to say about transmission since the last call; each word once per process. */
  takeNews(): readonly TxNews[] {
    if (this.#news.length === 0) return NO_NEWS;
    const news = this.#news;
    this.#news = [];
    return news;
  }

  #reclaim(tx: DriverQueue): void {
    const used = tx.usedIndex;
    if (used === this.#txUsed) return;
    if (!this.#sawReclaim) this.#news.push('reclaim');
    this.#sawReclaim = true;
    for (; this.#txUsed !== used; this.#txUsed = (this.#txUsed + 1) & 0xffff) {
      const id = tx.usedId(this.#txUsed);
      if (id < BUFFERS) this.#txBusy[id] = false;
    }
  }

  /** The second look at the identity; true for a modern transport, null for one this driver does not know. */
  #probe(): boolean | null {
    const magic = this.#read(Reg.MAGIC_VALUE);
    const version = this.#read(Reg.VERSION);
    const device = this.#read(Reg.DEVICE_ID);
    this.#read(Reg.VENDOR_ID);
    if (magic !== VIRTIO_MAGIC || device !== DEVICE_ID_NET) return null;
    if (version === TRANSPORT_MODERN) return true;
    return version === TRANSPORT_LEGACY ? false : null;
  }

  #negotiate(): boolean {
    this.#write(Reg.DEVICE_FEATURES_SEL, 0);
    const low = this.#read(Reg.DEVICE_FEATURES) & WANTED_LOW;
    this.#write(Reg.DEVICE_FEATURES_SEL, 1);
    const high = this.#read(Reg.DEVICE_FEATURES) & WANTED_HIGH;
    this.#write(Reg.DRIVER_FEATURES_SEL, 0);
    this.#write(Reg.DRIVER_FEATURES, low);
    this.#write(Reg.DRIVER_FEATURES_SEL, 1);
    this.#write(Reg.DRIVER_FEATURES, high);
    this.#write(Reg.STATUS, this.#read(Reg.STATUS) | Status.FEATURES_OK);
    const status = this.#read(Reg.STATUS);
    if ((status & Status.FEATURES_OK) === 0) {
      this.#write(Reg.STATUS, status | Status.FAILED);
      return false;
    }
    this.#header = (low & FEATURE_MRG_RXBUF) !== 0 ? HEADER_MERGED : HEADER_SHORT;
    return true;
  }

  #setUpQueue(index: number, modern: boolean): boolean {
    const physical = this.#queuePages.physical + index * PAGE_SIZE;
    this.#write(Reg.QUEUE_SEL, index);
    if (this.#read(Reg.QUEUE_NUM_MAX) < QUEUE_SIZE) return false;
    this.#write(Reg.QUEUE_NUM, QUEUE_SIZE);
    this.#read(Reg.VERSION);
    if (!modern) {
      this.#write(Reg.LEGACY_GUEST_PAGE_SIZE, PAGE_SIZE);
      this.#write(Reg.LEGACY_QUEUE_ALIGN, LEGACY_ALIGN);
      this.#write(Reg.LEGACY_QUEUE_PFN, Math.floor(physical / PAGE_SIZE));
      return true;
    }
    this.#writeAddress(Reg.QUEUE_DESC_LOW, physical);
    this.#writeAddress(Reg.QUEUE_DRIVER_LOW, physical + LAYOUT.avail);
    this.#writeAddress(Reg.QUEUE_DEVICE_LOW, physical + LAYOUT.used);
    this.#write(Reg.QUEUE_READY, 1);
    return true;
  }

  #readMac(): Mac {
    const low = this.#read(Reg.CONFIG);
    const high = this.#read(Reg.CONFIG + 4);
    return macOf([low, low >>> 8, low >>> 16, low >>> 24, high, high >>> 8]);
  }

  #notify(queue: number): void {
    this.#ackInterrupt();
    this.#write(Reg.QUEUE_NOTIFY, queue);
  }

  #ackInterrupt(): void {
    const pending = this.#read(Reg.INTERRUPT_STATUS);
    if (pending !== 0) this.#write(Reg.INTERRUPT_ACK, pending);
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

const NO_NEWS: readonly TxNews[] = [];
