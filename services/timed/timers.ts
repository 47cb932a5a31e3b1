/**
 * timed's state (sheet 60, sections 8.3 to 8.6): windows that deadlines are moved to, the table of registrations with its
 * quotas, and the bounds of a sleep. Pure; a timer never fires, it only holds its place until its owner cancels it.
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
import { deadlineNs, timerId } from './wire.ts';
import type { DeadlineNs, TimerId } from './wire.ts';

/** Width of the window of each QoS class, ns, by class: Idle, Normal, Interactive, PerfBurst. */
export const WINDOWS_NS: readonly bigint[] = [8_000_000n, 4_000_000n, 1_000_000n, 0n];
/** Live registrations of one owner, and of all. */
export const MAX_TIMERS_PER_OWNER = 64;
export const MAX_TIMERS = 1024;
/** Longest sleep from now, ns, coalescing included. */
export const MAX_SLEEP_NS = 2_000_000_000n;

const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** The deadline's window end: the deadline rounded up to its class's window. Null: no such class, or beyond u64. */
export function coalesce(deadline: DeadlineNs, qos: number): DeadlineNs | null {
  const window = WINDOWS_NS[qos];
  if (window === undefined) return null;
  const into = window === 0n ? 0n : deadline % window;
  if (into === 0n) return deadline;
  const moved = deadline + window - into;
  return moved > U64_MAX ? null : deadlineNs(moved);
}

/** What became of a registration. */
export type Registration =
  | { readonly ok: true; readonly id: TimerId; readonly coalesced: DeadlineNs }
  | { readonly ok: false; readonly reason: 'invalid_args' | 'over_limit' };

interface Timer {
  readonly owner: ServiceId;
  readonly id: TimerId;
}

/** The table of live registrations. */
export class TimerTable {
  readonly #timers: Timer[] = [];
  #nextId: number;

  /** `firstId`: 1 but in tests of the wrap. */
  constructor(firstId = 1) {
    this.#nextId = firstId;
  }

  /** Live registrations. */
  get size(): number {
    return this.#timers.length;
  }

  /** Arguments before quotas; ids come from one counter over all owners that leaves 0 out. */
  register(owner: ServiceId, qos: number, deadline: DeadlineNs): Registration {
    const coalesced = coalesce(deadline, qos);
    if (coalesced === null) return { ok: false, reason: 'invalid_args' };
    let owned = 0;
    for (const timer of this.#timers) if (timer.owner === owner) owned += 1;
    if (owned >= MAX_TIMERS_PER_OWNER || this.#timers.length >= MAX_TIMERS) return { ok: false, reason: 'over_limit' };
    const id = timerId(this.#nextId);
    this.#nextId = timerId(id + 1) || 1;
    this.#timers.push({ owner, id });
    return { ok: true, id, coalesced };
  }

  /** True when the owner had such a timer. */
  cancel(owner: ServiceId, id: TimerId): boolean {
    const index = this.#timers.findIndex((timer) => timer.id === id && timer.owner === owner);
    if (index < 0) return false;
    this.#timers.splice(index, 1);
    return true;
  }
}
