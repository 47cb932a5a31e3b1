/** One machine (sheet 70, section 8): dsoftbusd on the kernel with a netstackd of its own, and the selftest's step on it. */
import { describe, expect, it } from 'vitest';
import { NONBLOCK, Rights, TRUNCATE } from '../../kernel-model/abi.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import type { Program } from '../../kernel-model/sys.ts';
import { ipv4 } from '../../sim/net/address.ts';
import { budgetOf, recvWithin } from '../lib/ipc.ts';
import { LogOp, decodeRequest as decodeLogRequest } from '../logd/wire.ts';
import { Op, Status, answer, handleAnswer, readAnswer } from '../netstackd/wire.ts';
import type { FacadeRequest } from '../netstackd/wire.ts';
import { dsoftbus } from '../selftest-client/dsoftbus.ts';
import { SelftestState, Slot as SelftestSlot } from '../selftest-client/state.ts';
import { addNode, addRouter } from './fixtures/node.ts';
import type { NodeUnderTest } from './fixtures/node.ts';
import { SELFTEST_DEFAULTS } from '../selftest-client/fixtures/options.ts';
import { NetStandIn, opName } from './fixtures/net-stand-in.ts';
import type { Override } from './fixtures/net-stand-in.ts';
import { encodeAnnounce } from './discovery.ts';
import { KeyTag, PORT_A, PORT_B, testSecret } from './keys.ts';
import { CryptoMeter, publicKeyOf } from '../lib/noise.ts';
import { DSOFTBUSD_CONTRACT, DSOFTBUSD_REFERENCE } from './options.ts';
import type { DsoftbusdOptions } from './options.ts';

const S = 1_000_000_000;
/** Length of a run between two looks at what it printed, ns. */
const STEP = 20_000_000;

/** Program order of the default run, `dsoftbusd: ` left out (reference log, lines 979 to 1203). */
const LADDER = [
  'waiting for slots',
  'entry',
  'waiting for local ip',
  'local ip ok',
  'ip phase done',
  'udp bind begin',
  'udp bind ok',
  'discovery up (udp loopback)',
  'discovery announce sent',
  'discovery peer found device=local',
  'os transport up (udp+tcp)',
  'session connect peer=node-b',
  'connect portB ok',
  'connect ip loopback ok',
  'identity bound peer=node-b',
  'dual-node session ok',
  'ready',
];

class Bench {
  readonly bare = bareKernel();
  readonly net = new NetStandIn(ipv4(10, 0, 2, 15));
  readonly node: NodeUnderTest;
  /** Texts of the records that logd was sent. */
  readonly records: string[] = [];

  constructor(override: Override = () => null, options: DsoftbusdOptions = DSOFTBUSD_CONTRACT, logd = true) {
    this.net.override = override;
    const around = { options, netstackd: this.net.program };
    this.node = addNode(this.bare, logd ? { ...around, logd: journal(this.records) } : around);
  }

  /** Adds the selftest client with its step S63. */
  client(): this {
    const { kernel } = this.bare;
    const task = addTask(kernel, selftest, { name: 'selftest-client' });
    const inbox = newEndpoint(kernel, 8);
    grant(task, 0x19, endpointCap(this.node.net, Rights.SEND));
    grant(task, SelftestSlot.INBOX_RECV, endpointCap(inbox, Rights.RECV));
    grant(task, SelftestSlot.INBOX_SEND, endpointCap(inbox, Rights.SEND));
    addRouter(kernel, task, { netstackd: [0x19, 0x1a], '@reply': [0x18, 0x17] });
    return this;
  }

  /** Runs for `seconds`, or until the selftest is through. */
  run(seconds = 0.5): this {
    for (let ns = STEP; ns <= seconds * S; ns += STEP) {
      runUntil(this.bare.kernel, ns, 3_000_000);
      if (this.bare.uart().includes('SELFTEST: dsoftbus ping')) break;
    }
    return this;
  }

  /** Names that dsoftbusd asked init for. */
  get routed(): readonly string[] {
    return this.node.routed;
  }

  /** Whole lines of the UART. */
  get lines(): string[] {
    return this.bare.uart().replaceAll('UB', '').replaceAll('\r', '').split('\n').slice(0, -1);
  }

  /** What dsoftbusd printed, without its name in front. */
  get own(): string[] {
    return this.lines.filter((line) => line.startsWith('dsoftbusd: ')).map((line) => line.slice('dsoftbusd: '.length));
  }

  get exited(): boolean {
    return this.lines.includes('service error svc=dsoftbusd type=()');
  }

  /** Operations asked of netstackd, in order. */
  get asked(): string[] {
    return this.net.requests.map(opName);
  }
}

