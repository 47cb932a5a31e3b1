import { afterEach, describe, expect, it, vi } from 'vitest';
import { Errno, Nr } from './abi.ts';
import { bootSequence } from './boot.ts';
import type { BootParts } from './boot.ts';
import { CapTable } from './captable.ts';
import { Router } from './endpoint.ts';
import type { RouterLimits } from './endpoint.ts';
import { spawnReason } from './errors.ts';
import { Kernel } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
import { aclintPort, plainPort, Smp } from './smp.ts';
import { Macro } from './sys.ts';
import { SYSCALL_TABLE } from './syscalls/table.ts';
import type { SyscallHandler } from './syscalls/table.ts';
import { HartInputs, MSIP } from '../sim/hart-inputs.ts';
import { Mswi } from '../sim/devices/aclint.ts';
import { Clock } from '../sim/clock.ts';
import { Trace } from '../sim/trace.ts';
import { testMachine } from './test-kit.ts';
import type { TestMachine, TestSetup } from './test-kit.ts';

/** Boots with broken parts; `sabotage` changes the kernel before its first line. */
function boot(parts: BootParts, sabotage?: (machine: TestMachine) => void, setup: TestSetup = {}): string[] {
  const machine = testMachine({ ...setup, boot: bootSequence(parts) });
  sabotage?.(machine);
  machine.kernel.run({ untilNs: Infinity, maxSteps: 500 });
  return machine.lines();
}

/** Replaces the booting kernel's router. */
function withRouter(router: Router): (machine: TestMachine) => void {
  return ({ kernel }) => void Object.assign(kernel, { router });
}

const selftestLines = (lines: readonly string[]): string[] => lines.filter((line) => line.includes('KSELFTEST:'));
const failures = (lines: readonly string[]): string[] => lines.filter((line) => /FAIL|NOT enforced|fail:/.test(line));

class AcceptsAll extends Router {
  override admits(): number {
    return 0;
  }
  override append(id: number, message: Parameters<Router['append']>[1]): void {
    if (super.admits(id, message.payload.length) === 0) super.append(id, message);
  }
}

class Lifo extends Router {
  override create(depth: number, owner: number): number {
    const id = super.create(depth, owner);
    const endpoint = this.endpoints[id];
    for (const list of endpoint === undefined ? [] : [endpoint.recvWaiters, endpoint.sendWaiters]) {
      list.shift = () => list.pop();
    }
    return id;
  }
}

class KeepsWaiters extends Router {
  override close(id: number): boolean {
    return super.close(id, []);
  }
}

class ForgetsExit extends Router {
  override closeOwnedBy(): number[] {
    return [];
  }
}

class Generous extends Router {
  override create(depth: number, owner: number): number {
    return this.endpoints.length < 383 ? super.create(depth, owner) : -Errno.ENOSPC;
  }
}

class Leaky extends CapTable {
  override take(): null {
    return null;
  }
}

class Forgetful extends CapTable {
  #taken = 0;
  override take(slot: number): ReturnType<CapTable['take']> {
    this.#taken += 1;
    return super.take(slot);
  }
  override allocate(cap: Parameters<CapTable['allocate']>[0]): number {
    return this.#taken > 0 ? -1 : super.allocate(cap);
  }
}

class Unclosing extends Router {
  override close(): boolean {
    return false;
  }
}

/** What `body` gives while syscall `nr` of every kernel answers `answer`. */
function answering<T>(nr: number, answer: number, body: () => T): T {
  const table = SYSCALL_TABLE as SyscallHandler[];
  const real = table[nr] as SyscallHandler;
  table[nr] = (): number => answer;
  try {
    return body();
  } finally {
    table[nr] = real;
  }
}

