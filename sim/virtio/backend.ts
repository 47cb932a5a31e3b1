/** What makes a virtio transport a disk, a network card or an entropy source: the device-specific part and its port. */
import type { Clock } from '../clock.ts';
import type { GuestMemory } from '../memory.ts';
import type { Trace } from '../trace.ts';
import type { VirtQueue } from './virtqueue.ts';

/** Feature bit numbers that every device of the board offers (virtio 1.2, section 6; sheet 05, sections 12 to 14). */
export const VIRTIO_F_INDIRECT_DESC = 28;
export const VIRTIO_F_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;
export const VIRTIO_F_RING_RESET = 40;

/** Device status bits (virtio 1.2, section 2.1). */
export const STATUS_ACKNOWLEDGE = 0x01;
export const STATUS_DRIVER = 0x02;
export const STATUS_DRIVER_OK = 0x04;
export const STATUS_FEATURES_OK = 0x08;
export const STATUS_NEEDS_RESET = 0x40;
export const STATUS_FAILED = 0x80;

/** A 64-bit feature set as its two register words. */
export interface FeatureWords {
  readonly low: number;
  readonly high: number;
}

/** Feature words with the given bit numbers set. */
export function featureWords(bits: readonly number[]): FeatureWords {
  let low = 0;
  let high = 0;
  for (const bit of bits) {
    if (bit < 32) low = (low | (1 << bit)) >>> 0;
    else high = (high | (1 << (bit - 32))) >>> 0;
  }
  return { low, high };
}

/** What the transport gives to the device-specific part. */
export interface VirtioPort {
  readonly memory: GuestMemory;
  readonly clock: Clock;
  readonly trace: Trace;
  /** Status bit DRIVER_OK. */
  readonly driverOk: boolean;
  /** The device stopped because of a broken ring and waits for a reset. */
  readonly broken: boolean;
  /** True when the driver negotiated feature `bit`. */
  has(bit: number): boolean;
  queue(index: number): VirtQueue;
  /** Breaks the device: the driver sent in queue `queue` what the device cannot go on from (sheet 05, section 10.4). */
  fail(queue: number, reason: string): void;
  /** Tells the driver that the config space changed: ISR bits 0 and 1, generation + 1, only with DRIVER_OK. */
  configChanged(): void;
}

/** The device-specific part behind a transport. All calls come from the guest's register writes, synchronously. */
export interface VirtioBackend {
  /** Name in traces, for example `virtio-blk`. */
  readonly name: string;
  /** Register DeviceID: 1 net, 2 blk, 4 rng. */
  readonly deviceId: number;
  /** Offered features. */
  readonly features: FeatureWords;
  /** Default size of each queue, in queue order. */
  readonly queueSizes: readonly number[];
  /** The config space as the driver reads it now; the backend keeps it current. */
  readonly config: Uint8Array;
  /** Called once, by the transport's constructor. */
  attach(port: VirtioPort): void;
  /** QueueNotify of an existing queue with rings, on a device that is not broken. */
  notify(queue: number): void;
  /** A Status write other than a reset took effect. */
  statusWritten(status: number): void;
  /** The driver wrote `width` bytes inside the config space. */
  configWritten(offset: number, width: 1 | 2 | 4, value: number): void;
  /** Device reset; queues are reset by the transport afterwards. */
  reset(): void;
}
