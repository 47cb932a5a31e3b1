/** Every quirk alone on and alone off passes the ladder (quirks.ts): 72 boots. */
import { describe, expect, it } from 'vitest';

import { QUIRKS } from '../../scenarios/quirks.ts';
import { allQuirksBut, boot, missing, observability, only, withQuirks } from '../boot.ts';
import type { Booted } from '../boot.ts';

function expectPassed(booted: Booted): void {
  expect(only(booted).reasons).toEqual([]);
  expect(missing(booted)).toEqual([]);
}

describe.each(QUIRKS.map((quirk) => quirk.name))('%s', (name) => {
  it('alone on', () => {
    expectPassed(boot(withQuirks(observability(), [name])));
  });

  it('alone off', () => {
    expectPassed(boot({ ...observability(), quirks: allQuirksBut(name) }));
  });
});
