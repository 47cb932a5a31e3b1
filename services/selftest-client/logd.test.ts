/** S15, S28 to S31, S40, S47 to S49 against a scripted logd: frames, paging, each diagnostic and failure line (sheet 80, 6.8, 6.14, 6.18, 6.19). */
import { describe, expect, it } from 'vitest';
import { chars, h, play, u64 } from './fixtures/steps.ts';
import type { Answers, Played, Stage } from './fixtures/steps.ts';
import {
  anyAudit,
  audits,
  coreServices,
  hardeningRejects,
  logQuery,
  logdSlots,
  readinessGate,
  recordCount,
  sinkProbe,
} from './logd.ts';

const LOGD = 0x15;
const INBOX_SEND = 0x18;
const MS = 1_000_000;

interface LogRecord {
  readonly ts: number;
  readonly scope?: string;
  readonly message?: string;
  readonly fields?: string;
}

/** QUERY v2 answer. */
function page(nonce: readonly number[], records: readonly LogRecord[], status = 0): number[] {
  return [
    ...[0x4c, 0x4f, 2, 0x82, status, ...nonce, ...u64(records.length), ...u64(0), ...u64(records.length, 2)],
    ...records.flatMap(({ ts, scope = 's', message = '', fields = '' }, i) => [
      ...[...u64(i + 1), ...u64(ts), 2, ...u64(7), scope.length, ...u64(message.length, 2), ...u64(fields.length, 2)],
      ...chars(scope + message + fields),
    ]),
  ];
}
const appended = (nonce: readonly number[], status: number): number[] => [
  ...[0x4c, 0x4f, 2, 0x81, status, ...nonce, ...u64(1), ...u64(0)],
];
const stats = (nonce: readonly number[], total: number, status = 0): number[] => [
  ...[0x4c, 0x4f, 2, 0x83, status, ...nonce, ...u64(total), ...u64(0), ...Array<number>(16).fill(0)],
];

interface Logd {
  /** Records by page, from 0; the last one stands for all that follow. */
  readonly pages?: readonly (readonly LogRecord[])[];
  readonly query?: (nonce: readonly number[], nth: number) => Answers;
  /** Status of the n-th APPEND. */
  readonly append?: (nth: number) => number | null;
  readonly total?: (nth: number) => number | null;
}

function logd({ pages = [[]], query, append = () => 0, total = () => 0 }: Logd): NonNullable<Stage['peers']> {
  const counts = [0, 0, 0, 0];
  return {
    [LOGD]: (frame) => {
      if (frame[2] === 1) return null;
      const op = frame[3] ?? 0;
      const nth = counts[op] ?? 0;
      counts[op] = nth + 1;
      const nonce = [...frame.subarray(4, 12)];
      if (op === 1) {
        const status = append(nth);
        return status === null ? null : appended(nonce, status);
      }
      if (op === 3) {
        const count = total(nth);
        return count === null ? null : stats(nonce, count);
      }
      return query === undefined ? page(nonce, pages[Math.min(nth, pages.length - 1)] ?? []) : query(nonce, nth);
    },
  };
}
const queries = (played: Played): number[][] =>
  played
    .sent(LOGD)
    .filter((frame) => frame[3] === 2)
    .map((frame) => [...frame]);
const holds = (message: string): Logd => ({ pages: [[{ ts: 5, message }]] });

