import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import {
  byUtf8,
  canonical,
  dnorm,
  grantCount,
  has,
  hasAny,
  norm,
  policySet,
  withGrants,
  withoutGrants,
} from './policy.ts';
import type { Grant, PolicySet } from './policy.ts';
import { BASE_RECIPE, TIMED_RECIPE, compilePolicy } from './recipe.ts';
import type { RecipeFile } from './recipe.ts';

const id = (value: bigint): ServiceId => value as ServiceId;

function compiled(files: readonly RecipeFile[]): PolicySet {
  const result = compilePolicy(files);
  if (!result.ok) throw new Error(result.error);
  return result.policy;
}

function refused(...files: readonly RecipeFile[]): string {
  const result = compilePolicy(files);
  if (result.ok) throw new Error('compiled');
  return result.error;
}

const toml = (name: string, text: string): RecipeFile => ({ name, text });
const BASE = compiled([BASE_RECIPE]);

describe('evaluation (sheet 30, section 5.2)', () => {
  const set: PolicySet = {
    entries: [
      {
        subject: 'a',
        id: id(0x10n),
        capabilities: ['window.manage', 'ipc.core'],
      },
      { subject: 'b', id: id(0x20n), capabilities: [] },
    ],
  };

  it("answers the library's vectors", () => {
    expect(has(set, id(0x10n), 'window.manage')).toBe(true);
    expect(has(set, id(0x10n), 'IPC.CORE')).toBe(true);
    expect(has(set, id(0x10n), 'window.debug')).toBe(false);
    expect(has(set, id(0x20n), 'window.manage')).toBe(false);
    expect(has(set, id(0x99n), 'missing')).toBe(false);
    expect(hasAny(set, id(0x10n))).toBe(true);
    expect(hasAny(set, id(0x20n))).toBe(false);
    expect(hasAny(set, id(0x99n))).toBe(false);
    const ability: PolicySet = {
      entries: [{ subject: 'a', id: id(0x10n), capabilities: ['ability.start'] }],
    };
    expect(has(ability, id(0x10n), 'window.debug')).toBe(false);
  });

  it('folds ASCII letters and nothing else (section 11)', () => {
    const keystored = serviceIdOf('keystored');
    expect(has(BASE, keystored, 'StateFS.KeyStore')).toBe(true);
    expect(has(BASE, keystored, 'statefs.\u212aeystore')).toBe(false);
    expect(has(BASE, keystored, '\ufeffipc.core')).toBe(false);
    expect(has(BASE, keystored, 'ipc.core ')).toBe(false);
    // '[' and '{' differ in the case bit without being letters.
    expect(has({ entries: [{ subject: 'a', id: id(1n), capabilities: ['a['] }] }, id(1n), 'a{')).toBe(false);
  });

  it('looks at the first entry of an id only', () => {
    const twice: PolicySet = {
      entries: [
        { subject: 'a', id: id(1n), capabilities: ['x'] },
        { subject: 'b', id: id(1n), capabilities: ['y'] },
      ],
    };
    expect(has(twice, id(1n), 'x')).toBe(true);
    expect(has(twice, id(1n), 'y')).toBe(false);
  });
});

describe('aliases (sheet 30, section 4)', () => {
  it('maps senders and delegates by two different tables', () => {
    const rows: readonly [bigint, string, boolean, boolean][] = [
      [0x68c166c37bcd7154n, 'selftest-client', true, false],
      [0xe34fd9bef149d9den, 'keystored', true, true],
      [0x338fbeebaf28aff9n, 'updated', true, false],
      [0xed205ae1e47c393dn, 'metricsd', true, false],
      [0x44212a82487313edn, 'rngd', false, true],
      [0x39639576ab146400n, 'statefsd', false, true],
    ];
    for (const [alias, name, asSender, asDelegate] of rows) {
      expect(norm(id(alias))).toBe(asSender ? serviceIdOf(name) : alias);
      expect(dnorm(id(alias))).toBe(asDelegate ? serviceIdOf(name) : alias);
      expect(norm(serviceIdOf(name))).toBe(serviceIdOf(name));
      expect(dnorm(serviceIdOf(name))).toBe(serviceIdOf(name));
    }
  });
});

