/**
 * The kernel's memory side: pools, address spaces, a task's view of memory, activation lines (sheet 10, sections 1.2, 6
 * and 7), and the bodies that ELF files stand for.
 */
import { assert } from '../sim/assert.ts';
import type { GuestMemory } from '../sim/memory.ts';
import { PAGE_SIZE } from './abi.ts';
import { Access, AddressSpaces, NO_TRANSLATION } from './address-space.ts';
import type { AccessKind, AddressSpace, AddressSpaceResult } from './address-space.ts';
import type { ElfFile } from './elf.ts';
import { heapExhausted, kernelPageFault, userFault } from './faults.ts';
import type { Kernel } from './kernel.ts';
import {
  hex,
  hex16,
  INIT_POOL_BASE,
  INIT_POOL_LIMIT,
  STACK_POOL_BASE,
  STACK_POOL_END,
  VMO_ARENA_BASE,
  VMO_ARENA_END,
} from './layout.ts';
import { GuestFault } from './memory-side.ts';
import type { MemorySide } from './memory-side.ts';
import { TablePages } from './page-tables.ts';
import { programNote } from './synthetic-elf.ts';
import type { Program, Syscall } from './sys.ts';
import type { Task } from './task.ts';
import { PageArena, StackPool } from './vmo.ts';

/** Activations that print their four checks, and those that print the two trampoline lines too. */
export const ACTIVATION_LINES = 16;
export const TRAMPOLINE_LINES = 8;

/** The physical bus as the memory side needs it: a read answers -1, a write false where nothing takes the access. */
export interface PhysicalBus {
  read(address: number, width: 1 | 2 | 4): number;
  write(address: number, width: 1 | 2 | 4, value: number): boolean;
}

/**
 * Gives an ELF without a program note its body: a hart that executes it. Without a file (SPAWN) the code is whatever the
 * address space maps. Null: nobody can, the task faults with an illegal instruction when it first runs.
 */
export type BodyOf = (kernel: Kernel, elf: ElfFile | null) => Program | null;

/** What the memory side needs beyond the kernel. */
export interface MemoryOptions {
  /** Reaches device windows; null: RAM only. */
  readonly bus: PhysicalBus | null;
  readonly bodyOf?: BodyOf;
  /** End of the arena where the RAM ends before it. */
  readonly arenaEnd?: number;
}

/** Who prints an activation: the stack pointer that it shows differs (sheet 10, end). */
export type ActivationContext = 'boot' | 'selftest' | 'trap';

/** Builds the memory side of a kernel; pass it as `memory` to the kernel's constructor. */
export function kernelMemory(options: MemoryOptions): (kernel: Kernel) => KernelMemory {
  return (kernel) => new KernelMemory(kernel, options);
}

/** The memory side of `kernel`; only kernels built with one may get here. */
export function memoryOf(kernel: Kernel): KernelMemory {
  assert(kernel.memory instanceof KernelMemory, 'this kernel was built without its memory side');
  return kernel.memory;
}

export class KernelMemory implements MemorySide {
  readonly ram: GuestMemory;
  readonly arena: PageArena;
  readonly stacks: StackPool;
  readonly initPages: PageArena;
  readonly tables: TablePages;
  readonly spaces: AddressSpaces;
  context: ActivationContext = 'trap';
  /** The space in satp. */
  activeSpace: AddressSpace | null = null;
  /** The request that the raw door fills for a handler; one call runs at a time. */
  readonly rawRequest: Syscall = {
    nr: 0,
    a0: 0,
    a1: 0,
    a2: 0,
    a3: 0,
    a4: 0,
    a5: 0,
    bytes: new Uint8Array(0),
    name: '',
    ty: 0,
    headerFlags: 0,
    moveSlot: 0,
  };
  readonly #kernel: Kernel;
  readonly #bus: PhysicalBus | null;
  readonly #bodyOf: BodyOf;
  #activations = 0;

