/** S08 to S10 against a scripted statefsd: frames with their nonces, each diagnostic and failure line (sheet 80, section 6.6). */
import { describe, expect, it } from 'vitest';
import { chars, h, play, u64 } from './fixtures/steps.ts';
import type { Answers, Played, Stage } from './fixtures/steps.ts';
import { statefsPersist, statefsPut, statefsUnauthorized } from './statefs.ts';

const STATEFSD = 0x13;
const PING = '/state/selftest/ping';
const PERSIST = '/state/selftest/persist';

type Answer = (nonce: readonly number[]) => Answers;
const status =
  (op: number, code: number): Answer =>
  (nonce) => [0x53, 0x46, 2, op | 0x80, code, ...nonce];
const got =
  (code: number, value: string): Answer =>
  (nonce) => [0x53, 0x46, 2, 0x82, code, ...nonce, ...u64(value.length, 4), ...chars(value)];
const listed =
  (keys: readonly string[], code = 0): Answer =>
  (nonce) => [
    0x53,
    0x46,
    2,
    0x84,
    code,
    ...nonce,
    ...u64(keys.length, 2),
    ...keys.flatMap((key) => [...u64(key.length, 2), ...chars(key)]),
  ];
const silent: Answer = () => null;

const statefsd = (answers: readonly Answer[]): Stage => ({
  peers: { [STATEFSD]: (frame, nth) => (answers[nth] ?? silent)([...frame.subarray(4, 12)]) },
});
const frames = (played: Played): number[][] => played.sent(STATEFSD).map((frame) => [...frame]);

describe('S08', () => {
  const GOOD = [status(1, 0), got(0, 'ok'), listed([PERSIST, PING])];

  it('puts, gets and lists', () => {
    const played = play(statefsPut, statefsd(GOOD));
    expect(played.lines).toEqual(['SELFTEST: statefs put ok']);
    expect(frames(played)).toEqual([
      [0x53, 0x46, 2, 1, ...u64(1), 20, 0, 2, 0, 0, 0, ...chars(`${PING}ok`)],
      [0x53, 0x46, 2, 2, ...u64(2), 20, 0, ...chars(PING)],
      [0x53, 0x46, 2, 4, ...u64(3), 16, 0, 16, 0, ...chars('/state/selftest/')],
    ]);
  });

  it('frames that are short, foreign or late are skipped', () => {
    const noisy: Answer = (nonce) => [
      [0x53, 0x46, 2, 0x81, 0],
      [0x53, 0x46, 1, 0x81, 0, ...nonce],
      [0x53, 0x46, 2, 0x81, 7, ...u64(99)],
      [0x53, 0x46, 2, 0x81, 0, ...nonce],
    ];
    expect(play(statefsPut, statefsd([noisy, ...GOOD.slice(1)])).lines).toEqual(['SELFTEST: statefs put ok']);
  });

  it.each<[string, readonly Answer[], readonly string[]]>([
    ['put refused', [status(1, 2)], []],
    ['put answered as something else', [status(3, 0)], []],
    [
      'get not found',
      [status(1, 0), got(1, '')],
      [`SELFTEST: statefs persist get err=${h(1)} rsp_len=${h(17)} b0=${h(0x53)} b3=${h(0x82)})`],
    ],
    ['another value', [status(1, 0), got(0, 'no')], []],
    ['a longer value', [status(1, 0), got(0, 'okk')], []],
    ['not in the list', [status(1, 0), got(0, 'ok'), listed([PERSIST])], []],
    ['list refused', [status(1, 0), got(0, 'ok'), listed([PING], 2)], []],
    ['no answer', [], ['SELFTEST: statefs recv timeout']],
    ['no answer to the get', [status(1, 0)], ['SELFTEST: statefs recv timeout']],
  ])('%s', (_what, answers, before) => {
    const played = play(statefsPut, statefsd(answers));
    expect([played.lines, played.result]).toEqual([[...before, 'SELFTEST: statefs put FAIL'], true]);
  });

  it.each([
    [-11, 'would-block'],
    [-110, 'timeout'],
    [-28, 'no-space'],
    [-1, 'kernel-error'],
    [-3, 'kernel-error'],
  ])('a send that fails with %i', (errno, what) => {
    expect(play(statefsPut, { refuse: { [STATEFSD]: errno } }).lines).toEqual([
      `SELFTEST: statefs send ${what}`,
      'SELFTEST: statefs send FAIL',
      'SELFTEST: statefs put FAIL',
    ]);
  });

  it('COR-4: an answer has two seconds', () => {
    const { now } = play(statefsPut).driver;
    expect(now).toBeGreaterThanOrEqual(2_000_000_000);
    expect(now).toBeLessThan(2_001_000_000);
  });
});

