import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  KEY_MAX,
  Op,
  opOf,
  PAYLOAD_MAX,
  rejectStatus,
  Status,
  storeKey,
  storeValue,
  VALUE_MAX,
} from './wire.ts';
import type { KeystoreRequest, PublicKeyBytes, SignatureBytes, SignedPayload } from './wire.ts';

const RUNS = { seed: 20240, numRuns: 500 };

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}
const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const bytes = (min: number, max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: min, maxLength: max });

/** The response of a keystored that refuses everything it can decode with `OK`. */
function refusal(frame: Uint8Array): string {
  const got = decodeRequest(frame);
  return got.kind === 'reject'
    ? Buffer.from(encodeResponse(got.op, rejectStatus(got.reason))).toString('hex')
    : got.kind;
}

/** Section 3.2 read again, as one table from frame to class, without looking at the decoder. */
function naive(frame: Uint8Array): string {
  const at = (i: number): number => frame[i]!;
  const u32 = (): number => at(4) + at(5) * 256 + at(6) * 65536 + at(7) * 16777216;
  if (frame.length < 4 || at(0) !== 0x4b || at(1) !== 0x53) return 'malformed 2';
  const op = at(3);
  if (at(2) !== 1) return `unsupported ${op}`;
  if ([10, 11, 13, 14].includes(op)) return `ok ${op}`;
  if (op === 4 || op === 5 || op === 12) {
    const header = op === 4 ? 104 : 8;
    if (frame.length < header) return `malformed ${op}`;
    if (u32() > 1048576) return `too-large ${op}`;
    return frame.length === header + u32() ? `ok ${op}` : `malformed ${op}`;
  }
  if (frame.length < 7) return `malformed ${op}`;
  const key = at(4);
  const value = at(5) + 256 * at(6);
  if (key === 0 || key > 64 || value > 256 || frame.length !== 7 + key + value) {
    return key > 64 || value > 256 ? `too-large ${op}` : `malformed ${op}`;
  }
  return op >= 1 && op <= 3 ? `ok ${op}` : `unsupported ${op}`;
}

function classOf(frame: Uint8Array): string {
  const got = decodeRequest(frame);
  return got.kind === 'reject' ? `${got.reason} ${got.op}` : `ok ${opOf(got)}`;
}

const request: fc.Arbitrary<KeystoreRequest> = fc.oneof(
  fc
    .record({ key: bytes(1, KEY_MAX), value: bytes(0, VALUE_MAX) })
    .map(({ key, value }) => ({ kind: 'put' as const, key: storeKey(key)!, value: storeValue(value)! })),
  fc
    .record({ kind: fc.constantFrom('get' as const, 'del' as const), key: bytes(1, KEY_MAX) })
    .map(({ kind, key }) => ({ kind, key: storeKey(key)! })),
  fc.record({ publicKey: bytes(32, 32), signature: bytes(64, 64), payload: bytes(0, 600) }).map((fields) => ({
    kind: 'verify' as const,
    publicKey: fields.publicKey as PublicKeyBytes,
    signature: fields.signature as SignatureBytes,
    payload: fields.payload as SignedPayload,
  })),
  fc
    .record({ kind: fc.constantFrom('sign' as const, 'device-sign' as const), payload: bytes(0, 600) })
    .map(({ kind, payload }) => ({ kind, payload: payload as SignedPayload })),
  fc
    .constantFrom(
      'device-keygen' as const,
      'device-pubkey' as const,
      'device-privkey' as const,
      'device-reload' as const,
    )
    .map((kind) => ({ kind })),
);

