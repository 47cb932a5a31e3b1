import { describe, expect, it } from 'vitest';
import { ipv4 } from './address.ts';
import { decodeTcp, encodeTcp, TcpFlag, tcpOptionsLength } from './tcp.ts';
import type { TcpSegment } from './tcp.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { anyTcp, codecLaws } from './fixtures/packets.ts';

const GUEST = ipv4(10, 0, 2, 15);
const GATEWAY = ipv4(10, 0, 2, 2);
const RST: TcpSegment = {
  srcPort: 9,
  dstPort: 40_000,
  seq: 0,
  ack: 1001,
  flags: TcpFlag.RST | TcpFlag.ACK,
  window: 0xffff,
  urgent: 0,
  options: [],
  payload: new Uint8Array(0),
};
/** A refused connection as measured (sheet 05, section 14.3). */
const RST_BYTES = '00099c4000000000000003e95014fffff78d0000';

/** A segment with these option bytes (a multiple of 4) and a right checksum. */
function withOptions(options: string): TcpSegment | string {
  const data = unhex(options);
  const other = { kind: 'other', number: 200, data: data.subarray(2) } as const;
  const bytes = encodeTcp({ ...RST, options: data.length > 0 ? [other] : [] }, GATEWAY, GUEST);
  bytes.set(data, 20);
  const sum = decodeTcp(bytes, GATEWAY, GUEST);
  if (sum !== 'bad-checksum') return sum;
  for (let value = 0; value <= 0xffff; value += 1) {
    bytes[16] = value >>> 8;
    bytes[17] = value;
    const decoded = decodeTcp(bytes, GATEWAY, GUEST);
    if (decoded !== 'bad-checksum') return decoded;
  }
  throw new Error('no checksum fits');
}

describe('TCP', () => {
  it('keeps the laws of a codec', () => {
    codecLaws(
      anyTcp,
      (segment) => encodeTcp(segment, GUEST, GATEWAY),
      (bytes) => decodeTcp(bytes, GUEST, GATEWAY),
      ['truncated', 'bad-header-length', 'bad-checksum', 'bad-option'],
    );
  });

  it('encodes the fields where they belong', () => {
    expect(hex(encodeTcp(RST, GATEWAY, GUEST))).toBe(RST_BYTES);
    expect(decodeTcp(unhex(RST_BYTES), GATEWAY, GUEST)).toEqual(RST);
  });

  it('encodes options in order and pads with zeros', () => {
    const options = [
      { kind: 'mss', value: 1446 },
      { kind: 'window-scale', shift: 0 },
      { kind: 'sack-permitted' },
    ] as const;
    expect(tcpOptionsLength(options)).toBe(12);
    const bytes = encodeTcp({ ...RST, options }, GATEWAY, GUEST);
    expect(bytes[12]).toBe(0x80);
    expect(hex(bytes.subarray(20))).toBe('020405a6' + '030300' + '0402' + '000000');
  });

  it('stops at the end option', () => {
    expect(withOptions('0101' + '00' + 'ff')).toMatchObject({ options: [{ kind: 'nop' }, { kind: 'nop' }] });
  });

  it.each(['02030000', '01010102', '0303ff03', '0201ffff', '05030000', '08040000', '0403ff00', '01c80500'])(
    'bad-option: %s',
    (options) => {
      expect(withOptions(options)).toBe('bad-option');
    },
  );

  it('names what is wrong', () => {
    expect(decodeTcp(new Uint8Array(19), GATEWAY, GUEST)).toBe('truncated');
    const bytes = unhex(RST_BYTES);
    bytes[12] = 0x40;
    expect(decodeTcp(bytes, GATEWAY, GUEST)).toBe('bad-header-length');
    bytes[12] = 0x60;
    expect(decodeTcp(bytes, GATEWAY, GUEST)).toBe('bad-header-length');
    expect(decodeTcp(unhex(RST_BYTES), GATEWAY, GATEWAY)).toBe('bad-checksum');
  });
});
