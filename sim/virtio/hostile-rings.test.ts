import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SparseBlockImage } from '../block-image.ts';
import { VirtioBlk } from './blk.ts';
import * as mmio from './mmio-transport.ts';
import { VirtioNet } from './net.ts';
import { VirtioRng } from './rng.ts';
import { Echo } from './test-echo.ts';
import { TEST_RAM_BASE, TEST_RAM_SIZE } from './test-memory.ts';
import type { TestQueue } from './test-rig.ts';
import { DATA, INDIRECT, NEXT, TestRig, WRITE } from './test-rig.ts';

const EVENT_IDX = 1 << 29;

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
      { seed: 20240, numRuns: 80 },
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
      { seed: 20240, numRuns: 120 },
    );
    expect(completed).toBeGreaterThan(100);
  });
});
