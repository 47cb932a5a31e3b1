/** Steps on policyd: S17, S24 to S26, S33, S34 (sheet 80, section 5). */
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii } from '../lib/text.ts';
import { MS, concat, exchangeBg, exchangeKc, exchangeNb, le, routeWithNonce, startsWith } from './io.ts';
import { NAME, OWN_SERVICE_ID, Slot } from './state.ts';
import type { SelftestState } from './state.ts';

const PAIR = { send: Slot.POLICYD, recv: Slot.POLICYD_RECV } as const;
const ALLOW_NS = 2_000 * MS;
const CHECK_NS = 100 * MS;
const SPOOF_NS = 2_000 * MS;
const STATUS = { ALLOW: 0, DENY: 1, MALFORMED: 2 } as const;

/** S17, the part on policyd: its fixed slots are the ones init routes (contract), or just said to be (reference). */
export function* routingPolicyd(state: SelftestState): Call<boolean> {
  yield* state.verdict('ipc routing policyd', yield* routesTo(state, 'policyd', PAIR));
  return true;
}

/** Contract of routing lines: init answers OK and names the slots that are used (quirks.md, routing-unchecked). */
export function* routesTo(
  state: SelftestState,
  name: string,
  pair: { readonly send: number; readonly recv: number },
): Call<boolean> {
  if (state.options.routingUnchecked) return true;
  const route = yield* routeWithNonce(state, name);
  return route !== null && route.status === 0 && route.send === pair.send && route.recv === pair.recv;
}

/** S24: CHECK of the own name is allowed. */
export function* policyAllow(state: SelftestState): Call<boolean> {
  const frame = concat([0x50, 0x4f, 1, 1, NAME.length], ascii(NAME));
  const status = yield* exchangeNb(state, PAIR, frame, ALLOW_NS, 16, (answer) =>
    answer.length === 6 && startsWith(answer, [0x50, 0x4f, 1, 0x81]) ? (answer[4] ?? 0) : undefined,
  );
  yield* state.verdict('policy allow', status === STATUS.ALLOW);
  return true;
}

/** S25: this task may not sign. */
export function* policyDeny(state: SelftestState): Call<boolean> {
  yield* state.verdict('policy deny', yield* isDenied(state, OWN_SERVICE_ID, 'crypto.sign'));
  return true;
}

/** S26: nor may it (reference: nominally netstackd) have the block device's window. */
export function* mmioPolicyDeny(state: SelftestState): Call<boolean> {
  const subject = state.options.capCheckOtherSubject ? serviceIdOf('netstackd') : OWN_SERVICE_ID;
  yield* state.verdict('mmio policy deny', yield* isDenied(state, subject, 'device.mmio.blk'));
  return true;
}

/** CHECK_CAP v1. Contract: a real DENY in the 6-byte reply. Reference: everything but a 5-byte ALLOW (sheet 80, Q1). */
function* isDenied(state: SelftestState, subject: ServiceId, capability: string): Call<boolean> {
  const frame = concat([0x50, 0x4f, 1, 4], le(subject, 8), [capability.length], ascii(capability));
  const got = yield* exchangeKc(state, PAIR, frame, CHECK_NS, CHECK_NS);
  if (state.options.capCheckFiveBytes) {
    return 'failed' in got || got.frame.length !== 5 || !startsWith(got.frame, [0x50, 0x4f, 1, 0x84, STATUS.ALLOW]);
  }
  return !('failed' in got) && got.frame.length === 6 && startsWith(got.frame, [0x50, 0x4f, 1, 0x84, STATUS.DENY]);
}

const SPOOF_NONCE = 0xa1b2_c3d4;

/** S33: a route query in another service's name is denied. */
export function* requesterSpoof(state: SelftestState): Call<boolean> {
  const frame = concat(
    [0x50, 0x4f, 3, 2],
    le(SPOOF_NONCE, 4),
    le(serviceIdOf('demo.testsvc'), 8),
    le(serviceIdOf('samgrd'), 8),
  );
  const answer = yield* exchangeBg(state, PAIR, frame, SPOOF_NS, SPOOF_NS);
  const denied =
    answer !== null &&
    answer.length === 10 &&
    answer[0] === 0x50 &&
    answer[1] === 0x4f &&
    (answer[2] === 2 || answer[2] === 3) &&
    ((answer[3] ?? 0) & 0x80) !== 0 &&
    new DataView(answer.buffer, answer.byteOffset).getUint32(4, true) === SPOOF_NONCE &&
    answer[8] === STATUS.DENY;
  yield* state.verdict('policyd requester spoof denied', denied);
  return true;
}

/** S34: three bytes of nonsense are MALFORMED; no answer at all is fatal. */
export function* policyMalformed(state: SelftestState): Call<boolean> {
  const answer = yield* exchangeBg(state, PAIR, ascii('bad'), CHECK_NS, CHECK_NS);
  if (answer === null) return false;
  const malformed = answer.length === 6 && startsWith(answer, [0x50, 0x4f, 1]) && answer[4] === STATUS.MALFORMED;
  yield* state.verdict('policy malformed', malformed);
  return true;
}
