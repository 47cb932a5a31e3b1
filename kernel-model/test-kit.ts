/** A kernel with its real memory side for unit tests: RAM, clock, trace and a UART that collects text. */
import { Clock } from '../sim/clock.ts';
import { Ram } from '../sim/ram.ts';
import { Trace } from '../sim/trace.ts';
import type { TraceEvent } from '../sim/trace.ts';
import type { KernelImage, KernelOptions } from './image.ts';
import { Kernel } from './kernel.ts';
import { kernelMemory, memoryOf } from './kernel-memory.ts';
import type { KernelMemory, MemoryOptions } from './kernel-memory.ts';
import { LOW_WINDOW_BASE, REFERENCE_ADDRESSES, VMO_ARENA_END } from './layout.ts';
import type { Program } from './sys.ts';
import { writeElf } from './synthetic-elf.ts';

export const CONTRACT: KernelOptions = {
  loneReceiverEinval: false,
  kselftestUnchecked: false,
  userExceptionFatal: false,
  faultNoWake: false,
};

export const REFERENCE: KernelOptions = {
  loneReceiverEinval: true,
  kselftestUnchecked: true,
  userExceptionFatal: true,
  faultNoWake: true,
};

export interface TestMachine {
  readonly kernel: Kernel;
  readonly memory: KernelMemory;
  readonly ram: Ram;
  readonly events: TraceEvent[];
  /** Everything printed so far, bytes as they came. */
  text: () => string;
  /** The lines printed so far, without newlines. */
  lines: () => string[];
  clear: () => void;
}

export interface TestSetup {
  readonly programs?: Readonly<Record<string, Program>>;
  readonly options?: Partial<KernelOptions>;
  readonly image?: Partial<KernelImage>;
  readonly memory?: Partial<MemoryOptions>;
  readonly boot?: (kernel: Kernel) => Generator<void, void, void>;
}

/** The first task's ELF: the segments of the reference log (sheet 10, end). */
export function testInitElf(program: string): Uint8Array {
  return writeElf({
    entry: 0x1040_0000,
    segments: [
      { vaddr: 0x1040_0000, memsz: 0x1_1bb8, flags: 5, bytes: new Uint8Array([0x13, 0, 0, 0]) },
      { vaddr: 0x1041_1bb8, memsz: 0xe_4b08, flags: 4, bytes: new Uint8Array([1, 2, 3]) },
      { vaddr: 0x104f_66c0, memsz: 0x8_0941, flags: 6, bytes: new Uint8Array([4, 5, 6]) },
    ],
    program,
    sections: [{ name: '.sdata', address: 0x104f_66c0 }],
  });
}

export function testMachine(setup: TestSetup = {}): TestMachine {
  const ram = new Ram(LOW_WINDOW_BASE, VMO_ARENA_END - LOW_WINDOW_BASE);
  const clock = new Clock();
  const trace = new Trace(clock);
  const events: TraceEvent[] = [];
  trace.listen((event) => events.push(event));
  const bytes: number[] = [];
  const image: KernelImage = {
    initElf: testInitElf('init-lite'),
    initName: 'init-lite',
    qosAdministrators: ['execd', 'policyd'],
    programs: new Map(Object.entries(setup.programs ?? {})),
    addresses: REFERENCE_ADDRESSES,
    options: { ...CONTRACT, ...setup.options },
    harts: 1,
    icount: 1,
    skipPolls: true,
    ...setup.image,
  };
  const kernel = new Kernel({
    board: { clock, trace, memory: ram },
    uart: { transmit: (byte) => void bytes.push(byte) },
    image,
    memory: kernelMemory({ bus: null, ...setup.memory }),
    boot: setup.boot ?? null,
  });
  const text = (): string => String.fromCharCode(...bytes);
  return {
    kernel,
    memory: memoryOf(kernel),
    ram,
    events,
    text,
    lines: () => text().split(/\r?\n/).slice(0, -1),
    clear: () => {
      bytes.length = 0;
    },
  };
}

/**
 * Starts a program as the root task: space, bootstrap endpoint in slot 0, factory in slot 1. After its end it waits for a
 * message that never comes (the exit of the last task is a panic).
 */
export function startRoot(machine: TestMachine, program: Program): number {
  const { kernel, memory } = machine;
  const space = memory.spaces.create();
  if (typeof space === 'string') throw new Error(space);
  space.tasks = 1;
  const task = kernel.createTask({
    parent: -1,
    name: 'root',
    serviceId: 0n as never,
    program: function* (sys) {
      yield* program(sys);
      for (;;) yield sys.recv(0, 16);
    },
    addressSpace: space.handle,
    frame: { pc: 0x1000, sp: 0, gp: 0, ra: 0, sstatus: 0 },
    guard: null,
  });
  task.caps.set(0, { kind: 'endpoint', endpoint: 0, rights: 3 });
  task.caps.set(1, { kind: 'factory', rights: 8 });
  kernel.admitTask(task);
  kernel.start();
  machine.clear();
  return task.pid;
}

/** Runs until nothing can happen any more or a step bound is hit. */
export function runToEnd(machine: TestMachine, maxSteps = 100_000): string {
  return machine.kernel.run({ untilNs: Infinity, maxSteps });
}
