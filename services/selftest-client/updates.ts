/** Steps on updates: updated's part of S17, S18, S20 to S22 (sheet 80, sections 5, 6.11 and 6.12). */
import { assert } from '../../sim/assert.ts';
import { CLIENT_RECV_MAX, CTRL_RECV, CTRL_SEND, TIMEOUT, budgetOf, recvWithin, sendWithin } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii, hex16, sameBytes } from '../lib/text.ts';
import { decodeGetReply, encodeGet, STATUS_OK } from '../statefsd/wire.ts';
import { BOOTCTL_KEY, BOOTCTL_LENGTH, BOOTCTL_VERSION } from '../updated/slots.ts';
import { archiveOf, slotOfCode, triesOf } from '../updated/wire.ts';
import type { SlotId } from '../updated/wire.ts';
import { fetchImage, setActiveSlot } from './bundlemgrd.ts';
import { MS, concat, exchangeNb, le, startsWith } from './io.ts';
import { routesTo } from './policy.ts';
import { stagedSet } from './staged-set.ts';
import { Slot } from './state.ts';
import type { SelftestState } from './state.ts';
import { UPDATED, exchangeUpdated } from './updated-exchange.ts';

const CTRL = { send: CTRL_SEND, recv: CTRL_RECV } as const;
const HEALTH_NS = 30_000 * MS;
const HEALTH_BUFFER = 16;
const HEALTH_HEAD: readonly number[] = [0x49, 0x48, 1];
const HEALTH_REPLY = 9;
const BOOTCTL_NS = 2_000 * MS;
/** Boots and updates at most while a machine that was updated before is brought back to slot A. */
const NORMALISE_BOOTS = 4;
const NORMALISE_UPDATES = 2;
const SWITCH_TRIES = 2;
const ROLLBACK_TRIES = 1;

/** S17, the part on updated. */
export function* routingUpdated(state: SelftestState): Call<boolean> {
  yield* state.say(`SELFTEST: updated slots ${hex16(UPDATED.send)} ${hex16(UPDATED.recv)}`);
  yield* state.verdict('ipc routing updated', yield* routesTo(state, 'updated', UPDATED));
  return true;
}

/** S18. */
export function* updatedProbe(state: SelftestState): Call<boolean> {
  const payload = yield* exchangeUpdated(state, { op: 'log_probe' });
  yield* state.verdict('updated probe', payload?.length === 0);
  return true;
}

/** S20: an update is staged, switched to, published and found healthy. */
export function* otaUpdate(state: SelftestState): Call<boolean> {
  yield* setActiveSlot(state, 'a');
  yield* clearPending(state);
  yield* returnToSlotA(state);
  yield* state.verdict('ota stage', yield* stage(state));
  yield* state.verdict('ota switch', yield* switchSlot(state, SWITCH_TRIES));
  yield* state.verdict('ota publish b', yield* publishes(state, 'b'));
  yield* state.verdict('ota health', yield* reportHealth(state));
  return true;
}

/** S21: an update that is never found healthy is rolled back. */
export function* otaRollback(state: SelftestState): Call<boolean> {
  yield* state.verdict('ota rollback', yield* rollsBack(state));
  return true;
}

function* rollsBack(state: SelftestState): Call<boolean> {
  if (!(yield* stage(state))) return false;
  const expected = (yield* status(state))?.active ?? null;
  if (!(yield* switchSlot(state, ROLLBACK_TRIES))) return false;
  const slot = yield* bootAttempt(state);
  return slot !== null && (expected === null || slot === expected);
}

function* clearPending(state: SelftestState): Call<void> {
  const before = yield* status(state);
  if (before?.pending !== true) return;
  for (let i = 0; i < NORMALISE_BOOTS; i++) {
    yield* bootAttempt(state);
    const now = yield* status(state);
    if (now?.pending === false) return;
    yield state.sys.yieldCpu();
  }
}

function* returnToSlotA(state: SelftestState): Call<void> {
  const before = yield* status(state);
  if (before?.active !== 'b') return;
  for (let i = 0; i < NORMALISE_UPDATES; i++) {
    if (!(yield* stage(state))) return;
    yield* switchSlot(state, SWITCH_TRIES);
    yield* reportHealth(state);
    const now = yield* status(state);
    if (now?.active === 'a') return;
    yield state.sys.yieldCpu();
  }
}

