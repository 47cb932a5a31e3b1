/** The image `observability` from reset to its last line: RFC-0024's markers, in contract and with the reference's quirks. */
import { describe, expect, it } from 'vitest';

import { QUIRKS } from '../scenarios/quirks.ts';
import type { QuirkName } from '../scenarios/quirks.ts';
import type { Scenario } from '../scenarios/scenario.ts';
import { allQuirksBut, boot, missing, observability, only, shipped, withQuirks } from './boot.ts';
import type { Booted } from './boot.ts';

/** The eleven markers that RFC-0024 asks for, and metricsd's rejects before S41's verdict, in sheet 80's order. */
const RFC_0024 = [
  'logd: ready',
  'metricsd: ready',
  'SELFTEST: logd hardening rejects ok',
  'metricsd: reject invalid_args',
  'metricsd: reject over_limit',
  'metricsd: reject rate_limited',
  'SELFTEST: metrics security rejects ok',
  'SELFTEST: metrics counters ok',
  'SELFTEST: metrics gauges ok',
  'SELFTEST: metrics histograms ok',
  'SELFTEST: tracing spans ok',
  'SELFTEST: metrics retention ok',
  'SELFTEST: log query ok',
  'SELFTEST: nexus-log sink-logd ok',
];

/** What a passed run looks like, whatever its quirks. */
function expectLadder(booted: Booted): void {
  const outcome = only(booted);
  expect(outcome.reasons).toEqual([]);
  expect(outcome.passed).toBe(true);
  expect(outcome.end).toBe('goal');
  expect(missing(booted)).toEqual([]);
  const lines = booted.boots[0]!;
  expect(lines.filter((line) => /^SELFTEST: .*FAIL/.test(line))).toEqual([]);
  // `logd: ready` and `metricsd: ready` have no fixed order: the first is printed before any record, the second is earned.
  const at = RFC_0024.map((marker) => lines.indexOf(marker));
  expect(at.every((line) => line >= 0)).toBe(true);
  expect(at.slice(2)).toEqual([...at.slice(2)].sort((a, b) => a - b));
  expect(Math.max(at[0]!, at[1]!)).toBeLessThan(at[2]!);
  expect(lines.at(-1)).toBe('SELFTEST: end');
}

describe('the observability image', () => {
  it('OBS-16, OBS-27: prints the RFC-0024 markers in the order of their steps', () => {
    expectLadder(boot(observability()));
  });

  it('passes the same ladder with the quirks of the reference', () => {
    expectLadder(boot(withQuirks(observability(), 'reference')));
  });

  it('prints each marker of RFC-0024 but `logd: ready` exactly once', () => {
    const lines = boot(observability()).boots[0]!;
    for (const marker of RFC_0024.filter((text) => text !== 'logd: ready')) {
      expect(
        lines.filter((line) => line.includes(marker)),
        marker,
      ).toHaveLength(1);
    }
  });

  it('NLG-1, NLG-2: kernel and services print through one facade: `[LEVEL target] payload`', () => {
    const facade = boot(observability()).boots[0]!.filter((line) => line.startsWith('['));
    const format = /^\[(?:ERROR|WARN|INFO|DEBUG|TRACE) ([a-z-]+)\] ./;
    expect(facade.filter((line) => !format.test(line))).toEqual([]);
    const targets = new Set(facade.map((line) => format.exec(line)?.[1]));
    for (const target of ['mm', 'sched', 'selftest', 'metricsd', 'selftest-client']) expect(targets).toContain(target);
  });

  it('OBS-21: proves retention by the acknowledged write, before the verdict is printed', () => {
    const lines = boot(observability()).boots[0]!;
    const proof = lines.indexOf('[INFO metricsd] retention wal verified');
    expect(proof).toBeGreaterThan(0);
    expect(proof).toBeLessThan(lines.indexOf('SELFTEST: metrics retention ok'));
  });

  it('OBS-6, OBS-7: exports the values of sheet 40, section 21, in their order', () => {
    const exports = boot(observability()).boots[0]!.filter((line) =>
      /^\[INFO metricsd\] (metrics|tracing) /.test(line),
    );
    expect(exports).toEqual([
      ...Array<string>(16).fill('[INFO metricsd] metrics snapshot counter name=selftest.cap value=1'),
      '[INFO metricsd] tracing span end name=selftest.sanity parent_span_id=0 duration_ns=10 status=0 start_attrs= end_attrs=',
      '[INFO metricsd] metrics snapshot counter name=selftest.counter value=3',
      '[INFO metricsd] metrics snapshot counter name=selftest.counter value=7',
      '[INFO metricsd] metrics snapshot gauge name=selftest.gauge value=7',
      '[INFO metricsd] metrics snapshot gauge name=selftest.gauge value=-3',
      '[INFO metricsd] metrics snapshot histogram name=selftest.hist count=1 sum=1000',
      '[INFO metricsd] metrics snapshot histogram name=selftest.hist count=2 sum=13000',
      '[INFO metricsd] tracing span end name=selftest.span parent_span_id=0 duration_ns=80 status=0 start_attrs=phase=selftest\\n end_attrs=result=ok\\n',
    ]);
  });
});

