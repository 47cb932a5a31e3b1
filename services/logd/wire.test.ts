import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SEED, anyFrame, anyRequest, append, appendRequest, hex, utf8 } from './test-kit.ts';
import {
  AppendStatus,
  answerNonceV2,
  appendPrefixV2,
  appendStatusV1,
  decodeQueryPageV1,
  decodeQueryPageV2,
  decodeRequest,
  encodeAppendV1,
  encodeAppendV2,
  encodeRequest,
  fields,
  isAppendAckV1,
  message,
  nextSince,
  pageHeader,
  recordAt,
  scope,
  statsPrefix,
} from './wire.ts';
import type { DecodedRequest } from './wire.ts';

/** What decoding a frame leads to, as text: op, version and nonce of the answer, and the verdict. */
function verdict(decoded: DecodedRequest): string {
  const { op, version, nonce } = decoded.ok ? decoded.request : decoded.shape;
  return `${op} v${version} n${nonce} ${decoded.ok ? 'ok' : decoded.reject}`;
}

/** The table of sheet 40, section 3, read byte by byte without the codec. */
function expected(f: Uint8Array): string {
  const le = (at: number, n: number): bigint => {
    let value = 0n;
    for (let i = n - 1; i >= 0; i--) value = value * 256n + BigInt(f[at + i]!);
    return value;
  };
  if (f.length < 4 || f[0] !== 0x4c || f[1] !== 0x4f) return '3 v1 n0 malformed';
  const v = f[2]!;
  if (v !== 1 && v !== 2) return '3 v1 n0 unsupported';
  if (v === 2 && f.length < 12) return '3 v2 n0 malformed';
  const nonce = v === 2 ? le(4, 8) : 0n;
  const base = v === 2 ? 12 : 4;
  const tag = (op: number, what: string) => `${op} v${v} n${nonce} ${what}`;
  if (f[3] === 3) return tag(3, 'ok');
  if (f[3] === 2) return tag(2, f.length === base + 10 ? 'ok' : 'malformed');
  if (f[3] !== 1) return tag(3, 'unsupported');
  if (f.length < base + 6) return tag(1, 'invalid-args');
  if (f[base]! > 4) return tag(1, 'invalid-args');
  const [s, m, g] = [le(base + 1, 1), le(base + 2, 2), le(base + 4, 2)] as const;
  if (s > 64n || m > 256n || g > 512n) return tag(1, 'over-limit');
  return tag(1, BigInt(f.length) === BigInt(base + 6) + s + m + g ? 'ok' : 'invalid-args');
}

