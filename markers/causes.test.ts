import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { parseCauses } from './causes.ts';
import type { Cause } from './causes.ts';
import { ladderFile, loadLadder } from './loader.ts';
import { parseNodesLadder } from './nodes.ts';

const folder = new URL('./', import.meta.url);

function markersOf(name: string): readonly string[] {
  const ladder = loadLadder(name, (one) => readFileSync(new URL(ladderFile(one), folder), 'utf8'));
  if (!ladder.ok) throw new Error(ladder.error);
  return ladder.value.markers;
}

/** What a ladder requires beyond its markers. */
function requiredBy(name: string): readonly string[] {
  const ladder = loadLadder(name, (one) => readFileSync(new URL(ladderFile(one), folder), 'utf8'));
  if (!ladder.ok) throw new Error(ladder.error);
  return ladder.value.requirements.flatMap((requirement) => requirement.markers);
}

function shipped(): readonly Cause[] {
  const parsed = parseCauses(readFileSync(new URL('causes.toml', folder), 'utf8'), 'causes.toml');
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

/** The two-machine ladder, each marker with its node in front. */
function nodeMarkers(): readonly string[] {
  const file = ladderFile('os2vm');
  const ladder = parseNodesLadder(readFileSync(new URL(file, folder), 'utf8'), file);
  if (!ladder.ok) throw new Error(ladder.error);
  return ladder.value.steps.flatMap((step) => step.on.map((node) => `${node}/${step.marker}`));
}

/** Lines of sheet 85, section 12.3, that are in no ladder. */
const BESIDE_THE_LADDER = [
  'B/dsoftbusd: remote proxy ok (peer=node-a service=samgrd)',
  'B/dsoftbusd: remote proxy ok (peer=node-a service=bundlemgrd)',
];

const GOOD = `
[[cause]]
marker = "a: ok"
task = "a"
before = ["ipc-send task=a"]
take = ["--without a", "--fault blk:op=write,do=ioerr"]
rule = "a is there"
`;

describe('the table', () => {
  const causes = shipped();
  const known = new Set([
    ...markersOf('default'),
    ...markersOf('observability'),
    ...markersOf('smp'),
    ...requiredBy('dhcp'),
    ...requiredBy('dsoftbus'),
    ...nodeMarkers(),
    ...BESIDE_THE_LADDER,
  ]);

  it('has a cause for every marker of the two-machine ladder, on each node', () => {
    const have = new Set(causes.filter((cause) => cause.ladder === 'os2vm').map((cause) => cause.marker));
    expect(nodeMarkers()).toHaveLength(6);
    expect(nodeMarkers().filter((marker) => !have.has(marker))).toEqual([]);
  });

  it.each(['default', 'observability', 'smp'])('has a cause for every marker of the ladder %s', (ladder) => {
    const have = new Set(causes.map((cause) => cause.marker));
    expect(markersOf(ladder).filter((marker) => !have.has(marker))).toEqual([]);
  });

  it('names no unknown marker', () => {
    expect(causes.map((cause) => cause.marker).filter((marker) => !known.has(marker))).toEqual([]);
  });

  it('says for each what comes before it and how to take that away', () => {
    for (const cause of causes) {
      expect(cause.before.length, cause.marker).toBeGreaterThan(0);
      expect(cause.take.length, cause.marker).toBeGreaterThan(0);
      expect(cause.take.length % 2, cause.marker).toBe(0);
    }
  });

  it('names the markers that the reference prints without a cause', () => {
    expect(causes.flatMap((cause) => (cause.vacuous === null ? [] : [`${cause.marker}: ${cause.vacuous}`]))).toEqual([
      'metricsd: ready: ready-before-proof',
      'SELFTEST: rng entropy ok: blk-status-preset',
      'SELFTEST: ipc routing samgrd ok: routing-unchecked',
      'SELFTEST: ipc routing policyd ok: routing-unchecked',
      'SELFTEST: ipc routing bundlemgrd ok: routing-unchecked',
      'SELFTEST: ipc routing updated ok: routing-unchecked',
      'SELFTEST: policy deny ok: cap-check-reply',
      'SELFTEST: mmio policy deny ok: cap-check-reply',
      'SELFTEST: ipc routing execd ok: routing-unchecked',
      'SELFTEST: child exit ok: child-exit-unchecked',
      'SELFTEST: net udp dns ok: dns-unchecked',
      'B/dsoftbusd: remote proxy ok (peer=node-a service=samgrd): proxy-unchecked',
      'B/dsoftbusd: remote proxy ok (peer=node-a service=bundlemgrd): proxy-unchecked',
    ]);
  });
});

describe('the loader', () => {
  it('reads an entry', () => {
    const parsed = parseCauses(GOOD, 'x.toml');
    expect(parsed.ok && parsed.value[0]).toMatchObject({
      marker: 'a: ok',
      take: ['--without', 'a', '--fault', 'blk:op=write,do=ioerr'],
      prefix: false,
      vacuous: null,
    });
  });

  it.each([
    [GOOD.replace('"--without a"', '"--kill a"'), 'x.toml: cause[0].take[0]: expected one of --fault, --without'],
    [GOOD.replace('"--without a"', '"--without"'), 'x.toml: cause[0].take[0]: expected one of --fault, --without'],
    [GOOD.replace('ipc-send task=a', 'ipc-send task'), 'x.toml: cause[0].before[0]: "task": expected key'],
    [GOOD.replace('rule', 'rules'), 'x.toml: cause[0].rules: unknown key'],
    [GOOD + GOOD, 'x.toml: cause[1].marker: "a: ok" has a cause already'],
    ['[[cause', 'x.toml:1'],
  ])('%s', (text, expected) => {
    const parsed = parseCauses(text, 'x.toml');
    expect(!parsed.ok && parsed.error.startsWith(expected) ? '' : JSON.stringify(parsed)).toBe('');
  });
});
