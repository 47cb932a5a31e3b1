/** S01, S07, S11, S14, S32 against a scripted keystored: frames, order, each failure line (sheet 80, sections 5, 6.1, 6.5). */
import { describe, expect, it } from 'vitest';
import { chars, h, play } from './fixtures/steps.ts';
import type { Answers, Played, Stage } from './fixtures/steps.ts';
import { deviceKey, keystoredCapMove, reloadDeviceKey, resolveKeystored, signDenied } from './keystored.ts';

const KEYSTORED = 0x11;
const CONTROL = 1;
const MS = 1_000_000;
const KEY = Array.from({ length: 32 }, (_, i) => i + 1);

const rsp = (op: number, status: number, value: readonly number[] = []): number[] => [
  0x4b,
  0x53,
  1,
  op | 0x80,
  status,
  value.length & 0xff,
  value.length >> 8,
  ...value,
];
const frames = (played: Played): number[][] => played.sent(KEYSTORED).map((frame) => [...frame]);

/** Answers by the number of the request. */
const keystored = (answers: readonly Answers[]): Stage => ({
  peers: { [KEYSTORED]: (_, nth) => answers[nth] ?? null },
});

describe('S01', () => {
  const GOOD = [rsp(1, 0), rsp(2, 0, chars('v1')), rsp(3, 0), rsp(2, 1), rsp(2, 2)];

  it('pings in five exchanges', () => {
    const played = play(resolveKeystored, keystored(GOOD));
    expect(played.lines).toEqual(['SELFTEST: ipc routing keystored ok', 'SELFTEST: keystored v1 ok']);
    expect(frames(played)).toEqual([
      [0x4b, 0x53, 1, 1, 2, 2, 0, ...chars('k1v1')],
      [0x4b, 0x53, 1, 2, 2, 0, 0, ...chars('k1')],
      [0x4b, 0x53, 1, 3, 2, 0, 0, ...chars('k1')],
      [0x4b, 0x53, 1, 2, 2, 0, 0, ...chars('k1')],
      chars('bad'),
    ]);
    expect(played.state.keystored).toEqual({ send: 0x11, recv: 0x12 });
  });

  it.each([0, 1, 2, 3, 4])('answer %i must have its op, status, value and length', (at) => {
    const good = GOOD[at]!;
    const bad = [
      good.map((byte, i) => (i === 3 ? byte ^ 4 : byte)),
      good.map((byte, i) => (i === 4 ? byte + 1 : byte)),
      rsp(good[3]!, good[4]!, [...good.slice(7), 0x78]),
      [...good, 0],
      good.slice(0, 6),
      good.map((byte, i) => (i === 2 ? 2 : byte)),
    ];
    for (const answer of bad) {
      // Any ping that fails goes on to the next way; here every way leads to the same bad answer.
      let nth = 0;
      const peers = {
        [KEYSTORED]: (frame: Uint8Array): Answers => {
          if (frame[3] === 1) nth = 0;
          const now = nth++;
          return now === at ? answer : (GOOD[now] ?? null);
        },
      };
      const played = play(resolveKeystored, { peers });
      expect([played.lines, played.result]).toEqual([[], false]);
      expect(played.sent(CONTROL)).toHaveLength(2 * 128);
    }
  });

  it('tries routing with nonce, routing without, then the fixed slots, each of 128 times', () => {
    const played = play(resolveKeystored, { ...keystored(GOOD), routes: {} });
    expect(played.result).toBe(true);
    expect(played.sent(CONTROL).map((frame) => frame.length)).toEqual([5 + 9 + 4, 5 + 9]);
    const none = play(resolveKeystored, { routes: {}, refuse: { [KEYSTORED]: -1, [KEYSTORED + 1]: -1 } });
    expect([none.lines, none.result]).toEqual([[], false]);
    expect(none.driver.yields).toBe(128);
    // The slots may be swapped, too.
    const swapped = play(resolveKeystored, {
      routes: {},
      refuse: { [KEYSTORED]: -1 },
      peers: { [KEYSTORED + 1]: () => null },
    });
    expect(swapped.sent(KEYSTORED + 1).length).toBeGreaterThan(0);
  });

  it('a route with a slot 0 or a status is none', () => {
    for (const routes of [{ keystored: [0, 0x12] as const }, { keystored: [0x11, 0] as const }]) {
      const played = play(resolveKeystored, { ...keystored([null, ...GOOD]), routes });
      expect(played.sent(CONTROL).length).toBeGreaterThanOrEqual(2);
    }
  });
});

