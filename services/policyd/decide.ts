/**
 * policyd's decision (sheet 30, section 3): request, attested sender and channel in, allow or deny out. Pure. Identity is
 * the kernel's sender id; what a payload claims is at most compared with it (OBS-1).
 */
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { unreachable } from '../../sim/assert.ts';
import { Capability, dnorm, has, norm } from './policy.ts';
import type { PolicySet } from './policy.ts';
import { claimedId } from './wire.ts';
import type { CheckCapRequest, DecidedRequest, RouteRequest } from './wire.ts';

export type Decision = 'allow' | 'deny';

/** Who asks. */
export interface Caller {
  /** Kernel-attested id of the sender. */
  readonly sender: ServiceId;
  /** True on init's control channels and for init itself: it may ask on behalf of anyone. */
  readonly privileged: boolean;
}

/** What the decision depends on besides the question. */
export interface DecisionRules {
  readonly policy: PolicySet;
  /** Quirk cap-check-subject: an unprivileged CHECK_CAP about somebody else is evaluated for the sender. */
  readonly capCheckAsSender: boolean;
}

const INIT_LITE = serviceIdOf('init-lite');
const NEXUS_INIT = serviceIdOf('nexus-init');
const BUNDLEMGRD = serviceIdOf('bundlemgrd');
const EXECD = serviceIdOf('execd');

/** True for a sender that is privileged on any channel: init under its two names, without aliases (section 1.1). */
export function isPrivilegedSender(sender: ServiceId): boolean {
  return sender === INIT_LITE || sender === NEXUS_INIT;
}

/** Decides one request. */
export function decide(rules: DecisionRules, request: DecidedRequest, caller: Caller): Decision {
  const { policy } = rules;
  switch (request.op) {
    case 'check': {
      const requester = claimedId(request.requester);
      return verdict(speaksFor(caller, requester) && has(policy, requester, Capability.CORE));
    }
    case 'route': {
      const requester = request.version === 3 ? request.requester : claimedId(request.requester);
      const needed = isBundlemgrdToExecd(request) ? Capability.ROUTE_EXECD : Capability.CORE;
      return verdict(speaksFor(caller, requester) && has(policy, requester, needed));
    }
    case 'exec': {
      const requester = request.version === 3 ? request.requester : claimedId(request.requester);
      return verdict(speaksFor(caller, requester) && has(policy, requester, Capability.SPAWN));
    }
    case 'check_cap':
      return checkCap(rules, request, caller);
    case 'check_cap_delegated': {
      const delegate = caller.privileged || has(policy, dnorm(caller.sender), Capability.DELEGATE);
      return verdict(delegate && holds(policy, norm(request.subject), request.capability));
    }
    default:
      return unreachable(request);
  }
}

function verdict(allowed: boolean): Decision {
  return allowed ? 'allow' : 'deny';
}

/** Spoof rule: only init may ask in another's name. The sender is normalised, the claim never. */
function speaksFor(caller: Caller, requester: ServiceId): boolean {
  return caller.privileged || requester === norm(caller.sender);
}

/** By name in versions 1 and 2, by id in version 3. */
function isBundlemgrdToExecd(request: RouteRequest): boolean {
  if (request.version !== 3) return request.requester === 'bundlemgrd' && request.target === 'execd';
  return request.requester === BUNDLEMGRD && request.target === EXECD;
}

function checkCap(rules: DecisionRules, request: CheckCapRequest, caller: Caller): Decision {
  const claim = norm(request.subject);
  const own = norm(caller.sender);
  if (!caller.privileged && rules.capCheckAsSender) return verdict(holds(rules.policy, own, request.capability));
  if (!caller.privileged && claim !== own) return 'deny';
  return verdict(holds(rules.policy, claim, request.capability));
}

/** The empty name (also what bytes that are no UTF-8 stand for) is never held, whatever a recipe says. */
function holds(policy: PolicySet, subject: ServiceId, capability: string): boolean {
  return capability.length > 0 && has(policy, subject, capability);
}
