/**
 * The power goes before every block write of the first boot, and the second boot on that disk reaches its end (default
 * image, contract and reference). What was not flushed is lost altogether, kept, or lost in part by seed.
 *
 * The first boot runs once per quirk setting, on a disk that keeps what each cut would leave, by the same code as the fault
 * (scenarios/volatile-disk.ts); a sample of real cuts shows that this is what they leave.
 */
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';

import { diskKeys } from '../../scenarios/disk.ts';
import { parseFault, POWER_LOSSES } from '../../scenarios/faults.ts';
import type { PowerLoss } from '../../scenarios/faults.ts';
import type { Scenario } from '../../scenarios/scenario.ts';
import { UnflushedWrites } from '../../scenarios/volatile-disk.ts';
import { SparseBlockImage } from '../../sim/block-image.ts';
import type { BlockImage } from '../../sim/block-image.ts';
import { Streams } from '../../sim/streams.ts';
import { boot, diskText, only, shipped, withFaults, withQuirks } from '../boot.ts';
import { share } from './share.ts';

/** Every so many cuts is made for real, too; its partly lost writes are picked by the scenario's own seed. */
const REAL_EVERY = 40;
const OWN_SEED = '1';

/** The seed that picks what is partly lost: another one for each cut. */
function seedOf(write: number): string {
  return isReal(write) ? OWN_SEED : String(write);
}

function isReal(write: number): boolean {
  return write % REAL_EVERY === 1;
}

/** A disk that a cut leaves, and the cuts that leave it. */
interface Left {
  readonly disk: SparseBlockImage;
  readonly cuts: string[];
}

/** The first boot's disk; what each cut would leave, by content. */
class CutRecorder implements BlockImage {
  readonly hostError = null;
  readonly left = new Map<string, Left>();
  writes = 0;
  readonly #disk = new SparseBlockImage();
  readonly #unflushed = new UnflushedWrites();

  get sectors(): number {
    return this.#disk.sectors;
  }

  read(sector: number, target: Uint8Array): boolean {
    return this.#disk.read(sector, target);
  }

  write(sector: number, source: Uint8Array): boolean {
    this.writes += 1;
    for (const loss of POWER_LOSSES) this.#record(loss);
    return this.#unflushed.note(this.#disk, sector, source) && this.#disk.write(sector, source);
  }

  flush(): boolean {
    this.#unflushed.flushed();
    return true;
  }

  #record(loss: PowerLoss): void {
    const disk = this.#disk.snapshot();
    this.#unflushed.lose(disk, loss, new Streams(seedOf(this.writes), 1).stream('power-cut'));
    const key = createHash('sha256').update(diskText(disk)).digest('hex');
    const cut = `write ${this.writes}, ${loss} lost`;
    const known = this.left.get(key);
    if (known === undefined) this.left.set(key, { disk, cuts: [cut] });
    else known.cuts.push(cut);
  }
}

function scenarioOf(quirks: string): Scenario {
  return withQuirks(shipped('default'), quirks);
}

describe.each(['none', 'reference'])('quirks %s', (quirks) => {
  const recorder = new CutRecorder();
  beforeAll(() => {
    expect(only(boot(scenarioOf(quirks), { image: recorder })).reasons).toEqual([]);
  });

  it('the second boot reaches SELFTEST: end after every cut', () => {
    const cases = share([...recorder.left.values()]);
    const lost: string[] = [];
    for (const { disk, cuts } of cases) {
      const name = cuts[0] ?? '';
      const second = only(boot(scenarioOf(quirks), { disk }));
      const problems = diskKeys(disk) === null ? ['no readable journal'] : [];
      if (second.end !== 'goal' || !second.passed) problems.push(second.end, ...second.reasons);
      if (problems.length === 0) continue;
      lost.push(`${name}: ${problems.join('; ')}`);
      console.log(`quirks ${quirks}: ${lost.at(-1) ?? ''}`);
    }
    const cuts = cases.reduce((sum, one) => sum + one.cuts.length, 0);
    console.log(`power cut, quirks ${quirks}: ${recorder.writes} writes; ${cuts} cuts, ${cases.length} disks booted`);
    expect(lost).toEqual([]);
  });

  it('a real cut leaves what was recorded', () => {
    const every = Array.from({ length: recorder.writes }, (_, i) => i + 1).filter(isReal);
    for (const write of share(every)) {
      for (const loss of POWER_LOSSES) {
        const fault = parseFault(`power:write=${write},lose=${loss}`);
        if (!fault.ok) throw new Error(fault.error);
        const disk = new SparseBlockImage();
        const booted = boot(withFaults(scenarioOf(quirks), { inject: [fault.value] }), { image: disk });
        expect(only(booted).end).toBe('halted');
        const key = createHash('sha256').update(diskText(disk)).digest('hex');
        expect(recorder.left.get(key)?.cuts).toContain(`write ${write}, ${loss} lost`);
      }
    }
  });
});
