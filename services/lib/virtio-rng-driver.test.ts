import { describe, expect, it } from 'vitest';
import { CapKind, Errno, Nr } from '../../kernel-model/abi.ts';
import { Macro, Sys } from '../../kernel-model/sys.ts';
import { RNG_CAP, RngBoard } from './fixtures/rng-board.ts';
import { yieldForever } from './ipc.ts';
import type { Call } from './ipc.ts';
import { RNG_TIMEOUT_NS, VirtioRngDriver } from './virtio-rng-driver.ts';
import type { RngFault } from './virtio-rng-driver.ts';

const SLOT = 48;
const CONTRACT = { staleBytes: false };
const REFERENCE = { staleBytes: true };

type Result = readonly number[] | RngFault;

/** Runs reads in order on one driver; `before` may change the board between them. */
function reads(
  board: RngBoard,
  counts: readonly number[],
  options = CONTRACT,
  before: (nth: number) => void = () => undefined,
): Result[] {
  const results: Result[] = [];
  function* body(sys: Sys): Call<number> {
    const driver = new VirtioRngDriver(sys, SLOT, options);
    for (const [i, count] of counts.entries()) {
      before(i);
      const got = yield* driver.read(count);
      results.push(typeof got === 'string' ? got : [...got]);
    }
    return yield* yieldForever(sys);
  }
  board.add('rngd', { [SLOT]: RNG_CAP }, body);
  board.run(10_000_000_000);
  return results;
}

const upTo = (from: number, n: number): number[] => Array.from({ length: n }, (_, i) => (from + i) & 0xff);

describe('a read (sheet 60, section 5; sheet 05, section 13)', () => {
  it('makes the register accesses in their order; each read is a whole cycle', () => {
    const board = new RngBoard();
    expect(reads(board, [32, 1])).toEqual([upTo(1, 32), upTo(257, 1)]);
    const cycle =
      'R000 R008 R004 W070=0 W070=3 W024=0 W020=0 W024=1 W020=0 R070 W070=b R070 W030=0 R034 W038=1 ' +
      'W080=Q W084=0 W090=Q+10 W094=0 W0a0=Q+18 W0a4=0 W044=1 R070 W070=f W050=0';
    const queue = Number.parseInt(board.registers.find((access) => access.startsWith('W080'))!.slice(5), 16);
    const expected = cycle
      .replace('Q+10', (queue + 0x10).toString(16))
      .replace('Q+18', (queue + 0x18).toString(16))
      .replace('Q', queue.toString(16))
      .split(' ');
    expect(board.registers).toEqual([...expected, ...expected]);
    // Served at DRIVER_OK; the notify that follows does not serve a second time.
    expect(board.source.drawn).toBe(2 * 256);
  });

  it.each([1, 32, 255, 256])('gives %i bytes', (count) => {
    expect(reads(new RngBoard(), [count])).toEqual([upTo(1, count)]);
  });

  it('takes two pages once, whatever the number of reads', () => {
    const board = new RngBoard();
    reads(board, [1, 2, 3, 4]);
    const bases = new Set(board.registers.filter((access) => access.startsWith('W080')));
    expect(bases.size).toBe(1);
    expect(board.machine.kernel.tasks[0]?.caps.get(0)?.kind).toBe('vmo');
    expect(board.machine.kernel.tasks[0]?.caps.get(1)?.kind).toBe('vmo');
    expect(board.machine.kernel.tasks[0]?.caps.get(2)).toBeNull();
  });

  it('refuses 0 and 257 without touching the device', () => {
    const board = new RngBoard();
    expect(reads(board, [0, 257])).toEqual(['zero-length', 'oversized']);
    expect(board.registers).toEqual([]);
  });
});

