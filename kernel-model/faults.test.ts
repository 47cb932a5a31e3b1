import { describe, expect, it } from 'vitest';
import type { Program, Sys } from './sys.ts';
import { writeElf } from './synthetic-elf.ts';
import { REFERENCE, runToEnd, startRoot, testMachine } from './test-kit.ts';
import type { TestMachine, TestSetup } from './test-kit.ts';

const elf = writeElf({ entry: 0x1_0000, segments: [{ vaddr: 0x1_0000, memsz: 0x1000, flags: 5 }], program: 'child' });

/** A parent waits for a child that runs `body`; what WAIT gave it. */
function faulting(body: (sys: Sys) => void, setup: TestSetup = {}): { machine: TestMachine; waited: number[] } {
  const child: Program = function* (sys) {
    yield sys.getpid();
    body(sys);
    return 0;
  };
  const machine = testMachine({ programs: { child }, ...setup });
  const waited: number[] = [];
  startRoot(machine, function* (sys) {
    yield sys.execV2(elf, 1, 0, 'child');
    waited.push(yield sys.wait(-1), sys.waitStatus);
    return 0;
  });
  // A neighbour that keeps the hart busy: the reference's lost wake must not end in an empty run queue.
  return { machine, waited: (runToEnd(machine, 400), waited) };
}

describe('user page faults', () => {
  it('dump, end with -22 and wake the parent; the text is that of sheet 10, section 7.4', () => {
    const { machine, waited } = faulting((sys) => void sys.load32(0x2000_a000));
    expect(waited).toEqual([1, -22]);
    const text = machine.text();
    const dump = text.slice(text.indexOf('[USER-PF]'), text.indexOf('[USER-PF] task sp=') + 36);
    const lines = dump.split('\n');
    expect(dump).not.toContain('\r');
    expect(lines.slice(0, 4)).toEqual([
      '[USER-PF] LOAD @ sepc=0x0000000000010000 stval=0x000000002000a000',
      '[USER-PF] guard=STACK',
      '[USER-PF] regs ra=0x0000000000000000 sp=0x0000000020008000',
      '[USER-PF] regs gp=0x0000000000010800',
    ]);
    const names = 'a0 a1 a2 a3 t0 t1 t2 s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'.split(' ');
    expect(lines.slice(4, 27).map((line) => line.replace(/^\[USER-PF\] regs (\w+)=.*$/, '$1'))).toEqual(names);
    expect(lines[8]).toBe('[USER-PF] regs t0=0x0000000200040020');
    expect(lines[10]).toBe('[USER-PF] regs t2=0x0000000020008000');
    expect(lines.slice(27, 35)).toEqual(
      [0, 8, 16, 24, 32, 40, 48, 56].map(
        (at) => `[USER-PF] stack +0x${at.toString(16).padStart(4, '0')} = 0x0000000000000000`,
      ),
    );
    expect(lines.slice(35)).toEqual(['[USER-PF] task sepc=0x0000000000010000', '[USER-PF] task sp=0x0000000020008000']);
  });

  it('tag only the guard base itself', () => {
    const text = (va: number): string =>
      faulting((sys) => {
        sys.store32(va, 1);
      }).machine.text();
    expect(text(0x2000_d000)).toContain(
      '[USER-PF] STORE @ sepc=0x0000000000010000 stval=0x000000002000d000\n[USER-PF] guard=BOOTINFO\n',
    );
    expect(text(0x2000_d004)).not.toContain('[USER-PF] guard=');
    expect(text(0x2000_b000)).toContain('[USER-PF] STORE');
    expect(text(0x8020_0000)).toContain('[USER-PF] STORE');
  });

  it('quirk fault-no-wake, reference: the parent sleeps on', () => {
    const { machine, waited } = faulting((sys) => void sys.bytes(0x3000_0000, 4), { options: { faultNoWake: true } });
    expect(waited).toEqual([]);
    expect(machine.kernel.tasks[1]!.exitCode).toBe(-22);
    expect(machine.text()).toMatch(
      /KPGF sepc=0x0{16} stval=0x0{16} scause=0x0{15}c .*\n\r\nPANIC: [^:]*:[0-9a-f]{16}: KPGF\r\nPANIC ra=0x[0-9a-f]{16}\r\n$/,
    );
  });
});

describe('other user exceptions', () => {
  const unmappedDevice: TestSetup = {
    memory: { bus: { read: () => -1, write: () => false } },
  };
  const touchDevice = (machine: TestMachine): void => {
    machine.memory.spaces.get(2)?.map(0x4000_0000, 0x1000_6000, 1 | 2 | 4 | 16);
  };

  it('end the task after EXC and USER-FAULT; the reference is stuck', () => {
    const run = (options: TestSetup['options']): { machine: TestMachine; waited: number[] } => {
      const holder: { machine: TestMachine | null } = { machine: null };
      const setup = { ...unmappedDevice, options: options ?? {} };
      const child: Program = function* (sys) {
        yield sys.getpid();
        if (holder.machine) touchDevice(holder.machine);
        sys.load32(0x4000_0000);
        return 0;
      };
      const machine = testMachine({ ...setup, programs: { child } });
      holder.machine = machine;
      const waited: number[] = [];
      startRoot(machine, function* (sys) {
        yield sys.execV2(elf, 1, 0, 'child');
        waited.push(yield sys.wait(-1), sys.waitStatus);
        return 0;
      });
      runToEnd(machine, 400);
      return { machine, waited };
    };
    const contract = run({});
    const fields = 'scause=0x0000000000000005 sepc=0x0000000000010000 stval=0x0000000040000000';
    expect(contract.machine.text()).toContain(`EXC: ${fields}\r\n[USER-FAULT] ${fields}\r\n`);
    expect(contract.waited).toEqual([1, -22]);
    const reference = run(REFERENCE);
    expect(reference.waited).toEqual([]);
    expect(reference.machine.kernel.run({ untilNs: Infinity, maxSteps: 5 })).toBe('dead');
  });
});

describe('an exhausted kernel heap', () => {
  it('NLG-3: is a panic whose lines need no memory: those of section 7.4', () => {
    const machine = testMachine();
    startRoot(machine, function* (sys) {
      for (;;) yield sys.asCreate();
    });
    expect(machine.kernel.run({ untilNs: Infinity, maxSteps: 1000 })).toBe('stopped');
    const lines = machine.lines();
    const at = lines.indexOf('!!! KERNEL HEAP OOM !!!');
    expect(lines.slice(at + 1)).toEqual([
      'req_size=0000000000001000 req_align=0000000000001000',
      'heap_budget_used=00000000001c0000 heap_budget_free=0000000000000000 heap_budget_total=00000000001c0000',
      expect.stringMatching(/^satp=/),
      'heap_start=00000000803b6000 heap_end=0000000080576000',
      '',
      expect.stringMatching(/^PANIC: .*: ALLOC-FAIL$/),
      expect.stringMatching(/^PANIC ra=/),
    ]);
    expect(machine.kernel.run({ untilNs: Infinity, maxSteps: 1000 })).toBe('dead');
  });
});
