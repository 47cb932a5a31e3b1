/** The disk in a file: sparse, committed in one step, and whole again after a process that died inside a commit. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { DEFAULT_SECTORS, PAGE_SIZE, SECTOR_SIZE, SparseBlockImage, StagedBlockImage } from '../sim/block-image.ts';
import { DiskFile, redoPath } from './disk-file.ts';

let folder = '';
let path = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nexus-sim-disk-'));
  path = join(folder, 'blk.img');
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function page(fill: number): Uint8Array {
  return new Uint8Array(PAGE_SIZE).fill(fill);
}

/** Opens, does something, closes. */
function open<T>(body: (file: DiskFile) => T): T {
  const file = DiskFile.open(path);
  try {
    return body(file);
  } finally {
    file.close();
  }
}

function pageOf(file: DiskFile, number: number): Uint8Array {
  const bytes = new Uint8Array(PAGE_SIZE);
  expect(file.readPage(number, bytes)).toBeNull();
  return bytes;
}

/** The redo log that a commit of these pages leaves when it dies before it touches the image. */
function logOf(pages: readonly { readonly page: number; readonly bytes: Uint8Array }[]): Buffer {
  const other = join(folder, 'other.img');
  const file = DiskFile.open(other);
  // A folder in the place of the log's removal cannot be arranged; so take the log from a commit whose image is gone.
  file.close();
  const error = file.commit(pages);
  expect(error).toContain('other.img');
  const log = readFileSync(redoPath(other));
  rmSync(other);
  rmSync(redoPath(other));
  return log;
}

describe('a new image', () => {
  it('is 64 MiB and sparse', () => {
    open((file) => expect(file.sectors).toBe(DEFAULT_SECTORS));
    const { size, blocks } = statSync(path);
    expect(size).toBe(67_108_864);
    expect(blocks).toBeLessThan(64);
  });

  it('stays sparse where nothing was written', () => {
    open((file) => expect(file.commit([{ page: 16_383, bytes: page(7) }])).toBeNull());
    expect(statSync(path).blocks).toBeLessThan(64);
    open((file) => {
      expect(pageOf(file, 16_383)).toEqual(page(7));
      expect(pageOf(file, 0)).toEqual(page(0));
    });
  });
});

describe('checks', () => {
  const fails = (message: RegExp): void => {
    expect(() => DiskFile.check(path)).toThrow(message);
    expect(() => DiskFile.open(path)).toThrow(message);
  };

  it('refuses a size that is not a multiple of 512, and touches nothing', () => {
    writeFileSync(path, Buffer.alloc(1000));
    fails(/^--disk .*blk\.img: expected a size that is a multiple of 512 bytes, found 1000$/);
    expect(readFileSync(path)).toEqual(Buffer.alloc(1000));
  });

  it('refuses an empty file, a folder and a path through a file', () => {
    writeFileSync(path, '');
    fails(/found 0$/);
    rmSync(path);
    mkdirSync(path);
    fails(/expected a regular file$/);
    rmSync(path, { recursive: true });
    writeFileSync(path, Buffer.alloc(512));
    const inner = join(path, 'inner.img');
    expect(() => DiskFile.check(inner)).toThrow(/a part of the path is not a directory/);
  });

  it('follows a link, and takes an image of any whole number of sectors', () => {
    writeFileSync(path, Buffer.alloc(5 * SECTOR_SIZE, 3));
    const link = join(folder, 'link.img');
    symlinkSync(path, link);
    const file = DiskFile.open(link);
    expect(file.sectors).toBe(5);
    const bytes = pageOf(file, 0);
    expect(bytes.subarray(0, 5 * SECTOR_SIZE).every((byte) => byte === 3)).toBe(true);
    expect(bytes.subarray(5 * SECTOR_SIZE).every((byte) => byte === 0)).toBe(true);
    file.close();
  });

  it('a folder that does not exist is an error of the user', () => {
    path = join(folder, 'nowhere', 'blk.img');
    expect(() => DiskFile.open(path)).toThrow(/^--disk .*: expected a readable and writable file \(no such file\)$/);
  });
});

