import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as mmio from './mmio-transport.ts';
import { NET_BACKLOG_LIMIT, NET_MAX_FRAME, VirtioNet } from './net.ts';
import type { Buffer } from './test-rig.ts';
import { DATA, TestRig, WRITE } from './test-rig.ts';

const RX = 0;
const TX = 1;
const CONTROL = 2;
const MAC = 1 << 5;
const MRG_RXBUF = 1 << 15;
const STATUS = 1 << 16;
const CTRL = (1 << 17) | (1 << 18);
const CTRL_MAC_ADDR = 1 << 23;

const TX_BUFFER = DATA + 0x4000;

function frame(length: number, first = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i) & 0xff);
}

function ready(low = MAC | MRG_RXBUF, high = 1) {
  const net = new VirtioNet();
  const sent: Uint8Array[] = [];
  net.plug({ transmit: (bytes) => void sent.push(bytes) });
  const rig = new TestRig(net);
  rig.negotiate(low, high);
  const rx = rig.setUp(RX, 8);
  const tx = rig.setUp(TX, 8);
  const control = rig.setUp(CONTROL, 8);
  const post = (head: number, buffers: readonly Buffer[]) => {
    rig.chain(rx.desc, head, buffers);
    rig.offer(rx, head);
  };
  return { net, rig, rx, tx, control, sent, post };
}

describe('transmit (sheet 05, section 14.1, rule 2)', () => {
  it('skips 12 header bytes, completes with length 0 and hands the frame over', () => {
    const { rig, tx, sent } = ready();
    rig.driverOk();
    rig.memory.slice(TX_BUFFER, 72).set([...new Array<number>(12).fill(0xee), ...frame(60)]);
    expect(
      rig.submit(tx, [
        [TX_BUFFER, 40, 0],
        [TX_BUFFER + 40, 32, 0],
      ]),
    ).toBe(0);
    expect(sent).toEqual([frame(60)]);
    expect(rig.events).toContainEqual(expect.objectContaining({ kind: 'packet', dir: 'tx', bytes: frame(60) }));
  });

  it('uses a 10-byte header when neither VERSION_1 nor MRG_RXBUF was negotiated', () => {
    const { rig, tx, sent } = ready(0, 0);
    rig.driverOk();
    rig.memory.slice(TX_BUFFER, 24).set(frame(24));
    rig.submit(tx, [[TX_BUFFER, 24, 0]]);
    expect(sent).toEqual([frame(14, 10)]);
  });

  it('waits for DRIVER_OK and the next notify', () => {
    const { rig, tx, sent } = ready();
    rig.submit(tx, [[TX_BUFFER, 72, 0]]);
    rig.driverOk();
    expect(sent).toHaveLength(0);
    rig.notify(tx);
    expect(sent).toHaveLength(1);
  });

  it.each([12, 11, 1])('a chain of %i bytes breaks the device', (length) => {
    const { rig, tx } = ready();
    rig.driverOk();
    rig.submit(tx, [[TX_BUFFER, length, 0]]);
    expect(rig.brokenReasons).toHaveLength(1);
    expect(rig.r(mmio.STATUS)).toBe(0x4f);
    expect(rig.usedIdx(tx)).toBe(0);
  });

  it('completes frames without a wire', () => {
    const { net, rig, tx } = ready();
    net.plug(null);
    rig.driverOk();
    rig.submit(tx, [[TX_BUFFER, 72, 0]]);
    expect(rig.usedIdx(tx)).toBe(1);
  });
});

