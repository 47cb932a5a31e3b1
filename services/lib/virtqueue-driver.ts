/**
 * The driver's side of virtio-mmio (sheet 05, sections 10 and 11): register names, pages for device access, and one split
 * virtqueue inside such a page. Everything goes through the task's own mappings; the device sees physical addresses.
 */
import { CapKind, Errno, PAGE_SIZE } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import type { Call } from './ipc.ts';

/** virtio-mmio register offsets (virtio 1.2, section 4.2.2; the three legacy ones, section 4.2.4). */
export const Reg = {
  MAGIC_VALUE: 0x000,
  VERSION: 0x004,
  DEVICE_ID: 0x008,
  VENDOR_ID: 0x00c,
  DEVICE_FEATURES: 0x010,
  DEVICE_FEATURES_SEL: 0x014,
  DRIVER_FEATURES: 0x020,
  DRIVER_FEATURES_SEL: 0x024,
  LEGACY_GUEST_PAGE_SIZE: 0x028,
  QUEUE_SEL: 0x030,
  QUEUE_NUM_MAX: 0x034,
  QUEUE_NUM: 0x038,
  LEGACY_QUEUE_ALIGN: 0x03c,
  LEGACY_QUEUE_PFN: 0x040,
  QUEUE_READY: 0x044,
  QUEUE_NOTIFY: 0x050,
  INTERRUPT_STATUS: 0x060,
  INTERRUPT_ACK: 0x064,
  STATUS: 0x070,
  QUEUE_DESC_LOW: 0x080,
  QUEUE_DESC_HIGH: 0x084,
  QUEUE_DRIVER_LOW: 0x090,
  QUEUE_DRIVER_HIGH: 0x094,
  QUEUE_DEVICE_LOW: 0x0a0,
  QUEUE_DEVICE_HIGH: 0x0a4,
  CONFIG: 0x100,
} as const;

/** "virt". */
export const VIRTIO_MAGIC = 0x7472_6976;
export const TRANSPORT_LEGACY = 1;
export const TRANSPORT_MODERN = 2;

/** Device status bits. */
export const Status = { ACKNOWLEDGE: 1, DRIVER: 2, DRIVER_OK: 4, FEATURES_OK: 8, FAILED: 0x80 } as const;

/** Descriptor flags. */
export const DESC_NEXT = 1;
export const DESC_WRITE = 2;

/** VALID | READ | WRITE | USER: page flags under which drivers map their VMOs. */
export const DMA_PAGE_FLAGS = 0x17;

/** `hex32` of the drivers' lines: exactly 8 lower-case digits. */
export function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}

/** Upper 32 bits of an address or count below 2^53. */
export function high32(value: number): number {
  return Math.floor(value / 2 ** 32);
}

/** Lower 32 bits, unsigned. */
export function low32(value: number): number {
  return value >>> 0;
}

/**
 * Physically contiguous pages that a device may access: a VMO, its mapping at a fixed address, its physical base. What
 * succeeded once is kept, so that acquiring again after a failure elsewhere costs no second VMO.
 */
export class DmaPages {
  readonly va: number;
  readonly length: number;
  #slot = -1;
  #mapped = 0;
  #physical = -1;

  /** `pages` pages at the page-aligned address `va`. */
  constructor(va: number, pages = 1) {
    this.va = va;
    this.length = pages * PAGE_SIZE;
  }

  /** Physical base; only after {@link acquire} succeeded. */
  get physical(): number {
    return this.#physical;
  }

  /** VMO_CREATE, MAP of every page, CAP_QUERY, each at most once successfully. False when one of them fails. */
  *acquire(sys: Sys): Call<boolean> {
    if (this.#slot < 0) {
      const slot = yield sys.vmoCreate(this.length);
      if (slot < 0) return false;
      this.#slot = slot;
    }
    for (; this.#mapped < this.length; this.#mapped += PAGE_SIZE) {
      if ((yield sys.map(this.#slot, this.va + this.#mapped, this.#mapped, DMA_PAGE_FLAGS)) < 0) return false;
    }
    if (this.#physical < 0) {
      if ((yield sys.capQuery(this.#slot)) < 0 || sys.query.kind !== CapKind.VMO) return false;
      this.#physical = sys.query.base;
    }
    return true;
  }

  /** Live view of the pages. */
  bytes(sys: Sys): Uint8Array {
    return sys.bytes(this.va, this.length);
  }
}

/** MMIO_MAP of one register page; a page that is already mapped is fine. */
export function* mapRegisters(sys: Sys, slot: number, va: number): Call<boolean> {
  const result = yield sys.mmioMap(slot, va, 0);
  return result >= 0 || result === -Errno.EINVAL;
}

/** Byte offsets of a queue's parts inside its page: descriptors at 0, then avail, then used at the next multiple of 4. */
export interface QueueLayout {
  readonly size: number;
  readonly avail: number;
  readonly used: number;
}

/** Layout for `size` descriptors; both rings end with their event field. */
export function queueLayout(size: number): QueueLayout {
  const avail = 16 * size;
  return { size, avail, used: (avail + 6 + 2 * size + 3) & ~3 };
}

/** One split virtqueue as its driver handles it. */
export class DriverQueue {
  readonly layout: QueueLayout;
  readonly #view: DataView;
  readonly #base: number;

  /** `page` holds the queue at byte `base`. */
  constructor(page: Uint8Array, layout: QueueLayout, base = 0) {
    this.layout = layout;
    this.#view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    this.#base = base;
  }

  /** Fills descriptor `index`; `address` is physical. */
  describe(index: number, address: number, length: number, flags: number, next: number): void {
    const at = this.#base + 16 * index;
    this.#view.setUint32(at, low32(address), true);
    this.#view.setUint32(at + 4, high32(address), true);
    this.#view.setUint32(at + 8, length, true);
    this.#view.setUint16(at + 12, flags, true);
    this.#view.setUint16(at + 14, next, true);
  }

  /** Makes the chain that starts at `head` available; the caller notifies the device. */
  publish(head: number): void {
    const { avail, size } = this.layout;
    const index = this.availIndex;
    this.#view.setUint16(this.#base + avail + 4 + 2 * (index % size), head, true);
    this.#view.setUint16(this.#base + avail + 2, (index + 1) & 0xffff, true);
  }

  /** Chains made available so far, mod 2^16. */
  get availIndex(): number {
    return this.#view.getUint16(this.#base + this.layout.avail + 2, true);
  }

  /** Chains that the device has completed so far, mod 2^16. */
  get usedIndex(): number {
    return this.#view.getUint16(this.#base + this.layout.used + 2, true);
  }

  /** Bytes the device says it wrote for completion number `index` (mod 2^16). */
  usedLength(index: number): number {
    return this.#view.getUint32(this.#base + this.layout.used + 8 + 8 * (index % this.layout.size), true);
  }

  /** Head of the chain of completion number `index` (mod 2^16). */
  usedId(index: number): number {
    return this.#view.getUint32(this.#base + this.layout.used + 4 + 8 * (index % this.layout.size), true);
  }
}