describe('request decoding (sheet 40, sections 2.3 and 3)', () => {
  it('OBS-2, LOG-13: gives every frame the class and answer shape of the table', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(anyFrame, (frame) => {
        const got = verdict(decodeRequest(frame));
        seen.add(got.replace(/n\d+/, ''));
        expect(got).toBe(expected(frame));
      }),
      { seed: SEED, numRuns: 4000 },
    );
    // The generator reaches every row; otherwise the comparison proves little.
    expect(seen.size).toBe(16);
  });

  it('decodes what it encodes', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        expect(decodeRequest(encodeRequest(request))).toEqual({ ok: true, request });
      }),
      { seed: SEED, numRuns: 600 },
    );
  });

  it('decodes at any offset of a larger buffer', () => {
    const frame = append({ version: 2, nonce: 7n, scope: 's', message: 'm', fields: 'k=v' });
    const buffer = new Uint8Array(frame.length + 9).fill(0xee);
    buffer.set(frame, 5);
    expect(decodeRequest(buffer.subarray(5, 5 + frame.length))).toEqual(decodeRequest(frame));
  });

  it('LOG-4, OBS-5: refuses declared lengths above a cap before it looks at the rest (18.1)', () => {
    const over = (at: number, value: number): string => {
      const frame = append({ scope: 'svc', message: 'hello' });
      new DataView(frame.buffer).setUint16(at, value, true);
      return verdict(decodeRequest(frame));
    };
    expect(over(6, 257)).toBe('1 v1 n0 over-limit');
    expect(over(8, 513)).toBe('1 v1 n0 over-limit');
    const scoped = append({});
    scoped[5] = 65;
    expect(verdict(decodeRequest(scoped))).toBe('1 v1 n0 over-limit');
    // Above the cap wins even where the frame is cut, at the cap the length check decides.
    expect(over(6, 256)).toBe('1 v1 n0 invalid-args');
  });

  it('refuses the malformed frames of 18.1', () => {
    const legal = append({ scope: 'svc', message: 'hello' });
    const cases: [Uint8Array, string][] = [
      [new Uint8Array(0), '3 v1 n0 malformed'],
      [hex('4c 4f 01'), '3 v1 n0 malformed'],
      [hex('58 58 01 01'), '3 v1 n0 malformed'],
      [hex('4c 4f 63 01'), '3 v1 n0 unsupported'],
      [hex('4c 4f 01 63'), '3 v1 n0 unsupported'],
      [hex('4c 4f 01 01 02 00'), '1 v1 n0 invalid-args'],
      [hex('4c 4f 01 02 00*8'), '2 v1 n0 malformed'],
      [Uint8Array.of(...legal, 0), '1 v1 n0 invalid-args'],
      [Uint8Array.of(...legal.subarray(0, 4), 99, ...legal.subarray(5)), '1 v1 n0 invalid-args'],
      [hex('4c 4f 02 01 00*7'), '3 v2 n0 malformed'],
      [hex('4c 4f 02 09 01 00*7'), '3 v2 n1 unsupported'],
      [hex('4c 4f 02 02 01 00*7'), '2 v2 n1 malformed'],
      [hex('4c 4f 02 01 01 00*7'), '1 v2 n1 invalid-args'],
      [hex('4c 4f 01 03 ff'), '3 v1 n0 ok'],
    ];
    for (const [frame, want] of cases) expect(verdict(decodeRequest(frame))).toBe(want);
  });

  it('LOG-4: any v1 APPEND of legal lengths decodes (18.1)', () => {
    for (const [s, m, f] of [
      [0, 0, 0],
      [64, 256, 512],
      [3, 5, 0],
    ] as const) {
      const frame = encodeAppendV1(4, new Uint8Array(s), new Uint8Array(m), new Uint8Array(f));
      expect(frame.length).toBe(10 + s + m + f);
      expect(verdict(decodeRequest(frame))).toBe('1 v1 n0 ok');
    }
  });

  it('bounds what it brands', () => {
    expect([scope(new Uint8Array(65)), message(new Uint8Array(257)), fields(new Uint8Array(513))]).toEqual([
      null,
      null,
      null,
    ]);
    expect(scope(new Uint8Array(64))?.length).toBe(64);
    expect(message(new Uint8Array(256))?.length).toBe(256);
    expect(fields(new Uint8Array(512))?.length).toBe(512);
  });

  it('encodes the golden frame of 9.5 and its v2 form', () => {
    const line = utf8('metrics snapshot counter name=selftest.counter value=3');
    const v1 = encodeAppendV1(2, utf8('metricsd'), line);
    expect(v1).toEqual(Uint8Array.of(...hex('4c 4f 01 01 02 08 36 00 00 00'), ...utf8('metricsd'), ...line));
    expect(v1.length).toBe(72);
    const v2 = encodeAppendV2(0x0102030405060708n, 2, utf8('metricsd'), line, utf8('k=v'));
    expect(v2.subarray(0, 18)).toEqual(hex('4c 4f 02 01 08 07 06 05 04 03 02 01 02 08 36 00 03 00'));
    expect(decodeRequest(v2)).toEqual({
      ok: true,
      request: appendRequest({
        version: 2,
        nonce: 0x0102030405060708n,
        scope: 'metricsd',
        message: line,
        fields: 'k=v',
      }),
    });
  });
});

/** A record as bytes of a page. */
function record(ts: number, scopeText: string, messageText: string, fieldsText: string): Uint8Array {
  const parts = [scopeText, messageText, fieldsText].map(utf8);
  const head = new Uint8Array(30);
  const view = new DataView(head.buffer);
  view.setBigUint64(8, BigInt(ts), true);
  view.setUint8(25, parts[0]!.length);
  view.setUint16(26, parts[1]!.length, true);
  view.setUint16(28, parts[2]!.length, true);
  return Uint8Array.of(...head, ...parts.flatMap((part) => [...part]));
}

function page(version: 1 | 2, status: number, nonce: bigint, count: number, ...records: Uint8Array[]): Uint8Array {
  const head = new Uint8Array(version === 1 ? 23 : 31);
  head.set([0x4c, 0x4f, version, 0x82, status]);
  const view = new DataView(head.buffer);
  if (version === 2) view.setBigUint64(5, nonce, true);
  view.setUint16(head.length - 2, count, true);
  return Uint8Array.of(...head, ...records.flatMap((bytes) => [...bytes]));
}

