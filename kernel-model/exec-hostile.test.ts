/**
 * Hostile ELF files (sheet 10, section 6.3): whatever their bytes, EXEC answers with a pid or the errno that the sheet's
 * order gives, and nothing throws. The expectation is computed from the file anew, in bigints, without page tables.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bus } from '../sim/bus.ts';
import { Errno } from './abi.ts';
import { hartBodies } from './hart-task.ts';
import { VMO_ARENA_END } from './layout.ts';
import { startRoot, testMachine } from './test-kit.ts';
import type { TestMachine } from './test-kit.ts';

const HEADERS_AT = 64;
const HEADER_SIZE = 56;
const FILE_SIZE = 0x600;
const PAGE = 4096n;
const EINVAL = -Errno.EINVAL;
const EPERM = -Errno.EPERM;
/** What the model says of a file that loads. */
const LOADS = 0;

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: bigint;
  readonly vaddr: bigint;
  readonly filesz: bigint;
  readonly memsz: bigint;
}

interface Hostile {
  readonly segments: readonly Segment[];
  readonly entry: bigint;
  readonly phoff: bigint;
  readonly phentsize: number;
  readonly morePhnum: number;
  /** Byte patches of the identification, as offset and value. */
  readonly patch: readonly [at: number, value: number] | null;
  readonly length: number;
  readonly v2: boolean;
  readonly stackPages: number;
}

function fileOf(hostile: Hostile): Uint8Array {
  const bytes = new Uint8Array(FILE_SIZE).fill(0x13);
  const view = new DataView(bytes.buffer);
  bytes.fill(0, 0, HEADERS_AT + HEADER_SIZE * hostile.segments.length);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setBigUint64(24, hostile.entry, true);
  view.setBigUint64(32, hostile.phoff, true);
  view.setUint16(54, hostile.phentsize, true);
  view.setUint16(56, hostile.segments.length + hostile.morePhnum, true);
  hostile.segments.forEach(({ type, flags, offset, vaddr, filesz, memsz }, i) => {
    const at = HEADERS_AT + HEADER_SIZE * i;
    view.setUint32(at, type, true);
    view.setUint32(at + 4, flags, true);
    view.setBigUint64(at + 8, offset, true);
    view.setBigUint64(at + 16, vaddr, true);
    view.setBigUint64(at + 32, filesz, true);
    view.setBigUint64(at + 40, memsz, true);
  });
  if (hostile.patch !== null) bytes[hostile.patch[0]] = hostile.patch[1];
  return bytes.subarray(0, hostile.length);
}

/** Pages that the kernel has mapped in every space: first page, first page behind. */
const KERNEL_PAGES: readonly (readonly [bigint, bigint])[] = [
  [0x8000_0000n, 0x805c_c000n],
  [0x8060_0000n, 0x8080_0000n],
  [0x8100_0000n, 0x8200_0000n],
  [0x1000_0000n, 0x1000_1000n],
];

/** A fresh space, as a list of page addresses; `map` gives the errno of a range. */
class ModelSpace {
  readonly #pages = new Set<bigint>();

  map(start: bigint, bytes: bigint, rights: number): number {
    for (let page = start; page < start + bytes; page += PAGE) {
      const top = page >> 38n;
      if (top !== 0n && top !== (1n << 26n) - 1n) return EINVAL;
      if (rights === 0) return EINVAL;
      if (this.#pages.has(page)) return EINVAL;
      if (KERNEL_PAGES.some(([from, to]) => page >= from && page < to)) return EINVAL;
      this.#pages.add(page);
    }
    return LOADS;
  }
}

/** The errno of EXEC for these bytes with this much of the arena left; {@link LOADS}. */
function verdict(bytes: Uint8Array, { v2, stackPages }: Hostile, arena: bigint): number {
  if (bytes.length === 0 || stackPages === 0) return EINVAL;
  if (bytes.length < 64) return EINVAL;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0) !== 0x7f45_4c46 || bytes[4] !== 2 || bytes[5] !== 1) return EINVAL;
  const size = BigInt(bytes.length);
  const phoff = view.getBigUint64(32, true);
  if (phoff >= size) return EINVAL;
  const space = new ModelSpace();
  let left = arena;
  let end = 0n;
  /** Takes pages; false where the arena is full. */
  const take = (count: bigint): boolean => {
    if (count * PAGE > left) return false;
    left -= count * PAGE;
    return true;
  };
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const headerAt = phoff + BigInt(i * view.getUint16(54, true));
    if (headerAt + 56n > size) return EINVAL;
    const at = Number(headerAt);
    if (view.getUint32(at, true) !== 1) continue;
    const flags = view.getUint32(at + 4, true);
    const [offset, vaddr, , filesz, memsz] = [8, 16, 24, 32, 40].map((field) => view.getBigUint64(at + field, true));
    if (offset === undefined || vaddr === undefined || filesz === undefined || memsz === undefined) throw new Error();
    if (memsz === 0n) continue;
    if (filesz > memsz || offset + filesz > size) return EINVAL;
    if ((flags & 3) === 3) return EPERM;
    const first = vaddr - (vaddr % PAGE);
    const pages = (vaddr + memsz - first + PAGE - 1n) / PAGE;
    if (!take(pages)) return EPERM;
    if (vaddr + memsz >= 1n << 64n) return EINVAL;
    const mapped = space.map(first, pages * PAGE, flags & 7);
    if (mapped !== LOADS) return mapped;
    if (vaddr + memsz > end) end = vaddr + memsz;
  }
  const stack = BigInt(stackPages) + 11n;
  if (!take(stack)) return EPERM;
  const stackMapped = space.map(0x2000_a000n - stack * PAGE, stack * PAGE, 3);
  if (stackMapped !== LOADS) return stackMapped;
  if (v2) {
    if (end > 0x2000_b000n) return EINVAL;
    if (!take(2n)) return EPERM;
  }
  return (bytes[24] ?? 0) % 2 === 0 ? LOADS : EINVAL;
}

