/**
 * Faults and panics (sheet 10, section 7.4; sheet 05, section 16.2): the dumps of user faults, which end the task, and
 * the lines of kernel faults, which end the system.
 */
import { unreachable } from '../sim/assert.ts';
import { FAULT_EXIT_CODE } from './abi.ts';
import { Access, NO_TRANSLATION } from './address-space.ts';
import type { Kernel } from './kernel.ts';
import type { KernelMemory } from './kernel-memory.ts';
import { hex16, SSTATUS_USER } from './layout.ts';
import type { GuestFault } from './memory-side.ts';
import { findLeaf } from './page-tables.ts';
import type { Task } from './task.ts';

/** Where the kernel's panics come from. The sheets give the form, not file and line of these; read by no check. */
const TRAP_SOURCE = 'source/kernel/neuron/src/trap.rs';
const HEAP_SOURCE = 'source/kernel/neuron/src/lib.rs';
const PANIC_LINE = 1;

/** Words of the stack that a dump shows. */
const STACK_WORDS = 8;
/** sstatus as a user trap reads it: the frame's value plus UXL (sheet 05, section 16.2). */
const SSTATUS_IN_TRAP = 0x2_0000_0000n + BigInt(SSTATUS_USER);
/** Registers in the order of a dump, with their numbers. */
const DUMP_ORDER: readonly (readonly [name: string, index: number])[] = [
  ['gp', 3],
  ['a0', 10],
  ['a1', 11],
  ['a2', 12],
  ['a3', 13],
  ['t0', 5],
  ['t1', 6],
  ['t2', 7],
  ['s0', 8],
  ['s1', 9],
  ...[2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((s) => [`s${s}`, 16 + s] as const),
  ...[3, 4, 5, 6].map((t) => [`t${t}`, 25 + t] as const),
];
/** Exception codes (RISC-V privileged specification). */
const SCAUSE = {
  illegal: 2,
  breakpoint: 3,
  'load-misaligned': 4,
  'load-access': 5,
  'store-misaligned': 6,
  'store-access': 7,
  'inst-access': 1,
} as const;

/** Ends a task for a fault of its own. Its generator is gone already. */
export function userFault(kernel: Kernel, memory: KernelMemory, task: Task, fault: GuestFault): void {
  const { trace } = kernel;
  if (trace.on) trace.emit({ kind: 'fault', name: fault.kind, detail: `stval=0x${hex16(fault.address)}` });
  switch (fault.kind) {
    case 'inst':
    case 'load':
    case 'store':
      dumpPageFault(kernel, memory, task, fault);
      break;
    case 'illegal':
      dumpIllegal(kernel, memory, task, fault);
      if (kernel.image.options.userExceptionFatal) {
        panic(kernel, TRAP_SOURCE, 'ILLEGAL');
        return;
      }
      break;
    case 'inst-access':
    case 'breakpoint':
    case 'load-misaligned':
    case 'load-access':
    case 'store-misaligned':
    case 'store-access':
      dumpException(kernel, fault, SCAUSE[fault.kind]);
      if (kernel.image.options.userExceptionFatal) {
        // The reference resumes at the same pc and prints these lines for ever; one dump and a dead system say the same.
        kernel.halt();
        return;
      }
      break;
    default:
      unreachable(fault.kind);
  }
  kernel.terminate(task, FAULT_EXIT_CODE, 'fault');
  if (!kernel.reschedule()) memory.nothingRunnable();
}

function dumpPageFault(kernel: Kernel, memory: KernelMemory, task: Task, fault: GuestFault): void {
  const { uart } = kernel;
  const reg = (index: number): bigint => registerAt(task, fault, index);
  const sp = reg(2);
  const access = fault.kind === 'inst' ? 'INST' : fault.kind === 'load' ? 'LOAD' : 'STORE';
  uart.lf(`[USER-PF] ${access} @ sepc=0x${hex16(fault.pc)} stval=0x${hex16(fault.address)}`);
  if (task.guard !== null && fault.address === task.guard.stack) uart.lf('[USER-PF] guard=STACK');
  if (task.guard !== null && fault.address === task.guard.bootInfo) uart.lf('[USER-PF] guard=BOOTINFO');
  uart.lf(`[USER-PF] regs ra=0x${hex16(reg(1))} sp=0x${hex16(sp)}`);
  for (const [name, index] of DUMP_ORDER) uart.lf(`[USER-PF] regs ${name}=0x${hex16(reg(index))}`);
  if (sp !== 0n) {
    const space = memory.spaceOf(task);
    for (let word = 0; word < STACK_WORDS; word++) {
      const va = Number(sp) + word * 8;
      const pa = space?.translate(va, Access.LOAD) ?? NO_TRANSLATION;
      const value =
        pa !== NO_TRANSLATION && memory.ram.contains(pa, 8) ? `0x${hex16(memory.ram.readU64(pa))}` : '<hole>';
      uart.lf(`[USER-PF] stack +0x${(word * 8).toString(16).padStart(4, '0')} = ${value}`);
    }
  }
  uart.lf(`[USER-PF] task sepc=0x${hex16(task.frame.pc)}`);
  uart.lf(`[USER-PF] task sp=0x${hex16(task.frame.sp)}`);
}

function dumpIllegal(kernel: Kernel, memory: KernelMemory, task: Task, fault: GuestFault): void {
  const { uart } = kernel;
  const space = memory.spaceOf(task);
  // An illegal instruction was fetched, so its address is a mapped one.
  const pc = Number(fault.pc);
  const pa = space?.translate(pc, Access.FETCH) ?? NO_TRANSLATION;
  const readable = pa !== NO_TRANSLATION && memory.ram.contains(pa, 4);
  const inst = readable ? memory.ram.readU32(pa) : 0;
  const ra = registerAt(task, fault, 1);
  uart.line(`ILLEGAL-D: sepc=0x${fault.pc.toString(16)} ra=0x${ra.toString(16)} stval=0x${fault.address.toString(16)}`);
  uart.line(
    `ILLEGAL-D: inst16=0x${(inst & 0xffff).toString(16).padStart(4, '0')} inst32=0x${inst.toString(16).padStart(8, '0')}`,
  );
  const satp = (space?.satp ?? 0n).toString(16);
  const leaf = space === null ? -1 : findLeaf(memory.ram, space.root, pc);
  if (leaf < 0) {
    const page = Math.floor(pc / 4096) * 4096;
    uart.line(`ILLEGAL-D: satp=0x${satp} page=0x${page.toString(16)} (unmapped or non-leaf)`);
    return;
  }
  const pte = memory.ram.readU64(leaf);
  uart.line(`ILLEGAL-D: satp=0x${satp} pte=0x${pte.toString(16)} flags=0x${(pte & 0x3ffn).toString(16)}`);
}

function dumpException(kernel: Kernel, fault: GuestFault, scause: number): void {
  const fields = `scause=0x${hex16(scause)} sepc=0x${hex16(fault.pc)} stval=0x${hex16(fault.address)}`;
  kernel.uart.line(`EXC: ${fields}`);
  kernel.uart.line(`[USER-FAULT] ${fields}`);
}

/** A register as a user trap's frame holds it: t0, t1, t2 are clobbered by the trap entry (sheet 10, Q9). */
function registerAt(task: Task, fault: GuestFault, index: number): bigint {
  const { registers } = fault;
  if (index === 5) return SSTATUS_IN_TRAP;
  if (index === 6) return 0n;
  if (index === 7) return registerAt(task, fault, 2);
  if (registers !== null) return registers[index] ?? 0n;
  switch (index) {
    case 1:
      return BigInt(task.frame.ra);
    case 2:
      return BigInt(task.frame.sp);
    case 3:
      return BigInt(task.frame.gp);
    default:
      return 0n;
  }
}

/** A page fault in the kernel. `task`: whose syscall it was. */
export interface KernelFault {
  readonly cause: 12 | 13 | 15;
  readonly sepc: bigint;
  readonly stval: bigint;
  readonly task: Task | null;
  readonly satp: bigint;
}

/** KPGF line and panic: the system is dead. */
export function kernelPageFault(kernel: Kernel, fault: KernelFault): void {
  const { task } = fault;
  const regs = task?.sys.regs;
  const pid = task?.pid ?? 0;
  const parts = [
    `KPGF sepc=0x${hex16(fault.sepc)}`,
    `stval=0x${hex16(fault.stval)}`,
    `scause=0x${hex16(fault.cause)}`,
    `ra=0x${hex16(0)}`,
    `sp=0x${hex16(kernel.image.addresses.spPageTrap)}`,
    `a7=0x${hex16(regs?.[7] ?? 0n)}`,
    `a0=0x${hex16(regs?.[0] ?? 0n)}`,
    `a1=0x${hex16(regs?.[1] ?? 0n)}`,
    `a2=0x${hex16(regs?.[2] ?? 0n)}`,
    `sstatus=0x${hex16(SSTATUS_IN_TRAP | 0x100n)}`,
    `satp=0x${hex16(fault.satp)}`,
    `pid=0x${pid.toString(16).padStart(4, '0')}`,
    `t_sepc=0x${hex16(task?.frame.pc ?? 0)}`,
  ];
  kernel.uart.lf(parts.join(' '));
  panic(kernel, TRAP_SOURCE, 'KPGF');
}

/** The kernel's heap has no page left for a page table. */
export function heapExhausted(kernel: Kernel): void {
  const { heapStart, heapEnd } = kernel.image.addresses;
  const total = heapEnd - heapStart;
  const { uart } = kernel;
  uart.line('!!! KERNEL HEAP OOM !!!');
  uart.line(`req_size=${hex16(4096)} req_align=${hex16(4096)}`);
  uart.line(`heap_budget_used=${hex16(total)} heap_budget_free=${hex16(0)} heap_budget_total=${hex16(total)}`);
  uart.line(`satp=${hex16(0)} mode=${hex16(8)} asid=${hex16(0)}`);
  uart.line(`heap_start=${hex16(heapStart)} heap_end=${hex16(heapEnd)}`);
  panic(kernel, HEAP_SOURCE, 'ALLOC-FAIL');
}

/** The panic lines; the kernel then sleeps for ever. */
export function panic(kernel: Kernel, source: string, message: string): void {
  kernel.uart.line('');
  kernel.uart.line(`PANIC: ${source}:${hex16(PANIC_LINE)}: ${message}`);
  kernel.uart.line(`PANIC ra=0x${hex16(0)}`);
  if (kernel.trace.on) kernel.trace.emit({ kind: 'fault', name: 'panic', detail: message });
  kernel.halt();
}
