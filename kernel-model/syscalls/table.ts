/**
 * The syscall table (sheet 10, section 2.2): one function per number, plus the macros of the typed door. Handlers get
 * host buffers; the raw door translates registers and pointers and calls the same functions.
 */
import { Errno, SYSCALL_COUNT } from '../abi.ts';
import type { Kernel } from '../kernel.ts';
import { lapMacro } from '../laps.ts';
import { pollMacro } from '../poll.ts';
import { makeRawDoor } from '../raw-door.ts';
import { Macro } from '../sys.ts';
import type { Syscall } from '../sys.ts';
import type { Task } from '../task.ts';
import { capClone, capClose, capTransfer, capTransferTo, epClose, epCreate, epCreateFor, epCreateV2 } from './caps.ts';
import { execV1, execV2, spawn, spawnLastError } from './exec.ts';
import { ipcRecvV1, ipcRecvV2, ipcSendV1, recvV0, sendV0 } from './ipc.ts';
import { asCreate, asMap, capQuery, deviceCapCreate, map, mmioMap, vmoCreate, vmoWrite } from './memory.ts';
import { debugPutc, exit, getpid, nsec, printMacro, sliceMacro, taskQos, wait, yieldCpu } from './task.ts';

/**
 * Executes one attempt of a syscall: charges its cost, checks, acts. Returns a0 (negative errno on error) or one of
 * BLOCKED, SWITCHED, CONTINUED (result.ts).
 */
export type SyscallHandler = (kernel: Kernel, task: Task, request: Syscall) => number;

const noSuchSyscall: SyscallHandler = (kernel) => {
  kernel.charge(kernel.costs.syscall);
  return -Errno.ENOSYS;
};

/** Index = number; holes are {@link noSuchSyscall}. */
export const SYSCALL_TABLE: readonly SyscallHandler[] = buildTable([
  yieldCpu, // 0
  nsec,
  sendV0,
  recvV0,
  map,
  vmoCreate,
  vmoWrite,
  spawn,
  capTransfer, // 8
  asCreate,
  asMap,
  exit,
  wait,
  execV1,
  ipcSendV1,
  taskQos,
  debugPutc, // 16
  execV2,
  ipcRecvV1,
  epCreate,
  capClose,
  epClose,
  epCreateV2,
  epCreateFor,
  capClone, // 24
  getpid,
  ipcRecvV2,
  mmioMap,
  capQuery,
  spawnLastError,
  deviceCapCreate,
  capTransferTo,
]);

/** The handler of a number; unknown numbers (any value a guest may have in a7) give ENOSYS. */
export function handlerOf(nr: number): SyscallHandler {
  return SYSCALL_TABLE[nr] ?? noSuchSyscall;
}

/** The handler of a real syscall number, for the raw door: macros are not reachable by an ecall. */
export function ecallHandlerOf(nr: number): SyscallHandler {
  return nr < SYSCALL_COUNT ? handlerOf(nr) : noSuchSyscall;
}

function buildTable(syscalls: readonly SyscallHandler[]): readonly SyscallHandler[] {
  const table = [...syscalls];
  while (table.length <= Macro.LAP) table.push(noSuchSyscall);
  table[Macro.PRINT] = printMacro;
  table[Macro.POLL] = pollMacro;
  table[Macro.ECALL] = makeRawDoor(ecallHandlerOf);
  table[Macro.SLICE] = sliceMacro;
  table[Macro.LAP] = lapMacro;
  return table;
}

/** Names as the trace shows them, index = number. */
export const SYSCALL_NAMES: readonly string[] = [
  'yield',
  'nsec',
  'send',
  'recv',
  'map',
  'vmo_create',
  'vmo_write',
  'spawn',
  'cap_transfer',
  'as_create',
  'as_map',
  'exit',
  'wait',
  'exec',
  'ipc_send_v1',
  'task_qos',
  'debug_putc',
  'exec_v2',
  'ipc_recv_v1',
  'ep_create',
  'cap_close',
  'ep_close',
  'ep_create_v2',
  'ep_create_for',
  'cap_clone',
  'getpid',
  'ipc_recv_v2',
  'mmio_map',
  'cap_query',
  'spawn_last_error',
  'device_cap_create',
  'cap_transfer_to',
];
