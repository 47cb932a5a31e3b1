import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CONTRACT } from './options.ts';
import { Bench, checkReply, KEYSTORED, METRICSD, SELFTEST, UPDATED } from './fixtures/bench.ts';
import { hex, utf8 } from './test-kit.ts';
import { encodeDel, encodeGet, encodeList, encodePut, encodeReopen, encodeSync } from './wire.ts';

describe('access control (section 10)', () => {
  it('OBS-19: asks policyd for every request, with the capability that the path needs', () => {
    const bench = new Bench();
    const asked = (frame: Uint8Array | string, sender: bigint): readonly string[] => {
      bench.checks.length = 0;
      bench.ask(frame, sender);
      return bench.checks.map((check) => check.capability);
    };
    expect(asked(encodePut(1n, '/state/a', utf8('')), METRICSD)).toEqual(['statefs.write']);
    expect(asked(encodeDel(1n, '/state/a'), METRICSD)).toEqual(['statefs.write']);
    expect(asked(encodeGet(1n, '/state/a'), SELFTEST)).toEqual(['statefs.read']);
    expect(asked(encodeList(1n, '/state/', 1), SELFTEST)).toEqual(['statefs.read']);
    expect(asked(encodeGet(1n, '/state/keystore/k'), KEYSTORED)).toEqual(['statefs.keystore']);
    expect(asked(encodeList(1n, '/state/boot/', 1), UPDATED)).toEqual(['statefs.boot']);
    expect(asked(encodeSync(1n), UPDATED)).toEqual(['statefs.boot']);
    expect(asked(encodeSync(1n), METRICSD)).toEqual(['statefs.boot', 'statefs.write']);
    expect(asked(encodeReopen(1n), KEYSTORED)).toEqual(['statefs.boot', 'statefs.write']);
    expect(asked(hex('53460105ff'), METRICSD)).toEqual([]);
  });

  it('COR-2: numbers its checks 1, 2, 3, ...', () => {
    const bench = new Bench();
    bench.ask(encodeSync(1n), METRICSD);
    bench.ask(encodeGet(1n, '/state/a'));
    expect(bench.checks.map((check) => check.nonce)).toEqual([1, 2, 3]);
  });

  it('asks for metricsd under its real id, except about the whole store', () => {
    const bench = new Bench();
    const alias = 0xed20_5ae1_e47c_393dn;
    expect(bench.status(encodePut(1n, '/state/a', utf8('')), alias)).toBe(0);
    expect(bench.status(encodeSync(1n), alias)).toBe(2);
    expect(bench.checks.map((check) => check.subject)).toEqual([METRICSD, alias, alias]);
  });

  it('OBS-1: the sender id of the kernel decides, nothing in the frame', () => {
    const bench = new Bench();
    expect(bench.status(encodePut(1n, '/state/boot/bootctl.v1', utf8('x')), UPDATED)).toBe(0);
    expect(bench.status(encodePut(1n, '/state/boot/bootctl.v1', utf8('x')), METRICSD)).toBe(2);
    expect(bench.status(encodeGet(1n, '/state/a'), METRICSD)).toBe(2);
    expect(bench.status(encodeGet(1n, '/state/a'), 0n)).toBe(2);
  });

  it('prints the denial and answers in the shape of the op', () => {
    const bench = new Bench();
    bench.status(encodeGet(1n, '/state/a'));
    expect(bench.ask(encodeGet(7n, '/state/keystore/deny'))).toEqual([hex('53460282 02 0700000000000000 00000000')]);
    expect(bench.machine.lines.at(-1)).toBe(
      'statefsd: access denied path=/state/keystore/deny sender=0x52c6c4a34ffb3f69',
    );
    expect(bench.ask(encodeList(7n, '/state/keystore/', 1))).toEqual([hex('53460284 02 0700000000000000 0000')]);
    expect(bench.ask(encodeSync(7n), 1n)).toEqual([hex('53460285 02 0700000000000000')]);
    expect(bench.machine.lines.at(-1)).toBe('statefsd: access denied path=/state sender=0x0000000000000001');
  });

  it('leaves pieces out of the line that do not fit into 160 bytes', () => {
    const bench = new Bench();
    const line = (length: number): string => {
      bench.status(encodeGet(1n, `/state/keystore/${'k'.repeat(length - 16)}`));
      return bench.machine.lines.at(-1)?.replace(/k{2,}/, 'K') ?? '';
    };
    const path = '/state/keystore/K';
    const head = 'statefsd: access denied path=';
    expect(line(105)).toBe(`${head}${path} sender=0x52c6c4a34ffb3f69`);
    expect(line(106)).toBe(`${head}${path} sender=0x`);
    expect(line(121)).toBe(`${head}${path} sender=0x`);
    expect(line(122)).toBe(`${head}${path}`);
    expect(line(131)).toBe(`${head}${path}`);
    expect(line(132)).toBe(`${head} sender=0x52c6c4a34ffb3f69`);
    expect(line(255)).toBe(`${head} sender=0x52c6c4a34ffb3f69`);
  });

  it('OBS-23: denies on silence, on other statuses and on answers it cannot read', () => {
    const bench = new Bench();
    const answered = (answers: Bench['answers']): number => {
      bench.answers = answers;
      return bench.status(encodeGet(1n, '/state/a'));
    };
    expect(answered(() => [])).toBe(2);
    expect(answered((check) => [checkReply(check.nonce, 2)])).toBe(2);
    expect(answered((check) => [checkReply(check.nonce, 0).subarray(0, 9)])).toBe(2);
    expect(answered((check) => [hex(`${Buffer.from(checkReply(check.nonce, 0)).toString('hex')}00`)])).toBe(2);
    expect(answered((check) => [checkReply(check.nonce, 0).fill(0x51, 0, 1)])).toBe(2);
    expect(answered((_, honest) => [honest])).toBe(1);
  });

  it('OBS-23: no frame but the exact answer authorises, whatever else arrives', () => {
    const bench = new Bench();
    bench.status(encodeGet(1n, '/state/a'));
    const changed = fc.tuple(fc.nat(8), fc.integer({ min: 1, max: 255 }));
    const noise = fc.oneof(fc.uint8Array({ maxLength: 24 }), changed);
    const property = fc.property(fc.array(noise, { maxLength: 6 }), (frames) => {
      bench.answers = (check) =>
        frames.map((frame) => {
          if (frame instanceof Uint8Array) return frame;
          const reply = checkReply(check.nonce, 0);
          reply[frame[0]] = (reply[frame[0]] ?? 0) ^ frame[1];
          return reply;
        });
      expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
    });
    fc.assert(property, { seed: 20240, numRuns: 60 });
  });

  it('COR-4: a check takes at most two seconds', () => {
    const bench = new Bench();
    bench.status(encodeGet(1n, '/state/a'));
    bench.answers = () => [];
    const before = bench.machine.now;
    bench.status(encodeGet(1n, '/state/a'));
    expect(bench.machine.now - before).toBeGreaterThanOrEqual(2_000_000_000);
    expect(bench.machine.now - before).toBeLessThan(2_010_000_000);
    // A full queue at policyd takes the same two seconds, and the clone is closed.
    const slots = bench.machine.caps.size;
    bench.policyd.depth = 0;
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
    expect(bench.machine.caps.size).toBe(slots);
  });

  it('COR-3: late answers are skipped and counted; only the own nonce decides', () => {
    const bench = new Bench();
    bench.answers = (check, honest) => [checkReply(check.nonce - 1, 1), hex('4c4f0181'), honest];
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    expect(bench.machine.notes.filter((note) => note.startsWith('policy-inbox'))).toHaveLength(4);
    // An ALLOW for another nonce authorises nothing.
    bench.answers = (check) => [checkReply(check.nonce + 1, 0)];
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
  });

  it('late-reply-denies: in the reference one late answer denies, and poisons the next check', () => {
    const bench = new Bench({ ...CONTRACT, lateReplyDenies: true });
    bench.status(encodeGet(1n, '/state/a'));
    bench.answers = (check, honest) => [checkReply(check.nonce - 1, 1), honest];
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
    bench.answers = (_, honest) => [honest];
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(2);
  });
});

