import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import { DeviceKey, deviceSeed, verify } from './device-key.ts';
import { Fake, run } from './fixtures/fake.ts';
import type { Keystore } from './handle.ts';
import { DEVICE_KEY_PATH } from './store.ts';
import { decodeRequest, encodeRequest, Op, Status } from './wire.ts';
import type { KeystoreRequest, PublicKeyBytes, SignatureBytes, SignedPayload } from './wire.ts';

const SELFTEST = serviceIdOf('selftest-client');
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const seedOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const PUBLIC_5A = '0d7550754e0800a5d237eef5826035766b9b3e5a15868a940ab289958788e3b0';

function ask(store: Keystore<never>, frame: Uint8Array | KeystoreRequest): string {
  const bytes = frame instanceof Uint8Array ? frame : encodeRequest(frame);
  return text(run(store.respond(decodeRequest(bytes), SELFTEST)));
}

function status(store: Keystore<never>, op: number): number {
  return Buffer.from(ask(store, Uint8Array.of(0x4b, 0x53, 1, op)), 'hex')[4]!;
}

/** A keystore with a device key of seed 5A. */
function withKey(): { readonly fake: Fake; readonly store: Keystore<never> } {
  const fake = new Fake();
  fake.random = seedOf(0x5a);
  const store = fake.keystore();
  expect(status(store, Op.DEVICE_KEYGEN)).toBe(Status.OK);
  fake.lines.length = 0;
  fake.calls.length = 0;
  fake.asked.length = 0;
  return { fake, store };
}

describe('the unit tests of the reference (sheet 60, section 10)', () => {
  it('SIGN without policy is denied', () => {
    const fake = new Fake();
    fake.grants = () => false;
    const frame = hex('4B 53 01 05 08000000 0000000000000000');
    expect(ask(fake.keystore(), frame)).toBe('4b530185050000');
    expect(fake.asked).toEqual(['52c6c4a34ffb3f69 crypto.sign']);
  });

  it('oversized SIGN is refused before policy', () => {
    const fake = new Fake();
    expect(ask(fake.keystore(), hex('4B 53 01 05 01 00 10 00'))).toBe('4b530185030000');
    expect(fake.asked).toEqual([]);
  });

  it('private export', () => {
    const { fake, store } = withKey();
    expect(ask(store, hex('4B 53 01 0D'))).toBe('4b53018d0c0000');
    expect(fake.asked).toEqual([]);
  });

  it('keygen denied: no key pair', () => {
    const fake = new Fake();
    fake.random = seedOf(1);
    fake.grants = (capability) => capability !== 'device.keygen';
    const store = fake.keystore();
    expect(status(store, Op.DEVICE_KEYGEN)).toBe(Status.DENY);
    expect(fake.calls).toEqual([]);
    expect(status(store, Op.GET_DEVICE_PUBKEY)).toBe(Status.KEY_NOT_FOUND);
  });

  it.each([null, new Uint8Array(0), new Uint8Array(31), new Uint8Array(33)])(
    'keygen without 32 bytes: %j',
    (random) => {
      const fake = new Fake();
      fake.random = random;
      const store = fake.keystore();
      expect(status(store, Op.DEVICE_KEYGEN)).toBe(Status.UNSUPPORTED);
      expect(fake.lines).toEqual(['keystored: entropy request failed']);
      expect(fake.calls).toEqual(['entropy 32']);
      expect(status(store, Op.GET_DEVICE_PUBKEY)).toBe(Status.KEY_NOT_FOUND);
    },
  );

  it('keygen, then the public key of 32 bytes', () => {
    const fake = new Fake();
    fake.random = seedOf(0x5a);
    const store = fake.keystore();
    expect(ask(store, hex('4B 53 01 0A'))).toBe('4b53018a000000');
    expect(fake.lines).toEqual(['keystored: device key generated']);
    expect(fake.calls).toEqual(['entropy 32', `put ${DEVICE_KEY_PATH}`]);
    expect(text(fake.files.get(DEVICE_KEY_PATH)!)).toBe('5a'.repeat(32));
    expect(ask(store, hex('4B 53 01 0B'))).toBe(`4b53018b002000${PUBLIC_5A}`);
    expect(fake.asked).toEqual(['52c6c4a34ffb3f69 device.keygen', '52c6c4a34ffb3f69 device.pubkey.read']);
  });

  it('a second keygen finds the first key', () => {
    const { fake, store } = withKey();
    fake.random = seedOf(0x22);
    expect(status(store, Op.DEVICE_KEYGEN)).toBe(Status.KEY_EXISTS);
    expect(ask(store, hex('4B 53 01 0B'))).toContain(PUBLIC_5A);
    expect(fake.calls).toEqual([]);
  });

  it('public key denied, missing', () => {
    const { fake, store } = withKey();
    fake.grants = () => false;
    expect(ask(store, hex('4B 53 01 0B'))).toBe('4b53018b050000');
    expect(ask(new Fake().keystore(), hex('4B 53 01 0B'))).toBe('4b53018b0b0000');
  });
});

