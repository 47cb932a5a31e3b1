/** Steps on logd: S28 to S31, S40, S47, S48 (sheet 80, sections 6.8, 6.14, 6.18). */
import { Lap } from '../../kernel-model/sys.ts';
import { budgetOf, routeQuery, sendWithin, yields } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii, hex16 } from '../lib/text.ts';
import { LogLevel, AppendStatus, decodeQueryPageV2, nextSince } from '../logd/wire.ts';
import { MS, awaitReply, cloneInbox, concat, exchangeBg, le, startsWith } from './io.ts';
import { NAME, Slot } from './state.ts';
import type { SelftestState } from './state.ts';

const SEND_NS = 2_000 * MS;
const QUERY_PAGES = 64;
const QUERY_EMPTY_PAGES = 8;
const QUERY_MAX_COUNT = 8;
const QUERY_TRIES = 128;
const QUERY_BUFFER = 1024;
const APPEND_TRIES = 64;
const APPEND_BUFFER = 64;
const STATS_BUFFER = 512;
const SETTLE_YIELDS = 64;
const BURST = 48;

/** S28: says where logd is, then lets it work. */
export function* logdSlots(state: SelftestState): Call<boolean> {
  yield* state.say(`SELFTEST: logd slots ${hex16(Slot.LOGD)} ${hex16(Slot.LOGD_RECV)}`);
  yield* yields(state.sys, SETTLE_YIELDS);
  return true;
}

/** S29: plain STATS; 0 on any failure. */
export function* recordCount(state: SelftestState): Call<boolean> {
  const nonce = state.nonces.statsPlain.next();
  const pair = { send: Slot.LOGD, recv: Slot.LOGD_RECV };
  const frame = concat([0x4c, 0x4f, 2, 3], le(nonce, 8));
  const answer = yield* exchangeBg(state, pair, frame, SEND_NS, SEND_NS, STATS_BUFFER);
  let total = 0n;
  if (answer !== null && answer.length >= 29 && startsWith(answer, [0x4c, 0x4f, 2, 0x83, AppendStatus.OK])) {
    const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
    if (view.getBigUint64(5, true) === nonce) total = view.getBigUint64(13, true);
  }
  yield* state.say(`SELFTEST: logd record count=${hex16(total)}`);
  return true;
}

/** STATS over a moved capability (6.19); its result is only used by S49. */
export function* statsMoved(state: SelftestState): Call<bigint | null> {
  const { sys } = state;
  const nonce = state.nonces.statsMoved.next();
  const clone = yield* cloneInbox(state);
  if (clone < 0) return null;
  const frame = concat([0x4c, 0x4f, 2, 3], le(nonce, 8));
  if ((yield* sendWithin(sys, Slot.LOGD, frame, yield* budgetOf(sys, SEND_NS), clone)) < 0) return null;
  yield sys.capClose(clone);
  const answer = yield* awaitReply(state, QUERY_TRIES, 256, (reply) =>
    reply.length >= 29 && startsWith(reply, [0x4c, 0x4f, 2, 0x83]) && nonceAt5(reply) === nonce ? reply : undefined,
  );
  if (answer === null || answer[4] !== AppendStatus.OK) return null;
  return new DataView(answer.buffer, answer.byteOffset).getBigUint64(13, true);
}

function nonceAt5(frame: Uint8Array): bigint {
  return new DataView(frame.buffer, frame.byteOffset).getBigUint64(5, true);
}

