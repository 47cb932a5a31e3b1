/**
 * The IP stack of netstackd (sheet 70, section 3): one Ethernet interface with one address, ARP, IPv4, ICMP, and the
 * sockets. Pure: frames come from and go to a {@link FrameDevice}, time is a number. One {@link IpStack.poll} takes all
 * frames in and lets each socket send once, in the order of creation, and repeats that until nothing happens.
 */
import {
  IPV4_ANY,
  IPV4_BROADCAST,
  MAC_BROADCAST,
  MAC_ZERO,
  isGroupMac,
  isMulticast,
  multicastMac,
  prefixMask,
} from '../../sim/net/address.ts';
import type { Ipv4, Mac } from '../../sim/net/address.ts';
import { ArpOp, decodeArp, encodeArp } from '../../sim/net/arp.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, decodeDhcp, encodeDhcp } from '../../sim/net/dhcp.ts';
import { EtherType, decodeEthernet, encodeEthernet } from '../../sim/net/ethernet.ts';
import { Unreachable, decodeIcmp, encodeIcmp } from '../../sim/net/icmp.ts';
import type { IcmpMessage } from '../../sim/net/icmp.ts';
import { IPV4_HEADER, IpProtocol, decodeIpv4, encodeIpv4, ipv4Packet } from '../../sim/net/ipv4.ts';
import type { Ipv4Packet } from '../../sim/net/ipv4.ts';
import { decodeTcp, encodeTcp } from '../../sim/net/tcp.ts';
import { decodeUdp, encodeUdp } from '../../sim/net/udp.ts';
import type { PingSocket, UdpSocket } from './datagram-sockets.ts';
import { isUnicast } from './dhcp-client.ts';
import type { DhcpClient, DhcpConfig } from './dhcp-client.ts';
import { NeighborCache } from './neighbors.ts';
import { Prng } from './prng.ts';
import { resetFor, segmentOf, wireOf } from './tcp-segment.ts';
import type { Segment, TcpPair } from './tcp-segment.ts';
import type { TcpSocket } from './tcp-socket.ts';

/** Largest IPv4 packet: the device's MTU of 1500 counts the Ethernet header. Longer ones vanish. */
export const IP_MTU = 1486;
export const TTL = 64;
/** A socket whose packet finds no route or no neighbour rests that long, ms of poll time. */
export const SOCKET_SILENCE_MS = 1000;
/** Bytes of an ICMP error about a packet: the least MTU of IPv4 without the headers. */
const ICMP_ORIGINAL_MAX = 576 - 2 * IPV4_HEADER - 8;
/** Passes of one poll: more than any exchange with a well-behaved peer takes. The rest waits for the next poll. */
export const POLL_PASSES_MAX = 256;

/** The network card as the stack sees it. */
export interface FrameDevice {
  /** Hands the next received frame to `consume` and frees its buffer; false when there is none. */
  receive(consume: (frame: Uint8Array) => void): boolean;
  /** Sends a frame, or drops it silently. */
  transmit(frame: Uint8Array): void;
}

export type StackSocket = DhcpClient | UdpSocket | TcpSocket | PingSocket;

/** A socket with the rest it keeps after it found no neighbour. */
interface Entry {
  readonly socket: StackSocket;
  waitingFor: Ipv4 | null;
  silentUntil: number;
}

export class IpStack {
  readonly mac: Mac;
  readonly prng = new Prng();
  readonly #device: FrameDevice;
  readonly #neighbors = new NeighborCache();
  #entries: readonly Entry[] = [];
  #config: DhcpConfig | null = null;
  #now = 0;
  /** Packets that sockets have sent. */
  #sent = 0;

  constructor(device: FrameDevice, mac: Mac) {
    this.#device = device;
    this.mac = mac;
    // The first number is the identification of fragmented packets, which are never sent.
    this.prng.next();
  }

  /** Time of the last poll, ms. */
  get now(): number {
    return this.#now;
  }

  /** Address, prefix and default route; null before there is one. */
  get config(): DhcpConfig | null {
    return this.#config;
  }

