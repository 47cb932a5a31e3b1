/** Programs of instructions under the kernel: ecalls, faults, time, and what does not change when a run is cut. */
import { describe, expect, it } from 'vitest';
import { assemble } from '../sim/hart/asm.ts';
import { Bus } from '../sim/bus.ts';
import { Ram } from '../sim/ram.ts';
import { Errno } from './abi.ts';
import { TURN_INSTRUCTIONS, hartBodies } from './hart-task.ts';
import type { Sys, Syscall } from './sys.ts';
import { writeElf } from './synthetic-elf.ts';
import { runToEnd, startRoot, testMachine } from './test-kit.ts';
import type { TestMachine, TestSetup } from './test-kit.ts';

const TEXT = 0x1_0000;
const DATA = 0x2_0000;

/** Exits with a0. */
const EXIT = 'li a7, 11\necall\n';

function machineWith(setup: TestSetup = {}): TestMachine {
  return testMachine({
    ...setup,
    memory: {
      bodyOf: (kernel, elf) => {
        const { memory } = kernel.board;
        if (!(memory instanceof Ram)) throw new Error('no RAM');
        return hartBodies(new Bus(memory, []))(kernel, elf);
      },
      ...setup.memory,
    },
  });
}

/** An ELF with one executable page, one writable and one read-only. */
function program(source: string): Uint8Array {
  const { bytes } = assemble(source, TEXT);
  return writeElf({
    entry: TEXT,
    segments: [
      { vaddr: TEXT, memsz: 0x1000, flags: 5, bytes },
      { vaddr: DATA, memsz: 0x1000, flags: 6, bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
      { vaddr: 0x3_0000, memsz: 0x1000, flags: 4, bytes: Uint8Array.of(9) },
    ],
    program: null,
  });
}

interface Outcome {
  readonly machine: TestMachine;
  /** What WAIT gave the parent: pid and code, or its errno. */
  readonly waited: readonly number[];
}

type ParentStep = (sys: Sys, child: number) => Generator<Syscall, void, number>;

/** Runs the source as the only child of a parent that waits for it. */
function run(source: string, setup: TestSetup = {}, before?: ParentStep): Outcome {
  const machine = machineWith(setup);
  const waited: number[] = [];
  startRoot(machine, function* (sys) {
    const child = yield sys.exec(program(source), 1, 0);
    if (before !== undefined) yield* before(sys, child);
    waited.push(yield sys.wait(child), sys.waitStatus);
    return 0;
  });
  runToEnd(machine, 100_000);
  return { machine, waited };
}

const code = (source: string, setup: TestSetup = {}): number | undefined => run(source, setup).waited[1];

describe('ecalls', () => {
  it('print byte by byte and exit; the parent gets pid and code', () => {
    const { machine, waited } = run(`
      la s0, text
next: lbu a0, 0(s0)
      beqz a0, end
      li a7, 16
      ecall
      addi s0, s0, 1
      j next
end:  li a0, -7
      ${EXIT}
text: .asciz "hello\\n"
    `);
    expect(waited).toEqual([1, -7]);
    expect(machine.lines()).toContain('hello');
  });

  it('start with sp and gp of the frame, everything else zero', () => {
    const others = [1, 4, ...Array.from({ length: 27 }, (_, i) => i + 5)];
    expect(
      code(`li s11, 0\n${others
        .filter((n) => n !== 27)
        .map((n) => `or s11, s11, x${n}`)
        .join('\n')}
      snez a0, s11\n${EXIT}`),
    ).toBe(0);
    expect(code(`li a0, 0x20008000\nsub a0, sp, a0\n${EXIT}`)).toBe(0);
    expect(code(`li a0, ${DATA + 0x800}\nsub a0, gp, a0\n${EXIT}`)).toBe(0);
  });

  it('keep every register but a0 and the temporaries that the trap destroys', () => {
    const kept = [1, 3, 4, 8, 9, ...Array.from({ length: 20 }, (_, i) => i + 12)].filter((n) => n !== 17 && n !== 27);
    const source = `
      ${[...kept, 5, 6, 7, 11].map((n) => `li x${n}, ${1000 + n}`).join('\n')}
      li a7, 25
      ecall
      li s11, 0
      ${kept.map((n) => `addi x${n}, x${n}, -${1000 + n}\nor s11, s11, x${n}`).join('\n')}
      addi a1, a1, -1011
      or s11, s11, a1
      or s11, s11, t0
      or s11, s11, t1
      sub t2, t2, sp
      or s11, s11, t2
      addi a0, a0, -1
      or a0, a0, s11
      ${EXIT}`;
    expect(code(source)).toBe(0);
  });

  it('a number beyond the table is ENOSYS, also one of the typed door’s macros', () => {
    for (const nr of [32, 64, 65, 66, 67, 0x1_0000_0000]) {
      expect(code(`li a7, ${nr}\necall\n${EXIT}`)).toBe(-Errno.ENOSYS);
    }
  });

  it('WAIT gives pid and status in a0 and a1', () => {
    // No children: ECHILD, and a1 is as it was.
    expect(code(`li a0, 0\nli a1, 77\nli a7, 12\necall\nadd a0, a0, a1\n${EXIT}`)).toBe(77 - Errno.ECHILD);
  });

  it('WAIT’s status is sign-extended through all 64 bits of a1', () => {
    const machine = machineWith();
    const seen: (bigint | number | undefined)[] = [];
    startRoot(machine, function* (sys) {
      for (const status of [-1, -0x8000_0000, 0x7fff_ffff, 3]) {
        const child = yield sys.exec(program(`li a0, ${status}\n${EXIT}`), 1, 0);
        seen.push((yield sys.ecall(12n, BigInt(child))) - child, sys.regs[1]);
      }
      return 0;
    });
    runToEnd(machine);
    expect(seen).toEqual([0, 2n ** 64n - 1n, 0, 2n ** 64n - 2n ** 31n, 0, 0x7fff_ffffn, 0, 3n]);
  });

  it('memory made by ecalls is memory: a VMO mapped, written, read back', () => {
    const source = `
      li a0, -1
      li a1, 4096
      li a7, 5
      ecall
      mv s0, a0
      li a1, 0x400000
      li a2, 0
      li a3, 0x17
      li a7, 4
      ecall
      bnez a0, bad
      li s1, 0x400ff8
      li s2, 0x1122334455667788
      sd s2, 0(s1)
      lw a0, 4(s1)
      li s2, 0x11223344
      sub a0, a0, s2
      ${EXIT}
bad:  li a0, 99
      ${EXIT}`;
    expect(code(source)).toBe(0);
  });

  it('a blocked receive is executed again with the same registers', () => {
    // Child: RECV_V1 slot 0, header at DATA, payload at DATA+16, 64 bytes, blocking. Exits with the first payload byte.
    const source = `
      li a0, 0
      li a1, ${DATA}
      li a2, ${DATA + 16}
      li a3, 64
      li a4, 0
      li a5, 0
      li a7, 18
      ecall
      li s0, 3
      bne a0, s0, bad
      li s0, ${DATA + 16}
      lbu a0, 0(s0)
      ${EXIT}
bad:  ${EXIT}`;
    const { waited } = run(source, {}, function* (sys) {
      yield sys.yieldCpu();
      yield sys.send(0, Uint8Array.of(42, 1, 2));
    });
    expect(waited).toEqual([1, 42]);
  });

  it('the storm guard counts by the ecall’s address', () => {
    const source = `
      li s0, 10001
loop: li a7, 25
      ecall
      bltz a0, early
      addi s0, s0, -1
      bnez s0, loop
      li s0, 1
      j loop2
early: li a0, 1
      ${EXIT}
loop2: li a7, 25
      ecall
      addi a0, a0, -1
      ${EXIT}`;
    expect(code(source)).toBe(0);
    const over = source.replace('li s0, 10001', 'li s0, 10002');
    expect(code(over)).toBe(1);
  });
});

describe('faults (sheet 10, section 7.4)', () => {
  const dump = ({ machine }: Outcome): string[] => machine.lines().filter((line) => line.startsWith('[USER-PF]'));

  it.each([
    ['a load of nothing', 'li s0, 0x500000\nlw a0, 0(s0)', 'LOAD', '0000000000500000'],
    ['a store to code', `li s0, ${TEXT}\nsw a0, 0(s0)`, 'STORE', '0000000000010000'],
    ['a store to read-only data', 'li s0, 0x30000\nsb a0, 5(s0)', 'STORE', '0000000000030005'],
    ['a jump into data', `li s0, ${DATA}\njr s0`, 'INST', '0000000000020000'],
    ['a jump into the stack', 'addi s0, sp, -16\njr s0', 'INST', '0000000020007ff0'],
    ['a load of kernel memory', 'li s0, 0x80200000\nlw a0, 0(s0)', 'LOAD', '0000000080200000'],
    ['a load of the UART', 'li s0, 0x10000000\nlb a0, 0(s0)', 'LOAD', '0000000010000000'],
    ['an address that is not canonical', 'li s0, 0xdeadbeefdeadbeef\nlb a0, 0(s0)', 'LOAD', 'deadbeefdeadbeef'],
    ['a null pointer', 'lw a0, 0(zero)', 'LOAD', '0000000000000000'],
    ['a store over the edge of a page', `li s0, ${DATA + 0xffd}\nsw a0, 0(s0)`, 'STORE', '0000000000021000'],
    ['a store below the stack', 'li s0, 0x1fffdff8\nsd a0, 0(s0)', 'STORE', '000000001fffdff8'],
  ])('%s', (_what, source, kind, stval) => {
    const outcome = run(`nop\n${source}\n${EXIT}`);
    expect(outcome.waited).toEqual([1, -22]);
    expect(dump(outcome)[0]).toMatch(new RegExp(`^\\[USER-PF\\] ${kind} @ sepc=0x[0-9a-f]{16} stval=0x${stval}$`));
  });

  it('a jump to an address that is not canonical is a fault there', () => {
    expect(dump(run('li s0, 0xdeadbeefdeadbee0\njr s0'))[0]).toBe(
      '[USER-PF] INST @ sepc=0xdeadbeefdeadbee0 stval=0xdeadbeefdeadbee0',
    );
  });

  it('the guard above the stack is tagged at its base alone', () => {
    expect(dump(run('li s0, 0x2000a000\nlb a0, 0(s0)'))[1]).toBe('[USER-PF] guard=STACK');
    expect(dump(run('li s0, 0x2000a008\nlb a0, 0(s0)'))[1]).not.toContain('guard');
    expect(dump(run('li s0, 0x1fffd000\nlb a0, -8(s0)'))[1]).not.toContain('guard');
  });

  it('the dump shows the hart’s registers, the stack, and the frame of the last syscall', () => {
    const outcome = run(`
      li ra, 0x1111
      li s0, 0x2222
      li t0, 0x3333
      li a7, 25
      ecall
      addi sp, sp, -64
      li s1, 0x1122334455667788
      sd s1, 8(sp)
      li t6, 0x4444
      li s0, 0x500000
      lw a0, 0(s0)`);
    const lines = dump(outcome);
    expect(lines).toContain('[USER-PF] regs ra=0x0000000000001111 sp=0x0000000020007fc0');
    expect(lines).toContain('[USER-PF] regs s0=0x0000000000500000');
    expect(lines).toContain('[USER-PF] regs a0=0x0000000000000001');
    expect(lines).toContain('[USER-PF] regs t0=0x0000000200040020');
    expect(lines).toContain('[USER-PF] regs t2=0x0000000020007fc0');
    expect(lines).toContain('[USER-PF] regs t6=0x0000000000004444');
    expect(lines).toContain('[USER-PF] stack +0x0008 = 0x1122334455667788');
    expect(lines.at(-1)).toBe('[USER-PF] task sp=0x0000000020008000');
    expect(lines.length).toBe(36);
  });

  it('quirk user-exception-fatal, both: an illegal instruction ends the task, or the system', () => {
    const source = `nop\n.word 0xffffffff\n${EXIT}`;
    const contract = run(source);
    expect(contract.waited).toEqual([1, -22]);
    const lines = contract.machine.lines();
    expect(lines).toContain('ILLEGAL-D: sepc=0x10004 ra=0x0 stval=0xffffffff');
    expect(lines).toContain('ILLEGAL-D: inst16=0xffff inst32=0xffffffff');
    expect(lines.some((line) => line.startsWith('PANIC'))).toBe(false);

    const reference = run(source, { options: { userExceptionFatal: true } });
    expect(reference.waited).toEqual([]);
    expect(reference.machine.lines().some((line) => line.startsWith('PANIC:') && line.endsWith(': ILLEGAL'))).toBe(
      true,
    );
  });

  it.each([
    ['ebreak', 'ebreak', 3, 0],
    ['a misaligned atomic', `li s0, ${DATA + 2}\nlr.w a0, (s0)`, 4, DATA + 2],
    ['a misaligned read-modify-write', `li s0, ${DATA + 2}\namoadd.w a0, a0, (s0)`, 6, DATA + 2],
  ])('%s: two lines and -22; quirk user-exception-fatal: the end', (_what, source, scause, stval) => {
    const hex16 = (value: number): string => value.toString(16).padStart(16, '0');
    const line = new RegExp(`^\\[USER-FAULT\\] scause=0x${hex16(scause)} sepc=0x[0-9a-f]{16} stval=0x${hex16(stval)}$`);
    const contract = run(source);
    expect(contract.waited).toEqual([1, -22]);
    expect(contract.machine.lines().filter((text) => line.test(text)).length).toBe(1);
    expect(run(source, { options: { userExceptionFatal: true } }).waited).toEqual([]);
  });

  it('supervisor instructions and CSRs are illegal', () => {
    for (const one of ['sret', 'wfi', 'sfence.vma zero, zero', 'csrr a0, 0x100', 'csrw time, zero']) {
      expect(code(`${one}\n${EXIT}`), one).toBe(-22);
    }
  });

  it('quirk fault-no-wake, reference: the waiting parent sleeps on', () => {
    const source = 'lw a0, 0(zero)';
    expect(run(source).waited).toEqual([1, -22]);
    // The second child keeps the hart busy: an empty run queue is a panic.
    const machine = machineWith({ options: { faultNoWake: true } });
    const waited: number[] = [];
    startRoot(machine, function* (sys) {
      const busy = program('loop: li a7, 0\necall\nj loop');
      yield sys.exec(busy, 1, 0);
      const child = yield sys.exec(program(source), 1, 0);
      waited.push(yield sys.wait(child));
      return 0;
    });
    runToEnd(machine, 2_000);
    expect(waited).toEqual([]);
    expect(machine.lines().some((line) => line.startsWith('[USER-PF] LOAD'))).toBe(true);
  });
});

describe('W^X (sheet 10, sections 6.3 and 7.2)', () => {
  it('a writable and executable segment is refused', () => {
    const machine = machineWith();
    const results: number[] = [];
    startRoot(machine, function* (sys) {
      const elf = writeElf({ entry: TEXT, segments: [{ vaddr: TEXT, memsz: 0x1000, flags: 7 }], program: null });
      results.push(yield sys.exec(elf, 1, 0));
      return 0;
    });
    runToEnd(machine);
    expect(results).toEqual([-Errno.EPERM]);
  });

  it('so is a mapping, and code comes to life only through a second, executable one', () => {
    const put = 'li a0, -1\nli a1, 4096\nli a7, 5\necall\nmv s0, a0\n';
    const map = (va: number, flags: number): string =>
      `mv a0, s0\nli a1, ${va}\nli a2, 0\nli a3, ${flags}\nli a7, 4\necall\n`;
    expect(code(`${put}${map(0x40_0000, 0x1f)}${EXIT}`)).toBe(-Errno.EPERM);
    // Written through one mapping, run through the other: li a0, 5; ret.
    const source = `${put}${map(0x40_0000, 0x17)}${map(0x50_0000, 0x1b)}
      li s1, 0x400000
      li s2, 0x00500513
      sw s2, 0(s1)
      li s2, 0x00008067
      sw s2, 4(s1)
      fence.i
      li s3, 0x500000
      jalr s3
      mv s4, a0
      li s2, 0x00600513
      sw s2, 0(s1)
      fence.i
      jalr s3
      slli a0, a0, 4
      or a0, a0, s4
      ${EXIT}`;
    expect(code(source)).toBe(0x65);
  });

  it('code that another task rewrites is fetched anew', () => {
    const machine = machineWith();
    const waited: number[] = [];
    startRoot(machine, function* (sys) {
      const vmo = yield sys.vmoCreate(4096);
      const space = yield sys.asCreate();
      const words = (...list: number[]): Uint8Array => new Uint8Array(Uint32Array.from(list).buffer);
      // loop: li a7, 0; ecall; j loop
      const loop = [0x0000_0893, 0x0000_0073, 0xff9f_f06f];
      yield sys.vmoWrite(vmo, 0, words(...loop));
      yield sys.asMap(space, vmo, 0x1_0000, 4096, 5, 1);
      const stack = yield sys.vmoCreate(4096);
      yield sys.asMap(space, stack, 0x2_0000, 4096, 3, 1);
      const child = yield sys.spawn(0x1_0000, 0x2_1000, space, 0, 0);
      yield sys.yieldCpu();
      yield sys.yieldCpu();
      // li a0, 3; li a7, 11; ecall, the jump's place first.
      yield sys.vmoWrite(vmo, 8, words(0x0030_0513, 0x00b0_0893, 0x0000_0073));
      waited.push(yield sys.wait(child), sys.waitStatus);
      return 0;
    });
    runToEnd(machine, 1_000);
    expect(waited).toEqual([1, 3]);
  });
});

describe('time', () => {
  it('an instruction costs 2^icount ns, and the counters show it', () => {
    for (const icount of [0, 1, 3]) {
      const setup = { image: { icount } };
      const step = code(`rdcycle s0\nnop\nnop\nnop\nrdcycle s1\nsub a0, s1, s0\n${EXIT}`, setup);
      expect(step).toBe(4 * 2 ** icount);
      const ticks = code(
        `rdtime s0\nli s2, 1000\nl: addi s2, s2, -1\nbnez s2, l\nrdtime s1\nsub a0, s1, s0\n${EXIT}`,
        setup,
      );
      expect(Math.abs((ticks ?? 0) - (2001 * 2 ** icount) / 100)).toBeLessThanOrEqual(1);
    }
  });

  it('NSEC agrees with rdtime', () => {
    const source = `li a7, 1\necall\nmv s0, a0\nrdtime s1\nli s2, 100\nmul s1, s1, s2\nsub a0, s1, s0\n${EXIT}`;
    expect(code(source)).toBeLessThanOrEqual(100);
    expect(code(source)).toBeGreaterThanOrEqual(0);
  });

  it('computing costs exactly its instructions', () => {
    const end = (count: number): number => {
      const { machine } = run(`li s0, ${count}\nl: addi s0, s0, -1\nbnez s0, l\nli a0, 0\n${EXIT}`);
      return machine.events.find((event) => event.kind === 'task-exit')!.t;
    };
    expect(end(1_500) - end(1_000)).toBe(500 * 2 * 2);
  });

  it('a device sees each access at its own instruction', () => {
    const seen: number[] = [];
    const machine: TestMachine = machineWith({
      memory: {
        bodyOf: (kernel, elf) => {
          const { memory, clock } = kernel.board;
          if (!(memory instanceof Ram)) throw new Error('no RAM');
          const device = {
            name: 'stopwatch',
            read: (): number => {
              seen.push(clock.now);
              return 0;
            },
            write: () => undefined,
          };
          return hartBodies(new Bus(memory, [{ base: 0x1000_6000, size: 0x200, device }]))(kernel, elf);
        },
      },
    });
    startRoot(machine, function* (sys) {
      const slot = yield sys.deviceCapCreate(0x1000_6000, 4096);
      const source = `li a0, 5\nli a1, 0x50000000\nli a2, 0\nli a7, 27\necall
        li s0, 0x50000000\nlw s1, 0(s0)\nnop\nnop\nlw s1, 8(s0)\nlw s1, 4(s0)\nli a0, 0\n${EXIT}`;
      const child = yield sys.exec(program(source), 1, 0);
      yield sys.capTransferTo(child, slot, 4, 5);
      yield sys.wait(child);
      return 0;
    });
    runToEnd(machine);
    const [first = 0, ...later] = seen;
    expect(later.map((time) => time - first)).toEqual([3 * 2, 4 * 2]);
  });

  it('events fire at their time, between two instructions', () => {
    const machine = machineWith();
    startRoot(machine, function* (sys) {
      yield sys.exec(program('l: j l'), 1, 0);
      yield sys.wait(-1);
      return 0;
    });
    const fired: number[] = [];
    runToEnd(machine, 50);
    const { clock } = machine.kernel;
    const start = clock.now;
    for (const at of [1, 2, 777, 100_001, 100_002]) {
      clock.schedule(start + at, () => {
        fired.push(clock.now - start);
      });
    }
    machine.kernel.run({ untilNs: start + 200_000, maxSteps: 10_000 });
    expect(fired).toEqual([2, 2, 778, 100_002, 100_002]);
  });
});

describe('a run that is cut', () => {
  const source = `
      li s0, 5000
l:    addi s0, s0, -1
      rdcycle s1
      add s2, s2, s1
      bnez s0, l
      li a7, 1
      ecall
      sub a0, a0, s2
      andi a0, a0, 0xff
      ${EXIT}`;
  const start = (): { machine: TestMachine; waited: number[] } => {
    const machine = machineWith();
    const waited: number[] = [];
    startRoot(machine, function* (sys) {
      for (let i = 0; i < 3; i++) yield sys.exec(program(source), 1, 0);
      for (let i = 0; i < 3; i++) waited.push(yield sys.wait(-1), sys.waitStatus);
      return 0;
    });
    return { machine, waited };
  };

  it('is the same run', () => {
    const whole = start();
    runToEnd(whole.machine);
    expect(whole.waited.length).toBe(6);
    for (const limit of [
      { steps: 1, ns: Infinity },
      { steps: 7, ns: Infinity },
      { steps: 1e9, ns: 333 },
    ]) {
      const cut = start();
      for (let i = 0; i < 200_000 && cut.waited.length < 6; i++) {
        const untilNs = cut.machine.kernel.clock.now + limit.ns;
        if (cut.machine.kernel.run({ untilNs, maxSteps: limit.steps }) === 'dead') break;
      }
      runToEnd(cut.machine);
      expect(cut.waited).toEqual(whole.waited);
      expect(cut.machine.text()).toBe(whole.machine.text());
      expect(cut.machine.events).toEqual(whole.machine.events);
    }
  });

  it('a child that spins for ever leaves the run its limits, and nobody else a turn', () => {
    const machine = machineWith();
    let parentRan = false;
    startRoot(machine, function* (sys) {
      yield sys.exec(program('l: j l'), 1, 0);
      yield sys.yieldCpu();
      parentRan = true;
      return 0;
    });
    expect(machine.kernel.run({ untilNs: Infinity, maxSteps: 500 })).toBe('steps');
    const before = machine.kernel.clock.now;
    expect(machine.kernel.run({ untilNs: Infinity, maxSteps: 100 })).toBe('steps');
    expect(machine.kernel.clock.now - before).toBe(100 * TURN_INSTRUCTIONS * 2);
    expect(machine.kernel.run({ untilNs: before + 1_000_000, maxSteps: 100_000 })).toBe('time');
    expect(parentRan).toBe(false);
  });
});
