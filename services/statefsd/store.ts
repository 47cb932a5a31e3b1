/**
 * The engine of statefsd (sheet 50, section 8): an ordered map in memory whose every change goes through the journal
 * first. Reads are served from memory. Nothing is flushed but by {@link Store.sync}.
 */
import type { BlockDevice } from './blocks.ts';
import { Journal } from './journal.ts';
import type { JournalOptions, ReplayFault } from './journal.ts';
import { compareKeys, KEY_ROOT, keyBytes, keyFault } from './key.ts';
import { RECORD_CHECKPOINT, RECORD_DELETE, RECORD_PUT } from './record.ts';
import type { JournalRecord } from './record.ts';
import { MAX_VALUE_SIZE } from './wire.ts';
import type { StatefsError } from './wire.ts';
import { unreachable } from '../../sim/assert.ts';

/** Behaviour of a store; the defaults keep the contract. */
export interface StoreOptions extends JournalOptions {
  /** Refuse changes after a failed replay. Off: they go to the head of the journal, as in the reference. */
  readonly readOnlyAfterFailedReplay: boolean;
}

/** The contract (OBS-2, OBS-20). */
export const CONTRACT_STORE: StoreOptions = { endMark: true, boundedReplay: true, readOnlyAfterFailedReplay: true };
/** The reference image (quirk `statefs-tail`). */
export const REFERENCE_STORE: StoreOptions = {
  endMark: false,
  boundedReplay: false,
  readOnlyAfterFailedReplay: false,
};

const NO_VALUE = new Uint8Array(0);

/** One open store. `Y` is what its device yields. */
export class Store<Y> {
  readonly #journal: Journal<Y>;
  readonly #options: StoreOptions;
  readonly #values = new Map<string, Uint8Array>();
  /** Keys of `#values` in byte order. */
  #keys: string[] = [];
  #readOnly = false;

  private constructor(device: BlockDevice<Y>, options: StoreOptions) {
    this.#journal = new Journal(device, options);
    this.#options = options;
  }

  /** Opens the store on a device by replaying its journal. */
  static *open<Y>(
    device: BlockDevice<Y>,
    options: StoreOptions = CONTRACT_STORE,
  ): Generator<Y, Store<Y> | ReplayFault, number> {
    const store = new Store(device, options);
    return (yield* store.reopen()) ?? store;
  }

  /** Byte offset where the next record goes. */
  get writePos(): number {
    return this.#journal.writePos;
  }

  /** Records in the journal, overwritten and deleted ones included. */
  get recordCount(): number {
    return this.#journal.recordCount;
  }

  /** Keys stored. */
  get size(): number {
    return this.#keys.length;
  }

  /** True after a failed replay, until one succeeds (contract only): put and delete fail with `io`. */
  get readOnly(): boolean {
    return this.#readOnly;
  }

  /** Stores a copy of `value`. Errors: key-too-long, invalid-key, value-too-large, io. */
  *put(key: string, value: Uint8Array): Generator<Y, StatefsError | null, number> {
    const fault = keyFault(key);
    if (fault !== null) return fault;
    if (value.length > MAX_VALUE_SIZE) return 'value-too-large';
    if (this.#readOnly) return 'io';
    const copy = value.slice();
    const failed = yield* this.#journal.append(RECORD_PUT, keyBytes(key), copy);
    if (failed !== null) return failed;
    this.#insert(key, copy);
    return null;
  }

  /** The stored value, not to be changed. Errors: key-too-long, invalid-key, not-found. */
  get(key: string): Uint8Array | StatefsError {
    return keyFault(key) ?? this.#values.get(key) ?? 'not-found';
  }

  /** Removes a key. Errors: key-too-long, invalid-key, not-found, io. */
  *delete(key: string): Generator<Y, StatefsError | null, number> {
    const fault = keyFault(key);
    if (fault !== null) return fault;
    if (!this.#values.has(key)) return 'not-found';
    if (this.#readOnly) return 'io';
    const failed = yield* this.#journal.append(RECORD_DELETE, keyBytes(key), NO_VALUE);
    if (failed !== null) return failed;
    this.#values.delete(key);
    this.#keys.splice(this.#position(key), 1);
    return null;
  }

  /** The first `limit` keys, in byte order, that start with `prefix` as a plain string. Error: invalid-key. */
  list(prefix: string, limit: number): readonly string[] | StatefsError {
    if (!prefix.startsWith(KEY_ROOT) && `${prefix}/` !== KEY_ROOT) return 'invalid-key';
    const found: string[] = [];
    for (let i = this.#position(prefix); i < this.#keys.length && found.length < limit; i++) {
      const key = this.#keys[i];
      if (key?.startsWith(prefix) !== true) break;
      found.push(key);
    }
    return found;
  }

  /** Makes all changes so far durable. Error: io. */
  *sync(): Generator<Y, StatefsError | null, number> {
    return yield* this.#journal.flush();
  }

  /** Drops the map and replays the journal. After an error the map holds what was replayed up to it. */
  *reopen(): Generator<Y, ReplayFault | null, number> {
    this.#values.clear();
    this.#keys = [];
    const fault = yield* this.#journal.replay((record) => {
      this.#apply(record);
    });
    this.#keys = [...this.#values.keys()].sort(compareKeys);
    this.#readOnly = fault !== null && this.#options.readOnlyAfterFailedReplay;
    return fault;
  }

  #apply(record: JournalRecord): void {
    switch (record.opcode) {
      case RECORD_PUT:
        this.#values.set(record.key, record.value.slice());
        return;
      case RECORD_DELETE:
        this.#values.delete(record.key);
        return;
      case RECORD_CHECKPOINT:
        return;
      default:
        unreachable(record.opcode);
    }
  }

  #insert(key: string, value: Uint8Array): void {
    if (!this.#values.has(key)) this.#keys.splice(this.#position(key), 0, key);
    this.#values.set(key, value);
  }

  /** Index of the first key that is not below `key`. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareKeys(this.#keys[middle] ?? '', key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
