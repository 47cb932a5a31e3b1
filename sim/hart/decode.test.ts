import { describe, expect, it } from 'vitest';
import { COMPRESSED } from './compressed.ts';
import { decode, instructionLength } from './decode.ts';
import { compress, encode, encodeCompressed } from './encode.ts';
import type { Mnemonic } from './isa.ts';
import { ENCODINGS, Op } from './isa.ts';
import { Chance, CODE, DATA, HartRig, ModelHart } from './testing.ts';
import type { ModelInstruction } from './testing.ts';

/** Sheet 05, section 18.3. */
const LEGAL_PATTERNS = 38_551;

/** The C extension once more, by the bits of the manual's tables, written without looking at `compressed.ts`. */
function expand(bits: number): Omit<ModelInstruction, 'length'> | null {
  const bit = (n: number): number => (bits >> n) & 1;
  const field = (high: number, low: number): number => (bits >> low) & ((1 << (high - low + 1)) - 1);
  const make = (mnemonic: string, rd: number, rs1: number, rs2: number, imm: number) => ({
    mnemonic,
    rd,
    rs1,
    rs2,
    imm,
  });
  const rd = field(11, 7);
  const rs2 = field(6, 2);
  const dShort = field(9, 7) + 8;
  const sShort = field(4, 2) + 8;
  const six = field(6, 2) - 32 * bit(12);
  const shift = field(6, 2) + 32 * bit(12);
  const word = bit(6) * 4 + field(12, 10) * 8 + bit(5) * 64;
  const double = field(12, 10) * 8 + field(6, 5) * 64;
  switch (`${bits & 3}.${bits >> 13}`) {
    case '0.0': {
      const imm = bit(6) * 4 + bit(5) * 8 + field(12, 11) * 16 + field(10, 7) * 64;
      return imm === 0 ? null : make('addi', sShort, 2, 0, imm);
    }
    case '0.2':
      return make('lw', sShort, dShort, 0, word);
    case '0.3':
      return make('ld', sShort, dShort, 0, double);
    case '0.6':
      return make('sw', 0, dShort, sShort, word);
    case '0.7':
      return make('sd', 0, dShort, sShort, double);
    case '1.0':
      return make('addi', rd, rd, 0, six);
    case '1.1':
      return rd === 0 ? null : make('addiw', rd, rd, 0, six);
    case '1.2':
      return make('addi', rd, 0, 0, six);
    case '1.3': {
      if (rd !== 2) return six === 0 ? null : make('lui', rd, 0, 0, six * 4096);
      const imm = bit(6) * 16 + bit(2) * 32 + bit(5) * 64 + field(4, 3) * 128 - bit(12) * 512;
      return imm === 0 ? null : make('addi', 2, 2, 0, imm);
    }
    case '1.4':
      switch (field(11, 10)) {
        case 0:
          return make('srli', dShort, dShort, 0, shift);
        case 1:
          return make('srai', dShort, dShort, 0, shift);
        case 2:
          return make('andi', dShort, dShort, 0, six);
        default: {
          const name = ['sub', 'xor', 'or', 'and', 'subw', 'addw', null, null][bit(12) * 4 + field(6, 5)];
          return name === null || name === undefined ? null : make(name, dShort, dShort, sShort, 0);
        }
      }
    case '1.5': {
      const imm =
        field(5, 3) * 2 +
        bit(11) * 16 +
        bit(2) * 32 +
        bit(7) * 64 +
        bit(6) * 128 +
        field(10, 9) * 256 +
        bit(8) * 1024 -
        bit(12) * 2048;
      return make('jal', 0, 0, 0, imm);
    }
    case '1.6':
    case '1.7': {
      const imm = field(4, 3) * 2 + field(11, 10) * 8 + bit(2) * 32 + field(6, 5) * 64 - bit(12) * 256;
      return make(bit(13) === 0 ? 'beq' : 'bne', 0, dShort, 0, imm);
    }
    case '2.0':
      return make('slli', rd, rd, 0, shift);
    case '2.2':
      return rd === 0 ? null : make('lw', rd, 2, 0, field(6, 4) * 4 + bit(12) * 32 + field(3, 2) * 64);
    case '2.3':
      return rd === 0 ? null : make('ld', rd, 2, 0, field(6, 5) * 8 + bit(12) * 32 + field(4, 2) * 64);
    case '2.4':
      if (rs2 !== 0) return make('add', rd, bit(12) === 0 ? 0 : rd, rs2, 0);
      if (rd !== 0) return make('jalr', bit(12), rd, 0, 0);
      return bit(12) === 0 ? null : make('ebreak', 0, 0, 0, 0);
    case '2.6':
      return make('sw', 0, 2, rs2, field(12, 9) * 4 + field(8, 7) * 64);
    case '2.7':
      return make('sd', 0, 2, rs2, field(12, 10) * 8 + field(9, 7) * 64);
    default:
      return null;
  }
}

