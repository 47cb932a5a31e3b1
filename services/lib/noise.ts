/**
 * The Noise handshake of DSoftBus (sheet 70, section 10): named XK, in truth the XX pattern with a pre-message that holds
 * the responder's static key, and no prologue. Both sides pin the static key of their peer. Pure: bytes in, bytes out.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { assert } from '../../sim/assert.ts';
import { X25519, X25519_BYTES } from './x25519.ts';

/** Its 33 bytes are more than a hash, so h and ck start as its hash. */
const PROTOCOL_NAME = 'Noise_XK_25519_ChaChaPoly_BLAKE2s';

/** Bytes of keys, hashes and shared secrets. */
export const KEY_BYTES = X25519_BYTES;
/** Bytes of an authentication tag. */
export const TAG_BYTES = 16;
/** Bytes of the three messages. */
export const MESSAGE_1_BYTES = 32;
export const MESSAGE_2_BYTES = 96;
export const MESSAGE_3_BYTES = 64;
const SEALED_KEY_BYTES = KEY_BYTES + TAG_BYTES;

const HASH_BLOCK = 64;
const CHACHA_BLOCK = 64;
const POLY_BLOCK = 16;
const NONCE_BYTES = 12;
const NO_BYTES = new Uint8Array(0) as Readonly<Uint8Array> as Uint8Array;

/** An X25519 secret, 32 bytes, before clamping. */
export type SecretKey = Uint8Array & { readonly __brand: 'X25519Secret' };
/** An X25519 public key: any 32 bytes. */
export type PublicKey = Uint8Array & { readonly __brand: 'X25519Public' };

/** Why a handshake ended. A message out of turn counts as one of wrong length. */
export type HandshakeFault = 'bad-length' | 'crypto' | 'static-key-mismatch';

/** What one task computes: X25519, and the count of everything for the cost table. */
export class CryptoMeter {
  readonly x25519: X25519;
  /** Told what was computed, in the labels and units of the cost table. */
  readonly count: (label: string, units: number) => void;

  /** `x25519` may remember for other tasks too: the count is the same. */
  constructor(count: (label: string, units: number) => void, x25519 = new X25519()) {
    this.count = count;
    this.x25519 = x25519;
  }
}

/** Keys of one side. */
export interface HandshakeKeys {
  readonly staticSecret: SecretKey;
  readonly ephemeralSecret: SecretKey;
  /** The peer's pinned static key. */
  readonly peerStatic: PublicKey;
}

/** 32 bytes as a secret. */
export function secretKey(bytes: Uint8Array): SecretKey {
  assert(bytes.length === KEY_BYTES, 'an X25519 secret has 32 bytes');
  return bytes as SecretKey;
}

/** 32 bytes as a public key. */
export function publicKey(bytes: Uint8Array): PublicKey {
  assert(bytes.length === KEY_BYTES, 'an X25519 public key has 32 bytes');
  return bytes as PublicKey;
}

/** The public key of a secret. */
export function publicKeyOf(secret: SecretKey, meter: CryptoMeter): PublicKey {
  meter.count('x25519', 1);
  return meter.x25519.publicKey(secret) as PublicKey;
}

/** X25519 without a check of the result: the zero that a low-order point gives is a secret like any other (section 10). */
export function sharedSecret(secret: SecretKey, peer: PublicKey, meter: CryptoMeter): Uint8Array {
  meter.count('x25519', 1);
  return meter.x25519.shared(secret, peer);
}

/** An AEAD key and its counter; a failed opening leaves the counter. */
class Cipher {
  readonly #key: Uint8Array;
  readonly #meter: CryptoMeter;
  #count = 0;

  constructor(key: Uint8Array, meter: CryptoMeter) {
    this.#key = key;
    this.#meter = meter;
  }

  seal(plain: Uint8Array, associated: Uint8Array): Uint8Array {
    const sealed = this.#aead(plain.length, associated).encrypt(plain);
    this.#count += 1;
    return sealed;
  }

  open(sealed: Uint8Array, associated: Uint8Array): Uint8Array | null {
    if (sealed.length < TAG_BYTES) return null;
    const aead = this.#aead(sealed.length - TAG_BYTES, associated);
    try {
      const plain = aead.decrypt(sealed);
      this.#count += 1;
      return plain;
    } catch {
      return null;
    }
  }

