/**
 * A scenario file: image, machine, seed, stop condition, faults and expectation, as checked plain data (design, decision 6;
 * schema: scenario.schema.json). One file describes one run of one or more boots on one disk.
 */
import { parse } from 'smol-toml';

import { FieldFault, Fields, MAX_LADDER_TEXT } from '../markers/fields.ts';
import type { Result } from '../markers/ladder.ts';
import { DURATION_EXPECTED, LATENCY_EXPECTED, parseDuration, parseLatency } from './duration.ts';
import { NO_LATENCY } from '../sim/net/latency.ts';
import type { Latency } from '../sim/net/latency.ts';
import { LINK_LATENCY, LINK_LATENCY_MIN_NS } from '../sim/net/link.ts';
import type { NetworkKind } from '../sim/net/network.ts';
import { readFaultTables } from './fault-tables.ts';
import type { Fault } from './faults.ts';
import { IMAGES, SLOT_ORDER } from './images.ts';
import type { ImageDefinition } from './images.ts';
import { grantsOf } from './policy-grants.ts';
import { parseQuirks } from './quirks.ts';
import type { QuirkSet } from './quirks.ts';

/** Default bound of virtual time, ns: 30 seconds. A dead end is found at once anyway. */
export const DEFAULT_MAX_VIRTUAL_NS = 30_000_000_000;
/** Harts a machine may have, and the largest icount shift. */
export const MAX_HARTS = 4;
export const MAX_ICOUNT = 10;
/** Boots of one run. */
export const MAX_BOOTS = 16;

/** The machine's plain numbers. */
export interface MachineOptions {
  readonly harts: number;
  /** ns per instruction = 2 ** icount (sheet 05, section 5). */
  readonly icount: number;
  readonly skipPolls: boolean;
  /** What is behind the network card. */
  readonly network: NetworkKind;
  /** Virtual time that an answer of the user network, or a frame on the link of two machines, takes. */
  readonly latency: Latency;
}

/** A capability of a policy subject, `subject:capability`. */
export interface Grant {
  readonly subject: string;
  readonly capability: string;
}

/** Faults of one boot. All deterministic; each is announced in the trace. */
export interface Faults {
  /** Services taken out of the image and of its list of required ones. */
  readonly without: readonly string[];
  /** Grants taken away from, or given to, policyd's table. */
  readonly deny: readonly Grant[];
  readonly allow: readonly Grant[];
  /** Services that start and never do anything. */
  readonly silent: readonly string[];
  /** Services that exit at once. */
  readonly dead: readonly string[];
  /** Block writes from this running number on (0 = the first) are answered IOERR. */
  readonly blockWritesFailFrom: number | null;
  /** logd answers APPENDs with OK and stores nothing. */
  readonly logdDropsAppends: boolean;
  /** Faults of docs/faults.md. */
  readonly inject: readonly Fault[];
}

export const NO_FAULTS: Faults = {
  without: [],
  deny: [],
  allow: [],
  silent: [],
  dead: [],
  blockWritesFailFrom: null,
  logdDropsAppends: false,
  inject: [],
};

/** What one boot must show. */
export interface Expectation {
  /** Markers of the ladder that must be missing: exactly these. */
  readonly missing: readonly string[];
  /** Texts that some line must, or no line may, contain. */
  readonly present: readonly string[];
  readonly absent: readonly string[];
  /** FAIL lines that belong to this run, by a text they contain. */
  readonly fails: readonly string[];
  /** statefs keys that must be on the disk afterwards. */
  readonly diskKeys: readonly string[];
}

/** One boot of the run. */
export interface Boot {
  /** `RUN_UNTIL_MARKER` text: a marker, `1` for the stop set, `0` for "until nothing can happen". */
  readonly until: string;
  readonly phase: string | undefined;
  readonly maxVirtualNs: number;
  readonly faults: Faults;
  readonly expect: Expectation;
}

/** A checked scenario. */
export interface Scenario {
  readonly name: string;
  readonly description: string;
  readonly image: string;
  /** Name of the ladder that judges it: the image's own, or a variant of it. */
  readonly ladder: string;
  readonly seed: string;
  readonly quirks: QuirkSet;
  readonly machine: MachineOptions;
  readonly firmwareBanner: boolean;
  /** The linked machines of an image that runs on two, which have the one boot of {@link boots}; else empty. */
  readonly nodes: readonly ScenarioNode[];
  readonly boots: readonly Boot[];
}

