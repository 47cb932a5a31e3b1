/**
 * The kernel: task records, blocking and waking, and the run loop that gives every task its turns (sheet 10, sections 2 to
 * 6). A turn resumes the running task's program up to its next syscall and executes one attempt of that syscall. A
 * blocked syscall is executed again from the start when its task runs next, exactly as the real trap handler does.
 */
import { assert } from '../sim/assert.ts';
import type { Clock } from '../sim/clock.ts';
import type { GuestMemory } from '../sim/memory.ts';
import type { Trace } from '../sim/trace.ts';
import { Errno, Nr, PRECREATED_ENDPOINTS, serviceIdOf } from './abi.ts';
import type { ServiceId } from './abi.ts';
import { Blocking } from './blocking.ts';
import { costsAt } from './cost.ts';
import type { Costs } from './cost.ts';
import { closeOrder, Router } from './endpoint.ts';
import type { KernelFaults } from './fault-port.ts';
import type { KernelImage } from './image.ts';
import { Laps } from './laps.ts';
import { KernelUart } from './kernel-uart.ts';
import type { UartSink } from './kernel-uart.ts';
import { GuestFault } from './memory-side.ts';
import type { MemorySide } from './memory-side.ts';
import { PayloadStore } from './payload.ts';
import { lookAhead, quietUntil } from './poll.ts';
import { NO_PID, Scheduler } from './scheduler.ts';
import { StormGuard, typedPc } from './storm.ts';
import { Macro } from './sys.ts';
import { BLOCKED, SWITCHED } from './syscalls/result.ts';
import { handlerOf, SYSCALL_NAMES } from './syscalls/table.ts';
import { Task } from './task.ts';
import type { TaskSpec } from './task.ts';

/** What the kernel needs of the machine. */
export interface KernelBoard {
  readonly clock: Clock;
  readonly trace: Trace;
  readonly memory: GuestMemory;
}

/** Everything a kernel is built from. */
export interface KernelDeps {
  readonly board: KernelBoard;
  readonly uart: UartSink;
  readonly image: KernelImage;
  /** Builds the memory side for this kernel; it may keep the reference but not use it yet. */
  readonly memory: (kernel: Kernel) => MemorySide;
  /** The boot sequence: yields after each printed line, so that a run can stop exactly at a marker. Null: no boot. */
  readonly boot: ((kernel: Kernel) => Generator<void, void, void>) | null;
}

/** Where a run stops at the latest. */
export interface RunLimit {
  /** Absolute virtual ns; the run ends before the first turn at or after it. */
  readonly untilNs: number;
  /** Turns executed by this call. A bound on host work: skipped rounds cost none. */
  readonly maxSteps: number;
}

/** Why a run ended; 'dead': nothing can ever happen again. */
export type RunEnd = 'stopped' | 'time' | 'steps' | 'dead';

const QOS_NAMES = ['Idle', 'Normal', 'Interactive', 'PerfBurst'] as const;

/** ns per tick of the time CSR: what guests and deadlines see of the clock (sheet 10, section 8). */
const TICK_NS = 100;

export class Kernel {
  readonly board: KernelBoard;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly image: KernelImage;
  readonly costs: Costs;
  readonly uart: KernelUart;
  readonly router = new Router(PRECREATED_ENDPOINTS);
  readonly scheduler: Scheduler;
  readonly payloads = new PayloadStore();
  readonly storm = new StormGuard();
  readonly memory: MemorySide;
  readonly blocking: Blocking = new Blocking(this);
  readonly laps: Laps = new Laps(this);
  /** Index = pid; records are never removed. */
  readonly tasks: Task[] = [];
  /** The running task; null before boot has ended and after a panic. */
  current: Task | null = null;
  /** Consecutive turns that were failed poll rounds or lone retries, with no event or wake between them. */
  idleTurns = 0;
  /** Ids of the names that may set other tasks' QoS. */
  readonly qosAdministrators: readonly ServiceId[];

  /** Pid whose address space is loaded. */
  #activePid = NO_PID;
  #boot: Generator<void, void, void> | null;
  #stopping = false;
  /** Limit of the current run, absolute ns. */
  until = Infinity;
  /** The run's faults; null in an undisturbed run. */
  faults: KernelFaults | null = null;

  constructor(deps: KernelDeps) {
    this.board = deps.board;
    this.clock = deps.board.clock;
    this.trace = deps.board.trace;
    this.image = deps.image;
    this.costs = costsAt(deps.image.icount);
    this.uart = new KernelUart(deps.uart, this.clock, this.costs);
    this.scheduler = new Scheduler((pid, qos) => {
      this.uart.line(`[DEBUG sched] enqueue: pid=${pid} qos=${QOS_NAMES[qos]}`);
    });
    this.qosAdministrators = deps.image.qosAdministrators.map(serviceIdOf);
    this.memory = deps.memory(this);
    this.#boot = deps.boot?.(this) ?? null;
  }

  // -- time ---------------------------------------------------------------------------------------------------------

  /** Virtual ns as the guest sees them: whole ticks of the time CSR. */
  nowNs(): number {
    const now = this.clock.now;
    return now - (now % TICK_NS);
  }

