import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Errno, serviceIdOf } from './abi.ts';
import { Access } from './address-space.ts';
import { INFO_VA, META_VA } from './layout.ts';
import type { Program } from './sys.ts';
import { writeElf } from './synthetic-elf.ts';
import { runToEnd, startRoot, testMachine } from './test-kit.ts';
import type { TestMachine, TestSetup } from './test-kit.ts';

const idle: Program = function* (sys) {
  yield sys.getpid();
  return 0;
};

/** Segments that take 119 arena pages with 4 stack pages and the two identity pages. */
const service = (program: string | null = 'idle'): Uint8Array =>
  writeElf({
    entry: 0x1_4d92,
    segments: [
      { vaddr: 0x1_0000, memsz: 0x8000, flags: 5, bytes: new Uint8Array([0x17, 4, 0, 0]) },
      { vaddr: 0x1_8000, memsz: 0x2000, flags: 4 },
      { vaddr: 0x2_70cc, memsz: 0x6_0000, flags: 6, bytes: new Uint8Array([9, 8, 7]) },
    ],
    program,
  });

/** Runs `calls` as the root task and returns its results. */
function root(
  calls: (results: number[]) => Program,
  setup: TestSetup = {},
): { machine: TestMachine; results: number[] } {
  const machine = testMachine({ programs: { idle }, ...setup });
  const results: number[] = [];
  startRoot(machine, calls(results));
  runToEnd(machine);
  return { machine, results };
}

/** Executes one file by exec v1 or v2 (with a name) and returns the machine and a0. */
function execOnce(elf: Uint8Array, name: string | null, setup: TestSetup = {}, stackPages = 8): [TestMachine, number] {
  const { machine, results } = root(
    (out) =>
      function* (sys) {
        out.push(yield name === null ? sys.exec(elf, stackPages, 0) : sys.execV2(elf, stackPages, 0, name));
        yield sys.wait(-1);
        return 0;
      },
    setup,
  );
  return [machine, results[0] ?? 0];
}

const one = (segment: Partial<Parameters<typeof writeElf>[0]['segments'][0]>, entry = 0x1000): Uint8Array =>
  writeElf({ entry, segments: [{ vaddr: 0x1000, memsz: 0x1000, flags: 5, ...segment }], program: 'idle' });

