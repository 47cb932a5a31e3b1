/**
 * The cost table: what guest work costs in instructions (docs/time.md explains every figure). Virtual ns per instruction
 * are 2 ** icount (sheet 05, section 5); with the default icount 1 the measured costs of sheet 10, section 8 come out.
 */
import { assert } from '../sim/assert.ts';

/** Instructions per operation of the kernel, trap entry and exit included. */
export const KERNEL_INSTRUCTIONS = {
  /** Reset to the kernel's first line: firmware, clearing of .bss. 43 to 55 ms measured, another figure in each run of the real image. */
  firmware: 27_500_000,
  /** Any syscall that has no figure of its own (GETPID: 2.0 us measured). */
  syscall: 1000,
  /** NSEC, 2.0 us measured. */
  nsec: 1000,
  /** YIELD, 2.2 us measured when the caller is picked again. */
  yield: 1100,
  /** DEBUG_PUTC, 2.0 us measured, the byte on the UART included. */
  putc: 1000,
  /** IPC send, without payload. */
  send: 1900,
  /** IPC receive that finds a message, without payload. */
  recv: 1900,
  /** IPC receive that finds none; with `block` 4.2 us, the measured retry of a blocked receive. */
  recvEmpty: 1080,
  /** Blocking: waiter registration, expired scan, picking another task. */
  block: 1020,
  /** Copying 8 payload bytes in or out. */
  copy8: 2,
  /** Loading an address space when the running task changes: three look-ups of the checks before it, satp, fence. */
  activate: 250,
  /** Capability operations. */
  cap: 1200,
  /** Endpoint creation and close. */
  endpoint: 2500,
  /** EXIT and the step of WAIT that reaps. */
  exit: 5000,
  wait: 1500,
  /** Mapping one page: the walk and its checks. An address space maps some 6,100 kernel pages. */
  mapPage: 135,
  /** Zeroing one page or copying it. */
  copyPage: 600,
  /** EXEC and SPAWN beyond their pages: header checks, tables, records. */
  exec: 6000,
  /** A byte of a kernel line on the UART. */
  kernelByte: 100,
  /** An ecall that the storm guard rejects. */
  rejected: 200,
} as const;

export type KernelCost = keyof typeof KERNEL_INSTRUCTIONS;

/** Virtual ns per kernel operation, plus the factor itself. */
export type Costs = { readonly [K in KernelCost]: number } & { readonly instruction: number };

/** The table in ns for one icount shift. */
export function costsAt(icount: number): Costs {
  assert(Number.isInteger(icount) && icount >= 0 && icount <= 10, `icount shift must be 0..10, got ${icount}`);
  const instruction = 2 ** icount;
  const scaled = Object.entries(KERNEL_INSTRUCTIONS).map(([name, instructions]) => [name, instructions * instruction]);
  return { ...(Object.fromEntries(scaled) as { [K in KernelCost]: number }), instruction };
}

/**
 * Instructions per unit of `sys.compute(label, units)`. Software cryptography on a 64-bit hart without vector units; a unit
 * is one operation, one block or one byte as the name says.
 */
export const COMPUTE_INSTRUCTIONS: Readonly<Record<string, number>> = {
  /** Plain work, one instruction per unit. */
  instructions: 1,
  /** Ed25519 key derivation, signature, verification: one operation. */
  'ed25519-keygen': 250_000,
  'ed25519-sign': 260_000,
  'ed25519-verify': 700_000,
  /** X25519 scalar multiplication: one operation. */
  x25519: 450_000,
  /** One 64-byte block. */
  'sha256-block': 3_000,
  'sha512-block': 5_000,
  'blake2s-block': 1_500,
  'chacha20-block': 1_000,
  'poly1305-block': 300,
  /** One byte. */
  crc32: 8,
  copy: 1,
  parse: 10,
};
