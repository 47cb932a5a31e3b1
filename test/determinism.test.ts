/** A run is a pure function of image, scenario and seed (design, decisions 3 and 7): the same bytes, however it is driven. */
import { describe, expect, it } from 'vitest';

import type { Scenario } from '../scenarios/scenario.ts';
import { boot, diskText, missing, observability, only, shipped, withFaults, withQuirks } from './boot.ts';
import type { BootOptions, Booted } from './boot.ts';

/** Everything a run leaves behind, in a form that can be compared. */
function traces(scenario: Scenario, options: BootOptions = {}): Readonly<Record<string, unknown>> {
  return summary(boot(scenario, { ...options, trace: true }));
}

function summary(booted: Booted): Readonly<Record<string, unknown>> {
  return {
    uart: booted.uart,
    trace: booted.trace.join('\n'),
    disk: diskText(booted.disk),
    clock: booted.outcome.boots.map((one) => one.virtualNs),
    outcome: JSON.stringify(booted.outcome),
  };
}

/** Names of the parts that differ: a diff of a whole trace helps nobody. */
function differences(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.keys(a).filter((key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]));
}

function unskipped(scenario: Scenario): Scenario {
  return { ...scenario, machine: { ...scenario.machine, skipPolls: false } };
}

describe('the same scenario gives the same bytes', () => {
  const contract = traces(observability());

  it('twice in one process', () => {
    expect((contract['trace'] as string).length).toBeGreaterThan(500_000);
    expect((contract['disk'] as string).length).toBeGreaterThan(1000);
    expect(differences(traces(observability()), contract)).toEqual([]);
  });

  it('in slices of any size', () => {
    for (const slice of [997, 20_000]) expect(differences(traces(observability(), { slice }), contract)).toEqual([]);
  });

  it('with every polling round simulated', () => {
    expect(differences(traces(unskipped(observability())), contract)).toEqual([]);
  });

  it('with nobody listening to the trace', () => {
    const { trace: _trace, ...rest } = contract;
    expect(differences(rest, summary(boot(observability())))).toEqual([]);
  });

  it('two machines interleaved know nothing of each other', () => {
    // The second run begins and ends while the first has done one slice.
    const nested: Booted[] = [];
    const outer = boot(observability(), {
      trace: true,
      slice: 500,
      onSlice: (slices) => {
        if (slices === 3) nested.push(boot(withQuirks(observability(), 'reference')));
      },
    });
    expect(nested).toHaveLength(1);
    expect(differences(summary(outer), contract)).toEqual([]);
  });

  it('with the quirks of the reference: skipping polls changes nothing', () => {
    const reference = withQuirks(observability(), 'reference');
    expect(differences(traces(unskipped(reference)), traces(reference))).toEqual([]);
  });

  it('over two boots: skipping polls changes nothing', () => {
    expect(differences(traces(unskipped(shipped('reboot'))), traces(shipped('reboot')))).toEqual([]);
  });

  it.each(['none', 'reference'])(
    'without a listener, when exchanges are added up too: skipping changes nothing (%s)',
    (quirks) => {
      const scenario = withQuirks(shipped('default'), quirks);
      const skipped = boot(scenario);
      expect(skipped.outcome.passed).toBe(true);
      expect(differences(summary(boot(unskipped(scenario))), summary(skipped))).toEqual([]);
    },
  );

  it('where init is gone and services wait for it: the wait is added up', () => {
    const scenario = withFaults(shipped('default'), { inject: [{ kind: 'exec', service: 'policyd' }] });
    let slices = 0;
    const skipped = boot(scenario, { slice: 20_000, onSlice: () => (slices += 1) });
    expect(slices).toBe(0);
    expect(only(skipped).virtualNs).toBeGreaterThan(10_000_000_000);
    expect(differences(summary(boot(unskipped(scenario))), summary(skipped))).toEqual([]);
  });

  it('where dsoftbusd never comes up: the selftest searches the log for it until its deadline (S15)', () => {
    const without = withFaults(shipped('default'), { without: ['dsoftbusd'] });
    const scenario = { ...without, boots: without.boots.map((one) => ({ ...one, maxVirtualNs: 7_000_000_000 })) };
    const skipped = boot(scenario);
    expect(skipped.uart).toContain('SELFTEST: ipc routing samgrd ok');
    expect(differences(summary(boot(unskipped(scenario))), summary(skipped))).toEqual([]);
  });

  it('where a cause was taken away: skipping polls changes nothing', () => {
    for (const name of ['silent-metricsd', 'logd-drops']) {
      expect(differences(traces(unskipped(shipped(name))), traces(shipped(name))), name).toEqual([]);
    }
  });
});

describe('seeds', () => {
  const seeded = (seed: number): Scenario => ({ ...observability(), seed: String(seed) });

  it.each([2, 7, 4_294_967_296])('seed %d passes the same ladder (twenty more: npm run proof)', (seed) => {
    const booted = boot(seeded(seed));
    expect(only(booted).reasons).toEqual([]);
    expect(missing(booted)).toEqual([]);
  });

  it('another seed draws another device key', () => {
    const disks = [1, 2].map((seed) => diskText(boot(seeded(seed)).disk));
    expect(disks[0]).not.toBe(disks[1]);
  });

  it('no random value, time or nonce is ever printed: the UART text is that of seed 1 (sheet 85, section 17.3)', () => {
    expect(boot(seeded(99)).uart).toBe(boot(seeded(1)).uart);
  });
});

describe('more harts', () => {
  it.each([2, 4])('%d harts pass the same ladder', (harts) => {
    const scenario = observability();
    const booted = boot({ ...scenario, machine: { ...scenario.machine, harts } });
    expect(only(booted).reasons).toEqual([]);
  });
});
