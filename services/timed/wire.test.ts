import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  TimedStatus,
  deadlineNs,
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  rejectReply,
  timedNonce,
  timerId,
} from './wire.ts';
import type { TimedReply, TimedRequest } from './wire.ts';

const SEED = { seed: 20240, numRuns: 300 };
const bytes = (text: string): Uint8Array => Uint8Array.from(text.split(' ').map((pair) => Number.parseInt(pair, 16)));
const hex = (frame: Uint8Array): string => Array.from(frame, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
const answer = (frame: Uint8Array): string => {
  const request = decodeRequest(frame);
  if (request.op !== 'reject') throw new Error(request.op);
  return hex(encodeReply(rejectReply(request)));
};

const u8 = fc.integer({ min: 0, max: 255 });
const nonce = fc.integer({ min: 0, max: 0xffff_ffff }).map(timedNonce);
const id = fc.integer({ min: 0, max: 0xffff_ffff }).map(timerId);
const time = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(deadlineNs);
const request: fc.Arbitrary<TimedRequest> = fc.oneof(
  fc.record({
    op: fc.constantFrom('register' as const, 'sleep_until' as const),
    nonce,
    qos: u8,
    deadline: time,
  }),
  fc.record({ op: fc.constant('cancel' as const), nonce, id }),
);
const status = fc.constantFrom(...Object.values(TimedStatus));
const reply: fc.Arbitrary<TimedReply> = fc.oneof(
  fc.record({ kind: fc.constant('register' as const), status, nonce, id, coalesced: time }),
  fc.record({ kind: fc.constant('sleep' as const), status, nonce, wake: time }),
  fc.record({ kind: fc.constant('short' as const), opByte: fc.integer({ min: 0, max: 127 }), status, nonce }),
);

describe('requests (sheet 60, section 8.2)', () => {
  it('have the layout of the sheet', () => {
    const register = { nonce: timedNonce(0x5449_0001), qos: 2, deadline: deadlineNs(0x0102_0304_0506_0708n) };
    expect(hex(encodeRequest({ op: 'register', ...register }))).toBe(
      '54 4d 01 01 01 00 49 54 02 00 08 07 06 05 04 03 02 01',
    );
    expect(hex(encodeRequest({ op: 'sleep_until', ...register }))).toBe(
      '54 4d 01 03 01 00 49 54 02 00 08 07 06 05 04 03 02 01',
    );
    expect(hex(encodeRequest({ op: 'cancel', nonce: timedNonce(0x5449_3000), id: timerId(66) }))).toBe(
      '54 4d 01 02 00 30 49 54 42 00 00 00',
    );
  });

  it('come back from their bytes', () => {
    fc.assert(
      fc.property(request, (value) => {
        expect(decodeRequest(encodeRequest(value))).toEqual(value);
      }),
      SEED,
    );
  });

  it('ignore the reserved byte', () => {
    const frame = bytes('54 4d 01 01 01 00 00 00 03 ff 40 00 00 00 00 00 00 00');
    expect(decodeRequest(frame)).toEqual({ op: 'register', nonce: 1, qos: 3, deadline: 64n });
  });

  it.each([
    ['bad, as text', '62 61 64', '54 4d 01 80 04 00 00 00 00'],
    ['nothing', '00', '54 4d 01 80 04 00 00 00 00'],
    ['a head without a nonce', '54 4d 01 02', '54 4d 01 82 04 00 00 00 00'],
    ['an unknown op with a nonce', '54 4d 01 09 04 03 02 01', '54 4d 01 89 04 04 03 02 01'],
    ['op 0', '54 4d 01 00 04 03 02 01', '54 4d 01 80 04 04 03 02 01'],
    ['an answer', '54 4d 01 81 04 03 02 01', '54 4d 01 81 04 04 03 02 01'],
    ['another version', '54 4d 02 01 04 03 02 01', '54 4d 01 81 04 04 03 02 01'],
    ['another magic', '54 4e 01 01 04 03 02 01', '54 4d 01 81 04 04 03 02 01'],
    ['a short REGISTER', '54 4d 01 01 04 03 02 01 00', '54 4d 01 81 04 04 03 02 01'],
    ['a long CANCEL', '54 4d 01 02 04 03 02 01 00 00 00 00 00', '54 4d 01 82 04 04 03 02 01'],
    ['a short SLEEP', '54 4d 01 03 04 03 02 01 00', '54 4d 01 83 04 04 03 02 01 00 00 00 00 00 00 00 00'],
    ['a SLEEP without a nonce', '54 4d 01 03', '54 4d 01 83 04 00 00 00 00 00 00 00 00 00 00 00 00'],
  ])('%s is malformed', (_what, frame, expected) => {
    expect(answer(bytes(frame))).toBe(expected);
  });

  it('only a REGISTER of a wrong length is one to audit', () => {
    const meant = (frame: string): string => {
      const got = decodeRequest(bytes(frame));
      return got.op === 'reject' ? got.meant : got.op;
    };
    expect(meant('54 4d 01 01 00')).toBe('register');
    expect(meant('54 4d 01 03 00')).toBe('sleep_until');
    expect(meant('54 4d 01 02 00')).toBe('other');
    expect(meant('54 4d 02 01 00')).toBe('other');
    expect(meant('54 4d 01 81 00')).toBe('other');
  });

  it('decoding takes any bytes, and every length of every op is one form of answer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (frame) => {
        const got = decodeRequest(frame);
        if (got.op === 'reject') expect([9, 17]).toContain(encodeReply(rejectReply(got)).length);
        else expect(encodeRequest(got).length).toBe(frame.length);
      }),
      SEED,
    );
    for (const op of [1, 2, 3]) {
      for (let length = 4; length <= 40; length++) {
        const frame = new Uint8Array(length);
        frame.set([0x54, 0x4d, 1, op]);
        expect(decodeRequest(frame).op === 'reject').toBe(length !== (op === 2 ? 12 : 18));
      }
    }
  });
});

