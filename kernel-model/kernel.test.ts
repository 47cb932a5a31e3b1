import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno, NONBLOCK, Rights } from './abi.ts';
import { Kernel } from './kernel.ts';
import { GuestFault } from './memory-side.ts';
import type { Sys, Syscall } from './sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from './testing.ts';
import type { BareOptions } from './testing.ts';

type Body = Generator<Syscall, number, number>;
const REFERENCE: BareOptions = { options: { loneReceiverEinval: true } };

/** One task that blocks alone in a receive with `deadline` ns from now (0: none). */
function lone(settings: BareOptions, deadline: number, event: number | null = null, until = Infinity): unknown {
  const bare = bareKernel(settings);
  const { kernel, clock } = bare;
  const id = newEndpoint(kernel);
  const seen: unknown[] = [];
  const task = addTask(kernel, function* (sys): Body {
    const from = clock.now;
    const got = yield sys.recv(0, 8, 0, deadline === 0 ? 0 : from + deadline);
    seen.push(got, clock.now - from);
    return 0;
  });
  grant(task, 0, endpointCap(id));
  if (event !== null) {
    clock.schedule(event, () => {
      kernel.router.enqueue(id, {
        src: 0,
        dst: 9,
        sender: 9,
        ty: 0,
        flags: 0,
        len: 2,
        payload: new Uint8Array(2),
        moved: null,
        serviceId: 0n as never,
      });
    });
  }
  const end = runUntil(kernel, until);
  return { seen, end, now: clock.now };
}

describe('nothing runnable (sheet 10, section 5.3)', () => {
  it('a 1 ms deadline alone returns within one retry', () => {
    expect(lone({}, 1_000_000)).toMatchObject({ seen: [-Errno.ETIMEDOUT, 1_001_760] });
    expect(lone(REFERENCE, 1_000_000)).toMatchObject({ seen: [-Errno.ETIMEDOUT, 1_001_760] });
  });

  it('quirk lone-receiver-einval, both: the reference gives EINVAL after 10 001 retries of 4.2 us, the contract waits', () => {
    expect(lone(REFERENCE, 0)).toMatchObject({ seen: [-Errno.EINVAL, 10_001 * 4200 + 400] });
    expect(lone(REFERENCE, 60_000_000)).toMatchObject({ seen: [-Errno.EINVAL, 10_001 * 4200 + 400] });
    expect(lone({}, 60_000_000)).toMatchObject({ seen: [-Errno.ETIMEDOUT, expect.closeTo(60_000_000, -4)] });
  });

  it('the contract ends dead when nobody can ever wake it', () => {
    expect(lone({}, 0)).toMatchObject({ seen: [], end: 'dead' });
  });

  it('an hour alone costs a handful of turns', () => {
    const hour = 3_600_000_000_000;
    expect(lone({}, hour)).toMatchObject({ seen: [-Errno.ETIMEDOUT, expect.closeTo(hour, -4)] });
  });

  it('retries added up end where executed ones end', () => {
    const optional = fc.option(fc.integer({ min: 0, max: 60_000_000 }));
    fc.assert(
      fc.property(
        optional,
        optional,
        fc.boolean(),
        fc.integer({ min: 1, max: 70_000_000 }),
        (deadline, event, ref, until) => {
          const settings = ref ? REFERENCE : {};
          const run = (skipPolls: boolean): unknown => lone({ ...settings, skipPolls }, deadline ?? 0, event, until);
          expect(run(true)).toEqual(run(false));
        },
      ),
      { seed: 20240, numRuns: 40 },
    );
  });

  it('a lone receive after a lone send has its own cost', () => {
    const run = (skipPolls: boolean): number => {
      const { kernel, clock } = bareKernel({ skipPolls });
      const task = addTask(kernel, function* (sys): Body {
        yield sys.send(0, Uint8Array.of(1));
        yield sys.send(0, Uint8Array.of(2), 0, 500_000);
        yield sys.recv(0, 8);
        yield sys.recv(0, 8, 0, 1_234_500);
        return 0;
      });
      grant(task, 0, endpointCap(newEndpoint(kernel, 1)));
      runUntil(kernel);
      return clock.now;
    };
    expect(run(true)).toBe(run(false));
  });

  it('wakes other expired tasks from a lone retry, ascending by pid', () => {
    const bare = bareKernel();
    const log: string[] = [];
    const id = newEndpoint(bare.kernel);
    for (const [name, deadline] of [
      ['a', 300_000],
      ['b', 200_000],
      ['c', 0],
    ] as const) {
      const task = addTask(bare.kernel, function* (sys): Body {
        log.push(`${name} ${yield sys.recv(0, 8, 0, deadline)} at ${Math.floor(bare.clock.now / 10_000)}`);
        return yield sys.recv(0, 8);
      });
      grant(task, 0, endpointCap(id));
    }
    expect(runUntil(bare.kernel)).toBe('dead');
    expect(log).toEqual([`b ${-Errno.ETIMEDOUT} at 20`, `a ${-Errno.ETIMEDOUT} at 30`]);
  });

  it('a lone WAIT never ends', () => {
    const { kernel } = bareKernel();
    const parent = addTask(kernel, function* (sys): Body {
      return yield sys.wait(-1);
    });
    const child = addTask(
      kernel,
      function* (sys): Body {
        return yield sys.recv(0, 8);
      },
      { parent: parent.pid },
    );
    grant(child, 0, endpointCap(newEndpoint(kernel)));
    expect(runUntil(kernel)).toBe('dead');
  });
});

