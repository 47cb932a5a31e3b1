/** The slot machine's record in statefs (sheet 55, sections 2 and 4.3): loaded once, written after each change. */
import type { Sys } from '../../kernel-model/sys.ts';
import type { Call } from '../lib/ipc.ts';
import type { StatefsClient } from '../statefsd/client.ts';
import type { StatefsError } from '../statefsd/wire.ts';
import { BOOTCTL_KEY, SlotMachine, decodeRecord, encodeRecord } from './slots.ts';

/** Names of the store's errors in updated's line. */
const ERROR_NAME: Readonly<Record<StatefsError, string>> = {
  'not-found': 'NotFound',
  'access-denied': 'AccessDenied',
  'value-too-large': 'ValueTooLarge',
  'key-too-long': 'KeyTooLong',
  io: 'IoError',
  corrupted: 'Corrupted',
  'invalid-key': 'InvalidKey',
  'replay-limit': 'ReplayLimitExceeded',
};

/** The record's keeper. */
export class BootctlStore {
  readonly #sys: Sys;
  readonly #client: StatefsClient;
  #failureSaid = false;

  constructor(sys: Sys, client: StatefsClient) {
    this.#sys = sys;
    this.#client = client;
  }

  /** The stored state, or a new one; says which. */
  *load(): Call<SlotMachine> {
    const value = yield* this.#client.get(BOOTCTL_KEY);
    const record = typeof value === 'string' ? null : decodeRecord(value);
    if (record !== null && typeof record !== 'string') {
      yield this.#sys.println('updated: bootctl load ok');
      return SlotMachine.fromRecord(record);
    }
    yield this.#sys.println(value === 'not-found' ? 'updated: bootctl load miss' : 'updated: bootctl load err');
    return new SlotMachine();
  }

  /** Stores and flushes. False: one of the two failed; the first such time a line says which. */
  *persist(slots: SlotMachine): Call<boolean> {
    const put = yield* this.#client.put(BOOTCTL_KEY, encodeRecord(slots.record));
    if (put !== null) return yield* this.#failed('put', put);
    const sync = yield* this.#client.sync();
    return sync === null ? true : yield* this.#failed('sync', sync);
  }

  *#failed(what: 'put' | 'sync', error: StatefsError): Call<boolean> {
    if (this.#failureSaid) return false;
    this.#failureSaid = true;
    yield this.#sys.println(`updated: bootctl persist ${what} err=${ERROR_NAME[error]}`);
    return false;
  }
}
