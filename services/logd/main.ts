/**
 * logd (sheet 40, sections 2 to 6): the journal that every service logs into, and its one-thread server loop.
 */
import { CAP_MOVE, NONBLOCK, TRUNCATE, serviceIdOf } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import {
  CTRL_RECV,
  CTRL_SEND,
  ROUTE_BUFFER,
  TIMEOUT,
  WOULD_BLOCK,
  decodeRouteResponse,
  encodeRouteGet,
  recvRequest,
  sendWithin,
} from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { hex, hex16 } from '../lib/text.ts';
import type { StatsSnapshot } from './journal.ts';
import { LogClock, LogdCore } from './server.ts';
import type { Handled, LogdCoreOptions, RejectClass } from './server.ts';
import { LogOp } from './wire.ts';

/** Plain options of one logd; {@link LOGD_CONTRACT} keeps the contract. */
export interface LogdOptions extends LogdCoreOptions {
  /** Receive buffer, bytes; longer frames are cut. */
  readonly receiveMax: number;
  /** Count rejects per class in notes. */
  readonly countRejects: boolean;
}

/** The contract (RFC-0024, LOG-1, LOG-4, LOG-8). */
export const LOGD_CONTRACT: LogdOptions = {
  receiveMax: 8192,
  lifetimeBudget: false,
  querySkips: false,
  countRejects: true,
  dropAppends: false,
};

/** Name of the service and of its route. */
export const LOGD = 'logd';
/** Slots that logd takes when init does not answer in time: the same that the route would give. */
export const FALLBACK_ROUTE: Route = { recv: 3, send: 4 };
/** Rounds of the self-route (sheet 40, section 6.1). */
export const ROUTE_ROUNDS = 64;
/** First nonce of the self-route's counter, and the length of an answer that carries one. */
const ROUTE_NONCE = 1;
const ROUTE_ANSWER_LEN = 17;

/** How long logd tries to answer over a moved capability, and the selftest client over its own endpoint, ns. */
export const CAP_REPLY_NS = 15_000_000_000;
export const SELFTEST_REPLY_NS = 2_000_000_000;

/** The only sender that is answered without a moved capability (sheet 40, section 6.2, Q-13). */
const SELFTEST = serviceIdOf('selftest-client');

const ERROR_TYPE = 'logd::os_lite::ServerError';

const REJECT_MARKER: Readonly<Record<RejectClass, string | null>> = {
  malformed: null,
  unsupported: null,
  'invalid-args': 'logd: reject invalid_args',
  'over-limit': 'logd: reject over_limit',
  'rate-limited': 'logd: reject rate_limited',
};

/** The service as a task program. */
export function logdProgram(options: LogdOptions = LOGD_CONTRACT): Program {
  return serviceProgram(LOGD, (sys) => run(sys, options));
}

function* run(sys: Sys, options: LogdOptions): Call<ServiceEnd> {
  let route = yield* routeSelf(sys);
  if (route === null) {
    yield sys.println('logd: route fallback');
    route = FALLBACK_ROUTE;
  }
  // LOG-10: the endpoint's slots are known. Twice, as the reference does.
  yield sys.println('logd: ready');
  yield sys.yieldCpu();
  yield sys.println('logd: ready');

  const core = new LogdCore(options);
  const clock = new LogClock();
  const say = new OnceLines(sys);
  const rejects = new Map<RejectClass, number>();
  // A client that queries until something is there gets the same pages, time and again: queries change nothing.
  const lap = new Lap();
  for (;;) {
    yield sys.lap(lap);
    const got = yield* recvRequest(sys, route.recv, 'forever', options.receiveMax);
    if (got === WOULD_BLOCK || got === TIMEOUT) {
      yield sys.yieldCpu();
      continue;
    }
    if (got < 0) return ERROR_TYPE;
    // The message object is reused by every later receive.
    const { payload, src, flags, serviceId } = sys.message;
    const moved = (flags & CAP_MOVE) !== 0;
    const op = payload[3] ?? 0;

    yield* say.once('logd: rx first');
    const ns = yield sys.nsec();
    const handled = core.handle(payload, serviceId, clock.stamp(ns < 0 ? null : BigInt(ns)));
    if (handled.op === LogOp.APPEND || handled.reject !== null) lap.state += 1;
    if (handled.reject !== null && options.countRejects) {
      const count = (rejects.get(handled.reject) ?? 0) + 1;
      rejects.set(handled.reject, count);
      sys.note(`reject.${handled.reject.replace('-', '_')}`, count);
    }
    if (handled.op === LogOp.APPEND && handled.reject === null) noteJournal(sys, core.stats());
    yield* appendLines(say, op, handled);
    if (!moved && serviceId === SELFTEST) yield* selftestLines(say, op, handled, core);

    if (moved) {
      if (!(yield* reply(sys, src, handled.response, CAP_REPLY_NS))) yield sys.println('logd: capmove reply send fail');
      yield sys.capClose(src);
    } else if (serviceId === SELFTEST) {
      yield* say.once('logd: allow selftest replies');
      if (!(yield* reply(sys, route.send, handled.response, SELFTEST_REPLY_NS))) {
        yield sys.println('logd: selftest reply send fail');
      }
    } else {
      yield* say.once('logd: drop nonself', ` sid=0x${hex16(serviceId)} op=0x${hex(op, 2)}`);
    }
  }
}

