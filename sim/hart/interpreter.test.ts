import { describe, expect, it } from 'vitest';
import { Bus } from '../bus.ts';
import { Ram } from '../ram.ts';
import { assemble } from './asm.ts';
import { MAX_CODE_PAGES } from './code-pages.ts';
import { InstructionClock } from './counters.ts';
import { encode } from './encode.ts';
import { Hart } from './hart.ts';
import { HartMemory } from './memory.ts';
import { HIGH } from './state.ts';
import { DATA_SIZE, randomProgram, startRegisters } from './test-kit.ts';
import { Chance, CODE, DATA, HartRig, ModelHart, RAM_BASE } from './testing.ts';

const ECALL = { reason: 'trap', cause: 8, tval: 0n };
const PROGRAMS = 60;
const LENGTH = 700;

/** A rig with a random program that starts a little before the end of the first code page, and random data. */
function prepare(seed: number): {
  rig: HartRig;
  entry: number;
  instructions: ReturnType<typeof randomProgram>['instructions'];
} {
  const chance = new Chance(seed);
  const rig = new HartRig();
  const entry = CODE + 4096 - 2 * chance.below(1200);
  const program = randomProgram(chance, entry, LENGTH);
  rig.poke(entry, program.bytes);
  rig.poke(program.end, [0x73, 0, 0, 0]);
  for (let at = 0; at < DATA_SIZE; at += 8) rig.poke64(DATA + at, chance.operand());
  startRegisters(chance, DATA, 2 + chance.below(4)).forEach((value, register) => rig.hart.setX(register, value));
  rig.hart.state.pc = BigInt(entry);
  return { rig, entry, instructions: program.instructions };
}

describe('random programs', () => {
  it('end like the model, instruction by instruction counted', () => {
    for (let seed = 1; seed <= PROGRAMS; seed++) {
      const { rig, instructions } = prepare(seed * 7717);
      const model = new ModelHart(rig.ram.bytes.slice());
      for (let register = 0; register < 32; register++) model.x[register] = rig.hart.getX(register);
      model.pc = rig.hart.state.pc;
      for (let next = instructions.get(Number(model.pc)); next; next = instructions.get(Number(model.pc)))
        if (model.step(next) !== null) expect.fail(`the model traps at ${model.pc}`);
      expect(rig.hart.run(1_000_000)).toEqual(ECALL);
      expect(rig.registers, `seed ${seed}`).toEqual(model.x);
      expect(rig.hart.state.pc).toBe(model.pc);
      expect(rig.hart.state.retired).toBe(model.retired);
      expect(Buffer.compare(rig.ram.bytes, model.ram)).toBe(0);
    }
  });

  it('end the same however the run is cut', () => {
    for (let seed = 1; seed <= PROGRAMS; seed++) {
      const whole = prepare(seed * 31_337).rig;
      expect(whole.hart.run(1_000_000)).toEqual(ECALL);
      for (const most of [1, 2, 7, 100]) {
        const chance = new Chance(seed);
        const { rig } = prepare(seed * 31_337);
        const { state } = rig.hart;
        let stop = rig.hart.run(0);
        while (stop.reason === 'budget') {
          const budget = chance.below(most + 1);
          const before = state.retired;
          stop = rig.hart.run(budget);
          if (stop.reason === 'budget' && state.retired - before !== budget) expect.fail('budget not exact');
        }
        expect(stop).toEqual(ECALL);
        expect(Buffer.compare(Buffer.from(state.x.buffer), Buffer.from(whole.hart.state.x.buffer))).toBe(0);
        expect(state.pc).toBe(whole.hart.state.pc);
        expect(state.retired).toBe(whole.hart.state.retired);
        expect(Buffer.compare(rig.ram.bytes, whole.ram.bytes)).toBe(0);
      }
    }
  });
});

