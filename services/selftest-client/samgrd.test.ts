/** S16 and S53 to S56 against a scripted samgrd: frames, retries, each failure line (sheet 80, sections 5, 6.7 and 6.20). */
import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { chars, h, play, u64 } from './fixtures/steps.ts';
import type { Answers, Played, Stage } from './fixtures/steps.ts';
import { capMoveReply, samgrd, senderId, senderPid, soak } from './samgrd.ts';

const SAMGRD = 0xd;
const rsp = (op: number, status: number, send = 0, recv = 0): number[] => [
  0x53,
  0x4d,
  1,
  op | 0x80,
  status,
  ...u64(send, 4),
  ...u64(recv, 4),
];
const frames = (played: Played): number[][] => played.sent(SAMGRD).map((frame) => [...frame]);

/** A samgrd that does what it should, but for what is replaced. */
interface Samgrd {
  readonly register?: Answers;
  readonly lookup?: Answers;
  readonly unknown?: Answers;
  readonly malformed?: Answers;
}

function peers(changes: Samgrd = {}): NonNullable<Stage['peers']> {
  const { register = rsp(1, 0), lookup = rsp(2, 0, 3, 4), unknown = rsp(2, 1), malformed = rsp(2, 2) } = changes;
  return {
    [SAMGRD]: (frame) => {
      if (frame[0] === 0x62) return malformed;
      if (frame[3] === 1) return register;
      return frame.length === 9 ? lookup : unknown;
    },
  };
}

const HEAD = [
  `SELFTEST: samgrd slots ${h(0xd)} ${h(0xe)}`,
  'SELFTEST: ipc routing samgrd ok',
  `SELFTEST: routing vfsd st=0x${h(0)} send=0x${h(3)} recv=0x${h(4)}`,
];
const REGISTERED = [
  'SELFTEST: samgrd register send',
  `SELFTEST: samgrd register rsp len ${h(13)} head=${h(0x8101_4d53)}`,
  'SELFTEST: samgrd v1 register ok',
];
const FOUND = [
  `SELFTEST: samgrd lookup rsp len ${h(13)} head=${h(0x0000_0300_8201_4d53n)}`,
  'SELFTEST: samgrd v1 lookup ok',
];
const MISSED = [
  `SELFTEST: samgrd lookup rsp len ${h(13)} head=${h(0x0000_0001_8201_4d53n)}`,
  'SELFTEST: samgrd v1 unknown ok',
];
const REFUSED = ['SELFTEST: samgrd v1 malformed ok'];

