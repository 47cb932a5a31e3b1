/** What a disk holds, read on the host with the journal's own replay (sheet 50, section 8). */
import { SECTOR_SIZE } from '../sim/block-image.ts';
import type { BlockImage } from '../sim/block-image.ts';
import type { BlockDevice, BlockFault } from '../services/statefsd/blocks.ts';
import { Store } from '../services/statefsd/store.ts';

/** A block image as the journal's device: sectors are its blocks. Nothing it does yields. */
class ImageBlocks implements BlockDevice<never> {
  readonly blockSize = SECTOR_SIZE;
  readonly blockCount: number;
  readonly #image: BlockImage;

  constructor(image: BlockImage) {
    this.#image = image;
    this.blockCount = image.sectors;
  }

  *read(index: number, into: Uint8Array): Generator<never, BlockFault | null, number> {
    if (index >= this.blockCount) return 'out-of-range';
    return this.#image.read(index, into.subarray(0, SECTOR_SIZE)) ? null : 'io';
  }

  *write(): Generator<never, BlockFault | null, number> {
    return 'io';
  }

  *flush(): Generator<never, BlockFault | null, number> {
    return null;
  }
}

/** Keys read from a disk at most. */
const MAX_KEYS = 100_000;

function storeOf(image: BlockImage): Store<never> | null {
  const opened = Store.open(new ImageBlocks(image)).next();
  return opened.done !== true || typeof opened.value === 'string' ? null : opened.value;
}

/** The statefs keys on a disk, in byte order; null where its journal cannot be replayed. */
export function diskKeys(image: BlockImage): readonly string[] | null {
  const keys = storeOf(image)?.list('/state/', MAX_KEYS) ?? null;
  return typeof keys === 'string' ? null : keys;
}

/** The value of a statefs key on a disk; null where there is none, or no journal that can be replayed. */
export function diskValue(image: BlockImage, key: string): Uint8Array | null {
  const value = storeOf(image)?.get(key) ?? null;
  return typeof value === 'string' ? null : value;
}
