import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IPV4_BROADCAST, MAC_BROADCAST, MAC_ZERO, ipv4, macOf } from '../../sim/net/address.ts';
import type { Ipv4, Mac } from '../../sim/net/address.ts';
import { ArpOp, decodeArp, encodeArp } from '../../sim/net/arp.ts';
import {
  CHADDR_SIZE,
  DhcpCode,
  DhcpOp,
  DhcpType,
  FILE_SIZE,
  SNAME_SIZE,
  decodeDhcp,
  dhcpType,
  dhcpU32,
  encodeDhcp,
} from '../../sim/net/dhcp.ts';
import type { DhcpMessage } from '../../sim/net/dhcp.ts';
import { decodeEthernet, encodeEthernet, EtherType } from '../../sim/net/ethernet.ts';
import { decodeIcmp, encodeIcmp } from '../../sim/net/icmp.ts';
import { decodeIpv4, encodeIpv4, ipv4Packet, IpProtocol } from '../../sim/net/ipv4.ts';
import { decodeTcp, encodeTcp, TcpFlag } from '../../sim/net/tcp.ts';
import { decodeUdp, encodeUdp } from '../../sim/net/udp.ts';
import { PingSocket, UdpSocket } from './datagram-sockets.ts';
import { DhcpClient } from './dhcp-client.ts';
import { IpStack, IP_MTU } from './ip-stack.ts';
import type { FrameDevice } from './ip-stack.ts';
import { TcpSocket } from './tcp-socket.ts';

