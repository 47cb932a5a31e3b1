/**
 * Take the cause away, lose the marker: every shipped scenario that removes, silences or breaks something has exactly the
 * missing markers that its file derives from the sheets. Nothing hangs (virtual time is bounded) and nothing throws.
 *
 * The cause of S41's `invalid_args` (a span id of somebody else, OBS-1) is taken away one level down, in the registry:
 * services/metricsd/registry.test.ts.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { loadLadder } from '../markers/loader.ts';
import { ladderText } from '../bin/resources.ts';
import { IMAGES } from '../scenarios/images.ts';
import { boot, missing, observability, only, shipped, withFaults, withQuirks } from './boot.ts';
import type { Booted } from './boot.ts';

const SERVICES = IMAGES.get('observability')!.services;
const SHIPPED = readdirSync(new URL('../scenarios/', import.meta.url))
  .filter((file) => file.endsWith('.toml'))
  .map((file) => file.slice(0, -'.toml'.length))
  .sort();
const CAUSES = SHIPPED.filter((name) => shipped(name).boots.some((one) => one.expect.missing.length > 0));

const ladder = loadLadder('observability', ladderText);
if (!ladder.ok) throw new Error(ladder.error);
const MARKERS = ladder.value.markers;

/** S01 and everything that comes with or after it: the selftest's lines, and what only its requests bring about. */
const FROM_S01 = MARKERS.filter(
  (marker) =>
    marker.startsWith('SELFTEST: ') ||
    /^(logd|metricsd): reject /.test(marker) ||
    marker === 'rngd: mmio window mapped ok',
);
/** The store's driver starts at the first request that passes its check. */
const FIRST_REQUEST = 'blk: virtio-blk up';

function inLadderOrder(markers: readonly string[]): readonly string[] {
  for (const marker of markers) expect(MARKERS).toContain(marker);
  return MARKERS.filter((marker) => markers.includes(marker));
}

/** No cause taken away makes a run wait longer than this: 48 appends of S40, each with its 64 receives of 50 ms. */
const LONGEST_WAIT_NS = 160_000_000_000;

function expectBounded(booted: Booted): void {
  for (const one of booted.outcome.boots) {
    expect(one.virtualNs).toBeLessThan(LONGEST_WAIT_NS);
    // A run that ended for want of a goal says who waits for whom.
    if (!one.passed && one.end !== 'goal') expect(one.stall[0]).toMatch(/^at \d+\.\d{6} s: who waits for whom$/);
  }
}

describe('scenario files', () => {
  it('ships one for each cause', () => {
    expect(CAUSES).toEqual([
      'disk-fails',
      'disk-fails-late',
      'logd-drops',
      'metricsd-no-store',
      'silent-logd',
      'silent-metricsd',
      'without-keystored',
      'without-logd',
      'without-metricsd',
      'without-policyd',
      'without-rngd',
      'without-samgrd',
      'without-statefsd',
    ]);
  });

  it.each(CAUSES)('%s loses exactly its markers', (name) => {
    const scenario = shipped(name);
    expect(inLadderOrder(scenario.boots[0]!.expect.missing)).toEqual(scenario.boots[0]!.expect.missing);
    const booted = boot(scenario);
    expect(only(booted).reasons).toEqual([]);
    expect(missing(booted)).toEqual(scenario.boots[0]!.expect.missing);
    expectBounded(booted);
  });

  it('a scenario fails when a marker comes although its cause was taken away', () => {
    const scenario = shipped('metricsd-no-store');
    const booted = boot({
      ...scenario,
      boots: scenario.boots.map((one) => ({ ...one, faults: observability().boots[0]!.faults })),
    });
    expect(only(booted).passed).toBe(false);
    expect(only(booted).reasons).toEqual([
      'marker came although its cause was taken away: SELFTEST: metrics retention ok',
    ]);
  });

  it('and when another one is missing', () => {
    const scenario = shipped('disk-fails-late');
    const booted = boot(withFaults(scenario, { blockWritesFailFrom: 4 }));
    expect(only(booted).reasons).toEqual(['missing marker that should have come: SELFTEST: statefs persist ok']);
  });
});

describe('block writes that fail later and later lose fewer steps (sheet 80, sections 6.1 to 6.6)', () => {
  const KEY = ['SELFTEST: device key pubkey ok', 'SELFTEST: device key private export rejected ok'];
  const RELOAD = ['SELFTEST: reload ok', 'SELFTEST: device key persist ok'];
  const S10 = ['SELFTEST: statefs persist ok'];
  const S46 = ['SELFTEST: metrics retention ok'];
  it.each([
    [1, 'DEL of S01', FROM_S01],
    [2, 'the seed of S07', [...KEY, 'SELFTEST: statefs put ok', ...S10, ...RELOAD, ...S46]],
    [3, 'PUT of S08', ['SELFTEST: statefs put ok', ...S10, ...S46]],
    [4, 'PUT of S10', [...S10, ...S46]],
  ])('from write %d on: %s', (from, _what, lost) => {
    expect(missing(boot(withFaults(observability(), { blockWritesFailFrom: from })))).toEqual(inLadderOrder(lost));
  });

  it('after the acknowledged write of S46 nothing is lost', () => {
    expect(missing(boot(withFaults(observability(), { blockWritesFailFrom: 6 })))).toEqual([]);
  });
});

