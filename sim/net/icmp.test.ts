import { describe, expect, it } from 'vitest';
import { decodeIcmp, encodeIcmp } from './icmp.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { anyIcmp, codecLaws } from './fixtures/packets.ts';

describe('ICMP', () => {
  it('keeps the laws of a codec', () => {
    codecLaws(anyIcmp, encodeIcmp, decodeIcmp, ['truncated', 'bad-checksum']);
  });

  it('the ping of sheet 70, section 4', () => {
    const ping = { kind: 'echo-request', ident: 0x1234, sequence: 1, payload: new Uint8Array(16) } as const;
    const bytes = '0800e5ca12340001' + '00'.repeat(16);
    expect(hex(encodeIcmp(ping))).toBe(bytes);
    expect(decodeIcmp(unhex(bytes))).toEqual(ping);
  });

  it('an echo with a code is none', () => {
    expect(decodeIcmp(unhex('0801f7fe00000000'))).toMatchObject({ kind: 'other', type: 8, code: 1 });
  });

  it('names what is wrong', () => {
    expect(decodeIcmp(new Uint8Array(7))).toBe('truncated');
    expect(decodeIcmp(unhex('0800e5cb12340001'))).toBe('bad-checksum');
  });
});
