/** The A extension: vectors and reservation table of sheet 05, section 18.5. */
import { describe, expect, it } from 'vitest';
import { assemble } from './asm.ts';
import { CODE, DATA, HartRig, READ_ONLY } from './testing.ts';

/** Runs a program with s0 at the data page, up to its ecall; the trap of anything else is reported. */
function run(source: string, prepare?: (rig: HartRig) => void): HartRig {
  const rig = new HartRig();
  rig.poke(CODE, assemble(source, CODE).bytes);
  rig.hart.setX(8, BigInt(DATA));
  rig.hart.setX(9, BigInt(READ_ONLY));
  prepare?.(rig);
  rig.hart.run(10_000);
  return rig;
}

const A0 = 10;

describe('AMO vectors', () => {
  const VECTORS: readonly (readonly [name: string, memory: bigint, rs2: bigint, rd: bigint, after: bigint])[] = [
    ['amoadd.w', 0xaaaa_aaaa_7fff_ffffn, 1n, 0x7fff_ffffn, 0xaaaa_aaaa_8000_0000n],
    ['amoswap.w', 0x1111_1111_8000_0000n, 0x2222_2222n, 0xffff_ffff_8000_0000n, 0x1111_1111_2222_2222n],
    ['amomin.w', 0x8000_0000n, 1n, 0xffff_ffff_8000_0000n, 0x8000_0000n],
    ['amomax.w', 0x8000_0000n, 1n, 0xffff_ffff_8000_0000n, 1n],
    ['amominu.w', 0x8000_0000n, 1n, 0xffff_ffff_8000_0000n, 1n],
    ['amomaxu.w', 0x8000_0000n, 1n, 0xffff_ffff_8000_0000n, 0x8000_0000n],
    ['amomin.w', 5n, 0x1_ffff_ffffn, 5n, 0xffff_ffffn],
    ['amominu.w', 5n, 0x1_0000_0001n, 5n, 1n],
    ['amoadd.d', 0xffff_ffff_ffff_ffffn, 2n, 0xffff_ffff_ffff_ffffn, 1n],
    ['amomin.d', 1n << 63n, 1n, 1n << 63n, 1n << 63n],
    ['amomaxu.d', 1n << 63n, 1n, 1n << 63n, 1n << 63n],
    ['amoand.d', 0xff00_ff00_ff00_ff00n, 0x0ff0_0ff0_0ff0_0ff0n, 0xff00_ff00_ff00_ff00n, 0x0f00_0f00_0f00_0f00n],
  ];
  for (const [name, memory, rs2, rd, after] of VECTORS)
    it(`${name} ${memory.toString(16)}, ${rs2.toString(16)}`, () => {
      const rig = run(`${name}.aqrl a0, a1, (s0)\n ecall`, (it) => {
        it.poke64(DATA, memory);
        it.hart.setX(11, rs2);
      });
      expect(rig.hart.stop).toMatchObject({ reason: 'trap', cause: 8 });
      expect(rig.hart.getX(A0)).toBe(rd);
      expect(rig.peek64(DATA)).toBe(after);
    });

  it('lr.w sign-extends', () => {
    const rig = run('lr.w a0, (s0)\n ecall', (it) => it.poke64(DATA, 0x8000_0001n));
    expect(rig.hart.getX(A0)).toBe(0xffff_ffff_8000_0001n);
  });
});

