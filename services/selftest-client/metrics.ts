/** Steps on metricsd: S41, S42 to S46, and the rate-window wait (sheet 80, sections 6.15 to 6.17). */
import { routeQuery, yields } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { IdSource, MetricsClient, NO_PARENT } from '../lib/nexus-metrics.ts';
import type { CallResult } from '../lib/nexus-metrics.ts';
import { spanId, traceId } from '../metricsd/wire.ts';
import { MS } from './io.ts';
import { queryLog, statsMoved } from './logd.ts';
import { senderServiceId } from './samgrd.ts';
import { NAME, OWN_SERVICE_ID } from './state.ts';
import type { SelftestState } from './state.ts';

const WINDOW_NS = 1_000 * MS;
const WINDOW_ROUNDS = 16_384;

/**
 * WAIT: a rate window passes (section 6.15). Contract: until it has passed. Reference: at most 16,384 yields, and false
 * when they run out before the second is over.
 */
export function* waitWindow(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const deadline = (yield sys.nsec()) + WINDOW_NS;
  const poll = sys.beginPoll();
  poll.deadline = deadline;
  poll.clockEvery = 1;
  poll.clockFirst = true;
  if (state.options.waitByRounds) poll.maxRounds = WINDOW_ROUNDS;
  yield sys.runPoll();
  return (yield sys.nsec()) >= deadline;
}

/** Status bytes of metricsd's answers (sheet 40, section 10). */
const STATUS = {
  OK: 0,
  INVALID_ARGS: 1,
  OVER_LIMIT: 2,
  RATE_LIMITED: 3,
  NOT_FOUND: 4,
} as const;

const CAP_CALLS = 32;
const SPAN_ENDS = 96;
const FOREIGN_SPAN = 0xdead_beef_0000_0001n;
const UNKNOWN_SPAN_BASE = 0x1000n;
const SETTLE_YIELDS = 64;

/** The status of a call; -1 where the call itself failed, which ends the probe. */
function statusOf(result: CallResult): number {
  return result.ok && result.status !== null ? result.status : -1;
}

/** The client of S41 to S46: created once, one nonce sequence. */
function* client(state: SelftestState): Call<MetricsClient | null> {
  if (state.metrics !== null) return state.metrics;
  const route = yield* routeQuery(state.sys, 'metricsd');
  if (route === null) return null;
  state.metrics = new MetricsClient(state.sys, route);
  return state.metrics;
}

/** S41: each reject class once, then a span that is accepted. */
export function* securityRejects(state: SelftestState): Call<boolean> {
  const metrics = yield* client(state);
  yield* state.verdict('metrics security rejects', metrics !== null && (yield* rejects(state, metrics)));
  return true;
}

function* rejects(state: SelftestState, metrics: MetricsClient): Call<boolean> {
  const sender = (yield* senderServiceId(state)) ?? OWN_SERVICE_ID;
  const foreign = yield* metrics.spanStart(spanId(FOREIGN_SPAN), traceId(1n), NO_PARENT, 1n, 'selftest.invalid', '');
  if (statusOf(foreign) !== STATUS.INVALID_ARGS) return false;
  if (!(yield* seriesCapHit(metrics))) return false;
  if (!(yield* rateLimitHit(metrics, sender))) return false;
  if (!(yield* waitWindow(state))) return false;
  const ids = new IdSource(sender);
  const span = ids.nextSpanId();
  const started = yield* metrics.spanStart(span, ids.nextTraceId(), NO_PARENT, 10n, 'selftest.sanity', '');
  if (statusOf(started) !== STATUS.OK) return false;
  return statusOf(yield* metrics.spanEnd(span, 20n, 0, '')) === STATUS.OK;
}

function* seriesCapHit(metrics: MetricsClient): Call<boolean> {
  for (let i = 0; i < CAP_CALLS; i++) {
    const labels = `id=${String(i).padStart(2, '0')}\n`;
    const status = statusOf(yield* metrics.counterInc('selftest.cap', labels, 1n));
    if (status < 0) return false;
    if (status === STATUS.OVER_LIMIT) return true;
  }
  return false;
}

