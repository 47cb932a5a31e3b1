/** S17 and S24 to S26, S33, S34 against a scripted policyd: frames, verdicts, failure lines (sheet 80, section 5). */
import { describe, expect, it } from 'vitest';
import { chars, play, u64 } from './fixtures/steps.ts';
import type { Answers, Stage } from './fixtures/steps.ts';
import { mmioPolicyDeny, policyAllow, policyDeny, policyMalformed, requesterSpoof, routingPolicyd } from './policy.ts';
import type { Step } from './state.ts';

const POLICYD = 7;
const SELFTEST_ID = 0x52c6_c4a3_4ffb_3f69n;
const NETSTACKD_ID = 0xb64b_904a_0313_921cn;

const with_ = (answer: Answers, stage: Stage = {}): Stage => ({ ...stage, peers: { [POLICYD]: () => answer } });
const lines = (step: Step, answer: Answers, stage: Stage = {}) => play(step, with_(answer, stage)).lines;

describe('S17', () => {
  it('quirk routing-unchecked, contract: the slots in use must be the ones init names', () => {
    expect(play(routingPolicyd).lines).toEqual(['SELFTEST: ipc routing policyd ok']);
    for (const routes of [{}, { policyd: [7, 9] as const }, { policyd: [6, 8] as const }])
      expect(play(routingPolicyd, { routes }).lines).toEqual(['SELFTEST: ipc routing policyd FAIL']);
  });

  it('quirk routing-unchecked, reference: nobody is asked', () => {
    const played = play(routingPolicyd, { routes: {}, options: { routingUnchecked: true } });
    expect(played.lines).toEqual(['SELFTEST: ipc routing policyd ok']);
    expect(played.driver.sent).toEqual([]);
  });
});

describe('S24', () => {
  it('asks about its own name', () => {
    const played = play(policyAllow, with_([0x50, 0x4f, 1, 0x81, 0, 0]));
    expect(played.lines).toEqual(['SELFTEST: policy allow ok']);
    expect([...played.sent(POLICYD)[0]!]).toEqual([0x50, 0x4f, 1, 1, 15, ...chars('selftest-client')]);
  });

  it('other frames are skipped; a denial, nonsense and silence fail', () => {
    const others = [
      [0x50, 0x4f, 1, 0x84, 0, 0],
      [0x50, 0x4f, 1, 0x81, 0],
      [0x50, 0x4f, 2, 0x81, 0, 0],
    ];
    expect(lines(policyAllow, [...others, [0x50, 0x4f, 1, 0x81, 0, 0]])).toEqual(['SELFTEST: policy allow ok']);
    for (const answer of [[0x50, 0x4f, 1, 0x81, 1, 0], [0x50, 0x4f, 1, 0x81, 2, 0], others, null])
      expect(lines(policyAllow, answer)).toEqual(['SELFTEST: policy allow FAIL']);
  });
});

