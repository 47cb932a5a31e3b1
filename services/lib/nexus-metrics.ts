/**
 * nexus-metrics, the client side of metricsd (sheet 40, section 15): deterministic ids, the OS client, span guards and
 * best-effort helpers. Producers of the contract send through `metrics-producer.ts` instead of {@link MetricsClient}.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import {
  OP_COUNTER_INC,
  OP_GAUGE_SET,
  OP_HIST_OBSERVE,
  OP_PING,
  OP_SPAN_END,
  OP_SPAN_START,
  STATUS_OK,
  amount,
  attrs,
  decodeResponse,
  encodeRequest,
  gaugeValue,
  labels,
  metricName,
  nonce,
  spanId,
  spanName,
  spanTime,
  traceId,
} from '../metricsd/wire.ts';
import type { MetricsRequest, Nonce, ResponseReject, SpanId, TraceId } from '../metricsd/wire.ts';
import { recv, routeQuery, send } from './ipc.ts';
import type { Call, Route } from './ipc.ts';

/** Send and receive budget of one call, each, in ns. */
export const CALL_WAIT_NS = 500_000_000;

/** Mixed into the service id for trace ids: ASCII "TCR_ID". Only its low 32 bits have an effect. */
export const TRACE_MIX = 0x5443_525f_4944n;

const U64_MAX = 0xffff_ffff_ffff_ffffn;

function lo32(value: bigint): bigint {
  return value & 0xffff_ffffn;
}

/** The id with the low half of `service` above the low half of `local` (15.2). */
export function composeId(service: bigint, local: bigint): bigint {
  return (lo32(service) << 32n) | lo32(local);
}

/** Span and trace ids of one service, from one local counter that starts at 1 and saturates (OBS-8). */
export class IdSource {
  readonly #service: bigint;
  #next = 1n;

  constructor(service: bigint) {
    this.#service = service;
  }

