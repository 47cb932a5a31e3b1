import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Errno, serviceIdOf } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import {
  OP_COUNTER_INC,
  OP_HIST_OBSERVE,
  OP_SPAN_END,
  OP_SPAN_START,
  decodeRequest,
  encodeResponse,
  nonce,
  spanId,
} from '../metricsd/wire.ts';
import type { MetricsRequest } from '../metricsd/wire.ts';
import type { Call } from './ipc.ts';
import {
  IdSource,
  MetricsBackend,
  MetricsClient,
  NO_PARENT,
  SpanGuard,
  bound,
  composeId,
  counter,
  gauge,
  hist,
  withSpan,
} from './nexus-metrics.ts';
import type { CallResult, Draft } from './nexus-metrics.ts';
import { Driver } from './fixtures/test-driver.ts';

const MS = 1_000_000;

/** The host backend (15.6): remembers what was called, validates nothing. */
class Recorder extends MetricsBackend {
  readonly drafts: Draft[] = [];
  results: CallResult[] = [];
  *call(draft: Draft): Call<CallResult> {
    this.drafts.push(draft);
    return this.results.shift() ?? { ok: true, status: 0 };
  }
}

/** Runs a call that makes no syscall. */
function now<T>(call: Call<T>): T {
  const step = call.next();
  if (step.done !== true) throw new Error('unexpected syscall');
  return step.value;
}

/** Runs `body` as a task of `driver` and returns its result. */
function task<T>(driver: Driver, body: (sys: Sys) => Call<T>): T {
  const results: T[] = [];
  driver.run(function* (sys) {
    results.push(yield* body(sys));
    return 0;
  });
  if (results.length === 0) throw new Error('the task never ended');
  return results[0] as T;
}

describe('ids (sheet 40, 15.2)', () => {
  it('OBS-8: come from the service id and one shared local counter', () => {
    const ids = new IdSource(0xaa55n);
    const [s1, s2, t1] = [ids.nextSpanId(), ids.nextSpanId(), ids.nextTraceId()];
    expect([s1, s2, t1]).toEqual([0x0000_aa55_0000_0001n, 0x0000_aa55_0000_0002n, 0x525f_e311_0000_0003n]);
    expect(s2 > s1).toBe(true);
    const selftest = new IdSource(serviceIdOf('selftest-client'));
    expect([selftest.nextSpanId(), selftest.nextTraceId()]).toEqual([0x4ffb3f69_00000001n, 0x1da4762d_00000002n]);
  });

  it('keeps only the low halves', () => {
    expect(composeId(0xffff_0000_1234_5678n, 0x9_0000_0001n)).toBe(0x1234_5678_0000_0001n);
  });
});

describe('encoding (sheet 40, 15.1, 17.3)', () => {
  const draft = (name: number, tail: number, op: 1 | 2 | 3 | 4 | 5): Draft => {
    const text = { name: new Uint8Array(name), attrs: new Uint8Array(tail), labels: new Uint8Array(tail) };
    if (op === OP_SPAN_START)
      return { op, ...text, spanId: NO_PARENT, traceId: 0n as never, parentSpanId: NO_PARENT, startNs: 0n };
    if (op === OP_SPAN_END) return { op, ...text, spanId: NO_PARENT, endNs: 0n, status: 0 };
    return { op, ...text, value: 0n };
  };
  const classOf = (d: Draft): unknown => {
    const request = bound(d, nonce(1));
    return typeof request === 'string' ? request : 'ok';
  };

  it('OBS-25: names are invalid-args, labels and attributes over-limit, names first', () => {
    for (const op of [1, 2, 3, 4] as const) {
      expect([0, 1, 48, 49].map((n) => classOf(draft(n, 0, op)))).toEqual(['invalid-args', 'ok', 'ok', 'invalid-args']);
      expect([192, 193].map((n) => classOf(draft(1, n, op)))).toEqual(['ok', 'over-limit']);
      expect(classOf(draft(49, 193, op))).toBe('invalid-args');
    }
    expect([192, 193].map((n) => classOf(draft(0, n, 5)))).toEqual(['ok', 'over-limit']);
  });

  it('sends amounts from 2^63 on as the negative i64 that the server rejects', () => {
    const request = bound({ op: OP_COUNTER_INC, name: 'a', labels: '', value: 1n << 63n }, nonce(1));
    expect(request).toMatchObject({ value: 1n << 63n });
    const gaugeRequest = bound({ op: 2, name: 'a', labels: '', value: -3n }, nonce(1));
    expect(gaugeRequest).toMatchObject({ value: -3n });
  });
});

