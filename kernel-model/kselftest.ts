/**
 * The kernel's self-tests: rows 17 to 42 of the boot transcript (sheet 10, sections 1.3, 1.5 and 10). Every line comes
 * from the check it names, made on the booting kernel's own objects; a failing check prints its failure form.
 */
import { Errno, Nr, PAGE_SIZE, Qos, Rights } from './abi.ts';
import { Access } from './address-space.ts';
import { announceSyscalls } from './announce.ts';
import { panic } from './faults.ts';
import type { Kernel, KernelDeps } from './kernel.ts';
import { memoryOf } from './kernel-memory.ts';
import { ipcChecks } from './kselftest-ipc.ts';
import type { SelftestParts } from './kselftest-ipc.ts';
import { hex, KERNEL_STACK_PAGES, KERNEL_STACK_VA_TOP } from './layout.ts';
import { Pte } from './page-tables.ts';
import { numberToRegister } from './registers.ts';
import { checkExitAndWait } from './scratch.ts';
import { COUNTERFACTUAL_SPINS } from './smp.ts';
import type { Smp } from './smp.ts';
import { smpChecks } from './smp-selftest.ts';
import { Macro } from './sys.ts';
import { handlerOf } from './syscalls/table.ts';
import type { Task } from './task.ts';

const SELFTEST_SOURCE = 'source/kernel/neuron/src/selftest.rs';
/** Slots of PID 0 that the address-space check fills. */
const ZERO_VMO_SLOT = 3;
const PAGE_VMO_SLOT = 4;
/** Bytes of the fresh VMO that are looked at. */
const ZERO_BYTES = 64;
const TEST_VA = 0x4010_0000;
const TEST_TEXT = 'NeuronAS';
/** First user pointer that is out of range. */
const BAD_POINTER = 0x8000_0000n;
const PROT_READ = 1;
const PROT_ALL = 7;
const MAP_USER = 1;

/** One pass over the boot checks. */
export class BootSelftest {
  readonly #kernel: Kernel;
  readonly #root: Task;
  readonly #smp: Smp;
  readonly #parts: SelftestParts;
  readonly #scratch: ((deps: KernelDeps) => Kernel) | undefined;

  constructor(
    kernel: Kernel,
    root: Task,
    smp: Smp,
    parts: SelftestParts,
    scratch: ((deps: KernelDeps) => Kernel) | undefined,
  ) {
    this.#kernel = kernel;
    this.#root = root;
    this.#smp = smp;
    this.#parts = parts;
    this.#scratch = scratch;
  }

