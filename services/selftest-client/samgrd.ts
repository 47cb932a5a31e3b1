/** Steps on samgrd: S16, S53 to S56, and the sender-id exchange that S41 and S42 use (sheet 80, sections 6.7 and 6.20). */
import { Errno, NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { budgetOf, routeQuery } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii, hex16 } from '../lib/text.ts';
import { deadlineTimesOut, payloadRoundtrip } from './basics.ts';
import {
  MS,
  cloneInbox,
  concat,
  exchangeKc,
  le,
  receiveMatched,
  routeWithNonce,
  sendMoving,
  startsWith,
} from './io.ts';
import { routesTo } from './policy.ts';
import { OWN_SERVICE_ID, Slot } from './state.ts';
import type { SelftestState } from './state.ts';

const PAIR = { send: Slot.SAMGRD, recv: Slot.SAMGRD_RECV } as const;
const HEAD: readonly number[] = [0x53, 0x4d, 1];
const SENDS = 64;
const SEND_NS = 50 * MS;
const POLLS = 128;
const REPLY_BUFFER = 32;
const MALFORMED_NS = 200 * MS;
const MATCH_NS = 500 * MS;
const NOT_FOUND = 1;
/** FNV with the other basis, accepted beside the canonical id (sheet 80, Q6). */
const ALTERNATE_SERVICE_ID = 0x68c1_66c3_7bcd_7154n;

/** S16: register, lookup, unknown name, malformed frame. */
export function* samgrd(state: SelftestState): Call<boolean> {
  yield* state.say(`SELFTEST: samgrd slots ${hex16(Slot.SAMGRD)} ${hex16(Slot.SAMGRD_RECV)}`);
  yield* state.verdict('ipc routing samgrd', yield* routesTo(state, 'samgrd', PAIR));
  const routed = yield* routeWithNonce(state, 'vfsd');
  let vfsd: { readonly send: number; readonly recv: number } = {
    send: Slot.VFSD,
    recv: Slot.VFSD_RECV,
  };
  if (routed !== null && routed.status === 0) {
    vfsd = routed;
    yield* state.say(
      `SELFTEST: routing vfsd st=0x${hex16(routed.status)} send=0x${hex16(routed.send)} recv=0x${hex16(routed.recv)}`,
    );
  } else yield* state.say('SELFTEST: routing vfsd fallback slots');
  yield* register(state, vfsd);
  yield* state.verdict('samgrd v1 lookup', yield* lookupIs(state, 'vfsd', 0, vfsd));
  yield* state.verdict('samgrd v1 unknown', yield* lookupIs(state, 'does.not.exist', NOT_FOUND, null));
  const got = yield* exchangeKc(state, PAIR, ascii('bad'), MALFORMED_NS, MALFORMED_NS);
  if ('failed' in got) return false;
  yield* state.verdict(
    'samgrd v1 malformed',
    got.frame.length === 13 && startsWith(got.frame, HEAD) && got.frame[4] !== 0,
  );
  return true;
}

function* register(state: SelftestState, vfsd: { readonly send: number; readonly recv: number }): Call<void> {
  yield* state.say('SELFTEST: samgrd register send');
  const name = ascii('vfsd');
  const frame = concat(HEAD, [1, name.length], le(vfsd.send, 4), le(vfsd.recv, 4), name);
  const answer = yield* ask(state, frame, 0x81, 'register');
  if (answer === null) yield* state.say('SELFTEST: samgrd v1 register FAIL err');
  else if (answer[4] === 0) yield* state.say('SELFTEST: samgrd v1 register ok');
  else yield* state.say(`SELFTEST: samgrd v1 register FAIL st=0x${hex16(answer[4] ?? 0)}`);
}

function* lookupIs(
  state: SelftestState,
  name: string,
  status: number,
  slots: { readonly send: number; readonly recv: number } | null,
): Call<boolean> {
  const answer = yield* ask(state, concat(HEAD, [2, name.length], ascii(name)), 0x82, 'lookup');
  if (answer === null || answer[4] !== status) return false;
  if (slots === null) return true;
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  return view.getUint32(5, true) === slots.send && view.getUint32(9, true) === slots.recv;
}

/** Sends until a 13-byte answer of the op comes: 64 sends, 128 polls after each. */
function* ask(
  state: SelftestState,
  frame: Uint8Array,
  op: number,
  what: 'register' | 'lookup',
): Call<Uint8Array | null> {
  const { sys } = state;
  let sendFaultSaid = false;
  let answerSaid = false;
  for (let i = 0; i < SENDS; i++) {
    const deadline = (yield sys.nsec()) + SEND_NS;
    const sent = yield sys.send(Slot.SAMGRD, frame, 0, deadline);
    if (sent < 0 && !sendFaultSaid && what === 'register') {
      sendFaultSaid = true;
      yield* state.say(`SELFTEST: samgrd register send ${sendFault(sent)}`);
    }
    let round = 0;
    while (round < POLLS) {
      const poll = sys.beginPoll();
      poll.slots = [Slot.SAMGRD_RECV];
      poll.maxRounds = POLLS;
      poll.round = round;
      if ((yield sys.runPoll()) < 0) break;
      round = poll.round + 1;
      if ((yield sys.recv(Slot.SAMGRD_RECV, REPLY_BUFFER, NONBLOCK | TRUNCATE)) < 0) break;
      const answer = sys.message.payload;
      if (!answerSaid) {
        answerSaid = true;
        yield* state.say(`SELFTEST: samgrd ${what} rsp len ${hex16(answer.length)} head=${hex16(headOf(answer))}`);
      }
      if (answer.length === 13 && startsWith(answer, [...HEAD, op])) return answer;
    }
  }
  return null;
}

