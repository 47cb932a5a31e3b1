import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import { TestEndpoint, TestMachine } from '../lib/test-machine.ts';
import type { TestMessage } from '../lib/test-machine.ts';
import { statefsdProgram } from './main.ts';
import { CONTRACT, REFERENCE } from './options.ts';
import type { StatefsdOptions } from './options.ts';
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

const SELFTEST = serviceIdOf('selftest-client');
const KEYSTORED = serviceIdOf('keystored');
const UPDATED = serviceIdOf('updated');
const METRICSD = serviceIdOf('metricsd');

/** The shipped policy (section 10.2). */
const GRANTS: ReadonlyMap<bigint, readonly string[]> = new Map([
  [KEYSTORED as bigint, ['statefs.keystore']],
  [UPDATED as bigint, ['statefs.boot']],
  [METRICSD as bigint, ['statefs.write']],
  [SELFTEST as bigint, ['statefs.read', 'statefs.write', 'statefs.boot']],
]);

interface Check {
  readonly nonce: number;
  readonly subject: bigint;
  readonly capability: string;
}

/** statefsd with its peers as init wires them. */
class Bench {
  readonly machine = new TestMachine();
  readonly requests = new TestEndpoint();
  readonly responses = new TestEndpoint();
  readonly inbox = new TestEndpoint();
  readonly policyd = new TestEndpoint();
  readonly logd = new TestEndpoint();
  readonly checks: Check[] = [];
  /** Frames policyd sends for a check; the default is one honest answer. */
  answers: (check: Check, honest: Uint8Array) => readonly Uint8Array[] = (_, honest) => [honest];
  exit: number | null;

  constructor(options: StatefsdOptions = CONTRACT, wired: { device?: boolean; logd?: boolean } = {}) {
    const { caps } = this.machine;
    [new TestEndpoint(), new TestEndpoint(), new TestEndpoint(), this.requests, this.responses].forEach((e, i) =>
      caps.set(i, e),
    );
    caps.set(5, this.inbox).set(6, this.inbox).set(7, this.policyd);
    if (wired.logd ?? !options.auditLost) caps.set(8, this.logd);
    if (wired.device ?? true) caps.set(0x30, { kind: 'mmio' });
    this.policyd.onSend = (message) => {
      this.#answer(message);
    };
    this.exit = this.machine.start(statefsdProgram(options));
  }

  /** Sends a request with a reply capability and returns the frames that came back on it. */
  ask(frame: Uint8Array | string, sender: bigint = SELFTEST): readonly Uint8Array[] {
    const reply = new TestEndpoint();
    this.send(frame, sender, reply);
    return reply.queue.map((message) => message.frame);
  }

  /** Sends a request; without `reply` the answer goes to the default response endpoint. */
  send(frame: Uint8Array | string, sender: bigint, reply: TestEndpoint | null = null): void {
    if (typeof frame === 'string') throw new Error(frame);
    this.requests.push(frame, sender, reply);
    this.exit = this.machine.resume();
  }

  /** The one reply's status byte. */
  status(frame: Uint8Array | string, sender: bigint = SELFTEST): number {
    const replies = this.ask(frame, sender);
    expect(replies).toHaveLength(1);
    return replies[0]?.[4] ?? -1;
  }

  #answer(message: TestMessage): void {
    this.policyd.queue.length = 0;
    const view = new DataView(message.frame.buffer);
    const check = {
      nonce: view.getUint32(4, true),
      subject: view.getBigUint64(8, true),
      capability: Buffer.from(message.frame.subarray(17)).toString(),
    };
    expect([...message.frame.subarray(0, 4), message.frame[16]]).toEqual([0x50, 0x4f, 2, 5, check.capability.length]);
    this.checks.push(check);
    const granted = GRANTS.get(check.subject)?.includes(check.capability) === true;
    const honest = checkReply(check.nonce, granted ? 0 : 1);
    if (message.cap?.kind !== 'endpoint') throw new Error('no reply capability');
    for (const frame of this.answers(check, honest)) message.cap.push(frame);
  }
}

function checkReply(nonce: number, status: number): Uint8Array {
  const frame = hex('504f028500000000 0000');
  new DataView(frame.buffer).setUint32(4, nonce, true);
  frame[8] = status;
  return frame;
}

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

