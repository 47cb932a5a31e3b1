/** S41 and S42 to S46 against a scripted metricsd, and the wait between them (sheet 80, sections 6.15 to 6.17). */
import { describe, expect, it } from 'vitest';
import { chars, play, u64 } from './fixtures/steps.ts';
import type { Answers, Played, Stage } from './fixtures/steps.ts';
import { securityRejects, semantics, waitWindow } from './metrics.ts';

const METRICSD = 0x21;
const LOGD = 0x15;
const SAMGRD = 0xd;
const SECOND = 1_000_000_000;
const SENDER = 0x52c6_c4a3_4ffb_3f69n;
const LO32 = 0x4ffb_3f69n;

type Status = number | null;
type Metricsd = (frame: Uint8Array, nth: number) => Status;
const answer = (frame: Uint8Array, status: number): number[] => [
  ...[0x4d, 0x54, 1, (frame[3] ?? 0) | 0x80, status, ...frame.subarray(4, 8)],
];

function stage(metricsd: Metricsd, texts: readonly string[] = [], changes: Partial<Stage> = {}): Stage {
  return {
    peers: {
      [METRICSD]: (frame, nth) => {
        const status = metricsd(frame, nth);
        return status === null ? null : answer(frame, status);
      },
      [SAMGRD]: (frame) => [0x53, 0x4d, 1, 0x85, 0, ...u64(SENDER), ...frame.subarray(4)],
      [LOGD]: (frame): Answers => {
        const nonce = frame.subarray(4, 12);
        if (frame[3] !== 2) return null;
        const records = texts.map((text, i) => [
          ...[...u64(i), ...u64(i + 1_000), 2, ...u64(7), 0, ...u64(text.length, 2), 0, 0],
          ...chars(text),
        ]);
        return [
          ...[0x4c, 0x4f, 2, 0x82, 0, ...nonce, ...u64(9), ...u64(0), ...u64(records.length, 2)],
          ...records.flat(),
        ];
      },
    },
    ...changes,
  };
}
const frames = (played: Played): number[][] => played.sent(METRICSD).map((frame) => [...frame]);
const op = (frame: Uint8Array): number => frame[3] ?? 0;

describe('WAIT (section 6.15)', () => {
  const waited = (options: Stage['options'] = {}): readonly [boolean, number] => {
    const { result, driver } = play(waitWindow, { options });
    return [result, driver.now];
  };

  it('quirk wait-by-rounds, contract: ends when a second has passed, however few poll', () => {
    const [held, now] = waited();
    expect(held).toBe(true);
    expect(now).toBeGreaterThanOrEqual(SECOND);
    expect(now).toBeLessThan(2 * SECOND);
  });

  it('quirk wait-by-rounds, reference: 16,384 yields may be over before', () => {
    const [held, now] = waited({ waitByRounds: true });
    expect(held).toBe(false);
    expect(now).toBeLessThan(SECOND);
  });
});

describe('S41', () => {
  const OK = 'SELFTEST: metrics security rejects ok';
  const FAIL = 'SELFTEST: metrics security rejects FAIL';
  const span = (frame: Uint8Array): bigint => new DataView(frame.buffer, frame.byteOffset).getBigUint64(8, true);
  let ends = 0;
  const good: Metricsd = (frame, nth) => {
    if (nth === 0) {
      ends = 0;
      return 1;
    }
    if (op(frame) === 1) return nth === 17 ? 2 : 0;
    if (op(frame) === 4) return 0;
    if ((span(frame) & 0xffff_ffffn) === 1n) return 0;
    return ++ends === 47 ? 3 : 4;
  };

  it('one reject of each class, then a span that is accepted', () => {
    const played = play(securityRejects, stage(good));
    expect(played.lines).toEqual([OK]);
    const sent = frames(played);
    expect(sent).toHaveLength(1 + 17 + 47 + 2);
    expect(sent[0]).toEqual([
      ...[0x4d, 0x54, 1, 4, 1, 0, 0, 0, ...u64(0xdead_beef_0000_0001n), ...u64(1), ...u64(0), ...u64(1), 16, 0, 0],
      ...chars('selftest.invalid'),
    ]);
    expect(sent[17]).toEqual([
      ...[0x4d, 0x54, 1, 1, 18, 0, 0, 0, 12, 6, 0, ...u64(1)],
      ...chars('selftest.capid=16\n'),
    ]);
    expect(sent[18]).toEqual([0x4d, 0x54, 1, 5, 19, 0, 0, 0, ...u64((LO32 << 32n) | 0x1000n), ...u64(0), 0, 0, 0]);
    expect(sent[65]).toEqual([
      ...[0x4d, 0x54, 1, 4, 66, 0, 0, 0, ...u64((LO32 << 32n) | 1n), ...u64(0x1da4_762d_0000_0002n), ...u64(0)],
      ...[...u64(10), 15, 0, 0, ...chars('selftest.sanity')],
    ]);
    expect(sent[66]).toEqual([0x4d, 0x54, 1, 5, 67, 0, 0, 0, ...u64((LO32 << 32n) | 1n), ...u64(20), 0, 0, 0]);
    expect(played.driver.now).toBeGreaterThanOrEqual(SECOND);
  });

  it.each<[string, Metricsd]>([
    ['the foreign span is accepted', (f, n) => (n === 0 ? 0 : good(f, n))],
    ['the foreign span is over the limit', (f, n) => (n === 0 ? 2 : good(f, n))],
    ['no series cap', (f, n) => (op(f) === 1 ? 0 : good(f, n))],
    ['an unknown span ends', (f, n) => (op(f) === 5 && n === 20 ? 0 : good(f, n))],
    ['no rate limit', (f, n) => (op(f) === 5 && n > 0 ? 4 : good(f, n))],
    ['the sane span is refused', (f, n) => (op(f) === 4 && n > 0 ? 3 : good(f, n))],
    ['its end is refused', (f, n) => (op(f) === 5 && n > 65 ? 4 : good(f, n))],
    ['silence', () => null],
    ['silence later', (f, n) => (n === 5 ? null : good(f, n))],
  ])('%s: FAIL', (_what, metricsd) => {
    expect(play(securityRejects, stage(metricsd)).lines).toEqual([FAIL]);
  });

  it('bounds: 32 series, 96 ends; other statuses of the series are ignored', () => {
    const endless = play(
      securityRejects,
      stage((f, n) => (op(f) === 1 ? 0 : good(f, n))),
    );
    expect(frames(endless).filter((frame) => frame[3] === 1)).toHaveLength(32);
    const never = play(
      securityRejects,
      stage((f, n) => (op(f) === 5 ? 4 : good(f, n))),
    );
    expect(frames(never).filter((frame) => frame[3] === 5)).toHaveLength(96);
    expect(
      play(
        securityRejects,
        stage((f, n) => (op(f) === 1 && n === 3 ? 1 : good(f, n))),
      ).lines,
    ).toEqual([OK]);
  });

  it('without a route FAIL; without samgrd the own id serves', () => {
    expect(play(securityRejects, stage(good, [], { routes: {} })).lines).toEqual([FAIL]);
    const { routes, ...rest } = stage(good);
    expect(routes).toBeUndefined();
    expect(play(securityRejects, { ...rest, routes: { metricsd: [0x21, 0x22] } }).lines).toEqual([OK]);
  });

  it('a wait that ends too early fails it', () => {
    expect(play(securityRejects, stage(good, [], { options: { waitByRounds: true } })).lines).toEqual([FAIL]);
  });
});

