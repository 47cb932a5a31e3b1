import { describe, expect, it } from 'vitest';
import { CAP_MOVE, Errno, MAX_FRAME, NONBLOCK, Rights, serviceIdOf, TRUNCATE } from '../abi.ts';
import type { Sys, Syscall } from '../sys.ts';
import type { Task } from '../task.ts';
import { ipcRecvV1, ipcSendV1 } from './ipc.ts';
import { BLOCKED } from './result.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../testing.ts';
import type { Bare } from '../testing.ts';

type Body = Generator<Syscall, number, number>;

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Runs one program that ends by itself; `setup` gives it capabilities. */
function once(program: (sys: Sys) => Body, setup: (bare: Bare, task: Task) => void = () => undefined): Bare {
  const bare = bareKernel();
  setup(bare, addTask(bare.kernel, program, { name: 'tester' }));
  runUntil(bare.kernel);
  return bare;
}

/** Slot 0: an endpoint of `depth`. */
const withEndpoint =
  (depth = 8) =>
  ({ kernel }: Bare, task: Task): void =>
    grant(task, 0, endpointCap(newEndpoint(kernel, depth)));

describe('IPC_SEND_V1 checks, in order', () => {
  function sendResult(prepare: (r: Syscall) => void, setup = withEndpoint()): number {
    let result = NaN;
    once(function* (sys) {
      const r = sys.send(0, bytes(1, 2, 3), NONBLOCK);
      prepare(r);
      result = yield r;
      return 0;
    }, setup);
    return result;
  }

  it('length over 8192 and unknown flags before the slot', () => {
    const bad = (r: Syscall): void => {
      r.a0 = 77;
    };
    expect(sendResult((r) => ((r.bytes = new Uint8Array(MAX_FRAME + 1)), (r.a3 = MAX_FRAME + 1), bad(r)))).toBe(
      -Errno.EINVAL,
    );
    expect(sendResult((r) => ((r.a4 = TRUNCATE), bad(r)))).toBe(-Errno.EINVAL);
    expect(sendResult((r) => ((r.a4 = NONBLOCK | TRUNCATE), bad(r)))).toBe(-Errno.EINVAL);
    expect(sendResult(bad)).toBe(-Errno.EPERM);
  });

  it('the slot before the header length', () => {
    expect(sendResult((r) => ((r.a3 = 2), (r.a0 = 77)))).toBe(-Errno.EPERM);
    expect(sendResult((r) => (r.a3 = 2))).toBe(-Errno.EINVAL);
  });

  it('no SEND right and other kinds are EPERM', () => {
    const recvOnly = ({ kernel }: Bare, task: Task): void =>
      grant(task, 0, endpointCap(newEndpoint(kernel), Rights.RECV));
    const vmo = (_bare: Bare, task: Task): void => grant(task, 0, { kind: 'vmo', base: 0, len: 4096, rights: 15 });
    expect(sendResult(() => undefined, recvOnly)).toBe(-Errno.EPERM);
    expect(sendResult(() => undefined, vmo)).toBe(-Errno.EPERM);
  });

  it('the header length before the moved capability', () => {
    const move = (r: Syscall): void => {
      r.headerFlags = CAP_MOVE;
      r.moveSlot = 50;
    };
    expect(sendResult((r) => (move(r), (r.a3 = 4)))).toBe(-Errno.EINVAL);
    expect(sendResult(move)).toBe(-Errno.EPERM);
  });

  it('CAP_MOVE refuses empty slots, MANAGE, the factory and dead endpoints, and keeps the capability', () => {
    const results: number[] = [];
    let task: Task | null = null;
    once(
      function* (sys) {
        for (const slot of [9, 1, 2, 3, 4]) results.push(yield sys.send(0, bytes(1), NONBLOCK, 0, slot));
        for (const slot of [1, 2, 3, 4]) results.push(task?.caps.get(slot) === null ? 0 : 1);
        return 0;
      },
      (bare, t) => {
        withEndpoint()(bare, t);
        task = t;
        const dead = newEndpoint(bare.kernel);
        bare.kernel.router.close(dead, []);
        grant(t, 1, endpointCap(newEndpoint(bare.kernel), Rights.SEND | Rights.MANAGE));
        grant(t, 2, { kind: 'factory', rights: Rights.MANAGE });
        grant(t, 3, endpointCap(dead));
        // Also without MANAGE: it is the kind that does not travel.
        grant(t, 4, { kind: 'factory', rights: 0 });
      },
    );
    const { EPERM, ESRCH } = Errno;
    expect(results).toEqual([-EPERM, -EPERM, -EPERM, -ESRCH, -EPERM, 1, 1, 1, 1]);
  });

  it('CAP_MOVE moves: the sender’s slot is empty as soon as the message is queued, and is the next one to be filled', () => {
    const seen: unknown[] = [];
    once(
      function* (sys) {
        seen.push(yield sys.send(0, bytes(1), NONBLOCK, 0, 1), yield sys.capClose(1));
        seen.push(yield sys.capClone(0));
        return 0;
      },
      (bare, task) => {
        withEndpoint()(bare, task);
        grant(task, 1, endpointCap(newEndpoint(bare.kernel), Rights.SEND));
      },
    );
    expect(seen).toEqual([1, -Errno.EPERM, 1]);
  });

  it('a deadline that is now has passed, one tick later it has not (sheet 10, section 8)', () => {
    const bare = bareKernel();
    const { kernel, clock } = bare;
    const task = addTask(kernel, function* (sys): Body {
      yield sys.getpid();
      return 0;
    });
    addTask(kernel, function* (sys): Body {
      for (;;) yield sys.yieldCpu();
    });
    grant(task, 0, endpointCap(newEndpoint(kernel, 1)));
    kernel.start();
    // Nothing costs time here, so that the call sees the instant it was made at.
    kernel.charge = () => undefined;
    clock.advance(12_345);
    const now = kernel.nowNs();
    expect(ipcRecvV1(kernel, task, task.sys.recv(0, 8, 0, now))).toBe(-Errno.ETIMEDOUT);
    expect(ipcRecvV1(kernel, task, task.sys.recv(0, 8, 0, now - 1))).toBe(-Errno.ETIMEDOUT);
    expect(ipcSendV1(kernel, task, task.sys.send(0, bytes(1)))).toBe(1);
    expect(ipcSendV1(kernel, task, task.sys.send(0, bytes(1), 0, now))).toBe(-Errno.ETIMEDOUT);
    expect(ipcSendV1(kernel, task, task.sys.send(0, bytes(1), 0, now + 1))).toBe(BLOCKED);
    expect(task.state).toBe('blocked');
  });

  it('a full queue gives EAGAIN and puts the moved capability back', () => {
    const results: number[] = [];
    once(
      function* (sys) {
        results.push(yield sys.send(0, bytes(1), NONBLOCK));
        results.push(yield sys.send(0, bytes(2), NONBLOCK, 0, 1));
        results.push(yield sys.capClone(1));
        return 0;
      },
      (bare, task) => {
        withEndpoint(1)(bare, task);
        grant(task, 1, endpointCap(newEndpoint(bare.kernel)));
      },
    );
    expect(results).toEqual([1, -Errno.EAGAIN, 2]);
  });

  it('a dead endpoint gives ESRCH, also to a blocking send', () => {
    const results: number[] = [];
    once(
      function* (sys) {
        results.push(yield sys.send(0, bytes(1)), yield sys.send(0, bytes(1), NONBLOCK), yield sys.recv(0, 8));
        return 0;
      },
      (bare, task) => {
        withEndpoint()(bare, task);
        bare.kernel.router.close(bare.kernel.router.endpoints.length - 1, []);
      },
    );
    expect(results).toEqual([-Errno.ESRCH, -Errno.ESRCH, -Errno.ESRCH]);
  });

  it('NoSpace is never waited for (Q21)', () => {
    const results: number[] = [];
    once(
      function* (sys) {
        for (let i = 0; i < 33; i++) results.push(yield sys.send(0, new Uint8Array(MAX_FRAME)));
        return 0;
      },
      ({ kernel }, task) => grant(task, 0, endpointCap(newEndpoint(kernel, 64, 0))),
    );
    // 32 frames of 8 KiB fill the owner's 256 KiB although the endpoint has room.
    expect(results.slice(0, 32).every((r) => r === MAX_FRAME)).toBe(true);
    expect(results[32]).toBe(-Errno.ENOSPC);
  });
});

