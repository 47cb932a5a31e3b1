import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceIdOf } from '../../kernel-model/abi.ts';
import { JOURNAL_LIMITS } from './journal.ts';
import { LogClock, LogdCore } from './server.ts';
import type { LogdCoreOptions } from './server.ts';
import { claimsIdentity } from './spoof.ts';
import { SEED, anyFrame, append, hex, query, sid, stats, text, u16, u32, u64, utf8 } from './test-kit.ts';
import type { AppendParts } from './test-kit.ts';
import {
  AppendStatus,
  decodeQueryPageV1,
  decodeQueryPageV2,
  logTime,
  nextSince,
  pageHeader,
  recordAt,
} from './wire.ts';
import type { PageRecord } from './wire.ts';

const CONTRACT: LogdCoreOptions = { lifetimeBudget: false, querySkips: false, dropAppends: false };
const ME = serviceIdOf('selftest-client');
const NONCE = 0x0102030405060708n;

/** A handler whose clock advances 1000 ns per frame, as the loopback of 18.2. */
class Bench {
  readonly core: LogdCore;
  now = 1000n;

  constructor(options: Partial<LogdCoreOptions> = {}, limits = JOURNAL_LIMITS) {
    this.core = new LogdCore({ ...CONTRACT, ...options }, limits);
  }

  send(frame: Uint8Array, sender = ME): Uint8Array {
    const { response } = this.core.handle(frame, sender, logTime(this.now));
    this.now += 1000n;
    return response;
  }

  append(parts: AppendParts, sender = ME): Uint8Array {
    return this.send(append(parts), sender);
  }

  /** All records, read through pages. */
  records(): PageRecord[] {
    const all: PageRecord[] = [];
    for (let since: bigint | null = 0n; since !== null;) {
      const frame = this.send(query(since, 0xffff));
      const page = pageRecords(frame);
      all.push(...page);
      since = page.length === 0 ? null : nextSince(since, page[page.length - 1]!.timestamp);
    }
    return all;
  }
}

function pageRecords(frame: Uint8Array, version: 1 | 2 = 1): PageRecord[] {
  const header = pageHeader(frame, version);
  if (typeof header === 'string') throw new Error(header);
  const found: PageRecord[] = [];
  let at = header.records;
  for (let i = 0; i < header.count; i++) {
    const record = recordAt(frame, at);
    if (typeof record === 'string') throw new Error(record);
    found.push(record);
    at += 30 + record.scope.length + record.message.length + record.fields.length;
  }
  expect(at).toBe(frame.length);
  return found;
}

