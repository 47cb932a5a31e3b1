import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { decide, isPrivilegedSender } from './decide.ts';
import type { Decision } from './decide.ts';
import { policySet } from './policy.ts';
import type { PolicySet } from './policy.ts';
import { BASE_RECIPE, compilePolicy } from './recipe.ts';
import { claimedName, policyNonce } from './wire.ts';
import type { CapabilityName, DecidedRequest } from './wire.ts';

const id = (value: bigint): ServiceId => value as ServiceId;
const sid = serviceIdOf;
const ALIAS_SELFTEST = id(0x68c166c37bcd7154n);
const ALIAS_UPDATED = id(0x338fbeebaf28aff9n);
const ALIAS_METRICSD = id(0xed205ae1e47c393dn);
const ALIAS_RNGD = id(0x44212a82487313edn);

function table(grants: Readonly<Record<string, readonly string[]>>): PolicySet {
  return policySet(new Map(Object.entries(grants)));
}

function base(): PolicySet {
  const compiled = compilePolicy([BASE_RECIPE]);
  if (!compiled.ok) throw new Error(compiled.error);
  return compiled.policy;
}

const check = (name: string): DecidedRequest => ({
  op: 'check',
  version: 1,
  requester: claimedName(name),
});
const route = (requester: string, target: string): DecidedRequest => ({
  op: 'route',
  version: 1,
  requester: claimedName(requester),
  target: claimedName(target),
});
const routeV3 = (requester: ServiceId, target: ServiceId): DecidedRequest => ({
  op: 'route',
  version: 3,
  nonce: policyNonce(0xa1b2c3d4),
  requester,
  target,
});
const exec = (name: string, image = 1): DecidedRequest => ({
  op: 'exec',
  version: 1,
  requester: claimedName(name),
  image,
});
const checkCap = (subject: ServiceId, capability: string): DecidedRequest => ({
  op: 'check_cap',
  version: 1,
  subject,
  capability: capability as CapabilityName,
});
const delegated = (subject: ServiceId, capability: string): DecidedRequest => ({
  op: 'check_cap_delegated',
  version: 2,
  nonce: policyNonce(1),
  subject,
  capability: capability as CapabilityName,
});

/** Decision in the contract's setting, or with `asSender` with the quirk. */
function decision(
  policy: PolicySet,
  request: DecidedRequest,
  sender: ServiceId,
  privileged = false,
  asSender = false,
): Decision {
  return decide({ policy, capCheckAsSender: asSender }, request, {
    sender,
    privileged,
  });
}

describe('decision vectors (sheet 30, section 3)', () => {
  const samgrd = table({ samgrd: ['ipc.core'], bundlemgrd: [] });
  const selftest = table({ 'selftest-client': ['ipc.core'] });

  it('OBS-1: ROUTE in another name is a spoof unless the caller is privileged', () => {
    expect(decision(samgrd, route('samgrd', 'execd'), sid('bundlemgrd'))).toBe('deny');
    expect(decision(samgrd, route('samgrd', 'execd'), sid('init-lite'), true)).toBe('allow');
    expect(decision(samgrd, route('samgrd', 'execd'), sid('samgrd'))).toBe('allow');
    expect(decision(samgrd, routeV3(sid('samgrd'), sid('execd')), sid('bundlemgrd'))).toBe('deny');
    expect(decision(samgrd, routeV3(sid('samgrd'), sid('execd')), sid('samgrd'))).toBe('allow');
  });

  it('CHECK_CAP is bound to the sender', () => {
    const request = checkCap(sid('selftest-client'), 'ipc.core');
    for (const asSender of [false, true])
      expect(decision(selftest, request, sid('bundlemgrd'), false, asSender)).toBe('deny');
  });

  it('CHECK by an alias of the named service is its own', () => {
    expect(decision(selftest, check('selftest-client'), ALIAS_SELFTEST)).toBe('allow');
    expect(decision(selftest, check('selftest-client'), sid('bundlemgrd'))).toBe('deny');
  });

  it('delegated checks evaluate the normalised subject', () => {
    const updated = table({
      statefsd: ['policy.delegate'],
      updated: ['statefs.write'],
    });
    expect(decision(updated, delegated(ALIAS_UPDATED, 'statefs.write'), sid('statefsd'))).toBe('allow');
    const metricsd = table({
      statefsd: ['policy.delegate'],
      metricsd: ['statefs.write'],
    });
    expect(decision(metricsd, delegated(ALIAS_METRICSD, 'statefs.write'), sid('statefsd'))).toBe('allow');
    const read = table({
      statefsd: ['policy.delegate'],
      'selftest-client': ['statefs.read'],
    });
    expect(decision(read, delegated(sid('selftest-client'), 'statefs.read'), sid('statefsd'))).toBe('allow');
  });

  it('the base policy allows samgrd and denies demo.testsvc', () => {
    expect(decision(base(), check('samgrd'), sid('samgrd'))).toBe('allow');
    expect(decision(base(), check('demo.testsvc'), sid('demo.testsvc'))).toBe('deny');
    expect(decision(base(), route('samgrd', 'execd'), sid('bundlemgrd'))).toBe('deny');
  });
});

