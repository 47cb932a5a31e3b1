import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import type { Ladder } from '../markers/ladder.ts';
import { ladderFile, loadLadder } from '../markers/loader.ts';
import { Goal } from './goal.ts';
import type { GoalKind } from './goal.ts';
import type { Expectation } from './scenario.ts';

const NOTHING: Expectation = { missing: [], present: [], absent: [], fails: [], diskKeys: [] };

function ladderOf(name: string): Ladder {
  const loaded = loadLadder(name, (file) =>
    readFileSync(new URL(`../markers/${ladderFile(file)}`, import.meta.url), 'utf8'),
  );
  if (!loaded.ok) throw new Error(loaded.error);
  return loaded.value;
}

const LADDER = ladderOf('observability');

function goal(until: string, options: { kind?: GoalKind; phase?: string; expect?: Partial<Expectation> } = {}): Goal {
  const made = Goal.of(options.kind ?? 'ladder', LADDER, until, options.phase, { ...NOTHING, ...options.expect });
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

/** Feeds lines until the goal is reached; the number of lines taken. */
function feed(target: Goal, lines: readonly string[]): number {
  let taken = 0;
  for (const line of lines) {
    if (target.isReached()) break;
    target.line(line);
    taken += 1;
  }
  return taken;
}

describe('a ladder', () => {
  it('passes when every marker came, and ends at the until-marker', () => {
    const one = goal('SELFTEST: end');
    expect(feed(one, [...LADDER.markers, 'later'])).toBe(LADDER.markers.length);
    expect(one.verdict()).toMatchObject({ passed: true, reasons: [] });
  });

  it('names each missing marker with its phase', () => {
    const one = goal('SELFTEST: end');
    feed(
      one,
      LADDER.markers.filter((marker) => !marker.startsWith('SELFTEST: metrics g')),
    );
    expect(one.verdict().reasons).toEqual(['missing marker (metrics): SELFTEST: metrics gauges ok']);
  });

  it('until 0 never stops by itself', () => {
    const one = goal('0');
    expect(feed(one, [...LADDER.markers, 'x', 'y'])).toBe(LADDER.markers.length + 2);
    expect(one.verdict().passed).toBe(true);
  });

  it('an unexpected failure line fails a complete ladder, and is named', () => {
    const one = goal('SELFTEST: end');
    feed(one, ['SELFTEST: something FAIL', ...LADDER.markers]);
    expect(one.verdict().reasons).toEqual(['unexpected failure line 1: SELFTEST: something FAIL']);
  });

  it('a failure line that belongs to a good run does not', () => {
    const one = goal('SELFTEST: end');
    feed(one, ['policyd: audit emit FAIL', ...LADDER.markers]);
    expect(one.verdict().reasons).toEqual([]);
  });

  it('an order-enforced marker out of order is named', () => {
    const one = goal('SELFTEST: end');
    const up = LADDER.markers.indexOf('init: up logd');
    const swapped = [...LADDER.markers];
    [swapped[up - 1], swapped[up]] = [swapped[up]!, swapped[up - 1]!];
    feed(one, swapped);
    expect(one.verdict().reasons).toEqual([expect.stringContaining('out of order: init: up logd')]);
  });

  it('gives ladder markers once, when their line comes', () => {
    const one = goal('SELFTEST: end');
    expect(one.line('UBlogd: ready')).toEqual(['logd: ready']);
    expect(one.line('logd: ready')).toEqual([]);
    expect(one.line('noise')).toEqual([]);
  });
});

describe('an expectation', () => {
  const lost = ['SELFTEST: metrics retention ok'];

  it('passes with exactly its missing markers', () => {
    const one = goal('SELFTEST: end', { expect: { missing: lost } });
    feed(one, ['SELFTEST: metrics retention FAIL', ...LADDER.markers.filter((marker) => !lost.includes(marker))]);
    expect(one.verdict()).toMatchObject({ passed: true, reasons: [] });
  });

  it('fails with fewer and with more', () => {
    const fewer = goal('SELFTEST: end', { expect: { missing: lost } });
    feed(fewer, LADDER.markers);
    expect(fewer.verdict().reasons).toEqual([`marker came although its cause was taken away: ${lost[0]!}`]);
    const more = goal('SELFTEST: end', { expect: { missing: lost } });
    feed(
      more,
      LADDER.markers.filter((marker) => !lost.includes(marker) && marker !== 'SELFTEST: qos ok'),
    );
    expect(more.verdict().reasons).toEqual(['missing marker that should have come: SELFTEST: qos ok']);
  });

  it('asks for texts that come and texts that do not', () => {
    const one = goal('SELFTEST: end', { expect: { present: ['yes', 'no such'], absent: ['bad'] } });
    feed(one, ['oh yes', 'a bad line', ...LADDER.markers]);
    expect(one.verdict().reasons).toEqual(['no line contains "no such"', 'unexpected line: a bad line']);
  });
});

describe('a text', () => {
  it('passes at its line, whatever the ladder says', () => {
    const one = goal('SELFTEST: qos ok', { kind: 'text' });
    expect(feed(one, ['policyd: audit emit FAIL', 'a', 'SELFTEST: qos ok', 'b'])).toBe(3);
    expect(one.verdict()).toMatchObject({ passed: true, reasons: [] });
    expect(one.verdict().stop).toContain('SELFTEST: qos ok');
  });

  it('fails when it does not come', () => {
    const one = goal('SELFTEST: qos ok', { kind: 'text' });
    feed(one, ['a', 'b']);
    expect(one.verdict().reasons).toEqual(['the marker did not come: SELFTEST: qos ok']);
  });

  it('fails after an unexpected failure line', () => {
    const one = goal('SELFTEST: qos ok', { kind: 'text' });
    feed(one, ['SELFTEST: keystored v1 FAIL', 'SELFTEST: qos ok']);
    expect(one.verdict().reasons).toEqual(['1 FAIL line(s) came before']);
  });

  it('fails where the kernel dies first', () => {
    const one = goal('SELFTEST: qos ok', { kind: 'text' });
    expect(feed(one, ['PANIC at x', 'SELFTEST: qos ok'])).toBe(1);
    expect(one.verdict().passed).toBe(false);
  });

  it('1 is the complete stop set', () => {
    const flags = LADDER.stop.flatMap((group) => group.flags);
    const one = goal('1', { kind: 'text' });
    feed(one, flags);
    expect(one.isReached()).toBe(true);
    expect(one.verdict().passed).toBe(true);
    const none = goal('1', { kind: 'text' });
    feed(none, flags.slice(0, -1));
    expect(none.verdict().reasons).toEqual(['the marker did not come: the complete stop set']);
  });
});

describe('a phase', () => {
  it('stops when the ladder is complete up to its end, not at its last marker', () => {
    const one = goal('0', { phase: 'bring-up' });
    const end = LADDER.markers.indexOf('metricsd: ready') + 1;
    const upTo = LADDER.markers.slice(0, end);
    const [first, ...rest] = upTo.filter((marker) => !marker.startsWith('init:') && !marker.startsWith('KSELFTEST'));
    const ordered = upTo.filter((marker) => marker.startsWith('init:') || marker.startsWith('KSELFTEST'));
    expect(feed(one, [...ordered, ...rest, 'more', first!, 'too late'])).toBe(upTo.length + 1);
    expect(one.verdict()).toMatchObject({ passed: true });
  });

  it('ends at a marker that is named beside it, complete or not', () => {
    const one = goal('SELFTEST: end', { phase: 'bring-up' });
    expect(feed(one, ['noise', 'SELFTEST: end', 'too late'])).toBe(2);
    expect(one.verdict().passed).toBe(false);
    const other = goal('SELFTEST: end', { phase: 'bring-up' });
    feed(other, LADDER.markers);
    expect(other.verdict().passed).toBe(true);
  });

  it('that does not exist is an error', () => {
    expect(Goal.of('ladder', LADDER, '0', 'dinner', NOTHING)).toMatchObject({ ok: false });
  });
});
