/**
 * The append-only journal (sheet 50, sections 7 and 8): records back to back from byte 0, no superblock, no
 * compaction; the end is where parsing stops. Replay rebuilds the map, append writes through without a flush.
 */
import { assert } from '../../sim/assert.ts';
import type { BlockDevice } from './blocks.ts';
import { encodeRecord, MAX_RECORD_SIZE, parseRecord, peekRecord, RECORD_HEADER, RECORD_OVERHEAD } from './record.ts';
import type { JournalRecord, RecordOpcode } from './record.ts';

/** A replay that reaches this many records fails; appending has no limit. */
export const MAX_REPLAY_RECORDS = 100_000;

/** How the journal treats its tail. The defaults keep the contract (OBS-2, OBS-20). */
export interface JournalOptions {
  /**
   * Write an all-zero header behind every record and the blocks of one append from the last to the first, so that
   * bytes of an older journal never come alive. Off: no end mark, first block first, as the reference writes.
   */
  readonly endMark: boolean;
  /**
   * Stop at a header whose lengths no record can have, and at the record limit. Off: read on to where such a record
   * would end, as the reference does; the records found are the same.
   */
  readonly boundedReplay: boolean;
}

/** Why a replay failed. */
export type ReplayFault = 'io' | 'replay-limit';

/** The journal of one device. `Y` is what the device's operations yield. */
export class Journal<Y> {
  readonly #device: BlockDevice<Y>;
  readonly #options: JournalOptions;
  readonly #block: Uint8Array;
  #writePos = 0;
  #recordCount = 0;

  constructor(device: BlockDevice<Y>, options: JournalOptions) {
    this.#device = device;
    this.#options = options;
    this.#block = new Uint8Array(device.blockSize);
  }

  /** Byte offset where the next record goes. */
  get writePos(): number {
    return this.#writePos;
  }

  /** Records replayed and appended so far. */
  get recordCount(): number {
    return this.#recordCount;
  }