describe('S09', () => {
  const MARKER = 'SELFTEST: statefs unauthorized access rejected';

  it('asks for a key of the keystore and must be denied', () => {
    const played = play(statefsUnauthorized, statefsd([got(2, '')]));
    expect(played.lines).toEqual([MARKER]);
    expect(frames(played)).toEqual([[0x53, 0x46, 2, 2, ...u64(1), 20, 0, ...chars('/state/keystore/deny')]]);
  });

  it.each<[string, Answer, readonly string[]]>([
    ['a value', got(0, 'x'), [`SELFTEST: statefs unauthorized status=${h(0)})`]],
    ['not found', got(1, ''), [`SELFTEST: statefs unauthorized status=${h(1)})`]],
    ['another shape', status(2, 2), [`SELFTEST: statefs unauthorized rsp_len=${h(13)})`]],
    ['silence', silent, ['SELFTEST: statefs recv timeout']],
  ])('%s', (_what, answer, before) => {
    expect(play(statefsUnauthorized, statefsd([answer])).lines).toEqual([...before, `${MARKER} FAIL`]);
  });
});

describe('S10', () => {
  const BEGIN = 'SELFTEST: statefs persist begin';
  const step = (what: string): string => `SELFTEST: statefs persist ${what}`;
  const GOOD = [status(1, 0), status(5, 0), status(6, 0), got(0, 'persist-ok')];

  it('puts, syncs, reopens and gets', () => {
    const played = play(statefsPersist, statefsd(GOOD));
    expect(played.lines).toEqual([BEGIN, step('put ok'), step('sync ok'), step('reopen ok'), step('ok')]);
    expect(frames(played)).toEqual([
      [0x53, 0x46, 2, 1, ...u64(1), 23, 0, 10, 0, 0, 0, ...chars(`${PERSIST}persist-ok`)],
      [0x53, 0x46, 2, 5, ...u64(2)],
      [0x53, 0x46, 2, 6, ...u64(3)],
      [0x53, 0x46, 2, 2, ...u64(4), 23, 0, ...chars(PERSIST)],
    ]);
  });

  it.each([
    ['put', 0, 1],
    ['sync', 1, 5],
    ['reopen', 2, 6],
  ])('%s: refused, answered as something else, not answered', (what, at, op) => {
    const done = ['put', 'sync', 'reopen'].slice(0, at).map((one) => step(`${one} ok`));
    const lines = (answer: Answer): readonly string[] => {
      const played = play(statefsPersist, statefsd([...GOOD.slice(0, at), answer]));
      expect(played.lines.slice(0, 1 + at)).toEqual([BEGIN, ...done]);
      expect(played.lines.at(-1)).toBe(step('FAIL'));
      return played.lines.slice(1 + at, -1);
    };
    expect(lines(status(op, 7))).toEqual([step(`${what} status=${h(7)})`)]);
    const other = got(0, 'x');
    expect(lines(other)).toEqual([step(`${what} rsp_len=${h(18)} b0=${h(0x53)} b3=${h(0x82)})`)]);
    expect(lines(silent)).toEqual(['SELFTEST: statefs recv timeout']);
  });

  it.each<[string, Answer]>([
    ['another value', got(0, 'persist-no')],
    ['a denial', got(2, '')],
    ['another shape', status(2, 0)],
  ])('get: %s', (_what, answer) => {
    const { lines } = play(statefsPersist, statefsd([...GOOD.slice(0, 3), answer]));
    expect(lines.slice(-2)).toEqual([step('get mismatch'), step('FAIL')]);
  });
});
