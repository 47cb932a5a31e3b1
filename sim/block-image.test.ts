import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PageStore, StagedPage } from './block-image.ts';
import {
  DEFAULT_SECTORS,
  PAGE_SIZE,
  SparseBlockImage,
  StagedBlockImage,
  firstDifference,
  imagesEqual,
} from './block-image.ts';
import { WriteLog } from './write-log.ts';

const SECTORS = 21;

const write = fc.record({ sector: fc.nat(SECTORS - 1), sectors: fc.integer({ min: 1, max: 12 }), fill: fc.nat(2) });

function content(image: { read(sector: number, target: Uint8Array): boolean }): Uint8Array {
  const bytes = new Uint8Array(SECTORS * 512);
  expect(image.read(0, bytes)).toBe(true);
  return bytes;
}

/** A store in memory that can be told to fail. */
class MemoryStore implements PageStore {
  readonly sectors = SECTORS;
  readonly bytes = new Uint8Array(SECTORS * 512);
  error: string | null = null;
  commits = 0;

  readPage(page: number, target: Uint8Array): string | null {
    if (this.error !== null) return this.error;
    target.fill(0);
    target.set(this.bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
    return null;
  }

  commit(pages: readonly StagedPage[]): string | null {
    if (this.error !== null) return this.error;
    this.commits += 1;
    for (const { page, bytes } of pages) {
      this.bytes.set(bytes.subarray(0, Math.min(PAGE_SIZE, this.bytes.length - page * PAGE_SIZE)), page * PAGE_SIZE);
    }
    return null;
  }
}

describe('SparseBlockImage', () => {
  it('is 64 MiB of zeros that take no memory, also after zeros are written', () => {
    const image = new SparseBlockImage();
    expect(image.sectors).toBe(DEFAULT_SECTORS);
    image.write(100, new Uint8Array(8192));
    expect(image.allocated).toBe(0);
    image.write(131_071, new Uint8Array(512).fill(1));
    expect(image.allocated).toBe(PAGE_SIZE);
    expect([...image.chunks()].map(({ offset, bytes }) => [offset, bytes.length])).toEqual([
      [67_108_864 - PAGE_SIZE, PAGE_SIZE],
    ]);
  });

  it('equals a plain byte array, and equal content means equal chunks', () => {
    fc.assert(
      fc.property(fc.array(write, { maxLength: 30 }), (writes) => {
        const image = new SparseBlockImage(SECTORS);
        const model = new Uint8Array(SECTORS * 512);
        for (const { sector, sectors, fill } of writes) {
          const bytes = new Uint8Array(Math.min(sectors, SECTORS - sector) * 512).fill(fill);
          image.write(sector, bytes);
          model.set(bytes, sector * 512);
        }
        expect(Buffer.compare(content(image), model)).toBe(0);
        const copy = SparseBlockImage.fromBytes(model);
        expect(imagesEqual(image, copy)).toBe(true);
        const list = (of: SparseBlockImage) =>
          [...of.chunks()].map(({ offset, bytes }) => `${String(offset)} ${Buffer.from(bytes).toString('hex')}`);
        expect(list(image)).toEqual(list(copy));
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('finds the first differing byte, and a difference in size', () => {
    const a = new SparseBlockImage(SECTORS);
    const b = new SparseBlockImage(SECTORS);
    expect(firstDifference(a, b)).toBeNull();
    const sector = new Uint8Array(512);
    sector[17] = 1;
    b.write(9, sector);
    expect(firstDifference(a, b)).toBe(9 * 512 + 17);
    expect(firstDifference(b, a)).toBe(9 * 512 + 17);
    a.write(2, sector);
    expect(firstDifference(a, b)).toBe(2 * 512 + 17);
    expect(firstDifference(new SparseBlockImage(3), new SparseBlockImage(4))).toBe(3 * 512);
  });

  it('a snapshot stays as it was', () => {
    const image = new SparseBlockImage(SECTORS);
    image.write(0, new Uint8Array(512).fill(1));
    const before = image.snapshot();
    image.write(0, new Uint8Array(512).fill(2));
    expect(content(before)[0]).toBe(1);
  });
});

describe('StagedBlockImage', () => {
  it('reads its own writes; the store changes at flush only', () => {
    fc.assert(
      fc.property(fc.array(fc.option(write, { freq: 3 }), { maxLength: 30 }), (steps) => {
        const store = new MemoryStore();
        const image = new StagedBlockImage(store);
        const now = new Uint8Array(SECTORS * 512);
        let flushed = now.slice();
        for (const step of steps) {
          if (step === null) {
            expect(image.flush()).toBe(true);
            flushed = now.slice();
          } else {
            const bytes = new Uint8Array(Math.min(step.sectors, SECTORS - step.sector) * 512).fill(step.fill);
            expect(image.write(step.sector, bytes)).toBe(true);
            now.set(bytes, step.sector * 512);
          }
          expect(Buffer.compare(content(image), now)).toBe(0);
          expect(Buffer.compare(store.bytes, flushed)).toBe(0);
        }
      }),
      { seed: 20240, numRuns: 60 },
    );
  });

  it('a full host disk fails the flush, keeps the last one intact, loses nothing, and is remembered', () => {
    const store = new MemoryStore();
    const image = new StagedBlockImage(store);
    image.write(0, new Uint8Array(512).fill(1));
    expect(image.flush()).toBe(true);
    image.write(0, new Uint8Array(512).fill(2));
    store.error = 'blk.img: no space left on device';
    expect(image.flush()).toBe(false);
    expect(image.hostError).toBe('blk.img: no space left on device');
    expect(store.bytes[0]).toBe(1);
    store.error = 'something else';
    expect(image.read(8, new Uint8Array(512))).toBe(false);
    store.error = null;
    expect(content(image)[0]).toBe(2);
    expect(image.flush()).toBe(true);
    expect(store.bytes[0]).toBe(2);
    expect(image.hostError).toBe('blk.img: no space left on device');
    image.flush();
    expect(store.commits).toBe(2);
  });
});

describe('WriteLog', () => {
  const sector = (fill: number, count = 1) => new Uint8Array(count * 512).fill(fill);

  it('cuts after any prefix: flushed writes stay, others only where kept', () => {
    const base = new SparseBlockImage(SECTORS);
    base.write(5, sector(9));
    const log = new WriteLog(base);
    log.write(0, sector(1));
    log.flush();
    log.write(0, sector(2, 2));
    log.write(1, sector(3));
    const firsts = (image: SparseBlockImage) => [0, 1, 5].map((at) => content(image)[at * 512]);
    expect(firsts(log.cut(0))).toEqual([0, 0, 9]);
    expect(firsts(log.cut(1))).toEqual([0, 0, 9]);
    expect(firsts(log.cut(2))).toEqual([1, 0, 9]);
    expect(firsts(log.cut(4))).toEqual([1, 0, 9]);
    expect(firsts(log.cut(4, () => true))).toEqual([2, 3, 9]);
    expect(firsts(log.cut(4, (entry) => entry === 2))).toEqual([2, 2, 9]);
    expect(firsts(log.cut(4, (entry, at) => entry === 2 && at === 1))).toEqual([1, 2, 9]);
    expect(firsts(log.cut(3, () => true))).toEqual([2, 2, 9]);
  });

  it('keeps everything of every prefix when nothing is lost', () => {
    fc.assert(
      fc.property(fc.array(fc.option(write, { freq: 4 }), { maxLength: 20 }), (steps) => {
        const image = new SparseBlockImage(SECTORS);
        const log = new WriteLog(image);
        const model = new Uint8Array(SECTORS * 512);
        for (const step of steps) {
          if (step === null) log.flush();
          else {
            const bytes = sector(step.fill, Math.min(step.sectors, SECTORS - step.sector));
            log.write(step.sector, bytes);
            model.set(bytes, step.sector * 512);
          }
          expect(Buffer.compare(content(log.cut(log.entries.length, () => true)), model)).toBe(0);
        }
        expect(Buffer.compare(content(image), model)).toBe(0);
      }),
      { seed: 20240, numRuns: 60 },
    );
  });
});