describe('executed vectors of 18.1, OS path', () => {
  it('answers the empty frame with STATS v1, MALFORMED', () => {
    expect(new Bench().send(new Uint8Array(0))).toEqual(hex('4c 4f 01 83 01 00*16 80 00 00 00 00 40 00 00 00*8'));
  });

  it('LOG-2, LOG-7: stores, counts and pages two records', () => {
    const bench = new Bench();
    const first = append({ scope: 'test', message: 'hello', fields: 'k=v' });
    expect(first.length).toBe(22);
    expect(bench.send(first)).toEqual(hex('4c 4f 01 81 00 01 00*7 00*8'));
    expect(bench.append({ version: 2, nonce: NONCE, level: 1, scope: 'svc', message: 'world' })).toEqual(
      hex('4c 4f 02 81 00 08 07 06 05 04 03 02 01 02 00*7 00*8'),
    );
    const counters = bench.send(stats());
    expect([u64(counters, 5), u64(counters, 13), u32(counters, 29), u32(counters, 33)]).toEqual([2n, 0n, 2, 148]);
    const page = bench.send(query(0n, 8));
    expect([page.length, u16(page, 21)]).toEqual([103, 2]);
    expect(page.subarray(23, 65)).toEqual(
      Uint8Array.of(...hex('01 00*7 e8 03 00*6 02 69 3f fb 4f a3 c4 c6 52 04 05 00 03 00'), ...utf8('testhellok=v')),
    );
    const one = bench.send(query(0n, 1, 2, NONCE));
    expect([one.length, u64(one, 5), u64(one, 13), u16(one, 29)]).toEqual([73, NONCE, 2n, 1]);
  });

  it('stores at most 32, 128 and 128 bytes', () => {
    const bench = new Bench();
    const full = { scope: new Uint8Array(64), message: new Uint8Array(256), fields: new Uint8Array(512) };
    expect(bench.append(full)[4]).toBe(AppendStatus.OK);
    const [record] = bench.records();
    expect([record!.scope.length, record!.message.length, record!.fields.length]).toEqual([32, 128, 128]);
    expect(u32(bench.send(stats()), 33)).toBe(352);
  });

  it('quirk receive-cut, reference: a legal frame that was cut is INVALID_ARGS, an over-cap one stays OVER_LIMIT', () => {
    const bench = new Bench();
    const legal = append({ version: 2, nonce: 1n, fields: new Uint8Array(512) });
    expect(bench.send(legal.subarray(0, 512))[4]).toBe(AppendStatus.INVALID_ARGS);
    expect(bench.send(legal)[4]).toBe(AppendStatus.OK);
    const over = new Uint8Array(562);
    over.set(append({ version: 2, scope: 'selftest', message: 'logd over-limit attempt', fields: 'x' }));
    new DataView(over.buffer).setUint16(16, 513, true);
    expect(bench.send(over.subarray(0, 512))[4]).toBe(AppendStatus.OVER_LIMIT);
    expect(bench.send(over)[4]).toBe(AppendStatus.OVER_LIMIT);
  });
});

describe('answers of section 3', () => {
  const table: [string, Uint8Array, string][] = [
    ['bad magic with op 1', hex('58 4f 01 01'), '4c4f018301 37'],
    ['version 99', hex('4c 4f 63 01'), '4c4f018302 37'],
    ['v1 op 9', hex('4c 4f 01 09'), '4c4f018302 37'],
    ['v1 QUERY of 13 bytes', hex('4c 4f 01 02 00*9'), '4c4f018201 23'],
    ['v1 STATS with a byte more', hex('4c 4f 01 03 00'), '4c4f018300 37'],
    ['v2 of 11 bytes', hex('4c 4f 02 01 01 00*6'), '4c4f0283010000 45'],
    ['v2 op 9', hex('4c 4f 02 09 05 00*7'), '4c4f0283020500 45'],
    ['v2 QUERY of 23 bytes', hex('4c 4f 02 02 05 00*7 00*11'), '4c4f0282010500 31'],
    ['v2 STATS', hex('4c 4f 02 03 05 00*7'), '4c4f0283000500 45'],
    ['v1 APPEND of 9 bytes', hex('4c 4f 01 01 00*5'), '4c4f018104 21'],
    ['v2 APPEND of 17 bytes', hex('4c 4f 02 01 05 00*7 00*5'), '4c4f0281040500 29'],
    ['v2 APPEND level 5', hex('4c 4f 02 01 05 00*7 05 00*5'), '4c4f0281040500 29'],
    ['v2 APPEND scope 65', hex('4c 4f 02 01 05 00*7 00 41 00*4'), '4c4f0281050500 29'],
  ];
  it.each(table)('COR-1, COR-5: %s', (_, frame, want) => {
    const [head, length] = want.split(' ');
    const answer = new Bench().send(frame);
    expect(answer.subarray(0, head!.length / 2)).toEqual(hex(head!));
    expect(answer.length).toBe(Number(length));
  });

  it('error answers carry the real counters', () => {
    const bench = new Bench({}, { ...JOURNAL_LIMITS, capRecords: 1 });
    for (let i = 0; i < 3; i++) bench.append({ message: 'x' });
    const malformed = bench.send(new Uint8Array(0));
    expect([u64(malformed, 5), u64(malformed, 13), u32(malformed, 21), u32(malformed, 29)]).toEqual([3n, 2n, 1, 1]);
    const page = bench.send(hex('4c 4f 01 02'));
    expect([page.length, u64(page, 5), u64(page, 13), u16(page, 21)]).toEqual([23, 3n, 2n, 0]);
    const refused = bench.append({ fields: 'service=x' });
    expect([u64(refused, 5), u64(refused, 13)]).toEqual([0n, 2n]);
  });

  it('LOG-13, OBS-4, OBS-17: answers any bytes, and stores only what it says it stored', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyFrame, fc.bigInt(0n, 70n)), { maxLength: 30 }), (frames) => {
        const bench = new Bench();
        let stored = 0n;
        for (const [frame, sender] of frames) {
          const handled = bench.core.handle(frame, sid(sender), logTime((bench.now += 1000n)));
          const { response } = handled;
          expect(response.length).toBeLessThanOrEqual(512);
          expect([response[0], response[1], response[3]]).toEqual([0x4c, 0x4f, 0x80 | handled.op]);
          expect(handled.reject === null).toBe(response[4] === AppendStatus.OK);
          if (handled.op === 1) {
            const id = u64(response, response[2] === 2 ? 13 : 5);
            if (handled.reject === null) stored += 1n;
            expect(id).toBe(handled.reject === null ? stored : 0n);
          }
          expect(BigInt(bench.core.stats().total)).toBe(stored);
        }
      }),
      { seed: SEED, numRuns: 250 },
    );
  });
});