describe('rules (sheet 30, sections 3 and 4)', () => {
  it('bundlemgrd needs route.execd for execd, and only there', () => {
    for (const request of [route('bundlemgrd', 'execd'), routeV3(sid('bundlemgrd'), sid('execd'))]) {
      expect(decision(base(), request, sid('init-lite'), true)).toBe('deny');
      expect(decision(table({ bundlemgrd: ['route.execd'] }), request, sid('bundlemgrd'))).toBe('allow');
    }
    expect(decision(base(), route('bundlemgrd', 'samgrd'), sid('bundlemgrd'))).toBe('allow');
    expect(decision(base(), route('samgrd', 'execd'), sid('samgrd'))).toBe('allow');
  });

  it('names are hashed as given', () => {
    expect(decision(base(), check('Samgrd'), sid('samgrd'))).toBe('deny');
    expect(decision(base(), check('Samgrd'), sid('init-lite'), true)).toBe('deny');
  });

  it('EXEC needs proc.spawn; the image does not matter', () => {
    for (const image of [0, 1, 255]) {
      expect(decision(base(), exec('selftest-client', image), sid('init-lite'), true)).toBe('allow');
      expect(decision(base(), exec('demo.testsvc', image), sid('init-lite'), true)).toBe('deny');
    }
    expect(decision(base(), exec('execd'), sid('selftest-client'))).toBe('deny');
  });

  it('OBS-19: only delegates and init may ask about others through op 5', () => {
    const request = delegated(sid('keystored'), 'rng.entropy');
    for (const name of ['keystored', 'rngd', 'statefsd', 'init-lite', 'nexus-init'])
      expect(decision(base(), request, sid(name))).toBe('allow');
    for (const name of ['selftest-client', 'logd', 'policyd', 'execd'])
      expect(decision(base(), request, sid(name))).toBe('deny');
    expect(decision(base(), request, sid('logd'), true)).toBe('allow');
    expect(decision(base(), request, ALIAS_RNGD)).toBe('allow');
    expect(decision(base(), request, ALIAS_SELFTEST)).toBe('deny');
  });

  it('rngd and statefsd aliases are delegates and nothing else (Q6)', () => {
    expect(decision(base(), check('rngd'), ALIAS_RNGD)).toBe('deny');
    expect(decision(base(), check('keystored'), id(0xe34fd9bef149d9den))).toBe('allow');
  });

  it('a claimed alias id is compared and looked up as it stands', () => {
    expect(decision(base(), routeV3(ALIAS_SELFTEST, sid('samgrd')), ALIAS_SELFTEST)).toBe('deny');
    expect(decision(base(), routeV3(ALIAS_SELFTEST, sid('samgrd')), sid('init-lite'), true)).toBe('deny');
  });

  it('the empty capability is denied, even where a recipe lists it', () => {
    const policy = table({ samgrd: ['', 'ipc.core', 'policy.delegate'] });
    expect(decision(policy, checkCap(sid('samgrd'), ''), sid('samgrd'))).toBe('deny');
    expect(decision(policy, delegated(sid('samgrd'), ''), sid('samgrd'))).toBe('deny');
  });

  it('init is privileged by sender id under two names and no alias', () => {
    expect(isPrivilegedSender(id(0x46f681f38d27984en))).toBe(true);
    expect(isPrivilegedSender(id(0x79d90f72586a8589n))).toBe(true);
    for (const name of ['init', 'policyd', 'keystored', 'Init-lite']) expect(isPrivilegedSender(sid(name))).toBe(false);
  });
});

describe('CHECK_CAP about somebody else (quirk cap-check-subject)', () => {
  const other = checkCap(sid('netstackd'), 'ipc.core');

  it('OBS-1: quirk cap-check-subject, contract: is denied as a spoof, although the sender holds the capability', () => {
    expect(decision(base(), other, sid('selftest-client'))).toBe('deny');
    expect(decision(base(), checkCap(sid('selftest-client'), 'ipc.core'), sid('selftest-client'))).toBe('allow');
    expect(decision(base(), checkCap(sid('selftest-client'), 'ipc.core'), ALIAS_SELFTEST)).toBe('allow');
    expect(decision(base(), checkCap(ALIAS_SELFTEST, 'ipc.core'), sid('selftest-client'))).toBe('allow');
  });

  it('quirk cap-check-subject, reference: is evaluated for the sender', () => {
    expect(decision(base(), other, sid('selftest-client'), false, true)).toBe('allow');
    expect(decision(base(), checkCap(sid('netstackd'), 'device.mmio.blk'), sid('statefsd'), false, true)).toBe('allow');
  });

  it('init may ask in both settings', () => {
    for (const asSender of [false, true]) {
      expect(decision(base(), other, sid('init-lite'), true, asSender)).toBe('allow');
      const blk = checkCap(sid('netstackd'), 'device.mmio.blk');
      expect(decision(base(), blk, sid('init-lite'), true, asSender)).toBe('deny');
    }
  });
});

