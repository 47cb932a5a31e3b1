/** metricsd under the model kernel, with small stand-ins for init, logd and the store, and the OS client as producer. */
import { ENTRY_NOTE } from '../lib/entry.ts';
import { describe, expect, it } from 'vitest';
import { CAP_MOVE, NONBLOCK, TRUNCATE, serviceIdOf } from '../../kernel-model/abi.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { addTask, bareKernel, endpointCap, grant, newEndpoint, runUntil } from '../../kernel-model/testing.ts';
import { RateLimiter } from '../lib/rate-limiter.ts';
import type { Call } from '../lib/ipc.ts';
import { IdSource, MetricsClient, NO_PARENT } from '../lib/nexus-metrics.ts';
import { OP_PUT, decodeRequest as decodeStore, encodeStatusReply } from '../statefsd/wire.ts';
import { METRICSD_CONTRACT, metricsdProgram } from './main.ts';
import type { MetricsdOptions } from './main.ts';
import { spanId } from './wire.ts';

const S = 1_000_000_000;
const SELFTEST = serviceIdOf('selftest-client');
const REFERENCE: MetricsdOptions = {
  ...METRICSD_CONTRACT,
  receiveMax: 512,
  segmentMaxBytes: Infinity,
  readyBeforeProof: true,
  walUnacknowledged: true,
  rollupByCount: true,
  errorDropsNonce: true,
  inboxDiscards: true,
  silentSink: true,
  redact: false,
  countRejects: false,
};

interface World {
  readonly lines: string[];
  readonly logged: string[];
  readonly store: Map<string, string>;
  readonly clock: number;
  readonly notes: [string, string | number][];
}

interface Faults {
  /** The store dies after this many requests. */
  readonly storeDiesAfter?: number;
  readonly skipPolls?: boolean;
}

/** Answers a request on its moved capability, or on `send` when none moved. */
function* answer(sys: Sys, send: number, frame: Uint8Array): Call<void> {
  const { src, flags } = sys.message;
  if ((flags & CAP_MOVE) === 0) {
    yield sys.send(send, frame);
    return;
  }
  yield sys.send(src, frame, NONBLOCK);
  yield sys.capClose(src);
}

function boot(
  options: MetricsdOptions,
  client: (client: MetricsClient, sys: Sys) => Call<void>,
  faults: Faults = {},
): World {
  const bare = bareKernel({ skipPolls: faults.skipPolls ?? true, icount: 3 });
  const { kernel } = bare;
  const events = bare.record();
  const logged: string[] = [];
  const store = new Map<string, string>();
  const text = new TextDecoder();

  const init: Program = function* (sys) {
    for (;;) {
      yield sys.recv(3, 64, TRUNCATE);
      const query = sys.message.payload;
      yield sys.send(4, Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 4, 0, 0, 0, 3, 0, 0, 0, ...query.subarray(13)));
    }
  };
  const logd: Program = function* (sys) {
    const limiter = new RateLimiter({ windowNs: S, eventsPerWindow: 24, maxSenders: 64 });
    for (;;) {
      yield sys.recvV2(3, 512, TRUNCATE);
      const { payload, serviceId } = sys.message;
      const now = yield sys.nsec();
      const reply = new Uint8Array(21);
      const passes = limiter.allow(serviceId, now);
      reply.set([0x4c, 0x4f, 1, 0x81, passes ? 0 : 6]);
      if (passes) logged.push(text.decode(payload.subarray(10 + payload[5]!)));
      yield* answer(sys, 4, reply);
    }
  };
  const statefsd: Program = function* (sys) {
    for (let served = 0; served < (faults.storeDiesAfter ?? Infinity); served++) {
      yield sys.recvV2(3, 8192, TRUNCATE);
      const request = decodeStore(sys.message.payload);
      if (request.kind !== 'put' && request.kind !== 'del') throw new Error(request.kind);
      if (request.kind === 'put') store.set(request.key, text.decode(request.value));
      else store.delete(request.key);
      yield* answer(sys, 4, encodeStatusReply(request.kind === 'put' ? OP_PUT : 3, 0, request.nonce));
    }
    for (;;) yield sys.recvV2(9, 8192);
  };
  const selftest: Program = function* (sys) {
    yield* client(new MetricsClient(sys, { send: 0x21, recv: 0x22 }), sys);
    return 0;
  };

  const cap = (depth = 8): ReturnType<typeof endpointCap> => endpointCap(newEndpoint(kernel, depth));
  const [control, controlReply, logReq, logRsp] = [cap(), cap(), cap(64), cap()];
  const [stateReq, stateRsp, metricsReq, metricsRsp, inbox, nobody] = [cap(), cap(), cap(), cap(), cap(), cap()];
  const wire = (name: string, program: Program, slots: [number, ReturnType<typeof endpointCap>][]): void => {
    const task = addTask(kernel, program, { name });
    for (const [slot, c] of slots) grant(task, slot, c);
  };
  wire('init', init, [
    [3, control],
    [4, controlReply],
  ]);
  wire('logd', logd, [
    [3, logReq],
    [4, logRsp],
  ]);
  wire('metricsd', metricsdProgram(options), [
    [1, control],
    [2, controlReply],
    [3, metricsReq],
    [4, metricsRsp],
    [5, inbox],
    [6, inbox],
    [7, stateReq],
    [8, logReq],
  ]);
  wire('statefsd', statefsd, [
    [3, stateReq],
    [4, stateRsp],
    [9, nobody],
  ]);
  wire('selftest-client', selftest, [
    [0x21, metricsReq],
    [0x22, metricsRsp],
  ]);
  runUntil(kernel, 100 * S);
  return {
    lines: bare
      .uart()
      .split('\r\n')
      .map((line) => line.replace(/^UB/, ''))
      .slice(0, -1),
    logged,
    store,
    clock: bare.clock.now,
    notes: events.flatMap((e): [string, string | number][] =>
      e.kind === 'note' && e.name !== ENTRY_NOTE ? [[e.name, e.value]] : [],
    ),
  };
}

