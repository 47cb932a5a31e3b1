import { describe, expect, it } from 'vitest';
import { SparseBlockImage } from '../block-image.ts';
import { VirtioBlk } from './blk.ts';
import * as mmio from './mmio-transport.ts';
import { VirtioNet } from './net.ts';
import { VirtioRng } from './rng.ts';
import { Echo } from './test-echo.ts';
import { DATA, TestRig, WRITE } from './test-rig.ts';

const rng = () => new TestRig(new VirtioRng({ fill: (target) => target.fill(0xa5) }));
const blk = () => new TestRig(new VirtioBlk(new SparseBlockImage()));
const net = () => new TestRig(new VirtioNet());

const HEADER = DATA;
const STATUS_BYTE = DATA + 0x400;

describe('identity registers (sheet 05, section 10.3)', () => {
  it.each([
    ['net', net, 1],
    ['blk', blk, 2],
    ['rng', rng, 4],
  ])('%s answers magic, version, id and vendor', (_name, make, id) => {
    const rig = make();
    expect(rig.r(0x000)).toBe(0x7472_6976);
    expect(rig.r(0x004)).toBe(2);
    expect(rig.r(0x008)).toBe(id);
    expect(rig.r(0x00c)).toBe(0x554d_4551);
    rig.w(0x000, 0);
    expect(rig.r(0x000)).toBe(0x7472_6976);
  });

  it('offers the measured features; any nonzero selector reads word 1', () => {
    const features = (rig: TestRig, sel: number) => {
      rig.w(mmio.DEVICE_FEATURES_SEL, sel);
      return rig.r(mmio.DEVICE_FEATURES);
    };
    expect([0, 1, 2, 0xffff_ffff].map((sel) => features(blk(), sel))).toEqual([0x3000_6e54, 0x101, 0x101, 0x101]);
    expect([0, 1].map((sel) => features(rng(), sel))).toEqual([0x3000_0000, 0x101]);
    expect([0, 1].map((sel) => features(net(), sel))).toEqual([0x30bf_8024, 0x101]);
  });

  it('8- and 16-bit register accesses read 0 and write nothing', () => {
    const rig = blk();
    expect(rig.device.read(mmio.MAGIC_VALUE, 1)).toBe(0);
    expect(rig.device.read(mmio.MAGIC_VALUE, 2)).toBe(0);
    rig.device.write(mmio.STATUS, 1, 3);
    rig.device.write(mmio.STATUS, 2, 3);
    expect(rig.r(mmio.STATUS)).toBe(0);
    expect(rig.events.filter((event) => event.kind === 'mmio-unknown')).toHaveLength(4);
  });

  it('write-only, legacy and unlisted registers read 0; SHM length reads all ones', () => {
    const rig = blk();
    const special = new Map([
      [0x000, 0x7472_6976],
      [0x004, 2],
      [0x008, 2],
      [0x00c, 0x554d_4551],
      [0x010, 0x3000_6e54],
      [0x034, 0x400],
      [0x0b0, 0xffff_ffff],
      [0x0b4, 0xffff_ffff],
    ]);
    for (let offset = 0; offset < 0x100; offset += 4)
      expect([offset, rig.r(offset)]).toEqual([offset, special.get(offset) ?? 0]);
    for (const offset of [0x028, 0x03c, 0x040, 0x0ac, 0x0c0, 0x018, 0x0fc]) {
      rig.w(offset, 0xffff_ffff);
      expect(rig.r(offset)).toBe(0);
    }
  });
});