function machineWithHart(): TestMachine {
  const machine: TestMachine = testMachine({
    memory: { bodyOf: (kernel, elf) => hartBodies(new Bus(machine.ram, []))(kernel, elf) },
  });
  return machine;
}

/** Runs EXEC of one file after the other; each answer beside what is left of the arena before it. */
function execAll(hostile: readonly (readonly [Uint8Array, Hostile])[]): { answers: number[]; machine: TestMachine } {
  const machine = machineWithHart();
  const answers: number[] = [];
  startRoot(machine, function* (sys) {
    for (const [elf, { v2, stackPages }] of hostile) {
      const left = BigInt(VMO_ARENA_END - machine.memory.arena.cursor);
      const a0 = yield v2 ? sys.execV2(elf, stackPages, 0, 'svc') : sys.exec(elf, stackPages, 0);
      answers.push(a0 > 0 ? LOADS : a0);
      const want = verdict(elf, { v2, stackPages } as Hostile, left);
      expect(answers.at(-1), `${Buffer.from(elf.subarray(0, 512)).toString('hex')} v2=${v2} stack=${stackPages}`).toBe(
        want,
      );
    }
    for (;;) yield sys.yieldCpu();
  });
  // The children run too, whatever their first instructions are, beside a parent that leaves them their turns.
  machine.kernel.run({ untilNs: Infinity, maxSteps: 300 });
  return { answers, machine };
}

const ADDRESSES = [
  0n,
  0xfffn,
  0x1000n,
  0x1001n,
  0x1_0000n,
  0x1000_0000n,
  0x2000_0000n,
  0x2000_8000n,
  0x2000_a000n,
  0x2000_afffn,
  0x2000_b000n,
  0x7fff_f000n,
  0x8000_0000n,
  0x8020_0000n,
  0x80a0_0000n,
  0x9000_0000n,
  (1n << 38n) - 0x1000n,
  1n << 38n,
  1n << 63n,
  0xffff_ffc0_0000_0000n,
  (1n << 64n) - 0x2000n,
  (1n << 64n) - 0x1000n,
  (1n << 64n) - 1n,
];
const SIZES = [
  0n,
  1n,
  2n,
  100n,
  0xfffn,
  0x1000n,
  0x1001n,
  0x5000n,
  0x20_0000n,
  0xff_0000n,
  0x100_0000n,
  1n << 32n,
  1n << 63n,
  (1n << 64n) - 0x1000n,
  (1n << 64n) - 1n,
];
const OFFSETS = [0n, 64n, 1n, 0x5ffn, 0x600n, 0x601n, 1n << 63n, (1n << 64n) - 1n];

const some = <T>(usual: readonly T[], all: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...usual) }, { weight: 2, arbitrary: fc.constantFrom(...all) });

const segment: fc.Arbitrary<Segment> = fc.record({
  type: some([1], [0, 1, 2, 4, 0x1_0000, 0xffff_ffff]),
  flags: some([4, 5, 6], [0, 1, 2, 3, 4, 5, 6, 7, 8, 0x8000_0005]),
  offset: some([64n], OFFSETS),
  vaddr: some([0x1000n, 0x1_0000n, 0x3_0800n], ADDRESSES),
  filesz: some([0n, 100n], SIZES),
  memsz: some([100n, 0x1000n, 0x1001n], SIZES),
});