describe('S07', () => {
  const GOOD: readonly Answers[] = [rsp(10, 0), rsp(11, 0, KEY), rsp(13, 12)];
  const MARKER = 'SELFTEST: device key private export rejected';

  it('generates, reads the public half, is refused the private one, and keeps the key', () => {
    for (const made of [0, 10]) {
      const played = play(deviceKey, keystored([rsp(10, made), ...GOOD.slice(1)]));
      expect(played.lines).toEqual(['SELFTEST: device key pubkey ok', `${MARKER} ok`]);
      expect([...played.state.deviceKey!]).toEqual(KEY);
      expect(frames(played)).toEqual([10, 11, 13].map((op) => [0x4b, 0x53, 1, op]));
    }
  });

  const pubkey = (why: string): string[] => [`SELFTEST: device key pubkey FAIL (${why})`];
  it.each<[string, Stage, string[]]>([
    ['no route', { routes: {} }, pubkey('no route')],
    ['keygen send', { refuse: { [KEYSTORED]: -1 } }, pubkey('keygen send')],
    ['keygen recv', {}, pubkey('keygen recv')],
    ['keygen malformed', keystored([rsp(10, 0).slice(0, 6)]), pubkey('keygen malformed')],
    ['keygen magic', keystored([[0x4b, 0x54, 1, 0x8a, 0, 0, 0]]), pubkey('keygen malformed')],
    ['keygen status', keystored([rsp(10, 5)]), pubkey(`keygen status=${h(5)}`)],
    ['keygen key not found', keystored([rsp(10, 11)]), pubkey(`keygen status=${h(11)}`)],
    ['pubkey recv', keystored([rsp(10, 0)]), pubkey('pubkey recv')],
    ['pubkey malformed', keystored([rsp(10, 0), chars('short')]), pubkey('pubkey malformed')],
    ['pubkey status', keystored([rsp(10, 0), rsp(11, 11)]), pubkey(`pubkey status=${h(11)}`)],
    ['pubkey length', keystored([rsp(10, 0), rsp(11, 0, KEY.slice(1))]), pubkey(`pubkey len=${h(31)}`)],
    ['pubkey cut', keystored([rsp(10, 0), rsp(11, 0, KEY).slice(0, 38)]), pubkey(`pubkey len=${h(32)}`)],
  ])('%s: its line, and nothing about the private half', (_what, stage, lines) => {
    const played = play(deviceKey, stage);
    expect([played.lines, played.result]).toEqual([lines, true]);
    expect(played.state.deviceKey).toBeNull();
  });

  it.each<[string, Answers, string[]]>([
    ['recv', null, [`${MARKER} FAIL (recv)`]],
    ['malformed', [0x4b], [`${MARKER} FAIL (malformed)`]],
    ['status', rsp(13, 0, KEY), [`SELFTEST: device key private export status=${h(0)}`, `${MARKER} FAIL`]],
  ])('private half, %s', (_what, answer, lines) => {
    expect(play(deviceKey, keystored([...GOOD.slice(0, 2), answer])).lines).toEqual([
      'SELFTEST: device key pubkey ok',
      ...lines,
    ]);
  });
});

