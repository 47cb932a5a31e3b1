import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno, Qos } from '../abi.ts';
import type { Sys, Syscall } from '../sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../testing.ts';

type Body = Generator<Syscall, number, number>;
const { EPERM, EINVAL, ESRCH, ECHILD, ENOSYS } = Errno;

const idle = function* (sys: Sys): Body {
  for (;;) yield sys.yieldCpu();
};

/** Prints pieces, each in one go or byte by byte, while events and the ends of slices come in between. */
function printed(pieces: readonly string[], events: readonly number[], slices: readonly number[], bytewise: boolean) {
  const { kernel, clock, uart } = bareKernel();
  const seen: string[] = [];
  addTask(kernel, function* (sys): Body {
    for (const piece of pieces) {
      if (bytewise) for (const byte of new TextEncoder().encode(piece)) yield sys.putc(byte);
      else yield sys.print(piece);
      yield sys.getpid();
    }
    return 0;
  });
  for (const at of events) clock.schedule(at, () => void seen.push(`${at} ${clock.now} ${uart().length}`));
  kernel.start();
  for (const untilNs of [...slices, Infinity]) {
    kernel.run({ untilNs, maxSteps: Infinity });
    seen.push(`${clock.now} ${uart().length}`);
  }
  return { seen, text: uart(), run: kernel.storm.run };
}

describe('YIELD, NSEC, GETPID', () => {
  it('yield tells the pid that was picked', () => {
    const { kernel } = bareKernel();
    const seen: number[] = [];
    for (let i = 0; i < 2; i++) {
      addTask(kernel, function* (sys): Body {
        seen.push(yield sys.yieldCpu());
        kernel.requestStop();
        return yield sys.yieldCpu();
      });
    }
    runUntil(kernel);
    expect(seen).toEqual([1]);
    kernel.run({ untilNs: Infinity, maxSteps: 3 });
    expect(seen).toEqual([1, 0]);
  });

  it('cost what was measured: NSEC and GETPID 2.0 us, YIELD 2.2 us, PUTC 2.0 us', () => {
    const { kernel, clock } = bareKernel();
    const took: number[] = [];
    addTask(kernel, function* (sys): Body {
      for (const call of [() => sys.nsec(), () => sys.getpid(), () => sys.yieldCpu(), () => sys.putc(65)]) {
        const before = clock.now;
        yield call();
        took.push(clock.now - before);
      }
      return 0;
    });
    runUntil(kernel);
    expect(took).toEqual([2000, 2000, 2200, 2000]);
  });

  it('time has ticks of 100 ns', () => {
    const { kernel } = bareKernel();
    const seen: number[] = [];
    addTask(kernel, function* (sys): Body {
      sys.compute('instructions', 7);
      seen.push(yield sys.nsec());
      return 0;
    });
    runUntil(kernel);
    expect(seen[0]! % 100).toBe(0);
  });

  it('unknown numbers are ENOSYS', () => {
    const { kernel } = bareKernel();
    const seen: number[] = [];
    addTask(kernel, function* (sys): Body {
      for (const nr of [32, 63, 100, -1, 2 ** 40]) {
        const r = sys.getpid();
        r.nr = nr;
        seen.push(yield r);
      }
      return 0;
    });
    runUntil(kernel);
    expect(seen).toEqual([-ENOSYS, -ENOSYS, -ENOSYS, -ENOSYS, -ENOSYS]);
  });
});

