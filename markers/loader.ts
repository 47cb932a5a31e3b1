/**
 * Ladder files. One that `extends` another takes everything from it and then, in this order: `remove`s markers,
 * `insert`s markers before or after one, appends `markers`; replaces lists that it names (`phases`, `fail` ...); takes
 * flags and groups out of the stop set (`stop_change`) and appends its own `[[stop]]` groups; and adds to or changes
 * single keys of `[require.<name>]`. The caller reads the files; this module sees only text.
 */

import { parse } from 'smol-toml';

import { Fields, FieldFault, MAX_LADDER_TEXT, MAX_LIST } from './fields.ts';
import type { Gate, Ladder, Phase, Requirement, Result, StopGroup } from './ladder.ts';

/** Longest chain of ladders that extend each other. */
export const MAX_EXTENDS = 4;

/** The text of the ladder with this name (`ladder-<name>.toml`), `undefined` if there is none. */
export type LadderSource = (name: string) => string | undefined;

const LADDER_KEYS = [
  'name',
  'extends',
  'ordered_exact',
  'ordered_prefix',
  'fail',
  'expected_fail',
  'markers',
  'remove',
  'insert',
  'phases',
  'stop',
  'stop_change',
  'require',
  'trouble',
];
const REQUIRE_KEYS = [
  'flag',
  'phase',
  'start',
  'prev',
  'markers',
  'gate',
  'fallback',
  'fallback_warning',
  'neither',
  'neither_text',
  'strict_flag',
];

const EMPTY: Ladder = {
  name: '',
  markers: [],
  phases: [],
  stop: [],
  orderedExact: [],
  orderedPrefix: [],
  requirements: [],
  fail: [],
  expectedFail: [],
  trouble: { ignore: [], panic: [], hardening: [] },
  trimmedTo: undefined,
};

/** Name of the file that a ladder's name stands for. */
export function ladderFile(name: string): string {
  return `ladder-${name}.toml`;
}

/** Loads a ladder by name, with the ladders that it extends. Error: one line with file, key and expectation. */
export function loadLadder(name: string, source: LadderSource): Result<Ladder> {
  const text = source(name);
  if (text === undefined) return { ok: false, error: `${ladderFile(name)}: expected an existing ladder file` };
  return parseLadder(text, ladderFile(name), source);
}

/** Reads a ladder from text; `file` is what errors call it, `source` finds the ladders that it extends. */
export function parseLadder(text: string, file: string, source: LadderSource): Result<Ladder> {
  try {
    return { ok: true, value: readLadder(text, file, source, 1) };
  } catch (fault) {
    if (fault instanceof FieldFault) return { ok: false, error: fault.message };
    throw fault;
  }
}

/** Parses TOML. Fault: the parser's complaint with its line and column. */
export function parseTable(text: string, file: string): unknown {
  if (text.length > MAX_LADDER_TEXT) {
    throw new FieldFault(`${file}: expected at most ${MAX_LADDER_TEXT} characters`);
  }
  try {
    return parse(text);
  } catch (fault) {
    if (!(fault instanceof Error)) throw fault;
    const where = 'line' in fault && 'column' in fault ? `:${String(fault.line)}:${String(fault.column)}` : '';
    const reason = (fault.message.split('\n')[0] ?? '').replace('Invalid TOML document: ', '');
    throw new FieldFault(`${file}${where}: expected valid TOML: ${reason}`);
  }
}

function readLadder(text: string, file: string, source: LadderSource, depth: number): Ladder {
  const fields = new Fields(parseTable(text, file), file, '', LADDER_KEYS);
  const base = readBase(fields, source, depth);
  const ladder: Ladder = {
    name: fields.text('name'),
    markers: readMarkers(fields, base.markers),
    phases: readPhases(fields) ?? base.phases,
    stop: readStop(fields, base.stop),
    orderedExact: fields.optionalTexts('ordered_exact') ?? base.orderedExact,
    orderedPrefix: fields.optionalTexts('ordered_prefix') ?? base.orderedPrefix,
    requirements: readRequirements(fields, base.requirements),
    fail: fields.optionalTexts('fail') ?? base.fail,
    expectedFail: fields.optionalTexts('expected_fail') ?? base.expectedFail,
    trouble: readTrouble(fields, base),
    trimmedTo: undefined,
  };
  checkPhases(fields, ladder);
  return ladder;
}

function readBase(fields: Fields, source: LadderSource, depth: number): Ladder {
  const name = fields.optionalText('extends');
  if (name === undefined) return EMPTY;
  if (depth >= MAX_EXTENDS) return fields.fail('extends', `expected a chain of at most ${MAX_EXTENDS} ladders`);
  const text = source(name);
  if (text === undefined) return fields.fail('extends', `expected the name of a ladder, found '${name}'`);
  return readLadder(text, ladderFile(name), source, depth + 1);
}

