import { describe, expect, it } from 'vitest';
import { TWO_NODE_BOARD, VIRT_BOARD, assignSlots, buildBoard } from './board.ts';
import type { Board, BoardParts } from './board.ts';
import { BUS_FAULT } from './bus.ts';
import { Clock } from './clock.ts';
import type { FinisherRequest } from './devices/finisher.ts';
import { MEIP, MTIP, SEIP } from './hart-inputs.ts';
import type { TraceEvent } from './trace.ts';
import type { VirtioContext } from './virtio/mmio-transport.ts';

const build = (parts: Partial<BoardParts> = {}): Board => buildBoard(VIRT_BOARD, { virtio: [], ...parts });

describe('memory map (sheet 05, section 2)', () => {
  const { bus } = build();

  const faults: readonly [string, number][] = [
    ['debug window', 0x0],
    ['below the mask ROM', 0xfff],
    ['behind the mask ROM', 0x1_0000],
    ['unbacked low memory', 0x5_0000],
    ['rest of the RTC page', 0x10_1024],
    ['platform bus', 0x400_0000],
    ['behind the PLIC', 0xc60_0000],
    ['rest of the UART page', 0x1000_0008],
    ['virtio slot 0 beyond its window', 0x1000_1200],
    ['virtio slot 7 beyond its window', 0x1000_8ffc],
    ['behind the last virtio slot', 0x1000_9000],
    ['behind fw_cfg', 0x1010_0018],
    ['behind RAM', 0x9090_0000],
    ['behind the high PCIe window', 0x8_0000_0000],
  ];
  it.each(faults)('%s is an access fault', (_, address) => {
    expect(bus.read(address, 4)).toBe(BUS_FAULT);
    expect(bus.fault).toMatchObject({ cause: 'unmapped', address, write: false });
    expect(bus.write(address, 4, 0)).toBe(false);
    expect(bus.fault).toMatchObject({ cause: 'unmapped', address, write: true });
  });

  const reads: readonly [string, number, number][] = [
    ['reset vector', 0x1000, 0x297],
    ['host bridge', 0x3000_0000, 0x0008_1b36],
    ['absent PCIe function', 0x3000_8000, 0xffff_ffff],
    ['PCIe PIO', 0x300_0000, 0xffff_ffff],
    ['PCIe MMIO', 0x4000_0000, 0xffff_ffff],
    ['last word of PCIe MMIO', 0x7fff_fffc, 0xffff_ffff],
    ['high PCIe MMIO', 0x7_ffff_fffc, 0xffff_ffff],
    ['flash 0', 0x2000_0000, 0],
    ['flash 1', 0x23ff_fffc, 0],
    ['first word of RAM', 0x8000_0000, 0],
    ['last word of RAM', 0x908f_fffc, 0],
    ['last PLIC word', 0xc5f_fffc, 0],
  ];
  it.each(reads)('%s reads its value', (_, address, value) => {
    expect(bus.read(address, 4)).toBe(value);
  });

  it('narrow reads of the all-ones windows give ones of their size', () => {
    expect(bus.read(0x4000_0001, 1)).toBe(0xff);
    expect(bus.read(0x4000_0002, 2)).toBe(0xffff);
    expect(bus.readU64(0x4000_0000)).toBe(0xffff_ffff_ffff_ffffn);
    expect(bus.readU64(0x3000_8000)).toBe(0xffff_ffff_ffff_ffffn);
    expect(bus.read(0x3000_0002, 2)).toBe(0x8);
  });

  it('an access that runs over the end of RAM faults at the end', () => {
    expect(bus.read64(0x908f_fffc)).toBe(BUS_FAULT);
    expect(bus.fault).toMatchObject({ cause: 'unmapped', address: 0x9090_0000, width: 8 });
    expect(bus.write(0x908f_ffff, 2, 0xffff)).toBe(false);
    expect(bus.read(0x908f_ffff, 1)).toBe(0);
  });

  it('the mask ROM holds the reset vector and the firmware block, and ignores writes (section 3.1)', () => {
    const words = [0x297, 0x0282_8613, 0xf140_2573, 0x0202_b583, 0x0182_b283, 0x0002_8067];
    expect(words.map((_, i) => bus.read(0x1000 + 4 * i, 4))).toEqual(words);
    const dwords = [0x8000_0000n, 0x9080_0000n, 0x4942_534fn, 2n, 0x8020_0000n, 1n, 0n, 0n];
    expect(dwords.map((_, i) => bus.readU64(0x1018 + 8 * i))).toEqual(dwords);
    expect(bus.write(0x1000, 4, 0)).toBe(true);
    expect(bus.read(0x1000, 4)).toBe(0x297);
    expect(bus.read(0x1001, 2)).toBe(0x0002);
  });
});

