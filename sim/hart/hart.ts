/** One hart in user mode: state, memory and interpreter put together (sheet 05, section 18). */
import { assert } from '../assert.ts';
import type { HartCounters } from './counters.ts';
import { BUDGET, interpret, MAX_BUDGET } from './interpreter.ts';
import type { HartMemory } from './memory.ts';
import { HartState, join } from './state.ts';
import { Cause } from './trap.ts';

/** Why {@link Hart.run} returned. One object per hart, overwritten by the next run. */
export interface Stop {
  /** `budget`: the instructions asked for have retired. `trap`: the instruction at pc raised an exception instead. */
  readonly reason: 'budget' | 'trap';
  /** Of a trap, as scause would show it. */
  readonly cause: Cause;
  /** Of a trap, as stval would show it, unsigned. */
  readonly tval: bigint;
}

/**
 * Runs programs in user mode. A trap leaves pc at the instruction that raised it (ecall: at the ecall), drops the
 * reservation and changes nothing else; whoever runs the hart acts for the supervisor and may run on.
 */
export class Hart {
  declare readonly state: HartState;
  declare readonly memory: HartMemory;
  declare readonly counters: HartCounters;
  declare readonly stop: { -readonly [Key in keyof Stop]: Stop[Key] };

  constructor(memory: HartMemory, counters: HartCounters) {
    this.state = new HartState();
    this.memory = memory;
    this.counters = counters;
    this.stop = { reason: 'budget', cause: Cause.illegal, tval: 0n };
  }

  /**
   * Runs until `maxInstructions` (a safe integer, 0 or more) have retired or one traps. Cutting a run into pieces of any
   * sizes changes nothing that the program can see.
   */
  run(maxInstructions: number): Stop {
    assert(Number.isSafeInteger(maxInstructions) && maxInstructions >= 0, 'instruction budget');
    const { stop, state, memory } = this;
    for (let left = maxInstructions; left > 0; left -= MAX_BUDGET) {
      const cause = interpret(state, memory, this.counters, Math.min(left, MAX_BUDGET));
      if (cause === BUDGET) continue;
      stop.reason = 'trap';
      stop.cause = cause;
      stop.tval = (memory.faultLow | memory.faultHigh) === 0 ? 0n : join(memory.faultLow, memory.faultHigh);
      return stop;
    }
    stop.reason = 'budget';
    return stop;
  }

  /** Register 0..31, unsigned. */
  getX(register: number): bigint {
    return this.state.getX(register);
  }

  setX(register: number, value: bigint): void {
    this.state.setX(register, value);
  }
}
