import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Clock } from '../clock.ts';
import type { TraceEvent } from '../trace.ts';
import { Trace } from '../trace.ts';
import type { PacketFault } from './faults.ts';
import {
  HELD_FRAMES_MAX,
  PACKET_DELAY_MAX_NS,
  PacketFaultGate,
  packetFaultProblem,
  REORDER_HOLD_NS,
  REORDER_MAX,
} from './faults.ts';

function setUp(faults: readonly PacketFault[]) {
  const clock = new Clock();
  const trace = new Trace(clock);
  const events: TraceEvent[] = [];
  trace.listen((event) => events.push(event));
  const got: string[] = [];
  const gate = new PacketFaultGate(faults, 'tx', { clock, trace }, (frame) =>
    got.push(`${[...frame].join(',')}@${clock.now}`),
  );
  const run = (ns: number) => {
    clock.advance(ns);
    clock.runDue();
  };
  /** Passes frames of three bytes, the first its number; 10 ns between them. */
  const pass = (count: number) => {
    for (let i = 1; i <= count; i += 1) {
      gate.pass(Uint8Array.of(i, 0, 0));
      run(10);
    }
    return got;
  };
  return { got, events, run, pass };
}

const TX = { direction: 'tx' } as const;

describe('packet faults', () => {
  it('leave other frames and the other direction alone', () => {
    const { pass, events } = setUp([{ direction: 'rx', packet: 1, action: 'drop' }]);
    expect(pass(2)).toEqual(['1,0,0@0', '2,0,0@10']);
    expect(events).toEqual([]);
  });

  it('drop: the n-th and those behind it, each a fault event', () => {
    const { pass, events } = setUp([{ ...TX, packet: 2, count: 2, action: 'drop' }]);
    expect(pass(4)).toEqual(['1,0,0@0', '4,0,0@30']);
    expect(events).toEqual([
      { t: 10, pid: -1, kind: 'fault', name: 'packet-drop', detail: 'tx packet 2 of 3 bytes: lost' },
      { t: 20, pid: -1, kind: 'fault', name: 'packet-drop', detail: 'tx packet 3 of 3 bytes: lost' },
    ]);
  });

  it('alter: bytes written over the frame, none beyond its end', () => {
    const fault = { ...TX, packet: 1, count: 2, action: 'alter', offset: 1, bytes: [7, 8, 9] } as const;
    expect(setUp([fault]).pass(3)).toEqual(['1,7,8@0', '2,7,8@10', '3,0,0@20']);
    expect(setUp([{ ...fault, offset: 9 }]).pass(1)).toEqual(['1,0,0@0']);
  });

  it('has: only frames with these bytes are counted', () => {
    const fault = { ...TX, has: [3, 0], packet: 1, action: 'drop' } as const;
    expect(setUp([fault]).pass(4)).toEqual(['1,0,0@0', '2,0,0@10', '4,0,0@30']);
    expect(setUp([{ ...fault, packet: 2 }]).pass(4)).toHaveLength(4);
    expect(setUp([{ ...fault, has: [0, 0, 0, 0] }]).pass(4)).toHaveLength(4);
  });

  it('a lost frame is counted by the faults behind', () => {
    const drop = { ...TX, packet: 1, action: 'drop' } as const;
    const twice = { ...TX, packet: 2, action: 'duplicate' } as const;
    expect(setUp([drop, twice]).pass(2)).toEqual(['2,0,0@10', '2,0,0@10']);
  });

  it('duplicate', () => {
    expect(setUp([{ ...TX, packet: 1, action: 'duplicate' }]).pass(2)).toEqual(['1,0,0@0', '1,0,0@0', '2,0,0@10']);
  });

  it('delay: frames behind overtake', () => {
    expect(setUp([{ ...TX, packet: 1, action: 'delay', ns: 15 }]).pass(3)).toEqual([
      '2,0,0@10',
      '1,0,0@20',
      '3,0,0@20',
    ]);
  });

  it('reorder: behind the next two', () => {
    expect(setUp([{ ...TX, packet: 1, action: 'reorder', behind: 2 }]).pass(4)).toEqual([
      '2,0,0@10',
      '3,0,0@20',
      '1,0,0@20',
      '4,0,0@30',
    ]);
  });

  it('reorder: comes alone when too few follow, and only once', () => {
    const { pass, run, got } = setUp([{ ...TX, packet: 2, action: 'reorder', behind: 2 }]);
    pass(3);
    run(REORDER_HOLD_NS - 21);
    expect(got).toEqual(['1,0,0@0', '3,0,0@20']);
    run(1);
    run(REORDER_HOLD_NS);
    expect(got).toHaveLength(3);
    expect(got[2]).toMatch(/^2,0,0@/u);
    pass(3);
    expect(got).toHaveLength(6);
  });

  it('corrupt: offsets count round the end; the sender keeps its bytes', () => {
    const { pass } = setUp([
      { ...TX, packet: 1, action: 'corrupt', offset: 1, mask: 0x81 },
      { ...TX, packet: 2, action: 'corrupt', offset: 5, mask: 1 },
    ]);
    expect(pass(3)).toEqual(['1,129,0@0', '2,0,1@10', '3,0,0@20']);
  });

  it('several act in order on one frame', () => {
    const { pass } = setUp([
      { ...TX, packet: 1, action: 'corrupt', offset: 2, mask: 7 },
      { ...TX, packet: 1, action: 'truncate', length: 2 },
      { ...TX, packet: 1, action: 'corrupt', offset: 2, mask: 2 },
      { ...TX, packet: 1, action: 'duplicate' },
      { ...TX, packet: 1, action: 'delay', ns: 10 },
    ]);
    expect(pass(1)).toEqual(['3,0@10', '3,0@10']);
  });

  it('hold back a bounded number of frames', () => {
    const { pass, run, got } = setUp([{ ...TX, packet: 1, count: 5000, action: 'delay', ns: 1_000_000 }]);
    pass(HELD_FRAMES_MAX + 3);
    run(1_000_000);
    expect(got).toHaveLength(HELD_FRAMES_MAX);
    pass(1);
    run(1_000_000);
    expect(got).toHaveLength(HELD_FRAMES_MAX + 1);
  });

  it.each<[PacketFault, RegExp]>([
    [{ ...TX, packet: 0, action: 'drop' }, /^packet must be 1 to/u],
    [{ ...TX, packet: 1.5, action: 'drop' }, /^packet must be 1 to/u],
    [{ ...TX, packet: 1, count: 0, action: 'drop' }, /^count must be 1 to/u],
    [{ ...TX, packet: 1, action: 'delay', ns: PACKET_DELAY_MAX_NS + 1 }, /^ns must be 1 to/u],
    [{ ...TX, packet: 1, action: 'reorder', behind: REORDER_MAX + 1 }, /^behind must be 1 to 64$/u],
    [{ ...TX, packet: 1, action: 'corrupt', offset: -1, mask: 1 }, /^offset must be 0 to/u],
    [{ ...TX, packet: 1, action: 'corrupt', offset: 0, mask: 256 }, /^mask must be 1 to 255$/u],
    [{ ...TX, packet: 1, action: 'truncate', length: 0 }, /^length must be 1 to/u],
  ])('says what is wrong with %o', (fault, problem) => {
    expect(packetFaultProblem(fault)).toMatch(problem);
  });

  it('loses and invents nothing but what the faults say', () => {
    const where = { direction: fc.constant('tx' as const), packet: fc.integer({ min: 1, max: 12 }) };
    const fault: fc.Arbitrary<PacketFault> = fc.oneof(
      fc.record({ ...where, action: fc.constant('drop' as const) }),
      fc.record({ ...where, action: fc.constant('duplicate' as const) }),
      fc.record({ ...where, action: fc.constant('delay' as const), ns: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ ...where, action: fc.constant('reorder' as const), behind: fc.integer({ min: 1, max: 4 }) }),
    );
    fc.assert(
      fc.property(fc.array(fault, { maxLength: 8 }), (faults) => {
        const { got, pass, run } = setUp(faults);
        pass(10);
        run(REORDER_HOLD_NS + 1000);
        run(1000);
        const expected = Array.from({ length: 10 }, (_, i) => i + 1).flatMap((number) => {
          const mine = faults.filter(({ packet }) => packet === number);
          const copies = 1 + mine.filter(({ action }) => action === 'duplicate').length;
          return mine.some(({ action }) => action === 'drop') ? [] : new Array<number>(copies).fill(number);
        });
        const numbers = got.map((text) => Number.parseInt(text, 10));
        expect(numbers.sort((a, b) => a - b)).toEqual(expected);
        expect(faults.every((one) => packetFaultProblem(one) === null)).toBe(true);
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});
