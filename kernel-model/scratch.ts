/**
 * The exit and wait checks of the contract (quirk `kselftest-unchecked` off): a scratch kernel built by the same code as
 * the booting one runs a parent whose children exit with 0 and 7. The booting kernel's tables, lines and clock are not
 * touched.
 */
import { Clock } from '../sim/clock.ts';
import { Ram } from '../sim/ram.ts';
import { Trace } from '../sim/trace.ts';
import { Rights, serviceIdOf } from './abi.ts';
import { AddressSpace } from './address-space.ts';
import type { KernelImage } from './image.ts';
import { Kernel } from './kernel.ts';
import type { KernelDeps } from './kernel.ts';
import { kernelMemory, memoryOf } from './kernel-memory.ts';
import { LOW_WINDOW_BASE, SSTATUS_USER, VMO_ARENA_BASE } from './layout.ts';
import type { Program } from './sys.ts';
import { writeElf } from './synthetic-elf.ts';
import { NO_PARENT } from './task.ts';

/** What went wrong in the two checks; null where nothing did. */
export interface ExitWaitResult {
  readonly exit: string | null;
  readonly wait: string | null;
}

/** Turns that the scratch run may take: some ten are needed. */
const MAX_TURNS = 1000;
/** End of its RAM. Two children need little of the arena, and the host collects garbage over every 32 MiB. */
const RAM_END = VMO_ARENA_BASE + 0x10_0000;
const PARENT = 'selftest-parent';
const CODES = [0, 7] as const;

interface Reaped {
  readonly pid: number;
  readonly status: number;
}

/** Runs the checks; `build` makes the kernel (tests put a broken one in). */
export function checkExitAndWait(
  image: KernelImage,
  build: (deps: KernelDeps) => Kernel = (deps) => new Kernel(deps),
): ExitWaitResult {
  const pids: number[] = [];
  const reaped: Reaped[] = [];
  const parent: Program = function* (sys) {
    for (const code of CODES) pids.push(yield sys.exec(childElf(code), 1, 0));
    reaped.push({ pid: yield sys.wait(pids[0] ?? -1), status: sys.waitStatus });
    reaped.push({ pid: yield sys.wait(-1), status: sys.waitStatus });
    for (;;) yield sys.recv(0, 0);
  };
  const programs = new Map<string, Program>(CODES.map((code) => [childName(code), exiting(code)]));
  const clock = new Clock();
  const kernel = build({
    board: { clock, trace: new Trace(clock), memory: new Ram(LOW_WINDOW_BASE, RAM_END - LOW_WINDOW_BASE) },
    uart: { transmit: () => undefined },
    image: { ...image, programs, options: { ...image.options, loneReceiverEinval: false } },
    memory: kernelMemory({ bus: null, arenaEnd: RAM_END }),
    boot: null,
  });
  const space = memoryOf(kernel).spaces.create();
  if (!(space instanceof AddressSpace)) return { exit: 'no address space', wait: 'no address space' };
  const task = kernel.createTask({
    parent: NO_PARENT,
    name: PARENT,
    serviceId: serviceIdOf(PARENT),
    program: parent,
    addressSpace: space.handle,
    frame: { pc: 0, sp: 0, gp: 0, ra: 0, sstatus: SSTATUS_USER },
    guard: null,
  });
  task.caps.set(0, { kind: 'endpoint', endpoint: 0, rights: Rights.SEND | Rights.RECV });
  kernel.admitTask(task);
  kernel.start();
  kernel.run({ untilNs: Infinity, maxSteps: MAX_TURNS });
  return { exit: exitFault(kernel, pids), wait: waitFault(pids, reaped) };
}

function exitFault(kernel: Kernel, pids: readonly number[]): string | null {
  for (const [i, code] of CODES.entries()) {
    const child = kernel.tasks[pids[i] ?? -1];
    if (child === undefined) return `child ${i} not started`;
    if (child.state !== 'zombie') return `child ${i} is ${child.state}`;
    if (child.exitCode !== code) return `child ${i} exited with ${child.exitCode}, expected ${code}`;
  }
  return null;
}

function waitFault(pids: readonly number[], reaped: readonly Reaped[]): string | null {
  for (const [i, code] of CODES.entries()) {
    const got = reaped[i];
    if (got === undefined) return `wait ${i} did not return`;
    if (got.pid !== pids[i] || got.status !== code) return `wait ${i} returned pid=${got.pid} status=${got.status}`;
  }
  return null;
}

function exiting(code: number): Program {
  return function* (sys) {
    yield sys.getpid();
    return code;
  };
}

function childName(code: number): string {
  return `exit-${code}`;
}

function childElf(code: number): Uint8Array {
  return writeElf({ entry: 0x1000, segments: [{ vaddr: 0x1000, memsz: 0x1000, flags: 5 }], program: childName(code) });
}
