/**
 * Memory as a hart sees it: every fetch, load, store and atomic access goes through {@link HartMemory}, which translates
 * it, performs it on RAM or the bus, and says with which cause and tval it faults (sheet 05, sections 18.7, 18.8, 18.10).
 *
 * Translations of RAM pages are kept in a direct-mapped software TLB. The interpreter makes its hits in line, from the
 * entry layout below; everything else is here.
 */
import type { Bus } from '../bus.ts';
import { BUS_FAULT } from '../bus.ts';
import { CodePages } from './code-pages.ts';
import { PAGE_SIZE } from './slots.ts';
import { Cause } from './trap.ts';

/** What an access does, for permissions. */
export type Access = 'fetch' | 'load' | 'store';

/** Answers of {@link AddressSpace.translate} that are no page: the access is a page fault, or an access fault. */
export const PAGE_FAULT = -1;
export const ACCESS_FAULT = -2;

/** Maps virtual to physical pages of 4 KiB. Answers may be cached until {@link HartMemory.flush}; faults are not. */
export interface AddressSpace {
  /**
   * Physical page number of a virtual page (address bits 63:12, unsigned), or {@link PAGE_FAULT} or {@link ACCESS_FAULT}.
   * A walk that sets A and D bits does so here; `store` is asked for each page before it is written.
   */
  translate(page: number, access: Access): number;
}

/** TLB entries; the index is virtual address bits 19:12. */
export const TLB_ENTRIES = 256;
/** Int32 words per entry. */
export const TLB_STRIDE = 8;
/** Takes the first word of an entry out of (address >>> 9): (TLB_ENTRIES - 1) * TLB_STRIDE. */
export const TLB_MASK = 0x7f8;
/** Words of an entry: address bits 63:32; the page address below per permission, or {@link NO_PAGE}; RAM offset minus address. */
export const TLB_HIGH = 0;
export const TLB_LOAD = 1;
export const TLB_STORE = 2;
export const TLB_FETCH = 3;
export const TLB_OFFSET = 4;
/** A tag that no page address equals. */
const NO_PAGE = 1;

const OFFSET_MASK = PAGE_SIZE - 1;
const PAGE_MASK = ~OFFSET_MASK;
/** Virtual pages per 2^32 bytes. */
const PAGES_PER_WORD = 0x10_0000;

/** The tag of a TLB entry that allows an access. */
type Right = typeof TLB_LOAD | typeof TLB_STORE | typeof TLB_FETCH;
type PageFault = typeof Cause.fetchPage | typeof Cause.loadPage | typeof Cause.storePage;

const ACCESS_CAUSE: Readonly<Record<PageFault, Cause>> = {
  [Cause.fetchPage]: Cause.fetchAccess,
  [Cause.loadPage]: Cause.loadAccess,
  [Cause.storePage]: Cause.storeAccess,
};

/** Width of a data access in bytes. */
export type AccessWidth = 1 | 2 | 4 | 8;

/** One hart's memory. Fields are only declared, for speed; see {@link Ram}. */
export class HartMemory {
  /** The TLB, {@link TLB_ENTRIES} times {@link TLB_STRIDE} words. */
  declare readonly tlb: Int32Array;
  /** RAM bytes, indexed by RAM offset. */
  declare readonly view: DataView;
  /** Decoded code. */
  declare readonly code: CodePages;
  /** The last loaded value, zero-extended; of a fetch, the instruction bits are in {@link low}. */
  declare low: number;
  declare high: number;
  /** The last fault. */
  declare cause: Cause;
  declare faultLow: number;
  declare faultHigh: number;
  declare readonly bus: Bus;
  declare readonly space: AddressSpace;
  /** The decoded page of each TLB entry that may be fetched from. */
  declare readonly fetchPages: Int32Array[];

  constructor(bus: Bus, space: AddressSpace) {
    this.bus = bus;
    this.space = space;
    this.view = bus.ram.view;
    this.code = new CodePages();
    this.tlb = new Int32Array(TLB_ENTRIES * TLB_STRIDE);
    this.fetchPages = Array.from({ length: TLB_ENTRIES }, () => this.code.uncached);
    this.low = 0;
    this.high = 0;
    this.cause = Cause.loadAccess;
    this.faultLow = 0;
    this.faultHigh = 0;
    this.flush();
  }

  /** Forgets all translations (sfence.vma, another address space). */
  flush(): void {
    this.tlb.fill(NO_PAGE);
  }

  /** Forgets all decoded code (fence.i; or somebody else than this hart wrote to RAM that holds code). */
  fenceI(): void {
    this.code.clear();
    for (let entry = 0; entry < this.tlb.length; entry += TLB_STRIDE) this.tlb[entry + TLB_FETCH] = NO_PAGE;
  }

