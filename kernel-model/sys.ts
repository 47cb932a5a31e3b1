/**
 * The typed door into the kernel (design, decision 1). A program is a generator; `yield sys.xxx(...)` hands the kernel one
 * syscall and evaluates to a0 (negative errno on error). There is one request object and one set of result fields per
 * task, reused for every call: this is the hottest path of the house, and a task has one call outstanding at a time.
 *
 * Results beyond a0 stand in `sys.message` (receives), `sys.waitStatus` (WAIT), `sys.query` (CAP_QUERY) until the next
 * call of the same kind. Calls that cost time but never switch tasks and are not syscalls (memory access, `compute`,
 * `note`) are plain methods and need no `yield`.
 */
import { Nr } from './abi.ts';
import type { ServiceId } from './abi.ts';

/** A request that is not in the syscall table: macros of real ecalls that the kernel runs on the task's behalf. */
export const Macro = {
  /** One DEBUG_PUTC per byte of `bytes` (sheet 10, section 1.1). */
  PRINT: 64,
  /** A polling loop, see {@link Poll}. */
  POLL: 65,
  /** The raw door: registers in `regs`, pointers into the task's address space. */
  ECALL: 66,
  /** Nothing: gives the run loop a chance to stop between two slices of an instruction-level program. Costs nothing. */
  SLICE: 67,
  /** The start of one more pass of a loop, see {@link Lap}. Costs nothing. */
  LAP: 68,
} as const;

/** Slots array of a poll that polls nothing but time. */
const NO_SLOTS: readonly number[] = [];
const NO_BYTES = new Uint8Array(0) as Readonly<Uint8Array> as Uint8Array;

/**
 * What a polling wrapper waits for (design, decision 3). One round is, in this order: with `clockFirst` the clock test;
 * one NONBLOCK receive per slot of `slots`; without `clockFirst` the clock test; one YIELD (unless `spin`).
 * The clock test runs in rounds where `round % clockEvery == 0`: NSEC, then end with -ETIMEDOUT when now >= deadline.
 * The poll ends with the index of the first slot whose receive would not give EAGAIN (that receive is not executed and not
 * charged: the caller does it), with the number of all slots when `ready` says so (tested after them), with -ETIMEDOUT, or with
 * -EAGAIN after `maxRounds` rounds (each charged in full).
 */
export interface Poll {
  /** Capability slots to receive from, in order. */
  slots: readonly number[];
  /** Slots polled for room to send (a NONBLOCK send that would not give EAGAIN); index continues after `slots`. */
  sendSlots: readonly number[];
  /**
   * A condition on memory that only device events or other tasks can change; costs nothing itself. It reads views taken
   * before (`sys.bytes`), never calls `sys`: how often it is asked depends on what is skipped.
   */
  ready: (() => boolean) | null;
  /** Absolute ns; Infinity for none. */
  deadline: number;
  /** Rounds between clock reads, a power of two; 0 reads no clock. */
  clockEvery: number;
  clockFirst: boolean;
  /** Rounds at most; Infinity for no bound. */
  maxRounds: number;
  /** True: the round has no YIELD, the task spins (drivers). */
  spin: boolean;
  /** Extra instructions a round costs beyond its syscalls. */
  roundCost: number;
  /** Round counter, in and out: start value, afterwards the number of completed rounds. */
  round: number;
}

/** Something a loop counts while it repeats itself: how often, and how to count on without doing it. */
export interface LapCounter {
  readonly count: number;
  skip(n: number): void;
}

/**
 * A loop whose passes may come to nothing, time and again: a client that asks until the answer is another one, a server that
 * gives it. The program marks the start of each pass with `sys.lap(lap)`. By that it promises: as long as `state` stays the
 * same, what it does next is a function of what its syscalls give it, apart from the numbers in `count` and `counters` (which
 * decide nothing but nonces and the end at `limit`), and from the clock only at or after `until`. It prints nothing, writes no
 * memory that others read, touches no device. Then passes that repeat each other exactly are added up (laps.ts).
 */
export class Lap {
  /** To be changed with whatever else the program's behaviour depends on. */
  state = 0;
  /** Absolute ns. */
  until = Infinity;
  /** Passes begun. */
  count = 0;
  /** Passes at most. */
  readonly limit: number;
  readonly counters: readonly LapCounter[];

  constructor(limit = Infinity, counters: readonly LapCounter[] = []) {
    this.limit = limit;
    this.counters = counters;
  }
}

