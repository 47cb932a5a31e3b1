/**
 * init's ROUTE and EXEC queries to policyd (sheet 20, sections 7.3 and 7.4): version 3 with nonces, blocking send and
 * receive under one deadline. Replies of other conversations share slot 2; the contract stashes and skips them, the
 * reference gives up on the first one (Q3).
 */
import { TRUNCATE, serviceIdOf } from '../../kernel-model/abi.ts';
import type { Call } from '../lib/ipc.ts';
import { InitSlot } from './state.ts';
import type { InitState } from './state.ts';
import { PolicyOp, Verdict, decodePolicyReply, encodePolicyExec, encodePolicyRoute } from './wire.ts';

/** Deadlines, ns. */
const ROUTE_NS = 200_000_000;
const EXEC_NS = 1_000_000_000;
const REPLY_BUFFER = 16;

/** policyd's answer; `status` is what it said, null = no answer. */
export interface PolicyAnswer {
  readonly verdict: 'allow' | 'deny' | 'none';
  readonly status: number;
}

const NO_ANSWER: PolicyAnswer = { verdict: 'none', status: -1 };

/** May `requester` be told the route to `target`? */
export function* queryRoute(init: InitState, requester: string, target: string): Call<PolicyAnswer> {
  const nonce = init.nextPolicyNonce();
  const frame = encodePolicyRoute(nonce, serviceIdOf(requester), serviceIdOf(target));
  return yield* query(init, {
    frame,
    nonce,
    op: PolicyOp.ROUTE,
    send: init.endpoint('pol_ctl_route_req'),
    recv: InitSlot.POL_ROUTE_RSP,
    ns: ROUTE_NS,
  });
}

/** May `requester` run `image`? */
export function* queryExec(init: InitState, requester: string, image: number): Call<PolicyAnswer> {
  const nonce = init.nextPolicyNonce();
  const frame = encodePolicyExec(nonce, serviceIdOf(requester), image);
  return yield* query(init, {
    frame,
    nonce,
    op: PolicyOp.EXEC,
    send: init.endpoint('pol_ctl_exec_req'),
    recv: InitSlot.POL_EXEC_RSP,
    ns: EXEC_NS,
  });
}

interface PolicyQuery {
  readonly frame: Uint8Array;
  readonly nonce: number;
  readonly op: number;
  readonly send: number;
  readonly recv: number;
  readonly ns: number;
}

function* query(init: InitState, q: PolicyQuery): Call<PolicyAnswer> {
  const { sys } = init;
  if (!init.has('policyd')) return NO_ANSWER;
  init.queries += 1;
  const deadline = (yield sys.nsec()) + q.ns;
  if ((yield sys.send(q.send, q.frame, 0, deadline)) < 0) return NO_ANSWER;
  for (;;) {
    if ((yield sys.recv(q.recv, REPLY_BUFFER, TRUNCATE, deadline)) < 0) return NO_ANSWER;
    const frame = sys.message.payload;
    const reply = decodePolicyReply(frame);
    if (reply === null) {
      if (init.options.routeFailOpen) return NO_ANSWER;
      init.stash.push(frame);
      continue;
    }
    if (reply.op !== q.op || reply.nonce !== q.nonce) continue;
    if (reply.status === Verdict.ALLOW) return { verdict: 'allow', status: reply.status };
    if (reply.status === Verdict.DENY) return { verdict: 'deny', status: reply.status };
    return { verdict: 'none', status: reply.status };
  }
}
