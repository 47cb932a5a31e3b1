import { describe, expect, it } from 'vitest';
import { InternalError } from '../assert.ts';
import { assemble } from './asm.ts';
import { decode, instructionLength } from './decode.ts';
import { disassemble } from './disasm.ts';
import { Op } from './isa.ts';
import { loadImmediate } from './pseudo.ts';
import { Chance, CODE, HartRig } from './testing.ts';

/** Words of a program, 16-bit ones as such. */
function words(source: string): string[] {
  const { bytes } = assemble(source, 0x1000);
  const view = new DataView(bytes.buffer);
  const found: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = instructionLength(view.getUint16(at, true));
    found.push(
      (length === 4 ? view.getUint32(at, true) : view.getUint16(at, true)).toString(16).padStart(2 * length, '0'),
    );
    at += length;
  }
  return found;
}

describe('assemble', () => {
  // Encodings as GNU as writes them.
  const GNU: readonly (readonly [string, string])[] = [
    ['lui a0, 0xfffff', 'fffff537'],
    ['auipc t0, 1', '00001297'],
    ['jal ra, .+2046', '7fe000ef'],
    ['jal s1, .-1048576', '800004ef'],
    ['jalr a0, -1(t6)', 'ffff8567'],
    ['beq a0, t6, .+4094', '7ff50fe3'],
    ['bne s0, s1, .-4096', '80941063'],
    ['blt a0, a1, .+8', '00b54463'],
    ['bge a0, a1, .-8', 'feb55ce3'],
    ['bltu a0, a1, .+16', '00b56863'],
    ['bgeu a0, a1, .+32', '02b57063'],
    ['lb a0, -2048(a1)', '80058503'],
    ['lh a0, 2047(a1)', '7ff59503'],
    ['lw a0, 4(a1)', '0045a503'],
    ['ld a0, 8(sp)', '00813503'],
    ['lbu a0, 1(gp)', '0011c503'],
    ['lhu a0, 2(tp)', '00225503'],
    ['lwu a0, 4(s11)', '004de503'],
    ['sb t6, -1(a0)', 'fff50fa3'],
    ['sh t5, 2047(a0)', '7fe51fa3'],
    ['sw t4, -2048(a0)', '81d52023'],
    ['sd t3, 8(a0)', '01c53423'],
    ['addi a0, a1, -1', 'fff58513'],
    ['slti a0, a1, 5', '0055a513'],
    ['sltiu a0, a1, -5', 'ffb5b513'],
    ['xori a0, a1, 0x55', '0555c513'],
    ['ori a0, a1, 0x7ff', '7ff5e513'],
    ['andi a0, a1, -2048', '8005f513'],
    ['slli a0, a1, 63', '03f59513'],
    ['srli a0, a1, 32', '0205d513'],
    ['srai a0, a1, 1', '4015d513'],
    ['addiw a0, a1, -3', 'ffd5851b'],
    ['slliw a0, a1, 31', '01f5951b'],
    ['srliw a0, a1, 1', '0015d51b'],
    ['sraiw a0, a1, 17', '4115d51b'],
    ['add a0, a1, a2', '00c58533'],
    ['sub a0, a1, a2', '40c58533'],
    ['sll a0, a1, a2', '00c59533'],
    ['slt a0, a1, a2', '00c5a533'],
    ['sltu a0, a1, a2', '00c5b533'],
    ['xor a0, a1, a2', '00c5c533'],
    ['srl a0, a1, a2', '00c5d533'],
    ['sra a0, a1, a2', '40c5d533'],
    ['or a0, a1, a2', '00c5e533'],
    ['and a0, a1, a2', '00c5f533'],
    ['addw a0, a1, a2', '00c5853b'],
    ['subw a0, a1, a2', '40c5853b'],
    ['sllw a0, a1, a2', '00c5953b'],
    ['srlw a0, a1, a2', '00c5d53b'],
    ['sraw a0, a1, a2', '40c5d53b'],
    ['mul a0, a1, a2', '02c58533'],
    ['mulh a0, a1, a2', '02c59533'],
    ['mulhsu a0, a1, a2', '02c5a533'],
    ['mulhu a0, a1, a2', '02c5b533'],
    ['div a0, a1, a2', '02c5c533'],
    ['divu a0, a1, a2', '02c5d533'],
    ['rem a0, a1, a2', '02c5e533'],
    ['remu a0, a1, a2', '02c5f533'],
    ['mulw a0, a1, a2', '02c5853b'],
    ['divw a0, a1, a2', '02c5c53b'],
    ['divuw a0, a1, a2', '02c5d53b'],
    ['remw a0, a1, a2', '02c5e53b'],
    ['remuw a0, a1, a2', '02c5f53b'],
    ['lr.w a0, (a1)', '1005a52f'],
    ['sc.w a0, a2, (a1)', '18c5a52f'],
    ['amoswap.w a0, a2, (a1)', '08c5a52f'],
    ['amoadd.w.aq a0, a2, (a1)', '04c5a52f'],
    ['amoxor.w.rl a0, a2, (a1)', '22c5a52f'],
    ['amoand.w.aqrl a0, a2, (a1)', '66c5a52f'],
    ['amoor.w a0, a2, (a1)', '40c5a52f'],
    ['amomin.w a0, a2, (a1)', '80c5a52f'],
    ['amomax.w a0, a2, (a1)', 'a0c5a52f'],
    ['amominu.w a0, a2, (a1)', 'c0c5a52f'],
    ['amomaxu.w a0, a2, (a1)', 'e0c5a52f'],
    ['lr.d.aq a0, (a1)', '1405b52f'],
    ['sc.d.rl a0, a2, (a1)', '1ac5b52f'],
    ['amoswap.d a0, a2, (a1)', '08c5b52f'],
    ['amoadd.d a0, a2, (a1)', '00c5b52f'],
    ['amoxor.d a0, a2, (a1)', '20c5b52f'],
    ['amoand.d a0, a2, (a1)', '60c5b52f'],
    ['amoor.d a0, a2, (a1)', '40c5b52f'],
    ['amomin.d a0, a2, (a1)', '80c5b52f'],
    ['amomax.d a0, a2, (a1)', 'a0c5b52f'],
    ['amominu.d a0, a2, (a1)', 'c0c5b52f'],
    ['amomaxu.d a0, a2, (a1)', 'e0c5b52f'],
    ['fence.i', '0000100f'],
    ['ecall', '00000073'],
    ['ebreak', '00100073'],
    ['sret', '10200073'],
    ['mret', '30200073'],
    ['wfi', '10500073'],
    ['sfence.vma a0, a1', '12b50073'],
    ['csrrw a0, 0x100, a1', '10059573'],
    ['csrrs a0, time, zero', 'c0102573'],
    ['csrrc a0, 0x300, a1', '3005b573'],
    ['csrrwi a0, 0x305, 31', '305fd573'],
    ['csrrsi a0, 0x304, 1', '3040e573'],
    ['csrrci a0, cycle, 0', 'c0007573'],
    ['nop', '00000013'],
    ['mv a0, a1', '00058513'],
    ['not a0, a1', 'fff5c513'],
    ['neg a0, a1', '40b00533'],
    ['negw a0, a1', '40b0053b'],
    ['sext.w a0, a1', '0005851b'],
    ['zext.b a0, a1', '0ff5f513'],
    ['seqz a0, a1', '0015b513'],
    ['snez a0, a1', '00b03533'],
    ['sltz a0, a1', '0005a533'],
    ['sgtz a0, a1', '00b02533'],
    ['beqz a0, .+8', '00050463'],
    ['bnez a0, .+8', '00051463'],
    ['blez a0, .+8', '00a05463'],
    ['bgez a0, .+8', '00055463'],
    ['bltz a0, .+8', '00054463'],
    ['bgtz a0, .+8', '00a04463'],
    ['bgt a0, a1, .+8', '00a5c463'],
    ['ble a0, a1, .+8', '00a5d463'],
    ['bgtu a0, a1, .+8', '00a5e463'],
    ['bleu a0, a1, .+8', '00a5f463'],
    ['j .+100', '0640006f'],
    ['jal .+100', '064000ef'],
    ['jr a0', '00050067'],
    ['jalr a0', '000500e7'],
    ['ret', '00008067'],
    ['rdcycle a0', 'c0002573'],
    ['rdtime a0', 'c0102573'],
    ['rdinstret a0', 'c0202573'],
    ['csrr a0, 0x180', '18002573'],
    ['csrw 0x180, a0', '18051073'],
    ['c.addi4spn a0, sp, 1020', '1fe8'],
    ['c.lw a0, 124(a1)', '5de8'],
    ['c.ld a0, 248(a1)', '7de8'],
    ['c.sw a0, 64(a1)', 'c1a8'],
    ['c.sd a0, 8(a1)', 'e588'],
    ['c.nop', '0001'],
    ['c.addi a0, -32', '1501'],
    ['c.addiw a0, 31', '257d'],
    ['c.li t6, -1', '5ffd'],
    ['c.addi16sp sp, -512', '7101'],
    ['c.addi16sp sp, 496', '617d'],
    ['c.lui a0, 0xfffe0', '7501'],
    ['c.lui t6, 31', '6ffd'],
    ['c.srli a0, 63', '917d'],
    ['c.srai a0, 33', '9505'],
    ['c.andi a0, -1', '997d'],
    ['c.sub s0, s1', '8c05'],
    ['c.xor a0, a1', '8d2d'],
    ['c.or a0, a1', '8d4d'],
    ['c.and a0, a1', '8d6d'],
    ['c.subw a0, a1', '9d0d'],
    ['c.addw a0, a1', '9d2d'],
    ['c.j .-2048', 'b001'],
    ['c.j .+2046', 'affd'],
    ['c.beqz s0, .-256', 'd001'],
    ['c.bnez a5, .+254', 'effd'],
    ['c.slli t6, 63', '1ffe'],
    ['c.lwsp t6, 252(sp)', '5ffe'],
    ['c.ldsp t6, 504(sp)', '7ffe'],
    ['c.jr t6', '8f82'],
    ['c.mv t6, a0', '8faa'],
    ['c.ebreak', '9002'],
    ['c.jalr t6', '9f82'],
    ['c.add t6, a0', '9faa'],
    ['c.swsp t6, 252(sp)', 'dffe'],
    ['c.sdsp t6, 504(sp)', 'fffe'],
  ];
  it.each(GNU)('%s', (source, bits) => {
    expect(words(source)).toEqual([bits]);
  });

  it('lays out data, labels and constants', () => {
    const { bytes, symbols } = assemble(
      `.equ size, 3 # a comment
      start: .byte 1, 'A', '\\n', -1
      .align 3
      data: .dword start + size, data - start
      .half 0x1234
      .asciz "a # b, c"
      .zero size
      end:`,
      0x2000,
    );
    expect([...symbols]).toEqual([
      ['size', 3n],
      ['start', 0x2000n],
      ['data', 0x2008n],
      ['end', 0x2026n],
    ]);
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '01410aff00000000' +
        '0320000000000000' +
        '0800000000000000' +
        '3412' +
        '6120232062 2c206300'.replace(' ', '') +
        '000000',
    );
  });

  it('shortens what it can under .option rvc', () => {
    expect(words('.option rvc\n addi a0, a0, 1\n add a0, a1, a2\n mv a0, a1\n .option norvc\n nop')).toEqual([
      '0505',
      '00c58533',
      '852e',
      '00000013',
    ]);
  });

  it('loads any constant', () => {
    const chance = new Chance(3);
    const values = [
      0n,
      -1n,
      2047n,
      2048n,
      -2049n,
      0x7fff_ffffn,
      0x7fff_f800n,
      0x8000_0000n,
      1n << 63n,
      (1n << 63n) - 1n,
    ];
    for (let i = 0; i < 500; i++) values.push(BigInt.asIntN(64, chance.operand()));
    for (const value of values) {
      const rig = new HartRig();
      rig.poke(CODE, assemble(`li a0, ${value}\n ecall`, CODE).bytes);
      expect(rig.hart.run(100).cause).toBe(8);
      if (rig.hart.getX(10) !== BigInt.asUintN(64, value)) expect(rig.hart.getX(10)).toBe(BigInt.asUintN(64, value));
      expect(loadImmediate('a0', value).length).toBeLessThanOrEqual(8);
    }
  });

  it.each([
    ['nop\n addd a0, a1, a2', /line 2: unknown instruction addd/],
    ['addi a0, a1, 2048', /line 1: addi a0, a1, 2048: an operand does not fit/],
    ['addi a0, q1, 1', /q1 is no register/],
    ['addi a0, a1', /addi takes 3 operands: rd, rs1, imm/],
    ['j nowhere', /nowhere is not defined/],
    ['x: x: nop', /x is defined twice/],
    ['beq a0, a1, far\n .zero 5000\n far:', /does not fit/],
    ['c.addi a0, 40', /does not fit/],
    ['c.lw a0, 4(t6)', /does not fit/],
    ['slliw a0, a0, 32', /does not fit/],
    ['lui a0, 0x100000', /does not fit/],
    ['.wide 1', /unknown directive/],
    ['.option pic', /unknown option/],
    ['li a0, 1 ? 2', /cannot read/],
    ['lw a0, 4', /is no register/],
    ['.zero 0x2000000', /longer than/],
  ])('refuses %j', (source, message) => {
    expect(() => assemble(source, 0)).toThrow(InternalError);
    expect(() => assemble(source, 0)).toThrow(message);
  });
});

describe('disassemble', () => {
  it('gives text that assembles to the same instruction', () => {
    const chance = new Chance(11);
    for (let i = 0; i < 6000; i++) {
      const word = i % 2 === 0 ? chance.word() : chance.word() & 0xffff & ~(chance.below(2) + 1);
      const text = disassemble(word, 0x10_0000n);
      const { bytes } = assemble(text, 0x10_0000);
      const view = new DataView(bytes.buffer);
      const again = bytes.length === 4 ? view.getUint32(0, true) : view.getUint16(0, true);
      if (decode(word).op === Op.illegal) expect(again).toBe(instructionLength(word) === 4 ? word : word & 0xffff);
      else if (JSON.stringify(decode(again)) !== JSON.stringify(decode(word)))
        expect.fail(`${word.toString(16)}: ${text}`);
    }
  });
});