/** One syscall (or macro) as handed to the kernel. Fields a call does not use hold old values. */
export interface Syscall {
  nr: number;
  a0: number;
  a1: number;
  a2: number;
  a3: number;
  a4: number;
  a5: number;
  /** Host buffer argument: payload, ELF image, data to write, text to print. */
  bytes: Uint8Array;
  /** Name argument of EXEC_V2. */
  name: string;
  /** Message header for sends. */
  ty: number;
  headerFlags: number;
  moveSlot: number;
}

/** What a receive delivered (sheet 10, section 4.4). */
export interface ReceivedMessage {
  /** CAP_MOVE: the new slot; else 0. */
  src: number;
  /** Sender pid. */
  senderPid: number;
  ty: number;
  flags: number;
  /** Original payload length, also when cut. */
  len: number;
  /** The delivered bytes. The receiver owns them. */
  payload: Uint8Array;
  /** Kernel-attested sender id; only RECV_V2 sets it (0 after RECV_V1). */
  serviceId: ServiceId;
}

/** What CAP_QUERY delivered: kind 1 VMO, 2 DeviceMmio; base is physical, len in bytes. */
export interface CapQueryResult {
  kind: number;
  base: number;
  len: number;
}

/** What the kernel offers a task beside syscalls. Implemented by the kernel, one per task. */
export interface TaskServices {
  /** Reads 4 bytes at a user virtual address (RAM or MMIO), charged as one instruction plus the device's cost. */
  load32(va: number): number;
  store32(va: number, value: number): void;
  /** Live view of mapped RAM; [va, va+len) must be physically contiguous (VMOs are). */
  bytes(va: number, len: number): Uint8Array;
  /** Charges work inside the task by its label in the cost table (docs/time.md). */
  compute(label: string, units?: number): void;
  /** Tells the person who watches; invisible to the guest, costs no virtual time. */
  note(name: string, value: string | number): void;
}

/** A program: the body of a task. Its return value is passed to EXIT. */
export type Program = (sys: Sys) => Generator<Syscall, number, number>;

/** The typed syscall facade of one task. */
export class Sys {
  readonly request: Syscall = {
    nr: 0,
    a0: 0,
    a1: 0,
    a2: 0,
    a3: 0,
    a4: 0,
    a5: 0,
    bytes: NO_BYTES,
    name: '',
    ty: 0,
    headerFlags: 0,
    moveSlot: 0,
  };
  readonly poll: Poll = {
    slots: NO_SLOTS,
    sendSlots: NO_SLOTS,
    ready: null,
    deadline: Infinity,
    clockEvery: 0,
    clockFirst: false,
    maxRounds: Infinity,
    spin: false,
    roundCost: 0,
    round: 0,
  };
  /** The loop whose pass {@link lap} marked last. */
  lastLap: Lap | null = null;
  /** Registers of the raw door, a0..a5 and a7 at index 7; results in 0 and 1. */
  readonly regs: BigUint64Array = new BigUint64Array(8);
  readonly message: ReceivedMessage = {
    src: 0,
    senderPid: 0,
    ty: 0,
    flags: 0,
    len: 0,
    payload: NO_BYTES,
    serviceId: 0n as ServiceId,
  };
  readonly query: CapQueryResult = { kind: 0, base: 0, len: 0 };
  /** a1 of WAIT. */
  waitStatus = 0;
  /** The task's own pid (as GETPID would say; reading it here costs nothing and is for notes only). */
  readonly pid: number;
  readonly #task: TaskServices;
  readonly #encoder = new TextEncoder();

  constructor(pid: number, task: TaskServices) {
    this.pid = pid;
    this.#task = task;
  }

  // -- scheduling and time ------------------------------------------------------------------------------------------

  yieldCpu(): Syscall {
    return this.#call(Nr.YIELD);
  }
  /** a0 = virtual ns. */
  nsec(): Syscall {
    return this.#call(Nr.NSEC);
  }
  getpid(): Syscall {
    return this.#call(Nr.GETPID);
  }
  exit(code: number): Syscall {
    return this.#call(Nr.EXIT, code);
  }
  /** pid <= 0 waits for any child; status in {@link waitStatus}. */
  wait(pid: number): Syscall {
    return this.#call(Nr.WAIT, pid);
  }
  qosGet(pid: number): Syscall {
    return this.#call(Nr.TASK_QOS, 0, pid, 0);
  }
  qosSet(pid: number, qos: number): Syscall {
    return this.#call(Nr.TASK_QOS, 1, pid, qos);
  }

