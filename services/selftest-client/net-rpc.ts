/** Calls of the selftest client to netstackd (sheet 80, section 6.23): no nonce, and the first frame that comes is the answer. */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { CLIENT_RECV_MAX, routeQuery } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import type { SelftestState } from './state.ts';

/** Receives while waiting for an answer. */
export const NET_POLLS = 5_000;

/** Asks once. Null: no way to the own inbox, not sent, or nothing came within `polls` receives. */
export function* netCall(
  state: SelftestState,
  netstackd: Route,
  frame: Uint8Array,
  polls: number = NET_POLLS,
): Call<Uint8Array | null> {
  const { sys } = state;
  const own = yield* routeQuery(sys, '@reply');
  if (own === null) return null;
  const clone = yield sys.capClone(own.send);
  if (clone < 0) return null;
  if ((yield sys.send(netstackd.send, frame, NONBLOCK, 0, clone)) < 0) {
    yield sys.capClose(clone);
    return null;
  }
  const poll = sys.beginPoll();
  poll.slots = [own.recv];
  poll.maxRounds = polls;
  if ((yield sys.runPoll()) < 0) return null;
  if ((yield sys.recv(own.recv, CLIENT_RECV_MAX, NONBLOCK | TRUNCATE)) < 0) return null;
  return sys.message.payload;
}