  /** Charges kernel work of `ns`. Events that come due run before the next turn. */
  charge(ns: number): void {
    this.clock.advance(ns);
  }

  /** Charges instructions of a program between two syscalls; devices see the time pass. */
  chargeUser(instructions: number): void {
    this.clock.advance(instructions * this.costs.instruction);
    if (this.clock.next <= this.clock.now) this.#runEvents();
  }

  // -- tasks --------------------------------------------------------------------------------------------------------

  /** A new record with the next pid: neither queued nor known to its parent before {@link admitTask}. */
  createTask(spec: TaskSpec): Task {
    const task = new Task(this, this.tasks.length, spec);
    this.tasks.push(task);
    return task;
  }

  /**
   * Enqueues the newest record and adds it to its parent's children. False when its class is full: the record is rolled
   * back and its pid is free again (sheet 10, section 6.1).
   */
  admitTask(task: Task): boolean {
    assert(this.tasks[this.tasks.length - 1] === task, 'only the newest task can be admitted');
    if (!this.scheduler.enqueue(task.pid, task.qos)) {
      this.tasks.pop();
      task.generator?.return(0);
      return false;
    }
    this.tasks[task.parent]?.children.push(task.pid);
    if (this.trace.on) {
      this.trace.emit({ kind: 'task-spawn', child: task.pid, name: task.name, serviceId: task.serviceId });
    }
    return true;
  }

  /**
   * Ends a task (sheet 10, sections 6.4 and 7.4): closes its endpoints, makes it a zombie, wakes whoever waited for it. The
   * caller picks the next task.
   */
  terminate(task: Task, code: number, cause: 'exit' | 'fault'): void {
    const waiters: number[] = [];
    const closed = this.router.closeOwnedBy(task.pid, waiters);
    this.router.forget(task.pid);
    task.state = 'zombie';
    task.exitCode = code;
    task.blockKind = 'none';
    task.retry = false;
    task.lone = false;
    task.polling = false;
    task.caps.clear();
    task.children.length = 0;
    this.scheduler.remove(task.pid);
    if (this.trace.on) {
      for (const endpoint of closed) this.trace.emit({ kind: 'endpoint-close', endpoint });
      this.trace.emit({ kind: 'task-exit', code, cause });
    }
    const generator = task.generator;
    task.generator = null;
    generator?.return(0);
    for (const pid of closeOrder(waiters)) this.wake(pid);
    if (cause === 'fault' && this.image.options.faultNoWake) return;
    const parent = this.tasks[task.parent];
    if (parent?.blockKind === 'wait' && (parent.waitTarget <= 0 || parent.waitTarget === task.pid))
      this.wake(parent.pid);
  }

  // -- switching ------------------------------------------------------------------------------------------

  /** Makes a blocked task runnable; false when it is not blocked or its class is full. */
  wake(pid: number): boolean {
    return this.blocking.wake(pid);
  }

  /** Picks the next task and loads its address space if it is another one. False when nobody can run. */
  reschedule(): boolean {
    return this.#enter(this.scheduler.pick());
  }

  /** Requeues the running task and picks; its a0 is the picked pid. */
  yieldTurn(task: Task): void {
    task.result = this.scheduler.yieldCurrent();
    this.#enter(task.result);
  }

  /** Loads the address space of the running task once more (the second ACT block of EXIT). */
  activateAgain(): void {
    if (this.current !== null) this.#activate(this.current);
  }

  // -- the run loop -------------------------------------------------------------------------------------------------

  /** True: the run ends before any further guest effect. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Ends the current {@link run} before any further turn; callable from event callbacks and UART listeners. */
  requestStop(): void {
    this.#stopping = true;
  }

  /** Brings the end of the current {@link run} forward: it ends before the first turn at or after `ns`. */
  endBy(ns: number): void {
    this.until = Math.min(this.until, ns);
  }