describe('EXEC', () => {
  it('v2 prints KMAP, tables, EXEC-META, CAPNEW, SPAWN-FRAME and ENQ in this order', () => {
    const seen: (bigint | number)[] = [];
    const body: Program = function* (sys) {
      seen.push(yield sys.getpid());
      const info = sys.bytes(INFO_VA, 32);
      const view = new DataView(info.buffer, info.byteOffset, 32);
      seen.push(view.getUint32(0, true), view.getBigUint64(8, true), view.getUint32(16, true));
      seen.push(view.getBigUint64(24, true));
      seen.push(...sys.bytes(META_VA, 10));
      return 0;
    };
    const [machine, pid] = execOnce(service('body'), 'keystored', { programs: { body } });
    expect(pid).toBe(1);
    const lines = machine.lines();
    expect(lines.slice(0, 3)).toEqual(['PT: pool idx=16', 'PT: pool idx=17', 'PT: pool idx=18']);
    expect(lines[20]).toBe('[INFO mm] map kernel segments ok');
    expect(lines.slice(21, 31)).toEqual([
      'PT: pool idx=32',
      'PT: pool idx=33',
      'PT: pool idx=34',
      '[INFO exec] EXEC-META: va=0x2000b000 pa=0x8107e000 entry=0x000000002041f853 name_len=0x9 info_va=0x2000c000',
      'CAP: new enter',
      'CAP: with_capacity slots=96',
      'CAP: new exit',
      '[INFO task] SPAWN-FRAME: sepc=0x14d92 sp(x2)=0x20008000 gp(x3)=0x278cc',
      '[DEBUG sched] enqueue: pid=1 qos=Normal',
      'AS: activating satp=0x8000200000080593',
    ]);
    expect(seen).toEqual([1, 2, BigInt(META_VA), 9, serviceIdOf('keystored'), ...Buffer.from('keystored\0')]);
    expect(machine.kernel.tasks[1]?.serviceId).toBe(0x866cecf1b02a841bn);
    expect(machine.kernel.tasks[1]?.guard).toEqual({ stack: 0x2000_a000, bootInfo: 0x2000_d000 });
  });

  it('v1 prints the lines of the hello payload, byte for byte, and gives no identity', () => {
    const hello = writeElf({
      entry: 0x1_0130,
      segments: [{ vaddr: 0x1_0130, memsz: 0x69, flags: 5, bytes: new Uint8Array(0x69).fill(0).fill(0x17, 0, 1) }],
      program: 'idle',
    });
    const [machine, pid] = execOnce(hello, null, {}, 4);
    expect(pid).toBe(1);
    const lines = machine.lines().filter((line) => line.startsWith('[INFO exec]') || line.startsWith('[INFO task]'));
    expect(lines).toEqual([
      '[INFO exec] EXEC-ELF hdr entry=0x10130 phoff=0x40 phentsz=56 phnum=2',
      '[INFO exec] EXEC-ELF phdr load off=0xb0 vaddr=0x10130 filesz=0x69 memsz=0x69 first4=0x00000017',
      '[INFO exec] EXEC-ELF gp=0x10930 src=entry+0x800',
      '[INFO exec] STACK-MAP: va=0x1fffb000-0x20009fff pa=0x81001000 pages=15 sp=0x20000000',
      '[INFO exec] STACK-CHECK: base=0x1fffb000 top=0x2000a000 top-1->0xSome(8100ffff) top->0xNone sp->0xSome(8100e000)',
      '[INFO task] SPAWN-FRAME: sepc=0x10130 sp(x2)=0x20008000 gp(x3)=0x10930',
    ]);
    expect(machine.kernel.tasks[1]?.serviceId).toBe(0n);
    expect(machine.memory.spaces.get(2)).toBeNull();
  });

  it('v1 prints the three payload blocks of the reference log', () => {
    const log = readFileSync(new URL('../markers/fixtures/uart-default.log', import.meta.url), 'latin1');
    const printed = (line: string): boolean => /^\[INFO (exec|task)\]/.test(line);
    const logged = log.slice(log.indexOf('[INFO exec] EXEC-ELF hdr')).split('\r\n').filter(printed);
    const payload = (entry: number, offset: number, size: number): Uint8Array => {
      const bytes = new Uint8Array(offset + size);
      const segment = { vaddr: entry, memsz: size, flags: 5, bytes: new Uint8Array(size) };
      bytes.set(writeElf({ entry, segments: [segment], program: null }).subarray(0, 64 + 56));
      new DataView(bytes.buffer).setUint32(64 + 8, offset, true);
      bytes.set([0x17, 4, 0, 0], offset);
      return bytes;
    };
    const machine = testMachine();
    // VMOs of the services lie below the first payload there.
    machine.memory.arena.cursor = 0x8185_f000;
    startRoot(machine, function* (sys) {
      yield sys.exec(payload(0x1_0130, 0x130, 0x69), 4, 0);
      yield sys.exec(payload(0x1000, 0x100, 0x44), 4, 0);
      yield sys.exec(payload(0x1000, 0x100, 0x45), 4, 0);
      for (;;) yield sys.getpid();
    });
    runToEnd(machine, 20);
    expect(machine.lines().filter(printed)).toEqual(logged);
    expect(logged).toHaveLength(18);
  });

  it('maps segments with their rights and the file bytes, zeros behind them', () => {
    const { machine, results } = root(
      (out) =>
        function* (sys) {
          out.push(yield sys.execV2(service('stay'), 8, 0, 'x'));
          yield sys.yieldCpu();
          return 0;
        },
      { programs: { stay: (sys) => idle(sys) } },
    );
    expect(results).toEqual([1]);
    const space = machine.memory.spaces.get(2)!;
    expect(Number(space.leaf(0x1_0000) & 0xffn)).toBe(0x5b);
    expect(Number(space.leaf(0x1_8000) & 0xffn)).toBe(0x53);
    expect(Number(space.leaf(0x2_7000) & 0xffn)).toBe(0xd7);
    expect(machine.ram.readU32(space.translate(0x2_70cc, Access.LOAD))).toBe(0x0007_0809);
    expect(space.translate(0x2000_a000, Access.LOAD)).toBe(-1);
    expect(space.translate(0x2000_d000, Access.LOAD)).toBe(-1);
    expect(space.translate(0x1ffe_f000 + 0x8000, Access.STORE)).toBeGreaterThan(0);
  });

  it('refuses in the order of sheet 10, section 6.3', () => {
    const a0 = (elf: Uint8Array, name: string | null = 'n', stack = 1): number => execOnce(elf, name, {}, stack)[1];
    expect(a0(service(), 'n', 0)).toBe(-Errno.EINVAL);
    expect(a0(new Uint8Array(0))).toBe(-Errno.EINVAL);
    expect(a0(service(), 'n'.repeat(65))).toBe(-Errno.EINVAL);
    expect(a0(service(), 'n'.repeat(64))).toBe(1);
    expect(a0(service().subarray(0, 63))).toBe(-Errno.EINVAL);
    expect(a0(one({ memsz: 2, bytes: new Uint8Array(3) }))).toBe(-Errno.EINVAL);
    expect(a0(one({ flags: 7 }))).toBe(-Errno.EPERM);
    expect(a0(one({ memsz: 0 }))).toBe(1);
    expect(a0(one({ memsz: 0x200_0000 }))).toBe(-Errno.EPERM);
    expect(a0(one({ vaddr: 0x1000_0000 }))).toBe(-Errno.EINVAL);
    expect(a0(one({ vaddr: 2 ** 40 }))).toBe(-Errno.EINVAL);
    expect(a0(one({}, 0x1001))).toBe(-Errno.EINVAL);
    expect(a0(one({ vaddr: 0x2000_b000 }))).toBe(-Errno.EINVAL);
    expect(a0(one({ vaddr: 0x2000_b000 }), null)).toBe(1);
    expect(a0(one({ vaddr: 0x2000_9000 }))).toBe(-Errno.EINVAL);
    expect(a0(one({}), 'n', 5000)).toBe(-Errno.EPERM);
    const twice = writeElf({
      entry: 0x1000,
      segments: [
        { vaddr: 0x1000, memsz: 0x10, flags: 5 },
        { vaddr: 0x1800, memsz: 0x10, flags: 6 },
      ],
      program: 'idle',
    });
    expect(a0(twice)).toBe(-Errno.EINVAL);
  });

  it('takes gp from the argument, else from the first writable segment, else from the entry', () => {
    const gp = (flags: readonly number[], argument = 0): number | undefined => {
      const segments = flags.map((bits, i) => ({ vaddr: 0x1_0000 * (i + 1), memsz: 0x1000, flags: bits }));
      const { machine } = root(
        () =>
          function* (sys) {
            return yield sys.exec(writeElf({ entry: 0x1_0002, segments, program: 'idle' }), 1, argument);
          },
      );
      return machine.kernel.tasks[1]?.frame.gp;
    };
    expect(gp([5, 4, 6, 6])).toBe(0x3_0800);
    expect(gp([5, 4])).toBe(0x1_0802);
    expect(gp([5, 6], 0x7777)).toBe(0x7777);
  });

  it('a segment of v2 may end where the name page begins, and not a byte later', () => {
    const ends = (memsz: number): number => execOnce(one({ vaddr: 0x2000_a000, memsz }), 'n')[1];
    expect(ends(0x1000)).toBe(1);
    expect(ends(0x1001)).toBe(-Errno.EINVAL);
  });

  it('without SEND in slot 0 the raw door does not even look at the file', () => {
    const { machine, results } = root(
      (out) =>
        function* (sys) {
          yield sys.capClose(0);
          out.push(yield sys.ecall(13n, 0x7000_0000n, 100n, 1n), yield sys.ecall(17n, 0x7000_0000n, 100n, 1n));
          return 0;
        },
    );
    expect(results).toEqual([-Errno.EPERM, -Errno.EPERM]);
    expect(machine.text()).not.toContain('PANIC');
  });

  it('only children of PID 0 get the endpoint factory, and only with an address space of their own', () => {
    const maker: Program = function* (sys) {
      yield sys.execV2(service(), 1, 0, 'grandchild');
      for (;;) yield sys.yieldCpu();
    };
    const { machine } = root(
      () =>
        function* (sys) {
          yield sys.execV2(service('maker'), 1, 0, 'child');
          yield sys.spawn(0x8020_0000, 0, 0, 0, 0);
          for (let i = 0; i < 3; i++) yield sys.yieldCpu();
          return 0;
        },
      { programs: { idle, maker } },
    );
    const caps = machine.kernel.tasks.map((task) => task.caps.get(1)?.kind ?? null);
    expect(machine.kernel.tasks.map(({ name }) => name).slice(1)).toEqual(['child', expect.anything(), 'grandchild']);
    expect(caps.slice(1)).toEqual(['factory', null, null]);
  });

  it('reaping gives back the address space: its handle is the next one handed out', () => {
    const { results } = root(
      (out) =>
        function* (sys) {
          const child = yield sys.execV2(service(), 1, 0, 'n');
          out.push(yield sys.asCreate());
          yield sys.wait(child);
          out.push(yield sys.asCreate(), yield sys.asCreate());
          return 0;
        },
    );
    expect(results).toEqual([3, 2, 4]);
  });

  it('needs SEND in slot 0, records no spawn reason, and leaks the space of a refused file', () => {
    const { machine, results } = root(
      (out) =>
        function* (sys) {
          out.push(yield sys.execV2(one({ flags: 7 }), 1, 0, 'n'), yield sys.spawnLastError());
          yield sys.capClose(0);
          out.push(yield sys.execV2(service(), 1, 0, 'n'));
          return 0;
        },
    );
    expect(results).toEqual([-Errno.EPERM, 0, -Errno.EPERM]);
    expect(machine.memory.spaces.get(2)).not.toBeNull();
    expect(machine.memory.spaces.get(3)).toBeNull();
  });

  it('ends a task without body by an illegal instruction; the reference panics instead', () => {
    const [machine] = execOnce(service(null), 'nobody');
    expect(machine.kernel.tasks[1]?.exitCode).toBe(-22);
    expect(machine.lines()).toContain('ILLEGAL-D: inst16=0x0000 inst32=0x00000000');
    expect(machine.text()).not.toContain('PANIC');
    const [fatal] = execOnce(service(null), 'nobody', { options: { userExceptionFatal: true } });
    expect(fatal.text()).toMatch(/\r\n\r\nPANIC: .*: ILLEGAL\r\nPANIC ra=0x[0-9a-f]{16}\r\n$/);
    expect(fatal.kernel.run({ untilNs: Infinity, maxSteps: 10 })).toBe('dead');
  });
});

