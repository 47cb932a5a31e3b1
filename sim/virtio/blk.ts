/**
 * virtio-blk (virtio 1.2, section 5.2; sheet 05, section 12; sheet 50, section 2). Requests complete inside the notify
 * that announces them, also before DRIVER_OK, unless a fault plan delays them.
 */
import { assert } from '../assert.ts';
import type { BlockImage } from '../block-image.ts';
import { SECTOR_SIZE } from '../block-image.ts';
import type { ScheduledEvent } from '../clock.ts';
import type { VirtioBackend, VirtioPort } from './backend.ts';
import {
  STATUS_DRIVER_OK,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  featureWords,
} from './backend.ts';
import { CONFIG_WRITEBACK, DISCARD_MAX_SECTORS, blkConfig, coversWriteback } from './blk-config.ts';
import type { Chain } from './chain.ts';

/** Register DeviceID of a block device. */
export const BLK_DEVICE_ID = 2;
/** Default size of the request queue. */
export const BLK_QUEUE_SIZE = 256;
const REQUEST_QUEUE = 0;

export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_GEOMETRY = 4;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_TOPOLOGY = 10;
export const VIRTIO_BLK_F_CONFIG_WCE = 11;
export const VIRTIO_BLK_F_DISCARD = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES = 14;

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_SCSI_CMD = 2;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

/** type (u32), reserved (u32), sector (u64). */
export const BLK_HEADER_SIZE = 16;
/** One discard or write-zeroes segment: sector (u64), num_sectors (u32), flags (u32). */
const SEGMENT_SIZE = 16;
const SEGMENT_F_UNMAP = 1;
/** Length of a full GET_ID answer. */
const ID_BYTES = 20;
/** Bit 0 of the type is the direction; bit 31 is the barrier flag of old drivers and is ignored. */
const TYPE_KEY = 0x7fff_fffe;
/** Bytes moved between guest and image at a time. */
const BOUNCE_SIZE = 0x1_0000;
const TWO_32 = 0x1_0000_0000;

/** What the trace calls a request. */
export type BlkOp = 'read' | 'write' | 'flush' | 'get-id' | 'other';

/** One well-formed request, before the device looks at its range. */
export interface BlkRequest {
  readonly op: BlkOp;
  /** First sector as the driver wrote it (inexact beyond 2^53). */
  readonly sector: number;
  /** Data bytes, without header and status. */
  readonly bytes: number;
  /** Running number among the requests of the same op since power-on, from 0. */
  readonly index: number;
}

/** What a fault plan does to one request. An empty object changes nothing. */
export interface BlkFault {
  /** Answer this status byte instead of the real one; a status other than OK also means that nothing is done. */
  readonly status?: number;
  /** Complete this much later, in ns of virtual time: the data moves and the used element appears only then. */
  readonly delayNs?: number;
  /** Swallow the request: it is never done and never completed. */
  readonly drop?: boolean;
  /** Of a read or write, do only this many sectors, then answer IOERR (or `status`). */
  readonly sectorsDone?: number;
  /** Complete without touching the status byte (and without doing anything). */
  readonly withholdStatus?: boolean;
}

/** A fault plan: asked once per request, in order. Null or undefined: no fault. */
export interface BlkFaults {
  onRequest(request: BlkRequest): BlkFault | null | undefined;
}

/** Options of the disk. */
export interface BlkOptions {
  readonly faults?: BlkFaults;
  /** Serial number for GET_ID; the reference has none. Latin-1, at most 20 bytes are sent. */
  readonly serial?: string;
}

/** The block device. */
export class VirtioBlk implements VirtioBackend {
  readonly name = 'virtio-blk';
  readonly deviceId = BLK_DEVICE_ID;
  readonly features = featureWords([
    VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_GEOMETRY,
    VIRTIO_BLK_F_BLK_SIZE,
    VIRTIO_BLK_F_FLUSH,
    VIRTIO_BLK_F_TOPOLOGY,
    VIRTIO_BLK_F_CONFIG_WCE,
    VIRTIO_BLK_F_DISCARD,
    VIRTIO_BLK_F_WRITE_ZEROES,
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_VERSION_1,
    VIRTIO_F_RING_RESET,
  ]);
  readonly queueSizes = [BLK_QUEUE_SIZE];
  readonly config: Uint8Array;
  readonly #image: BlockImage;
  readonly #faults: BlkFaults | null;
  readonly #serial: Uint8Array;
  readonly #bounce = new Uint8Array(BOUNCE_SIZE);
  readonly #oneSector = this.#bounce.subarray(0, SECTOR_SIZE);
  readonly #counts: Record<BlkOp, number> = { read: 0, write: 0, flush: 0, 'get-id': 0, other: 0 };
  readonly #delayed = new Set<ScheduledEvent>();
  #port: VirtioPort | null = null;

