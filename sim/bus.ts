/**
 * The physical address bus (sheet 05, section 2): RAM first, then device windows sorted by base. An access returns its
 * value or a fault; it never throws and allocates nothing unless it faults. What a fault means (access fault 1, 5 or 7,
 * EFAULT, a dropped DMA) is the master's business.
 *
 * Results: values are unsigned, so a read answers {@link BUS_FAULT} (-1) where it faulted, a write answers false;
 * {@link Bus.fault} then says why. 64-bit values travel as two unsigned words to keep bigints off the hart's path.
 */
import { assert } from './assert.ts';
import type { MmioDevice, Width } from './memory.ts';
import type { Ram } from './ram.ts';

/** What a faulting read returns. */
export const BUS_FAULT = -1;

/** Why an access failed. `unmapped`: nothing there; `window`: leaves the device's window; the others: illegal for this device. */
export type BusFaultCause = 'unmapped' | 'window' | 'width' | 'alignment';

/** One failed access. */
export interface BusFault {
  readonly cause: BusFaultCause;
  /** First byte that could not be accessed: the RAM's end where an access runs over it, else the address given. */
  readonly address: number;
  readonly width: Width;
  readonly write: boolean;
  /** The window's device, null where nothing is mapped. */
  readonly device: string | null;
}

/** Which accesses a device takes. Without a rule: every width, naturally aligned. */
export interface AccessRule {
  /** Legal widths in bytes; others are access faults. */
  readonly widths: readonly Width[];
  /**
   * `natural` (the default): multiples of the width. `any`: memory-like, within the window. `start`: the device looks
   * at the start offset alone, so that an access may even hang over the window's end.
   */
  readonly alignment?: Alignment;
}

/** How an access must be placed in its window. */
export type Alignment = 'natural' | 'any' | 'start';

/** A device as the bus takes it. */
export interface BusDevice extends MmioDevice {
  readonly access?: AccessRule;
}

/** Places a device at [base, base + size). */
export interface BusWindow {
  readonly base: number;
  readonly size: number;
  readonly device: BusDevice;
}

interface Region {
  readonly base: number;
  readonly end: number;
  readonly device: BusDevice | null;
  /** Bit n set: width n bytes is legal. */
  readonly widthMask: number;
  readonly alignment: Alignment;
}

const ALL_WIDTHS: readonly Width[] = [1, 2, 4, 8];
const NOWHERE: Region = { base: Infinity, end: Infinity, device: null, widthMask: 0, alignment: 'natural' };

/** The bus of one board. Windows are fixed at construction. */
export class Bus {
  /** The last fault. Meaningful right after an access that failed. */
  fault: BusFault | null = null;
  /** Upper 32 bits (unsigned) of the last successful {@link read64}. */
  high = 0;
  /** Only declared, for speed; see {@link Ram}. */
  declare readonly ram: Ram;
  readonly #regions: readonly Region[];
  #last: Region = NOWHERE;

  /** Windows may come in any order; none may overlap another or RAM. */
  constructor(ram: Ram, windows: readonly BusWindow[]) {
    this.ram = ram;
    this.#regions = windows.map(regionOf).sort((a, b) => a.base - b.base);
    let end = 0;
    for (const region of this.#regions) {
      assert(region.base >= end, `bus window of ${region.device?.name ?? '?'} overlaps its neighbour`);
      assert(
        region.end <= ram.base || region.base >= ram.end,
        `bus window of ${region.device?.name ?? '?'} overlaps RAM`,
      );
      end = region.end;
    }
  }

  /** Reads 1, 2 or 4 bytes at a physical address; {@link BUS_FAULT} on a fault. */
  read(address: number, width: 1 | 2 | 4): number {
    const ram = this.ram;
    const offset = address - ram.base;
    if (offset >= 0 && offset <= ram.size - width) {
      if (width === 4) return ram.view.getUint32(offset, true);
      if (width === 1) return ram.view.getUint8(offset);
      return ram.view.getUint16(offset, true);
    }
    const region = this.#find(address, width, false);
    return region?.device ? region.device.read(address - region.base, width) : BUS_FAULT;
  }

  /** Writes the low `width` bytes of `value`; false on a fault, and then nothing has changed. */
  write(address: number, width: 1 | 2 | 4, value: number): boolean {
    const ram = this.ram;
    const offset = address - ram.base;
    if (offset >= 0 && offset <= ram.size - width) {
      if (width === 4) ram.view.setUint32(offset, value, true);
      else if (width === 1) ram.view.setUint8(offset, value);
      else ram.view.setUint16(offset, value, true);
      return true;
    }
    const region = this.#find(address, width, true);
    if (!region?.device) return false;
    region.device.write(address - region.base, width, truncate(value, width));
    return true;
  }

