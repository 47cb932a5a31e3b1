/**
 * Tasks whose body is RV64 code (design, decision 1): a user-mode hart over the task's address space. An ecall goes through
 * the raw door; other exceptions are the faults of sheet 05, section 16.2. Instructions cost 2^icount ns each.
 *
 * A turn of the run loop is one ecall or one bounded piece of computing, so that a child that spins for ever leaves the
 * loop its limits. How the pieces are cut follows from the guest and its events alone, never from the host.
 */
import type { Bus } from '../sim/bus.ts';
import type { CounterCsr, HartCounters } from '../sim/hart/counters.ts';
import { Hart } from '../sim/hart/hart.ts';
import type { Stop } from '../sim/hart/hart.ts';
import { CSR_TIME } from '../sim/hart/isa.ts';
import { HartMemory, PAGE_FAULT } from '../sim/hart/memory.ts';
import type { Access as HartAccess, AddressSpace as HartSpace } from '../sim/hart/memory.ts';
import { HIGH } from '../sim/hart/state.ts';
import { Cause } from '../sim/hart/trap.ts';
import { assert, unreachable } from '../sim/assert.ts';
import { Nr, PAGE_SIZE, USER_VA_LIMIT } from './abi.ts';
import { Access, NO_TRANSLATION } from './address-space.ts';
import type { AddressSpace } from './address-space.ts';
import { PF_X, PT_LOAD } from './elf.ts';
import type { ElfFile } from './elf.ts';
import { idleRound } from './idle-loop.ts';
import type { Kernel } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
import type { BodyOf } from './kernel-memory.ts';
import { GuestFault } from './memory-side.ts';
import type { GuestFaultKind } from './memory-side.ts';
import { wordsToNumber } from './registers.ts';
import type { Program, Sys, Syscall } from './sys.ts';
import type { Task } from './task.ts';

/** Instructions of one turn at most. */
export const TURN_INSTRUCTIONS = 1024;

/** Registers by number. */
const X = { ra: 1, sp: 2, gp: 3, t0: 5, t1: 6, t2: 7, a0: 10, a1: 11, a7: 17 } as const;
const REGISTERS = 32;
const ECALL_LENGTH = 4;
/** Argument registers a0..a5, and where the raw door has a7. */
const ARGUMENTS = 6;
const DOOR_A7 = 7;
/** No address of an instruction. */
const NO_PC = -1;
/** ns per tick of the time CSR. */
const TICK_NS = 100;

/** Page numbers are 52 bits; those from here on lie in the upper, negative half of the canonical addresses. */
const UPPER_HALF_PAGE = 2 ** 51;
const PAGE_NUMBERS = 2 ** 52;

/** Gives ELFs without a program note a hart. `bus` is the board's: RAM and device windows. */
export function hartBodies(bus: Bus): BodyOf {
  return (kernel, elf): Program =>
    (sys) =>
      new HartTask(kernel, bus, elf, sys).run();
}

/** A task's address space as its hart sees it. */
class UserSpace implements HartSpace {
  /** Code was fetched from pages that others may write: decoded code is not to be kept over a turn of somebody else. */
  foreignCode = false;
  readonly #space: AddressSpace;
  readonly #elf: ElfFile | null;

  constructor(space: AddressSpace, elf: ElfFile | null) {
    this.#space = space;
    this.#elf = elf;
  }