  /** The slots of the page that holds a fetch address, or null after noting the fault. */
  enter(low: number, high: number): Int32Array | null {
    const entry = (low >>> 9) & TLB_MASK;
    const tlb = this.tlb;
    if (tlb[entry + TLB_FETCH] === (low & PAGE_MASK) && tlb[entry + TLB_HIGH] === high)
      return this.fetchPages[entry >>> 3] ?? null;
    const page = this.#translate(low, high, TLB_FETCH);
    if (page < 0) {
      this.#deny(page, Cause.fetchPage, low, high);
      return null;
    }
    const offset = this.#ramOffset(page);
    if (offset < 0) return this.code.uncached;
    if (!this.code.has(offset)) {
      if (this.code.isFull) this.fenceI();
      this.#watch(offset);
    }
    const slots = this.code.page(offset);
    this.#keep(low, high, offset, TLB_FETCH);
    this.fetchPages[entry >>> 3] = slots;
    return slots;
  }

  /** Fetches the instruction at an even address into {@link low}; false after noting the fault. */
  fetch(low: number, high: number): boolean {
    if (!this.#fetchHalf(low, high)) return false;
    const bits = this.low;
    if ((bits & 3) !== 3) return true;
    const next = (low + 2) | 0;
    if (!this.#fetchHalf(next, next === 0 ? (high + 1) | 0 : high)) return false;
    this.low = bits | (this.low << 16);
    return true;
  }

  /** Loads into {@link low} and {@link high}, zero-extended; false after noting the fault. */
  load(low: number, high: number, width: AccessWidth): boolean {
    return this.#load(low, high, width, TLB_LOAD, Cause.loadPage);
  }

  /** The load of a read-modify-write: needs, and faults like, a store (section 18.7). The address is aligned. */
  loadToModify(low: number, high: number, width: AccessWidth): boolean {
    return this.#load(low, high, width, TLB_STORE, Cause.storePage);
  }

  #load(low: number, high: number, width: AccessWidth, right: Right, pageFault: PageFault): boolean {
    const page = this.#translate(low, high, right);
    if (page < 0) return this.#deny(page, pageFault, low, high);
    const at = page * PAGE_SIZE + (low & OFFSET_MASK);
    if ((low & OFFSET_MASK) > PAGE_SIZE - width) {
      const next = this.#translateNext(low, high, right);
      if (next < 0) return this.#denyNext(next, pageFault, low, high);
      if (next !== page + 1) return this.#loadSplit(page, next, low, high, width);
    }
    const value = width === 8 ? this.bus.read64(at) : this.bus.read(at, width);
    if (value === BUS_FAULT) return this.#denyBus(at, pageFault, low, high);
    this.low = value | 0;
    this.high = width === 8 ? this.bus.high | 0 : 0;
    const offset = this.#ramOffset(page);
    if (offset >= 0 && right === TLB_LOAD) this.#keep(low, high, offset, TLB_LOAD);
    return true;
  }

  /** Stores the low `width` bytes of a value; false after noting the fault, and then nothing has changed. */
  store(low: number, high: number, width: AccessWidth, valueLow: number, valueHigh: number): boolean {
    const page = this.#translate(low, high, TLB_STORE);
    if (page < 0) return this.#deny(page, Cause.storePage, low, high);
    const at = page * PAGE_SIZE + (low & OFFSET_MASK);
    if ((low & OFFSET_MASK) > PAGE_SIZE - width) {
      const next = this.#translateNext(low, high, TLB_STORE);
      if (next < 0) return this.#denyNext(next, Cause.storePage, low, high);
      if (next !== page + 1) return this.#storeSplit(page, next, low, high, width, valueLow, valueHigh);
    }
    const done = width === 8 ? this.bus.write64(at, valueLow, valueHigh) : this.bus.write(at, width, valueLow);
    if (!done) return this.#denyBus(at, Cause.storePage, low, high);
    const offset = this.#ramOffset(page);
    if (offset >= 0) {
      this.code.written(at - this.bus.ram.base, width);
      if (!this.code.has(offset)) this.#keep(low, high, offset, TLB_STORE);
    }
    return true;
  }

  /** Notes a trap that is no failed access: a misaligned one, or one with a tval of its own. Answers false. */
  raise(cause: Cause, low: number, high: number): false {
    this.cause = cause;
    this.faultLow = low;
    this.faultHigh = high;
    return false;
  }

  #fetchHalf(low: number, high: number): boolean {
    const page = this.#translate(low, high, TLB_FETCH);
    if (page < 0) return this.#deny(page, Cause.fetchPage, low, high);
    const value = this.bus.read(page * PAGE_SIZE + (low & OFFSET_MASK), 2);
    if (value === BUS_FAULT) return this.#deny(ACCESS_FAULT, Cause.fetchPage, low, high);
    this.low = value;
    return true;
  }

  /** A load over the edge of a page whose neighbour lies elsewhere. Only RAM takes such accesses. */
  #loadSplit(page: number, next: number, low: number, high: number, width: AccessWidth): boolean {
    if (!this.#bothInRam(page, next, Cause.loadPage, low, high)) return false;
    let valueLow = 0;
    let valueHigh = 0;
    for (let i = 0; i < width; i++) {
      const byte = this.bus.ram.readU8(splitByte(page, next, low, i));
      if (i < 4) valueLow |= byte << (8 * i);
      else valueHigh |= byte << (8 * i - 32);
    }
    this.low = valueLow;
    this.high = valueHigh;
    return true;
  }

