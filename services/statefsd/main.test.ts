import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TestEndpoint, TestMachine } from '../lib/fixtures/task-machine.ts';
import { statefsdProgram } from './main.ts';
import { CONTRACT, REFERENCE } from './options.ts';
import { Bench, KEYSTORED, METRICSD, SELFTEST, UPDATED } from './fixtures/bench.ts';
import { hex, utf8 } from './test-kit.ts';
import {
  decodeGetReply,
  decodeListReply,
  decodeStatusReply,
  encodeDel,
  encodeGet,
  encodeList,
  encodePut,
  encodeReopen,
  encodeSync,
  OP_DEL,
  OP_PUT,
  OP_REOPEN,
  OP_SYNC,
} from './wire.ts';

const UP_LINES = ['blk: virtio-blk up', 'blk: virtio-blk up (ss=512 nsec=64)', 'statefsd: virtio upgrade ok'];

describe('start-up (section 11.2)', () => {
  it('is ready before the disk, and starts it with the first request', () => {
    const bench = new Bench();
    expect(bench.machine.text).toBe('UBstatefsd: entry\nstatefsd: ready\n');
    expect(bench.status(encodeGet(1n, '/state/boot/bootctl.v1'), UPDATED)).toBe(1);
    expect(bench.machine.lines.slice(2).filter((line) => !line.startsWith('virtio-blk: '))).toEqual(UP_LINES);
    expect(bench.machine.lines).toHaveLength(2 + 10 + 3);
    bench.status(encodeGet(2n, '/state/boot/bootctl.v1'), UPDATED);
    expect(bench.machine.lines).toHaveLength(2 + 10 + 3);
  });

  it('gives up after ten seconds without its endpoints', () => {
    const machine = new TestMachine();
    expect(machine.start(statefsdProgram())).toBe(-1);
    expect(machine.now).toBeGreaterThanOrEqual(10_000_000_000);
    expect(machine.text).toBe('UBstatefsd: entry\nservice error svc=statefsd type=statefsd::os_lite::ServerError\n');
  });

  it('ends when a moved capability finds no slot', () => {
    const bench = new Bench();
    for (let slot = 0; slot < 96; slot++)
      if (!bench.machine.caps.has(slot)) bench.machine.caps.set(slot, { kind: 'mmio' });
    bench.send(encodeSync(1n), SELFTEST, new TestEndpoint());
    expect(bench.exit).toBe(-1);
    expect(bench.machine.lines.slice(-3)).toEqual([
      'statefsd: ipc error',
      'statefsd: ipc no-space',
      'service error svc=statefsd type=statefsd::os_lite::ServerError',
    ]);
  });
});

describe.each([
  ['contract', CONTRACT],
  ['reference', REFERENCE],
])('requests, %s', (_name, options) => {
  it('put, get, list, delete, sync, reopen by their owners', () => {
    const bench = new Bench(options);
    const one = (frames: readonly Uint8Array[]): Uint8Array => {
      expect(frames).toHaveLength(1);
      return frames[0] ?? hex('');
    };
    const { ask } = { ask: (frame: Uint8Array | string) => one(bench.ask(frame)) };
    expect(bench.status(encodeGet(1n, '/state/selftest/ping'))).toBe(1);
    expect(decodeStatusReply(ask(encodePut(7n, '/state/selftest/ping', utf8('ok'))), OP_PUT, 7n)).toBe(0);
    expect(ask(encodeGet(7n, '/state/selftest/ping'))).toEqual(hex('53460282 00 0700000000000000 02000000 6f6b'));
    expect(decodeListReply(ask(encodeList(8n, '/state/selftest/', 16)), 8n)?.keys).toEqual(['/state/selftest/ping']);
    expect(decodeStatusReply(ask(encodeSync(9n)), OP_SYNC, 9n)).toBe(0);
    expect(decodeStatusReply(ask(encodeReopen(10n)), OP_REOPEN, 10n)).toBe(0);
    expect(decodeGetReply(ask(encodeGet(11n, '/state/selftest/ping')), 11n)?.value).toEqual(utf8('ok'));
    expect(decodeStatusReply(ask(encodeDel(12n, '/state/selftest/ping')), OP_DEL, 12n)).toBe(0);
    expect(decodeStatusReply(ask(encodeDel(13n, '/state/selftest/ping')), OP_DEL, 13n)).toBe(1);
    expect(ask(encodeReopen(null))).toEqual(hex('53460186 00'));
    expect(bench.machine.disk.filter((op) => op === 'flush')).toHaveLength(1);
    expect(bench.machine.sectors.get(0)?.subarray(0, 4)).toEqual(hex('4653584e'));
    expect(bench.machine.caps.size).toBe(options.auditLost ? 8 + 3 : 9 + 3); // slots 0..7, [8], device, two VMOs
  });

  it('answers on slot 4 when no capability came along', () => {
    const bench = new Bench(options);
    bench.send(hex('53460105'), SELFTEST);
    expect(bench.responses.queue.map((m) => m.frame)).toEqual([hex('53460185 00')]);
  });

  it('reports a reply that its receiver has no room for', () => {
    const bench = new Bench(options);
    const full = new TestEndpoint();
    full.depth = 0;
    bench.send(encodeSync(1n), SELFTEST, full);
    expect(bench.machine.lines.at(-1)).toBe('statefsd: reply send fail');
    bench.machine.caps.delete(4);
    bench.send(encodeSync(1n), SELFTEST);
    expect(bench.machine.lines.at(-1)).toBe('statefsd: send fail');
  });
});

