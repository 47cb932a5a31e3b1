/** EXEC v1 and v2 (sheet 10, section 6.3): an ELF into a new address space, with stack, and with identity pages in v2. */
import { Errno, MAX_SERVICE_NAME, PAGE_SIZE, Rights, serviceIdOf } from './abi.ts';
import { AddressSpace } from './address-space.ts';
import { ElfFile, PF_R, PF_W, PF_X, PT_LOAD, readElf } from './elf.ts';
import { mapErrno, spawnErrno } from './errors.ts';
import type { Kernel } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
import type { KernelMemory } from './kernel-memory.ts';
import {
  hex,
  hex16,
  INFO_GUARD_VA,
  INFO_VA,
  META_VA,
  USER_STACK_EXTRA_PAGES,
  USER_STACK_NOMINAL,
  USER_STACK_SP,
  USER_STACK_TOP,
} from './layout.ts';
import type { MapError } from './page-tables.ts';
import { Pte } from './page-tables.ts';
import { spawnTask } from './spawn.ts';
import { programNote } from './synthetic-elf.ts';
import type { Task } from './task.ts';
import { roundUpToPages } from './vmo.ts';

/** Version of the info page. */
export const BOOTSTRAP_INFO_VERSION = 2;
export const BOOTSTRAP_INFO_SIZE = 32;
/** Default gp: this far behind the start of the data it points into. */
const GP_OFFSET = 0x800;
/** Slot that must hold a SEND capability, and that the child gets. */
const BOOTSTRAP_SLOT = 0;

/** Arguments of either version. */
export interface ExecRequest {
  readonly elf: Uint8Array;
  readonly stackPages: number;
  /** 0: derived from the file. */
  readonly gp: number;
  /** Null: version 1. */
  readonly name: string | null;
}

/** Loads and spawns; the pid or -errno. Errors after the space was created leak it, as in the kernel. */
export function exec(kernel: Kernel, caller: Task, request: ExecRequest): number {
  const { name, stackPages } = request;
  kernel.charge(kernel.costs.syscall);
  if (request.elf.length === 0 || stackPages === 0) return -Errno.EINVAL;
  if (name !== null && name.length > MAX_SERVICE_NAME) return -Errno.EINVAL;
  const bootstrap = caller.caps.get(BOOTSTRAP_SLOT);
  if (bootstrap === null || (bootstrap.rights & Rights.SEND) === 0) return -Errno.EPERM;
  kernel.charge(kernel.costs.exec);
  const elf = readElf(request.elf);
  if (!(elf instanceof ElfFile)) return -Errno.EINVAL;
  return new Loader(kernel, elf, name === null).run(caller, request);
}

/** Address-space creation; -errno, or 0 after the panic of an exhausted heap. */
export function createSpace(kernel: Kernel): AddressSpace | number {
  const memory = memoryOf(kernel);
  const space = memory.createSpace();
  if (space === 'asid-exhausted') return -Errno.ENOSPC;
  if (space === 'no-memory') {
    memory.outOfHeap();
    return 0;
  }
  return space;
}

class Loader {
  readonly #kernel: Kernel;
  readonly #memory: KernelMemory;
  readonly #elf: ElfFile;
  /** Version 1 tells what it does. */
  readonly #verbose: boolean;
  /** gp from the first writable segment. */
  #dataStart: number | null = null;
  #end = 0;

  constructor(kernel: Kernel, elf: ElfFile, verbose: boolean) {
    this.#kernel = kernel;
    this.#memory = memoryOf(kernel);
    this.#elf = elf;
    this.#verbose = verbose;
  }

  run(caller: Task, request: ExecRequest): number {
    const kernel = this.#kernel;
    const { header } = this.#elf;
    this.#say(
      `hdr entry=${hex(header.entry)} phoff=${hex(header.phoff)} phentsz=${header.phentsize} phnum=${header.phnum}`,
    );
    const space = createSpace(kernel);
    if (!(space instanceof AddressSpace)) return space;
    const refused = this.#segments(space);
    if (refused !== 0) return refused;
    const gp = this.#gp(request.gp);
    const stack = this.#stack(space, request.stackPages);
    if (stack !== 0) return stack;
    if (request.name !== null) {
      const identity = this.#identity(space, request.name);
      if (identity !== 0) return identity;
    }
    if (header.entry % 2 !== 0) return -Errno.EINVAL;
    const task = spawnTask(kernel, caller.pid, {
      entry: header.entry,
      sp: USER_STACK_SP,
      addressSpace: space.handle,
      bootstrapSlot: BOOTSTRAP_SLOT,
      gp,
      name: request.name ?? '',
      label: programNote(this.#elf) ?? 'elf',
      guard: { stack: USER_STACK_TOP, bootInfo: request.name === null ? -1 : INFO_GUARD_VA },
      program: this.#memory.body(this.#elf),
    });
    if (task === 'no-memory') return 0;
    return typeof task === 'string' ? spawnErrno(task) : task.pid;
  }