describe('ecall storm guard', () => {
  it('a loop of yields gets 10 001 successes, then errors until another call', () => {
    const { kernel } = bareKernel();
    const seen: number[] = [];
    addTask(kernel, function* (sys): Body {
      for (let i = 0; i < 10_003; i++) seen.push(yield sys.yieldCpu());
      seen.push(yield sys.getpid(), yield sys.yieldCpu());
      return 0;
    });
    runUntil(kernel);
    expect(seen.filter((r) => r === -Errno.EINVAL)).toHaveLength(2);
    expect(seen.indexOf(-Errno.EINVAL)).toBe(10_001);
    expect(seen.slice(-2)).toEqual([0, 0]);
  });

  it('cuts a very long print', () => {
    const bare = bareKernel();
    addTask(bare.kernel, function* (sys): Body {
      yield sys.print('x'.repeat(10_050));
      return 0;
    });
    runUntil(bare.kernel);
    expect(bare.uart()).toHaveLength(10_001);
  });

  it('counts over all tasks: two that alternate never trip it', () => {
    const { kernel } = bareKernel();
    let bad = 0;
    for (let t = 0; t < 2; t++) {
      addTask(kernel, function* (sys): Body {
        for (let i = 0; i < 10_100; i++) if ((yield sys.yieldCpu()) < 0) bad += 1;
        return 0;
      });
    }
    runUntil(kernel, Infinity, 20_200);
    expect(bad).toBe(0);
  });
});

