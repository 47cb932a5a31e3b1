/**
 * logd's frames (sheet 40, section 2): magic `LO`, versions 1 and 2 (u64 nonce), ops APPEND, QUERY, STATS. Requests are
 * decoded in the order of section 3 into bounded, branded fields; what does not decode gets its named reject class and the
 * shape of the answer. The last part reads answers, as clients do (section 7). logd writes them in `answers.ts`.
 */

export const MAGIC0 = 0x4c;
export const MAGIC1 = 0x4f;

/** Op byte of requests; responses have bit 7 set (LOG-7). */
export const LogOp = { APPEND: 1, QUERY: 2, STATS: 3 } as const;
export type LogOpCode = 1 | 2 | 3;
export const RESPONSE_BIT = 0x80;

/** Version byte: 2 adds the nonce (COR-5). */
export type LogVersion = 1 | 2;

/** Level byte on the wire (sheet 40, section 2.1). */
export const LogLevel = { ERROR: 0, WARN: 1, INFO: 2, DEBUG: 3, TRACE: 4 } as const;
export type WireLogLevel = 0 | 1 | 2 | 3 | 4;

/** Status byte of responses (sheet 40, section 2.1). TOO_LARGE is never sent. */
export const AppendStatus = {
  OK: 0,
  MALFORMED: 1,
  UNSUPPORTED: 2,
  TOO_LARGE: 3,
  INVALID_ARGS: 4,
  OVER_LIMIT: 5,
  RATE_LIMITED: 6,
} as const;
export type LogStatus = (typeof AppendStatus)[keyof typeof AppendStatus];

/** Scope of a record as it may stand on the wire: at most {@link SCOPE_MAX} bytes. */
export type Scope = Uint8Array & { readonly __brand: 'LogScope' };
export const SCOPE_MAX = 64;
/** Message of a record: at most {@link MESSAGE_MAX} bytes. */
export type Message = Uint8Array & { readonly __brand: 'LogMessage' };
export const MESSAGE_MAX = 256;
/** Fields of a record, opaque: at most {@link FIELDS_MAX} bytes. */
export type Fields = Uint8Array & { readonly __brand: 'LogFields' };
export const FIELDS_MAX = 512;
/** u64 that a v2 answer echoes; 0 in v1. */
export type LogNonce = bigint & { readonly __brand: 'LogNonce' };
/** u64 time of a record, ns since power-on. */
export type LogTime = bigint & { readonly __brand: 'LogTime' };
/** Position of a record in its journal, from 1; 0 on the wire means "not stored". */
export type RecordId = number & { readonly __brand: 'LogRecordId' };

/** Bytes before the record's bytes in APPEND v1 and v2, and the exact lengths of QUERY. */
export const APPEND_HEADER = { 1: 10, 2: 18 } as const;
export const QUERY_LEN = { 1: 14, 2: 22 } as const;
/** Shortest frame with a header at all, and with a nonce. */
export const HEADER_LEN = 4;
export const HEADER_V2_LEN = 12;

/** Longest answer of logd, bytes (sheet 40, section 2.2). */
export const RESPONSE_MAX = 512;
/** Bytes of a record's header inside a QUERY answer. */
export const RECORD_HEADER = 30;
/** Bytes of a QUERY answer before its records. */
export const PAGE_HEADER = { 1: 23, 2: 31 } as const;

export const U64_MASK = 0xffff_ffff_ffff_ffffn;
const NO_NONCE = 0n as LogNonce;
const NO_BYTES = new Uint8Array(0) as Readonly<Uint8Array> as Uint8Array;

