/**
 * The disk image in a file (`--disk`): raw, sparse, the bytes the real OS would read. Guest flushes commit in one step
 * through a redo log beside the image, so a killed process loses at most what the guest had not flushed, and a full host
 * disk leaves the last flush intact: a commit that fails half way is taken back.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';

import { DEFAULT_SECTORS, PAGE_SIZE, SECTOR_SIZE } from '../sim/block-image.ts';
import type { PageStore, StagedPage } from '../sim/block-image.ts';
import { UsageError, reasonOf } from './errors.ts';
import { LockedError, lockFile, unlockFile } from './file-lock.ts';

/** Largest image taken, bytes. */
const MAX_DISK_BYTES = 1_099_511_627_776;
const LOG_MAGIC = 'NXSREDO1';
const HEADER_BYTES = 16;
const DIGEST_BYTES = 32;
const ENTRY_HEAD = 8;

/** Path of the redo log of an image. */
export function redoPath(path: string): string {
  return `${path}.redo`;
}

/** A log that is still being written. Only its renaming to {@link redoPath} makes it one. */
function unfinishedPath(path: string): string {
  return `${path}.redo.new`;
}

/** How bytes get into the image: `writeSync`, or what a test puts in its place to let the host fail. */
export type WriteAt = (fd: number, bytes: Uint8Array, offset: number, length: number, position: number) => number;

/** An image file as a page store. */
export class DiskFile implements PageStore {
  readonly sectors: number;
  readonly #path: string;
  readonly #fd: number;
  readonly #bytes: number;
  readonly #write: WriteAt;

  private constructor(path: string, fd: number, bytes: number, write: WriteAt) {
    this.#path = path;
    this.#fd = fd;
    this.#bytes = bytes;
    this.#write = write;
    this.sectors = bytes / SECTOR_SIZE;
  }

  /** Checks an image that exists without touching it. Error: one line. */
  static check(path: string): void {
    let size: number;
    try {
      const stat = statSync(path);
      if (!stat.isFile()) throw new UsageError(`--disk ${path}: expected a regular file`);
      size = stat.size;
    } catch (error) {
      if (error instanceof UsageError) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw new UsageError(`--disk ${path}: expected a readable file (${reasonOf(error)})`);
    }
    if (size === 0 || size % SECTOR_SIZE !== 0 || size > MAX_DISK_BYTES) {
      throw new UsageError(`--disk ${path}: expected a size that is a multiple of ${SECTOR_SIZE} bytes, found ${size}`);
    }
  }

  /** Opens an image for this process alone, creating a sparse one of 64 MiB where there is none, and finishes an interrupted commit. */
  static open(path: string, write: WriteAt = writeSync): DiskFile {
    DiskFile.check(path);
    try {
      lockFile(path);
    } catch (error) {
      if (error instanceof LockedError) throw new UsageError(`--disk ${path}: ${error.message}`);
      throw new UsageError(`--disk ${path}: expected a readable and writable file (${reasonOf(error)})`);
    }
    const fresh = !existsSync(path);
    try {
      const fd = openSync(path, fresh ? 'wx+' : 'r+');
      if (fresh) ftruncateSync(fd, DEFAULT_SECTORS * SECTOR_SIZE);
      const file = new DiskFile(path, fd, fstatSync(fd).size, write);
      file.#recover();
      return file;
    } catch (error) {
      unlockFile(path);
      if (error instanceof UsageError) throw error;
      throw new UsageError(`--disk ${path}: expected a readable and writable file (${reasonOf(error)})`);
    }
  }