  #storeSplit(
    page: number,
    next: number,
    low: number,
    high: number,
    width: AccessWidth,
    valueLow: number,
    valueHigh: number,
  ): boolean {
    if (!this.#bothInRam(page, next, Cause.storePage, low, high)) return false;
    for (let i = 0; i < width; i++) {
      const at = splitByte(page, next, low, i);
      this.bus.ram.writeU8(at, (i < 4 ? valueLow >>> (8 * i) : valueHigh >>> (8 * i - 32)) & 0xff);
      this.code.written(at - this.bus.ram.base, 1);
    }
    return true;
  }

  #bothInRam(page: number, next: number, pageFault: PageFault, low: number, high: number): boolean {
    if (this.#ramOffset(page) < 0) return this.#deny(ACCESS_FAULT, pageFault, low, high);
    if (this.#ramOffset(next) < 0) return this.#denyNext(ACCESS_FAULT, pageFault, low, high);
    return true;
  }

  /** Physical page number, or {@link PAGE_FAULT} or {@link ACCESS_FAULT}. */
  #translate(low: number, high: number, right: Right): number {
    const entry = (low >>> 9) & TLB_MASK;
    const tlb = this.tlb;
    if (tlb[entry + right] === (low & PAGE_MASK) && tlb[entry + TLB_HIGH] === high)
      return (this.bus.ram.base + (((low & PAGE_MASK) + (tlb[entry + TLB_OFFSET] as number)) | 0)) / PAGE_SIZE;
    const access = right === TLB_LOAD ? 'load' : right === TLB_STORE ? 'store' : 'fetch';
    return this.space.translate((high >>> 0) * PAGES_PER_WORD + (low >>> 12), access);
  }

  #translateNext(low: number, high: number, right: Right): number {
    const next = ((low | OFFSET_MASK) + 1) | 0;
    return this.#translate(next, next === 0 ? (high + 1) | 0 : high, right);
  }

  /** RAM offset of a physical page, or -1. */
  #ramOffset(page: number): number {
    const offset = page * PAGE_SIZE - this.bus.ram.base;
    return offset >= 0 && offset < this.bus.ram.size ? offset : -1;
  }

  /** Keeps the translation to a RAM page. Tags that stay are right: they share address bits 63:32 and distance. */
  #keep(low: number, high: number, offset: number, right: Right): void {
    const entry = (low >>> 9) & TLB_MASK;
    const tlb = this.tlb;
    const distance = (offset - (low & PAGE_MASK)) | 0;
    if (tlb[entry + TLB_HIGH] !== high || tlb[entry + TLB_OFFSET] !== distance) {
      tlb[entry + TLB_LOAD] = NO_PAGE;
      tlb[entry + TLB_STORE] = NO_PAGE;
      tlb[entry + TLB_FETCH] = NO_PAGE;
    }
    tlb[entry + TLB_HIGH] = high;
    tlb[entry + TLB_OFFSET] = distance;
    tlb[entry + right] = low & PAGE_MASK;
  }

  /** Takes a page that is going to hold decoded code out of the store hits, so that {@link store} sees each write to it. */
  #watch(offset: number): void {
    const tlb = this.tlb;
    for (let entry = 0; entry < tlb.length; entry += TLB_STRIDE) {
      const page = tlb[entry + TLB_STORE] as number;
      if (page !== NO_PAGE && ((page + (tlb[entry + TLB_OFFSET] as number)) | 0) === offset)
        tlb[entry + TLB_STORE] = NO_PAGE;
    }
  }

  /** Notes a fault of translation; the access fault's cause follows from the page fault's. */
  #deny(failure: number, pageFault: PageFault, low: number, high: number): false {
    this.cause = failure === PAGE_FAULT ? pageFault : ACCESS_CAUSE[pageFault];
    this.faultLow = low;
    this.faultHigh = high;
    return false;
  }

  /** The same at the start of the next page. */
  #denyNext(failure: number, pageFault: PageFault, low: number, high: number): false {
    const next = ((low | OFFSET_MASK) + 1) | 0;
    return this.#deny(failure, pageFault, next, next === 0 ? (high + 1) | 0 : high);
  }

  /** Notes an access fault of the bus, at the virtual address of the first byte that could not be accessed. */
  #denyBus(at: number, pageFault: PageFault, low: number, high: number): false {
    const address = this.bus.fault?.address ?? at;
    return address > at
      ? this.#denyNext(ACCESS_FAULT, pageFault, low, high)
      : this.#deny(ACCESS_FAULT, pageFault, low, high);
  }
}

/** Physical address of byte i of an access that starts in one page and ends in another. */
function splitByte(page: number, next: number, low: number, i: number): number {
  const offset = (low & OFFSET_MASK) + i;
  return offset < PAGE_SIZE ? page * PAGE_SIZE + offset : next * PAGE_SIZE + offset - PAGE_SIZE;
}
