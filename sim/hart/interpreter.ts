/**
 * The interpreter: runs decoded slots until a budget is used up or an instruction traps. One loop, one switch.
 *
 * Its speed comes from four things: values are Int32 halves in local variables, the switch has literal cases (a type
 * checks each against the instruction table), TLB hits are made in line, and the loop makes no calls: what needs one is
 * left to `execute.ts` and resumed behind.
 */
/* eslint max-lines: ["error", { "max": 450, "skipBlankLines": true, "skipComments": true }] -- one switch over the instructions; split, it would not be one jump */
import type { HartCounters } from './counters.ts';
import { execute } from './execute.ts';
import type { OpOf } from './isa.ts';
import type {
  HartMemory,
  TLB_LOAD as MEMORY_TLB_LOAD,
  TLB_MASK,
  TLB_OFFSET as MEMORY_TLB_OFFSET,
  TLB_STORE as MEMORY_TLB_STORE,
} from './memory.ts';
import type { PAGE_END, PAGE_SIZE as SLOTS_PAGE_SIZE } from './slots.ts';
import { NOT_DECODED, slotImmediate, slotWord } from './slots.ts';
import type { HartState, HIGH as STATE_HIGH } from './state.ts';
import type { Cause } from './trap.ts';

/** What {@link interpret} answers where the budget ended it. */
export const BUDGET = 0;

/** Most instructions of one call: counts stay small integers. */
export const MAX_BUDGET = 0x3fff_ffff;

/**
 * Runs at most `budget` instructions (1..{@link MAX_BUDGET}) from the pc in `state`. Answers {@link BUDGET} with the pc at
 * the next instruction, or the cause of a trap with the pc at the instruction that trapped and tval in `memory`'s
 * fault fields. Counts what retired in `state` either way.
 */