describe('redo log', () => {
  const pages = [
    { page: 1, bytes: page(0x11) },
    { page: 9, bytes: page(0x99) },
  ];

  it('is gone after a commit', () => {
    open((file) => expect(file.commit(pages)).toBeNull());
    expect(existsSync(redoPath(path))).toBe(false);
  });

  it('complete: the next open applies it', () => {
    open((file) => expect(file.commit([{ page: 1, bytes: page(0xaa) }])).toBeNull());
    writeFileSync(redoPath(path), logOf(pages));
    open((file) => {
      expect(pageOf(file, 1)).toEqual(page(0x11));
      expect(pageOf(file, 9)).toEqual(page(0x99));
    });
    expect(existsSync(redoPath(path))).toBe(false);
  });

  it('complete, image half written: applying it again repairs the torn page', () => {
    open((file) => expect(file.commit([{ page: 1, bytes: page(0xaa) }])).toBeNull());
    const image = readFileSync(path);
    image.fill(0x11, PAGE_SIZE, PAGE_SIZE + 1234);
    writeFileSync(path, image);
    writeFileSync(redoPath(path), logOf(pages));
    open((file) => expect(pageOf(file, 1)).toEqual(page(0x11)));
  });

  it('torn at any length: the image keeps the flush before', () => {
    const log = logOf(pages);
    open((file) => expect(file.commit([{ page: 1, bytes: page(0xaa) }])).toBeNull());
    truncateSync(path, 16 * PAGE_SIZE);
    for (const length of [0, 1, 8, 15, 16, 47, 48, 5000, PAGE_SIZE, log.length - 33, log.length - 32, log.length - 1]) {
      writeFileSync(redoPath(path), log.subarray(0, length));
      open((file) => {
        expect(pageOf(file, 1)).toEqual(page(0xaa));
        expect(pageOf(file, 9)).toEqual(page(0));
      });
      expect(existsSync(redoPath(path))).toBe(false);
    }
  });

  it('damaged anywhere: it is not applied', () => {
    const log = logOf(pages);
    open((file) => expect(file.commit([{ page: 1, bytes: page(0xaa) }])).toBeNull());
    truncateSync(path, 16 * PAGE_SIZE);
    fc.assert(
      fc.property(fc.nat(log.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(log);
        damaged[at]! ^= flip;
        writeFileSync(redoPath(path), damaged);
        open((file) => expect(pageOf(file, 1)).toEqual(page(0xaa)));
      }),
      { seed: 20240, numRuns: 40 },
    );
  });

  it('of a larger image: pages past the end are left out', () => {
    writeFileSync(path, Buffer.alloc(4 * PAGE_SIZE));
    writeFileSync(redoPath(path), logOf(pages));
    open((file) => expect(pageOf(file, 1)).toEqual(page(0x11)));
    expect(statSync(path).size).toBe(4 * PAGE_SIZE);
  });

  it('of a larger image, on one that ends inside a page: nothing behind the end is written', () => {
    const size = 4 * PAGE_SIZE + SECTOR_SIZE;
    writeFileSync(path, Buffer.alloc(size));
    writeFileSync(redoPath(path), logOf([4, 5, 6].map((at) => ({ page: at, bytes: page(at) }))));
    open((file) => expect(pageOf(file, 4)[SECTOR_SIZE - 1]).toBe(4));
    expect(statSync(path).size).toBe(size);
  });

  it('cannot be written: the commit fails, the image is untouched, and a later flush succeeds', () => {
    open((file) => {
      const staged = new StagedBlockImage(file);
      expect(staged.write(8, page(1))).toBe(true);
      expect(staged.flush()).toBe(true);
      mkdirSync(redoPath(path));
      expect(staged.write(8, page(2))).toBe(true);
      expect(staged.flush()).toBe(false);
      expect(staged.hostError).toMatch(/blk\.img\.redo: is a directory$/);
      expect(readFileSync(path).subarray(PAGE_SIZE, 2 * PAGE_SIZE)).toEqual(Buffer.from(page(1)));
      rmSync(redoPath(path), { recursive: true });
      expect(staged.flush()).toBe(true);
      expect(pageOf(file, 1)).toEqual(page(2));
    });
  });
});

