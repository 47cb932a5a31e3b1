import { describe, expect, it } from 'vitest';
import { Bus } from '../bus.ts';
import { Ram } from '../ram.ts';
import { Trace } from '../trace.ts';
import { FwCfg } from './fw-cfg.ts';

const BASE = 0x1010_0000;

function rig(): { bus: Bus; select(key: number): void } {
  const bus = new Bus(new Ram(0x8000_0000, 0x1000), [
    { base: BASE, size: 0x18, device: new FwCfg(new Trace({ now: 0 })) },
  ]);
  return { bus, select: (key) => void bus.write(BASE + 8, 2, ((key & 0xff) << 8) | (key >> 8)) };
}

describe('fw_cfg (sheet 05, section 7.3)', () => {
  it('key 0 is "QEMU", byte by byte, then zeros', () => {
    const { bus, select } = rig();
    select(0);
    expect([1, 2, 3, 4, 5].map(() => bus.read(BASE, 1))).toEqual([0x51, 0x45, 0x4d, 0x55, 0]);
    select(0);
    expect(bus.read(BASE, 4)).toBe(0x554d_4551);
    expect(bus.read(BASE, 4)).toBe(0);
  });

  it('key 1 is 03 00 00 00, in one wide read too', () => {
    const { bus, select } = rig();
    select(1);
    expect(bus.readU64(BASE)).toBe(3n);
  });

  it('the selector is big-endian; an unknown key is empty', () => {
    const { bus, select } = rig();
    bus.write(BASE + 8, 2, 0x0100);
    expect(bus.read(BASE, 1)).toBe(3);
    select(0x0100);
    expect(bus.read(BASE, 4)).toBe(0);
  });

  it('ends behind the DMA register', () => {
    const { bus } = rig();
    expect(bus.readU64(BASE + 0x10)).toBe(0n);
    expect(bus.read(BASE + 0x18, 1)).toBe(-1);
  });
});
