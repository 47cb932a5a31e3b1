/**
 * metricsd (sheet 40, sections 10 to 14): takes metrics and spans from producers, exports each accepted event to logd
 * through nexus-log, and retains it in the store.
 */
import { CAP_MOVE, NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { serviceProgram } from '../lib/entry.ts';
import type { ServiceEnd } from '../lib/entry.ts';
import { Inbox } from '../lib/inbox.ts';
import {
  CTRL_RECV,
  CTRL_SEND,
  ROUTE_BUFFER,
  TIMEOUT,
  WOULD_BLOCK,
  decodeRouteResponse,
  encodeRouteGet,
  recvRequest,
  replyAndClose,
  send,
} from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { NexusLog } from '../lib/nexus-log.ts';
import { RECIPE, defaultConfig, parseConfig } from './config.ts';
import { MetricsCore } from './core.ts';
import type { Handled, RejectClass } from './core.ts';
import { senderId } from './registry.ts';
import { Retention, SEGMENT_MAX_BYTES } from './retention.ts';
import { RetentionWriter } from './writer.ts';

/** Plain options of one metricsd; {@link METRICSD_CONTRACT} keeps the contract. */
export interface MetricsdOptions {
  /** Text of the embedded recipe. */
  readonly recipe: string;
  /** Receive buffer for requests, bytes; longer frames are cut. */
  readonly receiveMax: number;
  /** Largest value of a retained segment, bytes; Infinity: only the record count rotates. */
  readonly segmentMaxBytes: number;
  /** Say ready before logd has acknowledged anything. */
  readonly readyBeforeProof: boolean;
  /** Write to the store without reading its acknowledgements. */
  readonly walUnacknowledged: boolean;
  /** Rollup windows count events instead of virtual time. */
  readonly rollupByCount: boolean;
  /** Replies to frames that do not decode carry nonce 0. */
  readonly errorDropsNonce: boolean;
  /** Readers of the reply inbox drop frames they do not know. */
  readonly inboxDiscards: boolean;
  /** Losses of the log sink leave no trace. */
  readonly silentSink: boolean;
  /** Replace secrets in span attributes. */
  readonly redact: boolean;
  /** Count rejects per class in notes. */
  readonly countRejects: boolean;
}

/** The contract (RFC-0024). */
export const METRICSD_CONTRACT: MetricsdOptions = {
  recipe: RECIPE,
  receiveMax: 8192,
  segmentMaxBytes: SEGMENT_MAX_BYTES,
  readyBeforeProof: false,
  walUnacknowledged: false,
  rollupByCount: false,
  errorDropsNonce: false,
  inboxDiscards: false,
  silentSink: false,
  redact: true,
  countRejects: true,
};

/** Name of the service, its route, and its target and scope in the log. */
export const METRICSD = 'metricsd';
/** Fixed slots beside the routed pair (sheet 40, section 1.2). */
export const REPLY_RECV_SLOT = 5;
export const REPLY_SEND_SLOT = 6;
export const STORE_SLOT = 7;
export const LOGD_SLOT = 8;
/** Nonce of the self-route, the first and only one of its counter. */
export const ROUTE_NONCE = 1;
/** First record of metricsd: what logd has to acknowledge before `metricsd: ready`. */
export const READY_RECORD = 'core service log probe: metricsd';
/** How long metricsd waits for that acknowledgement before it starts to serve without having said ready, ns. */
export const READY_ACK_NS = 2_000_000_000;

const ERROR_TYPE = 'metricsd::os_lite::MetricsError';

const REJECT_MARKER: Readonly<Record<RejectClass, string | null>> = {
  'invalid-args': 'metricsd: reject invalid_args',
  'over-limit': 'metricsd: reject over_limit',
  'rate-limited': 'metricsd: reject rate_limited',
  'not-found': null,
};

/** The service as a task program. */
export function metricsdProgram(options: MetricsdOptions = METRICSD_CONTRACT): Program {
  return serviceProgram(METRICSD, (sys) => run(sys, options));
}

function* run(sys: Sys, options: MetricsdOptions): Call<ServiceEnd> {
  const route = yield* routeSelf(sys);
  if (route === null) return ERROR_TYPE;
  const inbox = new Inbox(REPLY_RECV_SLOT, options.inboxDiscards);
  const log = new NexusLog(
    sys,
    { service: METRICSD, sink: true, silentSink: options.silentSink, inboxDiscards: options.inboxDiscards },
    inbox,
  );
  yield* log.configure(LOGD_SLOT, REPLY_SEND_SLOT, REPLY_RECV_SLOT);
  const ready = new ReadyLine(sys, log);
  if (options.readyBeforeProof) yield* ready.say();
  else yield* ready.prove();

  const parsed = parseConfig(options.recipe);
  if (!parsed.ok) yield sys.println('metricsd: config fallback defaults');
  const config = parsed.ok ? parsed.config : defaultConfig();
  const core = new MetricsCore(config, options);
  const writer = new RetentionWriter(
    sys,
    new Retention(config.retention, options),
    config.retention,
    { store: STORE_SLOT, replySend: REPLY_SEND_SLOT },
    inbox,
    log,
    options.walUnacknowledged,
  );
  const rejects = new RejectReport(sys, options.countRejects);

  let fallbackClock = 0;
  for (;;) {
    const got = yield* recvRequest(sys, route.recv, 'forever', options.receiveMax);
    if (got === WOULD_BLOCK || got === TIMEOUT) {
      yield sys.yieldCpu();
      continue;
    }
    if (got < 0) return ERROR_TYPE;
    // The message object is reused by every later receive.
    const { payload, src, flags, serviceId } = sys.message;
    const clock = yield sys.nsec();
    const now = clock >= 0 ? clock : ++fallbackClock;

    const handled: Handled = core.handle(payload, senderId(serviceId), now);
    if (handled.event !== null) {
      yield* log.info(METRICSD, handled.event.texts.log);
      yield* ready.sayOnceAcknowledged();
      yield* writer.keep(handled.event.kind, handled.event.texts.record, now);
    }
    if (handled.reject !== null) yield* rejects.report(handled.reject);
    if ((flags & CAP_MOVE) !== 0) yield* replyAndClose(sys, src, handled.response, 'now');
    else yield* send(sys, route.send, handled.response, 'now');
  }
}

/** Asks init for metricsd's own endpoints until it answers OK (12.1, step 1). Null: the control channel failed. */
function* routeSelf(sys: Sys): Call<Route | null> {
  const query = encodeRouteGet(METRICSD, ROUTE_NONCE);
  for (;;) {
    sys.beginPoll().sendSlots = [CTRL_SEND];
    if ((yield sys.runPoll()) < 0) return null;
    const sent = yield sys.send(CTRL_SEND, query, NONBLOCK);
    if (sent === WOULD_BLOCK) continue;
    if (sent < 0) return null;
    const answer = yield* routeAnswer(sys);
    if (answer === null) return null;
    const response = decodeRouteResponse(answer);
    if (response === null) return null;
    if (response.status === 0) return { send: response.send, recv: response.recv };
  }
}

/** Length of a route answer that carries the nonce extension. */
const NONCE_ANSWER_LEN = 17;

/** The answer to {@link ROUTE_NONCE} without its nonce; frames of other queries are ignored. */
function* routeAnswer(sys: Sys): Call<Uint8Array | null> {
  for (;;) {
    sys.beginPoll().slots = [CTRL_RECV];
    if ((yield sys.runPoll()) < 0) return null;
    const got = yield sys.recv(CTRL_RECV, ROUTE_BUFFER, NONBLOCK | TRUNCATE);
    if (got === WOULD_BLOCK) continue;
    if (got < 0) return null;
    const frame = sys.message.payload;
    if (frame.length !== NONCE_ANSWER_LEN) continue;
    const echoed = new DataView(frame.buffer, frame.byteOffset).getUint32(NONCE_ANSWER_LEN - 4, true);
    if (echoed === ROUTE_NONCE) return frame.subarray(0, NONCE_ANSWER_LEN - 4);
  }
}

/** The ready line, printed once. */
class ReadyLine {
  readonly #sys: Sys;
  readonly #log: NexusLog;
  #said = false;

  constructor(sys: Sys, log: NexusLog) {
    this.#sys = sys;
    this.#log = log;
  }

  *say(): Call<void> {
    if (this.#said) return;
    this.#said = true;
    yield this.#sys.println('metricsd: ready');
  }

  /** Logs a first record and says ready when logd acknowledges it (RFC-0024, "no fake success"). */
  *prove(): Call<void> {
    yield* this.#log.info(METRICSD, READY_RECORD);
    // The line's own drain may have read the acknowledgement already.
    if (this.#log.accepted > 0 || (yield* this.#log.awaitAck(READY_ACK_NS))) yield* this.say();
  }

  /** For a logd that was slow or away at the start: any later acknowledgement is the proof as well. */
  *sayOnceAcknowledged(): Call<void> {
    if (!this.#said && this.#log.accepted > 0) yield* this.say();
  }
}

/** Markers (once per class and process) and counters of rejects. */
class RejectReport {
  readonly #sys: Sys;
  readonly #counting: boolean;
  readonly #counts = new Map<RejectClass, number>();

  constructor(sys: Sys, counting: boolean) {
    this.#sys = sys;
    this.#counting = counting;
  }

  *report(reject: RejectClass): Call<void> {
    const count = (this.#counts.get(reject) ?? 0) + 1;
    this.#counts.set(reject, count);
    if (this.#counting) this.#sys.note(`reject.${reject.replace('-', '_')}`, count);
    const marker = REJECT_MARKER[reject];
    if (count === 1 && marker !== null) yield this.#sys.println(marker);
  }
}