  /** Runs all of them; false after a fatal one (the kernel has panicked). */
  *run(): Generator<void, boolean, void> {
    const kernel = this.#kernel;
    announceSyscalls(kernel);
    yield;
    if (!(yield* this.#addressSpace())) return false;
    announceSyscalls(kernel);
    // A slot that would pass every later check: only W^X can refuse.
    const refused = this.#call(Nr.AS_MAP, 2, PAGE_VMO_SLOT, TEST_VA + PAGE_SIZE, PAGE_SIZE, PROT_ALL, MAP_USER);
    if (refused === -Errno.EPERM) this.#info('w^x enforced');
    else this.#error('w^x NOT enforced');
    yield;
    for (const { text, ok, seen } of ipcChecks(kernel, this.#parts)) {
      if (seen !== undefined) this.#note(text, seen);
      if (ok) this.#info(text);
      else this.#error(text);
      yield;
    }
    if (this.#smp.isOnline(1)) yield* this.#smpLines();
    yield* this.#exitAndWait();
    return true;
  }

  /** Rows 18 to 29. */
  *#addressSpace(): Generator<void, boolean, void> {
    const kernel = this.#kernel;
    const memory = memoryOf(kernel);
    const { addresses } = kernel.image;
    const handle = this.#call(Nr.AS_CREATE);
    const space = memory.spaces.get(handle);
    const home = memory.spaceOf(this.#root);
    if (handle < 0 || space === null || home === null) return this.#fatal('as create');
    this.#info('as create ok');
    yield;

    const slot = this.#call(Nr.VMO_CREATE, ZERO_VMO_SLOT, PAGE_SIZE);
    const vmo = this.#root.caps.get(slot);
    const fresh = slot === ZERO_VMO_SLOT && vmo?.kind === 'vmo' ? memory.ram.slice(vmo.base, ZERO_BYTES) : null;
    this.#info(fresh?.every((byte) => byte === 0) === true ? 'vmo zero ok' : 'vmo zero FAIL');
    yield;
    if (this.#ecall(Nr.VMO_WRITE, ZERO_VMO_SLOT, 0, BAD_POINTER, 1) !== -Errno.EINVAL) {
      return this.#fatal('userptr guard');
    }
    this.#info('userptr guard ok');
    yield;

    const page = memory.ram.slice(addresses.selftestPage, PAGE_SIZE);
    for (let i = 0; i < TEST_TEXT.length; i++) page[i] = TEST_TEXT.charCodeAt(i);
    const cap = { kind: 'vmo', base: addresses.selftestPage, len: PAGE_SIZE, rights: Rights.MAP } as const;
    this.#root.caps.set(PAGE_VMO_SLOT, cap);
    if (this.#call(Nr.AS_MAP, handle, PAGE_VMO_SLOT, TEST_VA, PAGE_SIZE, PROT_READ, MAP_USER) !== 0) {
      return this.#fatal('as map');
    }
    this.#info('as map ok');
    yield;

    const stackBytes = KERNEL_STACK_PAGES * PAGE_SIZE;
    const stack = memory.stacks.allocate();
    const stackFlags = Pte.V | Pte.R | Pte.W;
    if (stack === null || space.mapRange(KERNEL_STACK_VA_TOP - stackBytes, stack, stackBytes, stackFlags) !== null) {
      return this.#fatal('stack map');
    }
    const pid = this.#call(
      Nr.SPAWN,
      addresses.selftestChildEntry,
      KERNEL_STACK_VA_TOP,
      handle,
      0,
      addresses.selftestChildGp,
    );
    if (pid < 0) return this.#fatal('spawn');
    yield;
    this.#info(`no child progress yet pid=${pid} satp=0x${home.satp.toString(16)}`);
    this.#info('direct-run begin');
    memory.context = 'selftest';
    memory.activateSpace(space);
    this.#info('direct-run set SUM');
    this.#info(`direct-run calling entry sp=${hex(KERNEL_STACK_VA_TOP)}`);
    this.#info('direct call begin');
    yield;

    // The child's body: reads the page at its user address through the space that is active now.
    this.#info('child entry');
    const pa = space.translate(TEST_VA, Access.LOAD);
    const seen = pa < 0 ? '' : String.fromCharCode(...memory.ram.slice(pa, TEST_TEXT.length));
    if (seen !== TEST_TEXT) return this.#fatal('child data');
    if (memory.activeSpace !== space || space.satp === home.satp) return this.#fatal('child satp');
    this.#info('child newas running');
    this.#info('child exit');
    this.#info('direct call return');
    this.#info('returned from child entry');
    memory.activateSpace(home);
    memory.context = 'boot';
    this.#info('spawn ok');
    yield;
    return true;
  }

  *#smpLines(): Generator<void, void, void> {
    const kernel = this.#kernel;
    for (const { name, ok, seen } of smpChecks(this.#smp)) {
      this.#note(name, seen);
      if (name === 'ipi counterfactual') kernel.charge(COUNTERFACTUAL_SPINS * kernel.costs.instruction);
      if (ok) this.#info(`${name} ok`);
      else this.#error(`${name} FAIL`);
      yield;
    }
    kernel.scheduler.enqueue(this.#root.pid, Qos.NORMAL);
    yield;
  }

  /** Rows 40 to 42, and the state that they leave behind (sheet 10, section 1.5). */
  *#exitAndWait(): Generator<void, void, void> {
    const kernel = this.#kernel;
    const { image, scheduler } = kernel;
    const result = image.options.kselftestUnchecked
      ? { exit: null, wait: null }
      : checkExitAndWait(image, this.#scratch);
    announceSyscalls(kernel);
    const lost = this.#spawnChild();
    this.#verdict('exit', result.exit);
    yield;
    this.#spawnChild();
    this.#spawnChild();
    this.#verdict('wait', result.wait);
    yield;
    // The checks' own WAIT calls went nowhere: PID 0 and 1 sleep for ever, the first child is off the queue.
    for (const pid of [this.#root.pid, 1, lost]) {
      scheduler.remove(pid);
      const task = kernel.tasks[pid];
      if (task === undefined) continue;
      task.state = 'blocked';
      if (pid === lost) continue;
      task.blockKind = 'wait';
      task.waitTarget = lost;
    }
  }

  #spawnChild(): number {
    return this.#call(Nr.SPAWN, this.#kernel.image.addresses.exitChildEntry);
  }

  #verdict(name: string, fault: string | null): void {
    if (fault === null) this.#info(`${name} ok`);
    else this.#error(`${name} FAIL: ${fault}`);
  }

  /** A syscall of PID 0. */
  #call(nr: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    const { request } = this.#root.sys;
    Object.assign(request, { nr, a0, a1, a2, a3, a4, a5 });
    return handlerOf(nr)(this.#kernel, this.#root, request);
  }

  /** A syscall of PID 0 through the raw door. */
  #ecall(nr: number, a0: number, a1: number, a2: bigint, a3: number): number {
    const { sys } = this.#root;
    sys.regs.set([numberToRegister(a0), numberToRegister(a1), a2, numberToRegister(a3), 0n, 0n, 0n, BigInt(nr)]);
    return handlerOf(Macro.ECALL)(this.#kernel, this.#root, sys.request);
  }

  /** What a check saw, in the trace. */
  #note(name: string, value: string): void {
    const { trace } = this.#kernel;
    if (trace.on) trace.emit({ kind: 'note', service: 'kernel', name, value });
  }

  #info(text: string): void {
    this.#kernel.uart.line(`[INFO selftest] KSELFTEST: ${text}`);
  }

  #error(text: string): void {
    this.#kernel.uart.line(`[ERROR selftest] KSELFTEST: ${text}`);
  }

  #fatal(what: string): false {
    this.#kernel.uart.line(`[ERROR selftest] SELFTEST: fail: ${what}`);
    panic(this.#kernel, SELFTEST_SOURCE, what);
    return false;
  }
}
