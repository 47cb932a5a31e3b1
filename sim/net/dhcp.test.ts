import { describe, expect, it } from 'vitest';
import { decodeDhcp, DhcpCode, DhcpType, dhcpAddress, dhcpOption, dhcpType, dhcpU32, encodeDhcp } from './dhcp.ts';
import type { DhcpMessage } from './dhcp.ts';
import { ipv4, IPV4_ANY } from './address.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { anyDhcp, codecLaws } from './fixtures/packets.ts';

const MAC = '525400123456';
/** DISCOVER and REQUEST as the OS sends them (sheet 70, section 3). */
function client(xid: number, options: DhcpMessage['options']): DhcpMessage {
  const chaddr = new Uint8Array(16);
  chaddr.set(unhex(MAC));
  return {
    op: 1,
    htype: 1,
    hlen: 6,
    hops: 0,
    xid,
    secs: 0,
    flags: 0,
    ciaddr: IPV4_ANY,
    yiaddr: IPV4_ANY,
    siaddr: IPV4_ANY,
    giaddr: IPV4_ANY,
    chaddr,
    sname: new Uint8Array(64),
    file: new Uint8Array(128),
    options,
  };
}
const TYPE = (type: number) => ({ code: DhcpCode.MESSAGE_TYPE, data: Uint8Array.of(type) });
const ID = { code: DhcpCode.CLIENT_ID, data: unhex(`01${MAC}`) };
const SIZE = { code: DhcpCode.MAX_SIZE, data: unhex('058a') };
const LIST = { code: DhcpCode.PARAMETER_LIST, data: unhex('010306') };
const DISCOVER = client(0x780a_1fde, [TYPE(DhcpType.DISCOVER), ID, SIZE, LIST]);
const REQUEST = client(0x2043_e7ee, [
  TYPE(DhcpType.REQUEST),
  ID,
  dhcpU32(DhcpCode.SERVER_ID, ipv4(10, 0, 2, 2)),
  dhcpU32(DhcpCode.REQUESTED_IP, ipv4(10, 0, 2, 15)),
  SIZE,
  LIST,
]);

describe('DHCP', () => {
  it('keeps the laws of a codec', () => {
    codecLaws(anyDhcp, (message) => encodeDhcp(message), decodeDhcp, ['truncated', 'bad-cookie', 'bad-option']);
  });

  it('DISCOVER of sheet 70, section 3: 262 bytes', () => {
    const bytes = encodeDhcp(DISCOVER);
    expect(bytes).toHaveLength(262);
    expect(hex(bytes)).toBe(
      '01010600780a1fde' +
        '00'.repeat(20) +
        MAC +
        '00'.repeat(10 + 192) +
        '63825363' +
        '350101' +
        `3d0701${MAC}` +
        '3902058a' +
        '3703010306' +
        'ff',
    );
  });

  it('REQUEST of sheet 70, section 3: 274 bytes', () => {
    const bytes = encodeDhcp(REQUEST);
    expect(bytes).toHaveLength(274);
    expect(hex(bytes.subarray(240))).toBe(
      '350103' + `3d0701${MAC}` + '36040a000202' + '32040a00020f' + '3902058a' + '3703010306' + 'ff',
    );
  });

  it('finds options', () => {
    expect(dhcpType(REQUEST)).toBe(DhcpType.REQUEST);
    expect(dhcpAddress(REQUEST, DhcpCode.REQUESTED_IP)).toBe(ipv4(10, 0, 2, 15));
    expect(dhcpAddress(REQUEST, DhcpCode.MAX_SIZE)).toBeNull();
    expect(dhcpOption(DISCOVER, DhcpCode.SERVER_ID)).toBeNull();
    expect(dhcpType(client(1, []))).toBeNull();
  });

  it('pads behind the end option, skips padding between options, and does not need the end option', () => {
    const padded = encodeDhcp(DISCOVER, 548);
    expect(padded).toHaveLength(548);
    expect(decodeDhcp(padded)).toEqual(DISCOVER);
    const loose = encodeDhcp(client(1, [])).slice(0, 240);
    const bytes = Uint8Array.from([...loose, 0, 0, 53, 1, 1, 0]);
    expect(decodeDhcp(bytes)).toEqual(client(1, [TYPE(1)]));
  });

  it('names what is wrong', () => {
    const bytes = encodeDhcp(DISCOVER);
    expect(decodeDhcp(bytes.subarray(0, 239))).toBe('truncated');
    expect(decodeDhcp(bytes.subarray(0, 241))).toBe('bad-option');
    expect(decodeDhcp(bytes.subarray(0, 242))).toBe('bad-option');
    bytes[239] = 0;
    expect(decodeDhcp(bytes)).toBe('bad-cookie');
  });
});
