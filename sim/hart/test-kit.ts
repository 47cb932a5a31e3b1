/**
 * Random programs that always end, for comparing harts: straight code with forward jumps, run over several times by a
 * loop that register tp counts. Base registers stay where they are, so that every access falls into the data pages.
 */
import { compressedEncodingOf, encode, encodeCompressed } from './encode.ts';
import { decode } from './decode.ts';
import type { Mnemonic } from './isa.ts';
import { ENCODINGS, Op } from './isa.ts';
import type { Chance, ModelInstruction } from './testing.ts';

/** A program: its bytes, and each instruction by address. */
export interface RandomProgram {
  readonly base: number;
  readonly bytes: Uint8Array;
  readonly instructions: ReadonlyMap<number, ModelInstruction>;
  /** Address of the first instruction behind the program. */
  readonly end: number;
}

/** Register values that a program starts with, for data pages at an address. */
export function startRegisters(chance: Chance, data: number, rounds: number): bigint[] {
  const x = Array.from({ length: 32 }, () => chance.operand());
  x[0] = 0n;
  x[2] = BigInt(data + 4096);
  x[3] = BigInt(data);
  x[4] = BigInt(rounds);
  x[8] = BigInt(data + 2048);
  x[9] = BigInt(data + 6136);
  return x;
}

/** Bytes of data pages that programs read and write. */
export const DATA_SIZE = 8192;

/** sp, gp, tp, s0, s1: bases, the loop counter, and one for whoever runs the program. */
const RESERVED: ReadonlySet<number> = new Set([2, 3, 4, 8, 9]);
const BASES = [2, 8, 9] as const;
const FREE = Array.from({ length: 32 }, (_, i) => i).filter((register) => !RESERVED.has(register));

const named = (...formats: readonly string[]) => ENCODINGS.filter(({ format }) => formats.includes(format));
const COMPUTE = named('r', 'i', 'u', 'shift6', 'shift5');
const LOADS = named('load').filter(({ mnemonic }) => mnemonic !== 'jalr');
const STORES = named('s');
const ATOMICS = named('amo', 'lr');
const BRANCHES = named('b');
/** fence, fence.i, pause. */
const FENCES = [0x0ff0_000f, 0x0000_100f, 0x0100_000f] as const;

/** An instruction whose place is not known yet; `to` is the index of a jump's target. */
interface Draft {
  readonly length: 2 | 4;
  readonly to: number | null;
  /** False behind an instruction that prepares its register. */
  readonly target: boolean;
  build(pc: number, target: number): number;
}

export function randomProgram(chance: Chance, base: number, length: number): RandomProgram {
  const drafts: Draft[] = [];
  while (drafts.length < length) drafts.push(...draft(chance, drafts.length));
  const last = drafts.length;
  const at: number[] = [];
  let end = base;
  for (const { length } of drafts) {
    at.push(end);
    end += length;
  }
  at.push(end);
  const words = drafts.map(({ build, to }, i) => {
    let index = Math.min(to ?? i, last);
    while (drafts[index]?.target === false) index++;
    return build(at[i]!, at[index]!);
  });
  // addi tp, tp, -1; beqz tp, +8; j start
  words.push(encodeOrThrow('addi', 4, 4, 0, -1), encodeOrThrow('beq', 0, 4, 0, 8));
  words.push(encodeOrThrow('jal', 0, 0, 0, base - (end + 8)));
  const instructions = new Map<number, ModelInstruction>();
  const bytes: number[] = [];
  for (const word of words) {
    const { op, ...fields } = decode(word);
    const mnemonic = Object.keys(Op)[op - 1]!;
    instructions.set(base + bytes.length, { mnemonic, ...fields });
    for (let i = 0; i < fields.length; i++) bytes.push((word >>> (8 * i)) & 0xff);
  }
  return { base, bytes: Uint8Array.from(bytes), instructions, end: base + bytes.length };
}