function readMarkers(fields: Fields, base: readonly string[]): readonly string[] {
  const removed = fields.optionalTexts('remove') ?? [];
  removed.forEach((marker, index) => {
    if (!base.includes(marker)) fields.fail(`remove[${index}]`, `expected a marker of the ladder, found '${marker}'`);
  });
  const markers = base.filter((marker) => !removed.includes(marker));
  for (const insert of fields.subs('insert', ['before', 'after', 'markers'])) {
    if (insert.has('before') === insert.has('after')) insert.fail('before', 'expected either before or after');
    const key = insert.has('before') ? 'before' : 'after';
    const anchor = insert.text(key);
    const at = markers.indexOf(anchor);
    if (at < 0) insert.fail(key, `expected a marker of the ladder, found '${anchor}'`);
    markers.splice(key === 'before' ? at : at + 1, 0, ...insert.texts('markers'));
  }
  markers.push(...(fields.optionalTexts('markers') ?? []));
  if (markers.length === 0 || markers.length > MAX_LIST) {
    fields.fail('markers', `expected 1 to ${MAX_LIST} markers, found ${markers.length}`);
  }
  const twice = markers.find((marker, index) => markers.indexOf(marker) !== index);
  if (twice !== undefined) fields.fail('markers', `expected each marker once, found '${twice}' again`);
  return markers;
}

function readPhases(fields: Fields): readonly Phase[] | undefined {
  if (!fields.has('phases')) return undefined;
  return fields
    .subs('phases', ['name', 'start', 'end'])
    .map((phase) => ({ name: phase.text('name'), start: phase.text('start'), end: phase.text('end') }));
}

/** Phases must fit the ladder as it ends up, wherever they came from. */
function checkPhases(fields: Fields, ladder: Ladder): void {
  ladder.phases.forEach((phase, index) => {
    for (const key of ['start', 'end'] as const) {
      if (!ladder.markers.includes(phase[key])) {
        fields.fail(`phases[${index}].${key}`, `expected a marker of the ladder, found '${phase[key]}'`);
      }
    }
    if (ladder.phases.findIndex((other) => other.name === phase.name) !== index) {
      fields.fail(`phases[${index}].name`, `expected each phase once, found '${phase.name}' again`);
    }
  });
}

function readStop(fields: Fields, base: readonly StopGroup[]): readonly StopGroup[] {
  const change = fields.sub('stop_change', ['remove_groups', 'remove']);
  const groups = change.optionalTexts('remove_groups') ?? [];
  const flags = change.optionalTexts('remove') ?? [];
  groups.forEach((name, index) => {
    if (!base.some((group) => group.group === name)) {
      change.fail(`remove_groups[${index}]`, `expected a group of the stop set, found '${name}'`);
    }
  });
  flags.forEach((flag, index) => {
    if (!base.some((group) => group.flags.includes(flag))) {
      change.fail(`remove[${index}]`, `expected a flag of the stop set, found '${flag}'`);
    }
  });
  const kept = base
    .filter((group) => !groups.includes(group.group))
    .map(({ group, flags: all }) => ({ group, flags: all.filter((flag) => !flags.includes(flag)) }));
  const own = fields
    .subs('stop', ['group', 'flags'])
    .map((group) => ({ group: group.text('group'), flags: group.texts('flags') }));
  const stop = [...kept, ...own];
  const all = stop.flatMap((group) => group.flags);
  if (all.length === 0 || all.length > MAX_LIST) fields.fail('stop', `expected 1 to ${MAX_LIST} flags`);
  const twice = all.find((flag, index) => all.indexOf(flag) !== index);
  if (twice !== undefined) fields.fail('stop', `expected each flag once, found '${twice}' again`);
  return stop;
}

function readTrouble(fields: Fields, base: Ladder): Ladder['trouble'] {
  if (!fields.has('trouble')) return base.trouble;
  const trouble = fields.sub('trouble', ['ignore', 'panic', 'hardening']);
  return {
    ignore: trouble.texts('ignore'),
    panic: trouble.texts('panic'),
    hardening: trouble.texts('hardening'),
  };
}

function readRequirements(fields: Fields, base: readonly Requirement[]): readonly Requirement[] {
  const table = fields.sub('require', undefined);
  const requirements = [...base];
  for (const name of table.keys()) {
    const known = base.findIndex((requirement) => requirement.name === name);
    const requirement = readRequirement(table.sub(name, REQUIRE_KEYS), name, base[known]);
    if (known >= 0) requirements[known] = requirement;
    else requirements.push(requirement);
  }
  return requirements;
}

function readRequirement(fields: Fields, name: string, base: Requirement | undefined): Requirement {
  const text = (key: string, inherited: string | undefined): string =>
    fields.optionalText(key) ?? inherited ?? fields.text(key);
  return {
    name,
    flag: text('flag', base?.flag),
    phase: text('phase', base?.phase),
    start: text('start', base?.start),
    prev: text('prev', base?.prev),
    markers: fields.optionalTexts('markers') ?? base?.markers ?? fields.texts('markers'),
    gate: readGate(fields, text, base?.gate),
  };
}

function readGate(
  fields: Fields,
  text: (key: string, inherited: string | undefined) => string,
  base: Gate | undefined,
): Gate | undefined {
  if (base === undefined && !fields.has('gate')) {
    const stray = ['fallback', 'fallback_warning', 'neither', 'neither_text', 'strict_flag'].find((key) =>
      fields.has(key),
    );
    if (stray !== undefined) fields.fail(stray, 'expected only beside gate');
    return undefined;
  }
  return {
    marker: text('gate', base?.marker),
    fallback: text('fallback', base?.fallback),
    fallbackWarning: text('fallback_warning', base?.fallbackWarning),
    neither: text('neither', base?.neither),
    neitherText: text('neither_text', base?.neitherText),
    strictFlag: fields.optionalText('strict_flag') ?? base?.strictFlag,
  };
}