  close(): void {
    closeSync(this.#fd);
    unlockFile(this.#path);
  }

  readPage(page: number, target: Uint8Array): string | null {
    try {
      const at = page * PAGE_SIZE;
      const wanted = Math.min(PAGE_SIZE, this.#bytes - at);
      let done = 0;
      while (done < wanted) {
        const got = readSync(this.#fd, target, done, wanted - done, at + done);
        if (got === 0) break;
        done += got;
      }
      target.fill(0, done);
      return null;
    } catch (error) {
      return `${this.#path}: ${reasonOf(error)}`;
    }
  }

  commit(pages: readonly StagedPage[]): string | null {
    const log = redoPath(this.#path);
    const unfinished = unfinishedPath(this.#path);
    try {
      // Beside an older log, which stays valid until this one is whole: its commit may have stopped half way.
      writeWhole(unfinished, encodeLog(pages));
      renameSync(unfinished, log);
    } catch (error) {
      // The image itself has not been touched: the last flush stays as it was.
      removeIfFile(unfinished);
      return `${log}: ${reasonOf(error)}`;
    }
    const before: StagedPage[] = [];
    try {
      for (const { page } of pages) before.push({ page, bytes: this.#pageNow(page) });
      this.#apply(pages);
      rmSync(log, { force: true });
      return null;
    } catch (error) {
      this.#takeBack(before, log);
      return `${this.#path}: ${reasonOf(error)}`;
    }
  }

  #apply(pages: readonly StagedPage[]): void {
    for (const { page, bytes } of pages) {
      const at = page * PAGE_SIZE;
      writeAll(this.#fd, bytes.subarray(0, Math.min(PAGE_SIZE, this.#bytes - at)), at, this.#write);
    }
    fsyncSync(this.#fd);
  }

  /**
   * The image as it was before a commit that failed half way: what could be written needs no more room to be written
   * back. Where that fails too the log stays: it is whole, and the next open, or the next flush, applies it.
   */
  #takeBack(before: readonly StagedPage[], log: string): void {
    try {
      this.#apply(before.filter(({ page, bytes }) => !Buffer.from(this.#pageNow(page)).equals(bytes)));
      rmSync(log, { force: true });
    } catch {
      // The first failure is the one to report.
    }
  }

  #pageNow(page: number): Uint8Array {
    const bytes = new Uint8Array(PAGE_SIZE);
    const error = this.readPage(page, bytes);
    if (error !== null) throw new Error(error);
    return bytes;
  }

  #recover(): void {
    const log = redoPath(this.#path);
    rmSync(unfinishedPath(this.#path), { force: true });
    if (!existsSync(log)) return;
    const pages = decodeLog(readFileSync(log));
    // A torn log belongs to a flush that never completed: the image still holds the one before.
    if (pages !== null) this.#apply(pages.filter(({ page }) => page * PAGE_SIZE < this.#bytes));
    rmSync(log, { force: true });
  }
}

/** Header (magic, page count), then page number and bytes per page, then a SHA-256 over all of it. */
function encodeLog(pages: readonly StagedPage[]): Uint8Array {
  const body = Buffer.alloc(HEADER_BYTES + pages.length * (ENTRY_HEAD + PAGE_SIZE));
  body.write(LOG_MAGIC, 0, 'latin1');
  body.writeBigUInt64LE(BigInt(pages.length), 8);
  pages.forEach(({ page, bytes }, i) => {
    const at = HEADER_BYTES + i * (ENTRY_HEAD + PAGE_SIZE);
    body.writeBigUInt64LE(BigInt(page), at);
    body.set(bytes, at + ENTRY_HEAD);
  });
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

function decodeLog(log: Buffer): readonly StagedPage[] | null {
  if (log.length < HEADER_BYTES + DIGEST_BYTES || log.toString('latin1', 0, 8) !== LOG_MAGIC) return null;
  const count = Number(log.readBigUInt64LE(8));
  const end = HEADER_BYTES + count * (ENTRY_HEAD + PAGE_SIZE);
  if (log.length !== end + DIGEST_BYTES) return null;
  const body = log.subarray(0, end);
  if (!createHash('sha256').update(body).digest().equals(log.subarray(end))) return null;
  return Array.from({ length: count }, (_, i) => {
    const at = HEADER_BYTES + i * (ENTRY_HEAD + PAGE_SIZE);
    return {
      page: Number(body.readBigUInt64LE(at)),
      bytes: body.subarray(at + ENTRY_HEAD, at + ENTRY_HEAD + PAGE_SIZE),
    };
  });
}

function writeWhole(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'w');
  try {
    writeAll(fd, bytes, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Cleans up after a failure; what cannot be removed is no second one. */
function removeIfFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Something that is not ours lies there.
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number, write: WriteAt = writeSync): void {
  let done = 0;
  while (done < bytes.length) done += write(fd, bytes, done, bytes.length - done, position + done);
}