/** logd: notes what it is sent, and acknowledges. */
function journal(records: string[]): Program {
  return function* (sys) {
    for (;;) {
      yield sys.recv(0, 8192, TRUNCATE);
      const { payload, src } = sys.message;
      const decoded = decodeLogRequest(payload);
      if (decoded.ok && decoded.request.op === LogOp.APPEND) {
        const { scope, message } = decoded.request;
        records.push(`${new TextDecoder().decode(scope)}: ${new TextDecoder().decode(message)}`);
      }
      yield sys.send(src, Uint8Array.of(0x4c, 0x4f, 1, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0), NONBLOCK);
      yield sys.capClose(src);
    }
  };
}

/** Like the real one, it comes long after dsoftbusd listens. */
const selftest: Program = function* (sys) {
  yield* recvWithin(sys, SelftestSlot.INBOX_RECV, yield* budgetOf(sys, S / 10));
  const state = new SelftestState(sys, SELFTEST_DEFAULTS);
  yield* dsoftbus(state);
  return 0;
};

/** Answers requests of one op with a status. */
const refuse =
  (op: number, status: Status, which: (request: FacadeRequest, n: number) => boolean = () => true): Override =>
  (request, n) =>
    request.op === op && which(request, n) ? answer(status) : null;

describe('the default run', () => {
  it('prints the ladder, asks netstackd what the sheet lists, and serves the selftest', () => {
    const bench = new Bench().client().run();
    expect(bench.own).toEqual([...LADDER, 'auth ok', 'os session ok']);
    expect(bench.lines).toContain('[INFO dsoftbusd] dsoftbusd: ready');
    expect(bench.lines.filter((line) => line.startsWith('SELFTEST: '))).toEqual([
      'SELFTEST: dsoftbus os connect ok',
      'SELFTEST: dsoftbus ping ok',
    ]);
  });

  it('asks in the order of the ideal sequence, with nonces from 1', () => {
    const bench = new Bench().run(0.1);
    expect(bench.asked.slice(0, 15)).toEqual(
      'LOCAL_ADDR UDP_BIND UDP_SEND_TO UDP_RECV_FROM LISTEN LISTEN CONNECT ACCEPT WRITE READ WRITE READ WRITE READ ACCEPT'.split(
        ' ',
      ),
    );
    expect(bench.net.requests.slice(0, 15).map((request) => request.nonce?.[0])).toEqual(
      Array.from({ length: 15 }, (_, i) => i + 1),
    );
  });

  it('the same lines with every quirk of the reference', () => {
    const bench = new Bench(() => null, DSOFTBUSD_REFERENCE).client().run();
    expect(bench.own).toEqual([...LADDER, 'auth ok', 'os session ok']);
    expect(bench.lines).toContain('SELFTEST: dsoftbus ping ok');
  });

  it('the session between both nodes is the transcript of the sheet, in the clear over the stream', () => {
    const bench = new Bench().run(0.1);
    const writes = bench.net.requests.flatMap((request) =>
      request.op === Op.WRITE ? [Buffer.from(request.data).toString('hex').slice(0, 16)] : [],
    );
    expect(writes.slice(0, 3)).toEqual(['d82cb0b240bd827f', '078f481a1c391b2c', '6d9fa9df26b0dda2']);
  });

  it('charges its cryptography: fourteen scalar multiplications before ready', () => {
    const bench = new Bench();
    const before = bench.bare.clock.now;
    bench.run(0.1);
    expect(bench.bare.clock.now - before).toBeGreaterThan(14 * 450_000 * 2);
  });
});

describe('the log', () => {
  const sinkQuery = 'dsoftbusd: log sink degraded';

  it('RFC-0024: the ready record reaches logd through the slots that init gave', () => {
    const bench = new Bench();
    expect(bench.run(0.1).lines).not.toContain(sinkQuery);
    expect(bench.records).toEqual(['dsoftbusd: dsoftbusd: ready']);
    expect(bench.routed).toEqual([]);
  });

  it('by quirk sink-slots-unused it finds logd by routing', () => {
    const bench = new Bench(() => null, { ...DSOFTBUSD_CONTRACT, sinkSlotsUnused: true }).run(0.1);
    expect(bench.records).toEqual(['dsoftbusd: dsoftbusd: ready']);
    expect(bench.routed).toEqual(['logd', '@reply']);
  });

  it('without logd the sink says so once; by quirk silent-sink it does not', () => {
    expect(new Bench(() => null, DSOFTBUSD_CONTRACT, false).run(0.1).lines).toContain(sinkQuery);
    const silent = new Bench(() => null, { ...DSOFTBUSD_CONTRACT, silentSink: true }, false).run(0.1);
    expect(silent.lines).not.toContain(sinkQuery);
    expect(silent.own.at(-1)).toBe('ready');
  });
});

