/**
 * Polling (design, decision 3). Macro.POLL runs the rounds of a polling wrapper, one per scheduler turn, without
 * resuming its program. {@link lookAhead} adds up whole rotations of the run queue at once when every runnable task
 * polls and nothing can change: clock, round counters and queue order end where single rounds would have left them.
 */
import { assert } from '../sim/assert.ts';
import { Errno, Rights } from './abi.ts';
import type { Costs } from './cost.ts';
import type { Kernel } from './kernel.ts';
import type { Poll, Syscall } from './sys.ts';
import { CONTINUED } from './syscalls/result.ts';
import type { Task } from './task.ts';

/** One round of the task's poll; see {@link Poll} for its order. */
export function pollMacro(kernel: Kernel, task: Task, _request: Syscall): number {
  const poll = task.sys.poll;
  if (task.polling) poll.round += 1;
  else task.blockSince = kernel.clock.now;
  const ended = poll.round >= poll.maxRounds ? -Errno.EAGAIN : round(kernel, task, poll);
  if (ended !== CONTINUED) {
    task.polling = false;
    kernel.idleTurns = 0;
    return ended;
  }
  task.polling = true;
  kernel.idleTurns += 1;
  kernel.storm.reset();
  if (!poll.spin) {
    kernel.charge(kernel.costs.yield);
    kernel.yieldTurn(task);
  }
  return CONTINUED;
}

/** The round up to its yield: the poll's result, or CONTINUED. */
function round(kernel: Kernel, task: Task, poll: Poll): number {
  const { costs } = kernel;
  kernel.charge(poll.roundCost * costs.instruction);
  if (poll.clockFirst && timedOut(kernel, poll)) return -Errno.ETIMEDOUT;
  const { slots, sendSlots } = poll;
  for (let i = 0; i < slots.length; i++) {
    if (!receiveIsEmpty(kernel, task, slots[i] ?? -1)) return i;
    kernel.charge(costs.recvEmpty);
  }
  for (let i = 0; i < sendSlots.length; i++) {
    if (!sendIsFull(kernel, task, sendSlots[i] ?? -1)) return slots.length + i;
    kernel.charge(costs.send);
  }
  if (poll.ready !== null && poll.ready()) return slots.length + sendSlots.length;
  if (!poll.clockFirst && timedOut(kernel, poll)) return -Errno.ETIMEDOUT;
  return CONTINUED;
}

/** Ns of a failed round beside its clock test and its YIELD. */
export function roundNs(costs: Costs, poll: Poll): number {
  const { slots, sendSlots, roundCost } = poll;
  return roundCost * costs.instruction + slots.length * costs.recvEmpty + sendSlots.length * costs.send;
}

function timedOut(kernel: Kernel, poll: Poll): boolean {
  if (poll.clockEvery === 0 || poll.round % poll.clockEvery !== 0) return false;
  kernel.charge(kernel.costs.nsec);
  return kernel.nowNs() >= poll.deadline;
}

/** True when a NONBLOCK receive on `slot` would give EAGAIN. */
function receiveIsEmpty(kernel: Kernel, task: Task, slot: number): boolean {
  const cap = task.caps.get(slot);
  if (cap === null || cap.kind !== 'endpoint' || (cap.rights & Rights.RECV) === 0) return false;
  const endpoint = kernel.router.endpoints[cap.endpoint];
  return endpoint !== undefined && endpoint.alive && endpoint.count === 0;
}

/** True when a NONBLOCK send on `slot` would give EAGAIN. An empty payload meets no byte budget first. */
function sendIsFull(kernel: Kernel, task: Task, slot: number): boolean {
  const cap = task.caps.get(slot);
  if (cap === null || cap.kind !== 'endpoint' || (cap.rights & Rights.SEND) === 0) return false;
  return kernel.router.admits(cap.endpoint, 0) === -Errno.EAGAIN;
}

/**
 * Before a turn of a polling task: skips whole rotations if every task of its class is known to poll in vain. Returns true
 * when no poll of theirs can ever end.
 */
export function lookAhead(kernel: Kernel, task: Task, untilNs: number): boolean {
  const poll = task.sys.poll;
  const queue = kernel.scheduler.queues[kernel.scheduler.currentQos];
  const others = poll.spin ? 0 : queue.count;
  // The last `turns` turns were one failed round of each: all of them poll, and nothing happened meanwhile.
  const turns = others + 1;
  if (kernel.idleTurns < turns || kernel.idleTurns % turns !== 0) return false;
  const rotation = new Rotation(kernel, untilNs);
  rotation.add(task, turns > 1);
  for (let i = 0; i < others; i++) {
    const other = kernel.tasks[queue.at(i)];
    assert(other !== undefined && other.polling, 'a task that does not poll had an idle turn');
    rotation.add(other, true);
  }
  if (rotation.endless) return true;
  if (kernel.image.skipPolls && !prints(kernel, turns)) rotation.skip();
  return false;
}

