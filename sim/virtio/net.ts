/**
 * virtio-net (virtio 1.2, section 5.1; sheet 05, section 14; sheet 70, section 2). Frames are Ethernet without FCS; the
 * virtio header in front of each is added and dropped here. What the wire does is the {@link NetBackend}'s business.
 */
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
import type { Chain } from './chain.ts';
import { NetControl } from './net-control.ts';
import type { VirtQueue } from './virtqueue.ts';

/** Register DeviceID of a network card. */
export const NET_DEVICE_ID = 1;
/** Default size of the rx, tx and control queue. */
export const NET_QUEUE_SIZES = [256, 256, 64] as const;
const RX_QUEUE = 0;
const TX_QUEUE = 1;
const CONTROL_QUEUE = 2;

export const VIRTIO_NET_F_CTRL_GUEST_OFFLOADS = 2;
export const VIRTIO_NET_F_MAC = 5;
export const VIRTIO_NET_F_MRG_RXBUF = 15;
export const VIRTIO_NET_F_STATUS = 16;
export const VIRTIO_NET_F_CTRL_VQ = 17;
export const VIRTIO_NET_F_CTRL_RX = 18;
export const VIRTIO_NET_F_CTRL_VLAN = 19;
export const VIRTIO_NET_F_CTRL_RX_EXTRA = 20;
export const VIRTIO_NET_F_GUEST_ANNOUNCE = 21;
export const VIRTIO_NET_F_CTRL_MAC_ADDR = 23;

/** Header length with VERSION_1 or MRG_RXBUF; the last two bytes are num_buffers. */
export const NET_HEADER_SIZE = 12;
/** Header length of a driver that negotiated neither. */
export const NET_HEADER_SIZE_SHORT = 10;
const NUM_BUFFERS_OFFSET = 10;
/** Longest frame in either direction; longer transmissions are cut, longer receptions dropped. */
export const NET_MAX_FRAME = 69_632;
/** Frames held for a guest without buffers; further ones are dropped. */
export const NET_BACKLOG_LIMIT = 10_000;

/** Offsets in the config space (8 bytes). */
const CONFIG_MAC = 0;
const CONFIG_STATUS = 6;
const CONFIG_SIZE = 8;
const MAC_SIZE = 6;
const S_LINK_UP = 1;

/** MAC address of the reference's single machine. */
export const DEFAULT_MAC: readonly number[] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/** The wire. */
export interface NetBackend {
  /** A frame left the guest; `frame` belongs to the receiver. */
  transmit(frame: Uint8Array): void;
}

/** The network card. Unplugged (no backend) it swallows what the guest sends, like a card without a cable. */
export class VirtioNet implements VirtioBackend {
  readonly name = 'virtio-net';
  readonly deviceId = NET_DEVICE_ID;
  readonly features = featureWords([
    VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
    VIRTIO_NET_F_MAC,
    VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_F_STATUS,
    VIRTIO_NET_F_CTRL_VQ,
    VIRTIO_NET_F_CTRL_RX,
    VIRTIO_NET_F_CTRL_VLAN,
    VIRTIO_NET_F_CTRL_RX_EXTRA,
    VIRTIO_NET_F_GUEST_ANNOUNCE,
    VIRTIO_NET_F_CTRL_MAC_ADDR,
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_VERSION_1,
    VIRTIO_F_RING_RESET,
  ]);
  readonly queueSizes = NET_QUEUE_SIZES;
  readonly config = new Uint8Array(CONFIG_SIZE);
  readonly #mac: Uint8Array;
  readonly #control: NetControl;
  readonly #backlog: Uint8Array[] = [];
  readonly #header = new Uint8Array(NET_HEADER_SIZE_SHORT);
  readonly #numBuffers = new Uint8Array(2);
  #port: VirtioPort | null = null;
  #backend: NetBackend | null = null;
  #linkUp = true;
  #delivering = false;
  #dropped = 0;

