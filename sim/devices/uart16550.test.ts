import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bus } from '../bus.ts';
import { Clock } from '../clock.ts';
import { Ram } from '../ram.ts';
import {
  RX_FIFO_DEPTH,
  UART_IER,
  UART_IIR_FCR,
  UART_LCR,
  UART_LSR,
  UART_MCR,
  UART_MSR,
  UART_RBR_THR,
  UART_SCR,
  Uart16550,
} from './uart16550.ts';

interface Rig {
  readonly uart: Uart16550;
  readonly clock: Clock;
  readonly out: number[];
  readonly irq: { level: boolean; readonly calls: boolean[] };
  get(offset: number): number;
  set(offset: number, value: number): void;
}

function rig(): Rig {
  const clock = new Clock();
  const out: number[] = [];
  const irq = { level: false, calls: new Array<boolean>() };
  const set = (level: boolean): void => {
    irq.level = level;
    irq.calls.push(level);
  };
  const uart = new Uart16550(clock, { set }, (byte) => out.push(byte));
  return {
    uart,
    clock,
    out,
    irq,
    get: (offset) => uart.read(offset),
    set: (offset, value) => uart.write(offset, 1, value),
  };
}

const ALL = [UART_RBR_THR, UART_IER, UART_IIR_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR];

describe('registers (sheet 05, section 6)', () => {
  it('reset values', () => {
    const { get } = rig();
    expect(ALL.map(get)).toEqual([0x00, 0x00, 0x01, 0x00, 0x08, 0x60, 0xb0, 0x00]);
  });

  it('the firmware set-up gives the values at S-mode entry (section 3.2)', () => {
    const { get, set } = rig();
    set(UART_IER, 0);
    set(UART_LCR, 0x80);
    set(UART_RBR_THR, 2);
    set(UART_IER, 0);
    set(UART_LCR, 3);
    set(UART_IIR_FCR, 1);
    set(UART_MCR, 0);
    set(UART_SCR, 0);
    expect(ALL.slice(1).map(get)).toEqual([0x00, 0xc1, 0x03, 0x00, 0x60, 0xb0, 0x00]);
    set(UART_LCR, 0x83);
    expect([get(0), get(1)]).toEqual([2, 0]);
  });

  it('IER keeps bits 0 to 3, MCR bits 0 to 4, LCR and SCR all; LSR and MSR ignore writes', () => {
    const { get, set } = rig();
    for (const offset of [UART_IER, UART_MCR, UART_SCR, UART_LSR]) set(offset, 0xff);
    expect([get(UART_IER), get(UART_MCR), get(UART_SCR), get(UART_LSR)]).toEqual([0x0f, 0x1f, 0xff, 0x60]);
    set(UART_MCR, 0);
    set(UART_MSR, 0xff);
    expect(get(UART_MSR)).toBe(0xb0);
    set(UART_LCR, 0xff);
    expect(get(UART_LCR)).toBe(0xff);
  });

  it('DLAB turns offsets 0 and 1 into the divisor and leaves the others', () => {
    const { get, set, out } = rig();
    set(UART_IER, 0x05);
    set(UART_LCR, 0x80);
    set(UART_RBR_THR, 0x34);
    set(UART_IER, 0x12);
    set(UART_SCR, 0x77);
    expect([get(UART_RBR_THR), get(UART_IER), get(UART_SCR), get(UART_LSR)]).toEqual([0x34, 0x12, 0x77, 0x60]);
    set(UART_IIR_FCR, 0x01);
    expect(get(UART_IIR_FCR) & 0xc0).toBe(0xc0);
    set(UART_LCR, 0x00);
    expect([get(UART_RBR_THR), get(UART_IER)]).toEqual([0, 0x05]);
    expect(out).toEqual([]);
  });

  it('every width acts on the one register at the start offset', () => {
    const { uart, out } = rig();
    const bus = new Bus(new Ram(0x8000_0000, 0x1000), [{ base: 0x1000_0000, size: 8, device: uart }]);
    bus.write(0x1000_0000, 4, 0x1122_3341);
    bus.write(0x1000_0000, 2, 0x5542);
    bus.writeU64(0x1000_0000, 0x99_0000_0043n);
    bus.write(0x1000_0007, 4, 0xaabb_cc5a);
    expect(out).toEqual([0x41, 0x42, 0x43]);
    expect(bus.read(0x1000_0005, 1)).toBe(0x60);
    expect(bus.read(0x1000_0005, 2)).toBe(0x60);
    expect(bus.read(0x1000_0004, 4)).toBe(0x08);
    expect(bus.readU64(0x1000_0000)).toBe(0n);
    expect(bus.readU64(0x1000_0007)).toBe(0x5an);
    expect(bus.read(0x1000_0008, 1)).toBe(-1);
  });
});

