import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Sys } from '../../kernel-model/sys.ts';
import { IPV4_ANY, ipv4 } from '../../sim/net/address.ts';
import type { Call } from '../lib/ipc.ts';
import { ask, ClientSlot, NetWorld } from './fixtures/net-board.ts';
import type { NetWorldOptions } from './fixtures/net-board.ts';
import { NETSTACKD_REFERENCE } from './options.ts';
import { Prng } from './prng.ts';
import { decodeResponse, encodeRequest, Op, port } from './wire.ts';
import type { FacadeRequest, Handle } from './wire.ts';

const SECOND = 1_000_000_000;
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Frames netstackd has sent, as hex. */
function sent(world: NetWorld): string[] {
  return packets(world, 'tx');
}

function packets(world: NetWorld, dir: 'tx' | 'rx'): string[] {
  return world.machine.events.flatMap((event) =>
    event.kind === 'packet' && event.dir === dir ? [text(event.bytes)] : [],
  );
}

const UP = ['netstackd: ready', 'net: virtio-net up', 'SELFTEST: net iface ok'];
const BOUND = [
  'net: virtio tx reclaim',
  'net: dhcp event configured',
  'net: dhcp bound 10.0.2.15/24 gw=10.0.2.2',
  'net: smoltcp iface up 10.0.2.15',
  'SELFTEST: net ping ok',
];
const FACADE = ['SELFTEST: net tcp listen ok', 'netstackd: facade up', 'netstackd: svc slots 5/6'];

