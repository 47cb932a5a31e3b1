/**
 * A kernel without a board, for unit tests and benchmarks of everything that talks syscalls: hand-made programs, granted
 * capabilities, no memory side. Nothing here runs in a product.
 */
import { assert, InternalError } from '../sim/assert.ts';
import { Clock } from '../sim/clock.ts';
import type { GuestMemory } from '../sim/memory.ts';
import { Trace } from '../sim/trace.ts';
import type { TraceEvent } from '../sim/trace.ts';
import { Rights, serviceIdOf } from './abi.ts';
import type { QosClass } from './abi.ts';
import type { Capability } from './captable.ts';
import { NO_OWNER } from './endpoint.ts';
import type { KernelImage, KernelOptions } from './image.ts';
import { Kernel } from './kernel.ts';
import { REFERENCE_ADDRESSES } from './layout.ts';
import type { GuestFault, MemorySide } from './memory-side.ts';
import type { Program } from './sys.ts';
import { NO_PARENT } from './task.ts';
import type { Task } from './task.ts';

/** Settings of a bare kernel; defaults are the contract, skipping on, no enqueue lines. */
export interface BareOptions {
  readonly skipPolls?: boolean;
  readonly icount?: number;
  readonly options?: Partial<KernelOptions>;
  /** True: print the first enqueue lines as a booting kernel does. */
  readonly enqueueLines?: boolean;
  readonly qosAdministrators?: readonly string[];
}

/** A kernel and what it leaves behind. */
export interface Bare {
  readonly kernel: Kernel;
  readonly clock: Clock;
  /** Text on the UART so far. */
  uart(): string;
  /** Pids in the order of address-space activations. */
  readonly activations: number[];
  /** Events since the call. */
  record(): TraceEvent[];
}

/** Builds a kernel with an empty task table. */
export function bareKernel(settings: BareOptions = {}): Bare {
  const clock = new Clock();
  const trace = new Trace(clock);
  const bytes: number[] = [];
  const activations: number[] = [];
  const image: KernelImage = {
    initElf: new Uint8Array(0),
    initName: 'init',
    qosAdministrators: settings.qosAdministrators ?? [],
    programs: new Map(),
    addresses: REFERENCE_ADDRESSES,
    options: {
      loneReceiverEinval: false,
      kselftestUnchecked: false,
      userExceptionFatal: false,
      faultNoWake: false,
      ...settings.options,
    },
    harts: 1,
    icount: settings.icount ?? 1,
    skipPolls: settings.skipPolls ?? true,
  };
  const kernel = new Kernel({
    board: { clock, trace, memory: noMemory() },
    uart: { transmit: (byte) => void bytes.push(byte) },
    image,
    memory: (owner) => new NoMemorySide(owner, activations),
    boot: null,
  });
  if (settings.enqueueLines !== true) kernel.scheduler.linesLeft = 0;
  return {
    kernel,
    clock,
    activations,
    uart: () => String.fromCharCode(...bytes),
    record: () => {
      const events: TraceEvent[] = [];
      trace.listen((event) => void events.push(event));
      return events;
    },
  };
}

/** How {@link addTask} starts a task. */
export interface AddOptions {
  readonly name?: string;
  readonly parent?: number;
  readonly qos?: QosClass;
}

/** Creates and enqueues a task; its service id is that of its name. */
export function addTask(kernel: Kernel, program: Program, options: AddOptions = {}): Task {
  const name = options.name ?? '';
  const task = kernel.createTask({
    parent: options.parent ?? NO_PARENT,
    name,
    serviceId: serviceIdOf(name),
    program,
    addressSpace: null,
    frame: { pc: 0, sp: 0, gp: 0, ra: 0, sstatus: 0x4_0020 },
    guard: null,
    qos: options.qos ?? 1,
  });
  assert(kernel.admitTask(task), 'the run queue is full');
  return task;
}

/** Puts a capability into a slot of a task. */
export function grant(task: Task, slot: number, cap: Capability): void {
  assert(task.caps.setIfEmpty(slot, cap), `slot ${slot} of task ${task.pid} is taken`);
}

/** A new endpoint; returns its id. */
export function newEndpoint(kernel: Kernel, depth = 8, owner: number = NO_OWNER): number {
  const id = kernel.router.create(depth, owner);
  assert(id >= 0, 'endpoint quota');
  return id;
}

/** Capability to an endpoint. */
export function endpointCap(endpoint: number, rights: number = Rights.SEND | Rights.RECV): Capability {
  return { kind: 'endpoint', endpoint, rights };
}

/** Starts the kernel and runs it for at most `untilNs` (absolute) and a million turns. */
export function runUntil(kernel: Kernel, untilNs = Infinity, maxSteps = 1_000_000): ReturnType<Kernel['run']> {
  if (kernel.current === null) kernel.start();
  return kernel.run({ untilNs, maxSteps });
}

/** A memory side without memory: accesses are test bugs. */
class NoMemorySide implements MemorySide {
  readonly activationPrints = false;
  readonly #kernel: Kernel;
  readonly #activations: number[];

  constructor(kernel: Kernel, activations: number[]) {
    this.#kernel = kernel;
    this.#activations = activations;
  }

  activate(task: Task): void {
    this.#activations.push(task.pid);
    if (this.#activations.length > MAX_ACTIVATIONS) this.#activations.length = 0;
  }

  release(): void {}

  userFault(task: Task, _fault: GuestFault): void {
    this.#kernel.terminate(task, -22, 'fault');
    if (!this.#kernel.reschedule()) this.nothingRunnable();
  }

  nothingRunnable(): void {
    this.#kernel.halt();
  }

  load32(): number {
    throw new InternalError('this kernel has no memory');
  }

  store32(): void {
    throw new InternalError('this kernel has no memory');
  }

  bytes(): Uint8Array {
    throw new InternalError('this kernel has no memory');
  }
}

/** Activations kept for tests; beyond it the list starts afresh so that benchmarks stay small. */
const MAX_ACTIVATIONS = 10_000;

function noMemory(): GuestMemory {
  const none = (): never => {
    throw new InternalError('this kernel has no memory');
  };
  return {
    contains: () => false,
    readU8: none,
    readU16: none,
    readU32: none,
    readU64: none,
    writeU8: none,
    writeU16: none,
    writeU32: none,
    writeU64: none,
    slice: none,
  };
}