/** Quirks that this image runs through on its way; the others are proven on every boot by `npm run proof`. */
const NEAR: readonly QuirkName[] = [
  'wal-unacknowledged',
  'ready-before-proof',
  'audit-decision-byte',
  'wait-by-rounds',
];

describe('single quirks (all of them: npm run proof)', () => {
  it('knows only names of the table', () => {
    for (const name of NEAR) expect(QUIRKS.map((quirk) => quirk.name)).toContain(name);
  });

  it.each(NEAR)('%s alone on passes', (name) => {
    expectLadder(boot(withQuirks(observability(), [name])));
  });

  it.each(NEAR)('%s alone off passes', (name) => {
    expectLadder(boot({ ...observability(), quirks: allQuirksBut(name) }));
  });
});

/** The image at another speed of its one hart. */
function atIcount(scenario: Scenario, icount: number): Scenario {
  return { ...scenario, machine: { ...scenario.machine, icount } };
}

describe('waits for a rate window (sheet 80, section 8)', () => {
  it('COR-4: hold by rounds at the icount of observability.toml', () => {
    const scenario = observability();
    expect(scenario.machine.icount).toBe(2);
    expectLadder(boot(withQuirks(scenario, ['wait-by-rounds'])));
  });

  it('by rounds at icount 0 end too early: what needs the next window fails', () => {
    // 16,384 iterations average below 61,036 ns, so the first wait ends inside logd's window and the one of S41 inside metricsd's.
    const booted = boot(withQuirks(atIcount(observability(), 0), ['wait-by-rounds']));
    expect(missing(booted)).toEqual([
      'SELFTEST: metrics security rejects ok',
      'SELFTEST: metrics counters ok',
      'SELFTEST: metrics gauges ok',
      'SELFTEST: metrics histograms ok',
      'SELFTEST: tracing spans ok',
      'SELFTEST: log query ok',
      'SELFTEST: nexus-log sink-logd ok',
    ]);
  });

  it('by rounds at icount 1 last just under a second: S41, which needs its wait to succeed, fails alone', () => {
    const booted = boot(withQuirks(atIcount(observability(), 1), ['wait-by-rounds']));
    expect(missing(booted)).toEqual(['SELFTEST: metrics security rejects ok']);
  });

  it('COR-4: by time they hold at any speed', () => {
    expectLadder(boot(atIcount(observability(), 0)));
    expectLadder(boot(atIcount(observability(), 4)));
  });
});

describe('two boots on one disk', () => {
  it('keeps the device key and the selftest keys (reboot.toml)', () => {
    const scenario = shipped('reboot');
    const booted = boot(scenario);
    expect(booted.outcome.boots.flatMap((one) => one.reasons)).toEqual([]);
    expect(booted.outcome.passed).toBe(true);
    const generated = booted.boots.map(
      (lines) => lines.filter((line) => line === 'keystored: device key generated').length,
    );
    expect(generated).toEqual([1, 0]);
    expect(booted.outcome.boots.map((one) => one.verdict.ladder.seen)).toEqual([85, 85]);
  });

  it('judges the second boot by what is on the disk: without a first boot its key is made anew, and the scenario fails', () => {
    const scenario = shipped('reboot');
    const second = { ...scenario, boots: scenario.boots.slice(1) };
    const booted = boot(second);
    expect(only(booted).reasons).toEqual(['unexpected line: keystored: device key generated']);
  });
});
