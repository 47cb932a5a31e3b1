/** A disk under the plan's faults: reads that come back wrong, and a power cut that takes back what was not flushed. */
import type { BlockImage } from '../sim/block-image.ts';
import { SECTOR_SIZE } from '../sim/block-image.ts';
import type { FaultPlan } from './fault-plan.ts';

/** Wraps the run's disk for one boot. */
export class VolatileDisk implements BlockImage {
  readonly #disk: BlockImage;
  readonly #plan: FaultPlan;
  readonly #powerOff: () => void;
  /** Contents of the sectors written since the last flush, as they were before. */
  readonly #undo = new Map<number, Uint8Array>();
  #writes = 0;
  #off = false;

  /** `powerOff` is called when a write meets the power cut. */
  constructor(disk: BlockImage, plan: FaultPlan, powerOff: () => void) {
    this.#disk = disk;
    this.#plan = plan;
    this.#powerOff = powerOff;
  }

  get sectors(): number {
    return this.#disk.sectors;
  }

  get hostError(): string | null {
    return this.#disk.hostError;
  }

  read(sector: number, target: Uint8Array): boolean {
    if (!this.#disk.read(sector, target)) return false;
    this.#plan.corruptRead(target);
    return true;
  }

  write(sector: number, source: Uint8Array): boolean {
    if (this.#off) return false;
    this.#writes += 1;
    if (this.#plan.cutsBefore(this.#writes)) {
      this.cut();
      return false;
    }
    for (let i = 0; i * SECTOR_SIZE < source.length; i++) {
      if (this.#undo.has(sector + i)) continue;
      const before = new Uint8Array(SECTOR_SIZE);
      if (!this.#disk.read(sector + i, before)) return false;
      this.#undo.set(sector + i, before);
    }
    return this.#disk.write(sector, source);
  }

  flush(): boolean {
    if (this.#off || !this.#disk.flush()) return false;
    this.#undo.clear();
    return true;
  }

  /** The power goes: everything since the last flush is undone, and the machine stops. */
  cut(): void {
    for (const [sector, before] of this.#undo) this.#disk.write(sector, before);
    this.#undo.clear();
    this.#off = true;
    this.#powerOff();
  }
}