/** One of two linked machines. */
export interface ScenarioNode {
  readonly name: NodeName;
  readonly mac: readonly number[];
  /** Virtual ns from the start of the run to its power-on; null: never. */
  readonly powerOnNs: number | null;
  readonly faults: Faults;
}

export const NODE_NAMES = ['A', 'B'] as const;
export type NodeName = (typeof NODE_NAMES)[number];

/** MAC addresses and power-on times of the harness (sheet 85, section 12.1); B comes up 100 ms after A. */
const NODE_DEFAULTS: Readonly<Record<NodeName, Omit<ScenarioNode, 'name' | 'faults'>>> = {
  A: { mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x0a], powerOnNs: 0 },
  B: { mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x0b], powerOnNs: 100_000_000 },
};
/** Latest power-on: one hour. */
const MAX_POWER_ON_NS = 3_600_000_000_000;

/** What is meant for one node is written `A/...` or `B/...`; without a prefix it is meant for both (or for any). */
export interface NodeWord {
  readonly node: NodeName | null;
  readonly text: string;
}

/** Splits the node off. */
export function nodeWord(word: string): NodeWord {
  const node = NODE_NAMES.find((name) => word.startsWith(`${name}/`)) ?? null;
  return { node, text: node === null ? word : word.slice(node.length + 1) };
}

const TOP_KEYS = [
  'description',
  'image',
  'ladder',
  'seed',
  'quirks',
  'firmware-banner',
  'machine',
  'stop',
  'faults',
  'fault',
  'expect',
  'boot',
  'node',
];
const NODE_KEYS = ['mac', 'power-on', 'faults', 'fault'];
const STOP_KEYS = ['until-marker', 'phase', 'max-virtual-time'];
const FAULT_KEYS = ['without', 'deny', 'allow', 'silent', 'dead', 'block-writes-fail-from', 'logd-drops-appends'];
const EXPECT_KEYS = ['missing', 'present', 'absent', 'fails', 'disk-keys'];

/** Reads a scenario; `file` is what errors call it. Error: one line with file, key and what was expected. */
export function parseScenario(text: string, file: string, name: string): Result<Scenario> {
  try {
    return { ok: true, value: readScenario(text, file, name) };
  } catch (fault) {
    if (fault instanceof FieldFault) return { ok: false, error: fault.message };
    throw fault;
  }
}

function readScenario(text: string, file: string, name: string): Scenario {
  if (text.length > MAX_LADDER_TEXT) throw new FieldFault(`${file}: expected at most ${MAX_LADDER_TEXT} characters`);
  const top = new Fields(parseToml(text, file), file, '', TOP_KEYS);
  const image = top.text('image');
  const definition = IMAGES.get(image);
  if (definition === undefined) return top.fail('image', `expected one of ${[...IMAGES.keys()].join(', ')}`);
  const machine = top.sub('machine', ['harts', 'icount', 'skip-polls', 'network', 'latency']);
  const base = readBoot(
    top,
    { until: '0', phase: undefined, maxVirtualNs: DEFAULT_MAX_VIRTUAL_NS, faults: NO_FAULTS, expect: NOTHING },
    definition.services,
  );
  const boots = top
    .subs('boot', ['stop', 'faults', 'fault', 'expect'])
    .map((boot) => readBoot(boot, base, definition.services));
  if (boots.length > MAX_BOOTS) return top.fail('boot', `expected at most ${MAX_BOOTS} boots`);
  if (definition.paired && boots.length > 0) return top.fail('boot', `expected none with image ${image}`);
  return {
    name,
    description: top.optionalText('description') ?? '',
    image,
    ladder: top.optionalText('ladder') ?? definition.ladder,
    seed: readSeed(top),
    quirks: readQuirks(top),
    machine: {
      harts: machine.optionalInteger('harts', 1, MAX_HARTS) ?? 1,
      icount: machine.optionalInteger('icount', 0, MAX_ICOUNT) ?? definition.icount,
      skipPolls: machine.optionalBoolean('skip-polls') ?? true,
      network: readNetwork(machine) ?? definition.network,
      latency: readLatency(machine, definition.paired) ?? (definition.paired ? LINK_LATENCY : NO_LATENCY),
    },
    firmwareBanner: top.optionalBoolean('firmware-banner') ?? false,
    nodes: readNodes(top, definition, base.faults),
    boots: boots.length === 0 ? [base] : boots,
  };
}

