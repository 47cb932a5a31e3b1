/**
 * One time for several machines. Each has a clock of its own, ns since its power-on; this is who lets them run, one at a
 * time, so that none gets ahead of what another could still send it: a frame takes at least `lookaheadNs`, so a machine may
 * run that far beyond the earliest time at which another one could send. A machine that only waits cannot send before its
 * next event, so waits are skipped across machines as they are within one. The order of turns is a function of the machines
 * alone: how a run is sliced, or whether waits are skipped or simulated, changes nothing.
 */
import { assert } from './assert.ts';

/** Why a machine stopped running: it reached the time, used up its steps, was switched off, or waits for others for ever. */
export type MachineEnd = 'time' | 'steps' | 'stopped' | 'dead';

/** A machine as the keeper of time sees it. Times are its own, ns since its power-on. */
export interface TimedMachine {
  readonly clock: { readonly now: number; readonly next: number };
  /** Nothing leaves the machine before that time unless something reaches it from outside; Infinity: never. */
  readonly quietUntil: number;
  /** Runs until the first turn at or after `untilNs`; a turn is never cut, so it may end later. */
  run(untilNs: number, maxSteps: number): MachineEnd;
  /** Brings the end of the run in progress forward. */
  endBy(ns: number): void;
}

/** A machine and when it is switched on, ns of the shared time. */
export interface TimedPlace {
  readonly machine: TimedMachine;
  readonly powerOnNs: number;
}

interface Seat extends TimedPlace {
  /** Switched off; it has no future. */
  off: boolean;
  /** Nothing but a frame can move it; true until an event is in its clock. */
  asleep: boolean;
}

export class SharedTime {
  readonly #seats: readonly Seat[];
  readonly #lookaheadNs: number;
  /** The machine that runs, also between two slices of its run, and the shared time until which it may. */
  #running: Seat | null = null;
  #untilNs = 0;

  /** `lookaheadNs` (>= 1): what a frame from one machine to another takes at least. */
  constructor(places: readonly TimedPlace[], lookaheadNs: number) {
    assert(lookaheadNs >= 1, 'machines on a wire without latency cannot be told apart in time');
    this.#seats = places.map((place) => ({ ...place, off: false, asleep: false }));
    this.#lookaheadNs = lookaheadNs;
  }

  /**
   * Everything that happens up to that time has happened, on every machine; Infinity: nothing will ever happen again. Only
   * between steps that did not end in 'steps'.
   */
  get frontierNs(): number {
    return this.#seats.reduce((least, seat) => Math.min(least, future(seat)), Infinity);
  }

  /**
   * Lets the machine that is furthest behind run, up to `limitNs` at most. 'steps': its run goes on with the next step, with
   * the same limit. 'over': nothing can happen before `limitNs`. Otherwise how the machine's run ended.
   */
  step(limitNs: number, maxSteps: number): MachineEnd | 'over' {
    const seat = (this.#running ??= this.#choose(limitNs));
    if (seat === null) return 'over';
    const end = seat.machine.run(this.#untilNs - seat.powerOnNs, maxSteps);
    if (end === 'steps') return end;
    this.#running = null;
    if (end === 'stopped') seat.off = true;
    seat.asleep = end === 'dead';
    return end;
  }

  /** The running machine has sent a frame: its answer may be there after twice the latency. */
  frameSent(): void {
    if (this.#running !== null) this.#endBy(this.#running, nowOf(this.#running) + 2 * this.#lookaheadNs);
  }

  /** The running machine did something that is to be looked at: its run ends with this turn. */
  pause(): void {
    if (this.#running !== null) this.#endBy(this.#running, nowOf(this.#running));
  }

  #endBy(seat: Seat, ns: number): void {
    if (ns >= this.#untilNs) return;
    this.#untilNs = ns;
    seat.machine.endBy(ns - seat.powerOnNs);
  }

  /** The machine with the earliest future, and how far it may run. */
  #choose(limitNs: number): Seat | null {
    let first: Seat | null = null;
    let firstNs = Infinity;
    let othersNs = Infinity;
    for (const seat of this.#seats) {
      const ns = future(seat);
      if (ns < firstNs) {
        othersNs = firstNs;
        firstNs = ns;
        first = seat;
      } else {
        othersNs = Math.min(othersNs, ns);
      }
    }
    if (first === null || firstNs >= limitNs) return null;
    this.#untilNs = Math.min(limitNs, othersNs + this.#lookaheadNs);
    return first;
  }
}

function nowOf(seat: Seat): number {
  return seat.powerOnNs + seat.machine.clock.now;
}

/** Shared time before which a machine does nothing that others notice. */
function future(seat: Seat): number {
  const { machine, powerOnNs } = seat;
  if (seat.off || (seat.asleep && machine.clock.next === Infinity)) return Infinity;
  return powerOnNs + machine.quietUntil;
}
