/** S04 against a real table behind scripted answers: each answer that is wrong fails it (sheet 80, section 6.3). */
import { describe, expect, it } from 'vitest';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { TimerTable, coalesce } from '../timed/timers.ts';
import { deadlineNs, decodeRequest, encodeReply, timerId } from '../timed/wire.ts';
import type { TimedReply, TimedRequest } from '../timed/wire.ts';
import { SELFTEST_DEFAULTS } from './fixtures/options.ts';
import { SelftestState } from './state.ts';
import { timedCoalesce } from './timed.ts';

/** Answers as timed does. */
function serve(table: TimerTable, request: TimedRequest): TimedReply {
  const owner = 1n as ServiceId;
  const { nonce } = request;
  switch (request.op) {
    case 'cancel':
      return { kind: 'short', opByte: 2, status: table.cancel(owner, request.id) ? 0 : 3, nonce };
    case 'sleep_until':
      return { kind: 'sleep', status: 0, nonce, wake: coalesce(request.deadline, request.qos) ?? deadlineNs(0n) };
    case 'register': {
      const got = table.register(owner, request.qos, request.deadline);
      if (got.ok) return { kind: 'register', status: 0, nonce, id: got.id, coalesced: got.coalesced };
      const status = got.reason === 'over_limit' ? 2 : 1;
      return { kind: 'register', status, nonce, id: timerId(0), coalesced: deadlineNs(0n) };
    }
  }
}

/** Runs the step while `change` alters answer number `at` (from 0); frames sent and the last line. */
function run(change: (reply: TimedReply) => Uint8Array | null, at: number): [TimedRequest[], string | undefined] {
  const driver = new Driver([1, 2, 0x1f, 0x20]);
  const table = new TimerTable();
  const requests: TimedRequest[] = [];
  driver.onSend = ({ slot, frame }) => {
    if (slot === 1) {
      const nonce = frame.subarray(frame.length - 4);
      driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 0x1f, 0, 0, 0, 0x20, 0, 0, 0, ...nonce));
      return;
    }
    const request = decodeRequest(frame);
    if (request.op === 'reject') throw new Error('a malformed request');
    const reply = serve(table, request);
    const answer = requests.length === at ? change(reply) : encodeReply(reply);
    requests.push(request);
    if (answer !== null) driver.push(0x20, answer);
  };
  driver.run(function* (sys) {
    yield* timedCoalesce(new SelftestState(sys, SELFTEST_DEFAULTS));
    return 0;
  });
  return [requests, driver.lines.at(-1)];
}

const OK = 'SELFTEST: timed coalesce ok';
const FAIL = 'SELFTEST: timed coalesce FAIL';
/** Requests of the whole step: two registrations, a sleep, two cancels, 64, two refusals, 64. */
const ALL = 135;

describe('S04', () => {
  it('sends the sheet’s requests and passes', () => {
    const [requests, line] = run(encodeReply, -1);
    expect(line).toBe(OK);
    expect(requests.length).toBe(ALL);
    const nonces = requests.map((request) => request.nonce);
    expect(nonces.slice(0, 6)).toEqual([0x5449_0001, 0x5449_0002, 0x5449_0003, 0x5449_0004, 0x5449_0005, 0x5449_1000]);
    expect(nonces.slice(68, 72)).toEqual([0x5449_103f, 0x5449_10ff, 0x5449_2000, 0x5449_3000]);
    expect(requests[70]).toMatchObject({ op: 'register', qos: 0xff });
  });

  it('no answer may fail, be missing, or carry another nonce', () => {
    const failed = (reply: TimedReply): Uint8Array => encodeReply({ ...reply, status: 5 });
    const silent = (): null => null;
    const stale = (reply: TimedReply): Uint8Array => encodeReply({ ...reply, nonce: 7 as never });
    for (const at of [0, 1, 2, 3, 4, 5, 68, 69, 70, 71, 134]) {
      for (const change of [failed, silent, stale]) expect(run(change, at)[1], `answer ${at}`).toBe(FAIL);
    }
  });

  it('deadlines must be moved to their windows, ids must be there', () => {
    const moved = (by: bigint) => (reply: TimedReply) =>
      encodeReply(
        reply.kind === 'register'
          ? { ...reply, coalesced: deadlineNs(reply.coalesced + by) }
          : reply.kind === 'sleep'
            ? { ...reply, wake: deadlineNs(reply.wake + by) }
            : reply,
      );
    for (const by of [-1n, 1n]) {
      expect(run(moved(by), 0)[1]).toBe(FAIL);
      expect(run(moved(by), 1)[1]).toBe(FAIL);
    }
    expect(run(moved(-1n), 2)[1]).toBe(FAIL);
    expect(run(moved(1n), 2)[1]).toBe(OK);
    const nameless = (reply: TimedReply): Uint8Array =>
      encodeReply(reply.kind === 'register' ? { ...reply, id: timerId(0) } : reply);
    for (const at of [0, 1, 30]) expect(run(nameless, at)[1]).toBe(FAIL);
  });

  it('the 65th must be over the limit, the unknown class invalid and empty', () => {
    const status = (value: 0 | 1 | 2) => (reply: TimedReply) => encodeReply({ ...reply, status: value });
    expect(run(status(1), 69)[1]).toBe(FAIL);
    expect(run(status(0), 69)[1]).toBe(FAIL);
    expect(run(status(2), 70)[1]).toBe(FAIL);
    const withId = (reply: TimedReply): Uint8Array =>
      encodeReply(reply.kind === 'register' ? { ...reply, id: timerId(1) } : reply);
    expect(run(withId, 70)[1]).toBe(FAIL);
  });
});
