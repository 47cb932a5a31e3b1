/**
 * Blocking and waking (sheet 10, sections 4.5 and 5.3): waiter registration, the expired scan, and the retries of a task
 * that blocks with nobody else to run. Nothing ever sleeps here: a blocked syscall is executed again when its task runs.
 */
import { assert } from '../sim/assert.ts';
import { addWaiter, removeWaiter } from './endpoint.ts';
import type { Kernel } from './kernel.ts';
import { NO_PID } from './scheduler.ts';
import { BLOCKED } from './syscalls/result.ts';
import type { Task } from './task.ts';

/** The blocking side of one kernel. */
export class Blocking {
  readonly #kernel: Kernel;
  /** Lower bound of the deadlines of all tasks blocked in IPC. */
  #earliestDeadline = Infinity;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** No task that is blocked in IPC has an earlier deadline, ns. */
  get earliestDeadline(): number {
    return this.#earliestDeadline;
  }

  /** Makes a blocked task runnable at the tail of its class. A full class loses the wake (section 4.5). */
  wake(pid: number): boolean {
    const kernel = this.#kernel;
    const task = kernel.tasks[pid];
    if (task === undefined || task.state !== 'blocked') return false;
    if (!kernel.scheduler.enqueue(pid, task.qos)) return false;
    kernel.laps.woken(task);
    task.state = 'ready';
    task.blockKind = 'none';
    kernel.idleTurns = 0;
    if (kernel.trace.on) kernel.trace.emit({ kind: 'task-wake', woken: pid });
    return true;
  }

  /** Blocks the running task in IPC on a living endpoint and gives the hart away. Returns BLOCKED. */
  onEndpoint(task: Task, kind: 'recv' | 'send', endpoint: number, deadline: number): number {
    const kernel = this.#kernel;
    kernel.charge(kernel.costs.block);
    const waiters = this.#waiters(kind, endpoint);
    addWaiter(waiters, task.pid);
    this.#markBlocked(task, kind, endpoint, deadline);
    if (deadline !== 0 && deadline < this.#earliestDeadline) this.#earliestDeadline = deadline;
    this.#wakeExpired();
    if (kernel.reschedule()) {
      task.lone = false;
    } else {
      removeWaiter(waiters, task.pid);
      this.#retryAlone(task);
    }
    return BLOCKED;
  }

  /** Blocks the running task in WAIT for child `target` (<= 0: any). Returns BLOCKED. */
  onChild(task: Task, target: number): number {
    const kernel = this.#kernel;
    kernel.charge(kernel.costs.block);
    task.waitTarget = target;
    this.#markBlocked(task, 'wait', -1, 0);
    if (kernel.reschedule()) task.lone = false;
    else this.#retryAlone(task);
    return BLOCKED;
  }

  /**
   * Before a lone task's turn: adds up its retries to just before the next event, deadline, limit or guard rejection.
   * True when none of them can ever come.
   */
  skipLoneRetries(task: Task, untilNs: number): boolean {
    const kernel = this.#kernel;
    const { clock, storm } = kernel;
    if (kernel.idleTurns === 0) return false;
    const guarded = kernel.image.options.loneReceiverEinval;
    const wakeAt = Math.min(clock.next, task.blockKind === 'wait' ? Infinity : this.#earliestDeadline);
    if (wakeAt === Infinity && !guarded) return true;
    if (task.loneCost === 0 || kernel.scheduler.linesLeft > 0 || !kernel.image.skipPolls) return false;
    let retries = Math.floor((Math.min(wakeAt, untilNs) - 1 - clock.now) / task.loneCost);
    if (guarded) retries = Math.min(retries, storm.left);
    if (retries > 0) {
      clock.advance(retries * task.loneCost);
      if (guarded) storm.add(retries);
    }
    return false;
  }

  /** A lower bound of the time at which a lone task's retries end; now where the storm guard may end them sooner. */
  quietUntil(task: Task): number {
    const { clock, idleTurns, image, scheduler } = this.#kernel;
    if (idleTurns === 0 || scheduler.linesLeft > 0 || image.options.loneReceiverEinval) return clock.now;
    return Math.max(clock.now, Math.min(clock.next, task.blockKind === 'wait' ? Infinity : this.#earliestDeadline));
  }

  #waiters(kind: 'recv' | 'send', endpoint: number): number[] {
    const found = this.#kernel.router.endpoints[endpoint];
    assert(found !== undefined && found.alive, 'blocking on a dead endpoint');
    return kind === 'recv' ? found.recvWaiters : found.sendWaiters;
  }

  #markBlocked(task: Task, kind: 'recv' | 'send' | 'wait', endpoint: number, deadline: number): void {
    const kernel = this.#kernel;
    if (!task.lone) {
      task.blockSince = kernel.clock.now;
      if (kernel.trace.on) kernel.trace.emit({ kind: 'task-block', on: kind, endpoint, deadline });
    }
    task.state = 'blocked';
    task.blockKind = kind;
    task.blockEndpoint = endpoint;
    task.blockDeadline = deadline;
    // The running task is in no queue: leaving the hart is all the purge there is.
    kernel.scheduler.current = NO_PID;
  }

  /** The expired scan: only when a task is about to block in IPC, ascending by pid, that task included. */
  #wakeExpired(): void {
    if (this.#earliestDeadline === Infinity) return;
    const now = this.#kernel.nowNs();
    if (now < this.#earliestDeadline) return;
    let earliest = Infinity;
    for (const task of this.#kernel.tasks) {
      const kind = task.blockKind;
      if (task.state !== 'blocked' || (kind !== 'recv' && kind !== 'send') || task.blockDeadline === 0) continue;
      if (now >= task.blockDeadline) {
        removeWaiter(this.#waiters(kind, task.blockEndpoint), task.pid);
        if (this.wake(task.pid)) continue;
      }
      earliest = Math.min(earliest, task.blockDeadline);
    }
    this.#earliestDeadline = earliest;
  }

  /** Nothing else is runnable: the task is woken at once and its ecall retried inside the trap path (section 5.3). */
  #retryAlone(task: Task): void {
    const kernel = this.#kernel;
    // The cost of a retry is that of this very call: an earlier one's says nothing.
    if (!task.lone) task.loneCost = 0;
    task.lone = true;
    task.state = 'ready';
    kernel.idleTurns = 1;
    const queued = kernel.scheduler.enqueue(task.pid, task.qos);
    assert(queued && kernel.reschedule(), 'a lone task must find room in an empty run queue');
  }
}
