/** init's failure texts (sheet 20, section 9). */
import { Errno } from '../../kernel-model/abi.ts';

/** Why init gives up, as its fatal lines print it. */
export type FatalText = `abi:${string}` | `ipc:${string}` | `elf:${string}` | `map:${string}` | 'missing-elf';

/** Label of a generic syscall error (sheet 10, section 2.3; labels of sheet 20, section 9). */
export function abiLabel(result: number): string {
  switch (-result) {
    case Errno.ENOSYS:
      return 'invalid-syscall';
    case Errno.EPERM:
      return 'capability-denied';
    case Errno.EINVAL:
      return 'invalid-argument';
    case Errno.ECHILD:
      return 'child-unavailable';
    case Errno.ESRCH:
      return 'no-such-pid';
    case Errno.ENOMEM:
    case Errno.ENOSPC:
      return 'spawn-failed';
    default:
      return 'unsupported';
  }
}

/** Label of an IPC error (sheet 10, section 2.3). */
export function ipcLabel(result: number, receiving: boolean): string {
  switch (-result) {
    case Errno.EPERM:
      return 'permission-denied';
    case Errno.ESRCH:
      return 'no-such-endpoint';
    case Errno.EAGAIN:
      return receiving ? 'queue-empty' : 'queue-full';
    case Errno.ENOSPC:
      return 'no-space';
    case Errno.ETIMEDOUT:
      return 'timed-out';
    default:
      return 'unsupported';
  }
}

const SPAWN_REASONS: readonly string[] = [
  'unknown',
  'oom',
  'cap-table-full',
  'endpoint-quota',
  'map-failed',
  'invalid-payload',
  'denied-by-policy',
];

/** Text of SPAWN_LAST_ERROR's code (sheet 10, section 6.1). */
export function spawnReason(code: number): string {
  return SPAWN_REASONS[code] ?? 'unknown';
}
