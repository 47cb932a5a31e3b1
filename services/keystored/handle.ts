/**
 * What keystored does with a decoded request (sheet 60, sections 3.3 to 3.6). Policy before everything that it guards; the
 * private half of the device key leaves only towards statefs.
 */
import type { ServiceId } from '../../kernel-model/abi.ts';
import { unreachable } from '../../sim/assert.ts';
import { DeviceKey, deviceSeed, SEED_BYTES, verify } from './device-key.ts';
import type { KeyStore } from './store.ts';
import { encodeResponse, opOf, rejectStatus, Status } from './wire.ts';
import type { KeystoreRequest, Reject, SignedPayload } from './wire.ts';

/** Capabilities of policyd's set that keystored asks for, about the sender of a request. */
export type KeystoreCapability = 'crypto.sign' | 'device.keygen' | 'device.pubkey.read' | 'device.key.reload';

/** Work that costs time, by its label in the cost table. */
export type Work = 'ed25519-keygen' | 'ed25519-sign' | 'ed25519-verify' | 'sha512-block';

/** keystored's surroundings. `Y` is what they yield: syscalls, or nothing in tests. */
export interface World<Y> {
  allows(sender: ServiceId, capability: KeystoreCapability): Generator<Y, boolean, number>;
  /** Fresh entropy of any length, null without. */
  entropy(count: number): Generator<Y, Uint8Array | null, number>;
  line(text: string): Generator<Y, void, number>;
  work(label: Work, units: number): void;
}

/** Bytes of SHA-512's block and of its padding at least. */
const SHA512_BLOCK = 128;
const SHA512_PADDING = 17;
/** R and the public key stand before the message. */
const HASH_PREFIX = 64;

/** A status alone, or OK with a value. */
type Outcome = Status | Uint8Array;

/** The state behind the protocol: the store and the device's key. */
export class Keystore<Y> {
  readonly #world: World<Y>;
  readonly #store: KeyStore<Y>;
  #key: DeviceKey | null = null;

  constructor(world: World<Y>, store: KeyStore<Y>) {
    this.#world = world;
    this.#store = store;
  }

  /** Loads the key that an earlier boot persisted; whatever goes wrong means no key (section 3.1, step 4). */
  *load(): Generator<Y, void, number> {
    const stored = yield* this.#store.readSeed();
    if (stored instanceof Uint8Array) this.#adopt(stored);
  }

  /** The response frame to a request. */
  *respond(request: KeystoreRequest | Reject, sender: ServiceId): Generator<Y, Uint8Array, number> {
    if (request.kind === 'reject') return encodeResponse(request.op, rejectStatus(request.reason));
    const outcome = yield* this.#handle(request, sender);
    return typeof outcome === 'number'
      ? encodeResponse(opOf(request), outcome)
      : encodeResponse(opOf(request), Status.OK, outcome);
  }

  *#handle(request: KeystoreRequest, sender: ServiceId): Generator<Y, Outcome, number> {
    switch (request.kind) {
      case 'put':
        return yield* this.#store.put(sender, request.key, request.value);
      case 'get':
        return yield* this.#store.get(sender, request.key);
      case 'del':
        return yield* this.#store.delete(sender, request.key);
      case 'verify':
        return this.#verify(request);
      case 'sign':
        // Generic signing is not implemented, but only those may learn so who may sign (section 3.5).
        return (yield* this.#world.allows(sender, 'crypto.sign')) ? Status.UNSUPPORTED : Status.DENY;
      case 'device-keygen':
        return yield* this.#generate(sender);
      case 'device-pubkey':
        if (!(yield* this.#world.allows(sender, 'device.pubkey.read'))) return Status.DENY;
        return this.#key?.publicKey ?? Status.KEY_NOT_FOUND;
      case 'device-sign':
        if (!(yield* this.#world.allows(sender, 'crypto.sign'))) return Status.DENY;
        return this.#sign(request.payload);
      case 'device-privkey':
        return Status.PRIVATE_EXPORT_DENIED;
      case 'device-reload':
        return yield* this.#reload(sender);
      default:
        return unreachable(request);
    }
  }

  #verify(request: Extract<KeystoreRequest, { readonly kind: 'verify' }>): Outcome {
    const { publicKey, signature, payload } = request;
    this.#world.work('ed25519-verify', 1);
    this.#workHash(payload);
    const verdict = verify(publicKey, signature, payload);
    if (verdict === 'bad-key') return Status.MALFORMED;
    return Uint8Array.of(verdict === 'valid' ? 1 : 0);
  }

  *#generate(sender: ServiceId): Generator<Y, Status, number> {
    const world = this.#world;
    if (!(yield* world.allows(sender, 'device.keygen'))) return Status.DENY;
    if (this.#key !== null) return Status.KEY_EXISTS;
    const entropy = yield* world.entropy(SEED_BYTES);
    const seed = entropy === null ? null : deviceSeed(entropy);
    if (seed === null) {
      yield* world.line('keystored: entropy request failed');
      return Status.UNSUPPORTED;
    }
    const persisted = yield* this.#store.persistSeed(seed);
    if (persisted !== Status.OK) return persisted;
    this.#adopt(seed);
    yield* world.line('keystored: device key generated');
    return Status.OK;
  }

  #sign(payload: SignedPayload): Outcome {
    if (this.#key === null) return Status.KEY_NOT_FOUND;
    this.#world.work('ed25519-sign', 1);
    this.#workHash(payload);
    return this.#key.sign(payload);
  }

  *#reload(sender: ServiceId): Generator<Y, Status, number> {
    const world = this.#world;
    yield* world.line('keystored: rx reload');
    if (!(yield* world.allows(sender, 'device.key.reload'))) {
      yield* world.line('keystored: reload denied by policy');
      return Status.DENY;
    }
    yield* world.line('keystored: reload policy ok');
    const stored = yield* this.#store.readSeed();
    if (stored === null) {
      yield* world.line('keystored: reload from memory backend');
      return this.#key === null ? Status.KEY_NOT_FOUND : Status.OK;
    }
    if (stored === 'not-found') {
      yield* world.line('keystored: reload from statefs (not found)');
      return Status.KEY_NOT_FOUND;
    }
    if (typeof stored === 'string' || !this.#adopt(stored)) {
      yield* world.line('keystored: reload from statefs err');
      return Status.UNSUPPORTED;
    }
    yield* world.line('keystored: reload from statefs ok');
    return Status.OK;
  }

  /** Makes the seed's key pair the device's; false when the bytes are no seed. */
  #adopt(bytes: Uint8Array): boolean {
    const seed = deviceSeed(bytes);
    if (seed === null) return false;
    this.#world.work('ed25519-keygen', 1);
    this.#key = new DeviceKey(seed);
    return true;
  }

  #workHash(payload: Uint8Array): void {
    this.#world.work('sha512-block', Math.ceil((HASH_PREFIX + payload.length + SHA512_PADDING) / SHA512_BLOCK));
  }
}
