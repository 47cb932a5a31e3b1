/**
 * The disk behind virtio-blk: 512-byte sectors, no idea of virtio. Images are plain data; the one that lives in a file
 * belongs to the command line, built on {@link StagedBlockImage} (sim touches no files).
 */
import { assert } from './assert.ts';

/** Bytes of a sector (sheet 05, section 12: blk_size 512). */
export const SECTOR_SIZE = 512;
/** The reference's image: 64 MiB (sheet 05, section 1.1). */
export const DEFAULT_SECTORS = 131_072;
/** Largest image: sector numbers times 512 stay exact integers. */
export const MAX_SECTORS = Number.MAX_SAFE_INTEGER / SECTOR_SIZE / 2;
/** Allocation unit of the sparse images. */
export const PAGE_SIZE = 4096;
/** Sectors of one page. */
export const PAGE_SECTORS = PAGE_SIZE / SECTOR_SIZE;

/**
 * A disk. `read` and `write` move whole sectors (buffer length a multiple of 512, range inside the image: the caller
 * checks). False means that the host failed: the guest gets IOERR and {@link BlockImage.hostError} says why from then on.
 */
export interface BlockImage {
  readonly sectors: number;
  /** The first host failure in one line, or null. The command line exits 2 when it is set. */
  readonly hostError: string | null;
  read(sector: number, target: Uint8Array): boolean;
  write(sector: number, source: Uint8Array): boolean;
  /** Makes everything written so far survive a power cut. */
  flush(): boolean;
}

/** A run of non-zero bytes of an image. */
export interface ImageChunk {
  /** Byte offset in the image, a multiple of {@link PAGE_SIZE}. */
  readonly offset: number;
  /** Live bytes of the image; do not keep. */
  readonly bytes: Uint8Array;
}

/** Checks what the caller of a block image promises. */
function assertRange(image: { readonly sectors: number }, sector: number, bytes: number): void {
  assert(bytes % SECTOR_SIZE === 0, 'block access is not whole sectors');
  assert(sector >= 0 && sector + bytes / SECTOR_SIZE <= image.sectors, 'block access outside the image');
}

/** Calls `visit` for each part of [sector, sector + length) that lies in one page, until it returns false. */
function eachPage(
  sector: number,
  buffer: Uint8Array,
  visit: (page: number, at: number, part: Uint8Array) => boolean,
): boolean {
  let done = 0;
  while (done < buffer.length) {
    const position = sector * SECTOR_SIZE + done;
    const at = position % PAGE_SIZE;
    const size = Math.min(PAGE_SIZE - at, buffer.length - done);
    if (!visit((position - at) / PAGE_SIZE, at, buffer.subarray(done, done + size))) return false;
    done += size;
  }
  return true;
}

function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}

/** An image in memory; pages come into being with the first non-zero byte written to them. Never fails. */
export class SparseBlockImage implements BlockImage {
  readonly sectors: number;
  readonly hostError = null;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(sectors = DEFAULT_SECTORS) {
    assert(Number.isInteger(sectors) && sectors >= 0 && sectors <= MAX_SECTORS, 'image size out of range');
    this.sectors = sectors;
  }

  /** An image with the given raw content, zero-padded to whole sectors. */
  static fromBytes(bytes: Uint8Array, sectors = Math.ceil(bytes.length / SECTOR_SIZE)): SparseBlockImage {
    const image = new SparseBlockImage(sectors);
    const whole = new Uint8Array(Math.ceil(bytes.length / SECTOR_SIZE) * SECTOR_SIZE);
    whole.set(bytes);
    image.write(0, whole);
    return image;
  }

  read(sector: number, target: Uint8Array): boolean {
    assertRange(this, sector, target.length);
    return eachPage(sector, target, (page, at, part) => {
      const bytes = this.#pages.get(page);
      if (bytes === undefined) part.fill(0);
      else part.set(bytes.subarray(at, at + part.length));
      return true;
    });
  }

  write(sector: number, source: Uint8Array): boolean {
    assertRange(this, sector, source.length);
    return eachPage(sector, source, (page, at, part) => {
      let bytes = this.#pages.get(page);
      if (bytes === undefined) {
        if (isZero(part)) return true;
        bytes = new Uint8Array(PAGE_SIZE);
        this.#pages.set(page, bytes);
      }
      bytes.set(part, at);
      return true;
    });
  }

  flush(): boolean {
    return true;
  }

  /** Bytes held in memory. */
  get allocated(): number {
    return this.#pages.size * PAGE_SIZE;
  }

