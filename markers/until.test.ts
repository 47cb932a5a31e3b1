import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { fixtures } from './fixtures/fixtures.ts';
import { smpTooFew } from './messages.ts';
import { UntilWatcher, parseUntil, planRun } from './until.ts';
import type { StopReason } from './until.ts';

const { lines: REFERENCE_LINES, ladder } = fixtures((path) => readFileSync(new URL(path, import.meta.url), 'utf8'));

const DEFAULT = ladder('default');

function run(value: string, lines: readonly string[]): StopReason | undefined {
  const watcher = new UntilWatcher(DEFAULT, parseUntil(value));
  for (const line of lines) {
    const reason = watcher.line(line);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

const FLAGS = DEFAULT.stop.flatMap((group) => group.flags);

describe('RUN_UNTIL_MARKER=0', () => {
  it('never stops', () => {
    expect(run('0', [...REFERENCE_LINES, 'PANIC ra=0x0'])).toBeUndefined();
  });
});

describe('RUN_UNTIL_MARKER=1', () => {
  it('the reference run stops at its last line', () => {
    expect(run('1', REFERENCE_LINES)).toEqual({
      kind: 'success',
      line: 1501,
      message: '[info] Success marker detected – stopping QEMU',
    });
  });

  it('the flags may come in any order', () => {
    const last = FLAGS[0]!;
    expect(run('1', [...FLAGS].reverse())).toMatchObject({ kind: 'success', line: 66 });
    expect(run('1', [...FLAGS].reverse().slice(0, -1))).toBeUndefined();
    expect(last).toBe('init: start keystored');
  });

  it.each(FLAGS.filter((flag) => flag !== 'init: start'))('needs %s', (flag) => {
    const watcher = new UntilWatcher(DEFAULT, { kind: 'set' });
    for (const line of REFERENCE_LINES) if (!line.includes(flag)) watcher.line(line);
    expect(watcher.stopped).toBeUndefined();
    expect(watcher.missingFlags()).toEqual([flag]);
  });

  it('H14: the plain init: start is any line of a service without a flag of its own', () => {
    const named = FLAGS.filter((flag) => flag !== 'init: start');
    expect(run('1', [...named, ...named])).toBeUndefined();
    expect(run('1', [...named, 'init: start rngd'])).toMatchObject({ kind: 'success' });
  });

  it('panic lines do not stop', () => {
    expect(run('1', ['PANIC ra=0x0', 'ILLEGAL', 'LOCKDEP: x'])).toBeUndefined();
  });
});

describe('RUN_UNTIL_MARKER=<text>', () => {
  it('stops at the first line that contains it', () => {
    expect(run('SELFTEST: metrics counters ok', REFERENCE_LINES)).toEqual({
      kind: 'marker',
      line: REFERENCE_LINES.indexOf('SELFTEST: metrics counters ok') + 1,
      message: '[info] Marker "SELFTEST: metrics counters ok" seen – stopping QEMU',
    });
    expect(run('metrics counters', ['x', 'a metrics counters b'])).toMatchObject({ kind: 'marker', line: 2 });
  });

  it.each(['EXC: scause=0x5', 'x PANIC y', 'SELFTEST: fail: heap', 'ILLEGAL-D: x', 'rx guard: x'])(
    'stops early at %s',
    (line) => {
      expect(run('never seen', ['a', line])).toEqual({
        kind: 'panic',
        line: 2,
        message: '[warn] Exception/Panic marker detected – stopping QEMU early for triage',
      });
    },
  );

  it.each(['LOCKDEP: x', 'PT-VERIFY: x', 'HEAP: low'])('stops early at %s', (line) => {
    expect(run('never seen', [line])).toEqual({
      kind: 'hardening',
      line: 1,
      message: '[warn] Kernel debug-hardening marker detected – stopping QEMU for triage',
    });
  });

  it.each([
    'PANIC: without a blank',
    'SELFTEST: vfs stat FAIL',
    'I: after selftest PANIC x',
    'KSELFTEST: spawn ok ILLEGAL',
    'SELFTEST: ipc ok ILLEGAL',
    'HEAP:low',
  ])('goes on at %s', (line) => {
    expect(run('never seen', [line])).toBeUndefined();
  });

  it('H15: a line that sets a flag is not looked at for trouble, seen before or not', () => {
    expect(run('never seen', ['init: ready PANIC x', 'init: ready PANIC x'])).toBeUndefined();
  });

  it('the reference run has no trouble', () => {
    expect(run('never seen', REFERENCE_LINES)).toBeUndefined();
  });

  it('can stop on the last byte of the marker', () => {
    const watcher = new UntilWatcher(DEFAULT, parseUntil('init: ready'));
    expect([watcher.completesAt('init: read'), watcher.completesAt('UBinit: ready')]).toEqual([false, true]);
    expect(new UntilWatcher(DEFAULT, parseUntil('1')).completesAt('init: ready')).toBe(false);
  });

  it('keeps its first reason', () => {
    const watcher = new UntilWatcher(DEFAULT, parseUntil('a'));
    const first = watcher.line('a');
    expect(watcher.line('PANIC x')).toBe(first);
    expect(watcher.stopped).toBe(first);
  });
});

describe('RUN_PHASE', () => {
  it('turns 1 into the end marker and says so', () => {
    const plan = planRun(DEFAULT, '1', 'ota');
    expect(plan).toMatchObject({
      ok: true,
      value: {
        until: { kind: 'marker', text: 'SELFTEST: ota rollback ok' },
        info: [
          "[info] RUN_PHASE=ota end_marker='SELFTEST: ota rollback ok' " +
            "(early-exit via RUN_UNTIL_MARKER='SELFTEST: ota rollback ok')",
        ],
      },
    });
    expect(plan.ok && plan.value.ladder.markers).toHaveLength(79);
  });

  it.each([
    ['0', { kind: 'never' }],
    ['init: ready', { kind: 'marker', text: 'init: ready' }],
  ])('keeps %s', (value, until) => {
    expect(planRun(DEFAULT, value, 'ota')).toMatchObject({ ok: true, value: { until } });
  });

  it('an unknown phase is an error; none leaves everything', () => {
    expect(planRun(DEFAULT, '1', 'x')).toMatchObject({ ok: false });
    expect(planRun(DEFAULT, '1', undefined)).toEqual({
      ok: true,
      value: { ladder: DEFAULT, until: { kind: 'set' }, info: [] },
    });
  });
});

describe('REQUIRE_SMP', () => {
  it('one hart is too few', () => {
    expect(smpTooFew(1)).toBe('[error] REQUIRE_SMP=1 requires SMP>=2 (current SMP=1)');
  });
});