function draft(chance: Chance, index: number): Draft[] {
  const source = (): number => chance.below(32);
  const rd = chance.below(8) === 0 ? 0 : chance.pick(FREE);
  const imm12 = (chance.word() | 0) >> 20;
  const plain = (word: number): Draft[] => [
    { length: (word & 3) === 3 ? 4 : 2, to: null, target: true, build: () => word },
  ];
  const to = index + 1 + chance.below(12);
  switch (chance.below(18)) {
    case 0:
    case 1:
    case 2: {
      const word = compressedWord(chance);
      return plain(word);
    }
    case 3:
    case 4: {
      const { mnemonic } = chance.pick(LOADS);
      return plain(encodeOrThrow(mnemonic, rd, chance.pick(BASES), 0, imm12));
    }
    case 5:
    case 6: {
      const { mnemonic } = chance.pick(STORES);
      return plain(encodeOrThrow(mnemonic, 0, chance.pick(BASES), source(), imm12));
    }
    case 7: {
      // LR and SC of different widths do not meet: QEMU stores in an sc.w that then answers 1.
      const { mnemonic, format } = chance.pick(ATOMICS);
      const reserves = mnemonic.startsWith('lr') || mnemonic.startsWith('sc');
      const at = reserves ? (mnemonic.endsWith('w') ? 8 : chance.pick([2, 9])) : chance.pick(BASES);
      return plain(encodeOrThrow(mnemonic, rd, at, format === 'lr' ? 0 : source(), 0));
    }
    case 8: {
      const { mnemonic } = chance.pick(BRANCHES);
      const [a, b] = [source(), source()];
      return [{ length: 4, to, target: true, build: (pc, target) => encodeOrThrow(mnemonic, 0, a, b, target - pc) }];
    }
    case 9: {
      const name = chance.pick(['c.j', 'c.beqz', 'c.bnez']);
      const register = name === 'c.j' ? 0 : 8 + chance.below(8);
      const build = (pc: number, target: number): number =>
        encodeCompressed(compressedEncodingOf(name)!, { rd: 0, rs1: register, rs2: 0, imm: target - pc })!;
      return [{ length: 2, to, target: true, build }];
    }
    case 10: {
      if (chance.below(2) === 0)
        return [{ length: 4, to, target: true, build: (pc, target) => encodeOrThrow('jal', rd, 0, 0, target - pc) }];
      const build = (pc: number, target: number): number =>
        encodeOrThrow('jalr', rd, 6, 0, target - (pc - 4) + (index & 1));
      return [...plain(encodeOrThrow('auipc', 6, 0, 0, 0)), { length: 4, to: to + 1, target: false, build }];
    }
    case 11:
      return plain(chance.pick(FENCES));
    default: {
      const { mnemonic, format } = chance.pick(COMPUTE);
      const imm =
        format === 'i'
          ? imm12
          : format === 'u'
            ? chance.word() & ~0xfff
            : format === 'r'
              ? 0
              : chance.below(format === 'shift5' ? 32 : 64);
      return plain(encodeOrThrow(mnemonic, rd, format === 'u' ? 0 : source(), format === 'r' ? source() : 0, imm | 0));
    }
  }
}

/** A 16-bit instruction that computes, loads or stores and leaves the reserved registers alone. */
function compressedWord(chance: Chance): number {
  for (;;) {
    const word = chance.word() & 0xffff;
    if ((word & 3) === 3) continue;
    const { op, rd, rs1 } = decode(word);
    const jumps = op === Op.jal || op === Op.jalr || op === Op.beq || op === Op.bne || op === Op.ebreak;
    if (op === Op.illegal || jumps || RESERVED.has(rd)) continue;
    const memory = op === Op.lw || op === Op.ld || op === Op.sw || op === Op.sd;
    if (memory && rs1 !== 2 && rs1 !== 8 && rs1 !== 9) continue;
    return word;
  }
}

function encodeOrThrow(mnemonic: Mnemonic, rd: number, rs1: number, rs2: number, imm: number): number {
  const word = encode(mnemonic, { rd, rs1, rs2, imm });
  if (word === null) throw new Error(`${mnemonic} ${rd} ${rs1} ${rs2} ${imm} does not encode`);
  return word;
}
