/** Random programs on one kernel: invariants after every slice, and the same run with and without skipping. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NONBLOCK, Rights, TRUNCATE } from './abi.ts';
import type { Kernel } from './kernel.ts';
import type { Sys, Syscall } from './sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint } from './testing.ts';

type Body = Generator<Syscall, number, number>;

const ENDPOINTS = 4;

type Step =
  | {
      readonly do: 'send' | 'recv';
      readonly slot: number;
      readonly flags: number;
      readonly wait: number;
      readonly len: number;
    }
  | {
      readonly do: 'poll';
      readonly slots: readonly number[];
      readonly wait: number;
      readonly every: number;
      readonly most: number;
    }
  | { readonly do: 'yield' | 'clone' | 'wait' | 'print' }
  | { readonly do: 'qos'; readonly qos: number }
  | { readonly do: 'close'; readonly slot: number }
  | { readonly do: 'compute'; readonly units: number }
  | { readonly do: 'spawn'; readonly steps: readonly Step[] }
  | { readonly do: 'exit' };

interface Plan {
  readonly tasks: readonly (readonly Step[])[];
  /** ns at which an event puts a message into an endpoint and wakes its first waiter. */
  readonly events: readonly { readonly at: number; readonly endpoint: number }[];
  readonly einval: boolean;
}

function program(kernel: Kernel, steps: readonly Step[], log: string[]): (sys: Sys) => Body {
  return function* (sys): Body {
    for (const step of steps) {
      const a0: number = yield* perform(kernel, sys, step, log);
      log.push(`${sys.pid} ${step.do} ${a0} at ${kernel.clock.now}`);
    }
    return sys.pid;
  };
}

function* perform(kernel: Kernel, sys: Sys, step: Step, log: string[]): Body {
  const until = 'wait' in step && step.wait > 0 ? kernel.nowNs() + step.wait : 0;
  switch (step.do) {
    case 'send':
      return yield sys.send(
        step.slot,
        new Uint8Array(step.len),
        step.flags & NONBLOCK,
        until,
        step.len % 5 === 4 ? 5 : -1,
      );
    case 'recv':
      return yield sys.recvV2(step.slot, 12, step.flags, until);
    case 'poll': {
      const poll = sys.beginPoll();
      poll.slots = step.slots;
      poll.clockEvery = step.every;
      poll.deadline = until === 0 ? Infinity : until;
      poll.maxRounds = step.most;
      return yield sys.runPoll();
    }
    case 'yield':
      return yield sys.yieldCpu();
    case 'clone':
      return yield sys.capClone(0);
    case 'wait':
      return yield sys.wait(-1);
    case 'print':
      return yield sys.println('x');
    case 'qos':
      return yield sys.qosSet(sys.pid, step.qos);
    case 'close':
      return yield sys.endpointClose(step.slot);
    case 'compute':
      sys.compute('instructions', step.units);
      return 0;
    case 'spawn': {
      const child = addTask(kernel, program(kernel, step.steps, log), { parent: sys.pid });
      grantAll(kernel, child.pid);
      return child.pid;
    }
    case 'exit':
      return yield sys.exit(1);
  }
}

function grantAll(kernel: Kernel, pid: number): void {
  const task = kernel.tasks[pid]!;
  for (let i = 0; i < ENDPOINTS; i++)
    grant(task, i, endpointCap(8 + i, Rights.SEND | Rights.RECV | (i === 3 ? Rights.MANAGE : 0)));
}

