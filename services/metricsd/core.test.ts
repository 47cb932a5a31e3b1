import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultConfig } from './config.ts';
import type { MetricsdConfig } from './config.ts';
import { MetricsCore } from './core.ts';
import { senderId } from './registry.ts';

const SELFTEST = senderId(0x52c6c4a3_4ffb3f69n);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const CONTRACT = { errorDropsNonce: false, redact: true };
const REFERENCE = { errorDropsNonce: true, redact: false };

function core(options = CONTRACT, change: Partial<MetricsdConfig> = {}): MetricsCore {
  return new MetricsCore({ ...defaultConfig(), ...change }, options);
}

function hexOf(frame: Uint8Array): string {
  return [...frame].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
function hex(text: string): Uint8Array {
  return Uint8Array.from(
    text.split(' ').filter((d) => d !== ''),
    (d) => parseInt(d, 16),
  );
}

function metric(op: number, n: number, name: string, labels: string, value: bigint): Uint8Array {
  const frame = new Uint8Array(19 + name.length + labels.length);
  const view = new DataView(frame.buffer);
  frame.set([0x4d, 0x54, 1, op]);
  view.setUint32(4, n, true);
  frame[8] = name.length;
  view.setUint16(9, labels.length, true);
  view.setBigInt64(11, value, true);
  frame.set(bytes(name + labels), 19);
  return frame;
}
function spanStart(n: number, id: bigint, name = 's', attrs = '', start = 0n): Uint8Array {
  const frame = new Uint8Array(43 + name.length + attrs.length);
  const view = new DataView(frame.buffer);
  frame.set([0x4d, 0x54, 1, 4]);
  view.setUint32(4, n, true);
  view.setBigUint64(8, id, true);
  view.setBigUint64(32, start, true);
  frame[40] = name.length;
  view.setUint16(41, attrs.length, true);
  frame.set(bytes(name + attrs), 43);
  return frame;
}
function spanEnd(n: number, id: bigint, end = 0n, attrs = ''): Uint8Array {
  const frame = new Uint8Array(27 + attrs.length);
  const view = new DataView(frame.buffer);
  frame.set([0x4d, 0x54, 1, 5]);
  view.setUint32(4, n, true);
  view.setBigUint64(8, id, true);
  view.setBigUint64(16, end, true);
  view.setUint16(25, attrs.length, true);
  frame.set(bytes(attrs), 27);
  return frame;
}
const own = (local: bigint): bigint => ((SELFTEST & 0xffff_ffffn) << 32n) | local;

/** [what, request, response of the reference, response of the contract, reject class] (10.4). */
const EXECUTED: readonly [string, Uint8Array, string, string, string | null][] = [
  ['empty', hex(''), '4d 54 01 80 01 00 00 00 00', '4d 54 01 80 01 00 00 00 00', 'invalid-args'],
  ['two bytes', hex('4d 54'), '4d 54 01 80 01 00 00 00 00', '4d 54 01 80 01 00 00 00 00', 'invalid-args'],
  ['7 bytes', hex('4d 54 01 06 01 00 00'), '4d 54 01 86 01 00 00 00 00', '4d 54 01 86 01 00 00 00 00', 'invalid-args'],
  ['magic', hex('58 54 01 06 01 00 00 00'), '4d 54 01 86 01 00 00 00 00', '4d 54 01 86 01 00 00 00 00', 'invalid-args'],
  [
    'version',
    hex('4d 54 02 06 01 00 00 00'),
    '4d 54 01 86 01 00 00 00 00',
    '4d 54 01 86 01 00 00 00 00',
    'invalid-args',
  ],
  ['op 0', hex('4d 54 01 00 05 00 00 00'), '4d 54 01 80 01 00 00 00 00', '4d 54 01 80 01 05 00 00 00', 'invalid-args'],
  ['op 7', hex('4d 54 01 07 05 00 00 00'), '4d 54 01 87 01 00 00 00 00', '4d 54 01 87 01 05 00 00 00', 'invalid-args'],
  ['ping', hex('4d 54 01 06 01 00 00 00'), '4d 54 01 86 00 01 00 00 00', '4d 54 01 86 00 01 00 00 00', null],
  [
    'ping + 1',
    hex('4d 54 01 06 01 00 00 00 00'),
    '4d 54 01 86 01 00 00 00 00',
    '4d 54 01 86 01 01 00 00 00',
    'invalid-args',
  ],
  [
    'counter, 18 B',
    metric(1, 2, 'a', '', 1n).subarray(0, 18),
    '4d 54 01 81 01 00 00 00 00',
    '4d 54 01 81 01 02 00 00 00',
    'invalid-args',
  ],
  ['empty name', metric(1, 2, '', '', 1n), '4d 54 01 81 02 00 00 00 00', '4d 54 01 81 02 02 00 00 00', 'over-limit'],
  [
    'name 49',
    metric(1, 2, 'n'.repeat(49), '', 1n),
    '4d 54 01 81 02 00 00 00 00',
    '4d 54 01 81 02 02 00 00 00',
    'over-limit',
  ],
  [
    'labels 193',
    metric(1, 2, 'n', 'l'.repeat(193), 1n),
    '4d 54 01 81 02 00 00 00 00',
    '4d 54 01 81 02 02 00 00 00',
    'over-limit',
  ],
  ['value -1', metric(1, 2, 'n', '', -1n), '4d 54 01 81 01 00 00 00 00', '4d 54 01 81 01 02 00 00 00', 'invalid-args'],
  ['hist -5', metric(3, 2, 'n', '', -5n), '4d 54 01 83 01 00 00 00 00', '4d 54 01 83 01 02 00 00 00', 'invalid-args'],
  [
    'gauge i64::MIN',
    metric(2, 2, 'n', '', -(1n << 63n)),
    '4d 54 01 82 00 02 00 00 00',
    '4d 54 01 82 00 02 00 00 00',
    null,
  ],
  [
    'foreign id',
    spanStart(11, 0xdeadbeef00000001n),
    '4d 54 01 84 01 0b 00 00 00',
    '4d 54 01 84 01 0b 00 00 00',
    'invalid-args',
  ],
  ['unknown end', spanEnd(13, own(1n)), '4d 54 01 85 04 0d 00 00 00', '4d 54 01 85 04 0d 00 00 00', 'not-found'],
];

describe('executed frames (sheet 40, 10.4)', () => {
  for (const [what, request, reference, contract, reject] of EXECUTED) {
    it(`COR-1: ${what}`, () => {
      const kept = core(CONTRACT).handle(request, SELFTEST, 1);
      expect([hexOf(kept.response), kept.reject]).toEqual([contract, reject]);
      const quirky = core(REFERENCE).handle(request, SELFTEST, 1);
      expect([hexOf(quirky.response), quirky.reject]).toEqual([reference, reject]);
    });
  }
});

describe('rejects of decoded requests (sheet 40, 17.2)', () => {
  const statusOf = (c: MetricsCore, frame: Uint8Array, now = 0, sender = SELFTEST): number =>
    c.handle(frame, sender, now).response[4]!;

  it('OBS-3: the 65th decoded op of a window is rate limited; pings and undecodable frames are free', () => {
    const c = core();
    for (let i = 0; i < 100; i++) statusOf(c, metric(1, 1, '', '', 0n), 10);
    for (let i = 0; i < 100; i++) statusOf(c, hex('4d 54 01 06 01 00 00 00'), 10);
    const seen = Array.from({ length: 65 }, () => statusOf(c, spanEnd(1, own(1n)), 10));
    expect(seen).toEqual([...Array<number>(64).fill(4), 3]);
    expect(statusOf(c, hex('4d 54 01 06 01 00 00 00'), 10)).toBe(0);
    expect(statusOf(c, spanEnd(1, own(1n)), 1_000_000_010)).toBe(4);
  });

  it('OBS-3: a 65th sender is rate limited', () => {
    const c = core();
    const seen = Array.from({ length: 65 }, (_, i) => statusOf(c, spanEnd(1, own(1n)), 0, senderId(BigInt(i + 1))));
    expect([seen[63], seen[64]]).toEqual([4, 3]);
  });

  it('OBS-4: what is rate limited does not touch the registry', () => {
    const ingest = { windowNs: 1000, eventsPerWindow: 1, maxSenders: 1 };
    const c = core(CONTRACT, { ingest });
    expect(statusOf(c, metric(1, 1, 'm', '', 1n))).toBe(0);
    expect(statusOf(c, metric(1, 1, 'm', '', 1n))).toBe(3);
    expect(statusOf(c, metric(1, 1, 'other', '', 1n))).toBe(3);
    expect(c.registry.seriesCount).toBe(1);
    expect(c.handle(metric(1, 1, 'm', '', 1n), SELFTEST, 1000).event?.texts.log).toBe(
      'metrics snapshot counter name=m value=2',
    );
  });

  it('precedence: decode before rate before registry, also when all three would refuse', () => {
    const ingest = { windowNs: 1000, eventsPerWindow: 1, maxSenders: 1 };
    const c = core(CONTRACT, { ingest, registry: { ...defaultConfig().registry, maxSeriesTotal: 1 } });
    statusOf(c, metric(1, 1, 'm', '', 1n));
    expect(statusOf(c, metric(1, 1, 'n', '', -1n))).toBe(1);
    expect(statusOf(c, metric(1, 1, 'n', '', 1n))).toBe(3);
    expect(statusOf(c, metric(1, 1, 'n', '', 1n), 1000)).toBe(2);
  });

  it('OBS-22: configured limits answer OVER_LIMIT with the nonce', () => {
    const registry = {
      ...defaultConfig().registry,
      maxMetricNameLen: 2,
      maxLabelsLen: 2,
      maxSpanNameLen: 2,
      maxAttrsLen: 2,
    };
    const c = core(REFERENCE, { registry });
    const frames = [
      metric(1, 9, 'abc', '', 1n),
      metric(2, 9, 'a', 'abc', 1n),
      metric(3, 9, 'abc', '', 1n),
      spanStart(9, own(1n), 'abc'),
      spanStart(9, own(1n), 'a', 'abc'),
      spanEnd(9, own(1n), 0n, 'abc'),
    ];
    for (const frame of frames) {
      expect(hexOf(c.handle(frame, SELFTEST, 0).response).slice(12)).toBe('02 09 00 00 00');
    }
    expect([c.registry.seriesCount, c.registry.liveSpanCount]).toEqual([0, 0]);
  });

  it('OBS-1: a span of another sender cannot be ended, and labels give no identity', () => {
    const c = core();
    const other = senderId(0x9999n);
    expect(statusOf(c, spanStart(1, own(1n)))).toBe(0);
    expect(statusOf(c, spanEnd(1, own(1n)), 0, other)).toBe(4);
    statusOf(c, metric(1, 1, 'm', 'sender_service_id=39321\n', 5n));
    const foreign = c.handle(metric(1, 1, 'm', 'sender_service_id=39321\n', 1n), other, 0);
    expect(foreign.event?.texts.log).toBe('metrics snapshot counter name=m value=1');
  });

  it('OBS-17: nothing but accepted updates and ended spans is exported', () => {
    const c = core();
    const silent = [
      ...EXECUTED.filter(([, , , , reject]) => reject !== null).map(([, frame]) => frame),
      spanStart(1, own(1n)),
    ];
    for (const frame of silent) expect(c.handle(frame, SELFTEST, 0).event).toBeNull();
    expect(c.handle(hex('4d 54 01 06 01 00 00 00'), SELFTEST, 0).event).toBeNull();
    expect(c.handle(spanEnd(1, own(1n)), SELFTEST, 0).event?.kind).toBe('span');
  });

  it('OBS-18: redacts by option', () => {
    for (const [options, text] of [
      [CONTRACT, '[redacted]'],
      [REFERENCE, 'abc'],
    ] as const) {
      const c = core(options);
      c.handle(spanStart(1, own(1n), 's', 'auth_token=abc\n'), SELFTEST, 0);
      const { event } = c.handle(spanEnd(2, own(1n), 5n), SELFTEST, 0);
      expect(event?.texts.record).toBe(
        `span end name=s parent_span_id=0 duration_ns=5 status=0 start_attrs=auth_token=${text}\\n end_attrs=`,
      );
    }
  });
});

describe('any traffic', () => {
  it('OBS-2, OBS-3, OBS-4: every frame gets a 9-byte answer of its op; what is refused changes and exports nothing', () => {
    const valid = fc.constantFrom(
      metric(1, 1, 'a', '', 1n),
      metric(2, 2, 'b', 'x=y\n', -1n),
      metric(3, 3, 'c', '', 7n),
      spanStart(4, own(1n), 's', 'a=b\n'),
      spanEnd(5, own(1n), 9n),
      hex('4d 54 01 06 01 00 00 00'),
    );
    const mutated = fc.tuple(valid, fc.nat(60), fc.nat(255)).map(([frame, at, to]) => {
      const copy = frame.slice();
      if (at < copy.length) copy[at] = to;
      return copy;
    });
    const frame = fc.oneof(valid, mutated, fc.uint8Array({ maxLength: 300 }));
    const event = fc.record({ frame, sender: fc.constantFrom(SELFTEST, senderId(7n)), gap: fc.nat(100_000_000) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 120 }), (events) => {
        const c = core();
        let now = 0;
        for (const { frame: bytesIn, sender, gap } of events) {
          now += gap;
          const before = [c.registry.seriesCount, c.registry.liveSpanCount];
          const { response, reject, event: exported } = c.handle(bytesIn, sender, now);
          expect(hexOf(response.subarray(0, 3))).toBe('4d 54 01');
          expect([response.length, response[3]]).toEqual([9, (bytesIn[3] ?? 0) | 0x80]);
          const classes = [null, 'invalid-args', 'over-limit', 'rate-limited', 'not-found'];
          expect(reject).toBe(classes[response[4]!]);
          if (reject === null) continue;
          expect(exported).toBeNull();
          expect([c.registry.seriesCount, c.registry.liveSpanCount]).toEqual(before);
        }
      }),
      { seed: 20240, numRuns: 100 },
    );
  });
});
