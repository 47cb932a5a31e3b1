/** The IPC part of the kernel's self-tests: rows 31 to 38 of the boot transcript (sheet 10, sections 1.3 and 1.5). */
import { Errno, ENDPOINT_QUOTA, GLOBAL_BYTES, MAX_FRAME, OWNER_BYTES, Rights } from './abi.ts';
import type { ServiceId } from './abi.ts';
import { announceCapTable } from './announce.ts';
import { CapTable } from './captable.ts';
import { addWaiter, closeOrder, NO_OWNER, Router } from './endpoint.ts';
import type { Message, RouterLimits } from './endpoint.ts';
import { spawnReason, SpawnReason } from './errors.ts';
import type { SpawnError } from './errors.ts';
import type { Kernel } from './kernel.ts';
import { Smp } from './smp.ts';
import type { IpiPort } from './smp.ts';
import { NO_PARENT } from './task.ts';

/** What the checks are made of; tests put broken parts in. */
export interface SelftestParts {
  /** A private router without endpoints. */
  readonly newRouter: (limits: RouterLimits) => Router;
  readonly newCapTable: (slots: number) => CapTable;
  readonly reasonOf: (error: SpawnError) => number;
  /** The harts' bookkeeping, with which the boot also brings them online. */
  readonly newSmp: (port: IpiPort) => Smp;
}

export const REAL_PARTS: SelftestParts = {
  newRouter: (limits) => new Router(0, limits),
  newCapTable: (slots) => new CapTable(slots),
  reasonOf: spawnReason,
  newSmp: (port) => new Smp(port),
};

/** Outcome of one check: the text of its line after `KSELFTEST: `, and the line's level. */
export interface CheckLine {
  readonly text: string;
  readonly ok: boolean;
  /** What was seen, for the person who watches, where the line does not say it. */
  readonly seen?: string;
}

const LIMITS: RouterLimits = { globalBytes: GLOBAL_BYTES, ownerBytes: OWNER_BYTES };
/** Owner of the private routers' endpoints and of the endpoint that its owner's exit closes. */
const OWNER = 7;
const SMALL_BUDGET = 512;
const SMALL_TABLE = 8;
const NO_ID = 0n as ServiceId;

function message(len: number): Message {
  const payload = new Uint8Array(len);
  return { src: 0, dst: 0, sender: 0, ty: 0, flags: 0, len, payload, moved: null, serviceId: NO_ID };
}

function line(name: string, detail: string | null): CheckLine {
  return detail === null ? { text: `${name} ok`, ok: true } : { text: `${name} FAIL: ${detail}`, ok: false };
}

/** Null when `got` is what was expected, else both. */
function expectResult(what: string, got: number, expected: number): string | null {
  return got === expected ? null : `${what} returned ${got}, expected ${expected}`;
}

/** A record that never runs: CAPNEW, then the next pid, blocked for nothing. */
function dummy(kernel: Kernel): number {
  announceCapTable(kernel);
  const task = kernel.createTask({
    parent: NO_PARENT,
    name: 'selftest-dummy',
    serviceId: NO_ID,
    program: null,
    addressSpace: null,
    frame: { pc: 0, sp: 0, gp: 0, ra: 0, sstatus: 0 },
    guard: null,
  });
  task.state = 'blocked';
  return task.pid;
}

/** Wakes a blocked record through the kernel, without a line and without leaving it queued; true when it got unblocked. */
function unblocks(kernel: Kernel, pid: number): boolean {
  const { scheduler } = kernel;
  const lines = scheduler.linesLeft;
  scheduler.linesLeft = 0;
  const woken = kernel.wake(pid);
  scheduler.linesLeft = lines;
  scheduler.purge(pid);
  const task = kernel.tasks[pid];
  const unblocked = woken && task?.state === 'ready';
  // The record stays one that nobody can run.
  if (task !== undefined) task.state = 'blocked';
  return unblocked;
}

