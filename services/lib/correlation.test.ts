import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import { FrameStash, NonceGen, ReplyBuffer, recvMatch, recvMatchBounded } from './correlation.ts';
import { TIMEOUT, WOULD_BLOCK, budgetOf, send, yields } from './ipc.ts';
import { delivers, polled, script } from './fixtures/test-script.ts';

const SEED = 20240;

/** Nonces of the library's own tests: policyd v2 (u32 at 4), rngd (u32 at 5). */
function nonceOf(frame: Uint8Array): bigint | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length === 10 && frame[0] === 0x50 && frame[1] === 0x4f && frame[2] === 2)
    return BigInt(view.getUint32(4, true));
  if (frame.length >= 9 && frame[0] === 0x52 && frame[1] === 0x47 && frame[2] === 1)
    return BigInt(view.getUint32(5, true));
  return null;
}
const policyd = (nonce: number) => Uint8Array.of(0x50, 0x4f, 2, 0x81, nonce, 0, 0, 0, 0, 0);
const rngd = (nonce: number) => Uint8Array.of(0x52, 0x47, 1, 0x81, 0, nonce, 0, 0, 0);
const one = (nonce: number) => Uint8Array.of(nonce);

describe('nonces', () => {
  it('COR-2: rise by one from their start and wrap at 2^64', () => {
    const gen = new NonceGen(1n);
    expect([gen.next(), gen.next(), gen.next()]).toEqual([1n, 2n, 3n]);
    const last = new NonceGen((1n << 64n) - 1n);
    expect([last.next(), last.next()]).toEqual([(1n << 64n) - 1n, 0n]);
  });
});