describe('16-bit patterns (sheet 05, section 18.3)', () => {
  it('decodes all 65536 like the independent table', () => {
    let legal = 0;
    for (let bits = 0; bits < 0x1_0000; bits++) {
      if ((bits & 3) === 3) continue;
      const decoded = decode(bits);
      const expected = expand(bits);
      if (expected !== null) legal++;
      const wanted =
        expected === null
          ? { op: Op.illegal, rd: 0, rs1: 0, rs2: 0, imm: 0, length: 2 }
          : {
              op: Op[expected.mnemonic as Mnemonic],
              rd: expected.rd,
              rs1: expected.rs1,
              rs2: expected.rs2,
              imm: expected.imm,
              length: 2,
            };
      if (JSON.stringify(decoded) !== JSON.stringify(wanted)) expect(decoded, bits.toString(16)).toEqual(wanted);
    }
    expect(legal).toBe(LEGAL_PATTERNS);
  });

  it('executes every legal one as its expansion and traps on every illegal one', () => {
    const rig = new HartRig();
    const chance = new Chance(7);
    const { hart } = rig;
    for (let bits = 0; bits < 0x1_0000; bits++) {
      if ((bits & 3) === 3) continue;
      if (bits % 512 === 0) rig.poke64(DATA + 8 * chance.below(1000), chance.operand());
      rig.code(CODE + 2048, bits);
      for (let register = 1; register < 32; register++)
        hart.setX(register, register < 16 ? BigInt(DATA + 8 * chance.below(900)) : chance.operand());
      hart.state.pc = BigInt(CODE + 2048);
      const expected = expand(bits);
      const stores = expected !== null && expected.mnemonic.startsWith('s') && expected.rs2 !== 0;
      const reference = new ModelHart(stores ? rig.ram.bytes.slice() : rig.ram.bytes);
      for (let register = 0; register < 32; register++) reference.x[register] = hart.getX(register);
      reference.pc = hart.state.pc;
      const trap = expected === null ? { cause: 2, tval: BigInt(bits) } : reference.step({ ...expected, length: 2 });
      const stop = hart.run(1);
      const agree =
        (stop.reason === 'trap') === (trap !== null) &&
        (trap === null || (stop.cause === trap.cause && stop.tval === trap.tval)) &&
        hart.state.pc === reference.pc &&
        reference.x.every((value, register) => hart.getX(register) === value) &&
        (!stores || Buffer.compare(rig.ram.bytes, reference.ram) === 0);
      if (!agree) expect.fail(`pattern ${bits.toString(16)}: ${JSON.stringify(expected)}, pc ${hart.state.pc}`);
    }
  });

  it('gives back what it encoded, from every row', () => {
    for (let bits = 0; bits < 0x1_0000; bits++) {
      if ((bits & 3) === 3) continue;
      const decoded = decode(bits);
      if (decoded.op === Op.illegal) continue;
      const mnemonic = (Object.keys(Op) as Mnemonic[])[decoded.op - 1]!;
      const short = compress(mnemonic, decoded);
      if (short === null) expect.fail(bits.toString(16));
      const again = decode(short);
      if (JSON.stringify(again) !== JSON.stringify(decoded)) expect(again, bits.toString(16)).toEqual(decoded);
    }
  });

  it('has only rows that some pattern reaches', () => {
    for (const row of COMPRESSED) {
      if (row.expansion === null) continue;
      let used = false;
      for (let bits = 0; bits < 0x1_0000 && !used; bits++)
        used = (bits & row.mask) === row.match && encodeCompressed(row, decode(bits)) === bits;
      expect(used, row.name).toBe(true);
    }
  });
});