/** Runs the checks in the order of the transcript; a check runs when its line is asked for. */
export function* ipcChecks(kernel: Kernel, parts: SelftestParts): Generator<CheckLine, void, void> {
  yield line('ipc queue full', queueFull(kernel.router));
  yield line('ipc bytes full', bytesFull(kernel.router));
  yield line('ipc global bytes budget', globalBudget(parts));
  yield line('ipc owner bytes budget', ownerBudget(parts));
  yield line('ipc recv waiter fifo', waiterFifo(kernel, 'recv'));
  yield line('ipc send waiter fifo', waiterFifo(kernel, 'send'));
  yield line('ipc send unblock', sendUnblock(kernel));
  yield quotaLine(parts);
  yield line('ipc close wakes', closeWakes(kernel, NO_OWNER));
  yield line('ipc owner-exit wakes', closeWakes(kernel, OWNER));
  yield* spawnReasons(parts);
  kernel.uart.line(`CAP: with_capacity slots=${SMALL_TABLE}`);
  const fault = resourceSentinel(parts);
  const seen = fault ?? `${SMALL_TABLE} slots filled, one more refused, all freed, ${SMALL_TABLE} endpoints churned`;
  yield { ...line('resource sentinel', fault), seen };
}

function queueFull(router: Router): string | null {
  const id = router.create(1, NO_OWNER);
  const first = router.enqueue(id, message(0));
  return (
    expectResult('first send', first, 0) ?? expectResult('second send', router.enqueue(id, message(0)), -Errno.EAGAIN)
  );
}

function bytesFull(router: Router): string | null {
  const id = router.create(1, NO_OWNER);
  const large = router.enqueue(id, message(MAX_FRAME + 1));
  return (
    expectResult('oversized send', large, -Errno.ENOSPC) ??
    expectResult('empty send', router.enqueue(id, message(0)), 0)
  );
}

function globalBudget(parts: SelftestParts): string | null {
  const router = parts.newRouter({ globalBytes: SMALL_BUDGET, ownerBytes: OWNER_BYTES });
  const id = router.create(SMALL_TABLE, NO_OWNER);
  return budget(router, id, id);
}

function ownerBudget(parts: SelftestParts): string | null {
  const router = parts.newRouter({ globalBytes: 4096, ownerBytes: SMALL_BUDGET });
  const first = router.create(SMALL_TABLE, OWNER);
  return budget(router, first, router.create(SMALL_TABLE, OWNER));
}

/** Fills the budget through `first`, meets it at `second`, and gets through again after a receive. */
function budget(router: Router, first: number, second: number): string | null {
  const endpoint = router.endpoints[first];
  const filled = expectResult('filling send', router.enqueue(first, message(SMALL_BUDGET)), 0);
  if (filled !== null || endpoint === undefined) return filled ?? 'no endpoint';
  const over = expectResult('send beyond the budget', router.enqueue(second, message(1)), -Errno.ENOSPC);
  if (over !== null) return over;
  if (router.dequeue(endpoint) === null) return 'receive found nothing';
  return expectResult('empty send after receive', router.enqueue(second, message(0)), 0);
}

function waiterFifo(kernel: Kernel, kind: 'recv' | 'send'): string | null {
  const { router } = kernel;
  const pids = [dummy(kernel), dummy(kernel), dummy(kernel)];
  const id = router.create(1, NO_OWNER);
  const endpoint = router.endpoints[id];
  if (endpoint === undefined) return 'no endpoint';
  const waiters = kind === 'recv' ? endpoint.recvWaiters : endpoint.sendWaiters;
  if (kind === 'send') router.enqueue(id, message(0));
  for (const pid of pids) addWaiter(waiters, pid);
  if (kind === 'recv') router.enqueue(id, message(0));
  else if (router.dequeue(endpoint) === null) return 'receive found nothing';
  const popped = waiters.shift();
  for (const pid of pids) router.forget(pid);
  return popped === pids[0] ? null : `popped pid ${popped ?? -1}, expected ${pids[0] ?? -1}`;
}

function sendUnblock(kernel: Kernel): string | null {
  const { router } = kernel;
  const sender = dummy(kernel);
  dummy(kernel);
  const id = router.create(1, NO_OWNER);
  const endpoint = router.endpoints[id];
  if (endpoint === undefined) return 'no endpoint';
  const full =
    expectResult('first send', router.enqueue(id, message(0)), 0) ??
    expectResult('second send', router.enqueue(id, message(0)), -Errno.EAGAIN);
  if (full !== null) return full;
  addWaiter(endpoint.sendWaiters, sender);
  if (router.dequeue(endpoint) === null) return 'receive found nothing';
  const popped = endpoint.sendWaiters.shift() ?? -1;
  return popped === sender && unblocks(kernel, popped) ? null : 'sender still blocked';
}