describe('requests (sheet 60, sections 3.2 and 9)', () => {
  it('encodes the frames of the default run', () => {
    const k1 = storeKey(ascii('k1'))!;
    expect(encodeRequest({ kind: 'put', key: k1, value: storeValue(ascii('v1'))! })).toEqual(
      hex('4B 53 01 01 02 02 00 6B 31 76 31'),
    );
    expect(encodeRequest({ kind: 'get', key: k1 })).toEqual(hex('4B 53 01 02 02 00 00 6B 31'));
    expect(encodeRequest({ kind: 'del', key: k1 })).toEqual(hex('4B 53 01 03 02 00 00 6B 31'));
    expect(encodeRequest({ kind: 'device-keygen' })).toEqual(hex('4B 53 01 0A'));
    expect(encodeRequest({ kind: 'device-pubkey' })).toEqual(hex('4B 53 01 0B'));
    expect(encodeRequest({ kind: 'device-privkey' })).toEqual(hex('4B 53 01 0D'));
    expect(encodeRequest({ kind: 'device-reload' })).toEqual(hex('4B 53 01 0E'));
    expect(encodeRequest({ kind: 'sign', payload: new Uint8Array(8) as SignedPayload })).toEqual(
      hex('4B 53 01 05 08000000 0000000000000000'),
    );
  });

  it('lays out VERIFY: length at 4, key at 8, signature at 40, payload at 104', () => {
    const frame = encodeRequest({
      kind: 'verify',
      publicKey: new Uint8Array(32).fill(1) as PublicKeyBytes,
      signature: new Uint8Array(64).fill(2) as SignatureBytes,
      payload: Uint8Array.of(3, 4) as SignedPayload,
    });
    expect(frame).toEqual(hex(`4B530104 02000000 ${'01'.repeat(32)} ${'02'.repeat(64)} 0304`));
    expect(decodeRequest(frame)).toMatchObject({ kind: 'verify', payload: Uint8Array.of(3, 4) });
  });

  it.each([
    ['bad', ascii('bad'), '4b530182020000'],
    ['nothing', hex(''), '4b530182020000'],
    ['other magic', hex('4B 54 01 01 01 00 00 61'), '4b530182020000'],
    ['version 2', hex('4B 53 02 01 01 00 00 61'), '4b530181040000'],
    ['version 2 of nothing known', hex('4B 53 02 63'), '4b5301e3040000'],
    ['short header', hex('4B 53 01 01 01 00'), '4b530181020000'],
    ['empty key', hex('4B 53 01 01 00 00 00'), '4b530181020000'],
    ['length off by one', hex('4B 53 01 02 02 00 00 61'), '4b530182020000'],
    ['key of 65, although short', hex('4B 53 01 02 41 00 00'), '4b530182030000'],
    ['value of 257, although short', hex('4B 53 01 01 01 01 01 61'), '4b530181030000'],
    ['empty key and value of 257', hex('4B 53 01 01 00 01 01'), '4b530181030000'],
    ['unknown op, well formed (Q14)', hex('4B 53 01 07 01 00 00 61'), '4b530187040000'],
    ['unknown op, malformed (Q14)', hex('4B 53 01 07'), '4b530187020000'],
    ['op with bit 7', hex('4B 53 01 81 01 00 00 61'), '4b530181040000'],
    ['VERIFY of 103 bytes', hex(`4B 53 01 04 ${'ff'.repeat(99)}`), '4b530184020000'],
    ['SIGN of 7 bytes', hex('4B 53 01 05 ff ff ff'), '4b530185020000'],
    ['SIGN of 1048577 (section 10)', hex('4B 53 01 05 01 00 10 00'), '4b530185030000'],
    ['SIGN of 1048576 that is not there', hex('4B 53 01 05 00 00 10 00'), '4b530185020000'],
    ['DEVICE_SIGN with one byte too many', hex('4B 53 01 0C 00 00 00 00 00'), '4b53018c020000'],
  ])('refuses %s', (_, frame, response) => {
    expect(refusal(frame)).toBe(response);
  });

  it('Q14: ops 10, 11, 13 and 14 accept trailing garbage', () => {
    for (const op of [10, 11, 13, 14]) {
      expect(classOf(Uint8Array.of(0x4b, 0x53, 1, op, 1, 2, 3))).toBe(`ok ${op}`);
    }
  });

  it('GET and DEL carry a value that is ignored; PUT may carry an empty one', () => {
    expect(decodeRequest(hex('4B 53 01 02 01 02 00 61 00 00'))).toEqual({ kind: 'get', key: ascii('a') });
    expect(decodeRequest(hex('4B 53 01 03 01 02 00 61 00 00'))).toEqual({ kind: 'del', key: ascii('a') });
    expect(decodeRequest(hex('4B 53 01 01 01 00 00 61'))).toMatchObject({ kind: 'put', value: new Uint8Array(0) });
  });

  it('OBS-2: limits hold to the byte', () => {
    const keyed = (key: number, value: number): Uint8Array => {
      const frame = new Uint8Array(7 + key + value);
      frame.set([0x4b, 0x53, 1, 1, key, value & 0xff, value >> 8]);
      return frame;
    };
    expect(classOf(keyed(KEY_MAX, VALUE_MAX))).toBe('ok 1');
    expect(classOf(keyed(KEY_MAX + 1, VALUE_MAX))).toBe('too-large 1');
    expect(classOf(keyed(KEY_MAX, VALUE_MAX + 1))).toBe('too-large 1');
    expect([storeKey(new Uint8Array(0)), storeKey(new Uint8Array(65)), storeValue(new Uint8Array(257))]).toEqual([
      null,
      null,
      null,
    ]);
    expect(PAYLOAD_MAX).toBe(1_048_576);
  });

  it('round trip', () => {
    fc.assert(
      fc.property(request, (value) => {
        expect(decodeRequest(encodeRequest(value))).toEqual(value);
      }),
      RUNS,
    );
  });

  it('OBS-3: any bytes and any damaged frame fall into the class of the naive table', () => {
    const damaged = fc
      .tuple(request, fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 3 }), fc.integer({ min: -3, max: 3 }))
      .map(([value, edits, stretch]) => {
        const source = encodeRequest(value);
        const frame = new Uint8Array(Math.max(0, source.length + stretch));
        frame.set(source.subarray(0, frame.length));
        for (const [at, byte] of edits) if (at < frame.length) frame[at] = byte;
        return frame;
      });
    const prefixed = fc
      .tuple(fc.nat(15), bytes(0, 8188))
      .map(([op, rest]) => Uint8Array.of(0x4b, 0x53, 1, op, ...rest));
    fc.assert(
      fc.property(fc.oneof(bytes(0, 8192), damaged, prefixed), (frame) => {
        expect(classOf(frame)).toBe(naive(frame));
      }),
      RUNS,
    );
  });

  it('every op byte in every shape', () => {
    for (let op = 0; op < 256; op++) {
      for (const tail of ['', '00', '010000', '01000061', '00000000', '0100000061', '02000000 61', 'ff0000']) {
        const frame = Uint8Array.of(0x4b, 0x53, 1, op, ...hex(tail));
        expect(classOf(frame)).toBe(naive(frame));
      }
    }
    expect(Object.values(Op)).toEqual([1, 2, 3, 4, 5, 10, 11, 12, 13, 14]);
  });
});