  constructor(mac: readonly number[] = DEFAULT_MAC) {
    assert(mac.length === MAC_SIZE, 'a MAC address has six bytes');
    this.#mac = Uint8Array.from(mac);
    this.config.set(this.#mac, CONFIG_MAC);
    this.config[CONFIG_STATUS] = S_LINK_UP;
    this.#control = new NetControl(this.config.subarray(CONFIG_MAC, CONFIG_MAC + MAC_SIZE));
  }

  /** Frames to the guest that were thrown away: backlog full, frame too long, link down, or no buffer big enough. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Frames that wait for a buffer of the guest. */
  get backlog(): number {
    return this.#backlog.length;
  }

  /** Connects the card to a wire; null unplugs it. The driver does not notice. */
  plug(backend: NetBackend | null): void {
    this.#backend = backend;
  }

  /** Moves the link up or down: frames are lost while it is down, and the driver gets a config interrupt. */
  setLink(up: boolean): void {
    if (up === this.#linkUp) return;
    this.#linkUp = up;
    this.config[CONFIG_STATUS] = up ? S_LINK_UP : 0;
    this.#attached().configChanged();
  }

  attach(port: VirtioPort): void {
    this.#port = port;
  }

  /** A frame comes from the wire. Copied if it has to wait. */
  deliver(frame: Uint8Array): void {
    if (!this.#linkUp || frame.length > NET_MAX_FRAME) {
      this.#dropped += 1;
      return;
    }
    if (!this.#delivering && this.#backlog.length === 0) {
      this.#attached().queue(RX_QUEUE).beginRun();
      if (this.#receive(frame)) return;
    }
    if (this.#backlog.length < NET_BACKLOG_LIMIT) this.#backlog.push(frame.slice());
    else this.#dropped += 1;
  }

  notify(queue: number): void {
    if (queue === RX_QUEUE) this.#drainBacklog();
    else if (queue === TX_QUEUE) this.#transmit();
    else this.#control.serve(this.#attached(), CONTROL_QUEUE);
  }

  /** Frames that came before DRIVER_OK follow at once; what the driver queued for sending waits for its notify. */
  statusWritten(status: number): void {
    if ((status & STATUS_DRIVER_OK) !== 0) this.#drainBacklog();
  }

  /** The MAC can be written only by a driver from before VERSION_1 that does not use the control queue for it. */
  configWritten(offset: number, width: 1 | 2 | 4, value: number): void {
    const port = this.#attached();
    if (port.has(VIRTIO_F_VERSION_1) || port.has(VIRTIO_NET_F_CTRL_MAC_ADDR)) return;
    for (let i = 0; i < width && offset + i < CONFIG_MAC + MAC_SIZE; i += 1) {
      this.config[offset + i] = (value >>> (8 * i)) & 0xff;
    }
  }

  reset(): void {
    this.config.set(this.#mac, CONFIG_MAC);
    this.#control.reset();
  }

  #attached(): VirtioPort {
    assert(this.#port !== null, 'virtio-net without a transport');
    return this.#port;
  }

  #headerSize(port: VirtioPort): number {
    return port.has(VIRTIO_F_VERSION_1) || port.has(VIRTIO_NET_F_MRG_RXBUF) ? NET_HEADER_SIZE : NET_HEADER_SIZE_SHORT;
  }

  #transmit(): void {
    const port = this.#attached();
    const queue = port.queue(TX_QUEUE);
    // Before DRIVER_OK frames stay in the queue until a later notify (sheet 05, section 14.1, rule 2).
    if (!port.driverOk) return;
    const skip = this.#headerSize(port);
    for (let chain = queue.pop(); chain !== null; chain = queue.pop()) {
      if (chain.readableBytes <= skip) {
        port.fail(TX_QUEUE, `frame of ${String(chain.readableBytes)} bytes has nothing behind its header`);
        return;
      }
      const frame = new Uint8Array(Math.min(chain.readableBytes - skip, NET_MAX_FRAME));
      chain.read(skip, frame);
      queue.push(chain, 0);
      queue.signal();
      if (port.trace.on) port.trace.emit({ kind: 'packet', device: this.name, dir: 'tx', bytes: frame.slice() });
      if (this.#linkUp) this.#backend?.transmit(frame);
    }
  }

  #drainBacklog(): void {
    if (this.#delivering || this.#backlog.length === 0) return;
    this.#delivering = true;
    let done = 0;
    for (const frame of this.#backlog) {
      if (!this.#receive(frame)) break;
      done += 1;
    }
    this.#backlog.splice(0, done);
    this.#delivering = false;
  }

  /** Puts one frame into the rx queue, or drops it for good; false when it has to wait. */
  #receive(frame: Uint8Array): boolean {
    const port = this.#attached();
    const queue = port.queue(RX_QUEUE);
    if (!port.driverOk || !queue.usable || port.broken) return false;
    const merge = port.has(VIRTIO_NET_F_MRG_RXBUF);
    const header = this.#headerSize(port);
    const chains = merge ? countChains(queue, header + frame.length) : Math.min(queue.pending(), 1);
    if (chains === 0) return false;
    if (!this.#control.accepts(frame, port.has(VIRTIO_NET_F_CTRL_VLAN))) {
      this.#dropped += 1;
      return true;
    }
    let sent = 0;
    for (let i = 0; i < chains; i += 1) {
      const chain = queue.pop();
      if (chain === null) return true;
      if (chain.writableCount === 0) {
        port.fail(RX_QUEUE, 'receive buffer is not writable');
        return true;
      }
      const start = i === 0 ? header : 0;
      if (i === 0) this.#writeHeader(chain, merge ? chains : 0);
      const copied = chain.write(start, sent === 0 ? frame : frame.subarray(sent));
      sent += copied;
      if (!merge && sent < frame.length) {
        queue.unpop();
        this.#dropped += 1;
        return true;
      }
      queue.fill(chain, Math.min(start, chain.writableBytes) + copied, i);
    }
    queue.publish(chains);
    queue.signal();
    if (port.trace.on) port.trace.emit({ kind: 'packet', device: this.name, dir: 'rx', bytes: frame.slice() });
    return true;
  }

  /** All zero; num_buffers only for a merging driver, else its two bytes stay as they are (sheet 05, section 14.1). */
  #writeHeader(chain: Chain, numBuffers: number): void {
    chain.write(0, this.#header);
    if (numBuffers === 0) return;
    this.#numBuffers[0] = numBuffers & 0xff;
    this.#numBuffers[1] = numBuffers >>> 8;
    chain.write(NUM_BUFFERS_OFFSET, this.#numBuffers);
  }
}

/** How many of the next chains hold `bytes` writable bytes together; 0 when all pending ones do not, or one is broken. */
function countChains(queue: VirtQueue, bytes: number): number {
  const pending = queue.pending();
  let room = 0;
  for (let i = 0; i < pending; i += 1) {
    const chain = queue.peek(i);
    if (chain === null) return 0;
    room += chain.writableBytes;
    if (room >= bytes) return i + 1;
  }
  return 0;
}