/** Counters of the journal for the person who watches. */
function noteJournal(sys: Sys, stats: StatsSnapshot): void {
  sys.note('journal.total', stats.total);
  sys.note('journal.dropped', stats.dropped);
  sys.note('journal.used_records', stats.usedRecords);
  sys.note('journal.used_bytes', stats.usedBytes);
}

/** Lines of a frame with op APPEND (section 6.2, steps 3 to 5). */
function* appendLines(say: OnceLines, op: number, handled: Handled): Call<void> {
  if (op !== LogOp.APPEND) return;
  if (handled.reject !== null) {
    const marker = REJECT_MARKER[handled.reject];
    if (marker !== null) yield* say.once(marker);
  }
  yield* say.once('logd: append rx');
  yield* say.once('logd: append rsp status=', `0x${hex(handled.response[4] ?? 0, 2)}`);
}

/** Bytes of a response that holds a v1 page count, and where that stands. */
const PAGE_COUNT_END = 23;

/** Lines of a frame that the selftest client sent without a capability (step 6). The op byte counts, not the version. */
function* selftestLines(say: OnceLines, op: number, handled: Handled, core: LogdCore): Call<void> {
  if (op === LogOp.APPEND) yield* say.once('logd: selftest append rx');
  if (op !== LogOp.QUERY) return;
  const { response } = handled;
  yield* say.once('logd: selftest query rx');
  yield* say.once('logd: used_records=', `0x${hex16(core.stats().usedRecords)}`);
  if (response.length < PAGE_COUNT_END) return;
  // At the v1 offsets whatever the version: in a v2 answer these are low bytes of `dropped`.
  const count = ((response[22] ?? 0) << 8) | (response[21] ?? 0);
  yield* say.once('logd: query rsp count=', `0x${hex(count, 4)}`);
}

/** Sends an answer, retrying while the queue is full, for at most `ns`. False: it did not go out. */
function* reply(sys: Sys, slot: number, response: Uint8Array, ns: number): Call<boolean> {
  const now = yield sys.nsec();
  // Without a clock there is no deadline to wait for: a full queue fails at once (section 24).
  if (now < 0) return (yield sys.send(slot, response, NONBLOCK)) >= 0;
  return (yield* sendWithin(sys, slot, response, { deadline: now + ns, round: 0 })) >= 0;
}

/**
 * Asks init for logd's own endpoints (section 6.1, step 1): sends anew in every round and reads at most one frame. Null:
 * no usable answer in {@link ROUTE_ROUNDS} rounds, or an answer that does not decode.
 */
function* routeSelf(sys: Sys): Call<Route | null> {
  const request = encodeRouteGet(LOGD, ROUTE_NONCE);
  for (let round = 0; round < ROUTE_ROUNDS; round++) {
    if ((yield sys.send(CTRL_SEND, request, NONBLOCK)) < 0) {
      yield sys.yieldCpu();
      continue;
    }
    const got = yield sys.recv(CTRL_RECV, ROUTE_BUFFER, NONBLOCK | TRUNCATE);
    if (got < 0) {
      if (got === WOULD_BLOCK) yield sys.yieldCpu();
      continue;
    }
    const frame = sys.message.payload;
    if (isAnswerTo(frame, ROUTE_NONCE)) {
      const response = decodeRouteResponse(frame.subarray(0, ROUTE_ANSWER_LEN - 4));
      if (response === null) return null;
      if (response.status === 0) return { send: response.send, recv: response.recv };
    }
    yield sys.yieldCpu();
  }
  return null;
}

function isAnswerTo(frame: Uint8Array, nonce: number): boolean {
  if (frame.length !== ROUTE_ANSWER_LEN) return false;
  return new DataView(frame.buffer, frame.byteOffset).getUint32(ROUTE_ANSWER_LEN - 4, true) === nonce;
}

/** UART lines that a process prints once (section 6.2). */
class OnceLines {
  readonly #sys: Sys;
  readonly #said = new Set<string>();

  constructor(sys: Sys) {
    this.#sys = sys;
  }

  /** Prints `line` and `rest` the first time that `line` comes. */
  *once(line: string, rest = ''): Call<void> {
    if (this.#said.has(line)) return;
    this.#said.add(line);
    yield this.#sys.println(line + rest);
  }
}
