/** A small RAM window for device tests: any access outside it is a bug of the device under test and throws. */
import { InternalError } from '../assert.ts';
import type { GuestMemory, InterruptLine } from '../memory.ts';

/** RAM base of the board (sheet 05, section 2). */
export const TEST_RAM_BASE = 0x8000_0000;
/** Default window: 64 KiB. */
export const TEST_RAM_SIZE = 0x1_0000;

/** In-memory {@link GuestMemory} over [base, base + size). */
export class TestMemory implements GuestMemory {
  readonly base: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(size = TEST_RAM_SIZE, base = TEST_RAM_BASE) {
    this.base = base;
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  contains(address: number, length: number): boolean {
    const offset = address - this.base;
    if (length === 0) return offset >= 0 && offset < this.bytes.length;
    return offset >= 0 && length > 0 && offset + length <= this.bytes.length;
  }

  readU8(address: number): number {
    return this.#view.getUint8(this.#at(address, 1));
  }

  readU16(address: number): number {
    return this.#view.getUint16(this.#at(address, 2), true);
  }

  readU32(address: number): number {
    return this.#view.getUint32(this.#at(address, 4), true);
  }

  readU64(address: number): bigint {
    return this.#view.getBigUint64(this.#at(address, 8), true);
  }

  writeU8(address: number, value: number): void {
    this.#view.setUint8(this.#at(address, 1), value);
  }

  writeU16(address: number, value: number): void {
    this.#view.setUint16(this.#at(address, 2), value, true);
  }

  writeU32(address: number, value: number): void {
    this.#view.setUint32(this.#at(address, 4), value, true);
  }

  writeU64(address: number, value: bigint): void {
    this.#view.setBigUint64(this.#at(address, 8), value, true);
  }

  slice(address: number, length: number): Uint8Array {
    const offset = this.#at(address, length);
    return this.bytes.subarray(offset, offset + length);
  }

  #at(address: number, length: number): number {
    if (this.contains(address, length)) return address - this.base;
    throw new InternalError(`access outside RAM: ${address.toString(16)}+${String(length)}`);
  }
}

/** An interrupt line that remembers its level and how often it rose. */
export class TestLine implements InterruptLine {
  level = false;
  rises = 0;

  set(level: boolean): void {
    if (level && !this.level) this.rises += 1;
    this.level = level;
  }
}