  /** Sets them; the neighbour cache is flushed when the address changes. */
  configure(config: DhcpConfig): void {
    if (this.#config?.ip !== config.ip || this.#config.prefix !== config.prefix) this.#neighbors.flush();
    this.#config = config;
  }

  add(socket: StackSocket): void {
    this.#entries = [...this.#entries, { socket, waitingFor: null, silentUntil: 0 }];
  }

  remove(socket: StackSocket): void {
    this.#entries = this.#entries.filter((entry) => entry.socket !== socket);
  }

  /** Takes in what came and sends what is due at `now`, ms. Times may go backwards. */
  poll(now: number): void {
    this.#now = now;
    for (let pass = 0; pass < POLL_PASSES_MAX; pass++) {
      let worked = false;
      while (this.#device.receive(this.#ingress)) worked = true;
      const before = this.#sent;
      for (const entry of this.#entries) this.#egress(entry);
      if (!worked && this.#sent === before) return;
    }
  }

  /**
   * Earliest time at which a poll does something although no frame has come, ms; 0 for now, Infinity for never. Until
   * then a poll only draws one number for each DHCP client, see {@link skipPolls}.
   */
  get pollAt(): number {
    let earliest = Infinity;
    for (const entry of this.#entries) {
      const at = socketPollAt(entry.socket);
      const silent = entry.waitingFor !== null && !this.#hasNeighbor(entry.waitingFor);
      earliest = Math.min(earliest, silent && at < Infinity ? Math.max(at, entry.silentUntil) : at);
    }
    return earliest;
  }

  /** Accounts for polls that would have done nothing. */
  skipPolls(count: number): void {
    for (const { socket } of this.#entries) if (socket.kind === 'dhcp') this.prng.skip(count);
  }

  // -- receiving ----------------------------------------------------------------------------------------------------

  readonly #ingress = (frame: Uint8Array): void => {
    const ethernet = decodeEthernet(frame);
    if (typeof ethernet === 'string') return;
    if (ethernet.dst !== this.mac && !isGroupMac(ethernet.dst)) return;
    if (ethernet.type === EtherType.ARP) this.#processArp(ethernet.payload);
    else if (ethernet.type === EtherType.IPV4) this.#processIpv4(ethernet.payload);
  };

  #processArp(bytes: Uint8Array): void {
    const arp = decodeArp(bytes);
    const own = this.#config;
    if (typeof arp === 'string' || own === null) return;
    if (arp.op !== ArpOp.REQUEST && arp.op !== ArpOp.REPLY) return;
    if (arp.targetIp !== own.ip || !this.#inSubnet(arp.senderIp) || !this.#isUnicast(arp.senderIp)) return;
    if (isGroupMac(arp.senderMac)) return;
    this.#neighbors.fill(arp.senderIp, arp.senderMac, this.#now);
    if (arp.op !== ArpOp.REQUEST) return;
    const reply = {
      op: ArpOp.REPLY,
      senderMac: this.mac,
      senderIp: own.ip,
      targetMac: arp.senderMac,
      targetIp: arp.senderIp,
    };
    this.#transmit(arp.senderMac, EtherType.ARP, encodeArp(reply));
  }

  #processIpv4(bytes: Uint8Array): void {
    const packet = decodeIpv4(bytes);
    if (typeof packet === 'string' || packet.moreFragments || packet.fragmentOffset !== 0) return;
    if (!this.#isUnicast(packet.src) && packet.src !== IPV4_ANY) return;
    if (packet.protocol === IpProtocol.UDP && this.#processDhcp(packet)) return;
    if (packet.dst !== this.#config?.ip && !this.#isBroadcast(packet.dst)) return;
    switch (packet.protocol) {
      case IpProtocol.ICMP:
        this.#processIcmp(packet);
        return;
      case IpProtocol.UDP:
        this.#processUdp(packet, bytes);
        return;
      case IpProtocol.TCP:
        this.#processTcp(packet);
        return;
      default:
        this.#replyIcmp(packet, unreachable(Unreachable.PROTOCOL, packet, bytes));
    }
  }

  /** Answers of a DHCP server, whatever address they are sent to. */
  #processDhcp(packet: Ipv4Packet): boolean {
    const datagram = decodeUdp(packet.payload, packet.src, packet.dst);
    if (typeof datagram === 'string') return false;
    if (datagram.srcPort !== DHCP_SERVER_PORT || datagram.dstPort !== DHCP_CLIENT_PORT) return false;
    const message = decodeDhcp(datagram.payload);
    for (const { socket } of this.#entries) {
      if (socket.kind !== 'dhcp') continue;
      if (typeof message !== 'string') socket.process(this.#now, message);
      return true;
    }
    return false;
  }

  #processIcmp(packet: Ipv4Packet): void {
    const message = decodeIcmp(packet.payload);
    if (typeof message === 'string' || (message.kind !== 'echo-request' && message.kind !== 'echo-reply')) return;
    for (const { socket } of this.#entries) {
      if (socket.kind === 'icmp' && socket.ident === message.ident) socket.process();
    }
    if (message.kind === 'echo-request') this.#replyIcmp(packet, { ...message, kind: 'echo-reply' });
  }

  #processUdp(packet: Ipv4Packet, bytes: Uint8Array): void {
    const datagram = decodeUdp(packet.payload, packet.src, packet.dst);
    if (typeof datagram === 'string') return;
    const broadcast = this.#isBroadcast(packet.dst);
    for (const { socket } of this.#entries) {
      if (socket.kind !== 'udp' || !socket.accepts(packet.dst, datagram.dstPort, broadcast)) continue;
      socket.process({ ip: packet.src, port: datagram.srcPort, payload: datagram.payload });
      return;
    }
    if (!broadcast) this.#replyIcmp(packet, unreachable(Unreachable.PORT, packet, bytes));
  }

  #processTcp(packet: Ipv4Packet): void {
    const wire = decodeTcp(packet.payload, packet.src, packet.dst);
    if (typeof wire === 'string') return;
    const segment = segmentOf(wire);
    if (segment === null || wire.srcPort === 0 || wire.dstPort === 0) return;
    const pair: TcpPair = {
      local: { ip: packet.dst, port: wire.dstPort },
      remote: { ip: packet.src, port: wire.srcPort },
    };
    for (const { socket } of this.#entries) {
      if (socket.kind !== 'tcp' || !socket.accepts(pair, segment)) continue;
      const answer = socket.process(this.#now, pair, segment, () => this.prng.next());
      if (answer !== null) this.#sendTcp(pair, answer);
      return;
    }
    const reset = resetFor(segment);
    if (reset !== null && this.#isUnicast(packet.src) && packet.dst === this.#config?.ip) this.#sendTcp(pair, reset);
  }

  /** An ICMP message to where a packet came from. */
  #replyIcmp(packet: Ipv4Packet, message: IcmpMessage): void {
    const own = this.#config;
    if (own === null || !this.#isUnicast(packet.src)) return;
    this.#send(own.ip, packet.src, IpProtocol.ICMP, encodeIcmp(message));
  }

  // -- sending ------------------------------------------------------------------------------------------------------

  /** Lets one socket send one packet, unless it rests. */
  #egress(entry: Entry): void {
    if (entry.waitingFor !== null) {
      if (!this.#hasNeighbor(entry.waitingFor) && this.#now < entry.silentUntil) return;
      entry.waitingFor = null;
    }
    const unreached = this.#egressSocket(entry.socket);
    if (unreached === null) return;
    entry.waitingFor = unreached;
    entry.silentUntil = this.#now + SOCKET_SILENCE_MS;
  }

  /** The address that could not be reached, or null. */
  #egressSocket(socket: StackSocket): Ipv4 | null {
    switch (socket.kind) {
      case 'dhcp': {
        const outgoing = socket.next(this.#now, this.prng.next());
        if (outgoing === null) return null;
        const { src, dst } = outgoing;
        const datagram = {
          srcPort: DHCP_CLIENT_PORT,
          dstPort: DHCP_SERVER_PORT,
          payload: encodeDhcp(outgoing.message),
        };
        if (!this.#emit(src, dst, IpProtocol.UDP, encodeUdp(datagram, src, dst))) return dst;
        socket.sent(this.#now, outgoing);
        return null;
      }
      case 'udp': {
        const datagram = socket.next;
        if (datagram === null) return null;
        const { ip, port, payload } = datagram;
        const bytes = encodeUdp({ srcPort: socket.port, dstPort: port, payload }, socket.ip, ip);
        if (!this.#emit(socket.ip, ip, IpProtocol.UDP, bytes)) return ip;
        socket.sent();
        return null;
      }
      case 'icmp': {
        const target = socket.next;
        const own = this.#config;
        if (target === null || own === null) return null;
        const { ident, sequence, payload } = socket;
        const bytes = encodeIcmp({ kind: 'echo-request', ident, sequence, payload });
        if (!this.#emit(own.ip, target, IpProtocol.ICMP, bytes)) return target;
        socket.sent();
        return null;
      }
      case 'tcp': {
        const segment = socket.next(this.#now);
        const { pair } = socket;
        if (segment === null || pair === null) return null;
        if (!this.#sendTcp(pair, segment)) return pair.remote.ip;
        this.#sent += 1;
        socket.sent(this.#now, segment);
        return null;
      }
    }
  }

  #sendTcp({ local, remote }: TcpPair, segment: Segment): boolean {
    const bytes = encodeTcp(wireOf(segment, local.port, remote.port), local.ip, remote.ip);
    return this.#send(local.ip, remote.ip, IpProtocol.TCP, bytes);
  }

  #emit(src: Ipv4, dst: Ipv4, protocol: number, payload: Uint8Array): boolean {
    if (!this.#send(src, dst, protocol, payload)) return false;
    this.#sent += 1;
    return true;
  }

  /** Sends a packet; false when its next hop has no known address yet. Packets over the MTU count as sent. */
  #send(src: Ipv4, dst: Ipv4, protocol: number, payload: Uint8Array): boolean {
    const mac = this.#resolve(dst);
    if (mac === null) return false;
    if (IPV4_HEADER + payload.length > IP_MTU) return true;
    const packet = ipv4Packet({ src, dst, protocol, payload, ttl: TTL, dontFragment: true });
    this.#transmit(mac, EtherType.IPV4, encodeIpv4(packet));
    return true;
  }

  /** Hardware address of the next hop; asks for it when it is unknown. */
  #resolve(dst: Ipv4): Mac | null {
    if (this.#isBroadcast(dst)) return MAC_BROADCAST;
    if (isMulticast(dst)) return multicastMac(dst);
    const hop = this.#route(dst);
    if (hop === null || this.#config === null) return null;
    const answer = this.#neighbors.lookup(hop, this.#now);
    if (typeof answer === 'number') return answer;
    if (answer === 'silent') return null;
    const request = {
      op: ArpOp.REQUEST,
      senderMac: this.mac,
      senderIp: this.#config.ip,
      targetMac: MAC_ZERO,
      targetIp: hop,
    };
    this.#transmit(MAC_BROADCAST, EtherType.ARP, encodeArp(request));
    this.#neighbors.startSilence(this.#now);
    return null;
  }

  #hasNeighbor(dst: Ipv4): boolean {
    const hop = this.#route(dst);
    return hop !== null && this.#neighbors.has(hop, this.#now);
  }

  #route(dst: Ipv4): Ipv4 | null {
    return this.#inSubnet(dst) ? dst : (this.#config?.gateway ?? null);
  }

  #transmit(dst: Mac, type: number, payload: Uint8Array): void {
    this.#device.transmit(encodeEthernet({ dst, src: this.mac, type, payload }));
  }

  #inSubnet(address: Ipv4): boolean {
    const own = this.#config;
    return own !== null && ((address ^ own.ip) & prefixMask(own.prefix)) === 0;
  }

  /** Limited broadcast, or that of our subnet. */
  #isBroadcast(address: Ipv4): boolean {
    if (address === IPV4_BROADCAST) return true;
    const own = this.#config;
    // Prefixes 31 and 32 have no broadcast address (RFC 3021).
    if (own === null || own.prefix >= 31) return false;
    return address === (own.ip | ~prefixMask(own.prefix)) >>> 0;
  }

  #isUnicast(address: Ipv4): boolean {
    return isUnicast(address) && !this.#isBroadcast(address);
  }
}

function socketPollAt(socket: StackSocket): number {
  if (socket.kind === 'dhcp' || socket.kind === 'tcp') return socket.pollAt;
  return socket.next === null ? Infinity : 0;
}

function unreachable(code: number, packet: Ipv4Packet, bytes: Uint8Array): IcmpMessage {
  const header = IPV4_HEADER + packet.options.length;
  const original = bytes.slice(0, header + Math.min(packet.payload.length, ICMP_ORIGINAL_MAX));
  return { kind: 'destination-unreachable', code, mtu: 0, original };
}