describe('start-up on kernel, card and user network (sheet 70, section 4)', () => {
  it('the lines of the reference run, in its order', () => {
    const world = new NetWorld({ netstackd: NETSTACKD_REFERENCE, networkOptions: { dns: 'foreign-late' } });
    world.run(3 * SECOND);
    expect(world.lines).toEqual([
      ...UP,
      ...BOUND,
      'netstackd: udp dns unavailable (fallback dhcp proof)',
      'SELFTEST: net udp dns ok',
      ...FACADE,
    ]);
  });

  it('quirk dns-unchecked, contract: the DNS marker comes from an answer', () => {
    const world = new NetWorld();
    world.run(3 * SECOND);
    expect(world.lines).toEqual([...UP, ...BOUND, 'SELFTEST: net udp dns ok', ...FACADE]);
    const answers = packets(world, 'rx').filter((frame) => frame.slice(84).startsWith('1234'));
    expect(answers.length).toBeGreaterThan(0);
  });

  it('quirk dns-unchecked, contract: an answer without an address is none', () => {
    const world = new NetWorld({ networkOptions: { dns: 'answer', names: [] } });
    world.run(5 * SECOND);
    const answers = packets(world, 'rx').filter((frame) => frame.slice(84).startsWith('1234'));
    expect(answers.length).toBeGreaterThan(0);
    expect(world.lines).toEqual([
      ...UP,
      ...BOUND,
      'netstackd: udp dns rx other',
      'netstackd: udp dns unavailable (fallback dhcp proof)',
      ...FACADE,
    ]);
  });

  it('quirk dns-unchecked, contract: no answer, no marker', () => {
    const world = new NetWorld({ networkOptions: { dns: 'foreign-late', names: [] } });
    world.run(1 * SECOND);
    expect(world.lines).not.toContain('SELFTEST: net udp dns ok');
    world.run(5 * SECOND);
    expect(world.lines.slice(8)).toContain('netstackd: udp dns unavailable (fallback dhcp proof)');
    expect(world.lines).not.toContain('SELFTEST: net udp dns ok');
    expect(world.lines.slice(-3)).toEqual(FACADE);
  });

  it('sends DISCOVER, REQUEST, ARP and the echo request of the sheet', () => {
    const world = new NetWorld();
    world.run(1 * SECOND);
    const [discover, request, arp, echo] = sent(world);
    expect(discover).toMatch(dhcpFrame('780a1fde', '3501013d0701525400123456' + '3902058a' + '3703010306' + 'ff', 290));
    expect(request).toMatch(
      dhcpFrame('2043e7ee', '3501033d0701525400123456' + '36040a00020232040a00020f' + '3902058a3703010306ff', 302),
    );
    expect(arp).toBe(`ffffffffffff525400123456080600010800060400015254001234560a00020f0000000000000a000202`);
    expect(echo).toMatch(/^52550a00020252540012345608004500002c00004000/u);
    expect(echo).toHaveLength(2 * 58);
    expect(echo!.slice(2 * 34)).toMatch(new RegExp(`^0800....12340001${'00'.repeat(16)}$`, 'u'));
  });

  it('the four queued DNS queries leave at once when the silence after the ping ends', () => {
    const world = new NetWorld({ netstackd: NETSTACKD_REFERENCE, networkOptions: { dns: 'foreign-late' } });
    world.run(3 * SECOND);
    const dns = world.machine.events.filter(
      (event) => event.kind === 'packet' && event.dir === 'tx' && text(event.bytes).slice(72, 76) === '0035',
    );
    expect(dns.map((event) => event.kind === 'packet' && text(event.bytes).slice(60, 68))).toEqual([
      '0a000203',
      '0a000202',
      '0a000203',
      '0a000202',
    ]);
    const times = new Set(dns.map((event) => Math.floor(event.t / 100_000)));
    expect(times.size).toBe(1);
    const arp = world.machine.events.find((event) => event.kind === 'packet' && event.bytes[13] === 6);
    expect(dns[0]!.t - arp!.t).toBeGreaterThan(SECOND);
  });

  it('nobody answers: fallback after 30,000 polls with four DISCOVERs, no ping, no DNS', () => {
    const world = new NetWorld({ network: 'silent' });
    world.run(10 * SECOND);
    expect(world.lines).toEqual([
      ...UP,
      'net: dhcp event deconfigured',
      'net: virtio tx reclaim',
      'net: dhcp timeout (fallback static)',
      'net: dhcp unavailable (fallback static 10.0.2.15/24)',
      'net: smoltcp iface up 10.0.2.15',
      ...FACADE,
    ]);
    // At poll times 0, 10,000, 20,000 and 30,000. Every poll draws a number, one that sends draws two.
    const prng = new Prng();
    const draws = (count: number): number => {
      prng.skip(count - 1);
      return prng.next();
    };
    const ids = [draws(2), draws(10_001), draws(10_001), draws(10_001)].map((id) => id.toString(16).padStart(8, '0'));
    expect(sent(world).map((frame) => frame.slice(92, 100))).toEqual(ids);
  });

  it('without the smoke build: 4,000 polls, fallback from the MAC address', () => {
    for (const [last, host] of [
      [0x0a, 10],
      [0x56, 86],
      [0, 1],
    ] as const) {
      const mac = [0x52, 0x54, 0, 0x12, 0x34, last];
      const world = new NetWorld({ network: 'silent', mac, netstackd: { smoke: false } });
      world.run(2 * SECOND);
      expect(world.lines.slice(3)).toEqual([
        'net: dhcp event deconfigured',
        'net: dhcp timeout (fallback static)',
        `net: dhcp unavailable (fallback static 10.42.0.${host}/24)`,
        `net: smoltcp iface up 10.42.0.${host}`,
        ...FACADE,
      ]);
      expect(sent(world).length).toBeLessThanOrEqual(2);
    }
  });

  it('answers that take time: the deconfigured event shows, the lease comes in a later poll', () => {
    const latency = { minNs: 100_000, maxNs: 300_000 };
    const world = new NetWorld({ networkOptions: { latency } });
    world.run(5 * SECOND);
    expect(world.lines).toEqual([
      ...UP,
      'net: dhcp event deconfigured',
      ...BOUND,
      'SELFTEST: net udp dns ok',
      ...FACADE,
    ]);
  });

  it('a window that is never granted: the cause after 20 s, then silence', () => {
    const world = new NetWorld({ granted: false });
    world.run(30 * SECOND);
    expect(world.lines).toEqual(['netstackd: ready', 'netstackd: mmio cap48 missing', 'netstackd: net FAIL mmio-map']);
  });

  it.each([
    [0x000, 'unsupported'],
    [0x008, 'unsupported'],
    [0x004, 'virtio-probe'],
    [0x034, 'internal'],
  ])('register %i reads 0: net FAIL %s', (register, cause) => {
    const world = new NetWorld();
    world.overrides.set(register, () => 0);
    world.run(30 * SECOND);
    expect(world.lines).toEqual(['netstackd: ready', 'netstackd: mmio cap48 present', `netstackd: net FAIL ${cause}`]);
  });

  it('features refused: net FAIL virtio-features, the device is given up', () => {
    const world = new NetWorld();
    world.overrides.set(0x070, (real) => real & ~8);
    world.run(30 * SECOND);
    expect(world.lines.at(-1)).toBe('netstackd: net FAIL virtio-features');
    expect(world.registers.at(-1)).toBe('W070=83');
  });

  it('register order of the driver (sheet 05, section 14.2)', () => {
    const world = new NetWorld();
    world.run(SECOND / 10);
    const queue = (q: number): string[] => [
      `W030=${q}`,
      'R034',
      'W038=8',
      'R004',
      'W080',
      'W084',
      'W090',
      'W094',
      'W0a0',
      'W0a4',
      'W044=1',
    ];
    const expected = [
      ...['R000', 'R008', 'R000', 'R004', 'R008', 'R00c', 'W070=0', 'W070=3', 'W014=0', 'R010', 'W014=1', 'R010'],
      ...['W024=0', 'W020=8020', 'W024=1', 'W020=1', 'R070', 'W070=b', 'R070'],
      ...queue(0),
      ...queue(1),
      ...['R100', 'R104', 'R060', 'W050=0', 'R070', 'W070=f', 'W050=0'],
    ];
    const ring = /^(W0[89a][04])=.*$/u;
    expect(world.registers.slice(0, expected.length).map((access) => access.replace(ring, '$1'))).toEqual(expected);
  });

  it('the VMOs take slots 3 and 4, so wiring lands on 5 and 6', () => {
    const world = new NetWorld();
    world.run(SECOND);
    const kinds = [3, 4, 5, 6].map((slot) => world.netstackd.caps.get(slot)?.kind);
    expect(kinds).toEqual(['vmo', 'vmo', 'endpoint', 'endpoint']);
  });
});

