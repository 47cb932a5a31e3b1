import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeExecCheck, encodeExecResponse } from '../init/wire.ts';
import { ascii } from '../lib/text.ts';
import {
  CheckNonces,
  ExecdStatus,
  checkReplyNonce,
  claimedPid,
  decodeCheckReply,
  decodeReply,
  decodeRequest,
  encodeExecCheck,
  encodeReply,
  encodeRequest,
  requester,
  shortReply,
  waitReply,
} from './wire.ts';
import type { CheckNonce, ExecdReply, ExecdRequest, Requester } from './wire.ts';

const SEED = { seed: 20240, numRuns: 300 };
const hex = (frame: Uint8Array): string => Array.from(frame, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
const bytes = (text: string): Uint8Array =>
  text === '' ? new Uint8Array(0) : Uint8Array.from(text.split(' ').map((pair) => Number.parseInt(pair, 16)));
const name = (text: string): Requester => requester(ascii(text))!;

const u8 = fc.integer({ min: 0, max: 255 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const i32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const requesters = fc.uint8Array({ minLength: 1, maxLength: 48 }).map((one) => requester(one)!);
const pid = u32.map(claimedPid);
const requests: fc.Arbitrary<ExecdRequest> = fc.oneof(
  fc.record({ op: fc.constant('exec_image' as const), image: u8, stackPages: u8, requester: requesters }),
  fc.record({ op: fc.constant('report_exit' as const), pid, code: i32 }),
  fc.record({ op: fc.constant('wait_pid' as const), pid }),
);
const status = fc.constantFrom(...Object.values(ExecdStatus));
const replies: fc.Arbitrary<ExecdReply> = fc.oneof(
  fc.tuple(fc.integer({ min: 0, max: 127 }), status, u32).map(([op, s, p]) => shortReply(op, s, p)),
  fc.tuple(status, u32, i32).map(([s, p, code]) => waitReply(s, p, code)),
);

describe('requests (sheet 60, section 6.2)', () => {
  it('the sheet’s golden frame', () => {
    const frame = encodeRequest({
      op: 'exec_image',
      image: 1,
      stackPages: 19,
      requester: name('selftest-client'),
    });
    expect(hex(frame)).toBe(`45 58 01 01 01 13 0f ${hex(ascii('selftest-client'))}`);
  });

  it('come back from their bytes', () => {
    fc.assert(
      fc.property(requests, (value) => {
        expect(decodeRequest(encodeRequest(value))).toEqual(value);
      }),
      SEED,
    );
  });

  const answer = (frame: string): string => {
    const got = decodeRequest(bytes(frame));
    return got.op === 'reject' ? hex(encodeReply(shortReply(got.opByte, got.status))) : got.op;
  };

  it.each([
    ['bad', '62 61 64', '81 01'],
    ['nothing', '', '81 01'],
    ['three bytes', '45 58 01', '81 01'],
    ['another magic', '45 59 01 03 00 00 00 00', '81 01'],
    ['another version', '45 58 02 03', '83 02'],
    ['another version of an unknown op', '45 58 00 77', 'f7 02'],
    ['an unknown op', '45 58 01 04', '84 02'],
    ['op 0', '45 58 01 00', '80 02'],
    ['an answer', '45 58 01 81', '81 02'],
    ['WAIT_PID, short', '45 58 01 03 01 00 00', '83 01'],
    ['WAIT_PID, long', '45 58 01 03 01 00 00 00 00', '83 01'],
    ['REPORT_EXIT, short', '45 58 01 02 01 00 00 00 00 00 00', '82 01'],
    ['REPORT_EXIT, long', '45 58 01 02 01 00 00 00 00 00 00 00 00', '82 01'],
    ['EXEC_IMAGE, short', '45 58 01 01 01 04', '81 01'],
    ['EXEC_IMAGE without a name', '45 58 01 01 01 04 00', '81 01'],
    ['EXEC_IMAGE, name cut', '45 58 01 01 01 04 02 61', '81 01'],
    ['EXEC_IMAGE, name too long for its length', '45 58 01 01 01 04 01 61 62', '81 01'],
    ['EXEC_IMAGE, a name of 49', `45 58 01 01 01 04 31 ${hex(new Uint8Array(49).fill(97))}`, '81 01'],
  ])('%s is refused', (_what, frame, expected) => {
    expect(answer(frame)).toBe(`45 58 01 ${expected} 00 00 00 00`);
  });

  it('decoding takes any bytes, and answers each with nine', () => {
    const framed = fc.tuple(
      fc.constantFrom([0x45, 0x58, 1], [0x45, 0x58, 2], [0x45]),
      fc.uint8Array({ maxLength: 64 }),
    );
    fc.assert(
      fc.property(framed, ([head, rest]) => {
        const frame = Uint8Array.from([...head, ...rest]);
        const got = decodeRequest(frame);
        if (got.op === 'reject') expect(encodeReply(shortReply(got.opByte, got.status)).length).toBe(9);
        else expect(encodeRequest(got)).toEqual(frame);
      }),
      SEED,
    );
  });

  it('every length of every op', () => {
    for (const op of [1, 2, 3]) {
      for (let length = 4; length <= 70; length++) {
        const frame = new Uint8Array(length);
        frame.set([0x45, 0x58, 1, op]);
        if (length > 6) frame[6] = op === 1 ? length - 7 : 0;
        const legal = op === 1 ? length >= 8 && length <= 55 : length === (op === 2 ? 12 : 8);
        expect(decodeRequest(frame).op !== 'reject', `op ${op}, ${length} bytes`).toBe(legal);
      }
    }
  });
});

describe('answers (sheet 60, section 6.2)', () => {
  it('the sheet’s golden frame, and the long form', () => {
    expect(hex(encodeReply(shortReply(1, ExecdStatus.OK, 0x1122_3344)))).toBe('45 58 01 81 00 44 33 22 11');
    expect(hex(encodeReply(waitReply(ExecdStatus.FAILED, 7, -1)))).toBe('45 58 01 83 03 07 00 00 00 ff ff ff ff');
    expect(hex(encodeReply(waitReply(ExecdStatus.OK, 36, 42)))).toBe('45 58 01 83 00 24 00 00 00 2a 00 00 00');
  });

  it('come back from their bytes', () => {
    fc.assert(
      fc.property(replies, (value) => {
        expect(decodeReply(encodeReply(value))).toEqual(value);
      }),
      SEED,
    );
  });

  it('decoding takes any bytes and refuses other forms', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 16 }), (frame) => {
        const got = decodeReply(frame);
        if (got !== null) expect(encodeReply(got)).toEqual(frame);
      }),
      SEED,
    );
    for (const bad of [
      '45 58 01 81 05 00 00 00 00',
      '45 58 01 01 00 00 00 00 00',
      '45 58 02 81 00 00 00 00 00',
      '45 58 01 81 00 00 00 00',
      '45 58 01 81 00 00 00 00 00 00 00 00 00',
    ]) {
      expect(decodeReply(bytes(bad)), bad).toBeNull();
    }
  });
});

