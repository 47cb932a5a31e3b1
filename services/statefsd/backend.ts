/**
 * Which store statefsd serves from (sheet 50, section 11.3): the memory engine it starts with, or the journal on the block
 * device, whose driver is started by the first request.
 *
 * Contract: until the journal is open nothing is served from memory, and a failed start is tried again, at most once a
 * second. Quirk `statefs-restart`: memory serves until the device is up, no restart can succeed, and the first change keeps
 * memory for good.
 */
import { CapKind } from '../../kernel-model/abi.ts';
import type { Sys, Syscall } from '../../kernel-model/sys.ts';
import { yields } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { VirtioBlkDriver } from '../lib/virtio-blk-driver.ts';
import { MemoryBlocks } from './blocks.ts';
import type { StatefsdOptions } from './options.ts';
import { CONTRACT_STORE, REFERENCE_STORE, Store } from './store.ts';
import type { StoreOptions } from './store.ts';
import type { StatefsError } from './wire.ts';

/** Slot of the block device's register window. */
export const MMIO_SLOT = 0x30;
/** Journal openings that may fail before the device is given up (quirk `statefs-restart`). */
export const MAX_OPEN_FAILURES = 5;
/** Yields after a failed opening. */
export const RETRY_YIELDS = 100;
/** Contract: ns between the starts of two attempts. */
export const RETRY_INTERVAL_NS = 1_000_000_000;

/** A store whose device may issue syscalls. */
export type ServingStore = Store<Syscall>;

/** The two-way switch between memory and block device. */
export class Backend {
  readonly #sys: Sys;
  readonly #options: StatefsdOptions;
  readonly #storeOptions: StoreOptions;
  readonly #driver: VirtioBlkDriver;
  #memory: ServingStore | null = null;
  #journal: ServingStore | null = null;
  #driverUp = false;
  #pristine = true;
  #openFailures = 0;
  #nextAttempt = 0;

  constructor(sys: Sys, options: StatefsdOptions) {
    this.#sys = sys;
    this.#options = options;
    this.#storeOptions = options.staleTail ? REFERENCE_STORE : CONTRACT_STORE;
    this.#driver = new VirtioBlkDriver(sys, MMIO_SLOT, {
      statusPreset: options.statusPreset,
      restartFails: options.restartFails,
    });
  }

  /** Opens the memory engine of the start-up. */
  *openMemory(): Call<StatefsError | null> {
    const opened = yield* Store.open<Syscall>(new MemoryBlocks(), this.#storeOptions);
    if (typeof opened === 'string') return opened;
    this.#memory = opened;
    return null;
  }

  /** The store to serve from; null while there is none that could keep what it is given. */
  get store(): ServingStore | null {
    return this.#journal ?? (this.#options.restartFails ? this.#memory : null);
  }

  /** A change was asked for: in the reference memory stays the store from here on. */
  touched(): void {
    this.#pristine = false;
  }

  /** Before every request: brings the device up where that is due. */
  *upgrade(): Call<void> {
    const sys = this.#sys;
    if (!(yield* this.#attemptDue())) return;
    if ((yield sys.capQuery(MMIO_SLOT)) < 0 || sys.query.kind !== CapKind.DEVICE_MMIO) return;
    if (!this.#driverUp || this.#driver.needsRestart) {
      this.#driverUp = false;
      if ((yield* this.#driver.start()) !== null) return;
      // In the reference a failed opening starts the driver again, which then cannot map its pages.
      this.#driverUp = !this.#options.restartFails;
      yield sys.println('blk: virtio-blk up');
      yield sys.println(`blk: virtio-blk up (ss=${this.#driver.blockSize} nsec=${this.#driver.blockCount})`);
    }
    if (this.#journal === null) yield* this.#openJournal();
  }

  *#attemptDue(): Call<boolean> {
    if (this.#options.restartFails) {
      return this.#journal === null && this.#pristine && this.#openFailures < MAX_OPEN_FAILURES;
    }
    if (this.#journal !== null && !this.#driver.needsRestart) return false;
    const now = yield this.#sys.nsec();
    if (now < this.#nextAttempt) return false;
    this.#nextAttempt = now + RETRY_INTERVAL_NS;
    return true;
  }

  *#openJournal(): Call<void> {
    const sys = this.#sys;
    const opened = yield* Store.open<Syscall>(this.#driver, this.#storeOptions);
    if (typeof opened !== 'string') {
      this.#journal = opened;
      yield sys.println('statefsd: virtio upgrade ok');
      return;
    }
    this.#openFailures += 1;
    yield sys.println('statefsd: journal open failed (virtio)');
    yield sys.println(errorLine(opened));
    if (!this.#options.restartFails) {
      yield sys.println('statefsd: virtio retry scheduled');
    } else if (this.#openFailures < MAX_OPEN_FAILURES) {
      yield sys.println('statefsd: virtio retry scheduled');
      yield* yields(sys, RETRY_YIELDS);
    }
  }
}

/** UART line of an engine error (section 11.3). */
export function errorLine(error: StatefsError): string {
  return `statefsd: err ${error}`;
}
