import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PayloadStore } from './payload.ts';

describe('PayloadStore', () => {
  it('copies share no byte with each other or with what was sent', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 1, 63, 64, 65, 200, 2047, 2048, 2049, 8192), { maxLength: 80 }),
        (sizes) => {
          const store = new PayloadStore();
          const copies = sizes.map((size, i) => {
            const sent = new Uint8Array(size).fill(i + 1);
            const copy = store.copy(sent);
            sent.fill(0xee);
            return copy;
          });
          copies.forEach((copy, i) => {
            expect(copy.length).toBe(sizes[i]);
            expect(copy.every((byte) => byte === i + 1)).toBe(true);
            copy.fill(0xff);
          });
        },
      ),
      { seed: 20240, numRuns: 50 },
    );
  });
});
