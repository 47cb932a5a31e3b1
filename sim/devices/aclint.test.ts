import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bus } from '../bus.ts';
import { Clock } from '../clock.ts';
import type { InterruptLine } from '../memory.ts';
import { Ram } from '../ram.ts';
import { Trace } from '../trace.ts';
import type { TraceEvent } from '../trace.ts';
import { MTIME, Mswi, Mtimer, Sswi } from './aclint.ts';

function lines(count: number): { levels: boolean[]; lines: InterruptLine[] } {
  const levels = new Array<boolean>(count).fill(false);
  return { levels, lines: levels.map((_, hart) => ({ set: (level) => (levels[hart] = level) })) };
}

interface Rig {
  readonly clock: Clock;
  readonly timer: Mtimer;
  readonly levels: boolean[];
  readonly events: TraceEvent[];
  pass(ns: number): void;
}

function rig(harts = 2): Rig {
  const clock = new Clock();
  const trace = new Trace(clock);
  const events: TraceEvent[] = [];
  trace.listen((event) => events.push(event));
  const { levels, lines: outputs } = lines(harts);
  const timer = new Mtimer(clock, trace, outputs);
  const pass = (ns: number): void => {
    clock.advance(ns);
    clock.runDue();
  };
  return { clock, timer, levels, events, pass };
}

