import { ed25519 } from '@noble/curves/ed25519.js';
import { sha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { demoManifest } from '../bundlemgrd/manifest.ts';
import { verify } from '../keystored/device-key.ts';
import { ascii } from '../lib/text.ts';
import { stagedSet } from '../selftest-client/staged-set.ts';
import { MAX_ARCHIVE, checkBundles, packSystemSet, readSystemSet } from './system-set.ts';
import { decodeIndex, encodeIndex } from './system-set-index.ts';
import type { BundleEntry, Digest, Publisher, SystemSetIndex } from './system-set-index.ts';
import { walkTar, writeTar } from './tar.ts';
import type { TarMember } from './tar.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const SEED = new Uint8Array(32).fill(7);
const FIXTURE_INDEX = `
  000000001c000000 0000000002000300 0000000000000000 0000000000000000
  0900000032000000 0900000002010000 150000002f000000 312e302e30000000
  ea4a6c63e29c520a bef5507b132ec5f9 954776aebebe7b92 421eea691446d22c
  0400000001000400 2200000000000000 0d0000005a000000 1100000032000000
  1100000002010000 1d00000002010000 64656d6f2e68656c 6c6f000000000000
  302e302e31000000 c24ebcba2d94cf88 7a62d71ecc1ef06b f92ea4bbd2505d03
  95f1d53baae889b1 a7484e4e41e7973b 77a172375eea9756 3d4ebb61856d60ba
  7426414c17ab0264`;

/** The outcome of both halves, with the signature checked between them as updated does. */
function outcome(archive: Uint8Array): string {
  const set = readSystemSet(archive);
  if (typeof set === 'string') return set;
  if (verify(set.index.publisher, set.signature, set.indexBytes) !== 'valid') return 'signature';
  const work = checkBundles(set);
  return typeof work === 'string' ? work : 'ok';
}

const members = (archive: Uint8Array): TarMember[] =>
  (walkTar(archive) as readonly { name: string; directory: boolean; data: Uint8Array }[]).map((entry) => ({
    name: entry.name,
    data: entry.directory ? null : entry.data,
  }));

/** The fixture with its members changed. */
const rebuilt = (change: (list: TarMember[]) => TarMember[]): Uint8Array => writeTar(change(members(stagedSet())));

/** A signed archive whose index holds these fields, over the fixture's files. */
function signed(index: Uint8Array, change: (list: TarMember[]) => TarMember[] = (list) => list): Uint8Array {
  return rebuilt(([, , ...files]) => [
    { name: 'system.nxsindex', data: index },
    { name: 'system.sig.ed25519', data: ed25519.sign(index, SEED) },
    ...change(files),
  ]);
}

const fixture = (): SystemSetIndex => {
  const index = decodeIndex(bytes(FIXTURE_INDEX));
  if (!index.ok) throw new Error(index.fault);
  return index.value;
};
const withIndex = (change: Partial<SystemSetIndex>): string =>
  outcome(signed(encodeIndex({ ...fixture(), ...change })));
const withBundle = (change: Partial<BundleEntry>): string =>
  withIndex({ bundles: [{ ...fixture().bundles[0]!, ...change }] });

describe('fixture (section 7)', () => {
  it('archive, members, index, manifest and payload, byte for byte', () => {
    const archive = stagedSet();
    expect(archive.length).toBe(5632);
    expect(hex(sha256(archive))).toBe('61aca3fb05f05a5e0161722607fe64c0b2ba63dc60227b2701ad554339cf7bf4');
    const set = readSystemSet(archive);
    if (typeof set === 'string') throw new Error(set);
    expect(hex(set.indexBytes)).toBe(hex(bytes(FIXTURE_INDEX)));
    expect(hex(sha256(set.indexBytes))).toBe('6587a6ce6de51b94172038a88925e09b4e46bc60e9518cc98bc555c577a52156');
    const manifest = set.files.get('demo.hello.nxb/manifest.nxb')!;
    expect(hex(sha256(manifest))).toBe('c24ebcba2d94cf887a62d71ecc1ef06bf92ea4bbd2505d0395f1d53baae889b1');
    const payload = set.files.get('demo.hello.nxb/payload.elf')!;
    expect(hex(sha256(payload))).toBe('a7484e4e41e7973b77a172375eea97563d4ebb61856d60ba7426414c17ab0264');
    expect(new TextDecoder().decode(payload)).toBe('open-nexus-os selftest payload v1\n');
    expect(hex(manifest)).toBe(hex(demoManifest('demo.hello', '0.0.1')));
  });

  it('headers', () => {
    const archive = stagedSet();
    const at = (offset: number, length: number): string =>
      String.fromCharCode(...archive.subarray(offset, offset + length));
    const rows: readonly (readonly [number, string, string, string])[] = [
      [0, 'system.nxsindex', '00000000350', '0011011'],
      [1024, 'system.sig.ed25519', '00000000100', '0010721'],
      [2048, 'demo.hello.nxb/', '00000000000', '0010521'],
      [2560, 'demo.hello.nxb/manifest.nxb', '00000000340', '0013035'],
      [3584, 'demo.hello.nxb/payload.elf', '00000000042', '0012636'],
    ];
    for (const [offset, name, size, checksum] of rows) {
      expect(at(offset, name.length + 1)).toBe(`${name}\0`);
      expect(at(offset + 124, 12)).toBe(`${size}\0`);
      expect(at(offset + 148, 8)).toBe(`${checksum}\0`);
    }
    expect(archive.subarray(4608).every((byte) => byte === 0)).toBe(true);
  });

  it('is signed by the seed of 32 sevens, and passes', () => {
    const set = readSystemSet(stagedSet());
    if (typeof set === 'string') throw new Error(set);
    expect(hex(set.index.publisher)).toBe(hex(ed25519.getPublicKey(SEED)));
    expect(hex(set.signature)).toBe(hex(ed25519.sign(set.indexBytes, SEED)));
    expect(outcome(stagedSet())).toBe('ok');
    expect(checkBundles(set)).toEqual({ blocks: 5, hookCalls: 2 });
    expect(set.index).toMatchObject({ systemVersion: '1.0.0', timestampUnixMs: 0n });
    expect(set.index.bundles).toMatchObject([{ name: 'demo.hello', version: '0.0.1', payloadSize: 34n }]);
  });
});

describe('errors in their order (section 5.4)', () => {
  it('archive, walk, system entries', () => {
    expect(outcome(new Uint8Array(MAX_ARCHIVE + 1))).toBe('oversized');
    expect(outcome(new Uint8Array(MAX_ARCHIVE))).toBe('missing system entries');
    expect(outcome(rebuilt((list) => list.slice(0, 1)))).toBe('missing system entries');
    expect(outcome(rebuilt(([a, b, ...rest]) => [b!, a!, ...rest]))).toBe('missing-entry');
    expect(outcome(rebuilt(([a, , ...rest]) => [a!, ...rest]))).toBe('missing-entry');
    for (const name of ['../escape/payload.elf', '/etc/passwd'])
      expect(outcome(rebuilt((list) => [...list.slice(0, 2), { name, data: ascii('x') }])), name).toBe('unsafe path');
    expect(outcome(rebuilt((list) => [{ ...list[0]!, data: new Uint8Array(1_048_577) }, ...list.slice(1)]))).toBe(
      'oversized',
    );
    expect(outcome(rebuilt((list) => [list[0]!, { ...list[1]!, data: new Uint8Array(63) }, ...list.slice(2)]))).toBe(
      'signature',
    );
  });

  it('a short signature wins over a broken index, a broken index over a wrong signature', () => {
    const broken = { name: 'system.nxsindex', data: ascii('x') };
    expect(outcome(rebuilt((list) => [broken, { ...list[1]!, data: ascii('x') }]))).toBe('signature');
    expect(outcome(rebuilt((list) => [broken, ...list.slice(1)]))).toBe('capnp decode failed');
  });

  it('signature', () => {
    const bad = new Uint8Array(64);
    bad[0] = 0xff;
    expect(outcome(rebuilt((list) => [list[0]!, { ...list[1]!, data: bad }, ...list.slice(2)]))).toBe('signature');
    // Any self-signed set passes (quirk 4), one signed by another key does not.
    const seed = new Uint8Array(32).fill(9);
    expect(withIndex({ publisher: ed25519.getPublicKey(seed) as Publisher })).toBe('signature');
    const own = packSystemSet(
      { systemVersion: '2', timestampUnixMs: 5n, publisher: ed25519.getPublicKey(seed) as Publisher, bundles: [] },
      (index) => ed25519.sign(index, seed),
    );
    expect(outcome(own)).toBe('ok');
  });

  it('index fields', () => {
    expect(withIndex({ systemVersion: ' \u0085' })).toBe('systemVersion empty');
    expect(withIndex({ publisher: new Uint8Array(31) as Publisher })).toBe('publisher must be 32 bytes');
    expect(withBundle({ name: '' })).toBe('bundle name empty');
    expect(withBundle({ version: ' ' })).toBe('bundle version empty');
    expect(withBundle({ manifestSha256: new Uint8Array(31) as Digest })).toBe('digest must be 32 bytes');
    expect(withBundle({ payloadSha256: new Uint8Array(33) as Digest })).toBe('digest must be 32 bytes');
    expect(withBundle({ name: ' demo.hello\u3000' })).toBe('ok');
  });

  it('bundles', () => {
    expect(withIndex({ bundles: Array.from({ length: 257 }, () => fixture().bundles[0]!) })).toBe('too many bundles');
    expect(withBundle({ name: 'demo.other' })).toBe('missing-entry');
    expect(withBundle({ payloadSize: 35n })).toBe('digest');
    expect(withBundle({ manifestSha256: new Uint8Array(32) as Digest })).toBe('digest');
    expect(withBundle({ payloadSha256: new Uint8Array(32) as Digest })).toBe('digest');
    expect(withIndex({ bundles: [] })).toBe('unexpected-entry');
    const index = bytes(FIXTURE_INDEX);
    expect(outcome(signed(index, (list) => list.filter((each) => !each.name.endsWith('payload.elf'))))).toBe(
      'missing-entry',
    );
    const blown = (part: string, length: number): string =>
      outcome(
        signed(index, (list) =>
          list.map((each) => (each.name.endsWith(part) ? { ...each, data: new Uint8Array(length) } : each)),
        ),
      );
    expect(blown('manifest.nxb', 262_145)).toBe('oversized');
    expect(blown('manifest.nxb', 262_144)).toBe('digest');
    const flipped = stagedSet();
    flipped[4096] = (flipped[4096] ?? 0) ^ 1;
    expect(outcome(flipped)).toBe('digest');
  });

  it('left-over files, directories, duplicate paths', () => {
    const index = bytes(FIXTURE_INDEX);
    expect(outcome(signed(index, (list) => [...list, { name: 'more', data: ascii('x') }]))).toBe('unexpected-entry');
    expect(outcome(signed(index, (list) => [...list, { name: 'more/', data: null }]))).toBe('ok');
    expect(outcome(signed(index, (list) => [...list, { name: 'system.nxsindex', data: index }]))).toBe(
      'unexpected-entry',
    );
    const payload = members(stagedSet())[4]!;
    expect(outcome(signed(index, (list) => [{ ...payload, data: ascii('old') }, ...list]))).toBe('ok');
    expect(outcome(signed(index, (list) => [...list, { ...payload, data: ascii('new') }]))).toBe('digest');
  });
});

describe('index (sections 5.2 and 18)', () => {
  const patched = (at: number, word: string): string => {
    const index = bytes(FIXTURE_INDEX);
    index.set(bytes(word), at);
    const got = decodeIndex(index);
    return got.ok ? 'ok' : got.fault;
  };

  it('each field missing', () => {
    expect(patched(8, '0100000002000300')).toBe('capnp root missing');
    expect(patched(8, '0000000000000000')).toBe('systemVersion empty');
    expect(patched(32, '0900000033000000')).toBe('systemVersion missing');
    expect(patched(32, '0900000002000000')).toBe('systemVersion missing');
    expect(patched(56, 'ff2e302e30000000')).toBe('systemVersion invalid utf-8');
    expect(patched(40, '0900000003010000')).toBe('publisher missing');
    expect(patched(40, '0000000000000000')).toBe('publisher must be 32 bytes');
    expect(patched(48, '0000000000000000')).toBe('ok');
    expect(patched(48, '0800000000000000')).toBe('bundles missing');
    expect(patched(112, '0d00000059000000')).toBe('bundle name missing');
    expect(patched(112, '0000000000000000')).toBe('bundle name empty');
    expect(patched(144, 'ff656d6f2e68656c')).toBe('bundle name invalid utf-8');
    expect(patched(120, '1100000033000000')).toBe('bundle version missing');
    expect(patched(160, 'ff2e302e31000000')).toBe('bundle version invalid utf-8');
    expect(patched(128, '1100000003010000')).toBe('manifestSha256 missing');
    expect(patched(136, '1d00000003010000')).toBe('payloadSha256 missing');
    expect(patched(136, '0000000000000000')).toBe('digest must be 32 bytes');
  });

  it('schemaVersion is stored XOR 1 and not checked', () => {
    expect(patched(16, 'ff00000000000000')).toBe('ok');
  });

  it('decode(encode(x)) = x', () => {
    const label = fc.stringMatching(/^[a-z0-9.-]{1,12}$/);
    const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((d) => d as Digest);
    const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
    const index = fc.record({
      systemVersion: label,
      publisher: digest.map((d) => d as Uint8Array as Publisher),
      timestampUnixMs: u64,
      bundles: fc.array(
        fc.record({ name: label, version: label, manifestSha256: digest, payloadSha256: digest, payloadSize: u64 }),
        { maxLength: 6 },
      ),
    });
    fc.assert(
      fc.property(index, (x) => {
        expect(decodeIndex(encodeIndex(x))).toEqual({ ok: true, value: x });
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('mutated indexes and archives never throw', () => {
    const change = fc.tuple(fc.nat(231), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 3, 6, 7, 0xff)));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 6 }), (changes) => {
        const index = bytes(FIXTURE_INDEX);
        for (const [at, value] of changes) index[at] = value;
        const got = decodeIndex(index);
        if (got.ok) expect(got.value.publisher.length).toBe(32);
      }),
      { seed: 20240, numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5631), fc.nat(255)), { minLength: 1, maxLength: 3 }), (changes) => {
        const archive = stagedSet();
        for (const [at, value] of changes) archive[at] = value;
        const set = readSystemSet(archive);
        if (typeof set !== 'string') checkBundles(set);
      }),
      { seed: 20240, numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8192 }), (any) => {
        expect(typeof readSystemSet(any)).toBe('string');
      }),
      { seed: 20240, numRuns: 100 },
    );
  });
});
