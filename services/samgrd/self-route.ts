/**
 * samgrd's query for its own slots (sheet 60, sections 2.3 style B and 7.1): the library's generic route query with the
 * reason of a failure, which samgrd prints. init answers no query before its responder runs, so the usual end of this
 * one is a timeout.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import {
  CTRL_RECV,
  CTRL_SEND,
  ROUTE_BUDGET_NS,
  ROUTE_BUFFER,
  ROUTE_DRAIN_FRAMES,
  TIMEOUT,
  budgetOf,
  decodeRouteResponse,
  encodeRouteGet,
  recvWithin,
  sendWithin,
} from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';

/** Why the query failed, as the line says it. The other words of the sheet belong to errors this query never has. */
export type RouteFault = 'timeout' | 'unsupported' | 'kernel';

/** Asks init for the slots of `name`, within 100 ms. */
export function* routeSelf(sys: Sys, name: string): Call<Route | RouteFault> {
  for (let i = 0; i < ROUTE_DRAIN_FRAMES; i++) {
    if ((yield sys.recv(CTRL_RECV, ROUTE_BUFFER, NONBLOCK | TRUNCATE)) < 0) break;
  }
  const budget = yield* budgetOf(sys, ROUTE_BUDGET_NS);
  const sent = yield* sendWithin(sys, CTRL_SEND, encodeRouteGet(name), budget);
  if (sent < 0) return faultOf(sent);
  const received = yield* recvWithin(sys, CTRL_RECV, { deadline: budget.deadline, round: 0 }, ROUTE_BUFFER);
  if (received < 0) return faultOf(received);
  const response = decodeRouteResponse(sys.message.payload);
  if (response?.status !== 0) return 'unsupported';
  return { send: response.send, recv: response.recv };
}

function faultOf(result: number): RouteFault {
  return result === TIMEOUT ? 'timeout' : 'kernel';
}
