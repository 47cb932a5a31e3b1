/** S18, S21 and the exchange with updated against a scripted peer (sheet 80, sections 6.9 and 6.11). */
import { describe, expect, it } from 'vitest';
import { Errno } from '../../kernel-model/abi.ts';
import { h, play } from './fixtures/steps.ts';
import type { Answers, Stage } from './fixtures/steps.ts';
import { otaRollback, routingUpdated, updatedProbe } from './updates.ts';

const UPDATED = 0x0b;
const rsp = (op: number, status = 0, payload: readonly number[] = []): number[] => [
  0x55,
  0x44,
  1,
  op | 0x80,
  status,
  payload.length,
  0,
  ...payload,
];
const PROBE = 0x7f;
const probed = (answers: Answers, stage: Stage = {}): readonly string[] =>
  play(updatedProbe, { peers: { [UPDATED]: () => answers }, ...stage }).lines;
const OK = 'SELFTEST: updated probe ok';
const FAIL = 'SELFTEST: updated probe FAIL';

describe('S17, the part on updated', () => {
  const SLOTS = `SELFTEST: updated slots ${h(UPDATED)} ${h(0xc)}`;
  it('COR-1: a route answer with the nonce of another query is skipped', () => {
    const late = Uint8Array.of(0x52, 0x54, 1, 0x41, 0, 0x30, 0, 0, 0, 0x31, 0, 0, 0, 0xee, 0, 0, 0);
    const played = play(routingUpdated, { lateRoutes: [late, late.subarray(0, 13)] });
    expect(played.lines).toEqual([SLOTS, 'SELFTEST: ipc routing updated ok']);
  });
});

describe('the exchange (UX)', () => {
  it('an empty OK answer passes the probe, one with a payload does not', () => {
    const played = play(updatedProbe, { peers: { [UPDATED]: () => rsp(PROBE) } });
    expect([played.lines, played.result]).toEqual([[OK], true]);
    expect(played.sent(UPDATED).map((frame) => [...frame])).toEqual([[0x55, 0x44, 1, PROBE]]);
    expect(probed(rsp(PROBE, 0, [1]))).toEqual([FAIL]);
  });

  it.each([
    ['rsp short', rsp(PROBE).slice(0, 6)],
    [`rsp magic ${h(0x54)} ${h(0x44)} ${h(1)}`, [0x54, ...rsp(PROBE).slice(1)]],
    [`rsp magic ${h(0x55)} ${h(0x44)} ${h(2)}`, [0x55, 0x44, 2, ...rsp(PROBE).slice(3)]],
    [`rsp status ${h(0xff)} ${h(3)}`, rsp(PROBE, 3)],
    ['rsp len mismatch', [...rsp(PROBE), 0]],
    ['recv timeout', null],
  ])('%s', (line, answers) => {
    expect(probed(answers)).toEqual([`SELFTEST: updated ${line}`, FAIL]);
  });

  it('another answer of updated is told once and kept for its own question; frames of others are skipped', () => {
    const played = play([updatedProbe, updatedProbe], {
      peers: { [UPDATED]: (_, nth) => (nth === 0 ? [[1, 2, 3], rsp(4), rsp(5, 3), rsp(PROBE)] : null) },
    });
    const other = `SELFTEST: updated rsp other op=0x${h(0x84)} st=0x${h(0)}`;
    expect(played.lines).toEqual([other, OK, 'SELFTEST: updated recv timeout', FAIL]);
    expect(played.state.updatedReplies.map((frame) => frame[3])).toEqual([0x84, 0x85]);
  });

  it('a stale answer is taken for the new one, without a question (Q10)', () => {
    const played = play([updatedProbe, updatedProbe], { peers: { [UPDATED]: () => [rsp(PROBE), rsp(PROBE, 3)] } });
    expect(played.lines).toEqual([OK, `SELFTEST: updated rsp status ${h(0xff)} ${h(3)}`, FAIL]);
    expect(played.sent(UPDATED)).toHaveLength(1);
  });

  it('COR-4: a full queue is a time-out after half a second, another error a failure', () => {
    const full = play(updatedProbe, { refuse: { [UPDATED]: -Errno.EAGAIN } });
    expect(full.lines).toEqual(['SELFTEST: updated send timeout', FAIL]);
    expect(full.driver.now).toBeGreaterThanOrEqual(500_000_000);
    expect(full.driver.now).toBeLessThan(600_000_000);
    expect(probed(null, { refuse: { [UPDATED]: -Errno.ESRCH } })).toEqual(['SELFTEST: updated send fail', FAIL]);
  });
});

describe('S21', () => {
  interface Updated {
    readonly stage?: Answers;
    readonly status?: Answers;
    readonly switch?: Answers;
    readonly boot?: Answers;
  }
  const state = (active: number): number[] => rsp(4, 0, [active, 0, 0, 1]);
  /** The verdict, and the requests by op. */
  const rollback = (changes: Updated): { readonly verdict: string | undefined; readonly ops: readonly number[] } => {
    const answers: Readonly<Record<number, Answers>> = {
      1: changes.stage ?? rsp(1),
      2: changes.switch ?? rsp(2),
      4: changes.status ?? state(2),
      5: changes.boot ?? rsp(5, 0, [2]),
    };
    const played = play(otaRollback, { peers: { [UPDATED]: (frame) => answers[frame[3]!] ?? null } });
    expect(played.result).toBe(true);
    return { verdict: played.lines.at(-1), ops: played.sent(UPDATED).map((frame) => frame[3]!) };
  };
  const PASSED = 'SELFTEST: ota rollback ok';
  const FAILED = 'SELFTEST: ota rollback FAIL';

  it('stages, asks for the active slot, switches for one boot and is rolled back to that slot', () => {
    expect(rollback({})).toEqual({ verdict: PASSED, ops: [1, 4, 2, 5] });
    expect(rollback({ status: state(1), boot: rsp(5, 0, [1]) }).verdict).toBe(PASSED);
  });

  it.each([
    ['the other slot', { boot: rsp(5, 0, [1]) }, [1, 4, 2, 5]],
    ['no rollback', { boot: rsp(5, 0, [0]) }, [1, 4, 2, 5]],
    ['a refused boot', { boot: rsp(5, 3) }, [1, 4, 2, 5]],
    ['a refused switch', { switch: rsp(2, 3) }, [1, 4, 2]],
    ['a refused stage', { stage: rsp(1, 3) }, [1]],
  ])('%s fails', (_what, changes, ops) => {
    expect(rollback(changes)).toEqual({ verdict: FAILED, ops });
  });

  it('an unknown active slot is not compared', () => {
    expect(rollback({ status: rsp(4, 3), boot: rsp(5, 0, [1]) }).verdict).toBe(PASSED);
  });
});