describe("the client's helpers (sheet 40, section 7)", () => {
  const two = [record(100, 's', 'hello world', ''), record(150, 's', 'm', 'fields contain needle')] as const;

  it('scans the page of 18.3', () => {
    const want = { count: 2, found: true, maxTimestamp: 150n };
    expect(decodeQueryPageV1(page(1, 0, 0n, 2, ...two), utf8('needle'))).toEqual(want);
    expect(decodeQueryPageV2(page(2, 0, 9n, 2, ...two), 9n, utf8('needle'))).toEqual(want);
    expect(nextSince(0n, 150n)).toBe(151n);
    expect(nextSince(150n, 150n)).toBeNull();
    expect(nextSince(0n, 0n)).toBeNull();
  });

  it('finds a needle in each part, never an empty one, and no needle across parts', () => {
    const frame = page(2, 0, 1n, 1, record(5, 'alpha', 'beta', 'gamma'));
    const found = (needle: string) => {
      const scan = decodeQueryPageV2(frame, 1n, utf8(needle));
      return typeof scan !== 'string' && scan.found;
    };
    expect(['alpha', 'eta', 'gamm', 'a', 'ta'].map(found)).toEqual([true, true, true, true, true]);
    expect(['', 'ab', 'alphabeta', 'gammag', 'gammaa', 'x'].map(found)).toEqual(Array(6).fill(false));
  });

  it('finds exactly what a text search finds', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 });
    fc.assert(
      fc.property(part, part, part, fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 4 }), (s, m, f, needle) => {
        const scan = decodeQueryPageV1(page(1, 0, 0n, 1, record(1, s, m, f)), utf8(needle));
        expect(scan).toMatchObject({ found: needle !== '' && [s, m, f].some((bytes) => bytes.includes(needle)) });
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('COR-1: tells a foreign nonce before it looks at the status', () => {
    expect(decodeQueryPageV2(page(2, 1, 8n, 0), 9n, utf8('x'))).toBe('bad-nonce');
    expect(decodeQueryPageV2(page(2, 1, 9n, 0), 9n, utf8('x'))).toBe('bad-status');
  });

  it('says bad-status before any record error, and a record error discards the page (section 24)', () => {
    expect(decodeQueryPageV2(page(2, 1, 9n, 1), 9n, utf8('x'))).toBe('bad-status');
    expect(decodeQueryPageV2(page(2, 0, 9n, 2, two[1]), 9n, utf8('needle'))).toBe('truncated');
    const large = record(1, '', '', '');
    large[25] = 65;
    expect(decodeQueryPageV2(page(2, 0, 9n, 2, two[1], large), 9n, utf8('needle'))).toBe('too-large');
    expect(decodeQueryPageV1(page(1, 0, 0n, 1, record(1, 's', 'm', '').subarray(0, 30)), utf8('x'))).toBe('truncated');
  });

  it('checks length, magic, version and op in this order', () => {
    const frame = page(2, 0, 1n, 0);
    const broken = (at: number[], length = frame.length) => {
      const copy = frame.slice(0, length);
      for (const i of at) copy[i] = 0x7f;
      return decodeQueryPageV2(copy, 1n, utf8('x'));
    };
    expect(broken([0, 2, 3], 30)).toBe('truncated');
    expect(broken([0, 2, 3])).toBe('bad-magic');
    expect(broken([2, 3])).toBe('bad-version');
    expect(broken([3])).toBe('bad-opcode');
    expect(broken([])).toEqual({ count: 0, found: false, maxTimestamp: 0n });
  });

  it('reads prefixes (18.3)', () => {
    expect(appendStatusV1(hex('4c 4f 01 81 00'))).toBe(AppendStatus.OK);
    expect(appendStatusV1(hex('4c 4f 01 82 00'))).toBe('bad-opcode');
    expect(appendStatusV1(hex('4c 4f 01 81'))).toBe('truncated');
    expect([hex('4c 4f 01 81 06'), hex('4c 4f 02 81 00'), hex('4c 4f 01 81')].map(isAppendAckV1)).toEqual([
      true,
      false,
      false,
    ]);
    const ack = hex('4c 4f 02 81 00 08 07 06 05 04 03 02 01');
    expect(appendPrefixV2(ack)).toEqual({ status: 0, nonce: 0x0102030405060708n });
    expect(appendPrefixV2(ack.subarray(0, 12))).toBe('truncated');
    expect(answerNonceV2(hex('4c 4f 02 ff 00 01 00*7'))).toBe(1n);
    expect(answerNonceV2(hex('4c 4f 01 81 00 01 00*7'))).toBeNull();
    expect(statsPrefix(hex('4c 4f 01 83 00 7b 00*7 07 00*7'), 1)).toEqual({
      status: 0,
      nonce: 0n,
      total: 123n,
      dropped: 7n,
    });
    expect(statsPrefix(hex('4c 4f 02 83 00 05 00*7 7b 00*7 07 00*7'), 2)).toMatchObject({ nonce: 5n, total: 123n });
    expect(statsPrefix(hex('4c 4f 01 83 00 7b 00*7 07 00*6'), 1)).toBe('truncated');
    expect(pageHeader(page(1, 0, 0n, 3), 1)).toMatchObject({ count: 3, records: 23 });
    expect(recordAt(new Uint8Array(40), 11)).toBe('truncated');
  });

  it('LOG-13: reads any bytes without throwing', () => {
    const bytes = fc.uint8Array({ maxLength: 600 });
    fc.assert(
      fc.property(bytes, fc.nat(3), fc.nat(5), fc.uint8Array({ maxLength: 4 }), (rest, version, op, needle) => {
        for (const frame of [rest, Uint8Array.of(0x4c, 0x4f, version, 0x80 | op, 0, ...rest)]) {
          const scan = decodeQueryPageV2(frame, answerNonceV2(frame) ?? 0n, needle);
          if (typeof scan !== 'string') expect(scan.maxTimestamp).toBeGreaterThanOrEqual(0n);
          decodeQueryPageV1(frame, needle);
          appendPrefixV2(frame);
          appendStatusV1(frame);
          statsPrefix(frame, 1);
          statsPrefix(frame, 2);
        }
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });
});
