/**
 * Who checks a set's signature (sheet 55, section 6): keystored is asked first, and believed when it says valid; any other
 * outcome is checked here.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { verify } from '../keystored/device-key.ts';
import { Op, PAYLOAD_MAX, Status, decodeResponse, encodeRequest } from '../keystored/wire.ts';
import type { PublicKeyBytes, SignatureBytes, SignedPayload } from '../keystored/wire.ts';
import { CLIENT_RECV_MAX, budgetOf, sendWithin } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import type { SystemSet } from './system-set.ts';

/** Time for handing keystored the request, and receives until its answer. */
export const VERIFY_SEND_NS = 1_000_000_000;
export const VERIFY_ATTEMPTS = 512;
const ANSWER_VALID = 1;

/** True when the index is signed by the key it names. `keystored` are the slots of its endpoints. */
export function* isSigned(sys: Sys, keystored: Route, set: SystemSet): Call<boolean> {
  if (yield* keystoredSaysValid(sys, keystored, set)) return true;
  sys.compute('ed25519-verify');
  return verify(set.index.publisher, set.signature, set.indexBytes) === 'valid';
}

/** False is no verdict: keystored may be away, slow, or of another opinion. */
function* keystoredSaysValid(sys: Sys, keystored: Route, set: SystemSet): Call<boolean> {
  if (set.indexBytes.length > PAYLOAD_MAX) return false;
  const frame = encodeRequest({
    kind: 'verify',
    publicKey: set.index.publisher as Uint8Array as PublicKeyBytes,
    signature: set.signature as SignatureBytes,
    payload: set.indexBytes as SignedPayload,
  });
  if ((yield* sendWithin(sys, keystored.send, frame, yield* budgetOf(sys, VERIFY_SEND_NS))) < 0) return false;
  for (let attempt = 0; attempt < VERIFY_ATTEMPTS; attempt++) {
    const poll = sys.beginPoll();
    poll.slots = [keystored.recv];
    poll.maxRounds = VERIFY_ATTEMPTS;
    poll.round = attempt;
    if ((yield sys.runPoll()) < 0) return false;
    attempt = poll.round;
    if ((yield sys.recv(keystored.recv, CLIENT_RECV_MAX, NONBLOCK | TRUNCATE)) < 0) return false;
    const answer = decodeResponse(sys.message.payload);
    if (answer?.op !== Op.VERIFY) continue;
    return answer.status === Status.OK && answer.value.length === 1 && answer.value[0] === ANSWER_VALID;
  }
  return false;
}
