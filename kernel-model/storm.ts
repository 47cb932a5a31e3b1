/** The ecall storm guard (sheet 10, section 5.3): one counter over all tasks. */

/** Consecutive ecalls of one pc that are executed; the next one is not. */
export const STORM_LIMIT = 10_001;

/** No pc: real ones are >= 0, those of the typed door below -1. */
const NO_PC = -0.5;

export class StormGuard {
  #pc = NO_PC;
  #run = 0;

  /** Counts one ecall; true when it must not be executed: a0 = -EINVAL. */
  rejects(pc: number): boolean {
    if (pc !== this.#pc) {
      this.#pc = pc;
      this.#run = 1;
      return false;
    }
    this.#run += 1;
    return this.#run > STORM_LIMIT;
  }

  /** Ecalls of the same pc counted so far. */
  get run(): number {
    return this.#run;
  }

  /** Ecalls of the same pc that would still be executed. */
  get left(): number {
    return Math.max(0, STORM_LIMIT - this.#run);
  }

  /** Counts `n` more ecalls of the same pc, at most {@link left}. */
  add(n: number): void {
    this.#run += n;
  }

  /** An ecall sequence with several pcs ran. */
  reset(): void {
    this.#pc = NO_PC;
    this.#run = 0;
  }
}

/** Syscall numbers and more fit below it. */
const PCS_PER_TASK = 64;

/** Stands for the ecall's pc of a typed call: one wrapper per syscall and task. Never a real pc. */
export function typedPc(pid: number, nr: number): number {
  return -(pid * PCS_PER_TASK + nr) - 2;
}