/**
 * A lower bound of the time at which a poll of the running task's class ends: the next event, a deadline, a bound of rounds.
 * Now, where somebody may not be polling in vain, or lines are still printed along the way.
 */
export function quietUntil(kernel: Kernel, task: Task): number {
  const { clock, scheduler, costs } = kernel;
  const queue = scheduler.queues[scheduler.currentQos];
  const others = task.sys.poll.spin ? 0 : queue.count;
  if (kernel.idleTurns < others + 1 || prints(kernel, others + 1)) return clock.now;
  let until = clock.next;
  for (let i = -1; i < others; i++) {
    const poll = (i < 0 ? task : kernel.tasks[queue.at(i)])?.sys.poll;
    assert(poll !== undefined, 'an unknown pid is queued');
    if (poll.clockEvery !== 0 && poll.deadline !== Infinity) until = Math.min(until, poll.deadline);
    if (poll.maxRounds !== Infinity) {
      const rounds = Math.max(0, poll.maxRounds - 1 - poll.round);
      until = Math.min(until, clock.now + rounds * poll.roundCost * costs.instruction);
    }
  }
  return Math.max(clock.now, until);
}

/** Rounds print lines: enqueue lines, or those of loading address spaces. */
function prints(kernel: Kernel, turns: number): boolean {
  return kernel.scheduler.linesLeft > 0 || (turns > 1 && kernel.memory.activationPrints);
}

/** One rotation of the run queue: a round of every member. */
class Rotation {
  readonly #kernel: Kernel;
  readonly #polls: Poll[] = [];
  /** The clock must stay below it: next event, run limit, deadlines to come. */
  #before: number;
  /** Whole rotations that end no poll by its number of rounds or an overdue clock test. */
  #rounds = Infinity;
  /** Ns of one rotation without clock tests. */
  #cost = 0;
  readonly #eventless: boolean;
  #bounded = false;

  constructor(kernel: Kernel, untilNs: number) {
    this.#kernel = kernel;
    this.#before = Math.min(kernel.clock.next, untilNs);
    this.#eventless = kernel.clock.next === Infinity;
  }

  /** `switches`: another task's address space is loaded in between. */
  add(task: Task, switches: boolean): void {
    const { costs, clock } = this.#kernel;
    const poll = task.sys.poll;
    this.#polls.push(poll);
    this.#cost +=
      poll.roundCost * costs.instruction +
      poll.slots.length * costs.recvEmpty +
      poll.sendSlots.length * costs.send +
      (poll.spin ? 0 : costs.yield) +
      (switches ? costs.activate : 0);
    if (poll.maxRounds !== Infinity) {
      this.#bounded = true;
      this.#rounds = Math.min(this.#rounds, poll.maxRounds - 1 - poll.round);
    }
    if (poll.clockEvery !== 0 && poll.deadline !== Infinity) {
      this.#bounded = true;
      if (poll.deadline > clock.now) this.#before = Math.min(this.#before, poll.deadline);
      else this.#rounds = Math.min(this.#rounds, poll.clockEvery - 1 - (poll.round % poll.clockEvery));
    }
  }

  /** True when nothing outside and no bound of a member can end any of these polls. */
  get endless(): boolean {
    return this.#eventless && !this.#bounded;
  }

  /** Adds up as many whole rotations as surely change nothing; the rest is left to single rounds. */
  skip(): void {
    const { clock, costs } = this.#kernel;
    let tests = 0;
    for (const poll of this.#polls) if (poll.clockEvery !== 0) tests += 1;
    const most = this.#cost + tests * costs.nsec;
    // A rotation rarely reads every clock, so one estimate falls short: repeat until less than one rotation fits.
    for (;;) {
      const rotations = Math.min(this.#rounds, Math.floor((this.#before - 1 - clock.now) / most));
      if (!(rotations > 0)) return;
      let ns = rotations * this.#cost;
      for (const poll of this.#polls) {
        ns += clockTests(poll, rotations) * costs.nsec;
        poll.round += rotations;
      }
      this.#rounds -= rotations;
      clock.advance(ns);
    }
  }
}

/** Clock tests of the `rounds` rounds that follow round `from`. */
export function clockTests(poll: Poll, rounds: number, from = poll.round): number {
  const every = poll.clockEvery;
  return every === 0 ? 0 : Math.floor((from + rounds) / every) - Math.floor(from / every);
}
