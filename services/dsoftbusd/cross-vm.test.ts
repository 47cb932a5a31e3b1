/** A pair of machines (sheet 70, section 12): both nodes on one kernel, their netstackds linked in memory. */
import { describe, expect, it } from 'vitest';
import { NONBLOCK, Rights, TRUNCATE } from '../../kernel-model/abi.ts';
import { addTask, bareKernel, endpointCap, grant, runUntil } from '../../kernel-model/testing.ts';
import type { Program } from '../../kernel-model/sys.ts';
import { ipv4 } from '../../sim/net/address.ts';
import { budgetOf, recvWithin } from '../lib/ipc.ts';
import { CryptoMeter, publicKeyOf } from '../lib/noise.ts';
import { ascii } from '../lib/text.ts';
import { LogOp, decodeRequest as decodeLogRequest } from '../logd/wire.ts';
import { decodeRequest as decodeMetricsRequest, encodeResponse as encodeMetricsResponse } from '../metricsd/wire.ts';
import { Op, Status, answer } from '../netstackd/wire.ts';
import { remoteProxy } from '../selftest-client/dsoftbus.ts';
import { SelftestState } from '../selftest-client/state.ts';
import { encodeAnnounce } from './discovery.ts';
import { SELFTEST_DEFAULTS } from '../selftest-client/fixtures/options.ts';
import { NetStandIn } from './fixtures/net-stand-in.ts';
import type { Override } from './fixtures/net-stand-in.ts';
import { addNode, addRouter } from './fixtures/node.ts';
import type { Around, NodeUnderTest } from './fixtures/node.ts';
import { KeyTag, PORT_A, PORT_B, testSecret } from './keys.ts';
import { DSOFTBUSD_CONTRACT, DSOFTBUSD_REFERENCE } from './options.ts';
import type { DsoftbusdOptions } from './options.ts';
import { REQUEST_WIRE } from './records.ts';

const S = 1_000_000_000;
/** Length of a run between two looks at what it printed, ns. */
const STEP = 10_000_000;
const IP_A = ipv4(10, 42, 0, 10);
const IP_B = ipv4(10, 42, 0, 11);

/** A service that answers each frame on its moved capability. */
function service(reply: (frame: Uint8Array) => Uint8Array | null): Program {
  return function* (sys) {
    for (;;) {
      yield sys.recv(0, 8192, TRUNCATE);
      const { payload, src } = sys.message;
      const frame = reply(payload);
      if (frame !== null) yield sys.send(src, frame, NONBLOCK);
      yield sys.capClose(src);
    }
  };
}

const samgrd = service((frame) => {
  const known = new TextDecoder().decode(frame.subarray(5)) === 'bundlemgrd';
  return Uint8Array.of(0x53, 0x4d, 1, (frame[3] ?? 0) | 0x80, known ? 0 : 1, 0, 0, 0, 0, 0, 0, 0, 0);
});
const bundlemgrd = service(() => Uint8Array.of(0x42, 0x4e, 1, 0x81, 0, 1, 0, 0));

interface Settings {
  readonly a?: Partial<Around>;
  readonly b?: Partial<Around>;
  readonly overrideA?: Override;
  readonly overrideB?: Override;
  readonly alone?: boolean;
}

/** The two machines. A question per frame is asked of node-a's dsoftbusd by a task of that machine. */
class Pair {
  readonly bare = bareKernel();
  readonly netA = new NetStandIn(IP_A);
  readonly netB = new NetStandIn(IP_B);
  readonly answers: (string | null)[] = [];
  #questions = 0;
  readonly a: NodeUnderTest;

  constructor(settings: Settings = {}) {
    const { overrideA, overrideB, alone } = settings;
    if (alone !== true) NetStandIn.link(this.netA, this.netB);
    if (overrideA !== undefined) this.netA.override = overrideA;
    if (overrideB !== undefined) this.netB.override = overrideB;
    const options: DsoftbusdOptions = DSOFTBUSD_CONTRACT;
    this.a = addNode(this.bare, { options, netstackd: this.netA.program, ...settings.a }, 'dsoftbusd');
    if (alone === true) return;
    const b = { options, netstackd: this.netB.program, samgrd, bundlemgrd, ...settings.b };
    addNode(this.bare, b, 'dsoftbusd');
  }

