import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENDPOINT_OWNER_QUOTA, ENDPOINT_QUOTA, Errno, MAX_FRAME } from './abi.ts';
import type { ServiceId } from './abi.ts';
import { addWaiter, closeOrder, NO_OWNER, removeWaiter, Router } from './endpoint.ts';
import type { Message } from './endpoint.ts';

const message = (len: number, ty = 0): Message => ({
  src: 0,
  dst: 1,
  sender: 1,
  ty,
  flags: 0,
  len,
  payload: new Uint8Array(len),
  moved: null,
  serviceId: 0n as ServiceId,
});

type Op =
  | { readonly op: 'create'; readonly depth: number; readonly owner: number }
  | { readonly op: 'send'; readonly id: number; readonly len: number }
  | { readonly op: 'recv' | 'putback' | 'close'; readonly id: number }
  | { readonly op: 'exit'; readonly owner: number };

interface NaiveEndpoint {
  readonly depth: number;
  readonly owner: number;
  alive: boolean;
  queue: number[];
}

const LIMITS = { globalBytes: 40, ownerBytes: 25 };

/** The rules of sheet 10, section 4.2 with every sum computed afresh. Messages are their lengths. */
function naive(all: NaiveEndpoint[], op: Op): unknown {
  const sum = (q: readonly number[]): number => q.reduce((a, b) => a + b, 0);
  const total = (of: (e: NaiveEndpoint) => boolean): number => sum(all.filter(of).map((e) => sum(e.queue)));
  if (op.op === 'create') {
    all.push({ depth: op.depth, owner: op.owner, alive: true, queue: [] });
    return all.length - 1;
  }
  if (op.op === 'exit') {
    const ids = [...all.keys()].filter((id) => all[id]?.owner === op.owner && all[id].alive);
    for (const e of all) if (e.owner === op.owner) Object.assign(e, { alive: false, queue: [] });
    return ids;
  }
  const e = all[op.id];
  switch (op.op) {
    case 'send':
      if (total(() => true) + op.len > LIMITS.globalBytes) return -Errno.ENOSPC;
      if (e && e.owner !== NO_OWNER && total((o) => o.owner === e.owner) + op.len > LIMITS.ownerBytes)
        return -Errno.ENOSPC;
      if (!e || !e.alive) return -Errno.ESRCH;
      if (e.queue.length >= e.depth) return -Errno.EAGAIN;
      e.queue.push(op.len);
      return 0;
    case 'recv':
      return e?.queue.shift() ?? null;
    case 'putback':
      return e?.queue[0] ?? null;
    case 'close': {
      const was = e?.alive ?? false;
      if (e) Object.assign(e, { alive: false, queue: [] });
      return was;
    }
  }
}

function real(router: Router, op: Op): unknown {
  switch (op.op) {
    case 'create':
      return router.create(op.depth, op.owner);
    case 'exit':
      return router.closeOwnedBy(op.owner, []);
    case 'send':
      return router.enqueue(op.id, message(op.len));
    case 'recv': {
      const endpoint = router.endpoints[op.id];
      return (endpoint && router.dequeue(endpoint)?.len) ?? null;
    }
    case 'putback': {
      const endpoint = router.endpoints[op.id];
      const head = endpoint ? router.dequeue(endpoint) : null;
      if (endpoint && head) router.requeueFront(endpoint, head);
      return head?.len ?? null;
    }
    case 'close':
      return router.close(op.id, []);
  }
}

