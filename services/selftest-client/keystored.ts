/** Steps on keystored: S01, S07, S11, S14, S32 (sheet 80, sections 5, 6.1 and 6.5). */
import { budgetOf, routeQuery } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii, hex16, sameBytes } from '../lib/text.ts';
import {
  MS,
  cloneInbox,
  concat,
  exchangeBg,
  exchangeKc,
  exchangeNb,
  receiveNb,
  routeWithNonce,
  startsWith,
  u16At,
} from './io.ts';
import { Slot } from './state.ts';
import type { SelftestState } from './state.ts';

const PING_NS = 2_000 * MS;
const PING_BUFFER = 256;
const PING_LAST_BUFFER = 64;
const RESOLVE_ATTEMPTS = 128;
const DEVICE_NS = 500 * MS;
const RELOAD_NS = 1_000 * MS;
const KEY_BYTES = 32;
const HEAD: readonly number[] = [0x4b, 0x53, 1];

/** keystored status values the steps ask for (sheet 60, section 3.2). */
const STATUS = {
  OK: 0,
  NOT_FOUND: 1,
  MALFORMED: 2,
  DENY: 5,
  KEY_EXISTS: 10,
  PRIVATE_EXPORT_DENIED: 12,
} as const;

interface Pair {
  readonly send: number;
  readonly recv: number;
}

const K1: Readonly<Uint8Array> = ascii('k1');
const V1: Readonly<Uint8Array> = ascii('v1');

/** The ping of section 6.1: frame, the answer's op and status, its value. */
const PING: readonly {
  readonly frame: Readonly<Uint8Array>;
  readonly op: number;
  readonly status: number;
  readonly value: Readonly<Uint8Array>;
}[] = [
  {
    frame: concat(HEAD, [1, 2, 2, 0], K1, V1),
    op: 0x81,
    status: STATUS.OK,
    value: new Uint8Array(0),
  },
  {
    frame: concat(HEAD, [2, 2, 0, 0], K1),
    op: 0x82,
    status: STATUS.OK,
    value: V1,
  },
  {
    frame: concat(HEAD, [3, 2, 0, 0], K1),
    op: 0x83,
    status: STATUS.OK,
    value: new Uint8Array(0),
  },
  {
    frame: concat(HEAD, [2, 2, 0, 0], K1),
    op: 0x82,
    status: STATUS.NOT_FOUND,
    value: new Uint8Array(0),
  },
  {
    frame: ascii('bad'),
    op: 0x82,
    status: STATUS.MALFORMED,
    value: new Uint8Array(0),
  },
];

/** S01: finds keystored by four ways and pings it. */
export function* resolveKeystored(state: SelftestState): Call<boolean> {
  for (let attempt = 0; attempt < RESOLVE_ATTEMPTS; attempt++) {
    const pair = yield* findKeystored(state);
    if (pair !== null) {
      state.keystored = { send: pair.send, recv: pair.recv };
      yield* state.say('SELFTEST: ipc routing keystored ok');
      yield* state.say('SELFTEST: keystored v1 ok');
      return true;
    }
    yield state.sys.yieldCpu();
  }
  return false;
}

function* findKeystored(state: SelftestState): Call<Pair | null> {
  const routed = yield* routeWithNonce(state, 'keystored');
  if (routed !== null && routed.status === 0 && routed.send !== 0 && routed.recv !== 0) {
    if (yield* ping(state, routed)) return routed;
  }
  const named = yield* routeQuery(state.sys, 'keystored');
  if (named !== null && (yield* ping(state, named))) return named;
  for (const pair of [
    { send: Slot.KEYSTORED, recv: Slot.KEYSTORED_RECV },
    { send: Slot.KEYSTORED_RECV, recv: Slot.KEYSTORED },
  ]) {
    if (yield* ping(state, pair)) return pair;
  }
  return null;
}

function* ping(state: SelftestState, pair: Pair): Call<boolean> {
  for (const [i, exchange] of PING.entries()) {
    const max = i === PING.length - 1 ? PING_LAST_BUFFER : PING_BUFFER;
    const frame = yield* exchangeNb(state, pair, exchange.frame as Uint8Array, PING_NS, max, (answer) => answer);
    if (frame === null || !isAnswer(frame, exchange.op) || frame[4] !== exchange.status) return false;
    if (!sameBytes(frame.subarray(7), exchange.value)) return false;
  }
  return true;
}

/** At least 7 bytes, magic, version and op right, length as the value length says. */
function isAnswer(frame: Uint8Array, op: number): boolean {
  return frame.length >= 7 && startsWith(frame, [...HEAD, op]) && frame.length === 7 + u16At(frame, 5);
}

/** S07: device key: generate, read the public half, be refused the private one (section 6.5). */
export function* deviceKey(state: SelftestState): Call<boolean> {
  const pair = yield* routeQuery(state.sys, 'keystored');
  if (pair === null) {
    yield* state.say('SELFTEST: device key pubkey FAIL (no route)');
    return true;
  }
  const failure = yield* readDeviceKey(state, pair);
  if (failure !== null) {
    yield* state.say(`SELFTEST: device key pubkey FAIL (${failure})`);
    return true;
  }
  yield* state.say('SELFTEST: device key pubkey ok');
  const got = yield* exchangeKc(state, pair, concat(HEAD, [13]), DEVICE_NS, DEVICE_NS);
  const marker = 'SELFTEST: device key private export rejected';
  if ('failed' in got) yield* state.say(`${marker} FAIL (${got.failed})`);
  else if (!isDeviceAnswer(got.frame)) yield* state.say(`${marker} FAIL (malformed)`);
  else if (got.frame[4] !== STATUS.PRIVATE_EXPORT_DENIED) {
    yield* state.say(`SELFTEST: device key private export status=${hex16(got.frame[4] ?? 0)}`);
    yield* state.say(`${marker} FAIL`);
  } else yield* state.say(`${marker} ok`);
  return true;
}

