import { createPrivateKey, createPublicKey, sign as nodeSign, verify as nodeVerify } from 'node:crypto';
import { ed25519, ED25519_TORSION_SUBGROUP } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DeviceKey, deviceSeed, verify } from './device-key.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const keyOf = (seed: Uint8Array): DeviceKey => new DeviceKey(deviceSeed(seed)!);
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

/** S of a signature plus a multiple of the group order: the same equation, another encoding. */
function withS(signature: Uint8Array, change: (s: bigint) => bigint): Uint8Array {
  const s = change(BigInt(`0x${Buffer.from(signature.slice(32)).reverse().toString('hex')}`));
  const out = signature.slice();
  out.set(Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse(), 32);
  return out;
}

describe('key pairs (sheet 60, section 10; RFC 8032)', () => {
  it.each([
    ['5a', '0d7550754e0800a5d237eef5826035766b9b3e5a15868a940ab289958788e3b0'],
    ['11', 'd04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737'],
    ['07', 'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c'],
  ])('seed %s times 32', (byte, publicKey) => {
    expect(text(keyOf(hex(byte.repeat(32))).publicKey)).toBe(publicKey);
  });

  it('RFC 8032, section 7.1, tests 1 to 3', () => {
    const cases = [
      [
        '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
        '',
        'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
      ],
      [
        '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
        '72',
        '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
      ],
      [
        'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
        'af82',
        '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
      ],
    ] as const;
    for (const [seed, message, signature] of cases) {
      const key = keyOf(hex(seed));
      expect(text(key.sign(hex(message)))).toBe(signature);
      expect(verify(key.publicKey, hex(signature), hex(message))).toBe('valid');
    }
  });

  it('a seed has 32 bytes and is copied', () => {
    expect([0, 31, 33].map((length) => deviceSeed(new Uint8Array(length)))).toEqual([null, null, null]);
    const source = new Uint8Array(32).fill(7);
    const seed = deviceSeed(source)!;
    source.fill(0);
    expect(seed[0]).toBe(7);
  });

  it('signs and verifies as the host library does', () => {
    const sameAsHost = fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(63),
      fc.integer({ min: 1, max: 255 }),
      (seed, message, at, flip) => {
        const key = keyOf(seed);
        const host = createPrivateKey({
          key: Buffer.concat([hex('302e020100300506032b657004220420'), seed]),
          format: 'der',
          type: 'pkcs8',
        });
        const signature = key.sign(message);
        expect(text(signature)).toBe(nodeSign(null, message, host).toString('hex'));
        expect(verify(key.publicKey, signature, message)).toBe('valid');
        const broken = signature.slice();
        broken[at] = broken[at]! ^ flip;
        expect(verify(key.publicKey, broken, message)).toBe('invalid');
        expect(nodeVerify(null, message, createPublicKey(host), broken)).toBe(false);
      },
    );
    fc.assert(sameAsHost, { seed: 20240, numRuns: 25 });
  });
});

describe('VERIFY (section 3.4)', () => {
  const key = keyOf(new Uint8Array(32).fill(7));
  const message = hex('00 01 02');
  const signature = key.sign(message);
  const IDENTITY = hex(`01${'00'.repeat(31)}`);
  const zeroS = (r: Uint8Array): Uint8Array => Uint8Array.of(...r, ...new Uint8Array(32));

  it('S must be canonical, although the equation holds', () => {
    expect(
      verify(
        key.publicKey,
        withS(signature, (s) => s),
        message,
      ),
    ).toBe('valid');
    expect(
      verify(
        key.publicKey,
        withS(signature, (s) => s + L),
        message,
      ),
    ).toBe('invalid');
    expect(
      verify(
        key.publicKey,
        withS(signature, () => L),
        message,
      ),
    ).toBe('invalid');
    expect(
      verify(
        key.publicKey,
        withS(signature, () => 2n ** 256n - 1n),
        message,
      ),
    ).toBe('invalid');
  });

  it('a key that is no point has a verdict of its own', () => {
    expect(verify(hex(`02${'00'.repeat(31)}`), signature, message)).toBe('bad-key');
    expect(verify(hex('02'), signature, message)).toBe('bad-key');
    expect(verify(key.publicKey, signature.subarray(1), message)).toBe('invalid');
  });

  it('keys of small order are not refused', () => {
    expect(verify(IDENTITY, zeroS(IDENTITY), message)).toBe('valid');
    for (const point of ED25519_TORSION_SUBGROUP) {
      expect(verify(hex(point), zeroS(IDENTITY), message)).not.toBe('bad-key');
    }
  });

  it('is cofactorless, where noble takes the cofactor', () => {
    const torsion = hex(ED25519_TORSION_SUBGROUP[1]!);
    expect(ed25519.verify(zeroS(torsion), message, IDENTITY, { zip215: true })).toBe(true);
    expect(verify(IDENTITY, zeroS(torsion), message)).toBe('invalid');
  });

  it('keys may be encoded in a non-canonical way, R may not', () => {
    const yAbovePrime = hex(`ee${'ff'.repeat(30)}7f`);
    const signedZero = hex(`01${'00'.repeat(30)}80`);
    expect(verify(yAbovePrime, zeroS(IDENTITY), message)).toBe('valid');
    expect(verify(signedZero, zeroS(IDENTITY), message)).toBe('valid');
    expect(verify(IDENTITY, zeroS(yAbovePrime), message)).toBe('invalid');
    expect(verify(IDENTITY, zeroS(signedZero), message)).toBe('invalid');
  });

  it('k hashes the key as given: a non-canonical key of order 2 is hashed with its own bytes', () => {
    // y = -1 has order 2: -k*A is the identity for even k and A itself for odd k, so R tells k's parity.
    const canonical = hex(`ec${'ff'.repeat(30)}7f`);
    const signed = hex(`ec${'ff'.repeat(31)}`);
    const differs = Array.from({ length: 32 }, (_, i) => {
      const m = Uint8Array.of(i);
      return verify(canonical, zeroS(IDENTITY), m) !== verify(signed, zeroS(IDENTITY), m);
    });
    expect(differs).toContain(true);
  });
});
