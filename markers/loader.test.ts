import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { fixtures } from './fixtures/fixtures.ts';
import { failedPhase, isOrdered, trimToPhase, withRequirements } from './ladder.ts';
import { loadLadder, parseLadder } from './loader.ts';

const { ladder, ladderText } = fixtures((path) => readFileSync(new URL(path, import.meta.url), 'utf8'));

const SMALL = `
name = "small"
ordered_exact = ["b"]
ordered_prefix = ["x "]
markers = ["a", "b", "c"]
[[phases]]
name = "one"
start = "a"
end = "b"
[[stop]]
group = "g"
flags = ["a", "c"]
`;

function errorOf(text: string, others: Readonly<Record<string, string>> = { small: SMALL }): string {
  const loaded = parseLadder(text, 'ladder-x.toml', (name) => others[name]);
  return loaded.ok ? 'no error' : loaded.error;
}

describe('the shipped ladders', () => {
  it('default: 128 markers, eight phases with the end indexes of sheet 85, 66 flags', () => {
    const { markers, phases, stop } = ladder('default');
    expect(markers).toHaveLength(128);
    expect(phases.map((phase) => [phase.name, markers.indexOf(phase.end)])).toEqual([
      ['bring-up', 38],
      ['mmio', 120],
      ['routing', 121],
      ['ota', 78],
      ['policy', 84],
      ['logd', 110],
      ['vfs', 126],
      ['end', 127],
    ]);
    expect(stop.map(({ group, flags }) => [group, flags.length])).toEqual([
      ['init start', 8],
      ['init ready', 1],
      ['init up', 7],
      ['readiness', 2],
      ['exec', 8],
      ['ipc', 6],
      ['routing', 7],
      ['samgrd', 4],
      ['bundlemgrd', 3],
      ['keystored', 2],
      ['kernel ipc', 10],
      ['policy', 4],
      ['vfs', 3],
      ['end', 1],
    ]);
  });

  it('default: the order rule looks at indexes 1 to 28', () => {
    const whole = ladder('default');
    const ordered = whole.markers.flatMap((marker, index) => (isOrdered(whole, marker) ? [index] : []));
    expect(ordered).toEqual(Array.from({ length: 28 }, (_, index) => index + 1));
  });

  it('smp: 137 markers, phases grow by nine, KINIT is not ordered', () => {
    const smp = ladder('smp');
    expect(smp.markers).toHaveLength(137);
    expect(smp.phases.map((phase) => smp.markers.indexOf(phase.end))).toEqual([47, 129, 130, 87, 93, 119, 135, 136]);
    expect(smp.markers.slice(2, 5)).toEqual([
      'KSELFTEST: resource sentinel ok',
      'KINIT: cpu1 online',
      'KSELFTEST: smp online ok',
    ]);
    expect(isOrdered(smp, 'KINIT: cpu1 online')).toBe(false);
    expect(isOrdered(smp, 'KSELFTEST: work stealing ok')).toBe(true);
  });

  it('dhcp-strict: the requirement of dhcp with the strict flag', () => {
    const [loose] = ladder('dhcp').requirements;
    const [strict] = ladder('dhcp-strict').requirements;
    expect(loose?.gate?.strictFlag).toBeUndefined();
    expect(strict?.gate?.strictFlag).toBe('REQUIRE_QEMU_DHCP_STRICT=1');
    expect(strict?.markers).toEqual(loose?.markers);
  });

  it('requirements of several ladders combine', () => {
    const all = withRequirements(ladder('smp'), [ladder('dhcp'), ladder('dsoftbus')]);
    expect(all.requirements.map((requirement) => requirement.name)).toEqual(['dhcp', 'dsoftbus']);
    expect(withRequirements(all, [ladder('dhcp-strict')]).requirements.map((r) => r.name)).toEqual([
      'dsoftbus',
      'dhcp',
    ]);
  });

  it('observability: nothing of an absent service, all of RFC-0024, phases that cover the ladder in order', () => {
    const { markers, phases, stop } = ladder('observability');
    const absent = /bundlemgrd|packagefsd|vfs|execd|netstackd|dsoftbusd|updated|timed|net:|child| ota |bootctl/;
    const texts = [...markers, ...stop.flatMap((group) => group.flags)];
    expect(texts.filter((text) => absent.test(text))).toEqual([]);
    expect(markers).toEqual(
      expect.arrayContaining([
        'logd: reject invalid_args',
        'logd: reject over_limit',
        'logd: reject rate_limited',
        'SELFTEST: logd hardening rejects ok',
        'metricsd: ready',
        'SELFTEST: metrics security rejects ok',
        'SELFTEST: metrics counters ok',
        'SELFTEST: metrics gauges ok',
        'SELFTEST: metrics histograms ok',
        'SELFTEST: tracing spans ok',
        'SELFTEST: metrics retention ok',
      ]),
    );
    expect(phases.map((phase) => phase.name)).toEqual(['bring-up', 'storage', 'policy', 'logd', 'metrics', 'end']);
    const ends = phases.map((phase) => markers.indexOf(phase.end));
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
    expect(ends.at(-1)).toBe(markers.length - 1);
  });
});