/** Skipping must not show in lines, packets or clock (design, decision 3). */
describe('skipped waiting', () => {
  const settings: readonly (readonly [string, NetWorldOptions, number])[] = [
    ['reference', { netstackd: NETSTACKD_REFERENCE, networkOptions: { dns: 'foreign-late' } }, 2 * SECOND],
    ['contract', { networkOptions: { latency: { minNs: 100_000, maxNs: 2_000_000 } } }, 2 * SECOND],
    ['silent', { network: 'silent' }, SECOND / 2],
  ];
  it.each(settings)('%s: same lines, packets and times with skipping on and off', (_, options, until) => {
    const [on, off] = [true, false].map((skipPolls) => {
      const world = new NetWorld({ ...options, skipPolls });
      const answers: string[] = [];
      world.client(function* body(sys: Sys): Call<void> {
        // Address, ping of nobody, a refused connection: once at the start, and again half a second later.
        for (let i = 0; i < 2; i++) {
          for (const frame of ['4e53010a', '4e530109 0a000209 0b00', '4e530103 0a000202 5000', '4e53010c 01000000']) {
            answers.push(text(yield* ask(sys, hex(frame))));
          }
          const poll = sys.beginPoll();
          poll.deadline = until - SECOND / 2;
          poll.clockEvery = 4;
          yield sys.runPoll();
        }
      });
      world.run(until);
      const times = world.machine.events.filter((event) => event.kind === 'packet').map((event) => event.t);
      return { lines: world.lines, sent: sent(world), times, answers, now: world.machine.kernel.clock.now };
    });
    expect(on).toEqual(off);
  });

  it('an idle hour of a bound interface takes few steps', () => {
    const world = new NetWorld();
    world.run(3 * SECOND);
    const before = world.registers.length;
    world.run(3600 * SECOND);
    expect(world.machine.kernel.clock.now).toBeGreaterThanOrEqual(3600 * SECOND);
    expect(world.registers.length - before).toBeLessThan(10);
  });

  it('without a server the facade sends a DISCOVER every 10 s of poll time, which begins at 40 s', () => {
    const world = new NetWorld({ network: 'silent' });
    world.run(5 * SECOND);
    const before = sent(world).length;
    world.run(105 * SECOND);
    expect(sent(world).length - before).toBe(7);
  });
});

