/** Every instruction on random operands against the bigint model, and the vectors of sheet 05, section 18.4. */
import { describe, expect, it } from 'vitest';
import { encode } from './encode.ts';
import type { Mnemonic } from './isa.ts';
import { ENCODINGS } from './isa.ts';
import { Chance, CODE, DATA, HartRig, ModelHart, READ_ONLY } from './testing.ts';

const ROUNDS = 1000;

/** Register triples: all different, each kind of overlap, and x0 in each place. */
const REGISTERS: readonly (readonly [rd: number, rs1: number, rs2: number])[] = [
  [10, 11, 12],
  [10, 10, 12],
  [10, 11, 10],
  [10, 11, 11],
  [10, 10, 10],
  [0, 11, 12],
  [10, 0, 12],
  [10, 11, 0],
];

const SYSTEM = new Set(['none', 'csr', 'csri', 'sfence']);

describe('every instruction equals the model', () => {
  for (const { mnemonic, format } of ENCODINGS) {
    if (SYSTEM.has(format) && mnemonic !== 'ecall' && mnemonic !== 'ebreak') continue;
    it(mnemonic, () => {
      const chance = new Chance(mnemonic.length * 7919 + mnemonic.charCodeAt(0) * 31 + mnemonic.charCodeAt(1));
      const rig = new HartRig();
      const { hart } = rig;
      const memory = format === 'load' || format === 's' || format === 'amo' || format === 'lr';
      for (let round = 0; round < ROUNDS; round++) {
        const [d, s1, s2] = REGISTERS[round < 400 ? 0 : round % REGISTERS.length]!;
        const operands = {
          rd: format === 's' || format === 'b' || format === 'fence' || format === 'none' ? 0 : d,
          rs1: format === 'u' || format === 'j' || format === 'fence' || format === 'none' ? 0 : s1,
          rs2: format === 'r' || format === 's' || format === 'b' || format === 'amo' ? s2 : 0,
          imm: immediate(format, chance),
        };
        const bits = encode(mnemonic, operands)!;
        const at = CODE + 2 * chance.below(2046);
        rig.code(at, bits);
        for (let register = 1; register < 32; register++) hart.setX(register, chance.operand());
        // Half of the addresses are in or around the mapped pages.
        if (memory && mnemonic !== 'jalr' && chance.below(8) !== 0)
          hart.setX(11, address(chance, operands.imm, format));
        if (mnemonic === 'jalr' && chance.below(2) === 0) hart.setX(11, BigInt(CODE + chance.below(8192)));
        for (let i = 0; i < 4; i++) rig.poke64(DATA + 8 * chance.below(1000), chance.operand());
        rig.poke64(DATA + 4092, chance.operand());
        const model = new ModelHart(memory ? rig.ram.bytes.slice() : rig.ram.bytes);
        for (let register = 0; register < 32; register++) model.x[register] = hart.getX(register);
        model.pc = BigInt(at);
        model.retired = hart.state.retired;
        if (format === 'amo' && chance.below(2) === 0) {
          const value = chance.below(4) === 0 ? chance.operand() : read(model, hart.getX(11));
          model.reservation = { address: hart.getX(11), value };
        }
        hart.state.reserved = model.reservation !== null;
        if (model.reservation !== null) {
          const { address, value } = model.reservation;
          hart.state.reservedLow = Number(BigInt.asIntN(32, address));
          hart.state.reservedHigh = Number(BigInt.asIntN(32, address >> 32n));
          hart.state.reservedValueLow = Number(BigInt.asIntN(32, value));
          hart.state.reservedValueHigh = Number(BigInt.asIntN(32, value >> 32n));
        }
        hart.state.pc = BigInt(at);
        const trap = model.step({ mnemonic, ...operands, length: 4 });
        const stop = hart.run(1);
        const agree =
          (trap === null ? stop.reason === 'budget' : stop.reason === 'trap') &&
          (trap === null || (stop.cause === trap.cause && stop.tval === trap.tval)) &&
          model.x.every((value, register) => hart.getX(register) === value) &&
          hart.state.pc === model.pc &&
          hart.state.retired === model.retired &&
          hart.state.reserved === (model.reservation !== null) &&
          (!memory || Buffer.compare(rig.ram.bytes, model.ram) === 0);
        if (agree) continue;
        // Expectations are slow: they are for the message.
        const context = `${mnemonic} ${JSON.stringify(operands)} round ${round}`;
        expect(trap === null ? null : { cause: stop.cause, tval: stop.tval }, context).toEqual(trap);
        expect(rig.registers, context).toEqual(model.x);
        expect([stop.reason, hart.state.pc, hart.state.retired], context).toEqual([
          trap === null ? 'budget' : 'trap',
          model.pc,
          model.retired,
        ]);
        expect.fail(`${context}: memory or reservation differ`);
      }
    });
  }
});