/** smol-toml's error names line and column; the first line of its message says what is wrong. */
function parseToml(text: string, file: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    const [head] = String(error instanceof Error ? error.message : error).split('\n');
    const place = error instanceof Error && 'line' in error ? `:${String(error.line)}` : '';
    throw new FieldFault(`${file}${place}: ${head ?? ''}; expected a TOML document`);
  }
}

const NETWORKS: readonly NetworkKind[] = ['user', 'silent', 'unplugged'];

function readNetwork(machine: Fields): NetworkKind | undefined {
  const text = machine.optionalText('network');
  if (text === undefined) return undefined;
  return NETWORKS.find((kind) => kind === text) ?? machine.fail('network', `expected one of ${NETWORKS.join(', ')}`);
}

function readLatency(machine: Fields, linked: boolean): Latency | undefined {
  const text = machine.optionalText('latency');
  if (text === undefined) return undefined;
  const latency = parseLatency(text) ?? machine.fail('latency', `expected ${LATENCY_EXPECTED}`);
  if (linked && latency.minNs < LINK_LATENCY_MIN_NS) {
    return machine.fail('latency', `expected at least ${LINK_LATENCY_MIN_NS / 1000}us between two machines`);
  }
  return latency;
}

function readNodes(top: Fields, definition: ImageDefinition, faults: Faults): readonly ScenarioNode[] {
  const tables = top.subs('node', NODE_KEYS);
  if (!definition.paired) {
    return tables.length === 0 ? [] : top.fail('node', `expected none with image ${definition.name}`);
  }
  if (tables.length !== 0 && tables.length !== NODE_NAMES.length) {
    return top.fail('node', `expected ${NODE_NAMES.length} tables, for ${NODE_NAMES.join(' and ')}`);
  }
  return NODE_NAMES.map((name, index) => {
    const node: ScenarioNode = { name, ...NODE_DEFAULTS[name], faults };
    const fields = tables[index];
    return fields === undefined ? node : readNode(fields, node, definition.services);
  });
}

function readNode(fields: Fields, base: ScenarioNode, services: readonly string[]): ScenarioNode {
  const powerOn = fields.optionalText('power-on');
  const ns = powerOn === undefined ? base.powerOnNs : parsePowerOn(powerOn);
  if (ns === undefined) return fields.fail('power-on', `expected never, 0s, or ${DURATION_EXPECTED}, of at most 1h`);
  const mac = fields.optionalText('mac');
  const bytes = mac === undefined ? base.mac : parseMac(mac);
  if (bytes === null) return fields.fail('mac', 'expected a unicast address such as 52:54:00:12:34:0a');
  return { ...base, mac: bytes, powerOnNs: ns, faults: readAllFaults(fields, base.faults, services) };
}

/** ns; null: never; undefined: neither. */
function parsePowerOn(text: string): number | null | undefined {
  if (text === 'never') return null;
  if (text === '0s') return 0;
  const ns = parseDuration(text);
  return ns === null || ns > MAX_POWER_ON_NS ? undefined : ns;
}

/** Six bytes of an address that one card can have, or null. */
function parseMac(text: string): readonly number[] | null {
  if (!/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(text)) return null;
  const bytes = text.split(':').map((byte) => Number.parseInt(byte, 16));
  return ((bytes[0] ?? 1) & 1) === 0 ? bytes : null;
}

function readSeed(top: Fields): string {
  const whole = top.optionalInteger('seed', 0, Number.MAX_SAFE_INTEGER);
  return String(whole ?? 1);
}

function readQuirks(top: Fields): QuirkSet {
  const parsed = parseQuirks(top.optionalText('quirks') ?? 'none');
  return parsed.ok ? parsed.quirks : top.fail('quirks', parsed.error);
}