  constructor(kernel: Kernel, options: MemoryOptions) {
    const { memory } = kernel.board;
    const { addresses } = kernel.image;
    const print = (line: string): void => {
      kernel.uart.line(line);
    };
    this.#kernel = kernel;
    this.#bus = options.bus;
    this.#bodyOf = options.bodyOf ?? ((): null => null);
    this.ram = memory;
    this.arena = new PageArena(memory, VMO_ARENA_BASE, options.arenaEnd ?? VMO_ARENA_END);
    this.stacks = new StackPool(STACK_POOL_BASE, STACK_POOL_END);
    this.initPages = new PageArena(memory, INIT_POOL_BASE, INIT_POOL_LIMIT);
    this.tables = new TablePages(memory, addresses, print);
    this.spaces = new AddressSpaces(memory, this.tables, addresses, print);
  }

  // -- address spaces -----------------------------------------------------------------------------------------------

  /** A new space with the kernel's pages in it, and the time that mapping them takes. Prints KMAP. */
  createSpace(): AddressSpaceResult {
    const space = this.spaces.create();
    if (typeof space !== 'string') this.#kernel.charge(this.#kernel.costs.mapPage * space.kernelPages);
    return space;
  }

  get activationPrints(): boolean {
    return this.#activations < ACTIVATION_LINES;
  }

  activate(task: Task): void {
    const space = this.spaceOf(task);
    if (space !== null) this.activateSpace(space);
  }

  /** ACT (sheet 10, section 1.2) within its quotas. */
  activateSpace(space: AddressSpace): void {
    this.activeSpace = space;
    const count = this.#activations;
    if (count >= ACTIVATION_LINES) return;
    this.#activations = count + 1;
    const { uart, image } = this.#kernel;
    const { pcPage, guardPc } = image.addresses;
    uart.line(`AS: activating satp=0x${hex16(space.satp)}`);
    uart.line(`AS: pc check va=0x${hex16(pcPage)}`);
    uart.line(`AS: sp check va=0x${hex16(this.#stackPage())}`);
    uart.line(`AS: ensure_rx_guard pc=0x${hex16(guardPc)}`);
    if (count >= TRAMPOLINE_LINES) return;
    uart.line(`[INFO as] AS: trampoline enter val=0x${space.satp.toString(16)}`);
    uart.line('AS: post-satp OK');
  }

  release(task: Task): void {
    const space = this.spaceOf(task);
    task.addressSpace = null;
    if (space === null) return;
    space.tasks--;
    if (space.tasks === 0) this.spaces.destroy(space);
  }

  /** The space of a task, null when it has none. */
  spaceOf(task: Task): AddressSpace | null {
    return task.addressSpace === null ? null : this.spaces.get(task.addressSpace);
  }

  // -- a program's own accesses -------------------------------------------------------------------------------------

  load32(task: Task, va: number): number {
    assert(va % 4 === 0, `load32 at ${hex(va)}: not aligned`);
    this.#kernel.chargeUser(1);
    const pa = this.#user(task, va, Access.LOAD);
    if (this.ram.contains(pa, 4)) return this.ram.readU32(pa);
    const value = this.#bus?.read(pa, 4) ?? -1;
    if (value < 0) throw new GuestFault('load-access', task.frame.pc, va);
    return value;
  }

