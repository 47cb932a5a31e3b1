/**
 * UART 16550A (sheet 05, section 6): eight byte registers, transmission is synchronous. Names are the data sheet's.
 * The OS only polls LSR and writes THR; the receive side, the FIFOs, loopback and interrupts are there for other guests.
 */
import type { AccessRule, BusDevice } from '../bus.ts';
import type { Clock, ScheduledEvent } from '../clock.ts';
import type { InterruptLine } from '../memory.ts';

/** Register offsets. */
export const UART_RBR_THR = 0;
export const UART_IER = 1;
export const UART_IIR_FCR = 2;
export const UART_LCR = 3;
export const UART_MCR = 4;
export const UART_LSR = 5;
export const UART_MSR = 6;
export const UART_SCR = 7;

/** IER: receive data, THR empty, line status, modem status. */
const IER_RDI = 0x01;
const IER_THRI = 0x02;
const IER_RLSI = 0x04;
const IER_MSI = 0x08;
const IER_MASK = 0x0f;

/** IIR: identification in bits 3:0, FIFO state in bits 7:6. */
const IIR_MSI = 0x00;
const IIR_NO_INT = 0x01;
const IIR_THRI = 0x02;
const IIR_RDI = 0x04;
const IIR_RLSI = 0x06;
const IIR_CTI = 0x0c;
const IIR_FIFO_ON = 0xc0;

/** FCR: FIFO enable, clear receive, clear transmit; bits 7:6 the receive trigger level. */
const FCR_FE = 0x01;
const FCR_RFR = 0x02;
const FCR_XFR = 0x04;
const FCR_STORED = 0xc9;
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

/** LCR. */
const LCR_DLAB = 0x80;
const LCR_PARITY = 0x08;
const LCR_STOP = 0x04;

/** MCR. */
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;
const MCR_MASK = 0x1f;

/** LSR. */
const LSR_DR = 0x01;
const LSR_OE = 0x02;
const LSR_BI = 0x10;
const LSR_THRE = 0x20;
const LSR_TEMT = 0x40;
const LSR_INT_ANY = 0x1e;

/** MSR: CTS, DSR and DCD asserted, no change recorded. */
const MSR_IDLE = 0xb0;
const MSR_ANY_DELTA = 0x0f;

/** Receive FIFO depth in bytes. */
export const RX_FIFO_DEPTH = 16;
/** Input clock in Hz (device tree, sheet section 4); the baud rate is this / 16 / divisor. */
const INPUT_CLOCK_HZ = 3_686_400;
/** Divisor after reset. */
const RESET_DIVISOR = 12;
/** Character times without a read after which a FIFO below its trigger level reports a timeout (16550A). */
const TIMEOUT_CHARS = 4;

/** Gets every byte that leaves the UART, in order. */
export type ByteSink = (byte: number) => void;

/** One UART. */
export class Uart16550 implements BusDevice {
  readonly name = 'uart';
  /** Any width acts on the one register at the start offset. */
  readonly access: AccessRule = { widths: [1, 2, 4, 8], alignment: 'start' };
  readonly #clock: Clock;
  readonly #irq: InterruptLine;
  readonly #sink: ByteSink;
  readonly #rxFifo = new Uint8Array(RX_FIFO_DEPTH);
  #rxHead = 0;
  #rxCount = 0;
  #rbr = 0;
  #ier = 0;
  #iir = IIR_NO_INT;
  #fcr = 0;
  #lcr = 0;
  #mcr = MCR_OUT2;
  #lsr = LSR_THRE | LSR_TEMT;
  #msr = MSR_IDLE;
  #scr = 0;
  #divisor = RESET_DIVISOR;
  #thrPending = false;
  #timeoutPending = false;
  #timeout: ScheduledEvent | null = null;

  /** The sink must not access the UART. */
  constructor(clock: Clock, irq: InterruptLine, sink: ByteSink) {
    this.#clock = clock;
    this.#irq = irq;
    this.#sink = sink;
  }