describe('kernel self-tests turn into their failure forms', () => {
  it('prints no failure with everything real', () => {
    expect(failures(boot({}))).toEqual([]);
    expect(selftestLines(boot({}))).toHaveLength(51);
  });

  it('ipc queue full, ipc bytes full', () => {
    const lines = failures(boot({}, withRouter(new AcceptsAll(8))));
    expect(lines[0]).toBe('[ERROR selftest] KSELFTEST: ipc queue full FAIL: second send returned 0, expected -11');
    expect(lines[1]).toBe('[ERROR selftest] KSELFTEST: ipc bytes full FAIL: oversized send returned 0, expected -28');
    expect(lines.some((line) => line.includes('ipc send unblock FAIL'))).toBe(true);
  });

  it('ipc global bytes budget, ipc owner bytes budget', () => {
    const lines = failures(boot({ selftest: { newRouter: () => new Router(0) } }));
    expect(lines).toEqual([
      '[ERROR selftest] KSELFTEST: ipc global bytes budget FAIL: send beyond the budget returned 0, expected -28',
      '[ERROR selftest] KSELFTEST: ipc owner bytes budget FAIL: send beyond the budget returned 0, expected -28',
    ]);
  });

  it('ipc recv waiter fifo, ipc send waiter fifo', () => {
    expect(failures(boot({}, withRouter(new Lifo(8))))).toEqual([
      '[ERROR selftest] KSELFTEST: ipc recv waiter fifo FAIL: popped pid 4, expected 2',
      '[ERROR selftest] KSELFTEST: ipc send waiter fifo FAIL: popped pid 7, expected 5',
    ]);
  });

  it('ipc send unblock, ipc close wakes, ipc owner-exit wakes need the kernel to wake', () => {
    const lines = failures(boot({}, ({ kernel }) => void Object.assign(kernel, { wake: () => false })));
    expect(lines.map((line) => line.replace(/:[^:]*$/, ''))).toEqual([
      '[ERROR selftest] KSELFTEST: ipc send unblock FAIL',
      '[ERROR selftest] KSELFTEST: ipc close wakes FAIL',
      '[ERROR selftest] KSELFTEST: ipc owner-exit wakes FAIL',
    ]);
  });

  it('ipc close wakes, ipc owner-exit wakes', () => {
    const kept = failures(boot({}, withRouter(new KeepsWaiters(8))));
    expect(kept[0]).toBe('[ERROR selftest] KSELFTEST: ipc close wakes FAIL: woke , expected 10,11');
    expect(failures(boot({}, withRouter(new ForgetsExit(8))))).toEqual([
      '[ERROR selftest] KSELFTEST: ipc owner-exit wakes FAIL: endpoint 14 still alive',
    ]);
  });

  it('ipc endpoint quota', () => {
    const lines = boot({ selftest: { newRouter: (limits) => new Generous(0, limits) } });
    expect(failures(lines)).toEqual(['[ERROR selftest] KSELFTEST: ipc endpoint quota FAIL: created=383 last=-28']);
  });

  it.each([
    ['invalid-entry-point', 1, 'expected=invalid-payload got=oom'],
    ['invalid-stack-pointer', 2, 'expected=invalid-payload got=cap-table-full'],
    ['stack-exhausted', 5, 'expected=oom got=invalid-payload'],
    ['cap-no-space', 1, 'expected=cap-table-full got=oom'],
    ['ipc-no-space', 0, 'expected=endpoint-quota got=unknown'],
    ['as-asid-exhausted', 6, 'expected=map-failed got=denied-by-policy'],
  ] as const)('spawn reason of %s', (error, wrong, told) => {
    const lines = boot({ selftest: { reasonOf: (asked) => (asked === error ? wrong : spawnReason(asked)) } });
    expect(failures(lines)).toEqual([`[ERROR selftest] KSELFTEST: spawn reason FAIL ${told}`]);
    expect(lines.join('\n')).not.toContain('spawn reasons ok');
  });

  it.each([
    ['cap fill', { newCapTable: (slots: number) => new CapTable(slots - 1) }],
    ['cap overflow', { newCapTable: (slots: number) => new CapTable(slots + 1) }],
    ['cap free', { newCapTable: (slots: number) => new Leaky(slots) }],
    ['cap realloc', { newCapTable: (slots: number) => new Forgetful(slots) }],
    ['endpoint churn', { newRouter: (limits: RouterLimits) => new Unclosing(0, limits) }],
  ] as const)('resource sentinel: %s', (what, selftest) => {
    const lines = failures(boot({ selftest }));
    expect(lines).toEqual([`[ERROR selftest] KSELFTEST: resource sentinel FAIL: ${what}`]);
  });

  it('quirk kselftest-unchecked, both: exit and wait really ask the scratch kernel; the reference prints its lines whatever it does', () => {
    class NoExitCode extends Kernel {
      override terminate(...args: Parameters<Kernel['terminate']>): void {
        super.terminate(args[0], 0, args[2]);
      }
    }
    class NoWake extends Kernel {
      override wake(): boolean {
        return false;
      }
    }
    expect(failures(boot({ scratchKernel: (deps) => new NoExitCode(deps) }))).toEqual([
      '[ERROR selftest] KSELFTEST: exit FAIL: child 1 exited with 0, expected 7',
      expect.stringMatching(/wait FAIL: wait 1 returned pid=2 status=0$/),
    ]);
    const asleep = failures(boot({ scratchKernel: (deps) => new NoWake(deps) }));
    expect(asleep.at(-1)).toBe('[ERROR selftest] KSELFTEST: wait FAIL: wait 0 did not return');
    const unchecked = boot({ scratchKernel: (deps) => new NoWake(deps) }, undefined, {
      options: { kselftestUnchecked: true },
    });
    expect(failures(unchecked)).toEqual([]);
    expect(unchecked).toContain('[INFO selftest] KSELFTEST: wait ok');
  });

  it('vmo zero', () => {
    const lines = boot({}, ({ ram, memory }) => {
      const allocate = memory.arena.allocate.bind(memory.arena);
      memory.arena.allocate = (bytes): number | null => {
        const base = allocate(bytes);
        if (base !== null) ram.writeU8(base + 63, 1);
        return base;
      };
    });
    expect(failures(lines)).toEqual(['[INFO selftest] KSELFTEST: vmo zero FAIL']);
  });

  it('w^x', () => {
    const lines = boot({}, ({ kernel, memory, ram }) => {
      const get = memory.spaces.get.bind(memory.spaces);
      memory.spaces.get = (handle) => {
        const space = get(handle);
        // A page table that takes everything: then only the syscall's own rule is left, and it must answer first.
        if (space !== null) space.mapRange = () => null;
        return space;
      };
      ram.writeU8(kernel.image.addresses.selftestPage, 0);
    });
    expect(failures(lines)[0]).toContain('fail: child data');
    const unprotected = boot({}, ({ kernel }) => {
      const charge = kernel.charge.bind(kernel);
      kernel.charge = (ns) => {
        // Before PID 0 is there, the boot itself is charged.
        const request = kernel.tasks[0]?.sys.request;
        if (request?.nr === 10 && request.a4 === 7) request.a4 = 3;
        charge(ns);
      };
    });
    expect(failures(unprotected)).toEqual(['[ERROR selftest] KSELFTEST: w^x NOT enforced']);
  });

  it.each([
    ['as create', Nr.AS_CREATE, -Errno.ENOSPC],
    ['userptr guard', Macro.ECALL, 1],
    ['as map', Nr.AS_MAP, -Errno.EINVAL],
    ['spawn', Nr.SPAWN, -Errno.EAGAIN],
  ] as const)('%s is fatal where its syscall answers something else', (what, nr, answer) => {
    const lines = answering(nr, answer, () => boot({}));
    expect(lines.slice(-4, -3)).toEqual([`[ERROR selftest] SELFTEST: fail: ${what}`]);
    expect(lines.at(-2)).toMatch(new RegExp(`^PANIC: source.*: ${what}$`));
    expect(lines.join('\n')).not.toContain(`KSELFTEST: ${what} ok`);
  });

  it('the address-space check is fatal without a stack, without the page, and outside the child’s space', () => {
    const fatal = (sabotage: (machine: TestMachine) => void): string | undefined => boot({}, sabotage).at(-4);
    expect(fatal(({ memory }) => void (memory.stacks.allocate = () => null))).toBe(
      '[ERROR selftest] SELFTEST: fail: stack map',
    );
    const wrongData = fatal(({ kernel, memory }) => {
      const activate = memory.activateSpace.bind(memory);
      memory.activateSpace = (space) => {
        activate(space);
        memoryOf(kernel).ram.writeU8(kernel.image.addresses.selftestPage, 0);
      };
    });
    expect(wrongData).toBe('[ERROR selftest] SELFTEST: fail: child data');
    const wrongSpace = fatal(({ memory }) => {
      const activate = memory.activateSpace.bind(memory);
      memory.activateSpace = (space) => activate(memory.spaces.get(1) ?? space);
    });
    expect(wrongSpace).toBe('[ERROR selftest] SELFTEST: fail: child satp');
  });
});