describe('the own address', () => {
  it('falls back after 300 tries and says how the wait goes', () => {
    const bench = new Bench(refuse(Op.LOCAL_ADDR, Status.IO)).run(60);
    const start = bench.own.slice(3, 11);
    expect(start).toEqual([
      'local ip rsp bad',
      ...Array<string>(5).fill('local ip wait'),
      'local ip fallback',
      'ip phase done',
    ]);
    expect(bench.own).toContain('ready');
  });

  it('without any answer the line is another', () => {
    const bench = new Bench((request) => (request.op === Op.LOCAL_ADDR ? 'silent' : null)).run(200);
    expect(bench.own.slice(3, 5)).toEqual(['local ip rpc fail', 'local ip wait']);
    expect(bench.own).toContain('local ip fallback');
  });
});

describe('failures that hang, each with its line', () => {
  const nth = (op: number, k: number, reply: ReturnType<Override>): Override => {
    let seen = 0;
    return (request) => {
      if (request.op !== op) return null;
      seen += 1;
      return seen === k ? reply : null;
    };
  };
  const cut = (k: number): Override => nth(Op.READ, k, readAnswer(new Uint8Array(1)));
  const garbled = (k: number, n: number): Override => nth(Op.READ, k, readAnswer(new Uint8Array(n)));
  const announce = (port: number, key: number = KeyTag.NODE_B_STATIC): Override => {
    const staticKey = publicKeyOf(testSecret(key, PORT_B), new CryptoMeter(() => undefined));
    const packet = encodeAnnounce({ deviceId: 'node-b', port, staticKey, services: [] }) as Uint8Array;
    return (request) => {
      if (request.op !== Op.UDP_RECV_FROM) return null;
      const body = new Uint8Array(8 + packet.length);
      body.set([packet.length, 0, 10, 0, 2, 77]);
      body.set(packet, 8);
      return { status: Status.OK, body };
    };
  };
  const cases: readonly (readonly [string, Override, string, number?])[] = [
    ['second LISTEN', refuse(Op.LISTEN, Status.IO, (r) => 'port' in r && r.port === PORT_B), 'listen port_b FAIL'],
    ['CONNECT', refuse(Op.CONNECT, Status.IO), 'dual-node connect FAIL'],
    ['no answer to CONNECT', nth(Op.CONNECT, 1, 'silent'), 'dual-node connect FAIL', 0.7],
    ['ACCEPT', nth(Op.ACCEPT, 1, answer(Status.NOT_FOUND)), 'dual-node connect FAIL'],
    ['another key announced', announce(PORT_B, KeyTag.NODE_A_STATIC), 'identity mismatch peer=node-b'],
    ['message 1 not written', nth(Op.WRITE, 1, answer(Status.IO)), 'dual-node msg1 write FAIL'],
    ['message 1 cut', cut(1), 'dual-node msg1 read FAIL'],
    ['message 2 not written', nth(Op.WRITE, 2, answer(Status.IO)), 'dual-node msg2 write FAIL'],
    ['message 2 cut', cut(2), 'dual-node msg2 read FAIL'],
    ['message 2 garbled', garbled(2, 96), 'dual-node msg3 gen FAIL'],
    ['message 3 not written', nth(Op.WRITE, 3, answer(Status.IO)), 'dual-node msg3 write FAIL'],
    ['message 3 cut', cut(3), 'dual-node msg3 read FAIL'],
    ['message 3 garbled', garbled(3, 64), 'dual-node handshake FAIL'],
  ];
  for (const [title, override, line, seconds = 0.1] of cases) {
    it(title, () => {
      const bench = new Bench(override).run(seconds);
      expect(bench.own.at(-1)).toBe(line);
      expect(bench.exited).toBe(false);
    });
  }

  it('a peer that announces another port is told as BAD and dialled at the address it was heard from', () => {
    const bench = new Bench(announce(4000)).run(0.1);
    expect(bench.own.slice(11)).toEqual([
      'session connect peer=node-b',
      'connect portB BAD',
      'connect ip loopback BAD',
    ]);
    const dialled = bench.net.requests.find((request) => request.op === Op.CONNECT);
    expect(dialled).toMatchObject({ ip: ipv4(10, 0, 2, 77), port: 4000 });
  });

  it('UDP_BIND: 500 tries, one line for the first failure, one for the end', () => {
    const bench = new Bench(refuse(Op.UDP_BIND, Status.IO)).run(20);
    expect(bench.own.slice(5)).toEqual(['udp bind begin', 'udp bind FAIL', 'udp bind rpc timeout']);
    expect(bench.asked.filter((op) => op === 'UDP_BIND')).toHaveLength(500);
  });

  it('a first UDP_BIND without answer is told, the next one serves', () => {
    const bench = new Bench(nth(Op.UDP_BIND, 1, 'silent')).run(0.62);
    expect(bench.own.slice(5, 8)).toEqual(['udp bind begin', 'udp bind rpc err', 'udp bind ok']);
    expect(bench.own).toContain('ready');
  });

  it('receive statuses while discovering have lines of their own, every time', () => {
    const status = [Status.MALFORMED, Status.IO, Status.IO, Status.WOULD_BLOCK];
    const bench = new Bench((request) =>
      request.op === Op.UDP_RECV_FROM && status.length > 0 ? answer(status.shift()!) : null,
    ).run(0.1);
    expect(bench.own.slice(8, 13)).toEqual([
      'discovery announce sent',
      'udp recv MALFORMED',
      'udp recv FAIL',
      'udp recv FAIL',
      'discovery peer found device=local',
    ]);
  });
});