  read(offset: number): number {
    switch (offset) {
      case UART_RBR_THR:
        return this.#lcr & LCR_DLAB ? this.#divisor & 0xff : this.#readRbr();
      case UART_IER:
        return this.#lcr & LCR_DLAB ? this.#divisor >> 8 : this.#ier;
      case UART_IIR_FCR:
        return this.#readIir();
      case UART_LCR:
        return this.#lcr;
      case UART_MCR:
        return this.#mcr;
      case UART_LSR:
        return this.#readLsr();
      case UART_MSR:
        return this.#readMsr();
      default:
        return this.#scr;
    }
  }

  readU64(offset: number): bigint {
    return BigInt(this.read(offset));
  }

  write(offset: number, _width: 1 | 2 | 4, value: number): void {
    const byte = value & 0xff;
    switch (offset) {
      case UART_RBR_THR:
        if (this.#lcr & LCR_DLAB) this.#divisor = (this.#divisor & 0xff00) | byte;
        else this.#writeThr(byte);
        break;
      case UART_IER:
        if (this.#lcr & LCR_DLAB) this.#divisor = (this.#divisor & 0x00ff) | (byte << 8);
        else this.#writeIer(byte & IER_MASK);
        break;
      case UART_IIR_FCR:
        this.#writeFcr(byte);
        break;
      case UART_LCR:
        this.#lcr = byte;
        break;
      case UART_MCR:
        this.#mcr = byte & MCR_MASK;
        break;
      case UART_LSR:
      case UART_MSR:
        break;
      default:
        this.#scr = byte;
    }
  }

  writeU64(offset: number, value: bigint): void {
    this.write(offset, 1, Number(value & 0xffn));
  }

  /** Same as one THR write per byte, in order. A string counts as one byte per UTF-16 unit (its low 8 bits). */
  transmit(data: Uint8Array | string): void {
    if (data.length === 0) return;
    const plain = this.#ier === 0 && (this.#lcr & LCR_DLAB) === 0 && (this.#mcr & MCR_LOOP) === 0;
    if (!plain) {
      for (let i = 0; i < data.length; i++) this.write(UART_RBR_THR, 1, byteAt(data, i));
      return;
    }
    const sink = this.#sink;
    for (let i = 0; i < data.length; i++) sink(byteAt(data, i));
  }

  /** How many bytes {@link receive} takes before it overruns. */
  get receiveRoom(): number {
    if (this.#fcr & FCR_FE) return RX_FIFO_DEPTH - this.#rxCount;
    return this.#lsr & LSR_DR ? 0 : 1;
  }

  /** A byte arrives on the line. Without room LSR.OE is set: a full FIFO keeps what it has, a lone RBR is overwritten. */
  receive(byte: number): void {
    if (this.#fcr & FCR_FE) {
      if (this.#rxCount < RX_FIFO_DEPTH) {
        this.#rxFifo[(this.#rxHead + this.#rxCount) % RX_FIFO_DEPTH] = byte;
        this.#rxCount += 1;
      } else {
        this.#lsr |= LSR_OE;
      }
      this.#lsr |= LSR_DR;
      this.#restartTimeout();
    } else {
      if (this.#lsr & LSR_DR) this.#lsr |= LSR_OE;
      this.#rbr = byte & 0xff;
      this.#lsr |= LSR_DR;
    }
    this.#update();
  }

  #readRbr(): number {
    let byte = this.#rbr;
    if (this.#fcr & FCR_FE) {
      byte = 0;
      if (this.#rxCount > 0) {
        byte = this.#rxFifo[this.#rxHead] ?? 0;
        this.#rxHead = (this.#rxHead + 1) % RX_FIFO_DEPTH;
        this.#rxCount -= 1;
      }
      this.#timeoutPending = false;
      if (this.#rxCount === 0) this.#lsr &= ~(LSR_DR | LSR_BI);
      else this.#restartTimeout();
    } else {
      this.#lsr &= ~(LSR_DR | LSR_BI);
    }
    this.#update();
    return byte;
  }

  #readIir(): number {
    const iir = this.#iir;
    if ((iir & 0x0f) === IIR_THRI) {
      this.#thrPending = false;
      this.#update();
    }
    return iir;
  }

  #readLsr(): number {
    const lsr = this.#lsr;
    if (lsr & (LSR_BI | LSR_OE)) {
      this.#lsr &= ~(LSR_BI | LSR_OE);
      this.#update();
    }
    return lsr;
  }

  /** In loopback the modem outputs are wired to the inputs: OUT1, OUT2, RTS, DTR become RI, DCD, CTS, DSR. */
  #readMsr(): number {
    const mcr = this.#mcr;
    if (mcr & MCR_LOOP) return ((mcr & 0x0c) << 4) | ((mcr & 0x02) << 3) | ((mcr & 0x01) << 5);
    const msr = this.#msr;
    if (msr & MSR_ANY_DELTA) {
      this.#msr &= ~MSR_ANY_DELTA;
      this.#update();
    }
    return msr;
  }

  #writeThr(byte: number): void {
    // A write withdraws the THRE interrupt and, as the byte leaves at once, raises it again. While it is masked the
    // cause need not be kept: enabling it finds the THR empty.
    if (this.#ier & IER_THRI) {
      this.#thrPending = false;
      this.#update();
      this.#thrPending = true;
    }
    if (this.#mcr & MCR_LOOP) this.receive(byte);
    else this.#sink(byte);
    // With every interrupt masked IIR and the line cannot change, and the OS never unmasks one.
    if (this.#ier !== 0) this.#update();
  }

  #writeIer(ier: number): void {
    const changed = this.#ier ^ ier;
    this.#ier = ier;
    // Enabling THRI with an empty THR interrupts at once, even if an IIR read had taken the cause.
    if (changed & IER_THRI) this.#thrPending = (ier & IER_THRI) !== 0;
    if (changed) this.#update();
  }

  #writeFcr(value: number): void {
    const toggled = ((value ^ this.#fcr) & FCR_FE) !== 0;
    if (toggled || value & FCR_RFR) {
      this.#lsr &= ~(LSR_DR | LSR_BI);
      this.#cancelTimeout();
      this.#timeoutPending = false;
      this.#rxCount = 0;
    }
    if (toggled || value & FCR_XFR) this.#thrPending = true;
    this.#fcr = value & FCR_STORED;
    this.#update();
  }

  /** Recomputes IIR by priority and drives the line. */
  #update(): void {
    const ier = this.#ier;
    let id = IIR_NO_INT;
    if (ier & IER_RLSI && this.#lsr & LSR_INT_ANY) id = IIR_RLSI;
    else if (ier & IER_RDI && this.#timeoutPending) id = IIR_CTI;
    else if (ier & IER_RDI && this.#receiveReady()) id = IIR_RDI;
    else if (ier & IER_THRI && this.#thrPending) id = IIR_THRI;
    else if (ier & IER_MSI && this.#msr & MSR_ANY_DELTA) id = IIR_MSI;
    this.#iir = id | (this.#fcr & FCR_FE ? IIR_FIFO_ON : 0);
    this.#irq.set(id !== IIR_NO_INT);
  }

  #receiveReady(): boolean {
    if ((this.#lsr & LSR_DR) === 0) return false;
    return (this.#fcr & FCR_FE) === 0 || this.#rxCount >= (TRIGGER_LEVELS[(this.#fcr >> 6) & 3] ?? 1);
  }

  #restartTimeout(): void {
    this.#cancelTimeout();
    this.#timeout = this.#clock.schedule(this.#clock.now + TIMEOUT_CHARS * this.#characterTime(), () => {
      this.#timeout = null;
      if (this.#rxCount === 0) return;
      this.#timeoutPending = true;
      this.#update();
    });
  }

  #cancelTimeout(): void {
    if (this.#timeout) this.#clock.cancel(this.#timeout);
    this.#timeout = null;
  }

  /** ns of one character: start bit, data, parity and stop bits at the programmed rate. */
  #characterTime(): number {
    const bits = 1 + 5 + (this.#lcr & 3) + (this.#lcr & LCR_PARITY ? 1 : 0) + (this.#lcr & LCR_STOP ? 2 : 1);
    return Math.floor((bits * 16 * Math.max(this.#divisor, 1) * 1e9) / INPUT_CLOCK_HZ);
  }
}

function byteAt(data: Uint8Array | string, index: number): number {
  return typeof data === 'string' ? data.charCodeAt(index) & 0xff : (data[index] ?? 0);
}