  #aead(bytes: number, associated: Uint8Array): ReturnType<typeof chacha20poly1305> {
    // One block for the tag's key; one for the two lengths.
    this.#meter.count('chacha20-block', 1 + Math.ceil(bytes / CHACHA_BLOCK));
    this.#meter.count('poly1305-block', Math.ceil(associated.length / POLY_BLOCK) + Math.ceil(bytes / POLY_BLOCK) + 1);
    const nonce = new Uint8Array(NONCE_BYTES);
    new DataView(nonce.buffer).setBigUint64(4, BigInt(this.#count), true);
    return chacha20poly1305(this.#key, nonce, associated);
  }
}

/** The symmetric state: handshake hash, chaining key, current cipher. */
class SymmetricState {
  readonly #meter: CryptoMeter;
  #hash: Uint8Array;
  #chainingKey: Uint8Array;
  #cipher: Cipher | null = null;

  constructor(responderStatic: PublicKey, meter: CryptoMeter) {
    this.#meter = meter;
    this.#hash = this.#digest(new TextEncoder().encode(PROTOCOL_NAME));
    this.#chainingKey = this.#hash;
    this.mixHash(responderStatic);
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#digest(joined(this.#hash, data));
  }

  mixKey(secret: Uint8Array): void {
    const [chainingKey, key] = this.#derive(secret);
    this.#chainingKey = chainingKey;
    this.#cipher = new Cipher(key, this.#meter);
  }

  seal(plain: Uint8Array): Uint8Array {
    const sealed = this.#current().seal(plain, this.#hash);
    this.mixHash(sealed);
    return sealed;
  }

  open(sealed: Uint8Array): Uint8Array | null {
    const plain = this.#current().open(sealed, this.#hash);
    if (plain !== null) this.mixHash(sealed);
    return plain;
  }

  /** Keys from initiator to responder and back. */
  split(): readonly [Uint8Array, Uint8Array] {
    return this.#derive(NO_BYTES);
  }

  #current(): Cipher {
    assert(this.#cipher !== null, 'a key is mixed before anything is sealed');
    return this.#cipher;
  }

  /** HKDF with two outputs. */
  #derive(input: Uint8Array): readonly [Uint8Array, Uint8Array] {
    const prk = this.#hmac(this.#chainingKey, input);
    const first = this.#hmac(prk, Uint8Array.of(1));
    return [first, this.#hmac(prk, joined(first, Uint8Array.of(2)))];
  }

  #hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
    this.#meter.count('blake2s-block', 1 + Math.ceil(data.length / HASH_BLOCK) + 2);
    return hmac(blake2s, key, data);
  }

  #digest(data: Uint8Array): Uint8Array {
    this.#meter.count('blake2s-block', Math.ceil(data.length / HASH_BLOCK));
    return blake2s(data);
  }
}

/** What both sides hold after a handshake. AEAD with empty associated data, a counter per direction. */
export class Transport {
  /** The two keys as they were split. */
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly #send: Cipher;
  readonly #receive: Cipher;

  constructor(sendKey: Uint8Array, receiveKey: Uint8Array, meter: CryptoMeter) {
    this.sendKey = sendKey;
    this.receiveKey = receiveKey;
    this.#send = new Cipher(sendKey, meter);
    this.#receive = new Cipher(receiveKey, meter);
  }

  /** The plaintext sealed, 16 bytes longer. */
  seal(plain: Uint8Array): Uint8Array {
    return this.#send.seal(plain, NO_BYTES);
  }

  /** The plaintext, or null: not the next record of the peer. Then the counter stays, and so the records after it fail too. */
  open(sealed: Uint8Array): Uint8Array | null {
    return this.#receive.open(sealed, NO_BYTES);
  }
}

/** The side that dials. */
export class Initiator {
  readonly #keys: HandshakeKeys;
  readonly #meter: CryptoMeter;
  readonly #state: SymmetricState;
  #stage: 'start' | 'sent-1' | 'over' = 'start';

  constructor(keys: HandshakeKeys, meter: CryptoMeter) {
    this.#keys = keys;
    this.#meter = meter;
    this.#state = new SymmetricState(keys.peerStatic, meter);
  }