describe('receive (sheet 05, section 14.1, rule 3)', () => {
  it('writes a zero header with num_buffers 1 and adds no padding', () => {
    const { net, rig, rx, post } = ready();
    rig.driverOk();
    rig.memory.slice(DATA, 4096).fill(0xcc);
    post(0, [[DATA, 4096, WRITE]]);
    net.deliver(frame(54));
    expect(rig.used(rx, 0)).toEqual([0, 66]);
    expect([...rig.memory.slice(DATA, 12)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    expect(rig.memory.slice(DATA + 12, 54)).toEqual(frame(54));
    expect(rig.memory.readU8(DATA + 66)).toBe(0xcc);
    expect(rig.r(mmio.INTERRUPT_STATUS)).toBe(1);
    expect(rig.events).toContainEqual(expect.objectContaining({ kind: 'packet', dir: 'rx', bytes: frame(54) }));
  });

  it('leaves num_buffers alone without MRG_RXBUF', () => {
    const { net, rig, rx, post } = ready(MAC);
    rig.driverOk();
    rig.memory.slice(DATA, 4096).fill(0xcc);
    post(0, [[DATA, 4096, WRITE]]);
    net.deliver(frame(20));
    expect(rig.used(rx, 0)).toEqual([0, 32]);
    expect([...rig.memory.slice(DATA, 13)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xcc, 0xcc, 0]);
  });

  it('spreads a long frame over several buffers with MRG_RXBUF', () => {
    const { net, rig, rx, post } = ready();
    rig.driverOk();
    for (let i = 0; i < 4; i += 1) post(i, [[DATA + 0x100 * i, 0x40, WRITE]]);
    net.deliver(frame(150));
    expect(rig.usedIdx(rx)).toBe(3);
    expect([0, 1, 2].map((i) => rig.used(rx, i))).toEqual([
      [0, 64],
      [1, 64],
      [2, 34],
    ]);
    expect(rig.memory.readU16(DATA + 10)).toBe(3);
    expect(rig.memory.readU8(DATA + 0x200 + 33)).toBe(149);
    net.deliver(frame(30));
    expect(rig.used(rx, 3)).toEqual([3, 42]);
  });

  it('drops a frame too long for the buffer without MRG_RXBUF, and the buffer serves the next one', () => {
    const { net, rig, rx, post } = ready(MAC);
    rig.driverOk();
    post(0, [[DATA, 100, WRITE]]);
    net.deliver(frame(89));
    expect([net.dropped, rig.usedIdx(rx)]).toEqual([1, 0]);
    net.deliver(frame(88));
    expect(rig.used(rx, 0)).toEqual([0, 100]);
  });

  it('holds frames in order until there are buffers and a notify', () => {
    const { net, rig, rx, post } = ready();
    net.deliver(frame(20, 1));
    rig.driverOk();
    for (let i = 2; i <= 3; i += 1) net.deliver(frame(20, i));
    expect(net.backlog).toBe(3);
    for (let i = 0; i < 2; i += 1) post(i, [[DATA + 0x100 * i, 0x100, WRITE]]);
    rig.notify(rx);
    expect([net.backlog, rig.usedIdx(rx)]).toEqual([1, 2]);
    expect([0, 1].map((i) => rig.memory.readU8(DATA + 0x100 * i + 12))).toEqual([1, 2]);
    post(2, [[DATA + 0x200, 0x100, WRITE]]);
    net.deliver(frame(20, 4));
    expect([net.backlog, rig.usedIdx(rx)]).toEqual([2, 2]);
    rig.notify(rx);
    expect(rig.memory.readU8(DATA + 0x20c)).toBe(3);
  });

  it('delivers at DRIVER_OK what came before it', () => {
    const { net, rig, rx, post } = ready();
    post(0, [[DATA, 0x100, WRITE]]);
    rig.notify(rx);
    net.deliver(frame(20));
    expect(rig.usedIdx(rx)).toBe(0);
    rig.driverOk();
    expect(rig.usedIdx(rx)).toBe(1);
  });

  it('bounds the backlog and the frame', () => {
    const { net } = ready();
    for (let i = 0; i < NET_BACKLOG_LIMIT + 5; i += 1) net.deliver(frame(1));
    expect([net.backlog, net.dropped]).toEqual([NET_BACKLOG_LIMIT, 5]);
    net.deliver(new Uint8Array(NET_MAX_FRAME + 1));
    expect(net.dropped).toBe(6);
  });

  it('goes on for more frames than a 16-bit index counts', () => {
    const { net, rig, rx, post } = ready();
    rig.driverOk();
    rig.trace.on = false;
    const bytes = frame(1);
    for (let i = 0; i < 0x1_0010; i += 1) {
      post(0, [[DATA, 64, WRITE]]);
      net.deliver(bytes);
    }
    expect([rig.usedIdx(rx), net.backlog, net.dropped]).toEqual([0x10, 0, 0]);
  });

  it('a read-only buffer breaks the device', () => {
    const { net, rig, post } = ready(MAC);
    rig.driverOk();
    post(0, [[DATA, 0x100, 0]]);
    net.deliver(frame(20));
    expect(rig.brokenReasons).toEqual(['receive buffer is not writable']);
  });

  it('a wire that answers inside transmit delivers at once', () => {
    const { net, rig, rx, tx, post } = ready();
    rig.driverOk();
    net.plug({ transmit: (bytes) => net.deliver(bytes) });
    post(0, [[DATA, 0x100, WRITE]]);
    rig.submit(tx, [[TX_BUFFER, 72, 0]]);
    expect([rig.usedIdx(tx), rig.usedIdx(rx)]).toEqual([1, 1]);
  });

  it('any frames through any buffers arrive whole and in order', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 12 });
    const buffers = fc.array(fc.integer({ min: 12, max: 200 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(sizes, buffers, (lengths, rooms) => {
        const { net, rig, rx } = ready();
        rig.driverOk();
        lengths.forEach((length, i) => net.deliver(frame(length, i)));
        const got: number[][] = [];
        let left = 0;
        let seen = 0;
        for (const [i, room] of rooms.entries()) {
          // A frame larger than all eight small buffers together stays in the backlog for good.
          const head = i % 8;
          if (((rig.memory.readU16(rx.avail + 2) - rig.usedIdx(rx)) & 0xffff) === 8) break;
          rig.chain(rx.desc, head, [[DATA + 0x100 * head, room, WRITE]]);
          rig.offer(rx, head);
          rig.notify(rx);
          for (; seen !== rig.usedIdx(rx); seen += 1) {
            const [id, length] = rig.used(rx, seen);
            const bytes = rig.memory.slice(DATA + 0x100 * id, length);
            const first = left === 0;
            if (first) {
              left = rig.memory.readU16(DATA + 0x100 * id + 10);
              got.push([]);
            }
            got.at(-1)?.push(...bytes.subarray(first ? 12 : 0));
            left -= 1;
          }
        }
        expect(left).toBe(0);
        expect(got).toEqual(lengths.slice(0, got.length).map((length, i) => [...frame(length, i)]));
        expect(net.backlog).toBe(lengths.length - got.length);
      }),
      { seed: 20240, numRuns: 100 },
    );
  });
});

describe('config space and control queue', () => {
  it('the MAC is writable only without VERSION_1, and back after a reset', () => {
    const modern = ready();
    modern.rig.device.write(0x100, 1, 0xaa);
    expect(modern.rig.device.read(0x100, 1)).toBe(0x52);
    const old = ready(0, 0);
    old.rig.device.write(0x100, 4, 0xddcc_bbaa);
    old.rig.device.write(0x104, 4, 0xffff_ffee);
    expect([0x100, 0x104].map((offset) => old.rig.r(offset))).toEqual([0xddcc_bbaa, 0x0001_ffee]);
    old.rig.w(mmio.STATUS, 0);
    expect(old.rig.r(0x100)).toBe(0x1200_5452);
    // Who sets the MAC through the control queue does not set it here.
    const controlled = ready(1 << 23, 0);
    controlled.rig.device.write(0x100, 4, 0xddcc_bbaa);
    expect(controlled.rig.r(0x100)).toBe(0x1200_5452);
  });

  it('takes another MAC from the board', () => {
    const rig = new TestRig(new VirtioNet([0x52, 0x54, 0, 0x12, 0x34, 0x0a]));
    expect(rig.r(0x104)).toBe(0x0001_0a34);
  });

  it('a link that goes down loses frames and tells the driver', () => {
    const { net, rig, tx, sent } = ready(MAC | MRG_RXBUF | STATUS);
    rig.driverOk();
    net.setLink(false);
    expect(rig.device.read(0x106, 2)).toBe(0);
    expect([rig.r(mmio.INTERRUPT_STATUS), rig.r(mmio.CONFIG_GENERATION)]).toEqual([3, 1]);
    net.deliver(frame(20));
    rig.submit(tx, [[TX_BUFFER, 72, 0]]);
    expect([net.dropped, sent.length, rig.usedIdx(tx)]).toEqual([1, 0, 1]);
    net.setLink(true);
    expect(rig.device.read(0x106, 2)).toBe(1);
  });

  it('filters by what the control queue sets, and everything passes before', () => {
    const { net, rig, rx, control, post } = ready(MAC | MRG_RXBUF | CTRL | CTRL_MAC_ADDR);
    rig.driverOk();
    const command = (...bytes: number[]): number => {
      rig.memory.slice(TX_BUFFER, bytes.length).set(bytes);
      const length = rig.submit(control, [
        [TX_BUFFER, bytes.length, 0],
        [TX_BUFFER + 0x800, 1, WRITE],
      ]);
      expect(length).toBe(1);
      return rig.memory.readU8(TX_BUFFER + 0x800);
    };
    const passes = (...target: number[]): boolean => {
      const before = rig.usedIdx(rx);
      const head = before % 8;
      if (((rig.memory.readU16(rx.avail + 2) - before) & 0xffff) === 0) post(head, [[DATA, 0x100, WRITE]]);
      net.deliver(Uint8Array.from([...target, ...new Array<number>(20).fill(0)]));
      return rig.usedIdx(rx) !== before;
    };
    const own = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56] as const;
    const other = [0x52, 0x54, 0, 0, 0, 1] as const;
    const group = [0x01, 0, 0x5e, 0, 0, 1] as const;
    const all = [255, 255, 255, 255, 255, 255] as const;
    const view = () => [passes(...own), passes(...other), passes(...group), passes(...all)];
    expect(view()).toEqual([true, true, true, true]);
    expect(command(0, 0, 0)).toBe(0);
    expect(view()).toEqual([true, false, false, true]);
    expect(command(1, 0, 1, 0, 0, 0, ...other, 1, 0, 0, 0, ...group)).toBe(0);
    expect(view()).toEqual([true, true, true, true]);
    expect(command(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)).toBe(0);
    expect(command(0, 1, 1)).toBe(0);
    expect(command(0, 5, 1)).toBe(0);
    expect(view()).toEqual([true, false, true, false]);
    expect(command(1, 1, ...other)).toBe(0);
    expect(view()).toEqual([false, true, true, false]);
    expect([command(0, 6, 1), command(5, 0, 0, 0, 0, 0, 0, 0, 0, 0), command(3, 0), command(9, 9)]).toEqual([
      1, 1, 1, 1,
    ]);
    rig.w(mmio.STATUS, 0);
    rig.memory.bytes.fill(0);
    rig.negotiate(MAC | MRG_RXBUF, 1);
    rig.setUp(RX, 8);
    rig.driverOk();
    expect(view()).toEqual([true, true, true, true]);
  });

  it('a control command without room for a status breaks the device', () => {
    const { rig, control } = ready();
    rig.driverOk();
    rig.submit(control, [[TX_BUFFER, 3, 0]]);
    expect(rig.brokenReasons).toEqual(['control command without header or status']);
  });
});
