/** Placeholder: refuses every call. */
import { Errno } from '../abi.ts';

export function map(): number {
  return -Errno.ENOSYS;
}
export function vmoCreate(): number {
  return -Errno.ENOSYS;
}
export function vmoWrite(): number {
  return -Errno.ENOSYS;
}
export function asCreate(): number {
  return -Errno.ENOSYS;
}
export function asMap(): number {
  return -Errno.ENOSYS;
}
export function mmioMap(): number {
  return -Errno.ENOSYS;
}
export function capQuery(): number {
  return -Errno.ENOSYS;
}
export function deviceCapCreate(): number {
  return -Errno.ENOSYS;
}