describe('SMP', () => {
  const smp = (harts: number, parts: BootParts = {}): string[] => boot(parts, undefined, { image: { harts } });
  const names = [
    'smp online',
    'ipi counterfactual',
    'ipi resched',
    'test_reject_invalid_ipi_target_cpu',
    'test_reject_offline_cpu_resched',
    'work stealing',
    'test_reject_steal_above_bound',
    'test_reject_steal_higher_qos',
  ];

  it('prints the lines of two harts in order, between resource sentinel and the exit test', () => {
    const lines = smp(2);
    const at = lines.indexOf('[INFO selftest] KSELFTEST: resource sentinel ok') + 1;
    expect(lines.slice(at, at + 9)).toEqual([
      ...names.map((name) => `[INFO selftest] KSELFTEST: ${name} ok`),
      '[DEBUG sched] enqueue: pid=0 qos=Normal',
    ]);
    const cpu0 = lines.indexOf('[INFO smp] KINIT: cpu0 online');
    expect(lines[cpu0 + 1]).toBe('[INFO smp] KINIT: cpu1 online');
    expect(lines[cpu0 + 2]).toContain('[INFO boot]  _ __');
    expect(lines).toContain('[DEBUG sched] enqueue: pid=17 qos=Normal');
  });

  it('has nothing of it with one hart, and fails the offline check with four', () => {
    expect(smp(1).join()).not.toContain('smp online');
    expect(failures(smp(3))).toEqual([]);
    expect(failures(smp(4))).toEqual(['[ERROR selftest] KSELFTEST: test_reject_offline_cpu_resched FAIL']);
    expect(smp(4)).toContain('[INFO smp] KINIT: cpu3 online');
  });

  it('goes through the real software-interrupt registers', () => {
    const trace = new Trace(new Clock());
    const harts = [new HartInputs(), new HartInputs()];
    const mswi = new Mswi(
      trace,
      harts.map((hart) => hart.line(MSIP)),
    );
    expect(failures(smp(2, { ipi: aclintPort(mswi, harts) }))).toEqual([]);
    const deaf = aclintPort(mswi, harts);
    expect(deaf.quiet?.()).toBe(true);
    deaf.send(1);
    expect(deaf.quiet?.()).toBe(false);
    expect([deaf.step(1), deaf.quiet?.()]).toEqual([true, true]);
    expect(failures(smp(2, { ipi: { ...deaf, step: () => false } }))).toEqual([
      '[ERROR selftest] KSELFTEST: ipi resched FAIL',
    ]);
    const noisy = { ...plainPort(2), step: (hart: number) => hart === 1 };
    expect(failures(smp(2, { ipi: noisy }))).toContain('[ERROR selftest] KSELFTEST: ipi counterfactual FAIL');
  });

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('smp online: a hart that is counted and then gone', () => {
    const real = Smp.prototype.isOnline;
    let asked = 0;
    vi.spyOn(Smp.prototype, 'isOnline').mockImplementation(function (this: Smp, cpu) {
      // Once to decide that there is a second hart at all, once for the line.
      return cpu === 1 && ++asked === 2 ? false : real.call(this, cpu);
    });
    expect(failures(smp(2))).toEqual(['[ERROR selftest] KSELFTEST: smp online FAIL']);
  });

  it('test_reject_invalid_ipi_target_cpu, test_reject_offline_cpu_resched: a kernel that takes every target', () => {
    const real = Smp.prototype.requestResched;
    vi.spyOn(Smp.prototype, 'requestResched').mockImplementation(function (this: Smp, cpu) {
      return real.call(this, cpu) || cpu >= 2;
    });
    expect(failures(smp(2))).toEqual([
      '[ERROR selftest] KSELFTEST: test_reject_invalid_ipi_target_cpu FAIL',
      '[ERROR selftest] KSELFTEST: test_reject_offline_cpu_resched FAIL',
    ]);
  });

  it('ipi resched needs every link: accepted, sent, trapped (and acknowledged, as above)', () => {
    const real = Smp.prototype.spin;
    try {
      for (const counter of ['accepted', 'sent', 'trapped'] as const) {
        // Plain, not a spy: it is called some hundred thousand times.
        Smp.prototype.spin = function (this: Smp): void {
          real.call(this);
          const counters = this.counters[1];
          // The count is taken back behind the check's back.
          if (counters !== undefined && counters.acknowledged > 0) counters[counter] = counter === 'accepted' ? 1 : 0;
        };
        expect(failures(smp(2)), counter).toEqual(['[ERROR selftest] KSELFTEST: ipi resched FAIL']);
      }
    } finally {
      Smp.prototype.spin = real;
    }
  });

  it('work stealing, test_reject_steal_above_bound, test_reject_steal_higher_qos', () => {
    const steal = Smp.prototype.steal;
    const pick = Smp.prototype.pick;
    const never = vi.spyOn(Smp.prototype, 'steal').mockReturnValue(-1);
    expect(failures(smp(2))).toEqual([
      '[ERROR selftest] KSELFTEST: work stealing FAIL',
      '[ERROR selftest] KSELFTEST: test_reject_steal_above_bound FAIL',
    ]);
    never.mockRestore();
    const uncounted = vi.spyOn(Smp.prototype, 'pick').mockImplementation(function (this: Smp, cpu) {
      const pid = pick.call(this, cpu);
      this.steals = 0;
      return pid;
    });
    expect(failures(smp(2))).toEqual(['[ERROR selftest] KSELFTEST: work stealing FAIL']);
    uncounted.mockRestore();
    const greedy = vi.spyOn(Smp.prototype, 'pick').mockImplementation(function (this: Smp, cpu) {
      const pid = pick.call(this, cpu);
      if (this.queued(1) > 0) pick.call(this, cpu);
      return pid;
    });
    expect(failures(smp(2))).toEqual(['[ERROR selftest] KSELFTEST: test_reject_steal_above_bound FAIL']);
    greedy.mockRestore();
    vi.spyOn(Smp.prototype, 'steal').mockImplementation(function (this: Smp, cpu) {
      return steal.call(this, cpu, 3);
    });
    expect(failures(smp(2))).toEqual(['[ERROR selftest] KSELFTEST: test_reject_steal_higher_qos FAIL']);
  });

  it('panics when a hart does not come', () => {
    const lines = smp(2, { ipi: plainPort(1) });
    expect(lines.slice(-4)[0]).toBe('[ERROR smp] KINIT: secondary online timeout expected=0x3 got=0x1');
    expect(lines.at(-2)).toMatch(/^PANIC: .*: SMP bring-up timeout$/);
  });
});
