/** samgrd's loop (sheet 60, sections 2.1 and 7): blocking receive, dispatch, answer. */
import { MAX_FRAME, NONBLOCK } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { unreachable } from '../../sim/assert.ts';
import { NonceGen } from '../lib/correlation.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { Inbox } from '../lib/inbox.ts';
import { CLIENT_RECV_MAX, budgetOf, movedSlot, recvRequest, routeQuery, send } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { ascii, hex } from '../lib/text.ts';
import { AppendStatus, LogLevel, encodeAppendV2 } from '../logd/wire.ts';
import { appendStatus } from '../policyd/journal.ts';
import { ServiceRegistry, serveTable } from './registry.ts';
import { routeSelf } from './self-route.ts';
import {
  decodeRequest,
  encodePong,
  encodeProbeReply,
  encodeSenderPid,
  encodeSenderServiceId,
  encodeTableReply,
  looksLikeRegister,
} from './wire.ts';

const NAME = 'samgrd';
const ERROR_TYPE = 'samgrd::os_lite::ServerError';
/** Slots where the self-route fails, which are the ones init pins. */
const FALLBACK: Route = { send: 4, recv: 3 };
const PROBE_TEXT = 'core service log probe: samgrd';
const PROBE_NS = 250_000_000;
const ACK_BUFFER = 64;

/** What an image decides about samgrd; the defaults are the contract. */
export interface SamgrdOptions {
  /** Receive buffer in bytes: 8192, with quirk receive-cut 512. Longer frames are cut to it. */
  readonly receiveMax: number;
}

export const SAMGRD_CONTRACT: SamgrdOptions = { receiveMax: MAX_FRAME };
export const SAMGRD_REFERENCE: SamgrdOptions = { receiveMax: CLIENT_RECV_MAX };

/** samgrd as a task program. */
export function samgrdProgram(options: SamgrdOptions): Program {
  return serviceProgram(NAME, function* (sys) {
    yield sys.println('samgrd: ready');
    yield sys.println('samgrd: mode os-lite');
    return yield* new Samgrd(sys, options, yield* findSlots(sys)).serve();
  });
}

function* findSlots(sys: Sys): Call<Route> {
  const routed = yield* routeSelf(sys, NAME);
  const slots = typeof routed === 'string' ? FALLBACK : routed;
  if (typeof routed === 'string') {
    yield sys.println(`samgrd: route err ${routed}`);
    yield sys.println('samgrd: route fallback');
  }
  yield sys.println('samgrd: slots logging');
  yield sys.println(`samgrd: slots ${hex(slots.recv, 8)} ${hex(slots.send, 8)}`);
  return slots;
}

/** Lines that are printed once per boot. */
type Once = 'rx' | 'capmove seen' | 'register seen';

/** The message being served, read before any further call reuses the message fields. */
interface Incoming {
  readonly frame: Uint8Array;
  readonly sender: ServiceId;
  readonly pid: number;
  /** Slot of the moved capability, -1 without. */
  readonly moved: number;
  /** The header's source field: the moved slot, 0 without one. */
  readonly source: number;
}

class Samgrd {
  readonly #sys: Sys;
  readonly #options: SamgrdOptions;
  readonly #slots: Route;
  readonly #registry = new ServiceRegistry();
  readonly #probeNonces = new NonceGen(1n);
  /** Frames that no probe wanted (COR-3). */
  #dropped = 0;
  readonly #said = new Set<Once>();

  constructor(sys: Sys, options: SamgrdOptions, slots: Route) {
    this.#sys = sys;
    this.#options = options;
    this.#slots = slots;
  }

  *serve(): Call<ServiceEnd> {
    const sys = this.#sys;
    for (;;) {
      const n = yield* recvRequest(sys, this.#slots.recv, 'forever', this.#options.receiveMax);
      if (n < 0) {
        yield sys.println('samgrd: recv err');
        return ERROR_TYPE;
      }
      const { payload, serviceId, senderPid, src } = sys.message;
      yield* this.#handle({
        frame: payload,
        sender: serviceId,
        pid: senderPid,
        moved: movedSlot(sys),
        source: src,
      });
    }
  }

  *#handle(message: Incoming): Call<void> {
    yield* this.#once('rx');
    if (message.moved >= 0) yield* this.#once('capmove seen');
    if (looksLikeRegister(message.frame)) yield* this.#once('register seen');
    const request = decodeRequest(message.frame, message.moved >= 0);
    switch (request.op) {
      case 'ping':
        // As the reference: answered on the header's slot even without a moved capability, that is on slot 0 (Q8).
        return yield* this.#replyOnCap(message.source, encodePong(request.nonce));
      case 'sender_pid':
        return yield* this.#replyOnCap(message.source, encodeSenderPid(message.pid, request.nonce));
      case 'sender_service_id':
        return yield* this.#replyOnCap(message.source, encodeSenderServiceId(message.sender, request.nonce));
      case 'log_probe':
        return yield* this.#reply(message, encodeProbeReply(yield* this.#probe()));
      case 'register':
      case 'lookup':
      case 'resolve_status':
        return yield* this.#reply(message, serveTable(this.#registry, request, message.sender));
      case 'reject':
        return yield* this.#reply(message, encodeTableReply(request.opByte, request.status));
      default:
        return unreachable(request);
    }
  }

  *#once(line: Once): Call<void> {
    if (this.#said.has(line)) return;
    this.#said.add(line);
    yield this.#sys.println(`samgrd: ${line}`);
  }

  /** On the moved capability where there is one, else blocking on the fixed slot (sheet 60, section 2.1). */
  *#reply(message: Incoming, frame: Uint8Array): Call<void> {
    if (message.moved >= 0) return yield* this.#replyOnCap(message.moved, frame);
    if ((yield* send(this.#sys, this.#slots.send, frame, 'forever')) < 0) {
      yield this.#sys.println('samgrd: send fail');
    }
  }

  /** Unlike other services, samgrd closes the slot whether or not the answer could be sent. */
  *#replyOnCap(slot: number, frame: Uint8Array): Call<void> {
    yield* send(this.#sys, slot, frame, 'now');
    yield this.#sys.capClose(slot);
  }

  /** LOG_PROBE: one record through the routed logd, its answer awaited for 250 ms (section 7.4). */
  *#probe(): Call<boolean> {
    const sys = this.#sys;
    const logd = yield* routeQuery(sys, 'logd');
    if (logd === null) return false;
    const own = yield* routeQuery(sys, '@reply');
    if (own === null) return false;
    const nonce = this.#probeNonces.next();
    const frame = encodeAppendV2(nonce, LogLevel.INFO, ascii(NAME), ascii(PROBE_TEXT));
    const clone = yield sys.capClone(own.send);
    if (clone < 0) return false;
    if ((yield sys.send(logd.send, frame, NONBLOCK, 0, clone)) < 0) {
      yield sys.capClose(clone);
      return false;
    }
    // No other client shares this inbox: what else arrives is a late answer that nobody asks for, and counts as dropped.
    const inbox = new Inbox(own.recv, true);
    const wanted = (reply: Uint8Array): boolean => appendStatus(reply, nonce) !== null;
    const ack = yield* inbox.take(sys, wanted, yield* budgetOf(sys, PROBE_NS), ACK_BUFFER);
    this.#dropped += inbox.drops;
    if (inbox.drops > 0) sys.note('inbox.dropped', this.#dropped);
    return ack !== null && appendStatus(ack, nonce) === AppendStatus.OK;
  }
}
