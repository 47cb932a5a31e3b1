/**
 * Ed25519 as keystored uses it (sheet 60, sections 3.4 and 3.6): the device's key pair, which is a function of its seed
 * alone (RFC 8032), and the verification rule of VERIFY.
 */
import { bytesToNumberLE } from '@noble/curves/utils.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { ed25519 } from '../lib/edwards25519.ts';
import type { PublicKeyBytes, SignatureBytes } from './wire.ts';
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from './wire.ts';

/** Bytes of a seed. */
export const SEED_BYTES = 32;

/** The private seed, as it is stored in statefs. Never printed, never sent to anybody else. */
export type DeviceSeed = Uint8Array & { readonly __brand: 'DeviceSeed' };

/** The bytes as a seed, copied; null unless there are exactly {@link SEED_BYTES}. */
export function deviceSeed(bytes: Uint8Array): DeviceSeed | null {
  return bytes.length === SEED_BYTES ? (bytes.slice() as DeviceSeed) : null;
}

/** A key pair. */
export class DeviceKey {
  readonly publicKey: PublicKeyBytes;
  readonly #seed: DeviceSeed;

  constructor(seed: DeviceSeed) {
    this.#seed = seed;
    this.publicKey = ed25519.getPublicKey(seed) as PublicKeyBytes;
  }

  /** The signature of `message`. */
  sign(message: Uint8Array): SignatureBytes {
    return ed25519.sign(message, this.#seed) as SignatureBytes;
  }
}

/** Outcome of a verification; `bad-key`: the public key is no point of the curve. */
export type Verdict = 'valid' | 'invalid' | 'bad-key';

/**
 * The rule of section 3.4, which is neither RFC 8032's nor noble's: S must be canonical; R' = S*B - k*A is compared with the
 * signature's R as bytes, without the cofactor; keys of small order and keys with a non-canonical encoding are fine, and k
 * hashes the key's bytes as given.
 */
export function verify(publicKey: Uint8Array, signature: Uint8Array, message: Uint8Array): Verdict {
  if (publicKey.length !== PUBLIC_KEY_BYTES) return 'bad-key';
  const point = decompress(publicKey);
  if (point === null) return 'bad-key';
  if (signature.length !== SIGNATURE_BYTES) return 'invalid';
  const { BASE, Fn } = ed25519.Point;
  const r = signature.subarray(0, 32);
  const s = bytesToNumberLE(signature.subarray(32));
  if (s >= Fn.ORDER) return 'invalid';
  const k = bytesToNumberLE(sha512.create().update(r).update(publicKey).update(message).digest()) % Fn.ORDER;
  const expected = BASE.multiplyUnsafe(s).subtract(point.multiplyUnsafe(k)).toBytes();
  return expected.every((byte, i) => byte === r[i]) ? 'valid' : 'invalid';
}

/** The curve point, by the lenient rule: y may be at or above the field's prime, and x = 0 may have its sign bit set. */
function decompress(bytes: Uint8Array): typeof ed25519.Point.BASE | null {
  try {
    return ed25519.Point.fromBytes(bytes, true);
  } catch {
    return null;
  }
}
