import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NONBLOCK, Rights, TRUNCATE } from './abi.ts';
import type { RunEnd } from './kernel.ts';
import { Lap } from './sys.ts';
import type { LapCounter, Sys, Syscall } from './sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint } from './testing.ts';

type Body = Generator<Syscall, number, number>;

/** A client that asks a server until the answer is another one, both with marked loops. */
interface Pair {
  readonly tries: number;
  /** Question in which the client gives up, by its number. */
  readonly computes: number;
  readonly clones: boolean;
  /** Yields between two questions. */
  readonly rests: number;
  /** The server changes its state after so many questions, 0 for never. */
  readonly changeEvery: number;
  /** ns from which on the server answers otherwise. */
  readonly until: number;
  /** The server rests between reading the clock and looking for a question. */
  readonly pauses: boolean;
  /** Who blocks in its receives instead of polling. */
  readonly blocks: 'nobody' | 'server' | 'client' | 'both';
  /** Servers at one endpoint. */
  readonly servers: number;
}

interface Poller {
  readonly clockEvery: number;
  readonly deadline: number | null;
  readonly maxRounds: number | null;
  readonly roundCost: number;
  /** Every other poll costs more: 1 by what it receives from, 2 by its rounds, 3 by what it sends to. */
  readonly alternates: number;
}

interface Plan {
  readonly pairs: readonly Pair[];
  readonly pollers: readonly Poller[];
  /** Yields for ever, marked: alone it runs into the storm guard. */
  readonly spinner: boolean;
  /** Tasks that block in a receive of nothing, for so many ns each time. */
  readonly sleepers: readonly number[];
  /** ns at which an event lets the servers answer otherwise. */
  readonly events: readonly number[];
  readonly slices: readonly number[];
  readonly end: number;
  /** Turns after which the run is taken up again, at which all cycles are forgotten. */
  readonly steps: number;
}

const END = 4_000_000;

class Count implements LapCounter {
  count = 0;
  skip(n: number): void {
    this.count += n;
  }
}

interface Seen {
  readonly end: RunEnd;
  readonly now: number;
  readonly log: readonly string[];
  readonly counts: readonly number[];
  readonly rounds: readonly number[];
  readonly order: readonly number[];
  /** Since when blocked tasks are. */
  readonly blocked: readonly number[];
  /** Passes of clients that were executed. */
  readonly passes: number;
}