/** QL(since, needle): is there a record that holds the needle (section 6.8)? Errors count as "not found". */
export function* queryLog(state: SelftestState, since: bigint, needle: string): Call<boolean> {
  const { sys } = state;
  const wanted = ascii(needle);
  let from = since;
  let empty = 0;
  for (let page = 0; page < QUERY_PAGES; page++) {
    const nonce = state.nonces.query.next();
    const clone = yield* cloneInbox(state);
    if (clone < 0) return yield* queryFault(state, 'reply clone fail');
    const frame = concat([0x4c, 0x4f, 2, 2], le(nonce, 8), le(from, 8), le(QUERY_MAX_COUNT, 2));
    if ((yield* sendWithin(sys, Slot.LOGD, frame, yield* budgetOf(sys, SEND_NS), clone)) < 0) {
      return yield* queryFault(state, 'send fail');
    }
    const answer = yield* awaitReply(state, QUERY_TRIES, QUERY_BUFFER, (reply) =>
      reply.length >= 13 && startsWith(reply, [0x4c, 0x4f, 2, 0x82]) && nonceAt5(reply) === nonce ? reply : undefined,
    );
    if (answer === null) return yield* queryFault(state, 'recv fail');
    const scan = decodeQueryPageV2(answer, nonce, wanted);
    if (typeof scan === 'string') return yield* queryFault(state, 'rsp parse fail');
    if (scan.count === 0) {
      empty += 1;
      if (empty >= QUERY_EMPTY_PAGES) return false;
      yield sys.yieldCpu();
      continue;
    }
    empty = 0;
    if (scan.found) return true;
    const next = nextSince(from, scan.maxTimestamp);
    if (next === null) return false;
    from = next;
  }
  return false;
}

function* queryFault(state: SelftestState, text: string): Call<boolean> {
  yield* state.say(`SELFTEST: logd query ${text}`);
  return false;
}

/** S30. */
export function* anyAudit(state: SelftestState): Call<boolean> {
  const found = yield* queryLog(state, 0n, 'audit');
  yield* state.say(found ? 'SELFTEST: logd has audit records' : 'SELFTEST: logd has NO audit records');
  return true;
}

/** S31. */
export function* audits(state: SelftestState): Call<boolean> {
  yield* state.verdict('policy allow audit', yield* queryLog(state, 0n, 'audit v1 op=check decision=allow'));
  yield* state.verdict('policy deny audit', yield* queryLog(state, 0n, 'audit v1 op=check_cap decision=deny'));
  return true;
}

/** An APPEND over a moved capability (section 6.14): its status, or null after a diagnostic line. */
function* append(state: SelftestState, message: string, fields: Uint8Array): Call<number | null> {
  const { sys } = state;
  const nonce = state.nonces.append.next();
  const clone = yield* cloneInbox(state);
  if (clone < 0) return yield* appendFault(state, 'reply clone fail');
  const scope = ascii('selftest');
  const text = ascii(message);
  const frame = concat(
    [0x4c, 0x4f, 2, 1],
    le(nonce, 8),
    [LogLevel.INFO, scope.length],
    le(text.length, 2),
    le(fields.length, 2),
    scope,
    text,
    fields,
  );
  if ((yield* sendWithin(sys, Slot.LOGD, frame, yield* budgetOf(sys, SEND_NS), clone)) < 0) {
    return yield* appendFault(state, 'send fail');
  }
  const answer = yield* awaitReply(state, APPEND_TRIES, APPEND_BUFFER, (reply) =>
    reply.length >= 13 && startsWith(reply, [0x4c, 0x4f, 2, 0x81]) && nonceAt5(reply) === nonce ? reply : undefined,
  );
  if (answer === null) return yield* appendFault(state, 'recv fail');
  if (answer.length < 29) return yield* appendFault(state, 'rsp malformed');
  return answer[4] ?? 0;
}

function* appendFault(state: SelftestState, text: string): Call<null> {
  yield* state.say(`SELFTEST: logd append ${text}`);
  return null;
}

const OVER_LIMIT_FIELDS = 513;

/** S40: one reject of each class. */
export function* hardeningRejects(state: SelftestState): Call<boolean> {
  yield* state.verdict('logd hardening rejects', yield* rejectsHold(state));
  return true;
}

/** An append without an answer ends the probe: its statuses are what S40 is about. */
function* rejectsHold(state: SelftestState): Call<boolean> {
  const spoof = yield* append(state, 'logd spoof attempt', ascii('sender_service_id=9999\nk=v\n'));
  if (spoof === null) return false;
  const over = yield* append(state, 'logd over-limit attempt', new Uint8Array(OVER_LIMIT_FIELDS).fill(0x78));
  if (over === null) return false;
  for (let i = 0; i < BURST; i++) {
    const status = yield* append(state, 'logd rate burst', new Uint8Array(0));
    if (status === null) return false;
    if (status === AppendStatus.RATE_LIMITED) {
      return spoof === AppendStatus.INVALID_ARGS && over === AppendStatus.OVER_LIMIT;
    }
  }
  return false;
}

