/**
 * A route query with a nonce and a time limit (sheet 20, section 7.1): answers to other queries, which may come late and in
 * between, are ignored.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import {
  CLOCK_EVERY,
  CTRL_RECV,
  CTRL_SEND,
  ROUTE_BUFFER,
  budgetOf,
  decodeRouteResponse,
  encodeRouteGet,
  sendWithin,
} from './ipc.ts';
import type { Budget, Call, RouteResponse } from './ipc.ts';

/** An answer with its nonce, and where the nonce stands. */
const ANSWER = 17;
const NONCE_AT = 13;

/** Asks init for `name` (1..48 bytes as characters), both ways within `ns`. Null: no answer to `nonce`, or a malformed one. */
export function* routeWithin(sys: Sys, name: string, nonce: number, ns: number): Call<RouteResponse | null> {
  const sending = yield* budgetOf(sys, ns);
  if ((yield* sendWithin(sys, CTRL_SEND, encodeRouteGet(name, nonce), sending)) < 0) return null;
  const answer = yield* receive(sys, nonce, { deadline: sending.deadline, round: 0 });
  return answer === null ? null : decodeRouteResponse(answer);
}

/** The answer to `nonce` without it. Null: no time left, or the channel failed. */
function* receive(sys: Sys, nonce: number, budget: Budget): Call<Uint8Array | null> {
  for (;;) {
    const poll = sys.beginPoll();
    poll.slots = [CTRL_RECV];
    poll.deadline = budget.deadline;
    poll.clockEvery = CLOCK_EVERY;
    poll.round = budget.round;
    if ((yield sys.runPoll()) < 0) return null;
    budget.round = poll.round;
    if ((yield sys.recv(CTRL_RECV, ROUTE_BUFFER, NONBLOCK | TRUNCATE)) < 0) return null;
    const frame = sys.message.payload;
    if (frame.length !== ANSWER) continue;
    const echoed = new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(NONCE_AT, true);
    if (echoed === nonce) return frame.subarray(0, NONCE_AT);
  }
}
