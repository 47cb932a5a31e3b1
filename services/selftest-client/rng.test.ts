/** S05 and S06 against a scripted rngd: frames, the order of checks, each failure line (sheet 80, section 6.4). */
import { describe, expect, it } from 'vitest';
import { h, play } from './fixtures/steps.ts';
import type { Answers, Stage } from './fixtures/steps.ts';
import { entropy, entropyOversized } from './rng.ts';

const RNGD = 0x1d;
const BYTES = Array.from({ length: 32 }, (_, i) => 0xff - i);

type Answer = (nonce: readonly number[]) => Answers;
const rngd = (answer: Answer): Stage => ({ peers: { [RNGD]: (frame) => answer([...frame.subarray(4, 8)]) } });
const rsp =
  (status: number, bytes: readonly number[] = [], op = 0x81): Answer =>
  (nonce) => [0x52, 0x47, 1, op, status, ...nonce, ...bytes];
const otherNonce = (status: number): number[] => [0x52, 0x47, 1, 0x81, status, 0, 0, 0, 0, ...BYTES];

describe('S05', () => {
  const SEND = 'SELFTEST: rng entropy send';

  it('asks for 32 bytes and never prints them', () => {
    const played = play(entropy, rngd(rsp(0, BYTES)));
    expect(played.lines).toEqual([SEND, 'SELFTEST: rng entropy ok']);
    expect([...played.sent(RNGD)[0]!.subarray(0, 4)]).toEqual([0x52, 0x47, 1, 1]);
    expect([...played.sent(RNGD)[0]!.subarray(8)]).toEqual([32, 0]);
    // low32(nsec) xor 0xa5a55a5a
    const nonce = new DataView(played.sent(RNGD)[0]!.buffer).getUint32(4, true);
    expect((nonce ^ 0xa5a5_5a5a) >>> 0).toBeLessThan(100_000);
  });

  it('short frames, another magic and another nonce are skipped', () => {
    const noisy: Answer = (nonce) => [
      [0x52, 0x47, 1, 0x82, 0],
      [0x53, 0x47, 1, 0x82, 0, ...nonce],
      otherNonce(0),
      [0x52, 0x47, 1, 0x81, 0, ...nonce, ...BYTES],
    ];
    expect(play(entropy, rngd(noisy)).lines).toEqual([SEND, 'SELFTEST: rng entropy ok']);
  });

  it.each<[string, Stage, string]>([
    ['send', { refuse: { [RNGD]: -1 } }, '(send)'],
    ['recv', {}, '(recv)'],
    ['wrong op', rngd(rsp(0, BYTES, 0x82)), '(wrong op)'],
    ['status', rngd(rsp(2)), `(status=${h(2)})`],
    // The status is looked at before the nonce.
    ['status of another nonce', rngd(() => otherNonce(3)), `(status=${h(3)})`],
    ['short', rngd(rsp(0, BYTES.slice(1))), `(len=${h(40)})`],
    ['long', rngd(rsp(0, [...BYTES, 0])), `(len=${h(42)})`],
  ])('%s', (_what, stage, why) => {
    expect(play(entropy, stage).lines).toEqual([SEND, `SELFTEST: rng entropy FAIL ${why}`]);
  });

  it('a receive error counts as an empty poll', () => {
    const stage = { ...rngd(rsp(0, BYTES)), receiveErrors: { [RNGD + 1]: [-1, -22] } };
    expect(play(entropy, stage).lines).toEqual([SEND, 'SELFTEST: rng entropy ok']);
  });
});

describe('S06', () => {
  it('asks for one byte too many', () => {
    const played = play(entropyOversized, rngd(rsp(1)));
    expect(played.lines).toEqual(['SELFTEST: rng entropy oversized ok']);
    expect([...played.sent(RNGD)[0]!.subarray(8)]).toEqual([1, 1]);
    const nonce = new DataView(played.sent(RNGD)[0]!.buffer).getUint32(4, true);
    expect((nonce ^ 0x5a5a_a5a5) >>> 0).toBeLessThan(100_000);
  });

  it.each<[string, Stage, string]>([
    ['send', { refuse: { [RNGD]: -1 } }, '(send)'],
    // The nonce is looked at before the status.
    ['recv', rngd(() => otherNonce(1)), '(recv)'],
    ['wrong op', rngd(rsp(1, [], 0x80)), '(wrong op)'],
    ['status', rngd(rsp(0, BYTES)), `(status=${h(0)})`],
  ])('%s', (_what, stage, why) => {
    expect(play(entropyOversized, stage).lines).toEqual([`SELFTEST: rng entropy oversized FAIL ${why}`]);
  });
});
