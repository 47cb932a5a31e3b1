/**
 * Where things lie in memory (sheet 10, sections 0, 6.3 and 7.3; sheet 05, section 2). Physical addresses unless a name
 * says `VA`; the kernel's own ranges are mapped identically. What depends on the kernel's build is in KernelAddresses.
 */
import type { KernelAddresses } from './image.ts';

/** Kernel image, start of .text. */
export const KERNEL_BASE = 0x8020_0000;
/** Low kernel window, 2 MiB; its upper half holds the pool of S-mode stacks. */
export const LOW_WINDOW_BASE = 0x8000_0000;
export const LOW_WINDOW_END = 0x8020_0000;
/** Pool of S-mode stacks: grows down from its end. */
export const STACK_POOL_BASE = 0x8010_0000;
export const STACK_POOL_END = 0x8020_0000;
/** Pages of one S-mode stack. */
export const KERNEL_STACK_PAGES = 4;
/** Pages of the first task; only the first 2 MiB of its pool are mapped. */
export const INIT_POOL_BASE = 0x8060_0000;
export const INIT_POOL_LIMIT = 0x80a0_0000;
export const INIT_WINDOW_END = 0x8080_0000;
/** Arena of VMOs, segments and user stacks. */
export const VMO_ARENA_BASE = 0x8100_0000;
export const VMO_ARENA_END = 0x8200_0000;
/** The UART's page. */
export const UART_PAGE = 0x1000_0000;

/** Static page-table pages; later ones come from the heap. */
export const TABLE_POOL_PAGES = 64;
/** Address-space ids 1..255; 0 is reserved. */
export const MAX_ASID = 255;

/** User stack: initial sp, and the end of its mapping. */
export const USER_STACK_SP = 0x2000_8000;
export const USER_STACK_TOP = 0x2000_a000;
/** The nominal top that STACK-MAP prints as `sp=`. */
export const USER_STACK_NOMINAL = 0x2000_0000;
/** Pages that every user stack gets beyond the ones asked for. */
export const USER_STACK_EXTRA_PAGES = 11;
/** Name page and info page of exec v2, and the guard behind them. */
export const META_VA = 0x2000_b000;
export const INFO_VA = 0x2000_c000;
export const INFO_GUARD_VA = 0x2000_d000;
/** Initial sp of S-mode tasks and of the address-space selftest's child. */
export const KERNEL_STACK_VA_TOP = 0x4000_0000;

/** sstatus of a new frame: user mode, and supervisor mode (sheet 10, section 6.1). */
export const SSTATUS_USER = 0x4_0020;
export const SSTATUS_SUPERVISOR = 0x4_0120;

/** The build of the reference log (sheet 10, end; heap pages: fitted to the satp values of that log). */
export const REFERENCE_ADDRESSES: KernelAddresses = {
  heapStart: 0x803b_6000,
  heapEnd: 0x8057_6000,
  dataEnd: 0x805c_4000,
  kstackStart: 0x805c_3000,
  kstackEnd: 0x805c_c000,
  kstackMapFrom: 0x805c_4000,
  pcPage: 0x8020_8000,
  spPageBoot: 0x805c_a000,
  spPageSelftest: 0x803b_4000,
  spPageTrap: 0x805c_b000,
  guardPc: 0x8020_8840,
  debugPutc: 0x8022_2a06,
  epCreate: 0x8022_165e,
  framePtr: 0x803e_0db0,
  textEnd: 0x8023_0000,
  tablePool: 0x8058_3000,
  heapTables: [
    { first: 0x803b7, count: 11, stride: 0, times: 1 },
    { first: 0x803d5, count: 11, stride: 0, times: 1 },
    { first: 0x803c2, count: 19, stride: 0, times: 1 },
    { first: 0x803f7, count: 19, stride: 20, times: 8 },
    { first: 0x803f6, count: 1, stride: 0, times: 1 },
    { first: 0x80497, count: 18, stride: 0, times: 1 },
    { first: 0x804ac, count: 19, stride: 20, times: 10 },
    { first: 0x80573, count: 3, stride: 0, times: 1 },
  ],
  selftestChildEntry: 0x8021_7774,
  selftestChildGp: 0x803a_aa80,
  exitChildEntry: 0x8021_9da6,
  selftestPage: 0x803b_5000,
};

/** 64-bit value as the kernel's `0x{:016x}` prints it, without the prefix. */
export function hex16(value: number | bigint): string {
  return BigInt.asUintN(64, BigInt(value)).toString(16).padStart(16, '0');
}

/** Value as the kernel's `0x{:x}` prints it. Negative numbers stand for the upper half of the 64-bit range. */
export function hex(value: number): string {
  return value < 0 ? `0x${BigInt.asUintN(64, BigInt(value)).toString(16)}` : `0x${value.toString(16)}`;
}
