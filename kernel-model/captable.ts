/**
 * Capabilities and the table a task keeps them in (sheet 10, section 3). Capabilities are plain immutable values: a copy
 * is the same object in another slot, there is no reference count, and dropping one never touches what it names.
 */
import type { TraceCap } from '../sim/trace.ts';
import { CAP_SLOTS } from './abi.ts';

/** A capability to a router endpoint: SEND, RECV, MANAGE. */
export interface EndpointCap {
  readonly kind: 'endpoint';
  readonly endpoint: number;
  readonly rights: number;
}
/** The right to create endpoints (MANAGE). */
export interface FactoryCap {
  readonly kind: 'factory';
  readonly rights: number;
}
/** Physical memory [base, base + len), usable with MAP. */
export interface VmoCap {
  readonly kind: 'vmo';
  readonly base: number;
  readonly len: number;
  readonly rights: number;
}
/** A device window [base, base + len), usable with MAP. */
export interface MmioCap {
  readonly kind: 'mmio';
  readonly base: number;
  readonly len: number;
  readonly rights: number;
}
export type Capability = EndpointCap | FactoryCap | VmoCap | MmioCap;

/** The capability as the trace shows it. */
export function traceCap(cap: Capability): TraceCap {
  switch (cap.kind) {
    case 'endpoint':
      return { kind: cap.kind, endpoint: cap.endpoint, rights: cap.rights };
    case 'factory':
      return { kind: cap.kind, rights: cap.rights };
    case 'vmo':
    case 'mmio':
      return { kind: cap.kind, base: cap.base, len: cap.len, rights: cap.rights };
  }
}

/** A task's slots. Slot arguments come from guests: anything that is not a slot of this table behaves as an empty slot. */
export class CapTable {
  #slots: (Capability | null)[];
  /** Every slot below it is occupied. */
  #hint = 0;

  constructor(slots: number = CAP_SLOTS) {
    this.#slots = new Array<Capability | null>(slots).fill(null);
  }

  /** Number of slots, 0 after the owner's exit. */
  get size(): number {
    return this.#slots.length;
  }

  /** The capability in `slot`, null when empty or out of range (InvalidSlot). */
  get(slot: number): Capability | null {
    return this.#slots[slot] ?? null;
  }

  /** Removes and returns the capability in `slot`, null when empty or out of range (InvalidSlot). */
  take(slot: number): Capability | null {
    const cap = this.#slots[slot] ?? null;
    if (cap === null) return null;
    this.#slots[slot] = null;
    if (slot < this.#hint) this.#hint = slot;
    return cap;
  }

  /** Overwrites `slot`. False (InvalidSlot) when it is out of range; the caller prints the CAP-E line. */
  set(slot: number, cap: Capability): boolean {
    if (this.#slots[slot] === undefined) return false;
    this.#slots[slot] = cap;
    return true;
  }

  /** Fills an empty `slot`. False when it is occupied or out of range. */
  setIfEmpty(slot: number, cap: Capability): boolean {
    if (this.#slots[slot] !== null) return false;
    this.#slots[slot] = cap;
    return true;
  }

  /** Puts `cap` into the lowest free slot and returns it, -1 when the table is full (NoSpace). */
  allocate(cap: Capability): number {
    const slots = this.#slots;
    for (let i = this.#hint; i < slots.length; i++) {
      if (slots[i] === null) {
        slots[i] = cap;
        this.#hint = i + 1;
        return i;
      }
    }
    this.#hint = slots.length;
    return -1;
  }

  /** A copy of the capability in `slot` with exactly `rights`; null when empty or `rights` is no subset of the stored ones. */
  derive(slot: number, rights: number): Capability | null {
    const cap = this.#slots[slot] ?? null;
    if (cap === null || (rights & ~cap.rights) !== 0) return null;
    return cap.rights === rights ? cap : { ...cap, rights };
  }

  /** Occupied slots in ascending order, for reports. */
  *entries(): Generator<readonly [number, Capability], void, void> {
    for (let i = 0; i < this.#slots.length; i++) {
      const cap = this.#slots[i];
      if (cap) yield [i, cap];
    }
  }

  /** Exit: the table becomes an empty one without slots. */
  clear(): void {
    this.#slots = [];
    this.#hint = 0;
  }
}
