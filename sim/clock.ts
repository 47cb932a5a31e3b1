/**
 * Virtual time and the event queue (design, decision 2). One clock in nanoseconds, moved only by the cost of what ran
 * and by jumping to the next event when nobody can run. Events with the same time fire in scheduling order.
 */
import { assert } from './assert.ts';

/** Handle of a scheduled event; opaque. */
export interface ScheduledEvent {
  readonly at: number;
  readonly sequence: number;
  fire: (() => void) | null;
}

/** Largest time the clock may hold: numbers are exact integers below 2^53 ns (about 104 days). */
export const MAX_TIME = Number.MAX_SAFE_INTEGER;

/** Cancelled events that may wait in the queue before it is swept, however few live ones there are. */
const SWEEP_AT_LEAST = 64;

/** The clock of one board (or of several boards that share a link). */
export class Clock {
  /** Virtual ns since power-on. Read-only for everybody else. */
  now = 0;
  /** Time of the earliest scheduled event, Infinity when there is none. Kept current so that hot loops can compare. */
  next = Infinity;
  #sequence = 0;
  /** Binary heap by (time, sequence); its top is never a cancelled event. */
  #heap: ScheduledEvent[] = [];
  /** Cancelled events still in the heap. */
  #cancelled = 0;

  /** Moves time forward by `ns` (>= 0, integer) without running events; the owner of the run loop calls {@link runDue}. */
  advance(ns: number): void {
    this.now += ns;
    assert(this.now <= MAX_TIME, 'virtual time beyond 2^53 ns');
  }

  /**
   * Calls `fire` once when time reaches `at` (whole ns, absolute; a time in the past fires at the next {@link runDue},
   * one beyond {@link MAX_TIME} never does).
   */
  schedule(at: number, fire: () => void): ScheduledEvent {
    assert(at === Math.floor(at), 'event time must be whole ns');
    const event: ScheduledEvent = { at, sequence: this.#sequence++, fire };
    this.#push(event);
    this.next = this.#heap[0]?.at ?? Infinity;
    return event;
  }

  /** Cancels a scheduled event; cancelling one that fired is a no-op. */
  cancel(event: ScheduledEvent): void {
    if (event.fire === null) return;
    event.fire = null;
    this.#cancelled += 1;
    this.#dropCancelled();
    // Deadlines that are set and cancelled all the time must not pile up until the far future.
    if (this.#cancelled > SWEEP_AT_LEAST && this.#cancelled > this.#heap.length / 2) this.#sweep();
  }

  /** Number of scheduled events that can still fire. */
  get pending(): number {
    return this.#heap.length - this.#cancelled;
  }

  /** Runs every event due at or before now, in (time, sequence) order, including ones scheduled meanwhile. */
  runDue(): void {
    while (this.next <= this.now) {
      const event = this.#pop();
      this.#dropCancelled();
      const fire = event?.fire;
      if (event !== undefined && fire) {
        event.fire = null;
        fire();
      }
    }
  }

  #dropCancelled(): void {
    while (this.#heap.length > 0 && this.#heap[0]?.fire === null) {
      this.#pop();
      this.#cancelled -= 1;
    }
    this.next = this.#heap[0]?.at ?? Infinity;
  }

  /** Rebuilds the heap from the live events; a sorted array is a heap. */
  #sweep(): void {
    this.#heap = this.#heap.filter((event) => event.fire !== null).sort((a, b) => (before(a, b) ? -1 : 1));
    this.#cancelled = 0;
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap;
    heap.push(event);
    let i = heap.length - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || !before(event, parent)) break;
      heap[i] = parent;
      i = up;
    }
    heap[i] = event;
  }

  #pop(): ScheduledEvent | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      let least = heap[child];
      if (least === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && before(right, least)) {
        least = right;
        child += 1;
      }
      if (!before(least, last)) break;
      heap[i] = least;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

function before(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