  constructor(image: BlockImage, options: BlkOptions = {}) {
    this.#image = image;
    this.#faults = options.faults ?? null;
    this.#serial = Uint8Array.from(`${options.serial ?? ''}\0`, (char) => char.charCodeAt(0) & 0xff);
    this.config = blkConfig(image.sectors);
  }

  attach(port: VirtioPort): void {
    this.#port = port;
  }

  notify(): void {
    const port = this.#attached();
    const queue = port.queue(REQUEST_QUEUE);
    for (let chain = queue.pop(); chain !== null; chain = queue.pop()) this.#start(port, chain);
  }

  /** A driver that cannot flush gets a write-through disk (virtio 1.2, section 5.2.5.2). */
  statusWritten(status: number): void {
    const port = this.#attached();
    if ((status & STATUS_DRIVER_OK) === 0 || port.has(VIRTIO_BLK_F_CONFIG_WCE)) return;
    this.config[CONFIG_WRITEBACK] = port.has(VIRTIO_BLK_F_FLUSH) ? 1 : 0;
  }

  /** Only the write-back switch can be written. */
  configWritten(offset: number, width: 1 | 2 | 4, value: number): void {
    if (!coversWriteback(offset, width)) return;
    const byte = (value >>> (8 * (CONFIG_WRITEBACK - offset))) & 0xff;
    this.config[CONFIG_WRITEBACK] = byte === 0 ? 0 : 1;
  }

  /** Requests that a fault plan still holds back are lost: their rings and buffers belong to the driver again. */
  reset(): void {
    const { clock } = this.#attached();
    for (const event of this.#delayed) clock.cancel(event);
    this.#delayed.clear();
    this.config[CONFIG_WRITEBACK] = 1;
  }

  #attached(): VirtioPort {
    assert(this.#port !== null, 'virtio-blk without a transport');
    return this.#port;
  }

  #start(port: VirtioPort, chain: Chain): void {
    const queue = port.queue(REQUEST_QUEUE);
    if (chain.readableCount < 1 || chain.writableCount < 1) {
      return port.fail(REQUEST_QUEUE, 'request without header or status');
    }
    if (chain.readableBytes < BLK_HEADER_SIZE) return port.fail(REQUEST_QUEUE, 'request header too short');
    const type = chain.readU32(0);
    if (isSegmentOp(type) && chain.readableBytes < BLK_HEADER_SIZE + SEGMENT_SIZE) {
      return port.fail(REQUEST_QUEUE, 'discard or write-zeroes segment too short');
    }
    const fault = this.#askFaults(type, chain);
    if (fault?.drop === true) return queue.forget();
    const delay = fault?.delayNs ?? 0;
    if (delay <= 0) return this.#finish(port, chain, type, fault);
    queue.detach(chain);
    const event = port.clock.schedule(port.clock.now + delay, () => {
      this.#delayed.delete(event);
      if (!port.broken) this.#finish(port, chain, type, fault);
    });
    this.#delayed.add(event);
  }

  #askFaults(type: number, chain: Chain): BlkFault | null {
    const op = opOf(type);
    const index = this.#counts[op]++;
    if (this.#faults === null) return null;
    return this.#faults.onRequest({ op, sector: sectorOf(chain), bytes: dataBytes(type, chain), index }) ?? null;
  }

