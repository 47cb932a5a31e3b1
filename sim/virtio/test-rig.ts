/** A driver's hand on one virtio-mmio device, for tests: registers, rings, and what the trace said. */
import { Clock } from '../clock.ts';
import type { TraceEvent } from '../trace.ts';
import { Trace } from '../trace.ts';
import type { VirtioBackend } from './backend.ts';
import * as mmio from './mmio-transport.ts';
import { TEST_RAM_BASE, TestLine, TestMemory } from './test-memory.ts';

export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

/** Where a test queue lies, each ring on a page of its own. */
export interface TestQueue {
  readonly index: number;
  readonly num: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

/** One descriptor: address, length, flags. */
export type Buffer = readonly [address: number, length: number, flags: number];

/** First byte that no test ring uses. */
export const DATA = TEST_RAM_BASE + 0x8000;

/** A device on its own little board. */
export class TestRig {
  readonly memory = new TestMemory();
  readonly clock = new Clock();
  readonly trace = new Trace(this.clock);
  readonly line = new TestLine();
  readonly events: TraceEvent[] = [];
  readonly device: mmio.VirtioMmio;

  constructor(backend: VirtioBackend) {
    const { memory, clock, trace, line } = this;
    this.device = new mmio.VirtioMmio(backend, { memory, clock, trace, irq: line });
    trace.listen((event) => this.events.push(event));
  }

  r(offset: number): number {
    return this.device.read(offset, 4);
  }

  w(offset: number, value: number): void {
    this.device.write(offset, 4, value);
  }

  /** Reset, then status up to FEATURES_OK with the given feature words. */
  negotiate(low = 0, high = 1): void {
    this.w(mmio.STATUS, 0);
    this.w(mmio.STATUS, 3);
    this.w(mmio.DRIVER_FEATURES_SEL, 0);
    this.w(mmio.DRIVER_FEATURES, low);
    this.w(mmio.DRIVER_FEATURES_SEL, 1);
    this.w(mmio.DRIVER_FEATURES, high);
    this.w(mmio.STATUS, 0x0b);
  }

  /** Sets up queue `index` with rings in its own 0x2000 bytes of RAM. */
  setUp(index: number, num: number): TestQueue {
    const base = TEST_RAM_BASE + 0x2000 * index;
    const queue = { index, num, desc: base, avail: base + 0x1000, used: base + 0x1400 };
    this.w(mmio.QUEUE_SEL, index);
    this.w(mmio.QUEUE_NUM, num);
    this.w(mmio.QUEUE_DESC_LOW, queue.desc);
    this.w(mmio.QUEUE_DESC_HIGH, 0);
    this.w(mmio.QUEUE_DRIVER_LOW, queue.avail);
    this.w(mmio.QUEUE_DRIVER_HIGH, 0);
    this.w(mmio.QUEUE_DEVICE_LOW, queue.used);
    this.w(mmio.QUEUE_DEVICE_HIGH, 0);
    this.w(mmio.QUEUE_READY, 1);
    return queue;
  }

  driverOk(): void {
    this.w(mmio.STATUS, this.r(mmio.STATUS) | 4);
  }

  desc(table: number, index: number, address: number, length: number, flags: number, next: number): void {
    const at = table + 16 * index;
    this.memory.writeU64(at, BigInt(address));
    this.memory.writeU32(at + 8, length);
    this.memory.writeU16(at + 12, flags);
    this.memory.writeU16(at + 14, next);
  }

  /** Writes buffers as descriptors first, first+1, ... of a table, linked in order. */
  chain(table: number, first: number, buffers: readonly Buffer[]): void {
    buffers.forEach(([address, length, flags], i) => {
      const last = i === buffers.length - 1;
      this.desc(table, first + i, address, length, flags | (last ? 0 : NEXT), last ? 0 : first + i + 1);
    });
  }

  /** Makes a head available. */
  offer(queue: TestQueue, head: number): void {
    const idx = this.memory.readU16(queue.avail + 2);
    this.memory.writeU16(queue.avail + 4 + 2 * (idx % queue.num), head);
    this.memory.writeU16(queue.avail + 2, (idx + 1) & 0xffff);
  }

  notify(queue: TestQueue): void {
    this.w(mmio.QUEUE_NOTIFY, queue.index);
  }

  /** One chain in one go: descriptors 0.., offer, notify. Returns used.len of the newest used element. */
  submit(queue: TestQueue, buffers: readonly Buffer[]): number {
    this.chain(queue.desc, 0, buffers);
    this.offer(queue, 0);
    this.notify(queue);
    return this.used(queue, (this.usedIdx(queue) - 1) & 0xffff)[1];
  }

  usedIdx(queue: TestQueue): number {
    return this.memory.readU16(queue.used + 2);
  }

  /** Used element at ring index `at`: id and length. */
  used(queue: TestQueue, at: number): [id: number, length: number] {
    const element = queue.used + 4 + 8 * (at % queue.num);
    return [this.memory.readU32(element), this.memory.readU32(element + 4)];
  }

  /** Reasons of all `virtio-broken` events so far. */
  get brokenReasons(): string[] {
    return this.events.flatMap((event) => (event.kind === 'virtio-broken' ? [event.reason] : []));
  }
}