describe('QL (section 6.8)', () => {
  const FOUND = 'SELFTEST: logd has audit records';
  const NONE = 'SELFTEST: logd has NO audit records';
  const lines = (peer: Logd, stage: Stage = {}): readonly string[] =>
    play(anyAudit, { ...stage, peers: logd(peer) }).lines;

  it('looks into scope, message and fields', () => {
    for (const record of [{ scope: 'an audit' }, { message: 'audits' }, { fields: 'k=audit\n' }])
      expect(lines({ pages: [[{ ts: 1, ...record }]] })).toEqual([FOUND]);
    expect(lines({ pages: [[{ ts: 1, scope: 'au', message: 'dit' }], []] })).toEqual([NONE]);
  });

  it('asks for eight records from the highest time of the page before, and one more', () => {
    const played = play(anyAudit, {
      peers: logd({ pages: [[{ ts: 9 }, { ts: 4 }], [{ ts: 11 }], [{ ts: 12, message: 'audit' }]] }),
    });
    expect(played.lines).toEqual([FOUND]);
    expect(queries(played)).toEqual(
      [0, 10, 12].map((since, i) => [0x4c, 0x4f, 2, 2, ...u64(10_000 + i), ...u64(since), 8, 0]),
    );
  });

  it('ends at a page that does not go on in time', () => {
    for (const ts of [0, 3]) {
      const played = play(anyAudit, { peers: logd({ pages: [[{ ts: 3 }], [{ ts }]] }) });
      expect(played.lines).toEqual([NONE]);
      expect(queries(played)).toHaveLength(2);
    }
  });

  it('gives up after eight empty pages in a row, and after 64 pages', () => {
    const empty = play(anyAudit, { peers: logd({ pages: [[]] }) });
    expect([empty.lines, queries(empty).length]).toEqual([[NONE], 8]);
    expect(new Set(queries(empty).map((frame) => frame.slice(12, 20).join()))).toEqual(new Set([u64(0).join()]));
    const seven = Array<readonly LogRecord[]>(7).fill([]);
    const late = play(anyAudit, {
      peers: logd({ pages: [...seven, [{ ts: 1 }], ...seven, [{ ts: 2, message: 'audit' }]] }),
    });
    expect(late.lines).toEqual([FOUND]);
    const endless = play(anyAudit, { peers: logd({ query: (nonce, nth) => page(nonce, [{ ts: 10 * (nth + 1) }]) }) });
    expect([endless.lines, queries(endless).length]).toEqual([[NONE], 64]);
  });

  it.each<[string, Logd, Stage, string]>([
    ['clone', {}, { missing: [INBOX_SEND] }, 'reply clone fail'],
    ['send', {}, { refuse: { [LOGD]: -1 } }, 'send fail'],
    ['recv', { query: () => null }, {}, 'recv fail'],
    ['another nonce', { query: () => page(u64(1), [{ ts: 1, message: 'audit' }]) }, {}, 'recv fail'],
    ['status', { query: (nonce) => page(nonce, [{ ts: 1, message: 'audit' }], 2) }, {}, 'rsp parse fail'],
    ['cut record', { query: (nonce) => page(nonce, [{ ts: 1, message: 'audit' }]).slice(0, -1) }, {}, 'rsp parse fail'],
  ])('%s: a diagnostic, and nothing found', (_what, peer, stage, what) => {
    expect(lines(peer, stage)).toEqual([`SELFTEST: logd query ${what}`, NONE]);
  });

  it('skips what is not its answer', () => {
    const noisy = (nonce: readonly number[]): Answers => [
      appended(nonce, 0),
      page(u64(3), []),
      chars('LO'),
      page(nonce, [{ ts: 1, message: 'audit' }]),
    ];
    expect(lines({ query: noisy })).toEqual([FOUND]);
  });
});

describe('S15', () => {
  it('waits for the record, 32 yields between tries, five seconds at most', () => {
    expect(play(readinessGate, { peers: logd(holds('dsoftbusd: ready')) }).driver.yields).toBe(0);
    const eight = Array<readonly LogRecord[]>(8).fill([]);
    const second = play(readinessGate, {
      peers: logd({ pages: [...eight, [{ ts: 1, message: 'dsoftbusd: ready' }]] }),
    });
    expect([second.driver.yields, queries(second).length]).toEqual([7 + 32, 9]);
    // One query without any answer lasts longer than the gate.
    const late = play(readinessGate, { peers: logd({ query: () => null }) });
    expect([late.lines, late.result]).toEqual([['SELFTEST: logd query recv fail'], true]);
    expect(queries(late)).toHaveLength(1);
    const last = play(readinessGate, {
      peers: logd({ query: (nonce, nth) => (nth % 8 === 7 ? null : page(nonce, [])) }),
    });
    expect(last.driver.now).toBeGreaterThanOrEqual(5000 * MS);
  });

  it('without a route the gate is open', () => {
    expect(play(readinessGate, { routes: {} }).driver.now).toBeLessThan(MS);
  });
});

describe('S28 and S29', () => {
  it('names the slots and the total', () => {
    expect(play(logdSlots).lines).toEqual([`SELFTEST: logd slots ${h(0x15)} ${h(0x16)}`]);
    const played = play(recordCount, { peers: logd({ total: () => 14 }) });
    expect(played.lines).toEqual([`SELFTEST: logd record count=${h(14)}`]);
    expect([...played.sent(LOGD)[0]!]).toEqual([0x4c, 0x4f, 2, 3, ...u64(2000)]);
    expect(played.driver.sent.every((sent) => sent.moved < 0)).toBe(true);
  });

  it.each<[string, Answers]>([
    ['silence', null],
    ['another nonce', stats(u64(1999), 14)],
    ['a status', stats(u64(2000), 14, 1)],
    ['another op', page(u64(2000), [])],
    ['a short answer', stats(u64(2000), 14).slice(0, 28)],
  ])('%s: zeros', (_what, answer) => {
    expect(play(recordCount, { peers: { [LOGD]: () => answer } }).lines).toEqual([
      `SELFTEST: logd record count=${h(0)}`,
    ]);
  });
});

