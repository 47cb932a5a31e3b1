/** Steps S61 and S62 on netstackd: own address, and a ping of the gateway (sheet 80, section 6.23). */
import { ipv4, readIpv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { routeQuery } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { decodeResponse, encodeRequest, Op, Status } from '../netstackd/wire.ts';
import type { FacadeRequest } from '../netstackd/wire.ts';
import { NET_POLLS, netCall } from './net-rpc.ts';
import type { SelftestState } from './state.ts';

/** Receives while waiting for the answer to a ping. */
export const PING_POLLS = 10_000;
export const PING_TIMEOUT_MS = 3000;

const GATEWAY = ipv4(10, 0, 2, 2);
const TWO_NODE_NETWORK = ipv4(10, 42, 0, 0);
/** Address and prefix. */
const LOCAL_ADDRESS_BYTES = 5;

/** S61: the address stays in the state, null when there is none. Prints nothing. */
export function* localAddr(state: SelftestState): Call<boolean> {
  const body = yield* ask(state, { op: Op.LOCAL_ADDR, nonce: null }, NET_POLLS);
  state.localAddress = body === null || body.length < LOCAL_ADDRESS_BYTES ? null : readIpv4(body, 0);
  return true;
}

/** S62: attempted even without a lease; skipped on a machine of the two-machine harness. */
export function* icmpPing(state: SelftestState): Call<boolean> {
  if (isTwoNode(state.localAddress)) return true;
  const request: FacadeRequest = { op: Op.ICMP_PING, ip: GATEWAY, timeoutMs: PING_TIMEOUT_MS, nonce: null };
  yield* state.verdict('icmp ping', (yield* ask(state, request, PING_POLLS)) !== null);
  return true;
}

/** True for 10.42.0.x. */
function isTwoNode(ip: Ipv4 | null): boolean {
  return ip !== null && ip >>> 8 === TWO_NODE_NETWORK >>> 8;
}

/** The body of the OK answer to one request, or null. */
function* ask(state: SelftestState, request: FacadeRequest, polls: number): Call<Uint8Array | null> {
  const netstackd = yield* routeQuery(state.sys, 'netstackd');
  if (netstackd === null) return null;
  const frame = yield* netCall(state, netstackd, encodeRequest(request), polls);
  const response = frame === null ? null : decodeResponse(frame, request.op);
  return response?.status === Status.OK ? response.body : null;
}