  #segments(space: AddressSpace): number {
    const { header } = this.#elf;
    for (let i = 0; i < header.phnum; i++) {
      const refused = this.#segment(space, i);
      if (refused !== 0) return refused;
    }
    return 0;
  }

  #segment(space: AddressSpace, index: number): number {
    const elf = this.#elf;
    const segment = elf.programHeader(index);
    if (segment === null) return -Errno.EINVAL;
    if (segment.type !== PT_LOAD) return 0;
    const { flags, offset, vaddr, filesz, memsz } = segment;
    this.#say(
      `phdr load off=${hex(offset)} vaddr=${hex(vaddr)} filesz=${hex(filesz)} memsz=${hex(memsz)} ` +
        `first4=0x${elf.word(offset).toString(16).padStart(8, '0')}`,
    );
    if (memsz === 0) return 0;
    if (filesz > memsz || !(offset + filesz <= elf.bytes.length)) return -Errno.EINVAL;
    if (flags & PF_W && flags & PF_X) return -Errno.EPERM;
    const before = ((vaddr % PAGE_SIZE) + PAGE_SIZE) % PAGE_SIZE;
    const base = this.#memory.arena.allocate(before + memsz);
    if (base === null) return -Errno.EPERM;
    // A segment that reaches 2^64 would go on at address 0.
    if (vaddr < 0 && vaddr + memsz >= 0) return -Errno.EINVAL;
    this.#memory.ram.slice(base + before, filesz).set(elf.bytes.subarray(offset, offset + filesz));
    if (flags & PF_W) this.#dataStart ??= vaddr;
    // Addresses are unsigned: the upper half lies above everything.
    this.#end = Math.max(this.#end, vaddr < 0 ? Infinity : vaddr + memsz);
    return this.#mapAll(space, vaddr - before, base, roundUpToPages(before + memsz), segmentFlags(flags));
  }

  #gp(argument: number): number {
    const data = this.#dataStart;
    let gp = argument;
    let source = 'arg';
    if (argument === 0) {
      gp = (data ?? this.#elf.header.entry) + GP_OFFSET;
      source = data === null ? 'entry+0x800' : 'rw+0x800';
    }
    this.#say(`gp=${hex(gp)} src=${source}`);
    return gp;
  }

  #stack(space: AddressSpace, stackPages: number): number {
    const pages = stackPages + USER_STACK_EXTRA_PAGES;
    const bytes = pages * PAGE_SIZE;
    const base = stackPages < 0 ? null : this.#memory.arena.allocate(bytes);
    if (base === null) return -Errno.EPERM;
    const bottom = USER_STACK_TOP - bytes;
    const refused = this.#mapAll(space, bottom, base, bytes, Pte.V | Pte.U | Pte.R | Pte.W);
    if (refused !== 0 || !this.#verbose) return refused;
    const line = (text: string): void => {
      this.#kernel.uart.line(`[INFO exec] ${text}`);
    };
    line(
      `STACK-MAP: va=${hex(bottom)}-${hex(USER_STACK_TOP - 1)} pa=${hex(base)} pages=${pages} sp=${hex(USER_STACK_NOMINAL)}`,
    );
    const some = (va: number): string => `0xSome(${(base + va - bottom).toString(16)})`;
    line(
      `STACK-CHECK: base=${hex(bottom)} top=${hex(USER_STACK_TOP)} top-1->${some(USER_STACK_TOP - 1)} top->0xNone ` +
        `sp->${some(USER_STACK_SP)}`,
    );
    return 0;
  }

  /** Name page and info page of version 2. */
  #identity(space: AddressSpace, name: string): number {
    const { arena, ram } = this.#memory;
    if (this.#end > META_VA) return -Errno.EINVAL;
    const meta = arena.allocate(PAGE_SIZE);
    const info = arena.allocate(PAGE_SIZE);
    if (meta === null || info === null) return -Errno.EPERM;
    for (let i = 0; i < name.length; i++) ram.writeU8(meta + i, name.charCodeAt(i));
    ram.writeU32(info, BOOTSTRAP_INFO_VERSION);
    ram.writeU64(info + 8, BigInt(META_VA));
    ram.writeU32(info + 16, name.length);
    ram.writeU64(info + 24, serviceIdOf(name));
    const readable = Pte.V | Pte.U | Pte.R;
    const refused =
      this.#mapAll(space, META_VA, meta, PAGE_SIZE, readable) ||
      this.#mapAll(space, INFO_VA, info, PAGE_SIZE, readable);
    if (refused !== 0) return refused;
    this.#kernel.uart.line(
      `[INFO exec] EXEC-META: va=${hex(META_VA)} pa=${hex(meta)} entry=0x${hex16(space.leaf(META_VA))} ` +
        `name_len=${hex(name.length)} info_va=${hex(INFO_VA)}`,
    );
    return 0;
  }

  #mapAll(space: AddressSpace, va: number, pa: number, bytes: number, flags: number): number {
    const { costs } = this.#kernel;
    this.#kernel.charge((bytes / PAGE_SIZE) * (costs.mapPage + costs.copyPage));
    return mapResult(this.#memory, space.mapRange(va, pa, bytes, flags));
  }

  #say(text: string): void {
    if (this.#verbose) this.#kernel.uart.line(`[INFO exec] EXEC-ELF ${text}`);
  }
}

/** a0 of a mapping: 0, -errno, or 0 after the panic of an exhausted heap. */
export function mapResult(memory: KernelMemory, error: MapError | null): number {
  if (error === null) return 0;
  if (error === 'no-memory') memory.outOfHeap();
  return mapErrno(error);
}

/** PTE bits of a segment. */
export function segmentFlags(flags: number): number {
  let bits: number = Pte.V | Pte.U;
  if (flags & PF_R) bits |= Pte.R;
  if (flags & PF_W) bits |= Pte.W;
  if (flags & PF_X) bits |= Pte.X;
  return bits;
}
