/**
 * The faults of one boot at work: what each part of the machine asks, answered from the checked list (faults.ts). Each hit
 * is a `fault` event in the trace. Counters live here, so a plan serves one boot.
 */
import type { FrameAction, KernelFaults } from '../kernel-model/fault-port.ts';
import type { Kernel } from '../kernel-model/kernel.ts';
import type { SelftestParts } from '../kernel-model/kselftest-ipc.ts';
import { SYSCALL_NAMES } from '../kernel-model/syscalls/table.ts';
import type { IpiPort } from '../kernel-model/smp.ts';
import type { Program, Sys } from '../kernel-model/sys.ts';
import { Nr, SYSCALL_COUNT } from '../kernel-model/abi.ts';
import type { Task } from '../kernel-model/task.ts';
import { yieldForever } from '../services/lib/ipc.ts';
import type { BlkFault, BlkRequest } from '../sim/virtio/blk.ts';
import { VIRTIO_BLK_S_IOERR } from '../sim/virtio/blk.ts';
import { PACKET_NUMBER_MAX } from '../sim/net/faults.ts';
import type { PacketFault } from '../sim/net/faults.ts';
import { brokenParts } from './broken-parts.ts';
import { EndpointNames, taskNamed } from './endpoint-names.ts';
import { hits, INIT_NAME } from './faults.ts';
import type { Fault, FrameDo, PowerLoss, Window } from './faults.ts';

/** Tells the trace that a fault hit. */
export type FaultReport = (name: string, detail: string) => void;

type Of<K extends Fault['kind']> = Extract<Fault, { readonly kind: K }>;

/** One fault and how many things it has fitted so far. */
class Counted<F extends { readonly window: Window }> {
  readonly fault: F;
  #seen = 0;

  constructor(fault: F) {
    this.fault = fault;
  }

  /** Counts one more; its number if it is hit, else 0. */
  next(): number {
    this.#seen += 1;
    return hits(this.fault.window, this.#seen) ? this.#seen : 0;
  }
}

function counted<K extends 'blk' | 'rng' | 'frame' | 'syscall' | 'ipi'>(
  faults: readonly Fault[],
  kind: K,
): readonly Counted<Of<K>>[] {
  return faults.filter((fault): fault is Of<K> => fault.kind === kind).map((fault) => new Counted(fault));
}

/** The faults of one boot. */
export class FaultPlan {
  readonly #faults: readonly Fault[];
  readonly #report: FaultReport;
  readonly #blk: readonly Counted<Of<'blk'>>[];
  readonly #rng: readonly Counted<Of<'rng'>>[];
  readonly #power: Of<'power'> | null;
  /** Offset of the byte that the next disk read gets wrong; -1: none. */
  #corruptAt = -1;

  /** `report` is called at every hit. */
  constructor(faults: readonly Fault[], report: FaultReport) {
    this.#faults = faults;
    this.#report = report;
    this.#blk = counted(faults, 'blk');
    this.#rng = counted(faults, 'rng');
    this.#power = faults.find((fault): fault is Of<'power'> => fault.kind === 'power') ?? null;
  }

  /** Virtual ns at which the power goes; null: never. */
  get powerNs(): number | null {
    return this.#power?.ns ?? null;
  }

