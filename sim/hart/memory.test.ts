/** Memory of the hart: misaligned and page-crossing accesses, faults, devices, the TLB (sheet 05, 18.7, 18.8, 18.10). */
import { describe, expect, it } from 'vitest';
import type { BusDevice } from '../bus.ts';
import { assemble } from './asm.ts';
import { TLB_ENTRIES, TLB_MASK, TLB_STRIDE } from './memory.ts';
import type { Mapping } from './testing.ts';
import { bytesOf, CODE, DATA, HartRig, PAGES, RAM_BASE, RAM_PAGES, READ_ONLY } from './testing.ts';

/** Runs a program with a0 = DATA until it traps. */
function run(source: string, rig = new HartRig()): HartRig {
  rig.poke(CODE, assemble(source, CODE).bytes);
  rig.memory.fenceI();
  rig.hart.setX(10, BigInt(DATA));
  rig.hart.state.pc = BigInt(CODE);
  rig.hart.run(1000);
  return rig;
}

const ECALL = { reason: 'trap', cause: 8, tval: 0n };

describe('misaligned accesses', () => {
  const VALUE = 0x8877_6655_4433_2211n;
  for (let offset = 0; offset < 16; offset++) {
    // The second data page is not the neighbour of the first one in RAM.
    for (const base of [DATA + 256, DATA + 4096 - 8]) {
      it(`every width at ${(base + offset).toString(16)}`, () => {
        const rig = new HartRig();
        rig.poke(base + offset, bytesOf(VALUE, 8));
        const program = `li a0, ${base + offset}
          ld s0, 0(a0)
          lw s1, 0(a0)
          lwu s2, 4(a0)
          lh s3, 6(a0)
          lhu s4, 6(a0)
          lb s5, 7(a0)
          lbu s6, 7(a0)
          ecall`;
        run(program, rig);
        expect(rig.hart.stop).toEqual(ECALL);
        expect([8, 9, 18, 19, 20, 21, 22].map((register) => rig.hart.getX(register))).toEqual([
          VALUE,
          0x4433_2211n,
          0x8877_6655n,
          0xffff_ffff_ffff_8877n,
          0x8877n,
          0xffff_ffff_ffff_ff88n,
          0x88n,
        ]);
        const stores = `li a0, ${base + offset}\n li t0, 0x0102030405060708\n sd t0, 0(a0)\n sw t0, 3(a0)\n sh t0, 9(a0)\n ecall`;
        run(stores, rig);
        expect(rig.hart.stop).toEqual(ECALL);
        const bytes = Array.from({ length: 11 }, (_, i) => rig.ram.bytes[rig.at(base + offset + i)]);
        expect(bytes).toEqual([8, 7, 6, 8, 7, 6, 5, 1, 0, 8, 7]);
      });
    }
  }
});