describe('large requests', () => {
  const value = new Uint8Array(8192 - 18 - 8).fill(1);

  it('OBS-5: a put that fills a kernel frame is stored', () => {
    const bench = new Bench();
    const frame = encodePut(1n, '/state/a', value) as Uint8Array;
    expect(frame).toHaveLength(8192);
    expect(bench.status(frame)).toBe(0);
    expect(decodeGetReply(bench.ask(encodeGet(2n, '/state/a'))[0] ?? hex(''), 2n)?.value).toEqual(value);
  });

  it('receive-cut: in the reference anything over 512 bytes is malformed', () => {
    const bench = new Bench({ ...CONTRACT, receiveCut: true });
    expect(bench.status(encodePut(1n, '/state/a', new Uint8Array(512 - 26)))).toBe(0);
    expect(bench.ask(encodePut(7n, '/state/a', new Uint8Array(512 - 25)))).toEqual([
      hex('53460281 06 0700000000000000'),
    ]);
  });

  it('error-drops-nonce: and its answer lacks the nonce', () => {
    const bench = new Bench(REFERENCE);
    expect(bench.ask(encodePut(7n, '/state/a', new Uint8Array(512 - 25)))).toEqual([hex('53460181 06')]);
  });
});

describe('the disk', () => {
  it('OBS-14: while the journal is not open every op gets IO_ERROR, and starts are a second apart', () => {
    const bench = new Bench();
    const { machine } = bench;
    machine.mode = 'io-error';
    const put = encodePut(1n, '/state/a', utf8('1'));
    expect(bench.status(put)).toBe(7);
    const afterFirst = machine.lines.length;
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(7);
    expect(bench.status(encodeList(1n, '/state/', 9))).toBe(7);
    expect(bench.status(encodeSync(1n))).toBe(7);
    expect(machine.lines).toHaveLength(afterFirst);
    machine.now += 1_000_000_000;
    expect(bench.status(put)).toBe(7);
    expect(machine.lines.at(-1)).toBe('virtio-blk: warmup failed');
    expect(machine.lines.length).toBeGreaterThan(afterFirst);
    machine.mode = 'ok';
    machine.now += 1_000_000_000;
    expect(bench.status(put)).toBe(0);
    expect(machine.lines.slice(-3)).toEqual(UP_LINES);
    expect(machine.vmos).toBe(2);
    expect(machine.sectors.get(0)?.subarray(0, 4)).toEqual(hex('4653584e'));
  });

  it('OBS-14: without a device nothing is kept in memory', () => {
    const bench = new Bench(CONTRACT, { device: false });
    expect(bench.status(encodePut(1n, '/state/a', utf8('1')))).toBe(7);
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(7);
  });

  it('statefs-restart: in the reference memory takes over with the first change, for good', () => {
    const bench = new Bench({ ...CONTRACT, restartFails: true });
    const { machine } = bench;
    machine.mode = 'io-error';
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    machine.mode = 'ok';
    machine.now += 1_000_000_000;
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    expect(machine.lines.at(-1)).toBe('virtio-blk: mmio modern');
    expect(machine.vmos).toBe(3);
    expect(bench.status(encodePut(1n, '/state/a', utf8('1')))).toBe(0);
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(0);
    expect(machine.vmos).toBe(4);
    bench.status(encodeGet(1n, '/state/a'));
    expect(machine.vmos).toBe(4);
    expect(machine.sectors.size).toBe(0);
  });

  it('a journal that cannot be read is reported and tried again', () => {
    const bench = new Bench();
    const { machine } = bench;
    // Only the warm-up and the replay read: fail the second.
    let reads = 0;
    machine.beforeRequest = () => {
      reads += 1;
      machine.mode = reads === 2 ? 'io-error' : 'ok';
    };
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(7);
    expect(machine.lines.slice(-4)).toEqual([
      'virtio-blk: status err=00000001',
      'statefsd: journal open failed (virtio)',
      'statefsd: err io',
      'statefsd: virtio retry scheduled',
    ]);
    machine.now += 1_000_000_000;
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    expect(machine.lines.at(-1)).toBe('statefsd: virtio upgrade ok');
  });

  it('OBS-20: a failed REOPEN makes the store read-only, said once, until one succeeds', () => {
    const bench = new Bench();
    const { machine } = bench;
    bench.status(encodePut(1n, '/state/a', utf8('1')));
    machine.mode = 'io-error';
    expect(bench.status(encodeReopen(1n))).toBe(7);
    expect(machine.lines.at(-1)).toBe('statefsd: store read-only');
    machine.mode = 'ok';
    const before = machine.lines.length;
    expect(bench.status(encodePut(1n, '/state/b', utf8('2')))).toBe(7);
    expect(bench.status(encodeReopen(1n))).toBe(0);
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(0);
    expect(bench.status(encodePut(1n, '/state/b', utf8('2')))).toBe(0);
    expect(machine.lines).toHaveLength(before);
  });

  it('a device that stops answering is reset by a later request, and nothing acknowledged is lost', () => {
    const bench = new Bench();
    const { machine } = bench;
    expect(bench.status(encodePut(1n, '/state/a', utf8('1')))).toBe(0);
    machine.mode = 'silent';
    expect(bench.status(encodePut(1n, '/state/b', utf8('2')))).toBe(7);
    machine.mode = 'ok';
    expect(bench.status(encodePut(1n, '/state/c', utf8('3')))).toBe(0);
    expect(bench.status(encodeReopen(1n))).toBe(0);
    expect(decodeListReply(bench.ask(encodeList(1n, '/state/', 9))[0] ?? hex(''), 1n)?.keys).toEqual([
      '/state/a',
      '/state/c',
    ]);
  });
});

