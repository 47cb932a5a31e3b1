/**
 * The metricsd protocol `MT`, version 1 (sheet 40, section 10): layout, limits, codec. Requests come from any task that
 * holds a SEND capability, so decoding bounds every length before it touches the bytes behind it and names the reject
 * class instead of throwing. Names, labels and attributes are opaque bytes.
 */
import { assert, unreachable } from '../../sim/assert.ts';

/** Magic bytes "MT". */
export const MAGIC0 = 0x4d;
export const MAGIC1 = 0x54;
export const VERSION = 1;

export const OP_COUNTER_INC = 1;
export const OP_GAUGE_SET = 2;
export const OP_HIST_OBSERVE = 3;
export const OP_SPAN_START = 4;
export const OP_SPAN_END = 5;
export const OP_PING = 6;
/** Set in the op byte of every response. */
export const OP_RESPONSE = 0x80;

export const STATUS_OK = 0;
export const STATUS_INVALID_ARGS = 1;
export const STATUS_OVER_LIMIT = 2;
export const STATUS_RATE_LIMITED = 3;
export const STATUS_NOT_FOUND = 4;

/** Fixed part of every request: magic, version, op, nonce. */
export const HEADER_LEN = 8;
/** Fixed part of COUNTER_INC, GAUGE_SET and HIST_OBSERVE. */
export const METRIC_HEADER_LEN = 19;
/** Fixed part of SPAN_START. */
export const SPAN_START_HEADER_LEN = 43;
/** Fixed part of SPAN_END. */
export const SPAN_END_HEADER_LEN = 27;
/** Every response has this length. */
export const RESPONSE_LEN = 9;

/** Metric name, 1..48 bytes. */
export type MetricName = Uint8Array & { readonly __brand: 'MetricName' };
export const MAX_METRIC_NAME_LEN = 48;
/** Labels of a metric, at most 192 bytes. */
export type Labels = Uint8Array & { readonly __brand: 'Labels' };
export const MAX_LABELS_LEN = 192;
/** Span name, 1..48 bytes. */
export type SpanName = Uint8Array & { readonly __brand: 'SpanName' };
export const MAX_SPAN_NAME_LEN = 48;
/** Attributes of a span's start or end, at most 192 bytes. */
export type Attrs = Uint8Array & { readonly __brand: 'Attrs' };
export const MAX_ATTRS_LEN = 192;
/** u64: upper half = lower half of the owner's service id, lower half = the owner's local counter. */
export type SpanId = bigint & { readonly __brand: 'SpanId' };
/** u64; metricsd does not check it. */
export type TraceId = bigint & { readonly __brand: 'TraceId' };
/** u32, chosen by the client and echoed in the response. */
export type Nonce = number & { readonly __brand: 'Nonce' };
/** u64 amount of a counter or histogram, below 2^63 on the wire. */
export type Amount = bigint & { readonly __brand: 'Amount' };
/** i64 value of a gauge. */
export type GaugeValue = bigint & { readonly __brand: 'GaugeValue' };
/** u64 time in ns, in the clock of the client. */
export type SpanTime = bigint & { readonly __brand: 'SpanTime' };

/** A request as decoded; all bytes are copies. */
export type MetricsRequest =
  | {
      readonly op: typeof OP_COUNTER_INC | typeof OP_HIST_OBSERVE;
      readonly nonce: Nonce;
      readonly name: MetricName;
      readonly labels: Labels;
      readonly value: Amount;
    }
  | {
      readonly op: typeof OP_GAUGE_SET;
      readonly nonce: Nonce;
      readonly name: MetricName;
      readonly labels: Labels;
      readonly value: GaugeValue;
    }
  | {
      readonly op: typeof OP_SPAN_START;
      readonly nonce: Nonce;
      readonly spanId: SpanId;
      readonly traceId: TraceId;
      readonly parentSpanId: SpanId;
      readonly startNs: SpanTime;
      readonly name: SpanName;
      readonly attrs: Attrs;
    }
  | {
      readonly op: typeof OP_SPAN_END;
      readonly nonce: Nonce;
      readonly spanId: SpanId;
      readonly endNs: SpanTime;
      readonly status: number;
      readonly attrs: Attrs;
    }
  | { readonly op: typeof OP_PING; readonly nonce: Nonce };

