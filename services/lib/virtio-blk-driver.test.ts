import { describe, expect, it } from 'vitest';
import { TestMachine } from './fixtures/task-machine.ts';
import type { BlkDriverOptions } from './virtio-blk-driver.ts';
import { VirtioBlkDriver } from './virtio-blk-driver.ts';
import { DriverQueue, queueLayout } from './virtqueue-driver.ts';

const CONTRACT: BlkDriverOptions = { statusPreset: false, restartFails: false };
const SLOT = 0x30;

function machineWithDevice(): TestMachine {
  const machine = new TestMachine();
  machine.caps.set(SLOT, { kind: 'mmio' });
  return machine;
}

function started(options: BlkDriverOptions = CONTRACT): {
  readonly machine: TestMachine;
  readonly blk: VirtioBlkDriver;
} {
  const machine = machineWithDevice();
  const blk = new VirtioBlkDriver(machine.sys, SLOT, options);
  expect(machine.call(blk.start())).toBeNull();
  machine.text = '';
  machine.registers.length = 0;
  machine.disk.length = 0;
  return { machine, blk };
}

const PAGE_LINES = [
  'virtio-blk: mmio modern',
  'virtio-blk: q_pa=0x000000008185b000 pfn=0x0008185b',
  'virtio-blk: q_max=00000400',
  'virtio-blk: status=0000000b',
  'virtio-blk: pfn_rb=00000000',
  'virtio-blk: q_layout desc=20080000 avail=20080080 used=20080098',
  'virtio-blk: status_ok=0000000f',
  'virtio-blk: buf_pa=0x000000008185c000',
];

