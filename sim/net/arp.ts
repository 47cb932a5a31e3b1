/** ARP for IPv4 over Ethernet (RFC 826). */
import type { Ipv4, Mac } from './address.ts';
import { IPV4_SIZE, MAC_SIZE, readIpv4, readMac, readU16, writeMac, writeU16, writeU32 } from './address.ts';

export const ARP_SIZE = 28;
const HARDWARE_ETHERNET = 1;
const PROTOCOL_IPV4 = 0x0800;

const HTYPE = 0;
const PTYPE = 2;
const HLEN = 4;
const PLEN = 5;
const OPER = 6;
const SHA = 8;
const SPA = 14;
const THA = 18;
const TPA = 24;

/** Operation; others decode and are left to the receiver to ignore. */
export const ArpOp = { REQUEST: 1, REPLY: 2 } as const;

export interface ArpPacket {
  /** 16 bits, {@link ArpOp}. */
  readonly op: number;
  readonly senderMac: Mac;
  readonly senderIp: Ipv4;
  readonly targetMac: Mac;
  readonly targetIp: Ipv4;
}

/** Too short; hardware or its address length is not Ethernet's; protocol or its address length is not IPv4's. */
export type ArpReject = 'truncated' | 'bad-hardware' | 'bad-protocol';

/** Bytes after the packet (padding of the frame) are ignored. */
export function decodeArp(bytes: Uint8Array): ArpPacket | ArpReject {
  if (bytes.length < ARP_SIZE) return 'truncated';
  if (readU16(bytes, HTYPE) !== HARDWARE_ETHERNET || bytes[HLEN] !== MAC_SIZE) return 'bad-hardware';
  if (readU16(bytes, PTYPE) !== PROTOCOL_IPV4 || bytes[PLEN] !== IPV4_SIZE) return 'bad-protocol';
  return {
    op: readU16(bytes, OPER),
    senderMac: readMac(bytes, SHA),
    senderIp: readIpv4(bytes, SPA),
    targetMac: readMac(bytes, THA),
    targetIp: readIpv4(bytes, TPA),
  };
}

export function encodeArp(packet: ArpPacket): Uint8Array {
  const bytes = new Uint8Array(ARP_SIZE);
  writeU16(bytes, HTYPE, HARDWARE_ETHERNET);
  writeU16(bytes, PTYPE, PROTOCOL_IPV4);
  bytes[HLEN] = MAC_SIZE;
  bytes[PLEN] = IPV4_SIZE;
  writeU16(bytes, OPER, packet.op);
  writeMac(bytes, SHA, packet.senderMac);
  writeU32(bytes, SPA, packet.senderIp);
  writeMac(bytes, THA, packet.targetMac);
  writeU32(bytes, TPA, packet.targetIp);
  return bytes;
}
