import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  OP_COUNTER_INC,
  OP_GAUGE_SET,
  OP_HIST_OBSERVE,
  OP_PING,
  OP_SPAN_END,
  OP_SPAN_START,
  STATUS_OK,
  amount,
  attrs,
  decodeRejectStatus,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  gaugeValue,
  labels,
  metricName,
  nonce,
  responseNonce,
  spanId,
  spanName,
  spanTime,
  traceId,
} from './wire.ts';
import type { MetricsRequest } from './wire.ts';

const FC = { seed: 20240 } as const;
const enc = new TextEncoder();
const bytes = (text: string): Uint8Array => enc.encode(text);

function hex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '');
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function counter(name: string, labelText: string, value: bigint, n: number): MetricsRequest {
  return {
    op: OP_COUNTER_INC,
    nonce: nonce(n),
    name: metricName(bytes(name))!,
    labels: labels(bytes(labelText))!,
    value: amount(value),
  };
}

/** Reject class and op of a frame, or the decoded op. */
function outcome(frame: Uint8Array): string {
  const decoded = decodeRequest(frame);
  return decoded.ok ? `op ${String(decoded.request.op)}` : decoded.reject;
}

const GOLDEN: readonly { readonly what: string; readonly frame: Uint8Array; readonly request: MetricsRequest }[] = [
  {
    what: 'counter sched.wakeups',
    frame: hex(
      '4d 54 01 01 07 00 00 00 0d 0a 00 03 00 00 00 00 00 00 00 73 63 68 65 64 2e 77 61 6b 65 75 70 73 73 76 63 3d 74 69 6d 65 64 0a',
    ),
    request: counter('sched.wakeups', 'svc=timed\n', 3n, 7),
  },
  {
    what: 'gauge selftest.gauge',
    frame: join(
      hex('4d 54 01 02 05 00 00 00 0e 14 00 fd ff ff ff ff ff ff ff'),
      bytes('selftest.gauge'),
      bytes('svc=selftest-client\n'),
    ),
    request: {
      op: OP_GAUGE_SET,
      nonce: nonce(5),
      name: metricName(bytes('selftest.gauge'))!,
      labels: labels(bytes('svc=selftest-client\n'))!,
      value: gaugeValue(-3n),
    },
  },
  {
    what: 'span start selftest.span',
    frame: join(
      hex('4d 54 01 04 09 00 00 00 01 00 00 00 69 3f fb 4f 02 00 00 00 2d 76 a4 1d'),
      new Uint8Array(8),
      hex('64 00 00 00 00 00 00 00 0d 0f 00'),
      bytes('selftest.span'),
      bytes('phase=selftest\n'),
    ),
    request: {
      op: OP_SPAN_START,
      nonce: nonce(9),
      spanId: spanId(0x4ffb3f69_00000001n),
      traceId: traceId(0x1da4762d_00000002n),
      parentSpanId: spanId(0n),
      startNs: spanTime(100n),
      name: spanName(bytes('selftest.span'))!,
      attrs: attrs(bytes('phase=selftest\n'))!,
    },
  },
  {
    what: 'span end',
    frame: join(
      hex('4d 54 01 05 0a 00 00 00 01 00 00 00 69 3f fb 4f b4 00 00 00 00 00 00 00 00 0a 00'),
      bytes('result=ok\n'),
    ),
    request: {
      op: OP_SPAN_END,
      nonce: nonce(10),
      spanId: spanId(0x4ffb3f69_00000001n),
      endNs: spanTime(180n),
      status: 0,
      attrs: attrs(bytes('result=ok\n'))!,
    },
  },
  {
    what: 'ping',
    frame: hex('4d 54 01 06 01 00 00 00'),
    request: { op: OP_PING, nonce: nonce(1) },
  },
];

