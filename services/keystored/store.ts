/**
 * Where keystored keeps things (sheet 60, sections 3.3 and 3.6): keys scoped by their sender's id, in statefs; after the
 * first denial there, in memory for good (section 11, Q16).
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
import { unreachable } from '../../sim/assert.ts';
import type { StatefsError } from '../statefsd/wire.ts';
import { Status } from './wire.ts';
import type { StoreKey, StoreValue } from './wire.ts';

/** Everything of keystored in statefs lies under this. */
export const STORE_PREFIX = '/state/keystore/';
/** The device's seed. */
export const DEVICE_KEY_PATH = `${STORE_PREFIX}device.signing`;

/** statefs path of a sender's key: id as 16 hex digits, key bytes as hex. */
export function pathOf(sender: ServiceId, key: StoreKey): string {
  return `${STORE_PREFIX}${sender.toString(16).padStart(16, '0')}/${hexOf(key)}`;
}

function hexOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** Status byte of a statefs error (section 3.3); access-denied has none of its own, it switches the backend. */
export function statusOfError(error: Exclude<StatefsError, 'access-denied'>): Status {
  switch (error) {
    case 'not-found':
      return Status.NOT_FOUND;
    case 'value-too-large':
    case 'key-too-long':
      return Status.TOO_LARGE;
    case 'invalid-key':
    case 'corrupted':
      return Status.MALFORMED;
    case 'io':
    case 'replay-limit':
      return Status.UNSUPPORTED;
    default:
      return unreachable(error);
  }
}

/** What the store needs of a statefs client. */
export interface StateClient<Y> {
  put(key: string, value: Uint8Array): Generator<Y, StatefsError | null, number>;
  get(key: string): Generator<Y, Uint8Array | StatefsError, number>;
  delete(key: string): Generator<Y, StatefsError | null, number>;
}

/** A status, or the value of a GET. */
export type StoreResult = Status | Uint8Array;

/** Told once, before the operation that was denied is done again in memory. */
export type OnFallback<Y> = () => Generator<Y, void, number>;

/** The store of one keystored. `Y` is what its backend yields: syscalls, or nothing in tests. */
export class KeyStore<Y> {
  #client: StateClient<Y> | null;
  readonly #onFallback: OnFallback<Y>;
  /** By path, which tells senders and keys apart. Unbounded, as the reference's map. */
  readonly #memory = new Map<string, Uint8Array>();

  constructor(client: StateClient<Y>, onFallback: OnFallback<Y>) {
    this.#client = client;
    this.#onFallback = onFallback;
  }

  /** True once the memory backend serves. */
  get inMemory(): boolean {
    return this.#client === null;
  }

  /** Stores a value under the sender's key. */
  *put(sender: ServiceId, key: StoreKey, value: StoreValue): Generator<Y, Status, number> {
    const path = pathOf(sender, key);
    const error = yield* this.#client?.put(path, value) ?? denied();
    if (error === null) return Status.OK;
    if (error !== 'access-denied') return statusOfError(error);
    yield* this.#fallBack();
    this.#memory.set(path, value.slice());
    return Status.OK;
  }

  /** Reads the sender's value. */
  *get(sender: ServiceId, key: StoreKey): Generator<Y, StoreResult, number> {
    const path = pathOf(sender, key);
    const got = yield* this.#client?.get(path) ?? denied();
    if (typeof got !== 'string') return got;
    if (got !== 'access-denied') return statusOfError(got);
    yield* this.#fallBack();
    return this.#memory.get(path) ?? Status.NOT_FOUND;
  }

  /** Removes the sender's value. */
  *delete(sender: ServiceId, key: StoreKey): Generator<Y, Status, number> {
    const path = pathOf(sender, key);
    const error = yield* this.#client?.delete(path) ?? denied();
    if (error === null) return Status.OK;
    if (error !== 'access-denied') return statusOfError(error);
    yield* this.#fallBack();
    return this.#memory.delete(path) ? Status.OK : Status.NOT_FOUND;
  }

  /** Makes the seed outlive a reboot, as far as the backend can: memory keeps nothing (the caller caches it). */
  *persistSeed(seed: Uint8Array): Generator<Y, Status, number> {
    if (this.#client === null) return Status.OK;
    const error = yield* this.#client.put(DEVICE_KEY_PATH, seed);
    if (error === null) return Status.OK;
    if (error !== 'access-denied') return statusOfError(error);
    yield* this.#fallBack();
    return Status.OK;
  }

  /** The stored seed's bytes, of any length. Errors, also a denial, are only reported; null: the memory backend serves. */
  *readSeed(): Generator<Y, Uint8Array | StatefsError | null, number> {
    return this.#client === null ? null : yield* this.#client.get(DEVICE_KEY_PATH);
  }

  *#fallBack(): Generator<Y, void, number> {
    if (this.#client === null) return;
    this.#client = null;
    yield* this.#onFallback();
  }
}

/** Stands for a call to a backend that is gone: the answer that made it go. */
function* denied(): Generator<never, 'access-denied', number> {
  return 'access-denied';
}
