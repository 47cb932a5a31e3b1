/**
 * Guest-physical memory as devices and the kernel see it (sheet 05, section 2). Addresses are guest-physical byte
 * addresses, plain numbers (all windows lie below 2^53); values are little-endian.
 */

/** What a bus master (virtqueue walker, page-table walker, ELF loader) may do to RAM. All methods require `contains`. */
export interface GuestMemory {
  /** True when [address, address + length) lies wholly in RAM. Length 0 is contained when the address is. */
  contains(address: number, length: number): boolean;
  readU8(address: number): number;
  readU16(address: number): number;
  readU32(address: number): number;
  readU64(address: number): bigint;
  writeU8(address: number, value: number): void;
  writeU16(address: number, value: number): void;
  writeU32(address: number, value: number): void;
  writeU64(address: number, value: bigint): void;
  /** A live view of guest bytes, not a copy: writes through it are guest-visible. */
  slice(address: number, length: number): Uint8Array;
  /**
   * Where no device has ever written from here on. Pages there that nobody was given are as the machine was built: zero, and
   * not backed by the host. Absent: unknown.
   */
  readonly untouchedFrom?: number;
}

/** One interrupt line into the PLIC: level-triggered, idempotent. */
export interface InterruptLine {
  set(level: boolean): void;
}

/** Access width in bytes. */
export type Width = 1 | 2 | 4 | 8;

/**
 * A device window on the bus. `offset` is relative to the window's base and always inside it. Values are unsigned;
 * an 8-byte access reaches a device as `readU64`/`writeU64` where it has them, else as two 4-byte accesses, low first.
 */
export interface MmioDevice {
  readonly name: string;
  read(offset: number, width: 1 | 2 | 4): number;
  write(offset: number, width: 1 | 2 | 4, value: number): void;
  readU64?(offset: number): bigint;
  writeU64?(offset: number, value: bigint): void;
}