describe('Router', () => {
  it('behaves as the naive router', () => {
    const id = fc.nat(5);
    const owner = fc.integer({ min: -1, max: 2 });
    const op: fc.Arbitrary<Op> = fc.oneof(
      {
        weight: 2,
        arbitrary: fc.record({ op: fc.constant('create' as const), depth: fc.integer({ min: 1, max: 3 }), owner }),
      },
      { weight: 8, arbitrary: fc.record({ op: fc.constant('send' as const), id, len: fc.nat(15) }) },
      { weight: 5, arbitrary: fc.record({ op: fc.constantFrom('recv', 'putback' as const), id }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constant('close' as const), id }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constant('exit' as const), owner: fc.nat(2) }) },
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 80 }), (ops) => {
        const router = new Router(0, LIMITS);
        const model: NaiveEndpoint[] = [];
        for (const o of ops) {
          expect(real(router, o)).toEqual(naive(model, o));
          const bytes = model.map((e) => e.queue.reduce((a, b) => a + b, 0));
          expect(router.endpoints.map((e) => e.bytes)).toEqual(bytes);
          expect(router.endpoints.map((e) => e.count)).toEqual(model.map((e) => e.queue.length));
          expect(router.globalBytes).toBe(bytes.reduce((a, b) => a + b, 0));
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });

  it('creates exactly 384 endpoints, closed ones counted', () => {
    const router = new Router(0);
    for (let i = 0; i < ENDPOINT_QUOTA; i++) {
      expect(router.create(1, NO_OWNER)).toBe(i);
      router.close(i, []);
    }
    expect(router.create(1, NO_OWNER)).toBe(-Errno.ENOSPC);
  });

  it('lets an owner have 96 living endpoints', () => {
    const router = new Router(8);
    for (let i = 0; i < ENDPOINT_OWNER_QUOTA; i++) expect(router.create(1, 7)).toBe(8 + i);
    expect(router.create(1, 7)).toBe(-Errno.ENOSPC);
    expect(router.create(1, 8)).toBeGreaterThan(0);
    router.close(8, []);
    expect(router.create(1, 7)).toBeGreaterThan(0);
  });

  it('counts payload bytes: 8193 on depth 1 is NoSpace, an empty message then works', () => {
    const router = new Router(8);
    const id = router.create(1, NO_OWNER);
    expect(router.enqueue(id, message(MAX_FRAME + 1))).toBe(-Errno.ENOSPC);
    expect(router.enqueue(id, message(0))).toBe(0);
    expect(router.enqueue(id, message(0))).toBe(-Errno.EAGAIN);
  });

  it('a full queue is QueueFull before its bytes are looked at, and after every other rule', () => {
    const router = new Router(8, { globalBytes: 3 * MAX_FRAME, ownerBytes: 2 * MAX_FRAME });
    const id = router.create(1, 7);
    expect(router.enqueue(id, message(MAX_FRAME))).toBe(0);
    expect(router.admits(id, 1)).toBe(-Errno.EAGAIN);
    expect(router.admits(id, MAX_FRAME)).toBe(-Errno.EAGAIN);
    // The owner's budget comes first, and the global one before everything, an unknown id included.
    expect(router.admits(id, MAX_FRAME + 1)).toBe(-Errno.ENOSPC);
    expect(router.admits(99, 2 * MAX_FRAME)).toBe(-Errno.ESRCH);
    expect(router.admits(99, 2 * MAX_FRAME + 1)).toBe(-Errno.ENOSPC);
    const dead = router.create(1, 7);
    router.close(dead, []);
    expect(router.admits(dead, MAX_FRAME)).toBe(-Errno.ESRCH);
    expect(router.admits(dead, MAX_FRAME + 1)).toBe(-Errno.ENOSPC);
  });

  it('global and owner budgets admit an empty message when full', () => {
    const router = new Router(0, { globalBytes: 512, ownerBytes: 4096 });
    const [a, b] = [router.create(4, 7), router.create(4, 7)];
    expect(router.enqueue(a, message(512))).toBe(0);
    expect(router.enqueue(b, message(1))).toBe(-Errno.ENOSPC);
    expect(router.enqueue(b, message(0))).toBe(0);
    const owner = new Router(0, { globalBytes: 4096, ownerBytes: 512 });
    const [c, d, e] = [owner.create(4, 7), owner.create(4, 7), owner.create(4, 8)];
    expect(owner.enqueue(c, message(512))).toBe(0);
    expect(owner.enqueue(d, message(1))).toBe(-Errno.ENOSPC);
    expect(owner.enqueue(e, message(1))).toBe(0);
  });

  it('keeps waiters in order and without duplicates', () => {
    const waiters: number[] = [];
    for (const pid of [10, 11, 12, 11]) addWaiter(waiters, pid);
    expect([waiters.shift(), waiters.shift(), waiters.shift(), waiters.shift()]).toEqual([10, 11, 12, undefined]);
    for (const pid of [10, 11]) addWaiter(waiters, pid);
    removeWaiter(waiters, 10);
    removeWaiter(waiters, 99);
    expect(waiters).toEqual([11]);
  });

  it('drains both waiter lists on close; the wake order is by pid, each once', () => {
    const router = new Router(0);
    const id = router.create(1, 7);
    const endpoint = router.endpoints[id]!;
    endpoint.recvWaiters.push(12, 3);
    endpoint.sendWaiters.push(5, 12);
    const waiters: number[] = [];
    router.closeOwnedBy(7, waiters);
    expect(waiters).toEqual([12, 3, 5, 12]);
    expect(closeOrder(waiters)).toEqual([3, 5, 12]);
    expect([endpoint.recvWaiters, endpoint.sendWaiters]).toEqual([[], []]);
  });
});
