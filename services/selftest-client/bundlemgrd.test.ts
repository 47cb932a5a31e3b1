/** S19 and S23 against a scripted bundlemgrd: frames, retries, each failure line and fatal point (sheet 80, section 6.10). */
import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { systemImage } from '../bundlemgrd/image.ts';
import { bundlemgrd, routeExecdDenied, routingBundlemgrd } from './bundlemgrd.ts';
import { chars, h, play, u64 } from './fixtures/steps.ts';
import type { Answers, Stage } from './fixtures/steps.ts';

const BUNDLEMGRD = 9;
const rsp = (op: number, status: number, value = 0): number[] => [
  0x42,
  0x4e,
  1,
  op | 0x80,
  status,
  ...u64(value, 2),
  0,
];
const image = (bytes: Uint8Array, status = 0, len = bytes.length): number[] => [
  0x42,
  0x4e,
  1,
  0x83,
  status,
  ...u64(len, 4),
  ...bytes,
];
const SYSTEM = systemImage('a');

interface Bundles {
  readonly list?: Answers;
  readonly image?: Answers;
  readonly malformed?: Answers;
}
function peers(changes: Bundles = {}): NonNullable<Stage['peers']> {
  const { list = rsp(1, 0, 1), malformed = rsp(1, 1) } = changes;
  const fetched = changes.image === undefined ? image(SYSTEM) : changes.image;
  return {
    [BUNDLEMGRD]: (frame) => (frame[0] === 0x62 ? malformed : frame[3] === 1 ? list : fetched),
  };
}

const LIST = ['list send', 'list sent', 'list recv', 'list recv ok'].map((what) => `SELFTEST: bundlemgrd ${what}`);
const verdicts = (list: string, fetched: string, malformed: string): string[] => [
  `SELFTEST: bundlemgrd v1 list ${list}`,
  `SELFTEST: bundlemgrd v1 image ${fetched}`,
  `SELFTEST: bundlemgrd v1 malformed ${malformed}`,
];

describe('S17', () => {
  const SLOTS = `SELFTEST: bundlemgrd slots ${h(9)} ${h(0xa)}`;
  it('quirk routing-unchecked, contract: init must name the slots', () => {
    expect(play(routingBundlemgrd).lines).toEqual([SLOTS, 'SELFTEST: ipc routing bundlemgrd ok']);
    expect(play(routingBundlemgrd, { routes: {} }).lines).toEqual([SLOTS, 'SELFTEST: ipc routing bundlemgrd FAIL']);
  });

  it('quirk routing-unchecked, reference: it is not asked', () => {
    const { lines } = play(routingBundlemgrd, { routes: {}, options: { routingUnchecked: true } });
    expect(lines).toEqual([SLOTS, 'SELFTEST: ipc routing bundlemgrd ok']);
  });
});