/** Runs text from CODE until a trap. */
function run(source: string, rig = new HartRig()): HartRig {
  rig.poke(CODE, assemble(source, CODE).bytes);
  rig.hart.run(100_000);
  return rig;
}

describe('stops', () => {
  it('a budget of 0 runs nothing, not even into a trap', () => {
    const rig = new HartRig();
    expect(rig.hart.run(0).reason).toBe('budget');
    rig.hart.state.pc = 0n;
    expect(rig.hart.run(0).reason).toBe('budget');
    expect(rig.hart.run(1).reason).toBe('trap');
  });

  it('a trap does not retire, keeps pc, and can be resumed behind', () => {
    const rig = run('li a0, 5\n ecall\n li a0, 6\n ebreak');
    expect(rig.hart.stop).toEqual(ECALL);
    expect(rig.hart.state.retired).toBe(1);
    expect(rig.hart.state.pc).toBe(BigInt(CODE + 4));
    expect(rig.hart.run(5)).toEqual(ECALL);
    rig.hart.state.pc += 4n;
    expect(rig.hart.run(5)).toEqual({ reason: 'trap', cause: 3, tval: 0n });
    expect(rig.hart.getX(10)).toBe(6n);
    expect(rig.hart.state.retired).toBe(2);
  });

  it('c.ebreak is a breakpoint with tval 0', () => {
    expect(run('c.ebreak').hart.stop).toEqual({ reason: 'trap', cause: 3, tval: 0n });
  });

  it('privileged instructions and CSRs are illegal in user mode and report their bits', () => {
    const WORDS = [
      0x1020_0073, // sret
      0x3020_0073, // mret
      0x1050_0073, // wfi
      0x1200_0073, // sfence.vma
      0x1000_2573, // csrr a0, sstatus
      0xf140_2573, // csrr a0, mhartid
      0x3000_2473, // csrr s0, mstatus
      0xc010_1073, // csrw time, zero
      0xc000_1573, // csrrw a0, cycle, zero
      0xc005_a573, // csrrs a0, cycle, a1
      0xc005_b573, // csrrc a0, cycle, a1
      0xc000_d573, // csrrwi a0, cycle, 1
      0xc000_e573, // csrrsi a0, cycle, 1
      0xc000_f573, // csrrci a0, cycle, 1
      0xc030_2573, // hpmcounter3
      0x0010_2573, // fflags
    ];
    for (const word of WORDS) {
      const rig = new HartRig();
      rig.code(CODE, word);
      expect(rig.hart.run(1), word.toString(16)).toEqual({ reason: 'trap', cause: 2, tval: BigInt(word) });
      expect(rig.hart.getX(10)).toBe(0n);
    }
  });

  it('writes to x0 vanish and never come back', () => {
    const rig = run('li t0, 9\n add zero, t0, t0\n mv a0, zero\n lui zero, 5\n mul zero, t0, t0\n mv a1, zero\n ecall');
    expect(rig.hart.getX(10)).toBe(0n);
    expect(rig.hart.getX(11)).toBe(0n);
    expect(rig.hart.state.x[0]).toBe(0);
    expect(rig.hart.state.x[HIGH]).toBe(0);
  });

  it('jumps far: links and targets carry across 32 bits', () => {
    const pages = new Map([
      [0xf_ffff, { rights: 'rx', page: 1 }],
      [0x10_0000, { rights: 'rx', page: 2 }],
    ]);
    const rig = new HartRig(pages);
    const program = assemble(
      '.zero 4088\n j over\n over: jal a0, next\n next: auipc a1, 0\n jal a2, back\n back: ecall',
      0xffff_f000,
    );
    rig.poke(0xffff_f000, program.bytes);
    rig.hart.state.pc = 0xffff_fff8n;
    rig.hart.run(100);
    expect(rig.hart.stop).toEqual(ECALL);
    expect([10, 11, 12].map((register) => rig.hart.getX(register))).toEqual([
      0x1_0000_0000n,
      0x1_0000_0000n,
      0x1_0000_0008n,
    ]);
    rig.code(0x1_0000_0000, 0xffdf_f06f); // j -4, back over the edge
    rig.code(0xffff_fffc, 0x0000_0073);
    rig.hart.state.pc = 0x1_0000_0000n;
    expect(rig.hart.run(10)).toEqual(ECALL);
    expect(rig.hart.state.pc).toBe(0xffff_fffcn);
  });

  it('jalr clears bit 0 of its target', () => {
    const rig = run('la a0, there\n jalr ra, 1(a0)\n ebreak\n there: ecall');
    expect(rig.hart.stop).toEqual(ECALL);
  });
});

