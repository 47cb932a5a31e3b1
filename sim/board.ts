/**
 * The `virt` board as data, and the function that turns a description into a machine (sheet 05, sections 1.1, 2, 3.1
 * and 10). Nothing else in the house knows an address or an interrupt number of the board.
 */
import { assert, unreachable } from './assert.ts';
import { Bus } from './bus.ts';
import type { BusDevice, BusWindow } from './bus.ts';
import { Clock } from './clock.ts';
import { Mswi, Mtimer, Sswi } from './devices/aclint.ts';
import { ConstantWindow } from './devices/constant-window.ts';
import { Finisher } from './devices/finisher.ts';
import type { FinisherRequest } from './devices/finisher.ts';
import { FwCfg } from './devices/fw-cfg.ts';
import { GoldfishRtc } from './devices/goldfish-rtc.ts';
import { MaskRom } from './devices/mask-rom.ts';
import type { ResetAddresses } from './devices/mask-rom.ts';
import { PcieEcam } from './devices/pcie-ecam.ts';
import { Plic } from './devices/plic.ts';
import { Uart16550 } from './devices/uart16550.ts';
import type { ByteSink } from './devices/uart16550.ts';
import { EmptyVirtioSlot } from './devices/virtio-empty.ts';
import { HartInputs, MEIP, MSIP, MTIP, SEIP, SSIP } from './hart-inputs.ts';
import type { MmioDevice } from './memory.ts';
import { DeviceMemory, Ram } from './ram.ts';
import type { BufferSource } from './ram.ts';
import { Trace } from './trace.ts';
import { UartLines } from './uart-lines.ts';
import type { VirtioContext } from './virtio/mmio-transport.ts';

/** Devices that are always there; what each is stands in its file. Windows of several kinds may occur more than once. */
export type WindowKind =
  | 'mask-rom'
  | 'finisher'
  | 'rtc'
  | 'mswi'
  | 'mtimer'
  | 'sswi'
  | 'plic'
  | 'uart'
  | 'fw-cfg'
  | 'pcie-ecam'
  | 'reads-ones'
  | 'reads-zero';

/** One window: guest-physical base, size in bytes, PLIC source of its device (0: none). */
export interface WindowDescription {
  readonly kind: WindowKind;
  readonly name: string;
  readonly base: number;
  readonly size: number;
  readonly irq: number;
}

/** What a virtio-mmio slot holds. */
export type VirtioKind = 'net' | 'blk' | 'rng' | 'empty';

/** The virtio-mmio transports: slot s is at base + s * stride and interrupts source firstIrq + s. */
export interface VirtioDescription {
  readonly base: number;
  readonly stride: number;
  /** Bytes of each stride that are registers; the rest is unmapped. */
  readonly size: number;
  readonly firstIrq: number;
  /** Index is the slot. */
  readonly slots: readonly VirtioKind[];
}

/** A whole board. Plain data: derive variants by spreading. */
export interface BoardDescription {
  readonly name: string;
  readonly ram: { readonly base: number; readonly size: number };
  /** Number of harts, 1..{@link MAX_HARTS}. */
  readonly harts: number;
  /** Unix time at power-on in seconds, as the RTC tells it. */
  readonly rtcEpochSeconds: number;
  readonly reset: ResetAddresses;
  readonly windows: readonly WindowDescription[];
  readonly virtio: VirtioDescription;
}

/** Harts the OS supports (section 1.1). */
export const MAX_HARTS = 4;
/** virtio-mmio slots of the board (section 10.1). */
export const VIRTIO_SLOTS = 8;

/** Slots for devices in command-line order: the first gets the highest slot, the next the one below (section 10.2). */
export function assignSlots(order: readonly VirtioKind[]): readonly VirtioKind[] {
  assert(order.length <= VIRTIO_SLOTS, 'more virtio devices than slots');
  return Array.from({ length: VIRTIO_SLOTS }, (_, slot) => order[VIRTIO_SLOTS - 1 - slot] ?? 'empty');
}

