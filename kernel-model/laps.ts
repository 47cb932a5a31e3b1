/**
 * Exchanges that repeat (docs/time.md). A poll waits for one thing and its rounds are known beforehand (poll.ts). A client
 * that asks a server again and again waits too, but by whole requests and answers: nobody can tell beforehand what a pass of
 * its loop does. So passes are watched. From one mark of a loop ({@link Lap}) to its next is a cycle; when two cycles in a row
 * were the same, turn for turn, and what took part promised to be a function of its inputs, then every further cycle is the
 * same, until an event, a deadline, or the end of some count. As many as surely end before that are added up.
 *
 * In a cycle there are only: members, which marked a pass in it; polls that waited in vain throughout; calls that change
 * nothing but capability tables and queues that are empty again at its end; members that block in a receive, and the
 * messages that wake them. Anything else disturbs it. After a disturbance one cycle like those before is enough: it began
 * where they led to. And where a poll ends and its task polls on, the members' part may be the same all along.
 */
import { Nr } from './abi.ts';
import type { Kernel } from './kernel.ts';
import { Member } from './lap-member.ts';
import { clockTests, roundNs } from './poll.ts';
import { NO_PID } from './scheduler.ts';
import { Macro } from './sys.ts';
import type { Lap, Poll, Syscall } from './sys.ts';
import { BLOCKED, CONTINUED } from './syscalls/result.ts';
import type { Task } from './task.ts';

/** Endpoints of one cycle at most. */
const TOUCHED_MAX = 16;
/** Numbers kept of one cycle, three for each turn. */
const RECORD_MAX = 6144;
/** Stand for a read of memory and for a wake among the syscall numbers. */
const LOAD = 127;
const WAKE = 126;
/** Cycles that came to nothing before the mark of another loop begins them. */
const PATIENCE = 4;
/** Marks of other loops in a disturbed cycle after which its leader's loop is believed to have ended. */
const ABSENCE = 16;
/** Marks of the same loop after which it may lead again, where no other loop marks. */
const ALONE = 16;

/** The macro: counts the pass. */
export function lapMacro(kernel: Kernel, task: Task, _request: Syscall): number {
  const lap = task.sys.lastLap;
  if (lap === null) return 0;
  lap.count += 1;
  if (kernel.image.skipPolls && !kernel.trace.on && kernel.faults === null) kernel.laps.mark(task, lap);
  return 0;
}

/** The watch of one kernel. */
export class Laps {
  /** True while a cycle is being watched: {@link turn} wants to see every turn. */
  watching = false;
  readonly #kernel: Kernel;
  /** Index = pid. */
  readonly #members: Member[] = [];
  /** Pids that did more than wait in this cycle. */
  readonly #active: number[] = [];
  readonly #touched: number[] = [];
  /** The run queue at the start of the cycle: pids, their poll rounds then, and the rounds of the cycle before. */
  readonly #queue: number[] = [];
  readonly #rounds: number[] = [];
  readonly #growth: number[] = [];
  /** Ns of a round of each poll of the queue in the cycle before; -1: nobody waited there. */
  readonly #prices: number[] = [];
  #leader = NO_PID;
  #lastLeader = NO_PID;
  #failures = 0;
  #alone = 0;
  #absence = 0;
  #cycle = 0;
  #disturbed = false;
  /** A member blocked in this cycle: whoever blocks looks for deadlines that have passed. */
  #blocked = false;
  #started = 0;
  /** What members asked and got in this cycle, in their order. */
  #record: number[] = [];
  /** What the cycle before came to; cost -1: nothing to compare with. */
  #costBefore = -1;
  #recordBefore: number[] = [];
  /** A poll ended in this cycle, and its task polls again. */
  #foreign = false;
  /** The cycle before was itself a repetition. */
  #proven = false;
  #stormBefore = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Something happened that no two cycles can be compared over. */
  disturb(): void {
    this.#disturbed = true;
  }

  /** Forgets all cycles. */
  restart(): void {
    this.watching = false;
    this.#leader = NO_PID;
    this.#failures = 0;
  }