/** metricsd and init as the OS client sees them. */
class Peer extends Driver {
  readonly requests: MetricsRequest[] = [];
  answer: (request: MetricsRequest, nth: number) => void = (request) => this.reply(request, 0);
  constructor() {
    super([1, 2, 0x21, 0x22]);
    this.onSend = ({ slot, frame, moved }) => {
      if (slot === 1) {
        this.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 0x21, 0, 0, 0, 0x22, 0, 0, 0));
        return;
      }
      expect([slot, moved]).toEqual([0x21, -1]);
      const decoded = decodeRequest(frame);
      if (!decoded.ok) throw new Error(decoded.reject);
      this.requests.push(decoded.request);
      this.answer(decoded.request, this.requests.length);
    };
  }
  reply(request: MetricsRequest, status: number, after = 1000): void {
    this.push(0x22, encodeResponse(request.op, status, request.nonce), { after });
  }
}

const OK = { ok: true, status: 0 };
const TRANSPORT = { ok: false, error: { kind: 'transport' } };

describe('OS client (sheet 40, 15.4)', () => {
  it('COR-2: one nonce sequence from 1, used up by calls that do not encode', () => {
    const peer = new Peer();
    const results = task(peer, function* (sys) {
      const client = (yield* MetricsClient.connect(sys))!;
      return [
        yield* client.counterInc('sched.wakeups', 'svc=timed\n', 3n),
        yield* client.gaugeSet('', '', 1n),
        yield* client.histObserve('h', 'x'.repeat(193), 1n),
        yield* client.ping(),
      ];
    });
    expect(results).toEqual([
      OK,
      { ok: false, error: { kind: 'encode', reason: 'invalid-args' } },
      { ok: false, error: { kind: 'encode', reason: 'over-limit' } },
      OK,
    ]);
    expect(peer.requests.map((r) => r.nonce)).toEqual([1, 4]);
  });

  it('returns every status of an answer as it is', () => {
    const peer = new Peer();
    peer.answer = (request, nth) => peer.reply(request, nth);
    const results = task(peer, function* (sys) {
      const client = (yield* MetricsClient.connect(sys))!;
      return [yield* client.ping(), yield* client.ping(), yield* client.spanEnd(spanId(1n), 0n, 0, '')];
    });
    expect(results).toEqual([1, 2, 3].map((status) => ({ ok: true, status })));
  });

  it('maps what is not its answer', () => {
    const peer = new Peer();
    peer.answer = (request, nth) => {
      const frame = encodeResponse(request.op, 0, request.nonce);
      if (nth === 1) frame[5] = 0;
      if (nth === 2) frame[3] = 0x81;
      if (nth === 3) return;
      peer.push(0x22, nth === 4 ? frame.subarray(0, 8) : frame);
    };
    const results = task(peer, function* (sys) {
      const client = (yield* MetricsClient.connect(sys))!;
      const all: CallResult[] = [];
      for (let i = 0; i < 5; i++) all.push(yield* client.ping());
      return all;
    });
    const decode = (reason: string): unknown => ({ ok: false, error: { kind: 'decode', reason } });
    expect(results).toEqual([decode('malformed'), decode('unsupported'), TRANSPORT, decode('malformed'), OK]);
  });

  it('waits 500 ms for an answer; a late one is what the next call reads', () => {
    const peer = new Peer();
    peer.answer = (request, nth) => peer.reply(request, 0, nth === 1 ? 600 * MS : 1000);
    const times: number[] = [];
    const results = task(peer, function* (sys) {
      const client = (yield* MetricsClient.connect(sys))!;
      times.push(peer.now);
      const first = yield* client.ping();
      times.push(peer.now);
      peer.now += 200 * MS;
      return [first, yield* client.ping(), yield* client.ping()];
    });
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(500 * MS);
    expect(times[1]! - times[0]!).toBeLessThan(501 * MS);
    const stale = { ok: false, error: { kind: 'decode', reason: 'malformed' } };
    expect(results).toEqual([TRANSPORT, stale, stale]);
  });

  it('send failures are transport errors; without a route there is no client', () => {
    const peer = new Peer();
    peer.refuse = (slot) => (slot === 0x21 ? -Errno.ETIMEDOUT : 0);
    expect(
      task(peer, function* (sys) {
        return yield* (yield* MetricsClient.connect(sys))!.ping();
      }),
    ).toEqual(TRANSPORT);
    const alone = new Driver([1, 2]);
    expect(task(alone, (sys) => MetricsClient.connect(sys))).toBeNull();
    expect(alone.now).toBeGreaterThan(100 * MS);
  });

  it('span_guard: a refused start is Decode(Malformed) and no guard, and uses two local numbers', () => {
    const peer = new Peer();
    peer.answer = (request, nth) => peer.reply(request, nth === 1 ? 2 : 0);
    const ids = new IdSource(0xaa55n);
    const results = task(peer, function* (sys) {
      const client = (yield* MetricsClient.connect(sys))!;
      const refused = yield* client.spanGuard(ids, NO_PARENT, 7n, 's', '');
      const started = yield* client.spanGuard(ids, NO_PARENT, 7n, 's', 'a=b\n');
      if (started.ok) yield* started.guard.drop();
      return [refused, started.ok];
    });
    expect(results).toEqual([{ ok: false, error: { kind: 'decode', reason: 'malformed' } }, true]);
    expect(peer.requests.map((r) => r.op)).toEqual([OP_SPAN_START, OP_SPAN_START, OP_SPAN_END]);
    expect(peer.requests[1]).toMatchObject({ spanId: 0x0000_aa55_0000_0003n, traceId: 0x525f_e311_0000_0004n });
    expect(peer.requests[2]).toMatchObject({ spanId: 0x0000_aa55_0000_0003n, endNs: 0n, status: 0 });
  });

  it('round-trips every draft through the wire', () => {
    const text = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 48 });
    fc.assert(
      fc.property(
        text,
        text,
        fc.bigInt(0n, (1n << 63n) - 1n),
        fc.constantFrom(OP_COUNTER_INC, OP_HIST_OBSERVE),
        (name, labelText, value, op) => {
          const peer = new Peer();
          task(peer, function* (sys) {
            const client = new MetricsClient(sys, { send: 0x21, recv: 0x22 });
            return yield* client.call({ op, name, labels: labelText, value });
          });
          const bytes = (t: string): Uint8Array => new TextEncoder().encode(t);
          expect(peer.requests).toEqual([{ op, nonce: 1, name: bytes(name), labels: bytes(labelText), value }]);
        },
      ),
      { seed: 20240, numRuns: 100 },
    );
  });
});