describe('DEBUG_PUTC and PRINT', () => {
  it('PRINT is as many of them, whatever comes in between', () => {
    const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n', '\r', '\x80', ''), maxLength: 40 }), {
      maxLength: 4,
    });
    const times = fc.array(fc.integer({ min: 0, max: 300_000 }), { maxLength: 6 });
    const sorted = times.map((all) => [...all].sort((a, b) => a - b));
    fc.assert(
      fc.property(pieces, times, sorted, (texts, events, slices) => {
        expect(printed(texts, events, slices, false)).toEqual(printed(texts, events, slices, true));
      }),
      { seed: 16550, numRuns: 300 },
    );
    // Past the storm guard.
    const long = ['x'.repeat(10_003), `${'y'.repeat(9_999)}\nz`, 'w'.repeat(10_001)];
    expect(printed(long, [9_000_000], [], false)).toEqual(printed(long, [9_000_000], [], true));
  });

  it('LF becomes CR LF, bytes from 0x80 print nothing, the byte is returned', () => {
    const bare = bareKernel();
    const seen: number[] = [];
    addTask(bare.kernel, function* (sys): Body {
      seen.push(yield sys.putc(0x141), yield sys.putc(0x80), yield sys.putc(0xff), yield sys.putc(10));
      seen.push(yield sys.println('b\u00e9'));
      return 0;
    });
    runUntil(bare.kernel);
    expect(seen).toEqual([0x41, 0x80, 0xff, 10, 4]);
    expect(bare.uart()).toBe('A\r\nb\r\n');
  });

  it('PRINT costs one DEBUG_PUTC per byte and leaves the same bytes', () => {
    const run = (printed: boolean): [string, number] => {
      const bare = bareKernel();
      addTask(bare.kernel, function* (sys): Body {
        if (printed) yield sys.println('ready');
        else for (const c of 'ready\n') yield sys.putc(c.charCodeAt(0));
        return 0;
      });
      runUntil(bare.kernel);
      return [bare.uart(), bare.clock.now];
    };
    expect(run(true)).toEqual(run(false));
  });

  it('stops exactly between two bytes and goes on there', () => {
    const bare = bareKernel();
    addTask(bare.kernel, function* (sys): Body {
      yield sys.println('marker');
      yield sys.println('later');
      return 0;
    });
    bare.clock.schedule(bare.kernel.costs.activate + 3 * 2000, () => bare.kernel.requestStop());
    expect(runUntil(bare.kernel)).toBe('stopped');
    expect(bare.uart()).toBe('mar');
    expect(runUntil(bare.kernel, 10_000)).toBe('time');
    expect(bare.uart()).toBe('marke');
    runUntil(bare.kernel);
    expect(bare.uart()).toBe('marker\r\nlater\r\n');
  });
});

