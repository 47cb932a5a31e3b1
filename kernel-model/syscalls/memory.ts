/** Memory objects: MAP, VMO_CREATE, VMO_WRITE, AS_CREATE, AS_MAP, MMIO_MAP, CAP_QUERY, DEVICE_CAP_CREATE (sheet 10, 2.2 and 7). */
import { CapKind, Errno, PAGE_SIZE, Rights } from '../abi.ts';
import { AddressSpace } from '../address-space.ts';
import type { Capability, MmioCap, VmoCap } from '../captable.ts';
import { createSpace, mapResult } from '../exec.ts';
import type { Kernel } from '../kernel.ts';
import { memoryOf } from '../kernel-memory.ts';
import { PTE_FLAG_BITS, Pte } from '../page-tables.ts';
import { isCanonical } from '../registers.ts';
import type { Syscall } from '../sys.ts';
import type { Task } from '../task.ts';
import { roundUpToPages } from '../vmo.ts';

/** Slot argument that means "any free slot": u64 max. */
const ANY_SLOT = -1;
/** Slot in which DEVICE_CAP_CREATE looks for the factory (Q22). */
const FACTORY_SLOT = 1;
/** AS_MAP's prot and flags. */
const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_USER = 1;

function validPage(va: number): boolean {
  return isCanonical(va) && va % PAGE_SIZE === 0;
}

/** Lengths and offsets are unsigned: a negative number stands for a huge one. */
function below(value: number, limit: number): boolean {
  return value >= 0 && value < limit;
}

function vmoIn(task: Task, slot: number): VmoCap | null {
  const cap = task.caps.get(slot);
  return cap?.kind === 'vmo' && (cap.rights & Rights.MAP) !== 0 ? cap : null;
}

/** Stores a new capability in a given or any slot; the slot or -errno. */
function store(kernel: Kernel, task: Task, slot: number, cap: Capability): number {
  if (slot === ANY_SLOT) {
    const free = task.caps.allocate(cap);
    return free < 0 ? -Errno.ENOSPC : free;
  }
  if (task.caps.set(slot, cap)) return slot;
  const shown = slot < 0 ? BigInt.asUintN(64, BigInt(slot)) : slot;
  kernel.uart.line(`CAP-E: invalid slot ${shown} (len=${task.caps.size})`);
  return -Errno.EPERM;
}

/** MAP: one page of a VMO into the caller's space. */
export function map(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.syscall + kernel.costs.mapPage);
  const { a0: slot, a1: va, a2: offset, a3: flags } = request;
  if (!validPage(va)) return -Errno.EINVAL;
  if (flags < 0 || flags > PTE_FLAG_BITS) return -Errno.EINVAL;
  if (flags & Pte.W && flags & Pte.X) return -Errno.EPERM;
  const vmo = vmoIn(task, slot);
  if (vmo === null || !below(offset, vmo.len)) return -Errno.EPERM;
  const memory = memoryOf(kernel);
  const space = memory.spaceOf(task);
  if (space === null) return -Errno.EINVAL;
  return mapResult(memory, space.map(va, vmo.base + offset - (offset % PAGE_SIZE), flags));
}

/** VMO_CREATE: zeroed pages from the arena. */
export function vmoCreate(kernel: Kernel, task: Task, request: Syscall): number {
  const { costs } = kernel;
  kernel.charge(costs.syscall);
  const { a0: slot, a1: len } = request;
  const base = len > 0 ? memoryOf(kernel).arena.allocate(len) : null;
  if (base === null) return -Errno.EPERM;
  const bytes = roundUpToPages(len);
  kernel.charge((bytes / PAGE_SIZE) * costs.copyPage);
  return store(kernel, task, slot, { kind: 'vmo', base, len: bytes, rights: Rights.MAP });
}

/** VMO_WRITE's checks up to its pointer: where the bytes go, null for EPERM. */
export function vmoWriteTarget(task: Task, slot: number, offset: number, len: number): number | null {
  const vmo = vmoIn(task, slot);
  if (vmo === null || offset < 0 || len < 0 || offset + len > vmo.len) return null;
  return vmo.base + offset;
}

/** VMO_WRITE: bytes into a VMO. */
export function vmoWrite(kernel: Kernel, task: Task, request: Syscall): number {
  const { costs } = kernel;
  const { bytes } = request;
  kernel.charge(costs.syscall);
  const target = vmoWriteTarget(task, request.a0, request.a1, bytes.length);
  if (target === null) return -Errno.EPERM;
  kernel.charge(((bytes.length + 7) >> 3) * costs.copy8);
  memoryOf(kernel).ram.slice(target, bytes.length).set(bytes);
  return bytes.length;
}