describe('answers (sheet 60, section 8.2)', () => {
  it('have the layout of the sheet', () => {
    const nonceOf = timedNonce(0x0403_0201);
    expect(
      hex(encodeReply({ kind: 'register', status: 0, nonce: nonceOf, id: timerId(7), coalesced: deadlineNs(258n) })),
    ).toBe('54 4d 01 81 00 01 02 03 04 07 00 00 00 02 01 00 00 00 00 00 00');
    expect(hex(encodeReply({ kind: 'short', opByte: 2, status: 3, nonce: nonceOf }))).toBe(
      '54 4d 01 82 03 01 02 03 04',
    );
    expect(hex(encodeReply({ kind: 'sleep', status: 5, nonce: nonceOf, wake: deadlineNs(9n) }))).toBe(
      '54 4d 01 83 05 01 02 03 04 09 00 00 00 00 00 00 00',
    );
  });

  it('come back from their bytes', () => {
    fc.assert(
      fc.property(reply, (value) => {
        expect(decodeReply(encodeReply(value))).toEqual(value);
      }),
      SEED,
    );
  });

  it('decoding takes any bytes and refuses other forms', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (frame) => {
        const got = decodeReply(frame);
        if (got !== null) expect(encodeReply(got)).toEqual(frame);
      }),
      SEED,
    );
    expect(decodeReply(bytes('54 4d 01 82 06 01 02 03 04'))).toBeNull();
    expect(decodeReply(bytes('54 4d 01 02 00 01 02 03 04'))).toBeNull();
    expect(decodeReply(bytes('54 4d 01 82 00 01 02 03'))).toBeNull();
    expect(decodeReply(bytes('54 4d 01 81 00 01 02 03 04 00 00 00 00 00 00 00 00'))).toBeNull();
    expect(decodeReply(encodeRequest({ op: 'register', nonce: timedNonce(1), qos: 0, deadline: deadlineNs(1n) }))).toBe(
      null,
    );
  });
});