/** First 8 bytes as u64, first 4 as u32 for 4..7 bytes, else 0. */
function headOf(frame: Uint8Array): bigint {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length >= 8) return view.getBigUint64(0, true);
  return frame.length >= 4 ? BigInt(view.getUint32(0, true)) : 0n;
}

function sendFault(result: number): string {
  switch (-result) {
    case Errno.ENOSPC:
      return 'nospace';
    case Errno.ETIMEDOUT:
      return 'timeout';
    case Errno.EAGAIN:
      return 'wouldblock';
    case Errno.EINVAL:
      return 'unsupported';
    default:
      return 'kernel';
  }
}

/** S53: samgrd answers on the moved capability. */
export function* capMoveReply(state: SelftestState): Call<boolean> {
  yield* state.verdict('ipc cap move reply', yield* pingMoved(state));
  return true;
}

function* pingMoved(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const budget = yield* budgetOf(sys, MATCH_NS);
  const route = yield* routeQuery(sys, 'samgrd');
  if (route === null) return false;
  const nonce = state.nonces.samgrdPing.next();
  const clone = yield* cloneInbox(state);
  if (clone < 0) return false;
  if ((yield* sendMoving(state, route.send, concat(HEAD, [3], le(nonce, 8)), clone)) < 0) return false;
  // The clone has moved: this close fails harmlessly (sheet 80, Q7).
  yield sys.capClose(clone);
  return (yield* receiveMatched(state, nonce, budget)) !== null;
}

/** S54: samgrd sees this task's pid. */
export function* senderPid(state: SelftestState): Call<boolean> {
  yield* state.verdict('ipc sender pid', yield* pidIsOwn(state));
  return true;
}

function* pidIsOwn(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const pid = yield sys.getpid();
  const reply = yield* routeQuery(sys, '@reply');
  if (reply === null) return false;
  const budget = yield* budgetOf(sys, MATCH_NS);
  const route = yield* routeQuery(sys, 'samgrd');
  if (route === null) return false;
  const nonce = state.nonces.samgrdPid.next();
  const clone = yield sys.capClone(reply.send);
  if (clone < 0) return false;
  if ((yield* sendMoving(state, route.send, concat(HEAD, [4], le(pid, 4), le(nonce, 8)), clone)) < 0) return false;
  const frame = yield* receiveMatched(state, nonce, budget);
  if (frame === null || !startsWith(frame, [...HEAD, 0x84, 0])) return false;
  return new DataView(frame.buffer, frame.byteOffset).getUint32(5, true) === pid;
}

/** The S55 exchange: the service id samgrd sees, or null. */
export function* senderServiceId(state: SelftestState): Call<ServiceId | null> {
  const { sys } = state;
  const reply = yield* routeQuery(sys, '@reply');
  if (reply === null) return null;
  const budget = yield* budgetOf(sys, MATCH_NS);
  const route = yield* routeQuery(sys, 'samgrd');
  if (route === null) return null;
  const nonce = state.nonces.samgrdId.next();
  const clone = yield sys.capClone(reply.send);
  if (clone < 0) return null;
  if ((yield* sendMoving(state, route.send, concat(HEAD, [5], le(nonce, 8)), clone)) < 0) return null;
  const frame = yield* receiveMatched(state, nonce, budget, true);
  if (frame === null || !startsWith(frame, [...HEAD, 0x85, 0])) return null;
  return new DataView(frame.buffer, frame.byteOffset).getBigUint64(5, true) as ServiceId;
}

/** S55. */
export function* senderId(state: SelftestState): Call<boolean> {
  const seen: bigint | null = yield* senderServiceId(state);
  yield* state.verdict('ipc sender service_id', seen === OWN_SERVICE_ID || seen === ALTERNATE_SERVICE_ID);
  return true;
}

const SOAK_ROUNDS = 96;
const SOAK_SENDS = 64;
const SOAK_SEND_NS = 10 * MS;
const SOAK_MATCH_NS = 200 * MS;
const SOAK_DRAIN = 8;

/** S56: 96 rounds of deadline, round trip and ping, with the slot table left as it was. */
export function* soak(state: SelftestState): Call<boolean> {
  yield* state.verdict('ipc soak', yield* soakHolds(state));
  return true;
}

function* soakHolds(state: SelftestState): Call<boolean> {
  const route = yield* routeQuery(state.sys, 'samgrd');
  if (route === null) return false;
  for (let i = 0; i < SOAK_ROUNDS; i++) {
    if (!(yield* deadlineTimesOut(state))) return false;
    if (!(yield* payloadRoundtrip(state))) return false;
    if (!(yield* soakPing(state, route.send))) return false;
  }
  return yield* pingMoved(state);
}

function* soakPing(state: SelftestState, slot: number): Call<boolean> {
  const { sys } = state;
  const nonce = state.nonces.soak.next();
  const budget = yield* budgetOf(sys, SOAK_MATCH_NS);
  const clone = yield* cloneInbox(state);
  if (clone < 0) return false;
  const frame = concat(HEAD, [3], le(nonce, 8));
  let sent = -1;
  for (let i = 0; i < SOAK_SENDS && sent < 0; i++) {
    const deadline = (yield sys.nsec()) + SOAK_SEND_NS;
    sent = yield sys.send(slot, frame, 0, deadline, clone);
    if (sent < 0) yield sys.yieldCpu();
  }
  yield sys.capClose(clone);
  if (sent < 0) return false;
  if ((yield* receiveMatched(state, nonce, budget)) === null) return false;
  const spare = yield* cloneInbox(state);
  if (spare < 0) return false;
  yield sys.capClose(spare);
  for (let i = 0; i < SOAK_DRAIN; i++) {
    if ((yield sys.recv(Slot.INBOX_RECV, 512, NONBLOCK | TRUNCATE)) < 0) break;
  }
  return true;
}