describe('SPAWN', () => {
  it('rolls a task back when its run queue is full: EAGAIN, reason oom, the pid is used by the next one', () => {
    const { machine, results } = root(
      (out) =>
        function* (sys) {
          for (let i = 0; i < 64; i++) yield sys.spawn(0x1000, 0x2000, 1, 0, 0);
          out.push(yield sys.spawn(0x1000, 0x2000, 1, 0, 0), yield sys.spawnLastError());
          out.push(yield sys.capClone(0));
          return 0;
        },
      { image: { qosAdministrators: [] } },
    );
    expect(results).toEqual([-Errno.EAGAIN, 1, 2]);
    expect(machine.kernel.tasks).toHaveLength(65);
    expect(machine.memory.spaces.get(1)?.tasks).toBe(65);
  });

  it('gives the errno and reasons of the executed vectors', () => {
    const { machine, results } = root(
      (out) =>
        function* (sys) {
          out.push(yield sys.spawn(0x1001, 0, 0, 0, 0), yield sys.spawnLastError());
          out.push(yield sys.spawn(0x1000, 0, 0, 0, 0), yield sys.spawnLastError(), yield sys.spawnLastError());
          out.push(yield sys.spawn(0x8020_0000, 0, 0, 7, 0), yield sys.spawnLastError());
          out.push(yield sys.spawn(0x8020_0000, 0, 0, 1, 0), yield sys.spawnLastError());
          out.push(yield sys.spawn(0x1000, 0x2000, 0, 0, 0), yield sys.spawn(0x1000, 0, 3, 0, 0));
          out.push(yield sys.spawn(0x1000, 2 ** 39, 1, 0, 0), yield sys.spawn(0x1000, 0x2000, 200, 0, 0));
          return 0;
        },
    );
    const { EINVAL, EPERM } = Errno;
    expect(results).toEqual([-EINVAL, 0, -EINVAL, 5, 0, -EPERM, 5, -EPERM, 5, -EINVAL, -EINVAL, -EINVAL, -EINVAL]);
    expect(machine.lines().filter((line) => line.includes('SPAWN:'))).toHaveLength(6);
    expect(machine.lines()[0]).toBe('[INFO sys] SPAWN: entry=0x1000 sp=0x0 as=0 slot=0 gp=0x0');
  });
});