describe('audit (section 10.5)', () => {
  const RECORD = `4c4f0101 02 0e 4b00 0000 ${Buffer.from(
    'statefsd.auditstatefsd: access denied path=/state/keystore/deny sender=0x52c6c4a34ffb3f69',
  ).toString('hex')}`;

  it('the denial reaches logd with a capability for its acknowledgement', () => {
    const bench = new Bench();
    expect(bench.ask(encodeGet(1n, '/state/keystore/deny'))).toHaveLength(1);
    const [record] = bench.logd.queue;
    expect(record?.frame).toEqual(hex(RECORD));
    expect(record?.cap).toBe(bench.inbox);
    // The acknowledgement does not disturb the next check.
    bench.inbox.push(hex('4c4f0181 00 0100000000000000 0000000000000000'));
    expect(bench.status(encodeGet(1n, '/state/a'))).toBe(1);
    expect(bench.inbox.queue).toHaveLength(0);
  });

  it('without a logd nobody else gets the record, and the loss is counted', () => {
    const bench = new Bench(CONTRACT, { logd: false });
    expect(bench.ask(encodeGet(1n, '/state/keystore/deny'))).toHaveLength(1);
    expect(bench.machine.notes).toContain('audits-lost=1');
  });

  it('statefs-audit-lost: in the reference it goes to whoever stands in slot 8', () => {
    const bench = new Bench({ ...CONTRACT, auditLost: true });
    const frames = bench.ask(encodeGet(7n, '/state/keystore/deny'));
    expect(frames).toEqual([hex(RECORD), hex('53460282 02 0700000000000000 00000000')]);
    // A plain request: the clone itself lands in slot 8, and the record comes back to statefsd's own inbox.
    bench.machine.caps.delete(8);
    bench.send(hex('53460102 0100 61'), 5n);
    const [own] = bench.inbox.queue;
    expect([own?.frame.subarray(0, 4), own?.cap]).toEqual([hex('4c4f0101'), bench.inbox]);
    bench.send(encodeGet(1n, '/state/a'), SELFTEST);
    expect(bench.machine.caps.get(8)).toBe(bench.inbox);
  });
});