/** Exchanges 1 and 2 of S07; null on success, else the text in the failure line's parentheses. */
function* readDeviceKey(state: SelftestState, pair: Pair): Call<string | null> {
  const keygen = yield* exchangeKc(state, pair, concat(HEAD, [10]), DEVICE_NS, DEVICE_NS);
  if ('failed' in keygen) return `keygen ${keygen.failed}`;
  if (!isDeviceAnswer(keygen.frame)) return 'keygen malformed';
  const made = keygen.frame[4] ?? 0;
  if (made !== STATUS.OK && made !== STATUS.KEY_EXISTS) return `keygen status=${hex16(made)}`;
  const pubkey = yield* exchangeKc(state, pair, concat(HEAD, [11]), DEVICE_NS, DEVICE_NS);
  if ('failed' in pubkey) return `pubkey ${pubkey.failed}`;
  if (!isDeviceAnswer(pubkey.frame)) return 'pubkey malformed';
  if (pubkey.frame[4] !== STATUS.OK) return `pubkey status=${hex16(pubkey.frame[4] ?? 0)}`;
  const len = u16At(pubkey.frame, 5);
  if (len !== KEY_BYTES || pubkey.frame.length < 7 + KEY_BYTES) return `pubkey len=${hex16(len)}`;
  state.deviceKey = pubkey.frame.slice(7, 7 + KEY_BYTES);
  return null;
}

function isDeviceAnswer(frame: Uint8Array): boolean {
  return frame.length >= 7 && startsWith(frame, HEAD);
}

/** S11: keystored reloads the key from statefs; it must be the one of S07. */
export function* reloadDeviceKey(state: SelftestState): Call<boolean> {
  const saved = state.deviceKey;
  const failure = saved === null ? null : yield* reload(state, saved);
  if (failure !== null) yield* state.say(`SELFTEST: reload ${failure}`);
  yield* state.verdict('device key persist', saved !== null && failure === null);
  return true;
}

function* reload(state: SelftestState, saved: Uint8Array): Call<string | null> {
  const pair = { send: Slot.KEYSTORED, recv: Slot.KEYSTORED_RECV };
  const reloaded = yield* exchangeKc(state, pair, concat(HEAD, [14]), RELOAD_NS, RELOAD_NS);
  if ('failed' in reloaded) return `${reloaded.failed} fail`;
  if (!isDeviceAnswer(reloaded.frame)) return 'rsp malformed';
  if (reloaded.frame[4] !== STATUS.OK) return `rsp status=${hex16(reloaded.frame[4] ?? 0)}`;
  yield* state.say('SELFTEST: reload ok');
  const pubkey = yield* exchangeKc(state, pair, concat(HEAD, [11]), RELOAD_NS, RELOAD_NS);
  if ('failed' in pubkey) return `pubkey ${pubkey.failed} fail`;
  if (!isDeviceAnswer(pubkey.frame)) return 'pubkey rsp malformed';
  if (pubkey.frame[4] !== STATUS.OK) return `pubkey status=${hex16(pubkey.frame[4] ?? 0)}`;
  if (u16At(pubkey.frame, 5) !== KEY_BYTES || pubkey.frame.length < 7 + KEY_BYTES) return 'pubkey len mismatch';
  return sameBytes(pubkey.frame.subarray(7, 7 + KEY_BYTES), saved) ? null : 'pubkey mismatch';
}

const CAPMOVE_SEND_NS = 200 * MS;
const CAPMOVE_WAIT_NS = 1_000 * MS;
const CAPMOVE_BUFFER = 128;

/** S14: a GET of an absent key whose reply comes over a moved capability. */
export function* keystoredCapMove(state: SelftestState): Call<boolean> {
  yield* state.say('SELFTEST: keystored capmove begin');
  const failure = yield* capMove(state);
  if (failure !== null) yield* state.say(`SELFTEST: keystored capmove ${failure}`);
  yield* state.verdict('keystored capmove', failure === null);
  return true;
}

function* capMove(state: SelftestState): Call<string | null> {
  const { sys } = state;
  const clone = yield* cloneInbox(state);
  if (clone < 0) return 'clone fail';
  const key = ascii('capmove.miss');
  const frame = concat(HEAD, [2, key.length, 0, 0], key);
  const deadline = (yield sys.nsec()) + CAPMOVE_SEND_NS;
  if ((yield sys.send(state.keystored.send, frame, 0, deadline, clone)) < 0) return 'send fail';
  const found = yield* receiveNb(
    state,
    Slot.INBOX_RECV,
    yield* budgetOf(sys, CAPMOVE_WAIT_NS),
    CAPMOVE_BUFFER,
    (answer) => (answer.length >= 7 && startsWith(answer, [...HEAD, 0x82, STATUS.NOT_FOUND]) ? true : undefined),
  );
  return found === null ? 'no-reply' : null;
}

const SIGN_NS = 200 * MS;

/** S32: signing is denied to this task. */
export function* signDenied(state: SelftestState): Call<boolean> {
  const frame = concat(HEAD, [5, 8, 0, 0, 0], new Uint8Array(8));
  const pair = { send: Slot.KEYSTORED, recv: Slot.KEYSTORED_RECV };
  const answer = yield* exchangeBg(state, pair, frame, SIGN_NS, SIGN_NS);
  const denied = answer !== null && answer.length === 7 && startsWith(answer, [...HEAD, 0x85, STATUS.DENY]);
  yield* state.verdict('keystored sign denied', denied);
  return true;
}