const hostile: fc.Arbitrary<Hostile> = fc.record({
  segments: fc.array(segment, { minLength: 1, maxLength: 4 }),
  entry: some([0x1000n, 0x1_0000n], [0n, 1n, 0x1001n, 1n << 63n, (1n << 64n) - 1n]),
  phoff: some([64n], [0n, 8n, 0x5c8n, 0x5c9n, 0x5ffn, 0x600n, 1n << 63n, (1n << 64n) - 1n]),
  phentsize: some([56], [0, 1, 32, 55, 57, 112, 0xffff]),
  morePhnum: some([0], [0, 1, 5, 200]),
  patch: fc.oneof(
    { weight: 12, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 0, max: 255 })) },
  ),
  length: some([FILE_SIZE], [0, 1, 63, 64, 65, 119, 120, 121, 0x5ff]),
  v2: fc.boolean(),
  stackPages: some([1, 4], [0, 1, 500, 4084, 4085, 5000, 2 ** 40]),
});

describe('EXEC of a hostile file', () => {
  it('answers with the errno of sheet 10, section 6.3, in its order', () => {
    const seen = new Map<number, number>();
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 3, maxLength: 6 }), (files) => {
        const { answers, machine } = execAll(files.map((file) => [fileOf(file), file]));
        expect(answers).toHaveLength(files.length);
        for (const answer of answers) seen.set(answer, (seen.get(answer) ?? 0) + 1);
        expect(machine.text()).not.toContain('PANIC');
      }),
      { seed: 20240, numRuns: 120 },
    );
    // The files reach every outcome often enough to mean something.
    for (const outcome of [LOADS, EINVAL, EPERM]) expect(seen.get(outcome) ?? 0, String(outcome)).toBeGreaterThan(40);
  });

  it('at the top of the address space: 2^64 is no end, and for v2 the upper half lies above the name page', () => {
    const at = (vaddr: bigint, memsz: bigint, v2: boolean): Hostile => ({
      segments: [{ type: 1, flags: 4, offset: 0n, vaddr, filesz: 0n, memsz }],
      entry: 0x1000n,
      phoff: 64n,
      phentsize: 56,
      morePhnum: 0,
      patch: null,
      length: FILE_SIZE,
      v2,
      stackPages: 1,
    });
    const top = 1n << 64n;
    for (const [vaddr, memsz, v1, v2] of [
      [top - 0x2000n, 0x1000n, LOADS, EINVAL],
      [top - 0x2000n, 0x1fffn, LOADS, EINVAL],
      [top - 0x2000n, 0x2000n, EINVAL, EINVAL],
      [top - 0x2000n, 0x4000n, EINVAL, EINVAL],
      [0xffff_ffc0_0000_0000n, 0x1000n, LOADS, EINVAL],
      [(1n << 38n) - 0x1000n, 0x1000n, LOADS, EINVAL],
      [(1n << 38n) - 0x1000n, 0x1001n, EINVAL, EINVAL],
    ] as const) {
      const files = [at(vaddr, memsz, false), at(vaddr, memsz, true)];
      const { answers } = execAll(files.map((file) => [fileOf(file), file]));
      expect(answers, `${vaddr.toString(16)} ${memsz.toString(16)}`).toEqual([v1, v2]);
    }
  });

  it('never throws, whatever the bytes are, nor does what loads', () => {
    const plain: Hostile = {
      segments: [],
      entry: 0n,
      phoff: 0n,
      phentsize: 0,
      morePhnum: 0,
      patch: null,
      length: 0,
      v2: false,
      stackPages: 1,
    };
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc.uint8Array({ minLength: 64, maxLength: 400 }).map((file) => {
        file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
        file.fill(0, 33, 40);
        return file;
      }),
    );
    fc.assert(
      fc.property(bytes, fc.boolean(), (file, v2) => {
        expect(execAll([[file, { ...plain, v2 }]]).answers).toHaveLength(1);
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('random code in a file that loads ends by a fault or runs on, and nothing throws', () => {
    const code = fc.array(fc.nat(0xffff_ffff), { minLength: 1, maxLength: 64 });
    const file: Hostile = {
      segments: [
        { type: 1, flags: 5, offset: 0x200n, vaddr: 0x1_0000n, filesz: 0x200n, memsz: 0x1000n },
        { type: 1, flags: 6, offset: 0n, vaddr: 0x2_0000n, filesz: 0n, memsz: 0x1000n },
      ],
      entry: 0x1_0000n,
      phoff: 64n,
      phentsize: 56,
      morePhnum: 0,
      patch: null,
      length: FILE_SIZE,
      v2: true,
      stackPages: 1,
    };
    fc.assert(
      fc.property(code, (words) => {
        const elf = fileOf(file);
        new Uint32Array(elf.buffer, 0x200, words.length).set(words);
        const { answers, machine } = execAll([[elf, file]]);
        expect(answers).toEqual([LOADS]);
        expect(['ready', 'blocked', 'zombie']).toContain(machine.kernel.tasks[1]?.state);
      }),
      { seed: 20240, numRuns: 60 },
    );
  });
});