describe('phases', () => {
  const whole = ladder('default');
  const mapping = (name: string): Record<string, [number, number]> => {
    const trimmed = trimToPhase(whole, name);
    if (!trimmed.ok) throw new Error(trimmed.error);
    const spans: Record<string, [number, number]> = {};
    trimmed.value.markers.forEach((_, index) => {
      const phase = failedPhase(trimmed.value, index);
      spans[phase] = [spans[phase]?.[0] ?? index, index];
    });
    return spans;
  };

  it.each([
    ['bring-up', { 'bring-up': [0, 38] }],
    ['mmio', { 'bring-up': [0, 38], mmio: [39, 120] }],
    ['routing', { 'bring-up': [0, 38], mmio: [39, 120], routing: [121, 121] }],
    ['ota', { 'bring-up': [0, 38], ota: [39, 78] }],
    ['policy', { 'bring-up': [0, 38], ota: [39, 78], policy: [79, 84] }],
    ['logd', { 'bring-up': [0, 38], ota: [39, 78], policy: [79, 84], logd: [85, 110] }],
    ['vfs', { 'bring-up': [0, 38], mmio: [39, 120], routing: [121, 121], vfs: [122, 126] }],
    ['end', { 'bring-up': [0, 38], mmio: [39, 120], routing: [121, 121], vfs: [122, 126], end: [127, 127] }],
  ])('sheet 85, section 4.2: RUN_PHASE=%s charges the indexes of the table', (name, spans) => {
    expect(mapping(name)).toEqual(spans);
  });

  it('an unknown phase lists the known ones, with the blank before the parenthesis', () => {
    expect(trimToPhase(whole, 'nope')).toEqual({
      ok: false,
      error: "[error] Unknown RUN_PHASE='nope' (supported: bring-up mmio routing ota policy logd vfs end )",
    });
  });
});

describe('loader errors name file, key and expectation', () => {
  it.each(
    (
      [
        ['name = ', /^ladder-x\.toml:1:8: expected valid TOML: /],
        [
          SMALL.replace('name = "small"', ''),
          'ladder-x.toml: name: expected a string of 1 to 240 characters on one line',
        ],
        [
          SMALL.replace('"a", "b"', '"a", 7'),
          'ladder-x.toml: markers[1]: expected a string of 1 to 240 characters on one line',
        ],
        [
          SMALL.replace('"a", "b"', '"a", ""'),
          'ladder-x.toml: markers[1]: expected a string of 1 to 240 characters on one line',
        ],
        [SMALL.replace('["a", "b", "c"]', '"a"'), 'ladder-x.toml: markers: expected a list of strings'],
        [SMALL.replace('"b", "c"]', '"b", "a"]'), "ladder-x.toml: markers: expected each marker once, found 'a' again"],
        [
          SMALL.replace('end = "b"', 'end = "z"'),
          "ladder-x.toml: phases[0].end: expected a marker of the ladder, found 'z'",
        ],
        [
          SMALL.replace('end = "b"', ''),
          'ladder-x.toml: phases[0].end: expected a string of 1 to 240 characters on one line',
        ],
        [
          SMALL.replace('end = "b"', 'end = "b"\nfin = "c"'),
          'ladder-x.toml: phases[0].fin: unknown key; expected one of name, start, end',
        ],
        [
          SMALL.replace('flags = ["a", "c"]', 'flags = ["a", "a"]'),
          "ladder-x.toml: stop: expected each flag once, found 'a' again",
        ],
        [SMALL.replace('flags = ["a", "c"]', 'flags = []'), 'ladder-x.toml: stop: expected 1 to 1024 flags'],
        ['name = "y"\nextends = "gone"', "ladder-x.toml: extends: expected the name of a ladder, found 'gone'"],
        [
          'name = "y"\nextends = "small"\nremove = ["z"]',
          "ladder-x.toml: remove[0]: expected a marker of the ladder, found 'z'",
        ],
        [
          'name = "y"\nextends = "small"\nremove = ["b"]',
          "ladder-x.toml: phases[0].end: expected a marker of the ladder, found 'b'",
        ],
        [
          'name = "y"\nextends = "small"\n[[insert]]\nmarkers = ["z"]',
          'ladder-x.toml: insert[0].before: expected either before or after',
        ],
        [
          'name = "y"\nextends = "small"\n[[insert]]\nafter = "z"\nmarkers = ["y"]',
          "ladder-x.toml: insert[0].after: expected a marker of the ladder, found 'z'",
        ],
        [
          'name = "y"\nextends = "small"\n[stop_change]\nremove = ["b"]',
          "ladder-x.toml: stop_change.remove[0]: expected a flag of the stop set, found 'b'",
        ],
        [
          'name = "y"\nextends = "small"\n[require.r]\nflag = "R=1"',
          'ladder-x.toml: require.r.phase: expected a string of 1 to 240 characters on one line',
        ],
        ['name = "y"\nextends = "small"\nphases = 3', 'ladder-x.toml: phases: expected an array of tables'],
        ['name = "y"\nextends = "small"\ntrouble = 3', 'ladder-x.toml: trouble: expected a table'],
        ['name = "y"\nextends = "small"\ntrouble = 2026-01-01', 'ladder-x.toml: trouble: expected a table'],
        [`name = "y" # ${'x'.repeat(70_000)}`, 'ladder-x.toml: expected at most 65536 characters'],
      ] as const
    ).map(([text, error]) => ({ text, error })),
  )('$error', ({ text, error }) => {
    expect(errorOf(text)).toEqual(typeof error === 'string' ? error : expect.stringMatching(error));
    expect(errorOf(text)).not.toContain('\n');
  });

  it('a ladder that extends itself ends at the limit of the chain', () => {
    const loop = 'name = "loop"\nextends = "loop"';
    expect(errorOf(loop, { loop })).toBe('ladder-loop.toml: extends: expected a chain of at most 4 ladders');
  });

  it('a ladder without a file', () => {
    expect(loadLadder('gone', ladderText)).toEqual({
      ok: false,
      error: 'ladder-gone.toml: expected an existing ladder file',
    });
  });

  it('an error in an extended ladder names that file', () => {
    expect(errorOf('name = "y"\nextends = "bad"', { bad: 'nam = "bad"' })).toMatch(
      /^ladder-bad\.toml: nam: unknown key/,
    );
  });
});
