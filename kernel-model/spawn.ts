/** The spawn step of SPAWN and EXEC (sheet 10, section 6.1). */
import { PAGE_SIZE, Rights, serviceIdOf } from './abi.ts';
import { announceCapTable } from './announce.ts';
import { CapTable } from './captable.ts';
import type { SpawnError } from './errors.ts';
import type { Kernel } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
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

  const user = request.addressSpace !== null;
  let space = request.addressSpace === null ? null : memory.spaces.get(request.addressSpace);
  let sp = request.sp;
  if (user) {
    if (sp === null) return 'invalid-stack-pointer';
    if (space === null) return 'as-invalid-handle';
  } else {
    const created = memory.spaces.create();
    if (created === 'asid-exhausted') return 'as-asid-exhausted';
    if (created === 'no-memory') {
      memory.outOfHeap();
      return created;
    }
    space = created;
    const stack = memory.stacks.allocate();
    if (stack === null) {
      memory.spaces.destroy(space);
      return 'stack-exhausted';
    }
    const bytes = KERNEL_STACK_PAGES * PAGE_SIZE;
    const error = space.mapRange(KERNEL_STACK_VA_TOP - bytes, stack, bytes, Pte.V | Pte.R | Pte.W);
    if (error === 'no-memory') {
      memory.outOfHeap();
      return error;
    }
    sp = KERNEL_STACK_VA_TOP;
  }

  const task = kernel.createTask({
    parent: parentPid,
    name: request.name || request.label,
    serviceId: serviceIdOf(request.name),
    program: request.program,
    addressSpace: space?.handle ?? null,
    frame: {
      pc: request.entry,
      sp: sp ?? 0,
      gp: request.gp,
      ra: 0,
      sstatus: user ? SSTATUS_USER : SSTATUS_SUPERVISOR,
    },
    guard: request.guard,
  });
  for (const [slot, cap] of caps.entries()) task.caps.set(slot, cap);
  kernel.uart.line(
    `[INFO task] SPAWN-FRAME: sepc=${hex(request.entry)} sp(x2)=${hex(sp ?? 0)} gp(x3)=${hex(request.gp)}`,
  );
  if (!kernel.admitTask(task)) {
    if (space !== null && space.tasks === 0) memory.spaces.destroy(space);
    return 'run-queue-full';
  }
  if (space !== null) space.tasks++;
  return task;
}