describe('IPC_RECV checks and outputs', () => {
  it('flags before the slot, the bound of V2 only in V2, EAGAIN on empty', () => {
    const results: number[] = [];
    once(function* (sys) {
      results.push(yield sys.recv(77, 8, 4));
      results.push(yield sys.recv(77, 8, NONBLOCK));
      results.push(yield sys.recvV2(77, MAX_FRAME + 1, NONBLOCK));
      results.push(yield sys.recv(0, MAX_FRAME + 1, NONBLOCK));
      results.push(yield sys.recvV2(0, MAX_FRAME, NONBLOCK | TRUNCATE));
      return 0;
    }, withEndpoint());
    expect(results).toEqual([-Errno.EINVAL, -Errno.EPERM, -Errno.EINVAL, -Errno.EAGAIN, -Errno.EAGAIN]);
  });

  it('delivers header, payload and, in V2 alone, the attested sender', () => {
    const seen: unknown[] = [];
    once(function* (sys) {
      yield sys.send(0, bytes(1, 2, 3), 0, 0, -1, 0x5566);
      seen.push(yield sys.recv(0, 8), { ...sys.message });
      yield sys.send(0, bytes(4));
      seen.push(yield sys.recvV2(0, 8), sys.message.serviceId);
      return 0;
    }, withEndpoint());
    expect(seen).toEqual([
      3,
      { src: 0, senderPid: 0, ty: 0x5566, flags: 0, len: 3, payload: bytes(1, 2, 3), serviceId: 0n },
      1,
      serviceIdOf('tester'),
    ]);
  });

  it('the kernel owns its copy: later changes of the sender are not seen', () => {
    let got = bytes();
    once(function* (sys) {
      const frame = bytes(1, 2, 3);
      yield sys.send(0, frame);
      frame.fill(9);
      yield sys.recv(0, 8);
      got = sys.message.payload;
      return 0;
    }, withEndpoint());
    expect(got).toEqual(bytes(1, 2, 3));
  });

  it('cuts with TRUNCATE, destroys without (Q8), keeps the header length', () => {
    const seen: unknown[] = [];
    once(function* (sys) {
      for (let i = 0; i < 3; i++) yield sys.send(0, bytes(1, 2, 3, 4));
      seen.push(yield sys.recv(0, 2, TRUNCATE), sys.message.payload, sys.message.len);
      seen.push(yield sys.recv(0, 2), sys.message.len);
      seen.push(yield sys.recv(0, 0), sys.message.len);
      seen.push(yield sys.recv(0, 8, NONBLOCK));
      return 0;
    }, withEndpoint());
    expect(seen).toEqual([2, bytes(1, 2), 4, -Errno.EINVAL, 4, 0, 4, -Errno.EAGAIN]);
  });

  it('moves a capability into the lowest free slot; a full table re-queues the message at the front', () => {
    const seen: unknown[] = [];
    once(
      function* (sys) {
        yield sys.send(0, bytes(7), 0, 0, 2);
        yield sys.send(0, bytes(8));
        while ((yield sys.capClone(1)) >= 0);
        seen.push(yield sys.recv(0, 8));
        yield sys.capClose(5);
        yield sys.capClose(40);
        seen.push(yield sys.recv(0, 8), sys.message.src, sys.message.flags, sys.message.payload[0]);
        seen.push(yield sys.recv(0, 8), sys.message.src, sys.message.payload[0]);
        return 0;
      },
      (bare, task) => {
        withEndpoint()(bare, task);
        grant(task, 1, endpointCap(newEndpoint(bare.kernel)));
        grant(task, 2, { kind: 'vmo', base: 4096, len: 4096, rights: Rights.MAP });
      },
    );
    expect(seen).toEqual([-Errno.ENOSPC, 1, 5, CAP_MOVE, 7, 1, 0, 8]);
  });

  it('v0: free header, no payload, no sender id, no wake; the receive tells the header length', () => {
    const seen: unknown[] = [];
    const bare = bareKernel();
    const id = newEndpoint(bare.kernel, 1);
    const sleeper = addTask(bare.kernel, function* (sys): Body {
      seen.push(yield sys.recvV2(0, 8), { ...sys.message });
      return 0;
    });
    grant(sleeper, 0, endpointCap(id));
    const task = addTask(bare.kernel, function* (sys): Body {
      seen.push(yield sys.sendV0(0, 5, 6, 70_000), sleeper.state);
      seen.push(yield sys.sendV0(0, 5, 6, 1), yield sys.sendV0(9, 0, 0, 0));
      seen.push(yield sys.recvV0(0), yield sys.recvV0(0), yield sys.recvV0(9));
      yield sys.sendV0(0, 5, 6, 9);
      bare.kernel.wake(sleeper.pid);
      yield sys.yieldCpu();
      return 0;
    });
    grant(task, 0, endpointCap(id));
    runUntil(bare.kernel);
    expect(seen).toEqual([
      70_000,
      'blocked',
      -Errno.EAGAIN,
      -Errno.EPERM,
      70_000,
      -Errno.EAGAIN,
      -Errno.EPERM,
      0,
      { src: 0, senderPid: id, ty: 5, flags: 6, len: 9, payload: bytes(), serviceId: 0n },
    ]);
  });
});