describe('start (sheet 50, section 3; sheet 05, section 12)', () => {
  it('prints the ten lines of the reference in their order', () => {
    const machine = machineWithDevice();
    machine.capacity = [0x2_0000, 0];
    expect(machine.call(new VirtioBlkDriver(machine.sys, SLOT, CONTRACT).start())).toBeNull();
    expect(machine.lines).toEqual([...PAGE_LINES, 'virtio-blk: cap=0000000000020000 sectors', 'virtio-blk: warmup ok']);
    expect(machine.disk).toEqual(['read 0']);
    expect(machine.yields).toBe(1000);
  });

  it('makes the register accesses of the reference in their order', () => {
    const machine = machineWithDevice();
    machine.call(new VirtioBlkDriver(machine.sys, SLOT, CONTRACT).start());
    const expected =
      'R000 R008 R004 R000 R004 R008 R00c W070=0 W028=1000 R004 W070=3 W014=0 R010 W014=1 R010 W024=0 W020=200 W024=1 ' +
      'W020=1 R070 W070=b R070 W030=0 R034 W030=0 R034 W038=8 R004 W080=8185b000 W084=0 W090=8185b080 W094=0 ' +
      'W0a0=8185b098 W0a4=0 W044=1 R070 W030=0 R040 R070 W070=f R070 W050=0 R100 R104 W050=0';
    expect(machine.registers.map((access) => access.replace(' ', '')).join(' ')).toBe(expected);
  });

  it('speaks to a legacy transport', () => {
    const machine = machineWithDevice();
    machine.version = 1;
    machine.mode = 'silent'; // The device here reads modern registers only.
    expect(machine.call(new VirtioBlkDriver(machine.sys, SLOT, CONTRACT).start())).toBe('timeout');
    expect(machine.lines[0]).toBe('virtio-blk: mmio legacy');
    const setup = ['W 028=1000', 'W 03c=4', 'W 040=8185b'];
    expect(machine.registers.filter((access) => setup.includes(access))).toEqual(['W 028=1000', ...setup]);
    expect(machine.registers).not.toContain('W 044=1');
  });

  it('reads a capacity beyond 32 bits', () => {
    const machine = machineWithDevice();
    machine.capacity = [0, 1];
    const blk = new VirtioBlkDriver(machine.sys, SLOT, CONTRACT);
    machine.call(blk.start());
    expect(blk.blockCount).toBe(2 ** 32);
    expect(machine.lines).toContain('virtio-blk: cap=0000000100000000 sectors');
  });

  it('refuses what is not a usable block device', () => {
    const refused = (change: (machine: TestMachine) => void): unknown => {
      const machine = machineWithDevice();
      change(machine);
      return machine.call(new VirtioBlkDriver(machine.sys, SLOT, CONTRACT).start());
    };
    expect(refused((m) => (m.magic = 1))).toBe('bad-magic');
    expect(refused((m) => (m.deviceId = 1))).toBe('not-block-device');
    expect(refused((m) => (m.version = 3))).toBe('unsupported-version');
    expect(refused((m) => (m.featuresOk = false))).toBe('device-rejected-features');
    expect(refused((m) => (m.queueNumMax = 4))).toBe('unsupported');
    expect(refused((m) => (m.queueNumMax = 0))).toBe('unsupported');
    expect(refused((m) => m.caps.delete(SLOT))).toBe('unsupported');
  });

  it('reports a failed warm-up', () => {
    const machine = machineWithDevice();
    machine.mode = 'io-error';
    expect(machine.call(new VirtioBlkDriver(machine.sys, SLOT, CONTRACT).start())).toBe('io');
    expect(machine.lines.slice(-2)).toEqual(['virtio-blk: status err=00000001', 'virtio-blk: warmup failed']);
  });

  it('OBS-14: starts again with the pages it has', () => {
    const machine = machineWithDevice();
    const blk = new VirtioBlkDriver(machine.sys, SLOT, CONTRACT);
    machine.mode = 'io-error';
    expect(machine.call(blk.start())).toBe('io');
    machine.mode = 'ok';
    expect(machine.call(blk.start())).toBeNull();
    expect(machine.vmos).toBe(2);
    expect(machine.lines.slice(11, 19)).toEqual(PAGE_LINES);
  });

  it('statefs-restart: the reference asks for new pages and fails on the address', () => {
    const machine = machineWithDevice();
    const blk = new VirtioBlkDriver(machine.sys, SLOT, { statusPreset: true, restartFails: true });
    machine.mode = 'io-error';
    machine.call(blk.start());
    machine.mode = 'ok';
    machine.text = '';
    const before = machine.caps.size;
    expect(machine.call(blk.start())).toBe('unsupported');
    expect(machine.lines).toEqual(['virtio-blk: mmio modern']);
    expect([machine.vmos, machine.caps.size - before]).toEqual([3, 1]);
  });
});

