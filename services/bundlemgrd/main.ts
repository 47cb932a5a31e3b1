/** bundlemgrd's loop (sheet 55, section 10): blocking receive, dispatch, answer. What it serves is the active slot's image. */
import { Errno, NONBLOCK } from '../../kernel-model/abi.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { unreachable } from '../../sim/assert.ts';
import { NonceGen } from '../lib/correlation.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { Inbox } from '../lib/inbox.ts';
import { TIMEOUT, WOULD_BLOCK, budgetOf, movedSlot, recvRequest, replyAndClose, routeQuery, send } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { MetricsProducer } from '../lib/metrics-producer.ts';
import { NexusLog } from '../lib/nexus-log.ts';
import { ascii } from '../lib/text.ts';
import { AppendStatus, LogLevel, appendPrefixV2, encodeAppendV2 } from '../logd/wire.ts';
import { routeSelf } from '../samgrd/self-route.ts';
import type { SlotId } from '../updated/wire.ts';
import { slotCode } from '../updated/wire.ts';
import { systemImage } from './image.ts';
import { producedMetrics, unroutedMetrics } from './metrics.ts';
import type { BundleMetrics } from './metrics.ts';
import { BUNDLEMGRD_CONTRACT } from './options.ts';
import type { BundlemgrdOptions } from './options.ts';
import { routeStatus } from './route-status.ts';
import {
  BUNDLE_COUNT,
  BundleOp,
  BundleStatus,
  RouteStatus,
  decodeRequest,
  encodeImageReply,
  encodeReject,
  encodeReply,
} from './wire.ts';
import type { BundleRequest, Reject } from './wire.ts';

const NAME = 'bundlemgrd';
const END_ERROR = 'bundlemgrd::os_lite::ServerError';

/** Slots as init wires them (section 1.1); metricsd under the contract alone. */
export const Slot = { REQUESTS: 3, RESPONSES: 4, INBOX_RECV: 7, INBOX_SEND: 8, LOGD: 9, METRICSD: 0x0a } as const;
/** Slots where the self-route fails, which are the ones init pins. */
const FALLBACK: Route = { send: Slot.RESPONSES, recv: Slot.REQUESTS };

const PROBE_TEXT = 'core service log probe: bundlemgrd';
const PROBE_NS = 250_000_000;
const ACK_BUFFER = 64;

/** bundlemgrd as a task program; the options' default is the contract. */
export function bundlemgrdProgram(options: BundlemgrdOptions = BUNDLEMGRD_CONTRACT): Program {
  return serviceProgram(NAME, (sys) => new Bundlemgrd(sys, options).run());
}

class Bundlemgrd {
  readonly #sys: Sys;
  readonly #options: BundlemgrdOptions;
  readonly #inbox: Inbox;
  readonly #log: NexusLog;
  #metrics: BundleMetrics;
  readonly #probeNonces = new NonceGen(1n);
  #routeNonce = 1;
  #active: SlotId = 'a';
  #requests = 0;

  constructor(sys: Sys, options: BundlemgrdOptions) {
    this.#sys = sys;
    this.#options = options;
    const { silentSink, inboxDiscards } = options;
    this.#inbox = new Inbox(Slot.INBOX_RECV, inboxDiscards);
    this.#log = new NexusLog(sys, { service: NAME, sink: true, silentSink, inboxDiscards }, this.#inbox);
    this.#metrics = options.metricsUnrouted ? unroutedMetrics(sys) : producedMetrics(null);
  }

