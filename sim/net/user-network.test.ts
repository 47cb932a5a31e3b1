import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Clock } from '../clock.ts';
import { Trace } from '../trace.ts';
import type { TraceEvent } from '../trace.ts';
import { MAC_BROADCAST, MAC_ZERO, formatIpv4, ipv4, macOf } from './address.ts';
import type { Ipv4 } from './address.ts';
import { ArpOp, encodeArp } from './arp.ts';
import { decodeDns, encodeDns } from './dns.ts';
import type { DnsMessage } from './dns.ts';
import { decodeEthernet, encodeEthernet } from './ethernet.ts';
import { decodeIcmp } from './icmp.ts';
import { decodeIpv4, encodeIpv4, ipv4Packet } from './ipv4.ts';
import { DEFAULT_NETWORK } from './network.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { decodeUdp, encodeUdp } from './udp.ts';
import { HOST_TURN_NS, RESOLVER_NS, RESOLVER_PENDING_MAX } from './udp-relay.ts';
import { FOREIGN_RESOLVER, USER_DNS, USER_FIRST_LEASE, USER_GATEWAY, USER_MAC } from './user-addresses.ts';
import { UserNetwork } from './user-network.ts';
import type { UserNetworkOptions } from './user-network.ts';
import { USER_NETWORK_VECTORS } from './fixtures/user-network-answers.ts';

