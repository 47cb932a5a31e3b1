/** Records the order of writes and flushes of a disk, so that tests can cut the power at any point and look what is left. */
import { assert } from './assert.ts';
import type { BlockImage, SparseBlockImage } from './block-image.ts';
import { SECTOR_SIZE } from './block-image.ts';

/** Entries kept by default; a run that writes more than this is not a power-cut test. */
export const WRITE_LOG_LIMIT = 1_000_000;

/** One thing that happened to the disk. */
export type WriteLogEntry =
  { readonly kind: 'write'; readonly sector: number; readonly bytes: Uint8Array } | { readonly kind: 'flush' };

/** Decides whether sector `sector` of the unflushed write `entry` (its index in the log) had reached the medium. */
export type KeepUnflushed = (entry: number, sector: number) => boolean;

/** A {@link SparseBlockImage} that remembers what was written to it, in order. */
export class WriteLog implements BlockImage {
  readonly sectors: number;
  readonly hostError = null;
  readonly #base: SparseBlockImage;
  readonly #image: SparseBlockImage;
  readonly #entries: WriteLogEntry[] = [];
  readonly #limit: number;

  /** Starts from the content of `image`, which it keeps writing to; that content counts as lasting. */
  constructor(image: SparseBlockImage, limit = WRITE_LOG_LIMIT) {
    this.sectors = image.sectors;
    this.#image = image;
    this.#base = image.snapshot();
    this.#limit = limit;
  }

  /** What happened so far. */
  get entries(): readonly WriteLogEntry[] {
    return this.#entries;
  }

  read(sector: number, target: Uint8Array): boolean {
    return this.#image.read(sector, target);
  }

  write(sector: number, source: Uint8Array): boolean {
    this.#image.write(sector, source);
    this.#append({ kind: 'write', sector, bytes: source.slice() });
    return true;
  }

  flush(): boolean {
    this.#append({ kind: 'flush' });
    return true;
  }

  /**
   * The disk after a power cut behind the first `prefix` entries: everything up to the last flush in that prefix is
   * there; of the writes after it, sector by sector, only what `keep` says (default: nothing).
   */
  cut(prefix: number, keep: KeepUnflushed = () => false): SparseBlockImage {
    assert(prefix >= 0 && prefix <= this.#entries.length, 'power cut beyond the end of the log');
    const image = this.#base.snapshot();
    let flushed = prefix;
    while (flushed > 0 && this.#entries[flushed - 1]?.kind !== 'flush') flushed -= 1;
    for (let i = 0; i < prefix; i += 1) {
      const entry = this.#entries[i];
      if (entry?.kind !== 'write') continue;
      if (i < flushed) image.write(entry.sector, entry.bytes);
      else applyKept(image, entry.sector, entry.bytes, (sector) => keep(i, sector));
    }
    return image;
  }

  #append(entry: WriteLogEntry): void {
    assert(this.#entries.length < this.#limit, `write log holds at most ${String(this.#limit)} entries`);
    this.#entries.push(entry);
  }
}

function applyKept(image: SparseBlockImage, first: number, bytes: Uint8Array, keep: (sector: number) => boolean): void {
  for (let at = 0; at < bytes.length; at += SECTOR_SIZE) {
    const sector = first + at / SECTOR_SIZE;
    if (keep(sector)) image.write(sector, bytes.subarray(at, at + SECTOR_SIZE));
  }
}
