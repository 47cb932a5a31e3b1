import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assemble } from '../sim/hart/asm.ts';
import { Bus } from '../sim/bus.ts';
import { Ram } from '../sim/ram.ts';
import { hartBodies } from './hart-task.ts';
import { IDLE_ROUND_MAX, idleRound } from './idle-loop.ts';
import { writeElf } from './synthetic-elf.ts';
import { runToEnd, startRoot, testMachine } from './test-kit.ts';
import type { TestMachine } from './test-kit.ts';

const BASE = 0x1000;

/** What the recogniser says of a program with an `ecall` at label `yield`. */
function roundOf(source: string): number {
  const { bytes, symbols } = assemble(source, BASE);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return idleRound(
    (pc) => {
      const at = pc - BASE;
      return at >= 0 && at + 4 <= bytes.length ? view.getUint32(at, true) : null;
    },
    Number(symbols.get('yield')),
  );
}

describe('a loop that yields for ever', () => {
  it.each([
    ['sets its number each time', 'l: li a7, 0\nyield: ecall\nj l', 2],
    ['set its number before', 'yield: ecall\nj yield', 1],
    ['jumps about', 'a: j b\nc: li a7, 0\nyield: ecall\nj a\nb: li a0, 5\nj c', 5],
    ['loads constants', 'l: li a0, 1\nli a1, 2\nli a7, 0\nnop\nyield: ecall\nj l', 5],
  ])('one that %s', (_what, source, instructions) => {
    expect(roundOf(source)).toBe(instructions);
  });

  it.each([
    ['looks at the result', 'l: li a7, 0\nyield: ecall\nbeqz a0, l\nj l'],
    ['counts', 'l: li a7, 0\nyield: ecall\naddi s0, s0, 1\nj l'],
    ['copies', 'l: li a7, 0\nyield: ecall\nmv s0, a0\nj l'],
    ['loads', 'l: li a7, 0\nyield: ecall\nlw s0, 0(sp)\nj l'],
    ['stores', 'l: li a7, 0\nyield: ecall\nsw s0, 0(sp)\nj l'],
    ['asks for something else next', 'l: li a7, 0\nyield: ecall\nli a7, 1\nj yield'],
    ['has another ecall', 'l: li a7, 0\nyield: ecall\nli a7, 1\necall\nj l'],
    ['reads the clock', 'l: li a7, 0\nyield: ecall\nrdcycle s0\nj l'],
    ['calls', 'l: li a7, 0\nyield: ecall\njal l'],
    ['returns', 'l: li a7, 0\nyield: ecall\nret'],
    ['ends', 'l: li a7, 0\nyield: ecall'],
    ['runs into nothing', 'yield: ecall\nj yield+0x1000'],
    ['spins elsewhere', 'yield: ecall\nl: j l'],
    ['is too long', `yield: ecall\n${'nop\n'.repeat(IDLE_ROUND_MAX)}j yield`],
  ])('not one that %s', (_what, source) => {
    expect(roundOf(source)).toBe(0);
  });

  it('any bits are judged', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { maxLength: 20 }), (words) => {
        const round = idleRound((pc) => words[(pc - BASE - 4) >> 2] ?? null, BASE);
        expect(round >= 0 && round <= IDLE_ROUND_MAX).toBe(true);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });
});

const machine = (skipPolls = true): TestMachine =>
  testMachine({
    image: { skipPolls },
    memory: {
      bodyOf: (kernel, elf) => {
        const { memory } = kernel.board;
        if (!(memory instanceof Ram)) throw new Error('no RAM');
        return hartBodies(new Bus(memory, []))(kernel, elf);
      },
    },
  });

const LOOP = 'l: li a7, 0\necall\nj l';

/** Times at which a neighbour of the looping child gets its turns. */
function turns(foreign: boolean): number[] {
  const m = machine();
  const times: number[] = [];
  const { bytes } = assemble(LOOP, 0x1_0000);
  startRoot(m, function* (sys) {
    if (foreign) {
      // Code in a VMO: others could write it, so each instruction is executed.
      const vmo = yield sys.vmoCreate(4096);
      const space = yield sys.asCreate();
      yield sys.vmoWrite(vmo, 0, bytes);
      yield sys.asMap(space, vmo, 0x1_0000, 4096, 5, 1);
      yield sys.spawn(0x1_0000, 0x2_1000, space, 0, 0);
    } else {
      const segments = [{ vaddr: 0x1_0000, memsz: 0x1000, flags: 5, bytes }];
      yield sys.exec(writeElf({ entry: 0x1_0000, segments, program: null }), 1, 0);
    }
    // Past the lines of the first activations.
    for (let i = 0; i < 20; i++) yield sys.yieldCpu();
    const start = m.kernel.clock.now;
    for (let i = 0; i < 50; i++) {
      yield sys.yieldCpu();
      times.push(m.kernel.clock.now - start);
    }
    return 0;
  });
  runToEnd(m, 1_000);
  return times;
}

describe('its rounds under the kernel', () => {
  it('cost what its instructions cost', () => {
    const executed = turns(true);
    expect(executed.length).toBe(50);
    expect(turns(false)).toEqual(executed);
  });

  it('when nothing else can happen, the run knows', () => {
    const m = machine();
    const { bytes } = assemble(LOOP, 0x1_0000);
    const segments = [{ vaddr: 0x1_0000, memsz: 0x1000, flags: 5, bytes }];
    startRoot(m, function* (sys) {
      yield sys.exec(writeElf({ entry: 0x1_0000, segments, program: null }), 1, 0);
      return 0;
    });
    expect(runToEnd(m, 10_000)).toBe('dead');
  });
});