/** The reference's machine: `-machine virt,aclint=on -m 265M`, one hart, net, rng and blk. */
export const VIRT_BOARD: BoardDescription = {
  name: 'virt',
  ram: { base: 0x8000_0000, size: 0x1090_0000 },
  harts: 1,
  rtcEpochSeconds: 1_767_225_600,
  reset: { firmware: 0x8000_0000, deviceTree: 0x9080_0000, kernel: 0x8020_0000 },
  windows: [
    { kind: 'mask-rom', name: 'mask-rom', base: 0x1000, size: 0xf000, irq: 0 },
    { kind: 'finisher', name: 'finisher', base: 0x10_0000, size: 0x1000, irq: 0 },
    { kind: 'rtc', name: 'rtc', base: 0x10_1000, size: 0x24, irq: 11 },
    { kind: 'mswi', name: 'mswi', base: 0x200_0000, size: 0x4000, irq: 0 },
    { kind: 'mtimer', name: 'mtimer', base: 0x200_4000, size: 0x8000, irq: 0 },
    { kind: 'sswi', name: 'sswi', base: 0x2f0_0000, size: 0x4000, irq: 0 },
    { kind: 'reads-ones', name: 'pcie-pio', base: 0x300_0000, size: 0x1_0000, irq: 0 },
    { kind: 'plic', name: 'plic', base: 0xc00_0000, size: 0x60_0000, irq: 0 },
    { kind: 'uart', name: 'uart', base: 0x1000_0000, size: 8, irq: 10 },
    { kind: 'fw-cfg', name: 'fw-cfg', base: 0x1010_0000, size: 0x18, irq: 0 },
    { kind: 'reads-zero', name: 'flash0', base: 0x2000_0000, size: 0x200_0000, irq: 0 },
    { kind: 'reads-zero', name: 'flash1', base: 0x2200_0000, size: 0x200_0000, irq: 0 },
    { kind: 'pcie-ecam', name: 'pcie-ecam', base: 0x3000_0000, size: 0x1000_0000, irq: 0 },
    { kind: 'reads-ones', name: 'pcie-mmio', base: 0x4000_0000, size: 0x4000_0000, irq: 0 },
    { kind: 'reads-ones', name: 'pcie-mmio-high', base: 0x4_0000_0000, size: 0x4_0000_0000, irq: 0 },
  ],
  virtio: {
    base: 0x1000_1000,
    stride: 0x1000,
    size: 0x200,
    firstIrq: 1,
    slots: assignSlots(['net', 'rng', 'blk']),
  },
};

/** One machine of the two-VM harness: the same board with its devices in the harness's order (section 10.2). */
export const TWO_NODE_BOARD: BoardDescription = {
  ...VIRT_BOARD,
  name: 'virt-two-node',
  virtio: { ...VIRT_BOARD.virtio, slots: assignSlots(['blk', 'rng', 'net']) },
};

/** Makes the device of one slot. */
export interface VirtioFactory {
  readonly slot: number;
  create(context: VirtioContext): MmioDevice;
}

/** What the owner of a machine supplies. */
export interface BoardParts {
  /** The clock of a linked machine; without it the board gets its own. */
  readonly clock?: Clock;
  /** Gets every byte that leaves the UART, before the line view does. */
  readonly uartSink?: ByteSink;
  /** The guest ended or reset the machine. A reset is carried out by building the board again. */
  readonly onFinish?: (request: FinisherRequest) => void;
  /** Devices by slot; slots without one are empty. */
  readonly virtio: readonly VirtioFactory[];
  /** What the RAM's bytes lie in, where that is not the engine's matter alone. */
  readonly ramBuffer?: BufferSource | undefined;
}

/** A machine without its hart. */
export interface Board {
  readonly description: BoardDescription;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly ram: Ram;
  readonly bus: Bus;
  /** Interrupt inputs by hart. */
  readonly harts: readonly HartInputs[];
  readonly plic: Plic;
  readonly mtimer: Mtimer;
  readonly mswi: Mswi;
  readonly sswi: Sswi;
  readonly uart: Uart16550;
  readonly uartLines: UartLines;
  readonly rtc: GoldfishRtc;
  readonly finisher: Finisher;
  /** Devices by slot, empty slots included. */
  readonly virtio: readonly MmioDevice[];
}