describe('facade on the kernel (sheet 70, section 6)', () => {
  const handle = (id: number): Handle => id as Handle;
  const LOOP = ipv4(10, 0, 2, 15);

  function answers(world: NetWorld, requests: readonly (FacadeRequest | Uint8Array)[]): string[] {
    const got: string[] = [];
    world.client(function* body(sys: Sys): Call<void> {
      for (const request of requests) {
        const frame = request instanceof Uint8Array ? request : encodeRequest(request);
        got.push(text(yield* ask(sys, frame)));
      }
    });
    world.run(8 * SECOND);
    return got;
  }

  it('dsoftbusd and the selftest: bind, datagram, listen, connect, accept, bytes', () => {
    const world = new NetWorld();
    const nonce = hex('0102030405060708');
    const got = answers(world, [
      { op: Op.LOCAL_ADDR, nonce: null },
      { op: Op.LOCAL_ADDR, nonce },
      { op: Op.UDP_BIND, ip: IPV4_ANY, port: port(37_020), nonce },
      { op: Op.UDP_SEND_TO, udp: handle(1), ip: LOOP, port: port(37_020), data: hex('aabb'), nonce },
      { op: Op.UDP_RECV_FROM, udp: handle(1), max: 256, nonce: null },
      { op: Op.LISTEN, ip: null, port: port(34_567), nonce },
      { op: Op.LISTEN, ip: null, port: port(34_568), nonce: null },
      { op: Op.CONNECT, ip: LOOP, port: port(34_568), nonce: null },
      { op: Op.ACCEPT, listener: handle(2), nonce: null },
      { op: Op.ACCEPT, listener: handle(2), nonce: null },
      { op: Op.WRITE, stream: handle(1), data: hex('50494e47'), nonce: null },
      { op: Op.READ, stream: handle(2), max: 4, nonce: null },
      { op: Op.READ, stream: handle(2), max: 4, nonce: null },
      hex('4e530109 0a000202 b80b'),
      hex('62'),
      hex('4e5301 20'),
      hex('4e5301 0a ff'),
    ]);
    expect(got).toEqual([
      '4e53018a000a00020f18',
      '4e53018a000a00020f180102030405060708',
      '4e53018600010000000102030405060708',
      '4e5301870002000102030405060708',
      '4e5301880002000a00020f9c90aabb',
      '4e53018100010000000102030405060708',
      '4e53018100' + '02000000',
      '4e53018300' + '01000000',
      '4e53018200' + '02000000',
      '4e53018203',
      '4e53018500' + '0400',
      '4e53018400' + '0400' + '50494e47',
      '4e53018403',
      '4e53018900' + '0100',
      '4e53018002',
      '4e5301a002',
      '4e53018a02',
    ]);
    expect(world.lines.slice(world.lines.indexOf('netstackd: svc slots 5/6') + 1)).toEqual([
      'netstackd: first ipc recv',
      'netstackd: rpc local_addr',
      'netstackd: rpc udp bind',
      'netstackd: rpc listen',
      'dbg:netstackd: listen mode loopback',
      'netstackd: rpc listen ok',
      'netstackd: rpc listen',
      'netstackd: rpc listen ok',
      'netstackd: rpc connect loopback ok',
    ]);
  });

  it('a ping to nobody times out after its polls; 0 ms always', () => {
    const world = new NetWorld();
    expect(answers(world, [hex('4e530109 0a000209 b80b'), hex('4e530109 0a000202 0000')])).toEqual([
      '4e53018905',
      '4e53018905',
    ]);
  });

  it.each([false, true])('error-drops-nonce %s: a WRITE to a closed peer', (errorDropsNonce) => {
    const world = new NetWorld({ netstackd: { errorDropsNonce } });
    const nonce = hex('1112131415161718');
    const got = answers(world, [
      { op: Op.CONNECT, ip: LOOP, port: port(34_567), nonce: null },
      { op: Op.CLOSE, stream: handle(2), nonce: null },
      { op: Op.CLOSE, stream: handle(2), nonce: null },
      { op: Op.WRITE, stream: handle(1), data: hex('00'), nonce },
    ]);
    expect(got).toEqual([
      '4e5301830001000000',
      '4e53018b00',
      '4e53018b01',
      errorDropsNonce ? '4e53018504' : '4e5301850411' + '12131415161718',
    ]);
  });

  it.each([
    [8192, '00' + '8000'],
    [512, '02'],
  ])('receive-cut: a WRITE of 600 bytes into %i bytes', (receiveMax, rest) => {
    const world = new NetWorld({ netstackd: { receiveMax } });
    const got = answers(world, [
      { op: Op.CONNECT, ip: LOOP, port: port(34_567), nonce: null },
      { op: Op.WRITE, stream: handle(1), data: new Uint8Array(600), nonce: null },
    ]);
    expect(got[1]).toBe(`4e530185${rest}`);
  });

  it('a datagram to the wire: 1500 bytes to an address and a port; more, 0.0.0.0 or port 0 is IO', () => {
    const to = (ip: number, to: number, size: number): FacadeRequest => ({
      op: Op.UDP_SEND_TO,
      udp: handle(1),
      ip: ip as typeof LOOP,
      port: port(to),
      data: new Uint8Array(size),
      nonce: null,
    });
    const gateway = ipv4(10, 0, 2, 2);
    expect(
      answers(new NetWorld(), [
        { op: Op.UDP_BIND, ip: null, port: port(5000), nonce: null },
        to(gateway, 9, 1501),
        to(IPV4_ANY, 9, 1),
        to(gateway, 0, 1),
        to(gateway, 9, 1500),
        to(gateway, 9, 1),
      ]),
    ).toEqual(['4e5301860001000000', '4e53018704', '4e53018704', '4e53018704', '4e53018700dc05', '4e530187000100']);
  });

  it('a refused TCP connection: OK at once, then IO', () => {
    const world = new NetWorld();
    const got = answers(world, [
      { op: Op.CONNECT, ip: ipv4(10, 0, 2, 2), port: port(80), nonce: null },
      { op: Op.WAIT_WRITABLE, stream: handle(1), nonce: null },
      { op: Op.READ, stream: handle(1), max: 10, nonce: null },
      { op: Op.CONNECT, ip: ipv4(10, 0, 2, 2), port: port(0), nonce: null },
      { op: Op.LISTEN, ip: null, port: port(0), nonce: null },
      { op: Op.ACCEPT, listener: handle(9), nonce: null },
    ]);
    expect(got).toEqual(['4e5301830001000000', '4e53018c03', '4e53018404', '4e53018304', '4e53018104', '4e53018201']);
    const after = world.lines.slice(world.lines.indexOf('netstackd: first ipc recv') + 1);
    expect(after).toEqual([
      'dbg:netstackd: connect kick would-block',
      'netstackd: rpc connect ok',
      'netstackd: rpc listen',
      'dbg:netstackd: listen mode tcp',
      'netstackd: rpc listen FAIL',
    ]);
  });

  it.each([
    [true, ['9c96', '9c96']],
    [false, ['9c96', '9c97']],
  ])('quirk connect-port-reuse, both: %s: local ports of two connections', (connectPortReuse, ports) => {
    const world = new NetWorld({ netstackd: { connectPortReuse } });
    const connect: FacadeRequest = { op: Op.CONNECT, ip: ipv4(10, 0, 2, 2), port: port(80), nonce: null };
    answers(world, [connect, connect]);
    const syns = sent(world).filter((frame) => frame.slice(46, 48) === '06');
    expect(syns.map((frame) => frame.slice(68, 72))).toEqual(ports);
  });

  it('connections exhaust the heap: two lines, exit -1', () => {
    const world = new NetWorld();
    const connect: FacadeRequest = { op: Op.CONNECT, ip: ipv4(10, 0, 2, 2), port: port(80), nonce: null };
    const got = answers(world, Array<FacadeRequest>(30).fill(connect));
    expect(got).toHaveLength(22);
    expect(world.lines.slice(-2)[0]).toMatch(
      /^alloc-fail svc=netstackd site=alloc_zeroed size=0x0000000000002000 align=0x0000000000000001 heap_start=0x[0-9a-f]{16} heap_end=0x[0-9a-f]{16} cur_before=0x[0-9a-f]{16} cur_after=0x[0-9a-f]{16}$/u,
    );
    expect(world.lines.at(-1)).toBe('alloc_error svc=netstackd size=0x0000000000002000 align=0x0000000000000001');
    expect(world.netstackd.exitCode).toBe(-1);
  });

  it('a request without a moved capability is executed and not answered', () => {
    const world = new NetWorld();
    const bind = encodeRequest({ op: Op.UDP_BIND, ip: null, port: port(37_020), nonce: null });
    const receive = encodeRequest({ op: Op.UDP_RECV_FROM, udp: handle(1), max: 1, nonce: null });
    let answer: Uint8Array = hex('');
    world.client(function* body(sys: Sys): Call<void> {
      yield sys.send(ClientSlot.NETSTACKD, bind);
      answer = yield* ask(sys, receive);
    });
    world.run(4 * SECOND);
    expect(decodeResponse(answer, Op.UDP_RECV_FROM)).toEqual({ status: 3, body: hex('') });
    expect(world.lines.slice(-2)).toEqual(['netstackd: rpc udp bind', 'netstackd: udp bind missing reply cap']);
  });
});