describe('responses (section 3.2)', () => {
  it.each([
    [Op.PUT, Status.OK, '', '4B 53 01 81 00 00 00'],
    [Op.GET, Status.OK, '7631', '4B 53 01 82 00 02 00 76 31'],
    [Op.GET, Status.NOT_FOUND, '', '4B 53 01 82 01 00 00'],
    [Op.VERIFY, Status.OK, '01', '4B 53 01 84 00 01 00 01'],
    [Op.SIGN, Status.DENY, '', '4B 53 01 85 05 00 00'],
    [Op.DEVICE_KEYGEN, Status.KEY_EXISTS, '', '4B 53 01 8A 0A 00 00'],
    [Op.GET_DEVICE_PUBKEY, Status.KEY_NOT_FOUND, '', '4B 53 01 8B 0B 00 00'],
    [Op.GET_DEVICE_PRIVKEY, Status.PRIVATE_EXPORT_DENIED, '', '4B 53 01 8D 0C 00 00'],
  ])('op %i status %i', (op, status, value, frame) => {
    expect(encodeResponse(op, status, hex(value))).toEqual(hex(frame));
    expect(decodeResponse(hex(frame))).toEqual({ op, status, value: hex(value) });
  });

  it('status numbers', () => {
    expect(Object.values(Status)).toEqual([0, 1, 2, 3, 4, 5, 10, 11, 12]);
    expect([rejectStatus('malformed'), rejectStatus('too-large'), rejectStatus('unsupported')]).toEqual([2, 3, 4]);
  });

  it('decodes only what says its own length', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          bytes(0, 600),
          bytes(0, 40).map((v) => encodeResponse(2, 0, v)),
        ),
        (frame) => {
          const got = decodeResponse(frame);
          const fits =
            frame.length >= 7 &&
            [0x4b, 0x53, 1].every((byte, i) => frame[i] === byte) &&
            frame[3]! >= 0x80 &&
            frame.length === 7 + frame[5]! + 256 * frame[6]!;
          expect(got !== null).toBe(fits);
        },
      ),
      RUNS,
    );
  });
});