  /** Message 1: e. To be called once. */
  message1(): Uint8Array {
    assert(this.#stage === 'start', 'message 1 is sent once');
    this.#stage = 'sent-1';
    const ephemeral = publicKeyOf(this.#keys.ephemeralSecret, this.#meter);
    this.#state.mixHash(ephemeral);
    return ephemeral;
  }

  /** Reads message 2 (e, ee, s, es) and writes message 3 (s, se). */
  message3(message2: Uint8Array): { readonly message: Uint8Array; readonly transport: Transport } | HandshakeFault {
    if (this.#stage !== 'sent-1' || message2.length !== MESSAGE_2_BYTES) return 'bad-length';
    this.#stage = 'over';
    const { staticSecret, ephemeralSecret, peerStatic } = this.#keys;
    const state = this.#state;
    const meter = this.#meter;
    const peerEphemeral = publicKey(message2.subarray(0, KEY_BYTES));
    state.mixHash(peerEphemeral);
    state.mixKey(sharedSecret(ephemeralSecret, peerEphemeral, meter));
    const peer = state.open(message2.subarray(KEY_BYTES, KEY_BYTES + SEALED_KEY_BYTES));
    if (peer === null) return 'crypto';
    if (!same(peer, peerStatic)) return 'static-key-mismatch';
    state.mixKey(sharedSecret(ephemeralSecret, publicKey(peer), meter));
    if (state.open(message2.subarray(KEY_BYTES + SEALED_KEY_BYTES)) === null) return 'crypto';
    const sealedKey = state.seal(publicKeyOf(staticSecret, meter));
    state.mixKey(sharedSecret(staticSecret, peerEphemeral, meter));
    const message = joined(sealedKey, state.seal(NO_BYTES));
    const [toResponder, toInitiator] = state.split();
    return { message, transport: new Transport(toResponder, toInitiator, meter) };
  }
}

/** The side that accepts. */
export class Responder {
  readonly #keys: HandshakeKeys;
  readonly #meter: CryptoMeter;
  readonly #state: SymmetricState;
  readonly #staticPublic: PublicKey;
  #stage: 'start' | 'sent-2' | 'over' = 'start';

  constructor(keys: HandshakeKeys, meter: CryptoMeter) {
    this.#keys = keys;
    this.#meter = meter;
    this.#staticPublic = publicKeyOf(keys.staticSecret, meter);
    this.#state = new SymmetricState(this.#staticPublic, meter);
  }

  /** Reads message 1 and writes message 2. */
  message2(message1: Uint8Array): Uint8Array | HandshakeFault {
    if (this.#stage !== 'start' || message1.length !== MESSAGE_1_BYTES) return 'bad-length';
    this.#stage = 'sent-2';
    const { staticSecret, ephemeralSecret } = this.#keys;
    const state = this.#state;
    const meter = this.#meter;
    const peerEphemeral = publicKey(message1);
    state.mixHash(peerEphemeral);
    const ephemeral = publicKeyOf(ephemeralSecret, meter);
    state.mixHash(ephemeral);
    state.mixKey(sharedSecret(ephemeralSecret, peerEphemeral, meter));
    const sealedKey = state.seal(this.#staticPublic);
    state.mixKey(sharedSecret(staticSecret, peerEphemeral, meter));
    return joined(ephemeral, sealedKey, state.seal(NO_BYTES));
  }

  /** Reads message 3. */
  finish(message3: Uint8Array): Transport | HandshakeFault {
    if (this.#stage !== 'sent-2' || message3.length !== MESSAGE_3_BYTES) return 'bad-length';
    this.#stage = 'over';
    const { ephemeralSecret, peerStatic } = this.#keys;
    const state = this.#state;
    const peer = state.open(message3.subarray(0, SEALED_KEY_BYTES));
    if (peer === null) return 'crypto';
    if (!same(peer, peerStatic)) return 'static-key-mismatch';
    state.mixKey(sharedSecret(ephemeralSecret, publicKey(peer), this.#meter));
    if (state.open(message3.subarray(SEALED_KEY_BYTES)) === null) return 'crypto';
    const [toResponder, toInitiator] = state.split();
    return new Transport(toInitiator, toResponder, this.#meter);
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
