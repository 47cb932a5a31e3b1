/** The route question bundlemgrd puts to init for its clients (sheet 55, sections 10.2 and 18). */
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
} from '../lib/ipc.ts';
import type { Budget, Call } from '../lib/ipc.ts';
import { utf8Text } from '../lib/utf8.ts';
import { RouteStatus } from './wire.ts';
import type { TargetName } from './wire.ts';

/** Time for question and answer. */
export const ROUTE_STATUS_NS = 2_000_000_000;
/** An answer with its nonce, and where the nonce stands. */
const ANSWER = 17;
const NONCE_AT = 13;

/** Asks init and hands on the status byte; MALFORMED for any failure, and for a name that is no text. */
export function* routeStatus(sys: Sys, target: TargetName, nonce: number): Call<number> {
  if (utf8Text(target) === null) return RouteStatus.MALFORMED;
  const query = encodeRouteGet(String.fromCharCode(...target), nonce);
  const sending = yield* budgetOf(sys, ROUTE_STATUS_NS);
  if ((yield* sendWithin(sys, CTRL_SEND, query, sending)) < 0) return RouteStatus.MALFORMED;
  const answer = yield* receive(sys, nonce, { deadline: sending.deadline, round: 0 });
  if (answer === null) return RouteStatus.MALFORMED;
  return decodeRouteResponse(answer)?.status ?? RouteStatus.MALFORMED;
}

/** The answer to `nonce` without it; whatever else comes is dropped. Null: no time left, or the channel failed. */
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
