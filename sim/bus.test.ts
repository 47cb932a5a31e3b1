import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BUS_FAULT, Bus } from './bus.ts';
import type { AccessRule, BusDevice } from './bus.ts';
import type { Width } from './memory.ts';
import { Ram } from './ram.ts';

const RAM_BASE = 0x8000_0000;
const RAM_SIZE = 0x1000;

/** A device that is a byte array and logs how it was reached. */
class Scratch implements BusDevice {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly log: string[] = [];
  declare readonly access?: AccessRule;

  constructor(name: string, size: number, access?: AccessRule) {
    this.name = name;
    this.bytes = new Uint8Array(size + 8);
    if (access) this.access = access;
  }

  read(offset: number, width: 1 | 2 | 4): number {
    this.log.push(`r${width}@${offset}`);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.bytes[offset + i]!;
    return value;
  }

  write(offset: number, width: 1 | 2 | 4, value: number): void {
    this.log.push(`w${width}@${offset}=${value}`);
    for (let i = 0; i < width; i++) this.bytes[offset + i] = Math.floor(value / 256 ** i);
  }
}

class Wide extends Scratch {
  readU64(offset: number): bigint {
    this.log.push(`r8@${offset}`);
    return 0xfedc_ba98_7654_3210n;
  }

  writeU64(offset: number, value: bigint): void {
    this.log.push(`w8@${offset}=${value}`);
  }
}