/** What must hold between two turns. */
function check(kernel: Kernel): void {
  const queued = kernel.scheduler.queues.flatMap((q) => Array.from({ length: q.count }, (_, i) => q.at(i)));
  expect(new Set(queued).size).toBe(queued.length);
  for (const task of kernel.tasks) {
    const runs = queued.includes(task.pid) || kernel.scheduler.current === task.pid;
    expect(runs).toBe(task.state === 'ready');
  }
  let bytes = 0;
  for (const endpoint of kernel.router.endpoints) {
    const lengths = [...endpoint.messages()].map((m) => m.payload.length);
    expect(endpoint.bytes).toBe(lengths.reduce((a, b) => a + b, 0));
    bytes += endpoint.bytes;
    for (const [waiters, kind] of [
      [endpoint.recvWaiters, 'recv'],
      [endpoint.sendWaiters, 'send'],
    ] as const) {
      expect(new Set(waiters).size).toBe(waiters.length);
      for (const pid of waiters) {
        expect(kernel.tasks[pid]).toMatchObject({ state: 'blocked', blockKind: kind, blockEndpoint: endpoint.id });
      }
    }
  }
  expect(kernel.router.globalBytes).toBe(bytes);
}

function observe(plan: Plan, skipPolls: boolean, slice: number): unknown {
  const bare = bareKernel({ skipPolls, options: { loneReceiverEinval: plan.einval } });
  const { kernel, clock } = bare;
  const events = bare.record();
  const log: string[] = [];
  for (let i = 0; i < ENDPOINTS; i++) newEndpoint(kernel, 2);
  for (const steps of plan.tasks) grantAll(kernel, addTask(kernel, program(kernel, steps, log)).pid);
  for (const { at, endpoint } of plan.events) {
    clock.schedule(at, () => {
      const payload = new Uint8Array(3);
      const header = { src: 0, dst: 77, sender: 77, ty: 0, flags: 0, len: 3, moved: null, serviceId: 0n as never };
      if (kernel.router.enqueue(8 + endpoint, { ...header, payload }) !== 0) return;
      const waiters = kernel.router.endpoints[8 + endpoint]!.recvWaiters;
      if (waiters.length > 0) kernel.wake(waiters.shift()!);
    });
  }
  kernel.start();
  let end = 'steps';
  for (let i = 0; end === 'steps' && i < 100_000; i++) {
    end = kernel.run({ untilNs: 2_000_000, maxSteps: slice });
    if (slice < 100) check(kernel);
  }
  return { end, log, now: clock.now, uart: bare.uart(), events };
}

const slot = fc.nat(ENDPOINTS);
const flat: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom('send', 'recv'),
      slot,
      flags: fc.constantFrom(0, 0, 0, NONBLOCK, TRUNCATE),
      wait: fc.constantFrom(0, 0, 1, 40_000, 300_000, 900_000),
      len: fc.nat(16),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('poll' as const),
      slots: fc.array(slot, { maxLength: 2 }),
      wait: fc.constantFrom(0, 50_000, 700_000),
      every: fc.constantFrom(0, 1, 16, 128),
      most: fc.constantFrom(Infinity, Infinity, 3, 100),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('yield', 'clone', 'wait', 'print') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('qos' as const), qos: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), slot }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('compute' as const), units: fc.nat(50_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('exit' as const) }) },
);
const spawning: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('spawn' as const),
  steps: fc.array(flat, { maxLength: 5 }),
});
const plan: fc.Arbitrary<Plan> = fc.record({
  tasks: fc.array(
    fc.array(fc.oneof({ weight: 10, arbitrary: flat }, { weight: 1, arbitrary: spawning }), { maxLength: 15 }),
    {
      minLength: 1,
      maxLength: 5,
    },
  ),
  events: fc.array(fc.record({ at: fc.nat(1_900_000), endpoint: fc.nat(ENDPOINTS - 1) }), { maxLength: 8 }),
  einval: fc.boolean(),
});

describe('random programs', () => {
  it('keep queues, waiters and budgets consistent after every turn', () => {
    fc.assert(
      fc.property(plan, (p) => void observe(p, true, 1)),
      { seed: 20240, numRuns: 60 },
    );
  });

  it('run the same with and without skipping, in one piece or in slices', () => {
    fc.assert(
      fc.property(plan, (p) => {
        const whole = observe(p, true, 1_000_000);
        expect(observe(p, false, 1_000_000)).toEqual(whole);
        expect(observe(p, true, 101)).toEqual(whole);
      }),
      { seed: 20241, numRuns: 150 },
    );
  });
});