  /**
   * Between two runs: the earliest time at which this machine could do something that is seen outside, as long as nothing
   * reaches it from there; now, unless everybody is known to wait. Infinity: never. The same with and without poll skipping.
   */
  get quietUntilNs(): number {
    const { current, clock } = this;
    if (this.#boot !== null) return clock.now;
    if (current === null) return Infinity;
    if (current.lone) return this.blocking.quietUntil(current);
    return current.polling ? quietUntil(this, current) : clock.now;
  }

  /** Takes every task off the hart for good (panic): the next run ends with 'dead'. */
  halt(): void {
    this.current = null;
    this.trace.pid = -1;
    this.#boot = null;
    this.#stopping = true;
  }

  /** Runs turns until stopped, a limit is reached or nothing can happen any more. Slicing a run changes nothing in it. */
  run(limit: RunLimit): RunEnd {
    const { clock } = this;
    this.#stopping = false;
    this.until = limit.untilNs;
    // Whoever owns the run may have changed anything since the last one.
    this.laps.restart();
    for (let steps = 0; ; steps++) {
      if (clock.next <= clock.now) this.#runEvents();
      if (this.stopping) return 'stopped';
      if (clock.now >= this.until) return 'time';
      if (steps >= limit.maxSteps) return 'steps';
      if (this.#boot !== null) {
        if (this.#boot.next().done === true) this.#boot = null;
        continue;
      }
      const task = this.current;
      if (task === null) return 'dead';
      if (task.lone) {
        if (this.blocking.skipLoneRetries(task, this.until)) return 'dead';
      } else if (task.polling && lookAhead(this, task, this.until)) {
        return 'dead';
      }
      this.#turn(task);
    }
  }

  /** Starts the first task without a boot sequence. */
  start(): void {
    assert(this.current === null && this.#boot === null, 'start() is for kernels without a boot sequence');
    this.reschedule();
  }

  #turn(task: Task): void {
    const again = task.retry;
    if (!again) {
      this.idleTurns = 0;
      if (!this.#resume(task)) return;
      if (this.#stopping) {
        // A device stopped the run while the program computed: its next call belongs to the next run.
        task.retry = true;
        return;
      }
    }
    const request = task.request;
    const nr = request.nr;
    const wasLone = task.lone;
    if (nr < Macro.PRINT || nr === Macro.ECALL) {
      const pc = nr === Macro.ECALL ? task.frame.pc : typedPc(task.pid, nr);
      // A lone receiver waits in the contract; in the reference its retries feed the guard (quirk lone-receiver-einval).
      if ((!wasLone || this.image.options.loneReceiverEinval) && this.storm.rejects(pc)) {
        this.charge(this.costs.rejected);
        task.lone = false;
        task.blockKind = 'none';
        task.retry = false;
        this.#finish(task, nr, -Errno.EINVAL);
        this.laps.disturb();
        return;
      }
    }
    const started = this.clock.now;
    const quiet = this.scheduler.linesLeft === 0;
    const failed = this.faults === null || again ? 0 : this.#failedBy(this.faults, task, nr);
    const result = failed === 0 ? handlerOf(nr)(this, task, request) : failed;
    if (result > BLOCKED) {
      task.retry = false;
      if (wasLone) {
        task.lone = false;
        task.blockKind = 'none';
      }
      this.#finish(task, nr, result);
    } else {
      task.retry = result !== SWITCHED;
      if (task.lone && wasLone && quiet) task.loneCost = this.clock.now - started;
    }
    if (this.laps.watching) this.laps.turn(task, request, result);
  }

  /** The negative errno that a fault gives this syscall, charged as a rejected one; 0: none. */
  #failedBy(faults: KernelFaults, task: Task, nr: number): number {
    const errno = faults.onSyscall(task, nr === Macro.ECALL ? Number(task.sys.regs[7] ?? 0n) : nr);
    if (errno !== 0) this.charge(this.costs.rejected);
    return -errno;
  }

  /** Resumes the program; false when it ended instead of asking for something. */
  #resume(task: Task): boolean {
    const generator = task.generator;
    assert(generator !== null, 'a task without a program was scheduled');
    if (task.request.nr === Macro.ECALL) task.sys.regs[0] = BigInt.asUintN(64, BigInt(task.result));
    try {
      const step = generator.next(task.result);
      if (step.done === true) {
        task.request = task.sys.exit(step.value);
      } else {
        task.request = step.value;
      }
      return true;
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      this.laps.disturb();
      task.generator = null;
      this.memory.userFault(task, fault);
      return false;
    }
  }

  #finish(task: Task, nr: number, result: number): void {
    task.result = result;
    if (!this.trace.on) return;
    const shown = nr === Macro.ECALL ? Number(task.sys.regs[7] ?? 0n) : nr;
    if (traced(shown, result)) {
      this.trace.emit({ kind: 'syscall', nr: shown, name: SYSCALL_NAMES[shown] ?? String(shown), result });
    }
  }

  #runEvents(): void {
    const pid = this.trace.pid;
    this.trace.pid = -1;
    this.clock.runDue();
    this.trace.pid = pid;
    this.idleTurns = 0;
    this.laps.disturb();
  }

  #enter(pid: number): boolean {
    if (pid === NO_PID) {
      this.current = null;
      return false;
    }
    const task = this.tasks[pid];
    assert(task !== undefined, 'the scheduler picked an unknown pid');
    this.current = task;
    if (pid !== this.#activePid) this.#activate(task);
    return true;
  }

  #activate(task: Task): void {
    this.#activePid = task.pid;
    this.trace.pid = task.pid;
    this.charge(this.costs.activate);
    this.memory.activate(task);
  }
}

/** Syscalls the trace shows: neither macros nor what polls and prints. Only a NONBLOCK receive ever gives EAGAIN. */
function traced(nr: number, result: number): boolean {
  switch (nr) {
    case Nr.YIELD:
    case Nr.NSEC:
    case Nr.DEBUG_PUTC:
    case Macro.PRINT:
    case Macro.POLL:
    case Macro.SLICE:
    case Macro.LAP:
      return false;
    case Nr.IPC_RECV_V1:
    case Nr.IPC_RECV_V2:
      return result !== -Errno.EAGAIN;
    default:
      return true;
  }
}