describe('S19', () => {
  it('lists, fetches, is refused', () => {
    const played = play(bundlemgrd, { peers: peers() });
    expect(played.lines).toEqual([...LIST, ...verdicts('ok', 'ok', 'ok')]);
    expect(played.sent(BUNDLEMGRD).map((frame) => [...frame])).toEqual([
      [0x42, 0x4e, 1, 1],
      [0x42, 0x4e, 1, 3],
      chars('bad'),
    ]);
  });

  it.each<[string, Bundles, string[]]>([
    ['another count', { list: rsp(1, 0, 2) }, verdicts('FAIL', 'ok', 'ok')],
    ['no bundle', { list: rsp(1, 0, 0) }, verdicts('FAIL', 'ok', 'ok')],
    ['a list refused', { list: rsp(1, 1, 1) }, verdicts('FAIL', 'ok', 'ok')],
    ['no image', { image: null }, verdicts('ok', 'FAIL', 'ok')],
    ['an image refused', { image: image(SYSTEM, 1) }, verdicts('ok', 'FAIL', 'ok')],
    ['another length', { image: image(SYSTEM, 0, 74) }, verdicts('ok', 'FAIL', 'ok')],
    ['another magic', { image: image(SYSTEM.map((b, i) => (i === 0 ? 0 : b))) }, verdicts('ok', 'FAIL', 'ok')],
    ['another version', { image: image(SYSTEM.map((b, i) => (i === 4 ? 2 : b))) }, verdicts('ok', 'FAIL', 'ok')],
    ['no entries', { image: image(Uint8Array.of(0x4e, 0x58, 0x42, 0x49, 1, 0, 0)) }, verdicts('ok', 'FAIL', 'ok')],
    ['a cut entry', { image: image(SYSTEM.subarray(0, 60)) }, verdicts('ok', 'FAIL', 'ok')],
    ['nonsense accepted', { malformed: rsp(1, 0) }, verdicts('ok', 'ok', 'FAIL')],
    ['nonsense answered short', { malformed: rsp(1, 1).slice(0, 7) }, verdicts('ok', 'ok', 'FAIL')],
    ['nonsense answered by another', { malformed: chars('XN345678') }, verdicts('ok', 'ok', 'FAIL')],
  ])('%s', (_what, changes, lines) => {
    const played = play(bundlemgrd, { peers: peers(changes) });
    expect([played.lines, played.result]).toEqual([[...LIST, ...lines], true]);
  });

  it('other frames are skipped; 512 receives without the answer are fatal', () => {
    const noisy = [rsp(2, 0), rsp(1, 0, 1).slice(0, 7), rsp(1, 0, 1)];
    expect(play(bundlemgrd, { peers: peers({ list: noisy }) }).lines.slice(4)).toEqual(verdicts('ok', 'ok', 'ok'));
    const silent = play(bundlemgrd, { peers: peers({ list: null }) });
    expect([silent.lines, silent.result]).toEqual([LIST.slice(0, 3), false]);
    expect(silent.driver.yields).toBe(512);
    expect(silent.driver.now).toBeGreaterThan(512 * 10_000_000);
  });

  it.each([
    [Errno.EAGAIN, 'wouldblock'],
    [Errno.ETIMEDOUT, 'timeout'],
    [Errno.ENOSPC, 'nospace'],
    [Errno.EPERM, 'kernel:denied'],
    [Errno.ESRCH, 'kernel:nosuch'],
    [Errno.EINVAL, 'unsupported'],
    [Errno.ENOMEM, 'other'],
  ])('256 sends that fail with %i: told once, then fatal', (errno, what) => {
    const played = play(bundlemgrd, { refuse: { [BUNDLEMGRD]: -errno } });
    expect([played.lines, played.result]).toEqual([
      [LIST[0], `SELFTEST: bundlemgrd list send err ${what}`, 'SELFTEST: bundlemgrd list send fail'],
      false,
    ]);
    expect(played.driver.yields).toBe(256);
  });

  it.each([
    [Errno.ENOSPC, 'nospace'],
    [Errno.EINVAL, 'unsupported'],
    [Errno.EPERM, 'kernel'],
    [Errno.ENOMEM, 'other'],
  ])('a receive that fails with %i is fatal', (errno, what) => {
    const played = play(bundlemgrd, { peers: peers(), receiveErrors: { [BUNDLEMGRD + 1]: [-errno] } });
    expect([played.lines, played.result]).toEqual([
      [...LIST.slice(0, 3), `SELFTEST: bundlemgrd list recv err ${what}`],
      false,
    ]);
  });

  it('no answer to nonsense is fatal', () => {
    const played = play(bundlemgrd, { peers: peers({ malformed: null }) });
    expect([played.lines, played.result]).toEqual([[...LIST, ...verdicts('ok', 'ok', '').slice(0, 2)], false]);
  });
});

describe('S23', () => {
  const MARKER = 'SELFTEST: bundlemgrd route execd denied';
  const answered = (...answers: number[][]): Stage => ({ peers: { [BUNDLEMGRD]: () => answers } });

  it('OBS-19: the route to execd must be denied', () => {
    const played = play(routeExecdDenied, answered(rsp(1, 0, 1), rsp(2, 0, 3)));
    expect(played.lines).toEqual([`${MARKER} ok`]);
    expect([...played.sent(BUNDLEMGRD)[0]!]).toEqual([0x42, 0x4e, 1, 2, 5, ...chars('execd')]);
  });

  it.each([
    [0, 0],
    [0, 1],
    [0, 2],
    [1, 3],
  ])('status %i, route %i: both are told', (status, route) => {
    expect(play(routeExecdDenied, answered(rsp(2, status, route))).lines).toEqual([
      `${MARKER} st=0x${h(status)} route=0x${h(route)}`,
      `${MARKER} FAIL`,
    ]);
  });

  it('no answer in two seconds is fatal, without a line', () => {
    const played = play(routeExecdDenied);
    expect([played.lines, played.result]).toEqual([[], false]);
    expect(played.driver.now).toBeGreaterThanOrEqual(2_000_000_000);
  });
});
