/**
 * The boot sequence (sheet 10, section 1.3): the transcript's rows 1 to 56, each line printed because its work was just
 * done. The generator yields after every line or block, so that a run can stop there.
 */
import { Qos, Rights, serviceIdOf } from './abi.ts';
import type { ServiceId } from './abi.ts';
import { AddressSpace } from './address-space.ts';
import { announceCapTable, announceSyscalls } from './announce.ts';
import { panic } from './faults.ts';
import { loadInit } from './init-loader.ts';
import type { Kernel } from './kernel.ts';
import type { KernelDeps } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
import { REAL_PARTS } from './kselftest-ipc.ts';
import type { SelftestParts } from './kselftest-ipc.ts';
import { BootSelftest } from './kselftest.ts';
import { hex, hex16, LOW_WINDOW_BASE, SSTATUS_USER } from './layout.ts';
import { MAX_CPUS, plainPort } from './smp.ts';
import type { IpiPort, Smp } from './smp.ts';
import { spawnProgram } from './syscalls/exec.ts';
import { NO_PARENT } from './task.ts';
import type { Task } from './task.ts';

/** What boot uses beyond the kernel; tests put broken parts in. */
export interface BootParts {
  /** Software interrupts of the machine; without it a plain one per hart. */
  readonly ipi?: IpiPort;
  readonly selftest?: Partial<SelftestParts>;
  /** Builds the scratch kernel of the exit and wait checks. */
  readonly scratchKernel?: (deps: KernelDeps) => Kernel;
}

/** Version line and banner, as printed after `[INFO boot] `. */
const BANNER = [
  ' _ __   ___ _   _ _ __ ___  _ __',
  "| '_ \\ / _ \\ | | | '__/ _ \\| '_ \\",
  '| | | |  __/ |_| | | | (_) | | | |',
  '|_| |_|\\___|\\__,_|_|  \\___/|_| |_|',
  'neuron vers. 0.1.0 - One OS. Many Devices.',
] as const;

/** Slice that the scheduler stores and never enforces, ns. */
const TIMESLICE_NS = 1_000_000;
const NO_ID = 0n as ServiceId;
/** Bytes of the identity VMO in PID 0's slot 1. */
const IDENTITY_VMO_BYTES = 0x10_0000;
/** SBI error of hart_start for a hart that does not exist is not printed: it ends the loop. */
const SMP_SOURCE = 'source/kernel/neuron/src/smp.rs';

/** The `boot` of a kernel's dependencies. */
export function bootSequence(parts: BootParts = {}): (kernel: Kernel) => Generator<void, void, void> {
  return (kernel) => boot(kernel, parts);
}

/** The boot sequence with plain software interrupts: enough where nobody watches the ACLINT's registers. */
export function bootKernel(kernel: Kernel): Generator<void, void, void> {
  return boot(kernel, {});
}

function* boot(kernel: Kernel, parts: BootParts): Generator<void, void, void> {
  const { uart } = kernel;
  const memory = memoryOf(kernel);
  memory.context = 'boot';
  kernel.charge(kernel.costs.firmware);
  yield;
  for (const text of ['boot: ok', 'traps: ok', 'boot: returning to wrapper']) {
    uart.line(`[INFO boot] ${text}`);
    yield;
  }
  uart.lf('W0: calling kmain');
  yield;

  const space = memory.createSpace();
  yield;
  if (!(space instanceof AddressSpace)) {
    panic(kernel, SMP_SOURCE, 'no kernel address space');
    return;
  }
  memory.activateSpace(space);
  yield;
  announceCapTable(kernel);
  const root = createRoot(kernel, space);
  uart.line(`SCHED: timeslice=${TIMESLICE_NS}`);
  uart.line('SCHED: new exit');
  yield;
  kernel.scheduler.enqueue(root.pid, Qos.NORMAL);
  kernel.scheduler.pick();
  announceSyscalls(kernel);
  yield;

  const selftestParts = { ...REAL_PARTS, ...parts.selftest };
  const smp = selftestParts.newSmp(parts.ipi ?? plainPort(kernel.image.harts));
  if (!(yield* startHarts(kernel, smp))) return;
  for (const text of BANNER) {
    uart.line(`[INFO boot] ${text}`);
    yield;
  }

  const selftest = new BootSelftest(kernel, root, smp, selftestParts, parts.scratchKernel);
  if (!(yield* selftest.run())) return;
  yield* startInit(kernel, root);
}

/** PID 0: the kernel itself. Its table is the one init's capabilities come from (sheet 10, section 1.6). */
function createRoot(kernel: Kernel, space: AddressSpace): Task {
  const root = kernel.createTask({
    parent: NO_PARENT,
    name: 'kernel',
    serviceId: NO_ID,
    program: null,
    addressSpace: space.handle,
    frame: { pc: 0, sp: 0, gp: 0, ra: 0, sstatus: 0 },
    guard: null,
    qos: Qos.PERF_BURST,
  });
  space.tasks++;
  root.caps.set(0, { kind: 'endpoint', endpoint: 0, rights: Rights.SEND | Rights.RECV });
  root.caps.set(1, { kind: 'vmo', base: LOW_WINDOW_BASE, len: IDENTITY_VMO_BYTES, rights: Rights.MAP });
  root.caps.set(2, { kind: 'factory', rights: Rights.MANAGE });
  return root;
}

