import { describe, expect, it } from 'vitest';
import { Bus } from '../bus.ts';
import { Clock } from '../clock.ts';
import { Ram } from '../ram.ts';
import { Trace } from '../trace.ts';
import { GoldfishRtc } from './goldfish-rtc.ts';

const EPOCH_SECONDS = 1_767_225_600;
const EPOCH = BigInt(EPOCH_SECONDS) * 1_000_000_000n;
const BASE = 0x10_1000;

interface Rig {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly irq: { level: boolean };
  get(offset: number): number;
  set(offset: number, value: number): void;
  alarm(at: bigint): void;
  pass(ns: number): void;
}

function rig(): Rig {
  const clock = new Clock();
  const irq = { level: false };
  const device = new GoldfishRtc(clock, new Trace(clock), { set: (level) => (irq.level = level) }, EPOCH_SECONDS);
  const bus = new Bus(new Ram(0x8000_0000, 0x1000), [{ base: BASE, size: 0x24, device }]);
  const set = (offset: number, value: number): void => void bus.write(BASE + offset, 4, value);
  return {
    bus,
    clock,
    irq,
    get: (offset) => bus.read(BASE + offset, 4),
    set,
    alarm: (at) => {
      set(0x0c, Number(at >> 32n));
      set(0x08, Number(at & 0xffff_ffffn));
    },
    pass: (ns) => {
      clock.advance(ns);
      clock.runDue();
    },
  };
}

describe('Goldfish RTC (sheet 05, section 7.2)', () => {
  it('tells the fixed epoch plus virtual time, in ns', () => {
    const { bus, pass } = rig();
    expect(bus.readU64(BASE)).toBe(EPOCH);
    pass(123_456_789);
    expect(bus.readU64(BASE)).toBe(EPOCH + 123_456_789n);
  });

  it('TIME_LOW latches TIME_HIGH', () => {
    const { get, pass } = rig();
    expect(get(0x04)).toBe(0);
    const low = get(0x00);
    pass(2 ** 33);
    expect((BigInt(get(0x04)) << 32n) | BigInt(low)).toBe(EPOCH);
    get(0x00);
    expect(BigInt(get(0x04))).toBe((EPOCH + 2n ** 33n) >> 32n);
  });

  it('a written time runs on from there', () => {
    const { bus, set, pass } = rig();
    pass(1000);
    set(0x04, 5);
    set(0x00, 7);
    pass(3);
    expect(bus.readU64(BASE)).toBe(0x5_0000_000an);
  });

  it('writing ALARM_LOW arms; the interrupt is pending and enabled, and cleared by CLEAR_INTERRUPT', () => {
    const { get, set, alarm, pass, irq } = rig();
    alarm(EPOCH + 1000n);
    expect([get(0x18), get(0x08), get(0x0c)]).toEqual([
      1,
      Number((EPOCH + 1000n) & 0xffff_ffffn),
      Number((EPOCH + 1000n) >> 32n),
    ]);
    pass(999);
    expect([get(0x18), irq.level]).toEqual([1, false]);
    pass(1);
    expect([get(0x18), irq.level]).toEqual([0, false]);
    set(0x10, 0xffff_ffff);
    expect([get(0x10), irq.level]).toEqual([1, true]);
    set(0x1c, 1);
    expect(irq.level).toBe(false);
  });

  it('an alarm in the past goes off at once', () => {
    const { get, set, alarm, irq } = rig();
    set(0x10, 1);
    alarm(EPOCH);
    expect([get(0x18), irq.level]).toEqual([0, true]);
  });

  it('CLEAR_ALARM disarms; a new alarm replaces the old one', () => {
    const { get, set, alarm, pass, irq, clock } = rig();
    set(0x10, 1);
    alarm(EPOCH + 100n);
    alarm(EPOCH + 300n);
    expect(clock.pending).toBe(1);
    pass(200);
    expect(irq.level).toBe(false);
    set(0x14, 1);
    expect(get(0x18)).toBe(0);
    pass(200);
    expect(irq.level).toBe(false);
  });

  it('+20 reads 0, the page behind it faults, narrow accesses fault', () => {
    const { bus, get } = rig();
    expect(get(0x20)).toBe(0);
    expect(bus.read(BASE + 0x24, 4)).toBe(-1);
    expect(bus.read(BASE, 1)).toBe(-1);
    expect(bus.read(BASE, 2)).toBe(-1);
  });
});