describe('a service that starts and never does anything', () => {
  const lost: Readonly<Record<string, readonly string[]>> = {
    keystored: ['keystored: ready', FIRST_REQUEST, ...FROM_S01],
    rngd: [
      ...shipped('without-rngd').boots[0]!.expect.missing.filter((one) => !one.startsWith('init: ')),
      'rngd: ready',
    ],
    // init never gets an answer to its proof that policy denies (sheet 20, section 6.2), and once everybody else polls its
    // deadline passes unseen (sheet 10, Q13). Nothing is ever wired.
    policyd: ['policyd: ready', 'statefsd: ready', 'metricsd: ready', FIRST_REQUEST, ...FROM_S01],
    // init answers the route query of S16 all the same; the exchange after it is what fails.
    samgrd: [
      'samgrd: ready',
      ...shipped('without-samgrd').boots[0]!.expect.missing.filter(
        (one) => one.startsWith('SELFTEST') || one.includes('d: reject '),
      ),
    ].filter((one) => one !== 'SELFTEST: ipc routing samgrd ok'),
    statefsd: ['statefsd: ready', FIRST_REQUEST, ...FROM_S01],
    'selftest-client': FROM_S01,
  };

  it.each(Object.keys(lost))('%s', (service) => {
    const booted = boot(withFaults(observability(), { silent: [service] }));
    expect(missing(booted)).toEqual(inLadderOrder([...new Set(lost[service])]));
    expectBounded(booted);
  });

  it('leaves no service out (logd and metricsd have files of their own)', () => {
    expect([...Object.keys(lost), 'logd', 'metricsd'].sort()).toEqual([...SERVICES].sort());
  });
});

describe('a service that exits at once', () => {
  // init wires every service; a transfer to a task that is gone fails, and a failed transfer is fatal (sheet 20, section 5).
  const WITHOUT_INIT = ['statefsd: ready', 'metricsd: ready', FIRST_REQUEST, ...FROM_S01];

  it.each(SERVICES)('%s: nothing is wired', (service) => {
    const scenario = withFaults(observability(), { dead: [service] });
    // policyd looks for its missing slots for ever where init died before it gave them: that is no dead end, but a bound.
    const booted = boot({
      ...scenario,
      boots: scenario.boots.map((one) => ({ ...one, maxVirtualNs: 12_000_000_000 })),
    });
    const ready = MARKERS.filter((marker) => marker === `${service}: ready`);
    expect(missing(booted)).toEqual(inLadderOrder([...new Set([...WITHOUT_INIT, ...ready])]));
    // Without policyd init does not even get that far: it waits for policyd's answer, as with a silent one.
    const fatal = booted.boots[0]!.filter((line) => line.startsWith('!fatal init-lite'));
    expect(fatal).toHaveLength(service === 'policyd' ? 0 : 1);
    expectBounded(booted);
  });
});

describe('faults and quirks together', () => {
  it('OBS-15: with ready-before-proof `metricsd: ready` comes without logd, in the contract it does not', () => {
    const without = withFaults(observability(), { without: ['logd'] });
    const line = 'metricsd: ready';
    expect(boot(without).boots[0]!).not.toContain(line);
    expect(boot(withQuirks(without, ['ready-before-proof'])).boots[0]!).toContain(line);
  });

  it('OBS-15: a degraded sink is said once per service', () => {
    const lines = boot(withFaults(observability(), { without: ['logd'] })).boots[0]!;
    const degraded = lines.filter((line) => line.endsWith(': log sink degraded'));
    expect(degraded.length).toBeGreaterThan(0);
    expect(new Set(degraded).size).toBe(degraded.length);
  });

  it('OBS-19, OBS-23: policyd that may allow nothing: init refuses the routes', () => {
    const deny = [{ subject: 'selftest-client', capability: 'ipc.core' }];
    const booted = boot(withFaults(observability(), { deny }));
    expect(only(booted).passed).toBe(false);
    expect(missing(booted)).toContain('SELFTEST: metrics security rejects ok');
    expectBounded(booted);
  });

  it('each fault is announced in the trace', () => {
    const booted = boot(shipped('disk-fails-late'), { trace: true });
    const faults = booted.events.filter((event) => event.kind === 'fault');
    expect(faults.length).toBeGreaterThan(0);
    expect(faults[0]).toMatchObject({ name: 'block-writes-fail-from', detail: 'write 5 answered IOERR' });
  });
});

describe('a dead end', () => {
  it('ends at once and says who waits for whom', () => {
    const booted = boot(withFaults(observability(), { silent: ['metricsd'] }));
    const one = only(booted);
    expect(one.end).toBe('dead');
    expect(one.virtualNs).toBeLessThan(2_000_000_000);
    const report = one.stall.join('\n');
    expect(report).toContain('selftest-client (pid 25) waits for a message');
    expect(report).toContain('SEND held by init-lite (pid 17, slot 64), metricsd (pid 22, slot 4)');
  });

  it('without a selftest nobody asks for anything: the run ends when all have settled', () => {
    const one = only(boot(withFaults(observability(), { silent: ['selftest-client'] })));
    expect(one.end).toBe('dead');
    expect(one.virtualNs).toBeLessThan(500_000_000);
  });

  it('the bound of virtual time holds where a wait is long', () => {
    const scenario = shipped('without-logd');
    const bounded = { ...scenario, boots: scenario.boots.map((one) => ({ ...one, maxVirtualNs: 2_000_000_000 })) };
    const one = only(boot(bounded));
    expect(one.end).toBe('time');
    expect(one.reasons).toContain('virtual-time bound of 2 s reached');
    expect(one.virtualNs).toBeLessThan(2_100_000_000);
  });
});