describe('a call without answer ends the service where the sheet says so', () => {
  const silentFrom =
    (op: number, port = 0): Override =>
    (request) =>
      request.op === op && (port === 0 || ('port' in request && request.port === port)) ? 'silent' : null;
  const cases: readonly (readonly [string, Override])[] = [
    ['UDP_RECV_FROM', silentFrom(Op.UDP_RECV_FROM)],
    ['first LISTEN', silentFrom(Op.LISTEN, PORT_A)],
    ['second LISTEN', silentFrom(Op.LISTEN, PORT_B)],
    ['ACCEPT of the client', (r) => (r.op === Op.ACCEPT && r.listener === 1 ? 'silent' : null)],
  ];
  for (const [title, override] of cases) {
    it(title, () => {
      expect(new Bench(override).run(5).exited).toBe(true);
    });
  }

  it('a listener that is gone is a silent hang', () => {
    const bench = new Bench((r) => (r.op === Op.ACCEPT && r.listener === 1 ? answer(Status.IO) : null)).run(0.1);
    expect(bench.own.at(-1)).toBe('ready');
    expect(bench.exited).toBe(false);
  });

  it('after 50,000 ACCEPTs in vain it gives up silently', () => {
    const bench = new Bench();
    runUntil(bench.bare.kernel, 60 * S, 3_000_000);
    expect(bench.asked.filter((op) => op === 'ACCEPT')).toHaveLength(50_001);
    expect(bench.own.at(-1)).toBe('ready');
  });
});

describe('the session of the selftest', () => {
  const clientReads = (bytes: Uint8Array, k: number): Override => {
    let seen = 0;
    return (request) => {
      if (request.op !== Op.READ || request.stream !== 4 || request.nonce === null) return null;
      seen += 1;
      return seen === k ? readAnswer(bytes) : null;
    };
  };
  const asServer = (override: Override): Bench => {
    // The client is a stream that the test fills: it connects by itself.
    let accepted = false;
    return new Bench((request, n) => {
      if (request.op === Op.ACCEPT && request.listener === 1 && !accepted) {
        accepted = true;
        return handleAnswer(4);
      }
      return override(request, n);
    });
  };

  it.each([
    [31, 1, 'noise msg1 read FAIL'],
    [32, 1, 'noise msg2 write FAIL'],
  ])('a first message of %i bytes on a stream that is gone: %s', (n, k, line) => {
    const bench = asServer(clientReads(new Uint8Array(n).fill(9), k)).run(0.1);
    expect(bench.own.at(-1)).toBe(line);
  });

  it.each([
    [63, 'noise msg3 read FAIL'],
    [64, 'noise msg3 FAIL'],
  ])('a last message of %i bytes: %s', (n, line) => {
    let reads = 0;
    const bench = asServer((request) => {
      if (request.op === Op.WRITE && request.stream === 4) return { status: Status.OK, body: Uint8Array.of(96, 0) };
      if (request.op !== Op.READ || request.stream !== 4) return null;
      reads += 1;
      return readAnswer(new Uint8Array(reads === 1 ? 32 : n).fill(9));
    }).run(0.1);
    expect(bench.own.at(-1)).toBe(line);
  });

  it('no dsoftbusd to connect to: both lines fail', () => {
    const bench = new Bench((request) =>
      request.op === Op.CONNECT && request.nonce === null ? answer(Status.IO) : null,
    )
      .client()
      .run();
    expect(bench.lines.filter((line) => line.startsWith('SELFTEST'))).toEqual([
      'SELFTEST: dsoftbus os connect FAIL',
      'SELFTEST: dsoftbus ping FAIL',
    ]);
  });

  it('another server key: the client refuses message 2', () => {
    const bench = new Bench((request) =>
      request.op === Op.READ && request.nonce === null && request.max === 96
        ? readAnswer(new Uint8Array(96).fill(1))
        : null,
    )
      .client()
      .run();
    expect(bench.lines).toContain('SELFTEST: dsoftbus os connect FAIL');
    expect(bench.own).not.toContain('auth ok');
  });
});