  translate(page: number, access: HartAccess): number {
    const va = (page >= UPPER_HALF_PAGE ? page - PAGE_NUMBERS : page) * PAGE_SIZE;
    const pa = this.#space.translate(va, accessOf(access));
    if (pa === NO_TRANSLATION) return PAGE_FAULT;
    if (access === 'fetch' && !this.foreignCode) this.foreignCode = !isLoadedCode(this.#elf, va);
    return pa / PAGE_SIZE;
  }
}

function accessOf(access: HartAccess): (typeof Access)[keyof typeof Access] {
  switch (access) {
    case 'fetch':
      return Access.FETCH;
    case 'load':
      return Access.LOAD;
    case 'store':
      return Access.STORE;
    default:
      return unreachable(access);
  }
}

/** True for pages that exec filled from an executable segment: nobody else has a mapping of them. */
function isLoadedCode(elf: ElfFile | null, va: number): boolean {
  for (let i = 0; elf !== null && i < elf.header.phnum; i++) {
    const segment = elf.programHeader(i);
    if (segment === null) return false;
    const { type, flags, vaddr, memsz } = segment;
    if (type === PT_LOAD && (flags & PF_X) !== 0 && va > vaddr - PAGE_SIZE && va < vaddr + memsz) return true;
  }
  return false;
}

/** Counters of a hart that shares its clock with a kernel (sheet 05, section 5): virtual time, also within a turn. */
class TaskCounters implements HartCounters {
  readonly #kernel: Kernel;
  /** Retired instructions that the clock knows of. */
  charged = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  read(csr: CounterCsr, retired: number): number {
    const { clock, costs } = this.#kernel;
    const ns = clock.now + (retired - this.charged) * costs.instruction;
    return csr === CSR_TIME ? Math.floor(ns / TICK_NS) : ns;
  }
}

class HartTask {
  readonly #kernel: Kernel;
  readonly #bus: Bus;
  readonly #elf: ElfFile | null;
  readonly #sys: Sys;

  constructor(kernel: Kernel, bus: Bus, elf: ElfFile | null, sys: Sys) {
    this.#kernel = kernel;
    this.#bus = bus;
    this.#elf = elf;
    this.#sys = sys;
  }