describe('default run (section 13)', () => {
  it('leaves the 22 records of the reference on the disk', () => {
    const bench = new Bench(REFERENCE);
    const put = (sender: bigint, key: string, value: Uint8Array): void => {
      expect(bench.status(encodePut(1n, key, value), sender)).toBe(0);
    };
    const bootctl = (value: string): void => {
      put(UPDATED, '/state/boot/bootctl.v1', hex(value));
      expect(bench.status(encodeSync(1n), UPDATED)).toBe(0);
    };
    bench.status(encodeGet(1n, '/state/boot/bootctl.v1'), UPDATED);
    bootctl('0101ffff0000');
    put(KEYSTORED, '/state/keystore/52c6c4a34ffb3f69/6b31', utf8('v1'));
    expect(bench.status(encodeDel(1n, '/state/keystore/52c6c4a34ffb3f69/6b31'), KEYSTORED)).toBe(0);
    put(KEYSTORED, '/state/keystore/device.signing', new Uint8Array(32));
    put(SELFTEST, '/state/selftest/ping', utf8('ok'));
    put(SELFTEST, '/state/selftest/persist', utf8('persist-ok'));
    expect(bench.status(encodeSync(1n))).toBe(0);
    expect(bench.status(encodeReopen(1n))).toBe(0);
    for (const v of ['0101ff020000', '010202ff0200', '0102ffff0001', '0102ff010001', '010101ff0100', '0102ffff0000']) {
      bootctl(v);
    }
    for (const n of [41, 41, 82, 123, 164, 205, 246, 287, 328, 369]) {
      put(METRICSD, '/state/observability/metricsd/wal/seg_0', new Uint8Array(n));
    }
    const image = Buffer.concat([0, 1, 2, 3, 4, 5, 6].map((i) => machineSector(bench.machine, i)));
    const offsets = [
      0, 43, 97, 149, 226, 263, 311, 354, 397, 440, 483, 526, 569, 664, 759, 895, 1072, 1290, 1549, 1849, 2190, 2572,
    ];
    // Every record starts where the sheet says, and nothing follows the last one.
    for (const offset of offsets) expect(image.subarray(offset, offset + 4).toString('hex')).toBe('4653584e');
    expect(image.subarray(2995).every((byte) => byte === 0)).toBe(true);
    expect(image.subarray(0, 43).toString('hex').endsWith('dd6d4a57')).toBe(true);
  });
});

function machineSector(machine: TestMachine, sector: number): Uint8Array {
  return machine.sectors.get(sector) ?? new Uint8Array(512);
}

describe('robustness', () => {
  it('OBS-3: any bytes up to 8192 get exactly one reply, and the service goes on', () => {
    const bench = new Bench();
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 8192 }),
      fc.tuple(fc.integer({ min: 0, max: 8 }), fc.uint8Array({ maxLength: 60 })).map(([op, rest]) => {
        return Uint8Array.from([0x53, 0x46, 1 + (rest.length % 2), op, ...rest]);
      }),
    );
    const property = fc.property(frame, (bytes) => {
      const replies = bench.ask(bytes);
      expect(replies).toHaveLength(1);
      expect(replies[0]?.subarray(0, 2)).toEqual(hex('5346'));
      expect(bench.exit).toBeNull();
    });
    fc.assert(property, { seed: 20240, numRuns: 400 });
    expect(bench.status(encodePut(1n, '/state/z', utf8('z')))).toBe(0);
  });
});