/** The 32-bit instructions once more, from the sheet's text, written without looking at `isa.ts`; null is illegal. */
function expand32(bits: number): Omit<ModelInstruction, 'length'> | null {
  const field = (high: number, low: number): number => (bits >>> low) & (2 ** (high - low + 1) - 1);
  const bit = (n: number): number => field(n, n);
  const [rd, f3, rs1, rs2, f7] = [field(11, 7), field(14, 12), field(19, 15), field(24, 20), field(31, 25)];
  const make = (mnemonic: string | undefined, from: Partial<Omit<ModelInstruction, 'length'>>) =>
    mnemonic === undefined || mnemonic === '' ? null : { mnemonic, rd: 0, rs1: 0, rs2: 0, imm: 0, ...from };
  const immI = field(30, 20) - 2048 * bit(31);
  const names = (list: string): string | undefined => list.split(' ')[f3]?.replace('-', '');
  switch (bits & 0x7f) {
    case 0x37:
      return make('lui', { rd, imm: field(30, 12) * 4096 - 2 ** 31 * bit(31) });
    case 0x17:
      return make('auipc', { rd, imm: field(30, 12) * 4096 - 2 ** 31 * bit(31) });
    case 0x6f:
      return make('jal', {
        rd,
        imm: field(30, 21) * 2 + bit(20) * 2048 + field(19, 12) * 4096 - 2 ** 20 * bit(31),
      });
    case 0x67:
      return f3 === 0 ? make('jalr', { rd, rs1, imm: immI }) : null;
    case 0x63: {
      const imm = field(11, 8) * 2 + field(30, 25) * 32 + bit(7) * 2048 - 4096 * bit(31);
      return make(names('beq bne - - blt bge bltu bgeu'), { rs1, rs2, imm });
    }
    case 0x03:
      return make(names('lb lh lw ld lbu lhu lwu -'), { rd, rs1, imm: immI });
    case 0x23:
      return make(names('sb sh sw sd - - - -'), { rs1, rs2, imm: field(11, 7) + field(30, 25) * 32 - 2048 * bit(31) });
    case 0x13: {
      if (f3 !== 1 && f3 !== 5) return make(names('addi - slti sltiu xori - ori andi'), { rd, rs1, imm: immI });
      const upper = field(31, 26);
      const shift = f3 === 1 ? (upper === 0 ? 'slli' : '') : upper === 0 ? 'srli' : upper === 16 ? 'srai' : '';
      return make(shift, { rd, rs1, imm: field(25, 20) });
    }
    case 0x1b: {
      if (f3 === 0) return make('addiw', { rd, rs1, imm: immI });
      const shift = f3 === 1 && f7 === 0 ? 'slliw' : f3 !== 5 ? '' : f7 === 0 ? 'srliw' : f7 === 32 ? 'sraiw' : '';
      return make(shift, { rd, rs1, imm: rs2 });
    }
    case 0x33: {
      const list = {
        0: 'add sll slt sltu xor srl or and',
        32: 'sub - - - - sra - -',
        1: 'mul mulh mulhsu mulhu div divu rem remu',
      }[f7];
      return list === undefined ? null : make(names(list), { rd, rs1, rs2 });
    }
    case 0x3b: {
      const list = {
        0: 'addw sllw - - - srlw - -',
        32: 'subw - - - - sraw - -',
        1: 'mulw - - - divw divuw remw remuw',
      }[f7];
      return list === undefined ? null : make(names(list), { rd, rs1, rs2 });
    }
    case 0x0f:
      return f3 === 0 ? make('fence', {}) : f3 === 1 ? make('fence.i', {}) : null;
    case 0x2f: {
      if (f3 !== 2 && f3 !== 3) return null;
      const width = f3 === 2 ? '.w' : '.d';
      const f5 = field(31, 27);
      if (f5 === 2) return rs2 === 0 ? make(`lr${width}`, { rd, rs1 }) : null;
      const name = {
        0x03: 'sc',
        0x01: 'amoswap',
        0x00: 'amoadd',
        0x04: 'amoxor',
        0x0c: 'amoand',
        0x08: 'amoor',
        0x10: 'amomin',
        0x14: 'amomax',
        0x18: 'amominu',
        0x1c: 'amomaxu',
      }[f5];
      return name === undefined ? null : make(name + width, { rd, rs1, rs2 });
    }
    case 0x73: {
      if (f3 !== 0) return make(names('- csrrw csrrs csrrc - csrrwi csrrsi csrrci'), { rd, rs1, imm: field(31, 20) });
      if (f7 === 9) return rd === 0 ? make('sfence.vma', { rs1, rs2 }) : null;
      if (rd !== 0 || rs1 !== 0) return null;
      return make({ 0x000: 'ecall', 0x001: 'ebreak', 0x102: 'sret', 0x302: 'mret', 0x105: 'wfi' }[field(31, 20)], {});
    }
    default:
      return null;
  }
}

