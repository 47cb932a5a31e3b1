import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeEntropy,
  decodeRequest,
  encodeMalformed,
  encodeRequest,
  encodeResponse,
  ENTROPY_MAX,
  entropyCount,
  entropyNonce,
  responseNonce,
  Status,
} from './wire.ts';

const RUNS = { seed: 20240, numRuns: 500 };

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}
const u32 = fc.nat(0xffff_ffff);

/** Section 4.2's order, read again. */
function naive(frame: Uint8Array): string {
  if (frame.length < 4 || frame[0] !== 0x52 || frame[1] !== 0x47) return 'malformed 1';
  if (frame[2] !== 1 || frame[3] !== 1 || frame.length !== 10) return `malformed ${frame[3]}`;
  const count = frame[8]! + 256 * frame[9]!;
  return count === 0 || count > 256 ? 'oversized' : `get ${count}`;
}

function classOf(frame: Uint8Array): string {
  const got = decodeRequest(frame);
  if (got.kind === 'malformed') return `malformed ${got.op}`;
  return got.kind === 'get' ? `get ${got.count}` : 'oversized';
}

describe('GET_ENTROPY (sheet 60, section 4.2)', () => {
  it('is the frame of the default run', () => {
    expect(encodeRequest(entropyNonce(0x1000), 32)).toEqual(hex('52 47 01 01 00 10 00 00 20 00'));
  });

  it.each([
    ['nothing', '', '52 47 01 81 04'],
    ['three bytes', '52 47 01', '52 47 01 81 04'],
    ['bad magic', '52 48 01 07 00', '52 47 01 81 04'],
    ['version 2', '52 47 02 01 00 10 00 00 20 00', '52 47 01 81 04'],
    ['op 5', '52 47 01 05', '52 47 01 85 04'],
    ['9 bytes', '52 47 01 01 00 10 00 00 20', '52 47 01 81 04'],
    ['11 bytes', '52 47 01 01 00 10 00 00 20 00 00', '52 47 01 81 04'],
  ])('%s is malformed, answered without a nonce', (_, frame, response) => {
    const got = decodeRequest(hex(frame));
    expect(got.kind === 'malformed' && encodeMalformed(got.op)).toEqual(hex(response));
  });

  it.each([
    [0, 'oversized'],
    [1, 'get 1'],
    [32, 'get 32'],
    [ENTROPY_MAX, 'get 256'],
    [ENTROPY_MAX + 1, 'oversized'],
    [0xffff, 'oversized'],
  ])('OBS-2: %i bytes are %s', (count, expected) => {
    expect(classOf(encodeRequest(entropyNonce(7), count))).toBe(expected);
    expect(entropyCount(count) !== null).toBe(expected !== 'oversized');
  });

  it('any bytes fall into the class of the naive table', () => {
    const near = fc
      .tuple(u32, fc.nat(0xffff), fc.array(fc.tuple(fc.nat(11), fc.nat(255)), { maxLength: 2 }), fc.nat(12))
      .map(([nonce, count, edits, length]) => {
        const frame = new Uint8Array(length);
        frame.set(encodeRequest(entropyNonce(nonce), count).subarray(0, length));
        for (const [at, byte] of edits) if (at < length) frame[at] = byte;
        return frame;
      });
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 8192 })), (frame) => {
        expect(classOf(frame)).toBe(naive(frame));
      }),
      RUNS,
    );
  });

  it('COR-1: every answer to a whole request carries its nonce', () => {
    fc.assert(
      fc.property(u32, fc.nat(400), fc.constantFrom(...Object.values(Status)), (nonce, count, status) => {
        const got = decodeRequest(encodeRequest(entropyNonce(nonce), count));
        expect(got.kind !== 'malformed' && responseNonce(encodeResponse(status, got.nonce))).toBe(nonce);
      }),
      RUNS,
    );
  });
});

describe('responses (sections 3.6 and 4.2)', () => {
  it.each([
    [Status.OK, '0102', '52 47 01 81 00 44 33 22 11 01 02'],
    [Status.OVERSIZED, '', '52 47 01 81 01 44 33 22 11'],
    [Status.DENIED, '', '52 47 01 81 02 44 33 22 11'],
    [Status.UNAVAILABLE, '', '52 47 01 81 03 44 33 22 11'],
  ])('status %i', (status, entropy, frame) => {
    expect(encodeResponse(status, entropyNonce(0x1122_3344), hex(entropy))).toEqual(hex(frame));
    const got = decodeEntropy(hex(frame), entropyNonce(0x1122_3344));
    expect(got).toEqual(status === Status.OK ? hex(entropy) : null);
  });

  it('a client takes nothing else (section 10: short, other op)', () => {
    const nonce = entropyNonce(1);
    expect(decodeEntropy(hex('52 47 01 81 00 01 00 00'), nonce)).toBeNull();
    expect(decodeEntropy(hex('52 47 01 82 00 01 00 00 00'), nonce)).toBeNull();
    expect(decodeEntropy(hex('52 47 02 81 00 01 00 00 00'), nonce)).toBeNull();
    expect(decodeEntropy(hex('52 47 01 81 00 02 00 00 00 aa'), nonce)).toBeNull();
    expect(decodeEntropy(hex('50 4f 01 81 00 01 00 00 00 aa'), nonce)).toBeNull();
    expect(decodeEntropy(hex('52 47 01 81 00 01 00 00 00 aa'), nonce)).toEqual(hex('aa'));
  });

  it('round trip', () => {
    fc.assert(
      fc.property(u32, fc.uint8Array({ maxLength: 256 }), (nonce, entropy) => {
        expect(decodeEntropy(encodeResponse(Status.OK, entropyNonce(nonce), entropy), entropyNonce(nonce))).toEqual(
          entropy,
        );
      }),
      RUNS,
    );
  });
});