describe('golden frames (sheet 40, 10.4)', () => {
  for (const { what, frame, request } of GOLDEN) {
    it(`encodes and decodes ${what}`, () => {
      expect(encodeRequest(request)).toEqual(frame);
      expect(decodeRequest(frame)).toEqual({ ok: true, request });
    });
  }

  it('has the lengths of the sheet', () => {
    expect(GOLDEN.map(({ frame }) => frame.length)).toEqual([42, 53, 71, 37, 8]);
  });
});

/** A counter frame with free length fields, padded to `len` bytes. */
function metricFrame(op: number, nameLen: number, labelsLen: number, value: bigint, len: number): Uint8Array {
  const frame = new Uint8Array(Math.max(len, 19));
  const view = new DataView(frame.buffer);
  frame.set([0x4d, 0x54, 1, op, 1, 0, 0, 0, nameLen]);
  view.setUint16(9, labelsLen, true);
  view.setBigInt64(11, value, true);
  return frame.subarray(0, len);
}

function spanStartFrame(nameLen: number, attrsLen: number, len: number): Uint8Array {
  const frame = new Uint8Array(Math.max(len, 43));
  frame.set([0x4d, 0x54, 1, 4]);
  frame[40] = nameLen;
  new DataView(frame.buffer).setUint16(41, attrsLen, true);
  return frame.subarray(0, len);
}

function spanEndFrame(attrsLen: number, len: number): Uint8Array {
  const frame = new Uint8Array(Math.max(len, 27));
  frame.set([0x4d, 0x54, 1, 5]);
  new DataView(frame.buffer).setUint16(25, attrsLen, true);
  return frame.subarray(0, len);
}

