/** timed's loop by hand: lines, answers, waits, and the metric of every registration. */
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import { Driver } from '../lib/fixtures/test-driver.ts';
import { OP_HIST_OBSERVE, STATUS_OK, decodeRequest, encodeResponse } from '../metricsd/wire.ts';
import { TIMED_CONTRACT, TIMED_REFERENCE, timedProgram } from './main.ts';
import type { TimedOptions } from './main.ts';
import { deadlineNs, decodeReply, encodeRequest, timedNonce, timerId } from './wire.ts';
import type { TimedReply } from './wire.ts';

const SELFTEST = serviceIdOf('selftest-client');
const OTHER = serviceIdOf('other');
const MS = 1_000_000;
const ALLOW = 'timed: audit register decision=allow reason=applied';
const DENY = 'timed: audit register decision=deny reason=';

interface World {
  readonly driver: Driver;
  readonly answers: () => (TimedReply | null)[];
  readonly observed: () => [string, string, bigint][];
}

/** timed with an init that names its own slots and, if `metricsd`, metricsd's. */
function world(metricsd = true): World {
  const driver = new Driver([1, 2, 3, 4, 5, 6, 7]);
  driver.onSend = ({ slot, frame }) => {
    if (slot === 1) {
      const name = String.fromCharCode(...frame.subarray(5, 5 + frame[4]!));
      const nonce = frame.subarray(5 + frame[4]!);
      const [status, send, recv] = name === 'timed' ? [0, 4, 3] : metricsd ? [0, 7, 5] : [3, 0, 0];
      driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, status, send, 0, 0, 0, recv, 0, 0, 0, ...nonce));
    }
    if (slot === 7) {
      const request = decodeRequest(frame);
      if (request.ok) driver.push(5, encodeResponse(frame[3]!, STATUS_OK, request.request.nonce));
    }
  };
  return {
    driver,
    answers: () => driver.sent.filter((sent) => sent.slot === 4).map((sent) => decodeReply(sent.frame)),
    observed: () =>
      driver.sent
        .filter((sent) => sent.slot === 7)
        .map(({ frame }) => {
          const decoded = decodeRequest(frame);
          if (!decoded.ok || decoded.request.op !== OP_HIST_OBSERVE) throw new Error('not an observation');
          const { name, labels, value } = decoded.request;
          const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
          return [text(name), text(labels), value];
        }),
  };
}

const register = (nonce: number, qos: number, deadline: number | bigint): Uint8Array =>
  encodeRequest({ op: 'register', nonce: timedNonce(nonce), qos, deadline: deadlineNs(BigInt(deadline)) });
const sleep = (nonce: number, qos: number, deadline: number): Uint8Array =>
  encodeRequest({ op: 'sleep_until', nonce: timedNonce(nonce), qos, deadline: deadlineNs(BigInt(deadline)) });
const cancel = (nonce: number, id: number): Uint8Array =>
  encodeRequest({ op: 'cancel', nonce: timedNonce(nonce), id: timerId(id) });

const run = (w: World, options: Partial<TimedOptions> = {}): Driver =>
  w.driver.run(timedProgram({ ...TIMED_CONTRACT, ...options }));