  /** Reads 8 bytes: the low word is returned, the high word is in {@link high}; {@link BUS_FAULT} on a fault. */
  read64(address: number): number {
    const ram = this.ram;
    const offset = address - ram.base;
    if (offset >= 0 && offset <= ram.size - 8) {
      this.high = ram.view.getUint32(offset + 4, true);
      return ram.view.getUint32(offset, true);
    }
    const region = this.#find(address, 8, false);
    const device = region?.device;
    if (!region || !device) return BUS_FAULT;
    const at = address - region.base;
    if (device.readU64) {
      const value = device.readU64(at);
      this.high = Number((value >> 32n) & 0xffff_ffffn);
      return Number(value & 0xffff_ffffn);
    }
    const low = device.read(at, 4);
    this.high = device.read(at + 4, 4);
    return low;
  }

  /** Writes 8 bytes given as two words; false on a fault. */
  write64(address: number, low: number, high: number): boolean {
    const ram = this.ram;
    const offset = address - ram.base;
    if (offset >= 0 && offset <= ram.size - 8) {
      ram.view.setUint32(offset, low, true);
      ram.view.setUint32(offset + 4, high, true);
      return true;
    }
    const region = this.#find(address, 8, true);
    const device = region?.device;
    if (!region || !device) return false;
    const at = address - region.base;
    if (device.writeU64) {
      device.writeU64(at, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
    } else {
      device.write(at, 4, low >>> 0);
      device.write(at + 4, 4, high >>> 0);
    }
    return true;
  }

  /** {@link read64} as one bigint; -1n on a fault. Not for hot paths. */
  readU64(address: number): bigint {
    const low = this.read64(address);
    return low === BUS_FAULT ? -1n : (BigInt(this.high) << 32n) | BigInt(low);
  }

  /** {@link write64} of one bigint; false on a fault. Not for hot paths. */
  writeU64(address: number, value: bigint): boolean {
    return this.write64(address, Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
  }

  /** The device whose window holds `address`, or null (RAM and holes). */
  deviceAt(address: number): BusDevice | null {
    return this.#locate(address).device;
  }

  /** The region that takes this access, or null after noting the fault. */
  #find(address: number, width: Width, write: boolean): Region | null {
    const region = this.#locate(address);
    const device = region.device;
    if (device === null) {
      const inRam = this.ram.contains(address, 0);
      return this.#deny('unmapped', inRam ? this.ram.end : address, width, write, null);
    }
    if ((region.widthMask & (1 << width)) === 0) return this.#deny('width', address, width, write, device);
    if (region.alignment === 'start') return region;
    if (region.alignment === 'natural' && (address - region.base) % width !== 0)
      return this.#deny('alignment', address, width, write, device);
    if (address + width > region.end) return this.#deny('window', address, width, write, device);
    return region;
  }

  #deny(cause: BusFaultCause, address: number, width: Width, write: boolean, device: BusDevice | null): null {
    this.fault = { cause, address, width, write, device: device?.name ?? null };
    return null;
  }

  /** Drivers hammer one device at a time, so the last hit is tried before the binary search. */
  #locate(address: number): Region {
    const last = this.#last;
    if (address >= last.base && address < last.end) return last;
    const regions = this.#regions;
    let low = 0;
    let high = regions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const region = regions[middle];
      if (region === undefined) break;
      if (address < region.base) high = middle;
      else if (address >= region.end) low = middle + 1;
      else {
        this.#last = region;
        return region;
      }
    }
    return NOWHERE;
  }
}

function regionOf(window: BusWindow): Region {
  const { base, size, device } = window;
  const widths = device.access?.widths ?? ALL_WIDTHS;
  assert(base >= 0 && size > 0 && Number.isSafeInteger(base + size), `bus window of ${device.name} has no extent`);
  return {
    base,
    end: base + size,
    device,
    widthMask: widths.reduce<number>((mask, width) => mask | (1 << width), 0),
    alignment: device.access?.alignment ?? 'natural',
  };
}

function truncate(value: number, width: 1 | 2 | 4): number {
  return width === 4 ? value >>> 0 : width === 2 ? value & 0xffff : value & 0xff;
}