/** Bounds and brands a scope; null when too long. */
export function scope(bytes: Uint8Array): Scope | null {
  return bytes.length > SCOPE_MAX ? null : (bytes as Scope);
}
/** Bounds and brands a message; null when too long. */
export function message(bytes: Uint8Array): Message | null {
  return bytes.length > MESSAGE_MAX ? null : (bytes as Message);
}
/** Bounds and brands fields; null when too long. */
export function fields(bytes: Uint8Array): Fields | null {
  return bytes.length > FIELDS_MAX ? null : (bytes as Fields);
}
/** The u64 that `value` is modulo 2^64. */
export function logNonce(value: bigint): LogNonce {
  return (value & U64_MASK) as LogNonce;
}
/** The u64 that `value` is modulo 2^64, in ns. */
export function logTime(value: bigint): LogTime {
  return (value & U64_MASK) as LogTime;
}

/** What every request carries beside its body. `nonce` is 0 in version 1. */
interface RequestHead {
  readonly version: LogVersion;
  readonly nonce: LogNonce;
}
/** A request as decoded. Byte fields are views of the frame. */
export type AppendRequest = RequestHead & {
  readonly op: typeof LogOp.APPEND;
  readonly level: WireLogLevel;
  readonly scope: Scope;
  readonly message: Message;
  readonly fields: Fields;
};
export type QueryRequest = RequestHead & {
  readonly op: typeof LogOp.QUERY;
  readonly since: LogTime;
  readonly maxCount: number;
};
export type StatsRequest = RequestHead & { readonly op: typeof LogOp.STATS };
export type LogRequest = AppendRequest | QueryRequest | StatsRequest;

/** Which layout answers a request: a frame that has no usable op is answered in the STATS shape (section 3). */
export interface AnswerShape extends RequestHead {
  readonly op: LogOpCode;
}

/** Why a frame did not decode (sections 3 and 17.1). */
export type DecodeReject = 'malformed' | 'unsupported' | 'invalid-args' | 'over-limit';

/** Result of {@link decodeRequest}. */
export type DecodedRequest =
  | { readonly ok: true; readonly request: LogRequest }
  | { readonly ok: false; readonly reject: DecodeReject; readonly shape: AnswerShape };

/** Decodes one request in the order of section 3, up to A4; total on any input, first failure wins. */
export function decodeRequest(frame: Uint8Array): DecodedRequest {
  if (frame.length < HEADER_LEN || frame[0] !== MAGIC0 || frame[1] !== MAGIC1)
    return headless('malformed', 1, NO_NONCE);
  const version = frame[2];
  if (version !== 1 && version !== 2) return headless('unsupported', 1, NO_NONCE);
  const view = viewOf(frame);
  if (version === 2 && frame.length < HEADER_V2_LEN) return headless('malformed', 2, NO_NONCE);
  const nonce = version === 2 ? (view.getBigUint64(4, true) as LogNonce) : NO_NONCE;
  switch (frame[3]) {
    case LogOp.APPEND:
      return decodeAppend(frame, view, version, nonce);
    case LogOp.QUERY:
      return decodeQuery(frame, view, version, nonce);
    case LogOp.STATS:
      return { ok: true, request: { op: LogOp.STATS, version, nonce } };
    default:
      return headless('unsupported', version, nonce);
  }
}

/** A reject that is answered in the STATS shape. */
function headless(reject: DecodeReject, version: LogVersion, nonce: LogNonce): DecodedRequest {
  return { ok: false, reject, shape: { op: LogOp.STATS, version, nonce } };
}

function rejectedAppend(reject: DecodeReject, version: LogVersion, nonce: LogNonce): DecodedRequest {
  return { ok: false, reject, shape: { op: LogOp.APPEND, version, nonce } };
}

function decodeQuery(frame: Uint8Array, view: DataView, version: LogVersion, nonce: LogNonce): DecodedRequest {
  if (frame.length !== QUERY_LEN[version]) {
    return { ok: false, reject: 'malformed', shape: { op: LogOp.QUERY, version, nonce } };
  }
  const at = version === 1 ? HEADER_LEN : HEADER_V2_LEN;
  const since = view.getBigUint64(at, true) as LogTime;
  return { ok: true, request: { op: LogOp.QUERY, version, nonce, since, maxCount: view.getUint16(at + 8, true) } };
}

