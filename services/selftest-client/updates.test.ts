import { describe, expect, it } from 'vitest';
import { world } from '../updated/fixtures/world.ts';
import type { World } from '../updated/fixtures/world.ts';
import { bundlemgrd, routeExecdDenied, routingBundlemgrd } from './bundlemgrd.ts';
import type { Step } from './state.ts';
import { bootctlPersist, otaRollback, otaUpdate, routingUpdated, updatedProbe } from './updates.ts';
import { archiveOf, triesOf } from '../updated/wire.ts';
import { stagedSet } from './staged-set.ts';
import { exchangeUpdated } from './updated-exchange.ts';
import { vfs } from './vfs.ts';

const SECOND = 1_000_000_000;
const STEPS: readonly Step[] = [
  routingBundlemgrd,
  routingUpdated,
  updatedProbe,
  bundlemgrd,
  otaUpdate,
  otaRollback,
  bootctlPersist,
  routeExecdDenied,
  vfs,
];
const selftestLines = (made: World): readonly string[] => made.lines().filter((line) => line.startsWith('SELFTEST: '));

const WANTED = [
  'SELFTEST: bundlemgrd slots 0000000000000009 000000000000000a',
  'SELFTEST: ipc routing bundlemgrd ok',
  'SELFTEST: updated slots 000000000000000b 000000000000000c',
  'SELFTEST: ipc routing updated ok',
  'SELFTEST: updated probe ok',
  'SELFTEST: bundlemgrd list send',
  'SELFTEST: bundlemgrd list sent',
  'SELFTEST: bundlemgrd list recv',
  'SELFTEST: bundlemgrd list recv ok',
  'SELFTEST: bundlemgrd v1 list ok',
  'SELFTEST: bundlemgrd v1 image ok',
  'SELFTEST: bundlemgrd v1 malformed ok',
  'SELFTEST: updated stage send',
  'SELFTEST: ota stage ok',
  'SELFTEST: ota switch ok',
  'SELFTEST: ota publish b ok',
  'SELFTEST: ota health ok',
  'SELFTEST: updated stage send',
  'SELFTEST: ota rollback ok',
  'SELFTEST: bootctl persist begin',
  'SELFTEST: bootctl persist ok',
  'SELFTEST: bundlemgrd route execd denied ok',
  'SELFTEST: ipc routing ok',
  'SELFTEST: ipc routing packagefsd ok',
  'SELFTEST: vfs stat ok',
  'SELFTEST: vfs read ok',
  'SELFTEST: vfs real data ok',
  'SELFTEST: vfs ebadf ok',
];

describe.each([
  ['contract', false],
  ['reference', true],
] as const)('whole flow, %s', (_, reference) => {
  it('every marker in its order, none failed (sheet 80, sections 5 and 6.9 to 6.12)', () => {
    const made = world({ reference, steps: STEPS, startAt: SECOND }).run(60 * SECOND);
    expect(selftestLines(made)).toEqual(WANTED);
    expect(made.verdicts).toEqual(STEPS.map(() => true));
  });

  it("updated's lines (sheet 55, section 9)", () => {
    const made = world({ reference, steps: [otaUpdate, otaRollback], startAt: SECOND }).run(60 * SECOND);
    const audit = (text: string): string[] => [`[INFO updated] audit ${text}`, `updated: audit (${text})`];
    const lines = made.lines().filter((line) => /updated|bundlemgrd: slot/.test(line));
    expect(lines.slice(lines.indexOf('updated: ready (statefs)') + 1)).toEqual([
      'bundlemgrd: slot a active',
      'updated: rx',
      'updated: rx head 55 44 01',
      'updated: rx op 04',
      '[INFO updated] core service log probe: updated',
      'updated: rx op 04',
      'SELFTEST: updated stage send',
      'updated: rx op 01',
      ...audit('op=stage status=ok'),
      'updated: rx op 02',
      'bundlemgrd: slot b active',
      ...audit('op=switch status=ok detail=slot=b'),
      'updated: rx op 03',
      'updated: capmove',
      ...audit('op=health_ok status=ok'),
      'updated: tx op 83',
      'updated: replycap slot=0x0000000d',
      'SELFTEST: updated stage send',
      'updated: rx op 01',
      ...audit('op=stage status=ok'),
      'updated: rx op 04',
      'updated: rx op 02',
      'bundlemgrd: slot a active',
      ...audit('op=switch status=ok detail=slot=a'),
      'updated: rx op 05',
      ...audit('op=boot_attempt status=rollback detail=slot=b'),
    ]);
    expect(made.logged.filter((text) => text.startsWith('updated: audit'))).toHaveLength(6);
  });

  it.each(['invalid', 'failing', 'silent'] as const)('keystored %s: verified locally', (keystored) => {
    const made = world({ reference, keystored, steps: [otaUpdate], startAt: SECOND }).run(60 * SECOND);
    expect(selftestLines(made)).toContain('SELFTEST: ota stage ok');
  });

  it('a machine that ended on slot B is brought back to A first', () => {
    const made = world({ reference, steps: [otaUpdate, otaUpdate], startAt: SECOND }).run(60 * SECOND);
    const lines = selftestLines(made);
    expect(lines.filter((line) => line.endsWith(' FAIL'))).toEqual([]);
    expect(lines.filter((line) => line === 'SELFTEST: updated stage send')).toHaveLength(3);
    expect(made.lines().filter((line) => line === 'updated: audit (op=switch status=ok detail=slot=b)')).toHaveLength(
      2,
    );
  });

  it('a pending switch is booted away first', () => {
    const half: Step = function* (state) {
      yield* exchangeUpdated(state, { op: 'stage', archive: archiveOf(stagedSet())! });
      return (yield* exchangeUpdated(state, { op: 'switch', tries: triesOf(2)! })) !== null;
    };
    const made = world({ reference, steps: [half, otaUpdate], startAt: SECOND }).run(60 * SECOND);
    expect(selftestLines(made).filter((line) => line.endsWith(' FAIL'))).toEqual([]);
    expect(made.lines().filter((line) => line.startsWith('updated: audit (op=boot_attempt'))).toEqual([
      'updated: audit (op=boot_attempt status=ok)',
      'updated: audit (op=boot_attempt status=rollback detail=slot=a)',
    ]);
    expect(made.verdicts).toEqual([true, true]);
  });

  it('UX takes a stale answer for the new one (Q10)', () => {
    const stale: Step = function* (state) {
      yield state.sys.send(0x0b, Uint8Array.of(0x55, 0x44, 1, 4), 0);
      const poll = state.sys.beginPoll();
      poll.slots = [0x0c];
      yield state.sys.runPoll();
      return (yield* exchangeUpdated(state, { op: 'get_status' }))?.length === 4;
    };
    const made = world({ reference, steps: [stale], startAt: SECOND }).run(60 * SECOND);
    expect(made.verdicts).toEqual([true]);
    expect(made.lines().filter((line) => line === 'updated: rx op 04')).toHaveLength(1);
  });
});