const GUEST_MAC = macOf([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
/** localhost A (sheet 70, section 4). */
const QUERY = unhex('12340100000100000000000009' + '6c6f63616c686f7374' + '0000010001');

function setUp(options: Partial<UserNetworkOptions> = {}) {
  const clock = new Clock();
  const trace = new Trace(clock);
  const events: TraceEvent[] = [];
  trace.listen((event) => events.push(event));
  const got: Uint8Array[] = [];
  const network = new UserNetwork(
    { dns: DEFAULT_NETWORK.dns, names: DEFAULT_NETWORK.names, ...options },
    { clock, trace, deliver: (frame) => got.push(frame) },
  );
  const run = (ns: number) => {
    clock.advance(ns);
    clock.runDue();
  };
  const ask = (frame: Uint8Array) => {
    network.transmit(frame);
    run(HOST_TURN_NS);
    return got.splice(0);
  };
  return { clock, events, got, network, run, ask };
}

function arp(op: number, targetIp: Ipv4, senderIp = USER_FIRST_LEASE): Uint8Array {
  const payload = encodeArp({ op, senderMac: GUEST_MAC, senderIp, targetMac: MAC_ZERO, targetIp });
  return encodeEthernet({ dst: MAC_BROADCAST, src: GUEST_MAC, type: 0x0806, payload });
}

function udp(dst: Ipv4, dstPort: number, payload: Uint8Array, srcPort = 40_000): Uint8Array {
  const src = USER_FIRST_LEASE;
  const datagram = encodeUdp({ srcPort, dstPort, payload }, src, dst);
  const packet = ipv4Packet({ src, dst, protocol: 17, ttl: 64, dontFragment: true, payload: datagram });
  return encodeEthernet({ dst: USER_MAC, src: GUEST_MAC, type: 0x0800, payload: encodeIpv4(packet) });
}

/** An answer as one line: source, protocol, and what matters of it. */
function show(frame: Uint8Array): string {
  const ethernet = decodeEthernet(frame);
  if (typeof ethernet === 'string' || ethernet.type !== 0x0800) return hex(frame);
  const packet = decodeIpv4(ethernet.payload);
  if (typeof packet === 'string') return packet;
  const from = `${packet.ident} ${formatIpv4(packet.src)}`;
  if (packet.protocol === 17) {
    const datagram = decodeUdp(packet.payload, packet.src, packet.dst);
    if (typeof datagram === 'string') return datagram;
    return `${from} udp ${datagram.srcPort}>${datagram.dstPort} ${hex(datagram.payload)}`;
  }
  const message = decodeIcmp(packet.payload);
  if (typeof message === 'string') return message;
  if (message.kind !== 'destination-unreachable') return `${from} ${message.kind}`;
  const about = decodeIpv4(message.original);
  return `${from} unreachable ${message.code} about ${typeof about === 'string' ? about : formatIpv4(about.dst)}`;
}

function answerOf(frames: readonly Uint8Array[]): DnsMessage {
  expect(frames).toHaveLength(1);
  const packet = decodeIpv4(frames[0]!.subarray(14));
  if (typeof packet === 'string') throw new Error(packet);
  expect(packet.src).toBe(USER_DNS);
  const datagram = decodeUdp(packet.payload, packet.src, packet.dst);
  if (typeof datagram === 'string') throw new Error(datagram);
  const message = decodeDns(datagram.payload);
  if (typeof message === 'string') throw new Error(message);
  return message;
}

describe.each(USER_NETWORK_VECTORS)('as the library behind QEMU answered: $name', ({ steps }) => {
  it('frame by frame, byte by byte', () => {
    const { ask } = setUp();
    for (const { name, frame, answers } of steps) {
      expect([name, ask(unhex(frame)).map(hex)]).toEqual([name, answers.map((answer) => hex(unhex(answer)))]);
    }
  });
});

describe('vectors of the sheets', () => {
  it('the ARP reply of sheet 05, section 14.3', () => {
    const { ask } = setUp();
    const reply =
      '52540012345652550a0002020806000108000604000252550a0002020a0002025254001234560a00020f' + '00'.repeat(22);
    expect(ask(arp(ArpOp.REQUEST, USER_GATEWAY)).map(hex)).toEqual([reply]);
  });

  it('OFFER comes inside the transmission of DISCOVER, 590 bytes with the options in order', () => {
    const { network, got } = setUp();
    network.transmit(unhex(USER_NETWORK_VECTORS[0]!.steps[0]!.frame));
    expect(got).toHaveLength(1);
    const offer = got[0]!;
    expect(offer).toHaveLength(590);
    expect(hex(offer.subarray(0, 42))).toBe(
      'ffffffffffff52550a0002020800' + '451002400000000040116c9c0a000202ffffffff' + '00430044022c2389',
    );
    expect(hex(offer.subarray(42, 70))).toBe('02010600780a1fde00000000000000000a00020f0a00020200000000');
    expect(hex(offer.subarray(278, 316))).toBe(
      '63825363' + '350102' + '36040a000202' + '0104ffffff00' + '03040a000202' + '06040a000203' + '330400015180' + 'ff',
    );
    expect(offer.subarray(316).every((byte) => byte === 0)).toBe(true);
  });
});

describe('DNS', () => {
  it('answer: from the address that was asked, at once, id echoed, one A record', () => {
    const { network, got, ask } = setUp();
    ask(arp(ArpOp.REQUEST, USER_GATEWAY));
    network.transmit(udp(USER_DNS, 53, QUERY));
    expect(answerOf(got)).toMatchObject({
      id: 0x1234,
      response: true,
      rcode: 0,
      questions: [{ name: ['localhost'], type: 1, class: 1 }],
      answers: [{ name: ['localhost'], type: 1, class: 1, data: Uint8Array.of(127, 0, 0, 1) }],
    });
  });

  it('answer: the resolver of 10.0.2.2 is the host, where nobody listens', () => {
    const { ask } = setUp();
    ask(arp(ArpOp.REQUEST, USER_GATEWAY));
    const frames = ask(udp(USER_GATEWAY, 53, QUERY));
    expect(frames.map(show)).toEqual(['0 127.0.0.1 unreachable 3 about 10.0.2.2']);
    expect(frames[0]).toHaveLength(97);
  });

  it('answer: an unknown name does not exist, another type has no records, names match in either case', () => {
    const { ask } = setUp({ names: [{ name: 'Board.Test', address: ipv4(10, 0, 2, 9) }] });
    ask(arp(ArpOp.REQUEST, USER_GATEWAY));
    const query = (name: string, type: number, over: Partial<DnsMessage> = {}) =>
      answerOf(
        ask(
          udp(
            USER_DNS,
            53,
            encodeDns({
              id: 7,
              response: false,
              opcode: 0,
              authoritative: false,
              truncated: false,
              recursionDesired: false,
              recursionAvailable: false,
              z: 0,
              rcode: 0,
              questions: [{ name: name.split('.'), type, class: 1 }],
              answers: [],
              authorities: [],
              additionals: [],
              ...over,
            }),
          ),
        ),
      );
    expect(query('localhost', 1)).toMatchObject({ rcode: 3, answers: [] });
    expect(query('board.TEST', 28)).toMatchObject({ rcode: 0, answers: [] });
    expect(query('board.TEST', 1).answers.map(({ data }) => [...data])).toEqual([[10, 0, 2, 9]]);
    expect(query('board.TEST', 1, { opcode: 2 })).toMatchObject({ rcode: 4, answers: [] });
    expect(query('board.TEST', 1, { questions: [] })).toMatchObject({ rcode: 1, answers: [] });
  });

  it('foreign-late: four queries at once bring three errors, then the answer from the resolver itself', () => {
    const { network, got, run, ask } = setUp({ dns: 'foreign-late' });
    ask(arp(ArpOp.REQUEST, USER_GATEWAY));
    for (const dst of [USER_DNS, USER_GATEWAY, USER_DNS, USER_GATEWAY]) network.transmit(udp(dst, 53, QUERY));
    run(HOST_TURN_NS);
    expect(got.splice(0).map(show)).toEqual([
      '0 10.0.2.2 unreachable 3 about 10.0.2.3',
      '1 127.0.0.1 unreachable 3 about 10.0.2.2',
      '2 127.0.0.1 unreachable 3 about 10.0.2.2',
    ]);
    run(250_000_000);
    expect(got).toHaveLength(0);
    run(RESOLVER_NS);
    expect(got.map(show)).toEqual([expect.stringMatching(/^3 192\.0\.2\.53 udp 53>40000 12348180/u)]);
    expect(formatIpv4(FOREIGN_RESOLVER)).toBe('192.0.2.53');
  });

  it('foreign-late: a port that asks 10.0.2.3 alone gets its answer from there', () => {
    const { network, got, run, ask } = setUp({ dns: 'foreign-late' });
    ask(arp(ArpOp.REQUEST, USER_GATEWAY));
    network.transmit(udp(USER_DNS, 53, QUERY, 1));
    network.transmit(udp(USER_GATEWAY, 53, QUERY, 2));
    run(HOST_TURN_NS);
    got.splice(0);
    run(RESOLVER_NS);
    expect(got.map(show)).toEqual([expect.stringMatching(/^1 10\.0\.2\.3 udp 53>1 1234/u)]);
  });
});

describe('the host resolver', () => {
  it('has a bounded number of queries before it, and forgets the oldest ports', () => {
    const { network, got, run, ask } = setUp({ dns: 'foreign-late' });
    ask(arp(ArpOp.REQUEST, USER_GATEWAY));
    for (let i = 0; i <= RESOLVER_PENDING_MAX; i += 1) network.transmit(udp(USER_DNS, 53, QUERY, 1000 + i));
    run(RESOLVER_NS);
    expect(got.splice(0)).toHaveLength(RESOLVER_PENDING_MAX);
    network.transmit(udp(USER_DNS, 53, QUERY, 1));
    run(RESOLVER_NS);
    expect(got).toHaveLength(1);
  });
});

describe('a host without a route', () => {
  it.each([ipv4(10, 0, 2, 4), USER_FIRST_LEASE, ipv4(10, 0, 2, 255), ipv4(203, 0, 113, 1)])(
    'answers for %i with net unreachable',
    (dst) => {
      const { ask } = setUp();
      ask(arp(ArpOp.REQUEST, USER_GATEWAY));
      expect(ask(udp(dst, 9, QUERY)).map(show)).toEqual([`0 10.0.2.2 unreachable 0 about ${formatIpv4(dst)}`]);
    },
  );

  it('drops fragments, and says why', () => {
    const { ask, events } = setUp();
    const frame = udp(USER_GATEWAY, 9, QUERY);
    const packet = decodeIpv4(frame.subarray(14));
    if (typeof packet === 'string') throw new Error(packet);
    const payload = encodeIpv4({ ...packet, moreFragments: true });
    expect(ask(encodeEthernet({ dst: USER_MAC, src: GUEST_MAC, type: 0x0800, payload }))).toEqual([]);
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'note', service: 'network', name: 'ignored', value: 'ipv4: fragment' }),
    );
  });

  it('forgets a packet whose receiver does not answer for a second', () => {
    const { ask, run } = setUp();
    expect(ask(udp(USER_GATEWAY, 9, QUERY))).toHaveLength(1);
    run(1_000_000_000);
    expect(ask(arp(ArpOp.REPLY, USER_GATEWAY))).toEqual([]);
    expect(ask(udp(USER_GATEWAY, 9, QUERY)).map(show)).toEqual(['1 127.0.0.1 unreachable 3 about 10.0.2.2']);
  });
});