describe('32-bit encodings (sheet 05, section 18.2)', () => {
  it('decodes like the independent table: near every encoding, at random, and all of the small opcodes', () => {
    const chance = new Chance(1234);
    const check = (word: number): boolean => {
      const expected = expand32(word);
      const decoded = decode(word);
      const wanted =
        expected === null
          ? { op: Op.illegal, rd: 0, rs1: 0, rs2: 0, imm: 0, length: 4 }
          : {
              op: Op[expected.mnemonic as Mnemonic],
              rd: expected.rd,
              rs1: expected.rs1,
              rs2: expected.rs2,
              imm: expected.imm,
              length: 4,
            };
      if (JSON.stringify(decoded) !== JSON.stringify(wanted))
        expect(decoded, (word >>> 0).toString(16)).toEqual(wanted);
      return expected !== null;
    };
    let legal = 0;
    const rounds = 60_000;
    for (let i = 0; i < rounds; i++) {
      const row = chance.pick(ENCODINGS);
      // As it is, with one bit flipped, with another upper part, or anything at all.
      const near = row.match | (chance.word() & ~row.mask);
      const word = [near, near ^ (1 << (2 + chance.below(30))), (near & 0x707f) | (chance.word() & ~0x707f)][i % 4];
      if (check((word ?? chance.word()) | 3)) legal++;
    }
    expect(legal / rounds).toBeGreaterThan(0.4);
    expect(legal / rounds).toBeLessThan(0.8);
    // Every funct3 and funct7 of the opcodes whose legality they decide, with every value of rs2.
    for (const opcode of [0x13, 0x1b, 0x2f, 0x33, 0x3b, 0x73])
      for (let upper = 0; upper < 1 << 12; upper++)
        for (let f3 = 0; f3 < 8; f3++) check((upper << 20) | (f3 << 12) | opcode);
  });

  it('numbers operations densely from 1', () => {
    expect(Object.values(Op)).toEqual(Object.keys(Op).map((_, index) => index + 1));
    expect(new Set(ENCODINGS.map(({ mnemonic }) => mnemonic)).size).toBe(Object.keys(Op).length - 1);
  });

  it('has disjoint rows', () => {
    for (const one of ENCODINGS)
      for (const other of ENCODINGS)
        if (one !== other && ((one.match ^ other.match) & one.mask & other.mask) === 0) expect.fail(one.mnemonic);
  });

  it('decodes random words to at most one row, and back', () => {
    const chance = new Chance(99);
    for (let i = 0; i < 40_000; i++) {
      const row = chance.pick(ENCODINGS);
      // Near an encoding: one bit flipped in half of the cases.
      const word = (row.match | (chance.word() & ~row.mask)) ^ (i % 2 === 0 ? 0 : 1 << (2 + chance.below(30)));
      const decoded = decode(word);
      const matching = ENCODINGS.filter(({ mask, match }) => ((word & mask) ^ match) === 0);
      if (matching.length > 1) expect.fail(word.toString(16));
      const found = matching[0];
      if (decoded.op !== (found === undefined ? Op.illegal : Op[found.mnemonic])) expect.fail(word.toString(16));
      if (found === undefined || found.format === 'fence') continue;
      const again =
        encode(found.mnemonic, decoded)! | (found.format === 'amo' || found.format === 'lr' ? word & 0x600_0000 : 0);
      if (again >>> 0 !== word >>> 0) expect.fail(`${found.mnemonic} ${word.toString(16)}`);
    }
  });

  const LEGAL: readonly (readonly [number, Mnemonic])[] = [
    [0x0000_0073, 'ecall'],
    [0x0010_0073, 'ebreak'],
    [0x1020_0073, 'sret'],
    [0x3020_0073, 'mret'],
    [0x1050_0073, 'wfi'],
    [0x1200_0073, 'sfence.vma'],
    [0x12c5_8073, 'sfence.vma'],
    [0x0100_000f, 'fence'],
    [0x8330_000f, 'fence'],
    [0xffff_8f8f, 'fence'],
    [0xffff_9f8f, 'fence.i'],
    [0xf140_2573, 'csrrs'],
    [0xc010_1073, 'csrrw'],
    [0x1605_a52f, 'lr.w'],
    [0x1e05_b52f | (3 << 20), 'sc.d'],
    [0x03f5_9593, 'slli'],
  ];
  for (const [word, mnemonic] of LEGAL)
    it(`${(word >>> 0).toString(16)} is ${mnemonic}`, () => {
      expect(decode(word).op).toBe(Op[mnemonic]);
    });

  const ILLEGAL: readonly (readonly [number, string])[] = [
    [0x0000_0000, 'all zero'],
    [0xffff_ffff, 'all ones'],
    [0x1010_a52f, 'lr.w with rs2'],
    [0x0005_952f, 'amo with funct3 1'],
    [0x0005_c52f, 'amo with funct3 4'],
    [0x2805_a52f, 'amo with funct5 05'],
    [0x0005_f503, 'load with funct3 7'],
    [0x0005_c023, 'store with funct3 4'],
    [0x0005_f023, 'store with funct3 7'],
    [0x0005_a063, 'branch with funct3 2'],
    [0x0005_b063, 'branch with funct3 3'],
    [0x0005_9567, 'jalr with funct3 1'],
    [0x0405_9593, 'slli with bit 26'],
    [0x0405_d593, 'srli with bit 26'],
    [0x4405_d593, 'srai with bit 26'],
    [0x0205_959b, 'slliw with bit 25'],
    [0x4000_1033, 'sll with funct7 20h'],
    [0x0400_0033, 'add with funct7 02h'],
    [0x4000_403b, 'op-32 with funct3 4'],
    [0x0200_103b, 'mulw with funct3 1'],
    [0x0000_00f3, 'ecall with rd'],
    [0x0000_8073, 'ecall with rs1'],
    [0x0010_00f3, 'ebreak with rd'],
    [0x1050_00f3, 'wfi with rd'],
    [0x1200_00f3, 'sfence.vma with rd'],
    [0x0000_4073, 'system with funct3 4'],
    [0x0000_200f, 'misc-mem with funct3 2'],
    [0x0000_700f, 'misc-mem with funct3 7'],
    [0x0000_000b, 'custom-0'],
    [0x0000_002b, 'custom-1'],
    [0x0000_005b, 'custom-2'],
    [0x0000_007b, 'custom-3'],
    [0x0000_2007, 'flw'],
    [0x0000_2027, 'fsw'],
    [0x0000_0053, 'fadd.s'],
    [0x0000_0043, 'fmadd.s'],
    [0x0000_0057, 'vector'],
    [0x0000_001f, 'a longer format'],
    [0x0000_007f, 'a longer format'],
    [0x2000_2033 | (1 << 12), 'sh1add (Zba)'],
  ];
  for (const [word, name] of ILLEGAL)
    it(`${name} is illegal and reports its bits`, () => {
      expect(decode(word).op).toBe(Op.illegal);
      const rig = new HartRig();
      rig.code(CODE, word);
      const stop = rig.hart.run(1);
      const length = instructionLength(word);
      expect(stop).toMatchObject({ reason: 'trap', cause: 2, tval: BigInt(length === 4 ? word >>> 0 : word & 0xffff) });
      expect(rig.hart.state.pc).toBe(BigInt(CODE));
      expect(rig.hart.state.retired).toBe(0);
    });
});