describe('requests (sheet 50, section 5)', () => {
  it('read, write and flush', () => {
    const { machine, blk } = started();
    const data = new Uint8Array(512).map((_, i) => i & 0xff);
    expect(machine.call(blk.write(7, data))).toBeNull();
    expect(machine.sectors.get(7)).toEqual(data);
    const into = new Uint8Array(600);
    expect(machine.call(blk.read(7, into))).toBeNull();
    expect(into.subarray(0, 512)).toEqual(data);
    expect(into[512]).toBe(0);
    expect(machine.call(blk.flush())).toBeNull();
    expect(machine.disk).toEqual(['write 7', 'read 7', 'flush']);
    expect(machine.registers).toEqual(['W 050=0', 'W 050=0', 'W 050=0']);
  });

  it('refuses short buffers and sectors beyond the capacity with a line', () => {
    const { machine, blk } = started();
    expect(machine.call(blk.read(0, new Uint8Array(511)))).toBe('io');
    expect(machine.call(blk.read(64, new Uint8Array(512)))).toBe('io');
    expect(machine.lines).toEqual(['virtio-blk: short buf', 'virtio-blk: bad sector']);
    expect(machine.disk).toEqual([]);
  });

  it('keeps going when the ring indices wrap', () => {
    const { machine, blk } = started();
    for (let i = 0; i < 66_000; i++) {
      if (machine.call(blk.flush()) !== null) throw new Error(`request ${i}`);
    }
  });

  it('OBS-15: a completion without a status byte is an error, and its data is not taken', () => {
    const { machine, blk } = started();
    machine.mode = 'no-status';
    const into = new Uint8Array(512).fill(9);
    expect(machine.call(blk.read(3, into))).toBe('io');
    expect(into).toEqual(new Uint8Array(512).fill(9));
    expect(machine.lines).toEqual(['virtio-blk: status err=000000ff']);
  });

  it('blk-status-preset: in the reference it reads as success, and data comes before the status', () => {
    const { machine, blk } = started({ statusPreset: true, restartFails: false });
    machine.mode = 'no-status';
    expect(machine.call(blk.write(3, new Uint8Array(512).fill(7)))).toBeNull();
    machine.mode = 'io-error';
    const into = new Uint8Array(512).fill(9);
    expect(machine.call(blk.read(3, into))).toBe('io');
    expect(into[0]).toBe(7);
  });

  it('COR-4: gives up after two seconds of virtual time', () => {
    const { machine, blk } = started();
    machine.mode = 'silent';
    const before = machine.now;
    expect(machine.call(blk.read(0, new Uint8Array(512)))).toBe('io');
    expect(machine.now - before).toBeGreaterThanOrEqual(2_000_000_000);
    expect(machine.now - before).toBeLessThan(2_000_100_000);
    // 20 us per miss here: the clock is read on each.
    expect(machine.lines).toEqual([
      `virtio-blk: timeout last=00000001 polls=${(100_000).toString(16).padStart(8, '0')}`,
    ]);
  });

  it('after a timeout nothing is asked of the device until it was reset', () => {
    const { machine, blk } = started();
    machine.mode = 'silent';
    machine.call(blk.read(0, new Uint8Array(512)));
    machine.mode = 'ok';
    machine.serviceQueue(); // The late completion.
    expect(machine.call(blk.read(1, new Uint8Array(512)))).toBe('io');
    expect(blk.needsRestart).toBe(true);
    expect(machine.call(blk.start())).toBeNull();
    machine.sectors.set(1, new Uint8Array(512).fill(1));
    const into = new Uint8Array(512);
    expect(machine.call(blk.read(1, into))).toBeNull();
    expect(into[0]).toBe(1);
  });

  it('statefs-restart: in the reference the late completion passes for the next request', () => {
    const { machine, blk } = started({ statusPreset: true, restartFails: true });
    machine.mode = 'silent';
    machine.call(blk.read(0, new Uint8Array(512)));
    machine.mode = 'ok';
    machine.serviceQueue();
    machine.mode = 'silent';
    expect(machine.call(blk.write(1, new Uint8Array(512).fill(5)))).toBeNull();
    expect(machine.sectors.has(1)).toBe(false);
  });
});

describe('queues', () => {
  it('lie as the reference drivers lay them (sheet 05, section 11)', () => {
    expect(queueLayout(8)).toEqual({ size: 8, avail: 0x80, used: 0x98 });
    expect(queueLayout(1)).toEqual({ size: 1, avail: 0x10, used: 0x18 });
  });

  it('write descriptors and rings in place, behind a base too', () => {
    const page = new Uint8Array(512);
    const queue = new DriverQueue(page, queueLayout(2), 256);
    queue.describe(1, 0x1_8000_0010, 0x201, 3, 7);
    queue.publish(1);
    queue.publish(0);
    expect([...page.subarray(272, 288)]).toEqual([0x10, 0, 0, 0x80, 1, 0, 0, 0, 1, 2, 0, 0, 3, 0, 7, 0]);
    expect([...page.subarray(288, 296)]).toEqual([0, 0, 2, 0, 1, 0, 0, 0]);
    const used = 256 + queue.layout.used;
    page.set([0, 0, 1, 0, 1, 0, 0, 0, 9, 2, 0, 0], used);
    expect([queue.usedIndex, queue.usedId(0), queue.usedLength(0)]).toEqual([1, 1, 0x209]);
  });
});