describe('decode rejects (sheet 40, 10.3)', () => {
  const cases: readonly [string, Uint8Array, string][] = [
    ['D1 empty', hex(''), 'malformed'],
    ['D1 two bytes', hex('4d 54'), 'malformed'],
    ['D1 seven bytes', hex('4d 54 01 06 01 00 00'), 'malformed'],
    ['D1 first magic byte', hex('58 54 01 06 01 00 00 00'), 'malformed'],
    ['D1 second magic byte', hex('4d 55 01 06 01 00 00 00'), 'malformed'],
    ['D1 before D2 and D3', hex('58 54 02 09 01 00 00 00'), 'malformed'],
    ['D2 version 2', hex('4d 54 02 06 01 00 00 00'), 'unsupported'],
    ['D2 version 0', hex('4d 54 00 06 01 00 00 00'), 'unsupported'],
    ['D3 op 0', hex('4d 54 01 00 01 00 00 00'), 'unsupported'],
    ['D3 op 7', hex('4d 54 01 07 01 00 00 00'), 'unsupported'],
    ['D3 response op', hex('4d 54 01 81 01 00 00 00'), 'unsupported'],
    ...[1, 2, 3].flatMap((op): [string, Uint8Array, string][] => [
      [`M1 op ${String(op)}`, metricFrame(op, 1, 0, 0n, 18), 'malformed'],
      [`M1 before M2, op ${String(op)}`, metricFrame(op, 0, 193, 0n, 18), 'malformed'],
      [`M2 empty name, op ${String(op)}`, metricFrame(op, 0, 0, 0n, 19), 'over-limit'],
      [`M2 name 49, op ${String(op)}`, metricFrame(op, 49, 0, 0n, 68), 'over-limit'],
      [`M2 labels 193, op ${String(op)}`, metricFrame(op, 1, 193, 0n, 213), 'over-limit'],
      [`M2 before M3 and M4, op ${String(op)}`, metricFrame(op, 255, 65535, -1n, 19), 'over-limit'],
      [`M3 short, op ${String(op)}`, metricFrame(op, 1, 1, 0n, 20), 'malformed'],
      [`M3 long, op ${String(op)}`, metricFrame(op, 1, 1, 0n, 22), 'malformed'],
      [`largest, op ${String(op)}`, metricFrame(op, 48, 192, 0n, 259), `op ${String(op)}`],
      [`smallest, op ${String(op)}`, metricFrame(op, 1, 0, 0n, 20), `op ${String(op)}`],
    ]),
    ['M4 counter -1', metricFrame(1, 1, 0, -1n, 20), 'malformed'],
    ['M4 hist -5', metricFrame(3, 1, 0, -5n, 20), 'malformed'],
    ['M4 counter 2^63', metricFrame(1, 1, 0, -(1n << 63n), 20), 'malformed'],
    ['no M4: counter 2^63 - 1', metricFrame(1, 1, 0, (1n << 63n) - 1n, 20), 'op 1'],
    ['no M4: gauge i64::MIN', metricFrame(2, 1, 0, -(1n << 63n), 20), 'op 2'],
    ['S1', spanStartFrame(1, 0, 42), 'malformed'],
    ['S1 before S2', spanStartFrame(0, 193, 42), 'malformed'],
    ['S2 empty name', spanStartFrame(0, 0, 43), 'over-limit'],
    ['S2 name 49', spanStartFrame(49, 0, 92), 'over-limit'],
    ['S2 attrs 193', spanStartFrame(1, 193, 237), 'over-limit'],
    ['S2 before S3', spanStartFrame(49, 0, 43), 'over-limit'],
    ['S3 short', spanStartFrame(1, 1, 44), 'malformed'],
    ['S3 long', spanStartFrame(1, 1, 46), 'malformed'],
    ['largest span start', spanStartFrame(48, 192, 283), 'op 4'],
    ['smallest span start', spanStartFrame(1, 0, 44), 'op 4'],
    ['E1', spanEndFrame(0, 26), 'malformed'],
    ['E2', spanEndFrame(193, 220), 'over-limit'],
    ['E2 before E3', spanEndFrame(193, 27), 'over-limit'],
    ['E3 short', spanEndFrame(1, 27), 'malformed'],
    ['E3 long', spanEndFrame(0, 28), 'malformed'],
    ['largest span end', spanEndFrame(192, 219), 'op 5'],
    ['P1', hex('4d 54 01 06 01 00 00 00 00'), 'malformed'],
  ];
  for (const [what, frame, expected] of cases) {
    it(`OBS-3: ${what} is ${expected}`, () => {
      expect(outcome(frame)).toBe(expected);
    });
  }

  it('maps the classes to the wire statuses', () => {
    expect((['malformed', 'unsupported', 'over-limit'] as const).map(decodeRejectStatus)).toEqual([1, 1, 2]);
  });

  it('COR-1: hands back the nonce of an undecodable frame where magic, version and nonce bytes are there', () => {
    const rejected = (text: string): number => {
      const decoded = decodeRequest(hex(text));
      return decoded.ok ? -1 : decoded.nonce;
    };
    expect(rejected('4d 54 01 01 0a 0b 0c 0d')).toBe(0x0d0c0b0a);
    expect(rejected('4d 54 01 07 ff ff ff ff')).toBe(0xffffffff);
    expect(rejected('4d 54 02 06 0a 00 00 00')).toBe(0);
    expect(rejected('58 54 01 06 0a 00 00 00')).toBe(0);
    expect(rejected('4d 54 01 06 0a 00 00')).toBe(0);
  });

  it('OBS-25: branded fields refuse what their bounds exclude', () => {
    const fits = (n: number): boolean[] =>
      [metricName, labels, spanName, attrs].map((make) => make(new Uint8Array(n)) !== null);
    expect(fits(0)).toEqual([false, true, false, true]);
    expect(fits(1)).toEqual([true, true, true, true]);
    expect(fits(48)).toEqual([true, true, true, true]);
    expect(fits(49)).toEqual([false, true, false, true]);
    expect(fits(192)).toEqual([false, true, false, true]);
    expect(fits(193)).toEqual([false, false, false, false]);
  });
});