  #finish(port: VirtioPort, chain: Chain, type: number, fault: BlkFault | null): void {
    let status = fault?.status ?? VIRTIO_BLK_S_OK;
    if (fault?.withholdStatus !== true) {
      if (status === VIRTIO_BLK_S_OK) status = this.#execute(type, chain, fault);
      else if (fault?.sectorsDone !== undefined) this.#execute(type, chain, fault);
      chain.writeU8(chain.writableBytes - 1, status);
    }
    if (port.trace.on) {
      const bytes = dataBytes(type, chain);
      port.trace.emit({ kind: 'disk', op: opOf(type), sector: sectorOf(chain), bytes, status });
    }
    const queue = port.queue(REQUEST_QUEUE);
    // All writable bytes count, whatever became of the request (sheet 05, section 12, rule 7).
    queue.push(chain, chain.writableBytes);
    queue.signal();
  }

  #execute(type: number, chain: Chain, fault: BlkFault | null): number {
    switch (type & TYPE_KEY) {
      case VIRTIO_BLK_T_IN:
        return this.#transfer((type & VIRTIO_BLK_T_OUT) !== 0, chain, fault);
      case VIRTIO_BLK_T_FLUSH:
        return this.#image.flush() ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
      case VIRTIO_BLK_T_GET_ID: {
        const size = Math.min(this.#serial.length, chain.writableBytes - 1, ID_BYTES);
        chain.write(0, this.#serial.subarray(0, size));
        return VIRTIO_BLK_S_OK;
      }
      case VIRTIO_BLK_T_SCSI_CMD:
        return chain.readableCount < 2 || chain.writableCount < 3 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_UNSUPP;
      case VIRTIO_BLK_T_DISCARD & TYPE_KEY:
      case VIRTIO_BLK_T_WRITE_ZEROES & TYPE_KEY:
        return this.#zero(type, chain);
      default:
        return VIRTIO_BLK_S_UNSUPP;
    }
  }

  #transfer(isWrite: boolean, chain: Chain, fault: BlkFault | null): number {
    const size = isWrite ? chain.readableBytes - BLK_HEADER_SIZE : chain.writableBytes - 1;
    const sector = sectorOf(chain);
    if (size % SECTOR_SIZE !== 0 || !this.#inRange(sector, size / SECTOR_SIZE)) return VIRTIO_BLK_S_IOERR;
    const torn = fault?.sectorsDone !== undefined && fault.sectorsDone * SECTOR_SIZE < size;
    const end = torn ? fault.sectorsDone * SECTOR_SIZE : size;
    for (let done = 0; done < end;) {
      const part = Math.min(end - done, BOUNCE_SIZE);
      const bounce = part === SECTOR_SIZE ? this.#oneSector : this.#bounce.subarray(0, part);
      const at = sector + done / SECTOR_SIZE;
      if (isWrite) {
        chain.read(BLK_HEADER_SIZE + done, bounce);
        if (!this.#image.write(at, bounce)) return VIRTIO_BLK_S_IOERR;
      } else {
        if (!this.#image.read(at, bounce)) return VIRTIO_BLK_S_IOERR;
        chain.write(done, bounce);
      }
      done += part;
    }
    if (torn) return VIRTIO_BLK_S_IOERR;
    return isWrite ? this.#settle() : VIRTIO_BLK_S_OK;
  }

  /** Discard and write-zeroes: both leave zeros behind. */
  #zero(type: number, chain: Chain): number {
    const dataLength = chain.readableBytes - BLK_HEADER_SIZE;
    if ((type & VIRTIO_BLK_T_OUT) === 0 || dataLength > SEGMENT_SIZE) return VIRTIO_BLK_S_UNSUPP;
    const sector = chain.readU32(BLK_HEADER_SIZE + 4) * TWO_32 + chain.readU32(BLK_HEADER_SIZE);
    const count = chain.readU32(BLK_HEADER_SIZE + 8);
    const flags = chain.readU32(BLK_HEADER_SIZE + 12);
    if (count > DISCARD_MAX_SECTORS || !this.#inRange(sector, count)) return VIRTIO_BLK_S_IOERR;
    if ((flags & ~SEGMENT_F_UNMAP) !== 0) return VIRTIO_BLK_S_UNSUPP;
    const discard = (type & TYPE_KEY) === (VIRTIO_BLK_T_DISCARD & TYPE_KEY);
    if (discard && flags !== 0) return VIRTIO_BLK_S_UNSUPP;
    this.#bounce.fill(0);
    for (let done = 0; done < count;) {
      const sectors = Math.min(count - done, BOUNCE_SIZE / SECTOR_SIZE);
      if (!this.#image.write(sector + done, this.#bounce.subarray(0, sectors * SECTOR_SIZE))) {
        return VIRTIO_BLK_S_IOERR;
      }
      done += sectors;
    }
    return this.#settle();
  }

  /** In write-through mode a write is done when it is on the medium. */
  #settle(): number {
    if (this.config[CONFIG_WRITEBACK] !== 0) return VIRTIO_BLK_S_OK;
    return this.#image.flush() ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
  }

  #inRange(sector: number, count: number): boolean {
    return count <= this.#image.sectors - sector;
  }
}

function sectorOf(chain: Chain): number {
  return chain.readU32(12) * TWO_32 + chain.readU32(8);
}

/** True for a discard or write-zeroes request that carries one segment at most. */
function isSegmentOp(type: number): boolean {
  const key = type & TYPE_KEY;
  const segment = key === (VIRTIO_BLK_T_DISCARD & TYPE_KEY) || key === (VIRTIO_BLK_T_WRITE_ZEROES & TYPE_KEY);
  return segment && (type & VIRTIO_BLK_T_OUT) !== 0;
}

function opOf(type: number): BlkOp {
  switch (type & TYPE_KEY) {
    case VIRTIO_BLK_T_IN:
      return (type & VIRTIO_BLK_T_OUT) === 0 ? 'read' : 'write';
    case VIRTIO_BLK_T_FLUSH:
      return 'flush';
    case VIRTIO_BLK_T_GET_ID:
      return 'get-id';
    default:
      return 'other';
  }
}

function dataBytes(type: number, chain: Chain): number {
  const out = opOf(type) === 'write' || isSegmentOp(type);
  return out ? chain.readableBytes - BLK_HEADER_SIZE : chain.writableBytes - 1;
}
