import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as mmio from './mmio-transport.ts';
import { Echo } from './test-echo.ts';
import { TEST_RAM_BASE, TEST_RAM_SIZE } from './test-memory.ts';
import type { TestQueue } from './test-rig.ts';
import { DATA, INDIRECT, NEXT, TestRig, WRITE } from './test-rig.ts';

const EVENT_IDX = 1 << 29;
const INDIRECT_TABLE = TEST_RAM_BASE + 0x1800;

function ready(low = 0, num = 8) {
  const backend = new Echo();
  const rig = new TestRig(backend);
  rig.negotiate(low, 1);
  const queue = rig.setUp(0, num);
  rig.driverOk();
  return { backend, rig, queue };
}

describe('chains', () => {
  it('goes through a ring of 3 with plain modulo, for more than 65536 chains', () => {
    const { rig, queue } = ready(0, 3);
    rig.trace.on = false;
    rig.chain(queue.desc, 2, [[DATA, 1, WRITE]]);
    for (let i = 0; i < 65_540; i += 1) {
      rig.offer(queue, 2);
      rig.notify(queue);
    }
    expect(rig.usedIdx(queue)).toBe(4);
    expect(rig.brokenReasons).toEqual([]);
  });

  it('takes an indirect table also when the feature was not negotiated', () => {
    const { rig, queue } = ready();
    rig.memory.slice(DATA, 4).set([1, 2, 3, 4]);
    rig.chain(INDIRECT_TABLE, 0, [
      [DATA, 2, 0],
      [DATA + 2, 2, INDIRECT],
      [DATA + 0x100, 3, WRITE],
      [DATA + 0x200, 9, WRITE],
    ]);
    expect(rig.submit(queue, [[INDIRECT_TABLE, 64, INDIRECT]])).toBe(4);
    expect([...rig.memory.slice(DATA + 0x100, 3), rig.memory.readU8(DATA + 0x200)]).toEqual([1, 2, 3, 4]);
  });

  it('an indirect table may be longer than the ring', () => {
    const { rig, queue } = ready();
    rig.chain(INDIRECT_TABLE, 0, new Array(20).fill([DATA, 1, WRITE]));
    rig.submit(queue, [[INDIRECT_TABLE, 320, INDIRECT]]);
    expect([rig.usedIdx(queue), rig.brokenReasons]).toEqual([1, []]);
  });

  const broken: [string, (rig: TestRig, queue: TestQueue) => void, string][] = [
    ['head outside the table', (rig, q) => rig.offer(q, 8), 'head 8 outside the descriptor table'],
    [
      'avail.idx more than num ahead',
      (rig, q) => rig.memory.writeU16(q.avail + 2, 9),
      'avail.idx is 9 ahead in a queue of 8',
    ],
    [
      'indirect table of 0 bytes',
      (rig, q) => rig.submit(q, [[INDIRECT_TABLE, 0, INDIRECT]]),
      'indirect table of 0 bytes',
    ],
    [
      'indirect table of 17 bytes',
      (rig, q) => rig.submit(q, [[INDIRECT_TABLE, 17, INDIRECT]]),
      'indirect table of 17 bytes',
    ],
    ['indirect table outside RAM', (rig, q) => rig.submit(q, [[0x5_0000, 16, INDIRECT]]), 'indirect table outside RAM'],
    ['zero length', (rig, q) => rig.submit(q, [[DATA, 0, WRITE]]), 'descriptor of length zero'],
    [
      'readable after writable',
      (rig, q) =>
        rig.submit(q, [
          [DATA, 1, WRITE],
          [DATA, 1, 0],
        ]),
      'readable descriptor after a writable one',
    ],
    [
      'loop',
      (rig, q) => {
        rig.desc(q.desc, 0, DATA, 1, WRITE | NEXT, 0);
        rig.offer(q, 0);
      },
      'descriptor chain loops',
    ],
    [
      'next outside the table',
      (rig, q) => {
        rig.desc(q.desc, 0, DATA, 1, WRITE | NEXT, 8);
        rig.offer(q, 0);
      },
      'next 8 outside the descriptor table',
    ],
    [
      'next outside the indirect table',
      (rig, q) => {
        rig.desc(INDIRECT_TABLE, 0, DATA, 1, WRITE | NEXT, 1);
        rig.submit(q, [[INDIRECT_TABLE, 16, INDIRECT]]);
      },
      'next 1 outside the descriptor table',
    ],
    [
      'more than 1024 segments',
      (rig, q) => {
        rig.chain(DATA, 0, new Array(1025).fill([DATA + 0x7000, 1, WRITE]));
        rig.submit(q, [[DATA, 1025 * 16, INDIRECT]]);
      },
      'too many segments in one chain',
    ],
    [
      'a buffer far outside RAM',
      (rig, q) => rig.submit(q, [[0xffff_ffff_ffff, 8192, WRITE]]),
      'second buffer outside RAM',
    ],
  ];
  it.each(broken)('%s breaks the device', (_name, arrange, reason) => {
    const { rig, queue } = ready();
    arrange(rig, queue);
    rig.notify(queue);
    expect(rig.brokenReasons).toEqual([reason]);
    expect([rig.r(mmio.STATUS), rig.r(mmio.INTERRUPT_STATUS), rig.usedIdx(queue)]).toEqual([0x4f, 3, 0]);
  });

  it('a buffer across the end of RAM keeps its inner part', () => {
    const { rig, queue } = ready();
    const end = TEST_RAM_BASE + TEST_RAM_SIZE;
    rig.memory.slice(DATA, 8).fill(7);
    expect(
      rig.submit(queue, [
        [DATA, 8, 0],
        [end - 3, 8, WRITE],
      ]),
    ).toBe(8);
    expect([...rig.memory.slice(end - 4, 4)]).toEqual([0, 7, 7, 7]);
  });

  it('a jump of avail.idx serves everything in between, stale ring entries included', () => {
    const { backend, rig, queue } = ready();
    rig.chain(queue.desc, 0, [[DATA, 1, WRITE]]);
    rig.memory.writeU16(queue.avail + 2, 5);
    rig.notify(queue);
    expect(backend.heads).toEqual([0, 0, 0, 0, 0]);
    expect(rig.usedIdx(queue)).toBe(5);
  });
});