function* stage(state: SelftestState): Call<boolean> {
  yield* state.say('SELFTEST: updated stage send');
  const archive = archiveOf(stagedSet());
  assert(archive !== null, 'the staged set does not fit a STAGE request');
  return (yield* exchangeUpdated(state, { op: 'stage', archive })) !== null;
}

function* switchSlot(state: SelftestState, tries: number): Call<boolean> {
  const field = triesOf(tries);
  assert(field !== null, 'no such number of tries');
  return (yield* exchangeUpdated(state, { op: 'switch', tries: field })) !== null;
}

/** The slot rolled back to, or null. */
function* bootAttempt(state: SelftestState): Call<SlotId | null> {
  const payload = yield* exchangeUpdated(state, { op: 'boot_attempt' });
  return payload?.length === 1 ? slotOfCode(payload[0]) : null;
}

interface Status {
  readonly active: SlotId;
  readonly pending: boolean;
}

/** GET_STATUS; null without a well-formed answer. Codes of pending that are no slot count as none. */
function* status(state: SelftestState): Call<Status | null> {
  const payload = yield* exchangeUpdated(state, { op: 'get_status' });
  if (payload?.length !== 4) return null;
  const active = slotOfCode(payload[0]);
  return active === null ? null : { active, pending: slotOfCode(payload[1]) !== null };
}

/** bundlemgrd serves a `build.prop` that names the slot. */
function* publishes(state: SelftestState, slot: SlotId): Call<boolean> {
  const image = yield* fetchImage(state);
  const wanted = ascii(`ro.nexus.slot=${slot}\n`);
  const path = ascii('build.prop');
  return image?.entries.some((entry) => sameBytes(entry.path, path) && contains(entry.data, wanted)) === true;
}

function contains(bytes: Uint8Array, part: Uint8Array): boolean {
  const wanted = [...part];
  for (let at = 0; at + part.length <= bytes.length; at++) {
    if (startsWith(bytes.subarray(at), wanted)) return true;
  }
  return false;
}

/** init commits the health of the active slot. */
function* reportHealth(state: SelftestState): Call<boolean> {
  const nonce = Number(state.nonces.health.next() & 0xffff_ffffn);
  const frame = concat(HEALTH_HEAD, [1], le(nonce, 4));
  const committed = yield* exchangeNb(state, CTRL, frame, HEALTH_NS, HEALTH_BUFFER, (answer) => {
    if (answer.length !== HEALTH_REPLY || !startsWith(answer, HEALTH_HEAD)) return undefined;
    const echoed = new DataView(answer.buffer, answer.byteOffset).getUint32(5, true);
    return echoed === nonce ? answer[3] === 0x81 && answer[4] === 0 : undefined;
  });
  return committed === true;
}

/** S22: the slot state is on the disk. */
export function* bootctlPersist(state: SelftestState): Call<boolean> {
  yield* state.say('SELFTEST: bootctl persist begin');
  yield* state.verdict('bootctl persist', yield* bootctlIsStored(state));
  return true;
}

function* bootctlIsStored(state: SelftestState): Call<boolean> {
  const { sys } = state;
  const nonce = state.nonces.bootctl.next();
  const frame = encodeGet(nonce, BOOTCTL_KEY);
  if (typeof frame === 'string') return false;
  const budget = yield* budgetOf(sys, BOOTCTL_NS);
  const sent = yield* sendWithin(sys, Slot.STATEFSD, frame, budget);
  if (sent < 0) {
    if (sent === TIMEOUT) yield* state.say('SELFTEST: bootctl persist send timeout');
    return false;
  }
  const answer = { deadline: budget.deadline, round: 0 };
  let read: ReturnType<typeof decodeGetReply>;
  do {
    const received = yield* recvWithin(sys, Slot.STATEFSD_RECV, answer, CLIENT_RECV_MAX);
    if (received < 0) {
      if (received === TIMEOUT) yield* state.say('SELFTEST: bootctl persist recv timeout');
      return false;
    }
    read = decodeGetReply(sys.message.payload, nonce);
  } while (read === null && state.options.strayAnswers === true);
  return (
    read !== null &&
    read.status === STATUS_OK &&
    read.value.length === BOOTCTL_LENGTH &&
    read.value[0] === BOOTCTL_VERSION
  );
}
