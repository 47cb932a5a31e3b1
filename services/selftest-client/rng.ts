/** Steps on rngd: S05 and S06 (sheet 80, section 6.4). Entropy is never printed. */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { send } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { hex16 } from '../lib/text.ts';
import { MS, concat, le, startsWith } from './io.ts';
import { Slot } from './state.ts';
import type { SelftestState } from './state.ts';

const RNG_NS = 500 * MS;
const RNG_POLLS = 200_000;
const HEAD: readonly number[] = [0x52, 0x47, 1];
const ENTROPY_BYTES = 32;
const OVERSIZED_BYTES = 257;
const OVERSIZED_STATUS = 1;
const REPLY_MAX = 512;

/** S05: 32 bytes arrive. */
export function* entropy(state: SelftestState): Call<boolean> {
  yield* state.say('SELFTEST: rng entropy send');
  const nonce = ((yield state.sys.nsec()) ^ 0xa5a5_5a5a) >>> 0;
  const failure = yield* request(state, nonce, ENTROPY_BYTES, (frame) => {
    if (frame[3] !== 0x81) return '(wrong op)';
    if (frame[4] !== 0) return `(status=${hex16(frame[4] ?? 0)})`;
    if (nonceOf(frame) !== nonce) return undefined;
    return frame.length === 9 + ENTROPY_BYTES ? null : `(len=${hex16(frame.length)})`;
  });
  yield* state.say(failure === null ? 'SELFTEST: rng entropy ok' : `SELFTEST: rng entropy FAIL ${failure}`);
  return true;
}

/** S06: one byte too many is refused. */
export function* entropyOversized(state: SelftestState): Call<boolean> {
  const nonce = ((yield state.sys.nsec()) ^ 0x5a5a_a5a5) >>> 0;
  const failure = yield* request(state, nonce, OVERSIZED_BYTES, (frame) => {
    if (frame[3] !== 0x81) return '(wrong op)';
    if (nonceOf(frame) !== nonce) return undefined;
    return frame[4] === OVERSIZED_STATUS ? null : `(status=${hex16(frame[4] ?? 0)})`;
  });
  yield* state.say(
    failure === null ? 'SELFTEST: rng entropy oversized ok' : `SELFTEST: rng entropy oversized FAIL ${failure}`,
  );
  return true;
}

/** Sends one request and polls for its answer; null = as required, else the text of the failure line. */
function* request(
  state: SelftestState,
  nonce: number,
  bytes: number,
  judge: (frame: Uint8Array) => string | null | undefined,
): Call<string | null> {
  const { sys } = state;
  const frame = concat(HEAD, [1], le(nonce, 4), le(bytes, 2));
  if ((yield* send(sys, Slot.RNGD, frame, RNG_NS)) < 0) return '(send)';
  const deadline = (yield sys.nsec()) + RNG_NS;
  let round = 0;
  for (;;) {
    const poll = sys.beginPoll();
    poll.slots = [Slot.RNGD_RECV];
    poll.deadline = deadline;
    poll.clockEvery = 1;
    poll.clockFirst = true;
    poll.maxRounds = RNG_POLLS;
    poll.round = round;
    if ((yield sys.runPoll()) < 0) return '(recv)';
    round = poll.round;
    if ((yield sys.recv(Slot.RNGD_RECV, REPLY_MAX, NONBLOCK | TRUNCATE)) < 0) {
      // Any receive error counts as an empty poll.
      yield sys.yieldCpu();
      round += 1;
      continue;
    }
    const answer = sys.message.payload;
    if (answer.length < 9 || !startsWith(answer, HEAD)) continue;
    const verdict = judge(answer);
    if (verdict !== undefined) return verdict;
  }
}

function nonceOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(5, true);
}