function quotaLine(parts: SelftestParts): CheckLine {
  const router = parts.newRouter(LIMITS);
  let created = 0;
  let result = router.create(1, NO_OWNER);
  while (result >= 0 && created <= ENDPOINT_QUOTA) {
    created++;
    result = router.create(1, NO_OWNER);
  }
  if (created === ENDPOINT_QUOTA && result === -Errno.ENOSPC) {
    return { text: `ipc endpoint quota ok (created=${created})`, ok: true };
  }
  return { text: `ipc endpoint quota FAIL: created=${created} last=${result}`, ok: false };
}

/** Closes an endpoint, or all of an owner, with one waiter of each kind on it. */
function closeWakes(kernel: Kernel, owner: number): string | null {
  const { router } = kernel;
  const pids = [dummy(kernel), dummy(kernel)];
  const id = router.create(1, owner);
  const endpoint = router.endpoints[id];
  if (endpoint === undefined) return 'no endpoint';
  addWaiter(endpoint.recvWaiters, pids[0] ?? -1);
  addWaiter(endpoint.sendWaiters, pids[1] ?? -1);
  const waiters: number[] = [];
  if (owner === NO_OWNER) router.close(id, waiters);
  else router.closeOwnedBy(owner, waiters);
  if (router.isAlive(id)) return `endpoint ${id} still alive`;
  const woken = closeOrder(waiters).filter((pid) => unblocks(kernel, pid));
  return woken.length === pids.length && woken.every((pid, i) => pid === pids[i])
    ? null
    : `woke ${woken.join(',')}, expected ${pids.join(',')}`;
}

const REASON_CASES: readonly (readonly [error: SpawnError, reason: number])[] = [
  ['invalid-entry-point', SpawnReason.INVALID_PAYLOAD],
  ['invalid-stack-pointer', SpawnReason.INVALID_PAYLOAD],
  ['stack-exhausted', SpawnReason.OOM],
  ['cap-no-space', SpawnReason.CAP_TABLE_FULL],
  ['ipc-no-space', SpawnReason.ENDPOINT_QUOTA],
  ['as-asid-exhausted', SpawnReason.MAP_FAILED],
];

/** Reasons as the kernel prints them, index = code. */
const REASON_NAMES = [
  'unknown',
  'oom',
  'cap-table-full',
  'endpoint-quota',
  'map-failed',
  'invalid-payload',
  'denied-by-policy',
] as const;

function* spawnReasons(parts: SelftestParts): Generator<CheckLine, void, void> {
  for (const [error, expected] of REASON_CASES) {
    const got = parts.reasonOf(error);
    const name = REASON_NAMES[expected] ?? 'unknown';
    if (got !== expected) {
      const seen = REASON_NAMES[got] ?? 'unknown';
      yield { text: `spawn reason FAIL expected=${name} got=${seen}`, ok: false };
      return;
    }
    yield { text: `spawn reason ${name} ok`, ok: true };
  }
  yield { text: 'spawn reasons ok', ok: true };
}

function resourceSentinel(parts: SelftestParts): string | null {
  const table = parts.newCapTable(SMALL_TABLE);
  const cap = { kind: 'endpoint', endpoint: 0, rights: Rights.SEND } as const;
  for (let slot = 0; slot < SMALL_TABLE; slot++) if (table.allocate(cap) !== slot) return 'cap fill';
  if (table.allocate(cap) >= 0) return 'cap overflow';
  for (let slot = 0; slot < SMALL_TABLE; slot++) if (table.take(slot) === null) return 'cap free';
  if (table.allocate(cap) !== 0) return 'cap realloc';
  const router = parts.newRouter(LIMITS);
  for (let round = 0; round < SMALL_TABLE; round++) {
    const id = router.create(1, NO_OWNER);
    if (id < 0 || !router.close(id, [])) return 'endpoint churn';
  }
  return null;
}
