import { describe, expect, it } from 'vitest';
import { guestRam } from './guest-ram.ts';

describe('memory of guests', () => {
  it('is uncounted for the first machines alone, and zero in any case', () => {
    const source = guestRam(2);
    const buffers = [source(4096), source(8192), source(4096)];
    expect(buffers.map((buffer) => buffer instanceof SharedArrayBuffer)).toEqual([true, true, false]);
    expect(buffers.map((buffer) => buffer.byteLength)).toEqual([4096, 8192, 4096]);
    for (const buffer of buffers) expect(new Uint8Array(buffer).every((byte) => byte === 0)).toBe(true);
  });
});