describe('faults', () => {
  it('no window granted', () => {
    const board = new RngBoard();
    const results: unknown[] = [];
    board.add('rngd', {}, function* (sys) {
      results.push(yield* new VirtioRngDriver(sys, SLOT, CONTRACT).read(1));
      return yield* yieldForever(sys);
    });
    board.run(1_000_000_000);
    expect(results).toEqual(['map-failed']);
  });

  it.each([
    ['another magic', 0x000, 0, 'not-found', ['R000']],
    ['another device', 0x008, 1, 'not-found', ['R000', 'R008']],
    ['a legacy transport', 0x004, 1, 'not-ready', ['R000', 'R008', 'R004']],
  ] as const)('%s is left alone', (_, register, value, fault, accesses) => {
    const board = new RngBoard();
    board.overrides.set(register, () => value);
    expect(reads(board, [1])).toEqual([fault]);
    expect(board.registers).toEqual(accesses);
  });

  it('a device that refuses its features is marked FAILED', () => {
    const board = new RngBoard();
    board.overrides.set(0x070, (real) => real & ~8);
    expect(reads(board, [1])).toEqual(['not-ready']);
    expect(board.registers.at(-1)).toBe('W070=83');
  });

  it('a device without the queue', () => {
    const board = new RngBoard();
    board.overrides.set(0x034, () => 0);
    expect(reads(board, [1])).toEqual(['not-ready']);
    expect(board.registers.at(-1)).toBe('R034');
  });

  it('OBS-26, COR-4: a device that never answers costs 80 ms; the next read starts it anew', () => {
    const board = new RngBoard();
    const starts: number[] = [];
    const results = reads(board, [4, 4], CONTRACT, (nth) => {
      starts.push(board.machine.kernel.clock.now);
      // Without QueueReady the device has no queue to serve.
      if (nth === 0) board.deaf.add(0x044);
      else board.deaf.clear();
    });
    expect(results).toEqual(['timeout', upTo(1, 4)]);
    const took = starts[1]! - starts[0]!;
    expect(took).toBeGreaterThanOrEqual(RNG_TIMEOUT_NS);
    expect(took).toBeLessThan(RNG_TIMEOUT_NS + 1_000_000);
  });
});

describe('the wait for the device (step 12)', () => {
  /** Runs a read up to its poll, which ends with `result`. */
  function polled(result: number): { readonly got: unknown; readonly poll: Sys['poll'] } {
    const registers = new Map([
      [0x000, 0x7472_6976],
      [0x004, 2],
      [0x008, 4],
      [0x034, 8],
      [0x070, 0xb],
    ]);
    const page = new Uint8Array(4096);
    const sys = new Sys(1, {
      load32: (va) => registers.get(va & 0xfff) ?? 0,
      store32: () => undefined,
      bytes: () => page,
      compute: () => undefined,
      note: () => undefined,
    });
    const task = new VirtioRngDriver(sys, SLOT, CONTRACT).read(1);
    let step = task.next();
    while (step.done !== true) {
      sys.query.kind = CapKind.VMO;
      const { nr } = step.value;
      step = task.next(nr === Nr.NSEC ? 1000 : nr === Macro.POLL ? result : 0);
    }
    return { got: step.value, poll: sys.poll };
  }

  it('reads the clock first in every round, at most 200 000 of them, and never yields', () => {
    const { got, poll } = polled(-Errno.EAGAIN);
    expect(got).toBe('timeout');
    expect([poll.clockEvery, poll.clockFirst, poll.spin, poll.maxRounds, poll.deadline, poll.slots]).toEqual([
      1,
      true,
      true,
      200_000,
      1000 + RNG_TIMEOUT_NS,
      [],
    ]);
  });

  it('an end for time is a timeout as well', () => {
    expect(polled(-Errno.ETIMEDOUT).got).toBe('timeout');
  });
});

describe('a device that writes fewer bytes (quirk blk-status-preset, Q18)', () => {
  const short =
    (board: RngBoard) =>
    (nth: number): void => {
      board.source.limit = nth === 0 ? Infinity : 5;
    };

  it('the contract gives none', () => {
    const board = new RngBoard();
    expect(reads(board, [8, 8, 5, 6], CONTRACT, short(board))).toEqual([
      upTo(1, 8),
      'short-answer',
      upTo(262, 5),
      'short-answer',
    ]);
  });

  it('the reference fills up with bytes of the read before', () => {
    const board = new RngBoard();
    expect(reads(board, [8, 8], REFERENCE, short(board))).toEqual([upTo(1, 8), [...upTo(257, 5), 6, 7, 8]]);
  });
});