describe('virtio slots (section 10)', () => {
  it('the first device of the command line gets the highest slot', () => {
    expect(VIRT_BOARD.virtio.slots).toEqual(['empty', 'empty', 'empty', 'empty', 'empty', 'blk', 'rng', 'net']);
    expect(TWO_NODE_BOARD.virtio.slots.slice(5)).toEqual(['net', 'rng', 'blk']);
    expect(assignSlots([])).toEqual(Array(8).fill('empty'));
  });

  it('an empty slot identifies itself with device id 0 and ignores everything else', () => {
    const { bus } = build();
    const base = 0x1000_1000;
    expect(bus.read(base, 4)).toBe(0x7472_6976);
    expect(bus.readU64(base)).toBe(0x2_7472_6976n);
    expect(bus.read(base + 8, 4)).toBe(0);
    expect(bus.read(base + 0xc, 4)).toBe(0x554d_4551);
    expect(bus.read(base, 2)).toBe(0);
    expect(bus.read(base + 0x34, 4)).toBe(0);
    expect(bus.write(base + 0x70, 4, 1)).toBe(true);
    expect(bus.read(base + 0x70, 4)).toBe(0);
    expect(bus.read(base + 0xb0, 4)).toBe(0);
    expect(bus.read(base + 0x100, 1)).toBe(0);
  });

  it('a device is reachable in its slot, sees RAM and interrupts source 1 + slot', () => {
    let context: VirtioContext | undefined;
    const writes: number[][] = [];
    const board = build({
      virtio: [
        {
          slot: 6,
          create: (given) => {
            context = given;
            return {
              name: 'probe',
              read: (offset) => offset,
              write: (offset, width, value) => void writes.push([offset, width, value]),
            };
          },
        },
      ],
    });
    expect(board.bus.read(0x1000_7044, 4)).toBe(0x44);
    expect(board.bus.writeU64(0x1000_7080, 0x1_0000_0002n)).toBe(true);
    expect(writes).toEqual([
      [0x80, 4, 2],
      [0x84, 4, 1],
    ]);
    context?.memory.writeU32(board.ram.base + 0x100, 0x1234_5678);
    expect(board.ram.readU32(board.ram.base + 0x100)).toBe(0x1234_5678);
    expect(board.ram.untouchedFrom).toBe(board.ram.base + 0x104);
    context?.irq.set(true);
    expect(board.bus.read(0xc00_1000, 4)).toBe(1 << 7);
  });

  it('refuses a slot that does not exist and one that is given twice', () => {
    const create = (): never => {
      throw new Error('not reached');
    };
    expect(() => build({ virtio: [{ slot: 8, create }] })).toThrow('no virtio slot 8');
    const probe = { slot: 1, create };
    expect(() => build({ virtio: [probe, probe] })).toThrow('given twice');
  });
});

