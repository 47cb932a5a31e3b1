/**
 * policyd's way into logd (sheet 30, section 6.3): one APPEND at a time, its answer awaited on the reply inbox. policyd
 * serves nobody meanwhile; the wait is bounded (COR-4).
 */
import type { Sys } from '../../kernel-model/sys.ts';
import { NonceGen } from '../lib/correlation.ts';
import { Inbox } from '../lib/inbox.ts';
import { budgetOf, sendWithin } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import { ascii } from '../lib/text.ts';
import { AppendStatus, LogLevel, appendPrefixV2, encodeAppendV2 } from '../logd/wire.ts';
import { AUDIT_SCOPE, AuditRules, PROBE_SCOPE, PROBE_TEXT } from './audit.ts';
import type { AuditEvent } from './audit.ts';
import type { PolicydOptions } from './options.ts';

/** Slots of the reply inbox and of logd. */
export const REPLY_RECV_SLOT = 9;
export const REPLY_SEND_SLOT = 0xa;
export const LOGD_SLOT = 0xb;
/** One deadline covers the send and the answer. */
const APPEND_NS = 500_000_000;
const ACK_BUFFER = 64;

export class Journal {
  readonly #sys: Sys;
  readonly #rules: AuditRules;
  readonly #inbox: Inbox;
  readonly #nonces = new NonceGen(1n);
  readonly #decisionByte: boolean;
  readonly #counted = new Map<string, number>();

  constructor(sys: Sys, options: PolicydOptions) {
    this.#sys = sys;
    this.#decisionByte = options.auditDecisionByte;
    this.#rules = new AuditRules(options.auditDecisionByte);
    this.#inbox = new Inbox(REPLY_RECV_SLOT, options.inboxDiscards);
  }

  /** Audits one evaluated frame: a record and its line, or a count. */
  *audit(event: AuditEvent): Call<void> {
    const sys = this.#sys;
    // The reference has no rate of its own and so reads no clock here.
    const now = !this.#decisionByte && this.#rules.mayAppend(event) ? yield sys.nsec() : 0;
    const verdict = this.#rules.judge(event, now);
    if (verdict.kind === 'none') return;
    if (verdict.kind === 'count') {
      this.#count(`policyd.audit.${verdict.reason}`);
      return;
    }
    const ok = yield* this.#append(AUDIT_SCOPE, verdict.text);
    yield sys.println(ok ? 'policyd: audit emit ok' : 'policyd: audit emit FAIL');
  }

  /** The log probe (sheet 30, section 7): a record without an audit line. */
  probe(): Call<boolean> {
    return this.#append(PROBE_SCOPE, PROBE_TEXT);
  }

  *#append(scope: string, message: string): Call<boolean> {
    const sys = this.#sys;
    const nonce = this.#nonces.next();
    // Scope and texts are all far below logd's caps of 64 and 256 bytes.
    const frame = encodeAppendV2(nonce, LogLevel.INFO, ascii(scope), ascii(message));
    const clone = yield sys.capClone(REPLY_SEND_SLOT);
    if (clone < 0) return false;
    const budget = yield* budgetOf(sys, APPEND_NS);
    if ((yield* sendWithin(sys, LOGD_SLOT, frame, budget, clone)) < 0) {
      // The reference leaves the clone in its slot; enough failures fill its table (RFC-0024: bounded resources).
      if (!this.#decisionByte) yield sys.capClose(clone);
      return false;
    }
    this.#rules.sent(budget.deadline - APPEND_NS);
    const statusOf = (reply: Uint8Array): number | null => appendStatus(reply, nonce);
    const wanted = (reply: Uint8Array): boolean => statusOf(reply) !== null;
    const ack = yield* this.#inbox.take(sys, wanted, { deadline: budget.deadline, round: 0 }, ACK_BUFFER);
    return ack !== null && statusOf(ack) === AppendStatus.OK;
  }

  #count(name: string): void {
    const count = (this.#counted.get(name) ?? 0) + 1;
    this.#counted.set(name, count);
    this.#sys.note(name, count);
  }
}

/** Status of the APPEND v2 answer with this nonce; null for any other frame (sheet 40, section 2.4). */
export function appendStatus(frame: Uint8Array, nonce: bigint): number | null {
  const answer = appendPrefixV2(frame);
  return typeof answer === 'string' || answer.nonce !== nonce ? null : answer.status;
}