/** Sheet 30, section 3 again, as a plain table over names instead of ids. */
function model(
  grants: Readonly<Record<string, readonly string[]>>,
  request: DecidedRequest,
  sender: bigint,
  privileged: boolean,
  asSender: boolean,
): boolean {
  const holders = new Map(Object.entries(grants).map(([name, list]) => [sid(name) as bigint, list]));
  const holds = (who: bigint, what: string): boolean =>
    (holders.get(who) ?? []).some((held) => held === what.replace(/[A-Z]/g, (c) => c.toLowerCase()));
  const senderAliases = new Map<bigint, bigint>([
    [0x68c166c37bcd7154n, sid('selftest-client')],
    [0xe34fd9bef149d9den, sid('keystored')],
    [0x338fbeebaf28aff9n, sid('updated')],
    [0xed205ae1e47c393dn, sid('metricsd')],
  ]);
  const delegateAliases = new Map<bigint, bigint>([
    [0xe34fd9bef149d9den, sid('keystored')],
    [0x44212a82487313edn, sid('rngd')],
    [0x39639576ab146400n, sid('statefsd')],
  ]);
  const me = senderAliases.get(sender) ?? sender;
  if (request.op === 'check_cap_delegated') {
    const allowed = privileged || holds(delegateAliases.get(sender) ?? sender, 'policy.delegate');
    return allowed && holds(senderAliases.get(request.subject) ?? request.subject, request.capability);
  }
  if (request.op === 'check_cap') {
    const subject = senderAliases.get(request.subject) ?? request.subject;
    if (privileged) return holds(subject, request.capability);
    return asSender ? holds(me, request.capability) : subject === me && holds(me, request.capability);
  }
  const who = request.version === 3 ? request.requester : sid(request.requester);
  if (!privileged && who !== me) return false;
  if (request.op === 'exec') return holds(who, 'proc.spawn');
  const toExecd =
    request.op === 'route' &&
    who === sid('bundlemgrd') &&
    (request.version === 3 ? request.target === sid('execd') : request.target === 'execd');
  return holds(who, toExecd ? 'route.execd' : 'ipc.core');
}

describe('properties', () => {
  const names = fc.constantFrom(
    'selftest-client',
    'keystored',
    'updated',
    'metricsd',
    'rngd',
    'statefsd',
    'bundlemgrd',
  );
  const aliases = fc.constantFrom(0x68c166c37bcd7154n, 0xe34fd9bef149d9den, 0x44212a82487313edn, 0x39639576ab146400n);
  const ids = fc.oneof({ weight: 5, arbitrary: names.map(sid) }, { weight: 1, arbitrary: aliases.map(id) });
  const held = fc.constantFrom('ipc.core', 'proc.spawn', 'policy.delegate', 'route.execd', 'statefs.read');
  const asked = fc.oneof(held, fc.constantFrom('', 'IPC.Core', 'statefs.\u017fead', 'nothing'));
  const targets = fc.oneof(names, fc.constant('execd'));
  const requests: fc.Arbitrary<DecidedRequest> = fc.oneof(
    names.map(check),
    fc.tuple(names, targets).map(([a, b]) => route(a, b)),
    fc.tuple(ids, targets).map(([a, b]) => routeV3(a, sid(b))),
    names.map((name) => exec(name)),
    fc.tuple(ids, asked).map(([a, b]) => checkCap(a, b)),
    fc.tuple(ids, asked).map(([a, b]) => delegated(a, b)),
  );
  const policies = fc.dictionary(names, fc.array(held, { maxLength: 4 }));

  it('agrees with the naive table', () => {
    let allowed = 0;
    fc.assert(
      fc.property(policies, requests, ids, fc.boolean(), fc.boolean(), (grants, request, sender, priv, asSender) => {
        const want = model(grants, request, sender, priv, asSender);
        allowed += want ? 1 : 0;
        expect(decision(table(grants), request, sender, priv, asSender)).toBe(want ? 'allow' : 'deny');
      }),
      { seed: 20240, numRuns: 4000 },
    );
    expect(allowed).toBeGreaterThan(300);
  });
});
