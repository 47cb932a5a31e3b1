import { describe, expect, it } from 'vitest';
import { DeviceMemory } from '../../sim/ram.ts';
import { Errno } from '../abi.ts';
import { VMO_ARENA_BASE } from '../layout.ts';
import type { Sys, Syscall } from '../sys.ts';
import { runToEnd, startRoot, testMachine } from '../test-kit.ts';
import type { TestMachine, TestSetup } from '../test-kit.ts';

const { EINVAL, EPERM, ENOSPC } = Errno;
const V_R_U = 1 | 2 | 16;
const V_RW_U = V_R_U | 4;

/** Makes the calls as one task, each after the one before; returns their a0. */
function results(
  calls: readonly ((sys: Sys) => Syscall)[],
  setup: TestSetup = {},
  prepare?: (machine: TestMachine) => void,
): { machine: TestMachine; a0: number[] } {
  const machine = testMachine(setup);
  const a0: number[] = [];
  startRoot(machine, function* (sys) {
    for (const call of calls) a0.push(yield call(sys));
    return 0;
  });
  prepare?.(machine);
  runToEnd(machine);
  return { machine, a0 };
}

describe('VMO_CREATE, VMO_WRITE, MAP', () => {
  it('creates zeroed pages from the arena in order, rounded up', () => {
    const { machine, a0 } = results([
      (sys) => sys.vmoCreate(1),
      (sys) => sys.vmoCreate(4097),
      (sys) => sys.vmoCreate(4096, 9),
      (sys) => sys.capQuery(3),
    ]);
    expect(a0).toEqual([2, 3, 9, 0]);
    const { caps, sys } = machine.kernel.tasks[0]!;
    expect(caps.get(2)).toEqual({ kind: 'vmo', base: VMO_ARENA_BASE, len: 4096, rights: 4 });
    expect(caps.get(9)).toMatchObject({ base: VMO_ARENA_BASE + 3 * 4096 });
    expect(sys.query).toEqual({ kind: 1, base: VMO_ARENA_BASE + 4096, len: 8192 });
  });

  it('zeroes what a device had written to the arena before', () => {
    const machine = testMachine();
    new DeviceMemory(machine.ram).slice(VMO_ARENA_BASE, 3 * 4096).fill(0xee);
    startRoot(machine, function* (sys) {
      yield sys.vmoCreate(5000, 2);
      return 0;
    });
    runToEnd(machine);
    expect(machine.ram.slice(VMO_ARENA_BASE, 2 * 4096).every((byte) => byte === 0)).toBe(true);
    expect(machine.ram.readU8(VMO_ARENA_BASE + 2 * 4096)).toBe(0xee);
  });

  it('refuses an empty or too large VMO and a slot out of range, which takes its pages all the same', () => {
    const { machine, a0 } = results([
      (sys) => sys.vmoCreate(0),
      (sys) => sys.vmoCreate(0x100_1000),
      (sys) => sys.vmoCreate(4096, 96),
      (sys) => sys.vmoCreate(4096, -2),
    ]);
    expect(a0).toEqual([-EPERM, -EPERM, -EPERM, -EPERM]);
    expect(machine.lines().slice(0, 2)).toEqual([
      'CAP-E: invalid slot 96 (len=96)',
      'CAP-E: invalid slot 18446744073709551614 (len=96)',
    ]);
    expect(machine.memory.arena.cursor).toBe(VMO_ARENA_BASE + 2 * 4096);
  });

  it('has no room for a 97th capability', () => {
    const calls = Array.from({ length: 95 }, () => (sys: Sys) => sys.vmoCreate(1));
    expect(results(calls).a0.slice(-2)).toEqual([95, -ENOSPC]);
  });

  it('MAP checks in the order of section 2.2', () => {
    const { a0 } = results([
      (sys) => sys.vmoCreate(8192, 2),
      (sys) => sys.map(2, 0x2001, 0, V_R_U),
      (sys) => sys.map(2, 2 ** 38, 0, V_R_U),
      (sys) => sys.map(9, 0x2000, 0, 0x100),
      (sys) => sys.map(9, 0x2000, 0, 4 | 8),
      (sys) => sys.map(9, 0x2000, 0, V_R_U),
      (sys) => sys.map(0, 0x2000, 0, V_R_U),
      (sys) => sys.map(2, 0x2000, 8192, V_R_U),
      (sys) => sys.map(2, 0x2000, -1, V_R_U),
      (sys) => sys.map(2, 0x2000, 0, 2 | 16),
      (sys) => sys.map(2, 0x2000, 0, 1 | 16),
      (sys) => sys.map(2, 0x2000, 4097, V_R_U),
      (sys) => sys.map(2, 0x2000, 0, V_R_U),
      (sys) => sys.map(2, 0x8100_0000, 0, V_R_U),
    ]);
    expect(a0).toEqual([
      2,
      -EINVAL,
      -EINVAL,
      -EINVAL,
      ...[-EPERM, -EPERM, -EPERM, -EPERM, -EPERM],
      -EINVAL,
      -EINVAL,
      0,
      -EINVAL,
      -EINVAL,
    ]);
  });

  it('makes a VMO visible at the mapped address, bytes and words', () => {
    const machine = testMachine();
    const seen: number[] = [];
    startRoot(machine, function* (sys) {
      yield sys.vmoCreate(8192, 2);
      yield sys.map(2, 0x5000, 0, V_RW_U);
      yield sys.map(2, 0x6000, 4096, V_RW_U);
      seen.push(yield sys.vmoWrite(2, 4094, new Uint8Array([1, 2, 3, 4])));
      seen.push(...sys.bytes(0x5ffe, 4), sys.load32(0x6000));
      sys.store32(0x6ffc, 0xdead_beef);
      seen.push(sys.bytes(0x6ffc, 4)[3] ?? 0);
      seen.push(yield sys.vmoWrite(2, 8190, new Uint8Array(3)), yield sys.vmoWrite(2, 8192, new Uint8Array(0)));
      seen.push(yield sys.vmoWrite(0, 0, new Uint8Array(0)));
      return 0;
    });
    runToEnd(machine);
    expect(seen).toEqual([4, 1, 2, 3, 4, 0x0403, 0xde, -EPERM, 0, -EPERM]);
    expect(machine.ram.readU32(VMO_ARENA_BASE + 8188)).toBe(0xdead_beef);
  });
});