describe('S16', () => {
  it('registers, finds, misses, is refused; the lines of the default run', () => {
    const played = play(samgrd, { peers: peers() });
    expect(played.lines).toEqual([...HEAD, ...REGISTERED, ...FOUND, ...MISSED, ...REFUSED]);
    expect(frames(played)).toEqual([
      [0x53, 0x4d, 1, 1, 4, 3, 0, 0, 0, 4, 0, 0, 0, ...chars('vfsd')],
      [0x53, 0x4d, 1, 2, 4, ...chars('vfsd')],
      [0x53, 0x4d, 1, 2, 14, ...chars('does.not.exist')],
      chars('bad'),
    ]);
  });

  it('without a route to vfsd its pinned slots serve', () => {
    const routes = { samgrd: [0xd, 0xe] as const };
    const { lines } = play(samgrd, { peers: peers(), routes });
    expect(lines.slice(0, 3)).toEqual([...HEAD.slice(0, 2), 'SELFTEST: routing vfsd fallback slots']);
    expect(lines.slice(3)).toEqual([...REGISTERED, ...FOUND, ...MISSED, ...REFUSED]);
  });

  it('quirk routing-unchecked, contract: samgrd must be where init says', () => {
    const routes = { samgrd: [0xd, 0xf] as const, vfsd: [3, 4] as const };
    expect(play(samgrd, { peers: peers(), routes }).lines[1]).toBe('SELFTEST: ipc routing samgrd FAIL');
  });

  it('quirk routing-unchecked, reference: it need not', () => {
    const options = { routingUnchecked: true };
    expect(play(samgrd, { peers: peers(), routes: {}, options }).lines[1]).toBe('SELFTEST: ipc routing samgrd ok');
  });

  it('a registration that is refused says how; the rest goes on', () => {
    const { lines } = play(samgrd, { peers: peers({ register: rsp(1, 2) }) });
    expect(lines[5]).toBe(`SELFTEST: samgrd v1 register FAIL st=0x${h(2)}`);
    expect(lines.slice(6)).toEqual([...FOUND, ...MISSED, ...REFUSED]);
  });

  it('silence: 64 sends, then FAIL err', () => {
    const played = play(samgrd, { peers: peers({ register: null }) });
    expect(played.lines[4]).toBe('SELFTEST: samgrd v1 register FAIL err');
    expect(frames(played).filter((frame) => frame[3] === 1)).toHaveLength(64);
  });

  it('frames of other lengths and ops are shown once, and skipped', () => {
    const noisy = [chars('abc'), chars('abcd'), rsp(2, 0), rsp(1, 0).slice(0, 12), rsp(1, 0)];
    const { lines } = play(samgrd, { peers: peers({ register: noisy }) });
    expect(lines.slice(3, 6)).toEqual([
      'SELFTEST: samgrd register send',
      `SELFTEST: samgrd register rsp len ${h(3)} head=${h(0)}`,
      'SELFTEST: samgrd v1 register ok',
    ]);
    const four = play(samgrd, { peers: peers({ register: [chars('abcd'), rsp(1, 0)] }) }).lines;
    expect(four[4]).toBe(`SELFTEST: samgrd register rsp len ${h(4)} head=${h(0x6463_6261)}`);
  });

  it.each([
    [Errno.ENOSPC, 'nospace'],
    [Errno.ETIMEDOUT, 'timeout'],
    [Errno.EAGAIN, 'wouldblock'],
    [Errno.EINVAL, 'unsupported'],
    [Errno.EPERM, 'kernel'],
  ])('a send that fails with %i is told once', (errno, what) => {
    const { lines, result } = play(samgrd, { refuse: { [SAMGRD]: -errno } });
    expect(lines.filter((line) => line.startsWith('SELFTEST: samgrd register send '))).toEqual([
      `SELFTEST: samgrd register send ${what}`,
    ]);
    expect(lines.at(-1)).toBe('SELFTEST: samgrd v1 unknown FAIL');
    expect(result).toBe(false);
  });

  it.each<[string, Samgrd, string]>([
    ['other slots', { lookup: rsp(2, 0, 3, 5) }, 'lookup'],
    ['swapped slots', { lookup: rsp(2, 0, 4, 3) }, 'lookup'],
    ['not found', { lookup: rsp(2, 1, 3, 4) }, 'lookup'],
    ['found what is unknown', { unknown: rsp(2, 0) }, 'unknown'],
    ['malformed what is unknown', { unknown: rsp(2, 2) }, 'unknown'],
    ['nonsense accepted', { malformed: rsp(2, 0) }, 'malformed'],
    ['nonsense answered short', { malformed: rsp(2, 2).slice(0, 12) }, 'malformed'],
    ['nonsense answered by another', { malformed: [0x53, 0x4e, ...rsp(2, 2).slice(2)] }, 'malformed'],
  ])('%s: FAIL', (_what, changes, marker) => {
    const { lines, result } = play(samgrd, { peers: peers(changes) });
    expect(lines.filter((line) => line.endsWith('FAIL'))).toEqual([`SELFTEST: samgrd v1 ${marker} FAIL`]);
    expect(result).toBe(true);
  });

  it('no answer to nonsense is fatal', () => {
    const { lines, result } = play(samgrd, { peers: peers({ malformed: null }) });
    expect(lines.at(-1)).toBe('SELFTEST: samgrd v1 unknown ok');
    expect(result).toBe(false);
  });
});

const OWN_PID = 33;
const other: Stage['other'] = () => OWN_PID;
/** Answers the three ops over the inbox. */
const moving = (pong: (nonce: number[]) => Answers): Stage => ({
  other,
  peers: { [SAMGRD]: (frame) => pong([...frame.subarray(frame.length - 8)]) },
});

