import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { delivers, polled, script } from './fixtures/test-script.ts';
import { Inbox, STASH_FRAMES, STASH_FRAME_MAX } from './inbox.ts';
import { TIMEOUT, WOULD_BLOCK } from './ipc.ts';

const SLOT = 5;
const frame = (kind: number, length = 4) => new Uint8Array(length).fill(kind);
const of = (kind: number) => (bytes: Uint8Array) => bytes[0] === kind;
const none = () => false;

describe('shared inbox', () => {
  it('COR-3: quirk inbox-discards, contract: a drain keeps what it does not know, whole, for its reader', () => {
    const inbox = new Inbox(SLOT, false);
    const foreign = frame(2, 300);
    const run = script(
      (sys) => inbox.drain(sys, 4, 64, of(1)),
      [delivers(frame(1)), delivers(foreign), delivers(frame(1)), WOULD_BLOCK],
    );
    expect(run).toMatchObject({ result: 3, notes: [] });
    expect(run.calls).toEqual(Array(4).fill('recv 5 now|cut 512B'));
    expect(inbox.drops).toBe(0);
    const taken = script((sys) => inbox.take(sys, of(2), { deadline: 1, round: 0 }, 512), []);
    expect(taken.result).toEqual(foreign);
  });

  it('quirk inbox-discards, reference: drops it, with the small buffer of the reader', () => {
    const inbox = new Inbox(SLOT, true);
    const run = script((sys) => inbox.drain(sys, 4, 64, none), [delivers(frame(2)), delivers(frame(3)), WOULD_BLOCK]);
    expect(run).toMatchObject({ result: 2, notes: [] });
    expect(run.calls).toEqual(Array(3).fill('recv 5 now|cut 64B'));
    expect(inbox.takeStashed(of(2))).toBeNull();
    expect(inbox.drops).toBe(2);
  });

  it('COR-7: a drain is bounded, and takes stashed frames first', () => {
    const inbox = new Inbox(SLOT, false);
    for (const kind of [1, 2, 1]) inbox.keep(frame(kind));
    const seen: number[] = [];
    const run = script(
      (sys) =>
        inbox.drain(sys, 2, 64, (bytes) => {
          if (bytes[0] === 1) seen.push(bytes.length);
          return bytes[0] === 1;
        }),
      [delivers(frame(1, 9)), delivers(frame(2, 9))],
    );
    expect(run.result).toBe(2);
    expect(seen).toEqual([4, 4, 9]);
    // The stash reuses its first free slot: what is kept is not in order of arrival.
    const kept = [inbox.takeStashed(of(2)), inbox.takeStashed(of(2)), inbox.takeStashed(of(2))];
    expect(kept.map((bytes) => bytes?.length)).toEqual([9, 4, undefined]);
  });

  it('COR-3: counts what does not fit the stash', () => {
    const inbox = new Inbox(SLOT, false);
    const many = Array.from({ length: STASH_FRAMES + 2 }, (_, i) => delivers(frame(i + 10)));
    const run = script((sys) => inbox.drain(sys, many.length, 64, none), many);
    expect(run.result).toBe(STASH_FRAMES + 2);
    expect(inbox.drops).toBe(2);
    // What is left is bounded, and every frame still there is whole.
    expect(Array.from({ length: 12 }, (_, i) => inbox.takeStashed(of(i + 10)) !== null).filter(Boolean)).toHaveLength(
      8,
    );
  });

  it('COR-3: a frame that a receive cut is a drop, not half a frame', () => {
    const inbox = new Inbox(SLOT, false);
    const run = script((sys) => inbox.drain(sys, 1, 64, none), [delivers(frame(2, STASH_FRAME_MAX), 8192)]);
    expect([run.result, inbox.drops]).toEqual([1, 1]);
    expect(inbox.takeStashed(of(2))).toBeNull();
  });

  it('COR-4: takes until the deadline; a foreign frame is a round with its clock test', () => {
    const inbox = new Inbox(SLOT, false);
    const run = script(
      (sys) => inbox.take(sys, of(1), { deadline: 50, round: 0 }, 64),
      [polled(0, 0), delivers(frame(2)), 49, 0, polled(0, 3), delivers(frame(1))],
    );
    expect(run.result).toEqual(frame(1));
    expect(run.calls).toEqual([
      'poll r5 until 50 every 128 from 0',
      'recv 5 now|cut 512B',
      'nsec',
      'yield',
      'poll r5 until 50 every 128 from 1',
      'recv 5 now|cut 512B',
    ]);
    expect(
      script((sys) => inbox.take(sys, of(1), { deadline: 5, round: 0 }, 64), [polled(TIMEOUT, 0)]).result,
    ).toBeNull();
    const late = script(
      (sys) => inbox.take(sys, of(1), { deadline: 5, round: 0 }, 64),
      [polled(0, 0), delivers(frame(2)), 5],
    );
    expect(late.result).toBeNull();
  });

  it('cuts what it hands out to the buffer of its reader', () => {
    const inbox = new Inbox(SLOT, false);
    const long = frame(1, 100);
    const direct = script(
      (sys) => inbox.take(sys, of(1), { deadline: 5, round: 0 }, 64),
      [polled(0, 0), delivers(long)],
    );
    expect(direct.result).toEqual(frame(1, 64));
    inbox.keep(long);
    const stashed = script((sys) => inbox.take(sys, of(1), { deadline: 5, round: 0 }, 64), []);
    expect(stashed.result).toEqual(frame(1, 64));
  });

  it('COR-3: between two readers no frame is lost or read twice, while the stash has room', () => {
    const order = fc.array(fc.constantFrom(1, 2), { maxLength: 8 });
    fc.assert(
      fc.property(order, fc.array(fc.constantFrom(1, 2), { maxLength: 20 }), (arrivals, readers) => {
        const inbox = new Inbox(SLOT, false);
        const queue = arrivals.map((kind, i) => Uint8Array.of(kind, i));
        const read: Uint8Array[] = [];
        for (const kind of [...readers, 1, 2]) {
          const answers = queue.splice(0).map((bytes) => delivers(bytes));
          const consume = (bytes: Uint8Array): boolean => {
            if (bytes[0] !== kind) return false;
            read.push(bytes);
            return true;
          };
          script((sys) => inbox.drain(sys, 8, 64, consume), answers.length < 8 ? [...answers, WOULD_BLOCK] : answers);
        }
        expect(read.map((bytes) => bytes[1]).sort()).toEqual(arrivals.map((_, i) => i));
        expect(inbox.drops).toBe(0);
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});
