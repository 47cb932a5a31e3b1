/**
 * UX, the selftest's exchange with updated (sheet 80, section 6.9): without reply capabilities, so that answers are told
 * apart by their op byte alone and a stale one may be taken for the new one (Q10).
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { CLIENT_RECV_MAX, TIMEOUT, budgetOf, recvWithin, sendWithin } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { hex16 } from '../lib/text.ts';
import { UpdatedStatus, decodeReply, encodeRequest, hasHeader, opByteOf } from '../updated/wire.ts';
import type { UpdatedRequest } from '../updated/wire.ts';
import { MS } from './io.ts';
import { Slot } from './state.ts';
import type { SelftestState } from './state.ts';

/** The fixed slots of updated (section 3). */
export const UPDATED = { send: 0x0b, recv: 0x0c } as const;

const DRAIN_FRAMES = 256;
const KEPT_REPLIES = 16;
const REPLY_BIT = 0x80;
const STAGE_SEND_NS = 2_000 * MS;
const STAGE_RECV_NS = 30_000 * MS;
const SEND_NS = 500 * MS;
const RECV_NS = 5_000 * MS;

/** The payload of an OK answer; null after the failure was said. */
export function* exchangeUpdated(state: SelftestState, request: UpdatedRequest): Call<Uint8Array | null> {
  const wanted = (opByteOf(request) | REPLY_BIT) & 0xff;
  yield* collect(state, Slot.INBOX_RECV);
  yield* collect(state, UPDATED.recv);
  const stale = state.updatedReplies.findIndex((frame) => frame[3] === wanted);
  if (stale >= 0) return yield* checked(state, state.updatedReplies.splice(stale, 1)[0] ?? new Uint8Array(0), wanted);
  const isStage = request.op === 'stage';
  if (!(yield* sendRequest(state, encodeRequest(request), isStage ? STAGE_SEND_NS : SEND_NS))) return null;
  yield state.sys.yieldCpu();
  const answer = yield* receive(state, wanted, isStage ? STAGE_RECV_NS : RECV_NS);
  return answer === null ? null : yield* checked(state, answer, wanted);
}

/** Reads a queue empty and keeps updated's replies. */
function* collect(state: SelftestState, slot: number): Call<void> {
  const { sys } = state;
  for (let i = 0; i < DRAIN_FRAMES; i++) {
    if ((yield sys.recv(slot, CLIENT_RECV_MAX, NONBLOCK | TRUNCATE)) < 0) return;
    const frame = sys.message.payload;
    if (isReply(frame)) keep(state, frame);
    else if (slot === Slot.INBOX_RECV) state.inbox.keep(frame);
  }
}

function isReply(frame: Uint8Array): boolean {
  return hasHeader(frame) && ((frame[3] ?? 0) & REPLY_BIT) !== 0;
}

function keep(state: SelftestState, frame: Uint8Array): void {
  state.updatedReplies.push(frame);
  if (state.updatedReplies.length > KEPT_REPLIES) state.updatedReplies.shift();
}

function* sendRequest(state: SelftestState, frame: Uint8Array, ns: number): Call<boolean> {
  const sent = yield* sendWithin(state.sys, UPDATED.send, frame, yield* budgetOf(state.sys, ns));
  if (sent >= 0) return true;
  yield* state.say(sent === TIMEOUT ? 'SELFTEST: updated send timeout' : 'SELFTEST: updated send fail');
  return false;
}

function* receive(state: SelftestState, wanted: number, ns: number): Call<Uint8Array | null> {
  const { sys } = state;
  const budget = yield* budgetOf(sys, ns);
  let otherSaid = false;
  for (;;) {
    if ((yield* recvWithin(sys, UPDATED.recv, budget)) < 0) {
      yield* state.say('SELFTEST: updated recv timeout');
      return null;
    }
    const frame = sys.message.payload;
    if (frame[3] === wanted) return frame;
    if (!isReply(frame)) continue;
    keep(state, frame);
    if (otherSaid) continue;
    otherSaid = true;
    yield* state.say(`SELFTEST: updated rsp other op=0x${hex16(frame[3] ?? 0)} st=0x${hex16(frame[4] ?? 0)}`);
  }
}

/** The checks of an answer, in the sheet's order, each with its line. */
function* checked(state: SelftestState, frame: Uint8Array, wanted: number): Call<Uint8Array | null> {
  const [b0, b1, b2, op, status] = [0, 1, 2, 3, 4].map((i) => frame[i] ?? 0);
  if (frame.length < 7) {
    yield* state.say('SELFTEST: updated rsp short');
    return null;
  }
  if (!hasHeader(frame)) {
    yield* state.say(`SELFTEST: updated rsp magic ${hex16(b0 ?? 0)} ${hex16(b1 ?? 0)} ${hex16(b2 ?? 0)}`);
    return null;
  }
  if (op !== wanted || status !== UpdatedStatus.OK) {
    yield* state.say(`SELFTEST: updated rsp status ${hex16(op ?? 0)} ${hex16(status ?? 0)}`);
    return null;
  }
  const reply = decodeReply(frame);
  if (reply === null) yield* state.say('SELFTEST: updated rsp len mismatch');
  return reply?.payload ?? null;
}
