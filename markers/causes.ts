/**
 * Why each marker is printed: who prints it, what must have happened before, how to take that away, and which rule it
 * proves. One table (causes.toml), data only; `npm run prove` boots the system against it.
 */
import { parse } from 'smol-toml';

import { FieldFault, Fields, MAX_LADDER_TEXT } from './fields.ts';
import type { Result } from './ladder.ts';
import { parsePredicate } from './predicates.ts';
import type { Predicate } from './predicates.ts';

/** One marker's cause. */
export interface Cause {
  readonly marker: string;
  /** Task that prints it, as `taskOfLine` names tasks. */
  readonly task: string;
  /** Events that come before its line, in this order. */
  readonly before: readonly Predicate[];
  /** Options of `nexus-sim run` that take the cause away, flag and value in turns. */
  readonly take: readonly string[];
  /** What the marker proves. */
  readonly rule: string;
  /** The line goes on behind the marker with numbers that differ between runs; compared up to the marker's end. */
  readonly prefix: boolean;
  /** The line goes on behind the marker, and all of it counts. */
  readonly tail: boolean;
  /** The reference prints it without its cause (quirk of that name); null where it does not. */
  readonly vacuous: string | null;
  /** The ladder beyond the default one that needs it; null for those of the default ladder and the observability ladder. */
  readonly ladder: string | null;
  /** The image for which this entry stands in place of the marker's other one; null: any. */
  readonly image: string | null;
}

const KEYS = ['marker', 'task', 'before', 'take', 'rule', 'prefix', 'tail', 'vacuous', 'ladder', 'image'];
const FLAGS = ['--fault', '--without', '--deny', '--allow', '--smp'];
/** Longest file, in characters. */
export const MAX_CAUSES_TEXT = 4 * MAX_LADDER_TEXT;

/** Reads the table; `file` is what errors call it. Error: one line with file, key and what was expected. */
export function parseCauses(text: string, file: string): Result<readonly Cause[]> {
  try {
    return { ok: true, value: readCauses(text, file) };
  } catch (fault) {
    if (fault instanceof FieldFault) return { ok: false, error: fault.message };
    throw fault;
  }
}

function readCauses(text: string, file: string): readonly Cause[] {
  if (text.length > MAX_CAUSES_TEXT) throw new FieldFault(`${file}: expected at most ${MAX_CAUSES_TEXT} characters`);
  const top = new Fields(parseToml(text, file), file, '', ['cause']);
  const seen = new Set<string>();
  return top.subs('cause', KEYS).map((fields) => {
    const marker = fields.text('marker');
    const image = fields.optionalText('image') ?? null;
    const entry = `${image ?? ''}\n${marker}`;
    if (seen.has(entry)) return fields.fail('marker', `"${marker}" has a cause already`);
    seen.add(entry);
    return {
      marker,
      task: fields.text('task'),
      before: fields.texts('before').map((line, index) => {
        const predicate = parsePredicate(line);
        return predicate.ok ? predicate.value : fields.fail(`before[${index}]`, predicate.error);
      }),
      take: fields.texts('take').flatMap((line, index) => readWord(fields, line, index)),
      rule: fields.text('rule'),
      prefix: fields.optionalBoolean('prefix') ?? false,
      tail: fields.optionalBoolean('tail') ?? false,
      vacuous: fields.optionalText('vacuous') ?? null,
      ladder: fields.optionalText('ladder') ?? null,
      image,
    };
  });
}

function readWord(fields: Fields, line: string, index: number): readonly string[] {
  const space = line.indexOf(' ');
  const flag = space < 0 ? line : line.slice(0, space);
  const value = line.slice(flag.length + 1);
  if (FLAGS.includes(flag) && value !== '') return [flag, value];
  return fields.fail(`take[${index}]`, `expected one of ${FLAGS.join(', ')}, a space and its value`);
}

function parseToml(text: string, file: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    const [head] = String(error instanceof Error ? error.message : error).split('\n');
    const place = error instanceof Error && 'line' in error ? `:${String(error.line)}` : '';
    throw new FieldFault(`${file}${place}: ${head ?? ''}; expected a TOML document`);
  }
}

/** The entry for a marker on an image: the image's own, else the general one. */
export function causeOf(causes: readonly Cause[], marker: string, image: string): Cause | undefined {
  const entries = causes.filter((cause) => cause.marker === marker);
  return entries.find((cause) => cause.image === image) ?? entries.find((cause) => cause.image === null);
}