describe('faults', () => {
  /** Program, cause, tval. The faulting instruction is the last one; a1 must keep its value. */
  const VECTORS: readonly (readonly [program: string, cause: number, tval: bigint])[] = [
    ['ld a1, 0(zero)', 13, 0n],
    ['sd a1, -1(zero)', 15, 0xffff_ffff_ffff_ffffn],
    ['li a0, 0x4000000000\n lb a1, 0(a0)', 13, 0x40_0000_0000n],
    ['li a0, 0x100020000\n lw a1, 0(a0)', 13, 0x1_0002_0000n],
    ['li a0, 0x21ffc\n ld a1, 0(a0)', 13, 0x2_2000n],
    ['li a0, 0x21fff\n sh a1, 0(a0)', 15, 0x2_2000n],
    ['li a0, 0x22ffd\n lw a1, 0(a0)', 13, 0x2_2ffdn],
    ['li a0, 0x22ffd\n sw a1, 0(a0)', 15, 0x2_2ffdn],
    [`li a0, ${READ_ONLY}\n sb a1, 5(a0)`, 15, BigInt(READ_ONLY + 5)],
    ['li a0, 0x10000\n sw a1, 0(a0)', 15, 0x1_0000n],
    ['li a0, 0x10000\n lw a1, 0(a0)\n ld a1, 0(zero)', 13, 0n],
  ];
  for (const [program, cause, tval] of VECTORS)
    it(program.replaceAll('\n', ';'), () => {
      const rig = new HartRig();
      rig.hart.setX(11, 0x55n);
      const before = rig.ram.bytes.slice(0x5000);
      run(program, rig);
      expect(rig.hart.stop).toEqual({ reason: 'trap', cause, tval });
      const last = CODE + assemble(program, CODE).bytes.length - 4;
      expect(rig.hart.state.pc).toBe(BigInt(last));
      if (!program.includes('lw a1, 0(a0)\n')) expect(rig.hart.getX(11)).toBe(0x55n);
      expect(Buffer.compare(rig.ram.bytes.subarray(0x5000), before)).toBe(0);
    });

  it('a crossing store that faults on its second page leaves the first one alone', () => {
    const rig = new HartRig();
    rig.poke64(DATA + 8184, 0x1122_3344_5566_7788n);
    run('li a0, 0x21ffa\n li a1, -1\n sd a1, 0(a0)', rig);
    expect(rig.hart.stop).toEqual({ reason: 'trap', cause: 15, tval: 0x2_2000n });
    expect(rig.peek64(DATA + 8184)).toBe(0x1122_3344_5566_7788n);
  });

  it('the second page of a crossing access may lie beyond 2^32, and above that beyond 2^64', () => {
    for (const [page, next] of [
      [0xf_ffff, 0x1_0000_0000n],
      [2 ** 52 - 1, 0n],
    ] as const) {
      const pages = new Map<number, Mapping>([...PAGES, [page, { rights: 'rw', page: 2 }]]);
      const address = BigInt.asIntN(64, BigInt(page) * 4096n) + 4092n;
      for (const [access, cause] of [
        ['ld a1, 0(a0)', 13],
        ['sd a1, 0(a0)', 15],
      ] as const)
        expect(run(`li a0, ${address}\n ${access}`, new HartRig(pages)).hart.stop).toEqual({
          reason: 'trap',
          cause,
          tval: next,
        });
    }
  });

  it('the right to modify is no right to load', () => {
    const pages = new Map<number, Mapping>([...PAGES, [0x40, { rights: 'w', page: 2 }]]);
    const rig = run(
      'li a0, 0x40000\n li a2, 3\n amoadd.d a1, a2, (a0)\n amoadd.d a1, a2, (a0)\n ld a3, 0(a0)',
      new HartRig(pages),
    );
    expect(rig.hart.getX(11)).toBe(3n);
    expect(rig.hart.stop).toEqual({ reason: 'trap', cause: 13, tval: 0x4_0000n });
  });

  it('physical addresses without memory are access faults', () => {
    const pages = new Map<number, Mapping>([...PAGES, [0x40, { rights: 'rwx', page: null, physical: 5 }]]);
    for (const [program, cause, tval] of [
      ['li a0, 0x40010\n lw a1, 0(a0)', 5, 0x4_0010n],
      ['li a0, 0x40010\n sb a1, 0(a0)', 7, 0x4_0010n],
      ['li a0, 0x40010\n amoadd.w a1, a2, (a0)', 7, 0x4_0010n],
      ['li a0, 0x40010\n lr.w a1, (a0)', 5, 0x4_0010n],
      ['li a0, 0x40010\n jr a0', 1, 0x4_0010n],
    ] as const)
      expect(run(program, new HartRig(pages)).hart.stop).toEqual({ reason: 'trap', cause, tval });
  });

  it('a doubleword over the end of RAM faults at the end', () => {
    const pages = new Map<number, Mapping>([
      ...PAGES,
      [0x40, { rights: 'rw', page: RAM_PAGES - 1 }],
      [0x41, { rights: 'rw', page: null, physical: RAM_BASE / 4096 + RAM_PAGES }],
      [0x50, { rights: 'rw', page: 2 }],
      [0x51, { rights: 'rw', page: null, physical: 7 }],
    ]);
    expect(run('li a0, 0x40ffc\n ld a1, 0(a0)', new HartRig(pages)).hart.stop).toMatchObject({
      cause: 5,
      tval: 0x4_1000n,
    });
    expect(run('li a0, 0x40ffc\n sd a1, 0(a0)', new HartRig(pages)).hart.stop).toMatchObject({
      cause: 7,
      tval: 0x4_1000n,
    });
    expect(run('li a0, 0x50ffc\n ld a1, 0(a0)', new HartRig(pages)).hart.stop).toMatchObject({
      cause: 5,
      tval: 0x5_1000n,
    });
    expect(run('li a0, 0x50ffc\n sd a1, 0(a0)', new HartRig(pages)).hart.stop).toMatchObject({
      cause: 7,
      tval: 0x5_1000n,
    });
  });

  describe('of fetches', () => {
    it('jumps to pages without X', () => {
      expect(run('jr a0').hart.stop).toEqual({ reason: 'trap', cause: 12, tval: BigInt(DATA) });
      expect(run('jr a0').hart.state.pc).toBe(BigInt(DATA));
      expect(run('jr zero').hart.stop).toEqual({ reason: 'trap', cause: 12, tval: 0n });
    });

    it('c.nop on the last halfword, then a page without X: epc and tval are the next page', () => {
      const rig = new HartRig();
      rig.code(CODE + 0x2ffe, 0x0001);
      rig.hart.state.pc = BigInt(CODE + 0x2ffe);
      expect(rig.hart.run(2)).toEqual({ reason: 'trap', cause: 12, tval: BigInt(CODE + 0x3000) });
      expect(rig.hart.state.pc).toBe(BigInt(CODE + 0x3000));
      expect(rig.hart.state.retired).toBe(1);
    });

    it('an instruction over the edge: epc is its start, tval the second page', () => {
      const rig = new HartRig();
      rig.poke(CODE + 0x2ffe, [0x13, 0x05]);
      rig.hart.state.pc = BigInt(CODE + 0x2ffe);
      expect(rig.hart.run(2)).toEqual({ reason: 'trap', cause: 12, tval: BigInt(CODE + 0x3000) });
      expect(rig.hart.state.pc).toBe(BigInt(CODE + 0x2ffe));
    });

    it('an instruction over the edge of two pages that lie apart runs', () => {
      const rig = new HartRig();
      const [a, b, c, d] = bytesOf(BigInt(0x7ff0_0513), 4);
      rig.poke(CODE + 0xffe, [a!, b!]);
      rig.poke(CODE + 0x1000, [c!, d!]);
      rig.hart.state.pc = BigInt(CODE + 0xffe);
      for (const expected of [2047n, 2047n]) {
        rig.hart.state.pc = BigInt(CODE + 0xffe);
        expect(rig.hart.run(1).reason).toBe('budget');
        expect(rig.hart.getX(10)).toBe(expected);
        expect(rig.hart.state.pc).toBe(BigInt(CODE + 0x1002));
      }
    });
  });
});

