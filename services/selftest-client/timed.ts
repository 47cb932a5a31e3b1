/** Step S04: timed coalesces deadlines, bounds registrations and refuses nonsense (sheet 80, section 6.3). */
import type { Call, RouteResponse } from '../lib/ipc.ts';
import { MS, concat, exchangeKc, le, routeWithNonce, startsWith } from './io.ts';
import type { SelftestState } from './state.ts';

const ROUTE_TRIES = 64;
const CALL_NS = 200 * MS;
const SLEEP_NS = 250 * MS;
const HEAD: readonly number[] = [0x54, 0x4d, 1];
const OP = { REGISTER: 1, CANCEL: 2, SLEEP_UNTIL: 3 } as const;
const STATUS = { OK: 0, INVALID: 1, OVER_LIMIT: 2 } as const;
/** Windows of QoS Normal and Interactive, ns. */
const WINDOW_NORMAL = 4_000_000;
const WINDOW_INTERACTIVE = 1_000_000;
const MANY = 64;

interface Registered {
  readonly status: number;
  readonly id: number;
  readonly at: number;
}

/** S04. */
export function* timedCoalesce(state: SelftestState): Call<boolean> {
  yield* state.verdict('timed coalesce', yield* probe(state));
  return true;
}

function* probe(state: SelftestState): Call<boolean> {
  const route = yield* findTimed(state);
  if (route === null) return false;
  const now = yield state.sys.nsec();
  const first = yield* register(state, route, 0x5449_0001, 1, now + 20_500_000);
  if (!accepted(first) || first.at !== align(now + 20_500_000, WINDOW_NORMAL)) return false;
  const second = yield* register(state, route, 0x5449_0002, 2, now + 21_100_000);
  if (!accepted(second) || second.at !== align(now + 21_100_000, WINDOW_INTERACTIVE)) return false;
  const woke = yield* sleep(state, route, 0x5449_0003, 2, now + 2_100_000);
  if (woke === null || woke.status !== STATUS.OK || woke.at < align(now + 2_100_000, WINDOW_INTERACTIVE)) return false;
  const cancelled = [
    yield* cancel(state, route, 0x5449_0004, first.id),
    yield* cancel(state, route, 0x5449_0005, second.id),
  ];
  if (cancelled.some((status) => status !== STATUS.OK)) return false;
  return yield* bounds(state, route, now);
}

/** 64 registrations fit, the 65th and an unknown class do not; all 64 can be cancelled. */
function* bounds(state: SelftestState, route: RouteResponse, now: number): Call<boolean> {
  const ids: number[] = [];
  for (let i = 0; i < MANY; i++) {
    const one = yield* register(state, route, 0x5449_1000 + i, 0, now + 40_000_000 + i);
    if (!accepted(one)) return false;
    ids.push(one.id);
  }
  const over = yield* register(state, route, 0x5449_10ff, 0, now + 40_000_065);
  if (over?.status !== STATUS.OVER_LIMIT) return false;
  const bad = yield* register(state, route, 0x5449_2000, 0xff, now + 40_000_066);
  if (bad?.status !== STATUS.INVALID || bad.id !== 0 || bad.at !== 0) return false;
  for (const [i, id] of ids.entries()) {
    if ((yield* cancel(state, route, 0x5449_3000 + i, id)) !== STATUS.OK) return false;
  }
  return true;
}

function* findTimed(state: SelftestState): Call<RouteResponse | null> {
  for (let i = 0; i < ROUTE_TRIES; i++) {
    const route = yield* routeWithNonce(state, 'timed');
    if (route !== null && route.status === 0) return route;
    yield state.sys.yieldCpu();
  }
  return null;
}

function accepted(answer: Registered | null): answer is Registered {
  return answer !== null && answer.status === STATUS.OK && answer.id !== 0;
}

/** `at` rounded up to a multiple of `window`. */
function align(at: number, window: number): number {
  return Math.ceil(at / window) * window;
}

function* register(
  state: SelftestState,
  route: RouteResponse,
  nonce: number,
  qos: number,
  deadline: number,
): Call<Registered | null> {
  const frame = concat(HEAD, [OP.REGISTER], le(nonce, 4), [qos, 0], le(deadline, 8));
  const answer = yield* call(state, route, frame, OP.REGISTER, nonce, 21, CALL_NS);
  if (answer === null) return null;
  return { status: answer.getUint8(4), id: answer.getUint32(9, true), at: Number(answer.getBigUint64(13, true)) };
}

function* sleep(
  state: SelftestState,
  route: RouteResponse,
  nonce: number,
  qos: number,
  deadline: number,
): Call<{ readonly status: number; readonly at: number } | null> {
  const frame = concat(HEAD, [OP.SLEEP_UNTIL], le(nonce, 4), [qos, 0], le(deadline, 8));
  const answer = yield* call(state, route, frame, OP.SLEEP_UNTIL, nonce, 17, SLEEP_NS);
  return answer === null ? null : { status: answer.getUint8(4), at: Number(answer.getBigUint64(9, true)) };
}

function* cancel(state: SelftestState, route: RouteResponse, nonce: number, id: number): Call<number | null> {
  const frame = concat(HEAD, [OP.CANCEL], le(nonce, 4), le(id, 4));
  const answer = yield* call(state, route, frame, OP.CANCEL, nonce, 9, CALL_NS);
  return answer === null ? null : answer.getUint8(4);
}

/** One exchange; null unless the first frame has the length, op and nonce of its answer. */
function* call(
  state: SelftestState,
  route: RouteResponse,
  frame: Uint8Array,
  op: number,
  nonce: number,
  length: number,
  ns: number,
): Call<DataView | null> {
  const got = yield* exchangeKc(state, route, frame, ns, ns);
  if ('failed' in got || got.frame.length !== length || !startsWith(got.frame, [...HEAD, op | 0x80])) return null;
  const view = new DataView(got.frame.buffer, got.frame.byteOffset, got.frame.length);
  return view.getUint32(5, true) === nonce ? view : null;
}