function decodeAppend(frame: Uint8Array, view: DataView, version: LogVersion, nonce: LogNonce): DecodedRequest {
  const body = APPEND_HEADER[version];
  if (frame.length < body) return rejectedAppend('invalid-args', version, nonce);
  const at = version === 1 ? HEADER_LEN : HEADER_V2_LEN;
  const level = view.getUint8(at);
  if (level > LogLevel.TRACE) return rejectedAppend('invalid-args', version, nonce);
  const scopeLen = view.getUint8(at + 1);
  const messageLen = view.getUint16(at + 2, true);
  const fieldsLen = view.getUint16(at + 4, true);
  if (scopeLen > SCOPE_MAX || messageLen > MESSAGE_MAX || fieldsLen > FIELDS_MAX)
    return rejectedAppend('over-limit', version, nonce);
  const messageAt = body + scopeLen;
  const fieldsAt = messageAt + messageLen;
  if (frame.length !== fieldsAt + fieldsLen) return rejectedAppend('invalid-args', version, nonce);
  return {
    ok: true,
    request: {
      op: LogOp.APPEND,
      version,
      nonce,
      level: level as WireLogLevel,
      scope: frame.subarray(body, messageAt) as Scope,
      message: frame.subarray(messageAt, fieldsAt) as Message,
      fields: frame.subarray(fieldsAt) as Fields,
    },
  };
}

/** Encodes a request (section 2.3). A v1 request has no place for its nonce. */
export function encodeRequest(request: LogRequest): Uint8Array {
  switch (request.op) {
    case LogOp.APPEND:
      return appendFrame(request.version, request.nonce, request.level, request.scope, request.message, request.fields);
    case LogOp.QUERY: {
      const frame = head(request.version, LogOp.QUERY, request.nonce, QUERY_LEN[request.version]);
      const view = viewOf(frame);
      const at = request.version === 1 ? HEADER_LEN : HEADER_V2_LEN;
      view.setBigUint64(at, request.since, true);
      view.setUint16(at + 8, request.maxCount, true);
      return frame;
    }
    case LogOp.STATS:
      return head(request.version, LogOp.STATS, request.nonce, request.version === 1 ? HEADER_LEN : HEADER_V2_LEN);
  }
}

/** APPEND v1. The caller keeps the wire caps. */
export function encodeAppendV1(
  level: WireLogLevel,
  scope: Uint8Array,
  message: Uint8Array,
  fields: Uint8Array = NO_BYTES,
): Uint8Array {
  return appendFrame(1, NO_NONCE, level, scope, message, fields);
}

/** APPEND v2; as {@link encodeAppendV1} with the nonce that its acknowledgement echoes. */
export function encodeAppendV2(
  nonce: bigint,
  level: WireLogLevel,
  scope: Uint8Array,
  message: Uint8Array,
  fields: Uint8Array = NO_BYTES,
): Uint8Array {
  return appendFrame(2, nonce, level, scope, message, fields);
}

function appendFrame(
  version: LogVersion,
  nonce: bigint,
  level: WireLogLevel,
  scope: Uint8Array,
  message: Uint8Array,
  fields: Uint8Array,
): Uint8Array {
  const body = APPEND_HEADER[version];
  const frame = head(version, LogOp.APPEND, nonce, body + scope.length + message.length + fields.length);
  const at = version === 1 ? HEADER_LEN : HEADER_V2_LEN;
  frame[at] = level;
  frame[at + 1] = scope.length;
  frame[at + 2] = message.length;
  frame[at + 3] = message.length >> 8;
  frame[at + 4] = fields.length;
  frame[at + 5] = fields.length >> 8;
  frame.set(scope, body);
  frame.set(message, body + scope.length);
  frame.set(fields, body + scope.length + message.length);
  return frame;
}

function head(version: LogVersion, op: LogOpCode, nonce: bigint, length: number): Uint8Array {
  const frame = new Uint8Array(length);
  frame[0] = MAGIC0;
  frame[1] = MAGIC1;
  frame[2] = version;
  frame[3] = op;
  if (version === 2) viewOf(frame).setBigUint64(HEADER_LEN, nonce & U64_MASK, true);
  return frame;
}

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