function* waitFor(sys: Sys, ns: number): Call<void> {
  const poll = sys.beginPoll();
  poll.deadline = (yield sys.nsec()) + ns;
  poll.clockEvery = 1;
  yield sys.runPoll();
}

/** The self-test's metric steps (sheet 40, section 21, steps 5 and 6): statuses in order. */
function* probe(client: MetricsClient, sys: Sys, statuses: (number | string)[]): Call<void> {
  const call = function* (c: Call<{ ok: boolean; status?: number | null }>): Call<number | string> {
    const result = yield* c;
    const status = result.ok ? (result.status ?? 'none') : 'error';
    statuses.push(status);
    return status;
  };
  yield* waitFor(sys, 3 * S);
  yield* call(client.spanStart(spanId(0xdeadbeef00000001n), 1n as never, NO_PARENT, 1n, 'selftest.invalid', ''));
  for (let i = 0; i < 32; i++) {
    const status = yield* call(client.counterInc('selftest.cap', `id=${String(i).padStart(2, '0')}\n`, 1n));
    if (status === 2) break;
  }
  for (let i = 0n; i < 96n; i++) {
    const id = spanId(((SELFTEST & 0xffff_ffffn) << 32n) | (0x1000n + i));
    if ((yield* call(client.spanEnd(id, i, 0, ''))) !== 4) break;
  }
  yield* waitFor(sys, S);
  const span = function* (name: string, start: bigint, end: bigint, a: string, b: string): Call<void> {
    const ids = new IdSource(SELFTEST);
    const id = ids.nextSpanId();
    yield* call(client.spanStart(id, ids.nextTraceId(), NO_PARENT, start, name, a));
    yield* call(client.spanEnd(id, end, 0, b));
  };
  yield* span('selftest.sanity', 10n, 20n, '', '');
  yield* waitFor(sys, S);
  const svc = 'svc=selftest-client\n';
  yield* call(client.counterInc('selftest.counter', svc, 3n));
  yield* call(client.counterInc('selftest.counter', svc, 4n));
  yield* call(client.gaugeSet('selftest.gauge', svc, 7n));
  yield* call(client.gaugeSet('selftest.gauge', svc, -3n));
  yield* call(client.histObserve('selftest.hist', svc, 1000n));
  yield* call(client.histObserve('selftest.hist', svc, 12000n));
  yield* span('selftest.span', 100n, 180n, 'phase=selftest\n', 'result=ok\n');
}

