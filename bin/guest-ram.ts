/**
 * Host memory for guests. The engine counts ordinary buffers and collects garbage, twice, as soon as one of a guest's size
 * is there: a twentieth of a short run. Shared ones it does not count; so only a process's first machines get them, lest many
 * machines that are done with fill the host.
 */
import type { BufferSource } from '../sim/ram.ts';

/** Buffers for a run whose first `machines` have theirs uncounted. */
export function guestRam(machines: number): BufferSource {
  let uncounted = machines;
  return (bytes) => (uncounted-- > 0 ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
}