describe('waiting (sheet 10, section 4.5)', () => {
  /** Receivers that log their wake-ups, all on one endpoint. */
  function receivers(bare: Bare, log: string[], names: readonly string[], id: number, deadline = 0): Task[] {
    return names.map((name) => {
      const task = addTask(bare.kernel, function* (sys): Body {
        const got = yield sys.recv(0, 8, 0, deadline);
        log.push(`${name}=${got}`);
        return 0;
      });
      grant(task, 0, endpointCap(id));
      return task;
    });
  }

  it('wakes receivers first in, first out, and the sender keeps running', () => {
    const bare = bareKernel();
    const log: string[] = [];
    const id = newEndpoint(bare.kernel);
    receivers(bare, log, ['a', 'b', 'c'], id);
    const sender = addTask(bare.kernel, function* (sys): Body {
      for (let i = 1; i <= 3; i++) log.push(`sent ${yield sys.send(0, new Uint8Array(i))}`);
      return 0;
    });
    grant(sender, 0, endpointCap(id));
    runUntil(bare.kernel);
    expect(log).toEqual(['sent 1', 'sent 2', 'sent 3', 'a=1', 'b=2', 'c=3']);
  });

  it('a woken receiver can be overtaken and waits again at the tail (Q20)', () => {
    const bare = bareKernel();
    const log: string[] = [];
    const id = newEndpoint(bare.kernel);
    receivers(bare, log, ['a', 'b'], id);
    const sender = addTask(bare.kernel, function* (sys): Body {
      yield sys.send(0, bytes(1));
      log.push(`overtaker=${yield sys.recv(0, 8, NONBLOCK)}`);
      yield sys.yieldCpu();
      yield sys.send(0, bytes(1, 2));
      yield sys.send(0, bytes(1, 2, 3));
      return 0;
    });
    grant(sender, 0, endpointCap(id));
    runUntil(bare.kernel);
    expect(log).toEqual(['overtaker=1', 'b=2', 'a=3']);
  });

  it('a blocked sender goes on when room is made, with its capability moved then', () => {
    const bare = bareKernel();
    const log: string[] = [];
    const id = newEndpoint(bare.kernel, 1);
    const sender = addTask(bare.kernel, function* (sys): Body {
      log.push(`first ${yield sys.send(0, bytes(1))}`);
      log.push(`second ${yield sys.send(0, bytes(2, 2), 0, 0, 1)}`);
      return 0;
    });
    grant(sender, 0, endpointCap(id));
    grant(sender, 1, endpointCap(id, Rights.SEND));
    const receiver = addTask(bare.kernel, function* (sys): Body {
      log.push(`held ${sender.caps.get(1) !== null}, ${sender.state}`);
      log.push(`got ${yield sys.recv(0, 8)}, ${sender.state}`);
      log.push(`got ${yield sys.recv(0, 8)} in slot ${sys.message.src}, held ${sender.caps.get(1) !== null}`);
      return 0;
    });
    grant(receiver, 0, endpointCap(id));
    runUntil(bare.kernel);
    expect(log).toEqual(['first 1', 'held true, blocked', 'got 1, ready', 'second 2', 'got 2 in slot 1, held false']);
  });

  it('a wake into a full class is lost and the registration with it', () => {
    const bare = bareKernel();
    const log: string[] = [];
    const id = newEndpoint(bare.kernel);
    const [sleeper] = receivers(bare, log, ['a'], id);
    const sender = addTask(bare.kernel, function* (sys): Body {
      while (bare.kernel.scheduler.enqueue(sender.pid, 1));
      log.push(`sent ${yield sys.send(0, bytes(1))}`);
      bare.kernel.scheduler.purge(sender.pid);
      log.push(`sent ${yield sys.send(0, bytes(1, 2))}`);
      log.push(String(sleeper?.state));
      bare.kernel.requestStop();
      return yield sys.yieldCpu();
    });
    grant(sender, 0, endpointCap(id));
    runUntil(bare.kernel);
    expect(log).toEqual(['sent 1', 'sent 2', 'blocked']);
    expect(bare.kernel.router.endpoints[id]?.recvWaiters).toEqual([]);
  });

  it('close drops the queue and wakes all waiters in pid order with ESRCH', () => {
    const bare = bareKernel();
    const log: string[] = [];
    const id = newEndpoint(bare.kernel, 1);
    receivers(bare, log, ['p0', 'p1'], id);
    const closer = addTask(bare.kernel, function* (sys): Body {
      yield sys.yieldCpu();
      log.push(`close ${yield sys.endpointClose(0)}`);
      return 0;
    });
    grant(closer, 0, endpointCap(id, 15));
    runUntil(bare.kernel);
    expect(log).toEqual(['close 0', `p0=${-Errno.ESRCH}`, `p1=${-Errno.ESRCH}`]);
  });

  it("an owner's exit closes its endpoints and wakes senders and receivers ascending", () => {
    const bare = bareKernel();
    const log: string[] = [];
    const owner = addTask(bare.kernel, function* (sys): Body {
      yield sys.yieldCpu();
      yield sys.yieldCpu();
      log.push('exit');
      return yield sys.exit(3);
    });
    const full = newEndpoint(bare.kernel, 1, owner.pid);
    const empty = newEndpoint(bare.kernel, 1, owner.pid);
    for (const name of ['s1', 's2']) {
      const task = addTask(bare.kernel, function* (sys): Body {
        log.push(`${name}=${yield sys.send(0, bytes(1))}`);
        log.push(`${name}=${yield sys.send(0, bytes(1))}`);
        return 0;
      });
      grant(task, 0, endpointCap(full));
    }
    receivers(bare, log, ['r3'], empty);
    runUntil(bare.kernel);
    expect(log).toEqual([
      's1=1',
      'exit',
      `s1=${-Errno.ESRCH}`,
      `s2=${-Errno.ESRCH}`,
      `s2=${-Errno.ESRCH}`,
      `r3=${-Errno.ESRCH}`,
    ]);
    expect(bare.kernel.router.globalBytes).toBe(0);
    expect(owner).toMatchObject({ state: 'zombie', exitCode: 3 });
    expect(owner.caps.size).toBe(0);
  });

  it('the expired scan takes a deadline that is now, and takes the task out of the waiters before it wakes it', () => {
    const bare = bareKernel();
    const { kernel } = bare;
    const program = function* (sys: Sys): Body {
      for (;;) yield sys.yieldCpu();
    };
    const [early, late, scanner] = [0, 1, 2].map(() => addTask(kernel, program));
    addTask(kernel, program);
    const ids = [1, 2].map(() => newEndpoint(kernel, 1));
    for (const task of [early, late, scanner]) {
      grant(task!, 0, endpointCap(ids[0]!));
      grant(task!, 1, endpointCap(ids[1]!));
    }
    kernel.start();
    kernel.charge = () => undefined;
    const deadline = kernel.nowNs() + 1000;
    /** The running task's call; each blocks, and the next task runs. */
    const block = (task: Task | undefined, request: (sys: Sys) => Syscall): void => {
      expect(kernel.current).toBe(task);
      expect(ipcRecvV1(kernel, task!, request(task!.sys))).toBe(BLOCKED);
    };
    block(early, (sys) => sys.recv(0, 8, 0, deadline));
    block(late, (sys) => sys.recv(0, 8, 0, deadline + 1));
    bare.clock.advance(1000);
    block(scanner, (sys) => sys.recv(1, 8));
    expect([early?.state, late?.state, scanner?.state]).toEqual(['ready', 'blocked', 'blocked']);
    expect(kernel.router.endpoints[ids[0]!]?.recvWaiters).toEqual([late?.pid]);
  });

  it('a message is delivered even when the deadline has passed', () => {
    const results: number[] = [];
    once(function* (sys) {
      yield sys.send(0, bytes(1));
      results.push(yield sys.recv(0, 8, 0, 1), yield sys.recv(0, 8, 0, 1));
      return 0;
    }, withEndpoint());
    expect(results).toEqual([1, -Errno.ETIMEDOUT]);
  });

  it('deadlines of others are noticed only when some task blocks in IPC (Q13)', () => {
    const bare = bareKernel();
    const log: string[] = [];
    const id = newEndpoint(bare.kernel);
    const idle = newEndpoint(bare.kernel);
    receivers(bare, log, ['a'], id, 100_000);
    receivers(bare, log, ['b'], id, 50_000);
    const worker = addTask(bare.kernel, function* (sys): Body {
      while (bare.clock.now < 400_000) yield sys.yieldCpu();
      log.push('yielded');
      return yield sys.recv(0, 8);
    });
    grant(worker, 0, endpointCap(idle));
    runUntil(bare.kernel);
    const timeout = -Errno.ETIMEDOUT;
    expect(log).toEqual(['yielded', `a=${timeout}`, `b=${timeout}`]);
  });
});