describe('PUT, GET, DEL (section 9)', () => {
  it('the exchanges of the default run', () => {
    const fake = new Fake();
    const store = fake.keystore();
    expect(ask(store, hex('4B 53 01 01 02 02 00 6B 31 76 31'))).toBe('4b530181000000');
    expect(ask(store, hex('4B 53 01 02 02 00 00 6B 31'))).toBe('4b5301820002007631');
    expect(ask(store, hex('4B 53 01 03 02 00 00 6B 31'))).toBe('4b530183000000');
    expect(ask(store, hex('4B 53 01 02 02 00 00 6B 31'))).toBe('4b530182010000');
    expect(ask(store, hex('62 61 64'))).toBe('4b530182020000');
    expect(new Set(fake.calls.map((call) => call.split(' ')[1]))).toEqual(
      new Set(['/state/keystore/52c6c4a34ffb3f69/6b31']),
    );
    expect(fake.asked).toEqual([]);
  });

  it('OBS-4: a refused frame changes nothing', () => {
    const fake = new Fake();
    const store = fake.keystore();
    for (const frame of ['4B 53 01 01 02 02 00 6B 31 76', '4B 53 02 01 01 00 00 61', '4B 53 01 09 01 00 00 61']) {
      ask(store, hex(frame));
    }
    expect([fake.calls, fake.files.size, fake.lines]).toEqual([[], 0, []]);
  });
});

describe('VERIFY and SIGN (sections 3.4 and 3.5)', () => {
  const key = new DeviceKey(deviceSeed(seedOf(7))!);
  const payload = new Uint8Array(232).fill(3) as SignedPayload;
  const request = (change: Partial<Extract<KeystoreRequest, { kind: 'verify' }>> = {}): KeystoreRequest => ({
    kind: 'verify',
    publicKey: key.publicKey,
    signature: key.sign(payload),
    payload,
    ...change,
  });

  it('answers one byte, asks nobody (Q15), and costs its hash', () => {
    const fake = new Fake();
    const store = fake.keystore();
    expect(encodeRequest(request())).toHaveLength(336);
    expect(ask(store, request())).toBe('4b53018400010001');
    expect(ask(store, request({ payload: payload.slice(1) as SignedPayload }))).toBe('4b53018400010000');
    expect(ask(store, request({ signature: new Uint8Array(64).fill(255) as SignatureBytes }))).toBe('4b53018400010000');
    expect(ask(store, request({ publicKey: hex(`02${'00'.repeat(31)}`) as PublicKeyBytes }))).toBe('4b530184020000');
    expect(fake.asked).toEqual([]);
    // 64 + 232 + 17 bytes are three blocks of 128.
    expect(fake.works.slice(0, 2)).toEqual(['ed25519-verify 1', 'sha512-block 3']);
  });

  it('SIGN is never done, even when allowed', () => {
    const { store } = withKey();
    expect(ask(store, { kind: 'sign', payload })).toBe('4b530185040000');
  });

  it('DEVICE_SIGN: policy, then the key, then 64 bytes that verify', () => {
    const { fake, store } = withKey();
    const response = hex(ask(store, { kind: 'device-sign', payload }));
    expect(text(response.subarray(0, 7))).toBe('4b53018c004000');
    expect(verify(hex(PUBLIC_5A), response.subarray(7), payload)).toBe('valid');
    fake.grants = () => false;
    expect(ask(store, { kind: 'device-sign', payload })).toBe('4b53018c050000');
    expect(ask(new Fake().keystore(), { kind: 'device-sign', payload })).toBe('4b53018c0b0000');
  });
});