describe('EXIT and WAIT (sheet 10, section 6.4)', () => {
  it('wait: no children, itself, no child, then pid and status; reaped once', () => {
    const { kernel } = bareKernel();
    const seen: unknown[] = [];
    addTask(kernel, idle);
    const parent = addTask(kernel, function* (sys): Body {
      seen.push(yield sys.wait(-1));
      const child = (code: number) =>
        function* (s: Sys): Body {
          yield s.yieldCpu();
          return code;
        };
      addTask(kernel, child(7), { parent: sys.pid });
      addTask(kernel, child(-3), { parent: sys.pid });
      seen.push(yield sys.wait(sys.pid), yield sys.wait(99));
      seen.push(yield sys.wait(3), sys.waitStatus);
      seen.push(yield sys.wait(3));
      seen.push(yield sys.wait(0), sys.waitStatus);
      seen.push(yield sys.wait(2));
      return 0;
    });
    runUntil(kernel, Infinity, 100);
    expect(parent.state).toBe('zombie');
    expect(seen).toEqual([-ECHILD, -EINVAL, -ESRCH, 3, -3, -ESRCH, 2, 7, -ECHILD]);
  });

  it('pid 0 means any child, also to the task whose pid is 0', () => {
    const { kernel } = bareKernel();
    const seen: number[] = [];
    addTask(kernel, function* (sys): Body {
      addTask(
        kernel,
        function* (): Body {
          return 9;
        },
        { parent: 0 },
      );
      seen.push(yield sys.wait(0), sys.waitStatus);
      return 0;
    });
    runUntil(kernel);
    expect(seen).toEqual([1, 9]);
  });

  it('wakes a parent that waits for this or any child, not one that waits for another', () => {
    const { kernel, record } = bareKernel();
    const events = record();
    const log: string[] = [];
    addTask(kernel, function* (sys): Body {
      const exits = (code: number) =>
        function* (s: Sys): Body {
          for (let i = 0; i < code; i++) yield s.yieldCpu();
          log.push(`exit ${code}`);
          return code;
        };
      addTask(kernel, exits(1), { parent: sys.pid });
      addTask(kernel, exits(3), { parent: sys.pid });
      log.push(`got ${yield sys.wait(2)} = ${sys.waitStatus}`);
      log.push(`got ${yield sys.wait(-1)} = ${sys.waitStatus}`);
      return 0;
    });
    runUntil(kernel);
    expect(log).toEqual(['exit 1', 'exit 3', 'got 2 = 3', 'got 1 = 1']);
    // The first exit is not the one that is waited for: it leaves the parent asleep.
    const wakes = events.filter((event) => event.kind === 'task-wake' && event.woken === 0);
    expect(wakes.map(({ pid }) => pid)).toEqual([2]);
  });

  it('activates the successor twice; a yield to itself activates nothing', () => {
    const bare = bareKernel();
    addTask(bare.kernel, function* (sys): Body {
      yield sys.yieldCpu();
      return 0;
    });
    addTask(bare.kernel, function* (sys): Body {
      for (let i = 0; i < 4; i++) yield sys.yieldCpu();
      bare.kernel.requestStop();
      return yield sys.yieldCpu();
    });
    runUntil(bare.kernel);
    expect(bare.activations).toEqual([0, 1, 0, 1, 1]);
  });

  it('runs the finally blocks of a task that exits by syscall', () => {
    const { kernel } = bareKernel();
    const log: string[] = [];
    addTask(kernel, function* (sys): Body {
      try {
        return yield sys.exit(5);
      } finally {
        log.push('finally');
      }
    });
    runUntil(kernel);
    expect(log).toEqual(['finally']);
    expect(kernel.tasks[0]).toMatchObject({ state: 'zombie', exitCode: 5 });
  });

  it('leaves no trace in waiter lists', () => {
    const { kernel } = bareKernel();
    const id = newEndpoint(kernel);
    const sleeper = addTask(kernel, function* (sys): Body {
      return yield sys.recv(0, 8);
    });
    grant(sleeper, 0, endpointCap(id));
    addTask(kernel, function* (sys): Body {
      yield sys.yieldCpu();
      kernel.terminate(sleeper, -22, 'fault');
      kernel.requestStop();
      return yield sys.yieldCpu();
    });
    runUntil(kernel);
    expect(kernel.router.endpoints[id]?.recvWaiters).toEqual([]);
    expect(sleeper.exitCode).toBe(-22);
  });

  it('quirk fault-no-wake, both: a faulting child wakes its waiting parent, in the reference it does not (Q12)', () => {
    for (const faultNoWake of [false, true]) {
      const { kernel } = bareKernel({ options: { faultNoWake } });
      const parent = addTask(kernel, function* (sys): Body {
        yield sys.yieldCpu();
        return yield sys.wait(-1);
      });
      const child = addTask(kernel, idle, { parent: parent.pid });
      addTask(kernel, function* (sys): Body {
        yield sys.yieldCpu();
        kernel.terminate(child, -22, 'fault');
        kernel.requestStop();
        return yield sys.yieldCpu();
      });
      runUntil(kernel);
      expect(parent.state).toBe(faultNoWake ? 'blocked' : 'ready');
    }
  });
});

