import { describe, expect, it } from 'vitest';
import { decodeIpv4, encodeIpv4, ipv4Packet } from './ipv4.ts';
import type { Ipv4Packet } from './ipv4.ts';
import { ipv4 } from './address.ts';
import { checksum } from './checksum.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { anyIpv4Packet, codecLaws } from './fixtures/packets.ts';

/** Header of the first OFFER (sheet 05, section 14.3), cut to a payload of one byte. */
const PACKET = ipv4Packet({
  src: ipv4(10, 0, 2, 2),
  dst: ipv4(255, 255, 255, 255),
  protocol: 17,
  ttl: 64,
  tos: 0x10,
  payload: unhex('aa'),
});
const BYTES = '45100015000000004011' + '6ec7' + '0a000202ffffffff' + 'aa';

function spoilt(edit: (bytes: Uint8Array) => void, fix = true): Ipv4Packet | string {
  const bytes = encodeIpv4(PACKET);
  edit(bytes);
  if (fix) {
    bytes.fill(0, 10, 12);
    const sum = checksum(bytes.subarray(0, 20));
    bytes[10] = sum >>> 8;
    bytes[11] = sum;
  }
  return decodeIpv4(bytes);
}

describe('IPv4', () => {
  it('keeps the laws of a codec', () => {
    codecLaws(anyIpv4Packet, encodeIpv4, decodeIpv4, [
      'truncated',
      'bad-version',
      'bad-header-length',
      'bad-total-length',
      'bad-checksum',
    ]);
  });

  it('encodes the fields where they belong', () => {
    expect(hex(encodeIpv4(PACKET))).toBe(BYTES);
    expect(decodeIpv4(unhex(BYTES + '000000'))).toEqual(PACKET);
  });

  it('names what is wrong', () => {
    expect(decodeIpv4(new Uint8Array(19))).toBe('truncated');
    expect(spoilt((bytes) => bytes.fill(0x65, 0, 1))).toBe('bad-version');
    expect(spoilt((bytes) => bytes.fill(0x44, 0, 1))).toBe('bad-header-length');
    expect(spoilt((bytes) => bytes.fill(0x46, 0, 1))).toBe('bad-header-length');
    expect(spoilt((bytes) => bytes.fill(22, 3, 4))).toBe('bad-total-length');
    expect(spoilt((bytes) => bytes.fill(19, 3, 4))).toBe('bad-total-length');
    expect(spoilt((bytes) => bytes.fill(1, 5, 6), false)).toBe('bad-checksum');
  });
});
