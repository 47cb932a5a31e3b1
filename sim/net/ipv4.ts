/** IPv4 packets (RFC 791). Fragments decode as what they are; nobody here puts them together. */
import { assert } from '../assert.ts';
import type { Ipv4 } from './address.ts';
import { readIpv4, readU16, writeU16, writeU32 } from './address.ts';
import { checksum } from './checksum.ts';

export const IPV4_HEADER = 20;
export const IPV4_OPTIONS_MAX = 40;
export const IPV4_PACKET_MAX = 0xffff;

const VERSION_IHL = 0;
const TOS = 1;
const TOTAL_LENGTH = 2;
const IDENT = 4;
const FLAGS_OFFSET = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SRC = 12;
const DST = 16;

const VERSION = 4;
const DF = 0x4000;
const MF = 0x2000;
const OFFSET_MASK = 0x1fff;

/** Protocol numbers. */
export const IpProtocol = { ICMP: 1, TCP: 6, UDP: 17 } as const;

export interface Ipv4Packet {
  /** Type of service, 8 bits. */
  readonly tos: number;
  /** 16 bits. */
  readonly ident: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In units of 8 bytes, 13 bits. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  /** {@link IpProtocol}, 8 bits. */
  readonly protocol: number;
  readonly src: Ipv4;
  readonly dst: Ipv4;
  /** Raw options, a multiple of 4 bytes, at most {@link IPV4_OPTIONS_MAX}. */
  readonly options: Uint8Array;
  readonly payload: Uint8Array;
}

/** Shorter than a header; another version; IHL below 5 or beyond the bytes; total length likewise; wrong checksum. */
export type Ipv4Reject = 'truncated' | 'bad-version' | 'bad-header-length' | 'bad-total-length' | 'bad-checksum';

const NO_OPTIONS = new Uint8Array(0);

/** Bytes beyond the total length (padding of the frame) are ignored. `options` and `payload` are views of `bytes`. */
export function decodeIpv4(bytes: Uint8Array): Ipv4Packet | Ipv4Reject {
  if (bytes.length < IPV4_HEADER) return 'truncated';
  const first = bytes[VERSION_IHL] ?? 0;
  if (first >>> 4 !== VERSION) return 'bad-version';
  const header = 4 * (first & 0xf);
  if (header < IPV4_HEADER || header > bytes.length) return 'bad-header-length';
  const total = readU16(bytes, TOTAL_LENGTH);
  if (total < header || total > bytes.length) return 'bad-total-length';
  if (checksum(bytes.subarray(0, header)) !== 0) return 'bad-checksum';
  const flags = readU16(bytes, FLAGS_OFFSET);
  return {
    tos: bytes[TOS] ?? 0,
    ident: readU16(bytes, IDENT),
    dontFragment: (flags & DF) !== 0,
    moreFragments: (flags & MF) !== 0,
    fragmentOffset: flags & OFFSET_MASK,
    ttl: bytes[TTL] ?? 0,
    protocol: bytes[PROTOCOL] ?? 0,
    src: readIpv4(bytes, SRC),
    dst: readIpv4(bytes, DST),
    options: header === IPV4_HEADER ? NO_OPTIONS : bytes.subarray(IPV4_HEADER, header),
    payload: bytes.subarray(header, total),
  };
}

export function encodeIpv4(packet: Ipv4Packet): Uint8Array {
  const { options, payload } = packet;
  assert(options.length % 4 === 0 && options.length <= IPV4_OPTIONS_MAX, 'IPv4 options must be 0 to 40 bytes in fours');
  const header = IPV4_HEADER + options.length;
  const total = header + payload.length;
  assert(total <= IPV4_PACKET_MAX, 'IPv4 packet too long');
  const bytes = new Uint8Array(total);
  bytes[VERSION_IHL] = (VERSION << 4) | (header / 4);
  bytes[TOS] = packet.tos;
  writeU16(bytes, TOTAL_LENGTH, total);
  writeU16(bytes, IDENT, packet.ident);
  const flags = (packet.dontFragment ? DF : 0) | (packet.moreFragments ? MF : 0);
  writeU16(bytes, FLAGS_OFFSET, flags | (packet.fragmentOffset & OFFSET_MASK));
  bytes[TTL] = packet.ttl;
  bytes[PROTOCOL] = packet.protocol;
  writeU32(bytes, SRC, packet.src);
  writeU32(bytes, DST, packet.dst);
  bytes.set(options, IPV4_HEADER);
  writeU16(bytes, CHECKSUM, checksum(bytes.subarray(0, header)));
  bytes.set(payload, header);
  return bytes;
}

/** A whole packet of its own: no options, not fragmented. */
export function ipv4Packet(
  fields: Pick<Ipv4Packet, 'src' | 'dst' | 'protocol' | 'payload' | 'ttl'> &
    Partial<Pick<Ipv4Packet, 'tos' | 'ident' | 'dontFragment'>>,
): Ipv4Packet {
  return {
    tos: 0,
    ident: 0,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    options: NO_OPTIONS,
    ...fields,
  };
}
