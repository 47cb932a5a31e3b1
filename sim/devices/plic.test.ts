import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bus } from '../bus.ts';
import type { InterruptLine } from '../memory.ts';
import { Ram } from '../ram.ts';
import { Trace } from '../trace.ts';
import type { TraceEvent } from '../trace.ts';
import { Plic } from './plic.ts';

interface Rig {
  readonly plic: Plic;
  readonly levels: boolean[];
  readonly events: TraceEvent[];
  raise(source: number): void;
  priority(source: number, value: number): void;
  enable(context: number, word: number, value: number): void;
  threshold(context: number, value: number): void;
  claim(context: number): number;
  complete(context: number, value: number): void;
  pending(source: number): boolean;
}

function rig(contexts = 2): Rig {
  const levels = new Array<boolean>(contexts).fill(false);
  const events: TraceEvent[] = [];
  const trace = new Trace({ now: 0 });
  trace.listen((event) => events.push(event));
  const outputs = levels.map((_, context): InterruptLine => ({ set: (level) => (levels[context] = level) }));
  const plic = new Plic(trace, outputs);
  return {
    plic,
    levels,
    events,
    raise: (source) => plic.line(source).set(true),
    priority: (source, value) => plic.write(4 * source, 4, value),
    enable: (context, word, value) => plic.write(0x2000 + 0x80 * context + 4 * word, 4, value),
    threshold: (context, value) => plic.write(0x20_0000 + 0x1000 * context, 4, value),
    claim: (context) => plic.read(0x20_0004 + 0x1000 * context),
    complete: (context, value) => plic.write(0x20_0004 + 0x1000 * context, 4, value),
    pending: (source) => ((plic.read(0x1000 + 4 * (source >> 5)) >>> (source & 31)) & 1) === 1,
  };
}

describe('registers (sheet 05, section 9)', () => {
  it('reset to 0', () => {
    const { plic } = rig();
    for (const offset of [4, 0x180, 0x1000, 0x2000, 0x2080, 0x20_0000, 0x20_1000, 0x20_0004]) {
      expect(plic.read(offset)).toBe(0);
    }
  });

  it('priorities keep three bits; index 0 and those above 96 do not exist', () => {
    const { plic, priority } = rig();
    for (const source of [0, 1, 95, 96, 97]) priority(source, 0xffff_ffff);
    expect([0, 1, 95, 96, 97].map((source) => plic.read(4 * source))).toEqual([0, 7, 7, 7, 0]);
    priority(1, 8);
    expect(plic.read(4)).toBe(0);
  });

  it('pending words are read-only; there are three', () => {
    const { plic, raise } = rig();
    raise(7);
    raise(95);
    for (const offset of [0x1000, 0x1004, 0x1008, 0x100c]) plic.write(offset, 4, 0xffff_ffff);
    expect([0x1000, 0x1004, 0x1008, 0x100c].map((offset) => plic.read(offset))).toEqual([0x80, 0, 0x8000_0000, 0]);
  });

  it('enable words keep all 32 bits; a fourth word and absent contexts read 0', () => {
    const { plic, enable } = rig(2);
    for (const [context, word] of [
      [0, 0],
      [0, 2],
      [1, 1],
      [0, 3],
      [2, 0],
    ] as const)
      enable(context, word, 0xffff_ffff);
    expect(plic.read(0x2000)).toBe(0xffff_ffff);
    expect(plic.read(0x2008)).toBe(0xffff_ffff);
    expect(plic.read(0x2084)).toBe(0xffff_ffff);
    expect(plic.read(0x2080)).toBe(0);
    expect(plic.read(0x200c)).toBe(0);
    expect(plic.read(0x2100)).toBe(0);
  });

  it('thresholds keep three bits; absent contexts read 0 and claim nothing', () => {
    const { plic, threshold, claim } = rig(2);
    threshold(1, 0xf);
    threshold(2, 7);
    expect(plic.read(0x20_1000)).toBe(7);
    expect(plic.read(0x20_2000)).toBe(0);
    expect(claim(2)).toBe(0);
  });

  it('takes 32-bit accesses only', () => {
    const bus = new Bus(new Ram(0x8000_0000, 0x1000), [{ base: 0xc00_0000, size: 0x60_0000, device: rig().plic }]);
    expect(bus.read(0xc00_0004, 4)).toBe(0);
    expect(bus.read(0xc00_0004, 1)).toBe(-1);
    expect(bus.read(0xc00_0004, 2)).toBe(-1);
    expect(bus.readU64(0xc00_0000)).toBe(-1n);
    expect(bus.write(0xc00_0004, 1, 1)).toBe(false);
    expect(bus.read(0xc5f_fffc, 4)).toBe(0);
    expect(bus.read(0xc60_0000, 4)).toBe(-1);
  });

  it('unassigned offsets are noted in the trace, assigned ones are not', () => {
    const { plic, events, priority } = rig(2);
    priority(3, 1);
    priority(0, 1);
    plic.write(0x1000, 4, 1);
    expect(events).toEqual([]);
    plic.write(0x20_0008, 4, 5);
    plic.read(0x2100);
    expect(events).toMatchObject([
      { kind: 'mmio-unknown', device: 'plic', offset: 0x20_0008, write: true, value: 5 },
      { kind: 'mmio-unknown', device: 'plic', offset: 0x2100, write: false },
    ]);
  });
});