describe('a commit that stopped half way', () => {
  it('keeps its log until the next one is whole', () => {
    const older = logOf([{ page: 1, bytes: page(0x11) }]);
    open((file) => {
      // The image stands in the middle of the older commit, and the log of the newer one cannot be written.
      writeFileSync(redoPath(path), older);
      mkdirSync(`${redoPath(path)}.new`);
      expect(file.commit([{ page: 1, bytes: page(0x22) }])).toMatch(/is a directory$/);
      expect(readFileSync(redoPath(path)).equals(older)).toBe(true);
      rmSync(`${redoPath(path)}.new`, { recursive: true });
    });
    open((file) => expect(pageOf(file, 1)).toEqual(page(0x11)));
  });

  it.each([0, 1, 2, 3])('is taken back: with room for %i pages the image holds the flush before', (room) => {
    const old = [1, 3, 5, 9].map((at, i) => ({ page: at, bytes: page(0x10 + i) }));
    open((file) => expect(file.commit(old.slice(0, 3))).toBeNull());
    const before = readFileSync(path);
    // The fourth page is a hole: it is the one that there may be no room for, like any page behind `room`.
    const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
    let left = room;
    let failed = false;
    const file = DiskFile.open(path, (fd, bytes, offset, length, position) => {
      if (!failed && left-- === 0) {
        failed = true;
        throw full;
      }
      return writeSync(fd, bytes, offset, length, position);
    });
    const staged = new StagedBlockImage(file);
    for (const { page: at } of old) expect(staged.write(at * 8, page(0xee))).toBe(true);
    expect(staged.flush()).toBe(false);
    expect(staged.hostError).toMatch(/blk\.img: no space left on device$/);
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(existsSync(redoPath(path))).toBe(false);
    // Nothing is lost for the guest: its writes are still there, and the next flush has room.
    expect(staged.flush()).toBe(true);
    for (const { page: at } of old) expect(pageOf(file, at)).toEqual(page(0xee));
    file.close();
  });

  it('that cannot be taken back keeps its log, which the next open applies', () => {
    let writes = 0;
    const file = DiskFile.open(path, (fd, bytes, offset, length, position) => {
      writes += 1;
      if (writes > 1) throw Object.assign(new Error('broken'), { code: 'EIO' });
      return writeSync(fd, bytes, offset, length, position);
    });
    const pages = [2, 4].map((at) => ({ page: at, bytes: page(0x40 + at) }));
    expect(file.commit(pages)).toMatch(/blk\.img: EIO$/);
    file.close();
    expect(existsSync(redoPath(path))).toBe(true);
    open((again) => expect([2, 4].map((at) => pageOf(again, at)[0])).toEqual([0x42, 0x44]));
    expect(existsSync(redoPath(path))).toBe(false);
  });

  it('an unfinished log is thrown away', () => {
    open((file) => expect(file.commit([{ page: 1, bytes: page(0xaa) }])).toBeNull());
    writeFileSync(`${redoPath(path)}.new`, logOf([{ page: 1, bytes: page(0x22) }]));
    open((file) => expect(pageOf(file, 1)).toEqual(page(0xaa)));
    expect(existsSync(`${redoPath(path)}.new`)).toBe(false);
  });
});

describe('against an image in memory', () => {
  it('random writes, flushes and lost processes: the file holds what the last flush held', () => {
    const sectors = 24;
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('write' as const),
        sector: fc.nat(sectors - 1),
        fill: fc.integer({ min: 1, max: 255 }),
      }),
      fc.record({ kind: fc.constant('flush' as const) }),
      fc.record({ kind: fc.constant('die' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        writeFileSync(path, Buffer.alloc(sectors * SECTOR_SIZE));
        let file = DiskFile.open(path);
        let disk = new StagedBlockImage(file);
        let live = new SparseBlockImage(sectors);
        let flushed = live.snapshot();
        for (const one of steps) {
          switch (one.kind) {
            case 'write': {
              const bytes = new Uint8Array(SECTOR_SIZE).fill(one.fill);
              expect(disk.write(one.sector, bytes)).toBe(live.write(one.sector, bytes));
              break;
            }
            case 'flush':
              expect(disk.flush()).toBe(true);
              flushed = live.snapshot();
              break;
            case 'die':
              file.close();
              file = DiskFile.open(path);
              disk = new StagedBlockImage(file);
              live = flushed.snapshot();
              break;
          }
          const got = new Uint8Array(sectors * SECTOR_SIZE);
          const want = new Uint8Array(sectors * SECTOR_SIZE);
          disk.read(0, got);
          live.read(0, want);
          expect(Buffer.from(got).equals(Buffer.from(want))).toBe(true);
        }
        file.close();
        const want = new Uint8Array(sectors * SECTOR_SIZE);
        flushed.read(0, want);
        expect(readFileSync(path).equals(Buffer.from(want))).toBe(true);
      }),
      { seed: 20240, numRuns: 40 },
    );
  });
});