describe('transmission', () => {
  it('is synchronous: the byte is out and LSR reads 60 again at once', () => {
    const { get, set, out } = rig();
    for (const byte of [0x48, 0x00, 0xff]) {
      set(UART_RBR_THR, byte);
      expect(get(UART_LSR)).toBe(0x60);
    }
    expect(out).toEqual([0x48, 0x00, 0xff]);
  });

  it('THRE interrupts when enabled, reading IIR takes it, the next write raises it again', () => {
    const { get, set, irq } = rig();
    set(UART_RBR_THR, 0x41);
    expect([get(UART_IIR_FCR), irq.level]).toEqual([0x01, false]);
    set(UART_IER, 0x02);
    expect(irq.level).toBe(true);
    expect([get(UART_IIR_FCR), irq.level]).toEqual([0x02, false]);
    expect(get(UART_IIR_FCR)).toBe(0x01);
    set(UART_RBR_THR, 0x42);
    expect(irq.level).toBe(true);
    expect(get(UART_IIR_FCR)).toBe(0x02);
    set(UART_IER, 0x00);
    set(UART_IER, 0x02);
    expect(get(UART_IIR_FCR)).toBe(0x02);
    set(UART_IER, 0x00);
    expect(irq.level).toBe(false);
  });

  it('a cause that IIR has taken stays taken when IER is written without enabling THRE anew', () => {
    const { get, set } = rig();
    set(UART_IER, 0x02);
    get(UART_IIR_FCR);
    set(UART_IER, 0x03);
    expect(get(UART_IIR_FCR)).toBe(0x01);
  });

  it('transmit equals that many THR writes, in every state of the device', () => {
    const write = fc.record({ offset: fc.constantFrom(1, 2, 3, 4), value: fc.nat(255) });
    fc.assert(
      fc.property(
        fc.array(write, { maxLength: 6 }),
        fc.uint8Array({ maxLength: 24 }),
        fc.boolean(),
        (setup, data, text) => {
          const bulk = rig();
          const single = rig();
          for (const { offset, value } of setup) {
            bulk.set(offset, value);
            single.set(offset, value);
          }
          bulk.uart.transmit(text ? String.fromCharCode(...data) : data);
          for (const byte of data) single.set(UART_RBR_THR, byte);
          const state = (side: Rig): unknown => [side.out, ...ALL.map(side.get), side.irq.calls];
          expect(state(bulk)).toEqual(state(single));
          for (const side of [bulk, single]) {
            side.set(UART_LCR, 0);
            side.set(UART_IER, 0x0f);
          }
          expect(state(bulk)).toEqual(state(single));
        },
      ),
      { seed: 20240, numRuns: 300 },
    );
  });
});

describe('loopback', () => {
  it('a written byte appears in RBR, LSR goes 61 and 60, nothing is output', () => {
    const { get, set, out } = rig();
    set(UART_MCR, 0x10);
    set(UART_RBR_THR, 0x5a);
    expect(get(UART_LSR)).toBe(0x61);
    expect(get(UART_RBR_THR)).toBe(0x5a);
    expect(get(UART_LSR)).toBe(0x60);
    expect(out).toEqual([]);
  });

  it('MSR mirrors MCR', () => {
    const { get, set } = rig();
    const mirror = (mcr: number): number => {
      set(UART_MCR, mcr);
      return get(UART_MSR);
    };
    expect(mirror(0xff)).toBe(0xf0);
    expect([0x10, 0x11, 0x12, 0x14, 0x18].map(mirror)).toEqual([0x00, 0x20, 0x10, 0x40, 0x80]);
    expect(mirror(0x0f)).toBe(0xb0);
  });
});

