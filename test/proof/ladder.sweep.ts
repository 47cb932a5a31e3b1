/**
 * The default image passes its ladder in every setting: all quirks off, all on, each alone on, each alone off; and with a
 * hundred seeds, of which each gives the same bytes twice.
 */
import { describe, expect, it } from 'vitest';

import { QUIRKS, parseQuirks } from '../../scenarios/quirks.ts';
import type { QuirkSet } from '../../scenarios/quirks.ts';
import type { Scenario } from '../../scenarios/scenario.ts';
import { allQuirksBut, boot, diskText, only, shipped } from '../boot.ts';
import { share } from './share.ts';

const SEEDS = 100;

function quirksOf(word: string): QuirkSet {
  const parsed = parseQuirks(word);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.quirks;
}

function scenarioOf(quirks: QuirkSet, seed = '1'): Scenario {
  return { ...shipped('default'), quirks, seed };
}

const SETTINGS: readonly (readonly [name: string, quirks: QuirkSet])[] = [
  ['all off', quirksOf('none')],
  ['all on', quirksOf('reference')],
  ...QUIRKS.map(({ name }) => [`${name} alone on`, quirksOf(name)] as const),
  ...QUIRKS.map(({ name }) => [`${name} alone off`, allQuirksBut(name)] as const),
];

describe(`the ladder of the default image in ${SETTINGS.length} settings of the quirks`, () => {
  it.each(share(SETTINGS))('%s', (_, quirks) => {
    expect(only(boot(scenarioOf(quirks))).reasons).toEqual([]);
  });
});

describe(`the ladder of the default image with ${SEEDS} seeds`, () => {
  it.each(share(Array.from({ length: SEEDS }, (_, i) => String(i + 1))))('seed %s: twice the same bytes', (seed) => {
    const [a, b] = [1, 2].map(() => {
      const booted = boot(scenarioOf(quirksOf('none'), seed), { trace: true });
      expect(only(booted).reasons).toEqual([]);
      return [booted.uart, booted.trace.join('\n'), diskText(booted.disk), JSON.stringify(booted.outcome)];
    });
    expect(a!.map((part, i) => part === b![i])).toEqual([true, true, true, true]);
  });
});

describe('two boots on one disk', () => {
  const settings = ['none', 'reference'];
  it.each(share(settings))('quirks %s: the second passes, too, and finds the device key of the first', (word) => {
    const first = boot(scenarioOf(quirksOf(word)));
    const second = boot(scenarioOf(quirksOf(word)), { disk: first.disk });
    for (const booted of [first, second]) expect(only(booted).reasons).toEqual([]);
    expect(first.uart).toContain('keystored: device key generated');
    expect(second.uart).not.toContain('keystored: device key generated');
  });
});