describe('any input on the kernel', () => {
  it('whatever clients send, each request has one answer of the facade', () => {
    const op = fc.nat({ max: 14 });
    const small = fc.nat({ max: 4 });
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 700 }),
      fc
        .tuple(op, small, fc.constantFrom(6, 8, 10, 12, 14, 16, 18), fc.uint8Array({ minLength: 18, maxLength: 18 }))
        .map(([code, id, length, rest]) =>
          Uint8Array.of(0x4e, 0x53, 1, code, id, 0, 0, 0, ...rest).subarray(0, length),
        ),
    );
    fc.assert(
      fc.property(fc.array(frame, { minLength: 60, maxLength: 60 }), (frames) => {
        const world = new NetWorld();
        const answers: Uint8Array[] = [];
        world.client(function* body(sys: Sys): Call<void> {
          for (const request of frames) answers.push(yield* ask(sys, request));
        });
        world.run(400 * SECOND);
        expect(answers).toHaveLength(frames.length);
        for (const answer of answers) expect(text(answer)).toMatch(/^4e5301[89a-f].0[0-5]/u);
      }),
      { seed: 20240, numRuns: 8 },
    );
  });

  it('whatever comes over the wire, the facade goes on', () => {
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 2048 }),
      fc.uint8Array({ maxLength: 8192, minLength: 4000 }),
      fc.uint8Array({ maxLength: 90 }).map((rest) => Uint8Array.of(255, 255, 255, 255, 255, 255, ...rest)),
    );
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), (frames) => {
        const world = new NetWorld();
        let answer = '';
        frames.forEach((bytes, i) => {
          world.machine.kernel.clock.schedule((100 + 60 * i) * 1_000_000, () => world.card.deliver(bytes));
        });
        world.client(function* body(sys: Sys): Call<void> {
          const poll = sys.beginPoll();
          poll.deadline = 4 * SECOND;
          poll.clockEvery = 1;
          yield sys.runPoll();
          answer = text(yield* ask(sys, hex('4e53010a')));
        });
        world.run(6 * SECOND);
        expect(answer).toBe('4e53018a000a00020f18');
        expect(world.card.backlog).toBe(0);
      }),
      { seed: 20240, numRuns: 10 },
    );
  });
});

/** A DHCP message of the client; the checksums are left open. */
function dhcpFrame(xid: string, options: string, total: number): RegExp {
  const head = `ffffffffffff52540012345608004500${total.toString(16).padStart(4, '0')}000040004011....00000000ffffffff`;
  const udp = `00440043${(total - 20).toString(16).padStart(4, '0')}....`;
  const bootp = `01010600${xid}${'00'.repeat(20)}525400123456${'00'.repeat(10)}${'00'.repeat(192)}63825363${options}`;
  return new RegExp(`^${head}${udp}${bootp}$`, 'u');
}