describe('identity claims (sheet 40, section 5.1)', () => {
  it.each([
    ['service=x', true],
    ['a=1\nservice_id=2', true],
    ['requester_id==', true],
    ['sender_service_id=4242\nk=v\n', true],
    ['service=', true],
    ['\n\nservice=1', true],
    ['svc=x', false],
    [' service=1', false],
    ['service', false],
    ['service\n=1', false],
    ['=x', false],
    ['Service=1', false],
    ['services=1', false],
    ['service =1', false],
    ['', false],
  ])('OBS-1: %j', (fields, want) => {
    expect(claimsIdentity(utf8(fields))).toBe(want);
  });

  it('OBS-1: agrees with a split by lines', () => {
    const piece = fc.constantFrom(
      'service',
      'service_id',
      'requester_id',
      'sender_service_id',
      '=',
      '\n',
      ' ',
      'k',
      'S',
    );
    const keys = new Set(['service', 'service_id', 'requester_id', 'sender_service_id']);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
        const fields = pieces.join('');
        const claims = fields
          .split('\n')
          .some((line) => line.includes('=') && keys.has(line.slice(0, line.indexOf('='))));
        expect(claimsIdentity(utf8(fields))).toBe(claims);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  it('OBS-1, LOG-3: refuses a claim and stores the kernel id, whatever message and scope say', () => {
    const bench = new Bench();
    const spoof = { version: 2, nonce: NONCE, scope: 'metric', message: 'value' } as const;
    const refused = bench.append({ ...spoof, fields: 'sender_service_id=4242\nk=v\n' });
    expect([refused[4], u64(refused, 5)]).toEqual([AppendStatus.INVALID_ARGS, NONCE]);
    // Behind the 128 bytes that would be stored it is a claim as well.
    expect(bench.append({ ...spoof, fields: `${'k=v\n'.repeat(40)}service=1` })[4]).toBe(AppendStatus.INVALID_ARGS);
    expect(bench.append({ scope: 'execd', message: 'service=logd' }, sid(0x77))[4]).toBe(AppendStatus.OK);
    expect(bench.records().map((r) => r.serviceId)).toEqual([0x77n]);
  });
});

describe('reject classes and budget (sheet 40, sections 5.2 and 17.1)', () => {
  it('OBS-27: phase 0a, one APPEND per reject class, and none of them stored', () => {
    const bench = new Bench();
    const one = (parts: AppendParts) => bench.append({ version: 2, nonce: NONCE, ...parts })[4];
    expect(one({ fields: 'service=x' })).toBe(AppendStatus.INVALID_ARGS);
    const over = append({ version: 2, nonce: NONCE, message: 'm' });
    new DataView(over.buffer).setUint16(16, 513, true);
    expect(bench.send(over)[4]).toBe(AppendStatus.OVER_LIMIT);
    const burst = Array.from({ length: 26 }, () => bench.core.handle(append({}), ME, logTime(1n)).response[4]);
    expect(burst).toEqual([...Array<number>(24).fill(0), AppendStatus.RATE_LIMITED, AppendStatus.RATE_LIMITED]);
    expect(bench.core.stats().total).toBe(24);
  });

  it('OBS-3: names the class of each reject', () => {
    const { core } = new Bench({}, { ...JOURNAL_LIMITS, capBytes: 66 });
    const classes = [hex('00'), hex('4c 4f 07 01'), append({ fields: 'service=x' }), append({ message: 'too large' })];
    expect(classes.map((frame) => core.handle(frame, ME, logTime(1n)).reject)).toEqual([
      'malformed',
      'unsupported',
      'invalid-args',
      'over-limit',
    ]);
    for (let i = 0; i < 23; i++) core.handle(append({}), ME, logTime(1n));
    expect(core.handle(append({}), ME, logTime(1n)).reject).toBe('rate-limited');
  });

  it('takes budget for A7 rejects, not for A1 to A5', () => {
    const bench = new Bench({}, { ...JOURNAL_LIMITS, capBytes: 66 });
    const at = logTime(10n);
    const status = (frame: Uint8Array) => bench.core.handle(frame, ME, at).response[4];
    for (let i = 0; i < 50; i++) {
      expect(status(append({ fields: 'service=x' }))).toBe(AppendStatus.INVALID_ARGS);
      expect(status(hex('4c 4f 01 01 09 00*5'))).toBe(AppendStatus.INVALID_ARGS);
    }
    for (let i = 0; i < 24; i++) expect(status(append({ message: 'too large' }))).toBe(AppendStatus.OVER_LIMIT);
    expect(status(append({ message: 'too large' }))).toBe(AppendStatus.RATE_LIMITED);
  });

  it('limits per sender, and leaves QUERY and STATS free', () => {
    const bench = new Bench();
    const at = (ns: number) => logTime(BigInt(ns));
    const one = (sender: number, ns: number) => bench.core.handle(append({}), sid(sender), at(ns)).response[4];
    for (let i = 0; i < 24; i++) expect(one(1, 10)).toBe(AppendStatus.OK);
    expect(one(1, 10 + 999_999_999)).toBe(AppendStatus.RATE_LIMITED);
    expect(one(2, 10)).toBe(AppendStatus.OK);
    for (let i = 0; i < 100; i++) expect(bench.core.handle(stats(), sid(1), at(11)).reject).toBeNull();
    expect(one(1, 1_000_000_010)).toBe(AppendStatus.OK);
  });

  it('OBS-14: the 65th sender is limited for ever', () => {
    const { core } = new Bench();
    const status = (sender: number, ns: bigint) => core.handle(append({}), sid(sender), logTime(ns)).response[4];
    for (let i = 0; i < 64; i++) expect(status(i, 1n)).toBe(AppendStatus.OK);
    expect(status(64, 1n << 40n)).toBe(AppendStatus.RATE_LIMITED);
    expect(status(63, 1n << 40n)).toBe(AppendStatus.OK);
  });
});

describe('pages (sheet 40, section 2.6)', () => {
  /** Three records of 287, 287 and 47 bytes of page. */
  function three(querySkips: boolean): Bench {
    const bench = new Bench({ querySkips });
    bench.now = 1n;
    for (const size of [120, 120]) {
      bench.core.handle(
        append({ scope: 's', message: new Uint8Array(size), fields: new Uint8Array(126) }),
        ME,
        logTime(bench.now++),
      );
    }
    bench.core.handle(append({ scope: 's', message: 'small' }), ME, logTime(bench.now));
    return bench;
  }

  it('LOG-8: quirk query-skips, contract: ends before a record that does not fit, so that a pager sees every record', () => {
    const bench = three(false);
    const page = pageRecords(bench.send(query(0n, 8)));
    expect(page.map((r) => r.id)).toEqual([1n]);
    expect(bench.records().map((r) => r.id)).toEqual([1n, 2n, 3n]);
  });

  it('quirk query-skips, reference: leaves it out and a pager never sees it (Q-5)', () => {
    const bench = three(true);
    const frame = bench.send(query(0n, 8));
    expect(pageRecords(frame).map((r) => r.id)).toEqual([1n, 3n]);
    expect(bench.records().map((r) => r.id)).toEqual([1n, 3n]);
  });

  it('quirk query-skips, reference: the executed page of 354 bytes', () => {
    const bench = new Bench({ querySkips: true });
    const big = { scope: 's', message: new Uint8Array(128), fields: new Uint8Array(128) };
    bench.append(big);
    bench.append(big);
    bench.append({ scope: 's', message: 'small' });
    const frame = bench.send(query(0n, 8, 2, 1n));
    expect(pageRecords(frame, 2).map((r) => r.id)).toEqual([1n, 3n]);
    expect(frame.length).toBe(354);
  });

  it('finds the needle behind the largest record (18.1)', () => {
    for (const querySkips of [false, true]) {
      const bench = new Bench({ querySkips });
      bench.append({ fields: new Uint8Array(512) });
      bench.append({ message: 'needle-here' });
      expect(decodeQueryPageV1(bench.send(query(0n, 8)), utf8('needle'))).toMatchObject({ count: 2, found: true });
    }
  });

  it('finds the needle over pages of two (18.1)', () => {
    const bench = new Bench();
    bench.append({ message: 'first' });
    bench.append({ scope: new Uint8Array(64), message: new Uint8Array(256), fields: new Uint8Array(512) });
    bench.append({ message: 'a needle' });
    const founds: boolean[] = [];
    for (let since: bigint | null = 0n, nonce = 1n; since !== null; nonce++) {
      const scan = decodeQueryPageV2(bench.send(query(since, 2, 2, nonce)), nonce, utf8('needle'));
      if (typeof scan === 'string') throw new Error(scan);
      founds.push(scan.found);
      since = nextSince(since, scan.maxTimestamp);
    }
    expect(founds).toEqual([false, true, false]);
  });

  it('LOG-8: agrees with a naive page in both settings', () => {
    const size = fc.nat(150);
    fc.assert(
      fc.property(
        fc.array(fc.record({ s: fc.nat(40), m: size, f: size }), { maxLength: 20 }),
        fc.nat(20),
        fc.oneof(fc.nat(8), fc.constant(0xffff)),
        fc.constantFrom<1 | 2>(1, 2),
        fc.boolean(),
        (records, since, max, version, querySkips) => {
          const { core } = new Bench({ querySkips });
          const lengths = records.map(({ s, m, f }, i) => {
            const frame = append({ scope: new Uint8Array(s), message: new Uint8Array(m), fields: new Uint8Array(f) });
            core.handle(frame, ME, logTime(BigInt(i + 1)));
            return 30 + Math.min(s, 32) + Math.min(m, 128) + Math.min(f, 128);
          });
          let left = version === 1 ? 489 : 481;
          let open = true;
          const expected: bigint[] = [];
          lengths.forEach((length, i) => {
            if (i + 1 < since || expected.length >= max) return;
            if (length > left) {
              open &&= querySkips;
              return;
            }
            if (!open) return;
            left -= length;
            expected.push(BigInt(i + 1));
          });
          const frame = core.handle(query(BigInt(since), max, version, 3n), ME, logTime(100n)).response;
          expect(pageRecords(frame, version).map((r) => r.id)).toEqual(expected);
          expect(frame.length).toBe(512 - left);
        },
      ),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('LOG-8: a pager of the contract sees every record once, whatever their sizes', () => {
    const size = fc.nat(150);
    fc.assert(
      fc.property(fc.array(fc.tuple(size, size), { maxLength: 24 }), (sizes) => {
        const bench = new Bench();
        for (const [m, f] of sizes) bench.append({ message: new Uint8Array(m), fields: new Uint8Array(f) });
        expect(bench.records().map((r) => Number(r.id))).toEqual(sizes.map((_, i) => i + 1));
      }),
      { seed: SEED, numRuns: 200 },
    );
  });
});

describe('end to end (sheet 40, section 18.2)', () => {
  const said = (bench: Bench) => bench.records().map((r) => text(r.message));

  it('LOG-7: roundtrip', () => {
    const bench = new Bench();
    for (let i = 1; i <= 5; i++) {
      const ack = bench.append({ scope: 'samgrd', message: `msg ${i}` }, sid(1000));
      expect([ack[4], u64(ack, 5), u64(ack, 13)]).toEqual([0, BigInt(i), 0n]);
    }
    expect(u64(bench.send(stats()), 5)).toBe(5n);
  });

  it('LOG-1, LOG-2: overflow', () => {
    const bench = new Bench({}, { ...JOURNAL_LIMITS, capRecords: 5 });
    const dropped = Array.from({ length: 8 }, (_, i) => u64(bench.append({ message: `msg ${i}` }), 13));
    expect(dropped.slice(5)).toEqual([1n, 2n, 3n]);
    const counters = bench.send(stats());
    expect([u64(counters, 5), u64(counters, 13)]).toEqual([8n, 3n]);
    expect(said(bench)).toEqual(['msg 3', 'msg 4', 'msg 5', 'msg 6', 'msg 7']);
  });

  it('pagination', () => {
    const bench = new Bench();
    for (let i = 0; i < 10; i++) bench.append({ message: `m${i}` });
    expect(u16(bench.send(query(5000n, 100)), 21)).toBe(6);
    expect(u16(bench.send(query(0n, 3)), 21)).toBe(3);
    expect(bench.send(query(0n, 0)).length).toBe(23);
  });

  it('crash fields, three senders, empty parts, full parts', () => {
    const bench = new Bench();
    const fields = 'event=crash.v1\npid=42\ncode=1\nname=demo.crash\n';
    bench.append({ level: 0, scope: 'execd', message: 'crash', fields });
    expect(bench.records().map((r) => [r.level, text(r.scope), text(r.fields)])).toEqual([[0, 'execd', fields]]);
    for (let i = 0; i < 30; i++) bench.append({ message: 'm' }, sid(1000 + (i % 3)));
    expect(bench.core.stats().total).toBe(31);
    expect(bench.append({ scope: 's', message: 'm' })[4]).toBe(AppendStatus.OK);
    expect(bench.append({})[4]).toBe(AppendStatus.OK);
    const full = { scope: 'a'.repeat(32), message: 'b'.repeat(128), fields: 'c'.repeat(128) };
    bench.append(full);
    const last = bench.records().pop()!;
    expect([last.scope, last.message, last.fields].map(text)).toEqual([full.scope, full.message, full.fields]);
  });

  it('LOG-1: quirk lifetime-budget, both: goes on after the budget, or answers OVER_LIMIT for ever (Q-11)', () => {
    for (const lifetimeBudget of [false, true]) {
      const bench = new Bench({ lifetimeBudget }, { ...JOURNAL_LIMITS, capBytes: 200, budgetBytes: 220 });
      const answers = Array.from({ length: 5 }, () => bench.append({ scope: 's', message: 'm' })[4]);
      expect(answers).toEqual(lifetimeBudget ? [0, 0, 0, 5, 5] : [0, 0, 0, 0, 0]);
    }
  });

  it('OBS-17: with the fault, APPENDs look stored and nothing can be found', () => {
    const bench = new Bench({ dropAppends: true });
    expect([1, 2].map(() => u64(bench.append({ message: 'x' }), 5))).toEqual([1n, 2n]);
    expect(bench.append({ fields: 'service=x' })[4]).toBe(AppendStatus.INVALID_ARGS);
    expect(bench.records()).toEqual([]);
    expect(bench.core.stats()).toMatchObject({ total: 0, usedRecords: 0 });
  });
});

describe('what became of the rules of RFC-0011', () => {
  it('LOG-5: max_count is not capped, the answer is: 512 bytes', () => {
    const bench = new Bench();
    for (let i = 0; i < 24; i++) bench.append({});
    const page = bench.send(query(0n, 0xffff));
    // 16 records of 30 bytes fill the 489 bytes that v1 leaves.
    expect([page.length, u16(page, 21)]).toEqual([23 + 16 * 30, 16]);
    expect(u16(bench.send(query(0n, 17)), 21)).toBe(16);
  });

  it('LOG-6: TOO_LARGE is never sent; an APPEND is INVALID_ARGS or OVER_LIMIT instead', () => {
    const { core } = new Bench();
    fc.assert(
      fc.property(anyFrame, (frame) => {
        const { response, op } = core.handle(frame, ME, logTime(1n));
        const status = response[4];
        expect(status).not.toBe(AppendStatus.TOO_LARGE);
        if (op === 1) expect([1, 2]).not.toContain(status);
        else expect([0, 1, 2]).toContain(status);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  it('LOG-9: a page has its totals before the count, and a record its level before the id', () => {
    const bench = new Bench({}, { ...JOURNAL_LIMITS, capRecords: 1 });
    for (let i = 0; i < 3; i++) bench.append({ level: 4, scope: 'abc', message: 'de', fields: 'f' }, sid(0xfeed));
    const page = bench.send(query(0n, 8));
    expect([u64(page, 5), u64(page, 13), u16(page, 21)]).toEqual([3n, 2n, 1]);
    expect([u64(page, 23), page[39], u64(page, 40), page[48], u16(page, 49), u16(page, 51)]).toEqual([
      3n,
      4,
      0xfeedn,
      3,
      2,
      1,
    ]);
    expect(text(page.subarray(53))).toBe('abcdef');
  });

  it('LOG-11: fields are opaque: any bytes but an identity claim are stored as they come', () => {
    const bench = new Bench();
    const odd = ['no pair', 'UPPER=1\nb=2\na=1', '=\n=\n', 'k=\u0000\u00ff'].map(utf8);
    for (const fields of odd) expect(bench.append({ fields })[4]).toBe(AppendStatus.OK);
    expect(bench.records().map((r) => r.fields)).toEqual(odd);
  });

  it('LOG-13, OBS-2: 8192 bytes of anything are answered like any other frame', () => {
    const bench = new Bench();
    for (const head of ['', '4c 4f 01 01', '4c 4f 01 02', '4c 4f 02 01', '4c 4f 02 02', '4c 4f 03 01']) {
      const frame = new Uint8Array(8192).fill(0x0a);
      frame.set(hex(head));
      expect(bench.send(frame)[4]).not.toBe(AppendStatus.OK);
    }
    expect(bench.core.stats().total).toBe(0);
  });
});

describe('times (sheet 40, section 4.4)', () => {
  it('are strictly increasing, and saturate at the end (section 24)', () => {
    const clock = new LogClock();
    expect([5n, 5n, 4n, 9n, null, 0n].map((ns) => clock.stamp(ns))).toEqual([5n, 6n, 7n, 9n, 10n, 11n]);
    const max = 0xffff_ffff_ffff_ffffn;
    expect([max - 1n, 0n, 0n, max].map((ns) => clock.stamp(ns))).toEqual([max - 1n, max, max, max]);
  });

  it('count by themselves while the clock fails', () => {
    const clock = new LogClock();
    expect([0n, null, null, null].map((ns) => clock.stamp(ns))).toEqual([1n, 2n, 3n, 4n]);
    expect(clock.stamp(null)).toBe(5n);
  });

  it('LOG-8: agree with a running maximum', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), (candidates) => {
        const clock = new LogClock();
        let last = 0;
        for (const ns of candidates) {
          last = Math.max(ns, last + 1);
          expect(clock.stamp(BigInt(ns))).toBe(BigInt(last));
        }
      }),
      { seed: SEED, numRuns: 200 },
    );
  });
});
