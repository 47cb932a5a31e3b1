/** Placeholder: refuses every call. */
import { Errno } from '../abi.ts';

export function spawn(): number {
  return -Errno.ENOSYS;
}
export function execV1(): number {
  return -Errno.ENOSYS;
}
export function execV2(): number {
  return -Errno.ENOSYS;
}
export function spawnLastError(): number {
  return -Errno.ENOSYS;
}
