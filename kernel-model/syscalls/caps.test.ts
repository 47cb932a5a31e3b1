import { describe, expect, it } from 'vitest';
import { CAP_SLOTS, Errno, MAX_ENDPOINT_DEPTH, Rights } from '../abi.ts';
import type { Capability } from '../captable.ts';
import type { Sys, Syscall } from '../sys.ts';
import type { Task } from '../task.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../testing.ts';
import type { Bare } from '../testing.ts';

type Body = Generator<Syscall, number, number>;

const FACTORY: Capability = { kind: 'factory', rights: Rights.MANAGE };
const { EPERM, EINVAL, ENOSPC, ESRCH } = Errno;

/** Pid 0 idles, pid 1 is the caller, pid 2 its child, pid 3 a stranger. */
function results(
  body: (sys: Sys, bare: Bare) => Generator<Syscall, readonly number[], number>,
  caps: Record<number, Capability> = {},
): {
  readonly got: readonly number[];
  readonly bare: Bare;
  readonly task: (pid: number) => Task;
} {
  const bare = bareKernel();
  const { kernel } = bare;
  let got: readonly number[] = [];
  const idle = function* (sys: Sys): Body {
    for (;;) yield sys.yieldCpu();
  };
  addTask(kernel, idle);
  const caller = addTask(kernel, function* (sys): Body {
    got = yield* body(sys, bare);
    kernel.requestStop();
    return yield sys.yieldCpu();
  });
  addTask(kernel, idle, { parent: caller.pid });
  addTask(kernel, idle);
  for (const [slot, cap] of Object.entries(caps)) grant(caller, Number(slot), cap);
  runUntil(kernel);
  return { got, bare, task: (pid) => kernel.tasks[pid]! };
}

describe('CAP_TRANSFER and CAP_TRANSFER_TO (sheet 10, section 3.3)', () => {
  it('checks mask, MANAGE, factory, subset, pid, room, in this order', () => {
    const { got, task } = results(
      function* (sys) {
        const r: number[] = [];
        r.push(yield sys.capTransfer(99, 0, 2 ** 31));
        r.push(yield sys.capTransfer(99, 0, 16));
        r.push(yield sys.capTransfer(2, 0, Rights.MANAGE));
        r.push(yield sys.capTransfer(2, 1, Rights.MANAGE));
        r.push(yield sys.capTransfer(1, 1, Rights.MANAGE));
        r.push(yield sys.capTransfer(2, 0, Rights.SEND | Rights.RECV));
        r.push(yield sys.capTransfer(2, 50, 0));
        r.push(yield sys.capTransfer(99, 0, Rights.SEND));
        r.push(yield sys.capTransfer(2, 0, Rights.SEND));
        r.push(yield sys.capTransfer(2, 0, 0));
        r.push(yield sys.capTransferTo(2, 0, Rights.SEND, 1));
        r.push(yield sys.capTransferTo(2, 0, Rights.SEND, CAP_SLOTS));
        r.push(yield sys.capTransferTo(2, 0, Rights.SEND, -1));
        r.push(yield sys.capTransferTo(2, 0, Rights.SEND, 9));
        return r;
      },
      { 0: endpointCap(3, Rights.SEND | Rights.MANAGE), 1: FACTORY },
    );
    expect(got).toEqual([
      ...[-EPERM, -EPERM, -EPERM, -EPERM, -EPERM, -EPERM, -EPERM, -EPERM],
      ...[0, 1, -EPERM, -EPERM, -EPERM, 9],
    ]);
    expect(task(2).caps.get(0)).toEqual(endpointCap(3, Rights.SEND));
    expect(task(2).caps.get(1)).toEqual(endpointCap(3, 0));
  });

  it('needs no relationship, works on itself, fails on a full or dead target', () => {
    const { got } = results(
      function* (sys, bare) {
        const r: number[] = [];
        r.push(yield sys.capTransfer(3, 0, Rights.SEND), yield sys.capTransfer(1, 0, Rights.SEND));
        bare.kernel.terminate(bare.kernel.tasks[2]!, 0, 'exit');
        r.push(yield sys.capTransfer(2, 0, Rights.SEND));
        const stranger = bare.kernel.tasks[3]!;
        while (stranger.caps.allocate(FACTORY) >= 0);
        r.push(yield sys.capTransfer(3, 0, Rights.SEND));
        return r;
      },
      { 0: endpointCap(3) },
    );
    expect(got).toEqual([0, 1, -EPERM, -EPERM]);
  });
});

