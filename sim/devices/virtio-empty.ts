/** A virtio-mmio slot without a device (sheet 05, section 10.3): identifies itself with device id 0, all else reads 0. */
import type { BusDevice } from '../bus.ts';

const MAGIC_VALUE = 0x000;
const VERSION = 0x004;
const VENDOR_ID = 0x00c;

/** One empty slot. */
export class EmptyVirtioSlot implements BusDevice {
  readonly name: string;

  /** `slot`: number of the slot, for the name only. */
  constructor(slot: number) {
    this.name = `virtio-empty${slot}`;
  }

  read(offset: number, width: 1 | 2 | 4): number {
    if (width !== 4) return 0;
    if (offset === MAGIC_VALUE) return 0x7472_6976;
    if (offset === VERSION) return 2;
    return offset === VENDOR_ID ? 0x554d_4551 : 0;
  }

  write(): void {
    // Nothing listens.
  }
}
