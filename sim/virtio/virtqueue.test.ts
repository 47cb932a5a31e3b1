import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SparseBlockImage } from '../block-image.ts';
import type { VirtioBackend, VirtioPort } from './backend.ts';
import { featureWords } from './backend.ts';
import { VirtioBlk } from './blk.ts';
import type { Chain } from './chain.ts';
import * as mmio from './mmio-transport.ts';
import { VirtioNet } from './net.ts';
import { VirtioRng } from './rng.ts';
import { TEST_RAM_BASE, TEST_RAM_SIZE } from './test-memory.ts';
import type { TestQueue } from './test-rig.ts';
import { DATA, INDIRECT, NEXT, TestRig, WRITE } from './test-rig.ts';

const EVENT_IDX = 1 << 29;
const INDIRECT_TABLE = TEST_RAM_BASE + 0x1800;

/** Copies the readable part of every chain to its writable part: used.len is what fitted. */
class Echo implements VirtioBackend {
  readonly name = 'echo';
  readonly deviceId = 42;
  readonly features = featureWords([28, 29, 32]);
  readonly queueSizes = [8];
  readonly config = new Uint8Array(0);
  readonly heads: number[] = [];
  port: VirtioPort | null = null;
  /** Completes a whole notify with one signal. */
  batch = false;

  attach(port: VirtioPort): void {
    this.port = port;
  }

  notify(): void {
    const queue = this.port!.queue(0);
    let served = 0;
    for (let chain = queue.pop(); chain !== null; chain = queue.pop(), served += 1) {
      this.heads.push(chain.head);
      queue.push(chain, echo(chain));
      if (!this.batch) queue.signal();
    }
    if (this.batch && served > 0) queue.signal();
  }

  statusWritten(): void {}
  configWritten(): void {}
  reset(): void {}
}

function echo(chain: Chain): number {
  const bytes = new Uint8Array(chain.readableBytes);
  chain.read(0, bytes);
  return chain.write(0, bytes);
}

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

/** A device of each kind behind a rig, with every queue set up where the caller says. */
function everyDevice(): TestRig[] {
  const net = new VirtioNet();
  net.plug({ transmit: (bytes) => net.deliver(bytes) });
  return [
    new TestRig(new VirtioBlk(new SparseBlockImage(64))),
    new TestRig(new VirtioRng({ fill: (target) => target.fill(0x77) })),
    new TestRig(net),
    new TestRig(new Echo()),
  ];
}

