/** The spawn step of SPAWN and EXEC (sheet 10, section 6.1). */
import { PAGE_SIZE, Rights, serviceIdOf } from './abi.ts';
import type { AddressSpace } from './address-space.ts';
import { announceCapTable } from './announce.ts';
import { CapTable } from './captable.ts';
import type { SpawnError } from './errors.ts';
import type { Kernel } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
import type { KernelMemory } from './kernel-memory.ts';
import {
  hex,
  KERNEL_BASE,
  KERNEL_STACK_PAGES,
  KERNEL_STACK_VA_TOP,
  SSTATUS_SUPERVISOR,
  SSTATUS_USER,
} from './layout.ts';
import { Pte } from './page-tables.ts';
import type { Program } from './sys.ts';
import type { GuardInfo, Task } from './task.ts';

/** Slot into which a child of PID 0 gets the endpoint factory. */
const FACTORY_SLOT = 1;

/** What to spawn. */
export interface SpawnRequest {
  readonly entry: number;
  /** Null without an address space: the kernel then takes a stack of its own. */
  readonly sp: number | null;
  /** Handle, null: a supervisor task in a new space. */
  readonly addressSpace: number | null;
  readonly bootstrapSlot: number;
  readonly gp: number;
  /** Name given to exec v2; its id becomes the service id. Empty: id 0. */
  readonly name: string;
  /** For reports, where the name is empty. */
  readonly label: string;
  readonly guard: GuardInfo | null;
  readonly program: Program | null;
}

/** Creates and enqueues a child of `parent`; its task, or why not. `no-memory`: the kernel has panicked. */
export function spawnTask(kernel: Kernel, parentPid: number, request: SpawnRequest): Task | SpawnError | 'no-memory' {
  const memory = memoryOf(kernel);
  const parent = kernel.tasks[parentPid];
  if (parent === undefined) return 'invalid-parent';
  const inKernelText = request.entry >= KERNEL_BASE && request.entry < kernel.image.addresses.textEnd;
  if (request.addressSpace === null && !inKernelText) return 'invalid-entry-point';

  const bootstrap = parent.caps.get(request.bootstrapSlot);
  if (bootstrap === null) return 'cap-invalid-slot';
  if (bootstrap.kind !== 'endpoint') return 'bootstrap-not-endpoint';
  announceCapTable(kernel);
  const caps = new CapTable();
  caps.set(request.bootstrapSlot, bootstrap);
  if (parentPid === 0 && request.addressSpace !== null) {
    caps.set(FACTORY_SLOT, { kind: 'factory', rights: Rights.MANAGE });
  }

  const place = request.addressSpace === null ? ownSpace(memory) : givenSpace(memory, request);
  if (typeof place === 'string') return place;
  const { space, sp, sstatus } = place;
  const task = kernel.createTask({
    parent: parentPid,
    name: request.name || request.label,
    serviceId: serviceIdOf(request.name),
    program: request.program,
    addressSpace: space.handle,
    frame: { pc: request.entry, sp, gp: request.gp, ra: 0, sstatus },
    guard: request.guard,
  });
  for (const [slot, cap] of caps.entries()) task.caps.set(slot, cap);
  kernel.uart.line(`[INFO task] SPAWN-FRAME: sepc=${hex(request.entry)} sp(x2)=${hex(sp)} gp(x3)=${hex(request.gp)}`);
  if (!kernel.admitTask(task)) {
    if (space.tasks === 0) memory.spaces.destroy(space);
    return 'run-queue-full';
  }
  space.tasks++;
  return task;
}

/** Where a task starts. */
interface Place {
  readonly space: AddressSpace;
  readonly sp: number;
  readonly sstatus: number;
}

function givenSpace(memory: KernelMemory, request: SpawnRequest): Place | SpawnError {
  if (request.sp === null) return 'invalid-stack-pointer';
  const space = memory.spaces.get(request.addressSpace ?? 0);
  return space === null ? 'as-invalid-handle' : { space, sp: request.sp, sstatus: SSTATUS_USER };
}

/** A supervisor task: a new space with a stack of 4 pages from the kernel's pool. */
function ownSpace(memory: KernelMemory): Place | SpawnError | 'no-memory' {
  const space = memory.createSpace();
  if (space === 'asid-exhausted') return 'as-asid-exhausted';
  if (space === 'no-memory') {
    memory.outOfHeap();
    return space;
  }
  const stack = memory.stacks.allocate();
  if (stack === null) {
    memory.spaces.destroy(space);
    return 'stack-exhausted';
  }
  const bytes = KERNEL_STACK_PAGES * PAGE_SIZE;
  if (space.mapRange(KERNEL_STACK_VA_TOP - bytes, stack, bytes, Pte.V | Pte.R | Pte.W) !== null) {
    memory.outOfHeap();
    return 'no-memory';
  }
  return { space, sp: KERNEL_STACK_VA_TOP, sstatus: SSTATUS_SUPERVISOR };
}
