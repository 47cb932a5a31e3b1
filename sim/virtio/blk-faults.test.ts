import { describe, expect, it } from 'vitest';
import { SparseBlockImage, imagesEqual } from '../block-image.ts';
import type { BlkFault, BlkRequest } from './blk.ts';
import * as mmio from './mmio-transport.ts';
import { BODY, HEADER, IN, OUT, r, ready, STATUS_BYTE, w } from './test-blk.ts';
import { WRITE } from './test-rig.ts';

describe('faults', () => {
  const plan = (answer: (request: BlkRequest) => BlkFault | null) => {
    const seen: BlkRequest[] = [];
    const faults = {
      onRequest(request: BlkRequest) {
        seen.push(request);
        return answer(request);
      },
    };
    return { faults, seen };
  };

  it('sees every request with a running number per op', () => {
    const { faults, seen } = plan(() => null);
    const { request } = ready(new SparseBlockImage(), { faults });
    request(IN, 4, [r(512)]);
    request(OUT, 5, [w(1024)]);
    request(IN, 999_999, [r(512)]);
    request(4, 0, []);
    expect(seen).toEqual([
      { op: 'read', sector: 4, bytes: 512, index: 0 },
      { op: 'write', sector: 5, bytes: 1024, index: 0 },
      { op: 'read', sector: 999_999, bytes: 512, index: 1 },
      { op: 'flush', sector: 0, bytes: 0, index: 0 },
    ]);
  });

  it('a forced status does nothing to the disk', () => {
    const image = new SparseBlockImage(64);
    const { faults } = plan(({ op, index }) => (op === 'write' && index === 1 ? { status: 1 } : null));
    const { rig, request } = ready(image, { faults });
    rig.memory.slice(BODY, 512).fill(1);
    expect(request(OUT, 0, [w(512)])).toEqual([1, 0]);
    rig.memory.slice(BODY, 512).fill(2);
    expect(request(OUT, 0, [w(512)])).toEqual([1, 1]);
    expect(imagesEqual(image, SparseBlockImage.fromBytes(new Uint8Array(512).fill(1), 64))).toBe(true);
  });

  it('a torn write leaves its first sectors and answers IOERR', () => {
    const image = new SparseBlockImage(64);
    const { faults } = plan(() => ({ sectorsDone: 1 }));
    const { rig, request } = ready(image, { faults });
    rig.memory.slice(BODY, 1024).fill(3);
    expect(request(OUT, 0, [w(1024)])).toEqual([1, 1]);
    expect(imagesEqual(image, SparseBlockImage.fromBytes(new Uint8Array(512).fill(3), 64))).toBe(true);
  });

  it('a withheld status byte stays as the driver left it, the request completes', () => {
    const { faults } = plan(() => ({ withholdStatus: true }));
    const { request } = ready(new SparseBlockImage(), { faults });
    expect(request(IN, 0, [r(512)])).toEqual([513, 0xee]);
  });

  it('a dropped request never completes, later ones do, for longer than the queue is', () => {
    const { faults } = plan(({ op }) => ({ drop: op === 'read' }));
    const { rig, queue, request } = ready(new SparseBlockImage(), { faults });
    for (let i = 0; i < 20; i += 1) request(IN, 0, [r(512)]);
    expect(rig.usedIdx(queue)).toBe(0);
    expect(request(OUT, 0, [w(512)])).toEqual([1, 0]);
    expect(rig.usedIdx(queue)).toBe(1);
  });

  it('a delayed request completes on the clock, in the order of completion', () => {
    const { faults } = plan(({ sector }) => ({ delayNs: sector === 1 ? 500 : 100 }));
    const { rig, queue, header } = ready(new SparseBlockImage(), { faults });
    for (const head of [0, 4]) {
      header(IN, head === 0 ? 1 : 2);
      const at = BODY + 0x400 * head;
      rig.memory.slice(at, 16).set(rig.memory.slice(HEADER, 16));
      rig.chain(queue.desc, head, [
        [at, 16, 0],
        [at + 0x200, 512, WRITE],
        [STATUS_BYTE, 1, WRITE],
      ]);
      rig.offer(queue, head);
      rig.notify(queue);
    }
    rig.clock.advance(99);
    rig.clock.runDue();
    expect(rig.usedIdx(queue)).toBe(0);
    rig.clock.advance(1);
    rig.clock.runDue();
    expect([rig.usedIdx(queue), rig.used(queue, 0)]).toEqual([1, [4, 513]]);
    rig.clock.advance(400);
    rig.clock.runDue();
    expect([rig.usedIdx(queue), rig.used(queue, 1)]).toEqual([2, [0, 513]]);
  });

  it('more delayed requests than the queue holds break the device', () => {
    const { faults } = plan(() => ({ delayNs: 100 }));
    const { rig, request } = ready(new SparseBlockImage(), { faults });
    for (let i = 0; i < 8; i += 1) request(IN, 0, [r(512)]);
    expect(rig.brokenReasons).toEqual([]);
    request(IN, 0, [r(512)]);
    expect(rig.brokenReasons).toEqual(['more chains in flight than the queue holds']);
  });

  it('a device that broke meanwhile does not finish what is delayed', () => {
    const image = new SparseBlockImage(64);
    const { faults } = plan(() => ({ delayNs: 100 }));
    const { rig, queue, request } = ready(image, { faults });
    rig.memory.slice(BODY, 512).fill(9);
    request(OUT, 0, [w(512)]);
    rig.offer(queue, 99);
    rig.notify(queue);
    expect(rig.brokenReasons).toHaveLength(1);
    rig.clock.advance(100);
    rig.clock.runDue();
    expect(rig.usedIdx(queue)).toBe(0);
    expect(imagesEqual(image, new SparseBlockImage(64))).toBe(true);
  });

  it('a reset cancels what is delayed', () => {
    const image = new SparseBlockImage(64);
    const { faults } = plan(() => ({ delayNs: 100 }));
    const { rig, queue, request } = ready(image, { faults });
    rig.memory.slice(BODY, 512).fill(9);
    request(OUT, 0, [w(512)]);
    rig.w(mmio.STATUS, 0);
    expect(rig.clock.next).toBe(Infinity);
    rig.clock.advance(1000);
    rig.clock.runDue();
    expect(rig.usedIdx(queue)).toBe(0);
    expect(imagesEqual(image, new SparseBlockImage(64))).toBe(true);
  });
});
