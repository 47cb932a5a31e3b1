import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { AUDITS_PER_BOOT, AUDITS_PER_SECOND, AuditRules, auditText } from './audit.ts';
import { appendStatus } from './journal.ts';
import type { AuditEvent, AuditVerdict } from './audit.ts';
import { PolicyStatus, claimedName, decodeRequest, policyNonce, replyTo } from './wire.ts';
import type { CapabilityName, PolicyRequest, PolicyStatus as Status } from './wire.ts';

const { ALLOW, DENY } = PolicyStatus;
const SELFTEST = serviceIdOf('selftest-client');
const KEYSTORED = serviceIdOf('keystored');
const SECOND = 1_000_000_000;

const check: PolicyRequest = {
  op: 'check',
  version: 1,
  requester: claimedName('selftest-client'),
};
const route = (nonce: number): PolicyRequest => ({
  op: 'route',
  version: 3,
  nonce: policyNonce(nonce),
  requester: SELFTEST,
  target: KEYSTORED,
});
const exec: PolicyRequest = {
  op: 'exec',
  version: 3,
  nonce: policyNonce(7),
  requester: SELFTEST,
  image: 1,
};
const checkCap: PolicyRequest = {
  op: 'check_cap',
  version: 1,
  subject: SELFTEST,
  capability: 'crypto.sign' as CapabilityName,
};
const delegated = (nonce: number, subject: ServiceId = SELFTEST, capability = 'rng.entropy'): PolicyRequest => ({
  op: 'check_cap_delegated',
  version: 2,
  nonce: policyNonce(nonce),
  subject,
  capability: capability as CapabilityName,
});

function event(request: PolicyRequest, status: Status, sender: ServiceId = KEYSTORED): AuditEvent {
  return { request, reply: replyTo(request, status), sender };
}

function refusedFrame(bytes: readonly number[]): AuditEvent {
  const decoded = decodeRequest(Uint8Array.from(bytes));
  if (decoded.ok) throw new Error('accepted');
  return { request: null, reply: decoded.reply, sender: SELFTEST };
}

/** The decision of the record, or why there is none. */
function outcome(verdict: AuditVerdict): string {
  if (verdict.kind === 'append') return /decision=(\w+)/.exec(verdict.text)?.[1] ?? 'no decision';
  return verdict.kind === 'count' ? verdict.reason : 'none';
}

const contract = (): AuditRules => new AuditRules(false);
const reference = (): AuditRules => new AuditRules(true);

describe('record (sheet 30, section 6.2)', () => {
  it('has the exact text', () => {
    expect(auditText(1, 'allow', SELFTEST)).toBe(
      'audit v1 op=check decision=allow subject=0x52c6c4a34ffb3f69 reason=policy',
    );
    const words = [1, 2, 3, 4, 5, 6, 0].map((op) => /op=(\w+)/.exec(auditText(op, 'deny', SELFTEST))?.[1]);
    expect(words).toEqual(['check', 'route', 'exec', 'check_cap', 'check_cap_delegated', 'unknown', 'unknown']);
    expect(auditText(5, 'deny', 1n as ServiceId)).toBe(
      'audit v1 op=check_cap_delegated decision=deny subject=0x0000000000000001 reason=policy',
    );
    expect(auditText(5, 'allow', KEYSTORED).length).toBeLessThanOrEqual(87);
  });

  it('knows its answer by magic, version, op, nonce and length', () => {
    const ack = [0x4c, 0x4f, 2, 0x81, 6, 9, 0, 0, 0, 0, 0, 0, 0];
    expect(appendStatus(Uint8Array.from(ack), 9n)).toBe(6);
    expect(appendStatus(Uint8Array.from([...ack, 1, 2, 3]), 9n)).toBe(6);
    expect(appendStatus(Uint8Array.from(ack), 8n)).toBeNull();
    expect(appendStatus(Uint8Array.from(ack.slice(0, 12)), 9n)).toBeNull();
    for (const at of [0, 1, 2, 3]) {
      const bad = ack.slice();
      bad[at] = 0x82;
      expect(appendStatus(Uint8Array.from(bad), 9n)).toBeNull();
    }
  });
});

