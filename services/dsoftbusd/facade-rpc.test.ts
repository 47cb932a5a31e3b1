/** Calls to netstackd, syscall by syscall (sheet 70, sections 8.1 and 12.2). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { Inbox } from '../lib/inbox.ts';
import { delivers, polled, script } from '../lib/fixtures/test-script.ts';
import type { Answer } from '../lib/fixtures/test-script.ts';
import { Op, Status, answer, decodeResponse, encodeResponse, localAddressAnswer } from '../netstackd/wire.ts';
import type { FacadeRequest, FacadeResponse } from '../netstackd/wire.ts';
import { ipv4 } from '../../sim/net/address.ts';
import { FacadeRpc } from './facade-rpc.ts';
import type { RpcMode } from './facade-rpc.ts';
import { Facade } from './facade.ts';

const LOCAL: FacadeRequest = { op: Op.LOCAL_ADDR, nonce: null };
const ADDRESS = localAddressAnswer(ipv4(10, 0, 2, 15), 24);
const nonce = (n: number): Uint8Array => Uint8Array.of(n, 0, 0, 0, 0, 0, 0, 0);
const reply = (n: number, op: number = Op.LOCAL_ADDR): Uint8Array => encodeResponse(op, ADDRESS, nonce(n));
const EMPTY = -Errno.EAGAIN;

/** Runs calls on one inbox; the results in order. */
function calls(mode: RpcMode, n: number, answers: readonly Answer[], discards = false) {
  const inbox = new Inbox(5, discards);
  const run = script(function* (sys) {
    const rpc = new FacadeRpc(sys, inbox, mode);
    const got: (FacadeResponse | null)[] = [];
    for (let i = 0; i < n; i++) got.push(yield* rpc.call(LOCAL));
    return got;
  }, answers);
  return { ...run, inbox };
}

/** Clone, NSEC, send, close: a request that is taken at once. */
const SENT: readonly Answer[] = [20, 1000, 12, -Errno.EPERM];
/** The wait: NSEC for the deadline, then a poll that ends with the inbox. */
const WAIT: readonly Answer[] = [2000, polled(0, 0)];