/** Builds a machine. Two machines share nothing but a clock that both were given. */
export function buildBoard(description: BoardDescription, parts: BoardParts): Board {
  assert(Number.isInteger(description.harts), 'number of harts must be whole');
  assert(description.harts >= 1 && description.harts <= MAX_HARTS, `a board has 1 to ${MAX_HARTS} harts`);
  const clock = parts.clock ?? new Clock();
  const trace = new Trace(clock);
  const ram = new Ram(description.ram.base, description.ram.size, parts.ramBuffer);
  const harts = Array.from({ length: description.harts }, () => new HartInputs());
  const plic = new Plic(
    trace,
    harts.flatMap((hart) => [hart.line(MEIP), hart.line(SEIP)]),
  );
  const mtimer = new Mtimer(
    clock,
    trace,
    harts.map((hart) => hart.line(MTIP)),
  );
  const mswi = new Mswi(
    trace,
    harts.map((hart) => hart.line(MSIP)),
  );
  const sswi = new Sswi(
    trace,
    harts.map((hart) => hart.line(SSIP)),
  );
  const uartLines = new UartLines(trace);
  const uart = new Uart16550(clock, plic.line(irqOf(description, 'uart')), fanOut(uartLines.push, parts.uartSink));
  const rtc = new GoldfishRtc(clock, trace, plic.line(irqOf(description, 'rtc')), description.rtcEpochSeconds);
  const finisher = new Finisher(trace, parts.onFinish ?? ignore);

  const deviceOf = (window: WindowDescription): BusDevice => {
    switch (window.kind) {
      case 'mask-rom':
        return new MaskRom(window.size, description.reset);
      case 'finisher':
        return finisher;
      case 'rtc':
        return rtc;
      case 'mswi':
        return mswi;
      case 'mtimer':
        return mtimer;
      case 'sswi':
        return sswi;
      case 'plic':
        return plic;
      case 'uart':
        return uart;
      case 'fw-cfg':
        return new FwCfg(trace);
      case 'pcie-ecam':
        return new PcieEcam(trace);
      case 'reads-ones':
        return new ConstantWindow(window.name, 0xff);
      case 'reads-zero':
        return new ConstantWindow(window.name, 0x00);
      default:
        return unreachable(window.kind);
    }
  };

  const deviceMemory = new DeviceMemory(ram);
  const virtio = buildVirtio(description.virtio, parts.virtio, (irq) => ({
    memory: deviceMemory,
    irq: plic.line(irq),
    clock,
    trace,
  }));
  const windows: BusWindow[] = description.windows.map((window) => ({
    base: window.base,
    size: window.size,
    device: deviceOf(window),
  }));
  virtio.forEach((device, slot) => {
    const { base, stride, size } = description.virtio;
    windows.push({ base: base + slot * stride, size, device });
  });
  const bus = new Bus(ram, windows);
  return {
    description,
    clock,
    trace,
    ram,
    bus,
    harts,
    plic,
    mtimer,
    mswi,
    sswi,
    uart,
    uartLines,
    rtc,
    finisher,
    virtio,
  };
}

function buildVirtio(
  description: VirtioDescription,
  factories: readonly VirtioFactory[],
  context: (irq: number) => VirtioContext,
): readonly MmioDevice[] {
  const bySlot = new Map<number, VirtioFactory>();
  for (const factory of factories) {
    assert(factory.slot in description.slots, `no virtio slot ${factory.slot}`);
    assert(!bySlot.has(factory.slot), `virtio slot ${factory.slot} given twice`);
    bySlot.set(factory.slot, factory);
  }
  return description.slots.map(
    (_, slot) => bySlot.get(slot)?.create(context(description.firstIrq + slot)) ?? new EmptyVirtioSlot(slot),
  );
}

function irqOf(description: BoardDescription, kind: WindowKind): number {
  const window = description.windows.find((candidate) => candidate.kind === kind);
  assert(window !== undefined, `the board has no ${kind}`);
  return window.irq;
}

function fanOut(lines: ByteSink, sink: ByteSink | undefined): ByteSink {
  if (!sink) return lines;
  return (byte) => {
    sink(byte);
    lines(byte);
  };
}

function ignore(): void {
  // Nobody asked to be told.
}