describe('S11', () => {
  const before: Stage['before'] = (state) => {
    state.deviceKey = Uint8Array.from(KEY);
  };
  const FAIL = 'SELFTEST: device key persist FAIL';

  it('reloads and compares', () => {
    const played = play(reloadDeviceKey, { ...keystored([rsp(14, 0), rsp(11, 0, KEY)]), before });
    expect(played.lines).toEqual(['SELFTEST: reload ok', 'SELFTEST: device key persist ok']);
    expect(frames(played)).toEqual([14, 11].map((op) => [0x4b, 0x53, 1, op]));
  });

  it('without a key of S07 nothing is asked', () => {
    const played = play(reloadDeviceKey, keystored([rsp(14, 0), rsp(11, 0, KEY)]));
    expect(played.lines).toEqual([FAIL]);
    expect(frames(played)).toEqual([]);
  });

  it.each<[string, Stage, string[]]>([
    ['send fail', { refuse: { [KEYSTORED]: -1 } }, ['SELFTEST: reload send fail']],
    ['recv fail', {}, ['SELFTEST: reload recv fail']],
    ['rsp malformed', keystored([[0x4b, 0x53, 2, 0x8e, 0, 0, 0]]), ['SELFTEST: reload rsp malformed']],
    ['rsp status', keystored([rsp(14, 4)]), [`SELFTEST: reload rsp status=${h(4)}`]],
    ['pubkey recv', keystored([rsp(14, 0)]), ['SELFTEST: reload ok', 'SELFTEST: reload pubkey recv fail']],
    [
      'pubkey malformed',
      keystored([rsp(14, 0), [1]]),
      ['SELFTEST: reload ok', 'SELFTEST: reload pubkey rsp malformed'],
    ],
    [
      'pubkey status',
      keystored([rsp(14, 0), rsp(11, 5)]),
      ['SELFTEST: reload ok', `SELFTEST: reload pubkey status=${h(5)}`],
    ],
    [
      'pubkey length',
      keystored([rsp(14, 0), rsp(11, 0, KEY.slice(1))]),
      ['SELFTEST: reload ok', 'SELFTEST: reload pubkey len mismatch'],
    ],
    [
      'another key',
      keystored([rsp(14, 0), rsp(11, 0, [0, ...KEY.slice(1)])]),
      ['SELFTEST: reload ok', 'SELFTEST: reload pubkey mismatch'],
    ],
  ])('%s', (_what, stage, lines) => {
    expect(play(reloadDeviceKey, { ...stage, before }).lines).toEqual([...lines, FAIL]);
  });

  it('COR-4: each answer has one second', () => {
    const played = play(reloadDeviceKey, { ...keystored([rsp(14, 0)]), before });
    expect(played.driver.now).toBeGreaterThanOrEqual(1000 * MS);
    expect(played.driver.now).toBeLessThan(1001 * MS);
  });
});

describe('S14', () => {
  const BEGIN = 'SELFTEST: keystored capmove begin';
  const FAIL = 'SELFTEST: keystored capmove FAIL';

  it('asks for an absent key; the answer comes on the inbox, whatever else does', () => {
    const others = [rsp(2, 0), rsp(3, 1), [0x4b, 0x53, 1, 0x82, 1, 0]];
    const played = play(keystoredCapMove, keystored([[...others, rsp(2, 1)]]));
    expect(played.lines).toEqual([BEGIN, 'SELFTEST: keystored capmove ok']);
    expect(frames(played)).toEqual([[0x4b, 0x53, 1, 2, 12, 0, 0, ...chars('capmove.miss')]]);
    expect(played.driver.sent.at(-1)!.moved).toBeGreaterThanOrEqual(0);
  });

  it.each<[string, Stage]>([
    ['clone fail', { missing: [0x18] }],
    ['send fail', { refuse: { [KEYSTORED]: -110 } }],
    ['no-reply', keystored([rsp(2, 0)])],
  ])('%s', (what, stage) => {
    expect(play(keystoredCapMove, stage).lines).toEqual([BEGIN, `SELFTEST: keystored capmove ${what}`, FAIL]);
  });

  it('COR-4: waits one second for the answer', () => {
    const { now } = play(keystoredCapMove).driver;
    expect(now).toBeGreaterThanOrEqual(1000 * MS);
    expect(now).toBeLessThan(1010 * MS);
  });
});

describe('S32', () => {
  it('needs a denial of exactly seven bytes', () => {
    const played = play(signDenied, keystored([rsp(5, 5)]));
    expect(played.lines).toEqual(['SELFTEST: keystored sign denied ok']);
    expect(frames(played)).toEqual([[0x4b, 0x53, 1, 5, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]);
    for (const answer of [rsp(5, 4), rsp(5, 0, KEY), rsp(5, 5, [0]), rsp(12, 5), null])
      expect(play(signDenied, keystored([answer])).lines).toEqual(['SELFTEST: keystored sign denied FAIL']);
  });
});