  /**
   * Reads the journal from the start and hands every valid record to `apply`, whose view of the value is only good
   * during the call. A torn or corrupt record ends the journal without an error. After a fault `writePos` is 0.
   */
  *replay(apply: (record: JournalRecord) => void): Generator<Y, ReplayFault | null, number> {
    const device = this.#device;
    const window = new ReplayWindow(device.blockSize);
    this.#writePos = 0;
    this.#recordCount = 0;
    let filePos = 0;
    let finished = false;
    for (let index = 0; index < device.blockCount && !finished; index++) {
      if ((yield* device.read(index, this.#block)) !== null) return 'io';
      window.push(this.#block);
      while (window.length > 0 && this.#recordCount < MAX_REPLAY_RECORDS) {
        const bytes = window.bytes();
        if (bytes.length < RECORD_OVERHEAD) break;
        const head = peekRecord(bytes);
        if (head !== null && !head.withinLimits) {
          if (!this.#options.boundedReplay && (yield* this.#readThrough(index + 1, filePos + head.size)) !== null) {
            return 'io';
          }
          finished = true;
          break;
        }
        if (head !== null && bytes.length < head.size) break;
        const record = parseRecord(bytes);
        if (record === 'none' || record === 'corrupted') {
          finished = true;
          break;
        }
        apply(record);
        window.drop(record.size);
        filePos += record.size;
        this.#recordCount += 1;
      }
      if (this.#recordCount >= MAX_REPLAY_RECORDS) {
        if (this.#options.boundedReplay) break;
        if ((yield* this.#readThrough(index + 1, Infinity)) !== null) return 'io';
        break;
      }
    }
    if (this.#recordCount >= MAX_REPLAY_RECORDS) return 'replay-limit';
    this.#writePos = filePos;
    return null;
  }

  /** Appends one record (section 8.3). On `io` the position is unchanged, though some blocks may have been written. */
  *append(opcode: RecordOpcode, key: Uint8Array, value: Uint8Array): Generator<Y, 'io' | null, number> {
    const { blockSize, blockCount } = this.#device;
    const size = RECORD_OVERHEAD + key.length + value.length;
    assert(size <= MAX_RECORD_SIZE, 'journal record beyond its limits');
    const end = this.#writePos + size;
    if (Math.ceil(end / blockSize) > blockCount) return 'io';
    // Fewer than 15 bytes at the end of the device can hold no record: the mark may be cut there.
    const mark = this.#options.endMark ? Math.min(RECORD_HEADER, blockCount * blockSize - end) : 0;
    const bytes = encodeRecord(opcode, key, value, mark);
    const written = this.#options.endMark ? yield* this.#writeLastFirst(bytes) : yield* this.#writeInOrder(bytes);
    if (!written) return 'io';
    this.#writePos = end;
    this.#recordCount += 1;
    return null;
  }

  /** Makes everything appended so far durable. */
  *flush(): Generator<Y, 'io' | null, number> {
    return (yield* this.#device.flush()) === null ? null : 'io';
  }

  *#writeInOrder(bytes: Uint8Array): Generator<Y, boolean, number> {
    const { first, last } = this.#span(bytes.length);
    for (let index = first; index <= last; index++) {
      if ((yield* this.#device.read(index, this.#block)) !== null) return false;
      this.#overlay(index, bytes);
      if ((yield* this.#device.write(index, this.#block)) !== null) return false;
    }
    return true;
  }

  // The first block holds the start of the record over the old end mark: written last, it commits the whole append.
  // Where the later blocks held bytes of an older journal, they must be durable before that, or a lost write would
  // leave the new record in front of an old one.
  *#writeLastFirst(bytes: Uint8Array): Generator<Y, boolean, number> {
    const { first, last } = this.#span(bytes.length);
    let stale = false;
    for (let index = last; index >= first; index--) {
      if ((yield* this.#device.read(index, this.#block)) !== null) return false;
      if (index > first) stale ||= hasNonZero(this.#block);
      else if (stale && (yield* this.#device.flush()) !== null) return false;
      this.#overlay(index, bytes);
      if ((yield* this.#device.write(index, this.#block)) !== null) return false;
    }
    return true;
  }

  #span(length: number): { readonly first: number; readonly last: number } {
    const { blockSize } = this.#device;
    return {
      first: Math.floor(this.#writePos / blockSize),
      last: Math.floor((this.#writePos + length - 1) / blockSize),
    };
  }

  #overlay(index: number, bytes: Uint8Array): void {
    const { blockSize } = this.#device;
    const at = index * blockSize - this.#writePos;
    this.#block.set(bytes.subarray(Math.max(at, 0), at + blockSize), Math.max(-at, 0));
  }

  *#readThrough(from: number, endByte: number): Generator<Y, 'io' | null, number> {
    const { blockSize, blockCount } = this.#device;
    const end = Math.min(blockCount, Math.ceil(endByte / blockSize));
    for (let index = from; index < end; index++) {
      if ((yield* this.#device.read(index, this.#block)) !== null) return 'io';
    }
    return null;
  }
}

function hasNonZero(bytes: Uint8Array): boolean {
  return bytes.some((byte) => byte !== 0);
}

/** Bytes read and not parsed yet; never more than one record and one block. */
class ReplayWindow {
  #buffer: Uint8Array;
  #start = 0;
  #end = 0;

  constructor(blockSize: number) {
    this.#buffer = new Uint8Array(2 * blockSize);
  }

  get length(): number {
    return this.#end - this.#start;
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  drop(count: number): void {
    this.#start += count;
  }

  push(block: Uint8Array): void {
    if (this.#end + block.length > this.#buffer.length) {
      const rest = this.length;
      const roomy = rest + block.length <= this.#buffer.length / 2;
      const target = roomy ? this.#buffer : new Uint8Array(2 * (rest + block.length));
      if (roomy) target.copyWithin(0, this.#start, this.#end);
      else target.set(this.bytes());
      this.#buffer = target;
      this.#start = 0;
      this.#end = rest;
    }
    this.#buffer.set(block, this.#end);
    this.#end += block.length;
  }
}
