/** Capability and endpoint syscalls: 8, 19 to 24, 31 (sheet 10, sections 2.2 and 3). */
import { ALL_RIGHTS, Errno, MAX_ENDPOINT_DEPTH, Rights } from '../abi.ts';
import { traceCap } from '../captable.ts';
import type { Capability } from '../captable.ts';
import { closeOrder } from '../endpoint.ts';
import type { Kernel } from '../kernel.ts';
import type { Syscall } from '../sys.ts';
import type { Task } from '../task.ts';

/** The one task that may ever hand out the endpoint factory, and the one that may get it (sheet 10, Q3). */
const FACTORY_GIVER = 0;
const FACTORY_TAKER = 1;

/** CAP_TRANSFER: a copy with fewer or equal rights into the target's lowest free slot. */
export function capTransfer(kernel: Kernel, task: Task, request: Syscall): number {
  return transfer(kernel, task, request, null);
}

/** CAP_TRANSFER_TO: the same into a given empty slot. */
export function capTransferTo(kernel: Kernel, task: Task, request: Syscall): number {
  return transfer(kernel, task, request, request.a3);
}

/** Section 3.3, in its order; `slot` null allocates. */
function transfer(kernel: Kernel, task: Task, request: Syscall, slot: number | null): number {
  kernel.charge(kernel.costs.cap);
  const pid = request.a0;
  const rights = request.a2;
  if (rights < 0 || rights > ALL_RIGHTS) return -Errno.EPERM;
  const source = task.caps.get(request.a1);
  if ((rights & Rights.MANAGE) !== 0 && source?.kind !== 'factory') return -Errno.EPERM;
  if (source?.kind === 'factory' && !(task.pid === FACTORY_GIVER && pid === FACTORY_TAKER)) return -Errno.EPERM;
  const cap = task.caps.derive(request.a1, rights);
  if (cap === null) return -Errno.EPERM;
  const target = kernel.tasks[pid];
  if (target === undefined) return -Errno.EPERM;
  const placed = place(target, slot, cap);
  if (placed < 0) return -Errno.EPERM;
  if (kernel.trace.on) kernel.trace.emit({ kind: 'cap-transfer', target: pid, slot: placed, cap: traceCap(cap) });
  return placed;
}

function place(target: Task, slot: number | null, cap: Capability): number {
  if (slot === null) return target.caps.allocate(cap);
  return target.caps.setIfEmpty(slot, cap) ? slot : -1;
}

/** CAP_CLONE: the same kind and rights in another slot. */
export function capClone(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.cap);
  const cap = task.caps.get(request.a0);
  if (cap === null || cap.kind === 'factory') return -Errno.EPERM;
  const slot = task.caps.allocate(cap);
  return slot < 0 ? -Errno.ENOSPC : slot;
}

/** CAP_CLOSE: a local drop only. */
export function capClose(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.cap);
  return task.caps.take(request.a0) === null ? -Errno.EPERM : 0;
}

/** EP_CREATE v1: abolished. */
export function epCreate(kernel: Kernel): number {
  kernel.charge(kernel.costs.syscall);
  return -Errno.EPERM;
}

/** EP_CREATE v2: an endpoint of the caller's own. */
export function epCreateV2(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.endpoint);
  const depth = request.a1;
  if (!validDepth(depth)) return -Errno.EINVAL;
  if (!holdsFactory(task, request.a0)) return -Errno.EPERM;
  return create(kernel, task, task.pid, depth);
}

/** EP_CREATE_FOR: an endpoint that the caller or a direct child owns. */
export function epCreateFor(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.endpoint);
  const owner = request.a1;
  const depth = request.a2;
  if (!validDepth(depth)) return -Errno.EINVAL;
  if (!holdsFactory(task, request.a0)) return -Errno.EPERM;
  const target = kernel.tasks[owner];
  if (target === undefined) return -Errno.EPERM;
  if (owner !== task.pid && target.parent !== task.pid) return -Errno.EPERM;
  return create(kernel, task, owner, depth);
}

function create(kernel: Kernel, task: Task, owner: number, depth: number): number {
  const endpoint = kernel.router.create(depth, owner);
  if (endpoint < 0) return endpoint;
  if (kernel.trace.on) kernel.trace.emit({ kind: 'endpoint-create', endpoint, owner, depth });
  const rights = Rights.SEND | Rights.RECV | Rights.MANAGE;
  // With a full table the endpoint stays allocated: ids are never reused (Q17).
  const slot = task.caps.allocate({ kind: 'endpoint', endpoint, rights });
  return slot < 0 ? -Errno.ENOSPC : slot;
}

/** EP_CLOSE: the slot is consumed first, whatever follows (Q15). */
export function epClose(kernel: Kernel, task: Task, request: Syscall): number {
  kernel.charge(kernel.costs.endpoint);
  const cap = task.caps.take(request.a0);
  if (cap === null || cap.kind !== 'endpoint' || (cap.rights & Rights.MANAGE) === 0) return -Errno.EPERM;
  const waiters: number[] = [];
  if (!kernel.router.close(cap.endpoint, waiters)) return -Errno.ESRCH;
  if (kernel.trace.on) kernel.trace.emit({ kind: 'endpoint-close', endpoint: cap.endpoint });
  for (const pid of closeOrder(waiters)) kernel.wake(pid);
  return 0;
}

function validDepth(depth: number): boolean {
  return depth >= 1 && depth <= MAX_ENDPOINT_DEPTH;
}

function holdsFactory(task: Task, slot: number): boolean {
  const cap = task.caps.get(slot);
  return cap !== null && cap.kind === 'factory' && (cap.rights & Rights.MANAGE) !== 0;
}