  /** The task's program. It ends by EXIT or by a fault, never by returning. */
  *run(): Generator<Syscall, never, number> {
    const kernel = this.#kernel;
    const sys = this.#sys;
    const task = kernel.tasks[sys.pid];
    assert(task !== undefined, 'a hart for an unknown task');
    const space = memoryOf(kernel).spaceOf(task);
    assert(space !== null, 'a hart for a task without an address space');
    const user = new UserSpace(space, this.#elf);
    const counters = new TaskCounters(kernel);
    const hart = new Hart(new HartMemory(this.#bus, user), counters);
    hart.setX(X.sp, BigInt(task.frame.sp));
    hart.setX(X.gp, BigInt(task.frame.gp));
    hart.setX(X.ra, BigInt(task.frame.ra));
    hart.state.pc = BigInt(task.frame.pc);
    const words = wordsOf(sys);
    let stepwise = false;
    let lastYield = NO_PC;
    for (;;) {
      const stop = this.#compute(hart, counters, stepwise);
      if (stop.reason === 'budget') {
        yield sys.slice();
      } else if (stop.cause === Cause.ecallFromU) {
        enterKernel(hart, task, words);
        const pc = task.frame.pc;
        const result = yield sys.ecallPrepared();
        leaveKernel(hart, task, words);
        if (words[2 * DOOR_A7] === Nr.YIELD && words[2 * DOOR_A7 + 1] === 0 && pc !== lastYield) {
          lastYield = pc;
          yield* idle(hart, user, sys, pc);
        }
        if (result === 0 && words[2 * DOOR_A7] === Nr.MMIO_MAP) stepwise = true;
      } else {
        throw faultOf(hart, stop);
      }
      if (user.foreignCode) hart.memory.fenceI();
    }
  }

  /**
   * Computes until an exception, the end of the turn, or the next event. `stepwise`: the clock follows each instruction,
   * because devices that this task has mapped look at it.
   */
  #compute(hart: Hart, counters: TaskCounters, stepwise: boolean): Stop {
    const { clock, costs } = this.#kernel;
    let left = TURN_INSTRUCTIONS;
    for (;;) {
      // Not beyond the next event: whoever it wakes or stops must not find instructions from its future.
      const due = Math.max(1, Math.ceil((clock.next - clock.now) / costs.instruction));
      const budget = Math.min(left, due, stepwise ? 1 : left);
      const before = hart.state.retired;
      const stop = hart.run(budget);
      const retired = hart.state.retired - before;
      left -= retired;
      counters.charged = hart.state.retired;
      this.#kernel.chargeUser(retired);
      if (stop.reason === 'trap' || left <= 0 || budget === due || this.#kernel.stopping) return stop;
    }
  }
}

/** Where the code after the YIELD at `pc` yields for ever, its rounds are left to the kernel; else nothing happens. */
function* idle({ memory }: Hart, user: UserSpace, sys: Sys, pc: number): Generator<Syscall, void, number> {
  // Code that others may write can change; user code lies below the limit.
  const fetch = (at: number): number | null =>
    at >= 0 && at < USER_VA_LIMIT && memory.fetch(at | 0, 0) ? memory.low : null;
  const instructions = idleRound(fetch, pc);
  if (instructions === 0 || user.foreignCode) return;
  sys.beginPoll().roundCost = instructions;
  yield sys.runPoll();
  assert(false, 'a poll without conditions ended');
}

/** The raw door's registers as words, low half first: a bigint for each of them would cost more than the call. */
function wordsOf(sys: Sys): Uint32Array {
  return new Uint32Array(sys.regs.buffer, sys.regs.byteOffset, 2 * sys.regs.length);
}

/** Registers into the raw door, and the frame that the kernel keeps (sheet 10, section 7.4: the one of the last syscall). */
function enterKernel({ state }: Hart, task: Task, words: Uint32Array): void {
  const { x } = state;
  for (let i = 0; i < ARGUMENTS; i++) copyRegister(x, X.a0 + i, words, i);
  copyRegister(x, X.a7, words, DOOR_A7);
  const { frame } = task;
  frame.pc = wordsToNumber(state.pcLow >>> 0, state.pcHigh >>> 0);
  frame.sp = registerNumber(x, X.sp);
  frame.gp = registerNumber(x, X.gp);
  frame.ra = registerNumber(x, X.ra);
}

/** Results into registers; the trap has destroyed t0 to t2 (sheet 05, section 16.2; sheet 10, Q9). */
function leaveKernel({ state }: Hart, task: Task, words: Uint32Array): void {
  const { x } = state;
  x[X.a0] = words[0] ?? 0;
  x[X.a0 + HIGH] = words[1] ?? 0;
  x[X.a1] = words[2] ?? 0;
  x[X.a1 + HIGH] = words[3] ?? 0;
  for (const t of [X.t0, X.t1]) {
    x[t] = 0;
    x[t + HIGH] = 0;
  }
  x[X.t2] = x[X.sp] ?? 0;
  x[X.t2 + HIGH] = x[X.sp + HIGH] ?? 0;
  const next = (state.pcLow + ECALL_LENGTH) | 0;
  // The ecall has an even address: only its successor's low word can be below 4.
  if (next >>> 0 < ECALL_LENGTH) state.pcHigh = (state.pcHigh + 1) | 0;
  state.pcLow = next;
  task.frame.pc = wordsToNumber(next >>> 0, state.pcHigh >>> 0);
}

function copyRegister(x: Int32Array, register: number, words: Uint32Array, at: number): void {
  words[2 * at] = x[register] ?? 0;
  words[2 * at + 1] = x[register + HIGH] ?? 0;
}

function registerNumber(x: Int32Array, register: number): number {
  return wordsToNumber((x[register] ?? 0) >>> 0, (x[register + HIGH] ?? 0) >>> 0);
}

function faultOf(hart: Hart, stop: Stop): GuestFault {
  const registers = new BigUint64Array(REGISTERS);
  for (let i = 0; i < REGISTERS; i++) registers[i] = hart.getX(i);
  return new GuestFault(kindOf(stop.cause), exact(hart.state.pc), exact(stop.tval), registers);
}

function kindOf(cause: Cause): GuestFaultKind {
  switch (cause) {
    case Cause.fetchPage:
      return 'inst';
    case Cause.loadPage:
      return 'load';
    case Cause.storePage:
      return 'store';
    case Cause.illegal:
      return 'illegal';
    case Cause.breakpoint:
      return 'breakpoint';
    case Cause.fetchAccess:
      return 'inst-access';
    case Cause.loadMisaligned:
      return 'load-misaligned';
    case Cause.loadAccess:
      return 'load-access';
    case Cause.storeMisaligned:
      return 'store-misaligned';
    case Cause.storeAccess:
      return 'store-access';
    case Cause.ecallFromU:
      assert(false, 'an ecall is no fault');
      break;
    default:
      return unreachable(cause);
  }
}

/** An address as a number where that is exact. */
function exact(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
