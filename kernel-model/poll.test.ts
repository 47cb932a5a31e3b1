import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno, NONBLOCK, Rights } from './abi.ts';
import type { Sys, Syscall } from './sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from './testing.ts';

type Body = Generator<Syscall, number, number>;

interface PollerPlan {
  readonly slots: number;
  readonly clockEvery: number;
  readonly clockFirst: boolean;
  readonly deadline: number | null;
  readonly maxRounds: number | null;
  readonly roundCost: number;
  readonly repeats: number;
}

interface Plan {
  readonly pollers: readonly PollerPlan[];
  /** Clock events: at ns, deliver to poller, slot. */
  readonly events: readonly {
    readonly at: number;
    readonly poller: number;
    readonly slot: number;
    readonly wake: boolean;
  }[];
  readonly slices: readonly number[];
}

/** Runs a plan and tells everything a guest or a person could see of it. */
function observe(plan: Plan, skipPolls: boolean, sliced: boolean): unknown {
  const bare = bareKernel({ skipPolls });
  const { kernel, clock } = bare;
  const events = bare.record();
  const log: string[] = [];
  const endpoints = plan.pollers.map((p) => Array.from({ length: p.slots }, () => newEndpoint(kernel, 2)));
  plan.pollers.forEach((p, index) => {
    const task = addTask(kernel, function* (sys: Sys): Body {
      for (let i = 0; i < p.repeats; i++) {
        const poll = sys.beginPoll();
        poll.slots = Array.from({ length: p.slots }, (_, s) => s);
        poll.clockEvery = p.clockEvery;
        poll.clockFirst = p.clockFirst;
        if (p.deadline !== null) poll.deadline = clock.now + p.deadline;
        if (p.maxRounds !== null) poll.maxRounds = p.maxRounds;
        poll.roundCost = p.roundCost;
        const ended = yield sys.runPoll();
        log.push(`${index}: ${ended} round ${poll.round} at ${clock.now}`);
        if (ended >= 0) log.push(`${index}: got ${yield sys.recv(ended, 64, NONBLOCK)}`);
      }
      return 0;
    });
    endpoints[index]?.forEach((endpoint, slot) => grant(task, slot, endpointCap(endpoint, Rights.RECV)));
  });
  // A sleeper that an event wakes: it disturbs the rotation once.
  const bell = newEndpoint(kernel, 8);
  const sleeper = addTask(kernel, function* (sys: Sys): Body {
    for (;;) log.push(`sleeper: ${yield sys.recv(0, 64)} at ${clock.now}`);
  });
  grant(sleeper, 0, endpointCap(bell, Rights.RECV));
  const message = { src: 0, dst: 99, sender: 99, ty: 0, flags: 0, len: 1, moved: null, serviceId: 0n as never };
  for (const e of plan.events) {
    clock.schedule(e.at, () => {
      if (e.wake) {
        kernel.router.enqueue(bell, { ...message, payload: new Uint8Array(1) });
        kernel.wake(sleeper.pid);
      } else {
        const target = endpoints[e.poller % endpoints.length] ?? [];
        const id = target[e.slot % Math.max(1, target.length)];
        if (id !== undefined) kernel.router.enqueue(id, { ...message, payload: new Uint8Array(1) });
      }
    });
  }
  let end = 'time';
  for (const until of sliced ? [...plan.slices, 3_000_000] : [3_000_000]) {
    if (end === 'time') end = runUntil(kernel, until);
  }
  const rounds = kernel.tasks.map((t) => t.sys.poll.round);
  const queue = kernel.scheduler.queues[1];
  const order = Array.from({ length: queue.count }, (_, i) => queue.at(i));
  return { log, end, now: clock.now, rounds, order, current: kernel.scheduler.current, events };
}