  // -- output -------------------------------------------------------------------------------------------------------

  putc(byte: number): Syscall {
    return this.#call(Nr.DEBUG_PUTC, byte);
  }
  /** One DEBUG_PUTC per byte of the text, no newline added; a line never switches tasks. */
  print(text: string): Syscall {
    this.request.bytes = this.#encoder.encode(text);
    return this.#call(Macro.PRINT);
  }
  printBytes(bytes: Uint8Array): Syscall {
    this.request.bytes = bytes;
    return this.#call(Macro.PRINT);
  }
  /** `print` plus the newline. */
  println(text: string): Syscall {
    return this.print(`${text}\n`);
  }

  // -- IPC ----------------------------------------------------------------------------------------------------------

  /**
   * IPC_SEND_V1. The kernel copies `frame` at the call. `deadline` in absolute ns, 0 for none; `flags` 0 or NONBLOCK.
   * With `moveSlot` >= 0 the capability in that slot moves (header flag CAP_MOVE). a0 = length or -errno.
   */
  send(slot: number, frame: Uint8Array, flags = 0, deadline = 0, moveSlot = -1, ty = 0): Syscall {
    const r = this.request;
    r.nr = Nr.IPC_SEND_V1;
    r.a0 = slot;
    r.bytes = frame;
    r.a3 = frame.length;
    r.a4 = flags;
    r.a5 = deadline;
    r.ty = ty;
    r.headerFlags = moveSlot >= 0 ? 1 : 0;
    r.moveSlot = moveSlot >= 0 ? moveSlot : 0;
    return r;
  }
  /** IPC_RECV_V1 into {@link message}. a0 = bytes delivered or -errno. */
  recv(slot: number, max: number, flags = 0, deadline = 0): Syscall {
    const r = this.request;
    r.nr = Nr.IPC_RECV_V1;
    r.a0 = slot;
    r.a3 = max;
    r.a4 = flags;
    r.a5 = deadline;
    return r;
  }
  /** IPC_RECV_V2: as {@link recv}, with the sender's service id. */
  recvV2(slot: number, max: number, flags = 0, deadline = 0): Syscall {
    const r = this.recv(slot, max, flags, deadline);
    r.nr = Nr.IPC_RECV_V2;
    return r;
  }
  sendV0(slot: number, ty: number, flags: number, len: number): Syscall {
    return this.#call(Nr.SEND, slot, ty, flags, len);
  }
  recvV0(slot: number): Syscall {
    return this.#call(Nr.RECV, slot);
  }
  endpointCreate(factorySlot: number, depth: number): Syscall {
    return this.#call(Nr.EP_CREATE_V2, factorySlot, depth);
  }
  endpointCreateFor(factorySlot: number, ownerPid: number, depth: number): Syscall {
    return this.#call(Nr.EP_CREATE_FOR, factorySlot, ownerPid, depth);
  }
  endpointCreateV1(): Syscall {
    return this.#call(Nr.EP_CREATE);
  }
  endpointClose(slot: number): Syscall {
    return this.#call(Nr.EP_CLOSE, slot);
  }

  /**
   * Runs a polling loop inside the kernel, see {@link Poll}. Set the fields of `sys.poll` first with {@link beginPoll}.
   */
  runPoll(): Syscall {
    return this.#call(Macro.POLL);
  }
  /** Resets {@link poll} to "no slots, no clock, for ever" and returns it for filling in. */
  beginPoll(): Poll {
    const p = this.poll;
    p.slots = NO_SLOTS;
    p.sendSlots = NO_SLOTS;
    p.ready = null;
    p.deadline = Infinity;
    p.clockEvery = 0;
    p.clockFirst = false;
    p.maxRounds = Infinity;
    p.spin = false;
    p.roundCost = 0;
    p.round = 0;
    return p;
  }

  /** Marks the start of a pass of `lap`'s loop; counts it. */
  lap(lap: Lap): Syscall {
    this.lastLap = lap;
    return this.#call(Macro.LAP);
  }

  // -- capabilities -------------------------------------------------------------------------------------------------

