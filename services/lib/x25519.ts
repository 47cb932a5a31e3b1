/**
 * X25519 (RFC 7748) as the services of a machine compute it: the library's, each value once. A test session has both its ends
 * on one machine, and either end computes what the other has computed: k_a(k_b(9)) = k_b(k_a(9)) (RFC 7748, section 6.1), some
 * milliseconds of bigint arithmetic each time. What is kept are values of pure functions, so nobody can tell but by the clock.
 */
import { x25519 } from '@noble/curves/ed25519.js';
import { bytesToNumberLE, numberToBytesLE } from '@noble/curves/utils.js';
import { ed25519 } from './edwards25519.ts';

/** Bytes of secrets, public keys and shared secrets. */
export const X25519_BYTES = 32;
/** Values kept of either kind: some sessions' worth. All are forgotten when there is no room for one more. */
const KEPT = 64;

/** X25519 with memory. */
export class X25519 {
  /** Secret -> public key. */
  readonly #publicKeys = new Map<string, Uint8Array>();
  /** Both public keys, the smaller one first, -> what their owners share. */
  readonly #shared = new Map<string, Uint8Array>();

  /** The public key of a 32-byte secret. */
  publicKey(secret: Uint8Array): Uint8Array {
    return once(this.#publicKeys, keyOf(secret), () => publicKeyOf(secret));
  }

  /** What a secret shares with the owner of a public key, both of 32 bytes; zeros where the peer's point is of low order. */
  shared(secret: Uint8Array, peer: Uint8Array): Uint8Array {
    const own = this.#publicKeys.get(keyOf(secret));
    // Whoever shares a secret has told its public key before; if not, this is no session of two.
    if (own === undefined) return multiply(secret, peer);
    const [a, b] = [keyOf(own), keyOf(peer)];
    return once(this.#shared, a < b ? a + b : b + a, () => multiply(secret, peer));
  }
}

/**
 * The u coordinate of k * B on edwards25519, whose base point maps to 9 (RFC 7748, section 4.1): u = (1 + y) / (1 - y). A
 * table of multiples makes that quicker than the library's ladder.
 */
function publicKeyOf(secret: Uint8Array): Uint8Array {
  const { BASE, Fn, Fp } = ed25519.Point;
  // A clamped scalar is no multiple of the base point's order: eight times that is more than 255 bits hold.
  const { Y, Z } = BASE.multiplyUnsafe(Fn.create(clamped(secret)));
  return numberToBytesLE(Fp.mul(Fp.add(Z, Y), Fp.inv(Fp.sub(Z, Y))), X25519_BYTES);
}

/** RFC 7748, section 5: decodeScalar25519. */
function clamped(secret: Uint8Array): bigint {
  return (BigInt.asUintN(254, bytesToNumberLE(secret)) | (1n << 254n)) & ~7n;
}

function multiply(secret: Uint8Array, peer: Uint8Array): Uint8Array {
  try {
    return x25519.getSharedSecret(secret, peer);
  } catch {
    // With 32 bytes on both sides the library refuses nothing but a zero result.
    return new Uint8Array(X25519_BYTES);
  }
}

function once(values: Map<string, Uint8Array>, key: string, compute: () => Uint8Array): Uint8Array {
  let value = values.get(key);
  if (value === undefined) {
    value = compute();
    if (values.size >= KEPT) values.clear();
    values.set(key, value);
  }
  // The caller owns what it gets.
  return value.slice();
}

function keyOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