/** Op byte of a request that decodes. */
export type MetricsOp = MetricsRequest['op'];

/** Why a frame did not decode (10.3). */
export type DecodeReject = 'malformed' | 'unsupported' | 'over-limit';

/** Result of {@link decodeRequest}. */
export type DecodedRequest =
  | { readonly ok: true; readonly request: MetricsRequest }
  | {
      readonly ok: false;
      readonly reject: DecodeReject;
      /** Byte 3 of the frame, 0 when it has none. */
      readonly op: number;
      /** The request's nonce where magic, version and the nonce bytes are there (COR-1), else 0. */
      readonly nonce: Nonce;
    };

const U64_MASK = 0xffff_ffff_ffff_ffffn;

/** Bounds and brands a metric name; null when empty or too long. */
export function metricName(bytes: Uint8Array): MetricName | null {
  return bytes.length === 0 || bytes.length > MAX_METRIC_NAME_LEN ? null : (bytes as MetricName);
}

/** Bounds and brands labels; null when too long. */
export function labels(bytes: Uint8Array): Labels | null {
  return bytes.length > MAX_LABELS_LEN ? null : (bytes as Labels);
}

/** Bounds and brands a span name; null when empty or too long. */
export function spanName(bytes: Uint8Array): SpanName | null {
  return bytes.length === 0 || bytes.length > MAX_SPAN_NAME_LEN ? null : (bytes as SpanName);
}

/** Bounds and brands attributes; null when too long. */
export function attrs(bytes: Uint8Array): Attrs | null {
  return bytes.length > MAX_ATTRS_LEN ? null : (bytes as Attrs);
}

/** The u64 that `value` is modulo 2^64. */
export function spanId(value: bigint): SpanId {
  return (value & U64_MASK) as SpanId;
}

/** The u64 that `value` is modulo 2^64. */
export function traceId(value: bigint): TraceId {
  return (value & U64_MASK) as TraceId;
}

/** The u64 that `value` is modulo 2^64, in ns. */
export function spanTime(value: bigint): SpanTime {
  return (value & U64_MASK) as SpanTime;
}

/** The u32 that `value` is modulo 2^32. */
export function nonce(value: number): Nonce {
  return (value >>> 0) as Nonce;
}

/**
 * The u64 that `value` is modulo 2^64. From 2^63 on it encodes as the i64 of the same bits, which the server rejects
 * (15.1).
 */
export function amount(value: bigint): Amount {
  return (value & U64_MASK) as Amount;
}

/** The i64 that `value` is modulo 2^64. */
export function gaugeValue(value: bigint): GaugeValue {
  return BigInt.asIntN(64, value) as GaugeValue;
}

