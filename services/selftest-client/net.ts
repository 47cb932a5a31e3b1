/**
 * Steps S61 and S62: netstackd's facade (sheet 80, section 6.23). Requests carry no nonce; the first frame in the inbox is
 * taken as the answer, as the program does it.
 */
import { formatIpv4, ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { recv, routeQuery, WOULD_BLOCK } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { decodeResponse, encodeRequest, Op } from '../netstackd/wire.ts';
import type { FacadeRequest } from '../netstackd/wire.ts';
import { cloneInbox, sendMoving } from './io.ts';
import { Slot } from './state.ts';
import type { SelftestState } from './state.ts';

/** Polls of the inbox, a yield after each empty one. */
export const RPC_POLLS = 5000;
export const PING_POLLS = 10_000;

const GATEWAY = ipv4(10, 0, 2, 2);
/** Network of the two-machine harness. */
const TWO_NODE_NET = ipv4(10, 42, 0, 0);
const PING_TIMEOUT_MS = 3000;
/** Status, address, prefix. */
const LOCAL_ADDRESS_BYTES = 5;

/** True on a machine of the two-machine harness: 10.42.0.x. */
export function isTwoNode(address: Ipv4 | null): boolean {
  return address !== null && address >>> 8 === TWO_NODE_NET >>> 8;
}

/** S61 without its place in the table: own address, or null. */
export function* localAddress(state: SelftestState): Call<Ipv4 | null> {
  const route = yield* routeQuery(state.sys, 'netstackd');
  if (route === null) return null;
  const response = yield* call(state, route, { op: Op.LOCAL_ADDR, nonce: null }, RPC_POLLS);
  if (response?.status !== 0 || response.body.length < LOCAL_ADDRESS_BYTES) return null;
  const [a = 0, b = 0, c = 0, d = 0] = response.body;
  return ipv4(a, b, c, d);
}

/** S62 without its place in the table: true when the gateway answered. */
export function* pingGateway(state: SelftestState): Call<boolean> {
  const route = yield* routeQuery(state.sys, 'netstackd');
  if (route === null) return false;
  const request: FacadeRequest = { op: Op.ICMP_PING, ip: GATEWAY, timeoutMs: PING_TIMEOUT_MS, nonce: null };
  const response = yield* call(state, route, request, PING_POLLS);
  return response?.status === 0;
}

/** S61: prints nothing; the address stays in the state. */
export function* localAddr(state: SelftestState): Call<boolean> {
  state.localAddress = yield* localAddress(state);
  if (state.localAddress !== null) state.sys.note('local-address', formatIpv4(state.localAddress));
  return true;
}

/** S62, skipped on a machine of the two-machine harness. */
export function* icmpPing(state: SelftestState): Call<boolean> {
  if (!isTwoNode(state.localAddress)) yield* state.verdict('icmp ping', yield* pingGateway(state));
  return true;
}

/**
 * One request with a moved reply capability; the first frame that comes, if it answers `request`. `@reply` is asked for
 * each time, although its slots are known.
 */
export function* call(
  state: SelftestState,
  route: Route,
  request: FacadeRequest,
  polls: number,
): Call<ReturnType<typeof decodeResponse>> {
  const frame = yield* rpc(state, route, encodeRequest(request), polls);
  return frame === null ? null : decodeResponse(frame, request.op);
}

/** As {@link call}, with frames; null when nothing came. */
export function* rpc(state: SelftestState, route: Route, frame: Uint8Array, polls: number): Call<Uint8Array | null> {
  const { sys } = state;
  if ((yield* routeQuery(sys, '@reply')) === null) return null;
  const clone = yield* cloneInbox(state);
  if (clone < 0 || (yield* sendMoving(state, route.send, frame, clone)) < 0) return null;
  const poll = sys.beginPoll();
  poll.slots = INBOX;
  poll.maxRounds = polls;
  if ((yield sys.runPoll()) === WOULD_BLOCK) return null;
  return (yield* recv(sys, Slot.INBOX_RECV, 'now')) < 0 ? null : sys.message.payload;
}

const INBOX: readonly number[] = [Slot.INBOX_RECV];