describe('single machine', () => {
  it('one call, as the sheet lists it', () => {
    const { calls: said, result } = calls('single-vm', 1, [...SENT, ...WAIT, delivers(reply(1))]);
    expect(said).toEqual([
      'clone 6',
      'nsec',
      'send 3 until 20001000 12B move 20',
      'close 20',
      'nsec',
      'poll r5 until 500002000 every 1 from 0',
      'recv 5 now|cut 512B',
    ]);
    expect(result[0]).toEqual({ status: Status.OK, body: ADDRESS.body });
  });

  it('an answer to another call is kept for it, and then costs no receive', () => {
    const first = [...SENT, ...WAIT, delivers(reply(2)), polled(0, 0), delivers(reply(1))];
    const { result, calls: said } = calls('single-vm', 2, [...first, ...SENT]);
    expect(result.every((r) => r?.status === Status.OK)).toBe(true);
    expect(said.at(-1)).toBe('close 20');
  });

  it('the right nonce under another op is no answer', () => {
    const late = [delivers(reply(1, Op.LISTEN)), polled(0, 0), delivers(reply(1))];
    expect(calls('single-vm', 1, [...SENT, ...WAIT, ...late]).result[0]?.status).toBe(Status.OK);
  });

  it('an answer without nonce belongs to nobody, and is counted', () => {
    const bare = encodeResponse(Op.LOCAL_ADDR, answer(Status.MALFORMED));
    const run = calls('single-vm', 1, [...SENT, ...WAIT, delivers(bare), polled(0, 0), delivers(reply(1))]);
    expect(run.notes).toEqual(['netstackd.stray=1']);
    expect(run.result[0]?.status).toBe(Status.OK);
  });

  it('COR-3: quirk inbox-discards, both: a frame of another protocol stays for its reader, or is gone', () => {
    const ack = Uint8Array.of(0x4c, 0x4f, 1, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const answers = [...SENT, ...WAIT, delivers(ack), polled(0, 0), delivers(reply(1))];
    expect(calls('single-vm', 1, answers).inbox.takeStashed(() => true)).toEqual(ack);
    expect(calls('single-vm', 1, answers, true).inbox.takeStashed(() => true)).toBeNull();
  });

  it('a queue that is full is tried again after a yield, at most 64 times', () => {
    const full = [30, -Errno.ETIMEDOUT, 1];
    const taken = calls('single-vm', 1, [20, ...full, ...full, 30, 12, 0, ...WAIT, delivers(reply(1))]);
    expect(taken.calls.filter((call) => call.startsWith('send'))).toHaveLength(3);
    const tries = Array.from({ length: 64 }, (_, i) => [30, [-Errno.ETIMEDOUT, EMPTY, -Errno.ENOSPC][i % 3]!, 1]);
    const given = calls('single-vm', 1, [20, ...tries.flat(), 0]);
    expect(given.result).toEqual([null]);
  });

  it('another send error ends the call at once, and gives the clone back', () => {
    const { result, calls: said } = calls('single-vm', 1, [20, 30, -Errno.EPERM, 0]);
    expect(result).toEqual([null]);
    expect(said.at(-1)).toBe('close 20');
  });

  it('without a clone: a plain send, a receive on the own endpoint, one line', () => {
    const once = [30, 12, 2000, polled(-Errno.ETIMEDOUT, 9)];
    const { calls: said, result } = calls('single-vm', 2, [-Errno.EPERM, 1, ...once, -Errno.EPERM, ...once]);
    expect(said.slice(0, 6)).toEqual([
      'clone 6',
      'print dsoftbusd: cap clone missing; fallback to direct recv\n',
      'nsec',
      'send 3 until 20000030 12B',
      'nsec',
      'poll r4 until 500002000 every 1 from 0',
    ]);
    expect(said.filter((call) => call.startsWith('print'))).toHaveLength(1);
    expect(result).toEqual([null, null]);
  });

  it('a receive error ends the call, an empty one does not', () => {
    expect(calls('single-vm', 1, [...SENT, ...WAIT, -Errno.EPERM]).result).toEqual([null]);
    const again = [...SENT, ...WAIT, EMPTY, polled(0, 0), delivers(reply(1))];
    expect(calls('single-vm', 1, again).result[0]?.status).toBe(Status.OK);
  });
});

describe('pair of machines', () => {
  it('one non-blocking send, receives counted', () => {
    const { calls: said } = calls('cross-vm', 1, [
      20,
      12,
      0,
      polled(0, 41),
      delivers(reply(7)),
      polled(0, 44),
      delivers(reply(1)),
    ]);
    expect(said).toEqual([
      'clone 6',
      'send 3 now 12B move 20',
      'close 20',
      'poll r5 most 50000 from 0',
      'recv 5 now|cut 512B',
      'poll r5 most 50000 from 42',
      'recv 5 now|cut 512B',
    ]);
  });

  it('a full queue, a missing clone and 50,000 empty receives are failures', () => {
    expect(calls('cross-vm', 1, [20, EMPTY, 0]).result).toEqual([null]);
    expect(calls('cross-vm', 1, [-Errno.EPERM]).result).toEqual([null]);
    expect(calls('cross-vm', 1, [20, 12, 0, polled(EMPTY, 50_000)]).result).toEqual([null]);
    const last = [20, 12, 0, polled(0, 49_999), delivers(reply(9))];
    expect(calls('cross-vm', 1, last).result).toEqual([null]);
  });
});

describe('any bytes on the inbox', () => {
  it('are no answer unless they end with the nonce, and never break the client', () => {
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ maxLength: 30 }).map((bytes) => Uint8Array.of(0x4e, 0x53, 1, 0x8a, ...bytes)),
    );
    fc.assert(
      fc.property(fc.array(junk, { maxLength: 20 }), (frames) => {
        const ends = (frame: Uint8Array): boolean =>
          frame.length >= 13 && frame.subarray(-8).every((byte, i) => byte === nonce(1)[i]);
        fc.pre(!frames.some(ends));
        const before = frames.flatMap((frame): Answer[] => [polled(0, 0), delivers(frame)]);
        const run = calls('single-vm', 1, [...SENT, 2000, ...before, polled(0, 0), delivers(reply(1))]);
        expect(run.result[0]).toEqual({ status: Status.OK, body: ADDRESS.body });
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('an OK whose body is not that of its operation is no answer', () => {
    const bodies = fc.uint8Array({ maxLength: 30 });
    fc.assert(
      fc.property(bodies, (body) => {
        const frame = encodeResponse(Op.READ, { status: Status.OK, body }, nonce(1));
        expect(decodeResponse(frame, Op.READ)).not.toBeNull();
        const run = script(
          (sys) => new Facade(new FacadeRpc(sys, new Inbox(5, false), 'single-vm')).read(1 as never, 480),
          [...SENT, ...WAIT, delivers(frame)],
        );
        const n = (body[0] ?? 0) | ((body[1] ?? 0) << 8);
        const fits = body.length >= 2 && body.length >= 2 + n;
        expect(run.result).toEqual(fits ? { ok: true, value: body.subarray(2, 2 + n) } : null);
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});
