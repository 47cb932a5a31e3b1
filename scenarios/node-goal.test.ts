import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { ladderFile } from '../markers/loader.ts';
import type { GoalKind } from './goal.ts';
import { NodeGoal } from './node-goal.ts';
import type { Expectation } from './scenario.ts';

const NOTHING: Expectation = { missing: [], present: [], absent: [], fails: [], diskKeys: [] };
const DISCOVERY = 'dsoftbusd: discovery cross-vm up';
const SESSION = 'dsoftbusd: cross-vm session ok';

function ladders(name: string): string | undefined {
  return name === 'os2vm'
    ? readFileSync(new URL(`../markers/${ladderFile(name)}`, import.meta.url), 'utf8')
    : undefined;
}

function goal(until: string, kind: GoalKind = 'ladder', expectation: Partial<Expectation> = {}): NodeGoal {
  const made = NodeGoal.of(kind, 'os2vm', ladders, until, { ...NOTHING, ...expectation });
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

/** Lines of a good run, as `A/text`. */
const GOOD = [
  `A/UB${DISCOVERY}`,
  `B/${DISCOVERY}`,
  `A/${SESSION} node-b`,
  `B/${SESSION} node-a`,
  'A/SELFTEST: remote resolve ok',
  'A/SELFTEST: remote query ok',
];

function feed(target: NodeGoal, lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => target.line(line.slice(0, 1), line.slice(2)).map((text) => `${line[0]}/${text}`));
}

describe('the ladder of two machines', () => {
  it('is decided by its last marker, which counts on the node that must print it', () => {
    const all = goal('1');
    expect(feed(all, [...GOOD.slice(0, 5), 'B/SELFTEST: remote query ok'])).toHaveLength(5);
    expect(all.isReached).toBe(false);
    expect(feed(all, GOOD.slice(5))).toEqual(['A/SELFTEST: remote query ok']);
    expect(all.isReached).toBe(true);
    expect(all.verdict()).toMatchObject({ passed: true, reasons: [], ladder: { seen: 6, required: 6 } });
  });

  it('a node that has ended fails the run at the next look, not before: its marker may still come', () => {
    const all = goal('1');
    feed(all, [...GOOD.slice(0, 3), 'B/SELFTEST: end']);
    expect(all.isReached).toBe(false);
    feed(all, GOOD.slice(3, 4));
    all.look();
    expect(all.isReached).toBe(false);
    feed(all, ['A/SELFTEST: end']);
    all.look();
    expect(all.isReached).toBe(true);
    expect(all.verdict().reasons).toEqual([
      'missing marker: A/SELFTEST: remote resolve ok',
      'missing marker: A/SELFTEST: remote query ok',
    ]);
    expect(all.messages.at(-1)).toBe('[error] Node A missing remote resolve marker');
  });

  it('a marker after the verdict does not undo it', () => {
    const all = goal('1');
    feed(all, ['A/SELFTEST: end']);
    all.look();
    feed(all, GOOD);
    expect(all.verdict()).toMatchObject({ passed: false, reasons: ['[error] Node A ended before discovery marker'] });
  });

  it('until 0 nothing stops it', () => {
    const all = goal('0');
    feed(all, GOOD);
    expect(all.isReached).toBe(false);
    expect(all.verdict().passed).toBe(true);
  });

  it('expects what the scenario says: missing markers, texts of a node or of any', () => {
    const missing = ['A/SELFTEST: remote resolve ok', 'A/SELFTEST: remote query ok'];
    const all = goal('1', 'ladder', {
      missing,
      present: ['B/yes', 'both', 'A/session ok', 'node-b'],
      absent: ['A/unwanted'],
    });
    feed(all, [...GOOD.slice(0, 4), 'A/yes', 'B/unwanted']);
    all.over();
    expect(all.verdict().reasons).toEqual([
      'no line of node B contains "yes"',
      'no line of node A or B contains "both"',
    ]);
    const came = goal('1', 'ladder', { missing, absent: ['A/unwanted'] });
    feed(came, [...GOOD.slice(0, 5), 'A/quite unwanted']);
    expect(came.verdict().reasons).toEqual([
      'marker came although its cause was taken away: A/SELFTEST: remote resolve ok',
      'unexpected line: A/quite unwanted',
    ]);
  });

  it('names a ladder that is not there', () => {
    expect(NodeGoal.of('ladder', 'os3vm', ladders, '1', NOTHING)).toEqual({
      ok: false,
      error: 'ladder-os3vm.toml: expected an existing ladder file',
    });
  });
});

describe('a text', () => {
  it('is awaited on its node, or on any', () => {
    const onB = goal('B/here', 'text');
    feed(onB, ['A/here']);
    expect([onB.isReached, onB.verdict().reasons]).toEqual([false, ['the marker did not come on node B: here']]);
    feed(onB, ['B/it is here']);
    expect([onB.isReached, onB.verdict().passed]).toEqual([true, true]);
    expect(onB.messages).toEqual([]);
    const any = goal('here', 'text');
    expect(any.verdict().reasons).toEqual(['the marker did not come: here']);
    feed(any, ['B/here']);
    expect(any.isReached).toBe(true);
  });
});
