/**
 * The boot image as data (design, decision 6): what the kernel is told and must not know by itself. Names appear here only
 * as values; the kernel compares ids computed from them.
 */
import type { Program } from './sys.ts';

/** Compiler-dependent addresses that the boot transcript prints (sheet 10, end). Defaults are those of the reference log. */
export interface KernelAddresses {
  readonly heapStart: number;
  readonly heapEnd: number;
  readonly dataEnd: number;
  readonly kstackStart: number;
  readonly kstackEnd: number;
  readonly kstackMapFrom: number;
  readonly pcPage: number;
  readonly spPageBoot: number;
  readonly spPageSelftest: number;
  readonly spPageTrap: number;
  readonly guardPc: number;
  readonly debugPutc: number;
  readonly epCreate: number;
  readonly framePtr: number;
  /** End of .text (exclusive); the kernel image starts at KERNEL_BASE. Entries without an address space must lie below. */
  readonly textEnd: number;
  /** First page of the static pool of page-table pages. */
  readonly tablePool: number;
  /** Where page-table pages lie in the kernel heap, in the order in which they are handed out. */
  readonly heapTables: readonly HeapTableRun[];
  /** Entry and gp of the child of the address-space selftest, entry of the children of the exit and wait checks. */
  readonly selftestChildEntry: number;
  readonly selftestChildGp: number;
  readonly exitChildEntry: number;
  /** The page with `NeuronAS` that the address-space selftest maps. */
  readonly selftestPage: number;
}

/** `times` runs of `count` consecutive pages; run i starts at page number `first + i * stride`. */
export interface HeapTableRun {
  readonly first: number;
  readonly count: number;
  readonly stride: number;
  readonly times: number;
}

/** Kernel behaviour that quirks switch; the contract is the default (quirks.md). Plain options, resolved by the image. */
export interface KernelOptions {
  /** quirk lone-receiver-einval: a lone blocked receive ends with EINVAL through the ecall storm guard. */
  readonly loneReceiverEinval: boolean;
  /** quirk kselftest-unchecked: the exit and wait checks print without running their children. */
  readonly kselftestUnchecked: boolean;
  /** quirk user-exception-fatal: user exceptions other than page faults are fatal or repeat for ever. */
  readonly userExceptionFatal: boolean;
  /** quirk fault-no-wake: a faulting child does not wake its waiting parent. */
  readonly faultNoWake: boolean;
}

/** What the kernel boots. */
export interface KernelImage {
  /** ELF of the first task. */
  readonly initElf: Uint8Array;
  /** Name whose id the first task gets. */
  readonly initName: string;
  /** Names whose tasks may set other tasks' QoS (sheet 10, section 5.4). */
  readonly qosAdministrators: readonly string[];
  /** Programs that synthetic ELFs name in their note. */
  readonly programs: ReadonlyMap<string, Program>;
  readonly addresses: KernelAddresses;
  readonly options: KernelOptions;
  /** Online harts, 1..4. */
  readonly harts: number;
  /** Virtual ns per instruction is 2 ** icount (sheet 05, section 5). */
  readonly icount: number;
  /** Poll skipping (design, decision 3). Off only for comparison. */
  readonly skipPolls: boolean;
}
