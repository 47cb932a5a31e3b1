/**
 * nexus-log, the logging facade of every user task, with its logd sink (sheet 40, section 9; RFC-0024 "Sink wiring").
 * A line always goes to the UART; with the sink it is then offered to logd, best effort and never blocking.
 *
 * Contract: what the sink loses is counted per cause in notes and said once on the UART; frames of other clients on the
 * shared inbox are kept for them. Quirk silent-sink: losses leave no trace.
 */
import { NONBLOCK } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import { AppendStatus, LogLevel, encodeAppendV1, isAppendAckV1 } from '../logd/wire.ts';
import type { WireLogLevel } from '../logd/wire.ts';
import { Inbox } from './inbox.ts';
import { WOULD_BLOCK, budgetOf, routeQuery } from './ipc.ts';
import type { Call } from './ipc.ts';

/** Facade levels (sheet 40, section 9.1). */
export type Level = 'ERROR' | 'WARN' | 'INFO' | 'DEBUG' | 'TRACE';
const LEVEL_NUMBER: Readonly<Record<Level, number>> = { ERROR: 1, WARN: 2, INFO: 3, DEBUG: 4, TRACE: 5 };
const WIRE_LEVEL: Readonly<Record<Level, WireLogLevel>> = {
  ERROR: LogLevel.ERROR,
  WARN: LogLevel.WARN,
  INFO: LogLevel.INFO,
  DEBUG: LogLevel.DEBUG,
  TRACE: LogLevel.TRACE,
};

/** Topic bit of ordinary lines; the process mask starts with all bits set. */
export const TOPIC_GENERAL = 1;
/** Bytes of a line that the sink captures; the UART gets all. */
export const CAPTURE_MAX = 320;
/** Message and scope bytes of a sink frame. */
export const SINK_MESSAGE_MAX = 256;
export const SINK_SCOPE_MAX = 64;
/** Frames drained from the reply inbox after each line, and the receive buffer. */
export const SINK_DRAIN_FRAMES = 4;
export const SINK_DRAIN_BUFFER = 64;
/** Acks that may be outstanding before the oldest counts as not seen: the depth of a reply inbox. */
export const SINK_ACKS_MAX = 8;

/** Why logd did not take a line (quirks.md, silent-sink). */
export type SinkLoss = 'route' | 'clone' | 'queue-full' | 'send' | 'status' | 'ack-not-seen';

/** Options of one task's facade. */
export interface NexusLogOptions {
  /** Name of the task, for its degraded line and notes. */
  readonly service: string;
  /** Built with the logd sink. */
  readonly sink: boolean;
  /** quirk silent-sink. */
  readonly silentSink: boolean;
  /** quirk inbox-discards, used where the facade has to open its own view of the inbox. */
  readonly inboxDiscards: boolean;
}

interface SinkSlots {
  readonly logdSend: number;
  readonly replySend: number;
  readonly replyRecv: number;
}

/** One task's facade. */
export class NexusLog {
  #maxLevel = LEVEL_NUMBER.DEBUG;
  #topicMask = 0xffff_ffff;
  #slots: SinkSlots | null = null;
  #inbox: Inbox | null;
  #outstanding = 0;
  #degraded = false;
  #accepted = 0;
  readonly #losses = new Map<SinkLoss, number>();
  readonly #sys: Sys;
  readonly #options: NexusLogOptions;
  readonly #encoder = new TextEncoder();

  /** `inbox`: the task's reply inbox where it has other readers; it must be the one the sink's slots name. */
  constructor(sys: Sys, options: NexusLogOptions, inbox: Inbox | null = null) {
    this.#sys = sys;
    this.#options = options;
    this.#inbox = inbox;
  }

  /** Lines that logd acknowledged with OK and that this task has seen. */
  get accepted(): number {
    return this.#accepted;
  }

  setMaxLevel(level: Level): void {
    this.#maxLevel = LEVEL_NUMBER[level];
  }
  setTopicMask(mask: number): void {
    this.#topicMask = mask >>> 0;
  }

  *error(target: string, text: string): Call<void> {
    yield* this.line('ERROR', target, text);
  }
  *warn(target: string, text: string): Call<void> {
    yield* this.line('WARN', target, text);
  }
  *info(target: string, text: string): Call<void> {
    yield* this.line('INFO', target, text);
  }
  *debug(target: string, text: string): Call<void> {
    yield* this.line('DEBUG', target, text);
  }

