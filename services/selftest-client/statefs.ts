/** Steps on statefsd: S08 to S10 (sheet 80, section 6.6), over version 2 frames with this task's own nonces. */
import { Errno, NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { send } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii, hex16, sameBytes } from '../lib/text.ts';
import {
  OP_PUT,
  OP_REOPEN,
  OP_SYNC,
  STATUS_ACCESS_DENIED,
  STATUS_OK,
  decodeGetReply,
  decodeListReply,
  decodeStatusReply,
  encodeGet,
  encodeList,
  encodePut,
  encodeReopen,
  encodeSync,
} from '../statefsd/wire.ts';
import type { EncodeFault } from '../statefsd/wire.ts';
import { MS, startsWith } from './io.ts';
import { Slot } from './state.ts';
import type { SelftestState } from './state.ts';

const SEND_NS = 2_000 * MS;
const RECV_NS = 2_000 * MS;
const REPLY_MAX = 512;
const HEAD: readonly number[] = [0x53, 0x46, 2];

const PING_KEY = '/state/selftest/ping';
const PREFIX = '/state/selftest/';
const LIST_LIMIT = 16;
const DENIED_KEY = '/state/keystore/deny';
const PERSIST_KEY = '/state/selftest/persist';

/** One exchange; null after its diagnostics were printed. */
function* exchange(state: SelftestState, frame: Uint8Array | EncodeFault, nonce: bigint): Call<Uint8Array | null> {
  const { sys } = state;
  if (typeof frame === 'string') return null;
  const sent = yield* send(sys, Slot.STATEFSD, frame, SEND_NS);
  if (sent < 0) {
    yield* state.say(`SELFTEST: statefs send ${sendFault(sent)}`);
    yield* state.say('SELFTEST: statefs send FAIL');
    return null;
  }
  const deadline = (yield sys.nsec()) + RECV_NS;
  for (;;) {
    const poll = sys.beginPoll();
    poll.slots = [Slot.STATEFSD_RECV];
    poll.deadline = deadline;
    poll.clockEvery = 1;
    poll.clockFirst = true;
    if ((yield sys.runPoll()) < 0) {
      yield* state.say('SELFTEST: statefs recv timeout');
      return null;
    }
    if ((yield sys.recv(Slot.STATEFSD_RECV, REPLY_MAX, NONBLOCK | TRUNCATE)) < 0) {
      yield sys.yieldCpu();
      continue;
    }
    const answer = sys.message.payload;
    if (answer.length >= 13 && startsWith(answer, HEAD) && nonceAt5(answer) === nonce) return answer;
  }
}

function sendFault(result: number): string {
  switch (-result) {
    case Errno.EAGAIN:
      return 'would-block';
    case Errno.ETIMEDOUT:
      return 'timeout';
    case Errno.ENOSPC:
      return 'no-space';
    default:
      return 'kernel-error';
  }
}

function nonceAt5(frame: Uint8Array): bigint {
  return new DataView(frame.buffer, frame.byteOffset).getBigUint64(5, true);
}

/** S08: a value put is got and listed. */
export function* statefsPut(state: SelftestState): Call<boolean> {
  yield* state.verdict('statefs put', yield* putGetList(state));
  return true;
}

function* putGetList(state: SelftestState): Call<boolean> {
  const value = ascii('ok');
  const put = state.nonces.statefs.next();
  const stored = yield* exchange(state, encodePut(put, PING_KEY, value), put);
  if (stored === null || decodeStatusReply(stored, OP_PUT, put) !== STATUS_OK) return false;
  const get = state.nonces.statefs.next();
  const got = yield* exchange(state, encodeGet(get, PING_KEY), get);
  if (got === null) return false;
  const read = decodeGetReply(got, get);
  if (read === null || read.status !== STATUS_OK) {
    const err = hex16(read?.status ?? 0);
    yield* state.say(`SELFTEST: statefs persist get err=${err} ${shape(got)})`);
    return false;
  }
  if (!sameBytes(read.value, value)) return false;
  const list = state.nonces.statefs.next();
  const listed = yield* exchange(state, encodeList(list, PREFIX, LIST_LIMIT), list);
  if (listed === null) return false;
  const keys = decodeListReply(listed, list);
  return keys !== null && keys.status === STATUS_OK && keys.keys.includes(PING_KEY);
}

/** S09: the keystore's keys are not this task's. */
export function* statefsUnauthorized(state: SelftestState): Call<boolean> {
  const nonce = state.nonces.statefs.next();
  const answer = yield* exchange(state, encodeGet(nonce, DENIED_KEY), nonce);
  const marker = 'SELFTEST: statefs unauthorized access rejected';
  const read = answer === null ? null : decodeGetReply(answer, nonce);
  if (read?.status === STATUS_ACCESS_DENIED) {
    yield* state.say(marker);
    return true;
  }
  if (answer !== null) {
    yield* state.say(
      read === null
        ? `SELFTEST: statefs unauthorized rsp_len=${hex16(answer.length)})`
        : `SELFTEST: statefs unauthorized status=${hex16(read.status)})`,
    );
  }
  yield* state.say(`${marker} FAIL`);
  return true;
}

/** S10: a value survives SYNC and REOPEN. */
export function* statefsPersist(state: SelftestState): Call<boolean> {
  yield* state.say('SELFTEST: statefs persist begin');
  const passed = yield* persist(state);
  yield* state.verdict('statefs persist', passed);
  return true;
}

function* persist(state: SelftestState): Call<boolean> {
  const value = ascii('persist-ok');
  const steps = [
    {
      what: 'put',
      op: OP_PUT,
      frame: (nonce: bigint) => encodePut(nonce, PERSIST_KEY, value),
    },
    { what: 'sync', op: OP_SYNC, frame: (nonce: bigint) => encodeSync(nonce) },
    {
      what: 'reopen',
      op: OP_REOPEN,
      frame: (nonce: bigint) => encodeReopen(nonce),
    },
  ] as const;
  for (const step of steps) {
    const nonce = state.nonces.statefs.next();
    const answer = yield* exchange(state, step.frame(nonce), nonce);
    if (answer === null) return false;
    const status = decodeStatusReply(answer, step.op, nonce);
    if (status === null) {
      yield* state.say(`SELFTEST: statefs persist ${step.what} ${shape(answer)})`);
      return false;
    }
    if (status !== STATUS_OK) {
      yield* state.say(`SELFTEST: statefs persist ${step.what} status=${hex16(status)})`);
      return false;
    }
    yield* state.say(`SELFTEST: statefs persist ${step.what} ok`);
  }
  const nonce = state.nonces.statefs.next();
  const answer = yield* exchange(state, encodeGet(nonce, PERSIST_KEY), nonce);
  if (answer === null) return false;
  const read = decodeGetReply(answer, nonce);
  if (read !== null && read.status === STATUS_OK && sameBytes(read.value, value)) return true;
  yield* state.say('SELFTEST: statefs persist get mismatch');
  return false;
}

function shape(frame: Uint8Array): string {
  return `rsp_len=${hex16(frame.length)} b0=${hex16(frame[0] ?? 0)} b3=${hex16(frame[3] ?? 0)}`;
}
