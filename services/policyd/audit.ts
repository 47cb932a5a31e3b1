/**
 * What policyd tells logd (sheet 30, section 6; sheet 40, section 8.1): which decisions become records, and their
 * text. Pure; the transport is {@link ./journal.ts}.
 *
 * Contract: the decision is the answer's status. Quirk audit-decision-byte: it is byte 4 of the answer, which in versions
 * 2 and 3 is the lowest byte of the nonce.
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
import { hex16 } from '../lib/text.ts';
import { asciiLower, norm } from './policy.ts';
import { PolicyStatus, encodeReply } from './wire.ts';
import type { PolicyReply, PolicyRequest } from './wire.ts';
import type { Decision } from './decide.ts';

/** Records per boot; what comes after leaves no trace but a count. */
export const AUDITS_PER_BOOT = 128;
/** Records within any second (contract), so that logd's 24 per sender and window hold with room for probes. */
export const AUDITS_PER_SECOND = 16;
export const AUDIT_WINDOW_NS = 1_000_000_000;
export const AUDIT_SCOPE = 'policyd.audit';
export const PROBE_SCOPE = 'policyd';
export const PROBE_TEXT = 'core service log probe: policyd';

/** One evaluated frame as the audit sees it. `request` is null where the frame was refused. */
export interface AuditEvent {
  readonly request: PolicyRequest | null;
  readonly reply: PolicyReply;
  readonly sender: ServiceId;
}

/** What becomes of an event: a record is sent, or the event is only counted, or it is none. */
export type AuditVerdict =
  | { readonly kind: 'append'; readonly text: string }
  | {
      readonly kind: 'count';
      readonly reason: 'unlisted' | 'rate' | 'boot-cap';
    }
  | { readonly kind: 'none' };

const NONE: AuditVerdict = { kind: 'none' };

/** Decides which events become records; holds the counts that bound them. */
export class AuditRules {
  readonly #decisionByte: boolean;
  #emissions = 0;
  /** Allowed (subject, capability) pairs that have their record; as many as {@link AUDITS_PER_BOOT}. */
  readonly #allowed = new Set<string>();
  /** Denied (sender, requester, target) of ROUTE that have theirs: a client that asks again and again says nothing new. */
  readonly #deniedRoutes = new Set<string>();
  /** Times of the last {@link AUDITS_PER_SECOND} records handed to logd, oldest first. */
  readonly #recent: number[] = [];

  /** `decisionByte`: quirk audit-decision-byte. */
  constructor(decisionByte: boolean) {
    this.#decisionByte = decisionByte;
  }

  /** Emissions so far, failed ones included. */
  get emissions(): number {
    return this.#emissions;
  }

  /** True when {@link judge} could ask for a record and so needs the time. */
  mayAppend(event: AuditEvent): boolean {
    return this.#emissions < AUDITS_PER_BOOT && this.#decision(event) !== null && this.#isListed(event);
  }

  /** Judges one event at `now` (ns) and accounts it. */
  judge(event: AuditEvent, now: number): AuditVerdict {
    const decision = this.#decision(event);
    if (decision === null) return NONE;
    if (!this.#isListed(event)) return { kind: 'count', reason: 'unlisted' };
    if (this.#emissions >= AUDITS_PER_BOOT) return { kind: 'count', reason: 'boot-cap' };
    if (!this.#decisionByte && this.#isOverRate(now)) return { kind: 'count', reason: 'rate' };
    this.#emissions += 1;
    const pair = allowedPair(event);
    if (pair !== null) this.#allowed.add(pair);
    const route = deniedRoute(event);
    if (route !== null) this.#deniedRoutes.add(route);
    return {
      kind: 'append',
      text: auditText(event.reply.op, decision, event.sender),
    };
  }

  /** Accounts a frame that logd's queue took at `now`: only those can use up logd's budget. */
  sent(now: number): void {
    this.#recent.push(now);
    if (this.#recent.length > AUDITS_PER_SECOND) this.#recent.shift();
  }

  #isOverRate(now: number): boolean {
    const oldest = this.#recent[0];
    return this.#recent.length === AUDITS_PER_SECOND && oldest !== undefined && now - oldest < AUDIT_WINDOW_NS;
  }

  #decision(event: AuditEvent): Decision | null {
    if (this.#decisionByte) return decisionOf(encodeReply(event.reply)[4]);
    return decisionOf(event.reply.status);
  }

  /** Contract: denials always, allows where they say something new. The reference lists whatever it took for a decision. */
  #isListed(event: AuditEvent): boolean {
    if (this.#decisionByte) return true;
    const route = deniedRoute(event);
    if (route !== null) return !this.#deniedRoutes.has(route);
    if (event.reply.status === PolicyStatus.DENY) return true;
    switch (event.request?.op) {
      case 'check':
      case 'check_cap':
      case 'exec':
        return true;
      case 'check_cap_delegated': {
        const pair = allowedPair(event);
        return pair !== null && !this.#allowed.has(pair);
      }
      default:
        return false;
    }
  }
}

function decisionOf(status: number | undefined): Decision | null {
  if (status === PolicyStatus.ALLOW) return 'allow';
  return status === PolicyStatus.DENY ? 'deny' : null;
}

/** Key of a denied ROUTE; null for anything else. */
function deniedRoute({ request, reply, sender }: AuditEvent): string | null {
  if (request?.op !== 'route' || reply.status !== PolicyStatus.DENY) return null;
  return `${hex16(sender)} ${String(request.requester)} ${String(request.target)}`;
}

/** Key of the (evaluated subject, capability) of an allowed delegated check; null for anything else. */
function allowedPair({ request, reply }: AuditEvent): string | null {
  if (request?.op !== 'check_cap_delegated' || reply.status !== PolicyStatus.ALLOW) return null;
  return `${hex16(norm(request.subject))} ${asciiLower(request.capability)}`;
}

/** The record's text (sheet 30, section 6.2). `op` is the raw op byte, `sender` the raw attested id. */
export function auditText(op: number, decision: Decision, sender: ServiceId): string {
  return `audit v1 op=${opWord(op)} decision=${decision} subject=0x${hex16(sender)} reason=policy`;
}

const OP_WORDS = ['unknown', 'check', 'route', 'exec', 'check_cap', 'check_cap_delegated'] as const;

function opWord(op: number): string {
  return OP_WORDS[op] ?? 'unknown';
}
