/** Steps on dsoftbusd: S63 over netstackd's loopback, S64 through the other machine (sheet 80, sections 6.24 and 6.25). */
import { ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { assert } from '../../sim/assert.ts';
import { KeyTag, PORT_A, testSecret } from '../dsoftbusd/keys.ts';
import { decodeReply, encodeRequest, remoteName } from '../dsoftbusd/wire.ts';
import type { SoftbusReply, SoftbusRequest } from '../dsoftbusd/wire.ts';
import { routeQuery } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { CryptoMeter, Initiator, MESSAGE_2_BYTES, publicKeyOf } from '../lib/noise.ts';
import { ascii, sameBytes } from '../lib/text.ts';
import { Op, Status, decodeResponse, encodeRequest as encodeNet, port } from '../netstackd/wire.ts';
import type { FacadeRequest, FacadeResponse, Handle } from '../netstackd/wire.ts';
import { MS, exchangeKc } from './io.ts';
import { netCall } from './net-rpc.ts';
import type { SelftestState } from './state.ts';

const LOOPBACK: Ipv4 = ipv4(10, 0, 2, 15);
const NODE_A: Ipv4 = ipv4(10, 42, 0, 10);

/** Calls at most, by what they wait for. */
const CONNECT_TRIES = 50_000;
const READ_TRIES = 100_000;
const PONG_TRIES = 50_000;

const REMOTE_NS = 4_000 * MS;
const REMOTE_CALL_NS = 800 * MS;
const REMOTE_SERVICE = 'bundlemgrd';

/** S63: a session with dsoftbusd, authenticated on both sides, and one word each way. */
export function* dsoftbus(state: SelftestState): Call<boolean> {
  if (isPaired(state.localAddress)) return true;
  const passed = yield* probe(state);
  yield* state.verdict('dsoftbus os connect', passed);
  yield* state.verdict('dsoftbus ping', passed);
  return true;
}

/** 10.42.x.x: one of a pair of machines. */
function isPaired(ip: Ipv4 | null): boolean {
  return ip !== null && ip >>> 8 === NODE_A >>> 8;
}

function* probe(state: SelftestState): Call<boolean> {
  const netstackd = yield* routeQuery(state.sys, 'netstackd');
  if (netstackd === null) return false;
  const stream = yield* connect(state, netstackd);
  if (stream === null || !(yield* handshake(state, netstackd, stream))) return false;
  const ping: FacadeRequest = { op: Op.WRITE, stream, data: ascii('PING'), nonce: null };
  if ((yield* call(state, netstackd, ping)) === null) return false;
  for (let i = 0; i < PONG_TRIES; i++) {
    const answer = yield* call(state, netstackd, { op: Op.READ, stream, max: 4, nonce: null });
    if (answer === null) return false;
    if (answer !== 'foreign' && answer.status === Status.OK && sameBytes(readBody(answer), ascii('PONG'))) return true;
    yield state.sys.yieldCpu();
  }
  return false;
}

/** Stream to dsoftbusd's first listener; null: refused, or no answer. */
function* connect(state: SelftestState, netstackd: Route): Call<Handle | null> {
  for (let i = 0; i < CONNECT_TRIES; i++) {
    const request: FacadeRequest = { op: Op.CONNECT, ip: LOOPBACK, port: port(PORT_A), nonce: null };
    const answer = yield* call(state, netstackd, request);
    if (answer === null) return null;
    if (answer !== 'foreign' && answer.status === Status.OK) return handleOf(answer.body);
    if (answer !== 'foreign' && answer.status !== Status.WOULD_BLOCK) return null;
    yield state.sys.yieldCpu();
  }
  return null;
}

/** Noise as initiator; its keys are not used afterwards. */
function* handshake(state: SelftestState, netstackd: Route, stream: Handle): Call<boolean> {
  const meter = new CryptoMeter((label, units) => {
    state.sys.compute(label, units);
  }, state.options.x25519);
  const initiator = new Initiator(
    {
      staticSecret: testSecret(KeyTag.CLIENT_STATIC, PORT_A),
      ephemeralSecret: testSecret(KeyTag.CLIENT_EPHEMERAL, PORT_A),
      peerStatic: publicKeyOf(testSecret(KeyTag.SERVER_STATIC, PORT_A), meter),
    },
    meter,
  );
  if (!(yield* write(state, netstackd, stream, initiator.message1()))) return false;
  const m2 = yield* read(state, netstackd, stream, MESSAGE_2_BYTES);
  const third = m2 === null ? null : initiator.message3(m2);
  if (third === null || typeof third === 'string') return false;
  return yield* write(state, netstackd, stream, third.message);
}

function* write(state: SelftestState, netstackd: Route, stream: Handle, data: Uint8Array): Call<boolean> {
  const answer = yield* call(state, netstackd, { op: Op.WRITE, stream, data, nonce: null });
  return answer !== null && answer !== 'foreign' && answer.status === Status.OK;
}

function* read(state: SelftestState, netstackd: Route, stream: Handle, n: number): Call<Uint8Array | null> {
  for (let i = 0; i < READ_TRIES; i++) {
    const answer = yield* call(state, netstackd, { op: Op.READ, stream, max: n, nonce: null });
    if (answer === null) return null;
    if (answer !== 'foreign' && answer.status === Status.OK) {
      const data = readBody(answer);
      if (data.length === n) return data;
    } else if (answer !== 'foreign' && answer.status !== Status.WOULD_BLOCK) return null;
    yield state.sys.yieldCpu();
  }
  return null;
}

/** One call; a frame that is no answer to it goes to whom it concerns. Null: no frame at all. */
function* call(
  state: SelftestState,
  netstackd: Route,
  request: FacadeRequest,
): Call<FacadeResponse | 'foreign' | null> {
  const frame = yield* netCall(state, netstackd, encodeNet(request));
  if (frame === null) return null;
  const response = decodeResponse(frame, request.op);
  if (response === null) state.inbox.keep(frame);
  return response ?? 'foreign';
}

/** What READ delivered; empty where the count says more than there is. */
function readBody({ body }: FacadeResponse): Uint8Array {
  const n = (body[0] ?? 0) | ((body[1] ?? 0) << 8);
  return body.length < 2 + n ? body.subarray(0, 0) : body.subarray(2, 2 + n);
}

function handleOf(body: Uint8Array): Handle | null {
  if (body.length < 4) return null;
  return new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(0, true) as Handle;
}

/** S64: the other machine's services, asked through dsoftbusd. Only on node-a. */
export function* remoteProxy(state: SelftestState): Call<boolean> {
  if (state.localAddress !== NODE_A) return true;
  const remote = new Remote(state);
  const name = remoteName(ascii(REMOTE_SERVICE));
  assert(name !== null, 'a name has 1 to 255 bytes');
  const resolved = yield* remote.until({ op: 'remote_resolve', name }, (reply) => 'ok' in reply && reply.ok);
  yield* state.verdict('remote resolve', resolved);
  const queried = yield* remote.until(
    { op: 'remote_bundle_list' },
    (reply) => reply.op === 'remote_bundle_list' && reply.count !== null,
  );
  yield* state.verdict('remote query', queried);
  return true;
}

/** Calls to dsoftbusd; a missing route is told once. */
class Remote {
  readonly #state: SelftestState;
  #told = false;

  constructor(state: SelftestState) {
    this.#state = state;
  }

  /** Asks until the reply is good or 4 s have passed, at least once. */
  *until(request: SoftbusRequest, good: (reply: SoftbusReply) => boolean): Call<boolean> {
    const { sys } = this.#state;
    const deadline = (yield sys.nsec()) + REMOTE_NS;
    for (;;) {
      const reply = yield* this.#ask(request);
      if (reply !== null && reply.op === request.op && good(reply)) return true;
      if ((yield sys.nsec()) >= deadline) return false;
      yield sys.yieldCpu();
    }
  }

  *#ask(request: SoftbusRequest): Call<SoftbusReply | null> {
    const state = this.#state;
    const route = yield* routeQuery(state.sys, 'dsoftbusd');
    if (route === null) {
      if (!this.#told) yield* state.say('selftest-client: route dsoftbusd FAIL');
      this.#told = true;
      return null;
    }
    const got = yield* exchangeKc(state, route, encodeRequest(request), REMOTE_CALL_NS, REMOTE_CALL_NS);
    return 'failed' in got ? null : decodeReply(got.frame);
  }
}
