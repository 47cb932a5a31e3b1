import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_TRACKED, TrackedChildren, payloadImages } from './images.ts';

describe('tracked children (sheet 60, section 6.3)', () => {
  it('remember 16, oldest forgotten first', () => {
    const children = new TrackedChildren();
    for (let pid = 1; pid <= MAX_TRACKED; pid++) children.add(pid, 'demo.hello');
    expect(children.nameOf(1)).toBe('demo.hello');
    children.add(100, 'demo.exit0');
    expect(children.nameOf(1)).toBeNull();
    expect(children.nameOf(2)).toBe('demo.hello');
    expect(children.nameOf(100)).toBe('demo.exit0');
    expect(children.nameOf(0)).toBeNull();
  });

  it('agree with a list that is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ pid: fc.nat(30), name: fc.constantFrom('a', 'b', 'c') })), (spawned) => {
        const children = new TrackedChildren();
        for (const { pid, name } of spawned) children.add(pid, name);
        const kept = spawned.slice(-16);
        for (let pid = 0; pid <= 30; pid++) {
          expect(children.nameOf(pid)).toBe(kept.find((child) => child.pid === pid)?.name ?? null);
        }
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});

describe('the images', () => {
  it('are the three payloads by their numbers', () => {
    const images = payloadImages();
    expect([...images].map(([image, { name, elf }]) => [image, name, elf.length])).toEqual([
      [1, 'demo.hello', 409],
      [2, 'demo.exit0', 324],
      [3, 'demo.exit42', 328],
    ]);
  });
});
