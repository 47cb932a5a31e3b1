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
import { hex16 } from './text.ts';

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
/** After this time a missing ack does not come any more: logd gives a reply up after 15 s (sheet 40, section 6.2). ns. */
export const ACK_WAIT_NS = 15_000_000_000;
/** Acks that can be on their way: logd's queue and the inbox, both full. Beyond it the oldest counts as not seen. */
export const SINK_ACKS_MAX = 72;
/** Longest text of a line, bytes; longer ones are replaced (sheet 40, section 9.2). */
export const TEXT_MAX = 16_384;

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
  /** Times of sending of the lines whose acks have not been seen, oldest first. */
  readonly #unacked: number[] = [];
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
  /** A 32-bit mask. */
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
  *trace(target: string, text: string): Call<void> {
    yield* this.line('TRACE', target, text);
  }

  /** Prints one line where level and topics allow it, then offers it to the sink. */
  *line(level: Level, target: string, text: string, topics = TOPIC_GENERAL): Call<void> {
    if (LEVEL_NUMBER[level] > this.#maxLevel) return;
    if ((~this.#topicMask & topics) !== 0) return;
    const bytes = this.#encoder.encode(`[${level} ${target}] ${bounded(text)}\n`);
    yield this.#sys.printBytes(bytes);
    if (this.#options.sink) yield* this.#offer(level, target, bytes);
  }

  /**
   * `configure_sink_logd_slots` (sheet 40, section 9.4): probes each slot by clone and close. False, and nothing stored,
   * when one does not clone; slots configured earlier stay then, otherwise the sink finds logd by routing. A slot 0 that
   * clones is stored but never used: from then on the sink routes (section 24).
   */
  *configure(logdSend: number, replySend: number, replyRecv: number): Call<boolean> {
    if (!this.#options.sink) return false;
    for (const slot of [logdSend, replySend, replyRecv]) {
      const clone = yield this.#sys.capClone(slot);
      if (clone < 0) return false;
      yield this.#sys.capClose(clone);
    }
    if (logdSend !== 0 && replySend !== 0 && replyRecv !== 0) this.#use({ logdSend, replySend, replyRecv });
    else this.#slots = null;
    return true;
  }

  /** Waits until one more line of this task was acknowledged with OK, at most `ns`. */
  *awaitAck(ns: number): Call<boolean> {
    const before = this.#accepted;
    const inbox = this.#inbox;
    if (inbox === null || this.#unacked.length === 0) return false;
    const budget = yield* budgetOf(this.#sys, ns);
    while (this.#accepted === before) {
      const ack = yield* inbox.take(this.#sys, isAppendAckV1, budget, SINK_DRAIN_BUFFER);
      if (ack === null) {
        this.#unacked.shift();
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

  /** Stores usable slots for the life of the process. */
  #use(slots: SinkSlots): void {
    const { logdSend, replySend, replyRecv } = slots;
    this.#slots = logdSend !== 0 && replySend !== 0 && replyRecv !== 0 ? slots : null;
    if (this.#inbox?.slot !== replyRecv) this.#inbox = new Inbox(replyRecv, this.#options.inboxDiscards);
  }

  /** Offers a line to logd: one APPEND with the line's own ack to come, then the acks of earlier lines (section 9.3). */
  *#offer(level: Level, target: string, line: Uint8Array): Call<void> {
    const sys = this.#sys;
    const slots = this.#slots ?? (yield* this.#discover());
    if (slots === null) return yield* this.#lost('route');
    const scope = this.#encoder.encode(target).subarray(0, SINK_SCOPE_MAX);
    const clone = yield sys.capClone(slots.replySend);
    if (clone < 0) return yield* this.#lost('clone');
    const frame = encodeAppendV1(WIRE_LEVEL[level], scope, messageOf(line));
    const sent = yield sys.send(slots.logdSend, frame, NONBLOCK, 0, clone);
    // As the reference, the drain also happens after a failed send (section 24).
    const empty = yield* this.#readAcks();
    if (sent < 0) {
      // The kernel put the clone back into its slot. The reference leaves it there until the table is full.
      if (!this.#options.silentSink) yield sys.capClose(clone);
      return yield* this.#lost(sent === WOULD_BLOCK ? 'queue-full' : 'send');
    }
    yield* this.#expectAck(empty);
  }

  /** Reads the acks that have come, at most {@link SINK_DRAIN_FRAMES}. True when the inbox is empty now. */
  *#readAcks(): Call<boolean> {
    const inbox = this.#inbox;
    if (inbox === null) return true;
    let refused = 0;
    const got = yield* inbox.drain(this.#sys, SINK_DRAIN_FRAMES, SINK_DRAIN_BUFFER, (reply) => {
      if (!isAppendAckV1(reply)) return false;
      if (this.#ack(reply) !== AppendStatus.OK) refused += 1;
      return true;
    });
    for (; refused > 0; refused--) yield* this.#lost('status');
    return got < SINK_DRAIN_FRAMES;
  }

  /** Notes that one more ack is to come, and gives up those that are overdue in an empty inbox. */
  *#expectAck(empty: boolean): Call<void> {
    const unacked = this.#unacked;
    if (this.#options.silentSink) {
      // Nobody hears of losses: no clock, and only the number of acks matters (awaitAck).
      unacked.push(0);
      if (unacked.length > SINK_ACKS_MAX) unacked.shift();
      return;
    }
    const now = yield this.#sys.nsec();
    unacked.push(now);
    for (let oldest = unacked[0]; oldest !== undefined; oldest = unacked[0]) {
      if (unacked.length <= SINK_ACKS_MAX && !(empty && now - oldest >= ACK_WAIT_NS)) return;
      unacked.shift();
      yield* this.#lost('ack-not-seen');
    }
  }

  /** Routed discovery: `logd`, then the own inbox. Null: no sink for this line, the next one tries again. */
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
    this.#unacked.shift();
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

/**
 * The text, or what stands for one that is too long. The address that the reference prints there is unknown to this
 * facade: it holds no pointer of its caller (NLG-5).
 */
function bounded(text: string): string {
  // A UTF-16 unit takes three bytes of UTF-8 at most.
  if (text.length * 3 <= TEXT_MAX) return text;
  const bytes = new TextEncoder().encode(text).length;
  return bytes <= TEXT_MAX ? text : `<bad-str ptr=0x${hex16(0)} len=${bytes}>`;
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
