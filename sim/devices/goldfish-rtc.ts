/**
 * Goldfish real-time clock (sheet 05, section 7.2), with an alarm. Deterministic: the time of day is a fixed epoch plus
 * virtual time. The OS takes no wall clock from it.
 */
import type { AccessRule, BusDevice } from '../bus.ts';
import { MAX_TIME } from '../clock.ts';
import type { Clock, ScheduledEvent } from '../clock.ts';
import type { InterruptLine } from '../memory.ts';
import type { Trace } from '../trace.ts';

/** Register map; 32-bit registers. */
export const RTC_TIME_LOW = 0x00;
export const RTC_TIME_HIGH = 0x04;
export const RTC_ALARM_LOW = 0x08;
export const RTC_ALARM_HIGH = 0x0c;
export const RTC_IRQ_ENABLED = 0x10;
export const RTC_CLEAR_ALARM = 0x14;
export const RTC_ALARM_STATUS = 0x18;
export const RTC_CLEAR_INTERRUPT = 0x1c;

const LOW_WORD = 0xffff_ffffn;

/** One RTC. */
export class GoldfishRtc implements BusDevice {
  readonly name = 'rtc';
  readonly access: AccessRule = { widths: [4, 8] };
  readonly #clock: Clock;
  readonly #trace: Trace;
  readonly #irq: InterruptLine;
  /** ns since the Unix epoch at virtual time 0. */
  #epoch: bigint;
  #timeHigh = 0;
  #alarm = 0n;
  #alarmEvent: ScheduledEvent | null = null;
  #armed = false;
  #irqEnabled = false;
  #irqPending = false;

  /** `epochSeconds`: Unix time at power-on. */
  constructor(clock: Clock, trace: Trace, irq: InterruptLine, epochSeconds: number) {
    this.#clock = clock;
    this.#trace = trace;
    this.#irq = irq;
    this.#epoch = BigInt(epochSeconds) * 1_000_000_000n;
  }

  read(offset: number): number {
    switch (offset) {
      case RTC_TIME_LOW: {
        // Reading the low half latches the high half, so that the pair is one instant.
        const now = this.#now();
        this.#timeHigh = Number(now >> 32n);
        return Number(now & LOW_WORD);
      }
      case RTC_TIME_HIGH:
        return this.#timeHigh;
      case RTC_ALARM_LOW:
        return Number(this.#alarm & LOW_WORD);
      case RTC_ALARM_HIGH:
        return Number(this.#alarm >> 32n);
      case RTC_IRQ_ENABLED:
        return this.#irqEnabled ? 1 : 0;
      case RTC_ALARM_STATUS:
        return this.#armed ? 1 : 0;
      default:
        this.#unknown(offset, false, 0);
        return 0;
    }
  }

  write(offset: number, _width: 1 | 2 | 4, value: number): void {
    const word = BigInt(value);
    switch (offset) {
      case RTC_TIME_LOW:
        this.#setTime((this.#now() & ~LOW_WORD) | word);
        break;
      case RTC_TIME_HIGH:
        this.#setTime((word << 32n) | (this.#now() & LOW_WORD));
        break;
      case RTC_ALARM_LOW:
        this.#alarm = (this.#alarm & ~LOW_WORD) | word;
        this.#arm();
        break;
      case RTC_ALARM_HIGH:
        this.#alarm = (word << 32n) | (this.#alarm & LOW_WORD);
        break;
      case RTC_IRQ_ENABLED:
        this.#irqEnabled = (value & 1) !== 0;
        this.#update();
        break;
      case RTC_CLEAR_ALARM:
        this.#disarm();
        break;
      case RTC_CLEAR_INTERRUPT:
        this.#irqPending = false;
        this.#update();
        break;
      default:
        this.#unknown(offset, true, value);
    }
  }

  #now(): bigint {
    return BigInt.asUintN(64, this.#epoch + BigInt(this.#clock.now));
  }

  #setTime(now: bigint): void {
    this.#epoch = now - BigInt(this.#clock.now);
  }

  /** An alarm that is not in the future goes off at once. */
  #arm(): void {
    this.#disarm();
    const left = this.#alarm - this.#now();
    if (left <= 0n) {
      this.#goOff();
      return;
    }
    this.#armed = true;
    const at = BigInt(this.#clock.now) + left;
    if (at <= BigInt(MAX_TIME)) this.#alarmEvent = this.#clock.schedule(Number(at), () => this.#goOff());
  }

  #disarm(): void {
    if (this.#alarmEvent) this.#clock.cancel(this.#alarmEvent);
    this.#alarmEvent = null;
    this.#armed = false;
  }

  #goOff(): void {
    this.#alarmEvent = null;
    this.#armed = false;
    this.#irqPending = true;
    this.#update();
  }

  #update(): void {
    this.#irq.set(this.#irqPending && this.#irqEnabled);
  }

  #unknown(offset: number, write: boolean, value: number): void {
    if (this.#trace.on) this.#trace.emit({ kind: 'mmio-unknown', device: this.name, offset, write, value });
  }
}