describe('timed (sheet 60, section 8)', () => {
  it('routes itself with a nonce before it says that it is ready', () => {
    const w = world();
    w.driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 9, 0, 0, 0, 9, 0, 0, 0));
    run(w);
    expect(w.driver.lines).toEqual(['UBtimed: ready']);
    expect([...w.driver.sent[0]!.frame]).toEqual([0x52, 0x54, 1, 0x40, 5, ...Buffer.from('timed'), 1, 0, 0, 0]);
  });

  it('asks again until init names its slots', () => {
    const w = world();
    let asked = 0;
    const answer = w.driver.onSend;
    w.driver.onSend = (sent) => {
      asked += 1;
      if (asked < 3) w.driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 1, ...new Uint8Array(8), 1, 0, 0, 0));
      else answer(sent);
    };
    run(w);
    expect(asked).toBe(3);
    expect(w.driver.lines).toEqual(['UBtimed: ready']);
  });

  it('says once that it applied a registration, and every refusal', () => {
    const w = world();
    w.driver.push(3, register(1, 1, 10_000_001), { sender: SELFTEST });
    w.driver.push(3, register(2, 2, 10_000_001), { sender: SELFTEST });
    w.driver.push(3, register(3, 9, 1), { sender: SELFTEST });
    w.driver.push(3, register(4, 0, 2n ** 64n - 1n), { sender: SELFTEST });
    w.driver.push(3, register(5, 0, 1).subarray(0, 17), { sender: SELFTEST });
    w.driver.push(3, Uint8Array.from(Buffer.from('bad')), { sender: SELFTEST });
    run(w);
    expect(w.driver.lines.slice(1)).toEqual([ALLOW, `${DENY}invalid_args`, `${DENY}invalid_args`, `${DENY}malformed`]);
    expect(w.answers()).toEqual([
      { kind: 'register', status: 0, nonce: 1, id: 1, coalesced: 12_000_000n },
      { kind: 'register', status: 0, nonce: 2, id: 2, coalesced: 11_000_000n },
      { kind: 'register', status: 1, nonce: 3, id: 0, coalesced: 0n },
      { kind: 'register', status: 1, nonce: 4, id: 0, coalesced: 0n },
      { kind: 'short', opByte: 1, status: 4, nonce: 5 },
      { kind: 'short', opByte: 0, status: 4, nonce: 0 },
    ]);
  });

  it('the owner is the sender that the kernel names', () => {
    const w = world();
    for (let i = 0; i < 65; i++) w.driver.push(3, register(i, 0, 8_000_000), { sender: SELFTEST });
    w.driver.push(3, register(100, 0, 8_000_000), { sender: OTHER });
    w.driver.push(3, cancel(101, 65), { sender: SELFTEST });
    w.driver.push(3, cancel(102, 65), { sender: OTHER });
    w.driver.push(3, cancel(103, 65), { sender: OTHER });
    run(w);
    const answers = w.answers();
    expect(answers[63]).toMatchObject({ status: 0, id: 64 });
    expect(answers[64]).toEqual({ kind: 'register', status: 2, nonce: 64, id: 0, coalesced: 0n });
    expect(answers.slice(65).map((answer) => answer?.status)).toEqual([0, 3, 0, 3]);
    expect(w.driver.lines).toContain(`${DENY}over_limit`);
  });

  it('a sleep ends at its window, and nothing else is served before', () => {
    const w = world();
    w.driver.push(3, sleep(1, 2, 2_100_000), { sender: SELFTEST });
    w.driver.push(3, cancel(2, 1), { sender: SELFTEST });
    run(w);
    const [woke, after] = w.driver.sent.filter((sent) => sent.slot === 4);
    const reply = decodeReply(woke!.frame);
    expect(reply).toMatchObject({ kind: 'sleep', status: 0, nonce: 1 });
    if (reply?.kind !== 'sleep') throw new Error();
    expect(reply.wake).toBeGreaterThanOrEqual(3_000_000n);
    expect(reply.wake).toBeLessThan(3_010_000n);
    expect(after!.at).toBeGreaterThan(3_000_000);
  });

  it('a sleep until a time that has passed ends at once', () => {
    const w = world();
    w.driver.now = 50 * MS;
    w.driver.push(3, sleep(1, 0, 8_000_000), { sender: SELFTEST });
    run(w);
    const reply = w.answers()[0];
    if (reply?.kind !== 'sleep') throw new Error();
    expect(reply.status).toBe(0);
    expect(reply.wake).toBeLessThan(51_000_000n);
  });

  it('a sleep of more than two seconds is refused with the time, a bad class without', () => {
    const w = world();
    w.driver.push(3, sleep(1, 0, 2_900_000_000), { sender: SELFTEST });
    w.driver.push(3, sleep(2, 4, 1), { sender: SELFTEST });
    run(w);
    const [far, bad] = w.answers();
    expect(far).toMatchObject({ status: 1, nonce: 1 });
    expect(far?.kind === 'sleep' && far.wake > 0n && far.wake < 1_000_000n).toBe(true);
    expect(bad).toEqual({ kind: 'sleep', status: 1, nonce: 2, wake: 0n });
    expect(w.driver.lines).toEqual(['UBtimed: ready']);
  });

  it('two seconds to the nanosecond are taken, one more is not', () => {
    const until = (deadline: number): TimedReply | null => {
      const w = world();
      // The class without a window.
      w.driver.push(3, sleep(1, 3, deadline), { sender: SELFTEST });
      run(w);
      return w.answers()[0] ?? null;
    };
    // A refusal tells the time of the test, and time here is the same in each run.
    const refused = until(3_000_000_000);
    if (refused?.kind !== 'sleep') throw new Error();
    const latest = Number(refused.wake) + 2_000_000_000;
    expect(until(latest)).toMatchObject({ status: 0 });
    expect(until(latest + 1)).toEqual({ ...refused });
  });

  it('a clock that fails is an internal error', () => {
    const w = world();
    w.driver.push(3, sleep(1, 0, 1), { sender: SELFTEST });
    w.driver.clockFails = true;
    run(w);
    expect(w.answers()).toEqual([{ kind: 'sleep', status: 5, nonce: 1, wake: 0n }]);
  });

  it('answers on a moved capability and closes it; not when the send fails', () => {
    const w = world();
    w.driver.push(3, cancel(1, 1), { sender: SELFTEST, cap: 40 });
    w.driver.push(3, cancel(2, 1), { sender: SELFTEST, cap: 41 });
    w.driver.refuse = (slot) => (slot === 41 ? -11 : 0);
    run(w);
    expect(w.driver.sent.filter((sent) => sent.slot === 40).map((sent) => decodeReply(sent.frame)?.status)).toEqual([
      3,
    ]);
    expect(w.driver.caps.has(40)).toBe(false);
    expect(w.driver.caps.has(41)).toBe(true);
    expect(w.answers()).toEqual([]);
  });

  it('a receive error ends it', () => {
    const w = world();
    w.driver.receiveErrors.set(3, [-22]);
    run(w);
    expect(w.driver.exit).toBe(-1);
    expect(w.driver.lines).toEqual(['UBtimed: ready', 'service error svc=timed type=timed::os_lite::TimedError']);
  });
});

