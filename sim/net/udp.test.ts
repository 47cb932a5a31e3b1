import { describe, expect, it } from 'vitest';
import { ipv4 } from './address.ts';
import { decodeUdp, encodeUdp } from './udp.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { anyUdp, codecLaws } from './fixtures/packets.ts';

const GUEST = ipv4(10, 0, 2, 15);
const GATEWAY = ipv4(10, 0, 2, 2);
const BYTES = '9c43000900' + '09d37e' + '78';

describe('UDP', () => {
  it('keeps the laws of a codec', () => {
    codecLaws(
      anyUdp,
      (datagram) => encodeUdp(datagram, GUEST, GATEWAY),
      (bytes) => decodeUdp(bytes, GUEST, GATEWAY),
      ['truncated', 'bad-length', 'bad-checksum'],
    );
  });

  it('encodes the fields where they belong', () => {
    const datagram = { srcPort: 40_003, dstPort: 9, payload: unhex('78') };
    expect(hex(encodeUdp(datagram, GUEST, GATEWAY))).toBe(BYTES);
    expect(decodeUdp(unhex(BYTES + '0000'), GUEST, GATEWAY)).toEqual(datagram);
  });

  it('a checksum of 0 is none, one that comes out as 0 goes as ffff', () => {
    expect(decodeUdp(unhex('9c430009000900' + '0079'), GUEST, GATEWAY)).toMatchObject({ payload: unhex('79') });
    const zero = ipv4(0, 0, 0, 0);
    // Pseudo header 17 + 10, header 10, so that the payload makes the sum ffff.
    const bytes = encodeUdp({ srcPort: 0, dstPort: 0, payload: unhex('ffda') }, zero, zero);
    expect(hex(bytes)).toBe('00000000000affffffda');
    expect(decodeUdp(bytes, zero, zero)).toMatchObject({ payload: unhex('ffda') });
  });

  it('names what is wrong', () => {
    expect(decodeUdp(new Uint8Array(7), GUEST, GATEWAY)).toBe('truncated');
    expect(decodeUdp(unhex('9c43000900070000'), GUEST, GATEWAY)).toBe('bad-length');
    expect(decodeUdp(unhex('9c43000900090000'), GUEST, GATEWAY)).toBe('bad-length');
    expect(decodeUdp(unhex(BYTES), GUEST, ipv4(10, 0, 2, 3))).toBe('bad-checksum');
  });
});
