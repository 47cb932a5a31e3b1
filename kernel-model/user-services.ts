/** What a program may do between two syscalls: memory access, charged work, notes (see {@link TaskServices}). */
import { assert } from '../sim/assert.ts';
import { COMPUTE_INSTRUCTIONS } from './cost.ts';
import type { Kernel } from './kernel.ts';
import type { TaskServices } from './sys.ts';
import type { Task } from './task.ts';

export class UserServices implements TaskServices {
  readonly #kernel: Kernel;
  readonly #task: Task;

  constructor(kernel: Kernel, task: Task) {
    this.#kernel = kernel;
    this.#task = task;
  }

  load32(va: number): number {
    const value = this.#kernel.memory.load32(this.#task, va);
    if (this.#kernel.laps.watching) this.#kernel.laps.loaded(this.#task, va, value);
    return value;
  }

  store32(va: number, value: number): void {
    this.#kernel.laps.disturb();
    this.#kernel.memory.store32(this.#task, va, value);
  }

  bytes(va: number, len: number): Uint8Array {
    return this.#kernel.memory.bytes(this.#task, va, len);
  }

  compute(label: string, units = 1): void {
    const instructions = COMPUTE_INSTRUCTIONS[label];
    assert(instructions !== undefined, `compute label '${label}' is not in the cost table (kernel-model/cost.ts)`);
    this.#kernel.chargeUser(Math.round(instructions * units));
  }

  note(name: string, value: string | number): void {
    const trace = this.#kernel.trace;
    if (trace.on) trace.emit({ kind: 'note', service: this.#task.name, name, value });
  }
}
