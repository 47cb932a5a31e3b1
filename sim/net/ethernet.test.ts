import { describe, expect, it } from 'vitest';
import { decodeEthernet, encodeEthernet } from './ethernet.ts';
import { macOf } from './address.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { anyEthernet, codecLaws } from './fixtures/packets.ts';

describe('Ethernet', () => {
  it('keeps the laws of a codec', () => {
    codecLaws(anyEthernet, (frame) => encodeEthernet(frame), decodeEthernet, ['truncated']);
  });

  it('lays out destination, source, type and pads to the minimum asked for', () => {
    const frame = {
      dst: macOf([1, 2, 3, 4, 5, 6]),
      src: macOf([7, 8, 9, 10, 11, 12]),
      type: 0x806,
      payload: unhex('aa'),
    };
    expect(hex(encodeEthernet(frame))).toBe('010203040506' + '0708090a0b0c' + '0806' + 'aa');
    expect(encodeEthernet(frame, 60)).toHaveLength(60);
    expect(decodeEthernet(new Uint8Array(13))).toBe('truncated');
  });
});
