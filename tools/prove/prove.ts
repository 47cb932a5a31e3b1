/**
 * Does each marker have a cause? Boots once undisturbed, to see that every marker's events came before its line, and once
 * per way of taking a cause away, to see the marker's whole line gone and its events with it.
 */
import { readFileSync } from 'node:fs';

import { causeOf, parseCauses } from '../../markers/causes.ts';
import type { Cause } from '../../markers/causes.ts';
import type { Ladder } from '../../markers/ladder.ts';
import { loadLadder } from '../../markers/loader.ts';
import { Sequence } from '../../markers/predicates.ts';
import type { EventRecord } from '../../markers/predicates.ts';
import { KERNEL, taskOfLine, withoutEntryTokens } from '../../markers/tasks.ts';
import { nodeWord } from '../../scenarios/scenario.ts';
import { ladderText, linesOf, scenarioOf } from './boot.ts';
import type { BootPlan } from './boot.ts';

/** The two-machine variant: its markers are those of a node, and its ladder is one of another kind (markers/nodes.ts). */
export const PAIR = 'os2vm';
/** The variants, which are scenarios and ladders of the same name. */
export const VARIANTS = ['default', 'observability', 'smp', 'dhcp', 'dhcp-strict', 'dsoftbus', PAIR] as const;
export type Variant = (typeof VARIANTS)[number];
/** Ladders that stand on their own; the others add to the default one. */
const OWN_LADDERS: readonly Variant[] = ['default', 'observability'];

/** A marker's line in the undisturbed boot. */
export interface BaseLine {
  readonly marker: string;
  /** Null: the undisturbed boot does not print it. */
  readonly line: string | null;
  /** What was wrong before it, one line each: a predicate that did not hold, another task. */
  readonly problems: readonly string[];
}

/** What came of one marker. `absent`: nothing to prove, the undisturbed boot does not print it. */
export type Status = 'killed' | 'survived' | 'absent';

/** One marker's result. */
export interface Proof {
  readonly marker: string;
  readonly status: Status;
  /** True for what the contract, or the reference's known emptiness, lets expect. */
  readonly expected: boolean;
  /** The quirk by which the reference prints it without its cause; null where it does not. */
  readonly quirk: string | null;
  readonly rule: string;
  readonly take: readonly string[];
  /** Other markers of the ladder that were lost with it. */
  readonly alsoLost: readonly string[];
  readonly problems: readonly string[];
}

