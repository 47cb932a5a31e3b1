/**
 * updated, the update service (sheet 55, sections 2 to 6): waits for its endpoints, loads the slot state from statefs, then
 * serves one request after the other. Whoever may send to it may drive the state machine.
 */
import { Errno, MAX_FRAME } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { Inbox } from '../lib/inbox.ts';
import { CLOCK_EVERY, TIMEOUT, WOULD_BLOCK, budgetOf, movedSlot, recvRequest, sendWithin } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { NexusLog } from '../lib/nexus-log.ts';
import { hex } from '../lib/text.ts';
import { StatefsClient } from '../statefsd/client.ts';
import { BootctlStore } from './bootctl.ts';
import { NAME, Slot, serve } from './handlers.ts';
import type { UpdatedWorld } from './handlers.ts';
import { UPDATED_CONTRACT } from './options.ts';
import type { UpdatedOptions } from './options.ts';
import { decodeRequest, encodeReject, hasHeader } from './wire.ts';

/** How long the service waits for its endpoints. */
export const SLOT_WAIT_NS = 10_000_000_000;
/** Receive buffer in bytes. The service has 8200 of them, for the largest STAGE; the receive takes no more than a frame. */
export const REQUEST_MAX = MAX_FRAME;
/** How long a reply is offered. */
export const REPLY_NS = 1_000_000_000;

const END_ERROR = 'updated::os_lite::ServerError';

/** The task program; the options' default is the contract. */
export function updatedProgram(options: UpdatedOptions = UPDATED_CONTRACT): Program {
  return serviceProgram(NAME, (sys) => new Updated(sys, options).run());
}

class Updated {
  readonly #sys: Sys;
  readonly #options: UpdatedOptions;
  readonly #inbox: Inbox;
  readonly #log: NexusLog;
  #requests = 0;
  #receiveErrorSaid = false;

  constructor(sys: Sys, options: UpdatedOptions) {
    this.#sys = sys;
    this.#options = options;
    const { silentSink, inboxDiscards } = options;
    this.#inbox = new Inbox(Slot.INBOX_RECV, inboxDiscards);
    this.#log = new NexusLog(sys, { service: NAME, sink: true, silentSink, inboxDiscards }, this.#inbox);
  }

  *run(): Call<ServiceEnd> {
    const sys = this.#sys;
    yield sys.println('updated: entry');
    if (!(yield* this.#awaitSlots())) return END_ERROR;
    // init hands over all of the service's slots in one go.
    if (!this.#options.sinkUnconfigured) yield* this.#log.configure(Slot.LOGD, Slot.INBOX_SEND, Slot.INBOX_RECV);
    yield sys.println(`updated: slots ${hex(Slot.REQUESTS, 4)} ${hex(Slot.RESPONSES, 4)}`);
    yield sys.println('updated: statefs init');
    const client = new StatefsClient(sys, Slot.STATEFSD, Slot.INBOX_SEND, this.#inbox);
    yield sys.println('updated: statefs slot fallback');
    yield sys.println('updated: statefs available');
    const store = new BootctlStore(sys, client);
    const slots = yield* store.load();
    yield sys.println('updated: ready (statefs)');
    return yield* this.#loop({ sys, slots, store, inbox: this.#inbox, log: this.#log });
  }

  *#loop(world: UpdatedWorld): Call<never> {
    const sys = this.#sys;
    for (;;) {
      const received = yield* recvRequest(sys, Slot.REQUESTS, 'forever', REQUEST_MAX);
      if (received >= 0) {
        yield* this.#answer(world, sys.message.payload, movedSlot(sys));
        continue;
      }
      if (received !== WOULD_BLOCK && received !== TIMEOUT && !this.#receiveErrorSaid) {
        this.#receiveErrorSaid = true;
        yield sys.println(`updated: recv err kernel=${kernelErrorName(received)}`);
      }
      yield sys.yieldCpu();
    }
  }

  *#answer(world: UpdatedWorld, frame: Uint8Array, replySlot: number): Call<void> {
    const sys = this.#sys;
    const first = this.#requests === 0;
    this.#requests += 1;
    if (first) {
      yield sys.println('updated: rx');
      const [b0, b1, b2] = frame;
      if (b0 !== undefined && b1 !== undefined && b2 !== undefined)
        yield sys.println(`updated: rx head ${hex(b0, 2)} ${hex(b1, 2)} ${hex(b2, 2)}`);
    }
    if (hasHeader(frame)) yield sys.println(`updated: rx op ${hex(frame[3] ?? 0, 2)}`);
    if (first) yield* this.#log.info(NAME, 'core service log probe: updated');
    if (replySlot >= 0) yield sys.println('updated: capmove');
    const request = decodeRequest(frame);
    const reply = request.op === 'reject' ? encodeReject(request) : yield* serve(world, request);
    if (replySlot < 0) {
      if ((yield* this.#offer(Slot.RESPONSES, reply)) < 0) yield sys.println('updated: send fail');
      return;
    }
    yield sys.println(`updated: tx op ${hex(reply[3] ?? 0, 2)}`);
    yield sys.println(`updated: replycap slot=0x${hex(replySlot, 8)}`);
    if ((yield* this.#offer(replySlot, reply)) < 0) yield sys.println('updated: send cap fail');
    yield sys.capClose(replySlot);
  }

  *#offer(slot: number, reply: Uint8Array): Call<number> {
    return yield* sendWithin(this.#sys, slot, reply, yield* budgetOf(this.#sys, REPLY_NS));
  }

  *#awaitSlots(): Call<boolean> {
    const sys = this.#sys;
    const { deadline } = yield* budgetOf(sys, SLOT_WAIT_NS);
    // From one look at the clock to the next nothing is remembered: where init has died, they are all alike.
    const lap = new Lap();
    lap.until = deadline;
    for (let round = 0; ; round++) {
      if (round % CLOCK_EVERY === 0) yield sys.lap(lap);
      if ((yield* this.#present(Slot.REQUESTS)) && (yield* this.#present(Slot.RESPONSES))) return true;
      if (round % CLOCK_EVERY === 0 && (yield sys.nsec()) >= deadline) return false;
      yield sys.yieldCpu();
    }
  }

  *#present(slot: number): Call<boolean> {
    const clone = yield this.#sys.capClone(slot);
    if (clone < 0) return false;
    yield this.#sys.capClose(clone);
    return true;
  }
}

/** Name of a receive error in updated's line; empty queues and deadlines never get there. */
function kernelErrorName(errno: number): string {
  switch (-errno) {
    case Errno.ENOSPC:
      return 'NoSpace';
    case Errno.ESRCH:
      return 'NoSuchEndpoint';
    case Errno.EPERM:
      return 'PermissionDenied';
    default:
      return 'Unsupported';
  }
}