describe('the recipe (sheet 30, section 5.1)', () => {
  it('compiles to 17 subjects and 52 grants with the ids of the sheet', () => {
    expect(BASE.entries.map((entry) => [entry.subject, entry.id.toString(16), entry.capabilities.join(' ')])).toEqual([
      ['bundlemgrd', '4dac7c5bc8db33eb', 'fs.read fs.verify ipc.core'],
      ['demo.testsvc', 'd5ddfde85dbf9fa6', ''],
      ['dsoftbusd', '326680366b8c11f1', 'ipc.core'],
      ['execd', '7b6096126000c028', 'fs.read ipc.core proc.spawn'],
      ['init-lite', '46f681f38d27984e', 'fs.read ipc.core policy.delegate proc.spawn'],
      [
        'keystored',
        '866cecf1b02a841b',
        'crypto.sign crypto.verify device.keygen ipc.core policy.delegate rng.entropy statefs.keystore',
      ],
      ['metricsd', '32c5f2e014497e76', 'ipc.core statefs.write'],
      ['netstackd', 'b64b904a0313921c', 'device.mmio.net ipc.core'],
      ['nexus-init', '79d90f72586a8589', 'fs.read ipc.core policy.delegate proc.spawn'],
      ['packagefsd', 'e4d46a259b02da48', 'fs.read ipc.core'],
      ['rngd', 'aa89341ff46fbf82', 'device.mmio.rng ipc.core policy.delegate'],
      ['samgrd', '75f64afec44cd4d7', 'ipc.core time.read'],
      [
        'selftest-client',
        '52c6c4a34ffb3f69',
        'device.key.reload device.keygen device.mmio.net device.pubkey.read ipc.core proc.spawn rng.entropy ' +
          'statefs.boot statefs.read statefs.write',
      ],
      ['statefsd', 'd9f31d00b74c1b47', 'device.mmio.blk ipc.core policy.delegate'],
      ['updated', '43ac3b8ac5ae1d90', 'crypto.verify ipc.core statefs.boot'],
      ['vfsd', '80ca4c0110ceb1ca', 'ipc.core'],
      ['virtioblkd', '11151efd3eb776bf', 'device.mmio.blk ipc.core'],
    ]);
    expect(grantCount(BASE)).toBe(52);
  });

  it('OBS-19: nobody holds route.execd and policyd grants itself nothing', () => {
    expect(BASE.entries.filter((entry) => entry.capabilities.includes('route.execd'))).toEqual([]);
    for (const name of ['policyd', 'logd', 'timed', 'identityd']) expect(hasAny(BASE, serviceIdOf(name))).toBe(false);
  });

  it('gives timed its one capability where metrics are routed', () => {
    const policy = compiled([TIMED_RECIPE, BASE_RECIPE]);
    expect(has(policy, serviceIdOf('timed'), 'ipc.core')).toBe(true);
    expect(grantCount(policy)).toBe(53);
    expect(withoutGrants(policy, [{ subject: 'timed', capability: 'ipc.core' }]).entries).toEqual([
      ...compiled([BASE_RECIPE, toml('z.toml', '[allow]\ntimed = []')]).entries,
    ]);
  });
});