const poller: fc.Arbitrary<PollerPlan> = fc.record({
  slots: fc.integer({ min: 0, max: 3 }),
  clockEvery: fc.constantFrom(0, 1, 4, 128),
  clockFirst: fc.boolean(),
  deadline: fc.option(fc.integer({ min: 0, max: 2_000_000 })),
  maxRounds: fc.option(fc.integer({ min: 0, max: 600 })),
  roundCost: fc.constantFrom(0, 0, 7, 500),
  repeats: fc.integer({ min: 1, max: 3 }),
});
const plan: fc.Arbitrary<Plan> = fc.record({
  pollers: fc.array(poller, { minLength: 1, maxLength: 4 }),
  events: fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 2_500_000 }),
      poller: fc.nat(3),
      slot: fc.nat(2),
      wake: fc.boolean(),
    }),
    { maxLength: 5 },
  ),
  slices: fc.array(fc.integer({ min: 1, max: 3_000_000 }), { maxLength: 4 }).map((s) => [...s].sort((a, b) => a - b)),
});

describe('poll skipping', () => {
  it('ends where single rounds end: clock, results, order, trace', () => {
    fc.assert(
      fc.property(plan, (p) => {
        expect(observe(p, true, false)).toEqual(observe(p, false, false));
      }),
      { seed: 20240, numRuns: 200 },
    );
  });

  it('does not depend on how the run is sliced', () => {
    fc.assert(
      fc.property(plan, (p) => {
        expect(observe(p, true, true)).toEqual(observe(p, true, false));
      }),
      { seed: 20241, numRuns: 100 },
    );
  });

  it('passes an idle hour in a handful of turns', () => {
    const { kernel, clock } = bareKernel();
    const hour = 3_600_000_000_000;
    const ended: number[] = [];
    for (let i = 0; i < 3; i++) {
      addTask(kernel, function* (sys: Sys): Body {
        const poll = sys.beginPoll();
        poll.clockEvery = 128;
        poll.deadline = hour;
        ended.push(yield sys.runPoll());
        return 0;
      });
    }
    expect(runUntil(kernel, hour, 3000)).toBe('time');
    expect(clock.now).toBeGreaterThanOrEqual(hour);
    expect(clock.now).toBeLessThan(hour + 10_000);
    runUntil(kernel, hour + 10_000_000, 3000);
    expect(ended).toEqual([-Errno.ETIMEDOUT, -Errno.ETIMEDOUT, -Errno.ETIMEDOUT]);
  });

  it('does not skip while enqueue lines are left', () => {
    const { kernel, uart } = bareKernel({ enqueueLines: true });
    addTask(kernel, function* (sys: Sys): Body {
      const poll = sys.beginPoll();
      poll.maxRounds = 100;
      return yield sys.runPoll();
    });
    runUntil(kernel);
    expect(uart().split('\r\n').length - 1).toBe(32);
  });
});

