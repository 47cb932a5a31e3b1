/** Task creation: SPAWN, EXEC v1 and v2, SPAWN_LAST_ERROR (sheet 10, sections 2.2, 6.1 and 6.3). */
import { Errno } from '../abi.ts';
import { spawnErrno, spawnReason } from '../errors.ts';
import { exec } from '../exec.ts';
import type { Kernel } from '../kernel.ts';
import { illegalBody, memoryOf } from '../kernel-memory.ts';
import { hex } from '../layout.ts';
import { isCanonical } from '../registers.ts';
import { spawnTask } from '../spawn.ts';
import type { Program, Syscall } from '../sys.ts';
import type { Task } from '../task.ts';

/** Arguments of SPAWN; 0 stands for no stack pointer and no address space. */
export interface SpawnArguments {
  readonly entry: number;
  readonly sp: number;
  readonly handle: number;
  readonly slot: number;
  readonly gp: number;
}

/** SPAWN: a task at `entry`, either in a given address space with a given stack or in the kernel with its own. */
export function spawn(kernel: Kernel, task: Task, request: Syscall): number {
  const { a0: entry, a1: sp, a3: slot, a4: gp } = request;
  const handle = request.a2 >>> 0;
  // Without an address space the entry is kernel text, which is not code here.
  const body = handle === 0 ? illegalBody(kernel) : memoryOf(kernel).spawnedBody();
  return spawnProgram(kernel, task, { entry, sp, handle, slot, gp }, body, 'spawned');
}

/** SPAWN with a known body: how the kernel starts its first task. `label` names the task in reports. */
export function spawnProgram(
  kernel: Kernel,
  task: Task,
  { entry, sp, handle, slot, gp }: SpawnArguments,
  program: Program,
  label: string,
): number {
  kernel.charge(kernel.costs.exec);
  if (!isCanonical(entry) || entry % 2 !== 0) return -Errno.EINVAL;
  if (!isCanonical(sp)) return -Errno.EINVAL;
  kernel.uart.line(`[INFO sys] SPAWN: entry=${hex(entry)} sp=${hex(sp)} as=${handle} slot=${slot} gp=${hex(gp)}`);
  if ((sp === 0) !== (handle === 0)) return -Errno.EINVAL;
  const child = spawnTask(kernel, task.pid, {
    entry,
    sp: sp === 0 ? null : sp,
    addressSpace: handle === 0 ? null : handle,
    bootstrapSlot: slot,
    gp,
    name: '',
    label,
    guard: null,
    program,
  });
  if (child === 'no-memory') return -Errno.EINVAL;
  if (typeof child !== 'string') return child.pid;
  task.spawnLastError = spawnReason(child);
  return spawnErrno(child);
}

/** EXEC v1: an ELF without identity. */
export function execV1(kernel: Kernel, task: Task, request: Syscall): number {
  return exec(kernel, task, { elf: request.bytes, stackPages: request.a2, gp: request.a3, name: null });
}

/** EXEC v2: an ELF under a name that becomes its service id. */
export function execV2(kernel: Kernel, task: Task, request: Syscall): number {
  return exec(kernel, task, { elf: request.bytes, stackPages: request.a2, gp: request.a3, name: request.name });
}

/** SPAWN_LAST_ERROR: the reason of the caller's last failed SPAWN, then cleared. */
export function spawnLastError(kernel: Kernel, task: Task, _request: Syscall): number {
  kernel.charge(kernel.costs.syscall);
  const reason = task.spawnLastError;
  task.spawnLastError = 0;
  return reason;
}