describe('S31', () => {
  const ALLOW = 'audit v1 op=check decision=allow';
  const DENY = 'audit v1 op=check_cap decision=deny';
  const verdicts = (allow: string, deny: string): string[] => [
    `SELFTEST: policy allow audit ${allow}`,
    `SELFTEST: policy deny audit ${deny}`,
  ];
  it('needs both records', () => {
    const journal = (...messages: string[]): Stage => ({
      peers: logd({ pages: [messages.map((message, i) => ({ ts: i + 1, message }))] }),
    });
    expect(play(audits, journal(ALLOW, DENY)).lines).toEqual(verdicts('ok', 'ok'));
    expect(play(audits, journal(ALLOW)).lines).toEqual(verdicts('ok', 'FAIL'));
    expect(play(audits, journal(DENY)).lines).toEqual(verdicts('FAIL', 'ok'));
    const others = ['audit v1 op=check decision=deny', 'audit v1 op=check_cap decision=allow'];
    expect(play(audits, journal(...others)).lines).toEqual(verdicts('FAIL', 'FAIL'));
  });
});

describe('S40', () => {
  const OK = 'SELFTEST: logd hardening rejects ok';
  const FAIL = 'SELFTEST: logd hardening rejects FAIL';
  const run = (append: NonNullable<Logd['append']>, stage: Stage = {}): Played =>
    play(hardeningRejects, { ...stage, peers: logd({ append }) });
  const good = (nth: number): number => (nth === 0 ? 4 : nth === 1 ? 5 : nth === 26 ? 6 : 0);

  it('OBS-27: one reject of each class; the burst ends at the first', () => {
    const played = run(good);
    expect(played.lines).toEqual([OK]);
    const sent = played.sent(LOGD);
    expect(sent).toHaveLength(27);
    const frame = (nonce: number, message: string, fields: string): number[] => [
      ...[0x4c, 0x4f, 2, 1, ...u64(nonce), 2, 8, ...u64(message.length, 2), ...u64(fields.length, 2)],
      ...chars(`selftest${message}${fields}`),
    ];
    expect([...sent[0]!]).toEqual(frame(1, 'logd spoof attempt', 'sender_service_id=9999\nk=v\n'));
    expect([...sent[1]!]).toEqual(frame(2, 'logd over-limit attempt', 'x'.repeat(513)));
    expect(sent[1]).toHaveLength(562);
    expect([...sent[26]!]).toEqual(frame(27, 'logd rate burst', ''));
  });

  it('each status must be the one of its class', () => {
    for (const status of [0, 1, 5, 6]) expect(run((n) => (n === 0 ? status : good(n))).lines).toEqual([FAIL]);
    for (const status of [0, 1, 4, 6]) expect(run((n) => (n === 1 ? status : good(n))).lines).toEqual([FAIL]);
  });

  it('48 appends without a rate limit fail; other statuses of the burst are ignored', () => {
    const never = run((n) => (n < 2 ? good(n) : 0));
    expect([never.lines, never.sent(LOGD).length]).toEqual([[FAIL], 50]);
    expect(run((n) => (n < 2 ? good(n) : n === 49 ? 6 : 4)).lines).toEqual([OK]);
  });

  it.each<[string, Stage, string]>([
    ['clone', { missing: [INBOX_SEND] }, 'reply clone fail'],
    ['send', { refuse: { [LOGD]: -1 } }, 'send fail'],
    ['recv', {}, 'recv fail'],
  ])('%s: a diagnostic', (_what, stage, what) => {
    expect(run(() => null, stage).lines).toEqual([`SELFTEST: logd append ${what}`, FAIL]);
  });

  it('an answer of 13 to 28 bytes is malformed', () => {
    const cut = (length: number): readonly string[] =>
      play(hardeningRejects, {
        peers: { [LOGD]: (frame) => appended([...frame.subarray(4, 12)], 4).slice(0, length) },
      }).lines;
    expect(cut(28)).toEqual(['SELFTEST: logd append rsp malformed', FAIL]);
    expect(cut(13)).toEqual(['SELFTEST: logd append rsp malformed', FAIL]);
    expect(cut(12)).toEqual(['SELFTEST: logd append recv fail', FAIL]);
  });
});

describe('S47', () => {
  const lines = (peer: Logd): readonly string[] => play(logQuery, { peers: logd(peer) }).lines;
  const APPEND = 'SELFTEST: logd append probe FAIL';
  const QUERY = 'SELFTEST: logd query probe FAIL';
  const FAIL = 'SELFTEST: log query FAIL';

  it('appends and finds', () => {
    expect(lines(holds('logd hello'))).toEqual(['SELFTEST: log query ok']);
    expect(lines(holds('logd hell'))).toEqual([QUERY, FAIL]);
    expect(lines({ ...holds('logd hello'), append: () => 6 })).toEqual([
      'SELFTEST: logd append rsp bad-status',
      APPEND,
      FAIL,
    ]);
    expect(lines({ append: () => null })).toEqual(['SELFTEST: logd append recv fail', APPEND, QUERY, FAIL]);
  });
});