function* rateLimitHit(metrics: MetricsClient, sender: bigint): Call<boolean> {
  for (let i = 0; i < SPAN_ENDS; i++) {
    const span = spanId(((sender & 0xffff_ffffn) << 32n) | (UNKNOWN_SPAN_BASE + BigInt(i)));
    const status = statusOf(yield* metrics.spanEnd(span, BigInt(i), 0, ''));
    if (status === STATUS.RATE_LIMITED) return true;
    if (status !== STATUS.NOT_FOUND) return false;
  }
  return false;
}

/** The markers of S42 to S46, printed together at the end of the probe. */
const SEMANTICS: readonly string[] = [
  'metrics counters',
  'metrics gauges',
  'metrics histograms',
  'tracing spans',
  'metrics retention',
];
const LABELS = `svc=${NAME}\n`;

/** S42 to S46: values sent are found in logd as exported records. */
export function* semantics(state: SelftestState): Call<boolean> {
  const metrics = yield* client(state);
  const verdicts = metrics === null ? null : yield* probe(state, metrics);
  for (const [i, marker] of SEMANTICS.entries()) yield* state.verdict(marker, verdicts?.[i] ?? false);
  return true;
}

/** One verdict per marker, or null where a call failed in transport. */
function* probe(state: SelftestState, metrics: MetricsClient): Call<readonly boolean[] | null> {
  const t0 = BigInt(yield state.sys.nsec());
  yield* statsMoved(state);
  const verdicts: boolean[] = [];
  const pairs = [
    {
      kind: 'counter',
      first: () => metrics.counterInc('selftest.counter', LABELS, 3n),
      second: () => metrics.counterInc('selftest.counter', LABELS, 4n),
      name: 'selftest.counter',
    },
    {
      kind: 'gauge',
      first: () => metrics.gaugeSet('selftest.gauge', LABELS, 7n),
      second: () => metrics.gaugeSet('selftest.gauge', LABELS, -3n),
      name: 'selftest.gauge',
    },
    {
      kind: 'histogram',
      first: () => metrics.histObserve('selftest.hist', LABELS, 1000n),
      second: () => metrics.histObserve('selftest.hist', LABELS, 12_000n),
      name: 'selftest.hist',
    },
  ];
  for (const pair of pairs) {
    const first = statusOf(yield* pair.first());
    const second = statusOf(yield* pair.second());
    if (first < 0 || second < 0) return null;
    const found = yield* exported(state, t0, `metrics snapshot ${pair.kind} name=${pair.name}`);
    verdicts.push(first === STATUS.OK && second === STATUS.OK && found);
  }
  const spans = yield* spanProbe(state, metrics, t0);
  if (spans === null) return null;
  verdicts.push(spans, yield* queryLog(state, 0n, 'retention wal verified'));
  yield* statsMoved(state);
  return verdicts;
}

function* spanProbe(state: SelftestState, metrics: MetricsClient, t0: bigint): Call<boolean | null> {
  const sender = (yield* senderServiceId(state)) ?? OWN_SERVICE_ID;
  const ids = new IdSource(sender);
  const span = ids.nextSpanId();
  const started = statusOf(
    yield* metrics.spanStart(span, ids.nextTraceId(), NO_PARENT, 100n, 'selftest.span', 'phase=selftest\n'),
  );
  const ended = statusOf(yield* metrics.spanEnd(span, 180n, 0, 'result=ok\n'));
  if (started < 0 || ended < 0) return null;
  const found = yield* exported(state, t0, 'tracing span end name=selftest.span');
  return started === STATUS.OK && ended === STATUS.OK && found;
}

function* exported(state: SelftestState, since: bigint, text: string): Call<boolean> {
  yield* yields(state.sys, SETTLE_YIELDS);
  return yield* queryLog(state, since, text);
}