describe('system instructions, whatever their operands', () => {
  const READABLE = [0xc00, 0xc01, 0xc02];
  const CSRS = [...READABLE, 0x001, 0x002, 0x003, 0x100, 0x180, 0x300, 0x342, 0xb00, 0xc03, 0xc80, 0xf14];
  /** A read of a counter without an attempt to write it is all that user mode has (sheet 05, sections 5 and 18.2). */
  for (const { mnemonic, format, match, mask } of ENCODINGS) {
    if (!SYSTEM.has(format) || mnemonic === 'ecall' || mnemonic === 'ebreak') continue;
    it(mnemonic, () => {
      const chance = new Chance(mnemonic.length * 104_729 + match);
      const rig = new HartRig();
      const { hart } = rig;
      let read = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const csr = chance.below(2) === 0 ? chance.pick(CSRS) : chance.below(4096);
        const rs1 = chance.below(2) === 0 ? 0 : chance.below(32);
        const rd = chance.below(32);
        const bits = format === 'none' ? match : match | (chance.word() & ~mask);
        const word = (format.startsWith('csr') ? match | (csr << 20) | (rs1 << 15) | (rd << 7) : bits) >>> 0;
        const at = CODE + 2 * chance.below(2046);
        rig.code(at, word);
        for (let register = 1; register < 32; register++) hart.setX(register, chance.operand());
        const before = rig.registers;
        hart.state.pc = BigInt(at);
        const { retired } = hart.state;
        const stop = hart.run(1);
        const writes = mnemonic === 'csrrw' || mnemonic === 'csrrwi' || rs1 !== 0;
        if (format.startsWith('csr') && READABLE.includes(csr) && !writes) {
          const ns = 1000n + 2n * BigInt(retired);
          const value = csr === 0xc01 ? ns / 100n : ns;
          expect(stop.reason).toBe('budget');
          expect(rig.registers).toEqual(before.map((old, register) => (register === rd && rd !== 0 ? value : old)));
          read++;
        } else {
          expect({ ...stop }, word.toString(16)).toEqual({ reason: 'trap', cause: 2, tval: BigInt(word) });
          expect(rig.registers).toEqual(before);
          expect(hart.state.pc).toBe(BigInt(at));
        }
      }
      expect(read > 0).toBe(['csrrs', 'csrrc', 'csrrsi', 'csrrci'].includes(mnemonic));
    });
  }
});

function immediate(format: string, chance: Chance): number {
  const word = chance.word() | 0;
  switch (format) {
    case 'i':
    case 'load':
    case 's':
      return word >> 20;
    case 'b':
      return (word >> 19) & ~1;
    case 'u':
      return word & ~0xfff;
    case 'j':
      return (word >> 11) & ~1;
    case 'shift6':
      return word & 63;
    case 'shift5':
      return word & 31;
    default:
      return 0;
  }
}

