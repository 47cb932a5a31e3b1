/** CSR instructions in user mode: the counters can be read, everything else is illegal (sheet 05, sections 5 and 18.2). */
import type { HartCounters } from './counters.ts';
import { COUNTER_DENIED } from './counters.ts';
import { CSR_CYCLE, CSR_INSTRET, CSR_TIME, Op } from './isa.ts';

/** What {@link readCsr} answers where the instruction is illegal. */
export const CSR_ILLEGAL = -1;

/**
 * Value that a CSR instruction, given as its bits, reads when `retired` instructions have retired: below 2^53, or
 * {@link CSR_ILLEGAL}. A write attempt is illegal: csrrw always, the others unless their source field is 0.
 */
export function readCsr(op: number, bits: number, counters: HartCounters, retired: number): number {
  const csr = bits >>> 20;
  if (csr !== CSR_CYCLE && csr !== CSR_TIME && csr !== CSR_INSTRET) return CSR_ILLEGAL;
  const source = (bits >>> 15) & 31;
  if (op === Op.csrrw || op === Op.csrrwi || source !== 0) return CSR_ILLEGAL;
  const value = counters.read(csr, retired);
  return value === COUNTER_DENIED ? CSR_ILLEGAL : value;
}