describe('devices', () => {
  class Register implements BusDevice {
    readonly name = 'register';
    value = 0x1234_5678;
    readonly accesses: string[] = [];

    read(offset: number, width: number): number {
      this.accesses.push(`r${width}@${offset}`);
      return width === 4 ? this.value : this.value & (2 ** (8 * width) - 1);
    }

    write(offset: number, width: number, value: number): void {
      this.accesses.push(`w${width}@${offset}=${value.toString(16)}`);
      this.value = value;
    }
  }
  const pages = new Map<number, Mapping>([...PAGES, [0x60, { rights: 'rwx', page: null, physical: 0x1_0000 }]]);

  it('are reached through a mapping, each access once, never from the TLB', () => {
    const device = new Register();
    const rig = new HartRig(pages, [{ base: 0x1000_0000, size: 16, device }]);
    run(
      'li a0, 0x60000\n lw a1, 4(a0)\n lw a1, 4(a0)\n lbu a2, 3(a0)\n li a3, -2\n sh a3, 2(a0)\n sd a3, 8(a0)\n ecall',
      rig,
    );
    expect(rig.hart.stop).toEqual(ECALL);
    expect(device.accesses).toEqual(['r4@4', 'r4@4', 'r1@3', 'w2@2=fffe', 'w4@8=fffffffe', 'w4@12=ffffffff']);
    expect(rig.hart.getX(11)).toBe(0x1234_5678n);
    expect(rig.hart.getX(12)).toBe(0x78n);
  });

  it('fault behind their window and at illegal places', () => {
    const rig = new HartRig(pages, [{ base: 0x1000_0000, size: 16, device: new Register() }]);
    expect(run('li a0, 0x60010\n lw a1, 0(a0)', rig).hart.stop).toEqual({ reason: 'trap', cause: 5, tval: 0x6_0010n });
    expect(run('li a0, 0x60002\n sw a1, 0(a0)', rig).hart.stop).toEqual({ reason: 'trap', cause: 7, tval: 0x6_0002n });
  });

  it('hold code too, which is read anew each time', () => {
    const words = [0x0015_0513, 0xffdf_f06f]; // addi a0, a0, 1; j -4
    const device: BusDevice = {
      name: 'rom',
      read: (offset, width) =>
        Number((BigInt(words[offset >> 2]!) >> BigInt(8 * (offset & 3))) & (width === 2 ? 0xffffn : 0xffn)),
      write: () => undefined,
    };
    const rig = new HartRig(pages, [{ base: 0x1000_0000, size: 8, device }]);
    rig.hart.state.pc = 0x6_0000n;
    expect(rig.hart.run(20).reason).toBe('budget');
    expect(rig.hart.getX(10)).toBe(10n);
    words[0] = 0x0025_0513;
    rig.hart.run(2);
    expect(rig.hart.getX(10)).toBe(12n);
  });
});