describe('access control (section 10)', () => {
  it('OBS-19: asks policyd for every request, with the capability that the path needs', () => {
    const bench = new Bench();
    const asked = (frame: Uint8Array | string, sender: bigint): readonly string[] => {
      bench.checks.length = 0;
      bench.ask(frame, sender);
      return bench.checks.map((check) => check.capability);
    };
    expect(asked(encodePut(1n, '/state/a', utf8('')), METRICSD)).toEqual(['statefs.write']);
    expect(asked(encodeDel(1n, '/state/a'), METRICSD)).toEqual(['statefs.write']);
    expect(asked(encodeGet(1n, '/state/a'), SELFTEST)).toEqual(['statefs.read']);
    expect(asked(encodeList(1n, '/state/', 1), SELFTEST)).toEqual(['statefs.read']);
    expect(asked(encodeGet(1n, '/state/keystore/k'), KEYSTORED)).toEqual(['statefs.keystore']);
    expect(asked(encodeList(1n, '/state/boot/', 1), UPDATED)).toEqual(['statefs.boot']);
    expect(asked(encodeSync(1n), UPDATED)).toEqual(['statefs.boot']);
    expect(asked(encodeSync(1n), METRICSD)).toEqual(['statefs.boot', 'statefs.write']);
    expect(asked(encodeReopen(1n), KEYSTORED)).toEqual(['statefs.boot', 'statefs.write']);
    expect(asked(hex('53460105ff'), METRICSD)).toEqual([]);
  });

  it('COR-2: numbers its checks 1, 2, 3, ...', () => {
    const bench = new Bench();
    bench.ask(encodeSync(1n), METRICSD);
    bench.ask(encodeGet(1n, '/state/a'));
    expect(bench.checks.map((check) => check.nonce)).toEqual([1, 2, 3]);
  });

  it('asks for metricsd under its real id, except about the whole store', () => {
    const bench = new Bench();
    const alias = 0xed20_5ae1_e47c_393dn;
    expect(bench.status(encodePut(1n, '/state/a', utf8('')), alias)).toBe(0);
    expect(bench.status(encodeSync(1n), alias)).toBe(2);
    expect(bench.checks.map((check) => check.subject)).toEqual([METRICSD, alias, alias]);
  });

  it('OBS-1: the sender id of the kernel decides, nothing in the frame', () => {
    const bench = new Bench();
    expect(bench.status(encodePut(1n, '/state/boot/bootctl.v1', utf8('x')), UPDATED)).toBe(0);
    expect(bench.status(encodePut(1n, '/state/boot/bootctl.v1', utf8('x')), METRICSD)).toBe(2);
    expect(bench.status(encodeGet(1n, '/state/a'), METRICSD)).toBe(2);
    expect(bench.status(encodeGet(1n, '/state/a'), 0n)).toBe(2);
  });

  it('prints the denial and answers in the shape of the op', () => {
    const bench = new Bench();
    bench.status(encodeGet(1n, '/state/a'));
    expect(bench.ask(encodeGet(7n, '/state/keystore/deny'))).toEqual([hex('53460282 02 0700000000000000 00000000')]);
    expect(bench.machine.lines.at(-1)).toBe(
      'statefsd: access denied path=/state/keystore/deny sender=0x52c6c4a34ffb3f69',
    );
    expect(bench.ask(encodeList(7n, '/state/keystore/', 1))).toEqual([hex('53460284 02 0700000000000000 0000')]);
    expect(bench.ask(encodeSync(7n), 1n)).toEqual([hex('53460285 02 0700000000000000')]);
    expect(bench.machine.lines.at(-1)).toBe('statefsd: access denied path=/state sender=0x0000000000000001');
  });

  it('leaves pieces out of the line that do not fit into 160 bytes', () => {
    const bench = new Bench();
    const line = (length: number): string => {
      bench.status(encodeGet(1n, `/state/keystore/${'k'.repeat(length - 16)}`));
      return bench.machine.lines.at(-1)?.replace(/k{2,}/, 'K') ?? '';
    };
    const path = '/state/keystore/K';
    const head = 'statefsd: access denied path=';
    expect(line(105)).toBe(`${head}${path} sender=0x52c6c4a34ffb3f69`);
    expect(line(106)).toBe(`${head}${path} sender=0x`);
    expect(line(121)).toBe(`${head}${path} sender=0x`);
    expect(line(122)).toBe(`${head}${path}`);
    expect(line(131)).toBe(`${head}${path}`);
    expect(line(132)).toBe(`${head} sender=0x52c6c4a34ffb3f69`);
    expect(line(255)).toBe(`${head} sender=0x52c6c4a34ffb3f69`);
  });

  it('OBS-23: denies on silence, on other statuses and on answers it cannot read', () => {
    const bench = new Bench();
    const answered = (answers: Bench['answers']): number => {
      bench.answers = answers;
      return bench.status(encodeGet(1n, '/state/a'));
    };
    expect(answered(() => [])).toBe(2);
    expect(answered((check) => [checkReply(check.nonce, 2)])).toBe(2);
    expect(answered((check) => [checkReply(check.nonce, 0).subarray(0, 9)])).toBe(2);
    expect(answered((check) => [hex(`${Buffer.from(checkReply(check.nonce, 0)).toString('hex')}00`)])).toBe(2);
    expect(answered((check) => [checkReply(check.nonce, 0).fill(0x51, 0, 1)])).toBe(2);
    expect(answered((_, honest) => [honest])).toBe(1);
  });

  it('COR-4: a check takes at most two seconds', () => {
    const bench = new Bench();
    bench.status(encodeGet(1n, '/state/a'));
    bench.answers = () => [];
    const before = bench.machine.now;
    bench.status(encodeGet(1n, '/state/a'));
    expect(bench.machine.now - before).toBeGreaterThanOrEqual(2_000_000_000);
    expect(bench.machine.now - before).toBeLessThan(2_010_000_000);
    // A full queue at policyd takes the same two seconds, and the clone is closed.
    const slots = bench.machine.caps.size;
    bench.policyd.depth = 0;
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
    expect(bench.machine.caps.size).toBe(slots);
  });

  it('COR-3: late answers are skipped and counted; only the own nonce decides', () => {
    const bench = new Bench();
    bench.answers = (check, honest) => [checkReply(check.nonce - 1, 1), hex('4c4f0181'), honest];
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    expect(bench.machine.notes.filter((note) => note.startsWith('policy-inbox'))).toHaveLength(4);
    // An ALLOW for another nonce authorises nothing.
    bench.answers = (check) => [checkReply(check.nonce + 1, 0)];
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
  });

  it('late-reply-denies: in the reference one late answer denies, and poisons the next check', () => {
    const bench = new Bench({ ...CONTRACT, lateReplyDenies: true });
    bench.status(encodeGet(1n, '/state/a'));
    bench.answers = (check, honest) => [checkReply(check.nonce - 1, 1), honest];
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
    bench.answers = (_, honest) => [honest];
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
  });
});

