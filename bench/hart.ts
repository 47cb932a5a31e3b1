/** Speed of the hart on small programs: millions of instructions per second, TLB and code cache warm. */
import { assert } from '../sim/assert.ts';
import { Bus } from '../sim/bus.ts';
import { assemble } from '../sim/hart/asm.ts';
import { InstructionClock } from '../sim/hart/counters.ts';
import { Hart } from '../sim/hart/hart.ts';
import { HartMemory } from '../sim/hart/memory.ts';
import { Cause } from '../sim/hart/trap.ts';
import { Ram } from '../sim/ram.ts';

/** One row of the table. */
export interface HartBenchmark {
  readonly program: string;
  readonly instructions: number;
  readonly seconds: number;
  readonly mips: number;
}

const RAM_BASE = 0x8000_0000;
const RAM_SIZE = 0x40_0000;
/** Programs are linked low, as user programs are. */
const CODE = 0x1_0000;
const PAGE_SHIFT = 12;

/** A program does its work, leaves a checksum in a0 and stops at an ecall. */
const PROGRAMS: ReadonlyMap<string, { readonly source: string; readonly checksum: bigint }> = new Map([
  [
    'sieve',
    {
      checksum: 9592n,
      source: `
        # Primes below 100000, 20 times over.
        li s0, 20
        li s1, 100000
        li s2, 0x100000
again:  mv t0, s2
        add t1, s2, s1
clear:  sd zero, 0(t0)
        addi t0, t0, 8
        bltu t0, t1, clear
        li a0, 0
        li t0, 2
outer:  add t1, s2, t0
        lbu t2, 0(t1)
        bnez t2, composite
        addi a0, a0, 1
        mul t1, t0, t0
        bgeu t1, s1, composite
        add t1, t1, s2
        add t3, s2, s1
        li t4, 1
mark:   sb t4, 0(t1)
        add t1, t1, t0
        bltu t1, t3, mark
composite: addi t0, t0, 1
        bltu t0, s1, outer
        addi s0, s0, -1
        bnez s0, again
        ecall`,
    },
  ],
  [
    'mix',
    {
      checksum: 0xffffffffc2c449cbn,
      source: `
        # 32-bit rotate, add and xor chains as SHA-256 has them.
        li s0, 400000
        li a0, 0x6a09e667
        li a1, 0xbb67ae85
        li a2, 0x3c6ef372
        li a3, 0xa54ff53a
        li a4, 0x510e527f
        li a5, 0x9b05688c
round:  srliw t0, a4, 6
        slliw t1, a4, 26
        or t0, t0, t1
        srliw t1, a4, 11
        slliw t2, a4, 21
        or t1, t1, t2
        xor t0, t0, t1
        and t2, a4, a5
        not t3, a4
        and t3, t3, a3
        xor t2, t2, t3
        addw t0, t0, t2
        addw t0, t0, s0
        srliw t1, a0, 2
        slliw t2, a0, 30
        or t1, t1, t2
        and t2, a0, a1
        xor t3, a0, a1
        and t3, t3, a2
        xor t2, t2, t3
        addw t1, t1, t2
        mv a5, a4
        addw a4, a3, t0
        mv a3, a2
        mv a2, a1
        mv a1, a0
        addw a0, t0, t1
        addi s0, s0, -1
        bnez s0, round
        ecall`,
    },
  ],
  [
    'memcpy',
    {
      checksum: 0x10_fff8n,
      source: `
        # 64 KiB by doublewords, unrolled four times, 300 times over; then bytes.
        li s0, 300
        li s1, 0x100000
        li s2, 0x120000
        li s3, 0x10000
        add t2, s1, s3
        mv t0, s1
fill:   sd t0, 0(t0)
        addi t0, t0, 8
        bltu t0, t2, fill
outer:  mv t0, s1
        mv t1, s2
        add t2, s1, s3
copy:   ld t3, 0(t0)
        ld t4, 8(t0)
        ld t5, 16(t0)
        ld t6, 24(t0)
        sd t3, 0(t1)
        sd t4, 8(t1)
        sd t5, 16(t1)
        sd t6, 24(t1)
        addi t0, t0, 32
        addi t1, t1, 32
        bltu t0, t2, copy
        mv t0, s1
        mv t1, s2
        addi t2, s1, 1024
bytes:  lbu t3, 0(t0)
        sb t3, 0(t1)
        addi t0, t0, 1
        addi t1, t1, 1
        bltu t0, t2, bytes
        addi s0, s0, -1
        bnez s0, outer
        li t0, 0x12fff8
        ld a0, 0(t0)
        ecall`,
    },
  ],
  [
    'sort',
    {
      checksum: 0xffffffff8001566cn,
      source: `
        # Shell sort of 20000 words from a linear congruential generator, by a called comparison, four times over.
        li s0, 4
        li s1, 0x100000
        li s2, 20000
        li s8, 12345
again:  mv t0, s1
        slli t1, s2, 2
        add t1, t1, s1
        li t2, 1103515245
fill:   mulw s8, s8, t2
        li t3, 12345
        addw s8, s8, t3
        sw s8, 0(t0)
        addi t0, t0, 4
        bltu t0, t1, fill
        srli s3, s2, 1
gap:    mv s4, s3
insert: bgeu s4, s2, next
        slli t0, s4, 2
        add t0, t0, s1
        lw s5, 0(t0)
        mv s6, s4
shift:  bltu s6, s3, place
        sub t1, s6, s3
        slli t1, t1, 2
        add t1, t1, s1
        lw a1, 0(t1)
        mv a0, s5
        call less
        beqz a0, place
        slli t0, s6, 2
        add t0, t0, s1
        sw a1, 0(t0)
        sub s6, s6, s3
        j shift
place:  slli t0, s6, 2
        add t0, t0, s1
        sw s5, 0(t0)
        addi s4, s4, 1
        j insert
next:   srli s3, s3, 1
        bnez s3, gap
        addi s0, s0, -1
        bnez s0, again
        lw a0, 0(s1)
        ecall
less:   slt a0, a0, a1
        ret`,
    },
  ],
  [
    'divide',
    {
      checksum: 0x41ea6d689ea38aafn,
      source: `
        # Euclid's algorithm on 64-bit values, and products of them.
        li s0, 100000
        li s1, 0x123456789abcdef1
        li s2, 0xfedcba987
outer:  mv t0, s1
        mv t1, s2
euclid: remu t2, t0, t1
        mv t0, t1
        mv t1, t2
        bnez t1, euclid
        mulhu t3, s1, s2
        mul s1, s1, s2
        add s1, s1, t3
        ori s1, s1, 1
        srli s2, s1, 24
        ori s2, s2, 1
        addi s0, s0, -1
        bnez s0, outer
        mv a0, s1
        ecall`,
    },
  ],
]);

/** Runs each program (or those named) once to warm up and once for the clock, which `now` reads in seconds. */
export function benchmarkHart(now: () => number, only?: readonly string[]): readonly HartBenchmark[] {
  const programs = [...PROGRAMS].filter(([program]) => only?.includes(program) ?? true);
  return programs.map(([program, { source, checksum }]) => {
    run(source, checksum);
    const start = now();
    const instructions = run(source, checksum);
    const seconds = now() - start;
    return { program, instructions, seconds, mips: instructions / seconds / 1e6 };
  });
}

function run(source: string, checksum: bigint): number {
  const ram = new Ram(RAM_BASE, RAM_SIZE);
  const { bytes } = assemble(source, CODE);
  ram.bytes.set(bytes, CODE);
  const memory = new HartMemory(new Bus(ram, []), {
    translate: (page) => page + (RAM_BASE >>> PAGE_SHIFT),
  });
  const hart = new Hart(memory, new InstructionClock(0));
  hart.state.pc = BigInt(CODE);
  const stop = hart.run(Number.MAX_SAFE_INTEGER);
  const sum = hart.getX(10);
  assert(stop.reason === 'trap' && stop.cause === Cause.ecallFromU && sum === checksum, `checksum ${sum}`);
  return hart.state.retired;
}
