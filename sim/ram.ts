/**
 * Guest RAM: one buffer, little-endian at any alignment (sheet 05, sections 2 and 18.8). The buffer is as large as the
 * guest's memory but the host backs only the pages that the guest touches, so nothing here may fill, copy or scan it.
 */
import { assert } from './assert.ts';
import type { GuestMemory } from './memory.ts';

/** Largest RAM of one board in bytes: offsets stay 31-bit integers, which is what keeps the accessors fast. */
export const MAX_RAM_SIZE = 0x7fff_f000;

/** Gives a zeroed buffer of so many bytes. */
export type BufferSource = (bytes: number) => ArrayBufferLike;

/**
 * One RAM bank. Reads 0 until written. The fields are only declared: a field definition would create them undefined
 * first, after which the engine no longer knows their types, and every access costs four times as much.
 */
export class Ram implements GuestMemory {
  /** Guest-physical address of the first byte. */
  declare readonly base: number;
  /** Length in bytes. */
  declare readonly size: number;
  /** First address behind the bank. */
  declare readonly end: number;
  /** The bytes, indexed by `address - base`. For hot loops that have checked `contains` themselves. */
  declare readonly bytes: Uint8Array;
  /** End of what devices have written, see {@link DeviceMemory}. */
  declare untouchedFrom: number;
  /** The same bytes for multi-byte access; pass `true` (little-endian). */
  declare readonly view: DataView;

  /** Reserves `size` bytes at `base`, from `source`; both are multiples of the 4 KiB page. */
  constructor(base: number, size: number, source: BufferSource = (bytes) => new ArrayBuffer(bytes)) {
    assert(base >= 0 && base % 4096 === 0 && Number.isSafeInteger(base), 'RAM base must be page-aligned');
    assert(size > 0 && size % 4096 === 0 && size <= MAX_RAM_SIZE, 'RAM size must be whole pages below 2 GiB');
    this.base = base;
    this.size = size;
    this.end = base + size;
    this.untouchedFrom = base;
    const buffer = source(size);
    assert(buffer.byteLength === size, 'RAM needs a buffer of its size');
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  contains(address: number, length: number): boolean {
    return address >= this.base && address < this.end && length <= this.end - address;
  }

  readU8(address: number): number {
    return this.view.getUint8(address - this.base);
  }

  readU16(address: number): number {
    return this.view.getUint16(address - this.base, true);
  }

  readU32(address: number): number {
    return this.view.getUint32(address - this.base, true);
  }

  readU64(address: number): bigint {
    return this.view.getBigUint64(address - this.base, true);
  }

  writeU8(address: number, value: number): void {
    this.view.setUint8(address - this.base, value);
  }

  writeU16(address: number, value: number): void {
    this.view.setUint16(address - this.base, value, true);
  }

  writeU32(address: number, value: number): void {
    this.view.setUint32(address - this.base, value, true);
  }

  writeU64(address: number, value: bigint): void {
    this.view.setBigUint64(address - this.base, value, true);
  }

  slice(address: number, length: number): Uint8Array {
    assert(this.contains(address, length), 'RAM slice outside the bank');
    return this.bytes.subarray(address - this.base, address - this.base + length);
  }
}

/** RAM as devices reach it: they write wherever a driver tells them to, so it is kept how far up that was. */
export class DeviceMemory implements GuestMemory {
  readonly #ram: Ram;

  constructor(ram: Ram) {
    this.#ram = ram;
  }

  contains(address: number, length: number): boolean {
    return this.#ram.contains(address, length);
  }

  readU8(address: number): number {
    return this.#ram.readU8(address);
  }

  readU16(address: number): number {
    return this.#ram.readU16(address);
  }

  readU32(address: number): number {
    return this.#ram.readU32(address);
  }

  readU64(address: number): bigint {
    return this.#ram.readU64(address);
  }

  writeU8(address: number, value: number): void {
    this.#touch(address + 1);
    this.#ram.writeU8(address, value);
  }

  writeU16(address: number, value: number): void {
    this.#touch(address + 2);
    this.#ram.writeU16(address, value);
  }

  writeU32(address: number, value: number): void {
    this.#touch(address + 4);
    this.#ram.writeU32(address, value);
  }

  writeU64(address: number, value: bigint): void {
    this.#touch(address + 8);
    this.#ram.writeU64(address, value);
  }

  /** Whoever asks for it may write through it. */
  slice(address: number, length: number): Uint8Array {
    this.#touch(address + length);
    return this.#ram.slice(address, length);
  }

  #touch(end: number): void {
    if (end > this.#ram.untouchedFrom) this.#ram.untouchedFrom = end;
  }
}
