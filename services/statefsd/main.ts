/**
 * statefsd, the state store (sheet 50, section 11): waits for its endpoints, then serves one request after the other. The
 * block device is started by the first of them (backend.ts); what a frame means is decided in handle.ts.
 */
import { Errno } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Program, Sys, Syscall } from '../../kernel-model/sys.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import {
  budgetOf,
  CLIENT_RECV_MAX,
  CLOCK_EVERY,
  movedSlot,
  recvRequest,
  replyAndClose,
  send,
  sendWithin,
  TIMEOUT,
  yields,
} from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { denialText, sendAudit } from './audit.ts';
import { Backend, errorLine } from './backend.ts';
import { asksForChange, handleFrame } from './handle.ts';
import type { Guard } from './handle.ts';
import { CONTRACT } from './options.ts';
import type { StatefsdOptions } from './options.ts';
import { PolicyChecker } from './policy.ts';
import type { Requirement } from './policy.ts';

export const SERVICE_NAME = 'statefsd';

/** Slots as init wires them (section 11.1). */
export const Slot = { REQUESTS: 3, RESPONSES: 4, INBOX_RECV: 5, INBOX_SEND: 6, POLICYD: 7, LOGD: 8 } as const;

/** How long the service waits for its endpoints. */
export const SLOT_WAIT_NS = 10_000_000_000;
/** Rounds of that wait that look for the endpoints each time. */
const FREQUENT_LOOKS = 4096;
/** Largest request in bytes: what the kernel carries. */
export const REQUEST_MAX = 8192;

const END_ERROR = 'statefsd::os_lite::ServerError';

/** The task program; the options' default is the contract. */
export function statefsdProgram(options: StatefsdOptions = CONTRACT): Program {
  return serviceProgram(SERVICE_NAME, (sys) => new Statefsd(sys, options).run());
}

class Statefsd implements Guard<Syscall> {
  readonly #sys: Sys;
  readonly #options: StatefsdOptions;
  readonly #backend: Backend;
  readonly #policy: PolicyChecker;
  /** Where denials go; -1 without a logd. */
  #auditSlot = -1;
  #auditsLost = 0;
  #answersLost = 0;

  constructor(sys: Sys, options: StatefsdOptions) {
    this.#sys = sys;
    this.#options = options;
    this.#backend = new Backend(sys, options);
    const slots = { inboxRecv: Slot.INBOX_RECV, inboxSend: Slot.INBOX_SEND, policyd: Slot.POLICYD };
    this.#policy = new PolicyChecker(sys, slots, options.lateReplyDenies);
  }

  *run(): Call<ServiceEnd> {
    const sys = this.#sys;
    yield sys.println('statefsd: entry');
    if (!(yield* this.#awaitSlots())) return END_ERROR;
    // Slot 8 is logd's only if init has wired it by now: later, any moved capability may stand there.
    if (this.#options.auditLost || (yield* this.#present(Slot.LOGD))) this.#auditSlot = Slot.LOGD;
    const fault = yield* this.#backend.openMemory();
    if (fault !== null) {
      yield sys.println('statefsd: journal open failed (mem)');
      yield sys.println(errorLine(fault));
      return END_ERROR;
    }
    yield sys.println('statefsd: ready');
    for (;;) {
      const max = this.#options.receiveCut ? CLIENT_RECV_MAX : REQUEST_MAX;
      const received = yield* recvRequest(sys, Slot.REQUESTS, 'forever', max);
      if (received >= 0) {
        yield* this.#serve(sys.message.payload, sys.message.serviceId, movedSlot(sys));
        continue;
      }
      if (!isTransient(received)) {
        yield sys.println('statefsd: ipc error');
        yield sys.println(`statefsd: ipc ${ipcErrorName(received)}`);
        return END_ERROR;
      }
      yield sys.yieldCpu();
    }
  }

  *allows(requirement: Requirement): Call<boolean> {
    return yield* this.#policy.allows(requirement);
  }

  *denied(requirement: Requirement, sender: ServiceId): Call<void> {
    const sys = this.#sys;
    const text = denialText(requirement.path, sender);
    const line = new Uint8Array(text.length + 1);
    line.set(text);
    line[text.length] = 0x0a;
    yield sys.printBytes(line);
    const taken = this.#auditSlot >= 0 && (yield* sendAudit(sys, this.#auditSlot, Slot.INBOX_SEND, text));
    if (taken) return;
    this.#auditsLost += 1;
    sys.note('audits-lost', this.#auditsLost);
  }

  *#serve(frame: Uint8Array, sender: ServiceId, replySlot: number): Call<void> {
    const sys = this.#sys;
    yield* this.#backend.upgrade();
    const store = this.#backend.store;
    const wasReadOnly = store?.readOnly === true;
    const reply = yield* handleFrame(frame, sender, store, this, this.#options.errorDropsNonce);
    if (store?.readOnly === true && !wasReadOnly) yield sys.println('statefsd: store read-only');
    if (asksForChange(frame)) this.#backend.touched();
    if (replySlot >= 0) {
      if ((yield* replyAndClose(sys, replySlot, reply)) < 0) yield sys.println('statefsd: reply send fail');
    } else {
      yield* this.#answer(reply);
    }
  }

  /** To the fixed response endpoint, which the selftest reads (sheet 50, section 11.1). */
  *#answer(reply: Uint8Array): Call<void> {
    const sys = this.#sys;
    const wait = this.#options.answerWaitNs;
    const sent =
      wait === null
        ? yield* send(sys, Slot.RESPONSES, reply, 'forever')
        : yield* sendWithin(sys, Slot.RESPONSES, reply, yield* budgetOf(sys, wait));
    if (sent >= 0) return;
    if (wait === null || sent !== TIMEOUT) {
      yield sys.println('statefsd: send fail');
      return;
    }
    this.#answersLost += 1;
    sys.note('answers-lost', this.#answersLost);
  }

  *#awaitSlots(): Call<boolean> {
    const sys = this.#sys;
    const { deadline } = yield* budgetOf(sys, SLOT_WAIT_NS);
    const lap = new Lap();
    lap.until = deadline;
    for (let round = 0; ; round++) {
      if (round >= FREQUENT_LOOKS) yield sys.lap(lap);
      if ((yield* this.#present(Slot.REQUESTS)) && (yield* this.#present(Slot.RESPONSES))) return true;
      // init wires within a few dozen rounds. Later looks are rarer, so that the wait can be skipped.
      const rare = round >= FREQUENT_LOOKS;
      if ((rare || round % CLOCK_EVERY === 0) && (yield sys.nsec()) >= deadline) return false;
      yield* yields(sys, rare ? CLOCK_EVERY : 1);
    }
  }

  *#present(slot: number): Call<boolean> {
    const clone = yield this.#sys.capClone(slot);
    if (clone < 0) return false;
    yield this.#sys.capClose(clone);
    return true;
  }
}

function isTransient(errno: number): boolean {
  return errno === -Errno.EAGAIN || errno === -Errno.ETIMEDOUT || errno === -Errno.EPERM;
}

/** Name of a receive error in statefsd's line (section 11.3). */
function ipcErrorName(errno: number): string {
  switch (-errno) {
    case Errno.ESRCH:
      return 'no-such-endpoint';
    case Errno.ENOSPC:
      return 'no-space';
    default:
      return 'unsupported';
  }
}