interface Descriptor {
  readonly address: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

const QUEUE_SPAN = 0x2000;

describe('rings written by an enemy', () => {
  const word = fc.oneof(fc.nat(0xffff), fc.nat(9));
  const script = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('poke' as const), at: fc.nat(TEST_RAM_SIZE / 2 - 1), value: word }),
      fc.record({ kind: fc.constant('ring' as const), at: fc.nat(0x30), value: word, queue: fc.nat(2) }),
      fc.record({
        kind: fc.constant('register' as const),
        at: fc.oneof(fc.nat(0x7f), fc.constantFrom(0x0d, 0x11, 0x14, 0x1c)),
        value: fc.oneof(fc.nat(0x1f), fc.integer({ min: 0, max: 0xffff_ffff }), fc.constant(TEST_RAM_BASE)),
        width: fc.constantFrom(1 as const, 2 as const, 4 as const, 4 as const),
      }),
      fc.record({ kind: fc.constant('notify' as const), queue: fc.nat(3) }),
      fc.record({ kind: fc.constant('reset' as const), features: fc.constantFrom(0, EVENT_IDX, 0xffff_ffff) }),
    ),
    { maxLength: 60 },
  );

  it('never make a device throw, whatever they hold', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), script, (noise, steps) => {
        for (const rig of everyDevice()) {
          for (let i = 0; i < TEST_RAM_SIZE; i += 1) rig.memory.bytes[i] = noise[(i * 7 + (i >> 6)) & 63] ?? 0;
          let queues: TestQueue[] = [];
          const start = (features: number) => {
            rig.negotiate(features, 1);
            queues = [0, 1, 2].map((index) => rig.setUp(index, 8));
            rig.driverOk();
          };
          start(0);
          for (const step of steps) {
            if (step.kind === 'poke') rig.memory.writeU16(TEST_RAM_BASE + 2 * step.at, step.value);
            else if (step.kind === 'ring') rig.memory.writeU16(queues[step.queue]!.avail + 2 * step.at, step.value);
            else if (step.kind === 'register') {
              const offset = 4 * step.at;
              rig.device.write(offset, step.width, step.value % 2 ** (8 * step.width));
              rig.device.read(offset, step.width);
            } else if (step.kind === 'notify') rig.w(mmio.QUEUE_NOTIFY, step.queue);
            else start(step.features);
          }
        }
      }),
      { seed: 20240, numRuns: 150 },
    );
  });

  // Buffers lie behind the rings, inside, across or outside the end of RAM; tables are fixed while the device runs.
  const descriptor: fc.Arbitrary<Descriptor> = fc.record({
    address: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: DATA, max: DATA + 0x7fff }) },
      { weight: 1, arbitrary: fc.constantFrom(0, 0x5_0000, 0x1000_0000, DATA + 0x8000, 0xffff_ffff_f000) },
    ),
    length: fc.oneof(
      { weight: 12, arbitrary: fc.integer({ min: 1, max: 1200 }) },
      { weight: 4, arbitrary: fc.constantFrom(1, 16, 512) },
      { weight: 1, arbitrary: fc.constantFrom(0, 0xffff_ffff) },
    ),
    flags: fc.oneof(fc.constantFrom(0, NEXT, WRITE, NEXT | WRITE), fc.nat(7)),
    next: fc.oneof({ weight: 15, arbitrary: fc.nat(7) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
  });
  const table = fc.array(descriptor, { minLength: 8, maxLength: 8 });
  const ring = fc.record({
    table,
    indirect: table,
    entries: fc.nat(8),
    avail: fc.array(fc.oneof({ weight: 15, arbitrary: fc.nat(7) }, { weight: 1, arbitrary: fc.nat(0xffff) }), {
      minLength: 8,
      maxLength: 8,
    }),
    idx: fc.oneof({ weight: 9, arbitrary: fc.nat(8) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
  });

  it('never make a device write outside the writable buffers and the used ring', () => {
    let completed = 0;
    fc.assert(
      fc.property(fc.array(ring, { minLength: 3, maxLength: 3 }), fc.constantFrom(0, EVENT_IDX), (rings, features) => {
        for (const rig of everyDevice()) {
          rig.negotiate(features, 1);
          const allowed = new Uint8Array(TEST_RAM_SIZE);
          const allow = (address: number, length: number) => {
            const from = Math.max(0, address - TEST_RAM_BASE);
            if (from < TEST_RAM_SIZE) allowed.fill(1, from, Math.min(TEST_RAM_SIZE, address - TEST_RAM_BASE + length));
          };
          const queues = rings.map((content, index) => {
            const queue = rig.setUp(index, 8);
            const indirect = TEST_RAM_BASE + QUEUE_SPAN * index + 0x1800;
            const lay = (at: number, i: number, d: Descriptor, toTable: boolean) => {
              if (toTable && (d.flags & INDIRECT) !== 0) {
                // Not writable, lest the device rewrites the table that says what it may write.
                rig.desc(at, i, indirect, 16 * content.entries, d.flags & ~WRITE, d.next);
              } else {
                rig.desc(at, i, d.address, d.length, d.flags, d.next);
                if ((d.flags & WRITE) !== 0) allow(d.address, d.length);
              }
            };
            content.table.forEach((d, i) => lay(queue.desc, i, d, true));
            content.indirect.forEach((d, i) => lay(indirect, i, d, false));
            content.avail.forEach((head, i) => rig.memory.writeU16(queue.avail + 4 + 2 * i, head));
            rig.memory.writeU16(queue.avail + 2, content.idx);
            allow(queue.used, 4 + 8 * 8 + 2);
            return queue;
          });
          const before = rig.memory.bytes.slice();
          rig.driverOk();
          for (const queue of queues) rig.notify(queue);
          for (const queue of queues) completed += rig.usedIdx(queue);
          for (let i = 0; i < TEST_RAM_SIZE; i += 1) {
            if (allowed[i] === 0 && before[i] !== rig.memory.bytes[i]) {
              expect.fail(`${rig.device.name} wrote to offset 0x${i.toString(16)}`);
            }
          }
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
    expect(completed).toBeGreaterThan(300);
  });
});