// -- answers as clients read them (section 7) -------------------------------------------------------------------------

/** Why an answer's prefix could not be read, in the order of the checks. */
export type PrefixFault = 'truncated' | 'bad-magic' | 'bad-version' | 'bad-opcode';

/** Why a QUERY page could not be read (sheet 40, section 7; order of the checks as there). */
export type PageFault = PrefixFault | 'bad-nonce' | 'bad-status' | 'too-large';

/** What a page scan found; `maxTimestamp` 0 = no record. */
export interface PageScan {
  readonly count: number;
  readonly found: boolean;
  readonly maxTimestamp: bigint;
}

/** Prefix of a STATS answer; `nonce` 0 in version 1. */
export interface StatsPrefix {
  readonly status: number;
  readonly nonce: bigint;
  readonly total: bigint;
  readonly dropped: bigint;
}

/** Header of a QUERY answer; `nonce` 0 in version 1. Its records begin at `records`. */
export interface PageHeader extends StatsPrefix {
  readonly count: number;
  readonly records: number;
}

/** A record of a page: views of the frame. */
export interface PageRecord {
  readonly id: bigint;
  readonly timestamp: bigint;
  readonly level: number;
  readonly serviceId: bigint;
  readonly scope: Scope;
  readonly message: Message;
  readonly fields: Fields;
}

/** Bytes an answer needs before its prefix can be read. */
const APPEND_STATUS_MIN = 5;
const APPEND_PREFIX_MIN = 13;
const STATS_PREFIX_MIN = { 1: 21, 2: 29 } as const;

function prefixFault(frame: Uint8Array, min: number, version: LogVersion, op: LogOpCode): PrefixFault | null {
  if (frame.length < min) return 'truncated';
  if (frame[0] !== MAGIC0 || frame[1] !== MAGIC1) return 'bad-magic';
  if (frame[2] !== version) return 'bad-version';
  return frame[3] === (op | RESPONSE_BIT) ? null : 'bad-opcode';
}

/** Status of an APPEND v1 answer. */
export function appendStatusV1(frame: Uint8Array): number | PrefixFault {
  return prefixFault(frame, APPEND_STATUS_MIN, 1, LogOp.APPEND) ?? frame[4] ?? 0;
}

/** True for an APPEND v1 acknowledgement (sheet 40, section 2.4): `LO`, 1, 0x81, status. */
export function isAppendAckV1(frame: Uint8Array): boolean {
  return prefixFault(frame, APPEND_STATUS_MIN, 1, LogOp.APPEND) === null;
}

/** Status and nonce of an APPEND v2 answer. */
export function appendPrefixV2(frame: Uint8Array): { readonly status: number; readonly nonce: bigint } | PrefixFault {
  const fault = prefixFault(frame, APPEND_PREFIX_MIN, 2, LogOp.APPEND);
  return fault ?? { status: frame[4] ?? 0, nonce: viewOf(frame).getBigUint64(5, true) };
}

/** Nonce of any v2 answer, whatever its op; null for anything else. */
export function answerNonceV2(frame: Uint8Array): bigint | null {
  if (frame.length < APPEND_PREFIX_MIN || frame[0] !== MAGIC0 || frame[1] !== MAGIC1 || frame[2] !== 2) return null;
  return viewOf(frame).getBigUint64(5, true);
}

/** Prefix of a STATS answer of the version asked for. */
export function statsPrefix(frame: Uint8Array, version: LogVersion): StatsPrefix | PrefixFault {
  return prefixFault(frame, STATS_PREFIX_MIN[version], version, LogOp.STATS) ?? counters(frame, version);
}

/** Header of a QUERY answer of the version asked for. */
export function pageHeader(frame: Uint8Array, version: LogVersion): PageHeader | PrefixFault {
  const records = PAGE_HEADER[version];
  const fault = prefixFault(frame, records, version, LogOp.QUERY);
  return fault ?? { ...counters(frame, version), count: viewOf(frame).getUint16(records - 2, true), records };
}

