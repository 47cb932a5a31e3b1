/** logd's answers (sheet 40, sections 2.4 to 2.6). */
import type { LogRecord, StatsSnapshot } from './journal.ts';
import { AppendStatus, LogOp, MAGIC0, MAGIC1, PAGE_HEADER, RECORD_HEADER, RESPONSE_BIT, RESPONSE_MAX } from './wire.ts';
import type { AnswerShape, LogStatus } from './wire.ts';

/** Lengths of the answers that have one, by version. */
export const APPEND_ANSWER = { 1: 21, 2: 29 } as const;
export const STATS_ANSWER = { 1: 37, 2: 45 } as const;
/** Largest count a page can declare. */
const COUNT_MAX = 0xffff;

/** APPEND answer; `id` 0 where nothing was stored. */
export function encodeAppendAnswer(shape: AnswerShape, status: LogStatus, id: number, dropped: number): Uint8Array {
  const frame = head(shape, LogOp.APPEND, status, APPEND_ANSWER[shape.version]);
  putPair(new DataView(frame.buffer), bodyAt(shape), id, dropped);
  return frame;
}

/** STATS answer; also the answer to frames whose op nobody knows. */
export function encodeStatsAnswer(shape: AnswerShape, status: LogStatus, stats: StatsSnapshot): Uint8Array {
  const frame = head(shape, LogOp.STATS, status, STATS_ANSWER[shape.version]);
  const view = new DataView(frame.buffer);
  const at = bodyAt(shape);
  putPair(view, at, stats.total, stats.dropped);
  view.setUint32(at + 16, stats.capRecords, true);
  view.setUint32(at + 20, stats.capBytes, true);
  view.setUint32(at + 24, stats.usedRecords, true);
  view.setUint32(at + 28, stats.usedBytes, true);
  return frame;
}

/** QUERY answer without records, for errors. */
export function encodeEmptyPage(shape: AnswerShape, status: LogStatus, stats: StatsSnapshot): Uint8Array {
  const frame = head(shape, LogOp.QUERY, status, PAGE_HEADER[shape.version]);
  putPair(new DataView(frame.buffer), bodyAt(shape), stats.total, stats.dropped);
  return frame;
}

/**
 * QUERY page of at most {@link RESPONSE_MAX} bytes and `maxCount` of the records, in their order (section 2.6). A record
 * that does not fit ends the page, so that a pager that goes on after the newest record it saw meets it again (LOG-8); with
 * `skips` it is left out and smaller ones behind it may follow.
 */
export function encodePage(
  shape: AnswerShape,
  stats: StatsSnapshot,
  records: Iterable<LogRecord>,
  maxCount: number,
  skips: boolean,
): Uint8Array {
  const page: LogRecord[] = [];
  const most = Math.min(maxCount, COUNT_MAX);
  const start = PAGE_HEADER[shape.version];
  let length: number = start;
  if (most > 0) {
    for (const record of records) {
      const end = length + RECORD_HEADER + record.scope.length + record.message.length + record.fields.length;
      if (end > RESPONSE_MAX) {
        if (skips) continue;
        break;
      }
      length = end;
      if (page.push(record) >= most) break;
    }
  }
  const frame = head(shape, LogOp.QUERY, AppendStatus.OK, length);
  const view = new DataView(frame.buffer);
  const at = bodyAt(shape);
  putPair(view, at, stats.total, stats.dropped);
  view.setUint16(at + 16, page.length, true);
  let next: number = start;
  for (const record of page) next = putRecord(frame, view, next, record);
  return frame;
}

/** Writes a record (section 2.5); returns where the next one begins. */
function putRecord(frame: Uint8Array, view: DataView, at: number, record: LogRecord): number {
  const { scope, message, fields } = record;
  putU64(view, at, record.id);
  view.setBigUint64(at + 8, record.timestamp, true);
  view.setUint8(at + 16, record.level);
  view.setBigUint64(at + 17, record.serviceId, true);
  view.setUint8(at + 25, scope.length);
  view.setUint16(at + 26, message.length, true);
  view.setUint16(at + 28, fields.length, true);
  let next = at + RECORD_HEADER;
  for (const part of [scope, message, fields]) {
    frame.set(part, next);
    next += part.length;
  }
  return next;
}

/** Where an answer's body begins: behind the status, and behind the nonce that v2 echoes (COR-1). */
function bodyAt(shape: AnswerShape): number {
  return shape.version === 1 ? 5 : 13;
}

function head(shape: AnswerShape, op: AnswerShape['op'], status: LogStatus, length: number): Uint8Array {
  const frame = new Uint8Array(length);
  frame[0] = MAGIC0;
  frame[1] = MAGIC1;
  frame[2] = shape.version;
  frame[3] = op | RESPONSE_BIT;
  frame[4] = status;
  if (shape.version === 2) new DataView(frame.buffer).setBigUint64(5, shape.nonce, true);
  return frame;
}

/** The two counters that every answer begins with. */
function putPair(view: DataView, at: number, first: number, second: number): void {
  putU64(view, at, first);
  putU64(view, at + 8, second);
}

/** A counter below 2^53 as u64. */
function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}
