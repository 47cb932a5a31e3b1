/** X25519 with memory: the values are the library's, whoever asked what before. */
import fc from 'fast-check';
import { x25519 } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';

import { X25519 } from './x25519.ts';

const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });

function direct(secret: Uint8Array, peer: Uint8Array): Uint8Array {
  try {
    return x25519.getSharedSecret(secret, peer);
  } catch {
    return new Uint8Array(32);
  }
}

/** Public keys of points of small order (RFC 7748, section 6.1: they give zero), and one above the field's prime. */
const ODD_POINTS = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));

describe('X25519', () => {
  it('gives the values of the library in any order of questions, also the second time', () => {
    // Few secrets, so that sessions meet; the high bit of a public key does not count, but is another key.
    const secrets = fc.array(bytes, { minLength: 1, maxLength: 3 });
    const question = fc.record({ who: fc.nat(2), whom: fc.nat(2), flip: fc.boolean(), told: fc.boolean() });
    fc.assert(
      fc.property(secrets, fc.array(question, { maxLength: 8 }), fc.constantFrom(...ODD_POINTS), (all, asked, odd) => {
        const memory = new X25519();
        const secretOf = (i: number): Uint8Array => all[i % all.length] as Uint8Array;
        for (const { who, whom, flip, told } of asked) {
          const secret = secretOf(who);
          const peer = x25519.getPublicKey(secretOf(whom));
          if (flip) peer[31] = (peer[31] ?? 0) ^ 0x80;
          if (told) expect(memory.publicKey(secret)).toEqual(x25519.getPublicKey(secret));
          expect(memory.shared(secret, peer)).toEqual(direct(secret, peer));
          expect(memory.shared(secret, odd)).toEqual(direct(secret, odd));
        }
      }),
      { seed: 25519, numRuns: 60 },
    );
  });

  it('gives each caller bytes of its own', () => {
    const memory = new X25519();
    const [a, b] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    const [ofA, ofB] = [memory.publicKey(a), memory.publicKey(b)];
    const shared = memory.shared(a, ofB);
    const kept = shared.slice();
    shared.fill(0);
    memory.publicKey(a).fill(0);
    expect(memory.shared(b, ofA)).toEqual(kept);
    expect(memory.publicKey(a)).toEqual(ofA);
  });

  it('remembers more sessions than it has room for, one after the other', () => {
    const memory = new X25519();
    for (let i = 0; i < 300; i++) {
      const secret = new Uint8Array(32);
      secret[0] = i & 255;
      secret[1] = i >> 8;
      const key = memory.publicKey(secret);
      if (i % 50 === 0) expect(key).toEqual(x25519.getPublicKey(secret));
    }
  });
});
