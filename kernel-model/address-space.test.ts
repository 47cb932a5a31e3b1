import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ram } from '../sim/ram.ts';
import { Access, AddressSpace, AddressSpaces, NO_TRANSLATION } from './address-space.ts';
import { MAX_ASID, REFERENCE_ADDRESSES, VMO_ARENA_BASE } from './layout.ts';
import { mapPage, Pte, TablePages } from './page-tables.ts';

function machine(addresses = REFERENCE_ADDRESSES): {
  ram: Ram;
  pages: TablePages;
  spaces: AddressSpaces;
  lines: string[];
  create: () => AddressSpace;
} {
  const ram = new Ram(0x8000_0000, 0x1090_0000);
  const lines: string[] = [];
  const print = (line: string): void => void lines.push(line);
  const pages = new TablePages(ram, addresses, print);
  const spaces = new AddressSpaces(ram, pages, addresses, print);
  const create = (): AddressSpace => {
    const space = spaces.create();
    if (!(space instanceof AddressSpace)) throw new Error(space);
    return space;
  };
  return { ram, pages, spaces, lines, create };
}

const USER_RW = Pte.V | Pte.R | Pte.W | Pte.U;

describe('address spaces', () => {
  it('takes 16 table pages and prints KMAP in the order of sheet 10, section 1.2', () => {
    const { create, lines, pages } = machine();
    const first = create();
    expect(pages.count).toBe(16);
    expect(lines.map((line) => (line.startsWith('PT: pool idx=') ? 'PT' : line))).toEqual([
      ...['PT', 'PT', 'PT'],
      '[INFO mm] AS-MAP: HEAP OK in DATA range: heap=0x803b6000..0x80576000 data_end=0x805c4000',
      'PT',
      '[INFO mm] AS-MAP: KSTACK check: start=0x805c3000 end=0x805cc000 data_end=0x805c4000 guard=0 map_from=0x805c4000',
      '[INFO mm] AS-MAP: mapping KSTACK tail 0x805c4000..0x805cc000',
      '[INFO mm] AS-MAP: KSTACK tail mapped ok',
      ...new Array<string>(12).fill('PT'),
      '[INFO mm] map kernel segments ok',
    ]);
    expect(first.satp).toBe(0x8000100000080583n);
    lines.length = 0;
    expect(create().satp).toBe(0x8000200000080593n);
    expect(lines[0]).toBe('PT: pool idx=16');
    expect(lines).toHaveLength(21);
  });

  it('builds the same translations in a copied space as in the first one', () => {
    const { create, ram } = machine();
    const first = create();
    first.map(0x4010_0000, VMO_ARENA_BASE, USER_RW);
    const second = create();
    const at = [0x8020_0000, 0x8022_f000, 0x8023_0000, 0x805c_bfff, 0x8060_0000, 0x8000_0000, 0x81ff_f000, 0x1000_0005];
    for (const va of at) {
      expect(second.leaf(va)).toBe(first.leaf(va));
      expect(second.translate(va, Access.LOAD, false)).toBe(va);
      expect(second.translate(va, Access.LOAD)).toBe(NO_TRANSLATION);
    }
    expect(first.translate(0x4010_0000, Access.LOAD)).toBe(VMO_ARENA_BASE);
    expect(second.translate(0x4010_0000, Access.LOAD)).toBe(NO_TRANSLATION);
    expect(second.translate(0x8020_0000, Access.STORE, false)).toBe(NO_TRANSLATION);
    expect(second.translate(0x8080_0000, Access.LOAD, false)).toBe(NO_TRANSLATION);
    expect(ram.readU8(second.root + 8 * 2)).toBe(Pte.V);
  });

  it('writes the leaf bytes of the sheets: 5b text, d7 data, e3 for a kernel window', () => {
    const { create } = machine();
    const space = create();
    space.map(0x1040_0000, 0x8060_0000, Pte.V | Pte.R | Pte.X | Pte.U);
    space.map(0x1040_1000, 0x806f_6000, USER_RW);
    expect(space.leaf(0x1040_0000)).toBe(0x2018005bn);
    expect(space.leaf(0x1040_1000)).toBe(0x201bd8d7n);
    expect(space.leaf(0x8020_0000) & 0xffn).toBe(BigInt(Pte.V | Pte.R | Pte.X | Pte.G | Pte.A));
  });

  it('adds G to user pages between the kernel windows below 8100_0000, and to no others (sheet 05, section 16.3)', () => {
    const space = machine().create();
    const flags = (va: number): number => {
      expect(space.map(va, VMO_ARENA_BASE, USER_RW)).toBeNull();
      return Number(space.leaf(va) & 0xffn);
    };
    expect([0x80a0_0000, 0x80ff_f000].map(flags)).toEqual([0xf7, 0xf7]);
    expect([0x0fff_f000, 0x1000_1000, 0x7fff_f000, 0x8200_0000].map(flags)).toEqual([0xd7, 0xd7, 0xd7, 0xd7]);
  });

  it('refuses with the checks in order and changes nothing', () => {
    const { create } = machine();
    const space = create();
    expect(space.map(0x1001, 0, USER_RW)).toBe('unaligned');
    expect(space.map(2 ** 38, 0, USER_RW)).toBe('unaligned');
    expect(space.map(0x1000, 0, 0x100)).toBe('invalid-flags');
    expect(space.map(0x1000, 0, Pte.W | Pte.X)).toBe('permission-denied');
    expect(space.map(0x1000, 0, Pte.R | Pte.U)).toBe('invalid-flags');
    expect(space.map(0x1000, 0, Pte.V | Pte.U)).toBe('invalid-flags');
    expect(space.map(0x1000_0000, 0, USER_RW)).toBe('overlap');
    expect(space.leaf(0x1000)).toBe(0n);
    expect(space.map(-4096, VMO_ARENA_BASE, USER_RW)).toBeNull();
    expect(space.translate(-1, Access.STORE)).toBe(VMO_ARENA_BASE + 4095);
  });

  it('reuses the lowest handle, moves ASIDs on, and gives heap pages back', () => {
    const { create, spaces, pages } = machine();
    const all = [create(), create(), create(), create(), create(), create()];
    expect(all[5]?.satp).not.toBe(all[4]?.satp);
    const roots = all.map((space) => space.root);
    spaces.destroy(all[4]!);
    spaces.destroy(all[5]!);
    expect(spaces.get(5)).toBeNull();
    const next = create();
    expect([next.handle, next.asid]).toEqual([5, 7]);
    expect(roots).toContain(next.root);
    expect(pages.count).toBe(7 * 16);
  });

  it('runs out of ASIDs at 255 and out of heap before that in the reference layout', () => {
    const small = machine();
    let last: unknown;
    for (let i = 0; i < 60 && last !== 'no-memory'; i++) last = small.spaces.create();
    expect(last).toBe('no-memory');
    const roomy = machine({
      ...REFERENCE_ADDRESSES,
      heapTables: [{ first: 0x82000, count: 16 * 300, stride: 0, times: 1 }],
    });
    for (let i = 0; i < MAX_ASID; i++) roomy.create();
    expect(roomy.spaces.create()).toBe('asid-exhausted');
  });

  it('agrees with a naive model on random maps', () => {
    const page = fc.integer({ min: 0, max: 15 });
    const op = fc.record({ page, far: fc.boolean(), pa: page, flags: fc.integer({ min: 0, max: 0xff }) });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 40 }), (ops) => {
        const { ram, pages } = shared;
        const root = pages.allocate() ?? 0;
        const model = new Map<number, { pa: number; flags: number }>();
        const space = new AddressSpace(ram, pages, 1, 1, [root], 0);
        for (const { page: index, far, pa, flags } of ops) {
          const va = index * 4096 + (far ? 0x3fff_8000 : 0x20_0000);
          const error = mapPage(ram, pages, root, va, 0x8100_0000 + pa * 4096, flags, () => undefined);
          const bad = (flags & 6 && (flags & 12) === 12) || !(flags & 1) || !(flags & 14) || model.has(va);
          expect(error === null).toBe(!bad);
          if (error === null) model.set(va, { pa: 0x8100_0000 + pa * 4096, flags });
        }
        for (const [va, { pa, flags }] of model) {
          for (const access of [Access.LOAD, Access.STORE, Access.FETCH]) {
            // Writable without readable is a reserved leaf (sheet 05, section 18.10, rule 2).
            const allowed = (flags & access) !== 0 && (flags & (Pte.R | Pte.W)) !== Pte.W;
            const user = allowed && (flags & Pte.U) !== 0;
            expect(space.translate(va + 12, access)).toBe(user ? pa + 12 : NO_TRANSLATION);
            expect(space.translate(va, access, false)).toBe(allowed ? pa : NO_TRANSLATION);
          }
        }
      }),
      { seed: 20240, numRuns: 60 },
    );
  });

  const shared = machine({
    ...REFERENCE_ADDRESSES,
    heapTables: [{ first: 0x82000, count: 4000, stride: 0, times: 1 }],
  });

  it('maps ranges as it maps pages one by one, over table borders and up to the first overlap', () => {
    const at = fc.record({ start: fc.integer({ min: 480, max: 540 }), pages: fc.integer({ min: 1, max: 60 }) });
    fc.assert(
      fc.property(fc.array(at, { minLength: 1, maxLength: 6 }), (ranges) => {
        const { ram, pages } = shared;
        const spaces = [0, 1].map((i) => new AddressSpace(ram, pages, i + 1, 1, [pages.allocate() ?? 0], 0));
        for (const { start, pages: count } of ranges) {
          const ranged = spaces[0]!.mapRange(start * 4096, 0x8100_0000, count * 4096, USER_RW);
          let single: unknown = null;
          for (let i = 0; i < count && single === null; i++) {
            single = spaces[1]!.map((start + i) * 4096, 0x8100_0000 + i * 4096, USER_RW);
          }
          expect(ranged).toBe(single);
        }
        for (let page = 470; page < 610; page++) {
          expect(spaces[0]!.leaf(page * 4096)).toBe(spaces[1]!.leaf(page * 4096));
        }
      }),
      { seed: 20240, numRuns: 40 },
    );
  });

  it('creates twenty spaces without remapping page by page', () => {
    const { create, ram } = machine();
    create();
    let words = 0;
    const readU32 = ram.readU32.bind(ram);
    ram.readU32 = (address: number): number => {
      words++;
      return readU32(address);
    };
    for (let i = 0; i < 19; i++) create();
    expect(words).toBe(0);
  });
});