  /** Prints one line where level and topics allow it, then offers it to the sink. */
  *line(level: Level, target: string, text: string, topics = TOPIC_GENERAL): Call<void> {
    if (LEVEL_NUMBER[level] > this.#maxLevel) return;
    if (topics !== 0 && (this.#topicMask & topics) !== topics) return;
    const bytes = this.#encoder.encode(`[${level} ${target}] ${text}\n`);
    yield this.#sys.printBytes(bytes);
    if (this.#options.sink) yield* this.#offer(level, target, bytes);
  }

  /**
   * `configure_sink_logd_slots` (sheet 40, section 9.4): probes each slot by clone and close. False, and nothing stored,
   * when one does not clone; then the sink finds logd by routing.
   */
  *configure(logdSend: number, replySend: number, replyRecv: number): Call<boolean> {
    if (!this.#options.sink) return false;
    for (const slot of [logdSend, replySend, replyRecv]) {
      const clone = yield this.#sys.capClone(slot);
      if (clone < 0) return false;
      yield this.#sys.capClose(clone);
    }
    if (logdSend !== 0 && replySend !== 0 && replyRecv !== 0) this.#use({ logdSend, replySend, replyRecv });
    return true;
  }

  /** Waits until one more line of this task was acknowledged with OK, at most `ns`. */
  *awaitAck(ns: number): Call<boolean> {
    const before = this.#accepted;
    const inbox = this.#inbox;
    if (inbox === null || this.#outstanding === 0) return false;
    const budget = yield* budgetOf(this.#sys, ns);
    while (this.#accepted === before) {
      const ack = yield* inbox.take(this.#sys, isAppendAckV1, budget, SINK_DRAIN_BUFFER);
      if (ack === null) {
        yield* this.#lost('ack-not-seen');
        return false;
      }
      const status = this.#ack(ack);
      if (status !== AppendStatus.OK) {
        yield* this.#lost('status');
        return false;
      }
    }
    return true;
  }

  #use(slots: SinkSlots): void {
    this.#slots = slots;
    if (this.#inbox?.slot !== slots.replyRecv) this.#inbox = new Inbox(slots.replyRecv, this.#options.inboxDiscards);
  }

  *#offer(level: Level, target: string, line: Uint8Array): Call<void> {
    const sys = this.#sys;
    const slots = this.#slots ?? (yield* this.#discover());
    if (slots === null) return yield* this.#lost('route');
    const frame = encodeAppendV1(
      WIRE_LEVEL[level],
      this.#encoder.encode(target).subarray(0, SINK_SCOPE_MAX),
      messageOf(line),
    );
    const clone = yield sys.capClone(slots.replySend);
    if (clone < 0) return yield* this.#lost('clone');
    const sent = yield sys.send(slots.logdSend, frame, NONBLOCK, 0, clone);
    if (sent >= 0) this.#outstanding += 1;
    // As the reference, the drain also happens after a failed send (sheet 40, section 24).
    let refused = false;
    const inbox = this.#inbox;
    if (inbox !== null) {
      yield* inbox.drain(sys, SINK_DRAIN_FRAMES, SINK_DRAIN_BUFFER, (reply) => {
        if (!isAppendAckV1(reply)) return false;
        if (this.#ack(reply) !== AppendStatus.OK) refused = true;
        return true;
      });
    }
    if (sent < 0) {
      // The kernel put the clone back into its slot. The reference leaves it there (sheet 40, Q-8).
      if (!this.#options.silentSink) yield sys.capClose(clone);
      yield* this.#lost(sent === WOULD_BLOCK ? 'queue-full' : 'send');
    }
    if (refused) yield* this.#lost('status');
    if (this.#outstanding > SINK_ACKS_MAX) {
      this.#outstanding -= 1;
      yield* this.#lost('ack-not-seen');
    }
  }

  *#discover(): Call<SinkSlots | null> {
    const logd = yield* routeQuery(this.#sys, 'logd');
    if (logd === null) return null;
    const reply = yield* routeQuery(this.#sys, '@reply');
    if (reply === null) return null;
    const slots = { logdSend: logd.send, replySend: reply.send, replyRecv: reply.recv };
    this.#use(slots);
    return slots;
  }

  /** Accounts one ack; returns its status. */
  #ack(reply: Uint8Array): number {
    if (this.#outstanding > 0) this.#outstanding -= 1;
    const status = reply[4] ?? AppendStatus.MALFORMED;
    if (status === AppendStatus.OK) this.#accepted += 1;
    return status;
  }

  *#lost(cause: SinkLoss): Call<void> {
    if (this.#options.silentSink) return;
    const count = (this.#losses.get(cause) ?? 0) + 1;
    this.#losses.set(cause, count);
    this.#sys.note(`log-sink.${cause}`, count);
    if (this.#degraded) return;
    this.#degraded = true;
    yield this.#sys.println(`${this.#options.service}: log sink degraded`);
  }
}

const LF = 0x0a;
const CLOSE = 0x5d;
const SPACE = 0x20;

/** The message of a captured line: one trailing LF off, then all after the first `] `, cut (sheet 40, 9.3 step 3 and 24). */
export function messageOf(line: Uint8Array): Uint8Array {
  let captured = line.subarray(0, CAPTURE_MAX);
  if (captured[captured.length - 1] === LF) captured = captured.subarray(0, captured.length - 1);
  for (let i = 0; i + 1 < captured.length; i++) {
    if (captured[i] === CLOSE && captured[i + 1] === SPACE) {
      captured = captured.subarray(i + 2);
      break;
    }
  }
  return captured.subarray(0, SINK_MESSAGE_MAX);
}