describe('reception', () => {
  it('without FIFO: one byte, an overrun replaces it and sets OE until LSR is read', () => {
    const { uart, get } = rig();
    expect(uart.receiveRoom).toBe(1);
    uart.receive(0x41);
    expect(uart.receiveRoom).toBe(0);
    expect(get(UART_LSR)).toBe(0x61);
    uart.receive(0x42);
    expect(get(UART_LSR)).toBe(0x63);
    expect(get(UART_LSR)).toBe(0x61);
    expect(get(UART_RBR_THR)).toBe(0x42);
    expect(get(UART_LSR)).toBe(0x60);
  });

  it('with FIFO: 16 bytes in order, an overrun keeps them and sets OE; an empty FIFO reads 00', () => {
    const { uart, get, set } = rig();
    set(UART_IIR_FCR, 0x01);
    expect(uart.receiveRoom).toBe(RX_FIFO_DEPTH);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 17; i++) uart.receive(round * 32 + i);
      expect(get(UART_LSR)).toBe(0x63);
      for (let i = 0; i < 16; i++) expect(get(UART_RBR_THR)).toBe(round * 32 + i);
      expect(get(UART_LSR)).toBe(0x60);
      expect(get(UART_RBR_THR)).toBe(0);
    }
  });

  it('switching the FIFO, and FCR bit 1, throw received bytes away', () => {
    const { uart, get, set } = rig();
    set(UART_IIR_FCR, 0x01);
    uart.receive(1);
    set(UART_IIR_FCR, 0x03);
    expect([get(UART_LSR), get(UART_RBR_THR)]).toEqual([0x60, 0]);
    uart.receive(2);
    set(UART_IIR_FCR, 0x05);
    expect(get(UART_LSR)).toBe(0x61);
    set(UART_IIR_FCR, 0x00);
    expect(get(UART_LSR)).toBe(0x60);
    expect(get(UART_IIR_FCR)).toBe(0x01);
  });

  it.each([
    [0x01, 1],
    [0x41, 4],
    [0x81, 8],
    [0xc1, 14],
  ])('FCR %i interrupts from its trigger level on', (fcr, level) => {
    const { uart, get, set, irq } = rig();
    set(UART_IIR_FCR, fcr);
    set(UART_IER, 0x01);
    for (let i = 1; i < level; i++) uart.receive(i);
    expect([irq.level, get(UART_IIR_FCR)]).toEqual([false, 0xc1]);
    uart.receive(level);
    expect([irq.level, get(UART_IIR_FCR)]).toEqual([true, 0xc4]);
    get(UART_RBR_THR);
    expect(irq.level).toBe(false);
  });

  it('a FIFO below its level reports a timeout after four character times; a read takes it', () => {
    const { uart, clock, get, set, irq } = rig();
    set(UART_LCR, 0x80);
    set(UART_RBR_THR, 2);
    set(UART_IER, 0);
    set(UART_LCR, 0x03);
    set(UART_IIR_FCR, 0x41);
    set(UART_IER, 0x01);
    uart.receive(1);
    uart.receive(2);
    // 10 bits at 115200 baud are 86.8 us.
    clock.advance(347_000);
    clock.runDue();
    expect(irq.level).toBe(false);
    clock.advance(1000);
    clock.runDue();
    expect([irq.level, get(UART_IIR_FCR)]).toEqual([true, 0xcc]);
    get(UART_RBR_THR);
    expect([irq.level, get(UART_IIR_FCR)]).toEqual([false, 0xc1]);
    clock.advance(348_000);
    clock.runDue();
    expect(get(UART_IIR_FCR)).toBe(0xcc);
    get(UART_RBR_THR);
    clock.advance(348_000);
    clock.runDue();
    expect(irq.level).toBe(false);
    expect(clock.pending).toBe(0);
  });

  it('line status comes before received data, received data before THRE', () => {
    const { uart, get, set } = rig();
    set(UART_IER, 0x07);
    uart.receive(1);
    uart.receive(2);
    expect(get(UART_IIR_FCR)).toBe(0x06);
    get(UART_LSR);
    expect(get(UART_IIR_FCR)).toBe(0x04);
    get(UART_RBR_THR);
    expect(get(UART_IIR_FCR)).toBe(0x02);
    expect(get(UART_IIR_FCR)).toBe(0x01);
  });
});