describe('compilation (sheet 30, sections 5.3 and 8)', () => {
  it('canonicalises subjects and capabilities', () => {
    const policy = compiled([toml('base.toml', '[allow]\nExample = ["IPC.Core", "time.read"]')]);
    expect(policy.entries).toEqual([
      {
        subject: 'example',
        id: serviceIdOf('example'),
        capabilities: ['ipc.core', 'time.read'],
      },
    ]);
    expect(has(policy, serviceIdOf('example'), 'fs.write')).toBe(false);
    expect(canonical('\u00a0\u0085 \tÄB\u3000\n')).toBe('Äb');
    expect(canonical('\ufeffA\u200b')).toBe('\ufeffa\u200b');
  });

  it('lets a later file, and a later key of the same canonical form, replace the whole set', () => {
    const policy = compiled([
      toml('b.toml', '[allow]\nbar = ["cap.c"]'),
      toml('a.toml', '[allow]\nfoo = ["cap.a"]\nbar = ["cap.b"]'),
    ]);
    expect(has(policy, serviceIdOf('foo'), 'cap.a')).toBe(true);
    expect(has(policy, serviceIdOf('bar'), 'cap.b')).toBe(false);
    expect(has(policy, serviceIdOf('bar'), 'cap.c')).toBe(true);
    // Key order is that of the bytes: upper case before lower case, wherever they stand in the file.
    const cases = compiled([toml('a.toml', '[allow]\nfoo = ["lower"]\nFOO = ["upper"]\n" foo" = ["space"]')]);
    expect(cases.entries.map((entry) => entry.capabilities)).toEqual([['lower']]);
  });

  it('collapses duplicates and sorts capabilities and subjects', () => {
    const policy = compiled([toml('a.toml', '[allow]\nb = ["Z", "a", "z ", "A"]\na = []')]);
    expect(policy.entries.map(({ subject, capabilities }) => [subject, capabilities])).toEqual([
      ['a', []],
      ['b', ['a', 'z']],
    ]);
  });

  it('takes files named *.toml alone, in path order', () => {
    const policy = compiled([
      toml('local-x.toml', '[allow]\na = ["two"]'),
      toml('base.toml', '[allow]\na = ["one"]'),
      toml('c.TOML', '[allow]\na = ["no"]'),
      toml('z.toml.bak', 'not toml'),
      toml('.toml', 'not toml'),
      toml('toml', 'not toml'),
    ]);
    expect(policy.entries.map((entry) => entry.capabilities)).toEqual([['two']]);
  });

  it('takes a file without [allow] as empty and ignores other keys', () => {
    expect(compiled([toml('a.toml', ''), toml('b.toml', 'version = 1\n[deny]\na = ["x"]')]).entries).toEqual([]);
  });

  it('names file, key and expectation in its errors, on one line', () => {
    expect(refused(BASE_RECIPE, toml('local.toml', '[allow]\na = [\n'))).toMatch(/^local\.toml:\d+:\d+: \S.*$/);
    expect(refused(toml('a.toml', 'allow = 3'))).toBe('a.toml: allow: expected a table of subjects');
    expect(refused(toml('a.toml', 'allow = 2020-01-01'))).toBe('a.toml: allow: expected a table of subjects');
    for (const value of ['"x"', '[1]', '[["x"]]', '{ x = 1 }', '["x", 1]'])
      expect(refused(toml('a.toml', `[allow]\nb = ${value}`))).toBe(
        'a.toml: allow.b: expected an array of capability names',
      );
  });

  it('hashes the UTF-8 bytes of a subject, and the empty subject never names a task without a name', () => {
    const policy = compiled([toml('a.toml', '[allow]\n"é" = ["x"]\n"" = ["y"]')]);
    expect(policy.entries.map((entry) => entry.id)).toEqual([0xcbf29ce484222325n, serviceIdOf('\u00c3\u00a9')]);
    expect(hasAny(policy, id(0n))).toBe(false);
  });

  it('answers any text with a set or one line', () => {
    const edit = fc.tuple(
      fc.nat({ max: BASE_RECIPE.text.length }),
      fc.constantFrom('"', '[', ']', '=', '\n', '{', '\u0000', ''),
    );
    const mutated = fc
      .array(edit, { maxLength: 3 })
      .map((edits) =>
        edits.reduce((text, [at, put]) => text.slice(0, at) + put + text.slice(at + 1), BASE_RECIPE.text),
      );
    let refusals = 0;
    fc.assert(
      fc.property(fc.oneof(mutated, fc.string({ unit: 'binary' })), (text) => {
        const result = compilePolicy([toml('x.toml', text)]);
        refusals += result.ok ? 0 : 1;
        if (!result.ok) expect(result.error).toMatch(/^x\.toml:[^\n]+$/);
      }),
      { seed: 20240, numRuns: 300 },
    );
    expect(refusals).toBeGreaterThan(50);
  });

  it('keeps a subject that has the name of an object method', () => {
    const policy = compiled([toml('a.toml', '[allow]\n__proto__ = ["x"]\nconstructor = ["y"]')]);
    expect(policy.entries.map((entry) => entry.subject)).toEqual(['__proto__', 'constructor']);
    expect(compiled([toml('a.toml', '"__proto__" = { allow = { a = ["x"] } }')]).entries).toEqual([]);
  });
});

describe('grants of a scenario', () => {
  it('adds and takes away single grants', () => {
    const grant = { subject: 'Samgrd', capability: 'TIME.read' };
    const without = withoutGrants(BASE, [grant]);
    expect(has(without, serviceIdOf('samgrd'), 'time.read')).toBe(false);
    expect(has(without, serviceIdOf('samgrd'), 'ipc.core')).toBe(true);
    expect(withGrants(without, [grant])).toEqual(BASE);
    expect(withoutGrants(BASE, [{ subject: 'nobody', capability: 'x' }])).toEqual(BASE);
    expect(has(withGrants(BASE, [{ subject: 'logd', capability: 'ipc.core' }]), serviceIdOf('logd'), 'ipc.core')).toBe(
      true,
    );
    expect(grantCount(BASE)).toBe(52);
  });

  it('agrees with a set of pairs', () => {
    const grants = fc.record({
      subject: fc.constantFrom('a', 'b', 'c'),
      capability: fc.constantFrom('x', 'y', 'z'),
    });
    const step = fc.record({
      add: fc.boolean(),
      grants: fc.array(grants, { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        let policy = policySet(new Map());
        const model = new Set<string>();
        for (const { add, grants } of steps) {
          policy = add ? withGrants(policy, grants) : withoutGrants(policy, grants);
          const key = (grant: Grant): string => `${grant.subject}:${grant.capability}`;
          for (const grant of grants)
            if (add) model.add(key(grant));
            else model.delete(key(grant));
          for (const subject of ['a', 'b', 'c'])
            for (const capability of ['x', 'y', 'z'])
              expect(has(policy, serviceIdOf(subject), capability)).toBe(model.has(`${subject}:${capability}`));
          expect(grantCount(policy)).toBe(model.size);
        }
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});

describe('order of names (sheet 30, section 5.3)', () => {
  it('is that of their UTF-8 bytes', () => {
    const unit = fc.constantFrom(
      '',
      'a',
      'b',
      '\u007f',
      '\u0080',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '\u{10000}',
      '\u{10ffff}',
    );
    const text = fc.string({ unit, maxLength: 4 });
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(byUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      { seed: 30, numRuns: 2000 },
    );
  });
});
