/** Task records (sheet 10, sections 5.1 and 6). Records are never removed: the index of a task is its pid. */
import { Qos } from './abi.ts';
import type { QosClass, ServiceId } from './abi.ts';
import { CapTable } from './captable.ts';
import type { Kernel } from './kernel.ts';
import { Sys } from './sys.ts';
import type { Program, Syscall } from './sys.ts';
import { UserServices } from './user-services.ts';

export type TaskState = 'ready' | 'blocked' | 'zombie';

/** What a blocked task waits for. */
export type BlockKind = 'none' | 'recv' | 'send' | 'wait';

/** Parent of tasks that nobody waits for. */
export const NO_PARENT = -1;

/** Registers a task starts with, as the transcript and fault dumps show them (sheet 10, section 6.1). */
export interface TaskFrame {
  pc: number;
  sp: number;
  gp: number;
  ra: number;
  sstatus: number;
}

/** Guard pages of an exec'd task: bases whose faults are tagged (sheet 10, section 7.4); -1 for none. */
export interface GuardInfo {
  readonly stack: number;
  readonly bootInfo: number;
}

/** What {@link Kernel.createTask} needs to know. */
export interface TaskSpec {
  readonly parent: number;
  readonly name: string;
  readonly serviceId: ServiceId;
  /** Null: a record that never runs (boot selftest dummies). */
  readonly program: Program | null;
  /** Handle of the address space, null for none. */
  readonly addressSpace: number | null;
  readonly frame: TaskFrame;
  readonly guard: GuardInfo | null;
  /** Default Normal. */
  readonly qos?: QosClass;
}

export class Task {
  readonly pid: number;
  /** Pid, {@link NO_PARENT} once reaped or orphaned. */
  parent: number;
  /** For reports; the guest-visible identity is `serviceId`. */
  name: string;
  serviceId: ServiceId;
  qos: QosClass;
  state: TaskState = 'ready';
  readonly caps = new CapTable();
  /** Children that were not reaped, in spawn order. */
  readonly children: number[] = [];
  /** Valid for a zombie. */
  exitCode = 0;
  addressSpace: number | null;
  readonly frame: TaskFrame;
  guard: GuardInfo | null;
  /** Recorded reason of the last failed SPAWN (sheet 10, section 6.1), 0 for none. */
  spawnLastError = 0;
  readonly sys: Sys;
  /** The running program; null for records without one and after exit. */
  generator: Generator<Syscall, number, number> | null;

  // -- blocking (valid while state is 'blocked') --------------------------------------------------------------------

  /** 'none' unless blocked or retried alone. */
  blockKind: BlockKind = 'none';
  blockEndpoint = -1;
  /** Absolute ns, 0 for none. */
  blockDeadline = 0;
  /** Virtual ns when the task blocked or began to poll. */
  blockSince = 0;
  /** Child that WAIT waits for, <= 0 for any. */
  waitTarget = 0;

  // -- dispatch bookkeeping of the run loop -------------------------------------------------------------------------

  /** The syscall that is outstanding. */
  request: Syscall;
  /** True: `request` is executed again when the task runs, instead of resuming the program. */
  retry = false;
  /** True: the last attempt found nothing else to run, so the task retries alone (sheet 10, section 5.3). */
  lone = false;
  /** Virtual ns one lone retry took last time, 0 while unknown. */
  loneCost = 0;
  /** a0 for the program when it resumes. */
  result = 0;
  /** Progress of a PRINT macro, bytes done. */
  printed = 0;
  /** True between two rounds of a POLL macro. */
  polling = false;
  /** True once the last receive took a message: the header fields of `sys.message` are to be written even on error. */
  delivered = false;

  constructor(kernel: Kernel, pid: number, spec: TaskSpec) {
    this.pid = pid;
    this.parent = spec.parent;
    this.name = spec.name;
    this.serviceId = spec.serviceId;
    this.qos = spec.qos ?? Qos.NORMAL;
    this.addressSpace = spec.addressSpace;
    this.frame = spec.frame;
    this.guard = spec.guard;
    this.sys = new Sys(pid, new UserServices(kernel, this));
    this.request = this.sys.request;
    this.generator = spec.program === null ? null : spec.program(this.sys);
  }
}