describe('Macro.POLL', () => {
  function pollOnce(
    prepare: (sys: Sys) => void,
    setup: (bare: ReturnType<typeof bareKernel>, task: ReturnType<typeof addTask>) => void = () => undefined,
  ): { ended: number; round: number; now: number; end: string } {
    const bare = bareKernel();
    let ended = NaN;
    let round = NaN;
    let now = NaN;
    const task = addTask(bare.kernel, function* (sys: Sys): Body {
      sys.beginPoll();
      prepare(sys);
      ended = yield sys.runPoll();
      round = sys.poll.round;
      now = bare.clock.now;
      return 0;
    });
    setup(bare, task);
    const activation = bare.kernel.costs.activate;
    const end = runUntil(bare.kernel);
    return { ended, round, now: now - activation, end };
  }

  it('charges every round in full and ends with EAGAIN after maxRounds', () => {
    const { ended, round, now } = pollOnce(
      (sys) => {
        sys.poll.slots = [0];
        sys.poll.maxRounds = 5;
        sys.poll.roundCost = 100;
      },
      ({ kernel }, task) => grant(task, 0, endpointCap(newEndpoint(kernel))),
    );
    expect({ ended, round }).toEqual({ ended: -Errno.EAGAIN, round: 5 });
    expect(now).toBe(5 * (2160 + 2200 + 200));
  });

  it('reads the clock in rounds 0, 128, 256 only', () => {
    const { ended, round } = pollOnce((sys) => {
      sys.poll.clockEvery = 128;
      sys.poll.deadline = 500_000;
    });
    // 500 us / 2.2 us = 227 rounds: the clock test of round 256 is the first after the deadline.
    expect({ ended, round }).toEqual({ ended: -Errno.ETIMEDOUT, round: 256 });
  });

  it('300 attempts read the clock three times', () => {
    const { ended, round, now } = pollOnce((sys) => {
      sys.poll.clockEvery = 128;
      sys.poll.deadline = 1e12;
      sys.poll.maxRounds = 300;
    });
    expect({ ended, round, now }).toEqual({ ended: -Errno.EAGAIN, round: 300, now: 300 * 2200 + 3 * 2000 });
  });

  it('fails an expired deadline in the first round, after the slots or before them', () => {
    const full = (sys: Sys): void => {
      sys.poll.slots = [0];
      sys.poll.clockEvery = 128;
      sys.poll.deadline = 1;
    };
    const ready: Parameters<typeof pollOnce>[1] = ({ kernel }, task) => {
      const id = newEndpoint(kernel);
      kernel.router.enqueue(id, {
        src: 0,
        dst: 0,
        sender: 0,
        ty: 0,
        flags: 0,
        len: 0,
        payload: new Uint8Array(0),
        moved: null,
        serviceId: 0n as never,
      });
      grant(task, 0, endpointCap(id));
    };
    expect(pollOnce(full, ready)).toMatchObject({ ended: 0, round: 0, now: 0 });
    expect(
      pollOnce((sys) => {
        full(sys);
        sys.poll.clockFirst = true;
      }, ready),
    ).toMatchObject({ ended: -Errno.ETIMEDOUT, round: 0, now: 2000 });
  });

  it('ends with the index of a slot whose receive would fail', () => {
    expect(
      pollOnce((sys) => {
        sys.poll.slots = [3];
      }),
    ).toMatchObject({ ended: 0 });
  });

  it('counts send slots after the receive slots and the condition after both', () => {
    const bound = ({ kernel }: ReturnType<typeof bareKernel>, task: ReturnType<typeof addTask>): void =>
      grant(task, 0, endpointCap(newEndpoint(kernel)));
    expect(
      pollOnce((sys) => {
        sys.poll.slots = [0];
        sys.poll.sendSlots = [0];
      }, bound),
    ).toMatchObject({ ended: 1 });
    expect(
      pollOnce((sys) => {
        sys.poll.slots = [0];
        sys.poll.ready = () => true;
      }, bound),
    ).toMatchObject({ ended: 1 });
  });

  it('continues an absolute round count', () => {
    const { ended, round } = pollOnce((sys) => {
      sys.poll.round = 7;
      sys.poll.maxRounds = 10;
    });
    expect({ ended, round }).toEqual({ ended: -Errno.EAGAIN, round: 10 });
  });

  it('spins without giving the hart away', () => {
    const bare = bareKernel();
    let fired = false;
    const order: string[] = [];
    addTask(bare.kernel, function* (sys: Sys): Body {
      const poll = sys.beginPoll();
      poll.ready = () => fired;
      poll.spin = true;
      poll.roundCost = 10;
      order.push(`spinner ${yield sys.runPoll()} ${bare.clock.now >= 1_000_000}`);
      return 0;
    });
    addTask(bare.kernel, function* (): Body {
      order.push('other');
      return 0;
    });
    bare.clock.schedule(1_000_000, () => {
      fired = true;
    });
    runUntil(bare.kernel);
    expect(order).toEqual(['spinner 0 true', 'other']);
  });

  it('is dead when every task polls for ever and no event is left', () => {
    for (const skipPolls of [true, false]) {
      const { kernel, clock } = bareKernel({ skipPolls });
      for (let i = 0; i < 2; i++) {
        addTask(kernel, function* (sys: Sys): Body {
          sys.beginPoll();
          return yield sys.runPoll();
        });
      }
      clock.schedule(100_000, () => undefined);
      expect(runUntil(kernel)).toBe('dead');
      expect(clock.now).toBeGreaterThan(100_000);
      expect(clock.now).toBeLessThan(110_000);
    }
  });
});