describe('counters (sheet 05, section 5)', () => {
  it('count 2 ns per retired instruction; time is ticks of 100 ns', () => {
    // The rig starts at 1000 ns.
    const rig = run(`rdcycle a0
      rdcycle a1
      rdinstret a2
      rdtime a3
      li t0, 50
again: addi t0, t0, -1
      bnez t0, again
      rdtime a4
      csrrc a5, instret, zero
      csrrsi a6, cycle, 0
      ecall`);
    expect(rig.hart.stop).toEqual(ECALL);
    expect([10, 11, 12, 13, 14, 15, 16].map((register) => Number(rig.hart.getX(register)))).toEqual([
      1000, 1002, 1004, 10, 12, 1212, 1214,
    ]);
  });

  it('read the same however the run is cut', () => {
    const rig = new HartRig();
    rig.poke(CODE, assemble('nop\n nop\n rdcycle a0\n ecall', CODE).bytes);
    while (rig.hart.run(1).reason === 'budget');
    expect(rig.hart.getX(10)).toBe(1004n);
  });
});

describe('code that changes', () => {
  /** The code pages are writable here, under a second address too. */
  const pages = new Map([
    [0x10, { rights: 'rwx', page: 1 }],
    [0x11, { rights: 'rwx', page: 2 }],
    [0x30, { rights: 'rw', page: 1 }],
    [0x20, { rights: 'rw', page: 3 }],
  ]);

  it('runs what was stored, after fence.i', () => {
    const rig = run(
      `la s0, patch
      la s1, new
      lw s2, 0(s1)
      li a0, 0
      li t0, 3
again: 
patch: addi a0, a0, 1
      sw s2, 0(s0)
      fence.i
      addi t0, t0, -1
      bnez t0, again
      ecall
new:  addi a0, a0, 16`,
      new HartRig(pages),
    );
    expect(rig.hart.stop).toEqual(ECALL);
    expect(rig.hart.getX(10)).toBe(33n);
  });

  it('sees its own stores at once, through any mapping, and in the middle of an instruction', () => {
    const rig = new HartRig(pages);
    const program = assemble(
      `la s0, patch
      li s3, 0x20000
      add s3, s3, s0
      li t0, 2
      li a0, 0
again: addi t0, t0, -1
patch: addi a0, a0, 1
      li t1, 0x01000000
      lw t2, 0(s0)
      add t2, t2, t1
      srli t2, t2, 16
      sh t2, 2(s3)
      bnez t0, again
      j patch2
      .zero 4000
patch2: addi a0, a0, 5
      ecall`,
      CODE,
    );
    rig.poke(CODE, program.bytes);
    expect(rig.hart.run(1000)).toEqual(ECALL);
    // 1, then the immediate has grown by 10h.
    expect(rig.hart.getX(10)).toBe(1n + 17n + 5n);
  });

  it('sees stores to a page that it wrote to before it ran it', () => {
    const rig = run(
      `li s0, 0x11000
      li s1, 0x00008067
      li s2, 0x00150513
      sw s1, 4(s0)
      sw s2, 0(s0)
      jalr ra, 0(s0)
      li s2, 0x01050513
      sw s2, 0(s0)
      jalr ra, 0(s0)
      ecall`,
      new HartRig(pages),
    );
    expect(rig.hart.stop).toEqual(ECALL);
    expect(rig.hart.getX(10)).toBe(17n);
  });

  it('sees stores to and across the edge of code pages that lie apart', () => {
    const apart = new Map([
      [0x10, { rights: 'rwx', page: 1 }],
      [0x11, { rights: 'rwx', page: 5 }],
      [0x12, { rights: 'rwx', page: 9 }],
    ]);
    const rig = new HartRig(apart);
    // At 10ffeh, over the edge: addi a0, a0, 1; behind it: ret.
    rig.code(0x1_0ffa, 0x0001, 0x0001);
    rig.poke(0x1_0ffe, [0x13, 0x05]);
    rig.poke(0x1_1000, [0x15, 0x00, 0x67, 0x80, 0x00, 0x00]);
    const program = `li s0, 0x10ffa
      jalr ra, 0(s0)
      li t0, 0x0025
      sh t0, 6(s0)
      jalr ra, 0(s0)
      li t0, 0x00450513
      sw t0, 4(s0)
      jalr ra, 0(s0)
      li t0, 0x80820505
      sw t0, 4(s0)
      jalr ra, 0(s0)
      li t0, 0x80820541
      sw t0, 4(s0)
      jalr ra, 0(s0)
      ecall`;
    rig.poke(0x1_2000, assemble(program, 0x1_2000).bytes);
    rig.hart.state.pc = 0x1_2000n;
    rig.hart.run(1000);
    expect(rig.hart.stop).toEqual(ECALL);
    // addi of 1, 2 and 4 over the edge, then c.addi of 1 and of 16 before it and a return behind it.
    expect(rig.hart.getX(10)).toBe(1n + 2n + 4n + 1n + 16n);
  });

  it('keeps a bounded number of decoded pages', () => {
    const count = MAX_CODE_PAGES + 100;
    const ram = new Ram(RAM_BASE, count * 4096);
    const memory = new HartMemory(new Bus(ram, []), { translate: (page) => page });
    const hart = new Hart(memory, new InstructionClock(0));
    const onward = encode('jal', { rd: 0, rs1: 0, rs2: 0, imm: 4092 })!;
    // Each page: addi a0, a0, 1, and a jump to the next page.
    for (let page = 0; page < count; page++) {
      ram.view.setUint32(page * 4096, 0x0015_0513, true);
      ram.view.setUint32(page * 4096 + 4, page + 1 < count ? onward : 0x0000_0073, true);
    }
    hart.state.pc = BigInt(RAM_BASE);
    expect(hart.run(1_000_000).cause).toBe(8);
    expect(hart.getX(10)).toBe(BigInt(count));
    expect(memory.code.pages.size).toBeLessThanOrEqual(MAX_CODE_PAGES);
  });

  it('a program that writes each instruction before running it is cut as one likes', () => {
    const source = `la s0, slot
      li s1, 0x00150513
      li t0, 200
again: fence.i
      sw s1, 0(s0)
slot: .word 0
      li t1, 0x100000
      xor s1, s1, t1
      addi t0, t0, -1
      bnez t0, again
      ecall`;
    for (const slice of [1, 3, 1000]) {
      const rig = new HartRig(pages);
      rig.poke(CODE, assemble(source, CODE).bytes);
      while (rig.hart.run(slice).reason === 'budget');
      expect({ ...rig.hart.stop }).toEqual(ECALL);
      expect(rig.hart.getX(10)).toBe(100n);
    }
  });

  it('somebody else must tell: fenceI drops decoded code', () => {
    const rig = run('again: addi a0, a0, 1\n ecall', new HartRig(pages));
    rig.poke(CODE, assemble('addi a0, a0, 7', CODE).bytes);
    rig.memory.fenceI();
    rig.hart.state.pc = BigInt(CODE);
    rig.hart.run(10);
    expect(rig.hart.getX(10)).toBe(8n);
  });
});