describe('trace', () => {
  it('stamps the running task and leaves polling and printing out', () => {
    const bare = bareKernel();
    const { kernel } = bare;
    const events = bare.record();
    const id = newEndpoint(kernel);
    const server = addTask(
      kernel,
      function* (sys): Body {
        yield sys.recvV2(0, 8);
        sys.note('got', sys.message.len);
        return 0;
      },
      { name: 'server' },
    );
    grant(server, 0, endpointCap(id, Rights.RECV));
    const client = addTask(
      kernel,
      function* (sys): Body {
        yield sys.nsec();
        yield sys.println('hello');
        yield sys.recv(0, 8, NONBLOCK);
        yield sys.send(0, Uint8Array.of(1, 2), 0, 0, 1);
        yield sys.send(5, Uint8Array.of(1, 2));
        yield sys.yieldCpu();
        return 0;
      },
      { name: 'client' },
    );
    grant(client, 0, endpointCap(id));
    grant(client, 1, { kind: 'vmo', base: 4096, len: 8192, rights: 4 });
    runUntil(kernel);
    const brief = events.map((e) => `${e.pid} ${e.kind}${'name' in e ? ` ${e.name}` : ''}`);
    expect(brief).toEqual([
      '-1 task-spawn server',
      '-1 task-spawn client',
      '0 task-block',
      '1 ipc-send',
      '1 task-wake',
      '1 syscall ipc_send_v1',
      '1 syscall ipc_send_v1',
      '0 ipc-recv',
      '0 syscall ipc_recv_v2',
      '0 note got',
      '0 task-exit',
      '1 task-exit',
    ]);
    expect(events[3]).toMatchObject({
      endpoint: id,
      frame: Uint8Array.of(1, 2),
      moved: { kind: 'vmo', base: 4096, len: 8192, rights: 4 },
    });
  });

  it('events fire outside any task', () => {
    const bare = bareKernel();
    addTask(bare.kernel, function* (sys): Body {
      for (let i = 0; i < 5; i++) yield sys.yieldCpu();
      return 0;
    });
    let pid = 5;
    bare.clock.schedule(5000, () => {
      pid = bare.kernel.trace.pid;
    });
    runUntil(bare.kernel, 9000);
    expect([pid, bare.kernel.trace.pid]).toEqual([-1, 0]);
  });
});