function observe(plan: Plan, skipPolls: boolean, slices: readonly number[]): Seen {
  const { kernel, clock } = bareKernel({ skipPolls });
  const log: string[] = [];
  const counts: Count[] = [];
  let rung = 0;
  let passes = 0;
  plan.pairs.forEach((pair, index) => {
    const [questions, answers] = [newEndpoint(kernel, 4), newEndpoint(kernel, 4)];
    const asked = new Count();
    counts.push(asked);
    const waits = pair.blocks === 'client' || pair.blocks === 'both';
    const sleeps = pair.blocks === 'server' || pair.blocks === 'both';
    const client = addTask(kernel, function* (sys): Body {
      const lap = new Lap(pair.tries, [asked]);
      while (lap.count < lap.limit) {
        yield sys.lap(lap);
        passes += 1;
        asked.skip(3);
        if (pair.clones) yield sys.capClose(yield sys.capClone(1));
        yield sys.send(0, Uint8Array.of(asked.count & 255), NONBLOCK);
        if (waits) {
          yield sys.recv(1, 8, TRUNCATE);
        } else {
          sys.beginPoll().slots = [1];
          yield sys.runPoll();
          yield sys.recv(1, 8, NONBLOCK | TRUNCATE);
        }
        if (sys.message.payload.length > 1) break;
        for (let i = 0; i < pair.rests; i++) yield sys.yieldCpu();
      }
      log.push(`client ${index}: ${asked.count} after ${lap.count} at ${clock.now}`);
      return 0;
    });
    const serve = function* (sys: Sys): Body {
      const served = new Count();
      counts.push(served);
      const lap = new Lap(Infinity, [served]);
      lap.until = pair.until;
      for (let changes = 0; ;) {
        lap.state = changes * 100 + rung;
        yield sys.lap(lap);
        let now = sleeps ? 0 : yield sys.nsec();
        if (pair.pauses) yield sys.yieldCpu();
        if ((yield sys.recv(0, 8, sleeps ? TRUNCATE : NONBLOCK | TRUNCATE)) >= 0) {
          if (sleeps) now = yield sys.nsec();
          served.skip(1);
          sys.compute('instructions', pair.computes);
          if (pair.changeEvery > 0 && served.count % pair.changeEvery === 0) changes += 1;
          const otherwise = now >= pair.until || rung > index;
          // In the middle of a pass its beginning is known.
          if (otherwise) log.push(`server ${index}: asked in the pass of ${now}`);
          yield sys.send(1, new Uint8Array(otherwise ? 2 : 1), NONBLOCK);
        }
        if (!sleeps) yield sys.yieldCpu();
      }
    };
    grant(client, 0, endpointCap(questions, Rights.SEND));
    grant(client, 1, endpointCap(answers, Rights.RECV));
    for (let i = 0; i < pair.servers; i++) {
      const server = addTask(kernel, serve);
      grant(server, 0, endpointCap(questions, Rights.RECV));
      grant(server, 1, endpointCap(answers, Rights.SEND));
    }
  });
  plan.sleepers.forEach((ns, index) => {
    const sleeper = addTask(kernel, function* (sys): Body {
      const slept = new Count();
      counts.push(slept);
      const lap = new Lap(Infinity, [slept]);
      for (;;) {
        // The first one tells of every sleep, the others promise that each is like the others.
        if (index > 0) yield sys.lap(lap);
        slept.skip(1);
        const got = yield sys.recv(0, 8, TRUNCATE, clock.now + ns);
        if (index === 0) log.push(`sleeper: ${got} at ${clock.now}`);
      }
    });
    grant(sleeper, 0, endpointCap(newEndpoint(kernel), Rights.RECV));
  });
  plan.pollers.forEach((p, index) => {
    const poller = addTask(kernel, function* (sys: Sys): Body {
      yield sys.send(1, Uint8Array.of(0), NONBLOCK);
      for (let turn = 0; ; turn = 1 - turn) {
        const poll = sys.beginPoll();
        if (p.alternates === 3 && turn === 1) poll.sendSlots = [1];
        if (p.alternates === 1 && turn === 1) poll.slots = [0];
        poll.clockEvery = p.clockEvery;
        if (p.deadline !== null) poll.deadline = clock.now + p.deadline;
        if (p.maxRounds !== null) poll.maxRounds = p.maxRounds;
        poll.roundCost = p.alternates === 2 && turn === 1 ? p.roundCost + 13 : p.roundCost;
        const ended = yield sys.runPoll();
        log.push(`poller ${index}: ${ended} round ${poll.round} at ${clock.now}`);
      }
    });
    grant(poller, 0, endpointCap(newEndpoint(kernel), Rights.RECV));
    grant(poller, 1, endpointCap(newEndpoint(kernel, 1), Rights.SEND));
  });
  if (plan.spinner) {
    const spins = new Count();
    counts.push(spins);
    addTask(kernel, function* (sys): Body {
      const lap = new Lap(Infinity, [spins]);
      for (;;) {
        yield sys.lap(lap);
        spins.skip(1);
        if ((yield sys.yieldCpu()) < 0) log.push(`refused at ${clock.now}`);
      }
    });
  }
  for (const at of plan.events) clock.schedule(at, () => void (rung += 1));
  kernel.start();
  let end: RunEnd = 'time';
  for (const until of [...slices.filter((at) => at < plan.end), plan.end]) {
    do {
      end = kernel.run({ untilNs: until, maxSteps: plan.steps });
    } while (end === 'steps');
    if (end !== 'time') break;
  }
  const queue = kernel.scheduler.queues[1];
  return {
    end,
    now: clock.now,
    log,
    counts: counts.map((one) => one.count),
    rounds: kernel.tasks.map((task) => task.sys.poll.round),
    blocked: kernel.tasks.map((task) => (task.state === 'blocked' ? task.blockSince : -1)),
    order: Array.from({ length: queue.count }, (_, i) => queue.at(i)),
    passes,
  };
}

