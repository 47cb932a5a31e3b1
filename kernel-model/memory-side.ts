/**
 * What the kernel's core asks of its memory side (address spaces, VMOs, fault printers). The core works on tables and
 * queues only; an implementation without memory serves unit tests.
 */
import type { Task } from './task.ts';

/** A user page fault, thrown through a program's generator by its memory accesses. Never leaves the kernel. */
export class GuestFault extends Error {
  override readonly name = 'GuestFault';
  readonly access: 'inst' | 'load' | 'store';
  /** Address of the instruction, 0 for typed programs. */
  readonly pc: number;
  /** Faulting virtual address. */
  readonly address: number;

  constructor(access: 'inst' | 'load' | 'store', pc: number, address: number) {
    super(`${access} fault at 0x${address.toString(16)}`);
    this.access = access;
    this.pc = pc;
    this.address = address;
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
