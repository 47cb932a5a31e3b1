/**
 * QEMU's user-mode network as the guest sees it (sheet 70, section 5; sheet 05, section 14.3): a gateway and a DNS
 * server that answer ARP, ICMP echo and DHCP, on a host that has no route to anywhere else and nothing listening. What
 * the sheets leave to the host is decided so: a host without a route answers with ICMP "net unreachable".
 */
import type { Clock } from '../clock.ts';
import type { Trace } from '../trace.ts';
import type { NetBackend } from '../virtio/net.ts';
import type { Ipv4, Mac } from './address.ts';
import { IPV4_ANY, IPV4_BROADCAST, MAC_BROADCAST, MAC_ZERO, isMulticast } from './address.ts';
import { ArpOp, decodeArp, encodeArp } from './arp.ts';
import { decodeDhcp, DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from './dhcp.ts';
import { DhcpServer } from './dhcp-server.ts';
import { DNS_PORT } from './dns.ts';
import { decodeEthernet, encodeEthernet, EtherType } from './ethernet.ts';
import { decodeIcmp, encodeIcmp, IcmpType, TTL_EXCEEDED, Unreachable } from './icmp.ts';
import type { IcmpMessage } from './icmp.ts';
import { decodeIpv4, encodeIpv4, ipv4Packet, IpProtocol } from './ipv4.ts';
import type { Ipv4Packet } from './ipv4.ts';
import { ArpCache } from './arp-cache.ts';
import type { ResolverEntry } from './resolver.ts';
import { resolve } from './resolver.ts';
import { decodeTcp, encodeTcp, TcpFlag } from './tcp.ts';
import type { TcpSegment } from './tcp.ts';
import { decodeUdp, encodeUdp } from './udp.ts';
import { UdpRelay } from './udp-relay.ts';
import { USER_DNS, USER_GATEWAY, USER_MAC, USER_SUBNET_BROADCAST, userMac } from './user-addresses.ts';

/** Bytes of an ARP reply's frame. Nothing else is padded. */
export const ARP_REPLY_FRAME = 64;
/** Bytes of a packet that an ICMP error quotes at most. */
export const ICMP_QUOTE_MAX = 548;
/** Type of service of DHCP answers. */
const TOS_LOW_DELAY = 0x10;
/** Type of service of ICMP errors: this, and these bits of the packet they are about. */
const TOS_ERROR = 0xc0;
const TOS_KEPT = 0x1e;
const TTL = 64;
const TTL_LOCAL = 255;
/** Window of the segment that refuses a connection. */
const REFUSED_WINDOW = 0xffff;
/** Flags that tell a connection request from everything else. */
const SYN_TEST = TcpFlag.SYN | TcpFlag.FIN | TcpFlag.RST | TcpFlag.URG | TcpFlag.ACK;

/**
 * `answer`: queries to 10.0.2.3 are answered from there, at once. `foreign-late`: as in the reference, by the host's
 * resolver after {@link RESOLVER_NS}, from its own address when the same port asked 10.0.2.2 in between.
 */
export type DnsMode = 'answer' | 'foreign-late';

export interface UserNetworkOptions {
  readonly dns: DnsMode;
  /** What the resolver knows. */
  readonly names: readonly ResolverEntry[];
}

export interface UserNetworkContext {
  readonly clock: Clock;
  readonly trace: Trace;
  /** Takes a frame to the guest; called in order. */
  readonly deliver: (frame: Uint8Array) => void;
}

/** One network with one guest's wire. Answers come inside {@link transmit}, but for what the host would do later. */
export class UserNetwork implements NetBackend {
  readonly #context: UserNetworkContext;
  readonly #options: UserNetworkOptions;
  readonly #dhcp = new DhcpServer();
  readonly #neighbours: ArpCache;
  readonly #relay: UdpRelay;
  /** Identification of the next IPv4 packet, counted over all of them. */
  #ident = 0;

  constructor(options: UserNetworkOptions, context: UserNetworkContext) {
    this.#options = options;
    this.#context = context;
    this.#neighbours = new ArpCache(context.clock);
    this.#relay = new UdpRelay({
      later: (ns, fire) => void context.clock.schedule(context.clock.now + ns, fire),
      portUnreachable: (from, { packet }) => this.#error(packet, from, 'destination-unreachable', Unreachable.PORT),
      send: (from, fromPort, to, toPort, payload) => this.#udp(from, fromPort, to, toPort, payload, 0),
      resolve: (query) => resolve(query, options.names),
    });
  }

  transmit(frame: Uint8Array): void {
    const ethernet = decodeEthernet(frame);
    if (typeof ethernet === 'string') return this.#ignore('ethernet', ethernet);
    // The destination address does not matter: whatever the guest sends reaches the network.
    switch (ethernet.type) {
      case EtherType.ARP:
        return this.#arp(ethernet.src, ethernet.payload);
      case EtherType.IPV4:
        return this.#ipv4(ethernet.payload);
      default:
        return this.#ignore('ethernet', 'type');
    }
  }

  #arp(from: Mac, bytes: Uint8Array): void {
    const packet = decodeArp(bytes);
    if (typeof packet === 'string') return this.#ignore('arp', packet);
    const { senderIp, senderMac, targetIp } = packet;
    if (packet.op === ArpOp.REPLY || (packet.op === ArpOp.REQUEST && senderIp === targetIp)) {
      this.#learn(senderIp, senderMac);
      return;
    }
    if (packet.op !== ArpOp.REQUEST) return this.#ignore('arp', 'operation');
    if (targetIp !== USER_GATEWAY && targetIp !== USER_DNS) return this.#ignore('arp', 'nobody has that address');
    const mac = userMac(targetIp);
    const reply = { op: ArpOp.REPLY, senderMac: mac, senderIp: targetIp, targetMac: senderMac, targetIp: senderIp };
    const frame = { dst: from, src: mac, type: EtherType.ARP, payload: encodeArp(reply) };
    this.#context.deliver(encodeEthernet(frame, ARP_REPLY_FRAME));
    this.#learn(senderIp, senderMac);
  }

  #ipv4(bytes: Uint8Array): void {
    const packet = decodeIpv4(bytes);
    if (typeof packet === 'string') return this.#ignore('ipv4', packet);
    if (packet.moreFragments || packet.fragmentOffset !== 0) return this.#ignore('ipv4', 'fragment');
    const whole = bytes.subarray(0, 4 * ((bytes[0] ?? 0) & 0xf) + packet.payload.length);
    if (packet.ttl === 0) return this.#error(whole, USER_GATEWAY, 'time-exceeded', TTL_EXCEEDED);
    switch (packet.protocol) {
      case IpProtocol.ICMP:
        return this.#icmp(packet, whole);
      case IpProtocol.UDP:
        return this.#udpIn(packet, whole);
      case IpProtocol.TCP:
        return this.#tcp(packet, whole);
      default:
        return this.#ignore('ipv4', 'protocol');
    }
  }

  #icmp(packet: Ipv4Packet, whole: Uint8Array): void {
    const message = decodeIcmp(packet.payload);
    if (typeof message === 'string') return this.#ignore('icmp', message);
    if (message.kind !== 'echo-request') return this.#ignore('icmp', 'not an echo request');
    if (isMulticast(packet.dst)) return this.#ignore('icmp', 'multicast');
    if (packet.dst !== USER_GATEWAY && packet.dst !== USER_DNS) return this.#noRoute(whole);
    // The request turned round: type of service and "do not fragment" stay.
    this.#output({
      src: packet.dst,
      dst: packet.src,
      protocol: IpProtocol.ICMP,
      ttl: TTL_LOCAL,
      tos: packet.tos,
      dontFragment: packet.dontFragment,
      payload: encodeIcmp({ ...message, kind: 'echo-reply' }),
    });
  }

  #udpIn(packet: Ipv4Packet, whole: Uint8Array): void {
    const { src, dst } = packet;
    const datagram = decodeUdp(packet.payload, src, dst);
    if (typeof datagram === 'string') return this.#ignore('udp', datagram);
    const { srcPort, dstPort, payload } = datagram;
    const host = dst === USER_GATEWAY || dst === IPV4_BROADCAST;
    if (host && dstPort === DHCP_SERVER_PORT) return this.#dhcpIn(payload);
    if (isMulticast(dst)) return this.#ignore('udp', 'multicast');
    if (packet.ttl <= 1) return this.#error(whole, USER_GATEWAY, 'time-exceeded', TTL_EXCEEDED);
    const relayed = { src, srcPort, dst, dstPort, payload, packet: whole };
    if (host) return this.#relay.toHost(relayed);
    if (dst !== USER_DNS || dstPort !== DNS_PORT) return this.#noRoute(whole);
    if (this.#options.dns === 'foreign-late') return this.#relay.toResolver(relayed);
    const answer = resolve(payload, this.#options.names);
    if (answer === null) return this.#ignore('dns', 'not a query');
    this.#udp(USER_DNS, DNS_PORT, src, srcPort, answer, 0);
  }

  #dhcpIn(payload: Uint8Array): void {
    const message = decodeDhcp(payload);
    if (typeof message === 'string') return this.#ignore('dhcp', message);
    const reply = this.#dhcp.answer(message);
    if (reply === null) return this.#ignore('dhcp', 'no answer to this message');
    if (reply.address !== null) this.#learn(reply.address, reply.mac);
    this.#udp(USER_GATEWAY, DHCP_SERVER_PORT, IPV4_BROADCAST, DHCP_CLIENT_PORT, reply.payload, TOS_LOW_DELAY);
  }

  /** No port is open: a connection request to the host is refused, one to elsewhere has no route, the rest is reset. */
  #tcp(packet: Ipv4Packet, whole: Uint8Array): void {
    const { src, dst } = packet;
    const segment = decodeTcp(packet.payload, src, dst);
    if (typeof segment === 'string') return this.#ignore('tcp', segment);
    if (isMulticast(dst)) return this.#ignore('tcp', 'multicast');
    const { flags, seq, ack, payload } = segment;
    const answer: TcpSegment = {
      srcPort: segment.dstPort,
      dstPort: segment.srcPort,
      seq: 0,
      ack: 0,
      flags: TcpFlag.RST,
      window: 0,
      urgent: 0,
      options: [],
      payload: new Uint8Array(0),
    };
    const syn = (flags & TcpFlag.SYN) !== 0 ? 1 : 0;
    if ((flags & SYN_TEST) === TcpFlag.SYN) {
      if (dst !== USER_GATEWAY && dst !== IPV4_BROADCAST) return this.#noRoute(whole);
      const refused = { flags: TcpFlag.RST | TcpFlag.ACK, ack: (seq + 1) >>> 0, window: REFUSED_WINDOW };
      return this.#reset(packet, { ...answer, ...refused }, TTL);
    }
    if ((flags & TcpFlag.ACK) !== 0) return this.#reset(packet, { ...answer, seq: ack }, TTL_LOCAL);
    // A FIN takes a number too, but the reference does not count it here.
    const acked = { flags: TcpFlag.RST | TcpFlag.ACK, ack: (seq + payload.length + syn) >>> 0 };
    this.#reset(packet, { ...answer, ...acked }, TTL_LOCAL);
  }

  #reset({ src, dst }: Ipv4Packet, segment: TcpSegment, ttl: number): void {
    this.#output({ src: dst, dst: src, protocol: IpProtocol.TCP, ttl, payload: encodeTcp(segment, dst, src) });
  }

  #udp(src: Ipv4, srcPort: number, dst: Ipv4, dstPort: number, payload: Uint8Array, tos: number): void {
    const datagram = encodeUdp({ srcPort, dstPort, payload }, src, dst);
    this.#output({ src, dst, protocol: IpProtocol.UDP, ttl: TTL, tos, payload: datagram });
  }

  #noRoute(packet: Uint8Array): void {
    this.#error(packet, USER_GATEWAY, 'destination-unreachable', Unreachable.NET);
  }

  /** An ICMP error about a packet, quoting its beginning; never about an ICMP message but an echo request, nor to nobody. */
  #error(packet: Uint8Array, from: Ipv4, kind: 'destination-unreachable' | 'time-exceeded', code: number): void {
    const about = decodeIpv4(packet);
    if (typeof about === 'string' || about.src === IPV4_ANY) return;
    if (about.protocol === IpProtocol.ICMP && about.payload[0] !== IcmpType.ECHO_REQUEST) return;
    const original = packet.subarray(0, ICMP_QUOTE_MAX);
    const message: IcmpMessage = kind === 'time-exceeded' ? { kind, code, original } : { kind, code, mtu: 0, original };
    this.#output({
      src: from,
      dst: about.src,
      protocol: IpProtocol.ICMP,
      ttl: TTL_LOCAL,
      tos: TOS_ERROR | (about.tos & TOS_KEPT),
      dontFragment: about.dontFragment,
      payload: encodeIcmp(message),
    });
  }

  /** Sends a packet, or asks for its receiver's Ethernet address first; it takes its identification either way. */
  #output(fields: Parameters<typeof ipv4Packet>[0]): void {
    const payload = encodeIpv4(ipv4Packet({ ...fields, ident: this.#ident }));
    this.#ident = (this.#ident + 1) & 0xffff;
    const { dst } = fields;
    const broadcast = dst === IPV4_BROADCAST || dst === USER_SUBNET_BROADCAST || dst === IPV4_ANY;
    const mac = broadcast ? MAC_BROADCAST : this.#neighbours.lookUp(dst);
    if (mac !== null) return this.#send(mac, payload);
    this.#neighbours.hold(dst, payload);
    const request = {
      op: ArpOp.REQUEST,
      senderMac: USER_MAC,
      senderIp: USER_GATEWAY,
      targetMac: MAC_ZERO,
      targetIp: dst,
    };
    const frame = { dst: MAC_BROADCAST, src: USER_MAC, type: EtherType.ARP, payload: encodeArp(request) };
    this.#context.deliver(encodeEthernet(frame));
  }

  #send(dst: Mac, payload: Uint8Array): void {
    this.#context.deliver(encodeEthernet({ dst, src: USER_MAC, type: EtherType.IPV4, payload }));
  }

  /** Addresses that stand for nobody or everybody are not learnt. */
  #learn(address: Ipv4, mac: Mac): void {
    if (address === IPV4_ANY || address === IPV4_BROADCAST || address === USER_SUBNET_BROADCAST) return;
    for (const packet of this.#neighbours.learn(address, mac)) this.#send(mac, packet);
  }

  #ignore(layer: string, reason: string): void {
    const { trace } = this.#context;
    if (trace.on) trace.emit({ kind: 'note', service: 'network', name: 'ignored', value: `${layer}: ${reason}` });
  }
}
