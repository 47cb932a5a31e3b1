/**
 * Whole boots in memory, for tests: a scenario goes in; outcome, UART bytes, trace and disk come out. The same code as the
 * command line's (`scenarios/run.ts`), without files, terminal or clock.
 */
import { readFileSync } from 'node:fs';

import { traceLine } from '../bin/trace-lines.ts';
import { ladderFile } from '../markers/loader.ts';
import { QUIRKS, parseQuirks } from '../scenarios/quirks.ts';
import type { QuirkName, QuirkSet } from '../scenarios/quirks.ts';
import { ScenarioRun } from '../scenarios/run.ts';
import type { BootOutcome, RunOutcome } from '../scenarios/run.ts';
import { NO_FAULTS, parseScenario } from '../scenarios/scenario.ts';
import type { Faults, Scenario } from '../scenarios/scenario.ts';
import type { GoalKind } from '../scenarios/goal.ts';
import { SparseBlockImage } from '../sim/block-image.ts';
import type { BlockImage } from '../sim/block-image.ts';
import type { TraceEvent } from '../sim/trace.ts';

/** What a finished run leaves behind. */
export interface Booted {
  readonly outcome: RunOutcome;
  /** UART text of all boots, one character per byte. */
  readonly uart: string;
  /** The UART's lines, without line ends; one list per boot. */
  readonly boots: readonly (readonly string[])[];
  /** The trace as `--trace` writes it; empty unless asked for. */
  readonly trace: readonly string[];
  /** Notes and faults of the trace, empty unless the trace was asked for; or what {@link BootOptions.collect} chose. */
  readonly events: readonly TraceEvent[];
  /** The disk as it stands at the end. */
  readonly disk: SparseBlockImage;
}

/** How to run. */
export interface BootOptions {
  readonly trace?: boolean;
  /** Chooses the trace events that end up in {@link Booted.events}; without `trace` no text is made of them. */
  readonly collect?: (event: TraceEvent) => boolean;
  /** Turns per slice. */
  readonly slice?: number;
  /** A disk to begin with; it is not changed. */
  readonly disk?: SparseBlockImage;
  /** A disk that the run works on directly; {@link Booted.disk} is then an empty one. */
  readonly image?: BlockImage;
  readonly goal?: GoalKind;
  /** Called after each slice with their number so far. */
  readonly onSlice?: (slices: number) => void;
  /** Asked after each slice: true interrupts the run. */
  readonly stopWhen?: (events: readonly TraceEvent[]) => boolean;
}

/** Slices of a run at most; a run that needs more hangs. */
const MAX_SLICES = 2_000_000;

/** Runs a scenario to its end. */
export function boot(scenario: Scenario, options: BootOptions = {}): Booted {
  const disk = options.disk?.snapshot() ?? new SparseBlockImage();
  const bytes: number[][] = scenario.boots.map(() => []);
  const trace: string[] = [];
  const events: TraceEvent[] = [];
  const collect = options.collect ?? ((event: TraceEvent) => event.kind === 'note' || event.kind === 'fault');
  const prepared = ScenarioRun.prepare(scenario, {
    ladders: (name) => readFileSync(new URL(`../markers/${ladderFile(name)}`, import.meta.url), 'utf8'),
    disk: options.image ?? disk,
    uart: (byte, number) => {
      bytes[number - 1]?.push(byte);
    },
    traceListeners:
      options.trace === true || options.collect !== undefined
        ? [
            (event) => {
              if (options.trace === true) trace.push(traceLine(event));
              if (collect(event)) events.push(event);
            },
          ]
        : [],
    goal: options.goal ?? 'ladder',
  });
  if (!prepared.ok) throw new Error(prepared.error);
  let slices = 0;
  while (!prepared.value.slice(options.slice ?? 1_000_000)) {
    slices += 1;
    options.onSlice?.(slices);
    if (options.stopWhen?.(events) === true) {
      prepared.value.interrupt();
      break;
    }
    if (slices > MAX_SLICES) throw new Error(`${scenario.name}: no end after ${MAX_SLICES} slices`);
  }
  const uart = bytes.map((one) => Buffer.from(one).toString('latin1'));
  return {
    outcome: prepared.value.outcome(),
    uart: uart.join(''),
    boots: uart.map((text) => linesOf(text)),
    trace,
    events,
    disk,
  };
}

/** UART text as lines; what follows the last line end is left out. */
export function linesOf(uart: string): readonly string[] {
  return uart.split(/\r?\n/).slice(0, -1);
}

/** A scenario that ships with the project. */
export function shipped(name: string): Scenario {
  const file = `scenarios/${name}.toml`;
  const parsed = parseScenario(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'), file, name);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

/** The default scenario. */
export function observability(): Scenario {
  return shipped('observability');
}

/** The same scenario with other quirks: a word as `--quirks` takes it, or the names themselves. */
export function withQuirks(scenario: Scenario, quirks: string | readonly QuirkName[]): Scenario {
  const word = typeof quirks === 'string' ? quirks : quirks.length === 0 ? 'none' : quirks.join(',');
  const parsed = parseQuirks(word);
  if (!parsed.ok) throw new Error(parsed.error);
  return { ...scenario, quirks: parsed.quirks };
}

/** Every quirk but one. */
export function allQuirksBut(name: QuirkName): QuirkSet {
  return new Set(QUIRKS.map((quirk) => quirk.name).filter((quirk) => quirk !== name));
}

/** The same scenario with these faults in every boot. */
export function withFaults(scenario: Scenario, faults: Partial<Faults>): Scenario {
  return { ...scenario, boots: scenario.boots.map((one) => ({ ...one, faults: { ...NO_FAULTS, ...faults } })) };
}

/** The only boot of a run of one. */
export function only(booted: Booted): BootOutcome {
  const [first, ...rest] = booted.outcome.boots;
  if (first === undefined || rest.length > 0)
    throw new Error(`expected one boot, found ${booted.outcome.boots.length}`);
  return first;
}

/** Ladder markers that did not come, in ladder order. */
export function missing(booted: Booted): readonly string[] {
  return only(booted).verdict.ladder.missing.map((entry) => entry.marker);
}

/** The whole content of a disk as one string, for comparing: offset and bytes of every page that is not zero. */
export function diskText(disk: SparseBlockImage): string {
  return [...disk.chunks()].map((chunk) => `${chunk.offset}:${Buffer.from(chunk.bytes).toString('hex')}`).join('\n');
}