const NOTHING: Expectation = { missing: [], present: [], absent: [], fails: [], diskKeys: [] };

function readBoot(fields: Fields, base: Boot, services: readonly string[]): Boot {
  const stop = fields.sub('stop', STOP_KEYS);
  const duration = stop.optionalText('max-virtual-time');
  const maxVirtualNs = duration === undefined ? base.maxVirtualNs : parseDuration(duration);
  if (maxVirtualNs === null) return stop.fail('max-virtual-time', `expected ${DURATION_EXPECTED}`);
  const expect = fields.sub('expect', EXPECT_KEYS);
  return {
    until: stop.optionalText('until-marker') ?? base.until,
    phase: stop.optionalText('phase') ?? base.phase,
    maxVirtualNs,
    faults: readAllFaults(fields, base.faults, services),
    expect: {
      missing: expect.optionalTexts('missing') ?? base.expect.missing,
      present: expect.optionalTexts('present') ?? base.expect.present,
      absent: expect.optionalTexts('absent') ?? base.expect.absent,
      fails: expect.optionalTexts('fails') ?? base.expect.fails,
      diskKeys: expect.optionalTexts('disk-keys') ?? base.expect.diskKeys,
    },
  };
}

function readAllFaults(fields: Fields, base: Faults, services: readonly string[]): Faults {
  return {
    ...readFaults(fields.sub('faults', FAULT_KEYS), base, services),
    inject: fields.has('fault') ? readFaultTables(fields) : base.inject,
  };
}

function readFaults(faults: Fields, base: Faults, services: readonly string[]): Omit<Faults, 'inject'> {
  return {
    without: readServices(faults, 'without', services) ?? base.without,
    deny: readGrants(faults, 'deny') ?? base.deny,
    allow: readGrants(faults, 'allow') ?? base.allow,
    silent: readServices(faults, 'silent', services) ?? base.silent,
    dead: readServices(faults, 'dead', services) ?? base.dead,
    blockWritesFailFrom:
      faults.optionalInteger('block-writes-fail-from', 0, Number.MAX_SAFE_INTEGER) ?? base.blockWritesFailFrom,
    logdDropsAppends: faults.optionalBoolean('logd-drops-appends') ?? base.logdDropsAppends,
  };
}

function readServices(faults: Fields, key: string, services: readonly string[]): readonly string[] | undefined {
  const names = faults.optionalTexts(key);
  names?.forEach((service, index) => {
    if (!services.includes(service)) faults.fail(`${key}[${index}]`, `expected one of ${services.join(', ')}`);
  });
  return names;
}

function readGrants(faults: Fields, key: 'deny' | 'allow'): readonly Grant[] | undefined {
  return faults.optionalTexts(key)?.map((text, index) => {
    const grant = parseGrant(text, key);
    return grant.ok ? grant.value : faults.fail(`${key}[${index}]`, `expected ${grant.error}`);
  });
}

/** What the error lines name as expected. */
const GRANT_EXPECTED = 'SUBJECT:CAPABILITY, such as metricsd:statefs.write';

/**
 * Reads `subject:capability`. Only what the policy grants can be denied, and only a service or subject of the policy can be
 * allowed something: anything else would change nothing. Error: what was expected.
 */
export function parseGrant(text: string, what: 'deny' | 'allow'): Result<Grant> {
  const match = /^([a-z0-9.-]{1,48}):([a-z0-9._-]{1,48})$/.exec(text);
  const [, subject, capability] = match ?? [];
  if (subject === undefined || capability === undefined) return { ok: false, error: GRANT_EXPECTED };
  const held = grantsOf(subject);
  if (what === 'allow') {
    if (held !== null || SLOT_ORDER.includes(subject)) return { ok: true, value: { subject, capability } };
    return { ok: false, error: 'a subject of the policy or a service before the colon' };
  }
  if (held?.includes(capability) === true) return { ok: true, value: { subject, capability } };
  if (held === null) return { ok: false, error: 'a subject of the policy before the colon' };
  return { ok: false, error: `a capability that ${subject} holds: ${held.join(', ')}` };
}