  /** A copy that later writes do not change. */
  snapshot(): SparseBlockImage {
    const copy = new SparseBlockImage(this.sectors);
    for (const [page, bytes] of this.#pages) copy.#pages.set(page, bytes.slice());
    return copy;
  }

  /**
   * The non-zero pages in ascending order, cut at the end of the image: the same content gives the same chunks, however
   * it came to be. Everything else is zero. For hashing, comparing and writing a sparse file.
   */
  *chunks(): Generator<ImageChunk> {
    const end = this.sectors * SECTOR_SIZE;
    const order = [...this.#pages.keys()].sort((a, b) => a - b);
    for (const page of order) {
      const bytes = this.#pages.get(page);
      if (bytes === undefined || isZero(bytes)) continue;
      const offset = page * PAGE_SIZE;
      yield { offset, bytes: bytes.subarray(0, Math.min(PAGE_SIZE, end - offset)) };
    }
  }
}

/** Byte offset of the first difference of two images, or null when size and content are equal. */
export function firstDifference(a: SparseBlockImage, b: SparseBlockImage): number | null {
  const end = Math.min(a.sectors, b.sectors) * SECTOR_SIZE;
  const left = a.chunks();
  const right = b.chunks();
  let l = left.next();
  let r = right.next();
  while (l.done !== true || r.done !== true) {
    const atLeft = l.done === true ? Infinity : l.value.offset;
    const atRight = r.done === true ? Infinity : r.value.offset;
    const offset = Math.min(atLeft, atRight);
    const x = l.done !== true && atLeft === offset ? l.value.bytes : null;
    const y = r.done !== true && atRight === offset ? r.value.bytes : null;
    for (let i = 0; i < PAGE_SIZE && offset + i < end; i += 1) {
      if ((x?.[i] ?? 0) !== (y?.[i] ?? 0)) return offset + i;
    }
    if (x !== null) l = left.next();
    if (y !== null) r = right.next();
  }
  return a.sectors === b.sectors ? null : end;
}

/** True when two images have the same size and content. */
export function imagesEqual(a: SparseBlockImage, b: SparseBlockImage): boolean {
  return firstDifference(a, b) === null;
}

/** A page that waits for its commit. */
export interface StagedPage {
  readonly page: number;
  readonly bytes: Uint8Array;
}

/**
 * Lasting storage under a {@link StagedBlockImage}, for example a file. Failing methods return one line that says what
 * failed and where (`/x/blk.img: no space left on device`), successful ones null.
 */
export interface PageStore {
  readonly sectors: number;
  /** Fills `target` (one page; the part past the end of the image is zero). */
  readPage(page: number, target: Uint8Array): string | null;
  /**
   * Makes all pages last, in one step: after a failure, or when the process dies at any instant inside, the store holds
   * either all of them or none. (A file does it with a redo log beside it: write the log, sync, apply, sync, remove.)
   */
  commit(pages: readonly StagedPage[]): string | null;
}

/**
 * A write-back image over a store: writes stay in memory until FLUSH commits them as a whole. So a killed process loses
 * at most what the guest had not flushed, and a full host disk leaves the last FLUSH intact: FLUSH answers false, the
 * pages stay staged, reads still see them, and the next FLUSH tries again.
 */
export class StagedBlockImage implements BlockImage {
  readonly sectors: number;
  readonly #store: PageStore;
  readonly #staged = new Map<number, Uint8Array>();
  readonly #page = new Uint8Array(PAGE_SIZE);
  #hostError: string | null = null;

  constructor(store: PageStore) {
    this.sectors = store.sectors;
    this.#store = store;
  }

  get hostError(): string | null {
    return this.#hostError;
  }

  /** Pages written since the last successful flush. */
  get stagedPages(): number {
    return this.#staged.size;
  }

  read(sector: number, target: Uint8Array): boolean {
    assertRange(this, sector, target.length);
    return eachPage(sector, target, (page, at, part) => {
      let bytes = this.#staged.get(page);
      if (bytes === undefined) {
        if (!this.#ok(this.#store.readPage(page, this.#page))) return false;
        bytes = this.#page;
      }
      part.set(bytes.subarray(at, at + part.length));
      return true;
    });
  }

  write(sector: number, source: Uint8Array): boolean {
    assertRange(this, sector, source.length);
    return eachPage(sector, source, (page, at, part) => {
      let bytes = this.#staged.get(page);
      if (bytes === undefined) {
        bytes = new Uint8Array(PAGE_SIZE);
        if (part.length < PAGE_SIZE && !this.#ok(this.#store.readPage(page, bytes))) return false;
        this.#staged.set(page, bytes);
      }
      bytes.set(part, at);
      return true;
    });
  }

  flush(): boolean {
    if (this.#staged.size === 0) return true;
    const pages = [...this.#staged].map(([page, bytes]) => ({ page, bytes })).sort((a, b) => a.page - b.page);
    if (!this.#ok(this.#store.commit(pages))) return false;
    this.#staged.clear();
    return true;
  }

  #ok(error: string | null): boolean {
    this.#hostError ??= error;
    return error === null;
  }
}