describe('guards and best effort (sheet 40, 15.3, 15.5, 18.5)', () => {
  it('the three macros record three events', () => {
    const host = new Recorder();
    now(counter(host, 'c', 1n));
    now(gauge(host, 'g', -1n, 'a=b\n'));
    now(hist(host, 'h', 5n));
    expect(host.drafts).toEqual([
      { op: 1, name: 'c', labels: '', value: 1n },
      { op: 2, name: 'g', labels: 'a=b\n', value: -1n },
      { op: 3, name: 'h', labels: '', value: 5n },
    ]);
  });

  it('OBS-7: a dropped guard ends its span exactly once', () => {
    const host = new Recorder();
    const guard = new SpanGuard(host, spanId(77n), () => 1234n);
    now(guard.drop());
    now(guard.drop());
    expect(host.drafts).toEqual([{ op: 5, spanId: 77n, endNs: 1234n, status: 0, attrs: '' }]);
  });

  it('an explicit end disarms', () => {
    const host = new Recorder();
    const guard = new SpanGuard(host, spanId(77n), () => 1234n);
    expect(now(guard.end(777n, 3, 'result=ok\n'))).toEqual(OK);
    now(guard.drop());
    expect(host.drafts).toEqual([{ op: 5, spanId: 77n, endNs: 777n, status: 3, attrs: 'result=ok\n' }]);
  });

  it('after a client error the drop fires a second end; a refused end does not', () => {
    const host = new Recorder();
    host.results = [{ ok: false, error: { kind: 'transport' } }];
    expect(now(new SpanGuard(host, spanId(1n), () => 9n).end(5n, 1, ''))).toEqual(TRANSPORT);
    expect(host.drafts.map((d) => d.op === 5 && [d.endNs, d.status])).toEqual([
      [5n, 1],
      [9n, 0],
    ]);
    const refused = new Recorder();
    refused.results = [{ ok: true, status: 4 }];
    now(new SpanGuard(refused, spanId(1n), () => 9n).end(5n, 1, ''));
    expect(refused.drafts).toHaveLength(1);
  });

  it('withSpan drops the guard after its body, and runs the body without a span, too', () => {
    const host = new Recorder();
    const ids = new IdSource(1n);
    const body = function* (guard: SpanGuard | null): Call<boolean> {
      host.drafts.push({ op: 6 });
      return guard !== null;
    };
    expect(now(withSpan(host, ids, 5n, 's', body))).toBe(true);
    expect(host.drafts.map((d) => d.op)).toEqual([4, 6, 5]);
    host.results = [{ ok: false, error: { kind: 'transport' } }];
    expect(now(withSpan(host, ids, 5n, 's', body))).toBe(false);
    expect(host.drafts.map((d) => d.op)).toEqual([4, 6, 5, 4, 6]);
  });
});