describe('CAP_CLONE and CAP_CLOSE', () => {
  it('clone: empty, factory, full; close: empty, out of range', () => {
    const { got } = results(
      function* (sys) {
        const r: number[] = [];
        r.push(yield sys.capClone(5), yield sys.capClone(1), yield sys.capClone(0));
        while ((yield sys.capClone(0)) >= 0);
        r.push(yield sys.capClone(0), yield sys.capClose(95), yield sys.capClose(95), yield sys.capClose(96));
        r.push(yield sys.capClone(0));
        return r;
      },
      { 0: endpointCap(3), 1: FACTORY },
    );
    expect(got).toEqual([-EPERM, -EPERM, 2, -ENOSPC, 0, -EPERM, -EPERM, 95]);
  });

  it('closing a MANAGE capability leaves the endpoint alive', () => {
    const { got, bare } = results(
      function* (sys) {
        return [yield sys.capClose(0)];
      },
      { 0: endpointCap(3, 15) },
    );
    expect(got).toEqual([0]);
    expect(bare.kernel.router.isAlive(3)).toBe(true);
  });
});

describe('endpoint creation and close', () => {
  it('EP_CREATE v1 is always refused', () => {
    const { got } = results(function* (sys) {
      return [yield sys.endpointCreateV1()];
    });
    expect(got).toEqual([-EPERM]);
  });

  it('v2: depth before slot, factory with MANAGE, then quota and table', () => {
    const { got, bare, task } = results(
      function* (sys, { kernel }) {
        const r: number[] = [];
        r.push(yield sys.endpointCreate(77, 0), yield sys.endpointCreate(77, MAX_ENDPOINT_DEPTH + 1));
        r.push(yield sys.endpointCreate(77, 1), yield sys.endpointCreate(0, 1), yield sys.endpointCreate(2, 1));
        r.push(yield sys.endpointCreate(1, MAX_ENDPOINT_DEPTH));
        while ((yield sys.capClone(0)) >= 0);
        const before = kernel.router.endpoints.length;
        r.push(yield sys.endpointCreate(1, 1), kernel.router.endpoints.length - before);
        return r;
      },
      { 0: endpointCap(3), 1: FACTORY, 2: { kind: 'factory', rights: 0 } },
    );
    expect(got).toEqual([-EINVAL, -EINVAL, -EPERM, -EPERM, -EPERM, 3, -ENOSPC, 1]);
    expect(task(1).caps.get(3)).toEqual(endpointCap(8, Rights.SEND | Rights.RECV | Rights.MANAGE));
    expect(bare.kernel.router.endpoints[8]).toMatchObject({ owner: 1, depth: MAX_ENDPOINT_DEPTH });
  });

  it('for: depth, factory, pid known, self or direct child', () => {
    const { got, bare } = results(
      function* (sys) {
        const r: number[] = [];
        r.push(yield sys.endpointCreateFor(77, 99, 0), yield sys.endpointCreateFor(77, 99, 1));
        r.push(yield sys.endpointCreateFor(1, 99, 1), yield sys.endpointCreateFor(1, 3, 1));
        r.push(yield sys.endpointCreateFor(1, 1, 4), yield sys.endpointCreateFor(1, 2, 4));
        return r;
      },
      { 1: FACTORY },
    );
    expect(got).toEqual([-EINVAL, -EPERM, -EPERM, -EPERM, 0, 2]);
    expect(bare.kernel.router.endpoints.slice(8).map((e) => e.owner)).toEqual([1, 2]);
  });

  it('close consumes the slot before it checks (Q15)', () => {
    const { got, bare, task } = results(
      function* (sys) {
        const r: number[] = [];
        for (const slot of [0, 1, 2, 3, 4, 4]) r.push(yield sys.endpointClose(slot));
        return r;
      },
      { 0: endpointCap(3), 1: FACTORY, 2: endpointCap(4, 15), 3: endpointCap(4, 15) },
    );
    expect(got).toEqual([-EPERM, -EPERM, 0, -ESRCH, -EPERM, -EPERM]);
    expect([...task(1).caps.entries()]).toEqual([]);
    expect([bare.kernel.router.isAlive(3), bare.kernel.router.isAlive(4)]).toEqual([true, false]);
  });

  it('the 385th id is refused whatever was closed (Q17)', () => {
    const { got } = results(
      function* (sys) {
        let created = 0;
        let last = 0;
        for (;;) {
          last = yield sys.endpointCreate(1, 1);
          if (last < 0) break;
          created += 1;
          yield sys.endpointClose(last);
        }
        return [created, last];
      },
      { 1: FACTORY },
    );
    expect(got).toEqual([376, -ENOSPC]);
  });

  it('an owner may have 96 alive', () => {
    const { got } = results(
      function* (sys) {
        let last = 0;
        for (let i = 0; i < 97; i++) {
          last = yield sys.endpointCreate(1, 1);
          if (last >= 0) yield sys.capClose(last);
        }
        return [last];
      },
      { 1: FACTORY },
    );
    expect(got).toEqual([-ENOSPC]);
  });
});

it('newEndpoint of the test kernel starts after the pre-created ids 0..7', () => {
  expect(newEndpoint(bareKernel().kernel)).toBe(8);
});