/** An address that with the immediate falls into the data pages, on their edges, or beside them. */
function address(chance: Chance, imm: number, format: string): bigint {
  const edge = chance.pick([DATA, DATA + 4096, DATA + 8192, READ_ONLY, READ_ONLY + 4096, CODE]);
  const target = chance.below(2) === 0 ? edge + chance.below(16) - 8 : DATA + chance.below(8192);
  const aligned = format === 'amo' || format === 'lr' ? target & ~(chance.below(4) === 0 ? 3 : 7) : target;
  return BigInt.asUintN(64, BigInt(aligned - imm));
}

/** What memory holds at an address, or 0. */
function read(model: ModelHart, at: bigint): bigint {
  const page = model.pages.get(Number(at >> 12n))?.page;
  if (page === null || page === undefined) return 0n;
  return new DataView(model.ram.buffer).getBigUint64(page * 4096 + Math.min(Number(at & 0xfffn), 4088), true);
}

describe('arithmetic edge cases (sheet 05, section 18.4)', () => {
  const compute = (mnemonic: Mnemonic, a: bigint, b: bigint): bigint => {
    const rig = new HartRig();
    rig.code(CODE, encode(mnemonic, { rd: 10, rs1: 11, rs2: 12, imm: 0 })!);
    rig.hart.setX(11, a);
    rig.hart.setX(12, b);
    expect(rig.hart.run(1).reason).toBe('budget');
    return rig.hart.getX(10);
  };
  const ONES = 0xffff_ffff_ffff_ffffn;
  const MIN = 1n << 63n;
  const A = 0x1234_5678_9abc_def0n;
  const B = 0xfedc_ba98_7654_3210n;
  const VECTORS: readonly (readonly [Mnemonic, bigint, bigint, bigint])[] = [
    ['div', 5n, 0n, ONES],
    ['divw', 5n, 0n, ONES],
    ['divu', 5n, 0n, ONES],
    ['divuw', 5n, 0n, ONES],
    ['rem', 5n, 0n, 5n],
    ['rem', MIN, 0n, MIN],
    ['remu', ONES, 0n, ONES],
    ['remw', 0x1_ffff_fff9n, 0n, 0xffff_ffff_ffff_fff9n],
    ['remuw', 0x8000_0001n, 0n, 0xffff_ffff_8000_0001n],
    ['div', MIN, ONES, MIN],
    ['rem', MIN, ONES, 0n],
    ['divw', 0x8000_0000n, ONES, 0xffff_ffff_8000_0000n],
    ['remw', 0x8000_0000n, ONES, 0n],
    ['div', -7n, 2n, -3n],
    ['rem', -7n, 2n, -1n],
    ['div', 7n, -2n, -3n],
    ['rem', 7n, -2n, 1n],
    ['mul', A, B, 0x236d_88fe_5618_cf00n],
    ['mulh', A, B, 0xffeb_4992_3cc0_9532n],
    ['mulhu', A, B, 0x121f_a00a_d77d_7422n],
    ['mulhsu', B, A, 0xffeb_4992_3cc0_9532n],
    ['mulh', MIN, MIN, 0x4000_0000_0000_0000n],
    ['mulhu', ONES, ONES, 0xffff_ffff_ffff_fffen],
    ['mulhsu', ONES, ONES, ONES],
    ['mulhsu', MIN, 2n, ONES],
    ['mulw', 0x7fff_ffffn, 2n, 0xffff_ffff_ffff_fffen],
    ['addw', 0x7fff_ffffn, 1n, 0xffff_ffff_8000_0000n],
    ['subw', 0n, 1n, ONES],
    ['sllw', 1n, 33n, 2n],
    ['sll', 1n, 65n, 2n],
    ['srlw', 0xffff_ffff_8000_0000n, 4n, 0x0800_0000n],
    ['sraw', 0x8000_0000n, 4n, 0xffff_ffff_f800_0000n],
  ];
  for (const [mnemonic, a, b, result] of VECTORS)
    it(`${mnemonic} ${a.toString(16)}, ${b.toString(16)}`, () => {
      expect(compute(mnemonic, BigInt.asUintN(64, a), BigInt.asUintN(64, b))).toBe(BigInt.asUintN(64, result));
    });
});