function counters(frame: Uint8Array, version: LogVersion): StatsPrefix {
  const view = viewOf(frame);
  const at = version === 1 ? 5 : 13;
  return {
    status: frame[4] ?? 0,
    nonce: version === 1 ? 0n : view.getBigUint64(5, true),
    total: view.getBigUint64(at, true),
    dropped: view.getBigUint64(at + 8, true),
  };
}

/** The record at `at`, or why it can not be read. Its bytes end at `at + RECORD_HEADER` plus the three lengths. */
export function recordAt(frame: Uint8Array, at: number): PageRecord | 'truncated' | 'too-large' {
  if (frame.length - at < RECORD_HEADER) return 'truncated';
  const view = viewOf(frame);
  const scopeLen = view.getUint8(at + 25);
  const messageLen = view.getUint16(at + 26, true);
  const fieldsLen = view.getUint16(at + 28, true);
  if (scopeLen > SCOPE_MAX || messageLen > MESSAGE_MAX || fieldsLen > FIELDS_MAX) return 'too-large';
  const scopeAt = at + RECORD_HEADER;
  const messageAt = scopeAt + scopeLen;
  const fieldsAt = messageAt + messageLen;
  if (frame.length < fieldsAt + fieldsLen) return 'truncated';
  return {
    id: view.getBigUint64(at, true),
    timestamp: view.getBigUint64(at + 8, true),
    level: view.getUint8(at + 16),
    serviceId: view.getBigUint64(at + 17, true),
    scope: frame.subarray(scopeAt, messageAt) as Scope,
    message: frame.subarray(messageAt, fieldsAt) as Message,
    fields: frame.subarray(fieldsAt, fieldsAt + fieldsLen) as Fields,
  };
}

/** Scans a QUERY v1 page for a needle. */
export function decodeQueryPageV1(frame: Uint8Array, needle: Uint8Array): PageScan | PageFault {
  const header = pageHeader(frame, 1);
  return typeof header === 'string' ? header : scanPage(frame, header, needle);
}

/** Scans a QUERY v2 page for a needle; the nonce is compared before the status is looked at. */
export function decodeQueryPageV2(frame: Uint8Array, nonce: bigint, needle: Uint8Array): PageScan | PageFault {
  const header = pageHeader(frame, 2);
  if (typeof header === 'string') return header;
  return header.nonce === nonce ? scanPage(frame, header, needle) : 'bad-nonce';
}

/** As many records as the header declares; bytes behind them are not looked at. A record error discards the page. */
function scanPage(frame: Uint8Array, header: PageHeader, needle: Uint8Array): PageScan | PageFault {
  if (header.status !== AppendStatus.OK) return 'bad-status';
  let at = header.records;
  let found = false;
  let maxTimestamp = 0n;
  for (let i = 0; i < header.count; i++) {
    const record = recordAt(frame, at);
    if (typeof record === 'string') return record;
    at += RECORD_HEADER + record.scope.length + record.message.length + record.fields.length;
    if (record.timestamp > maxTimestamp) maxTimestamp = record.timestamp;
    found ||= holds(record.scope, needle) || holds(record.message, needle) || holds(record.fields, needle);
  }
  return { count: header.count, found, maxTimestamp };
}

/** True when a non-empty needle occurs in the bytes. */
function holds(bytes: Uint8Array, needle: Uint8Array): boolean {
  const first = needle[0];
  if (first === undefined) return false;
  const last = bytes.length - needle.length;
  for (let at = bytes.indexOf(first); at >= 0 && at <= last; at = bytes.indexOf(first, at + 1)) {
    let same = 1;
    while (same < needle.length && bytes[at + same] === needle[same]) same += 1;
    if (same === needle.length) return true;
  }
  return false;
}

/** Where a pager goes on after a page whose newest record has time `max`; null when it made no progress. */
export function nextSince(prev: bigint, max: bigint): bigint | null {
  return max === 0n || max <= prev ? null : max + 1n;
}