const OWN = ipv4(10, 0, 2, 15);
const PEER = ipv4(10, 0, 2, 2);
const OWN_MAC = macOf([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const PEER_MAC = macOf([0x52, 0x55, 10, 0, 2, 2]);
const CONFIG = { ip: OWN, prefix: 24, gateway: PEER };

class Wire implements FrameDevice {
  readonly incoming: Uint8Array[] = [];
  readonly sent: Uint8Array[] = [];

  receive(consume: (frame: Uint8Array) => void): boolean {
    const frame = this.incoming.shift();
    if (frame === undefined) return false;
    consume(frame);
    return true;
  }

  transmit(frame: Uint8Array): void {
    this.sent.push(frame.slice());
  }
}

function configured(): { wire: Wire; stack: IpStack } {
  const wire = new Wire();
  const stack = new IpStack(wire, OWN_MAC);
  stack.configure(CONFIG);
  return { wire, stack };
}

function arp(op: number, senderIp: Ipv4, targetIp: Ipv4, senderMac: Mac = PEER_MAC): Uint8Array {
  const payload = encodeArp({ op, senderMac, senderIp, targetMac: MAC_ZERO, targetIp });
  return encodeEthernet({ dst: MAC_BROADCAST, src: senderMac, type: EtherType.ARP, payload });
}

function packet(
  protocol: number,
  payload: Uint8Array,
  src: Ipv4 = PEER,
  dst: Ipv4 = OWN,
  mac: Mac = OWN_MAC,
): Uint8Array {
  const bytes = encodeIpv4(ipv4Packet({ src, dst, protocol, payload, ttl: 64 }));
  return encodeEthernet({ dst: mac, src: PEER_MAC, type: EtherType.IPV4, payload: bytes });
}

function udp(dstPort: number, payload: Uint8Array, src = PEER, dst = OWN): Uint8Array {
  return packet(IpProtocol.UDP, encodeUdp({ srcPort: 53, dstPort, payload }, src, dst), src, dst);
}

function sentIp(frame: Uint8Array | undefined): {
  mac: Mac;
  src: Ipv4;
  dst: Ipv4;
  protocol: number;
  payload: Uint8Array;
  df: boolean;
  ttl: number;
} {
  const ethernet = decodeEthernet(frame ?? new Uint8Array(0));
  if (typeof ethernet === 'string') throw new Error(ethernet);
  const ip = decodeIpv4(ethernet.payload);
  if (typeof ip === 'string') throw new Error(ip);
  return {
    mac: ethernet.dst,
    src: ip.src,
    dst: ip.dst,
    protocol: ip.protocol,
    payload: ip.payload,
    df: ip.dontFragment,
    ttl: ip.ttl,
  };
}

describe('IP stack (sheet 70, section 3)', () => {
  it('answers ARP for its own address and learns the asker', () => {
    const { wire, stack } = configured();
    wire.incoming.push(arp(ArpOp.REQUEST, PEER, OWN), arp(ArpOp.REQUEST, PEER, ipv4(10, 0, 2, 16)));
    wire.incoming.push(arp(ArpOp.REQUEST, ipv4(10, 9, 9, 9), OWN));
    stack.poll(1);
    expect(wire.sent).toHaveLength(1);
    expect(decodeArp(wire.sent[0]!.subarray(14))).toEqual({
      op: ArpOp.REPLY,
      senderMac: OWN_MAC,
      senderIp: OWN,
      targetMac: PEER_MAC,
      targetIp: PEER,
    });
    const socket = new UdpSocket(OWN, 9);
    stack.add(socket);
    socket.send({ ip: PEER, port: 7, payload: Uint8Array.of(1) });
    stack.poll(2);
    expect(sentIp(wire.sent[1])).toMatchObject({ mac: PEER_MAC, df: true, ttl: 64 });
  });

  it('asks for an unknown neighbour, rests a second, sends when the answer came', () => {
    const { wire, stack } = configured();
    const socket = new UdpSocket(OWN, 9);
    stack.add(socket);
    for (const port of [1, 2]) socket.send({ ip: ipv4(8, 8, 8, 8), port, payload: Uint8Array.of(port) });
    stack.poll(0);
    stack.poll(500);
    expect(wire.sent).toHaveLength(1);
    expect(decodeArp(wire.sent[0]!.subarray(14))).toMatchObject({ op: ArpOp.REQUEST, targetIp: PEER });
    expect(stack.pollAt).toBe(1000);
    stack.poll(1000);
    expect(wire.sent).toHaveLength(2);
    wire.incoming.push(arp(ArpOp.REPLY, PEER, OWN));
    stack.poll(1001);
    expect(wire.sent.slice(2).map((frame) => sentIp(frame).dst)).toEqual([ipv4(8, 8, 8, 8), ipv4(8, 8, 8, 8)]);
    expect(stack.pollAt).toBe(Infinity);
  });

  it('multicast needs no ARP, broadcast neither; multicast comes in nowhere', () => {
    const { wire, stack } = configured();
    const socket = new UdpSocket(OWN, 9);
    stack.add(socket);
    const group = ipv4(239, 42, 0, 1);
    for (const ip of [group, IPV4_BROADCAST, ipv4(10, 0, 2, 255)])
      socket.send({ ip, port: 9, payload: Uint8Array.of(1) });
    stack.poll(0);
    const macs = wire.sent.map((frame) => sentIp(frame).mac);
    expect(macs).toEqual([macOf([1, 0, 0x5e, 42, 0, 1]), MAC_BROADCAST, MAC_BROADCAST]);
    wire.incoming.push(udp(9, Uint8Array.of(1), PEER, group), udp(9, Uint8Array.of(2), PEER, ipv4(10, 0, 2, 255)));
    stack.poll(1);
    expect(socket.recv()?.payload).toEqual(Uint8Array.of(2));
    expect(socket.recv()).toBeNull();
  });

  it('answers echo requests, refuses unknown ports and protocols', () => {
    const { wire, stack } = configured();
    wire.incoming.push(arp(ArpOp.REPLY, PEER, OWN));
    const echo = { kind: 'echo-request', ident: 7, sequence: 9, payload: Uint8Array.of(1, 2, 3) } as const;
    wire.incoming.push(packet(IpProtocol.ICMP, encodeIcmp(echo)));
    wire.incoming.push(udp(99, new Uint8Array(700)));
    wire.incoming.push(packet(99, Uint8Array.of(5)));
    const syn = { srcPort: 5, dstPort: 80, seq: 100, ack: 0, flags: TcpFlag.SYN, window: 9, urgent: 0, options: [] };
    wire.incoming.push(packet(IpProtocol.TCP, encodeTcp({ ...syn, payload: new Uint8Array(0) }, PEER, OWN)));
    stack.poll(1);
    const [pong, port, protocol, reset] = wire.sent.map(sentIp);
    expect(decodeIcmp(pong!.payload)).toEqual({ ...echo, kind: 'echo-reply' });
    const unreachable = decodeIcmp(port!.payload);
    expect(unreachable).toMatchObject({ kind: 'destination-unreachable', code: 3 });
    expect(typeof unreachable !== 'string' && 'original' in unreachable && unreachable.original.length).toBe(548);
    expect(decodeIcmp(protocol!.payload)).toMatchObject({ code: 2 });
    expect(decodeTcp(reset!.payload, OWN, PEER)).toMatchObject({ flags: TcpFlag.RST | TcpFlag.ACK, ack: 101, seq: 0 });
  });

  it('a datagram over the MTU vanishes', () => {
    const { wire, stack } = configured();
    const socket = new UdpSocket(OWN, 9);
    stack.add(socket);
    socket.send({ ip: IPV4_BROADCAST, port: 1, payload: new Uint8Array(IP_MTU - 27) });
    socket.send({ ip: IPV4_BROADCAST, port: 2, payload: new Uint8Array(4) });
    stack.poll(0);
    expect(wire.sent.map((frame) => decodeUdp(sentIp(frame).payload, OWN, IPV4_BROADCAST))).toMatchObject([
      { dstPort: 2 },
    ]);
  });

  it('without an address nothing but broadcasts leaves; a change of address forgets neighbours', () => {
    const wire = new Wire();
    const stack = new IpStack(wire, OWN_MAC);
    const ping = new PingSocket(1, 1, new Uint8Array(16));
    stack.add(ping);
    ping.send(PEER);
    stack.poll(0);
    expect(wire.sent).toHaveLength(0);
    stack.configure(CONFIG);
    wire.incoming.push(arp(ArpOp.REPLY, PEER, OWN));
    stack.poll(1);
    expect(sentIp(wire.sent[0]).payload).toHaveLength(24);
    stack.configure({ ...CONFIG, ip: ipv4(10, 0, 2, 16) });
    ping.send(PEER);
    stack.poll(2);
    expect(decodeArp(wire.sent[1]!.subarray(14))).toMatchObject({ targetIp: PEER });
  });
});

describe('DHCP client', () => {
  function reply(to: DhcpMessage, type: number, options: DhcpMessage['options'], yiaddr = OWN): DhcpMessage {
    return {
      ...to,
      op: DhcpOp.REPLY,
      yiaddr,
      chaddr: to.chaddr.slice(0, CHADDR_SIZE),
      sname: new Uint8Array(SNAME_SIZE),
      file: new Uint8Array(FILE_SIZE),
      options: [{ code: DhcpCode.MESSAGE_TYPE, data: Uint8Array.of(type) }, ...options],
    };
  }
  const server = dhcpU32(DhcpCode.SERVER_ID, PEER);
  const mask = dhcpU32(DhcpCode.SUBNET_MASK, ipv4(255, 255, 255, 0));
  const lease = dhcpU32(DhcpCode.LEASE_TIME, 1000);

  /** Sends what is due and gives it. */
  function send(client: DhcpClient, now: number, xid: number): DhcpMessage {
    const outgoing = client.next(now, xid)!;
    client.sent(now, outgoing);
    const decoded = decodeDhcp(encodeDhcp(outgoing.message));
    if (typeof decoded === 'string') throw new Error(decoded);
    return decoded;
  }

  it('state vectors of section 16: first configuration, the same again, another gateway', () => {
    const client = new DhcpClient(OWN_MAC);
    const discover = send(client, 0, 5);
    client.process(0, reply(discover, DhcpType.OFFER, [server]));
    const router = (ip: Ipv4): DhcpMessage['options'] => [server, mask, lease, dhcpU32(DhcpCode.ROUTER, ip)];
    const request = send(client, 0, 6);
    expect(dhcpType(request)).toBe(DhcpType.REQUEST);
    client.process(0, reply(request, DhcpType.ACK, router(PEER)));
    expect(client.event()).toEqual({ ip: OWN, prefix: 24, gateway: PEER });
    expect(client.event()).toBeNull();
    expect(client.pollAt).toBe(500_000);
    const renewal = send(client, 500_000, 7);
    client.process(500_001, reply(renewal, DhcpType.ACK, router(PEER)));
    expect(client.event()).toBeNull();
    const again = send(client, 1_000_001, 8);
    client.process(1_000_002, reply(again, DhcpType.ACK, router(ipv4(10, 0, 2, 4))));
    expect(client.event()).toEqual({ ip: OWN, prefix: 24, gateway: ipv4(10, 0, 2, 4) });
    client.next(3_000_000, 9);
    expect(client.event()).toBe('deconfigured');
  });

  it('REQUEST again after 5, 5, 10, 10 and 20 s, then from the start', () => {
    const client = new DhcpClient(OWN_MAC);
    client.process(0, reply(send(client, 0, 5), DhcpType.OFFER, [server]));
    const waits: number[] = [];
    let now = 0;
    for (let i = 0; i < 5; i++) {
      send(client, now, 6 + i);
      waits.push(client.pollAt - now);
      now = client.pollAt;
    }
    expect(waits).toEqual([5000, 5000, 10_000, 10_000, 20_000]);
    expect(client.next(now, 20)).toBeNull();
    expect(dhcpType(send(client, now, 21))).toBe(DhcpType.DISCOVER);
    expect(client.pollAt).toBe(now + 10_000);
  });

  it.each([
    ['no server id', [mask], OWN, 0],
    ['another transaction', [server, mask], OWN, 1],
    ['a broadcast address', [server, mask], IPV4_BROADCAST, 0],
  ])('ignores an OFFER with %s', (_, options, yiaddr, xor) => {
    const client = new DhcpClient(OWN_MAC);
    const discover = send(client, 0, 5);
    client.process(0, { ...reply(discover, DhcpType.OFFER, options, yiaddr), xid: 5 ^ xor });
    expect(client.pollAt).toBe(10_000);
  });

  it('an ACK needs a mask; a NAK starts over', () => {
    const client = new DhcpClient(OWN_MAC);
    client.process(0, reply(send(client, 0, 5), DhcpType.OFFER, [server]));
    const request = send(client, 0, 6);
    client.process(0, reply(request, DhcpType.ACK, [server, lease]));
    client.process(0, reply(request, DhcpType.ACK, [server, dhcpU32(DhcpCode.SUBNET_MASK, 0xff00_ff00)]));
    expect(client.event()).toBe('deconfigured');
    client.process(0, reply(request, DhcpType.NAK, [server]));
    expect(dhcpType(send(client, 0, 7))).toBe(DhcpType.DISCOVER);
  });
});

describe('any frames', () => {
  const frame = fc.uint8Array({ maxLength: 2048 });
  const good = [
    arp(ArpOp.REQUEST, PEER, OWN),
    udp(9, new Uint8Array(20)),
    packet(IpProtocol.ICMP, encodeIcmp({ kind: 'echo-request', ident: 1, sequence: 1, payload: new Uint8Array(9) })),
    udp(68, new Uint8Array(300)),
    packet(IpProtocol.TCP, new Uint8Array(30)),
  ];
  const mutated = fc
    .tuple(
      fc.nat({ max: good.length - 1 }),
      fc.array(fc.tuple(fc.nat({ max: 80 }), fc.nat({ max: 255 })), { maxLength: 4 }),
      fc.nat({ max: 90 }),
    )
    .map(([which, edits, cut]) => {
      const out = good[which]!.slice();
      for (const [at, value] of edits) if (at < out.length) out[at] = value;
      return cut > 60 ? out.subarray(0, cut) : out;
    });
  /** Right checksums around any transport bytes. */
  const transported = fc
    .tuple(fc.constantFrom(1, 6, 17, 99), fc.uint8Array({ maxLength: 400 }), fc.constantFrom(OWN, IPV4_BROADCAST))
    .map(([protocol, payload, dst]) => packet(protocol, payload, PEER, dst));
  const tcp = fc
    .tuple(
      fc.nat({ max: 255 }),
      fc.nat({ max: 0xffff_ffff }),
      fc.nat({ max: 0xffff_ffff }),
      fc.uint8Array({ maxLength: 50 }),
    )
    .map(([flags, seq, ack, payload]) => {
      const segment = { srcPort: 5, dstPort: 41_000, seq, ack, flags, window: 100, urgent: 0, options: [], payload };
      return packet(IpProtocol.TCP, encodeTcp(segment, PEER, OWN));
    });

  it('never throw, and every frame sent is well-formed', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(frame, mutated, transported, tcp), { maxLength: 20 }), (frames) => {
        const { wire, stack } = configured();
        stack.add(new DhcpClient(OWN_MAC));
        stack.add(new UdpSocket(OWN, 9));
        const listener = new TcpSocket(64, 64, 2000);
        listener.listen(41_000);
        stack.add(listener);
        wire.incoming.push(arp(ArpOp.REPLY, PEER, OWN), ...frames);
        for (let now = 0; now < 5000; now += 500) stack.poll(now);
        expect(wire.incoming).toHaveLength(0);
        for (const out of wire.sent) {
          const ethernet = decodeEthernet(out);
          if (typeof ethernet === 'string') throw new Error(ethernet);
          expect(
            typeof (ethernet.type === EtherType.ARP ? decodeArp(ethernet.payload) : decodeIpv4(ethernet.payload)),
          ).toBe('object');
        }
      }),
      { seed: 20240, numRuns: 400 },
    );
  });

  it('a server that leases for no time at all cannot hold a poll for ever', () => {
    const wire = new Wire();
    const stack = new IpStack(wire, OWN_MAC);
    stack.add(new DhcpClient(OWN_MAC));
    wire.transmit = (bytes) => {
      wire.sent.push(bytes);
      const datagram = decodeUdp(sentIp(bytes).payload, sentIp(bytes).src, IPV4_BROADCAST);
      if (typeof datagram === 'string') return;
      const message = decodeDhcp(datagram.payload);
      if (typeof message === 'string') return;
      const type = dhcpType(message) === DhcpType.DISCOVER ? DhcpType.OFFER : DhcpType.NAK;
      const options = [{ code: DhcpCode.MESSAGE_TYPE, data: Uint8Array.of(type) }, dhcpU32(DhcpCode.SERVER_ID, PEER)];
      const answer = encodeDhcp({ ...message, op: DhcpOp.REPLY, yiaddr: OWN, options });
      const bytesOut = encodeUdp({ srcPort: 67, dstPort: 68, payload: answer }, PEER, IPV4_BROADCAST);
      wire.incoming.push(packet(IpProtocol.UDP, bytesOut, PEER, IPV4_BROADCAST, MAC_BROADCAST));
    };
    stack.poll(0);
    expect(wire.sent.length).toBeLessThan(1000);
    expect(wire.sent.length).toBeGreaterThan(10);
  });
});