/** AS_CREATE: an address space of its own, known by a global handle. */
export function asCreate(kernel: Kernel, _task: Task, _request: Syscall): number {
  kernel.charge(kernel.costs.syscall);
  const space = createSpace(kernel);
  return space instanceof AddressSpace ? space.handle : space;
}

/** AS_MAP: the start of a VMO into any space (sheet 10, section 7.1). */
export function asMap(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.syscall);
  const { a0: handle, a1: slot, a2: va, a3: len, a4: prot, a5: flags } = request;
  if (handle === 0 || !validPage(va)) return -Errno.EINVAL;
  if (len === 0 || len % PAGE_SIZE !== 0) return -Errno.EINVAL;
  if (prot & PROT_WRITE && prot & PROT_EXEC) return -Errno.EPERM;
  if (overflows(va, len)) return -Errno.EINVAL;
  const vmo = vmoIn(task, slot);
  if (vmo === null) return -Errno.EPERM;
  const usable = len < 0 ? vmo.len : Math.min(len, vmo.len);
  const bytes = usable - (usable % PAGE_SIZE);
  let bits: number = Pte.V;
  if (prot & PROT_READ) bits |= Pte.R;
  if (prot & PROT_WRITE) bits |= Pte.W;
  if (prot & PROT_EXEC) bits |= Pte.X;
  if (flags & MAP_USER) bits |= Pte.U;
  const memory = memoryOf(kernel);
  const space = memory.spaces.get(handle);
  if (bytes === 0 || bits === Pte.V || bits === (Pte.V | Pte.U) || space === null) return -Errno.EINVAL;
  kernel.charge((bytes / PAGE_SIZE) * kernel.costs.mapPage);
  return mapResult(memory, space.mapRange(va, vmo.base, bytes, bits));
}

/** True when `a + b` leaves the unsigned 64-bit range. */
function overflows(a: number, b: number): boolean {
  return a < 0 ? b < 0 || a + b >= 0 : b < 0 && a + b >= 0;
}

/** MMIO_MAP: one page of a device window, readable and writable. */
export function mmioMap(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.syscall + kernel.costs.mapPage);
  const { a0: slot, a1: va, a2: offset } = request;
  if (!validPage(va)) return -Errno.EINVAL;
  const cap = task.caps.get(slot);
  if (cap?.kind !== 'mmio' || (cap.rights & Rights.MAP) === 0) return -Errno.EPERM;
  if (!below(offset, cap.len) || offset % PAGE_SIZE !== 0) return -Errno.EPERM;
  const memory = memoryOf(kernel);
  const space = memory.spaceOf(task);
  if (space === null) return -Errno.EINVAL;
  return mapResult(memory, space.map(va, cap.base + offset, Pte.V | Pte.U | Pte.R | Pte.W));
}

/** CAP_QUERY: what a VMO or a device window covers, into `sys.query`. */
export function capQuery(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.syscall);
  const cap = task.caps.get(request.a0);
  if (cap === null || (cap.rights & Rights.MAP) === 0) return -Errno.EPERM;
  if (cap.kind !== 'vmo' && cap.kind !== 'mmio') return -Errno.EPERM;
  const { query } = task.sys;
  query.kind = cap.kind === 'vmo' ? CapKind.VMO : CapKind.DEVICE_MMIO;
  query.base = cap.base;
  query.len = cap.len;
  return 0;
}

const U64_SPAN = 2 ** 64;

/** DEVICE_CAP_CREATE: a device window, for the holder of the factory. */
export function deviceCapCreate(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.cap);
  const { a0: base, a1: len, a2: slot } = request;
  if (len === 0 || base % PAGE_SIZE !== 0 || len % PAGE_SIZE !== 0 || overflows(base, len)) return -Errno.EINVAL;
  const factory = task.caps.get(FACTORY_SLOT);
  if (factory?.kind !== 'factory' || (factory.rights & Rights.MANAGE) === 0) return -Errno.EPERM;
  const unsigned = (value: number): number => (value < 0 ? value + U64_SPAN : value);
  const cap: MmioCap = { kind: 'mmio', base: unsigned(base), len: unsigned(len), rights: Rights.MAP };
  return store(kernel, task, slot, cap);
}