  *run(): Call<ServiceEnd> {
    const sys = this.#sys;
    yield sys.println('bundlemgrd: ready');
    const routed = yield* routeSelf(sys, NAME);
    if (typeof routed === 'string') {
      yield sys.println(`bundlemgrd: route err ${routed}`);
      yield sys.println('bundlemgrd: route fallback');
    }
    const slots = typeof routed === 'string' ? FALLBACK : routed;
    yield* this.#findPeers();
    for (;;) {
      const received = yield* recvRequest(sys, slots.recv, 'forever', this.#options.receiveMax);
      if (received >= 0) {
        yield* this.#answer(sys.message.payload, movedSlot(sys), slots.send);
        continue;
      }
      if (received !== WOULD_BLOCK && received !== TIMEOUT) {
        yield sys.println(`bundlemgrd: recv ${receiveFault(received)}`);
        return END_ERROR;
      }
      yield sys.yieldCpu();
    }
  }

  /** init hands over all slots in one go, so what is not there before the first request never will be. */
  *#findPeers(): Call<void> {
    const sys = this.#sys;
    if (!this.#options.sinkUnconfigured) yield* this.#log.configure(Slot.LOGD, Slot.INBOX_SEND, Slot.INBOX_RECV);
    if (this.#options.metricsUnrouted) return;
    const clone = yield sys.capClone(Slot.METRICSD);
    if (clone < 0) return;
    yield sys.capClose(clone);
    const slots = { metricsd: Slot.METRICSD, replySend: Slot.INBOX_SEND };
    this.#metrics = producedMetrics(new MetricsProducer(sys, slots, this.#inbox));
  }

  *#answer(frame: Uint8Array, replySlot: number, sendSlot: number): Call<void> {
    if (this.#requests === 0) yield* this.#log.info(NAME, PROBE_TEXT);
    this.#requests += 1;
    const reply = yield* this.#serve(decodeRequest(frame));
    if (replySlot >= 0) yield* replyAndClose(this.#sys, replySlot, reply, 'forever');
    else yield* send(this.#sys, sendSlot, reply, 'forever');
  }

  *#serve(request: BundleRequest | Reject): Call<Uint8Array> {
    switch (request.op) {
      case 'list':
        yield* this.#metrics.count('bundlemgrd.list.ok');
        return encodeReply(BundleOp.LIST, BundleStatus.OK, BUNDLE_COUNT);
      case 'route_status': {
        const status = yield* routeStatus(this.#sys, request.target, this.#nextRouteNonce());
        const outcome = status === RouteStatus.OK ? 'ok' : 'fail';
        yield* this.#metrics.count(`bundlemgrd.route_status.${outcome}`);
        return encodeReply(BundleOp.ROUTE_STATUS, BundleStatus.OK, status);
      }
      case 'fetch_image': {
        const image = systemImage(this.#active);
        yield* this.#metrics.count('bundlemgrd.fetch.ok');
        yield* this.#metrics.imageBytes(image.length);
        return encodeImageReply(image);
      }
      case 'set_active_slot':
        this.#active = request.slot;
        yield* this.#metrics.count('bundlemgrd.slot_switch.ok');
        yield this.#sys.println(`bundlemgrd: slot ${request.slot} active`);
        return encodeReply(BundleOp.SET_ACTIVE_SLOT, BundleStatus.OK, slotCode(request.slot));
      case 'log_probe': {
        const taken = yield* this.#probe();
        return encodeReply(BundleOp.LOG_PROBE, taken ? BundleStatus.OK : BundleStatus.UNSUPPORTED);
      }
      case 'reject':
        return encodeReject(request);
      default:
        return unreachable(request);
    }
  }

  #nextRouteNonce(): number {
    const nonce = this.#routeNonce;
    this.#routeNonce = (nonce + 1) >>> 0;
    return nonce;
  }

  /** LOG_PROBE: one record through the routed logd, its answer awaited for 250 ms. */
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
    const inbox = own.recv === this.#inbox.slot ? this.#inbox : new Inbox(own.recv, this.#options.inboxDiscards);
    const wanted = (reply: Uint8Array): boolean => ackStatus(reply, nonce) !== null;
    const ack = yield* inbox.take(sys, wanted, yield* budgetOf(sys, PROBE_NS), ACK_BUFFER);
    return ack !== null && ackStatus(ack, nonce) === AppendStatus.OK;
  }
}

/** Status of the APPEND answer with this nonce; null for any other frame. */
function ackStatus(frame: Uint8Array, nonce: bigint): number | null {
  const answer = appendPrefixV2(frame);
  return typeof answer !== 'string' && answer.nonce === nonce ? answer.status : null;
}

/** Name of a receive error in the line before the end. */
function receiveFault(errno: number): string {
  switch (-errno) {
    case Errno.ENOSPC:
      return 'nospace';
    case Errno.ESRCH:
      return 'disconnected';
    case Errno.EINVAL:
      return 'unsupported';
    default:
      return 'kernel';
  }
}