describe('reply buffer (sheet 40, section 18.6)', () => {
  it('gives back by nonce, whatever the order', () => {
    const buffer = new ReplyBuffer(2, 8);
    buffer.push(2n, one(2));
    buffer.push(1n, one(1));
    expect([buffer.take(1n), buffer.take(2n), buffer.take(2n)]).toEqual([one(1), one(2), null]);
    expect(buffer.drops).toBe(0);
  });

  it('COR-3: overwrites round-robin when full, and counts it', () => {
    const buffer = new ReplyBuffer(2, 8);
    for (const nonce of [1, 2, 3, 4, 5]) expect(buffer.push(BigInt(nonce), one(nonce))).toBeNull();
    expect(buffer.drops).toBe(3);
    expect([1n, 2n, 3n, 4n, 5n].map((nonce) => buffer.take(nonce) !== null)).toEqual([false, false, false, true, true]);
  });

  it('COR-3: each refusal counts as a drop', () => {
    expect(new ReplyBuffer(0, 8).push(1n, one(1))).toBe('no-capacity');
    const buffer = new ReplyBuffer(1, 2);
    expect(buffer.push(1n, new Uint8Array(3))).toBe('too-large');
    expect(buffer.push(1n, new Uint8Array(2))).toBeNull();
    expect(buffer.push(1n, one(1))).toBe('nonce-collision');
    expect(buffer.drops).toBe(2);
  });

  it('keeps a frame that the taker has no room for', () => {
    const buffer = new ReplyBuffer(1, 8);
    buffer.push(1n, new Uint8Array(5));
    expect([buffer.take(1n, 4), buffer.take(1n, 5)]).toEqual([null, new Uint8Array(5)]);
  });

  it('COR-3: agrees with a naive buffer', () => {
    const op = fc.oneof(
      fc.record({ push: fc.nat(5), size: fc.nat(6) }),
      fc.record({ take: fc.nat(5), max: fc.nat(6) }),
    );
    fc.assert(
      fc.property(fc.nat(3), fc.array(op, { maxLength: 40 }), (capacity, ops) => {
        const buffer = new ReplyBuffer(capacity, 4);
        const slots = Array<{ nonce: number; size: number } | undefined>(capacity).fill(undefined);
        let turn = 0;
        let drops = 0;
        for (const o of ops) {
          if ('push' in o) {
            const bad = capacity === 0 || o.size > 4 || slots.some((s) => s?.nonce === o.push);
            expect(buffer.push(BigInt(o.push), new Uint8Array(o.size)) === null).toBe(!bad);
            const free = slots.findIndex((s) => s === undefined);
            if (bad) drops += 1;
            else if (free >= 0) slots[free] = { nonce: o.push, size: o.size };
            else {
              slots[turn++ % capacity] = { nonce: o.push, size: o.size };
              drops += 1;
            }
          } else {
            const at = slots.findIndex((s) => s?.nonce === o.take && s.size <= o.max);
            expect(buffer.take(BigInt(o.take), o.max)?.length).toBe(at < 0 ? undefined : slots[at]!.size);
            if (at >= 0) slots[at] = undefined;
          }
          expect(buffer.drops).toBe(drops);
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
  });
});

describe('frame stash', () => {
  it('takes by predicate, first slot first', () => {
    const stash = new FrameStash(4, 8);
    const [a, b] = [new Uint8Array(4).fill(0xaa), new Uint8Array(4).fill(0xbb)];
    stash.push(a);
    stash.push(b);
    expect(stash.takeWhere((frame) => frame[0] === 0xbb)).toEqual(b);
    expect(stash.takeWhere((frame) => frame[0] === 0xbb)).toBeNull();
    expect(stash.takeWhere(() => true)).toEqual(a);
    expect(stash.drops).toBe(0);
  });

  it('COR-3: is bounded, copies, and counts what it loses', () => {
    const stash = new FrameStash(2, 2);
    const frame = one(1);
    stash.push(frame);
    frame[0] = 9;
    expect(stash.push(new Uint8Array(3))).toBe(false);
    stash.push(one(2));
    stash.push(one(3));
    expect(stash.drops).toBe(2);
    expect([stash.takeWhere(() => true), stash.takeWhere(() => true)]).toEqual([one(3), one(2)]);
    expect(new FrameStash(0, 2).push(one(1))).toBe(false);
  });
});

describe('matched receives (sheet 10, section 9.5)', () => {
  it('COR-1, COR-3: rsp2 then rsp1 while waiting for 1; then 2 comes without receiving', () => {
    const buffer = new ReplyBuffer(2, 16);
    const first = script(
      (sys) => recvMatchBounded(sys, 9, buffer, nonceOf, 1n, 8, 64),
      [delivers(policyd(2)), delivers(policyd(1))],
    );
    expect(first.result).toEqual(policyd(1));
    expect(script((sys) => recvMatchBounded(sys, 9, buffer, nonceOf, 2n, 8, 64), []).result).toEqual(policyd(2));
  });

  it('COR-3: two protocols share an inbox; what carries no nonce is dropped and counted', () => {
    const buffer = new ReplyBuffer(2, 16);
    const run = script(
      (sys) => recvMatchBounded(sys, 9, buffer, nonceOf, 5n, 8, 64),
      [delivers(one(5)), delivers(policyd(4)), WOULD_BLOCK, delivers(rngd(5))],
    );
    expect(run.result).toEqual(rngd(5));
    expect(buffer.drops).toBe(1);
    expect(buffer.take(4n)).toEqual(policyd(4));
  });

  it('COR-4: 8 rounds on an empty inbox are a timeout; another error ends at once', () => {
    const buffer = new ReplyBuffer(2, 16);
    const empty = Array<number>(8).fill(WOULD_BLOCK);
    expect(script((sys) => recvMatchBounded(sys, 9, buffer, nonceOf, 1n, 8, 64), empty).result).toBe(TIMEOUT);
    const broken = script((sys) => recvMatchBounded(sys, 9, buffer, nonceOf, 1n, 8, 64), [-Errno.EPERM]);
    expect(broken.result).toBe(-Errno.EPERM);
  });

  it('COR-4: counts a foreign frame as a round, with its clock test and yield', () => {
    const buffer = new ReplyBuffer(2, 16);
    const run = script(
      (sys) => recvMatch(sys, 9, buffer, nonceOf, 1n, { deadline: 50, round: 0 }, 64),
      [polled(0, 0), delivers(policyd(2)), 49, 0, polled(0, 128), delivers(policyd(3)), 50],
    );
    expect(run.result).toBeNull();
    expect(run.calls).toEqual([
      'poll r9 until 50 every 128 from 0',
      'recv 9 now|cut 64B',
      'nsec',
      'yield',
      'poll r9 until 50 every 128 from 1',
      'recv 9 now|cut 64B',
      'nsec',
    ]);
    expect([buffer.take(2n), buffer.take(3n)]).toEqual([policyd(2), policyd(3)]);
  });

  it('COR-3: a budget loop counts what carries no nonce, too', () => {
    const buffer = new ReplyBuffer(2, 16);
    const run = script(
      (sys) => recvMatch(sys, 9, buffer, nonceOf, 1n, { deadline: 50, round: 1 }, 64),
      [polled(0, 1), delivers(one(1)), 0, polled(0, 2), delivers(policyd(1))],
    );
    expect(run.result).toEqual(policyd(1));
    expect(buffer.drops).toBe(1);
  });

  it('COR-1, COR-3: under the kernel, replies out of order find their requests', () => {
    const { kernel } = bareKernel();
    const inbox = newEndpoint(kernel);
    const got: unknown[] = [];
    const client = addTask(kernel, function* (sys) {
      const buffer = new ReplyBuffer(4, 64);
      for (const nonce of [1n, 2n, 3n, 4n]) {
        const budget = yield* budgetOf(sys, 5_000_000);
        got.push(yield* recvMatch(sys, 5, buffer, nonceOf, nonce, budget, 64));
      }
      return 0;
    });
    const server = addTask(kernel, function* (sys) {
      for (const nonce of [3, 2, 1]) {
        yield* send(sys, 6, nonce === 2 ? rngd(nonce) : policyd(nonce), 'now');
        yield* yields(sys, 7);
      }
      return 0;
    });
    grant(client, 5, endpointCap(inbox));
    grant(server, 6, endpointCap(inbox));
    runUntil(kernel);
    expect(got).toEqual([policyd(1), rngd(2), policyd(3), null]);
  });
});