/** What must not depend on skipping. */
function visible(seen: Seen): unknown {
  const { passes: _passes, ...rest } = seen;
  return rest;
}

const pair: fc.Arbitrary<Pair> = fc.record({
  tries: fc.constantFrom(1, 2, 3, 4, 7, 60, 1000),
  computes: fc.constantFrom(0, 11, 700),
  clones: fc.boolean(),
  rests: fc.nat(3),
  changeEvery: fc.constantFrom(0, 0, 0, 1, 5, 40),
  until: fc.constantFrom(Infinity, Infinity, 1_200_000, 2_345_678),
  pauses: fc.boolean(),
  blocks: fc.constantFrom('nobody', 'server', 'client', 'both'),
  servers: fc.constantFrom(1, 1, 1, 2),
});
const pollers: fc.Arbitrary<Poller> = fc.record({
  clockEvery: fc.constantFrom(0, 1, 4, 128),
  deadline: fc.option(fc.integer({ min: 0, max: 2_000_000 })),
  maxRounds: fc.option(fc.integer({ min: 1, max: 300 })),
  roundCost: fc.constantFrom(0, 7, 500),
  alternates: fc.constantFrom(0, 0, 1, 2, 3),
});
const plans: fc.Arbitrary<Plan> = fc.record({
  pairs: fc.array(pair, { minLength: 0, maxLength: 2 }),
  pollers: fc.array(pollers, { maxLength: 3 }),
  spinner: fc.boolean(),
  sleepers: fc.array(fc.integer({ min: 1000, max: 1_500_000 }), { maxLength: 3 }),
  events: fc.array(fc.integer({ min: 0, max: END }), { maxLength: 3 }),
  slices: fc.array(fc.integer({ min: 1, max: END }), { maxLength: 4 }).map((s) => [...s].sort((a, b) => a - b)),
  end: fc.integer({ min: END / 2, max: END }),
  steps: fc.constantFrom(100, 10_000),
});

const ASKING: Pair = {
  tries: Infinity,
  computes: 0,
  clones: true,
  rests: 1,
  changeEvery: 0,
  until: Infinity,
  pauses: false,
  blocks: 'nobody',
  servers: 1,
};
const plan = (part: Partial<Plan>): Plan => ({
  pairs: [],
  pollers: [],
  spinner: false,
  sleepers: [],
  events: [],
  slices: [],
  end: END,
  steps: 10_000,
  ...part,
});

