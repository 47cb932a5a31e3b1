/**
 * logd's journal (sheet 40, section 4): a bounded run of records in memory, oldest first. Bounded by records and by bytes;
 * a record that does not fit makes the oldest go (LOG-1). Nothing survives a reboot.
 */
import { assert } from '../../sim/assert.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { AppendRequest, LogTime, RecordId, WireLogLevel } from './wire.ts';

/** Bytes of each part that are stored; the rest is cut off silently (sheet 40, section 2.2). */
export const STORED_SCOPE_MAX = 32;
export const STORED_MESSAGE_MAX = 128;
export const STORED_FIELDS_MAX = 128;
/** Accounted bytes of a record beside its stored parts. */
export const RECORD_OVERHEAD = 64;

/** Sizes of one journal; the constructor raises each to at least 1. */
export interface JournalLimits {
  readonly capRecords: number;
  /** Accounted bytes of all records that are kept. */
  readonly capBytes: number;
  /** Budget of accounted bytes: of the records kept, or with `lifetimeBudget` of all ever stored. */
  readonly budgetBytes: number;
  /** True: once the budget is spent every further record is refused for ever. False: eviction makes room. */
  readonly lifetimeBudget: boolean;
}

/** The OS's sizes (sheet 40, section 4.1). */
export const JOURNAL_LIMITS: JournalLimits = {
  capRecords: 128,
  capBytes: 16_384,
  budgetBytes: 262_144,
  lifetimeBudget: false,
};

/** One record as stored. */
export interface LogRecord {
  readonly id: RecordId;
  readonly timestamp: LogTime;
  readonly level: WireLogLevel;
  /** Kernel-attested id of the appender (LOG-3). */
  readonly serviceId: ServiceId;
  readonly scope: Uint8Array;
  readonly message: Uint8Array;
  readonly fields: Uint8Array;
}

/** What an APPEND asks to store. */
export type RecordBody = Pick<AppendRequest, 'level'> & {
  readonly scope: Uint8Array;
  readonly message: Uint8Array;
  readonly fields: Uint8Array;
};

/** Counters and sizes as STATS reports them (sheet 40, section 4.3). */
export interface StatsSnapshot {
  /** Successful appends since boot (LOG-2). */
  readonly total: number;
  /** Evictions since boot. */
  readonly dropped: number;
  readonly capRecords: number;
  readonly capBytes: number;
  readonly usedRecords: number;
  readonly usedBytes: number;
}

/** Accounted size of a stored record, bytes. */
export function recordSize(record: Pick<LogRecord, 'scope' | 'message' | 'fields'>): number {
  return record.scope.length + record.message.length + record.fields.length + RECORD_OVERHEAD;
}

export class Journal {
  readonly #capRecords: number;
  readonly #capBytes: number;
  readonly #budgetBytes: number;
  readonly #lifetimeBudget: boolean;
  readonly #records: LogRecord[] = [];
  #usedBytes = 0;
  #lifetimeBytes = 0;
  #total = 0;
  #dropped = 0;

  constructor(limits: JournalLimits = JOURNAL_LIMITS) {
    this.#capRecords = Math.max(1, limits.capRecords);
    this.#capBytes = Math.max(1, limits.capBytes);
    this.#budgetBytes = Math.max(1, limits.budgetBytes);
    this.#lifetimeBudget = limits.lifetimeBudget;
  }

  /** Evictions so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Stores a record, evicting the oldest until it fits (section 4.2). Null: refused, because it is larger than the journal
   * or than what is left of a lifetime budget; nothing was evicted for it then.
   */
  append(serviceId: ServiceId, timestamp: LogTime, body: RecordBody): RecordId | null {
    const record: LogRecord = {
      id: (this.#total + 1) as RecordId,
      timestamp,
      level: body.level,
      serviceId,
      scope: body.scope.slice(0, STORED_SCOPE_MAX),
      message: body.message.slice(0, STORED_MESSAGE_MAX),
      fields: body.fields.slice(0, STORED_FIELDS_MAX),
    };
    const size = recordSize(record);
    const room = this.#lifetimeBudget ? this.#capBytes : Math.min(this.#capBytes, this.#budgetBytes);
    if (size > room) return null;
    if (this.#lifetimeBudget && this.#lifetimeBytes + size > this.#budgetBytes) return null;
    while (this.#records.length >= this.#capRecords || this.#usedBytes + size > room) this.#evict();
    this.#records.push(record);
    this.#total += 1;
    this.#usedBytes += size;
    this.#lifetimeBytes += size;
    return record.id;
  }

  /** Records with a time of at least `since`, oldest first. The caller must not keep them across an append. */
  *since(since: bigint): Generator<LogRecord, void, void> {
    for (const record of this.#records) if (record.timestamp >= since) yield record;
  }

  /** At most `max` records with a time of at least `since`, oldest first (section 4.5). */
  query(since: bigint, max: number): LogRecord[] {
    const found: LogRecord[] = [];
    if (max <= 0) return found;
    for (const record of this.since(since)) if (found.push(record) >= max) break;
    return found;
  }

  stats(): StatsSnapshot {
    return {
      total: this.#total,
      dropped: this.#dropped,
      capRecords: this.#capRecords,
      capBytes: this.#capBytes,
      usedRecords: this.#records.length,
      usedBytes: this.#usedBytes,
    };
  }

  #evict(): void {
    const oldest = this.#records.shift();
    assert(oldest !== undefined, 'a record that fits an empty journal found no room in it');
    this.#usedBytes -= recordSize(oldest);
    this.#dropped += 1;
  }
}
