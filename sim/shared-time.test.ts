import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Clock } from './clock.ts';
import type { MachineEnd, TimedMachine } from './shared-time.ts';
import { SharedTime } from './shared-time.ts';

const LATENCY = 50;
/** ns of one idle round. */
const ROUND = 3;

/** Something a machine does by itself: at its time `at` or later, taking `cost`, and perhaps sending a message. */
interface Job {
  readonly at: number;
  readonly cost: number;
  readonly send: boolean;
}

interface Options {
  /** Idle rounds are added up, not run. */
  readonly skip: boolean;
  /** The machine knows that it is idle; else it never says more than now. */
  readonly quiet: boolean;
}

/** A toy machine: does its jobs in turns, answers every message once, and logs both with its own time. */
class Toy implements TimedMachine {
  readonly clock = new Clock();
  readonly log: string[] = [];
  readonly #jobs: Job[];
  readonly #options: Options;
  readonly #send: (hops: number) => void;
  #until = 0;

  constructor(jobs: readonly Job[], options: Options, send: (hops: number) => void) {
    this.#jobs = [...jobs].sort((a, b) => a.at - b.at);
    this.#options = options;
    this.#send = send;
  }

  get quietUntil(): number {
    const { clock } = this;
    if (!this.#options.quiet) return clock.now;
    return Math.max(clock.now, Math.min(clock.next, this.#jobs[0]?.at ?? Infinity));
  }

  endBy(ns: number): void {
    this.#until = Math.min(this.#until, ns);
  }

  /** A message with `hops` hops left; it is answered while there are any. */
  arrive(at: number, hops: number): void {
    this.clock.schedule(at, () => {
      this.log.push(`${this.clock.now} got ${hops}`);
      if (hops > 0) this.#jobs.unshift({ at: this.clock.now, cost: 7, send: true, ...{ hops: hops - 1 } });
    });
  }

  run(untilNs: number, maxSteps: number): MachineEnd {
    this.#until = untilNs;
    const { clock } = this;
    for (let steps = 0; ; steps++) {
      clock.runDue();
      if (clock.now >= this.#until) return 'time';
      if (steps >= maxSteps) return 'steps';
      const job = this.#jobs[0];
      if (job !== undefined && job.at <= clock.now) {
        this.#jobs.shift();
        clock.advance(job.cost);
        this.log.push(`${clock.now} did ${job.at}`);
        if (job.send) this.#send('hops' in job ? Number(job.hops) : 3);
        continue;
      }
      const next = Math.min(clock.next, job?.at ?? Infinity);
      if (next === Infinity) return 'dead';
      const rounds = Math.floor((Math.min(next, this.#until) - 1 - clock.now) / ROUND);
      clock.advance(ROUND * (this.#options.skip && rounds > 0 ? rounds : 1));
    }
  }
}

interface Ran {
  readonly logs: readonly (readonly string[])[];
  readonly steps: number;
  readonly frontier: number;
}

/** Runs toys on one time; the second is switched on at `powerOn`. Every message goes to the next toy. */
function play(
  jobs: readonly (readonly Job[])[],
  powerOn: number,
  options: Options,
  maxSteps: number,
  limit: number,
): Ran {
  const toys: Toy[] = [];
  const offsets = jobs.map((_, index) => (index === 1 ? powerOn : 0));
  jobs.forEach((list, index) => {
    const send = (hops: number): void => {
      const to = (index + 1) % jobs.length;
      const shared = (offsets[index] ?? 0) + toys[index]!.clock.now;
      if (shared < offsets[to]!) return;
      toys[to]!.arrive(shared + LATENCY - offsets[to]!, hops);
      time.frameSent();
    };
    toys.push(new Toy(list, options, send));
  });
  const time = new SharedTime(
    toys.map((machine, index) => ({ machine, powerOnNs: offsets[index] ?? 0 })),
    LATENCY,
  );
  let steps = 0;
  while (time.step(limit, maxSteps) !== 'over') steps += 1;
  return { logs: toys.map((toy) => toy.log), steps, frontier: time.frontierNs };
}

const job = fc.record({ at: fc.nat(3000), cost: fc.integer({ min: 1, max: 120 }), send: fc.boolean() });
const worlds = fc.record({
  jobs: fc.array(fc.array(job, { maxLength: 8 }), { minLength: 2, maxLength: 3 }),
  powerOn: fc.nat(1000),
});
const PLAIN: Options = { skip: false, quiet: false };

describe('machines on one time', () => {
  it('do the same whether waits are skipped or run, known or not, and however their runs are sliced', () => {
    fc.assert(
      fc.property(worlds, fc.integer({ min: 1, max: 40 }), ({ jobs, powerOn }, slice) => {
        const plain = play(jobs, powerOn, PLAIN, Infinity, Infinity).logs;
        for (const options of [
          { skip: true, quiet: false },
          { skip: false, quiet: true },
          { skip: true, quiet: true },
        ]) {
          expect(play(jobs, powerOn, options, Infinity, Infinity).logs).toEqual(plain);
          expect(play(jobs, powerOn, options, slice, Infinity).logs).toEqual(plain);
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });

  it('a message is there when its time has come, never later than the turn in which it comes', () => {
    fc.assert(
      fc.property(worlds, ({ jobs, powerOn }) => {
        const { logs } = play(jobs, powerOn, { skip: true, quiet: true }, Infinity, Infinity);
        const longest = Math.max(ROUND, ...jobs.flat().map((one) => one.cost));
        // Each message of toy i was sent at the end of a turn that sends; toy i+1 got it a latency later.
        const times = (index: number, word: string): readonly number[] =>
          logs[index]!.filter((line) => line.includes(word)).map((line) => Number.parseInt(line, 10));
        jobs.forEach((_, index) => {
          const to = (index + 1) % jobs.length;
          const shift = (index === 1 ? powerOn : 0) - (to === 1 ? powerOn : 0);
          const sent = times(index, 'did').map((t) => t + shift + LATENCY);
          for (const got of times(to, 'got')) {
            expect(sent.some((at) => got >= at && got <= at + Math.max(longest, 7))).toBe(true);
          }
        });
      }),
      { seed: 20241, numRuns: 300 },
    );
  });

  it('skip together: two that wait for long need few steps', () => {
    const jobs = [[{ at: 1_000_000, cost: 5, send: false }], [{ at: 2_000_000, cost: 5, send: false }]];
    const { logs, steps, frontier } = play(jobs, 0, { skip: true, quiet: true }, Infinity, Infinity);
    expect(logs.map((log) => log.length)).toEqual([1, 1]);
    expect(steps).toBeLessThan(10);
    expect(frontier).toBe(Infinity);
    expect(play(jobs, 0, { skip: true, quiet: false }, Infinity, Infinity).steps).toBeGreaterThan(10_000);
  });

  it('stop at the limit, and go on from there', () => {
    const jobs = [[{ at: 100, cost: 5, send: true }], []];
    expect(play(jobs, 0, { skip: true, quiet: true }, Infinity, 90).logs).toEqual([[], []]);
    expect(play(jobs, 0, { skip: true, quiet: true }, Infinity, 130).logs[0]).toHaveLength(1);
    expect(play(jobs, 0, { skip: true, quiet: true }, Infinity, 130).logs[1]).toHaveLength(0);
  });

  it('a machine that was switched off has no future, and does not hold the others', () => {
    const on: TimedMachine = new Toy([{ at: 500, cost: 1, send: false }], PLAIN, () => undefined);
    const off: TimedMachine = {
      clock: { now: 0, next: 3 },
      quietUntil: 0,
      run: () => 'stopped',
      endBy: () => undefined,
    };
    const time = new SharedTime(
      [
        { machine: off, powerOnNs: 0 },
        { machine: on, powerOnNs: 0 },
      ],
      LATENCY,
    );
    expect(time.step(Infinity, Infinity)).toBe('stopped');
    while (time.step(Infinity, Infinity) !== 'over');
    expect(on.clock.now).toBeGreaterThan(500);
  });

  it('pause ends a run with the turn that asked for it', () => {
    const jobs = [1, 2, 3].map((at) => ({ at, cost: 1, send: true }));
    const toy: Toy = new Toy(jobs, PLAIN, () => time.pause());
    const time: SharedTime = new SharedTime([{ machine: toy, powerOnNs: 0 }], LATENCY);
    for (let done = 1; done <= 3; done++) {
      expect(time.step(Infinity, Infinity)).toBe('time');
      expect(toy.log).toHaveLength(done);
    }
  });
});