describe('audit (section 10.5)', () => {
  const RECORD = `4c4f0101 02 0e 4b00 0000 ${Buffer.from(
    'statefsd.auditstatefsd: access denied path=/state/keystore/deny sender=0x52c6c4a34ffb3f69',
  ).toString('hex')}`;

  it('the denial reaches logd with a capability for its acknowledgement', () => {
    const bench = new Bench();
    expect(bench.ask(encodeGet(1n, '/state/keystore/deny'))).toHaveLength(1);
    const [record] = bench.logd.queue;
    expect(record?.frame).toEqual(hex(RECORD));
    expect(record?.cap).toBe(bench.inbox);
    // The acknowledgement does not disturb the next check.
    bench.inbox.push(hex('4c4f0181 00 0100000000000000 0000000000000000'));
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    expect(bench.inbox.queue).toHaveLength(0);
  });

  it('without a logd nobody else gets the record, and the loss is counted', () => {
    const bench = new Bench(CONTRACT, { logd: false });
    expect(bench.ask(encodeGet(1n, '/state/keystore/deny'))).toHaveLength(1);
    expect(bench.machine.notes).toContain('audits-lost=1');
  });

  it('statefs-audit-lost: in the reference it goes to whoever stands in slot 8', () => {
    const bench = new Bench({ ...CONTRACT, auditLost: true });
    const frames = bench.ask(encodeGet(7n, '/state/keystore/deny'));
    expect(frames).toEqual([hex(RECORD), hex('53460282 02 0700000000000000 00000000')]);
    // A plain request: the clone itself lands in slot 8, and the record comes back to statefsd's own inbox.
    bench.machine.caps.delete(8);
    bench.send(hex('53460102 0100 61'), 5n);
    const [own] = bench.inbox.queue;
    expect([own?.frame.subarray(0, 4), own?.cap]).toEqual([hex('4c4f0101'), bench.inbox]);
    bench.send(encodeGet(1n, '/state/a') as Uint8Array, SELFTEST);
    expect(bench.machine.caps.get(8)).toBe(bench.inbox);
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
