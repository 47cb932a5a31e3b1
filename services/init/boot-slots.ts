/**
 * init's conversations with updated and bundlemgrd (sheet 20, section 8): boot attempt, active slot, health commit. Each is
 * skipped where its peer is not in the image. Replies arrive on slot 2 and are matched by shape; others go to the stash.
 */
import { NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { CLOCK_EVERY, WOULD_BLOCK, budgetOf } from '../lib/ipc.ts';
import type { Budget, Call } from '../lib/ipc.ts';
import { hex16 } from '../lib/text.ts';
import { ipcLabel } from './errors.ts';
import { InitSlot } from './state.ts';
import type { InitState } from './state.ts';
import { UpdatedOp, decodeBootAttempt, encodeSetActiveSlot, encodeUpdated, isSetActiveReply } from './wire.ts';

const BOOT_ATTEMPTS = 20;
const BOOT_ATTEMPT_NS = 500_000_000;
const SET_ACTIVE_NS = 200_000_000;
const HEALTH_NS = 20_000_000_000;
/** Receive buffer of these conversations; stash frames are no longer than it. */
const REPLY_BUFFER = 16;

type Wanted = (frame: Uint8Array) => boolean;

/** Phase I: asks updated for the slot of this boot and publishes it at bundlemgrd. */
export function* publishBootSlot(init: InitState): Call<void> {
  if (!init.has('updated')) return;
  const slot = yield* bootAttempt(init);
  if (slot === null || slot === 0 || !init.has('bundlemgrd')) return;
  if (!(yield* setActiveSlot(init, slot))) yield init.sys.println('init: rollback fail');
}

/** Section 8.1. The slot to publish (0 = none), or null when there is nothing to go by. */
function* bootAttempt(init: InitState): Call<number | null> {
  const { sys } = init;
  const slotByte = init.options.bootSlotByte;
  const wanted: Wanted = (frame) => decodeBootAttempt(frame, slotByte) !== null;
  for (let attempt = 0; attempt < BOOT_ATTEMPTS; attempt++) {
    const clone = yield sys.capClone(InitSlot.REPLY_SOURCE);
    if (clone < 0) return yield* bootAttemptFailed(init);
    const budget = yield* budgetOf(sys, BOOT_ATTEMPT_NS);
    const sent = yield sys.send(
      init.endpoint('upd_req'),
      encodeUpdated(UpdatedOp.BOOT_ATTEMPT),
      0,
      budget.deadline,
      clone,
    );
    if (sent >= 0) {
      const frame = yield* awaitReply(init, wanted, budget, 1);
      const reply = frame === null ? null : decodeBootAttempt(frame, slotByte);
      if (reply !== null) return reply.status === 0 ? reply.slot : yield* bootAttemptFailed(init);
    }
    yield sys.yieldCpu();
  }
  return null;
}

function* bootAttemptFailed(init: InitState): Call<null> {
  yield init.sys.println('init: boot attempt fail');
  return null;
}

/** Section 8.2. */
function* setActiveSlot(init: InitState, slot: number): Call<boolean> {
  const { sys } = init;
  const clone = yield sys.capClone(InitSlot.REPLY_SOURCE);
  if (clone < 0) return false;
  const budget = yield* budgetOf(sys, SET_ACTIVE_NS);
  const request = encodeSetActiveSlot(slot);
  if ((yield sys.send(init.endpoint('bnd_req'), request, 0, budget.deadline, clone)) < 0) return false;
  const frame = yield* awaitReply(init, isSetActiveReply, budget, CLOCK_EVERY);
  return frame !== null && frame[4] === 0 && frame[5] === slot;
}

/** Section 8.3. The active slot's letter, or why the commit failed. */
export function* commitHealth(init: InitState): Call<{ readonly slot: 'a' | 'b' } | { readonly failure: string }> {
  const committed = yield* updatedExchange(
    init,
    UpdatedOp.HEALTH_OK,
    'updated health_ok send timeout',
    'updated health_ok timeout',
  );
  if (typeof committed === 'string') return { failure: committed };
  if (committed[4] !== 0) return { failure: 'updated health_ok failed' };
  const status = yield* updatedExchange(
    init,
    UpdatedOp.GET_STATUS,
    'updated status send timeout',
    'updated status timeout',
  );
  if (typeof status === 'string') return { failure: status };
  if (status[4] !== 0) return { failure: 'updated status failed' };
  const len = (status[5] ?? 0) | ((status[6] ?? 0) << 8);
  if (len < 1 || status.length < 7 + len) return { failure: 'updated status payload missing' };
  if (status[7] === 1) return { slot: 'a' };
  return status[7] === 2 ? { slot: 'b' } : { failure: 'updated status slot invalid' };
}

/** One request to updated with a moved reply capability; its answer frame, or the failure text. */
function* updatedExchange(
  init: InitState,
  op: number,
  sendTimeout: string,
  timeout: string,
): Call<Uint8Array | string> {
  const { sys } = init;
  const clone = yield sys.capClone(InitSlot.REPLY_SOURCE);
  if (clone < 0) return ipcLabel(clone, false);
  const budget = yield* budgetOf(sys, HEALTH_NS);
  const request = encodeUpdated(op);
  const slot = init.endpoint('upd_req');
  for (;;) {
    const sent = yield sys.send(slot, request, NONBLOCK, 0, clone);
    if (sent >= 0) break;
    if (sent !== WOULD_BLOCK) return ipcLabel(sent, false);
    if (budget.round % CLOCK_EVERY === 0 && (yield sys.nsec()) >= budget.deadline) return sendTimeout;
    yield sys.yieldCpu();
    budget.round += 1;
  }
  let reported = false;
  const answer: Budget = { deadline: budget.deadline, round: 0 };
  const wanted: Wanted = (frame) => isUpdatedFrame(frame) && frame[3] === (op | 0x80);
  for (;;) {
    const stashed = init.stash.takeWhere(wanted);
    if (stashed !== null) return stashed;
    const frame = yield* nextReply(init, answer, CLOCK_EVERY);
    if (frame === null) return timeout;
    if (wanted(frame)) return frame;
    if (isUpdatedFrame(frame) && !reported) {
      reported = true;
      yield sys.println(`init: health recv other op=0x${hex16(frame[3] ?? 0)}`);
    }
    init.stash.push(frame);
  }
}

function isUpdatedFrame(frame: Uint8Array): boolean {
  return frame.length >= 7 && frame[0] === 0x55 && frame[1] === 0x44 && frame[2] === 1;
}

/** Stash first, then receives with yields until `wanted`; others are stashed. Null at the deadline or on an error. */
function* awaitReply(init: InitState, wanted: Wanted, budget: Budget, clockEvery: number): Call<Uint8Array | null> {
  const stashed = init.stash.takeWhere(wanted);
  if (stashed !== null) return stashed;
  for (;;) {
    const frame = yield* nextReply(init, budget, clockEvery);
    if (frame === null) return null;
    if (wanted(frame)) return frame;
    init.stash.push(frame);
  }
}

function* nextReply(init: InitState, budget: Budget, clockEvery: number): Call<Uint8Array | null> {
  const { sys } = init;
  const poll = sys.beginPoll();
  poll.slots = [InitSlot.POL_ROUTE_RSP];
  poll.deadline = budget.deadline;
  poll.clockEvery = clockEvery;
  poll.round = budget.round;
  const ended = yield sys.runPoll();
  budget.round = poll.round;
  if (ended < 0) return null;
  const n = yield sys.recv(InitSlot.POL_ROUTE_RSP, REPLY_BUFFER, NONBLOCK | TRUNCATE);
  return n < 0 ? null : sys.message.payload;
}