function view(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

/** Decodes one request in the order of 10.3; total on any input, first failure wins. */
export function decodeRequest(frame: Uint8Array): DecodedRequest {
  const op = frame[3] ?? 0;
  const none = nonce(0);
  if (frame.length < HEADER_LEN || frame[0] !== MAGIC0 || frame[1] !== MAGIC1) {
    return { ok: false, reject: 'malformed', op, nonce: none };
  }
  if (frame[2] !== VERSION) return { ok: false, reject: 'unsupported', op, nonce: none };
  const data = view(frame);
  const request = decodeBody(op, nonce(data.getUint32(4, true)), frame, data);
  if (typeof request !== 'string') return { ok: true, request };
  return { ok: false, reject: request, op, nonce: nonce(data.getUint32(4, true)) };
}

function decodeBody(op: number, n: Nonce, frame: Uint8Array, data: DataView): MetricsRequest | DecodeReject {
  switch (op) {
    case OP_COUNTER_INC:
    case OP_GAUGE_SET:
    case OP_HIST_OBSERVE:
      return decodeMetric(op, n, frame, data);
    case OP_SPAN_START:
      return decodeSpanStart(n, frame, data);
    case OP_SPAN_END:
      return decodeSpanEnd(n, frame, data);
    case OP_PING:
      return frame.length === HEADER_LEN ? { op, nonce: n } : 'malformed';
    default:
      return 'unsupported';
  }
}

function decodeMetric(
  op: typeof OP_COUNTER_INC | typeof OP_GAUGE_SET | typeof OP_HIST_OBSERVE,
  n: Nonce,
  frame: Uint8Array,
  data: DataView,
): MetricsRequest | DecodeReject {
  if (frame.length < METRIC_HEADER_LEN) return 'malformed';
  const nameLen = data.getUint8(8);
  const labelsLen = data.getUint16(9, true);
  if (nameLen === 0 || nameLen > MAX_METRIC_NAME_LEN || labelsLen > MAX_LABELS_LEN) return 'over-limit';
  const nameEnd = METRIC_HEADER_LEN + nameLen;
  if (frame.length !== nameEnd + labelsLen) return 'malformed';
  const value = data.getBigInt64(11, true);
  if (op !== OP_GAUGE_SET && value < 0n) return 'malformed';
  const name = frame.slice(METRIC_HEADER_LEN, nameEnd) as MetricName;
  const labelBytes = frame.slice(nameEnd) as Labels;
  if (op === OP_GAUGE_SET) return { op, nonce: n, name, labels: labelBytes, value: value as GaugeValue };
  return { op, nonce: n, name, labels: labelBytes, value: value as Amount };
}

function decodeSpanStart(n: Nonce, frame: Uint8Array, data: DataView): MetricsRequest | DecodeReject {
  if (frame.length < SPAN_START_HEADER_LEN) return 'malformed';
  const nameLen = data.getUint8(40);
  const attrsLen = data.getUint16(41, true);
  if (nameLen === 0 || nameLen > MAX_SPAN_NAME_LEN || attrsLen > MAX_ATTRS_LEN) return 'over-limit';
  const nameEnd = SPAN_START_HEADER_LEN + nameLen;
  if (frame.length !== nameEnd + attrsLen) return 'malformed';
  return {
    op: OP_SPAN_START,
    nonce: n,
    spanId: data.getBigUint64(8, true) as SpanId,
    traceId: data.getBigUint64(16, true) as TraceId,
    parentSpanId: data.getBigUint64(24, true) as SpanId,
    startNs: data.getBigUint64(32, true) as SpanTime,
    name: frame.slice(SPAN_START_HEADER_LEN, nameEnd) as SpanName,
    attrs: frame.slice(nameEnd) as Attrs,
  };
}

function decodeSpanEnd(n: Nonce, frame: Uint8Array, data: DataView): MetricsRequest | DecodeReject {
  if (frame.length < SPAN_END_HEADER_LEN) return 'malformed';
  const attrsLen = data.getUint16(25, true);
  if (attrsLen > MAX_ATTRS_LEN) return 'over-limit';
  if (frame.length !== SPAN_END_HEADER_LEN + attrsLen) return 'malformed';
  return {
    op: OP_SPAN_END,
    nonce: n,
    spanId: data.getBigUint64(8, true) as SpanId,
    endNs: data.getBigUint64(16, true) as SpanTime,
    status: data.getUint8(24),
    attrs: frame.slice(SPAN_END_HEADER_LEN) as Attrs,
  };
}

/** Wire status of a decode reject (10.3, last column). */
export function decodeRejectStatus(reject: DecodeReject): number {
  return reject === 'over-limit' ? STATUS_OVER_LIMIT : STATUS_INVALID_ARGS;
}

/** Encodes a request of branded, hence bounded, fields. */
export function encodeRequest(request: MetricsRequest): Uint8Array {
  const frame = new Uint8Array(requestLength(request));
  const data = view(frame);
  frame[0] = MAGIC0;
  frame[1] = MAGIC1;
  frame[2] = VERSION;
  frame[3] = request.op;
  data.setUint32(4, request.nonce, true);
  switch (request.op) {
    case OP_COUNTER_INC:
    case OP_GAUGE_SET:
    case OP_HIST_OBSERVE:
      data.setUint8(8, request.name.length);
      data.setUint16(9, request.labels.length, true);
      data.setBigUint64(11, request.value & U64_MASK, true);
      frame.set(request.name, METRIC_HEADER_LEN);
      frame.set(request.labels, METRIC_HEADER_LEN + request.name.length);
      break;
    case OP_SPAN_START:
      data.setBigUint64(8, request.spanId, true);
      data.setBigUint64(16, request.traceId, true);
      data.setBigUint64(24, request.parentSpanId, true);
      data.setBigUint64(32, request.startNs, true);
      data.setUint8(40, request.name.length);
      data.setUint16(41, request.attrs.length, true);
      frame.set(request.name, SPAN_START_HEADER_LEN);
      frame.set(request.attrs, SPAN_START_HEADER_LEN + request.name.length);
      break;
    case OP_SPAN_END:
      data.setBigUint64(8, request.spanId, true);
      data.setBigUint64(16, request.endNs, true);
      data.setUint8(24, request.status);
      data.setUint16(25, request.attrs.length, true);
      frame.set(request.attrs, SPAN_END_HEADER_LEN);
      break;
    case OP_PING:
      break;
    default:
      return unreachable(request);
  }
  return frame;
}

function requestLength(request: MetricsRequest): number {
  switch (request.op) {
    case OP_COUNTER_INC:
    case OP_GAUGE_SET:
    case OP_HIST_OBSERVE:
      return METRIC_HEADER_LEN + request.name.length + request.labels.length;
    case OP_SPAN_START:
      return SPAN_START_HEADER_LEN + request.name.length + request.attrs.length;
    case OP_SPAN_END:
      return SPAN_END_HEADER_LEN + request.attrs.length;
    case OP_PING:
      return HEADER_LEN;
    default:
      return unreachable(request);
  }
}

/** Encodes the response to op byte `op` (10.2): 9 bytes for every op and status. */
export function encodeResponse(op: number, status: number, echoed: Nonce): Uint8Array {
  assert(status >= 0 && status <= 0xff, 'a status is one byte');
  const frame = new Uint8Array(RESPONSE_LEN);
  frame[0] = MAGIC0;
  frame[1] = MAGIC1;
  frame[2] = VERSION;
  frame[3] = op | OP_RESPONSE;
  frame[4] = status;
  view(frame).setUint32(5, echoed, true);
  return frame;
}

/** Why a response is not the answer to the request (15.4). */
export type ResponseReject = 'malformed' | 'unsupported';

/** Decodes the response to request (`op`, `expected`) in the order of 15.4; the status byte is returned as it is. */
export function decodeResponse(frame: Uint8Array, op: MetricsOp, expected: Nonce): number | ResponseReject {
  if (frame.length !== RESPONSE_LEN) return 'malformed';
  if (frame[0] !== MAGIC0 || frame[1] !== MAGIC1 || frame[2] !== VERSION) return 'malformed';
  if (frame[3] !== (op | OP_RESPONSE)) return 'unsupported';
  const data = view(frame);
  return data.getUint32(5, true) === expected ? data.getUint8(4) : 'malformed';
}

/** The nonce of any metricsd response, null for other frames: how a shared inbox tells its frames apart. */
export function responseNonce(frame: Uint8Array): Nonce | null {
  if (frame.length !== RESPONSE_LEN || frame[0] !== MAGIC0 || frame[1] !== MAGIC1 || frame[2] !== VERSION) return null;
  if (((frame[3] ?? 0) & OP_RESPONSE) === 0) return null;
  return nonce(view(frame).getUint32(5, true));
}