  nextSpanId(): SpanId {
    return spanId(composeId(this.#service, this.#local()));
  }

  nextTraceId(): TraceId {
    return traceId(composeId(this.#service ^ TRACE_MIX, this.#local()));
  }

  #local(): bigint {
    const local = this.#next;
    if (local < U64_MAX) this.#next = local + 1n;
    return local;
  }
}

/** Why a call did not come to an answer (15.4); `budget` only in producers. */
export type ClientError =
  | { readonly kind: 'encode'; readonly reason: EncodeReject }
  | { readonly kind: 'transport' }
  | { readonly kind: 'decode'; readonly reason: ResponseReject }
  | { readonly kind: 'budget' };

/** Client-side bounds: an empty or long name, or long labels or attributes (17.3). */
export type EncodeReject = 'invalid-args' | 'over-limit';

/** `status` is metricsd's status byte (an answer, whatever it says), or null when the answer is not awaited. */
export type CallResult =
  { readonly ok: true; readonly status: number | null } | { readonly ok: false; readonly error: ClientError };

/** A name, labels or attributes; strings stand for their UTF-8 bytes. */
export type Text = string | Uint8Array;

const UTF8 = new TextEncoder();

function bytesOf(text: Text): Uint8Array {
  return typeof text === 'string' ? UTF8.encode(text) : text;
}

/** A request before its nonce is known and its fields are bounded. */
export type Draft =
  | {
      readonly op: typeof OP_COUNTER_INC | typeof OP_HIST_OBSERVE | typeof OP_GAUGE_SET;
      readonly name: Text;
      readonly labels: Text;
      readonly value: bigint;
    }
  | {
      readonly op: typeof OP_SPAN_START;
      readonly spanId: SpanId;
      readonly traceId: TraceId;
      readonly parentSpanId: SpanId;
      readonly startNs: bigint;
      readonly name: Text;
      readonly attrs: Text;
    }
  | {
      readonly op: typeof OP_SPAN_END;
      readonly spanId: SpanId;
      readonly endNs: bigint;
      readonly status: number;
      readonly attrs: Text;
    }
  | { readonly op: typeof OP_PING };

/** Bounds a draft's fields (15.1): the name first, then labels or attributes. */
export function bound(draft: Draft, n: Nonce): MetricsRequest | EncodeReject {
  switch (draft.op) {
    case OP_COUNTER_INC:
    case OP_GAUGE_SET:
    case OP_HIST_OBSERVE: {
      const name = metricName(bytesOf(draft.name));
      if (name === null) return 'invalid-args';
      const labelBytes = labels(bytesOf(draft.labels));
      if (labelBytes === null) return 'over-limit';
      if (draft.op === OP_GAUGE_SET) {
        return { op: draft.op, nonce: n, name, labels: labelBytes, value: gaugeValue(draft.value) };
      }
      return { op: draft.op, nonce: n, name, labels: labelBytes, value: amount(draft.value) };
    }
    case OP_SPAN_START: {
      const name = spanName(bytesOf(draft.name));
      if (name === null) return 'invalid-args';
      const attrBytes = attrs(bytesOf(draft.attrs));
      if (attrBytes === null) return 'over-limit';
      return { ...draft, nonce: n, startNs: spanTime(draft.startNs), name, attrs: attrBytes };
    }
    case OP_SPAN_END: {
      const attrBytes = attrs(bytesOf(draft.attrs));
      if (attrBytes === null) return 'over-limit';
      return { ...draft, nonce: n, endNs: spanTime(draft.endNs), status: draft.status & 0xff, attrs: attrBytes };
    }
    case OP_PING:
      return { op: OP_PING, nonce: n };
  }
}

/** What every sender of metrics offers: one method per operation, over one `call`. */
export abstract class MetricsBackend {
  /** Sends one request. */
  abstract call(draft: Draft): Call<CallResult>;

  /** Adds to a counter. */
  counterInc(name: Text, labelText: Text, value: bigint): Call<CallResult> {
    return this.call({ op: OP_COUNTER_INC, name, labels: labelText, value });
  }
  /** Replaces a gauge. */
  gaugeSet(name: Text, labelText: Text, value: bigint): Call<CallResult> {
    return this.call({ op: OP_GAUGE_SET, name, labels: labelText, value });
  }
  /** Adds an observation to a histogram. */
  histObserve(name: Text, labelText: Text, value: bigint): Call<CallResult> {
    return this.call({ op: OP_HIST_OBSERVE, name, labels: labelText, value });
  }
  /** Registers a live span. */
  spanStart(
    span: SpanId,
    trace: TraceId,
    parentSpanId: SpanId,
    startNs: bigint,
    name: Text,
    attrText: Text,
  ): Call<CallResult> {
    return this.call({ op: OP_SPAN_START, spanId: span, traceId: trace, parentSpanId, startNs, name, attrs: attrText });
  }
  /** Ends a span. */
  spanEnd(span: SpanId, endNs: bigint, status: number, attrText: Text): Call<CallResult> {
    return this.call({ op: OP_SPAN_END, spanId: span, endNs, status, attrs: attrText });
  }
  ping(): Call<CallResult> {
    return this.call({ op: OP_PING });
  }

  /**
   * Starts a span (one span id, then one trace id from `ids`) and guards its end. A status other than OK is
   * Decode(Malformed) and no guard (15.3). `endNow` gives the end time of a guard that is dropped; the OS's gives 0.
   */
  *spanGuard(
    ids: IdSource,
    parentSpanId: SpanId,
    startNs: bigint,
    name: Text,
    attrText: Text,
    endNow: () => bigint = () => 0n,
  ): Call<{ readonly ok: true; readonly guard: SpanGuard } | { readonly ok: false; readonly error: ClientError }> {
    const span = ids.nextSpanId();
    const trace = ids.nextTraceId();
    const started = yield* this.spanStart(span, trace, parentSpanId, startNs, name, attrText);
    if (!started.ok) return started;
    if (started.status !== null && started.status !== STATUS_OK) {
      return { ok: false, error: { kind: 'decode', reason: 'malformed' } };
    }
    return { ok: true, guard: new SpanGuard(this, span, endNow) };
  }
}

/**
 * The client of the OS: one route, one nonce sequence, one frame read per call and no matching (15.4). A response that
 * comes after its call has given up is what the next call reads, and so on until somebody drains the slot.
 */
export class MetricsClient extends MetricsBackend {
  readonly #sys: Sys;
  readonly #route: Route;
  #nextNonce = 1;

  constructor(sys: Sys, route: Route) {
    super();
    this.#sys = sys;
    this.#route = route;
  }

  /** Finds metricsd with the generic route query. Null is ClientError Transport. */
  static *connect(sys: Sys): Call<MetricsClient | null> {
    const route = yield* routeQuery(sys, 'metricsd');
    return route === null ? null : new MetricsClient(sys, route);
  }

  *call(draft: Draft): Call<CallResult> {
    // The nonce is used up even when the fields do not encode.
    const n = nonce(this.#nextNonce);
    this.#nextNonce = nonce(this.#nextNonce + 1);
    const request = bound(draft, n);
    if (typeof request === 'string') return { ok: false, error: { kind: 'encode', reason: request } };
    if ((yield* send(this.#sys, this.#route.send, encodeRequest(request), CALL_WAIT_NS)) < 0) return TRANSPORT;
    if ((yield* recv(this.#sys, this.#route.recv, CALL_WAIT_NS)) < 0) return TRANSPORT;
    const status = decodeResponse(this.#sys.message.payload, request.op, n);
    return typeof status === 'number' ? { ok: true, status } : { ok: false, error: { kind: 'decode', reason: status } };
  }
}

const TRANSPORT: CallResult = { ok: false, error: { kind: 'transport' } };

/** Ends its span once: explicitly, or when it is dropped. Whoever holds a guard calls one of the two. */
export class SpanGuard {
  readonly spanId: SpanId;
  readonly #backend: MetricsBackend;
  readonly #endNow: () => bigint;
  #armed = true;

  constructor(backend: MetricsBackend, span: SpanId, endNow: () => bigint) {
    this.spanId = span;
    this.#backend = backend;
    this.#endNow = endNow;
  }

  /** Ends the span. After a client error the guard is still armed when it goes, so its drop tries a second end. */
  *end(endNs: bigint, status: number, attrText: Text): Call<CallResult> {
    const result = yield* this.#backend.spanEnd(this.spanId, endNs, status, attrText);
    if (result.ok) this.#armed = false;
    yield* this.drop();
    return result;
  }

  /** Ends the span with status 0 and no attributes unless that has happened; errors are ignored. */
  *drop(): Call<void> {
    if (!this.#armed) return;
    this.#armed = false;
    yield* this.#backend.spanEnd(this.spanId, this.#endNow(), 0, '');
  }
}

// -- best effort (15.5): results are ignored ----------------------------------------------------------------------------

/** `counter!`: without `labelText` the labels are empty. */
export function* counter(backend: MetricsBackend, name: Text, value: bigint, labelText: Text = ''): Call<void> {
  yield* backend.counterInc(name, labelText, value);
}

/** `gauge!`. */
export function* gauge(backend: MetricsBackend, name: Text, value: bigint, labelText: Text = ''): Call<void> {
  yield* backend.gaugeSet(name, labelText, value);
}

/** `hist!`. */
export function* hist(backend: MetricsBackend, name: Text, value: bigint, labelText: Text = ''): Call<void> {
  yield* backend.histObserve(name, labelText, value);
}

/** The parent of a root span. */
export const NO_PARENT: SpanId = spanId(0n);

/**
 * Runs `body` inside a span and drops the guard after it. The body may end the guard itself; it gets null when the span
 * could not be started, and runs all the same.
 */
export function* withSpan<T>(
  backend: MetricsBackend,
  ids: IdSource,
  startNs: bigint,
  name: Text,
  body: (guard: SpanGuard | null) => Call<T>,
  parentSpanId: SpanId = NO_PARENT,
  attrText: Text = '',
): Call<T> {
  const started = yield* backend.spanGuard(ids, parentSpanId, startNs, name, attrText);
  const guard = started.ok ? started.guard : null;
  const result = yield* body(guard);
  if (guard !== null) yield* guard.drop();
  return result;
}
