/** The A extension (sheet 05, section 18.5): LR, SC and the read-modify-write operations. */
import { Op } from './isa.ts';
import type { HartMemory } from './memory.ts';
import type { HartState } from './state.ts';
import { HIGH } from './state.ts';
import { Cause } from './trap.ts';

/**
 * Executes an atomic operation on the address in rs1; false after noting a fault in `memory`. Results go to x[rd], which
 * may be the sink.
 */
export function executeAtomic(
  state: HartState,
  memory: HartMemory,
  op: number,
  rd: number,
  rs1: number,
  rs2: number,
): boolean {
  const { x } = state;
  const low = x[rs1] as number;
  const high = x[rs1 + HIGH] as number;
  const double = op >= Op['lr.d'];
  if (op === Op['sc.w'] || op === Op['sc.d']) return storeConditional(state, memory, double, rd, rs1, rs2);
  const width = double ? 8 : 4;
  const isLr = op === Op['lr.w'] || op === Op['lr.d'];
  if ((low & (width - 1)) !== 0) return memory.raise(isLr ? Cause.loadMisaligned : Cause.storeMisaligned, low, high);
  if (!(isLr ? memory.load(low, high, width) : memory.loadToModify(low, high, width))) return false;
  const oldLow = memory.low;
  const oldHigh = double ? memory.high : oldLow >> 31;
  if (isLr) {
    state.reserved = true;
    state.reservedLow = low;
    state.reservedHigh = high;
    state.reservedValueLow = oldLow;
    state.reservedValueHigh = oldHigh;
  } else if (!modify(memory, op, width, low, high, oldLow, oldHigh, x[rs2] as number, x[rs2 + HIGH] as number)) {
    return false;
  }
  x[rd] = oldLow;
  x[rd + HIGH] = oldHigh;
  return true;
}

/** Writes the new value of a read-modify-write operation. A `.w` operation compares words: both are given sign-extended. */
function modify(
  memory: HartMemory,
  op: number,
  width: 4 | 8,
  low: number,
  high: number,
  oldLow: number,
  oldHigh: number,
  sourceLow: number,
  sourceHigh: number,
): boolean {
  const operandHigh = width === 4 ? sourceLow >> 31 : sourceHigh;
  switch (width === 8 ? op - DOUBLE : op) {
    case Op['amoswap.w']:
      return memory.store(low, high, width, sourceLow, sourceHigh);
    case Op['amoadd.w']: {
      const sum = (oldLow + sourceLow) | 0;
      return memory.store(low, high, width, sum, (oldHigh + sourceHigh + (sum >>> 0 < oldLow >>> 0 ? 1 : 0)) | 0);
    }
    case Op['amoxor.w']:
      return memory.store(low, high, width, oldLow ^ sourceLow, oldHigh ^ sourceHigh);
    case Op['amoand.w']:
      return memory.store(low, high, width, oldLow & sourceLow, oldHigh & sourceHigh);
    case Op['amoor.w']:
      return memory.store(low, high, width, oldLow | sourceLow, oldHigh | sourceHigh);
    default: {
      const unsigned =
        op === Op['amominu.w'] || op === Op['amomaxu.w'] || op === Op['amominu.d'] || op === Op['amomaxu.d'];
      const minimum =
        op === Op['amomin.w'] || op === Op['amominu.w'] || op === Op['amomin.d'] || op === Op['amominu.d'];
      const flip = unsigned ? SIGN : 0;
      const a = oldHigh ^ flip;
      const b = operandHigh ^ flip;
      const oldIsLess = a === b ? oldLow >>> 0 < sourceLow >>> 0 : a < b;
      return oldIsLess === minimum
        ? memory.store(low, high, width, oldLow, oldHigh)
        : memory.store(low, high, width, sourceLow, sourceHigh);
    }
  }
}

/** Distance from a `.w` operation to its `.d` form. */
const DOUBLE = Op['lr.d'] - Op['lr.w'];
const SIGN = 1 << 31;

/**
 * SC succeeds where the address is the reserved one and memory, read in SC's width and sign-extended, still is the value
 * that LR gave to its register; only then can it fault. Anything else, a misaligned or unmapped address included, answers 1. The reservation goes in any case.
 */
function storeConditional(
  state: HartState,
  memory: HartMemory,
  double: boolean,
  rd: number,
  rs1: number,
  rs2: number,
): boolean {
  const { x } = state;
  const low = x[rs1] as number;
  const high = x[rs1 + HIGH] as number;
  const width = double ? 8 : 4;
  const matches =
    state.reserved &&
    low === state.reservedLow &&
    high === state.reservedHigh &&
    (low & (width - 1)) === 0 &&
    memory.load(low, high, width) &&
    memory.low === state.reservedValueLow &&
    (double ? memory.high : memory.low >> 31) === state.reservedValueHigh;
  state.reserved = false;
  if (matches && !memory.store(low, high, width, x[rs2] as number, x[rs2 + HIGH] as number)) return false;
  x[rd] = matches ? 0 : 1;
  x[rd + HIGH] = 0;
  return true;
}
