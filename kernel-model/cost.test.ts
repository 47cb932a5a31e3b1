import { describe, expect, it } from 'vitest';
import { costsAt, KERNEL_INSTRUCTIONS } from './cost.ts';

describe('costsAt', () => {
  it('gives the measured figures at icount 1', () => {
    const costs = costsAt(1);
    expect([costs.nsec, costs.syscall, costs.yield, costs.putc]).toEqual([2000, 2000, 2200, 2000]);
    expect(costs.recvEmpty + costs.block).toBe(4200);
  });

  it('scales with 2 ** icount', () => {
    expect(costsAt(0).instruction).toBe(1);
    expect(costsAt(3).send).toBe(8 * KERNEL_INSTRUCTIONS.send);
    expect(() => costsAt(11)).toThrow('icount');
  });
});