describe('a device in trouble', () => {
  it('writes no used element once it is broken', () => {
    const { backend, rig } = ready();
    rig.negotiate(0, 0);
    const queue = rig.setUp(0, 8);
    backend.notify = () => {
      const port = backend.port!;
      const chain = port.queue(0).pop()!;
      port.fail(0, 'on purpose');
      port.fail(0, 'again');
      port.queue(0).push(chain, 1);
      port.queue(0).signal();
    };
    rig.submit(queue, [[DATA, 1, WRITE]]);
    expect([rig.usedIdx(queue), ...rig.used(queue, 0)]).toEqual([0, 0, 0]);
    expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(0);
    expect(rig.brokenReasons).toEqual(['on purpose']);
  });

  it('leaves a ring that feeds itself for ever', () => {
    const { backend, rig, queue } = ready();
    backend.notify = () => {
      const ring = backend.port!.queue(0);
      for (let chain = ring.pop(); chain !== null; chain = ring.pop()) {
        ring.push(chain, 0);
        rig.offer(queue, 0);
      }
    };
    rig.submit(queue, [[DATA, 1, WRITE]]);
    expect(rig.brokenReasons).toEqual(['queue does not drain']);
  });
});

describe('event suppression (sheet 05, section 11, rule 6)', () => {
  const one = (rig: TestRig, queue: TestQueue): number => {
    rig.w(mmio.INTERRUPT_ACK, 3);
    rig.submit(queue, [[DATA, 1, WRITE]]);
    return rig.r(mmio.INTERRUPT_STATUS);
  };

  it('NO_INTERRUPT counts without EVENT_IDX only', () => {
    const { rig, queue } = ready();
    expect(one(rig, queue)).toBe(1);
    rig.memory.writeU16(queue.avail, 1);
    expect(one(rig, queue)).toBe(0);
    const event = ready(EVENT_IDX);
    event.rig.memory.writeU16(event.queue.avail, 1);
    expect(one(event.rig, event.queue)).toBe(1);
  });

  it('the measured EVENT_IDX sequence', () => {
    const { rig, queue } = ready(EVENT_IDX);
    const availEvent = () => rig.memory.readU16(queue.used + 4 + 8 * 8);
    expect([one(rig, queue), availEvent()]).toEqual([1, 1]);
    expect([one(rig, queue), availEvent()]).toEqual([0, 2]);
    rig.memory.writeU16(queue.avail + 4 + 2 * 8, 2);
    expect([one(rig, queue), availEvent()]).toEqual([1, 3]);
  });

  it('the first completion after a reset interrupts whatever used_event says', () => {
    const { rig, queue } = ready(EVENT_IDX);
    expect(one(rig, queue)).toBe(1);
    rig.negotiate(EVENT_IDX, 1);
    rig.memory.writeU32(queue.avail, 0);
    rig.memory.writeU32(queue.used, 0);
    const again = rig.setUp(0, 8);
    rig.driverOk();
    rig.memory.writeU16(again.avail + 4 + 2 * 8, 5);
    expect(one(rig, again)).toBe(1);
    expect(one(rig, again)).toBe(0);
  });

  it('without EVENT_IDX the event fields are not touched', () => {
    const { rig, queue } = ready();
    one(rig, queue);
    expect(rig.memory.readU16(queue.used + 4 + 8 * 8)).toBe(0);
  });
});