  store32(task: Task, va: number, value: number): void {
    assert(va % 4 === 0, `store32 at ${hex(va)}: not aligned`);
    this.#kernel.chargeUser(1);
    const pa = this.#user(task, va, Access.STORE);
    if (this.ram.contains(pa, 4)) {
      this.ram.writeU32(pa, value >>> 0);
      return;
    }
    if (!(this.#bus?.write(pa, 4, value >>> 0) ?? false)) throw new GuestFault('store-access', task.frame.pc, va);
  }

  bytes(task: Task, va: number, len: number): Uint8Array {
    const pa = this.#user(task, va, Access.LOAD);
    for (let at = PAGE_SIZE - (va % PAGE_SIZE); at < len; at += PAGE_SIZE) {
      const next = this.#user(task, va + at, Access.LOAD);
      assert(next === pa + at, `bytes(${hex(va)}, ${len}): not physically contiguous`);
    }
    if (!this.ram.contains(pa, len)) throw new GuestFault('load-access', task.frame.pc, va);
    return this.ram.slice(pa, len);
  }

  userFault(task: Task, fault: GuestFault): void {
    userFault(this.#kernel, this, task, fault);
  }

  nothingRunnable(): void {
    kernelPageFault(this.#kernel, { cause: 12, sepc: 0n, stval: 0n, task: null, satp: 0n });
  }

  // -- the kernel's accesses to user memory (raw door) --------------------------------------------------------------

  /** Copies user memory in; null after the panic of an unmapped pointer (sheet 10, Q7). */
  copyIn(task: Task, va: number, len: number): Uint8Array<ArrayBuffer> | null {
    const pieces = this.#pieces(task, va, len, Access.LOAD);
    if (pieces === null) return null;
    const out = new Uint8Array(len);
    let at = 0;
    for (const { pa, size } of pieces) {
      if (this.ram.contains(pa, size)) out.set(this.ram.slice(pa, size), at);
      else for (let i = 0; i < size; i++) out[at + i] = this.#bus?.read(pa + i, 1) ?? 0;
      at += size;
    }
    return out;
  }

  /** Copies bytes out to user memory; false after the panic of an unmapped or read-only pointer. */
  copyOut(task: Task, va: number, bytes: Uint8Array): boolean {
    const pieces = this.#pieces(task, va, bytes.length, Access.STORE);
    if (pieces === null) return false;
    let at = 0;
    for (const { pa, size } of pieces) {
      if (this.ram.contains(pa, size)) this.ram.slice(pa, size).set(bytes.subarray(at, at + size));
      else for (let i = 0; i < size; i++) this.#bus?.write(pa + i, 1, bytes[at + i] ?? 0);
      at += size;
    }
    return true;
  }

  // -- bodies -------------------------------------------------------------------------------------------------------

  /** The body of a task that runs `elf`: the program its note names, else what the hart makes of it, else a fault. */
  body(elf: ElfFile): Program {
    const name = programNote(elf);
    const program = name === null ? undefined : this.#kernel.image.programs.get(name);
    return program ?? this.#bodyOf(this.#kernel, elf) ?? illegalBody(this.#kernel);
  }

  /** The body of a task that was spawned at an address of a space: the hart's, else a fault. */
  spawnedBody(): Program {
    return this.#bodyOf(this.#kernel, null) ?? illegalBody(this.#kernel);
  }

  /** Ends the run as the kernel does when its heap has no page left (sheet 10, section 7.4). */
  outOfHeap(): void {
    heapExhausted(this.#kernel);
  }

  /** Physical pieces of a user range as the kernel reaches it; null after the panic of a page fault. */
  #pieces(task: Task, va: number, len: number, access: AccessKind): { pa: number; size: number }[] | null {
    const space = this.spaceOf(task);
    const pieces: { pa: number; size: number }[] = [];
    for (let at = 0; at < len;) {
      const here = va + at;
      const size = Math.min(len - at, PAGE_SIZE - (here % PAGE_SIZE));
      const pa = space === null ? NO_TRANSLATION : space.translate(here, access, false);
      if (pa === NO_TRANSLATION) {
        const cause = access === Access.STORE ? 15 : 13;
        const sepc = BigInt(this.#kernel.image.addresses.guardPc);
        kernelPageFault(this.#kernel, { cause, sepc, stval: BigInt(here), task, satp: space?.satp ?? 0n });
        return null;
      }
      pieces.push({ pa, size });
      at += size;
    }
    return pieces;
  }

  #user(task: Task, va: number, access: AccessKind): number {
    const space = task.addressSpace === null ? null : this.spaces.get(task.addressSpace);
    const pa = space === null ? NO_TRANSLATION : space.translate(va, access);
    if (pa === NO_TRANSLATION) {
      throw new GuestFault(access === Access.STORE ? 'store' : 'load', task.frame.pc, va);
    }
    return pa;
  }

  #stackPage(): number {
    const { addresses } = this.#kernel.image;
    switch (this.context) {
      case 'boot':
        return addresses.spPageBoot;
      case 'selftest':
        return addresses.spPageSelftest;
      case 'trap':
        return addresses.spPageTrap;
    }
  }
}

/** A task without a program and without a hart: its first instruction is illegal. */
export function illegalBody(kernel: Kernel): Program {
  return function* body(sys) {
    throw new GuestFault('illegal', kernel.tasks[sys.pid]?.frame.pc ?? 0, 0);
  };
}