describe('reservation', () => {
  /** Program, result of the last sc in a0. Memory at s0 and s0 + 64 holds 1. */
  const TABLE: readonly (readonly [name: string, program: string, result: bigint])[] = [
    ['lr; sc', 'lr.d t0, (s0)\n sc.d a0, t1, (s0)', 0n],
    ['lr.w; sc.w', 'lr.w t0, (s0)\n sc.w a0, t1, (s0)', 0n],
    ['sc without lr', 'sc.d a0, t1, (s0)', 1n],
    ['lr; own store of another value; sc', 'lr.d t0, (s0)\n li t2, 9\n sd t2, 0(s0)\n sc.d a0, t1, (s0)', 1n],
    ['lr; own store of the same value; sc', 'lr.d t0, (s0)\n sd t0, 0(s0)\n sc.d a0, t1, (s0)', 0n],
    ['lr; own store elsewhere; sc', 'lr.d t0, (s0)\n sd t1, 8(s0)\n sc.d a0, t1, (s0)', 0n],
    ['lr; amo elsewhere; sc', 'lr.d t0, (s0)\n amoadd.d t2, t1, (s1)\n sc.d a0, t1, (s0)', 0n],
    ['lr A; sc B', 'lr.d t0, (s0)\n sc.d a0, t1, (s1)', 1n],
    ['lr A; lr B; sc A', 'lr.d t0, (s0)\n lr.d t0, (s1)\n sc.d a0, t1, (s0)', 1n],
    ['lr; sc; sc', 'lr.d t0, (s0)\n sc.d t2, t1, (s0)\n sd t0, 0(s0)\n sc.d a0, t1, (s0)', 1n],
    ['lr; failed sc B; sc A', 'lr.d t0, (s0)\n sc.d t2, t1, (s1)\n sc.d a0, t1, (s0)', 1n],
    ['lr.w; sc.d of the value 1', 'lr.w t0, (s0)\n sc.d a0, t1, (s0)', 0n],
    ['lr.d; sc.w of the value 1', 'lr.d t0, (s0)\n sc.w a0, t1, (s0)', 0n],
    ['lr; fence; sc', 'lr.d t0, (s0)\n fence\n fence.i\n sc.d a0, t1, (s0)', 0n],
    [
      'lr; loop of 200; sc',
      'lr.d t0, (s0)\n li t2, 200\nagain: addi t2, t2, -1\n bnez t2, again\n sc.d a0, t1, (s0)',
      0n,
    ],
  ];
  for (const [name, program, result] of TABLE)
    it(`${name}: ${result}`, () => {
      const rig = run(`li t1, 7\n ${program}\n ecall`, (it) => {
        it.poke64(DATA, 1n);
        it.poke64(DATA + 64, 1n);
        it.hart.setX(9, BigInt(DATA + 64));
      });
      expect(rig.hart.stop).toMatchObject({ reason: 'trap', cause: 8 });
      expect(rig.hart.getX(A0)).toBe(result);
      if (result === 0n) expect(rig.peek64(DATA)).toBe(7n);
      expect(rig.hart.state.reserved).toBe(false);
    });

  it('compares the upper word too after lr.w; sc.d', () => {
    const rig = run('lr.w t0, (s0)\n sc.d a0, zero, (s0)\n ecall', (it) => it.poke64(DATA, 0x5_0000_0001n));
    expect(rig.hart.getX(A0)).toBe(1n);
    expect(rig.peek64(DATA)).toBe(0x5_0000_0001n);
  });

  it('fails after lr.d where sc.w finds only the lower word of the value, and stores nothing', () => {
    const rig = run('lr.d t0, (s0)\n sc.w a0, zero, (s0)\n ecall', (it) => it.poke64(DATA, 0x5_0000_0001n));
    expect(rig.hart.getX(A0)).toBe(1n);
    expect(rig.peek64(DATA)).toBe(0x5_0000_0001n);
  });

  it('is dropped by a trap', () => {
    for (const trap of ['ebreak', 'ecall', '.word 0', 'ld t2, 0(zero)']) {
      const rig = run(`lr.d t0, (s0)\n${trap}`);
      expect(rig.hart.stop.reason).toBe('trap');
      expect(rig.hart.state.reserved, trap).toBe(false);
    }
  });

  it('survives the end of a budget', () => {
    const rig = new HartRig();
    rig.poke(CODE, assemble('lr.d t0, (s0)\n sc.d a0, t0, (s0)', CODE).bytes);
    rig.hart.setX(8, BigInt(DATA));
    rig.hart.setX(A0, 5n);
    rig.hart.run(1);
    rig.hart.run(1);
    expect(rig.hart.getX(A0)).toBe(0n);
  });

  it('sc answers 1 for an unmapped, misaligned or unwritable address and does not fault', () => {
    for (const setup of ['li t1, 0x50000', 'addi t1, s0, 3', 'mv t1, s1', 'li t1, -8']) {
      const rig = run(`${setup}\n lr.d t0, (s0)\n sc.d a0, t0, (t1)\n ecall`);
      expect(rig.hart.stop, setup).toMatchObject({ reason: 'trap', cause: 8 });
      expect(rig.hart.getX(A0), setup).toBe(1n);
    }
  });

  it('sc.d after lr.w at a misaligned doubleword answers 1', () => {
    const rig = run('addi s0, s0, 4\n lr.w t0, (s0)\n sc.d a0, t0, (s0)\n ecall');
    expect(rig.hart.stop.cause).toBe(8);
    expect(rig.hart.getX(A0)).toBe(1n);
  });

  it('a matching sc to a read-only page is a store page fault', () => {
    const rig = run('lr.d t0, (s1)\n sc.d a0, t0, (s1)');
    expect(rig.hart.stop).toMatchObject({ reason: 'trap', cause: 15, tval: BigInt(READ_ONLY) });
    expect(rig.hart.state.pc).toBe(BigInt(CODE + 4));
  });
});

describe('faults (sheet 05, section 18.7)', () => {
  const VECTORS: readonly (readonly [program: string, cause: number, tval: number])[] = [
    ['addi s0, s0, 2\n lr.w a0, (s0)', 4, DATA + 2],
    ['addi s0, s0, 4\n lr.d a0, (s0)', 4, DATA + 4],
    ['addi s0, s0, 1\n amoadd.w a0, a1, (s0)', 6, DATA + 1],
    ['addi s0, s0, 4\n amoadd.d a0, a1, (s0)', 6, DATA + 4],
    ['li s0, 0x50001\n amoadd.w a0, a1, (s0)', 6, 0x5_0001],
    ['li s0, 0x50000\n lr.w a0, (s0)', 13, 0x5_0000],
    ['li s0, 0x50000\n amoadd.w a0, a1, (s0)', 15, 0x5_0000],
    ['amoswap.d a0, a1, (s1)', 15, READ_ONLY],
  ];
  for (const [program, cause, tval] of VECTORS)
    it(program.replace('\n', ';'), () => {
      const rig = run(`li a0, 77\n ${program}`);
      expect(rig.hart.stop).toMatchObject({ reason: 'trap', cause, tval: BigInt(tval) });
      expect(rig.hart.getX(A0)).toBe(77n);
    });
});