describe('TASK_QOS (sheet 10, section 5.4)', () => {
  function qos(
    name: string,
    calls: (sys: Sys) => readonly (() => Syscall)[],
    start: 0 | 1 | 2 | 3 = 1,
  ): [number[], string[]] {
    const bare = bareKernel({ qosAdministrators: ['chief', 'deputy'] });
    const got: number[] = [];
    addTask(bare.kernel, idle);
    addTask(
      bare.kernel,
      function* (sys): Body {
        for (const call of calls(sys)) got.push(yield call());
        bare.kernel.requestStop();
        return yield sys.yieldCpu();
      },
      { name, qos: start },
    );
    runUntil(bare.kernel);
    return [got, bare.uart().split('\r\n').slice(0, -1)];
  }

  it('decode errors leave no audit line', () => {
    const [got, lines] = qos('x', (sys) => [
      () => sys.qosSet(2 ** 32, 1),
      () => sys.qosSet(1, 256),
      () => sys.qosSet(2 ** 63, 2 ** 64),
      () => Object.assign(sys.qosGet(1), { a0: 2 }),
    ]);
    expect(got).toEqual([-EINVAL, -EINVAL, -EINVAL, -EINVAL]);
    expect(lines).toEqual([]);
  });

  it('lower or equal for itself is allowed, higher and other tasks are not', () => {
    const [got, lines] = qos(
      'x',
      (sys) => [
        () => sys.qosSet(1, Qos.NORMAL),
        () => sys.qosSet(1, Qos.NORMAL),
        () => sys.qosSet(1, Qos.INTERACTIVE),
        () => sys.qosSet(0, Qos.IDLE),
        () => sys.qosSet(1, 0xff),
        () => sys.qosSet(77, 1),
        () => sys.qosGet(1),
        () => sys.qosGet(77),
      ],
      Qos.PERF_BURST,
    );
    expect(got).toEqual([0, 0, -EPERM, -EPERM, -EINVAL, -EINVAL, 1, -EINVAL]);
    const who = (target: number): string => `caller_sid=0xaf63f54c86021707 caller_pid=1 target_pid=${target}`;
    const line = '[INFO qos] QOS-AUDIT decision=';
    expect(lines).toEqual([
      `${line}allow reason=applied ${who(1)} from=perfburst to=normal`,
      `${line}allow reason=applied ${who(1)} from=normal to=normal`,
      `${line}deny reason=unauthorized_escalation ${who(1)} from=normal to=interactive`,
      `${line}deny reason=unauthorized_other_pid ${who(0)} from=normal to=idle`,
      `${line}deny reason=invalid_qos_class ${who(1)}`,
      `${line}deny reason=invalid_target_pid ${who(77)}`,
    ]);
  });

  it('names the class before the target, and the target before the privilege', () => {
    const [got, lines] = qos('x', (sys) => [() => sys.qosSet(77, 4), () => sys.qosSet(77, 3), () => sys.qosSet(0, 3)]);
    expect(got).toEqual([-Errno.EINVAL, -Errno.EINVAL, -Errno.EPERM]);
    expect(lines.map((line) => /reason=(\S+)/.exec(line)?.[1])).toEqual([
      'invalid_qos_class',
      'invalid_target_pid',
      'unauthorized_other_pid',
    ]);
  });

  it('administrators may set others and raise themselves', () => {
    expect(qos('chief', (sys) => [() => sys.qosSet(0, 3), () => sys.qosGet(0)])[0]).toEqual([0, 3]);
    expect(qos('deputy', (sys) => [() => sys.qosSet(1, 3), () => sys.qosGet(1)])[0]).toEqual([0, 3]);
  });

  it('a full class gives EAGAIN and the target keeps its class', () => {
    const bare = bareKernel({ qosAdministrators: ['chief'] });
    const got: number[] = [];
    addTask(
      bare.kernel,
      function* (sys): Body {
        while (bare.kernel.scheduler.enqueue(90, 2));
        got.push(yield sys.qosSet(1, 2), yield sys.qosGet(1));
        bare.kernel.requestStop();
        return yield sys.getpid();
      },
      { name: 'chief' },
    );
    addTask(bare.kernel, idle);
    runUntil(bare.kernel, Infinity, 3);
    expect(got).toEqual([-Errno.EAGAIN, 1]);
    expect(bare.uart()).toContain('decision=deny reason=scheduler_queue_full');
  });
});