describe('taking a cause away', () => {
  const without = (service: string, steps: readonly Step[]): World =>
    world({ without: [service], steps, startAt: SECOND }).run(200 * SECOND);

  it('no updated: every step of it fails', () => {
    const made = without('updated', [routingUpdated, updatedProbe, otaRollback]);
    expect(selftestLines(made)).toEqual([
      'SELFTEST: updated slots 000000000000000b 000000000000000c',
      'SELFTEST: ipc routing updated ok',
      'SELFTEST: updated send fail',
      'SELFTEST: updated probe FAIL',
      'SELFTEST: updated stage send',
      'SELFTEST: updated send fail',
      'SELFTEST: ota rollback FAIL',
    ]);
  });

  it('no bundlemgrd: the switch fails with a reason, the step is fatal', () => {
    const made = without('bundlemgrd', [otaUpdate, bundlemgrd, otaRollback]);
    expect(selftestLines(made)).toContain('SELFTEST: ota switch FAIL');
    expect(selftestLines(made)).toContain('SELFTEST: ota publish b FAIL');
    expect(made.lines().some((line) => line.startsWith('updated: audit (op=switch status=fail detail='))).toBe(true);
    expect(made.verdicts).toEqual([true, false, true]);
    expect(selftestLines(made)).toContain('SELFTEST: bundlemgrd list send fail');
  });

  it('no statefsd: nothing is staged for good', () => {
    const made = without('statefsd', [otaUpdate, bootctlPersist]);
    expect(made.lines()).toContain('updated: bootctl load err');
    expect(made.lines().filter((line) => line.startsWith('updated: bootctl persist'))).toEqual([
      'updated: bootctl persist put err=IoError',
    ]);
    expect(made.lines()).toContain('updated: audit (op=stage status=fail detail=persist)');
    expect(selftestLines(made)).toContain('SELFTEST: ota stage FAIL');
    expect(selftestLines(made)).toContain('SELFTEST: bootctl persist FAIL');
  });

  it('no packagefsd: stat fails', () => {
    const made = without('packagefsd', [vfs]);
    expect(selftestLines(made)).not.toContain('SELFTEST: vfs stat ok');
    expect(selftestLines(made)).not.toContain('SELFTEST: vfs ebadf ok');
  });
});

describe('quirks', () => {
  it('metrics-unrouted: the values of sheet 40, section 16 reach metricsd, or none does', () => {
    const steps = [bundlemgrd, routeExecdDenied];
    const names = (made: World): string[] =>
      made.metrics.map(
        (frame) => /(bundlemgrd\.[a-z_.]+)svc=bundlemgrd/.exec(String.fromCharCode(...frame))?.[1] ?? '?',
      );
    expect(names(world({ steps, startAt: SECOND }).run(10 * SECOND))).toEqual([
      'bundlemgrd.list.ok',
      'bundlemgrd.fetch.ok',
      'bundlemgrd.fetch.image_bytes',
      'bundlemgrd.list.ok',
      'bundlemgrd.fetch.ok',
      'bundlemgrd.fetch.image_bytes',
      'bundlemgrd.route_status.fail',
    ]);
    expect(names(world({ reference: true, steps, startAt: SECOND }).run(10 * SECOND))).toEqual([]);
  });

  it('sink-slots-unused: with init silent, the first records of a service are lost only where it routes', () => {
    const steps = [updatedProbe];
    const logged = (reference: boolean): readonly string[] =>
      world({ reference, steps, startAt: SECOND, initSilentUntil: 3 * SECOND }).run(10 * SECOND).logged;
    expect(logged(false)).toContain('updated: core service log probe: updated');
    expect(logged(true)).not.toContain('updated: core service log probe: updated');
  });

  it('a late answer to the query for the own name is not taken for the next one', () => {
    for (const initSilentUntil of [0.11, 0.15, 0.19, 0.25]) {
      const made = world({ initSilentUntil: initSilentUntil * SECOND, steps: [vfs], startAt: SECOND });
      expect(selftestLines(made.run(10 * SECOND)), String(initSilentUntil)).toContain('SELFTEST: vfs ebadf ok');
    }
  });
});
