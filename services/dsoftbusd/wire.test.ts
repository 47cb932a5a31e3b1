/** dsoftbusd's own frames (sheet 70, section 12.9). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ascii } from '../lib/text.ts';
import { decodeReply, decodeRequest, encodeReject, encodeReply, encodeRequest, remoteName } from './wire.ts';
import type { SoftbusReply, SoftbusRequest } from './wire.ts';

const of = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
const name = remoteName(ascii('bundlemgrd'))!;

describe('requests', () => {
  it('resolve is 44 53 01 01, length, name', () => {
    const frame = encodeRequest({ op: 'remote_resolve', name });
    expect(frame).toEqual(of(0x44, 0x53, 1, 1, 10, ...name));
    expect(decodeRequest(frame)).toEqual({ op: 'remote_resolve', name });
  });

  it('list and probe ignore what follows', () => {
    expect(decodeRequest(of(0x44, 0x53, 1, 2, 9, 9))).toEqual({ op: 'remote_bundle_list' });
    expect(decodeRequest(of(0x44, 0x53, 1, 0x7f, 1))).toEqual({ op: 'log_probe' });
  });

  const refusals: readonly (readonly [string, Uint8Array, string, Uint8Array])[] = [
    ['three bytes', of(0x44, 0x53, 1), 'head', of(0x44, 0x53, 1, 0x80, 1)],
    ['another magic', of(0x44, 0x54, 1, 1), 'head', of(0x44, 0x53, 1, 0x80, 1)],
    ['another version', of(0x44, 0x53, 2, 1), 'head', of(0x44, 0x53, 1, 0x80, 1)],
    ['an unknown op', of(0x44, 0x53, 1, 3), 'unknown-op', of(0x44, 0x53, 1, 0x83, 1)],
    ['an unknown op with bit 7', of(0x44, 0x53, 1, 0x81), 'unknown-op', of(0x44, 0x53, 1, 0x81, 1)],
    ['no name', of(0x44, 0x53, 1, 1), 'length', of(0x44, 0x53, 1, 0x81, 1)],
    ['an empty name', of(0x44, 0x53, 1, 1, 0), 'length', of(0x44, 0x53, 1, 0x81, 1)],
    ['a name cut short', of(0x44, 0x53, 1, 1, 2, 0x61), 'length', of(0x44, 0x53, 1, 0x81, 1)],
    ['a name with a tail', of(0x44, 0x53, 1, 1, 1, 0x61, 0x62), 'length', of(0x44, 0x53, 1, 0x81, 1)],
  ];
  for (const [title, frame, reason, answer] of refusals) {
    it(`${title}: ${reason}`, () => {
      const request = decodeRequest(frame);
      if (request.op !== 'reject') throw new Error('accepted');
      expect(request.reason).toBe(reason);
      expect(encodeReject(request)).toEqual(answer);
    });
  }

  it('decode(encode(x)) = x, and any bytes decode or are refused', () => {
    const request: fc.Arbitrary<SoftbusRequest> = fc.oneof(
      fc
        .uint8Array({ minLength: 1, maxLength: 255 })
        .map((bytes): SoftbusRequest => ({ op: 'remote_resolve', name: remoteName(bytes)! })),
      fc.constantFrom<SoftbusRequest>({ op: 'remote_bundle_list' }, { op: 'log_probe' }),
    );
    fc.assert(
      fc.property(request, fc.uint8Array({ maxLength: 20 }), (x, bytes) => {
        expect(decodeRequest(encodeRequest(x))).toEqual(x);
        for (const frame of [bytes, of(0x44, 0x53, 1, ...bytes)]) {
          const got = decodeRequest(frame);
          if (got.op === 'reject') expect(encodeReject(got)[4]).toBe(1);
          else if (got.op === 'remote_resolve') expect(encodeRequest(got)).toEqual(frame);
          decodeReply(frame);
        }
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});

describe('replies', () => {
  const cases: readonly (readonly [SoftbusReply, Uint8Array])[] = [
    [{ op: 'remote_resolve', ok: true }, of(0x44, 0x53, 1, 0x81, 0)],
    [{ op: 'remote_resolve', ok: false }, of(0x44, 0x53, 1, 0x81, 1)],
    [{ op: 'remote_bundle_list', count: 0x0102 }, of(0x44, 0x53, 1, 0x82, 0, 2, 1)],
    [{ op: 'remote_bundle_list', count: null }, of(0x44, 0x53, 1, 0x82, 1, 0, 0)],
    [{ op: 'log_probe', ok: true }, of(0x44, 0x53, 1, 0xff, 0)],
    [{ op: 'log_probe', ok: false }, of(0x44, 0x53, 1, 0xff, 1)],
  ];
  for (const [reply, frame] of cases) {
    it(Buffer.from(frame).toString('hex'), () => {
      expect(encodeReply(reply)).toEqual(frame);
      expect(decodeReply(frame)).toEqual(reply);
      expect(decodeReply(of(...frame, 0))).toBeNull();
      expect(decodeReply(frame.subarray(0, -1))).toBeNull();
    });
  }
});