describe('AS_MAP', () => {
  it('checks in the order of section 7.1', () => {
    const { a0 } = results([
      (sys) => sys.vmoCreate(8192, 2),
      (sys) => sys.asCreate(),
      (sys) => sys.asMap(0, 2, 0x1000, 4096, 1, 1),
      (sys) => sys.asMap(2, 2, 0x1001, 4096, 1, 1),
      (sys) => sys.asMap(2, 2, 0x1000, 0, 1, 1),
      (sys) => sys.asMap(2, 2, 0x1000, 100, 1, 1),
      (sys) => sys.asMap(2, 9, 0x1000, 4096, 7, 1),
      (sys) => sys.asMap(2, 9, -4096, 4096, 1, 1),
      (sys) => sys.asMap(2, 9, 0x1000, 4096, 1, 1),
      (sys) => sys.asMap(2, 2, 0x1000, 4096, 0, 1),
      (sys) => sys.asMap(77, 2, 0x1000, 4096, 1, 1),
      (sys) => sys.asMap(2, 2, 0x1000, 0x10000, 3, 1),
      (sys) => sys.asMap(2, 2, 0x0000, 8192, 1, 1),
      (sys) => sys.asMap(2, 2, -8192, 4096, 1, 1),
    ]);
    const refused = [-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EPERM, -EINVAL, -EPERM, -EINVAL, -EINVAL];
    expect(a0).toEqual([2, 2, ...refused, 0, -EINVAL, 0]);
  });

  it('leaves earlier pages mapped when a later one overlaps', () => {
    const { machine, a0 } = results([
      (sys) => sys.vmoCreate(3 * 4096, 2),
      (sys) => sys.asCreate(),
      (sys) => sys.asMap(2, 2, 0x3000, 4096, 1, 1),
      (sys) => sys.asMap(2, 2, 0x1000, 3 * 4096, 1, 1),
    ]);
    expect(a0.at(-1)).toBe(-EINVAL);
    const space = machine.memory.spaces.get(2)!;
    expect([space.translate(0x1000, 2), space.translate(0x2000, 2)]).toEqual([VMO_ARENA_BASE, VMO_ARENA_BASE + 4096]);
  });
});

