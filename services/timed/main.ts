/** timed's loop (sheet 60, sections 2.1 and 8): one request at a time; a sleep keeps everybody else waiting. */
import { MAX_FRAME } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { unreachable } from '../../sim/assert.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { Inbox } from '../lib/inbox.ts';
import { CLIENT_RECV_MAX, movedSlot, recvRequest, replyAndClose, send } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { hist } from '../lib/nexus-metrics.ts';
import { NonceRouter } from '../lib/nonce-route.ts';
import { RoutedMetrics } from '../lib/routed-metrics.ts';
import { MAX_SLEEP_NS, TimerTable, coalesce } from './timers.ts';
import { TimedOp, TimedStatus, decodeRequest, deadlineNs, encodeReply, rejectReply, timerId } from './wire.ts';
import type { DeadlineNs, TimedNonce, TimedReply, TimedRequest } from './wire.ts';

const NAME = 'timed';
const ERROR_TYPE = 'timed::os_lite::TimedError';
/** Reply inbox, wired for metrics alone (quirks.md, metrics-unrouted). */
const INBOX_RECV = 5;
const INBOX_SEND = 6;

const METRIC = 'timed.coalesce.delta_ns';
const LABELS = 'svc=timed\n';
const NO_TIMER = timerId(0);
const NO_TIME = deadlineNs(0n);

/** What an image decides about timed; the defaults are the contract. */
export interface TimedOptions {
  /** Receive buffer in bytes: 8192, with quirk receive-cut 512. Longer frames are cut to it. */
  readonly receiveMax: number;
  /** quirk metrics-unrouted: init does not tell timed where metricsd is. */
  readonly metricsUnrouted: boolean;
  /** quirk inbox-discards. */
  readonly inboxDiscards: boolean;
}

export const TIMED_CONTRACT: TimedOptions = { receiveMax: MAX_FRAME, metricsUnrouted: false, inboxDiscards: false };
export const TIMED_REFERENCE: TimedOptions = {
  receiveMax: CLIENT_RECV_MAX,
  metricsUnrouted: true,
  inboxDiscards: true,
};

/** timed as a task program. */
export function timedProgram(options: TimedOptions = TIMED_CONTRACT): Program {
  return serviceProgram(NAME, function* (sys) {
    const own = yield* new NonceRouter(sys).lookup(NAME);
    if (own === null) return ERROR_TYPE;
    yield sys.println('timed: ready');
    return yield* new Timed(sys, options, own).serve();
  });
}

class Timed {
  readonly #sys: Sys;
  readonly #receiveMax: number;
  readonly #own: Route;
  readonly #metrics: RoutedMetrics;
  readonly #timers = new TimerTable();
  #saidAllow = false;

  constructor(sys: Sys, options: TimedOptions, own: Route) {
    this.#sys = sys;
    this.#receiveMax = options.receiveMax;
    this.#own = own;
    this.#metrics = new RoutedMetrics(sys, {
      replySend: INBOX_SEND,
      inbox: new Inbox(INBOX_RECV, options.inboxDiscards),
      unrouted: options.metricsUnrouted,
    });
  }

  *serve(): Call<ServiceEnd> {
    const sys = this.#sys;
    for (;;) {
      if ((yield* recvRequest(sys, this.#own.recv, 'forever', this.#receiveMax)) < 0) return ERROR_TYPE;
      const { payload, serviceId } = sys.message;
      const moved = movedSlot(sys);
      const reply = encodeReply(yield* this.#answer(payload, serviceId));
      if (moved >= 0) yield* replyAndClose(sys, moved, reply);
      else yield* send(sys, this.#own.send, reply, 'forever');
    }
  }

  *#answer(frame: Uint8Array, sender: ServiceId): Call<TimedReply> {
    const request = decodeRequest(frame);
    switch (request.op) {
      case 'register':
        return yield* this.#register(request, sender);
      case 'cancel': {
        const status = this.#timers.cancel(sender, request.id) ? TimedStatus.OK : TimedStatus.NOT_FOUND;
        return { kind: 'short', opByte: TimedOp.CANCEL, status, nonce: request.nonce };
      }
      case 'sleep_until':
        return yield* this.#sleep(request.nonce, coalesce(request.deadline, request.qos));
      case 'reject':
        if (request.meant === 'register') yield* this.#deny('malformed');
        return rejectReply(request);
      default:
        return unreachable(request);
    }
  }

  /** Section 8.4: table, metric, audit line, answer, in this order. */
  *#register(request: Extract<TimedRequest, { op: 'register' | 'sleep_until' }>, owner: ServiceId): Call<TimedReply> {
    const { nonce, qos, deadline } = request;
    const result = this.#timers.register(owner, qos, deadline);
    if (!result.ok) {
      yield* this.#deny(result.reason);
      const status = result.reason === 'over_limit' ? TimedStatus.OVER_LIMIT : TimedStatus.INVALID_ARGS;
      return { kind: 'register', status, nonce, id: NO_TIMER, coalesced: NO_TIME };
    }
    const { id, coalesced } = result;
    const metricsd = yield* this.#metrics.backend();
    if (metricsd !== null) yield* hist(metricsd, METRIC, coalesced - deadline, LABELS);
    if (!this.#saidAllow) {
      this.#saidAllow = true;
      yield this.#sys.println('timed: audit register decision=allow reason=applied');
    }
    return { kind: 'register', status: TimedStatus.OK, nonce, id, coalesced };
  }

  *#deny(reason: 'malformed' | 'invalid_args' | 'over_limit'): Call<void> {
    yield this.#sys.println(`timed: audit register decision=deny reason=${reason}`);
  }

  /** Section 8.6: the clock is read in every round of the wait. */
  *#sleep(nonce: TimedNonce, coalesced: DeadlineNs | null): Call<TimedReply> {
    const sys = this.#sys;
    if (coalesced === null) return { kind: 'sleep', status: TimedStatus.INVALID_ARGS, nonce, wake: NO_TIME };
    let now = yield sys.nsec();
    if (now < 0) return { kind: 'sleep', status: TimedStatus.INTERNAL, nonce, wake: NO_TIME };
    if (coalesced > BigInt(now) + MAX_SLEEP_NS) {
      return { kind: 'sleep', status: TimedStatus.INVALID_ARGS, nonce, wake: deadlineNs(BigInt(now)) };
    }
    while (now < coalesced) {
      const poll = sys.beginPoll();
      // At most two seconds ahead, so exact as a number.
      poll.deadline = Number(coalesced);
      poll.clockEvery = 1;
      yield sys.runPoll();
      now = yield sys.nsec();
    }
    return { kind: 'sleep', status: TimedStatus.OK, nonce, wake: deadlineNs(BigInt(now)) };
  }
}