  capTransfer(pid: number, slot: number, rights: number): Syscall {
    return this.#call(Nr.CAP_TRANSFER, pid, slot, rights);
  }
  capTransferTo(pid: number, slot: number, rights: number, target: number): Syscall {
    return this.#call(Nr.CAP_TRANSFER_TO, pid, slot, rights, target);
  }
  capClone(slot: number): Syscall {
    return this.#call(Nr.CAP_CLONE, slot);
  }
  capClose(slot: number): Syscall {
    return this.#call(Nr.CAP_CLOSE, slot);
  }
  /** Result in {@link query}. */
  capQuery(slot: number): Syscall {
    return this.#call(Nr.CAP_QUERY, slot);
  }
  /** slot -1 = any (u64 max at the raw door). */
  deviceCapCreate(base: number, len: number, slot = -1): Syscall {
    return this.#call(Nr.DEVICE_CAP_CREATE, base, len, slot);
  }

  // -- memory and tasks ---------------------------------------------------------------------------------------------

  /** slot -1 = any. */
  vmoCreate(len: number, slot = -1): Syscall {
    return this.#call(Nr.VMO_CREATE, slot, len);
  }
  vmoWrite(slot: number, offset: number, bytes: Uint8Array): Syscall {
    this.request.bytes = bytes;
    return this.#call(Nr.VMO_WRITE, slot, offset, 0, bytes.length);
  }
  /** Maps one page of a VMO; flags are PTE bits (VALID 1, READ 2, WRITE 4, EXECUTE 8, USER 16). */
  map(slot: number, va: number, offset: number, flags: number): Syscall {
    return this.#call(Nr.MAP, slot, va, offset, flags);
  }
  mmioMap(slot: number, va: number, offset: number): Syscall {
    return this.#call(Nr.MMIO_MAP, slot, va, offset);
  }
  asCreate(): Syscall {
    return this.#call(Nr.AS_CREATE);
  }
  asMap(handle: number, slot: number, va: number, len: number, prot: number, flags: number): Syscall {
    return this.#call(Nr.AS_MAP, handle, slot, va, len, prot, flags);
  }
  spawn(entry: number, sp: number, asHandle: number, bootstrapSlot: number, gp: number): Syscall {
    return this.#call(Nr.SPAWN, entry, sp, asHandle, bootstrapSlot, gp);
  }
  spawnLastError(): Syscall {
    return this.#call(Nr.SPAWN_LAST_ERROR);
  }
  exec(elf: Uint8Array, stackPages: number, gp: number): Syscall {
    this.request.bytes = elf;
    return this.#call(Nr.EXEC, 0, elf.length, stackPages, gp);
  }
  execV2(elf: Uint8Array, stackPages: number, gp: number, name: string): Syscall {
    this.request.bytes = elf;
    this.request.name = name;
    return this.#call(Nr.EXEC_V2, 0, elf.length, stackPages, gp);
  }

  /** The raw door: a7 and a0..a5 as 64-bit registers, pointers into the task's address space. a0 also in `regs[0]`. */
  ecall(a7: bigint, a0 = 0n, a1 = 0n, a2 = 0n, a3 = 0n, a4 = 0n, a5 = 0n): Syscall {
    const regs = this.regs;
    regs[0] = a0;
    regs[1] = a1;
    regs[2] = a2;
    regs[3] = a3;
    regs[4] = a4;
    regs[5] = a5;
    regs[7] = a7;
    return this.#call(Macro.ECALL);
  }
  /** {@link ecall} with what stands in {@link regs} already. */
  ecallPrepared(): Syscall {
    return this.#call(Macro.ECALL);
  }
  /** No syscall: the end of one piece of an instruction-level program's computing. */
  slice(): Syscall {
    return this.#call(Macro.SLICE);
  }

  // -- not syscalls -------------------------------------------------------------------------------------------------

  load32(va: number): number {
    return this.#task.load32(va);
  }
  store32(va: number, value: number): void {
    this.#task.store32(va, value);
  }
  bytes(va: number, len: number): Uint8Array {
    return this.#task.bytes(va, len);
  }
  compute(label: string, units = 1): void {
    this.#task.compute(label, units);
  }
  note(name: string, value: string | number): void {
    this.#task.note(name, value);
  }

  #call(nr: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): Syscall {
    const r = this.request;
    r.nr = nr;
    r.a0 = a0;
    r.a1 = a1;
    r.a2 = a2;
    r.a3 = a3;
    r.a4 = a4;
    r.a5 = a5;
    return r;
  }
}