/** S47: a record appended is found. */
export function* logQuery(state: SelftestState): Call<boolean> {
  const status = yield* append(state, 'logd hello', new Uint8Array(0));
  if (status !== null && status !== AppendStatus.OK) yield* state.say('SELFTEST: logd append rsp bad-status');
  const appended = status === AppendStatus.OK;
  if (!appended) yield* state.say('SELFTEST: logd append probe FAIL');
  const found = yield* queryLog(state, 0n, 'logd hello');
  if (!found) yield* state.say('SELFTEST: logd query probe FAIL');
  yield* state.verdict('log query', appended && found);
  return true;
}

const GATE_NS = 5_000 * MS;
const GATE_YIELDS = 32;

/** S15: waits, at most 5 s, until dsoftbusd has logged that it is ready; without a route to logd the gate is open. */
export function* readinessGate(state: SelftestState): Call<boolean> {
  const { sys } = state;
  if ((yield* routeQuery(sys, 'logd')) === null) return true;
  const deadline = (yield sys.nsec()) + GATE_NS;
  // Nothing is remembered of a search but the nonces it took.
  const lap = new Lap(Infinity, [state.nonces.query]);
  lap.until = deadline;
  for (;;) {
    yield sys.lap(lap);
    if (yield* queryLog(state, 0n, 'dsoftbusd: ready')) break;
    if ((yield sys.nsec()) >= deadline) break;
    yield* yields(sys, GATE_YIELDS);
  }
  return true;
}

const PROBE_NS = 200 * MS;

/** Log probes of S49: who is asked, how, and what has to follow (section 6.19). */
const CORE_PROBES = [
  { name: 'samgrd', send: Slot.SAMGRD, recv: Slot.SAMGRD_RECV, frame: [0x53, 0x4d, 1, 0x7f], query: true, delta: true },
  {
    name: 'bundlemgrd',
    send: Slot.BUNDLEMGRD,
    recv: Slot.BUNDLEMGRD_RECV,
    frame: [0x42, 0x4e, 1, 0x7f],
    query: false,
    delta: true,
  },
  {
    name: 'policyd',
    send: Slot.POLICYD,
    recv: Slot.POLICYD_RECV,
    frame: [0x50, 0x4f, 1, 0x7f, 0, 0],
    query: true,
    delta: false,
  },
] as const;

/** S49: samgrd, bundlemgrd and policyd log through logd, and its total grows. */
export function* coreServices(state: SelftestState): Call<boolean> {
  const faults: string[] = [];
  const first = (yield* statsMoved(state)) ?? 0n;
  let total = first;
  for (const probe of CORE_PROBES) {
    const answer = yield* exchangeBg(state, probe, Uint8Array.from(probe.frame), PROBE_NS, PROBE_NS);
    const head = [probe.frame[0], probe.frame[1], 1, 0xff, 0];
    if (answer === null || answer.length < probe.frame.length || !startsWith(answer, head))
      faults.push(`${probe.name} probe`);
    yield* yields(state.sys, SETTLE_YIELDS);
    const now = (yield* statsMoved(state)) ?? total;
    const found = yield* queryLog(state, 0n, `core service log probe: ${probe.name}`);
    if (probe.query && !found) faults.push(`${probe.name} query`);
    if (probe.delta && now < total + 1n) faults.push(`${probe.name} delta`);
    total = now;
  }
  yield* queryLog(state, 0n, 'core service log probe: dsoftbusd');
  if (total < first + 2n) faults.push('stats delta');
  for (const fault of faults) yield* state.say(`SELFTEST: core log ${fault} FAIL`);
  yield* state.verdict('core services log', faults.length === 0);
  return true;
}

const SINK_TEXT = 'nexus-log sink-logd probe';

/** S48: a line of this task's own facade reaches logd. */
export function* sinkProbe(state: SelftestState): Call<boolean> {
  yield* state.log.configure(Slot.LOGD, Slot.INBOX_SEND, Slot.INBOX_RECV);
  yield* state.log.info(NAME, SINK_TEXT);
  yield* yields(state.sys, SETTLE_YIELDS);
  yield* state.verdict('nexus-log sink-logd', yield* queryLog(state, 0n, SINK_TEXT));
  return true;
}
