/**
 * The kernel's ABI: syscall numbers, errno values, rights, header flags and limits (sheet 10, sections 0, 2, 3 and 4).
 * Nothing here has behaviour; both doors into the kernel (typed and raw) and every service share it.
 */

/** Syscall numbers (sheet 10, section 2.2). All 32 entries of the table are used. */
export const Nr = {
  YIELD: 0,
  NSEC: 1,
  SEND: 2,
  RECV: 3,
  MAP: 4,
  VMO_CREATE: 5,
  VMO_WRITE: 6,
  SPAWN: 7,
  CAP_TRANSFER: 8,
  AS_CREATE: 9,
  AS_MAP: 10,
  EXIT: 11,
  WAIT: 12,
  EXEC: 13,
  IPC_SEND_V1: 14,
  TASK_QOS: 15,
  DEBUG_PUTC: 16,
  EXEC_V2: 17,
  IPC_RECV_V1: 18,
  EP_CREATE: 19,
  CAP_CLOSE: 20,
  EP_CLOSE: 21,
  EP_CREATE_V2: 22,
  EP_CREATE_FOR: 23,
  CAP_CLONE: 24,
  GETPID: 25,
  IPC_RECV_V2: 26,
  MMIO_MAP: 27,
  CAP_QUERY: 28,
  SPAWN_LAST_ERROR: 29,
  DEVICE_CAP_CREATE: 30,
  CAP_TRANSFER_TO: 31,
} as const;

/** Number of syscalls; a7 at or above it gives ENOSYS. */
export const SYSCALL_COUNT = 32;

/** Errno numbers; a syscall returns the negative (sheet 10, section 2.1). */
export const Errno = {
  EPERM: 1,
  ESRCH: 3,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  ENOSYS: 38,
  ETIMEDOUT: 110,
} as const;

/** Capability rights (sheet 10, section 3.1). */
export const Rights = { SEND: 1, RECV: 2, MAP: 4, MANAGE: 8 } as const;
/** Every defined right; other bits in a mask are refused. */
export const ALL_RIGHTS = 15;

/** Message header flag bit 0: a capability moves with the message (sheet 10, section 4.1). */
export const CAP_MOVE = 1;
/** IPC syscall flags (sheet 10, section 4.1). */
export const NONBLOCK = 1;
export const TRUNCATE = 2;

/** Bytes of one page. */
export const PAGE_SIZE = 4096;
/** Capability slots of a task's table. */
export const CAP_SLOTS = 96;
/** Largest inline payload of one message, bytes. */
export const MAX_FRAME = 8192;
/** Endpoint quota: ids ever allocated, and alive per owner. */
export const ENDPOINT_QUOTA = 384;
export const ENDPOINT_OWNER_QUOTA = 96;
/** Deepest endpoint queue, messages. */
export const MAX_ENDPOINT_DEPTH = 256;
/** Byte budgets of queued payloads: per owner and over all endpoints. */
export const OWNER_BYTES = 262_144;
export const GLOBAL_BYTES = 1_048_576;
/** Endpoints that exist before any task: ids 0..7, depth 8, no owner. */
export const PRECREATED_ENDPOINTS = 8;
export const PRECREATED_DEPTH = 8;
/** Run-queue entries per QoS class. */
export const RUN_QUEUE_CAPACITY = 64;
/** User pointers and mappings lie below this address (sheet 10, section 2.1). */
export const USER_VA_LIMIT = 0x8000_0000;
/** Longest service name exec v2 takes, bytes. */
export const MAX_SERVICE_NAME = 64;

/** QoS classes, lowest first (sheet 10, section 5.1). */
export const Qos = { IDLE: 0, NORMAL: 1, INTERACTIVE: 2, PERF_BURST: 3 } as const;
export type QosClass = 0 | 1 | 2 | 3;

/** Exit code of a task that the kernel ended for a fault (sheet 10, section 7.4). */
export const FAULT_EXIT_CODE = -22;

/** Kernel-attested identity of a message's sender: FNV-1a 64 of the name its task was started under. */
export type ServiceId = bigint & { readonly __brand: 'ServiceId' };

const FNV_BASIS = 0xcbf2_9ce4_8422_2325n;
const FNV_PRIME = 0x100_0000_01b3n;
const U64 = 0xffff_ffff_ffff_ffffn;

/** Service id of a name's bytes (sheet 10, section 4.6). The empty name has id 0. */
export function serviceIdOf(name: string): ServiceId {
  if (name.length === 0) return 0n as ServiceId;
  let hash = FNV_BASIS;
  for (let i = 0; i < name.length; i++) hash = ((hash ^ BigInt(name.charCodeAt(i))) * FNV_PRIME) & U64;
  return hash as ServiceId;
}

/** CAP_QUERY kinds (sheet 10, section 2.2). */
export const CapKind = { VMO: 1, DEVICE_MMIO: 2 } as const;
