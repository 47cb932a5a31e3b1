/** RAM for unit tests of this folder: the board's size, little-endian, nothing checked. */
import type { GuestMemory } from '../sim/memory.ts';

export class TestRam implements GuestMemory {
  readonly base = 0x8000_0000;
  readonly size = 0x1090_0000;
  readonly #view: DataView;

  constructor() {
    this.#view = new DataView(new ArrayBuffer(this.size));
  }
  contains(address: number, length: number): boolean {
    return address >= this.base && address + length <= this.base + this.size;
  }
  readU8(address: number): number {
    return this.#view.getUint8(address - this.base);
  }
  readU16(address: number): number {
    return this.#view.getUint16(address - this.base, true);
  }
  readU32(address: number): number {
    return this.#view.getUint32(address - this.base, true);
  }
  readU64(address: number): bigint {
    return this.#view.getBigUint64(address - this.base, true);
  }
  writeU8(address: number, value: number): void {
    this.#view.setUint8(address - this.base, value);
  }
  writeU16(address: number, value: number): void {
    this.#view.setUint16(address - this.base, value, true);
  }
  writeU32(address: number, value: number): void {
    this.#view.setUint32(address - this.base, value, true);
  }
  writeU64(address: number, value: bigint): void {
    this.#view.setBigUint64(address - this.base, value, true);
  }
  slice(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, address - this.base, length);
  }
}