/** Brings the secondary harts online; false after the panic of one that did not come. */
function* startHarts(kernel: Kernel, smp: Smp): Generator<void, boolean, void> {
  const { uart, image } = kernel;
  uart.line('[INFO smp] KINIT: cpu0 online');
  yield;
  let expected = 1;
  for (let cpu = 1; cpu < Math.min(image.harts, MAX_CPUS); cpu++) {
    expected |= 1 << cpu;
    if (!smp.start(cpu)) continue;
    uart.line(`[INFO smp] KINIT: cpu${cpu} online`);
    yield;
  }
  const { trace } = kernel;
  if (trace.on) {
    const value = smp.online === expected ? 'all online' : 'some missing';
    trace.emit({ kind: 'note', service: 'kernel', name: 'harts', value });
  }
  if (smp.online === expected) return true;
  uart.line(`[ERROR smp] KINIT: secondary online timeout expected=${hex(expected)} got=${hex(smp.online)}`);
  panic(kernel, SMP_SOURCE, 'SMP bring-up timeout');
  return false;
}

/** Rows 43 to 56: loads, spawns and enters the first task; without one the idle loop stays empty. */
function* startInit(kernel: Kernel, root: Task): Generator<void, void, void> {
  const { uart, image } = kernel;
  const say = (text: string): void => {
    uart.line(`[INFO selftest] KSELFTEST: ${text}`);
  };
  say('spawn init begin');
  announceSyscalls(kernel);
  yield;
  const init = yield* loadAndSpawn(kernel, root, say);
  if (init !== null) {
    const { frame } = init;
    say(`spawn ok pid=${init.pid}`);
    say('init frame:');
    uart.line(`  sepc=0x${hex16(frame.pc)}`);
    uart.line(`  gp=0x${hex16(frame.gp)}`);
    uart.line(`  sp=0x${hex16(frame.sp)}`);
    uart.line(`  sstatus=0x${hex16(frame.sstatus)}`);
    uart.line(`  SPP=${frame.sstatus & 0x100 ? 1 : 0} (U-mode=0, S-mode=1)`);
    say('init spawned successfully');
    yield;
  }
  say('returning to idle loop for scheduling');
  uart.line('[INFO kmain] KMAIN: Entering idle_loop');
  uart.line('[INFO kmain] KMAIN: idle_loop iteration 0');
  yield;
  for (const task of kernel.tasks) {
    if (task.frame.sstatus === SSTATUS_USER || !isQueued(kernel, task.pid)) continue;
    uart.line(`[INFO kmain] KMAIN: skip S-mode task pid=${task.pid} (SPP=1)`);
    kernel.scheduler.purge(task.pid);
    task.state = 'blocked';
  }
  yield;
  const memory = memoryOf(kernel);
  if (init === null) {
    memory.context = 'trap';
    return;
  }
  const { frame } = init;
  uart.line(`[INFO kmain] KMAIN: switch to U-mode pid=${init.pid} sepc=${hex(frame.pc)} sp=${hex(frame.sp)}`);
  uart.line(
    `ACTIVATE_AND_SWITCH: about to activate AS and jump to sepc=0x${hex16(frame.pc)} ` +
      `frame_ptr=0x${hex16(image.addresses.framePtr)} sp=0x${hex16(frame.sp)} gp=0x${hex16(frame.gp)} ` +
      `ra=0x${hex16(frame.ra)} sstatus=0x${hex16(frame.sstatus)} off_sepc=0x${hex16(0x100)}`,
  );
  yield;
  kernel.reschedule();
  memory.context = 'trap';
}

function* loadAndSpawn(kernel: Kernel, root: Task, say: (text: string) => void): Generator<void, Task | null, void> {
  const { image } = kernel;
  const memory = memoryOf(kernel);
  const space = memory.createSpace();
  yield;
  if (!(space instanceof AddressSpace)) {
    say('init load failed: as create failed');
    return null;
  }
  const loaded = loadInit(kernel, space, image.initElf);
  yield;
  if (typeof loaded === 'string') {
    say(`init load failed: ${loaded}`);
    return null;
  }
  const { entry, sp, gp, elf } = loaded;
  say(`init loaded entry=${hex(entry)} sp=${hex(sp)} gp=${hex(gp)}`);
  yield;
  const spawn = { entry, sp, handle: space.handle, slot: 0, gp };
  const pid = spawnProgram(kernel, root, spawn, memory.body(elf), image.initName);
  const init = kernel.tasks[pid];
  if (pid < 0 || init === undefined) {
    say(`init load failed: spawn ${pid}`);
    return null;
  }
  init.serviceId = serviceIdOf(image.initName);
  return init;
}

function isQueued(kernel: Kernel, pid: number): boolean {
  return kernel.scheduler.queues.some((queue) => {
    for (let i = 0; i < queue.count; i++) if (queue.at(i) === pid) return true;
    return false;
  });
}