describe('S53', () => {
  const ok = moving((nonce) => [...chars('PONG'), ...nonce]);

  it('asks with a moved clone, and closes the number it had', () => {
    const played = play([capMoveReply, capMoveReply], ok);
    expect(played.lines).toEqual(Array<string>(2).fill('SELFTEST: ipc cap move reply ok'));
    expect(frames(played)).toEqual([
      [0x53, 0x4d, 1, 3, ...u64(1)],
      [0x53, 0x4d, 1, 3, ...u64(2)],
    ]);
  });

  it.each<[string, Stage]>([
    ['no route', { ...ok, routes: {} }],
    ['no clone', { ...ok, missing: [0x18] }],
    ['send', { ...ok, refuse: { [SAMGRD]: -11 } }],
    ['silence', moving(() => null)],
    ['another nonce', moving(() => [...chars('PONG'), ...u64(77)])],
  ])('%s: FAIL', (_what, stage) => {
    expect(play(capMoveReply, stage).lines).toEqual(['SELFTEST: ipc cap move reply FAIL']);
  });
});

describe('S54 and S55', () => {
  const pid = (seen: number, status = 0): Stage =>
    moving((nonce) => [0x53, 0x4d, 1, 0x84, status, ...u64(seen, 4), ...nonce]);
  const id = (seen: bigint, status = 0): Stage =>
    moving((nonce) => [0x53, 0x4d, 1, 0x85, status, ...u64(seen), ...nonce]);

  it('OBS-1: the pid that samgrd saw must be the own one', () => {
    const played = play(senderPid, pid(OWN_PID));
    expect(played.lines).toEqual(['SELFTEST: ipc sender pid ok']);
    expect(frames(played)).toEqual([[0x53, 0x4d, 1, 4, ...u64(OWN_PID, 4), ...u64(2)]]);
    const bad: readonly Stage[] = [
      pid(34),
      pid(OWN_PID, 1),
      id(BigInt(OWN_PID)),
      { ...pid(OWN_PID), routes: { samgrd: [SAMGRD, 0xe] } },
      { ...pid(OWN_PID), routes: { '@reply': [0x18, 0x17] } },
      moving(() => null),
    ];
    for (const stage of bad) expect(play(senderPid, stage).lines).toEqual(['SELFTEST: ipc sender pid FAIL']);
  });

  it('OBS-1: the service id must be one of the two', () => {
    for (const seen of [0x52c6_c4a3_4ffb_3f69n, 0x68c1_66c3_7bcd_7154n]) {
      const played = play(senderId, id(seen));
      expect(played.lines).toEqual(['SELFTEST: ipc sender service_id ok']);
      expect(frames(played)).toEqual([[0x53, 0x4d, 1, 5, ...u64(3)]]);
    }
    for (const stage of [
      id(0n),
      id(0x7b60_9612_6000_c028n),
      id(0x52c6_c4a3_4ffb_3f69n, 1),
      pid(OWN_PID),
      moving(() => null),
    ])
      expect(play(senderId, stage).lines).toEqual(['SELFTEST: ipc sender service_id FAIL']);
  });
});

describe('S56', () => {
  const stage = (changes: Partial<Stage> = {}, lost = -1): Stage => {
    let pings = 0;
    return {
      other,
      // Slot 0 is the loopback that the soak's other probes use.
      peers: {
        0: (frame) => frame,
        [SAMGRD]: (frame) => (pings++ === lost ? null : [...chars('PONG'), ...frame.subarray(4)]),
      },
      ...changes,
    };
  };
  // The stand-in carries no header type, so only the pings are exercised here; whole boots play the rest.
  it('without a route nothing is soaked', () => {
    expect(play(soak, stage({ routes: {} })).lines).toEqual(['SELFTEST: ipc soak FAIL']);
  });

  it('a deadline that does not time out ends it', () => {
    const played = play(soak, stage({ receiveErrors: { 0: [-11] } }));
    expect(played.lines).toEqual(['SELFTEST: ipc soak FAIL']);
    expect(frames(played)).toEqual([]);
  });
});
