/**
 * ACLINT (sheet 05, section 8): MTIMER at 10 MHz virtual time, MSWI and SSWI software interrupts. The OS reaches the
 * first two only through the firmware; PMP keeps S-mode out of them, which is the hart's business, not the bus's.
 */
import type { AccessRule, BusDevice } from '../bus.ts';
import { MAX_TIME } from '../clock.ts';
import type { Clock, ScheduledEvent } from '../clock.ts';
import type { InterruptLine } from '../memory.ts';
import type { Trace } from '../trace.ts';

/** Timebase in Hz (device tree, section 4) and the ns of one tick (section 5). */
export const TIMEBASE_HZ = 10_000_000;
export const TICK_NS = 100;

/** MTIMER register map: mtimecmp of hart n at 8n, mtime at the end of the window (0200_BFF8). */
export const MTIMECMP = 0x0;
export const MTIME = 0x7ff8;

interface Comparator {
  readonly line: InterruptLine;
  value: bigint;
  event: ScheduledEvent | null;
}

/** The machine timer: one counter, one comparator per hart. */
export class Mtimer implements BusDevice {
  readonly name = 'mtimer';
  readonly access: AccessRule = { widths: [4, 8] };
  readonly #clock: Clock;
  readonly #trace: Trace;
  readonly #comparators: readonly Comparator[];
  /** What a write of mtime added to the ticks since power-on. */
  #offset = 0n;

  /** `lines[n]` is MTIP of hart n; it is high at once, because mtimecmp resets to 0. */
  constructor(clock: Clock, trace: Trace, lines: readonly InterruptLine[]) {
    this.#clock = clock;
    this.#trace = trace;
    this.#comparators = lines.map((line) => ({ line, value: 0n, event: null }));
    for (const comparator of this.#comparators) this.#evaluate(comparator);
  }

  /** The counter, which is also the `time` CSR: ticks of 100 ns, 64 bits. */
  get mtime(): bigint {
    return BigInt.asUintN(64, this.#ticks() + this.#offset);
  }

  set mtime(value: bigint) {
    this.#offset = BigInt.asUintN(64, value - this.#ticks());
    for (const comparator of this.#comparators) this.#evaluate(comparator);
  }

  readU64(offset: number): bigint {
    const value = this.#register(offset);
    if (value === null) return BigInt(this.#unknown(offset, false, 0));
    return value;
  }

  writeU64(offset: number, value: bigint): void {
    const comparator = this.#comparators[offset >> 3];
    if (offset === MTIME) {
      this.mtime = value;
    } else if (comparator) {
      comparator.value = value;
      this.#evaluate(comparator);
    } else {
      this.#unknown(offset, true, Number(value));
    }
  }

  read(offset: number): number {
    const value = this.#register(offset & ~7);
    if (value === null) return this.#unknown(offset, false, 0);
    return Number(offset & 4 ? value >> 32n : value & 0xffff_ffffn);
  }

  write(offset: number, _width: 1 | 2 | 4, value: number): void {
    const old = this.#register(offset & ~7);
    if (old === null) {
      this.#unknown(offset, true, value);
      return;
    }
    const half = BigInt(value >>> 0);
    const merged = offset & 4 ? (half << 32n) | (old & 0xffff_ffffn) : ((old >> 32n) << 32n) | half;
    this.writeU64(offset & ~7, merged);
  }

  #ticks(): bigint {
    return BigInt(Math.floor(this.#clock.now / TICK_NS));
  }

  #register(offset: number): bigint | null {
    if (offset === MTIME) return this.mtime;
    return this.#comparators[offset >> 3]?.value ?? null;
  }

  /** Raises MTIP if the deadline has passed, else lowers it and schedules its rise. */
  #evaluate(comparator: Comparator): void {
    if (comparator.event) this.#clock.cancel(comparator.event);
    comparator.event = null;
    const left = comparator.value - this.mtime;
    comparator.line.set(left <= 0n);
    if (left <= 0n) return;
    const at = (this.#ticks() + left) * BigInt(TICK_NS);
    if (at > BigInt(MAX_TIME)) return;
    comparator.event = this.#clock.schedule(Number(at), () => {
      comparator.event = null;
      comparator.line.set(true);
    });
  }

  #unknown(offset: number, write: boolean, value: number): number {
    if (this.#trace.on) this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write, value });
    return 0;
  }
}

/** Machine software interrupts: msip of hart n at 4n, bit 0 is the line. */
export class Mswi implements BusDevice {
  readonly name = 'mswi';
  readonly access: AccessRule = { widths: [4] };
  readonly #trace: Trace;
  readonly #lines: readonly InterruptLine[];
  readonly #msip: Uint8Array;

  /** `lines[n]` is MSIP of hart n. */
  constructor(trace: Trace, lines: readonly InterruptLine[]) {
    this.#trace = trace;
    this.#lines = lines;
    this.#msip = new Uint8Array(lines.length);
  }

  read(offset: number): number {
    const level = this.#msip[offset >> 2];
    return level ?? this.#unknown(offset, false, 0);
  }

  write(offset: number, _width: 1 | 2 | 4, value: number): void {
    const hart = offset >> 2;
    const line = this.#lines[hart];
    if (!line) {
      this.#unknown(offset, true, value);
      return;
    }
    this.#msip[hart] = value & 1;
    line.set((value & 1) !== 0);
  }

  #unknown(offset: number, write: boolean, value: number): number {
    if (this.#trace.on) this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write, value });
    return 0;
  }
}

/** Supervisor software interrupts: writing 1 to setssip[n] sets SSIP, which only the hart itself clears. Reads 0. */
export class Sswi implements BusDevice {
  readonly name = 'sswi';
  readonly access: AccessRule = { widths: [4] };
  readonly #trace: Trace;
  readonly #lines: readonly InterruptLine[];

  /** `lines[n]` sets SSIP of hart n; it is only ever raised. */
  constructor(trace: Trace, lines: readonly InterruptLine[]) {
    this.#trace = trace;
    this.#lines = lines;
  }

  read(offset: number): number {
    return offset >> 2 < this.#lines.length ? 0 : this.#unknown(offset, false, 0);
  }

  write(offset: number, _width: 1 | 2 | 4, value: number): void {
    const line = this.#lines[offset >> 2];
    if (!line) this.#unknown(offset, true, value);
    else if (value & 1) line.set(true);
  }

  #unknown(offset: number, write: boolean, value: number): number {
    if (this.#trace.on) this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write, value });
    return 0;
  }
}