describe('MTIMER (sheet 05, section 8)', () => {
  it('counts ticks of 100 ns from 0 (section 5)', () => {
    const { timer, pass } = rig();
    expect(timer.mtime).toBe(0n);
    pass(99);
    expect(timer.mtime).toBe(0n);
    pass(1);
    expect(timer.mtime).toBe(1n);
    pass(599_900);
    expect(timer.mtime).toBe(6000n);
  });

  it('instret 53B_029A, two ns per instruction, is time D_63DD (section 5)', () => {
    const { timer, pass } = rig();
    pass(0x53b_029a);
    expect(timer.mtime).toBe(0xd_63ddn);
  });

  it('MTIP is high at reset because mtimecmp is 0', () => {
    const { timer, levels } = rig();
    expect(timer.readU64(0)).toBe(0n);
    expect(levels).toEqual([true, true]);
  });

  it('a future mtimecmp lowers MTIP until the tick comes, for its hart alone', () => {
    const { timer, levels, pass } = rig();
    timer.writeU64(8, 5n);
    expect(levels).toEqual([true, false]);
    pass(499);
    expect(levels[1]).toBe(false);
    pass(1);
    expect(levels[1]).toBe(true);
    timer.writeU64(8, 5n);
    expect(levels[1]).toBe(true);
    timer.writeU64(8, 6n);
    expect(levels[1]).toBe(false);
    timer.writeU64(8, 2n ** 64n - 1n);
    pass(1000);
    expect(levels[1]).toBe(false);
  });

  it('a rewritten mtimecmp leaves no old deadline behind', () => {
    const { timer, clock, levels, pass } = rig(1);
    timer.writeU64(0, 5n);
    timer.writeU64(0, 50n);
    expect(clock.pending).toBe(1);
    pass(500);
    expect(levels[0]).toBe(false);
    timer.writeU64(0, 2n ** 64n - 1n);
    expect(clock.pending).toBe(0);
  });

  it('both halves are reachable by word', () => {
    const { timer, levels } = rig();
    timer.write(12, 4, 0x0000_0001);
    timer.write(8, 4, 0xffff_fff0);
    expect(timer.readU64(8)).toBe(0x1_ffff_fff0n);
    expect([timer.read(8), timer.read(12)]).toEqual([0xffff_fff0, 1]);
    expect(levels[1]).toBe(false);
    timer.write(MTIME + 4, 4, 0x80);
    timer.write(MTIME, 4, 0xffff_ffff);
    expect([timer.read(MTIME), timer.read(MTIME + 4)]).toEqual([0xffff_ffff, 0x80]);
    expect(levels[1]).toBe(true);
  });

  it('a write of mtime evaluates every comparator, forwards and back, and wraps at 64 bits', () => {
    const { timer, levels, pass } = rig();
    timer.writeU64(0, 100n);
    timer.writeU64(8, 200n);
    timer.writeU64(MTIME, 150n);
    expect(levels).toEqual([true, false]);
    pass(5000);
    expect([timer.mtime, ...levels]).toEqual([200n, true, true]);
    timer.writeU64(MTIME, 99n);
    expect(levels).toEqual([false, false]);
    pass(100);
    expect(levels).toEqual([true, false]);
    timer.writeU64(MTIME, 2n ** 64n - 1n);
    pass(100);
    expect(timer.mtime).toBe(0n);
  });

  it('MTIP equals mtime >= mtimecmp at every moment', () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('cmp' as const), hart: fc.nat(1), value: fc.nat(60) }),
      fc.record({ op: fc.constant('time' as const), value: fc.nat(60) }),
      fc.record({ op: fc.constant('pass' as const), ns: fc.nat(900) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { timer, levels, pass } = rig();
        const compare = [0, 0];
        for (const act of steps) {
          if (act.op === 'cmp') {
            compare[act.hart] = act.value;
            timer.writeU64(8 * act.hart, BigInt(act.value));
          } else if (act.op === 'time') {
            timer.mtime = BigInt(act.value);
          } else {
            pass(act.ns);
          }
          expect(levels).toEqual(compare.map((value) => timer.mtime >= BigInt(value)));
        }
      }),
      { seed: 20240, numRuns: 200 },
    );
  });

  it('absent harts read 0, ignore writes and are noted in the trace', () => {
    const { timer, events } = rig(2);
    timer.writeU64(16, 7n);
    timer.write(16, 4, 7);
    expect([timer.readU64(16), timer.read(0x4000)]).toEqual([0n, 0]);
    expect(events.map((event) => event.kind)).toEqual(Array(4).fill('mmio-unknown'));
  });

  it('takes 32- and 64-bit accesses', () => {
    const bus = new Bus(new Ram(0x8000_0000, 0x1000), [{ base: 0x200_4000, size: 0x8000, device: rig().timer }]);
    expect(bus.writeU64(0x200_4000, 0x1_2345_6789_abcdn)).toBe(true);
    expect(bus.readU64(0x200_4000)).toBe(0x1_2345_6789_abcdn);
    expect(bus.read(0x200_4004, 4)).toBe(0x1_2345);
    expect(bus.readU64(0x200_bff8)).toBe(0n);
    expect(bus.read(0x200_4000, 2)).toBe(-1);
  });
});

describe('MSWI', () => {
  it('bit 0 sets and clears MSIP of its hart; other bits and absent harts read 0', () => {
    const { levels, lines: outputs } = lines(2);
    const mswi = new Mswi(new Trace({ now: 0 }), outputs);
    mswi.write(4, 4, 0xffff_ffff);
    expect([mswi.read(0), mswi.read(4), mswi.read(8), ...levels]).toEqual([0, 1, 0, false, true]);
    mswi.write(4, 4, 2);
    mswi.write(8, 4, 1);
    expect([mswi.read(4), mswi.read(8), ...levels]).toEqual([0, 0, false, false]);
  });
});

describe('SSWI', () => {
  it('writing 1 raises SSIP, writing 0 does nothing, reads give 0', () => {
    const { levels, lines: outputs } = lines(2);
    const sswi = new Sswi(new Trace({ now: 0 }), outputs);
    sswi.write(4, 4, 2);
    expect(levels).toEqual([false, false]);
    sswi.write(4, 4, 1);
    sswi.write(4, 4, 0);
    expect([...levels, sswi.read(4)]).toEqual([false, true, 0]);
    sswi.write(8, 4, 1);
    expect(sswi.read(8)).toBe(0);
  });
});
