/** virtio-rng (virtio 1.2, section 5.4; sheet 05, section 13): fills the guest's buffers from an entropy source. */
import { assert } from '../assert.ts';
import type { VirtioBackend, VirtioPort } from './backend.ts';
import {
  STATUS_DRIVER_OK,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  featureWords,
} from './backend.ts';

/** Register DeviceID of an entropy source. */
export const RNG_DEVICE_ID = 4;
/** Default size of the request queue. */
export const RNG_QUEUE_SIZE = 8;
const REQUEST_QUEUE = 0;

/** Where the bytes come from: a seeded stream in a run. */
export interface EntropySource {
  /** Overwrites all of `target`. */
  fill(target: Uint8Array): void;
  /** How many of `wanted` bytes it gives for one request (0 to `wanted`); absent: all. For tests of short answers. */
  available?(wanted: number): number;
}

/** The entropy device. */
export class VirtioRng implements VirtioBackend {
  readonly name = 'virtio-rng';
  readonly deviceId = RNG_DEVICE_ID;
  readonly features = featureWords([
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_VERSION_1,
    VIRTIO_F_RING_RESET,
  ]);
  readonly queueSizes = [RNG_QUEUE_SIZE];
  readonly config = new Uint8Array(0);
  readonly #source: EntropySource;
  readonly #fill: (target: Uint8Array) => void;
  #port: VirtioPort | null = null;

  constructor(source: EntropySource) {
    this.#source = source;
    this.#fill = (target) => source.fill(target);
  }

  attach(port: VirtioPort): void {
    this.#port = port;
  }

  notify(): void {
    this.#serve();
  }

  /** Buffers queued before DRIVER_OK are served by the Status write itself (sheet 05, section 13, rule 1). */
  statusWritten(status: number): void {
    if ((status & STATUS_DRIVER_OK) !== 0) this.#serve();
  }

  configWritten(): void {
    // The config space is empty.
  }

  reset(): void {
    // Nothing outlives a request.
  }

  #serve(): void {
    const port = this.#port;
    assert(port !== null, 'virtio-rng without a transport');
    const queue = port.queue(REQUEST_QUEUE);
    if (!port.driverOk || !queue.usable) return;
    // The device first adds up what all chains ask for, so that one bad chain breaks it before any is served.
    const pending = queue.pending();
    for (let i = 0; i < pending; i += 1) {
      if (queue.peek(i) === null) return;
    }
    let served = false;
    for (;;) {
      const chain = queue.pop();
      if (chain === null) break;
      const wanted = chain.writableBytes;
      if (wanted === 0) {
        queue.forget();
        continue;
      }
      const given = this.#source.available?.(wanted) ?? wanted;
      assert(given >= 0 && given <= wanted, 'entropy source gives more than was asked for');
      chain.fillWritable(given, this.#fill);
      queue.push(chain, given);
      served = true;
    }
    if (served) queue.signal();
  }
}
