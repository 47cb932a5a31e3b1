import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DeviceMemory, MAX_RAM_SIZE, Ram } from './ram.ts';

const BASE = 0x8000_0000;

describe('Ram', () => {
  it('reads 0 until written (sheet 05, section 2)', () => {
    const ram = new Ram(BASE, 0x1090_0000);
    expect(ram.readU64(BASE)).toBe(0n);
    expect(ram.readU32(0x908f_fffc)).toBe(0);
    expect(ram.end).toBe(0x9090_0000);
  });

  it('contains a range that lies wholly inside; length 0 where the address does', () => {
    const ram = new Ram(BASE, 0x2000);
    expect(ram.contains(BASE, 0x2000)).toBe(true);
    expect(ram.contains(BASE, 0x2001)).toBe(false);
    expect(ram.contains(BASE - 1, 1)).toBe(false);
    expect(ram.contains(BASE - 1, 0)).toBe(false);
    expect(ram.contains(BASE + 0x1fff, 1)).toBe(true);
    expect(ram.contains(BASE + 0x1fff, 0)).toBe(true);
    expect(ram.contains(BASE + 0x2000, 0)).toBe(false);
    expect(ram.contains(BASE + 0x1ff9, 8)).toBe(false);
    expect(ram.contains(2 ** 53, 1)).toBe(false);
  });

  it('accessors agree with a byte array at any alignment, little-endian', () => {
    const access = fc.record({
      offset: fc.nat(56),
      width: fc.constantFrom(1, 2, 4, 8),
      value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 40 }), (accesses) => {
        const ram = new Ram(BASE, 0x1000);
        const model = new Array<number>(64).fill(0);
        for (const { offset, width, value } of accesses) {
          const at = BASE + offset;
          const low = Number(value & 0xffff_ffffn);
          if (width === 1) ram.writeU8(at, low);
          else if (width === 2) ram.writeU16(at, low);
          else if (width === 4) ram.writeU32(at, low);
          else ram.writeU64(at, value);
          for (let i = 0; i < width; i++) model[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
          let expected = 0n;
          for (let i = 7; i >= 0; i--) expected = (expected << 8n) | BigInt(model[offset + i]!);
          expect(ram.readU64(at)).toBe(expected);
          expect(ram.readU32(at)).toBe(Number(expected & 0xffff_ffffn));
          expect(ram.readU16(at)).toBe(Number(expected & 0xffffn));
          expect(ram.readU8(at)).toBe(model[offset]);
        }
        expect([...ram.slice(BASE, 64)]).toEqual(model);
      }),
      { seed: 20240, numRuns: 50 },
    );
  });

  it('slice is a live view', () => {
    const ram = new Ram(BASE, 0x1000);
    const view = ram.slice(BASE + 16, 4);
    view[1] = 0xab;
    expect(ram.readU32(BASE + 16)).toBe(0xab00);
    ram.writeU8(BASE + 19, 0xcd);
    expect(view[3]).toBe(0xcd);
    expect(ram.slice(BASE, 0)).toHaveLength(0);
    expect(() => ram.slice(BASE + 0xfff, 2)).toThrow('outside');
  });

  it('lies in the buffer that its owner gives, of its size', () => {
    const buffer = new SharedArrayBuffer(0x1000);
    const ram = new Ram(BASE, 0x1000, () => buffer);
    ram.writeU32(BASE + 8, 0x1234_5678);
    expect(new DataView(buffer).getUint32(8, true)).toBe(0x1234_5678);
    expect(() => new Ram(BASE, 0x2000, () => buffer)).toThrow('a buffer of its size');
  });

  it('wants whole pages within its limit', () => {
    expect(() => new Ram(BASE + 1, 0x1000)).toThrow('page-aligned');
    expect(() => new Ram(BASE, 0x1001)).toThrow('whole pages');
    expect(() => new Ram(BASE, 0)).toThrow('whole pages');
    expect(() => new Ram(BASE, MAX_RAM_SIZE + 0x1000)).toThrow('below 2 GiB');
  });
});

describe('DeviceMemory', () => {
  it('is the RAM, and keeps how far up devices wrote', () => {
    const at = fc.integer({ min: 0, max: 0xff0 });
    const access = fc.record({ at, width: fc.constantFrom(0, 1, 2, 4, 8, 16), value: fc.nat(0xff) });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 20 }), (accesses) => {
        const [ram, plain] = [new Ram(BASE, 0x1000), new Ram(BASE, 0x1000)];
        const memory = new DeviceMemory(ram);
        let end = BASE;
        for (const { at, width, value } of accesses) {
          const address = BASE + at;
          for (const target of [memory, plain]) {
            if (width === 1) target.writeU8(address, value);
            else if (width === 2) target.writeU16(address, value);
            else if (width === 4) target.writeU32(address, value);
            else if (width === 8) target.writeU64(address, BigInt(value));
            else if (width === 16) target.slice(address, 16).fill(value);
          }
          // 0: only read.
          if (width > 0) end = Math.max(end, address + width);
          expect(memory.readU8(address)).toBe(plain.readU8(address));
          expect(memory.readU16(address)).toBe(plain.readU16(address));
          expect(memory.readU32(address)).toBe(plain.readU32(address));
          expect(memory.readU64(address)).toBe(plain.readU64(address));
          expect(ram.untouchedFrom).toBe(end);
        }
        expect(ram.bytes).toEqual(plain.bytes);
      }),
      { seed: 20241, numRuns: 100 },
    );
    const memory = new DeviceMemory(new Ram(BASE, 0x1000));
    expect([memory.contains(BASE, 0x1000), memory.contains(BASE, 0x1001)]).toEqual([true, false]);
  });
});