describe('any input', () => {
  const frames = USER_NETWORK_VECTORS.flatMap(({ steps }) => steps.map(({ frame }) => unhex(frame)));
  const mutated = fc
    .tuple(fc.constantFrom(...frames), fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 4 }), fc.nat(600))
    .map(([frame, edits, cut]) => {
      const bytes = frame.slice(0, Math.max(cut, 14));
      for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
      return bytes;
    });
  const input = fc.oneof(fc.uint8Array({ maxLength: 2048 }), mutated, fc.constantFrom(...frames));

  it('two networks share nothing: interleaved, each answers as alone; answers are whole packets', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), input), { maxLength: 30 }), (sequence) => {
        const together = [setUp(), setUp()] as const;
        const alone = [setUp(), setUp()] as const;
        const answers = sequence.map(([second, frame]) => together[second ? 1 : 0].ask(frame.slice()));
        for (const which of [0, 1] as const) {
          sequence.forEach(([second, frame], i) => {
            if (Number(second) === which) expect(alone[which].ask(frame.slice())).toEqual(answers[i]);
          });
        }
        for (const frame of answers.flat()) {
          const ethernet = decodeEthernet(frame);
          if (typeof ethernet === 'string') throw new Error(ethernet);
          if (ethernet.type === 0x0800) expect(typeof decodeIpv4(ethernet.payload)).toBe('object');
        }
      }),
      { seed: 20240, numRuns: 150 },
    );
  });
});