describe('the exec check (sheet 20, section 7.4; sheet 60, section 6.3)', () => {
  const nonce = (value: number): CheckNonce => value as CheckNonce;

  it('the question is what init reads', () => {
    expect(decodeExecCheck(encodeExecCheck(nonce(0x1122_3344), name('selftest-client'), 2))).toEqual({
      nonce: 0x1122_3344,
      requester: 'selftest-client',
      image: 2,
    });
    fc.assert(
      fc.property(u32, requesters, u8, (n, who, image) => {
        const got = decodeExecCheck(encodeExecCheck(nonce(n), who, image));
        expect(got).toEqual({ nonce: n, requester: String.fromCharCode(...who), image });
      }),
      SEED,
    );
  });

  it('the sheet’s vectors of the answer', () => {
    expect(decodeCheckReply(encodeExecResponse(0xa1b2_c3d4, 0), nonce(0xa1b2_c3d4))).toBe(0);
    expect(decodeCheckReply(encodeExecResponse(0xaabb_ccdd, 1), nonce(0xaabb_ccdd))).toBe(1);
    expect(decodeCheckReply(bytes('00 00 00 00'), nonce(0))).toBeNull();
    expect(decodeCheckReply(encodeExecResponse(7, 0), nonce(8))).toBeNull();
  });

  it('OBS-23: no other frame says anything', () => {
    const good = encodeExecResponse(7, 0);
    for (let length = 0; length < 9; length++) expect(checkReplyNonce(good.subarray(0, length))).toBeNull();
    expect(checkReplyNonce(Uint8Array.from([...good, 0]))).toBeNull();
    for (let at = 0; at < 4; at++) {
      for (let value = 0; value < 256; value++) {
        if (value === good[at]) continue;
        const changed = good.slice();
        changed[at] = value;
        expect(decodeCheckReply(changed, nonce(7))).toBeNull();
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (frame) => {
        const got = decodeCheckReply(frame, nonce(7));
        if (got !== null) expect(frame).toEqual(encodeExecResponse(7, got));
      }),
      SEED,
    );
  });

  it('nonces count from 1 and leave 0 out', () => {
    const first = new CheckNonces();
    expect([first.next(), first.next()]).toEqual([1, 2]);
    const last = new CheckNonces(0xffff_ffff);
    expect([last.next(), last.next(), last.next()]).toEqual([0xffff_ffff, 1, 2]);
  });
});