  /** True for the block write before which the power goes; it is reported here. */
  cutsBefore(write: number): boolean {
    if (this.#power?.write !== write) return false;
    this.#report('power', `cut before block write ${write}`);
    return true;
  }

  /** What of the unflushed writes is lost with the power. */
  get powerLoss(): PowerLoss {
    return this.#power?.lose ?? 'all';
  }

  /** The power goes at its time. */
  reportTimedCut(): void {
    this.#report('power', `cut at ${this.#power?.ns ?? 0} ns`);
  }

  // -- devices ------------------------------------------------------------------------------------------------------

  /** What happens to a block request; null: nothing. */
  onBlock(request: BlkRequest): BlkFault | null {
    let answer: BlkFault | null = null;
    for (const entry of this.#blk) {
      const { op, act } = entry.fault;
      if (op !== request.op) continue;
      const number = entry.next();
      if (number === 0 || answer !== null) continue;
      this.#report('blk', `${op} ${number} at sector ${request.sector}: ${act.do}`);
      switch (act.do) {
        case 'status':
          answer = { status: act.status };
          break;
        case 'delay':
          answer = { delayNs: act.ns };
          break;
        case 'drop':
          answer = { drop: true };
          break;
        case 'short':
          answer = { sectorsDone: act.sectors, status: VIRTIO_BLK_S_IOERR };
          break;
        case 'no-status':
          answer = { withholdStatus: true };
          break;
        case 'corrupt':
          // The data moves right after this answer, through corruptRead().
          this.#corruptAt = act.offset;
      }
    }
    return answer;
  }

  /** Inverts the byte that a `corrupt` names in what was just read. */
  corruptRead(target: Uint8Array): void {
    if (this.#corruptAt < 0) return;
    const at = this.#corruptAt % target.length;
    target[at] = (target[at] ?? 0) ^ 0xff;
    this.#corruptAt = -1;
  }

  /** Entropy bytes given for one request of `wanted`. */
  entropy(wanted: number): number {
    let given = wanted;
    for (const entry of this.#rng) {
      const number = entry.next();
      if (number === 0) continue;
      given = Math.min(given, entry.fault.bytes);
      this.#report('rng', `request ${number} of ${wanted} bytes gets ${given}`);
    }
    return given;
  }

  /** Packet faults as the network takes them; it counts and reports them itself. */
  get packets(): readonly PacketFault[] {
    return this.#faults.flatMap((fault) => (fault.kind === 'packet' ? [packetFault(fault)] : []));
  }

  // -- kernel and image ---------------------------------------------------------------------------------------------

  /** The kernel's port; null when no fault needs it. */
  kernelFaults(kernel: Kernel): KernelFaults | null {
    const frames = counted(this.#faults, 'frame');
    const calls = counted(this.#faults, 'syscall');
    if (frames.length === 0 && calls.length === 0) return null;
    return new KernelFaultPlan(kernel, frames, calls, this.#report);
  }

  /** The machine's inter-processor interrupts and harts, less or more than they should be where a fault says so. */
  interrupts(port: IpiPort): IpiPort {
    const faults = counted(this.#faults, 'ipi');
    const [lost, spurious] = [faults.filter(isLoss), faults.filter((entry) => !isLoss(entry))];
    const missing = this.#faults.flatMap((fault) => (fault.kind === 'hart' ? [fault.cpu] : []));
    if (faults.length === 0 && missing.length === 0) return port;
    return {
      harts: port.harts,
      starts: (hart) => {
        if (!missing.includes(hart)) return true;
        this.#report('hart', `hart ${hart} does not start`);
        return false;
      },
      send: (hart) => {
        const number = hitBy(lost);
        if (number === 0) return port.send(hart);
        this.#report('ipi', `interrupt ${number} to hart ${hart} is lost`);
        return hart < port.harts;
      },
      step: (hart) => {
        const taken = port.step(hart);
        const number = spurious.length === 0 ? 0 : hitBy(spurious);
        if (number === 0) return taken;
        this.#report('ipi', `hart ${hart} takes an interrupt that nobody sent, in its step ${number}`);
        return true;
      },
      // Steps are counted where one of them may be such.
      quiet: () => spurious.length === 0 && port.quiet?.() === true,
    };
  }

  /** Parts of the kernel's self-tests that are broken. */
  get selftestParts(): Partial<SelftestParts> {
    const broken = this.#faults.flatMap((fault) => (fault.kind === 'selftest' ? [fault.part] : []));
    return brokenParts(broken, (part) => this.#report('selftest', `${part} is broken`));
  }

  /** A service's ELF file, damaged if a fault says so. */
  elf(service: string, file: Uint8Array): Uint8Array {
    if (!this.#faults.some((fault) => fault.kind === 'exec' && fault.service === service)) return file;
    this.#report('exec', `the file of ${service} is damaged`);
    const damaged = file.slice();
    damaged.fill(0, 0, 4);
    return damaged;
  }

  /** Bytes of a service's heap; null: as it is built. */
  heapBytes(service: string): number | null {
    const fault = this.#faults.find((entry): entry is Of<'heap'> => entry.kind === 'heap' && entry.service === service);
    if (fault === undefined) return null;
    this.#report('heap', `the heap of ${service} has ${fault.bytes} bytes`);
    return fault.bytes;
  }

  /** A service's program, which ends or stalls at its n-th message if a fault says so. */
  program(service: string, program: Program): Program {
    const fault = this.#faults.find(
      (entry): entry is Of<'die' | 'stall'> =>
        (entry.kind === 'die' || entry.kind === 'stall') && entry.service === service,
    );
    if (fault === undefined) return program;
    const report = this.#report;
    const at = fault.at === 0 ? 'before it did anything' : `at its message ${fault.at}`;
    return function* faulty(sys: Sys) {
      if (fault.at === 0) {
        report(fault.kind, `${service} ${at}`);
        if (fault.kind === 'stall') yield* yieldForever(sys);
        return -1;
      }
      const inner = program(sys);
      let received = 0;
      for (let step = inner.next(0); ;) {
        if (step.done === true) return step.value;
        const { nr } = step.value;
        const result = yield step.value;
        if ((nr === Nr.IPC_RECV_V1 || nr === Nr.IPC_RECV_V2) && result >= 0) received += 1;
        if (received === fault.at) {
          report(fault.kind, `${service} ${at}`);
          inner.return(0);
          if (fault.kind === 'stall') yield* yieldForever(sys);
          return -1;
        }
        step = inner.next(result);
      }
    };
  }
}

function packetFault(fault: Of<'packet'>): PacketFault {
  const { dir: direction, has, window, act } = fault;
  const count = Math.min(window.count, PACKET_NUMBER_MAX);
  const place = { direction, packet: window.from, count, ...(has !== '' && { has: [...bytesOf(has)] }) };
  switch (act.do) {
    case 'drop':
      return { ...place, action: 'drop' };
    case 'dup':
      return { ...place, action: 'duplicate' };
    case 'delay':
      return { ...place, action: 'delay', ns: act.ns };
    case 'reorder':
      return { ...place, action: 'reorder', behind: act.behind };
    case 'corrupt':
      return { ...place, action: 'corrupt', offset: act.offset, mask: act.mask };
    case 'alter':
      return { ...place, action: 'alter', offset: act.offset, bytes: [...bytesOf(act.bytes)] };
    case 'cut':
      return { ...place, action: 'truncate', length: act.len };
  }
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => hexByte(hex, i));
}

function isLoss(entry: Counted<Of<'ipi'>>): boolean {
  return entry.fault.act === 'drop';
}

/** All count one more; the number of the first that is hit, else 0. */
function hitBy(entries: readonly Counted<Fault & { readonly window: Window }>[]): number {
  return entries.map((entry) => entry.next()).find((number) => number > 0) ?? 0;
}

/** The faults that reach into the kernel. */
class KernelFaultPlan implements KernelFaults {
  readonly #kernel: Kernel;
  readonly #names: EndpointNames;
  readonly #frames: readonly Counted<Of<'frame'>>[];
  readonly #calls: readonly Counted<Of<'syscall'>>[];
  readonly #report: FaultReport;

  constructor(
    kernel: Kernel,
    frames: readonly Counted<Of<'frame'>>[],
    calls: readonly Counted<Of<'syscall'>>[],
    report: FaultReport,
  ) {
    this.#kernel = kernel;
    this.#names = new EndpointNames(kernel);
    this.#frames = frames;
    this.#calls = calls;
    this.#report = report;
  }

  onSend(task: Task, endpoint: number, bytes: Uint8Array): FrameAction | null {
    let action: FrameAction | null = null;
    for (const entry of this.#frames) {
      const { to, by, prefix, text, act } = entry.fault;
      if (this.#names.idOf(to) !== endpoint) continue;
      if (by !== null && !this.#is(task, by)) continue;
      if (!startsWith(bytes, prefix) || !contains(bytes, text)) continue;
      const number = entry.next();
      if (number === 0 || action !== null) continue;
      this.#report('frame', `message ${number} to ${to} from ${task.name}, ${bytes.length} bytes: ${act.do}`);
      action = actionOf(act, bytes);
    }
    return action;
  }

  onSyscall(task: Task, nr: number): number {
    if (nr >= SYSCALL_COUNT) return 0;
    for (const entry of this.#calls) {
      const { fault } = entry;
      if (fault.nr !== nr || !this.#is(task, fault.service)) continue;
      const number = entry.next();
      if (number === 0) continue;
      this.#report('syscall', `${SYSCALL_NAMES[nr] ?? nr} ${number} of ${task.name} fails with errno ${fault.errno}`);
      return fault.errno;
    }
    return 0;
  }

  #is(task: Task, service: string): boolean {
    return task.name === service || (service === INIT_NAME && taskNamed(this.#kernel, service) === task);
  }
}

function startsWith(bytes: Uint8Array, prefix: string): boolean {
  if (bytes.length * 2 < prefix.length) return false;
  for (let i = 0; i * 2 < prefix.length; i++) if (bytes[i] !== hexByte(prefix, i)) return false;
  return true;
}

/** True when the ASCII text stands somewhere in the bytes. */
function contains(bytes: Uint8Array, text: string): boolean {
  for (let at = 0; at + text.length <= bytes.length; at++) {
    let i = 0;
    while (i < text.length && bytes[at + i] === text.charCodeAt(i)) i++;
    if (i === text.length) return true;
  }
  return false;
}

function hexByte(hex: string, index: number): number {
  return Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16);
}

function actionOf(act: FrameDo, bytes: Uint8Array): FrameAction {
  switch (act.do) {
    case 'drop':
      return { kind: 'drop' };
    case 'dup':
      return { kind: 'duplicate' };
    case 'no-wake':
      return { kind: 'no-wake' };
    case 'delay':
      return { kind: 'delay', ns: act.ns };
    case 'cut':
      return { kind: 'alter', bytes: bytes.slice(0, act.len) };
    case 'alter': {
      const altered = bytes.slice();
      for (let i = 0; i * 2 < act.bytes.length; i++) {
        if (act.offset + i < altered.length) altered[act.offset + i] = hexByte(act.bytes, i);
      }
      return { kind: 'alter', bytes: altered };
    }
  }
}
