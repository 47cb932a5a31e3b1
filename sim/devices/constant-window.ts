/**
 * Windows of the board that hold nothing the OS uses (sheet 05, section 2): the PCIe windows read all ones, flash
 * without a drive reads 0. Writes are ignored.
 */
import type { AccessRule, BusDevice } from '../bus.ts';

/** A window whose every byte reads the same. */
export class ConstantWindow implements BusDevice {
  readonly name: string;
  readonly access: AccessRule = { widths: [1, 2, 4, 8], alignment: 'any' };
  readonly #word: number;

  /** `fill`: what every byte reads. */
  constructor(name: string, fill: 0x00 | 0xff) {
    this.name = name;
    this.#word = fill === 0 ? 0 : 0xffff_ffff;
  }

  read(_offset: number, width: 1 | 2 | 4): number {
    return this.#word >>> (32 - 8 * width);
  }

  write(): void {
    // Nothing is behind the window.
  }
}
