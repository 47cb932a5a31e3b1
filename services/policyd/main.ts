/**
 * policyd's loop (sheet 30, sections 1 and 7): three channels, at most one message each per pass, never blocking in a
 * receive. Decision, audit, line, answer, in this order.
 */
import { Errno, NONBLOCK, TRUNCATE } from '../../kernel-model/abi.ts';
import { Lap } from '../../kernel-model/sys.ts';
import type { Program, Sys } from '../../kernel-model/sys.ts';
import { serviceProgram } from '../lib/entry.ts';
import { movedSlot, replyAndClose, send } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { decide, isPrivilegedSender } from './decide.ts';
import type { Caller, Decision, DecisionRules } from './decide.ts';
import { Journal } from './journal.ts';
import type { PolicydOptions } from './options.ts';
import { PolicyStatus, decodeRequest, encodeReply, replyTo } from './wire.ts';
import type { DecidedRequest, PolicyReply } from './wire.ts';

/** A channel. On init's control channels the position alone makes the sender privileged (sheet 30, Q4). */
interface Channel {
  readonly recv: number;
  readonly reply: number;
  readonly control: boolean;
}

const CHANNELS: readonly Channel[] = [
  { recv: 5, reply: 6, control: true },
  { recv: 7, reply: 8, control: true },
  { recv: 3, reply: 4, control: false },
];
const RECV_SLOTS: readonly number[] = CHANNELS.map((channel) => channel.recv);

/** Windows whose questions policyd says aloud. */
const MMIO_CAPABILITY = /^device\.mmio\.(net|rng|blk)$/;

/** Passes in which a missing channel is looked for each time, as in the reference; init wires within a few dozen. */
const UNWIRED_PASSES = 4096;
/** Rounds between later looks. */
const REPROBE_ROUNDS = 128;

/** policyd as a task program. */
export function policydProgram(options: PolicydOptions): Program {
  return serviceProgram('policyd', function* (sys) {
    yield sys.println('policyd: ready');
    return yield* new Policyd(sys, options).serve();
  });
}

class Policyd {
  readonly #sys: Sys;
  readonly #options: PolicydOptions;
  readonly #rules: DecisionRules;
  readonly #journal: Journal;

  constructor(sys: Sys, options: PolicydOptions) {
    this.#sys = sys;
    this.#options = options;
    this.#rules = {
      policy: options.policy,
      capCheckAsSender: options.capCheckAsSender,
    };
    this.#journal = new Journal(sys, options);
  }

  *serve(): Call<never> {
    yield* this.#serveUnwired();
    const sys = this.#sys;
    // A pass that finds nothing runs inside the kernel. The poll ends at the first channel with a message, having looked
    // at those before it, so the pass goes on from there; after a message the next pass follows without a yield.
    for (;;) {
      sys.beginPoll().slots = RECV_SLOTS;
      const first = yield sys.runPoll();
      if (!(yield* this.#pass(Math.max(first, 0))).served) yield sys.yieldCpu();
    }
  }

  /** Until init has filled the three receive slots. An empty slot is no channel yet: its error counts as "no message". */
  *#serveUnwired(): Call<void> {
    const sys = this.#sys;
    const eager = new Lap(UNWIRED_PASSES);
    const rare = new Lap();
    for (;;) {
      const lap = eager.count < eager.limit ? eager : rare;
      yield sys.lap(lap);
      const { served, present } = yield* this.#pass(0);
      if (served) lap.state += 1;
      const wired = present.length === RECV_SLOTS.length;
      if (wired || lap === eager) {
        if (!served) yield sys.yieldCpu();
        if (wired) return;
        continue;
      }
      // An init that died never wires: now look for new slots only now and then, so that the wait can be skipped.
      const poll = sys.beginPoll();
      poll.slots = present;
      poll.maxRounds = REPROBE_ROUNDS;
      yield sys.runPoll();
    }
  }

  /** One pass from the channel with index `from`: whether it served a message, and which receive slots are not empty. */
  *#pass(from: number): Call<{ readonly served: boolean; readonly present: readonly number[] }> {
    const sys = this.#sys;
    const present: number[] = [];
    let served = false;
    for (let i = from; i < CHANNELS.length; i++) {
      const channel = CHANNELS[i];
      if (channel === undefined) break;
      const n = yield sys.recvV2(channel.recv, this.#options.receiveMax, NONBLOCK | TRUNCATE);
      if (n !== -Errno.EPERM) present.push(channel.recv);
      if (n < 0) continue;
      served = true;
      yield* this.#handle(channel);
    }
    return { served, present };
  }

  /** Serves the message that was just received; a full reply queue drops the answer (sheet 30, section 1.2). */
  *#handle(channel: Channel): Call<void> {
    const sys = this.#sys;
    const moved = movedSlot(sys);
    const sender = sys.message.serviceId;
    const caller: Caller = {
      sender,
      privileged: channel.control || isPrivilegedSender(sender),
    };
    const answer = encodeReply(yield* this.#answer(sys.message.payload, caller));
    if (moved >= 0) yield* replyAndClose(sys, moved, answer);
    else yield* send(sys, channel.reply, answer, 'now');
  }

  *#answer(frame: Uint8Array, caller: Caller): Call<PolicyReply> {
    const { sender } = caller;
    const decoded = decodeRequest(frame);
    if (!decoded.ok) {
      yield* this.#journal.audit({
        request: null,
        reply: decoded.reply,
        sender,
      });
      return decoded.reply;
    }
    const { request } = decoded;
    if (request.op === 'log_probe') {
      const logged = yield* this.#journal.probe();
      return replyTo(request, logged ? PolicyStatus.ALLOW : PolicyStatus.UNSUPPORTED);
    }
    const decision = decide(this.#rules, request, caller);
    const reply = replyTo(request, decision === 'allow' ? PolicyStatus.ALLOW : PolicyStatus.DENY);
    yield* this.#journal.audit({ request, reply, sender });
    const line = mmioLine(request, decision, caller);
    if (line !== null) yield this.#sys.println(line);
    return reply;
  }
}

/** The line about a device window (sheet 30, section 7), null for other questions. */
export function mmioLine(request: DecidedRequest, decision: Decision, caller: Caller): string | null {
  if (request.op !== 'check_cap') return null;
  const window = MMIO_CAPABILITY.exec(request.capability)?.[1];
  if (window === undefined) return null;
  return `policyd: mmio ${window} ${decision} ${caller.privileged ? 'priv' : 'nonpriv'}`;
}
