import { describe, expect, it } from 'vitest';
import * as mmio from './mmio-transport.ts';
import { VirtioRng } from './rng.ts';
import { DATA, INDIRECT, TestRig, WRITE } from './test-rig.ts';

/** Counts up from 0, so that every drawn byte can be told. */
function counter(): { fill(target: Uint8Array): void; drawn: number } {
  return {
    drawn: 0,
    fill(target) {
      for (let i = 0; i < target.length; i += 1) target[i] = this.drawn++ & 0xff;
    },
  };
}

function ready(source = counter(), num = 8) {
  const rig = new TestRig(new VirtioRng(source));
  rig.negotiate(0, 0);
  const queue = rig.setUp(0, num);
  return { rig, queue, source };
}

describe('virtio-rng (sheet 05, section 13)', () => {
  it('serves at the Status write with DRIVER_OK; the notify that follows does nothing more', () => {
    const { rig, queue, source } = ready(counter(), 1);
    rig.chain(queue.desc, 0, [[DATA, 256, WRITE]]);
    rig.offer(queue, 0);
    rig.notify(queue);
    expect(rig.usedIdx(queue)).toBe(0);
    rig.driverOk();
    expect(rig.usedIdx(queue)).toBe(1);
    expect(rig.used(queue, 0)).toEqual([0, 256]);
    expect([...rig.memory.slice(DATA, 4)]).toEqual([0, 1, 2, 3]);
    rig.notify(queue);
    expect(rig.usedIdx(queue)).toBe(1);
    expect(source.drawn).toBe(256);
  });

  it.each([256, 7, 4096])('a buffer of %i bytes is filled whole', (length) => {
    const { rig, queue } = ready();
    rig.driverOk();
    expect(rig.submit(queue, [[DATA, length, WRITE]])).toBe(length);
    expect(rig.memory.readU8(DATA + length - 1)).toBe((length - 1) & 0xff);
    expect(rig.memory.readU8(DATA + length)).toBe(0);
  });

  it('two buffers with one notify, in order; a chain of two descriptors counts both', () => {
    const { rig, queue } = ready();
    rig.driverOk();
    rig.chain(queue.desc, 0, [[DATA, 64, WRITE]]);
    rig.chain(queue.desc, 1, [[DATA + 64, 32, WRITE]]);
    rig.offer(queue, 0);
    rig.offer(queue, 1);
    rig.notify(queue);
    expect([rig.used(queue, 0), rig.used(queue, 1)]).toEqual([
      [0, 64],
      [1, 32],
    ]);
    expect([...rig.memory.slice(DATA, 96)]).toEqual(Array.from({ length: 96 }, (_, i) => i));
    expect(
      rig.submit(queue, [
        [DATA, 100, WRITE],
        [DATA + 200, 100, WRITE],
      ]),
    ).toBe(200);
  });

  it('never completes a chain without a writable part, and goes on behind it', () => {
    const { rig, queue } = ready();
    rig.driverOk();
    rig.chain(queue.desc, 0, [[DATA, 64, 0]]);
    rig.chain(queue.desc, 1, [[DATA, 64, WRITE]]);
    rig.offer(queue, 0);
    rig.notify(queue);
    expect(rig.usedIdx(queue)).toBe(0);
    rig.offer(queue, 1);
    rig.notify(queue);
    expect(rig.usedIdx(queue)).toBe(1);
    expect(rig.used(queue, 0)).toEqual([1, 64]);
  });

  it('one bad chain breaks the device before any is served', () => {
    const { rig, queue, source } = ready();
    rig.driverOk();
    rig.chain(queue.desc, 0, [[DATA, 64, WRITE]]);
    rig.chain(queue.desc, 1, [[DATA, 8, INDIRECT]]);
    rig.offer(queue, 0);
    rig.offer(queue, 1);
    rig.notify(queue);
    expect(rig.usedIdx(queue)).toBe(0);
    expect(source.drawn).toBe(0);
    expect(rig.brokenReasons).toEqual(['indirect table of 8 bytes']);
  });

  it('avail.idx too far ahead breaks it at once', () => {
    const { rig, queue } = ready();
    rig.driverOk();
    rig.memory.writeU16(queue.avail + 2, 9);
    rig.notify(queue);
    expect(rig.brokenReasons).toEqual(['avail.idx is 9 ahead in a queue of 8']);
  });

  it('a source that gives less ends the used element there', () => {
    const source = { ...counter(), available: () => 5 };
    const { rig, queue } = ready(source);
    rig.driverOk();
    expect(
      rig.submit(queue, [
        [DATA, 3, WRITE],
        [DATA + 3, 61, WRITE],
      ]),
    ).toBe(5);
    expect([...rig.memory.slice(DATA, 7)]).toEqual([0, 1, 2, 3, 4, 0, 0]);
  });

  it('interrupts once for all buffers of a run, and not for nothing', () => {
    const { rig, queue } = ready();
    rig.driverOk();
    rig.notify(queue);
    expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(0);
    rig.chain(queue.desc, 0, [[DATA, 64, WRITE]]);
    rig.offer(queue, 0);
    rig.offer(queue, 0);
    rig.notify(queue);
    expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(1);
    expect(rig.line.rises).toBe(1);
  });

  it('a second start after a reset works like the first', () => {
    const { rig, source } = ready();
    for (let round = 1; round <= 3; round += 1) {
      rig.memory.bytes.fill(0);
      rig.negotiate(0, 0);
      const queue = rig.setUp(0, 1);
      rig.chain(queue.desc, 0, [[DATA, 256, WRITE]]);
      rig.offer(queue, 0);
      rig.driverOk();
      rig.w(mmio.QUEUE_NOTIFY, 0);
      expect(rig.usedIdx(queue)).toBe(1);
      expect(source.drawn).toBe(256 * round);
    }
  });
});