export function interpret(
  state: HartState,
  memory: HartMemory,
  counters: HartCounters,
  budget: number,
): Cause | typeof BUDGET {
  // Constants of other files once more. As locals they fold into the machine code; a module's are loads, and these stand
  // in every instruction.
  const HIGH = 64 satisfies typeof STATE_HIGH;
  const PAGE_SIZE = 4096 satisfies typeof SLOTS_PAGE_SIZE;
  const PAGE_MASK = -PAGE_SIZE;
  const OFFSET_MASK = PAGE_SIZE - 1;
  const TLB_LOAD = 1 satisfies typeof MEMORY_TLB_LOAD;
  const TLB_STORE = 2 satisfies typeof MEMORY_TLB_STORE;
  const TLB_OFFSET = 4 satisfies typeof MEMORY_TLB_OFFSET;
  /** Of (address >>> 9): TLB index times stride. */
  const ENTRY_MASK = 0x7f8 satisfies typeof TLB_MASK;
  const TWO_32 = 0x1_0000_0000;
  const FENCE_I = 87 satisfies OpOf<'fence.i'>;

  const x = state.x;
  const tlb = memory.tlb;
  const view = memory.view;
  let left = budget;
  let low = state.pcLow;
  let high = state.pcHigh;
  let cause: Cause | typeof BUDGET = BUDGET;

  page: for (;;) {
    // Here (high, low) is the next pc.
    if (left === 0) break;
    const code = memory.enter(low, high);
    if (code === null) {
      cause = memory.cause;
      break;
    }
    const pageLow = low & PAGE_MASK;
    const pageHigh = high;
    let o = low & OFFSET_MASK;
    let w = code[o] as number;
    let imm = code[o + 1] as number;
    let entry: number;

    for (;;) {
      slow: {
        next: for (;;) {
          // Here w and imm are the slot of the instruction at offset o; (low, high) is free for its result.
          const rs1 = (w >>> 13) & 31;
          const rs2 = (w >>> 18) & 31;
          const a = x[rs1] as number;
          const ah = x[rs1 + HIGH] as number;
          const b = x[rs2] as number;
          const bh = x[rs2 + HIGH] as number;
          jump: {
            advance: {
              switch (w & 127) {
                case 2 satisfies OpOf<'lui'>:
                  low = imm;
                  high = imm >> 31;
                  break;
                case 3 satisfies OpOf<'auipc'>: {
                  const pc = pageLow | o;
                  low = (pc + imm) | 0;
                  high = (pageHigh + (imm >> 31) + (low >>> 0 < pc >>> 0 ? 1 : 0)) | 0;
                  break;
                }
                case 23 satisfies OpOf<'addi'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  break;
                case 24 satisfies OpOf<'slti'>: {
                  const ih = imm >> 31;
                  low = ah < ih || (ah === ih && a >>> 0 < imm >>> 0) ? 1 : 0;
                  high = 0;
                  break;
                }
                case 25 satisfies OpOf<'sltiu'>: {
                  const ih = imm >> 31;
                  low = ah >>> 0 < ih >>> 0 || (ah === ih && a >>> 0 < imm >>> 0) ? 1 : 0;
                  high = 0;
                  break;
                }
                case 26 satisfies OpOf<'xori'>:
                  low = a ^ imm;
                  high = ah ^ (imm >> 31);
                  break;
                case 27 satisfies OpOf<'ori'>:
                  low = a | imm;
                  high = ah | (imm >> 31);
                  break;
                case 28 satisfies OpOf<'andi'>:
                  low = a & imm;
                  high = ah & (imm >> 31);
                  break;
                case 29 satisfies OpOf<'slli'>:
                  if (imm < 32) {
                    high = (ah << imm) | ((a >>> 1) >>> (31 - imm));
                    low = a << imm;
                  } else {
                    high = a << imm;
                    low = 0;
                  }
                  break;
                case 30 satisfies OpOf<'srli'>:
                  if (imm < 32) {
                    low = (a >>> imm) | ((ah << 1) << (31 - imm));
                    high = (ah >>> imm) | 0;
                  } else {
                    low = (ah >>> imm) | 0;
                    high = 0;
                  }
                  break;
                case 31 satisfies OpOf<'srai'>:
                  if (imm < 32) {
                    low = (a >>> imm) | ((ah << 1) << (31 - imm));
                    high = ah >> imm;
                  } else {
                    low = ah >> imm;
                    high = ah >> 31;
                  }
                  break;
                case 32 satisfies OpOf<'addiw'>:
                  low = (a + imm) | 0;
                  high = low >> 31;
                  break;
                case 33 satisfies OpOf<'slliw'>:
                  low = a << imm;
                  high = low >> 31;
                  break;
                case 34 satisfies OpOf<'srliw'>:
                  low = (a >>> imm) | 0;
                  high = low >> 31;
                  break;
                case 35 satisfies OpOf<'sraiw'>:
                  low = a >> imm;
                  high = low >> 31;
                  break;
                case 36 satisfies OpOf<'add'>:
                  low = (a + b) | 0;
                  high = (ah + bh + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  break;
                case 37 satisfies OpOf<'sub'>:
                  low = (a - b) | 0;
                  high = (ah - bh - (a >>> 0 < b >>> 0 ? 1 : 0)) | 0;
                  break;
                case 38 satisfies OpOf<'sll'>:
                  if ((b & 32) === 0) {
                    high = (ah << b) | ((a >>> 1) >>> (31 - (b & 31)));
                    low = a << b;
                  } else {
                    high = a << b;
                    low = 0;
                  }
                  break;
                case 39 satisfies OpOf<'slt'>:
                  low = ah < bh || (ah === bh && a >>> 0 < b >>> 0) ? 1 : 0;
                  high = 0;
                  break;
                case 40 satisfies OpOf<'sltu'>:
                  low = ah >>> 0 < bh >>> 0 || (ah === bh && a >>> 0 < b >>> 0) ? 1 : 0;
                  high = 0;
                  break;
                case 41 satisfies OpOf<'xor'>:
                  low = a ^ b;
                  high = ah ^ bh;
                  break;
                case 42 satisfies OpOf<'srl'>:
                  if ((b & 32) === 0) {
                    low = (a >>> b) | ((ah << 1) << (31 - (b & 31)));
                    high = (ah >>> b) | 0;
                  } else {
                    low = (ah >>> b) | 0;
                    high = 0;
                  }
                  break;
                case 43 satisfies OpOf<'sra'>:
                  if ((b & 32) === 0) {
                    low = (a >>> b) | ((ah << 1) << (31 - (b & 31)));
                    high = ah >> b;
                  } else {
                    low = ah >> b;
                    high = ah >> 31;
                  }
                  break;
                case 44 satisfies OpOf<'or'>:
                  low = a | b;
                  high = ah | bh;
                  break;
                case 45 satisfies OpOf<'and'>:
                  low = a & b;
                  high = ah & bh;
                  break;
                case 46 satisfies OpOf<'addw'>:
                  low = (a + b) | 0;
                  high = low >> 31;
                  break;
                case 47 satisfies OpOf<'subw'>:
                  low = (a - b) | 0;
                  high = low >> 31;
                  break;
                case 48 satisfies OpOf<'sllw'>:
                  low = a << b;
                  high = low >> 31;
                  break;
                case 49 satisfies OpOf<'srlw'>:
                  low = (a >>> b) | 0;
                  high = low >> 31;
                  break;
                case 50 satisfies OpOf<'sraw'>:
                  low = a >> b;
                  high = low >> 31;
                  break;

                case 51 satisfies OpOf<'mul'>:
                  low = Math.imul(a, b);
                  // Upper word of a * b, as in wide.ts.
                  high = (((a >>> 0) * (b >>> 0) - (low >>> 0)) / TWO_32 + 0.5) | 0;
                  high = (high + Math.imul(a, bh) + Math.imul(ah, b)) | 0;
                  break;
                case 59 satisfies OpOf<'mulw'>:
                  low = Math.imul(a, b);
                  high = low >> 31;
                  break;
                case 12 satisfies OpOf<'lb'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_LOAD] === (low & PAGE_MASK) && tlb[entry] === high)
                    low = view.getInt8((low + (tlb[entry + TLB_OFFSET] as number)) | 0);
                  else break slow;
                  high = low >> 31;
                  break;
                case 13 satisfies OpOf<'lh'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_LOAD] === ((low + 1) & PAGE_MASK) && tlb[entry] === high)
                    low = view.getInt16((low + (tlb[entry + TLB_OFFSET] as number)) | 0, true);
                  else break slow;
                  high = low >> 31;
                  break;
                case 14 satisfies OpOf<'lw'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_LOAD] === ((low + 3) & PAGE_MASK) && tlb[entry] === high)
                    low = view.getInt32((low + (tlb[entry + TLB_OFFSET] as number)) | 0, true);
                  else break slow;
                  high = low >> 31;
                  break;
                case 15 satisfies OpOf<'ld'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_LOAD] === ((low + 7) & PAGE_MASK) && tlb[entry] === high) {
                    const offset = (low + (tlb[entry + TLB_OFFSET] as number)) | 0;
                    low = view.getInt32(offset, true);
                    high = view.getInt32(offset + 4, true);
                  } else break slow;
                  break;
                case 16 satisfies OpOf<'lbu'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_LOAD] === (low & PAGE_MASK) && tlb[entry] === high)
                    low = view.getUint8((low + (tlb[entry + TLB_OFFSET] as number)) | 0);
                  else break slow;
                  high = 0;
                  break;
                case 17 satisfies OpOf<'lhu'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_LOAD] === ((low + 1) & PAGE_MASK) && tlb[entry] === high)
                    low = view.getUint16((low + (tlb[entry + TLB_OFFSET] as number)) | 0, true);
                  else break slow;
                  high = 0;
                  break;
                case 18 satisfies OpOf<'lwu'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_LOAD] === ((low + 3) & PAGE_MASK) && tlb[entry] === high)
                    low = view.getInt32((low + (tlb[entry + TLB_OFFSET] as number)) | 0, true);
                  else break slow;
                  high = 0;
                  break;

                case 19 satisfies OpOf<'sb'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_STORE] === (low & PAGE_MASK) && tlb[entry] === high)
                    view.setInt8((low + (tlb[entry + TLB_OFFSET] as number)) | 0, b);
                  else break slow;
                  break advance;
                case 20 satisfies OpOf<'sh'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_STORE] === ((low + 1) & PAGE_MASK) && tlb[entry] === high)
                    view.setInt16((low + (tlb[entry + TLB_OFFSET] as number)) | 0, b, true);
                  else break slow;
                  break advance;
                case 21 satisfies OpOf<'sw'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_STORE] === ((low + 3) & PAGE_MASK) && tlb[entry] === high)
                    view.setInt32((low + (tlb[entry + TLB_OFFSET] as number)) | 0, b, true);
                  else break slow;
                  break advance;
                case 22 satisfies OpOf<'sd'>:
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  entry = (low >>> 9) & ENTRY_MASK;
                  if (tlb[entry + TLB_STORE] === ((low + 7) & PAGE_MASK) && tlb[entry] === high) {
                    const offset = (low + (tlb[entry + TLB_OFFSET] as number)) | 0;
                    view.setInt32(offset, b, true);
                    view.setInt32(offset + 4, bh, true);
                  } else break slow;
                  break advance;

                case 6 satisfies OpOf<'beq'>:
                  if (a === b && ah === bh) break jump;
                  break advance;
                case 7 satisfies OpOf<'bne'>:
                  if (a !== b || ah !== bh) break jump;
                  break advance;
                case 8 satisfies OpOf<'blt'>:
                  if (ah < bh || (ah === bh && a >>> 0 < b >>> 0)) break jump;
                  break advance;
                case 9 satisfies OpOf<'bge'>:
                  if (ah > bh || (ah === bh && a >>> 0 >= b >>> 0)) break jump;
                  break advance;
                case 10 satisfies OpOf<'bltu'>:
                  if (ah >>> 0 < bh >>> 0 || (ah === bh && a >>> 0 < b >>> 0)) break jump;
                  break advance;
                case 11 satisfies OpOf<'bgeu'>:
                  if (ah >>> 0 > bh >>> 0 || (ah === bh && a >>> 0 >= b >>> 0)) break jump;
                  break advance;
                case 4 satisfies OpOf<'jal'>: {
                  const rd = (w >>> 7) & 63;
                  const link = (pageLow + o + (w >>> 29)) | 0;
                  x[rd] = link;
                  x[rd + HIGH] = pageHigh + (link >>> 0 < pageLow >>> 0 ? 1 : 0);
                  break jump;
                }
                case 5 satisfies OpOf<'jalr'>: {
                  const rd = (w >>> 7) & 63;
                  const link = (pageLow + o + (w >>> 29)) | 0;
                  x[rd] = link;
                  x[rd + HIGH] = pageHigh + (link >>> 0 < pageLow >>> 0 ? 1 : 0);
                  low = (a + imm) | 0;
                  high = (ah + (imm >> 31) + (low >>> 0 < a >>> 0 ? 1 : 0)) | 0;
                  low &= ~1;
                  left--;
                  if (left === 0 || (low & PAGE_MASK) !== pageLow || high !== pageHigh) continue page;
                  o = low & OFFSET_MASK;
                  w = code[o] as number;
                  imm = code[o + 1] as number;
                  continue;
                }

                case 86 satisfies OpOf<'fence'>:
                  break advance;
                case 100 satisfies typeof PAGE_END:
                  break next;
                default:
                  break slow;
              }
              const rd = (w >>> 7) & 63;
              x[rd] = low;
              x[rd + HIGH] = high;
            }
            o += w >>> 29;
            w = code[o] as number;
            imm = code[o + 1] as number;
            if (--left !== 0) continue;
            break;
          }
          o += imm;
          if (--left === 0 || o >>> 0 >= PAGE_SIZE) break;
          w = code[o] as number;
          imm = code[o + 1] as number;
        }
        low = (pageLow + o) | 0;
        high = (pageHigh + (o >> 31) + (low >>> 0 < pageLow >>> 0 ? 1 : 0)) | 0;
        continue page;
      }
      // The instruction at offset o is not for the loop above, which makes no calls: that is half of its speed.
      const op = w & 127;
      if (op === NOT_DECODED) {
        if (memory.fetch(pageLow | o, pageHigh)) {
          w = slotWord(memory.low);
          imm = slotImmediate(memory.low);
          // An instruction on the edge reaches into a page that may change without this one.
          if (code !== memory.code.uncached && o + (w >>> 29) <= PAGE_SIZE) {
            code[o] = w;
            code[o + 1] = imm;
          }
          continue;
        }
      } else if (execute(state, memory, counters, w, imm, state.retired + (budget - left))) {
        o += w >>> 29;
        left--;
        if (left !== 0 && op !== FENCE_I) {
          w = code[o] as number;
          imm = code[o + 1] as number;
          continue;
        }
        low = (pageLow + o) | 0;
        high = (pageHigh + (low >>> 0 < pageLow >>> 0 ? 1 : 0)) | 0;
        continue page;
      }
      // A trap. Nothing has changed.
      cause = memory.cause;
      low = pageLow | o;
      high = pageHigh;
      break page;
    }
  }
  state.pcLow = low;
  state.pcHigh = high;
  state.retired += budget - left;
  if (cause !== BUDGET) state.reserved = false;
  return cause;
}
