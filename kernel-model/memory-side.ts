/**
 * What the kernel's core asks of its memory side (address spaces, VMOs, fault printers). The core works on tables and
 * queues only; an implementation without memory serves unit tests.
 */
import type { Task } from './task.ts';

/** Exceptions of user mode: page faults, illegal instruction, and the others (sheet 05, section 16.2). */
export type GuestFaultKind =
  | 'inst'
  | 'load'
  | 'store'
  | 'illegal'
  | 'inst-access'
  | 'breakpoint'
  | 'load-misaligned'
  | 'load-access'
  | 'store-misaligned'
  | 'store-access';

/** A fault of a program, thrown through its generator. Never leaves the kernel. */
export class GuestFault extends Error {
  override readonly name = 'GuestFault';
  readonly kind: GuestFaultKind;
  /** Address of the instruction; for typed programs that of their entry. */
  readonly pc: number | bigint;
  /** Faulting virtual address; for an illegal instruction its bits. A bigint where a number would not be exact. */
  readonly address: number | bigint;
  /** x0..x31 where a hart ran the program, null for typed programs. */
  readonly registers: BigUint64Array | null;

  constructor(
    kind: GuestFaultKind,
    pc: number | bigint,
    address: number | bigint,
    registers: BigUint64Array | null = null,
  ) {
    super(`${kind} fault at 0x${address.toString(16)}, pc 0x${pc.toString(16)}`);
    this.kind = kind;
    this.pc = pc;
    this.address = address;
    this.registers = registers;
  }
}

export interface MemorySide {
  /** True while {@link activate} still prints lines; polls are not skipped then. */
  readonly activationPrints: boolean;
  /** Loads the task's address space: the lines of sheet 10, section 1.2 (ACT) within their quotas. */
  activate(task: Task): void;
  /** WAIT reaped the task: detaches and destroys its address space (sheet 10, section 6.4). */
  release(task: Task): void;
  /** A program faulted (its generator is gone): prints the dump, ends the task, picks the next one. */
  userFault(task: Task, fault: GuestFault): void;
  /** EXIT found nobody to run: the kernel resumes PID 0's zero frame and panics (sheet 10, section 5.3). */
  nothingRunnable(): void;
  load32(task: Task, va: number): number;
  store32(task: Task, va: number, value: number): void;
  bytes(task: Task, va: number, len: number): Uint8Array;
}
