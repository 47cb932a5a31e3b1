/**
 * For this folder's tests: running generators that never yield, hex, and a block device that can lose what was not
 * flushed.
 */
import type { BlockDevice, BlockFault } from './blocks.ts';
import { CONTRACT_STORE, Store } from './store.ts';
import type { StoreOptions } from './store.ts';

/** Runs a generator whose device never yields. */
export function run<T>(generator: Generator<never, T, number>): T {
  const step = generator.next();
  if (step.done !== true) throw new Error('the device yielded');
  return step.value;
}

/** Bytes of a hex string; spaces are ignored. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

/** UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Opens a store that must open. */
export function openStore(device: BlockDevice<never>, options: StoreOptions = CONTRACT_STORE): Store<never> {
  const store = run(Store.open(device, options));
  if (typeof store === 'string') throw new Error(store);
  return store;
}

/** A stored value as text, or the error. */
export function textOf(value: Uint8Array | string): string {
  return typeof value === 'string' ? `error ${value}` : Buffer.from(value).toString();
}

/**
 * A write-back device: reads see every write, the medium only what was flushed. The log of writes since the last flush
 * says what a power cut may lose.
 */
export class WriteLogBlocks implements BlockDevice<never> {
  readonly blockSize: number;
  readonly blockCount: number;
  readonly ops: string[] = [];
  /** Block contents as of the last flush. */
  readonly durable: Uint8Array[];
  /** Writes since the last flush, in order. */
  pending: { readonly index: number; readonly data: Uint8Array }[] = [];
  /** All writes since {@link restart}, for cutting after any prefix. */
  history: { readonly index: number; readonly data: Uint8Array }[] = [];
  /** Fails the operation whose count reaches this. */
  failAt = Infinity;
  /** Fails the operations it says, by their count from 1. A failed operation does nothing. */
  failing: ((count: number) => boolean) | null = null;
  #count = 0;
  #current: Uint8Array[];

  constructor(blockSize: number, blockCount: number) {
    this.blockSize = blockSize;
    this.blockCount = blockCount;
    this.durable = Array.from({ length: blockCount }, () => new Uint8Array(blockSize));
    this.#current = this.durable.map((block) => block.slice());
  }

  /** Sets the medium to `blocks` and forgets everything else: power on. */
  restart(blocks: readonly Uint8Array[]): void {
    blocks.forEach((block, i) => (this.durable[i] = block.slice()));
    this.#current = this.durable.map((block) => block.slice());
    this.pending = [];
    this.history = [];
  }

  /** What a read would see. */
  get current(): readonly Uint8Array[] {
    return this.#current;
  }

  *read(index: number, into: Uint8Array): Generator<never, BlockFault | null, number> {
    this.ops.push(`read ${index}`);
    if (this.#fails()) return 'io';
    const block = this.#current[index];
    if (block === undefined) return 'out-of-range';
    into.set(block);
    return null;
  }

  *write(index: number, data: Uint8Array): Generator<never, BlockFault | null, number> {
    this.ops.push(`write ${index}`);
    if (this.#fails()) return 'io';
    if (this.#current[index] === undefined) return 'out-of-range';
    const copy = data.slice(0, this.blockSize);
    this.#current[index] = copy;
    this.pending.push({ index, data: copy });
    this.history.push({ index, data: copy });
    return null;
  }

  *flush(): Generator<never, BlockFault | null, number> {
    this.ops.push('flush');
    if (this.#fails()) return 'io';
    for (const { index, data } of this.pending) this.durable[index] = data;
    this.pending = [];
    return null;
  }

  #fails(): boolean {
    this.#count += 1;
    return this.#count === this.failAt || this.failing?.(this.#count) === true;
  }
}