describe('behaviour (section 9)', () => {
  it('1: a raise pends, again each time; lowering leaves it', () => {
    const { plic, pending, raise, priority, enable, claim } = rig();
    const line = plic.line(7);
    line.set(false);
    expect(pending(7)).toBe(false);
    line.set(true);
    line.set(false);
    expect(pending(7)).toBe(true);
    priority(7, 1);
    enable(1, 0, 1 << 7);
    expect(claim(1)).toBe(7);
    expect(pending(7)).toBe(false);
    raise(7);
    expect(pending(7)).toBe(true);
  });

  it('2: highest priority wins, lowest id breaks ties, priority 0 and the threshold mask', () => {
    const { raise, priority, enable, threshold, claim } = rig();
    for (const [source, value] of [
      [5, 2],
      [9, 6],
      [40, 6],
      [63, 1],
      [8, 0],
    ] as const) {
      priority(source, value);
      raise(source);
    }
    enable(1, 0, 0xffff_ffff);
    enable(1, 1, 0xffff_ffff);
    threshold(1, 1);
    expect([claim(1), claim(1), claim(1), claim(1)]).toEqual([9, 40, 5, 0]);
    threshold(1, 0);
    expect([claim(1), claim(1)]).toEqual([63, 0]);
  });

  it('3: an enable write leaves the output as it was until the next evaluation', () => {
    const { levels, raise, priority, enable, threshold } = rig();
    priority(10, 1);
    raise(10);
    enable(1, 0, 1 << 10);
    expect(levels).toEqual([false, false]);
    threshold(0, 0);
    expect(levels).toEqual([false, true]);
    enable(1, 0, 0);
    expect(levels).toEqual([false, true]);
    priority(10, 1);
    expect(levels).toEqual([false, false]);
  });

  it('4: what pends while claimed is remembered and signalled after the completion', () => {
    const { levels, pending, raise, priority, enable, claim, complete } = rig();
    priority(10, 1);
    enable(1, 0, 1 << 10);
    raise(10);
    expect(levels[1]).toBe(true);
    expect(claim(1)).toBe(10);
    expect(levels[1]).toBe(false);
    raise(10);
    expect([levels[1], pending(10), claim(1)]).toEqual([false, true, 0]);
    complete(1, 10);
    expect([levels[1], claim(1)]).toEqual([true, 10]);
  });

  it('5: completion asks neither who claimed nor in which order; a wrong id touches nothing else', () => {
    const { raise, priority, enable, claim, complete, levels } = rig();
    for (const source of [3, 4]) {
      priority(source, 1);
      raise(source);
    }
    enable(0, 0, 0x18);
    enable(1, 0, 0x18);
    expect([claim(0), claim(0)]).toEqual([3, 4]);
    raise(3);
    raise(4);
    for (const wrong of [5, 96, 0xffff_ffff]) complete(1, wrong);
    expect(levels).toEqual([false, false]);
    complete(1, 4);
    expect(claim(0)).toBe(4);
    complete(0, 3);
    expect(claim(1)).toBe(3);
  });

  it('measured: the rng completion pends bit 7, acknowledging the device leaves it, the claim clears it', () => {
    const { plic, priority, enable, claim } = rig();
    priority(7, 1);
    enable(1, 0, 0x80);
    plic.line(7).set(true);
    plic.line(7).set(false);
    expect(plic.read(0x1000)).toBe(0x80);
    expect(claim(1)).toBe(7);
    expect(plic.read(0x1000)).toBe(0);
  });

  it('has lines for sources 1 to 95', () => {
    const { plic } = rig();
    expect(() => plic.line(0)).toThrow('out of range');
    expect(() => plic.line(96)).toThrow('out of range');
    plic.line(95).set(true);
  });
});

