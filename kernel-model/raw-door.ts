/** Placeholder: refuses every ecall. */
import { Errno } from './abi.ts';

export function rawDoor(): number {
  return -Errno.ENOSYS;
}
