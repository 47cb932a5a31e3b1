/** What updated does for each request (sheet 55, sections 4 and 5.4), with its audit lines. */
import type { Sys } from '../../kernel-model/sys.ts';
import { unreachable } from '../../sim/assert.ts';
import type { Inbox } from '../lib/inbox.ts';
import { yields } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import type { NexusLog } from '../lib/nexus-log.ts';
import type { BootctlStore } from './bootctl.ts';
import { publishSlot } from './publish.ts';
import type { PublishFault } from './publish.ts';
import { isSlot } from './slots.ts';
import type { SlotFault, SlotMachine } from './slots.ts';
import { HOOK_CALLS_PER_YIELD, checkBundles, readSystemSet } from './system-set.ts';
import type { SetFault } from './system-set.ts';
import { isSigned } from './verify.ts';
import { UpdatedOp, UpdatedStatus, encodeReply, slotCode } from './wire.ts';
import type { ArchiveBytes, SlotId, Tries, UpdatedRequest } from './wire.ts';

/** Slots as init wires them (section 1.1). */
export const Slot = {
  REQUESTS: 3,
  RESPONSES: 4,
  BUNDLEMGRD: 5,
  KEYSTORED: 7,
  KEYSTORED_RECV: 8,
  STATEFSD: 9,
  INBOX_RECV: 0x0a,
  INBOX_SEND: 0x0b,
  LOGD: 0x0c,
} as const;

export const NAME = 'updated';

const KEYSTORED = { send: Slot.KEYSTORED, recv: Slot.KEYSTORED_RECV } as const;
const PUBLISH = { bundlemgrd: Slot.BUNDLEMGRD, replySend: Slot.INBOX_SEND } as const;
const NO_SLOT = 0;

type AuditOp = 'stage' | 'switch' | 'health_ok' | 'boot_attempt';
type AuditStatus = 'ok' | 'fail' | 'rollback';
type Detail = SetFault | SlotFault | PublishFault | 'persist' | `slot=${SlotId}`;

/** What the handlers work with. */
export interface UpdatedWorld {
  readonly sys: Sys;
  readonly slots: SlotMachine;
  readonly store: BootctlStore;
  readonly inbox: Inbox;
  readonly log: NexusLog;
}

/** Serves one request; its reply. */
export function* serve(world: UpdatedWorld, request: UpdatedRequest): Call<Uint8Array> {
  switch (request.op) {
    case 'stage':
      return status(UpdatedOp.STAGE, yield* stage(world, request.archive));
    case 'switch':
      return status(UpdatedOp.SWITCH, yield* switchSlot(world, request.tries));
    case 'health_ok':
      return status(UpdatedOp.HEALTH_OK, yield* commitHealth(world));
    case 'get_status':
      return encodeReply(UpdatedOp.GET_STATUS, UpdatedStatus.OK, statusPayload(world.slots));
    case 'boot_attempt':
      return yield* bootAttempt(world);
    case 'log_probe':
      yield world.sys.println('updated: log probe');
      return encodeReply(UpdatedOp.LOG_PROBE, UpdatedStatus.OK);
    default:
      return unreachable(request);
  }
}

function status(opByte: number, done: boolean): Uint8Array {
  return encodeReply(opByte, done ? UpdatedStatus.OK : UpdatedStatus.FAILED);
}

function statusPayload(slots: SlotMachine): Uint8Array {
  const { active, pending, triesLeft, healthOk } = slots.record;
  return Uint8Array.of(slotCode(active), pending === null ? NO_SLOT : slotCode(pending), triesLeft, healthOk ? 1 : 0);
}

function* stage(world: UpdatedWorld, archive: ArchiveBytes): Call<boolean> {
  const fault = yield* examine(world.sys, archive);
  if (fault !== null) {
    if (fault === 'signature' || fault === 'digest') yield world.sys.println(`updated: stage rejected (${fault})`);
    return yield* refuse(world, 'stage', fault);
  }
  // The archive is kept until the switch and serves nobody: its size is all there is to see of it.
  world.sys.note('staged-bytes', archive.length);
  world.slots.stage();
  return yield* persistAndAudit(world, 'stage');
}

/** The checks of section 5.4. Null: the archive is a signed, whole system set. */
function* examine(sys: Sys, archive: Uint8Array): Call<SetFault | null> {
  const set = readSystemSet(archive);
  sys.compute('parse', archive.length);
  if (typeof set === 'string') return set;
  if (!(yield* isSigned(sys, KEYSTORED, set))) return 'signature';
  const work = checkBundles(set);
  if (typeof work === 'string') return work;
  sys.compute('sha256-block', work.blocks);
  const pauses = Math.floor(work.hookCalls / HOOK_CALLS_PER_YIELD);
  if (pauses > 0) yield* yields(sys, pauses);
  return null;
}

function* switchSlot(world: UpdatedWorld, tries: Tries): Call<boolean> {
  const { sys, slots, inbox } = world;
  const before = slots.record.active;
  const target = slots.switchTo(tries);
  if (!isSlot(target)) return yield* refuse(world, 'switch', target);
  const fault = yield* publishSlot(sys, PUBLISH, inbox, target);
  if (fault !== null) {
    slots.rollback();
    return yield* refuse(world, 'switch', fault);
  }
  sys.note('staged-bytes', 0);
  if (!(yield* world.store.persist(slots))) {
    slots.rollback();
    yield* publishSlot(sys, PUBLISH, inbox, before);
    return yield* refuse(world, 'switch', 'persist');
  }
  yield* audit(world, 'switch', 'ok', `slot=${target}`);
  return true;
}

function* commitHealth(world: UpdatedWorld): Call<boolean> {
  const fault = world.slots.commitHealth();
  if (fault !== null) return yield* refuse(world, 'health_ok', fault);
  return yield* persistAndAudit(world, 'health_ok');
}

/** Persists even where nothing changed. */
function* bootAttempt(world: UpdatedWorld): Call<Uint8Array> {
  const target = world.slots.tickBootAttempt();
  const fault = target === null || isSlot(target) ? null : target;
  const failure = fault ?? ((yield* world.store.persist(world.slots)) ? null : 'persist');
  if (failure !== null) return status(UpdatedOp.BOOT_ATTEMPT, yield* refuse(world, 'boot_attempt', failure));
  const slot = target !== null && isSlot(target) ? target : null;
  if (slot === null) yield* audit(world, 'boot_attempt', 'ok', null);
  else yield* audit(world, 'boot_attempt', 'rollback', `slot=${slot}`);
  const code = slot === null ? NO_SLOT : slotCode(slot);
  return encodeReply(UpdatedOp.BOOT_ATTEMPT, UpdatedStatus.OK, Uint8Array.of(code));
}

/** What was changed in memory stays changed when it can not be persisted (section 17, quirk 7). */
function* persistAndAudit(world: UpdatedWorld, op: AuditOp): Call<boolean> {
  if (!(yield* world.store.persist(world.slots))) return yield* refuse(world, op, 'persist');
  yield* audit(world, op, 'ok', null);
  return true;
}

function* refuse(world: UpdatedWorld, op: AuditOp, detail: Detail): Call<boolean> {
  yield* audit(world, op, 'fail', detail);
  return false;
}

/** Section 4.1: the facade's line, then updated's own. */
function* audit(world: UpdatedWorld, op: AuditOp, outcome: AuditStatus, detail: Detail | null): Call<void> {
  const text = `op=${op} status=${outcome}${detail === null ? '' : ` detail=${detail}`}`;
  yield* world.log.info(NAME, `audit ${text}`);
  yield world.sys.println(`updated: audit (${text})`);
}
