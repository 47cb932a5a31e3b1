/** A task that marks its passes, as the watch of exchanges sees it (laps.ts). */
import type { Lap } from './sys.ts';

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