const INFO = '[INFO metricsd] ';
const EXPORTS = [
  ...Array<string>(16).fill('metrics snapshot counter name=selftest.cap value=1'),
  'tracing span end name=selftest.sanity parent_span_id=0 duration_ns=10 status=0 start_attrs= end_attrs=',
  'metrics snapshot counter name=selftest.counter value=3',
  'metrics snapshot counter name=selftest.counter value=7',
  'metrics snapshot gauge name=selftest.gauge value=7',
  'metrics snapshot gauge name=selftest.gauge value=-3',
  'metrics snapshot histogram name=selftest.hist count=1 sum=1000',
  'metrics snapshot histogram name=selftest.hist count=2 sum=13000',
  'tracing span end name=selftest.span parent_span_id=0 duration_ns=80 status=0 start_attrs=phase=selftest\\n end_attrs=result=ok\\n',
];

function run(options: MetricsdOptions, faults: Faults = {}): { world: World; statuses: (number | string)[] } {
  const statuses: (number | string)[] = [];
  const world = boot(options, (client, sys) => probe(client, sys, statuses), faults);
  return { world, statuses };
}

const STATUSES = [1, ...Array<number>(16).fill(0), 2, ...Array<number>(46).fill(4), 3, ...Array<number>(10).fill(0)];

describe('the self-test traffic under the kernel (sheet 40, section 21)', () => {
  it('OBS-9, OBS-15, OBS-21: the contract exports, retains and acknowledges all 24 events', () => {
    const { world, statuses } = run(METRICSD_CONTRACT);
    expect(statuses).toEqual(STATUSES);
    const exported = world.lines.filter((line) => /metrics snapshot|tracing/.test(line));
    expect(exported).toEqual(EXPORTS.map((line) => INFO + line));
    expect(world.lines.filter((line) => !exported.includes(line))).toEqual([
      `${INFO}core service log probe: metricsd`,
      'metricsd: ready',
      'metricsd: reject invalid_args',
      `${INFO}retention wal active`,
      `${INFO}retention wal verified`,
      'metricsd: reject over_limit',
      'metricsd: reject rate_limited',
    ]);
    expect(world.logged).toEqual(world.lines.filter((l) => l.startsWith(INFO)).map((l) => l.slice(INFO.length)));
    expect([...world.store.keys()]).toEqual(['/state/observability/metricsd/wal/seg_0']);
    expect(world.store.get('/state/observability/metricsd/wal/seg_0')?.split('\n')).toHaveLength(25);
    expect(world.notes.filter(([name]) => !name.startsWith('reject.'))).toEqual([]);
  });

  it('the reference: lines as measured, the ninth plain answer stops the store for good', () => {
    const { world, statuses } = run(REFERENCE);
    expect(statuses).toEqual(STATUSES);
    expect(world.lines.slice(0, 6)).toEqual([
      'metricsd: ready',
      'metricsd: reject invalid_args',
      INFO + (EXPORTS[0] ?? ''),
      `${INFO}retention wal active`,
      `${INFO}retention wal verified`,
      INFO + (EXPORTS[1] ?? ''),
    ]);
    expect(world.store.get('/state/observability/metricsd/wal/seg_0')).toHaveLength(369);
  });

  it('OBS-15: a store that dies costs at most 400 ms per event and no answer', () => {
    const { world, statuses } = run(METRICSD_CONTRACT, { storeDiesAfter: 3 });
    expect(statuses).not.toContain('error');
    expect(world.lines.filter((line) => line.includes('retention'))).toEqual([
      `${INFO}retention wal active`,
      `${INFO}retention wal verified`,
    ]);
    expect(new Map(world.notes).get('retention.record')).toBe(statuses.filter((s) => s === 0).length - 2 - 3);
  });

  it('a store that never answers: no retention line at all', () => {
    const { world, statuses } = run(METRICSD_CONTRACT, { storeDiesAfter: 0 });
    expect(statuses).not.toContain('error');
    expect(world.lines.join()).not.toContain('retention');
  });

  it('skipped waiting changes nothing', () => {
    for (const options of [METRICSD_CONTRACT, REFERENCE]) {
      const [a, b] = [run(options), run(options, { skipPolls: false })];
      expect(a).toEqual(b);
    }
  });
});
