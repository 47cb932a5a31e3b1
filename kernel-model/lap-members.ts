/** Who takes part in a cycle of exchanges (laps.ts): tasks that mark their passes, and polls that wait beside them. */
import type { Lap, Poll } from './sys.ts';

/** A task's part in the cycle. */
export class Member {
  /** The last cycle in which it did more than wait. */
  cycle = -1;
  lap: Lap | null = null;
  state = 0;
  /** Marks in the cycle, and in the one before. */
  marks = 0;
  marksBefore = 0;
  /** Nothing has come back to it since its last mark: whatever it remembers decides nothing. */
  fresh = false;
  /** Counters at the start of the cycle, and their growth in the one before. */
  readonly counts: number[] = [];
  readonly growth: number[] = [];

  begin(keeps: boolean): void {
    if (!keeps) this.marksBefore = this.marks;
    this.marks = 0;
    const counters = this.lap?.counters ?? [];
    for (let i = 0; i < counters.length; i++) this.counts[i] = counters[i]?.count ?? 0;
  }
}

/** What a round of a poll costs beside clock tests is a function of these. */
export interface Shape {
  readonly slots: number;
  readonly sendSlots: number;
  readonly roundCost: number;
}

/** The shape of a poll; null: nobody waits there. */
export function shapeOf(poll: Poll | null): Shape | null {
  if (poll === null) return null;
  return { slots: poll.slots.length, sendSlots: poll.sendSlots.length, roundCost: poll.roundCost };
}

/** Whether a round of the poll costs what one of that shape does. */
export function fits(poll: Poll | null, shape: Shape | null): boolean {
  if (poll === null || shape === null) return poll === shape;
  if (poll.slots.length !== shape.slots || poll.sendSlots.length !== shape.sendSlots) return false;
  return poll.roundCost === shape.roundCost;
}