describe('quirk audit-decision-byte (sheet 30, section 6.1)', () => {
  it('reads the status of version 1 answers', () => {
    const rules = reference();
    expect(outcome(rules.judge(event(check, ALLOW), 0))).toBe('allow');
    expect(outcome(rules.judge(event(checkCap, DENY), 0))).toBe('deny');
    expect(outcome(rules.judge(refusedFrame([0x50, 0x4f, 1, 4, 0, 0]), 0))).toBe('none');
    expect(outcome(rules.judge(refusedFrame([0x50, 0x4f, 9, 9, 0, 0]), 0))).toBe('none');
    expect(outcome(rules.judge(refusedFrame([0x62, 0x61, 0x64]), 0))).toBe('none');
  });

  it('takes the lowest nonce byte of version 2 and 3 answers for the decision', () => {
    const rules = reference();
    for (const status of [ALLOW, DENY]) {
      for (const [nonce, want] of [
        [1, 'deny'],
        [2, 'none'],
        [255, 'none'],
        [256, 'allow'],
        [257, 'deny'],
        [258, 'none'],
        [512, 'allow'],
        [513, 'deny'],
        [0xa1b2c3d4, 'none'],
      ] as const) {
        expect(outcome(rules.judge(event(delegated(nonce), status), 0))).toBe(want);
        expect(outcome(rules.judge(event(route(nonce), status), 0))).toBe(want);
      }
    }
  });

  it('records an allow for a malformed version 2 or 3 frame', () => {
    const rules = reference();
    expect(outcome(rules.judge(refusedFrame([0x50, 0x4f, 2, 5, 0, 0]), 0))).toBe('allow');
    expect(outcome(rules.judge(refusedFrame([0x50, 0x4f, 3, 2, 0, 0]), 0))).toBe('allow');
  });

  it('stops at 128 emissions and knows no rate', () => {
    const rules = reference();
    for (let i = 0; i < AUDITS_PER_BOOT; i++) {
      expect(outcome(rules.judge(event(check, ALLOW), 0))).toBe('allow');
      rules.sent(0);
    }
    expect(outcome(rules.judge(event(check, ALLOW), 9 * SECOND))).toBe('boot-cap');
    expect(rules.emissions).toBe(128);
  });
});

describe('contract of audits', () => {
  it('OBS-1: the decision is the status of every version, whatever the nonce, and the subject the attested sender', () => {
    for (let nonce = 0; nonce < 4; nonce++) {
      expect(outcome(contract().judge(event(delegated(nonce), ALLOW), 0))).toBe('allow');
      expect(outcome(contract().judge(event(delegated(nonce), DENY), 0))).toBe('deny');
      expect(outcome(contract().judge(event(route(nonce), DENY), 0))).toBe('deny');
    }
    const verdict = contract().judge(event(delegated(1), ALLOW, KEYSTORED), 0);
    expect(verdict.kind === 'append' && verdict.text).toContain('subject=0x866cecf1b02a841b');
  });

  it('lists every denial and every allow of CHECK, CHECK_CAP and EXEC', () => {
    const rules = contract();
    for (let i = 0; i < 5; i++) {
      for (const request of [check, checkCap, exec]) {
        expect(outcome(rules.judge(event(request, ALLOW), 0))).toBe('allow');
        expect(outcome(rules.judge(event(request, DENY), 0))).toBe('deny');
      }
      expect(outcome(rules.judge(event(delegated(9), DENY), 0))).toBe('deny');
      // The same route denied again says nothing new.
      expect(outcome(rules.judge(event(route(9), DENY), 0))).toBe(i === 0 ? 'deny' : 'unlisted');
    }
  });

  it('only counts ROUTE allows and what was allowed before', () => {
    const rules = contract();
    expect(outcome(rules.judge(event(route(1), ALLOW), 0))).toBe('unlisted');
    expect(outcome(rules.judge(event(delegated(1), ALLOW), 0))).toBe('allow');
    expect(outcome(rules.judge(event(delegated(2), ALLOW), 0))).toBe('unlisted');
    expect(outcome(rules.judge(event(delegated(3, SELFTEST, 'RNG.Entropy'), ALLOW), 0))).toBe('unlisted');
    // The alias is the same subject; another subject or capability is not.
    const alias = 0x68c166c37bcd7154n as ServiceId;
    expect(outcome(rules.judge(event(delegated(4, alias), ALLOW), 0))).toBe('unlisted');
    expect(outcome(rules.judge(event(delegated(5, KEYSTORED), ALLOW), 0))).toBe('allow');
    expect(outcome(rules.judge(event(delegated(6, SELFTEST, 'statefs.read'), ALLOW), 0))).toBe('allow');
    // A denial of the same pair is news, and so is not swallowed.
    expect(outcome(rules.judge(event(delegated(7), DENY), 0))).toBe('deny');
  });

  it('has no record of refused frames', () => {
    const rules = contract();
    for (const bytes of [[0x62], [0x50, 0x4f, 1, 4, 0, 0], [0x50, 0x4f, 2, 5, 0, 0], [0x50, 0x4f, 3, 2, 0, 0]])
      expect(outcome(rules.judge(refusedFrame(bytes), 0))).toBe('none');
    expect(rules.emissions).toBe(0);
  });

  it("hands logd at most 16 records in any second, and a first allow held back comes with the pair's next", () => {
    const rules = contract();
    for (let i = 0; i < AUDITS_PER_SECOND; i++) {
      expect(outcome(rules.judge(event(check, DENY), 1000 * i))).toBe('deny');
      rules.sent(1000 * i);
    }
    expect(outcome(rules.judge(event(check, DENY), 20_000))).toBe('rate');
    expect(outcome(rules.judge(event(delegated(1), ALLOW), SECOND - 1))).toBe('rate');
    expect(rules.emissions).toBe(16);
    expect(outcome(rules.judge(event(delegated(2), ALLOW), SECOND))).toBe('allow');
    rules.sent(SECOND);
    expect(outcome(rules.judge(event(check, DENY), SECOND))).toBe('rate');
    expect(outcome(rules.judge(event(check, DENY), SECOND + 1000))).toBe('deny');
  });

  it('stops at 128 emissions', () => {
    const rules = contract();
    for (let i = 0; i < AUDITS_PER_BOOT; i++) expect(rules.judge(event(check, DENY), 0).kind).toBe('append');
    expect(rules.mayAppend(event(check, DENY))).toBe(false);
    expect(outcome(rules.judge(event(check, DENY), 0))).toBe('boot-cap');
  });
});

