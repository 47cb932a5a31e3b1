import { describe, expect, it } from 'vitest';
import { ArpOp, decodeArp, encodeArp } from './arp.ts';
import { ipv4, macOf } from './address.ts';
import { hex, unhex } from './fixtures/bytes.ts';
import { anyArp, codecLaws } from './fixtures/packets.ts';

/** Sheet 05, section 14.3. */
const REPLY = '000108000604000252550a0002020a0002025254001234560a00020f';

describe('ARP', () => {
  it('keeps the laws of a codec', () => {
    codecLaws(anyArp, encodeArp, decodeArp, ['truncated', 'bad-hardware', 'bad-protocol']);
  });

  it('the reply of sheet 05, section 14.3', () => {
    const packet = {
      op: ArpOp.REPLY,
      senderMac: macOf([0x52, 0x55, 0x0a, 0, 2, 2]),
      senderIp: ipv4(10, 0, 2, 2),
      targetMac: macOf([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
      targetIp: ipv4(10, 0, 2, 15),
    };
    expect(hex(encodeArp(packet))).toBe(REPLY);
    expect(decodeArp(unhex(REPLY + '00'.repeat(22)))).toEqual(packet);
  });

  it.each([
    ['truncated', 0, 27],
    ['bad-hardware', 1, 28],
    ['bad-protocol', 2, 28],
    ['bad-hardware', 4, 28],
    ['bad-protocol', 5, 28],
  ])('%s: byte %i changed, %i bytes', (reject, at, length) => {
    const bytes = unhex(REPLY).subarray(0, length);
    bytes[at] = bytes[at]! ^ 0x40;
    expect(decodeArp(bytes)).toBe(reject);
  });
});
