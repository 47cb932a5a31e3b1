import { describe, expect, it } from 'vitest';

import { NO_LATENCY } from '../sim/net/latency.ts';
import { IMAGES } from './images.ts';
import { DEFAULT_MAX_VIRTUAL_NS, MAX_BOOTS, NO_FAULTS, nodeWord, parseGrant, parseScenario } from './scenario.ts';
import type { Scenario } from './scenario.ts';

function read(text: string): Scenario {
  const parsed = parseScenario(text, 'x.toml', 'x');
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

function errorOf(text: string): string {
  const parsed = parseScenario(text, 'x.toml', 'x');
  return parsed.ok ? 'no error' : parsed.error;
}

describe('two machines', () => {
  it('an image that runs on two has two nodes: those of the harness, B 100 ms after A, 50 us apart', () => {
    const { nodes, machine, boots } = read('image = "os2vm"');
    expect(machine.latency).toEqual({ minNs: 50_000, maxNs: 50_000 });
    expect(boots).toHaveLength(1);
    expect(nodes).toEqual([
      { name: 'A', mac: [0x52, 0x54, 0, 0x12, 0x34, 0x0a], powerOnNs: 0, faults: NO_FAULTS },
      { name: 'B', mac: [0x52, 0x54, 0, 0x12, 0x34, 0x0b], powerOnNs: 100_000_000, faults: NO_FAULTS },
    ]);
  });

  it('a node takes what it leaves out from the harness, and faults from the scenario, key by key', () => {
    const { nodes } = read(`
      image = "os2vm"
      [faults]
      without = ["logd"]
      [[node]]
      power-on = "2ms"
      faults = { silent = ["samgrd"] }
      [[node]]
      mac = "02:00:00:00:00:2A"
      power-on = "never"
      [[node.fault]]
      kind = "exec"
      service = "vfsd"
    `);
    expect(nodes).toMatchObject([
      { name: 'A', powerOnNs: 2_000_000, faults: { without: ['logd'], silent: ['samgrd'], inject: [] } },
      {
        name: 'B',
        powerOnNs: null,
        mac: [2, 0, 0, 0, 0, 42],
        faults: { without: ['logd'], inject: [{ kind: 'exec' }] },
      },
    ]);
  });

  it.each([
    ['[[node]]', 'node: expected 2 tables, for A and B'],
    ['[[node]]\n[[node]]\nname = "B"', 'node[1].name: unknown key; expected one of mac, power-on, faults, fault'],
    [
      '[[node]]\nmac = "01:00:00:00:00:00"\n[[node]]',
      'node[0].mac: expected a unicast address such as 52:54:00:12:34:0a',
    ],
    ['[[boot]]', 'boot: expected none with image os2vm'],
    ['[machine]\nlatency = "999ns"', 'machine.latency: expected at least 1us between two machines'],
  ])('%j', (text, error) => {
    expect(errorOf(`image = "os2vm"\n${text}`)).toBe(`x.toml: ${error}`);
  });

  it('power-on is a time of at most an hour, or never', () => {
    expect(errorOf('image = "os2vm"\n[[node]]\npower-on = "2h"\n[[node]]')).toMatch(
      /^x\.toml: node\[0\]\.power-on: expected never, 0s, or a duration such as /,
    );
  });

  it('an image of one machine has none', () => {
    expect(errorOf('image = "default"\n[[node]]\n[[node]]')).toBe('x.toml: node: expected none with image default');
  });

  it('a word is meant for one node, or for both', () => {
    expect([nodeWord('A/logd'), nodeWord('C/logd'), nodeWord('logd')]).toEqual([
      { node: 'A', text: 'logd' },
      { node: null, text: 'C/logd' },
      { node: null, text: 'logd' },
    ]);
  });
});

describe('network', () => {
  it('latency is a duration or a range', () => {
    const latency = (text: string): unknown =>
      read(`image = "default"\n[machine]\nlatency = "${text}"`).machine.latency;
    expect(latency('2ms')).toEqual({ minNs: 2_000_000, maxNs: 2_000_000 });
    expect(latency('1us..3us')).toEqual({ minNs: 1000, maxNs: 3000 });
    expect(errorOf('image = "default"\n[machine]\nlatency = "5s"')).toBe(
      'x.toml: machine.latency: expected a duration such as 50us, or a range such as 40us..60us, of at most 4s',
    );
  });
});

describe('defaults', () => {
  it('an image is enough: one boot in contract, to the end', () => {
    expect(read('image = "observability"')).toEqual({
      name: 'x',
      description: '',
      image: 'observability',
      seed: '1',
      quirks: new Set(),
      ladder: 'observability',
      machine: {
        harts: 1,
        icount: IMAGES.get('observability')!.icount,
        skipPolls: true,
        network: 'unplugged',
        latency: NO_LATENCY,
      },
      firmwareBanner: false,
      nodes: [],
      boots: [
        {
          until: '0',
          phase: undefined,
          maxVirtualNs: DEFAULT_MAX_VIRTUAL_NS,
          faults: NO_FAULTS,
          expect: { missing: [], present: [], absent: [], fails: [], diskKeys: [] },
        },
      ],
    });
  });

  it('a boot takes what it leaves out from the scenario, key by key', () => {
    const { boots } = read(`
      image = "observability"
      [stop]
      max-virtual-time = "2s"
      until-marker = "A"
      [faults]
      without = ["logd"]
      block-writes-fail-from = 3
      [expect]
      present = ["p"]
      [[boot]]
      [[boot]]
      stop = { until-marker = "B" }
      faults = { without = [] }
      expect = { absent = ["a"] }
    `);
    expect(boots.map((boot) => boot.until)).toEqual(['A', 'B']);
    expect(boots.map((boot) => boot.maxVirtualNs)).toEqual([2_000_000_000, 2_000_000_000]);
    expect(boots.map((boot) => boot.faults.without)).toEqual([['logd'], []]);
    expect(boots.map((boot) => boot.faults.blockWritesFailFrom)).toEqual([3, 3]);
    expect(boots.map((boot) => [boot.expect.present, boot.expect.absent])).toEqual([
      [['p'], []],
      [['p'], ['a']],
    ]);
  });
});

describe('errors are one line: file, key, what was expected', () => {
  it.each([
    ['', 'x.toml: image: expected a string of 1 to 240 characters on one line'],
    ['image = 1', 'x.toml: image: expected a string of 1 to 240 characters on one line'],
    ['image = "nexus"', 'x.toml: image: expected one of default, observability, os2vm, os2vm-metrics'],
    [
      'imagine = "observability"',
      'x.toml: imagine: unknown key; expected one of description, image, ladder, seed, quirks, firmware-banner, machine, stop, faults, fault, expect, boot, node',
    ],
    ['image = "observability"\nmachine = 3', 'x.toml: machine: expected a table'],
    ['image = "observability"\nseed = 1.5', 'x.toml: seed: expected a whole number from 0 to 9007199254740991'],
    ['image = "observability"\nseed = -1', 'x.toml: seed: expected a whole number from 0 to 9007199254740991'],
    ['image = "observability"\nfirmware-banner = "yes"', 'x.toml: firmware-banner: expected true or false'],
    [
      'image = "observability"\nquirks = "rollup"',
      'x.toml: quirks: unknown quirk "rollup": expected none, reference, or names from "nexus-sim quirks"',
    ],
    ['image = "observability"\nboot = 1', 'x.toml: boot: expected an array of tables'],
    ['image = "observability"\nboot = [1]', 'x.toml: boot[0]: expected a table'],
    [
      'image = "observability"\n[[boot]]\nseed = 3',
      'x.toml: boot[0].seed: unknown key; expected one of stop, faults, fault, expect',
    ],
    [
      'image = "observability"\n[expect]\nmissing = "logd: ready"',
      'x.toml: expect.missing: expected a list of strings',
    ],
    [
      'image = "observability"\n[expect]\nmissing = ["a", ""]',
      'x.toml: expect.missing[1]: expected a string of 1 to 240 characters on one line',
    ],
    [
      'image = "observability"\n[faults]\nblock-writes-fail-from = -1',
      'x.toml: faults.block-writes-fail-from: expected a whole number from 0 to 9007199254740991',
    ],
    [
      'image = "observability"\n[faults]\ndead = ["init"]',
      `x.toml: faults.dead[0]: expected one of ${IMAGES.get('observability')!.services.join(', ')}`,
    ],
    [
      'image = "observability"\n[stop]\nmax-virtual-time = 5',
      'x.toml: stop.max-virtual-time: expected a string of 1 to 240 characters on one line',
    ],
  ])('%j', (text, error) => {
    expect(errorOf(text)).toBe(error);
  });

  it('TOML errors name their line', () => {
    expect(errorOf('image = "observability"\nseed = = 1\n')).toMatch(/^x\.toml:2: .*; expected a TOML document$/);
  });

  it('bounds text and boots', () => {
    expect(errorOf(`# ${'x'.repeat(65_536)}`)).toBe('x.toml: expected at most 65536 characters');
    expect(errorOf(`image = "observability"\n${'[[boot]]\n'.repeat(MAX_BOOTS + 1)}`)).toBe(
      'x.toml: boot: expected at most 16 boots',
    );
  });
});

describe('parseGrant', () => {
  it.each([
    ['deny', 'metricsd:statefs.write', { subject: 'metricsd', capability: 'statefs.write' }],
    ['deny', 'selftest-client:ipc.core', { subject: 'selftest-client', capability: 'ipc.core' }],
    ['allow', 'selftest-client:crypto.sign', { subject: 'selftest-client', capability: 'crypto.sign' }],
    ['allow', 'logd:ipc.core', { subject: 'logd', capability: 'ipc.core' }],
    ['deny', 'metricsd', 'SUBJECT:CAPABILITY, such as metricsd:statefs.write'],
    ['deny', 'metricsd:', 'SUBJECT:CAPABILITY, such as metricsd:statefs.write'],
    ['allow', ':x', 'SUBJECT:CAPABILITY, such as metricsd:statefs.write'],
    ['allow', 'a:b:c', 'SUBJECT:CAPABILITY, such as metricsd:statefs.write'],
    ['allow', 'A:b', 'SUBJECT:CAPABILITY, such as metricsd:statefs.write'],
    ['allow', `${'a'.repeat(49)}:b`, 'SUBJECT:CAPABILITY, such as metricsd:statefs.write'],
    // What would change nothing is a slip of the pen.
    ['deny', 'metricd:statefs.write', 'a subject of the policy before the colon'],
    ['deny', 'metricsd:statefs.wirte', 'a capability that metricsd holds: ipc.core, statefs.write'],
    ['allow', 'metricd:statefs.write', 'a subject of the policy or a service before the colon'],
  ] as const)('%s %s', (what, text, expected) => {
    const parsed = parseGrant(text, what);
    expect(parsed.ok ? parsed.value : parsed.error).toEqual(expected);
  });
});