describe('run', () => {
  const busy = function* (sys: Sys): Body {
    for (let i = 0; ; i++) yield i % 2 === 0 ? sys.yieldCpu() : sys.getpid();
  };

  it('ends by time, by steps and by request, and a slice changes nothing', () => {
    const whole = bareKernel();
    addTask(whole.kernel, busy);
    expect(runUntil(whole.kernel, 1_000_000)).toBe('time');
    const sliced = bareKernel();
    addTask(sliced.kernel, busy);
    let end = runUntil(sliced.kernel, 1_000_000, 7);
    let slices = 1;
    for (; end === 'steps'; slices++) end = runUntil(sliced.kernel, 1_000_000, 7);
    expect(slices).toBeGreaterThan(50);
    expect(sliced.clock.now).toBe(whole.clock.now);
    sliced.clock.schedule(1_100_000, () => sliced.kernel.requestStop());
    expect(runUntil(sliced.kernel)).toBe('stopped');
    expect(sliced.clock.now).toBeLessThan(1_103_000);
  });

  it('a stop inside an event leaves the next turn undone', () => {
    const bare = bareKernel();
    const log: number[] = [];
    addTask(bare.kernel, function* (sys): Body {
      for (;;) {
        yield sys.nsec();
        log.push(bare.clock.now);
      }
    });
    bare.clock.schedule(10_000, () => bare.kernel.requestStop());
    runUntil(bare.kernel);
    expect(log.every((t) => t < 10_000)).toBe(true);
  });

  it('a stop while a program computes leaves its next call undone', () => {
    const bare = bareKernel();
    addTask(bare.kernel, function* (sys): Body {
      yield sys.putc(97);
      sys.compute('instructions', 10_000);
      yield sys.putc(98);
      return 0;
    });
    bare.clock.schedule(5_000, () => bare.kernel.requestStop());
    expect(runUntil(bare.kernel)).toBe('stopped');
    expect(bare.uart()).toBe('a');
    runUntil(bare.kernel);
    expect(bare.uart()).toBe('ab');
  });

  it('drives the boot sequence line by line, then the first task', () => {
    const parts = bareKernel();
    const { kernel } = parts;
    const lines: string[] = [];
    const booting = new Kernel({
      board: kernel.board,
      uart: { transmit: () => undefined },
      image: kernel.image,
      memory: () => kernel.memory,
      boot: function* (k) {
        for (const line of ['one', 'two', 'three']) {
          lines.push(line);
          if (line === 'two') k.requestStop();
          yield;
        }
        addTask(k, function* (sys): Body {
          lines.push('task');
          return yield sys.yieldCpu();
        });
        k.reschedule();
      },
    });
    expect(booting.run({ untilNs: Infinity, maxSteps: 100 })).toBe('stopped');
    expect(lines).toEqual(['one', 'two']);
    booting.run({ untilNs: Infinity, maxSteps: 100 });
    expect(lines).toEqual(['one', 'two', 'three', 'task']);
  });

  it('ends a task that faults and goes on with the next one', () => {
    const { kernel } = bareKernel();
    const log: string[] = [];
    const parent = addTask(kernel, function* (sys): Body {
      log.push(`child ${yield sys.wait(-1)} ${sys.waitStatus}`);
      return 0;
    });
    addTask(
      kernel,
      function* (sys): Body {
        try {
          yield sys.getpid();
          throw new GuestFault('load', 0, 0xdead_0000);
        } finally {
          log.push('gone');
        }
      },
      { parent: parent.pid },
    );
    runUntil(kernel);
    expect(log).toEqual(['gone', 'child 1 -22']);
  });

  it('lets a bug in a program through as what it is', () => {
    const { kernel } = bareKernel();
    addTask(kernel, function* (): Body {
      throw new TypeError('ours');
    });
    expect(() => runUntil(kernel)).toThrow('ours');
    const other = bareKernel();
    addTask(other.kernel, function* (sys): Body {
      sys.compute('no such label');
      return yield sys.yieldCpu();
    });
    expect(() => runUntil(other.kernel)).toThrow("compute label 'no such label' is not in the cost table");
  });

  it('rolls a task back when its class is full', () => {
    const { kernel } = bareKernel();
    for (let i = 0; i < 64; i++) addTask(kernel, busy);
    expect(() => addTask(kernel, busy)).toThrow('full');
    expect(kernel.tasks).toHaveLength(64);
    expect(addTask(kernel, busy, { qos: 2 }).pid).toBe(64);
  });

  it('panics when the last runnable task exits', () => {
    const { kernel } = bareKernel();
    const sleeper = addTask(kernel, function* (sys): Body {
      return yield sys.recv(0, 8, 0, 1_000_000);
    });
    grant(sleeper, 0, endpointCap(newEndpoint(kernel)));
    addTask(kernel, function* (): Body {
      return 0;
    });
    expect(runUntil(kernel)).toBe('stopped');
    expect(kernel.current).toBeNull();
    expect(kernel.run({ untilNs: Infinity, maxSteps: 10 })).toBe('dead');
  });

  it('two kernels in one process share nothing', () => {
    const build = (): { step: () => void; state: () => unknown } => {
      const bare = bareKernel();
      const { kernel } = bare;
      const a = newEndpoint(kernel, 1);
      const events = bare.record();
      for (let t = 0; t < 3; t++) {
        const task = addTask(kernel, function* (sys): Body {
          for (let i = 0; i < 50; i++) {
            if (t === 0) yield sys.recvV2(0, 64, 0, bare.clock.now + 30_000);
            else yield sys.send(0, new Uint8Array(i + t), 0, bare.clock.now + 20_000);
          }
          for (;;) yield sys.yieldCpu();
        });
        grant(task, 0, endpointCap(a));
      }
      return {
        step: () => void runUntil(kernel, bare.clock.now + 5000),
        state: () => [bare.clock.now, events],
      };
    };
    const [x, y, alone] = [build(), build(), build()];
    for (let i = 0; i < 100; i++) {
      x.step();
      if (i % 3 === 0) y.step();
    }
    for (let i = 0; i < 66; i++) y.step();
    for (let i = 0; i < 100; i++) alone.step();
    expect(x.state()).toEqual(alone.state());
    expect(y.state()).toEqual(alone.state());
  });
});
