/**
 * init's phase J: the endless responder (sheet 20, section 7). The requester is the owner of the control channel, never
 * anything the payload says.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Call } from '../lib/ipc.ts';
import { hex16 } from '../lib/text.ts';
import { commitHealth } from './boot-slots.ts';
import { queryExec, queryRoute } from './policy.ts';
import type { Child, InitState } from './state.ts';
import {
  RouteStatus,
  Verdict,
  decodeExecCheck,
  decodeHealth,
  decodeRouteGet,
  encodeExecResponse,
  encodeHealthResponse,
  encodeRouteResponse,
} from './wire.ts';
import type { ExecCheck, HealthRequest, RouteGet } from './wire.ts';

const REQUEST_BUFFER = 64;
const SELFTEST = 'selftest-client';

/** Names that routing knows (section 7.2, rule 7). */
const ROUTABLE: readonly string[] = [
  'vfsd',
  'packagefsd',
  'policyd',
  'bundlemgrd',
  'logd',
  'metricsd',
  'updated',
  'samgrd',
  'execd',
  'keystored',
  'statefsd',
  'netstackd',
  'dsoftbusd',
  'rngd',
  'timed',
];
/** Targets whose answers to the selftest are printed (section 7.2, rule 8). */
const PRINTED_ROUTES: readonly string[] = ['samgrd', 'rngd', 'logd', 'updated'];

/** Serves for ever: one message per channel and pass, one yield per pass. */
export function* respond(init: InitState): Call<never> {
  const { sys } = init;
  const slots = init.children.map((child) => child.ctrlReq);
  const lap = new Lap();
  for (;;) {
    lap.state = init.queries;
    yield sys.lap(lap);
    const poll = sys.beginPoll();
    poll.slots = slots;
    const first = yield sys.runPoll();
    // The poll has looked at the channels before `first` in this pass; the pass goes on from there.
    for (let i = Math.max(0, first); i < init.children.length; i++) {
      const child = init.children[i];
      if (child === undefined) continue;
      const n = yield sys.recv(child.ctrlReq, REQUEST_BUFFER, NONBLOCK | TRUNCATE);
      if (n >= 0) yield* dispatch(init, child, sys.message.payload);
    }
    yield sys.yieldCpu();
  }
}

function* dispatch(init: InitState, child: Child, frame: Uint8Array): Call<void> {
  if (child.name === 'updated') yield init.sys.println('init: ctrl req from updated');
  const health = child.name === SELFTEST ? decodeHealth(frame) : null;
  if (health !== null) return yield* answerHealth(init, child, health);
  const route = decodeRouteGet(frame);
  if (route !== null) return yield* answerRoute(init, child, route);
  const exec = decodeExecCheck(frame);
  if (exec !== null) yield* answerExec(init, child, exec);
}

/** Sends an answer; a full queue loses it. */
function* answer(init: InitState, child: Child, frame: Uint8Array): Call<void> {
  yield init.sys.send(child.ctrlRsp, frame, NONBLOCK);
}

/** Section 7.2. */
function* answerRoute(init: InitState, child: Child, request: RouteGet): Call<void> {
  const { sys } = init;
  const target = request.name;
  const requester = child.name;
  if (target === 'samgrd' && requester === SELFTEST) yield sys.println(`init: route samgrd from ${SELFTEST}`);
  if (target === 'statefsd' || target === 'vfsd') yield sys.println(`init: route ${target} from ${requester}`);
  const entry = child.routes.find((route) => route.target === target);
  if (target === '@reply') {
    const status = entry === undefined ? RouteStatus.NOT_FOUND : RouteStatus.OK;
    return yield* answer(init, child, encodeRouteResponse(status, entry?.send ?? 0, entry?.recv ?? 0, request.nonce));
  }
  if (!(yield* allowed(init, requester, target))) {
    if (target === 'vfsd') yield sys.println('init: route vfsd DENIED by policy');
    return yield* answer(init, child, encodeRouteResponse(RouteStatus.DENIED, 0, 0, request.nonce));
  }
  if (target === 'vfsd')
    yield sys.println(`init: route vfsd lookup svc=${requester} has_slots=${entry === undefined ? 'N' : 'Y'}`);
  if (target === 'policyd') {
    const send = entry === undefined ? 'None' : hex16(entry.send);
    const recv = entry === undefined ? 'None' : hex16(entry.recv);
    yield sys.println(`init: route policyd from ${requester} pol_send=${send} pol_recv=${recv}`);
  }
  const found = entry !== undefined && ROUTABLE.includes(target);
  const status = found ? RouteStatus.OK : RouteStatus.NOT_FOUND;
  const send = found ? entry.send : 0;
  const recv = found ? entry.recv : 0;
  if (requester === SELFTEST && PRINTED_ROUTES.includes(target)) {
    yield sys.println(
      `init: route ${target} rsp status=0x${hex16(status)} send=0x${hex16(send)} recv=0x${hex16(recv)}`,
    );
  }
  yield* answer(init, child, encodeRouteResponse(status, send, recv, request.nonce));
}

/** Section 7.2, rule 4. Contract: no answer is a denial; policyd's own start is never gated (quirks.md, route-fail-open). */
function* allowed(init: InitState, requester: string, target: string): Call<boolean> {
  if (target === requester || requester === 'policyd') return true;
  const reply = yield* queryRoute(init, requester, target);
  const toExecd = requester === 'bundlemgrd' && target === 'execd';
  if (toExecd && reply.verdict !== 'none') {
    yield init.sys.println(`init: policyd route bundlemgrd->execd status=0x${hex16(reply.status)}`);
  }
  if (reply.verdict === 'none') return init.options.routeFailOpen && !toExecd;
  return reply.verdict === 'allow';
}

/** Section 7.4: accepted on execd's channel only. */
function* answerExec(init: InitState, child: Child, request: ExecCheck): Call<void> {
  let verdict: number = Verdict.DENY;
  if (child.name === 'execd') {
    const reply = yield* queryExec(init, request.requester, request.image);
    if (reply.verdict === 'allow' || (reply.verdict === 'none' && init.options.routeFailOpen)) verdict = Verdict.ALLOW;
  }
  yield* answer(init, child, encodeExecResponse(request.nonce, verdict));
}

/** Section 7.5. */
function* answerHealth(init: InitState, child: Child, request: HealthRequest): Call<void> {
  const { sys } = init;
  const result = init.has('updated') ? yield* commitHealth(init) : { failure: 'updated health_ok send timeout' };
  const ok = 'slot' in result;
  yield sys.println(ok ? `init: health ok (slot ${result.slot})` : `init: health fail ${result.failure}`);
  yield* answer(init, child, encodeHealthResponse(ok ? 0 : 1, request.nonce));
}