describe('against a naive driver', () => {
  const step = fc.record({
    count: fc.nat(8),
    ack: fc.boolean(),
    flags: fc.nat(1),
    lead: fc.nat(3),
    lengths: fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { minLength: 8, maxLength: 8 }),
  });

  it('consumes in order, reports exact lengths, interrupts exactly when asked to', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.boolean(), fc.boolean(), (steps, eventIdx, batch) => {
        const { backend, rig, queue } = ready(eventIdx ? EVENT_IDX : 0);
        backend.batch = batch;
        const model = { used: 0, signalled: 0, fresh: true, isr: 0 };
        const heads: number[] = [];
        for (const { count, ack, flags, lead, lengths } of steps) {
          if (ack) {
            rig.w(mmio.INTERRUPT_ACK, 1);
            model.isr = 0;
          }
          rig.memory.writeU16(queue.avail, flags);
          const usedEvent = (model.used + lead) & 0xffff;
          rig.memory.writeU16(queue.avail + 4 + 2 * 8, usedEvent);
          const lens: number[] = [];
          for (let i = 0; i < count; i += 1) {
            // Head i uses its own place in the indirect area, so that eight chains may wait at once.
            const [out, into] = lengths[i] ?? [0, 0];
            const table = INDIRECT_TABLE + 0x40 * i;
            rig.chain(table, 0, [
              [DATA, out + 1, 0],
              [DATA + 0x100 + 0x40 * i, into + 1, WRITE],
            ]);
            rig.desc(queue.desc, (i * 3) % 8, table, 32, INDIRECT, 0);
            rig.offer(queue, (i * 3) % 8);
            heads.push((i * 3) % 8);
            lens.push(Math.min(out, into) + 1);
          }
          rig.notify(queue);
          const groups = batch ? [lens.length].filter((n) => n > 0) : lens.map(() => 1);
          for (const size of groups) {
            model.used += size;
            const crossed = model.fresh || (usedEvent >= model.signalled && usedEvent < model.used);
            if (eventIdx ? crossed : flags === 0) model.isr = 1;
            if (eventIdx) {
              model.signalled = model.used;
              model.fresh = false;
            }
          }
          expect(rig.usedIdx(queue)).toBe(model.used);
          lens.forEach((length, i) => {
            const at = model.used - lens.length + i;
            expect(rig.used(queue, at)).toEqual([heads[at], length]);
          });
          expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(model.isr);
          expect(rig.line.level).toBe(model.isr !== 0);
        }
        expect(backend.heads).toEqual(heads);
        expect(rig.brokenReasons).toEqual([]);
      }),
      { seed: 20240, numRuns: 150 },
    );
  });
});
