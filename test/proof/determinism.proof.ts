/** Seeds, poll skipping and speeds, at a length that no commit should wait for. */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { parseLatency } from '../../scenarios/duration.ts';
import type { Scenario } from '../../scenarios/scenario.ts';
import { boot, diskText, missing, observability, only, shipped, withQuirks } from '../boot.ts';
import type { BootOptions } from '../boot.ts';
import { bootPair, pairBytes } from '../pair.ts';

const SHIPPED = readdirSync(new URL('../../scenarios/', import.meta.url))
  .filter((file) => file.endsWith('.toml'))
  .map((file) => file.slice(0, -'.toml'.length));
/** Minutes of virtual time in which two tasks poll: simulating every round takes the host as long. */
const SLOW = ['silent-logd', 'without-logd', 'without-statefsd'];
const BOUND_NS = 20_000_000_000;

function bytes(scenario: Scenario, options: BootOptions = {}): readonly string[] {
  if (scenario.nodes.length > 0) return pairBytes(bootPair(scenario, { ...pickSlice(options), trace: true }));
  const booted = boot(scenario, { ...options, trace: true });
  return [booted.uart, booted.trace.join('\n'), diskText(booted.disk), JSON.stringify(booted.outcome)];
}

function pickSlice({ slice }: BootOptions): { readonly slice?: number } {
  return slice === undefined ? {} : { slice };
}

function bounded(name: string): Scenario {
  const scenario = shipped(name);
  if (!SLOW.includes(name)) return scenario;
  return { ...scenario, boots: scenario.boots.map((one) => ({ ...one, maxVirtualNs: BOUND_NS })) };
}

describe('twenty other seeds pass the same ladder, in contract and as the reference', () => {
  it.each(Array.from({ length: 20 }, (_, i) => i + 2))('seed %d', (seed) => {
    for (const quirks of ['none', 'reference']) {
      const booted = boot({ ...withQuirks(observability(), quirks), seed: String(seed) });
      expect(only(booted).reasons).toEqual([]);
      expect(missing(booted)).toEqual([]);
    }
  });
});

describe('every shipped scenario gives the same bytes', () => {
  it.each(SHIPPED)('%s: with every polling round simulated', (name) => {
    const scenario = bounded(name);
    const unskipped = { ...scenario, machine: { ...scenario.machine, skipPolls: false } };
    const [a, b] = [bytes(scenario), bytes(unskipped)];
    expect(a.map((part, i) => part === b[i])).toEqual(a.map(() => true));
  });

  it.each(SHIPPED)('%s: in small slices', (name) => {
    const scenario = bounded(name);
    const [a, b] = [bytes(scenario), bytes(scenario, { slice: 101 })];
    expect(a.map((part, i) => part === b[i])).toEqual(a.map(() => true));
  });
});

describe('two machines', () => {
  it.each(Array.from({ length: 10 }, (_, i) => i + 2))(
    'seed %d: the same ladder, in contract and as the reference',
    (seed) => {
      for (const quirks of ['none', 'reference']) {
        const booted = bootPair({ ...withQuirks(shipped('os2vm'), quirks), seed: String(seed) });
        expect(booted.outcome.reasons).toEqual([]);
      }
    },
  );

  it.each(['1us', '5us', '200us', '2ms', '10us..300us'])('latency %s: the same ladder', (text) => {
    const latency = parseLatency(text);
    if (latency === null) throw new Error(text);
    const scenario = shipped('os2vm');
    for (const quirks of ['none', 'reference']) {
      const booted = bootPair(withQuirks({ ...scenario, machine: { ...scenario.machine, latency } }, quirks));
      expect(booted.outcome.reasons).toEqual([]);
    }
  });
});

describe('every speed passes in contract', () => {
  it.each([0, 1, 2, 3, 4, 5])('icount %d', (icount) => {
    const scenario = observability();
    expect(missing(boot({ ...scenario, machine: { ...scenario.machine, icount } }))).toEqual([]);
  });
});
