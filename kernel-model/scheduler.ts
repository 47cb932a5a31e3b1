/**
 * The scheduler: four FIFO run queues of bounded length, strict priority, no preemption (sheet 10, section 5). It knows
 * pids and classes, nothing else about tasks; blocking and waking are the kernel's, built from these primitives.
 */
import { RUN_QUEUE_CAPACITY } from './abi.ts';
import type { QosClass } from './abi.ts';

/** Enqueue attempts that print a line (sheet 10, section 1.2). */
export const ENQUEUE_LINES = 32;

/** Nobody: the pid of an empty `current`. */
export const NO_PID = -1;

/** One class's queue: a ring of pids. */
export class RunQueue {
  count = 0;
  #head = 0;
  readonly #ring = new Int32Array(RUN_QUEUE_CAPACITY);

  push(pid: number): boolean {
    if (this.count === RUN_QUEUE_CAPACITY) return false;
    this.#ring[(this.#head + this.count) & (RUN_QUEUE_CAPACITY - 1)] = pid;
    this.count += 1;
    return true;
  }

  /** The head; the queue must not be empty. */
  pop(): number {
    const pid = this.#ring[this.#head] ?? NO_PID;
    this.#head = (this.#head + 1) & (RUN_QUEUE_CAPACITY - 1);
    this.count -= 1;
    return pid;
  }

  /** The pid at position `i` from the head. */
  at(i: number): number {
    return i < this.count ? (this.#ring[(this.#head + i) & (RUN_QUEUE_CAPACITY - 1)] ?? NO_PID) : NO_PID;
  }

  /** Removes every occurrence of `pid`; true when there was one. */
  remove(pid: number): boolean {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const other = this.at(i);
      if (other === pid) continue;
      if (kept !== i) this.#ring[(this.#head + kept) & (RUN_QUEUE_CAPACITY - 1)] = other;
      kept += 1;
    }
    const found = kept !== this.count;
    this.count = kept;
    return found;
  }
}

/** Run queues and the current entry of the boot hart. */
export class Scheduler {
  /** Pid that runs, {@link NO_PID} for none. */
  current = NO_PID;
  /** Class the current entry goes back to when it yields. */
  currentQos: QosClass = 1;
  /** Index = class. */
  readonly queues: readonly [RunQueue, RunQueue, RunQueue, RunQueue] = [
    new RunQueue(),
    new RunQueue(),
    new RunQueue(),
    new RunQueue(),
  ];
  /** Enqueue attempts that still print their line; polls must not be skipped before it is 0. */
  linesLeft = ENQUEUE_LINES;
  readonly #line: (pid: number, qos: QosClass) => void;

  /** `line` prints one enqueue attempt; called for the first {@link ENQUEUE_LINES}. */
  constructor(line: (pid: number, qos: QosClass) => void) {
    this.#line = line;
  }

  /** Appends to class `qos`; false (Rejected) when the class is full. */
  enqueue(pid: number, qos: QosClass): boolean {
    if (this.linesLeft > 0) {
      this.linesLeft -= 1;
      this.#line(pid, qos);
    }
    return this.queues[qos].push(pid);
  }

  /** Makes the head of the highest non-empty class current and returns it; {@link NO_PID} when all are empty. */
  pick(): number {
    const queues = this.queues;
    for (let qos = 3; qos >= 0; qos--) {
      const queue = queues[qos as QosClass];
      if (queue.count > 0) {
        this.currentQos = qos as QosClass;
        this.current = queue.pop();
        return this.current;
      }
    }
    this.current = NO_PID;
    return NO_PID;
  }

  /** Appends the current task to its class and picks. With a full class the task is lost to scheduling (section 5.2). */
  yieldCurrent(): number {
    if (this.current !== NO_PID) this.enqueue(this.current, this.currentQos);
    return this.pick();
  }

  /** Takes `pid` out of all queues and, when it is current, off the hart. */
  remove(pid: number): void {
    this.purge(pid);
    if (this.current === pid) this.current = NO_PID;
  }

  /** Takes `pid` out of all queues. */
  purge(pid: number): void {
    for (const queue of this.queues) if (queue.count > 0) queue.remove(pid);
  }

  /**
   * Moves a task to class `qos`: in place when it is current, to the tail of the class when it is queued. False
   * (QueueFull) when that class is full: the task keeps its place.
   */
  setQos(pid: number, from: QosClass, qos: QosClass): boolean {
    if (this.current === pid) {
      this.currentQos = qos;
      return true;
    }
    const source = this.queues[from];
    let queued = false;
    for (let i = 0; i < source.count; i++) queued ||= source.at(i) === pid;
    if (!queued) return true;
    // The own class counts as having room: the task leaves it before it is appended.
    if (from !== qos && this.queues[qos].count === RUN_QUEUE_CAPACITY) return false;
    source.remove(pid);
    return this.enqueue(pid, qos);
  }

  /** Tasks queued in all classes. */
  get queued(): number {
    const [idle, normal, interactive, burst] = this.queues;
    return idle.count + normal.count + interactive.count + burst.count;
  }
}
