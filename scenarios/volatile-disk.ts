/** A disk under the plan's faults: reads that come back wrong, and a power cut that takes back what was not flushed. */
import type { BlockImage } from '../sim/block-image.ts';
import { SECTOR_SIZE } from '../sim/block-image.ts';
import type { Stream } from '../sim/streams.ts';
import type { FaultPlan } from './fault-plan.ts';
import type { PowerLoss } from './faults.ts';

/** One sector write that the disk may still lose. */
interface Unflushed {
  readonly sector: number;
  readonly bytes: Uint8Array;
}

/** What has been written to a disk since its last flush, and what a power cut leaves of it. */
export class UnflushedWrites {
  /** Contents of the sectors before. */
  readonly #before = new Map<number, Uint8Array>();
  /** The sector writes, in order. */
  #writes: Unflushed[] = [];

  /** Notes a write that is about to be made. False: the disk could not be read. */
  note(disk: BlockImage, sector: number, source: Uint8Array): boolean {
    for (let i = 0; i * SECTOR_SIZE < source.length; i++) {
      const bytes = source.slice(i * SECTOR_SIZE, (i + 1) * SECTOR_SIZE);
      this.#writes.push({ sector: sector + i, bytes });
      if (this.#before.has(sector + i)) continue;
      const before = new Uint8Array(SECTOR_SIZE);
      if (!disk.read(sector + i, before)) return false;
      this.#before.set(sector + i, before);
    }
    return true;
  }

  /** All of it is safe. */
  flushed(): void {
    this.#before.clear();
    this.#writes = [];
  }

  /**
   * The power goes: `all` of it is undone, or `none`; where `some` is, each sector write is kept or not by chance, as a disk
   * with a cache may write in any order.
   */
  lose(disk: BlockImage, loss: PowerLoss, chance: Stream): void {
    if (loss === 'none') return;
    for (const [sector, before] of this.#before) disk.write(sector, before);
    if (loss === 'all') return;
    for (const { sector, bytes } of this.#writes) if (chance.below(2) === 1) disk.write(sector, bytes);
  }
}

/** Wraps the run's disk for one boot. */
export class VolatileDisk implements BlockImage {
  readonly #disk: BlockImage;
  readonly #plan: FaultPlan;
  readonly #powerOff: () => void;
  readonly #chance: Stream;
  readonly #unflushed = new UnflushedWrites();
  #writes = 0;
  #off = false;

  /** `powerOff` is called when a write meets the power cut; `chance` picks what is lost where the fault leaves it open. */
  constructor(disk: BlockImage, plan: FaultPlan, chance: Stream, powerOff: () => void) {
    this.#disk = disk;
    this.#chance = chance;
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
    if (!this.#unflushed.note(this.#disk, sector, source)) return false;
    return this.#disk.write(sector, source);
  }

  flush(): boolean {
    if (this.#off || !this.#disk.flush()) return false;
    this.#unflushed.flushed();
    return true;
  }

  /** The power goes, and the machine stops. */
  cut(): void {
    this.#unflushed.lose(this.#disk, this.#plan.powerLoss, this.#chance);
    this.#unflushed.flushed();
    this.#off = true;
    this.#powerOff();
  }
}