describe('exchanges that repeat', () => {
  it('end where executing every pass ends: clock, counters, rounds, results, order', () => {
    fc.assert(
      fc.property(plans, (p) => {
        if (p.pairs.length + p.sleepers.length === 0 && !p.spinner) return;
        const every = visible(observe(p, false, []));
        expect(visible(observe(p, true, []))).toEqual(every);
        expect(visible(observe(p, true, p.slices))).toEqual(every);
      }),
      { seed: 20240, numRuns: 500 },
    );
  });

  it('are added up, also beside polls that read the clock', () => {
    const poller: Poller = { clockEvery: 128, deadline: null, maxRounds: null, roundCost: 9, alternates: 0 };
    const p = plan({ pairs: [ASKING], pollers: [poller, { ...poller, deadline: 3_000_000 }] });
    const seen = observe(p, true, []);
    const every = observe(p, false, []);
    expect(visible(seen)).toEqual(visible(every));
    expect(every.passes).toBeGreaterThan(70);
    expect(seen.passes).toBeLessThan(20);
  });

  it.each(['server', 'client', 'both'] as const)('are added up where a receive blocks: %s', (blocks) => {
    const poller: Poller = { clockEvery: 128, deadline: null, maxRounds: null, roundCost: 9, alternates: 0 };
    const p = plan({ pairs: [{ ...ASKING, blocks }], pollers: [poller] });
    const seen = observe(p, true, []);
    const every = observe(p, false, []);
    expect(visible(seen)).toEqual(visible(every));
    expect(every.passes).toBeGreaterThan(70);
    expect(seen.passes).toBeLessThan(20);
  });

  it('a task that blocks has done so since it would have, wherever the run ends', () => {
    for (let end = 3_000_000; end < 3_050_000; end += 1000) {
      const p = plan({ pairs: [{ ...ASKING, blocks: 'server', rests: 3 }], end });
      expect(visible(observe(p, true, []))).toEqual(visible(observe(p, false, [])));
    }
  });

  it('a deadline that passes meanwhile is found in the pass in which it would have been', () => {
    const p = plan({ pairs: [{ ...ASKING, blocks: 'server' }], pollers: [], sleepers: [700_000] });
    const seen = observe(p, true, []);
    expect(visible(seen)).toEqual(visible(observe(p, false, [])));
    expect(seen.log.length).toBeGreaterThan(3);
    expect(seen.passes).toBeLessThan(40);
  });

  it.each([
    [0, 1],
    [1, 1],
  ])(
    'are added up again as soon as another poll has begun beside them (%d): at most %d of its passes',
    (alternates, most) => {
      const poller: Poller = { clockEvery: 0, deadline: null, maxRounds: 16, roundCost: 9, alternates };
      const p = plan({ pairs: [{ ...ASKING, blocks: 'server' }], pollers: [poller] });
      const seen = observe(p, true, []);
      const every = observe(p, false, []);
      expect(visible(seen)).toEqual(visible(every));
      expect(seen.passes).toBeLessThanOrEqual(most * seen.log.length + 5);
      expect(every.passes).toBeGreaterThan(8 * seen.log.length);
    },
  );

  it('the answer that an event changes comes in the pass in which it would have come', () => {
    const p = plan({ pairs: [ASKING], events: [2_500_000] });
    const seen = observe(p, true, []);
    expect(visible(seen)).toEqual(visible(observe(p, false, [])));
    expect(seen.log).toHaveLength(2);
    expect(seen.passes).toBeLessThan(40);
  });

  it('are executed where a member has another state in every pass', () => {
    const p = plan({ pairs: [{ ...ASKING, changeEvery: 1 }] });
    expect(observe(p, true, []).passes).toBe(observe(p, false, []).passes);
  });

  it('a loop of one call alone meets the storm guard when it would have', () => {
    const p = plan({ spinner: true });
    const long = { ...p, pairs: [] };
    const [skipped, executed] = [true, false].map((skip) => {
      const { kernel, clock } = bareKernel({ skipPolls: skip });
      const results: string[] = [];
      addTask(kernel, function* (sys): Body {
        const lap = new Lap();
        for (;;) {
          yield sys.lap(lap);
          if ((yield sys.yieldCpu()) < 0) results.push(`refused at ${clock.now}`);
        }
      });
      kernel.start();
      kernel.run({ untilNs: 50_000_000, maxSteps: Infinity });
      return { results: results.slice(0, 3), now: clock.now };
    });
    expect(skipped).toEqual(executed);
    expect(skipped?.results.length).toBeGreaterThan(0);
    expect(visible(observe(long, true, []))).toEqual(visible(observe(long, false, [])));
  });

  it('are executed while somebody listens to the trace: every event is told', () => {
    const told = [true, false].map((skipPolls) => {
      const bare = bareKernel({ skipPolls });
      const events = bare.record();
      const endpoint = newEndpoint(bare.kernel);
      const task = addTask(bare.kernel, function* (sys): Body {
        const lap = new Lap();
        for (;;) {
          yield sys.lap(lap);
          yield sys.send(0, Uint8Array.of(1), NONBLOCK);
          yield sys.recv(0, 8, NONBLOCK);
        }
      });
      grant(task, 0, endpointCap(endpoint));
      bare.kernel.start();
      bare.kernel.run({ untilNs: 1_000_000, maxSteps: Infinity });
      return events.length;
    });
    expect(told[0]).toBe(told[1]);
    expect(told[0]).toBeGreaterThan(200);
  });
});
