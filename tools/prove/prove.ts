/**
 * Does each marker have a cause? Boots once undisturbed, to see that every marker's events came before its line, and once
 * per way of taking a cause away, to see the marker's whole line gone.
 */
import { readFileSync } from 'node:fs';

import { parseCauses } from '../../markers/causes.ts';
import type { Cause } from '../../markers/causes.ts';
import { loadLadder } from '../../markers/loader.ts';
import { Sequence } from '../../markers/predicates.ts';
import type { EventRecord } from '../../markers/predicates.ts';
import { taskOfLine, withoutEntryTokens } from '../../markers/tasks.ts';
import { IMAGES } from '../../scenarios/images.ts';
import { nodeWord } from '../../scenarios/scenario.ts';
import { ladderText, linesOf } from './boot.ts';
import type { BootPlan } from './boot.ts';

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
  readonly take: readonly string[];
  readonly problems: readonly string[];
}

/** The project's table of causes. Throws a plain error when it does not load. */
export function loadCauses(): readonly Cause[] {
  const file = 'markers/causes.toml';
  const parsed = parseCauses(readFileSync(`${process.cwd()}/${file}`, 'utf8'), file);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

/** Causes of the markers that an image's ladder has, in ladder order; for the default image also those of ladders beyond it. */
export function causesOf(image: string, causes: readonly Cause[], smp = false): readonly Cause[] {
  if (IMAGES.get(image)?.paired === true) return causes.filter((cause) => cause.ladder === PAIR_LADDER);
  const ladder = loadLadder(IMAGES.get(image)?.ladder ?? image, ladderText);
  if (!ladder.ok) throw new Error(ladder.error);
  const beyond = image === 'default' ? causes.filter((cause) => isBeyond(cause, smp)) : [];
  return [...ladder.value.markers.flatMap((marker) => causes.filter((cause) => cause.marker === marker)), ...beyond];
}

/** The ladder of two machines, whose markers are those of a node. */
const PAIR_LADDER = 'os2vm';

/** The markers of more harts, or of two machines, are for runs that have them. */
function isBeyond(cause: Cause, smp: boolean): boolean {
  return cause.ladder !== null && cause.ladder !== PAIR_LADDER && (cause.ladder !== 'smp' || smp);
}

/** The undisturbed boot: each marker's line, and what came before it. */
export function baseLines(plan: BootPlan, causes: readonly Cause[]): readonly BaseLine[] {
  const open = causes.map((cause) => ({ cause, sequence: new Sequence(cause.before) }));
  const found = new Map<string, BaseLine>();
  linesOf(plan, (event) => {
    for (const { cause, sequence } of open) {
      if (found.has(cause.marker)) continue;
      if (event['kind'] !== 'uart-line') {
        sequence.take(event);
        continue;
      }
      const line = lineOf(event);
      sequence.take({ ...event, text: line });
      if (!line.includes(cause.marker)) continue;
      const problems: string[] = [];
      if (sequence.missing !== null) problems.push(`not before its line: ${sequence.missing.text}`);
      const task = taskOfLine(nodeWord(line).text);
      if (task !== cause.task) problems.push(`printed by ${task ?? 'nobody known'}, not by ${cause.task}`);
      found.set(cause.marker, { marker: cause.marker, line, problems });
    }
  });
  return causes.map((cause) => found.get(cause.marker) ?? { marker: cause.marker, line: null, problems: [] });
}

/** The line of a uart-line event, without entry tokens; with its node in front, as {@link linesOf} has it. */
function lineOf(event: EventRecord): string {
  const text = withoutEntryTokens(String(event['text']));
  const { node } = event;
  return typeof node === 'string' ? `${node}/${text}` : text;
}

/** A boot that takes causes away, and the markers it is for. */
export interface Job {
  readonly plan: BootPlan;
  readonly causes: readonly Cause[];
}

/** One job per distinct way of taking something away. */
export function jobsOf(plan: BootPlan, causes: readonly Cause[]): readonly Job[] {
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
  }));
}

/** Boots one job; the markers whose whole line was printed all the same. */
export function survivorsOf(job: Job, base: readonly BaseLine[]): readonly string[] {
  const lines = linesOf(job.plan);
  const whole = new Set(lines);
  return job.causes
    .filter((cause) => {
      const line = base.find((entry) => entry.marker === cause.marker)?.line ?? null;
      if (line === null) return false;
      if (!cause.prefix) return whole.has(line);
      const head = line.slice(0, line.indexOf(cause.marker) + cause.marker.length);
      return lines.some((other) => other.startsWith(head));
    })
    .map((cause) => cause.marker);
}

/** Puts results together. */
export function proofs(
  plan: BootPlan,
  causes: readonly Cause[],
  base: readonly BaseLine[],
  survivors: ReadonlySet<string>,
): readonly Proof[] {
  return causes.map((cause) => {
    const own = base.find((entry) => entry.marker === cause.marker);
    const status: Status =
      (own?.line ?? null) === null ? 'absent' : survivors.has(cause.marker) ? 'survived' : 'killed';
    // Under the reference's quirks an empty marker comes without its cause, and nothing has to come before it.
    const empty = plan.quirks === 'reference' && cause.vacuous !== null;
    const problems = empty ? [] : (own?.problems ?? []);
    const expected = problems.length === 0 && status === (empty ? 'survived' : 'killed');
    return { marker: cause.marker, status, expected, take: cause.take, problems };
  });
}

/** Everything in this thread: for tests. */
export function proveHere(plan: BootPlan, causes: readonly Cause[]): readonly Proof[] {
  const base = baseLines(plan, causes);
  const survivors = new Set(jobsOf(plan, causes).flatMap((job) => survivorsOf(job, base)));
  return proofs(plan, causes, base, survivors);
}