  /** Adds a task of machine A that runs the selftest's step S64. */
  selftest(): this {
    const { kernel } = this.bare;
    const task = addTask(kernel, stepRemoteProxy, { name: 'selftest-client' });
    grant(task, 0x1b, endpointCap(this.a.request, Rights.SEND));
    grant(task, 0x1c, endpointCap(this.a.response, Rights.RECV));
    addRouter(kernel, task, { dsoftbusd: [0x1b, 0x1c] });
    return this;
  }

  ask(...frames: Uint8Array[]): this {
    const { kernel } = this.bare;
    const { answers } = this;
    this.#questions = frames.length;
    const task = addTask(kernel, function* (sys) {
      for (const frame of frames) {
        yield sys.send(0x1b, frame);
        const n = yield* recvWithin(sys, 0x1c, yield* budgetOf(sys, 5 * S));
        answers.push(n < 0 ? null : Buffer.from(sys.message.payload).toString('hex'));
      }
      return 0;
    });
    grant(task, 0x1b, endpointCap(this.a.request, Rights.SEND));
    grant(task, 0x1c, endpointCap(this.a.response, Rights.RECV));
    return this;
  }

  /** Runs until all questions are answered, the selftest is through or `line` was printed, at most `seconds`. */
  run(seconds = 0.5, line: string | null = null): this {
    for (let ns = STEP; ns <= seconds * S; ns += STEP) {
      runUntil(this.bare.kernel, ns, 3_000_000);
      if (line === null ? this.#through : this.bare.uart().includes(line)) break;
    }
    return this;
  }

  get #through(): boolean {
    if (this.#questions > 0) return this.answers.length === this.#questions;
    return this.bare.uart().includes('SELFTEST: remote query');
  }

  /** Whole lines of both machines. */
  get text(): string[] {
    return this.bare.uart().replaceAll('UB', '').replaceAll('\r', '').split('\n').slice(0, -1);
  }

  count(line: string): number {
    return this.text.filter((other) => other === line).length;
  }
}

const stepRemoteProxy: Program = function* (sys) {
  const state = new SelftestState(sys, SELFTEST_DEFAULTS);
  state.localAddress = IP_A;
  yield* remoteProxy(state);
  return 0;
};

const RESOLVE = Uint8Array.of(0x44, 0x53, 1, 1, 10, ...ascii('bundlemgrd'));
const LIST = Uint8Array.of(0x44, 0x53, 1, 2);

describe('a session between two machines', () => {
  it('comes up on both sides and carries the selftest of node-a', () => {
    const pair = new Pair().selftest().run();
    for (const line of [
      'dsoftbusd: cross-vm session ok node-b',
      'dsoftbusd: cross-vm session ok node-a',
      'dsoftbusd: remote proxy up',
      'dsoftbusd: remote proxy rx',
      'dsoftbusd: remote proxy ok (peer=node-a service=samgrd)',
      'dsoftbusd: remote proxy ok (peer=node-a service=bundlemgrd)',
    ])
      expect(pair.count(line), line).toBe(1);
    for (const line of [
      'dsoftbusd: discovery cross-vm up',
      'dsoftbusd: discovery announce sent',
      'dbg:dsoftbusd: hs transport ready',
    ])
      expect(pair.count(line), line).toBe(2);
    expect(pair.text.filter((line) => line.startsWith('SELFTEST'))).toEqual([
      'SELFTEST: remote resolve ok',
      'SELFTEST: remote query ok',
    ]);
    expect(pair.count('dsoftbusd: ready')).toBe(0);
  });

  it('the same with every quirk of the reference', () => {
    const options = DSOFTBUSD_REFERENCE;
    const pair = new Pair({ a: { options }, b: { options } }).selftest().run(1);
    expect(pair.count('SELFTEST: remote query ok')).toBe(1);
  });

  it('announces to the group first and then to the peer, with the packet of the sheet', () => {
    const { netA } = new Pair().run(0.05);
    const sent = netA.requests.flatMap((request) =>
      request.op === Op.UDP_SEND_TO ? [[request.ip, request.port, Buffer.from(request.data).toString('hex')]] : [],
    );
    const packet =
      '4e58534201066e6f64652d61870724260eb6eddf8284e4cb6e9169ce2e0ba1b21c5c3bed796e41a8853b82abaa4d020673616d6772640a62756e646c656d677264';
    expect(sent.slice(0, 2)).toEqual([
      [ipv4(239, 42, 0, 1), 37_020, packet],
      [IP_B, 37_020, packet],
    ]);
  });

  it('binds and listens on its own address, nonces from 1 again', () => {
    const { netA } = new Pair().run(0.05);
    expect(netA.requests[0]).toMatchObject({ op: Op.LOCAL_ADDR });
    expect(netA.requests[1]).toMatchObject({ op: Op.UDP_BIND, ip: IP_A, port: 37_020 });
    expect(netA.requests[1]?.nonce?.[0]).toBe(1);
    expect(netA.requests[2]).toMatchObject({ op: Op.LISTEN, ip: IP_A, port: PORT_A });
  });

  it('a first dial into nothing closes its stream and tries again', () => {
    let first = true;
    const pair = new Pair({
      overrideA: (request) => {
        if (request.op !== Op.WRITE || !first) return null;
        first = false;
        return answer(Status.IO);
      },
    }).run(0.5, 'session ok node-b');
    expect(pair.text).toContain('dsoftbusd: cross-vm session ok node-b');
    const at = (line: string): number => pair.text.indexOf(line);
    expect(at('dbg:dsoftbusd: dial fallback no-discovery')).toBeLessThan(at('dsoftbusd: cross-vm dial start'));
    expect(at('dsoftbusd: cross-vm dial start')).toBeLessThan(at('dbg:dsoftbusd: hs sid close'));
    expect(at('dbg:dsoftbusd: hs sid close')).toBe(at('dbg:dsoftbusd: hs retry') - 1);
    expect(at('dbg:dsoftbusd: hs retry')).toBeLessThan(at('dsoftbusd: cross-vm session ok node-b'));
    expect(pair.netA.requests.filter((request) => request.op === Op.CLOSE)).toHaveLength(1);
  });

  it('a node without peer goes on dialling for ever and says its lines once', () => {
    const pair = new Pair({ alone: true }).run(0.1);
    expect(pair.count('dsoftbusd: cross-vm dial start')).toBe(1);
    expect(pair.count('dbg:dsoftbusd: dial fallback no-discovery')).toBe(1);
    expect(pair.count('dbg:dsoftbusd: hs retry')).toBeGreaterThan(3);
    expect(pair.text.some((line) => line.includes('session ok'))).toBe(false);
  });

  it('a peer that announces another key is refused, every time', () => {
    const staticKey = publicKeyOf(testSecret(KeyTag.SERVER_STATIC, PORT_A), new CryptoMeter(() => undefined));
    const packet = encodeAnnounce({ deviceId: 'node-b', port: PORT_B, staticKey, services: [] }) as Uint8Array;
    const body = new Uint8Array(8 + packet.length);
    body.set([packet.length, 0, 10, 42, 0, 11]);
    body.set(packet, 8);
    const pair = new Pair({
      overrideA: (request) => (request.op === Op.UDP_RECV_FROM ? { status: Status.OK, body } : null),
    }).run(0.2);
    expect(pair.count('dsoftbusd: identity mismatch peer=crossvm')).toBeGreaterThan(1);
    expect(pair.text.some((line) => line.includes('session ok'))).toBe(false);
  });

  it('datagrams that are no announcement are told each time, a failing receive once', () => {
    let n = 0;
    const pair = new Pair({
      alone: true,
      overrideA: (request) => {
        if (request.op !== Op.UDP_RECV_FROM) return null;
        n += 1;
        if (n > 4) return null;
        return n > 2 ? { status: Status.OK, body: Uint8Array.of(1, 0, 10, 42, 0, 11, 0, 0, 7) } : answer(Status.IO);
      },
    }).run(0.1);
    expect(pair.count('dsoftbusd: announce ignored (malformed)')).toBe(2);
    expect(pair.count('dsoftbusd: discovery recv FAIL')).toBe(1);
  });

  it.each([
    ['UDP_BIND', Op.UDP_BIND, 60],
    ['LISTEN', Op.LISTEN, 1],
  ])('a node that cannot %s ends', (_name, op, seconds) => {
    const pair = new Pair({ alone: true, overrideA: (r) => (r.op === op ? answer(Status.IO) : null) }).run(seconds);
    expect(pair.text.at(-1)).toBe('service error svc=dsoftbusd type=()');
    expect(pair.netA.requests.filter((r) => r.op === op)).toHaveLength(op === Op.LISTEN ? 1 : 50_000);
  });

  it('a node that heard no announcement takes the session all the same', () => {
    const deaf = { overrideB: (r: { op: number }) => (r.op === Op.UDP_RECV_FROM ? answer(Status.WOULD_BLOCK) : null) };
    const pair = new Pair(deaf).run(0.5, 'session ok');
    expect(pair.text.some((line) => line.includes('session ok'))).toBe(true);
    expect(pair.text.some((line) => line.includes('identity mismatch'))).toBe(false);
  });

  it('any other address of the link is node-b', () => {
    const bare = bareKernel();
    const net = new NetStandIn(ipv4(10, 42, 7, 86));
    addNode(bare, { options: DSOFTBUSD_CONTRACT, netstackd: net.program, samgrd, bundlemgrd });
    runUntil(bare.kernel, 0.1 * S, 1_000_000);
    expect(bare.uart()).toContain('dsoftbusd: cross-vm accept wait');
    expect(net.requests).toContainEqual(expect.objectContaining({ op: Op.LISTEN, ip: net.ip, port: PORT_B }));
  });
});

describe('proxy', () => {
  it('answers what node-a asks, and says what it cannot', () => {
    const other = Uint8Array.of(0x44, 0x53, 1, 1, 4, ...ascii('nope'));
    const pair = new Pair().ask(RESOLVE, LIST, other, Uint8Array.of(0x44, 0x53, 1, 9), Uint8Array.of(1)).run();
    expect(pair.answers).toEqual(['4453018100', '44530182000100', '4453018101', '4453018901', '4453018001']);
    expect(pair.count('dbg:dsoftbusd: remote rpc fail')).toBe(1);
  });

  it('quirk proxy-unchecked, contract: a service that does not answer is told as FAIL', () => {
    const mute = service(() => null);
    const pair = new Pair({ b: { samgrd: mute } }).ask(RESOLVE).run(2, 'service=samgrd');
    expect(pair.count('dsoftbusd: remote proxy FAIL (peer=node-a service=samgrd)')).toBe(1);
    expect(pair.count('dsoftbusd: remote proxy ok (peer=node-a service=samgrd)')).toBe(0);
    expect(pair.answers[0]).toBe('4453018101');
  });

  it('quirk proxy-unchecked, reference: it is told as ok', () => {
    const mute = service(() => null);
    const options = { ...DSOFTBUSD_CONTRACT, proxyUnchecked: true };
    const pair = new Pair({ b: { samgrd: mute, options } }).ask(RESOLVE).run(2, 'service=samgrd');
    expect(pair.count('dsoftbusd: remote proxy ok (peer=node-a service=samgrd)')).toBe(1);
    expect(pair.answers[0]).toBe('4453018101');
  });

  it('quirk proxy-unchecked, both: a frame that answers something else is no answer; by quirk it is', () => {
    const wrong = service(() => Uint8Array.of(0x53, 0x4d, 1, 0x82, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    const checked = new Pair({ b: { samgrd: wrong } }).ask(RESOLVE).run(2, 'service=samgrd');
    expect(checked.count('dsoftbusd: remote proxy FAIL (peer=node-a service=samgrd)')).toBe(1);
    const options = { ...DSOFTBUSD_CONTRACT, proxyUnchecked: true };
    const quirk = new Pair({ b: { samgrd: wrong, options } }).ask(RESOLVE).run(2, 'service=samgrd');
    expect(quirk.count('dsoftbusd: remote proxy ok (peer=node-a service=samgrd)')).toBe(1);
  });

  it('quirk proxy-unchecked, contract: what answered once too often answers no later frame', () => {
    let asked = 0;
    const pair = new Pair({
      b: {
        samgrd: function* (sys) {
          for (;;) {
            yield sys.recv(0, 8192, TRUNCATE);
            const { src, payload } = sys.message;
            const reply = Uint8Array.of(0x53, 0x4d, 1, (payload[3] ?? 0) | 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            asked += 1;
            // The first frame gets two answers, the second none.
            for (let i = 0; i < 2 && asked === 1; i++) yield sys.send(src, reply, NONBLOCK);
            yield sys.capClose(src);
          }
        },
      },
    });
    pair.ask(RESOLVE, RESOLVE).run(4, 'remote proxy FAIL');
    expect(asked).toBe(2);
    expect(pair.count('dsoftbusd: remote proxy ok (peer=node-a service=samgrd)')).toBe(1);
    expect(pair.count('dsoftbusd: remote proxy FAIL (peer=node-a service=samgrd)')).toBe(1);
  });

  it('COR-4: a WRITE that takes nothing ends the request, one that would block is tried 1024 times', () => {
    const stuck = (status: Status, body: Uint8Array): Pair =>
      new Pair({
        overrideA: (request) =>
          request.op === Op.WRITE && request.data.length === REQUEST_WIRE ? { status, body } : null,
      })
        .ask(RESOLVE)
        .run(2);
    for (const [pair, writes] of [
      [stuck(Status.OK, Uint8Array.of(0, 0)), 1],
      [stuck(Status.WOULD_BLOCK, new Uint8Array(0)), 1024],
    ] as const) {
      expect(pair.answers).toEqual(['4453018101']);
      const tried = pair.netA.requests.filter((r) => r.op === Op.WRITE && r.data.length === REQUEST_WIRE);
      expect(tried).toHaveLength(writes);
    }
  });

  it('bytes that are no record get no answer, and leave the counter: the next record opens', () => {
    let damaged = false;
    const pair = new Pair({
      overrideB: (request) => {
        if (request.op !== Op.READ || request.max !== REQUEST_WIRE || damaged) return null;
        damaged = true;
        return { status: Status.OK, body: Uint8Array.from([0x13, 1, ...new Uint8Array(REQUEST_WIRE)]) };
      },
    })
      .ask(RESOLVE)
      .run(1);
    expect(pair.count('dsoftbusd: remote proxy rx')).toBe(1);
    expect(pair.answers).toEqual(['4453018100']);
  });

  it('after one damaged record no later one opens (section 19)', () => {
    let damaged = false;
    const pair = new Pair({
      overrideA: (request) => {
        if (request.op !== Op.WRITE || request.data.length !== REQUEST_WIRE || damaged) return null;
        damaged = true;
        request.data[9] = (request.data[9] ?? 0) ^ 1;
        return null;
      },
    })
      .ask(RESOLVE, LIST)
      .run(1);
    expect(pair.answers).toEqual(['4453018101', '44530182010000']);
    expect(pair.count('dbg:dsoftbusd: remote rpc fail')).toBe(1);
    expect(pair.text.some((line) => line.startsWith('dsoftbusd: remote proxy ok'))).toBe(false);
  });

  it('an idle proxy repeats its time-out, and says once that it goes on', () => {
    const pair = new Pair().run(0.8);
    expect(pair.count('dbg:dsoftbusd: stream read timeout')).toBeGreaterThan(1);
    expect(pair.count('dbg:dsoftbusd: proxy io retry')).toBe(1);
  });
});

describe('log probe of node-a', () => {
  const PROBE = Uint8Array.of(0x44, 0x53, 1, 0x7f);

  it('is one record in logd, acknowledged', () => {
    const records: string[] = [];
    const logd = service((frame) => {
      const decoded = decodeLogRequest(frame);
      if (!decoded.ok || decoded.request.op !== LogOp.APPEND) return null;
      records.push(new TextDecoder().decode(decoded.request.message));
      const ack = new Uint8Array(29);
      ack.set([0x4c, 0x4f, 2, 0x81, 0]);
      ack.set(frame.subarray(4, 12), 5);
      return ack;
    });
    expect(new Pair({ a: { logd } }).ask(PROBE).run().answers).toEqual(['445301ff00']);
    expect(records).toEqual(['core service log probe: dsoftbusd']);
  });

  it('fails without logd', () => {
    expect(new Pair().ask(PROBE).run().answers).toEqual(['445301ff01']);
  });
});

describe('metrics', () => {
  function metricsd(seen: string[]): Program {
    return service((frame) => {
      const decoded = decodeMetricsRequest(frame);
      if (!decoded.ok) return null;
      const { request } = decoded;
      if ('name' in request) seen.push(new TextDecoder().decode(request.name));
      return encodeMetricsResponse(request.op, 0, request.nonce);
    });
  }

  it('RFC-0024: a session is counted and timed, a first failure counted once', () => {
    const seen: string[] = [];
    let failures = 2;
    const pair = new Pair({
      a: { metricsd: metricsd(seen) },
      overrideA: (request) => {
        if (request.op !== Op.WRITE || failures === 0) return null;
        failures -= 1;
        return answer(Status.IO);
      },
    }).run(0.2);
    expect(seen).toEqual(['dsoftbusd.session.fail', 'dsoftbusd.session.ok', 'dsoftbusd.handshake.duration_ns']);
    expect(pair.a.routed.filter((name) => name === 'metricsd')).toHaveLength(1);
  });

  it('by quirk metrics-unrouted each asks for a route', () => {
    const options = { ...DSOFTBUSD_CONTRACT, metricsUnrouted: true };
    const pair = new Pair({ a: { options } }).run(0.4, 'session ok node-b');
    expect(pair.a.routed.filter((name) => name === 'metricsd')).toHaveLength(2);
    expect(pair.count('dsoftbusd: cross-vm session ok node-b')).toBe(1);
  });
});
