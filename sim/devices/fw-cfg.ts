/**
 * Firmware configuration (sheet 05, section 7.3): a selector, and a byte stream per key. Only the two identification
 * keys have content; nothing in the OS reads it. The DMA register that key 1 advertises is not modelled.
 */
import type { AccessRule, BusDevice } from '../bus.ts';
import type { Trace } from '../trace.ts';

/** Register map: 8-byte data window, 16-bit big-endian selector, 8-byte DMA address. */
export const FW_CFG_DATA = 0x0;
export const FW_CFG_SELECTOR = 0x8;
export const FW_CFG_DMA = 0x10;

/** Keys with content. */
export const FW_CFG_KEY_SIGNATURE = 0;
export const FW_CFG_KEY_ID = 1;

const SIGNATURE: readonly number[] = [0x51, 0x45, 0x4d, 0x55];
const ID: readonly number[] = [0x03, 0x00, 0x00, 0x00];
const NOTHING: readonly number[] = [];

/** One fw_cfg. */
export class FwCfg implements BusDevice {
  readonly name = 'fw-cfg';
  readonly access: AccessRule = { widths: [1, 2, 4, 8] };
  readonly #trace: Trace;
  #item = SIGNATURE;
  #position = 0;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  /** Data reads take the next bytes of the item in memory order; behind its end they are 0. */
  read(offset: number, width: 1 | 2 | 4): number {
    if (offset < FW_CFG_SELECTOR) return Number(this.#take(width));
    return this.#unknown(offset, false, 0);
  }

  readU64(offset: number): bigint {
    return offset < FW_CFG_SELECTOR ? this.#take(8) : BigInt(this.#unknown(offset, false, 0));
  }

  write(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset !== FW_CFG_SELECTOR || width !== 2) {
      this.#unknown(offset, true, value);
      return;
    }
    const key = ((value & 0xff) << 8) | (value >> 8);
    this.#item = key === FW_CFG_KEY_SIGNATURE ? SIGNATURE : key === FW_CFG_KEY_ID ? ID : NOTHING;
    this.#position = 0;
  }

  #take(width: number): bigint {
    let value = 0n;
    for (let i = 0; i < width; i++) {
      value |= BigInt(this.#item[this.#position] ?? 0) << BigInt(8 * i);
      if (this.#position < this.#item.length) this.#position += 1;
    }
    return value;
  }

  #unknown(offset: number, write: boolean, value: number): number {
    if (this.#trace.on) this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write, value });
    return 0;
  }
}