describe('properties', () => {
  const requests = fc.oneof(
    fc.constantFrom(check, exec, checkCap),
    fc.nat({ max: 600 }).map(route),
    fc
      .tuple(fc.nat({ max: 600 }), fc.constantFrom(SELFTEST, KEYSTORED), fc.constantFrom('a', 'b'))
      .map(([nonce, subject, capability]) => delegated(nonce, subject, capability)),
  );
  const steps = fc.array(
    fc.record({
      request: requests,
      status: fc.constantFrom(ALLOW, DENY),
      gap: fc.constantFrom(0, 1000, 90_000_000, 400_000_000),
    }),
    { maxLength: 300 },
  );

  it('agrees with a model that keeps everything', () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (steps, quirk) => {
        const rules = new AuditRules(quirk);
        const records: { readonly at: number; readonly pair: string }[] = [];
        let now = 0;
        for (const { request, status, gap } of steps) {
          now += gap;
          const pair = request.op === 'check_cap_delegated' ? `${request.subject} ${request.capability}` : '';
          let want: string = status === ALLOW ? 'allow' : 'deny';
          if (quirk && request.version !== 1) want = ['allow', 'deny'][request.nonce % 256] ?? 'none';
          const route =
            request.op === 'route' && status !== ALLOW
              ? `route ${String(request.requester)} ${String(request.target)}`
              : '';
          const known = status === ALLOW && records.some((record) => pair !== '' && record.pair === pair);
          const knownRoute = route !== '' && records.some((record) => record.pair === route);
          if (want === 'none') want = 'none';
          else if (!quirk && ((status === ALLOW && (request.op === 'route' || known)) || knownRoute)) want = 'unlisted';
          else if (records.length >= 128) want = 'boot-cap';
          else if (!quirk && records.filter(({ at }) => now - at < SECOND).length >= 16) want = 'rate';
          const got = rules.judge(event(request, status), now);
          expect(outcome(got)).toBe(want);
          if (got.kind !== 'append') continue;
          records.push({ at: now, pair: status === ALLOW ? pair : route });
          rules.sent(now);
        }
        expect(rules.emissions).toBe(records.length);
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});
