/** UDP datagrams (RFC 768). */
import { assert } from '../assert.ts';
import type { Ipv4 } from './address.ts';
import { readU16, writeU16 } from './address.ts';
import { addBytes, finish, pseudoHeaderSum } from './checksum.ts';
import { IPV4_HEADER, IPV4_PACKET_MAX, IpProtocol } from './ipv4.ts';

export const UDP_HEADER = 8;
export const UDP_PAYLOAD_MAX = IPV4_PACKET_MAX - IPV4_HEADER - UDP_HEADER;
const SRC_PORT = 0;
const DST_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

export interface UdpDatagram {
  /** 16 bits. */
  readonly srcPort: number;
  /** 16 bits. */
  readonly dstPort: number;
  readonly payload: Uint8Array;
}

/** Shorter than a header; length field below 8 or beyond the bytes; wrong checksum. */
export type UdpReject = 'truncated' | 'bad-length' | 'bad-checksum';

/** `src` and `dst` are those of the IPv4 packet; a checksum of 0 means that there is none. `payload` is a view. */
export function decodeUdp(bytes: Uint8Array, src: Ipv4, dst: Ipv4): UdpDatagram | UdpReject {
  if (bytes.length < UDP_HEADER) return 'truncated';
  const length = readU16(bytes, LENGTH);
  if (length < UDP_HEADER || length > bytes.length) return 'bad-length';
  if (readU16(bytes, CHECKSUM) !== 0) {
    const sum = addBytes(pseudoHeaderSum(src, dst, IpProtocol.UDP, length), bytes.subarray(0, length));
    if (finish(sum) !== 0) return 'bad-checksum';
  }
  return {
    srcPort: readU16(bytes, SRC_PORT),
    dstPort: readU16(bytes, DST_PORT),
    payload: bytes.subarray(UDP_HEADER, length),
  };
}

/** Always with a checksum; one that comes out as 0 is sent as ffff. */
export function encodeUdp(datagram: UdpDatagram, src: Ipv4, dst: Ipv4): Uint8Array {
  const { payload } = datagram;
  assert(payload.length <= UDP_PAYLOAD_MAX, 'UDP payload too long');
  const bytes = new Uint8Array(UDP_HEADER + payload.length);
  writeU16(bytes, SRC_PORT, datagram.srcPort);
  writeU16(bytes, DST_PORT, datagram.dstPort);
  writeU16(bytes, LENGTH, bytes.length);
  bytes.set(payload, UDP_HEADER);
  const sum = finish(addBytes(pseudoHeaderSum(src, dst, IpProtocol.UDP, bytes.length), bytes));
  writeU16(bytes, CHECKSUM, sum === 0 ? 0xffff : sum);
  return bytes;
}