describe('wiring', () => {
  it('the UART feeds the sink and the line view, and interrupts source 10', () => {
    const bytes: number[] = [];
    const board = build({ uartSink: (byte) => bytes.push(byte) });
    const lines: string[] = [];
    board.uartLines.listen((line) => lines.push(`${line.text}|${line.ending}`));
    for (const byte of [0x68, 0x69, 0x0d, 0x0a]) board.bus.write(0x1000_0000, 1, byte);
    expect(bytes).toEqual([0x68, 0x69, 0x0d, 0x0a]);
    expect(lines).toEqual(['hi|crlf']);
    board.bus.write(0x1000_0001, 1, 0x02);
    expect(board.bus.read(0xc00_1000, 4)).toBe(1 << 10);
  });

  it('the RTC alarm interrupts source 11', () => {
    const board = build();
    board.bus.write(0x10_1010, 4, 1);
    board.bus.write(0x10_1008, 4, 0);
    expect(board.bus.read(0xc00_1000, 4)).toBe(1 << 11);
  });

  it('the PLIC drives MEIP and SEIP, the timer MTIP, of the right hart', () => {
    const board = buildBoard({ ...VIRT_BOARD, harts: 2 }, { virtio: [] });
    expect(board.harts.map((hart) => hart.pending)).toEqual([1 << MTIP, 1 << MTIP]);
    board.bus.writeU64(0x200_4000, 50n);
    board.bus.writeU64(0x200_4008, 50n);
    expect(board.harts.map((hart) => hart.pending)).toEqual([0, 0]);
    board.bus.write(0xc00_0028, 4, 1);
    board.bus.write(0xc00_2000 + 0x80 * 3, 4, 1 << 10);
    board.bus.write(0x1000_0001, 1, 0x02);
    expect(board.harts.map((hart) => hart.pending)).toEqual([0, 1 << SEIP]);
    board.bus.write(0xc00_2000, 4, 1 << 10);
    board.bus.write(0xc00_0028, 4, 1);
    expect(board.harts.map((hart) => hart.pending)).toEqual([1 << MEIP, 1 << SEIP]);
    board.clock.advance(5000);
    board.clock.runDue();
    expect(board.harts[1]?.pending).toBe((1 << SEIP) | (1 << MTIP));
  });

  it('software interrupts reach MSIP and SSIP; SSIP stays until the hart clears it', () => {
    const board = buildBoard({ ...VIRT_BOARD, harts: 2 }, { virtio: [] });
    board.bus.writeU64(0x200_4008, 50n);
    board.bus.write(0x200_0004, 4, 1);
    board.bus.write(0x2f0_0004, 4, 1);
    expect(board.harts[1]?.pending).toBe((1 << 3) | (1 << 1));
    board.bus.write(0x200_0004, 4, 0);
    board.bus.write(0x2f0_0004, 4, 0);
    expect(board.harts[1]?.pending).toBe(1 << 1);
    board.harts[1]?.clear(1);
    expect(board.harts[1]?.pending).toBe(0);
  });

  it('the finisher reports to the owner', () => {
    const seen: FinisherRequest[] = [];
    const board = build({ onFinish: (request) => seen.push(request) });
    board.bus.write(0x10_0000, 4, 0x002a_3333);
    expect(seen).toEqual([{ kind: 'exit', status: 42 }]);
  });

  it('two boards share nothing but a clock that both were given', () => {
    const clock = new Clock();
    const a = build({ clock });
    const b = build({ clock });
    const events: TraceEvent[] = [];
    a.trace.listen((event) => events.push(event));
    a.bus.write(0x8000_0000, 4, 0x1234_5678);
    a.bus.write(0x1000_0007, 1, 0x5a);
    a.bus.write(0xc00_0004, 4, 7);
    b.uart.transmit('b\n');
    expect(b.bus.read(0x8000_0000, 4)).toBe(0);
    expect(b.bus.read(0x1000_0007, 1)).toBe(0);
    expect(b.bus.read(0xc00_0004, 4)).toBe(0);
    expect(events).toEqual([]);
    expect(a.clock).toBe(b.clock);
    expect(build().clock).not.toBe(build().clock);
  });

  it('asserts the number of harts', () => {
    expect(() => buildBoard({ ...VIRT_BOARD, harts: 0 }, { virtio: [] })).toThrow('1 to 4 harts');
    expect(() => buildBoard({ ...VIRT_BOARD, harts: 5 }, { virtio: [] })).toThrow('1 to 4 harts');
  });
});
