/**
 * Access control of statefsd (sheet 50, section 10): every request needs a capability that policyd grants to its sender.
 * statefsd decides nothing itself (OBS-19); it asks by delegated check and denies whatever it cannot get an answer to.
 */
import { NONBLOCK, serviceIdOf, TRUNCATE } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { budgetOf, CLOCK_EVERY, sendWithin, TIMEOUT, WOULD_BLOCK } from '../lib/ipc.ts';
import type { Budget, Call } from '../lib/ipc.ts';
import { ascii } from '../lib/text.ts';
import { unreachable } from '../../sim/assert.ts';
import { capabilityName, decodeReply, encodeRequest, policyNonce, PolicyOp, PolicyStatus } from '../policyd/wire.ts';
import type { PolicyNonce } from '../policyd/wire.ts';
import type { StatefsRequest } from './wire.ts';

/** Capabilities of policyd's set that guard the store. */
export type StatefsCapability = 'statefs.keystore' | 'statefs.boot' | 'statefs.write' | 'statefs.read';

const KEYSTORE_PREFIX = '/state/keystore/';
const BOOT_PREFIX = '/state/boot/';

/** metricsd as one kernel build numbered it (sheet 10, Q1); requests about keys are asked for under its real id. */
const METRICSD_ALIAS = 0xed20_5ae1_e47c_393dn as ServiceId;
const METRICSD = serviceIdOf('metricsd');

/** SYNC and REOPEN concern no key; denials name this path. */
export const WHOLE_STORE = '/state';

const READ: readonly StatefsCapability[] = ['statefs.read'];
const WRITE: readonly StatefsCapability[] = ['statefs.write'];
const KEYSTORE: readonly StatefsCapability[] = ['statefs.keystore'];
const BOOT: readonly StatefsCapability[] = ['statefs.boot'];
const BOOT_OR_WRITE: readonly StatefsCapability[] = ['statefs.boot', 'statefs.write'];

/** What to ask policyd before serving a request: one of `anyOf`, in order, for `subject`. */
export interface Requirement {
  readonly subject: ServiceId;
  readonly anyOf: readonly StatefsCapability[];
  /** Named in the denial. */
  readonly path: string;
}

/** The requirement of a request from `sender` (section 10.1). */
export function requirementOf(request: StatefsRequest, sender: ServiceId): Requirement {
  switch (request.kind) {
    case 'put':
    case 'del':
      return keyRequirement(request.key, WRITE, sender);
    case 'get':
      return keyRequirement(request.key, READ, sender);
    case 'list':
      return keyRequirement(request.prefix, READ, sender);
    case 'sync':
    case 'reopen':
      return { subject: sender, anyOf: BOOT_OR_WRITE, path: WHOLE_STORE };
    default:
      return unreachable(request);
  }
}

function keyRequirement(path: string, otherwise: readonly StatefsCapability[], sender: ServiceId): Requirement {
  const subject = sender === METRICSD_ALIAS ? METRICSD : sender;
  if (path.startsWith(KEYSTORE_PREFIX)) return { subject, anyOf: KEYSTORE, path };
  if (path.startsWith(BOOT_PREFIX)) return { subject, anyOf: BOOT, path };
  return { subject, anyOf: otherwise, path };
}

/** Time for one check, both ways. */
export const CHECK_BUDGET_NS = 2_000_000_000;
/** Receive buffer of a check: longer than an answer, so that a frame cut to it is none. */
const CHECK_BUFFER = 16;

/** The slots a checker works with. */
export interface CheckSlots {
  readonly inboxRecv: number;
  readonly inboxSend: number;
  readonly policyd: number;
}

/** Asks policyd. Silence, errors and anything but ALLOW deny (OBS-23). */
export class PolicyChecker {
  readonly #sys: Sys;
  readonly #slots: CheckSlots;
  readonly #lateReplyDenies: boolean;
  #lastNonce = 0;
  #skipped = 0;

  /** `lateReplyDenies`: an answer with another nonce denies at once (quirk `late-reply-denies`). */
  constructor(sys: Sys, slots: CheckSlots, lateReplyDenies: boolean) {
    this.#sys = sys;
    this.#slots = slots;
    this.#lateReplyDenies = lateReplyDenies;
  }

  /** Checks the capabilities of a requirement in order; later ones only while the earlier ones deny. */
  *allows(requirement: Requirement): Call<boolean> {
    for (const capability of requirement.anyOf) {
      if (yield* this.#check(requirement.subject, capability)) return true;
    }
    return false;
  }

  *#check(subject: ServiceId, capability: StatefsCapability): Call<boolean> {
    const sys = this.#sys;
    const nonce = policyNonce(this.#lastNonce + 1);
    this.#lastNonce = nonce;
    const reply = yield sys.capClone(this.#slots.inboxSend);
    if (reply < 0) return false;
    const budget = yield* budgetOf(sys, CHECK_BUDGET_NS);
    const sent = yield* sendWithin(sys, this.#slots.policyd, encodeCheck(nonce, subject, capability), budget, reply);
    // After any other failure the clone stays in the table, as in the real library.
    if (sent < 0 && sent !== TIMEOUT) return false;
    yield sys.capClose(reply);
    if (sent < 0) return false;
    return yield* this.#answer(nonce, { deadline: budget.deadline, round: 0 });
  }

  *#answer(nonce: PolicyNonce, budget: Budget): Call<boolean> {
    const sys = this.#sys;
    for (;;) {
      const poll = sys.beginPoll();
      poll.slots = [this.#slots.inboxRecv];
      poll.deadline = budget.deadline;
      poll.clockEvery = CLOCK_EVERY;
      poll.round = budget.round;
      const ended = yield sys.runPoll();
      budget.round = poll.round;
      if (ended < 0) return false;
      const received = yield sys.recv(this.#slots.inboxRecv, CHECK_BUFFER, NONBLOCK | TRUNCATE);
      if (received < 0 && received !== WOULD_BLOCK) return false;
      const answer = received < 0 ? null : checkAnswer(sys.message.payload);
      if (answer !== null && answer.nonce === nonce) return answer.status === PolicyStatus.ALLOW;
      if (answer !== null && this.#lateReplyDenies) return false;
      // Not ours: logd's acknowledgements of audit records, and answers to checks that were given up (COR-3).
      if (received >= 0) this.#countSkipped(answer === null ? 'foreign' : 'late');
      if (budget.round % CLOCK_EVERY === 0 && (yield sys.nsec()) >= budget.deadline) return false;
      budget.round += 1;
    }
  }

  #countSkipped(kind: 'foreign' | 'late'): void {
    this.#skipped += 1;
    this.#sys.note(`policy-inbox-skipped-${kind}`, this.#skipped);
  }
}

/** CHECK_CAP_DELEGATED, version 2 (section 10.3). */
function encodeCheck(nonce: PolicyNonce, subject: ServiceId, capability: StatefsCapability): Uint8Array {
  const name = capabilityName(ascii(capability));
  return encodeRequest({ op: 'check_cap_delegated', version: 2, nonce, subject, capability: name });
}

/** An answer to some delegated check of ours; null for any other frame. */
function checkAnswer(frame: Uint8Array): { readonly nonce: PolicyNonce; readonly status: number } | null {
  const reply = decodeReply(frame);
  return reply?.version === 2 && reply.op === PolicyOp.CHECK_CAP_DELEGATED ? reply : null;
}