describe('responses (sheet 40, 10.2, 15.4)', () => {
  it('encodes the executed frames', () => {
    expect(encodeResponse(0, 1, nonce(0))).toEqual(hex('4d 54 01 80 01 00 00 00 00'));
    expect(encodeResponse(6, 0, nonce(1))).toEqual(hex('4d 54 01 86 00 01 00 00 00'));
    expect(encodeResponse(4, 1, nonce(11))).toEqual(hex('4d 54 01 84 01 0b 00 00 00'));
    expect(encodeResponse(5, 4, nonce(13))).toEqual(hex('4d 54 01 85 04 0d 00 00 00'));
  });

  it('decodes in the order length, magic, version, op, nonce', () => {
    const decode = (text: string): unknown => decodeResponse(hex(text), OP_COUNTER_INC, nonce(5));
    expect(decode('4d 54 01 81 00 05 00 00 00')).toBe(STATUS_OK);
    expect(decode('4d 54 01 81 09 05 00 00 00')).toBe(9);
    expect(decode('4d 54 01 81 00 05 00 00')).toBe('malformed');
    expect(decode('4d 54 01 81 00 05 00 00 00 00')).toBe('malformed');
    expect(decode('4d 55 01 82 00 05 00 00 00')).toBe('malformed');
    expect(decode('4d 54 02 82 00 05 00 00 00')).toBe('malformed');
    expect(decode('4d 54 01 82 00 06 00 00 00')).toBe('unsupported');
    expect(decode('4d 54 01 81 00 06 00 00 00')).toBe('malformed');
  });

  it('round-trips and is recognised on a shared inbox', () => {
    const status = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(fc.constantFrom(1, 2, 3, 4, 5, 6), status, fc.nat(0xffffffff), (op, s, n) => {
        const frame = encodeResponse(op, s, nonce(n));
        expect(decodeResponse(frame, op as 1, nonce(n))).toBe(s);
        expect(responseNonce(frame)).toBe(n);
        frame[3] = op;
        expect(responseNonce(frame)).toBeNull();
      }),
      { ...FC, numRuns: 200 },
    );
  });
});

const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
const upTo = (min: number, max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: min, maxLength: max });
const anyNonce = fc.nat(0xffffffff).map(nonce);
const metric = {
  nonce: anyNonce,
  name: upTo(1, 48).map((b) => metricName(b)!),
  labels: upTo(0, 192).map((b) => labels(b)!),
};
const anyRequest: fc.Arbitrary<MetricsRequest> = fc.oneof(
  fc.record({
    op: fc.constantFrom(OP_COUNTER_INC, OP_HIST_OBSERVE),
    ...metric,
    value: fc.bigInt(0n, (1n << 63n) - 1n).map(amount),
  }),
  fc.record({
    op: fc.constant(OP_GAUGE_SET),
    ...metric,
    value: fc.bigInt(-(1n << 63n), (1n << 63n) - 1n).map(gaugeValue),
  }),
  fc.record({
    op: fc.constant(OP_SPAN_START),
    nonce: anyNonce,
    spanId: u64.map(spanId),
    traceId: u64.map(traceId),
    parentSpanId: u64.map(spanId),
    startNs: u64.map(spanTime),
    name: upTo(1, 48).map((b) => spanName(b)!),
    attrs: upTo(0, 192).map((b) => attrs(b)!),
  }),
  fc.record({
    op: fc.constant(OP_SPAN_END),
    nonce: anyNonce,
    spanId: u64.map(spanId),
    endNs: u64.map(spanTime),
    status: fc.nat(255),
    attrs: upTo(0, 192).map((b) => attrs(b)!),
  }),
  fc.record({ op: fc.constant(OP_PING), nonce: anyNonce }),
);

/** The table of 10.3, written as data: per op the fixed length, where its lengths stand, and which fields are bounded. */
interface Row {
  readonly fixed: number;
  readonly name?: number;
  readonly tail?: number;
  readonly value?: number;
}
const TABLE: Readonly<Record<number, Row>> = {
  1: { fixed: 19, name: 8, tail: 9, value: 11 },
  2: { fixed: 19, name: 8, tail: 9 },
  3: { fixed: 19, name: 8, tail: 9, value: 11 },
  4: { fixed: 43, name: 40, tail: 41 },
  5: { fixed: 27, tail: 25 },
  6: { fixed: 8 },
};

