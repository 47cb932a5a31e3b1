/** Kernel errors of memory and task creation, and the errno and spawn reason of each (sheet 10, sections 2.1 and 6.1). */
import { unreachable } from '../sim/assert.ts';
import { Errno } from './abi.ts';
import type { MapError } from './page-tables.ts';

/** Why a task was not spawned; the words are those of the kernel's SpawnError. */
export type SpawnError =
  | 'invalid-parent'
  | 'invalid-entry-point'
  | 'invalid-stack-pointer'
  | 'bootstrap-not-endpoint'
  | 'cap-invalid-slot'
  | 'cap-no-space'
  | 'ipc-no-space'
  | 'as-invalid-handle'
  | 'as-asid-exhausted'
  | 'as-mapping-denied'
  | 'as-mapping'
  | 'stack-exhausted'
  | 'run-queue-full';

/** Spawn failure reasons as SPAWN_LAST_ERROR returns them. */
export const SpawnReason = {
  UNKNOWN: 0,
  OOM: 1,
  CAP_TABLE_FULL: 2,
  ENDPOINT_QUOTA: 3,
  MAP_FAILED: 4,
  INVALID_PAYLOAD: 5,
  DENIED_BY_POLICY: 6,
} as const;
export type SpawnReasonCode = (typeof SpawnReason)[keyof typeof SpawnReason];

/** Errno of a spawn failure. */
export function spawnErrno(error: SpawnError): number {
  switch (error) {
    case 'invalid-parent':
    case 'invalid-entry-point':
    case 'invalid-stack-pointer':
    case 'ipc-no-space':
    case 'as-invalid-handle':
    case 'as-mapping':
      return -Errno.EINVAL;
    case 'bootstrap-not-endpoint':
    case 'cap-invalid-slot':
    case 'cap-no-space':
    case 'as-mapping-denied':
      return -Errno.EPERM;
    case 'as-asid-exhausted':
      return -Errno.ENOSPC;
    case 'stack-exhausted':
      return -Errno.ENOMEM;
    case 'run-queue-full':
      return -Errno.EAGAIN;
    default:
      return unreachable(error);
  }
}

/** Reason that SPAWN records for its caller. */
export function spawnReason(error: SpawnError): SpawnReasonCode {
  switch (error) {
    case 'stack-exhausted':
    case 'run-queue-full':
      return SpawnReason.OOM;
    case 'cap-no-space':
      return SpawnReason.CAP_TABLE_FULL;
    case 'ipc-no-space':
      return SpawnReason.ENDPOINT_QUOTA;
    case 'as-asid-exhausted':
    case 'as-mapping-denied':
    case 'as-mapping':
      return SpawnReason.MAP_FAILED;
    case 'invalid-parent':
    case 'invalid-entry-point':
    case 'invalid-stack-pointer':
    case 'bootstrap-not-endpoint':
    case 'cap-invalid-slot':
    case 'as-invalid-handle':
      return SpawnReason.INVALID_PAYLOAD;
    default:
      return unreachable(error);
  }
}

/** Errno of a mapping failure; `no-memory` has none, the kernel panics. */
export function mapErrno(error: MapError): number {
  return error === 'permission-denied' ? -Errno.EPERM : -Errno.EINVAL;
}
