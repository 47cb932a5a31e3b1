/** Settings of the whole image that no sheet has, and in which the ladder passes all the same (quirks.md; docs/decisions.md). */
import { describe, expect, it } from 'vitest';

import { allQuirksBut, boot, missing, only, shipped, withQuirks } from '../boot.ts';
import type { Booted } from '../boot.ts';

/** What statefsd could not hand over. */
function lost(booted: Booted): number {
  const counts = booted.events.flatMap((event) =>
    event.kind === 'note' && event.name === 'answers-lost' ? [Number(event.value)] : [],
  );
  return Math.max(0, ...counts);
}

describe('producers reach a metricsd that does not wait for its acks: answers fill a queue that nobody reads', () => {
  it.each([
    ['wal-unacknowledged alone on', withQuirks(shipped('default'), ['wal-unacknowledged'])],
    ['metrics-unrouted alone off', { ...shipped('default'), quirks: allQuirksBut('metrics-unrouted') }],
  ])('%s: the ladder passes, and what was not delivered is counted', (_, scenario) => {
    const booted = boot(scenario, { collect: (event) => event.kind === 'note' });
    expect(only(booted).reasons).toEqual([]);
    expect(missing(booted)).toEqual([]);
    expect(lost(booted)).toBeGreaterThan(0);
  });

  it('the contract and the reference lose none', () => {
    for (const quirks of ['none', 'reference'] as const) {
      const base = shipped('default');
      const scenario = quirks === 'reference' ? withQuirks(base, quirks) : base;
      expect(lost(boot(scenario, { collect: (event) => event.kind === 'note' }))).toBe(0);
    }
  });
});

describe('all quirks but one', () => {
  it('wal-unacknowledged: refusals that name no nonce do not cost an awaited write its time', () => {
    const booted = boot(
      { ...shipped('default'), quirks: allQuirksBut('wal-unacknowledged') },
      { collect: (event) => event.kind === 'note' },
    );
    expect(only(booted).reasons).toEqual([]);
    const late = booted.events.filter((event) => event.kind === 'note' && event.name === 'retention.ack-missing');
    expect(late).toEqual([]);
  });

  it('audit-decision-byte: routes that are denied again and again leave room for the records of S31', () => {
    const booted = boot({ ...shipped('default'), quirks: allQuirksBut('audit-decision-byte') });
    expect(only(booted).reasons).toEqual([]);
    expect(missing(booted)).toEqual([]);
  });
});
