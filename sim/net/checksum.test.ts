import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addBytes, checksum, finish, pseudoHeaderSum } from './checksum.ts';
import { ipv4 } from './address.ts';
import { unhex } from './fixtures/bytes.ts';

/** One's complement sum, bit by bit as the RFC describes it. */
function model(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

describe('Internet checksum', () => {
  it('of RFC 1071, section 3', () => {
    expect(checksum(unhex('0001f203f4f5f6f7'))).toBe(0x220d);
  });

  it('agrees with a naive model, odd lengths included', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2048 }), (bytes) => {
        expect(checksum(bytes)).toBe(model(bytes));
      }),
      { seed: 20240, numRuns: 300 },
    );
    expect(checksum(new Uint8Array(65_535).fill(0xff))).toBe(model(new Uint8Array(65_535).fill(0xff)));
  });

  it('starts from the pseudo header', () => {
    const sum = pseudoHeaderSum(ipv4(10, 0, 2, 15), ipv4(10, 0, 2, 2), 17, 9);
    expect(finish(addBytes(sum, unhex('9c430009000900' + '0078')))).toBe(0xd37e);
  });
});
