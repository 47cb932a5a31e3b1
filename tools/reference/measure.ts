/** A boot of `default` with `--quirks reference`, measured against the log of the real image and its guest times. */
import { readFileSync } from 'node:fs';

import { compareOrder } from '../../markers/interleaving.ts';
import type { Interleaving } from '../../markers/interleaving.ts';
import { splitByTask } from '../../markers/tasks.ts';
import { ScenarioRun } from '../../scenarios/run.ts';
import type { Scenario } from '../../scenarios/scenario.ts';
import { SparseBlockImage } from '../../sim/block-image.ts';
import { ladderText, scenarioOf } from '../prove/boot.ts';
import { MILESTONES } from './milestones.ts';
import type { Milestone } from './milestones.ts';

/** The log of the real image, from the folder of the project. */
const LOG = 'markers/fixtures/uart-default.log';
const NS_PER_MS = 1_000_000;
const SLICE_TURNS = 1_000_000;

/** A line and the virtual time of its end, ns. */
export interface TimedLine {
  readonly t: number;
  readonly text: string;
}

/** A finished run: its UART, one character per byte, and when each line ended. */
export interface TimedRun {
  readonly uart: string;
  readonly lines: readonly TimedLine[];
}

/** One task's lines beside the reference's. */
export interface TaskMatch {
  readonly task: string;
  readonly lines: number;
  readonly same: boolean;
}

/** A milestone here. */
export interface Reached extends Milestone {
  /** Text of the reference's line. */
  readonly text: string;
  /** Virtual time here, ms; null when the line did not come. */
  readonly here: number | null;
}

export interface Measurement {
  readonly bytesEqual: boolean;
  /** Lines of the log, banner included. */
  readonly lines: number;
  readonly tasks: readonly TaskMatch[];
  readonly order: Interleaving;
  readonly milestones: readonly Reached[];
}

/** The reference log's text as it came. Throws when the file is not there. */
export function referenceText(): string {
  return readFileSync(LOG, 'latin1');
}

/** Boots the default image with `--quirks reference --firmware-banner`. */
export function referenceRun(): TimedRun {
  const scenario = scenarioOf({ scenario: 'default', quirks: 'reference', words: [] });
  return bootTimed({ ...scenario, firmwareBanner: true });
}

/** Measures a run against the reference log. */
export function measure({ uart, lines }: TimedRun): Measurement {
  const text = referenceText();
  const reference = linesOf(text);
  return {
    bytesEqual: uart === text,
    lines: reference.length,
    tasks: taskMatches(reference, linesOf(uart)),
    order: compareOrder(reference, linesOf(uart)),
    milestones: reached(reference, lines),
  };
}

/** The times of the milestones' lines: the k-th of a text in the reference is the k-th of that text here. */
export function reached(reference: readonly string[], lines: readonly TimedLine[]): readonly Reached[] {
  return MILESTONES.map((milestone) => {
    const text = reference[milestone.line - 1] ?? '';
    const nth = reference.slice(0, milestone.line).filter((line) => line === text).length;
    const here = lines.filter((line) => line.text === text)[nth - 1];
    return { ...milestone, text, here: here === undefined ? null : here.t / NS_PER_MS };
  });
}

/** Each task's lines of the reference beside this log's, and tasks that only one of them has. */
export function taskMatches(reference: readonly string[], lines: readonly string[]): readonly TaskMatch[] {
  const theirs = splitByTask(reference).tasks;
  const ours = splitByTask(lines).tasks;
  return [...new Set([...theirs.keys(), ...ours.keys()])].map((task) => {
    const wanted = theirs.get(task) ?? [];
    const printed = ours.get(task) ?? [];
    const same = wanted.length === printed.length && wanted.every((line, index) => line.text === printed[index]?.text);
    return { task, lines: wanted.length, same };
  });
}

/** A log's lines without their ends; what follows the last end is left out. */
export function linesOf(text: string): readonly string[] {
  return text.split(/\r?\n/).slice(0, -1);
}

function bootTimed(scenario: Scenario): TimedRun {
  const bytes: number[] = [];
  const lines: TimedLine[] = [];
  const prepared = ScenarioRun.prepare(scenario, {
    ladders: ladderText,
    disk: new SparseBlockImage(),
    uart: (byte) => void bytes.push(byte),
    traceListeners: [
      (event) => {
        if (event.kind === 'uart-line') lines.push({ t: event.t, text: event.text });
      },
    ],
    goal: 'ladder',
  });
  if (!prepared.ok) throw new Error(prepared.error);
  while (!prepared.value.slice(SLICE_TURNS));
  return { uart: Buffer.from(Uint8Array.from(bytes)).toString('latin1'), lines };
}