describe('device windows', () => {
  const device = (): { words: Map<number, number>; bus: { read: () => number; write: () => boolean } } => {
    const words = new Map<number, number>();
    const bus = {
      read: (address: number) =>
        address >= 0x1000_6000 && address < 0x1000_6200 ? (words.get(address) ?? 0x7472_6976) : -1,
      write: (address: number, _width: number, value: number) => {
        if (address < 0x1000_6000 || address >= 0x1000_6200) return false;
        words.set(address, value);
        return true;
      },
    };
    return { words, bus: bus as never };
  };

  it('gives the reference vectors of section 3.4', () => {
    const { a0 } = results([
      (sys) => sys.mmioMap(48, 0x2000_0000, 0),
      (sys) => sys.mmioMap(0, 0x2000_0000, 0),
      (sys) => sys.deviceCapCreate(0x1000_6000, 0x2000, 48),
      (sys) => sys.mmioMap(48, 0x2000_0000, 0x2000),
      (sys) => sys.mmioMap(48, 0x2000_0000, 0x1_0000),
      (sys) => sys.mmioMap(48, 0x2000_0001, 0),
      (sys) => sys.mmioMap(48, 0x2000_0000, 1),
      (sys) => sys.mmioMap(48, 0x2000_0000, 0),
      (sys) => sys.mmioMap(48, 0x2000_0000, 0),
      (sys) => sys.capTransfer(0, 48, 0),
      (sys) => sys.mmioMap(2, 0x2000_1000, 0),
      (sys) => sys.capQuery(2),
      (sys) => sys.capQuery(48),
      (sys) => sys.capQuery(0),
    ]);
    expect(a0).toEqual([-EPERM, -EPERM, 48, -EPERM, -EPERM, -EINVAL, -EPERM, 0, -EINVAL, 2, -EPERM, -EPERM, 0, -EPERM]);
  });

  it('maps user, read, write, not execute', () => {
    const { machine } = results([
      (sys) => sys.deviceCapCreate(0x1000_6000, 0x1000, 48),
      (sys) => sys.mmioMap(48, 0x2000_0000, 0),
    ]);
    expect(Number(machine.memory.spaces.get(1)!.leaf(0x2000_0000) & 0xffn)).toBe(0xd7);
  });

  it('DEVICE_CAP_CREATE needs whole pages without overflow and the factory in slot 1', () => {
    const { a0 } = results([
      (sys) => sys.deviceCapCreate(0x1000_6000, 0),
      (sys) => sys.deviceCapCreate(0x1000_6001, 0x1000),
      (sys) => sys.deviceCapCreate(0x1000_6000, 0x1001),
      (sys) => sys.deviceCapCreate(-4096, 0x1000),
      (sys) => sys.deviceCapCreate(0x1000_6000, 0x1000, 96),
      (sys) => sys.deviceCapCreate(0x1000_6000, 0x1000),
      (sys) => sys.capClose(1),
      (sys) => sys.deviceCapCreate(0x1000_6000, 0x1000),
    ]);
    expect(a0).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EPERM, 2, 0, -EPERM]);
  });

  it('reaches the device through the bus, and only through a mapped window', () => {
    const { words, bus } = device();
    const machine = testMachine({ memory: { bus } });
    const seen: number[] = [];
    startRoot(machine, function* (sys) {
      yield sys.deviceCapCreate(0x1000_6000, 0x1000, 48);
      yield sys.mmioMap(48, 0x2000_0000, 0);
      seen.push(sys.load32(0x2000_0000));
      sys.store32(0x2000_0070, 0xf);
      seen.push(sys.load32(0x2000_0070));
      seen.push(sys.load32(0x2000_1000));
      return 0;
    });
    runToEnd(machine);
    expect(seen).toEqual([0x7472_6976, 0xf]);
    expect(words.get(0x1000_6070)).toBe(0xf);
    expect(machine.kernel.tasks[0]!.exitCode).toBe(-22);
  });
});