/** The project's table of causes. Throws a plain error when it does not load. */
export function loadCauses(): readonly Cause[] {
  const file = 'markers/causes.toml';
  const parsed = parseCauses(readFileSync(`${process.cwd()}/${file}`, 'utf8'), file);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

function ladderOf(variant: string): Ladder {
  const ladder = loadLadder(variant, ladderText);
  if (!ladder.ok) throw new Error(ladder.error);
  return ladder.value;
}

/** All that a variant asks for: its ladder's markers, then what it requires beyond them. */
export function markersOf(variant: Exclude<Variant, typeof PAIR>): readonly string[] {
  const { markers, requirements } = ladderOf(variant);
  const required = requirements.flatMap(({ gate, markers: more }) => [
    ...(gate?.strictFlag === undefined ? [] : [gate.marker]),
    ...more,
  ]);
  return [...markers, ...required];
}

/**
 * The causes that a variant has to prove, in its ladder's order: of the variants that add to the default ladder only what
 * they add, unless `whole` asks for all. Throws for a marker without a cause.
 */
export function causesOf(variant: Variant, causes: readonly Cause[], whole = false): readonly Cause[] {
  if (variant === PAIR) return causes.filter((cause) => cause.ladder === PAIR);
  const known = whole || OWN_LADDERS.includes(variant) ? [] : markersOf('default');
  const image = scenarioOf({ scenario: variant, quirks: 'none', words: [] }).image;
  return markersOf(variant)
    .filter((marker) => !known.includes(marker))
    .map((marker) => {
      const cause = causeOf(causes, marker, image);
      if (cause === undefined) throw new Error(`markers/causes.toml: no cause for "${marker}" of ladder ${variant}`);
      return cause;
    });
}

/**
 * A line as the UART showed it is the marker's: it ends with it, or may go on behind it without a failure. So the failure
 * line that begins with the marker's own text is not (sheet 85, quirk H4).
 */
export function isLineOf(line: string, cause: Pick<Cause, 'marker' | 'prefix' | 'tail'>): boolean {
  if (!cause.prefix && !cause.tail) return line.endsWith(cause.marker);
  return line.includes(cause.marker) && !/FAIL/.test(line);
}

/** Who printed a line: by its text, and by the kernel's word, which task was running. */
function emitterProblem(line: string, running: string | null, cause: Cause): string | null {
  const task = taskOfLine(nodeWord(line).text);
  if (task !== cause.task) return `printed by ${task ?? 'nobody known'}, not by ${cause.task}`;
  // Payloads carry the name of what they are: ELF files that nobody named.
  const expected = cause.task.startsWith('payload ') ? 'elf' : cause.task === 'init' ? 'init-lite' : cause.task;
  if (cause.task === KERNEL ? running === null : running === expected) return null;
  return `printed while ${running ?? 'no task'} was running, not ${cause.task}`;
}

/** The undisturbed boot: each marker's line, and what came before it. */
export function baseLines(plan: BootPlan, causes: readonly Cause[]): readonly BaseLine[] {
  const open = causes.map((cause) => ({ cause, sequence: new Sequence(cause.before) }));
  const found = new Map<string, BaseLine>();
  const take = (event: Parameters<Sequence['take']>[0]): void => {
    for (const { cause, sequence } of open) {
      if (found.has(cause.marker)) continue;
      if (event['kind'] !== 'uart-line') {
        sequence.take(event);
        continue;
      }
      const line = lineOf(event);
      if (!isLineOf(line, cause)) {
        sequence.take({ ...event, text: line });
        continue;
      }
      const problems: string[] = [];
      if (sequence.missing !== null) problems.push(`not before its line: ${sequence.missing.text}`);
      const running = event['task'];
      const emitter = emitterProblem(line, typeof running === 'string' ? running : null, cause);
      if (emitter !== null) problems.push(emitter);
      found.set(cause.marker, { marker: cause.marker, line, problems });
    }
  };
  linesOf(plan, { kinds: kindsOf(causes), take });
  return causes.map((cause) => found.get(cause.marker) ?? { marker: cause.marker, line: null, problems: [] });
}

/** The line of a uart-line event, without entry tokens; with its node in front, as {@link linesOf} has it. */
function lineOf(event: EventRecord): string {
  const text = withoutEntryTokens(String(event['text']));
  const node = event['node'];
  return typeof node === 'string' ? `${node}/${text}` : text;
}

function kindsOf(causes: readonly Cause[]): ReadonlySet<string> {
  return new Set(['uart-line', ...causes.flatMap((cause) => cause.before.map((predicate) => predicate.kind))]);
}

/** A boot that takes causes away, and the markers it is for. */
export interface Job {
  readonly plan: BootPlan;
  readonly causes: readonly Cause[];
  /** Lines of the whole ladder in the undisturbed boot. */
  readonly base: readonly BaseLine[];
}

/** What a job showed. */
export interface JobResult {
  /** Markers whose whole line was printed all the same. */
  readonly survivors: readonly string[];
  /** Markers whose events came all the same: they are not what was taken away. */
  readonly unmoved: readonly string[];
  /** Markers of the ladder that were not printed. */
  readonly lost: readonly string[];
}

/** One job per distinct way of taking something away. */
export function jobsOf(plan: BootPlan, causes: readonly Cause[], base: readonly BaseLine[]): readonly Job[] {
  const jobs = new Map<string, Cause[]>();
  for (const cause of causes) {
    const key = cause.take.join('\n');
    const same = jobs.get(key);
    if (same === undefined) jobs.set(key, [cause]);
    else same.push(cause);
  }
  return [...jobs.values()].map((list) => ({
    plan: { ...plan, words: [...plan.words, ...(list[0]?.take ?? [])] },
    causes: list,
    base,
  }));
}

/** Boots one job. */
export function runJob({ plan, causes, base }: Job): JobResult {
  const sequences = causes.map((cause) => ({ cause, sequence: new Sequence(cause.before) }));
  const take = (event: Parameters<Sequence['take']>[0]): void => {
    for (const { sequence } of sequences) {
      sequence.take(event['kind'] === 'uart-line' ? { ...event, text: lineOf(event) } : event);
    }
  };
  const lines = linesOf(plan, { kinds: kindsOf(causes), take });
  const whole = new Set(lines);
  const printed = ({ line }: BaseLine, prefix: string | null): boolean => {
    if (line === null) return false;
    return prefix === null ? whole.has(line) : lines.some((other) => other.startsWith(prefix));
  };
  const survivors = causes.filter((cause) => {
    const own = base.find((entry) => entry.marker === cause.marker);
    return own !== undefined && printed(own, headOf(own, cause));
  });
  return {
    survivors: survivors.map((cause) => cause.marker),
    unmoved: sequences.filter(({ sequence }) => sequence.missing === null).map(({ cause }) => cause.marker),
    lost: base.filter((entry) => entry.line !== null && !printed(entry, null)).map((entry) => entry.marker),
  };
}

/** The part of a marker's line that must be the same; null: all of it. */
function headOf({ line }: BaseLine, { marker, prefix }: Cause): string | null {
  return prefix && line !== null ? line.slice(0, line.indexOf(marker) + marker.length) : null;
}

/** A job and what it showed. */
export interface Done {
  readonly job: Job;
  readonly result: JobResult;
}

/** Puts results together. */
export function proofs(
  quirks: string,
  causes: readonly Cause[],
  base: readonly BaseLine[],
  done: readonly Done[],
): readonly Proof[] {
  return causes.map((cause) => {
    const { marker } = cause;
    const own = base.find((entry) => entry.marker === marker);
    const result = done.find(({ job }) => job.causes.some((one) => one.marker === marker))?.result;
    const status = statusOf(marker, own, result);
    // Under the reference's quirks an empty marker comes without its cause, and nothing has to come before it.
    const empty = quirks === 'reference' && cause.vacuous !== null;
    const problems = empty ? [] : [...(own?.problems ?? [])];
    if (!empty && result?.unmoved.includes(marker) === true) problems.push('its events came all the same');
    return {
      marker,
      status,
      expected: problems.length === 0 && status === (empty ? 'survived' : 'killed'),
      quirk: empty ? cause.vacuous : null,
      rule: cause.rule,
      take: cause.take,
      alsoLost: (result?.lost ?? []).filter((other) => other !== marker),
      problems,
    };
  });
}

function statusOf(marker: string, own: BaseLine | undefined, result: JobResult | undefined): Status {
  if ((own?.line ?? null) === null) return 'absent';
  return result === undefined || result.survivors.includes(marker) ? 'survived' : 'killed';
}

/** Everything in this thread: for tests. `context`: the causes of the whole ladder, for what else is lost. */
export function proveHere(
  plan: BootPlan,
  causes: readonly Cause[],
  context: readonly Cause[] = causes,
): readonly Proof[] {
  const base = baseLines(plan, context);
  const done = jobsOf(plan, causes, base).map((job) => ({ job, result: runJob(job) }));
  return proofs(plan.quirks, causes, base, done);
}