describe('timed.coalesce.delta_ns (sheet 40, section 16; quirk metrics-unrouted)', () => {
  it('OBS-9: every accepted registration is observed before its answer', () => {
    const w = world();
    w.driver.push(3, register(1, 1, 10_000_001), { sender: SELFTEST });
    w.driver.push(3, register(2, 7, 10_000_001), { sender: SELFTEST });
    w.driver.push(3, register(3, 3, 5), { sender: SELFTEST });
    run(w);
    expect(w.observed()).toEqual([
      ['timed.coalesce.delta_ns', 'svc=timed\n', 1_999_999n],
      ['timed.coalesce.delta_ns', 'svc=timed\n', 0n],
    ]);
    const order = w.driver.sent.map((sent) => sent.slot);
    expect(order.indexOf(7)).toBeLessThan(order.indexOf(4));
    expect(w.driver.sent.filter((sent) => sent.slot === 7).every((sent) => sent.moved >= 0)).toBe(true);
  });

  it('COR-2: one route query, one nonce sequence, at most 8 events in a second', () => {
    const w = world();
    for (let i = 0; i < 64; i++) w.driver.push(3, register(i, 0, 1), { sender: SELFTEST });
    run(w);
    expect(w.driver.sent.filter((sent) => sent.slot === 1).length).toBe(2);
    const nonces = w.driver.sent
      .filter((sent) => sent.slot === 7)
      .map(({ frame }) => new DataView(frame.buffer, frame.byteOffset).getUint32(4, true));
    expect(nonces).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(w.driver.notes.get('metrics.budget')).toBe(56);
    expect(w.answers().filter((answer) => answer?.status === 0).length).toBe(64);
  });

  it('quirk: a route query for every registration, and nothing arrives', () => {
    const w = world(false);
    for (let i = 0; i < 3; i++) w.driver.push(3, register(i, 0, 1), { sender: SELFTEST });
    run(w, TIMED_REFERENCE);
    expect(w.driver.sent.filter((sent) => sent.slot === 1).length).toBe(4);
    expect(w.observed()).toEqual([]);
    expect(w.driver.lines).toEqual(['UBtimed: ready', ALLOW]);
    expect(w.answers().map((answer) => answer?.status)).toEqual([0, 0, 0]);
  });

  it('without a metricsd in the image nothing is sent anywhere', () => {
    const w = world(false);
    w.driver.caps.delete(7);
    w.driver.push(3, register(1, 0, 1), { sender: SELFTEST });
    run(w);
    expect(w.driver.sent.map((sent) => sent.slot)).toEqual([1, 1, 4]);
  });
});