describe('S25 and S26', () => {
  const steps = [
    [policyDeny, 'policy deny'],
    [mmioPolicyDeny, 'mmio policy deny'],
  ] as const;

  it.each(steps)('%# quirk cap-check-reply, contract: only a DENY in six bytes passes (%s)', (step, marker) => {
    expect(lines(step, [0x50, 0x4f, 1, 0x84, 1, 0])).toEqual([`SELFTEST: ${marker} ok`]);
    for (const answer of [
      [0x50, 0x4f, 1, 0x84, 0, 0],
      [0x50, 0x4f, 1, 0x84, 2, 0],
      [0x50, 0x4f, 1, 0x84, 3, 0],
      [0x50, 0x4f, 1, 0x84, 1],
      [0x50, 0x4f, 1, 0x84, 1, 0, 0],
      [0x50, 0x4f, 1, 0x81, 1, 0],
      [0x50, 0x4f, 2, 0x84, 1, 0],
      [0x51, 0x4f, 1, 0x84, 1, 0],
      null,
    ])
      expect(lines(step, answer)).toEqual([`SELFTEST: ${marker} FAIL`]);
    expect(play(step, { refuse: { [POLICYD]: -1 } }).lines).toEqual([`SELFTEST: ${marker} FAIL`]);
  });

  it.each(steps)(
    '%# quirk cap-check-reply, reference: whatever policyd says, the error passes (%s)',
    (step, marker) => {
      const options = { capCheckFiveBytes: true };
      for (const answer of [[0x50, 0x4f, 1, 0x84, 0, 0], [0x50, 0x4f, 1, 0x84, 1, 0], [0x50, 0x4f, 1, 0x84, 1], null])
        expect(lines(step, answer, { options })).toEqual([`SELFTEST: ${marker} ok`]);
      // The one answer that no policyd gives.
      expect(lines(step, [0x50, 0x4f, 1, 0x84, 0], { options })).toEqual([`SELFTEST: ${marker} FAIL`]);
    },
  );

  it('S25 asks for crypto.sign in its own name', () => {
    expect([...play(policyDeny).sent(POLICYD)[0]!]).toEqual([
      0x50,
      0x4f,
      1,
      4,
      ...u64(SELFTEST_ID),
      11,
      ...chars('crypto.sign'),
    ]);
  });

  const s26 = (subject: bigint): number[] => [0x50, 0x4f, 1, 4, ...u64(subject), 15, ...chars('device.mmio.blk')];

  it('quirk cap-check-subject, contract: S26 asks about itself', () => {
    expect([...play(mmioPolicyDeny).sent(POLICYD)[0]!]).toEqual(s26(SELFTEST_ID));
  });

  it('quirk cap-check-subject, reference: S26 names netstackd', () => {
    const played = play(mmioPolicyDeny, { options: { capCheckOtherSubject: true } });
    expect([...played.sent(POLICYD)[0]!]).toEqual(s26(NETSTACKD_ID));
  });

  it('COR-4: 100 ms each for question and answer', () => {
    const late = play(policyDeny);
    expect(late.driver.now).toBeGreaterThanOrEqual(100_000_000);
    expect(late.driver.now).toBeLessThan(101_000_000);
  });
});

describe('S33', () => {
  const nonce = [0xd4, 0xc3, 0xb2, 0xa1];
  const denied = [0x50, 0x4f, 3, 0x82, ...nonce, 1, 0];

  it('OBS-1: claims to be demo.testsvc and must be denied', () => {
    const played = play(requesterSpoof, with_(denied));
    expect(played.lines).toEqual(['SELFTEST: policyd requester spoof denied ok']);
    const want = [0x50, 0x4f, 3, 2, ...nonce, ...u64(0xd5dd_fde8_5dbf_9fa6n), ...u64(0x75f6_4afe_c44c_d4d7n)];
    expect([...played.sent(POLICYD)[0]!]).toEqual(want);
    expect(lines(requesterSpoof, [0x50, 0x4f, 2, 0x82, ...nonce, 1, 0])).toEqual([
      'SELFTEST: policyd requester spoof denied ok',
    ]);
  });

  it('an allow, another nonce, version, length or a request is no denial', () => {
    const altered = (at: number, value: number): number[] => denied.map((byte, i) => (i === at ? value : byte));
    for (const answer of [
      altered(8, 0),
      altered(8, 2),
      altered(4, 0),
      altered(7, 0),
      altered(2, 1),
      altered(2, 4),
      altered(3, 2),
      altered(0, 0),
      altered(1, 0),
      denied.slice(0, 9),
      [...denied, 0],
      null,
    ])
      expect(lines(requesterSpoof, answer)).toEqual(['SELFTEST: policyd requester spoof denied FAIL']);
  });
});

describe('S34', () => {
  it('three bytes must be MALFORMED', () => {
    const played = play(policyMalformed, with_([0x50, 0x4f, 1, 0x81, 2, 0]));
    expect(played.lines).toEqual(['SELFTEST: policy malformed ok']);
    expect([...played.sent(POLICYD)[0]!]).toEqual(chars('bad'));
    for (const answer of [
      [0x50, 0x4f, 1, 0x81, 3, 0],
      [0x50, 0x4f, 1, 0x81, 2],
      [0x50, 0x4f, 2, 0x81, 2, 0],
    ])
      expect(lines(policyMalformed, answer)).toEqual(['SELFTEST: policy malformed FAIL']);
  });

  it('silence and a send that fails are fatal, without a line', () => {
    for (const stage of [{}, { refuse: { [POLICYD]: -1 } }]) {
      const played = play(policyMalformed, stage);
      expect([played.lines, played.result]).toEqual([[], false]);
    }
  });
});