describe('S42 to S46', () => {
  const MARKERS = ['metrics counters', 'metrics gauges', 'metrics histograms', 'tracing spans', 'metrics retention'];
  const TEXTS = [
    'metrics snapshot counter name=selftest.counter value=7',
    'metrics snapshot gauge name=selftest.gauge value=-3',
    'metrics snapshot histogram name=selftest.hist count=2 sum=13000',
    'tracing span end name=selftest.span parent_span_id=0',
    'retention wal verified',
  ];
  const verdicts = (failed: readonly number[]): string[] =>
    MARKERS.map((marker, i) => `SELFTEST: ${marker} ${failed.includes(i) ? 'FAIL' : 'ok'}`);
  const run = (metricsd: Metricsd, texts: readonly string[] = TEXTS, changes: Partial<Stage> = {}): readonly string[] =>
    play(semantics, stage(metricsd, texts, changes)).lines;
  const ALL = [0, 1, 2, 3, 4];

  it('OBS-16: values sent are found in logd', () => {
    const played = play(
      semantics,
      stage(() => 0, TEXTS),
    );
    expect(played.lines).toEqual(verdicts([]));
    const metric = (n: number, opByte: number, name: string, value: bigint): number[] => [
      ...[0x4d, 0x54, 1, opByte, n, 0, 0, 0, name.length, 20, 0, ...u64(BigInt.asUintN(64, value))],
      ...chars(`${name}svc=selftest-client\n`),
    ];
    expect(frames(played)).toEqual([
      metric(1, 1, 'selftest.counter', 3n),
      metric(2, 1, 'selftest.counter', 4n),
      metric(3, 2, 'selftest.gauge', 7n),
      metric(4, 2, 'selftest.gauge', -3n),
      metric(5, 3, 'selftest.hist', 1000n),
      metric(6, 3, 'selftest.hist', 12_000n),
      [
        ...[0x4d, 0x54, 1, 4, 7, 0, 0, 0, ...u64((LO32 << 32n) | 1n), ...u64(0x1da4_762d_0000_0002n), ...u64(0)],
        ...[...u64(100), 13, 15, 0, ...chars('selftest.spanphase=selftest\n')],
      ],
      [...[0x4d, 0x54, 1, 5, 8, 0, 0, 0, ...u64((LO32 << 32n) | 1n), ...u64(180), 0, 10, 0], ...chars('result=ok\n')],
    ]);
  });

  it.each(ALL)('OBS-16, OBS-17: without record %i its marker fails, and no other', (missing) => {
    expect(
      run(
        () => 0,
        TEXTS.filter((_, i) => i !== missing),
      ),
    ).toEqual(verdicts([missing]));
  });

  it.each([
    [0, 0],
    [1, 0],
    [2, 1],
    [3, 1],
    [4, 2],
    [5, 2],
    [6, 3],
    [7, 3],
  ])('OBS-17: call %i refused: marker %i fails although records are there', (call, marker) => {
    expect(run((_, nth) => (nth === call ? 3 : 0))).toEqual(verdicts([marker]));
  });

  it('a call without an answer, or no route, fails all five', () => {
    for (const call of [0, 3, 5, 6, 7]) expect(run((_, nth) => (nth === call ? null : 0))).toEqual(verdicts(ALL));
    expect(run(() => 0, TEXTS, { routes: {} })).toEqual(verdicts(ALL));
  });

  it('records before the probe do not count, but for the retention', () => {
    // The stand-in's records are at 1 µs and later; a probe that begins after them asks from its own time on.
    const played = play(
      semantics,
      stage(() => 0, TEXTS),
    );
    const since = played
      .sent(LOGD)
      .filter((frame) => frame[3] === 2)
      .map((frame) => new DataView(frame.buffer, frame.byteOffset).getBigUint64(12, true));
    expect(since[0]).toBeGreaterThan(0n);
    expect(new Set(since.slice(0, 4)).size).toBe(1);
    expect(since.at(-1)).toBe(0n);
  });
});