describe('Bus against a naive byte map', () => {
  interface Range {
    readonly base: number;
    readonly size: number;
    readonly widths: readonly number[];
    readonly alignment: 'natural' | 'any';
  }
  const WINDOWS: readonly Range[] = [
    { base: 0x1000, size: 0x20, widths: [1, 2, 4, 8], alignment: 'natural' },
    { base: 0x1020, size: 0x10, widths: [4], alignment: 'natural' },
    { base: 0x2000, size: 0x14, widths: [4, 8], alignment: 'natural' },
    { base: 0x3000, size: 0x13, widths: [1, 2, 4, 8], alignment: 'any' },
    { base: 0x8000_1000, size: 0x10, widths: [1, 4], alignment: 'natural' },
  ];
  const RAM: Range = { base: RAM_BASE, size: RAM_SIZE, widths: [1, 2, 4, 8], alignment: 'any' };

  const address = fc
    .tuple(fc.constantFrom(RAM, ...WINDOWS), fc.integer({ min: -9, max: 40 }), fc.boolean())
    .map(([range, delta, atEnd]) => range.base + delta + (atEnd ? range.size - 20 : 0));
  const step = fc.record({
    address,
    width: fc.constantFrom<Width>(1, 2, 4, 8),
    write: fc.boolean(),
    value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  });

  it('same values, same faults, and a faulting write changes nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const bus = new Bus(
          new Ram(RAM_BASE, RAM_SIZE),
          // Reversed, because the order of windows must not matter.
          [...WINDOWS].reverse().map(({ base, size, widths, alignment }) => ({
            base,
            size,
            device: new Scratch(`at${base}`, size, { widths: widths as Width[], alignment }),
          })),
        );
        const model = new Map<number, number>();
        for (const { address, width, write, value } of steps) {
          const range = [RAM, ...WINDOWS].find(({ base, size }) => address >= base && address < base + size);
          const legal =
            range !== undefined &&
            range.widths.includes(width) &&
            (range.alignment === 'any' || (address - range.base) % width === 0) &&
            address + width <= range.base + range.size;
          const bytes = Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
          if (write) {
            const done =
              width === 8 ? bus.writeU64(address, value) : bus.write(address, width, Number(value & 0xffff_ffffn));
            expect(done).toBe(legal);
            if (legal) bytes.forEach((byte, i) => model.set(address + i, byte));
          } else {
            let expected = 0n;
            for (let i = width - 1; i >= 0; i--) expected = (expected << 8n) | BigInt(model.get(address + i) ?? 0);
            const got = width === 8 ? bus.readU64(address) : BigInt(bus.read(address, width));
            expect(got).toBe(legal ? expected : -1n);
          }
          if (!legal) expect(bus.fault).toMatchObject({ width, write });
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});

describe('Bus', () => {
  const ram = new Ram(RAM_BASE, RAM_SIZE);

  it('names the cause, the device and the first byte that could not be reached', () => {
    const bus = new Bus(ram, [{ base: 0x100, size: 0x14, device: new Scratch('narrow', 0x14, { widths: [4, 8] }) }]);
    expect(bus.fault).toBe(null);
    const fault = (address: number, width: 1 | 2 | 4): unknown => {
      expect(bus.read(address, width)).toBe(BUS_FAULT);
      return bus.fault;
    };
    expect(fault(0x100, 1)).toEqual({ cause: 'width', address: 0x100, width: 1, write: false, device: 'narrow' });
    expect(fault(0x102, 4)).toEqual({ cause: 'alignment', address: 0x102, width: 4, write: false, device: 'narrow' });
    expect(fault(0x114, 4)).toEqual({ cause: 'unmapped', address: 0x114, width: 4, write: false, device: null });
    expect(fault(RAM_BASE + 0xffe, 4)).toMatchObject({ cause: 'unmapped', address: RAM_BASE + RAM_SIZE });
    expect(fault(RAM_BASE - 2, 4)).toMatchObject({ cause: 'unmapped', address: RAM_BASE - 2 });
    expect(bus.write64(0x110, 1, 2)).toBe(false);
    expect(bus.fault).toEqual({ cause: 'window', address: 0x110, width: 8, write: true, device: 'narrow' });
  });

  it('splits an 8-byte access into two words, low first, unless the device takes it whole', () => {
    const split = new Scratch('split', 0x10);
    const wide = new Wide('wide', 0x10);
    const bus = new Bus(ram, [
      { base: 0x100, size: 0x10, device: split },
      { base: 0x200, size: 0x10, device: wide },
    ]);
    bus.writeU64(0x108, 0x1111_2222_3333_4444n);
    expect(bus.readU64(0x108)).toBe(0x1111_2222_3333_4444n);
    expect(split.log).toEqual([`w4@8=${0x3333_4444}`, `w4@12=${0x1111_2222}`, 'r4@8', 'r4@12']);
    bus.writeU64(0x200, 5n);
    expect(bus.read64(0x200)).toBe(0x7654_3210);
    expect(bus.high).toBe(0xfedc_ba98);
    expect(wide.log).toEqual(['w8@0=5', 'r8@0']);
  });

  it('hands devices unsigned values of the access width', () => {
    const device = new Scratch('dev', 0x10);
    const bus = new Bus(ram, [{ base: 0x100, size: 0x10, device }]);
    bus.write(0x100, 4, -1);
    bus.write(0x104, 2, 0x12_3456);
    bus.write(0x106, 1, -2);
    bus.write64(0x108, -1, -2);
    expect(device.log).toEqual([
      'w4@0=4294967295',
      `w2@4=${0x3456}`,
      'w1@6=254',
      'w4@8=4294967295',
      'w4@12=4294967294',
    ]);
  });

  it('a start-offset device takes any alignment, even over the end of its window', () => {
    const device = new Scratch('uart-like', 8, { widths: [1, 2, 4, 8], alignment: 'start' });
    const bus = new Bus(ram, [{ base: 0x100, size: 8, device }]);
    expect(bus.read(0x107, 4)).toBe(0);
    expect(bus.read(0x103, 2)).toBe(0);
    expect(bus.read(0x108, 1)).toBe(BUS_FAULT);
    expect(device.log).toEqual(['r4@7', 'r2@3']);
  });

  it('finds the device of an address', () => {
    const device = new Scratch('dev', 0x10);
    const bus = new Bus(ram, [{ base: 0x100, size: 0x10, device }]);
    expect(bus.deviceAt(0x10f)).toBe(device);
    expect(bus.deviceAt(0x110)).toBe(null);
    expect(bus.deviceAt(RAM_BASE)).toBe(null);
  });

  it('refuses overlapping windows', () => {
    const at = (base: number, size: number): { base: number; size: number; device: Scratch } => ({
      base,
      size,
      device: new Scratch(`at${base.toString(16)}`, size),
    });
    expect(() => new Bus(ram, [at(0x100, 0x10), at(0x10f, 1)])).toThrow('at10f overlaps its neighbour');
    expect(() => new Bus(ram, [at(RAM_BASE - 8, 9)])).toThrow('overlaps RAM');
    expect(() => new Bus(ram, [at(RAM_BASE - 8, 8), at(RAM_BASE + RAM_SIZE, 8)])).not.toThrow();
    expect(() => new Bus(ram, [at(0x100, 0)])).toThrow('no extent');
  });
});
