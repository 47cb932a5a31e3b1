import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { decodeRequest, encodeResponse, nonce } from '../metricsd/wire.ts';
import type { MetricsRequest } from '../metricsd/wire.ts';
import { Inbox } from './inbox.ts';
import type { Call } from './ipc.ts';
import { IN_FLIGHT_END_MAX, IN_FLIGHT_MAX, MetricsProducer } from './metrics-producer.ts';
import { IdSource, NO_PARENT } from './nexus-metrics.ts';
import type { CallResult } from './nexus-metrics.ts';
import { Driver } from './fixtures/test-driver.ts';

const MS = 1_000_000;
const INBOX = 5;
const METRICSD = 8;

class Bench extends Driver {
  readonly requests: { request: MetricsRequest; moved: number; at: number }[] = [];
  status = 0;
  mute = false;
  inbox: Inbox | null = null;
  constructor() {
    super([1, 2, INBOX, 6, METRICSD]);
    this.onSend = ({ slot, frame, moved, at }) => {
      const decoded = decodeRequest(frame);
      if (!decoded.ok || slot !== METRICSD) throw new Error('not a request to metricsd');
      this.requests.push({ request: decoded.request, moved, at });
      if (!this.mute) this.push(INBOX, encodeResponse(decoded.request.op, this.status, decoded.request.nonce));
    };
  }
  /** Runs `body` with a producer. */
  with<T>(body: (producer: MetricsProducer) => Call<T>): T {
    const results: T[] = [];
    const inbox = new Inbox(INBOX, false);
    this.inbox = inbox;
    this.run(function* (sys) {
      results.push(yield* body(new MetricsProducer(sys, { metricsd: METRICSD, replySend: 6 }, inbox)));
      return 0;
    });
    if (results.length === 0) throw new Error('the task never ended');
    return results[0] as T;
  }
}

describe('producer (quirks.md, metrics-unrouted)', () => {
  it('OBS-9, COR-2: sends with a moved reply capability and a process-wide nonce, and waits for nothing', () => {
    const bench = new Bench();
    bench.mute = true;
    const results = bench.with(function* (producer) {
      return [
        yield* producer.counterInc('execd.spawn.ok', 'svc=execd\n', 1n),
        yield* producer.histObserve('timed.coalesce.delta_ns', 'svc=timed\n', 5n),
      ];
    });
    expect(results).toEqual([
      { ok: true, status: null },
      { ok: true, status: null },
    ]);
    expect(bench.requests.map(({ request }) => request.nonce)).toEqual([1, 2]);
    expect(bench.requests.every(({ moved }) => moved >= 20)).toBe(true);
    expect(bench.now).toBeLessThan(MS);
    expect([...bench.caps].sort((a, b) => a - b)).toEqual([1, 2, INBOX, 6, METRICSD]);
  });

  it('exports at most 8 events per second and counts the rest', () => {
    const bench = new Bench();
    const results = bench.with(function* (producer) {
      const all: CallResult[] = [];
      for (let i = 0; i < 12; i++) all.push(yield* producer.counterInc('c', '', 1n));
      bench.now += 1000 * MS;
      all.push(yield* producer.counterInc('c', '', 1n));
      return all;
    });
    expect(results.map((r) => r.ok)).toEqual([...Array<boolean>(8).fill(true), false, false, false, false, true]);
    expect([bench.requests.length, bench.notes.get('metrics.budget')]).toEqual([9, 4]);
  });

  it('always lets the end of a started span through', () => {
    const bench = new Bench();
    bench.with(function* (producer) {
      const started = yield* producer.spanGuard(new IdSource(7n), NO_PARENT, 1n, 'execd.exec', '');
      for (let i = 0; i < 9; i++) yield* producer.counterInc('c', '', 1n);
      if (started.ok) yield* started.guard.end(2n, 0, 'result=ok\n');
    });
    expect(bench.requests.map(({ request }) => request.op)).toEqual([4, 1, 1, 1, 1, 1, 1, 1, 5]);
    expect(bench.notes.get('metrics.budget')).toBe(2);
  });

  it('a span whose start was not sent has no guard', () => {
    const bench = new Bench();
    const started = bench.with(function* (producer) {
      for (let i = 0; i < 8; i++) yield* producer.counterInc('c', '', 1n);
      return yield* producer.spanGuard(new IdSource(7n), NO_PARENT, 1n, 's', '');
    });
    expect(started).toEqual({ ok: false, error: { kind: 'budget' } });
  });

  it('COR-3: takes its replies, leaves the frames of others for them', () => {
    const bench = new Bench();
    const foreign = Uint8Array.of(0x4c, 0x4f, 1, 0x81, ...new Uint8Array(17));
    bench.with(function* (producer) {
      yield* producer.counterInc('c', '', 1n);
      bench.push(INBOX, foreign);
      bench.push(INBOX, encodeResponse(1, 0, nonce(99)));
      yield* producer.counterInc('c', '', 1n);
    });
    expect(bench.inbox?.takeStashed(() => true)).toEqual(foreign);
    expect(bench.inbox?.takeStashed(() => true)).toBeNull();
    expect([...bench.notes]).toEqual([['metrics.stray', 1]]);
  });

  it('counts refusals and gives up replies that do not come within a second', () => {
    const bench = new Bench();
    bench.status = 2;
    bench.with(function* (producer) {
      yield* producer.counterInc('c', '', 1n);
      bench.mute = true;
      yield* producer.counterInc('c', '', 1n);
      bench.now += 1000 * MS;
      yield* producer.counterInc('c', '', 1n);
    });
    expect([...bench.notes]).toEqual([
      ['metrics.refused', 1],
      ['metrics.unanswered', 1],
    ]);
  });

  it('bounds what is in flight below the depth of the inbox, with room for span ends', () => {
    const bench = new Bench();
    bench.mute = true;
    bench.with(function* (producer) {
      for (let i = 0; i < 8; i++) yield* producer.counterInc('c', '', 1n);
      for (let i = 0; i < 4; i++) yield* producer.spanEnd(NO_PARENT, 1n, 0, '');
    });
    expect(bench.requests.filter(({ request }) => request.op === 1)).toHaveLength(IN_FLIGHT_MAX);
    expect(bench.requests).toHaveLength(IN_FLIGHT_END_MAX);
    expect(bench.notes.get('metrics.in-flight')).toBe(8 - IN_FLIGHT_MAX + 4 - (IN_FLIGHT_END_MAX - IN_FLIGHT_MAX));
  });

  it('OBS-15: failures are counted by cause and leak nothing', () => {
    const bench = new Bench();
    bench.refuse = (slot) => (slot === METRICSD ? -Errno.EAGAIN : 0);
    bench.with(function* (producer) {
      yield* producer.counterInc('c', '', 1n);
      yield* producer.counterInc('', '', 1n);
      bench.caps.delete(6);
      yield* producer.counterInc('c', '', 1n);
      expect([producer.lost('send'), producer.lost('encode'), producer.lost('clone')]).toEqual([1, 1, 1]);
    });
    expect([...bench.caps].sort((a, b) => a - b)).toEqual([1, 2, INBOX, METRICSD]);
  });
});