describe('the device key and its store (section 3.6)', () => {
  it.each([
    ['io', Status.UNSUPPORTED],
    ['corrupted', Status.MALFORMED],
    ['value-too-large', Status.TOO_LARGE],
  ] as const)('a seed that cannot be stored (%s) makes no key', (error, expected) => {
    const fake = new Fake();
    fake.random = seedOf(9);
    fake.fail = () => error;
    const store = fake.keystore();
    expect(status(store, Op.DEVICE_KEYGEN)).toBe(expected);
    expect(fake.lines).toEqual([]);
    expect(status(store, Op.GET_DEVICE_PUBKEY)).toBe(Status.KEY_NOT_FOUND);
  });

  it('a denied seed makes a key in memory', () => {
    const fake = new Fake();
    fake.random = seedOf(0x5a);
    fake.fail = () => 'access-denied';
    const store = fake.keystore();
    expect(status(store, Op.DEVICE_KEYGEN)).toBe(Status.OK);
    expect(fake.lines).toEqual(['fallback', 'keystored: device key generated']);
    expect(ask(store, hex('4B 53 01 0B'))).toContain(PUBLIC_5A);
    expect(status(store, Op.DEVICE_RELOAD)).toBe(Status.OK);
    expect(fake.lines.slice(2)).toEqual([
      'keystored: rx reload',
      'keystored: reload policy ok',
      'keystored: reload from memory backend',
    ]);
  });

  it('reload on memory without a key', () => {
    const fake = new Fake();
    fake.fail = () => 'access-denied';
    const store = fake.keystore();
    ask(store, hex('4B 53 01 02 01 00 00 61'));
    expect(status(store, Op.DEVICE_RELOAD)).toBe(Status.KEY_NOT_FOUND);
    expect(fake.lines.at(-1)).toBe('keystored: reload from memory backend');
  });

  it('reload takes what is stored now', () => {
    const { fake, store } = withKey();
    fake.files.set(DEVICE_KEY_PATH, seedOf(0x11));
    expect(status(store, Op.DEVICE_RELOAD)).toBe(Status.OK);
    expect(fake.lines).toEqual([
      'keystored: rx reload',
      'keystored: reload policy ok',
      'keystored: reload from statefs ok',
    ]);
    expect(ask(store, hex('4B 53 01 0B'))).toContain(
      'd04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737',
    );
  });

  it('reload denied', () => {
    const { fake, store } = withKey();
    fake.grants = () => false;
    expect(status(store, Op.DEVICE_RELOAD)).toBe(Status.DENY);
    expect(fake.lines).toEqual(['keystored: rx reload', 'keystored: reload denied by policy']);
    expect(fake.calls).toEqual([]);
  });

  it.each([
    ['nothing stored', null, null, Status.KEY_NOT_FOUND, 'keystored: reload from statefs (not found)'],
    ['31 bytes', new Uint8Array(31), null, Status.UNSUPPORTED, 'keystored: reload from statefs err'],
    ['an error', seedOf(1), 'io', Status.UNSUPPORTED, 'keystored: reload from statefs err'],
    [
      'a denial, without fallback',
      seedOf(1),
      'access-denied',
      Status.UNSUPPORTED,
      'keystored: reload from statefs err',
    ],
  ] as const)('reload of %s keeps the key', (_, stored, error, expected, line) => {
    const { fake, store } = withKey();
    if (stored === null) fake.files.delete(DEVICE_KEY_PATH);
    else fake.files.set(DEVICE_KEY_PATH, stored);
    fake.fail = () => error;
    expect(status(store, Op.DEVICE_RELOAD)).toBe(expected);
    expect(fake.lines.at(-1)).toBe(line);
    expect(fake.lines).not.toContain('fallback');
    expect(ask(store, hex('4B 53 01 0B'))).toContain(PUBLIC_5A);
  });

  it.each([
    ['32 bytes', seedOf(0x5a), null, Status.KEY_EXISTS],
    ['33 bytes', new Uint8Array(33), null, Status.OK],
    ['nothing', null, null, Status.OK],
    ['an error', seedOf(0x5a), 'io', Status.OK],
    ['a denial', seedOf(0x5a), 'access-denied', Status.OK],
  ] as const)('at the start: %s', (_, stored, error, keygen) => {
    const fake = new Fake();
    fake.random = seedOf(1);
    if (stored !== null) fake.files.set(DEVICE_KEY_PATH, stored);
    fake.fail = () => error;
    const store = fake.keystore();
    run(store.load());
    expect(fake.lines).toEqual([]);
    fake.fail = () => null;
    expect(status(store, Op.DEVICE_KEYGEN)).toBe(keygen);
  });

  it('OBS-18: the seed appears in no line and in no response', () => {
    const { fake, store } = withKey();
    const frames = Array.from({ length: 256 }, (_, op) => ask(store, Uint8Array.of(0x4b, 0x53, 1, op)));
    expect([...frames, ...fake.lines].filter((shown) => shown.includes('5a5a5a5a'))).toEqual([]);
  });
});