describe('S48', () => {
  const LINE = '[INFO selftest-client] nexus-log sink-logd probe';
  it('the line of the own facade must be found', () => {
    const played = play(sinkProbe, { peers: logd(holds('nexus-log sink-logd probe')) });
    expect(played.lines).toEqual([LINE, 'SELFTEST: nexus-log sink-logd ok']);
    expect([...played.sent(LOGD)[0]!]).toEqual([
      ...[0x4c, 0x4f, 1, 1, 2, 15, 25, 0, 0, 0],
      ...chars('selftest-clientnexus-log sink-logd probe'),
    ]);
    expect(play(sinkProbe, { peers: logd({}) }).lines).toEqual([LINE, 'SELFTEST: nexus-log sink-logd FAIL']);
  });
});

describe('S49', () => {
  const SAMGRD = 0xd;
  const BUNDLEMGRD = 9;
  const POLICYD = 7;
  const probe = (name: string): string => `core service log probe: ${name}`;
  const ALL = ['samgrd', 'bundlemgrd', 'policyd'].map((name, i) => ({ ts: i + 1, message: probe(name) }));
  const GOOD: NonNullable<Stage['peers']> = {
    [SAMGRD]: () => [0x53, 0x4d, 1, 0xff, 0],
    [BUNDLEMGRD]: () => [0x42, 0x4e, 1, 0xff, 0, 0, 0, 0],
    [POLICYD]: () => [0x50, 0x4f, 1, 0xff, 0, 0],
  };
  const run = (peer: Logd = {}, changes: NonNullable<Stage['peers']> = {}): readonly string[] =>
    play(coreServices, {
      peers: { ...GOOD, ...changes, ...logd({ pages: [ALL], total: (nth) => 20 + nth, ...peer }) },
    }).lines;
  const failed = (...whats: string[]): string[] => [
    ...whats.map((what) => `SELFTEST: core log ${what} FAIL`),
    'SELFTEST: core services log FAIL',
  ];

  it('three services log, and the total grows', () => {
    expect(run()).toEqual(['SELFTEST: core services log ok']);
    const played = play(coreServices, { peers: { ...GOOD, ...logd({ pages: [ALL], total: (nth) => nth }) } });
    expect([SAMGRD, BUNDLEMGRD, POLICYD].map((slot) => [...played.sent(slot)[0]!])).toEqual([
      [0x53, 0x4d, 1, 0x7f],
      [0x42, 0x4e, 1, 0x7f],
      [0x50, 0x4f, 1, 0x7f, 0, 0],
    ]);
  });

  it('each condition has its line, in their order', () => {
    expect(run({}, { [SAMGRD]: () => [0x53, 0x4d, 1, 0xff, 3] })).toEqual(failed('samgrd probe'));
    expect(run({}, { [SAMGRD]: () => null })).toEqual(failed('samgrd probe'));
    expect(run({}, { [BUNDLEMGRD]: () => [0x42, 0x4e, 1, 0xff, 2, 0, 0, 0] })).toEqual(failed('bundlemgrd probe'));
    expect(run({}, { [POLICYD]: () => [0x50, 0x4f, 1, 0xff, 3, 0] })).toEqual(failed('policyd probe'));
    expect(run({}, { [POLICYD]: () => [0x50, 0x4f, 1, 0xff, 0] })).toEqual(failed('policyd probe'));
    expect(run({ pages: [ALL.slice(1)] })).toEqual(failed('samgrd query'));
    expect(run({ pages: [ALL.slice(0, 2)] })).toEqual(failed('policyd query'));
    // Of bundlemgrd only the count is asked.
    expect(run({ pages: [ALL.filter(({ ts }) => ts !== 2)] })).toEqual(['SELFTEST: core services log ok']);
    expect(run({ total: (nth) => [20, 20, 21, 22][nth] ?? 0 })).toEqual(failed('samgrd delta'));
    expect(run({ total: (nth) => [20, 21, 21, 22][nth] ?? 0 })).toEqual(failed('bundlemgrd delta'));
    expect(run({ total: () => 20 })).toEqual(failed('samgrd delta', 'bundlemgrd delta', 'stats delta'));
    expect(run({ total: (nth) => (nth === 0 ? 20 : null) })).toEqual(
      failed('samgrd delta', 'bundlemgrd delta', 'stats delta'),
    );
  });
});
