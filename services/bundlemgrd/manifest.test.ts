import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeManifest, demoManifest, encodeManifest, isSemver } from './manifest.ts';
import type { BundleManifest, ManifestSignature, PublisherId } from './manifest.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const HELLO = `
  000000001b000000 0000000002000800 0000000000000000 0000000000000000
  1d0000005a000000 2100000032000000 210000000e000000 2500000006000000
  2100000032000000 2100000082000000 2500000002020000 0000000000000000
  64656d6f2e68656c 6c6f000000000000 302e302e31000000 010000002a000000
  64656d6f00000000 302e312e30000000`.replace(/\s/g, '');
const VALID: BundleManifest = {
  name: 'demo.hello',
  semver: '0.0.1',
  minSdk: '0.1.0',
  abilities: ['demo'],
  capabilities: [],
  publisher: new Uint8Array(16) as PublisherId,
  signature: new Uint8Array(64) as ManifestSignature,
};
const reject = (change: Partial<BundleManifest>): unknown => {
  const got = decodeManifest(encodeManifest({ ...VALID, ...change }));
  return typeof got === 'string' ? got : 'ok';
};

describe('demo manifests (section 14.2)', () => {
  it('byte for byte', () => {
    const hello = demoManifest('demo.hello', '0.0.1');
    expect(hello.length).toBe(224);
    expect(hex(hello)).toBe(HELLO + '00'.repeat(80));
    expect(decodeManifest(hello)).toEqual(VALID);
    const exit0 = demoManifest('demo.exit0', '1.0.0');
    expect(hex(sha256(exit0))).toBe('a837fb53b70cb3a908c2ac849b2215792add0e5c66d18670aa34e7875dfe232b');
    const words = '64656d6f2e657869 7430000000000000 312e302e30000000'.replaceAll(' ', '');
    expect(hex(exit0)).toBe(hex(hello).replace('64656d6f2e68656c6c6f000000000000302e302e31000000', words));
  });
});

describe('validation (section 14.1)', () => {
  it('invalid fields, in the order of the reads', () => {
    expect(decodeManifest(new Uint8Array(0))).toBe('decode');
    expect(reject({ name: '' })).toBe('name');
    expect(reject({ name: ' \u0085', semver: 'x' })).toBe('name');
    expect(reject({ semver: '1.0', minSdk: 'x' })).toBe('semver');
    expect(reject({ minSdk: 'one', abilities: [] })).toBe('minSdk');
    expect(reject({ abilities: [], capabilities: [''] })).toBe('abilities');
    expect(reject({ abilities: ['a', ' '] })).toBe('abilities');
    expect(reject({ capabilities: [''], publisher: new Uint8Array(1) as PublisherId })).toBe('capabilities');
    expect(
      reject({ publisher: new Uint8Array(15) as PublisherId, signature: new Uint8Array(1) as ManifestSignature }),
    ).toBe('publisher');
    expect(reject({ signature: new Uint8Array(63) as ManifestSignature })).toBe('signature');
    expect(reject({ name: ' demo ', capabilities: ['ipc.core'] })).toBe('ok');
  });

  it('versions', () => {
    for (const good of ['0.0.0', '1.2.3-alpha.1+build.5', '10.20.30', '1.0.0-0a', '1.0.0--'])
      expect(isSemver(good), good).toBe(true);
    for (const bad of ['1', '1.0', '01.0.0', '1.0.0-01', '1.0.0-', '1.0.0+', 'v1.0.0', '1.0.0 ', '1.0.0-a..b'])
      expect(isSemver(bad), bad).toBe(false);
  });

  it('decode(encode(x)) = x', () => {
    const word = fc.stringMatching(/^[a-z.]{1,10}$/);
    const version = fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99)).map((parts) => parts.join('.'));
    const manifest = fc.record({
      name: word,
      semver: version,
      minSdk: version,
      abilities: fc.array(word, { minLength: 1, maxLength: 4 }),
      capabilities: fc.array(word, { maxLength: 4 }),
      publisher: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => b as PublisherId),
      signature: fc.uint8Array({ minLength: 64, maxLength: 64 }).map((b) => b as ManifestSignature),
    });
    fc.assert(
      fc.property(manifest, (x) => {
        expect(decodeManifest(encodeManifest(x))).toEqual(x);
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('mutated manifests and any bytes never throw', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(223), fc.nat(255)), { maxLength: 5 }), (changes) => {
        const manifest = demoManifest('demo.hello', '0.0.1');
        for (const [at, value] of changes) manifest[at] = value;
        const got = decodeManifest(manifest);
        if (typeof got !== 'string') expect(got.abilities.length).toBeGreaterThan(0);
      }),
      { seed: 20240, numRuns: 400 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8192 }), (any) => {
        expect(typeof decodeManifest(any)).toBe('string');
      }),
      { seed: 20240, numRuns: 100 },
    );
  });
});