  /** Sees one turn that was not the mark of a pass. */
  turn(task: Task, request: Syscall, result: number): void {
    const { nr } = request;
    if (nr === Macro.POLL && result === CONTINUED) return;
    if (nr === Macro.LAP || this.#disturbed) return;
    let detail = 0;
    switch (nr) {
      case Nr.YIELD:
      case Nr.GETPID:
      case Nr.CAP_CLONE:
      case Nr.CAP_CLOSE:
        detail = request.a0;
        break;
      case Nr.NSEC:
        result = 0;
        break;
      case Macro.POLL:
        detail = task.sys.poll.round;
        break;
      case Nr.IPC_SEND_V1:
        if (result >= 0) this.#moved(task, request.a0, 1);
        detail = request.a0 * 128 + (request.headerFlags === 0 ? 0 : request.moveSlot + 1);
        break;
      case Nr.IPC_RECV_V1:
      case Nr.IPC_RECV_V2:
        if (result >= 0) this.#moved(task, request.a0, 0);
        else if (result === BLOCKED) this.#blocked = true;
        detail = request.a0 * 128 + task.sys.message.src;
        break;
      default:
        this.#disturbed = true;
        return;
    }
    const member = this.#memberOf(task.pid);
    if (result !== BLOCKED) member.fresh = false;
    this.#input(member, task.pid, nr, detail, result);
  }

  /** Sees a task that is about to be made runnable again. */
  woken(task: Task): void {
    if (!this.watching || this.#disturbed) return;
    if (task.blockKind !== 'recv') this.#disturbed = true;
    else this.#input(this.#memberOf(task.pid), task.pid, WAKE, task.blockEndpoint, 0);
  }

  /** Sees what a program read. */
  loaded(task: Task, va: number, value: number): void {
    const member = this.#memberOf(task.pid);
    member.fresh = false;
    this.#input(member, task.pid, LOAD, va, value);
  }

  /** A pass of a loop begins. */
  mark(task: Task, lap: Lap): void {
    if (this.#disturbed && task.pid !== this.#leader && ++this.#absence > ABSENCE) this.restart();
    if (this.#leader === NO_PID && !this.#take(task.pid)) return;
    const member = this.#memberOf(task.pid);
    if (member.lap !== lap || member.state !== lap.state || lap.counters.length !== member.counts.length) {
      this.#disturbed = true;
      this.#forget();
      member.lap = lap;
      member.state = lap.state;
      member.counts.length = lap.counters.length;
      member.growth.length = lap.counters.length;
    }
    member.marks += 1;
    member.fresh = true;
    this.#input(member, task.pid, Macro.LAP, 0, 0);
    if (task.pid === this.#leader) this.#close();
  }

  #take(pid: number): boolean {
    if (pid === this.#lastLeader && ++this.#alone < ALONE) return false;
    this.#forget();
    this.#leader = pid;
    this.#lastLeader = pid;
    this.#alone = 0;
    this.#absence = 0;
    this.#failures = 0;
    this.#disturbed = true;
    this.watching = true;
    return true;
  }

  #memberOf(pid: number): Member {
    const members = this.#members;
    while (members.length <= pid) members.push(new Member());
    return members[pid] as Member;
  }

  /** What a member asked and what it got. */
  #input(member: Member, pid: number, nr: number, detail: number, result: number): void {
    if (member.cycle !== this.#cycle) {
      member.cycle = this.#cycle;
      this.#active.push(pid);
    }
    const record = this.#record;
    if (record.length > RECORD_MAX) this.#disturbed = true;
    else record.push((pid << 8) | nr, detail, result);
  }

  /** A message went into an endpoint's queue or left it; `count` are then in it, or the cycle is disturbed. */
  #moved(task: Task, slot: number, count: number): void {
    const cap = task.caps.get(slot);
    const endpoint = cap?.kind === 'endpoint' ? this.#kernel.router.endpoints[cap.endpoint] : undefined;
    if (endpoint === undefined || endpoint.count !== count) {
      this.#disturbed = true;
      return;
    }
    if (this.#touched.includes(endpoint.id)) return;
    if (this.#touched.length === TOUCHED_MAX) this.#disturbed = true;
    else this.#touched.push(endpoint.id);
  }

  /** The leader's mark: one cycle ends, the next one begins. */
  #close(): void {
    const comparable = !this.#disturbed && this.#comparable();
    const clean = comparable && !this.#foreign;
    // A cycle that repeated stays the measure of those after a disturbance: whoever does as in it is where it led to.
    const keeps = !clean && this.#proven;
    let repeats = false;
    if (clean) this.#proven = repeats = this.#repeats();
    else if (!keeps) this.#costBefore = -1;
    else if (comparable) repeats = this.#sameAsBefore() && this.#priced();
    if (repeats) {
      this.#failures = 0;
      this.#skip();
    } else if (++this.#failures > PATIENCE) {
      this.#forget();
      this.watching = false;
      this.#leader = NO_PID;
      return;
    }
    this.#begin(keeps);
  }

  #forget(): void {
    this.#costBefore = -1;
    this.#proven = false;
  }

  /** `keeps`: the cycle before the one that ended is the one to compare with. */
  #begin(keeps: boolean): void {
    const { scheduler, tasks, clock } = this.#kernel;
    this.#cycle += 1;
    this.#disturbed = false;
    this.#blocked = false;
    this.#absence = 0;
    this.#active.length = 0;
    this.#touched.length = 0;
    if (!keeps) [this.#record, this.#recordBefore] = [this.#recordBefore, this.#record];
    this.#record.length = 0;
    this.#started = clock.now;
    const queue = scheduler.queues[scheduler.currentQos];
    this.#queue.length = queue.count;
    for (let i = 0; i < queue.count; i++) {
      const pid = queue.at(i);
      this.#queue[i] = pid;
      this.#rounds[i] = tasks[pid]?.sys.poll.round ?? 0;
    }
    for (const member of this.#members) member.begin(keeps);
  }

  /**
   * Whether the cycle that ends had members and polls in it and nothing else. A poll may have ended meanwhile (a deadline, the
   * last of its rounds) and another one begun: then a foreign task took part.
   */
  #comparable(): boolean {
    const { tasks, scheduler, router } = this.#kernel;
    this.#foreign = false;
    const queue = scheduler.queues[scheduler.currentQos];
    if (queue.count !== this.#queue.length) return false;
    for (let i = 0; i < queue.count; i++) {
      const pid = queue.at(i);
      const task = tasks[pid];
      if (pid !== this.#queue[i] || task === undefined) return false;
      const member = this.#memberOf(pid);
      const active = member.cycle === this.#cycle;
      if (active && member.marks > 0) continue;
      const { poll } = task.sys;
      // A task that was woken, or that is lone, has a syscall to execute yet.
      if (!task.polling || poll.spin) return false;
      if (active) this.#foreign = true;
      else if (poll.round < (this.#rounds[i] ?? 0)) return false;
    }
    for (const pid of this.#active) if (this.#memberOf(pid).marks === 0 && !this.#queue.includes(pid)) return false;
    for (const id of this.#touched) if (router.endpoints[id]?.count !== 0) return false;
    return true;
  }

  /** What members did is what they did in the cycle before. */
  #sameAsBefore(): boolean {
    if (this.#kernel.storm.run !== this.#stormBefore) return false;
    for (const pid of this.#active) {
      const member = this.#memberOf(pid);
      if (member.marks !== member.marksBefore && member.marks > 0) return false;
      const counters = member.lap?.counters ?? [];
      for (let i = 0; i < counters.length; i++)
        if ((counters[i]?.count ?? 0) - (member.counts[i] ?? 0) !== member.growth[i]) return false;
    }
    const record = this.#record;
    const before = this.#recordBefore;
    let k = 0;
    for (let i = 0; i < record.length; i += 3) {
      const head = record[i] ?? 0;
      if (this.#memberOf(head >> 8).marks === 0) continue;
      if (head !== before[k] || record[i + 1] !== before[k + 1] || record[i + 2] !== before[k + 2]) return false;
      k += 3;
    }
    return k === before.length;
  }

  /** Where other polls have begun, a cycle costs what it cost before but for their rounds. False: others wait than before. */
  #priced(): boolean {
    if (this.#queue.length !== this.#prices.length) return false;
    let more = 0;
    for (let i = 0; i < this.#queue.length; i++) {
      const before = this.#prices[i] ?? -1;
      const price = this.#price(i);
      if (price < 0 !== before < 0) return false;
      if (price >= 0) more += (price - before) * (this.#growth[i] ?? 0);
    }
    this.#costBefore += more;
    for (let i = 0; i < this.#queue.length; i++) this.#prices[i] = this.#price(i);
    return true;
  }

  #price(index: number): number {
    const poll = this.#waiting(index);
    return poll === null ? -1 : roundNs(this.#kernel.costs, poll);
  }

  /**
   * Whether the cycle that ends repeats the one before; it is kept for the next comparison. Of a cycle that is known to lead
   * to itself only the cost may be another one: others poll beside it now.
   */
  #repeats(): boolean {
    const { clock, costs, storm } = this.#kernel;
    let same = this.#costBefore >= 0 && this.#sameAsBefore();
    let cost = clock.now - this.#started;
    this.#prices.length = this.#queue.length;
    for (let i = 0; i < this.#queue.length; i++) {
      const poll = this.#waiting(i);
      this.#prices[i] = this.#price(i);
      if (poll === null) continue;
      const rounds = poll.round - (this.#rounds[i] ?? 0);
      cost -= clockTests(poll, rounds, poll.round - rounds) * costs.nsec;
      if (rounds !== this.#growth[i]) same = false;
      this.#growth[i] = rounds;
    }
    if (cost !== this.#costBefore && !this.#proven) same = false;
    this.#costBefore = cost;
    this.#stormBefore = storm.run;
    for (const pid of this.#active) {
      const member = this.#memberOf(pid);
      const counters = member.lap?.counters ?? [];
      for (let i = 0; i < counters.length; i++) member.growth[i] = (counters[i]?.count ?? 0) - (member.counts[i] ?? 0);
    }
    return same;
  }

  /**
   * Adds up cycles while one more surely ends before anything can come of it. One is left to be executed where a member would
   * be in the middle of a pass: what it remembers of that (a time, a frame) is then as it should be.
   */
  #skip(): void {
    const { clock, costs, tasks } = this.#kernel;
    const cost = this.#costBefore;
    let before = Math.min(clock.next, this.#kernel.until);
    if (this.#blocked) before = Math.min(before, this.#kernel.blocking.earliestDeadline);
    let most = cost;
    let cycles = Infinity;
    for (let i = 0; i < this.#queue.length; i++) {
      const poll = this.#waiting(i);
      const rounds = this.#growth[i] ?? 0;
      if (poll === null || rounds === 0) continue;
      if (poll.maxRounds !== Infinity) cycles = Math.min(cycles, (poll.maxRounds - 1 - poll.round) / rounds);
      if (poll.clockEvery === 0) continue;
      most += Math.ceil(rounds / poll.clockEvery) * costs.nsec;
      if (poll.deadline > clock.now) before = Math.min(before, poll.deadline);
      else cycles = Math.min(cycles, (poll.clockEvery - 1 - (poll.round % poll.clockEvery)) / rounds);
    }
    for (const pid of this.#active) {
      const { lap, marks } = this.#memberOf(pid);
      if (lap === null || marks === 0) continue;
      before = Math.min(before, lap.until);
      cycles = Math.min(cycles, (lap.limit - lap.count) / marks);
    }
    const last = this.#active.every((pid) => this.#memberOf(pid).fresh || this.#memberOf(pid).marks === 0) ? 0 : 1;
    let left = Math.floor(cycles) - last;
    for (;;) {
      const n = Math.min(left, Math.floor((before - 1 - clock.now) / most) - last);
      if (!(n > 0)) return;
      left -= n;
      let ns = n * cost;
      for (let i = 0; i < this.#queue.length; i++) {
        const poll = this.#waiting(i);
        if (poll === null) continue;
        const rounds = n * (this.#growth[i] ?? 0);
        ns += clockTests(poll, rounds) * costs.nsec;
        poll.round += rounds;
      }
      for (const pid of this.#active) {
        const { lap, marks, growth } = this.#memberOf(pid);
        if (lap === null || marks === 0) continue;
        lap.count += n * marks;
        for (let i = 0; i < lap.counters.length; i++) lap.counters[i]?.skip(n * (growth[i] ?? 0));
        const task = tasks[pid];
        if (task?.state === 'blocked') task.blockSince += ns;
      }
      clock.advance(ns);
    }
  }

  /** The poll of a task of the queue that is no member of this cycle, else null. */
  #waiting(index: number): Poll | null {
    const pid = this.#queue[index] ?? NO_PID;
    const member = this.#memberOf(pid);
    if (member.cycle === this.#cycle && member.marks > 0) return null;
    return this.#kernel.tasks[pid]?.sys.poll ?? null;
  }
}