/** Independent model: plain sets, and a search over all ids. */
class Model {
  readonly priority = new Map<number, number>();
  readonly pending = new Set<number>();
  readonly claimed = new Set<number>();
  readonly enabled: Set<number>[];
  readonly threshold: number[];
  readonly level: boolean[];

  constructor(contexts: number) {
    this.enabled = Array.from({ length: contexts }, () => new Set<number>());
    this.threshold = new Array<number>(contexts).fill(0);
    this.level = new Array<boolean>(contexts).fill(false);
  }

  best(context: number): number {
    const able = [...this.pending].filter(
      (id) =>
        !this.claimed.has(id) &&
        this.enabled[context]!.has(id) &&
        (this.priority.get(id) ?? 0) > this.threshold[context]!,
    );
    able.sort((a, b) => this.priority.get(b)! - this.priority.get(a)! || a - b);
    return able[0] ?? 0;
  }

  evaluate(): void {
    this.level.forEach((_, context) => (this.level[context] = this.best(context) !== 0));
  }
}

describe('Plic against a naive model', () => {
  const CONTEXTS = 4;
  const source = fc.constantFrom(1, 2, 7, 31, 32, 33, 63, 64, 95);
  const context = fc.nat(CONTEXTS - 1);
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ op: fc.constant('raise' as const), source }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('priority' as const), source, value: fc.nat(9) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('enable' as const),
        context,
        word: fc.nat(2),
        value: fc.constantFrom(0, 0xffff_ffff, 0x8000_0082, 0x0000_0003),
      }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('threshold' as const), context, value: fc.nat(9) }) },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('claim' as const), context }) },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('complete' as const),
        context,
        source: fc.oneof(source, fc.constantFrom(0, 96, 97, 0x8000_0001)),
      }),
    },
  );

  it('claims, pending bits and outputs agree after every step', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const real = rig(CONTEXTS);
        const model = new Model(CONTEXTS);
        for (const act of steps) {
          switch (act.op) {
            case 'raise':
              real.raise(act.source);
              model.pending.add(act.source);
              model.evaluate();
              break;
            case 'priority':
              real.priority(act.source, act.value);
              model.priority.set(act.source, act.value & 7);
              model.evaluate();
              break;
            case 'enable':
              real.enable(act.context, act.word, act.value);
              for (let bit = 0; bit < 32; bit++) {
                const id = act.word * 32 + bit;
                if ((act.value >>> bit) & 1) model.enabled[act.context]!.add(id);
                else model.enabled[act.context]!.delete(id);
              }
              break;
            case 'threshold':
              real.threshold(act.context, act.value);
              model.threshold[act.context] = act.value & 7;
              model.evaluate();
              break;
            case 'claim': {
              const best = model.best(act.context);
              expect(real.claim(act.context)).toBe(best);
              if (best !== 0) {
                model.pending.delete(best);
                model.claimed.add(best);
              }
              model.evaluate();
              break;
            }
            case 'complete':
              real.complete(act.context, act.source);
              if (act.source < 96) {
                model.claimed.delete(act.source);
                model.evaluate();
              }
          }
          expect(real.levels).toEqual(model.level);
          for (const id of [1, 2, 7, 31, 32, 33, 63, 64, 95]) expect(real.pending(id)).toBe(model.pending.has(id));
        }
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});
