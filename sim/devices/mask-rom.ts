/**
 * Mask ROM (sheet 05, section 3.1): the reset vector and what it hands to the firmware. Reads as memory, writes are
 * silently ignored.
 */
import { assert } from '../assert.ts';
import type { AccessRule, BusDevice } from '../bus.ts';

/** Where the harts go after reset; guest-physical addresses. */
export interface ResetAddresses {
  /** Start of the M-mode firmware. */
  readonly firmware: number;
  /** The device tree blob. */
  readonly deviceTree: number;
  /** S-mode entry that the firmware jumps to. */
  readonly kernel: number;
}

/** auipc t0; addi a2, t0, 40; csrr a0, mhartid; ld a1, 32(t0); ld t0, 24(t0); jr t0. */
const RESET_VECTOR: readonly number[] = [0x0000_0297, 0x0282_8613, 0xf140_2573, 0x0202_b583, 0x0182_b283, 0x0002_8067];
/** Offset of the dwords behind the vector, at 1018. */
const RESET_DWORDS = 0x18;
/** Head of the firmware information block. */
const FW_INFO_MAGIC = 0x4942_534fn;
const FW_INFO_VERSION = 2n;
const FW_INFO_NEXT_MODE_S = 1n;

/** The mask ROM. */
export class MaskRom implements BusDevice {
  readonly name = 'mask-rom';
  readonly access: AccessRule = { widths: [1, 2, 4, 8], alignment: 'any' };
  readonly #view: DataView;

  constructor(size: number, reset: ResetAddresses) {
    assert(size >= 0x58, 'mask ROM too small for its reset vector');
    this.#view = new DataView(new ArrayBuffer(size));
    RESET_VECTOR.forEach((word, i) => this.#view.setUint32(4 * i, word, true));
    const dwords = [
      BigInt(reset.firmware),
      BigInt(reset.deviceTree),
      FW_INFO_MAGIC,
      FW_INFO_VERSION,
      BigInt(reset.kernel),
      FW_INFO_NEXT_MODE_S,
      0n,
      0n,
    ];
    dwords.forEach((dword, i) => this.#view.setBigUint64(RESET_DWORDS + 8 * i, dword, true));
  }

  read(offset: number, width: 1 | 2 | 4): number {
    if (width === 4) return this.#view.getUint32(offset, true);
    return width === 2 ? this.#view.getUint16(offset, true) : this.#view.getUint8(offset);
  }

  write(): void {
    // Read-only.
  }
}