describe('the TLB', () => {
  it('has a mask that fits its size', () => {
    expect(TLB_MASK).toBe((TLB_ENTRIES - 1) * TLB_STRIDE);
    expect(4096 / TLB_STRIDE).toBe(1 << 9);
  });

  it('keeps pages apart that share an entry, and addresses that differ above bit 31', () => {
    const pages = new Map<number, Mapping>([
      [0x10, { rights: 'rx', page: 1 }],
      [0x20, { rights: 'rw', page: 2 }],
      [0x120, { rights: 'rw', page: 3 }],
      [0x10_0020, { rights: 'rw', page: 4 }],
      [0x20_0020, { rights: 'r', page: 4 }],
    ]);
    const rig = new HartRig(pages);
    const program = `
      li s0, 0x20000
      li s1, 0x120000
      li s2, 0x100020000
      li s3, 0x200020000
      li t0, 3
again: sd s0, 0(s0)
      sd s1, 0(s1)
      sd s2, 0(s2)
      ld a0, 0(s0)
      ld a1, 0(s1)
      ld a2, 0(s2)
      ld a3, 0(s3)
      addi t0, t0, -1
      bnez t0, again
      sd a0, 0(s3)`;
    run(program, rig);
    expect([10, 11, 12, 13].map((register) => rig.hart.getX(register))).toEqual([
      0x2_0000n,
      0x12_0000n,
      0x1_0002_0000n,
      0x1_0002_0000n,
    ]);
    expect(rig.hart.stop).toEqual({ reason: 'trap', cause: 15, tval: 0x2_0002_0000n });
  });

  it('keeps rights and places apart when one entry serves two pages in turn', () => {
    const pages = new Map<number, Mapping>([
      [0x10, { rights: 'rx', page: 1 }],
      [0x20, { rights: 'rw', page: 2 }],
      [0x120, { rights: 'rw', page: 3 }],
      [0x10_0020, { rights: 'r', page: 2 }],
    ]);
    const there = run(
      'li s0, 0x20000\n li s1, 0x120000\n li t0, 1\n li t1, 2\n sd t0, 0(s0)\n ld a1, 0(s1)\n sd t1, 0(s0)\n ecall',
      new HartRig(pages),
    );
    expect(there.hart.stop).toEqual(ECALL);
    expect([there.peek64(0x2_0000), there.peek64(0x12_0000)]).toEqual([2n, 0n]);
    const denied = run(
      'li s0, 0x20000\n li s1, 0x100020000\n sd s0, 0(s0)\n ld a1, 0(s1)\n sd zero, 0(s1)',
      new HartRig(pages),
    );
    expect(denied.hart.stop).toEqual({ reason: 'trap', cause: 15, tval: 0x1_0002_0000n });
    expect(denied.peek64(0x2_0000)).toBe(0x2_0000n);
  });

  it('forgets a mapping at a flush, and not before', () => {
    const rig = run('ld a1, 0(a0)\n ecall');
    rig.pages = new Map([...PAGES].filter(([page]) => page !== 0x20));
    const again = (): unknown => {
      rig.hart.state.pc = BigInt(CODE);
      return { ...rig.hart.run(10) };
    };
    expect(again()).toEqual(ECALL);
    rig.memory.flush();
    expect(again()).toEqual({ reason: 'trap', cause: 13, tval: BigInt(DATA) });
    rig.pages = PAGES;
    expect(again()).toEqual(ECALL);
  });

  it('asks for each right on its own', () => {
    const rig = new HartRig();
    const asked: string[] = [];
    const translate = rig.translate.bind(rig);
    rig.translate = (page, access) => {
      asked.push(`${page.toString(16)} ${access}`);
      return translate(page, access);
    };
    run('ld a1, 0(a0)\n ld a1, 8(a0)\n sd a1, 16(a0)\n sd a1, 24(a0)\n ld a1, 32(a0)\n ecall', rig);
    expect(asked).toEqual(['10 fetch', '20 load', '20 store']);
  });
});