describe('status and features (sheet 05, section 10.4)', () => {
  it('stores the low byte as written, in any order, and never refuses FEATURES_OK', () => {
    const rig = rng();
    for (const value of [0xff, 4, 0x80, 0x0b, 3, 0x1ff]) {
      rig.w(mmio.STATUS, value);
      expect(rig.r(mmio.STATUS)).toBe(value & 0xff);
    }
    for (const [low, high] of [
      [0, 0],
      [0xffff_ffff, 0xffff_ffff],
      [0, 1],
      [0x3000_0000, 0],
    ] as const) {
      rig.negotiate(low, high);
      expect(rig.r(mmio.STATUS)).toBe(0x0b);
    }
  });

  it('negotiates offered bits only, once, at the write that sets FEATURES_OK', () => {
    const rig = rng();
    rig.negotiate(0xffff_ffff, 0xffff_ffff);
    expect([0, 28, 29, 31, 32, 33, 40, 63].map((bit) => rig.device.has(bit))).toEqual([
      false,
      true,
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
    rig.w(mmio.DRIVER_FEATURES, 0);
    rig.w(mmio.STATUS, 0x0b);
    expect(rig.device.has(32)).toBe(true);
    rig.w(mmio.STATUS, 3);
    rig.w(mmio.STATUS, 0x0b);
    expect(rig.device.has(32)).toBe(false);
  });

  it('reset clears status, ISR, features, QueueSel and queues; DriverFeatures, its selector and generation survive', () => {
    const rig = blk();
    rig.negotiate(0x2000_0200, 1);
    const queue = rig.setUp(0, 8);
    rig.driverOk();
    rig.chain(queue.desc, 0, [[DATA, 4, 0]]);
    rig.offer(queue, 0);
    rig.notify(queue);
    expect(rig.r(mmio.CONFIG_GENERATION)).toBe(1);
    expect(rig.line.level).toBe(true);
    rig.w(mmio.DEVICE_FEATURES_SEL, 1);
    rig.w(mmio.QUEUE_SEL, 5);
    rig.w(mmio.STATUS, 0x100);
    expect(rig.r(mmio.STATUS)).toBe(0);
    expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(0);
    expect(rig.line.level).toBe(false);
    expect(rig.r(mmio.QUEUE_NUM_MAX)).toBe(0x400);
    expect(rig.r(mmio.QUEUE_READY)).toBe(0);
    expect(rig.r(mmio.CONFIG_GENERATION)).toBe(1);
    expect(rig.r(mmio.DEVICE_FEATURES)).toBe(0x101);
    expect(rig.device.has(32)).toBe(false);
    rig.w(mmio.STATUS, 0x0b);
    expect([9, 28, 29, 32].map((bit) => rig.device.has(bit))).toEqual([true, false, true, true]);
    expect(rig.device.queue(0).usable).toBe(false);
    expect(rig.device.queue(0).num).toBe(256);
  });

  it.each([
    ['with DRIVER_OK', 1, true, 0x4f, 3, 1],
    ['without DRIVER_OK', 1, false, 0x4b, 0, 0],
    ['without VERSION_1', 0, true, 0x0f, 0, 0],
  ])('a broken ring %s', (_name, high, driverOk, status, isr, generation) => {
    const rig = blk();
    rig.negotiate(0, high);
    const queue = rig.setUp(0, 8);
    if (driverOk) rig.driverOk();
    rig.chain(queue.desc, 0, [[DATA, 4, 0]]);
    rig.offer(queue, 0);
    rig.notify(queue);
    expect(rig.r(mmio.STATUS)).toBe(status);
    expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(isr);
    expect(rig.r(mmio.CONFIG_GENERATION)).toBe(generation);
    expect(rig.brokenReasons).toEqual(['request without header or status']);
    // Clearing the bit does not repair the device: a good request goes unanswered until the reset.
    rig.w(mmio.STATUS, 0x0f);
    expect(rig.r(mmio.STATUS)).toBe(0x0f);
    rig.chain(queue.desc, 0, [
      [HEADER, 16, 0],
      [STATUS_BYTE, 1, WRITE],
    ]);
    rig.offer(queue, 0);
    rig.notify(queue);
    expect(rig.usedIdx(queue)).toBe(0);
    rig.memory.bytes.fill(0);
    rig.negotiate();
    const again = rig.setUp(0, 8);
    expect(
      rig.submit(again, [
        [HEADER, 16, 0],
        [STATUS_BYTE, 1, WRITE],
      ]),
    ).toBe(1);
    expect(rig.usedIdx(again)).toBe(1);
  });
});

describe('queue registers', () => {
  it('QueueNumMax is 1024 for existing queues, 0 for others; QueueSel beyond 1023 is ignored', () => {
    const rig = net();
    const max = [0, 1, 2, 3, 1023].map((index) => {
      rig.w(mmio.QUEUE_SEL, index);
      return rig.r(mmio.QUEUE_NUM_MAX);
    });
    expect(max).toEqual([0x400, 0x400, 0x400, 0, 0]);
    rig.w(mmio.QUEUE_SEL, 1);
    rig.w(mmio.QUEUE_SEL, 1024);
    rig.w(mmio.QUEUE_SEL, 0xffff_ffff);
    expect(rig.r(mmio.QUEUE_NUM_MAX)).toBe(0x400);
  });

  it('QueueNum takes 1 to 1024, any value; others leave the size alone', () => {
    const rig = blk();
    const sizeAfter = (...values: number[]) => {
      rig.w(mmio.STATUS, 0);
      rig.w(mmio.QUEUE_DESC_LOW, DATA);
      rig.w(mmio.QUEUE_DRIVER_LOW, DATA);
      rig.w(mmio.QUEUE_DEVICE_LOW, DATA);
      for (const value of values) rig.w(mmio.QUEUE_NUM, value);
      rig.w(mmio.QUEUE_READY, 1);
      return rig.device.queue(0).num;
    };
    expect(sizeAfter()).toBe(256);
    expect(sizeAfter(0)).toBe(256);
    expect(sizeAfter(1025)).toBe(256);
    expect(sizeAfter(3)).toBe(3);
    expect(sizeAfter(8, 0, 2000)).toBe(8);
    expect(sizeAfter(1024)).toBe(1024);
  });

  it('QueueReady reads back 1 or 0, also for a queue that does not exist, and 0 does not stop the queue', () => {
    const rig = blk();
    rig.w(mmio.QUEUE_SEL, 7);
    rig.w(mmio.QUEUE_READY, 0xff);
    expect(rig.r(mmio.QUEUE_READY)).toBe(1);
    rig.negotiate();
    const queue = rig.setUp(0, 8);
    expect(rig.r(mmio.QUEUE_READY)).toBe(1);
    rig.w(mmio.QUEUE_READY, 0);
    expect(rig.r(mmio.QUEUE_READY)).toBe(0);
    expect(
      rig.submit(queue, [
        [HEADER, 16, 0],
        [STATUS_BYTE, 1, WRITE],
      ]),
    ).toBe(1);
    expect(rig.usedIdx(queue)).toBe(1);
  });

  it('ignores notifications of queues without rings and of indices that do not exist', () => {
    const rig = blk();
    for (const index of [0, 1, 1023, 1024, 0xffff_ffff]) rig.w(mmio.QUEUE_NOTIFY, index);
    expect(rig.brokenReasons).toEqual([]);
    expect(rig.r(mmio.STATUS)).toBe(0);
  });

  it('rings outside RAM break the device at QueueReady', () => {
    const rig = blk();
    rig.negotiate();
    rig.driverOk();
    rig.w(mmio.QUEUE_DESC_LOW, DATA);
    rig.w(mmio.QUEUE_DRIVER_LOW, 0x5_0000);
    rig.w(mmio.QUEUE_DEVICE_LOW, DATA);
    rig.w(mmio.QUEUE_READY, 1);
    expect(rig.brokenReasons).toEqual(['available ring outside RAM']);
    expect(rig.r(mmio.STATUS)).toBe(0x4f);
  });
});

describe('interrupts', () => {
  it('the line follows InterruptStatus; the ACK clears only the written bits', () => {
    const rig = blk();
    rig.negotiate();
    const queue = rig.setUp(0, 8);
    rig.driverOk();
    rig.submit(queue, [
      [HEADER, 16, 0],
      [STATUS_BYTE, 1, WRITE],
    ]);
    expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(1);
    rig.w(mmio.INTERRUPT_ACK, 2);
    expect(rig.line.level).toBe(true);
    rig.w(mmio.INTERRUPT_ACK, 1);
    expect(rig.line.level).toBe(false);
    expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(0);
    expect(rig.line.rises).toBe(1);
  });
});

describe('config space', () => {
  it('answers 1, 2 and 4 bytes and all ones of that size beyond its length', () => {
    const rig = blk();
    expect(rig.device.read(0x100, 4)).toBe(0x2_0000);
    expect(rig.device.read(0x102, 1)).toBe(2);
    expect(rig.device.read(0x138, 1)).toBe(1);
    expect(rig.device.read(0x138, 2)).toBe(0xffff);
    expect(rig.device.read(0x138, 4)).toBe(0xffff_ffff);
    expect(rig.device.read(0x1ff, 1)).toBe(0xff);
    expect(rng().device.read(0x100, 4)).toBe(0xffff_ffff);
    expect([0x100, 0x104, 0x108].map((offset) => net().r(offset))).toEqual([0x1200_5452, 0x0001_5634, 0xffff_ffff]);
  });
});

describe('config writes', () => {
  it('reach the device inside the config space only', () => {
    class Listening extends Echo {
      override readonly config = new Uint8Array(6);
      readonly written: [number, number, number][] = [];
      override configWritten(...write: [offset: number, width: 1 | 2 | 4, value: number]): void {
        this.written.push(write);
      }
    }
    const backend = new Listening();
    const rig = new TestRig(backend);
    rig.device.write(0x100, 4, 0xaabb_ccdd);
    rig.device.write(0x104, 2, 0x1234);
    rig.device.write(0x105, 1, 0x56);
    for (const [offset, width] of [
      [0x104, 4],
      [0x106, 1],
      [0x106, 2],
      [0x1fc, 4],
    ] as const)
      rig.device.write(offset, width, 1);
    expect(backend.written).toEqual([
      [0, 4, 0xaabb_ccdd],
      [4, 2, 0x1234],
      [5, 1, 0x56],
    ]);
  });
});

describe('the reference drivers’ start-up', () => {
  /** Replays `R070` (read, collected) and `W070=0B` (write) words of the sheet. */
  const replay = (rig: TestRig, script: string): string[] =>
    script.split(/\s+/).flatMap((word) => {
      const [, kind, offset, value] = /^([RW])(\w{3})(?:=(\w+))?$/.exec(word) ?? [];
      const at = parseInt(offset ?? '', 16);
      if (kind === 'R') return [rig.r(at).toString(16)];
      rig.w(at, parseInt(value ?? '', 16));
      return [];
    });

  it('blk (sheet 05, section 12)', () => {
    const rig = blk();
    const reads = replay(
      rig,
      `R000 R008 R004 R000 R004 R008 R00C W070=0 W028=1000 R004 W070=3 W014=0 R010 W014=1 R010 W024=0 W020=200
       W024=1 W020=1 R070 W070=0B R070 W030=0 R034 W030=0 R034 W038=8 R004 W080=80001000 W084=0 W090=80001080
       W094=0 W0A0=80001098 W0A4=0 W044=1 R070 W030=0 R040 R070 W070=0F R070 W050=0 R100 R104`,
    );
    expect(reads.join(' ')).toBe('74726976 2 2 74726976 2 2 554d4551 2 30006e54 101 3 b 400 400 2 b 0 b f 20000 0');
    expect([9, 11, 29, 32, 40].map((bit) => rig.device.has(bit))).toEqual([true, false, false, true, false]);
    expect([rig.device.broken, rig.device.queue(0).num, rig.r(0x060)]).toEqual([false, 8, 0]);
  });

  it('net (sheet 05, section 14.2)', () => {
    const queue = (q: number, base: string) =>
      `W030=${String(q)} R034 W038=8 R004 W080=${base}000 W084=0 W090=${base}080 W094=0 W0A0=${base}098 W0A4=0 W044=1`;
    const reads = replay(
      net(),
      `R000 R008 R000 R004 R008 R00C W070=0 W070=3 W014=0 R010 W014=1 R010 W024=0 W020=8020 W024=1 W020=1 R070
       W070=0B R070 ${queue(0, '80001')} ${queue(1, '80002')} R100 R104 R060 W050=0 R070 W070=0F W050=0 R070`,
    );
    expect(reads.join(' ')).toBe('74726976 1 74726976 2 1 554d4551 30bf8024 101 3 b 400 2 400 2 12005452 15634 0 b f');
  });
});