function model(frame: readonly number[]): string {
  const at = (i: number): number => frame[i]!;
  const u16 = (i: number): number => at(i) + 256 * at(i + 1);
  if (frame.length < 8 || at(0) !== 0x4d || at(1) !== 0x54) return 'malformed';
  if (at(2) !== 1) return 'unsupported';
  const row = TABLE[at(3)];
  if (row === undefined) return 'unsupported';
  if (frame.length < row.fixed) return 'malformed';
  const name = row.name === undefined ? 0 : at(row.name);
  const tail = row.tail === undefined ? 0 : u16(row.tail);
  if ((row.name !== undefined && (name < 1 || name > 48)) || tail > 192) return 'over-limit';
  if (frame.length !== row.fixed + name + tail) return 'malformed';
  if (row.value !== undefined && at(row.value + 7) >= 0x80) return 'malformed';
  return `op ${String(at(3))}`;
}

describe('any input', () => {
  it('OBS-2: arbitrary bytes up to 8192 get the class of the table', () => {
    const raw = fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.uint8Array({ maxLength: 8192, size: 'max' }));
    const headed = fc
      .tuple(fc.integer({ min: 0, max: 8 }), fc.uint8Array({ maxLength: 300, size: 'max' }))
      .map(([op, rest]) => join(Uint8Array.of(0x4d, 0x54, 1, op), rest));
    fc.assert(
      fc.property(fc.oneof(raw, headed), (frame) => {
        expect(outcome(frame)).toBe(model([...frame]));
      }),
      { ...FC, numRuns: 600 },
    );
  });

  it('OBS-2: mutations of valid frames get the class of the table', () => {
    const edit = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), at: fc.nat(300), to: fc.nat(255) }),
      fc.record({ kind: fc.constant('cut' as const), at: fc.nat(300), to: fc.constant(0) }),
      fc.record({ kind: fc.constant('grow' as const), at: fc.nat(30), to: fc.nat(255) }),
    );
    const edits = fc.array(edit, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(anyRequest, edits, (request, changes) => {
        let frame = [...encodeRequest(request)];
        for (const { kind, at, to } of changes) {
          // Half of all byte changes hit the fixed part, where the lengths are.
          if (kind === 'set' && frame.length > 0)
            frame[at % (at % 2 === 0 ? Math.min(44, frame.length) : frame.length)] = to;
          else if (kind === 'cut') frame = frame.slice(0, at);
          else frame.push(...Array<number>(at).fill(to));
        }
        expect(outcome(Uint8Array.from(frame))).toBe(model(frame));
      }),
      { ...FC, numRuns: 1500 },
    );
  });

  it('decode(encode(x)) = x, and the result shares no bytes with the frame', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const frame = encodeRequest(request);
        const decoded = decodeRequest(frame);
        frame.fill(0xee);
        expect(decoded).toEqual({ ok: true, request });
      }),
      { ...FC, numRuns: 500 },
    );
  });

  it('encode(decode(frame)) = frame for every frame that decodes', () => {
    fc.assert(
      fc.property(anyRequest, fc.nat(60), fc.nat(255), (request, at, to) => {
        const frame = encodeRequest(request);
        if (at < frame.length) frame[at] = to;
        const decoded = decodeRequest(frame);
        if (decoded.ok) expect(encodeRequest(decoded.request)).toEqual(frame);
      }),
      { ...FC, numRuns: 500 },
    );
  });

  it('decodes frames that are views into a larger buffer', () => {
    const frame = encodeRequest(counter('a', 'b=c\n', 9n, 77));
    const big = join(Uint8Array.of(1, 2, 3), frame, Uint8Array.of(4));
    expect(decodeRequest(big.subarray(3, 3 + frame.length))).toEqual(decodeRequest(frame));
  });
});
