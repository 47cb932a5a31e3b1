import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { StatefsError } from '../statefsd/wire.ts';
import { DEVICE_KEY_PATH, pathOf, statusOfError } from './store.ts';
import type { KeyStore } from './store.ts';
import { Fake, run } from './fixtures/fake.ts';
import { KEY_MAX, Status, storeKey, storeValue } from './wire.ts';

const SELFTEST = serviceIdOf('selftest-client');
const key = (text: string): NonNullable<ReturnType<typeof storeKey>> => storeKey(Buffer.from(text))!;
const value = (text: string): NonNullable<ReturnType<typeof storeValue>> => storeValue(Buffer.from(text))!;

describe('paths (sheet 60, section 3.3)', () => {
  it('sender as 16 hex digits, key bytes as hex', () => {
    expect(pathOf(SELFTEST, key('k1'))).toBe('/state/keystore/52c6c4a34ffb3f69/6b31');
    expect(pathOf(0x1fn as ServiceId, storeKey(Uint8Array.of(0, 255))!)).toBe('/state/keystore/000000000000001f/00ff');
    expect(pathOf(SELFTEST, storeKey(new Uint8Array(KEY_MAX))!)).toHaveLength(161);
  });

  it('the seed lies outside every sender', () => {
    expect(DEVICE_KEY_PATH).toBe('/state/keystore/device.signing');
  });
});

describe('statuses of statefs errors (section 3.3)', () => {
  it.each([
    ['not-found', Status.NOT_FOUND],
    ['value-too-large', Status.TOO_LARGE],
    ['key-too-long', Status.TOO_LARGE],
    ['invalid-key', Status.MALFORMED],
    ['corrupted', Status.MALFORMED],
    ['io', Status.UNSUPPORTED],
    ['replay-limit', Status.UNSUPPORTED],
  ] as const)('%s is %i for every op', (error, status) => {
    expect(statusOfError(error)).toBe(status);
    const fake = new Fake();
    fake.fail = () => error;
    const store = fake.keyStore();
    expect(run(store.put(SELFTEST, key('k'), value('v')))).toBe(status);
    expect(run(store.get(SELFTEST, key('k')))).toBe(status);
    expect(run(store.delete(SELFTEST, key('k')))).toBe(status);
    expect(run(store.persistSeed(new Uint8Array(32)))).toBe(status);
    expect(run(store.readSeed())).toBe(error);
    expect([store.inMemory, fake.lines]).toEqual([false, []]);
  });
});

describe('fallback to memory (section 11, Q16)', () => {
  const ops = {
    put: (store: KeyStore<never>) => run(store.put(SELFTEST, key('k'), value('v'))),
    get: (store: KeyStore<never>) => run(store.get(SELFTEST, key('k'))),
    del: (store: KeyStore<never>) => run(store.delete(SELFTEST, key('k'))),
    seed: (store: KeyStore<never>) => run(store.persistSeed(new Uint8Array(32))),
  };

  it.each([
    ['put', Status.OK],
    ['get', Status.NOT_FOUND],
    ['del', Status.NOT_FOUND],
    ['seed', Status.OK],
  ] as const)('a denied %s is done again in an empty map, once and for good', (op, status) => {
    const fake = new Fake();
    const store = fake.keyStore();
    expect(ops.put(store)).toBe(Status.OK);
    fake.fail = () => 'access-denied';
    expect(ops[op](store)).toBe(status);
    expect(fake.lines).toEqual(['fallback']);
    fake.fail = () => null;
    fake.calls.length = 0;
    expect(ops.get(store)).toEqual(op === 'put' ? value('v') : Status.NOT_FOUND);
    expect(ops.put(store)).toBe(Status.OK);
    expect(ops.get(store)).toEqual(value('v'));
    expect(ops.del(store)).toBe(Status.OK);
    expect(ops.del(store)).toBe(Status.NOT_FOUND);
    expect(run(store.readSeed())).toBeNull();
    expect([fake.lines.length, fake.calls.length, store.inMemory]).toEqual([1, 0, true]);
  });

  it('reading the seed never switches', () => {
    const fake = new Fake();
    fake.fail = () => 'access-denied';
    const store = fake.keyStore();
    expect(run(store.readSeed())).toBe('access-denied');
    expect([store.inMemory, fake.lines]).toEqual([false, []]);
  });
});

describe('against a model', () => {
  const senders = [1n, 2n, 0x0102n].map((id) => id as ServiceId);
  const keys = ['a', 'b', 'ab', '\u0001'].map(key);
  const step = fc.record({
    op: fc.constantFrom('put' as const, 'get' as const, 'del' as const),
    sender: fc.constantFrom(...senders),
    key: fc.constantFrom(...keys),
    value: fc.uint8Array({ maxLength: 4 }),
    denied: fc.nat(30).map((n) => n === 0),
  });

  it('OBS-1: one sender never sees or changes what another stored, in statefs or in memory', () => {
    const agrees = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const fake = new Fake();
      const store = fake.keyStore();
      let model = new Map<string, Uint8Array>();
      let fallen = false;
      for (const { op, sender, key: k, value: v, denied } of steps) {
        fake.fail = () => (denied ? 'access-denied' : null);
        if (denied && !fallen) {
          fallen = true;
          model = new Map();
        }
        const name = `${sender}|${Buffer.from(k).toString('latin1')}`;
        const had = model.get(name);
        switch (op) {
          case 'put':
            expect(run(store.put(sender, k, storeValue(v)!))).toBe(Status.OK);
            model.set(name, v.slice());
            v.fill(0xee);
            break;
          case 'get':
            expect(run(store.get(sender, k))).toEqual(had ?? Status.NOT_FOUND);
            break;
          case 'del':
            expect(run(store.delete(sender, k))).toBe(had === undefined ? Status.NOT_FOUND : Status.OK);
            model.delete(name);
            break;
        }
        expect(store.inMemory).toBe(fallen);
      }
      expect(fake.lines.length).toBe(fallen ? 1 : 0);
    });
    fc.assert(agrees, { seed: 20240, numRuns: 300 });
  });

  it('every statefs error is either a status or the fallback', () => {
    const all: readonly StatefsError[] = [
      'not-found',
      'access-denied',
      'value-too-large',
      'key-too-long',
      'invalid-key',
      'corrupted',
      'io',
      'replay-limit',
    ];
    for (const error of all) {
      const fake = new Fake();
      fake.fail = () => error;
      const status = run(fake.keyStore().put(SELFTEST, key('k'), value('v')));
      expect(status === Status.OK).toBe(error === 'access-denied');
    }
  });
});
