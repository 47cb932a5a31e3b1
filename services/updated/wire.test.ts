import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  STAGE_MAX,
  archiveOf,
  decodeReply,
  decodeRequest,
  encodeReject,
  encodeReply,
  encodeRequest,
  hasHeader,
  slotOfCode,
  triesOf,
} from './wire.ts';
import type { Reject, UpdatedRequest } from './wire.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');
const rejected = (frame: string): string => {
  const request = decodeRequest(bytes(frame));
  return request.op === 'reject' ? hex(encodeReject(request)) : 'accepted';
};

/** Section 3 once more, without the decoder's structure: the reject reply, or null. */
function naiveReject(f: Uint8Array): string | null {
  const le32 = (f[4] ?? 0) + (f[5] ?? 0) * 0x100 + (f[6] ?? 0) * 0x1_0000 + (f[7] ?? 0) * 0x100_0000;
  if (f.length < 4 || hex(f.subarray(0, 3)) !== '554401') return '55440181010000';
  const op = f[3]!;
  const good =
    op === 4 || op === 0x7f
      ? true
      : op === 1
        ? f.length >= 9 && le32 <= 8192 && f.length === le32 + 8
        : op === 2
          ? f.length === 5 && f[4] !== 0
          : op === 3 || op === 5
            ? f.length === 4
            : null;
  if (good === true) return null;
  return hex(Uint8Array.of(0x55, 0x44, 1, op | 0x80, good === null ? 2 : 1, 0, 0));
}

describe('requests (section 3)', () => {
  it('refuses what the sheet refuses', () => {
    for (const frame of ['', '55', '5544', '554401', '554402 04', '554301 05', '564401 05', '626164'])
      expect(rejected(frame), frame).toBe('55440181010000');
    for (const frame of ['55440101', '55440101 00000000', '55440101 02000000 aa', '55440101 01000000 aabb'])
      expect(rejected(frame), frame).toBe('55440181010000');
    for (const frame of ['55440102', '55440102 00', '55440102 0101'])
      expect(rejected(frame), frame).toBe('55440182010000');
    expect(rejected('55440103 00')).toBe('55440183010000');
    expect(rejected('55440105 00')).toBe('55440185010000');
    expect(rejected('55440106')).toBe('55440186020000');
    expect(rejected('55440185')).toBe('55440185020000');
  });

  it('GET_STATUS and LOG_PROBE take trailing bytes (quirk 8)', () => {
    expect(decodeRequest(bytes('55440104 ffff'))).toEqual({ op: 'get_status' });
    expect(decodeRequest(bytes('5544017f 00'))).toEqual({ op: 'log_probe' });
  });

  it('STAGE announces up to 8192 bytes', () => {
    const archive = archiveOf(new Uint8Array(STAGE_MAX));
    expect(archive).not.toBeNull();
    const frame = encodeRequest({ op: 'stage', archive: archive! });
    expect(hex(frame.subarray(0, 8))).toBe('5544010100200000');
    expect(decodeRequest(frame).op).toBe('stage');
    expect(archiveOf(new Uint8Array(STAGE_MAX + 1))).toBeNull();
    expect(archiveOf(new Uint8Array(0))).toBeNull();
    const longer = new Uint8Array(8 + STAGE_MAX + 1);
    longer.set(bytes('55440101 01200000'));
    expect(decodeRequest(longer)).toMatchObject({ op: 'reject', reason: 'malformed', opByte: 1 });
  });

  it('any bytes: the class of the naive reading, no throw', () => {
    const head = fc.constantFrom('55440101', '55440102', '55440103', '55440104', '55440105', '5544017f', '554401', '');
    const frame = fc
      .tuple(head, fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ maxLength: 8192 }), fc.boolean())
      .map(([start, short, long, isLong]) => Uint8Array.of(...bytes(start), ...(isLong ? long : short)));
    fc.assert(
      fc.property(frame, (f) => {
        const request = decodeRequest(f);
        const answer = request.op === 'reject' ? hex(encodeReject(request)) : null;
        expect(answer).toBe(naiveReject(f));
        expect(hasHeader(f)).toBe(f.length >= 4 && hex(f.subarray(0, 3)) === '554401');
      }),
      { seed: 20240, numRuns: 500 },
    );
  });

  it('a STAGE whose length field is mutated is refused, unless it says the same', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 0, max: 0xffff_ffff }), (n, claimed) => {
        const frame = encodeRequest({ op: 'stage', archive: archiveOf(new Uint8Array(n))! });
        new DataView(frame.buffer).setUint32(4, claimed, true);
        expect(decodeRequest(frame).op).toBe(claimed === n ? 'stage' : 'reject');
      }),
      { seed: 20240, numRuns: 200 },
    );
  });

  it('decode(encode(x)) = x', () => {
    const request: fc.Arbitrary<UpdatedRequest> = fc.oneof(
      fc
        .uint8Array({ minLength: 1, maxLength: 500 })
        .map((b): UpdatedRequest => ({ op: 'stage', archive: archiveOf(b)! })),
      fc.integer({ min: 1, max: 255 }).map((n): UpdatedRequest => ({ op: 'switch', tries: triesOf(n)! })),
      fc
        .constantFrom('health_ok', 'get_status', 'boot_attempt', 'log_probe')
        .map((op): UpdatedRequest => ({ op: op as 'health_ok' })),
    );
    fc.assert(
      fc.property(request, (r) => {
        expect(decodeRequest(encodeRequest(r))).toEqual(r);
      }),
      { seed: 20240, numRuns: 300 },
    );
  });
});

describe('replies', () => {
  it('golden frames of sections 3 and 9', () => {
    expect(hex(encodeReply(0x7f, 0))).toBe('554401ff000000');
    expect(hex(encodeReply(5, 0, Uint8Array.of(0)))).toBe('5544018500010000');
    expect(hex(encodeReply(4, 0, Uint8Array.of(2, 0, 0, 1)))).toBe('55440184000400' + '02000001');
    expect(hex(encodeReply(2, 3))).toBe('55440182030000');
  });

  it('decode(encode(x)) = x, and no throw on anything', () => {
    const fields = fc.tuple(fc.nat(127), fc.constantFrom(0, 1, 2, 3), fc.uint8Array({ maxLength: 64 }));
    fc.assert(
      fc.property(fields, ([opByte, status, payload]) => {
        const frame = encodeReply(opByte, status, payload);
        expect(decodeReply(frame)).toEqual({ opByte, status, payload });
        expect(decodeReply(Uint8Array.of(...frame, 0))).toBeNull();
        expect(decodeReply(frame.subarray(0, frame.length - 1))).toBeNull();
      }),
      { seed: 20240, numRuns: 200 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (f) => {
        const reply = decodeReply(f);
        if (reply !== null) expect(f.length).toBe(7 + reply.payload.length);
      }),
      { seed: 20240, numRuns: 200 },
    );
    const refused: Reject = { op: 'reject', reason: 'unsupported', opByte: 0xff };
    expect(hex(encodeReject(refused))).toBe('554401ff020000');
  });

  it('fields', () => {
    expect([0, 1, 255, 256, 1.5].map((n) => triesOf(n))).toEqual([null, 1, 255, null, null]);
    expect([0, 1, 2, 3, undefined].map((code) => slotOfCode(code))).toEqual([null, 'a', 'b', null, null]);
  });
});
