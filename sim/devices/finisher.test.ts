import { describe, expect, it } from 'vitest';
import { Bus } from '../bus.ts';
import { Ram } from '../ram.ts';
import { Trace } from '../trace.ts';
import { Finisher } from './finisher.ts';
import type { FinisherRequest } from './finisher.ts';

function rig(): { bus: Bus; seen: FinisherRequest[] } {
  const seen: FinisherRequest[] = [];
  const device = new Finisher(new Trace({ now: 0 }), (request) => seen.push(request));
  return { bus: new Bus(new Ram(0x8000_0000, 0x1000), [{ base: 0x10_0000, size: 0x1000, device }]), seen };
}

describe('test finisher (sheet 05, section 7.1)', () => {
  it.each<[number, FinisherRequest[]]>([
    [0x0000_5555, [{ kind: 'exit', status: 0 }]],
    [0xffff_5555, [{ kind: 'exit', status: 0 }]],
    [0x002a_3333, [{ kind: 'exit', status: 42 }]],
    [0x0000_3333, [{ kind: 'exit', status: 0 }]],
    [0x0100_3333, [{ kind: 'exit', status: 0 }]],
    [0xffff_3333, [{ kind: 'exit', status: 255 }]],
    [0x0000_7777, [{ kind: 'reset' }]],
    [0x0000_0000, []],
    [0x5555_0000, []],
    [0x0001_5556, []],
  ])('a 32-bit write of %i', (value, expected) => {
    const { bus, seen } = rig();
    expect(bus.write(0x10_0000, 4, value)).toBe(true);
    expect(seen).toEqual(expected);
  });

  it('a 16-bit write carries the command alone', () => {
    const { bus, seen } = rig();
    bus.write(0x10_0000, 2, 0x3333);
    expect(seen).toEqual([{ kind: 'exit', status: 0 }]);
  });

  it('reads give 0, other offsets do nothing', () => {
    const { bus, seen } = rig();
    expect(bus.read(0x10_0000, 4)).toBe(0);
    bus.write(0x10_0004, 4, 0x5555);
    expect(bus.read(0x10_0ffc, 4)).toBe(0);
    expect(seen).toEqual([]);
  });

  it('1- and 8-byte accesses are faults', () => {
    const { bus, seen } = rig();
    expect(bus.read(0x10_0000, 1)).toBe(-1);
    expect(bus.write(0x10_0000, 1, 0x55)).toBe(false);
    expect(bus.readU64(0x10_0000)).toBe(-1n);
    expect(bus.writeU64(0x10_0000, 0x5555n)).toBe(false);
    expect(seen).toEqual([]);
  });
});
