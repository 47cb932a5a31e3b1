/** The A/B slot state machine and its persistent record (sheet 55, sections 4 and 4.3). */
import { slotCode, slotOfCode } from './wire.ts';
import type { SlotId, Tries } from './wire.ts';

/** Where the record is kept, its length in bytes and its version. */
export const BOOTCTL_KEY = '/state/boot/bootctl.v1';
export const BOOTCTL_LENGTH = 6;
export const BOOTCTL_VERSION = 1;
/** No slot, in the fields pending and staged. */
const NO_SLOT = 0xff;

/** Why an operation was refused, as its audit says it. */
export type SlotFault = 'not-staged' | 'already-pending' | 'not-pending' | 'no-rollback';

/** The fields of the record. */
export interface BootctlRecord {
  readonly active: SlotId;
  readonly pending: SlotId | null;
  readonly staged: SlotId | null;
  /** 0..255. */
  readonly triesLeft: number;
  readonly healthOk: boolean;
}

/** Why a record did not decode, in the order of the checks. */
export type RecordReject = 'length' | 'version' | 'active' | 'pending' | 'staged';

/** Encodes a record. */
export function encodeRecord(record: BootctlRecord): Uint8Array {
  const { active, pending, staged, triesLeft, healthOk } = record;
  return Uint8Array.of(
    BOOTCTL_VERSION,
    slotCode(active),
    pending === null ? NO_SLOT : slotCode(pending),
    staged === null ? NO_SLOT : slotCode(staged),
    triesLeft,
    healthOk ? 1 : 0,
  );
}

/** Decodes any bytes. */
export function decodeRecord(bytes: Uint8Array): BootctlRecord | RecordReject {
  if (bytes.length !== BOOTCTL_LENGTH) return 'length';
  if (bytes[0] !== BOOTCTL_VERSION) return 'version';
  const active = slotOfCode(bytes[1]);
  if (active === null) return 'active';
  const pending = slotOfCode(bytes[2]);
  if (pending === null && bytes[2] !== NO_SLOT) return 'pending';
  const staged = slotOfCode(bytes[3]);
  if (staged === null && bytes[3] !== NO_SLOT) return 'staged';
  return { active, pending, staged, triesLeft: bytes[4] ?? 0, healthOk: bytes[5] === 1 };
}

/** The other slot. */
export function otherSlot(slot: SlotId): SlotId {
  return slot === 'a' ? 'b' : 'a';
}

/** Slot state; a new one is that of a machine that has never been updated. */
export class SlotMachine {
  #active: SlotId = 'a';
  #pending: SlotId | null = null;
  #staged: SlotId | null = null;
  #rollback: SlotId | null = null;
  #triesLeft = 0;
  #healthOk = false;

  /**
   * The state after loading a record. Of a pending switch only its presence counts; the way back is always the other
   * slot, and what was staged is known only where nothing else had happened.
   */
  static fromRecord(record: BootctlRecord): SlotMachine {
    const slots = new SlotMachine();
    slots.#active = record.active;
    if (record.pending !== null) {
      slots.#pending = record.active;
      slots.#rollback = otherSlot(record.active);
      slots.#triesLeft = record.triesLeft;
    } else if (record.healthOk) slots.#healthOk = true;
    else if (record.staged !== null) slots.#staged = otherSlot(record.active);
    return slots;
  }

  /** What is persisted and reported. */
  get record(): BootctlRecord {
    return {
      active: this.#active,
      pending: this.#pending,
      staged: this.#staged,
      triesLeft: this.#triesLeft,
      healthOk: this.#healthOk,
    };
  }

  /** Where a rollback would go. */
  get rollbackTarget(): SlotId | null {
    return this.#rollback;
  }

  /** An archive was accepted: it belongs to the slot that is not active. */
  stage(): SlotId {
    this.#staged = otherSlot(this.#active);
    return this.#staged;
  }

  /** Makes the staged slot active, on probation for `tries` boots. */
  switchTo(tries: Tries): SlotId | SlotFault {
    if (this.#pending !== null) return 'already-pending';
    if (this.#staged === null) return 'not-staged';
    this.#rollback = this.#active;
    this.#active = this.#staged;
    this.#pending = this.#staged;
    this.#staged = null;
    this.#triesLeft = tries;
    this.#healthOk = false;
    return this.#active;
  }

  /** The active slot works: the probation ends. Null on success. */
  commitHealth(): SlotFault | null {
    if (this.#pending === null) return 'not-pending';
    this.#pending = null;
    this.#rollback = null;
    this.#triesLeft = 0;
    this.#healthOk = true;
    return null;
  }

  /** A boot of a slot on probation: the slot rolled back to, or null when there is nothing to do. */
  tickBootAttempt(): SlotId | SlotFault | null {
    if (this.#pending === null) return null;
    this.#triesLeft = Math.max(0, this.#triesLeft - 1);
    return this.#triesLeft === 0 ? this.rollback() : null;
  }

  /** Back to the slot before the switch. */
  rollback(): SlotId | SlotFault {
    if (this.#rollback === null) return 'no-rollback';
    this.#active = this.#rollback;
    this.#pending = null;
    this.#rollback = null;
    this.#staged = null;
    this.#triesLeft = 0;
    this.#healthOk = false;
    return this.#active;
  }
}

/** True for a slot, false for a fault. */
export function isSlot(result: SlotId | SlotFault): result is SlotId {
  return result === 'a' || result === 'b';
}
