/**
 * execd's loop (sheet 60, sections 2.1 and 6): one request at a time, answered blocking on the fixed slot. A WAIT_PID keeps
 * everybody else waiting until that child has ended.
 */
import { Errno, serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { unreachable } from '../../sim/assert.ts';
import { serviceProgram } from '../lib/entry.ts';
import { Inbox } from '../lib/inbox.ts';
import { budgetOf, recvRequest, routeQuery, send, sendWithin, yields } from '../lib/ipc.ts';
import type { Call, Route } from '../lib/ipc.ts';
import { NexusLog } from '../lib/nexus-log.ts';
import { RoutedMetrics } from '../lib/routed-metrics.ts';
import { CRASH_SCOPE, crashAppend, crashLogLine, crashReportLine, sendFailure } from './crash.ts';
import type { Crash } from './crash.ts';
import { ExecCheck } from './exec-check.ts';
import { TrackedChildren, UNKNOWN_NAME } from './images.ts';
import { SpawnMetrics } from './metrics.ts';
import { execdContract } from './options.ts';
import type { ExecdOptions } from './options.ts';
import { ExecdOp, ExecdStatus, decodeRequest, encodeReply, shortReply, waitReply } from './wire.ts';
import type { ExecdReply, ExecdRequest, Requester } from './wire.ts';

const NAME = 'execd';
/** Slots where the self-route fails, which are the ones init pins; and those of the reply inbox and of logd. */
const FALLBACK: Route = { send: 4, recv: 3 };
const INBOX_RECV = 5;
const INBOX_SEND = 6;
const LOGD_SEND = 7;

/** The name with two ids, and its second one (sheet 60, section 6.3 and Q1). */
const ALIASED_NAME = 'selftest-client';
const ALIAS_ID = 0x68c1_66c3_7bcd_7154n;

/** Attempts to append a crash record, and the budget of each, ns. */
const APPEND_ATTEMPTS = 8;
const APPEND_NS = 2_000_000_000;
/** Failed receives in a row that are each tried again after one yield; then only now and then. */
const EAGER_RECEIVES = 4096;
const LAZY_YIELDS = 128;
/** Errnos that the syscall wrapper knows; others pass as success (sheet 60, Q23). */
const KNOWN_ERRORS: readonly number[] = [
  Errno.EPERM,
  Errno.ESRCH,
  Errno.ECHILD,
  Errno.ENOMEM,
  Errno.EINVAL,
  Errno.ENOSPC,
  Errno.ENOSYS,
];
/** Code of a WAIT_PID answer that has none. */
const NO_CODE = -1;

/** execd as a task program. */
export function execdProgram(options: ExecdOptions = execdContract()): Program {
  return serviceProgram(NAME, function* (sys) {
    yield sys.println('execd: entry');
    yield sys.println('execd: ready');
    return yield* new Execd(sys, options).serve();
  });
}

class Execd {
  readonly #sys: Sys;
  readonly #options: ExecdOptions;
  readonly #children = new TrackedChildren();
  readonly #check: ExecCheck;
  readonly #metrics: SpawnMetrics;
  readonly #log: NexusLog;
  #sinkConfigured: boolean;

  constructor(sys: Sys, options: ExecdOptions) {
    const { inboxDiscards, silentSink } = options;
    const inbox = new Inbox(INBOX_RECV, inboxDiscards);
    const routed = new RoutedMetrics(sys, { replySend: INBOX_SEND, inbox, unrouted: options.metricsUnrouted });
    this.#sys = sys;
    this.#options = options;
    this.#check = new ExecCheck(sys, options.stashAuthorises);
    this.#metrics = new SpawnMetrics(sys, routed, options.spanRequesterId);
    this.#log = new NexusLog(sys, { service: NAME, sink: true, silentSink, inboxDiscards }, inbox);
    this.#sinkConfigured = options.sinkSlotsUnused;
  }

  *serve(): Call<never> {
    const sys = this.#sys;
    const own = (yield* routeQuery(sys, NAME)) ?? FALLBACK;
    yield* this.#configureSink();
    const lap = new Lap();
    for (let failures = 0; ;) {
      if (failures > EAGER_RECEIVES) yield sys.lap(lap);
      if ((yield* recvRequest(sys, own.recv, 'forever', this.#options.receiveMax)) < 0) {
        failures += 1;
        yield* yields(sys, failures <= EAGER_RECEIVES ? 1 : LAZY_YIELDS);
        continue;
      }
      failures = 0;
      lap.state += 1;
      const { payload, serviceId } = sys.message;
      yield* this.#configureSink();
      yield* send(sys, own.send, encodeReply(yield* this.#answer(payload, serviceId)), 'forever');
    }
  }

  /** Once, when the three slots are there: init may still be wiring when execd starts. */
  *#configureSink(): Call<void> {
    if (this.#sinkConfigured) return;
    this.#sinkConfigured = yield* this.#log.configure(LOGD_SEND, INBOX_SEND, INBOX_RECV);
  }

  *#answer(frame: Uint8Array, sender: ServiceId): Call<ExecdReply> {
    const request = decodeRequest(frame);
    switch (request.op) {
      case 'exec_image':
        return yield* this.#exec(request, sender);
      case 'wait_pid':
        return yield* this.#wait(request.pid);
      case 'report_exit': {
        const name = this.#children.nameOf(request.pid);
        if (name === null) return shortReply(ExecdOp.REPORT_EXIT, ExecdStatus.FAILED, request.pid);
        if (request.code !== 0) yield* this.#crashed({ pid: request.pid, code: request.code, name });
        return shortReply(ExecdOp.REPORT_EXIT, ExecdStatus.OK, request.pid);
      }
      case 'reject':
        return shortReply(request.opByte, request.status);
      default:
        return unreachable(request);
    }
  }

  /** Section 6.3: identity, policy, then the image. */
  *#exec(request: Extract<ExecdRequest, { op: 'exec_image' }>, sender: ServiceId): Call<ExecdReply> {
    const sys = this.#sys;
    const { requester, image } = request;
    const reply = (status: ExecdStatus, pid = 0): ExecdReply => shortReply(ExecdOp.EXEC_IMAGE, status, pid);
    const claimed = nameOf(requester);
    if (!isSender(claimed, sender)) {
      yield* this.#metrics.denied();
      yield* this.#sayMismatch(requester, sender, serviceIdOf(claimed));
      yield sys.println('execd: spawn denied (id mismatch)');
      return reply(ExecdStatus.DENIED);
    }
    const verdict = yield* this.#check.ask(requester, image);
    if (verdict === 'failed') return reply(ExecdStatus.FAILED);
    if (verdict !== 'allowed') {
      yield* this.#metrics.denied();
      yield sys.println(`execd: spawn denied (${verdict === 'malformed' ? 'policy malformed' : 'policy'})`);
      return reply(ExecdStatus.DENIED);
    }
    const program = this.#options.images.get(image);
    if (program === undefined) return reply(ExecdStatus.UNSUPPORTED);
    const span = yield* this.#metrics.begin(sender);
    const result = yield sys.exec(program.elf, Math.max(1, request.stackPages), 0);
    const failed = KNOWN_ERRORS.includes(-result);
    const pid = result >>> 0;
    if (!failed) this.#children.add(pid, program.name);
    yield* this.#metrics.end(span, !failed);
    return failed ? reply(ExecdStatus.FAILED) : reply(ExecdStatus.OK, pid);
  }

  /** The requester's bytes go out as they came. */
  *#sayMismatch(requester: Requester, sender: ServiceId, expected: ServiceId): Call<void> {
    const sys = this.#sys;
    yield sys.print(`execd: spawn id mismatch sender=${sender} expected=${expected} requester=`);
    yield sys.printBytes(requester);
    yield sys.print('\n');
  }

  /** Section 6.5: blocks execd until the child has ended. Nobody is asked whose child it is. */
  *#wait(asked: number): Call<ExecdReply> {
    const sys = this.#sys;
    const pid = yield sys.wait(asked | 0);
    if (pid < 0) return waitReply(ExecdStatus.FAILED, asked, NO_CODE);
    const code = sys.waitStatus;
    if (code !== 0) yield* this.#crashed({ pid, code, name: this.#children.nameOf(pid) ?? UNKNOWN_NAME });
    return waitReply(ExecdStatus.OK, pid, code);
  }

  /** Section 6.7: UART, log line, record, in this order. */
  *#crashed(crash: Crash): Call<void> {
    yield this.#sys.println(crashReportLine(crash));
    const { level, text } = crashLogLine(crash);
    yield* this.#log.line(level, CRASH_SCOPE, text);
    const appended = yield* this.#append(crashAppend(crash, !this.#options.crashFieldsEmpty));
    yield this.#sys.println(`execd: crash logd append ${appended ? 'ok' : 'fail'}`);
  }

  /** The record has no reply capability: that logd took it into its queue is all that is known. */
  *#append(frame: Uint8Array): Call<boolean> {
    const sys = this.#sys;
    for (let attempt = 0; attempt < APPEND_ATTEMPTS; attempt++) {
      const result = yield* sendWithin(sys, LOGD_SEND, frame, yield* budgetOf(sys, APPEND_NS));
      if (result >= 0) return true;
      yield sys.println(`execd: crash logd send ${sendFailure(result)}`);
      if (result === -Errno.ESRCH) yield* this.#describeSlot();
      yield sys.yieldCpu();
    }
    return false;
  }

  *#describeSlot(): Call<void> {
    const sys = this.#sys;
    const found = (yield sys.capQuery(LOGD_SEND)) >= 0;
    yield sys.println(`execd: crash logd slot ${found ? `kind=${sys.query.kind}` : 'query err'}`);
  }
}

/** One character per byte, as ids are computed. */
function nameOf(requester: Requester): string {
  return String.fromCharCode(...requester);
}

/** True when the kernel's sender id is that of the claimed name. */
function isSender(claimed: string, sender: ServiceId): boolean {
  return serviceIdOf(claimed) === sender || (claimed === ALIASED_NAME && sender === ALIAS_ID);
}
