/**
 * The block device under the journal (sheet 50, section 6). Operations are generators so that a driver may issue
 * syscalls while it polls; `Y` is what it yields. The memory device yields nothing, and neither do tests.
 */

/** Why a block operation failed; null is success. */
export type BlockFault = 'io' | 'out-of-range';

/** A device of `blockCount` blocks of `blockSize` bytes. `Y` is what its operations yield. */
export interface BlockDevice<Y> {
  readonly blockSize: number;
  readonly blockCount: number;
  /** Reads block `index` into the first `blockSize` bytes of `into`. */
  read(index: number, into: Uint8Array): Generator<Y, BlockFault | null, number>;
  /** Writes the first `blockSize` bytes of `data` to block `index`; durable only after {@link flush}. */
  write(index: number, data: Uint8Array): Generator<Y, BlockFault | null, number>;
  flush(): Generator<Y, BlockFault | null, number>;
}

/** Block size and count of statefsd's memory fallback: 32 KiB. */
export const MEMORY_BLOCK_SIZE = 512;
export const MEMORY_BLOCK_COUNT = 64;

/** A zero-filled device in memory; flush is a no-op that succeeds. */
export class MemoryBlocks implements BlockDevice<never> {
  readonly blockSize: number;
  readonly blockCount: number;
  readonly bytes: Uint8Array;

  constructor(blockSize: number = MEMORY_BLOCK_SIZE, blockCount: number = MEMORY_BLOCK_COUNT) {
    this.blockSize = blockSize;
    this.blockCount = blockCount;
    this.bytes = new Uint8Array(blockSize * blockCount);
  }

  *read(index: number, into: Uint8Array): Generator<never, BlockFault | null, number> {
    const fault = this.#fault(index, into);
    if (fault !== null) return fault;
    into.set(this.bytes.subarray(index * this.blockSize, (index + 1) * this.blockSize));
    return null;
  }

  *write(index: number, data: Uint8Array): Generator<never, BlockFault | null, number> {
    const fault = this.#fault(index, data);
    if (fault !== null) return fault;
    this.bytes.set(data.subarray(0, this.blockSize), index * this.blockSize);
    return null;
  }

  *flush(): Generator<never, BlockFault | null, number> {
    return null;
  }

  #fault(index: number, buffer: Uint8Array): BlockFault | null {
    if (index >= this.blockCount) return 'out-of-range';
    return buffer.length < this.blockSize ? 'io' : null;
  }
}
