/** `nexus-sim run`: options to scenario, slices of the run, output, verdict. */
import type { ChalkInstance } from 'chalk';

import { MAX_MARKER_TEXT } from '../markers/fields.ts';
import { loadLadder } from '../markers/loader.ts';
import { unknownMarkerHint } from '../markers/nearest.ts';
import { parseUntil } from '../markers/until.ts';
import { verdictLines } from '../markers/report.ts';
import { DURATION_EXPECTED, formatDuration, parseDuration } from '../scenarios/duration.ts';
import { MAX_FAULTS, parseFault } from '../scenarios/faults.ts';
import type { Fault } from '../scenarios/faults.ts';
import { IMAGES } from '../scenarios/images.ts';
import { parseQuirks } from '../scenarios/quirks.ts';
import { ScenarioRun } from '../scenarios/run.ts';
import type { RunOutcome } from '../scenarios/run.ts';
import { MAX_HARTS, nodeWord, parseGrant, parseScenario } from '../scenarios/scenario.ts';
import type { Boot, Faults, Grant, NodeName, Scenario } from '../scenarios/scenario.ts';
import { pcapView } from '../sim/net/pcap.ts';
import type { TraceListener } from '../sim/trace.ts';
import { drive } from './drive.ts';
import { ExitCode, UsageError } from './errors.ts';
import { guestRam } from './guest-ram.ts';
import { ByteBuffer, colorsFor } from './output.ts';
import type { ColorMode } from './output.ts';
import { runPair } from './pair-command.ts';
import { DEFAULT_SCENARIO, ladderText, nodeMarkers, readScenarioText } from './resources.ts';
import { DeferredDisk, RunFiles } from './run-files.ts';
import { Summary } from './summary.ts';
import { traceLine } from './trace-lines.ts';

/** Options as commander hands them over. */
export interface RunOptions {
  readonly untilMarker?: string;
  readonly phase?: string;
  readonly seed?: string;
  readonly smp?: string;
  readonly variant?: string;
  readonly disk?: string;
  readonly uartLog?: string;
  readonly trace?: string;
  readonly pcap?: string;
  readonly report?: string;
  readonly maxVirtualTime?: string;
  readonly quirks?: string;
  readonly without?: readonly string[];
  readonly deny?: readonly string[];
  readonly allow?: readonly string[];
  readonly fault?: readonly string[];
  readonly firmwareBanner?: boolean;
  readonly summary?: boolean;
  readonly pollSkipping?: boolean;
  readonly color: ColorMode;
}

/** The variant that is a scenario of its own. */
const PAIR_VARIANT = 'os2vm';
/** Harts of the SMP variant. */
const SMP_HARTS = 2;
const MAX_SEED = Number.MAX_SAFE_INTEGER;

/** Runs a scenario. The exit code; throws {@link UsageError} for bad input, before anything is written. */
export async function runCommand(word: string, options: RunOptions): Promise<number> {
  const scenario = scenarioOf(word, options);
  checkPhase(scenario, options);
  checkUntilMarker(options);
  hintUnknownMarker(scenario, options);
  if (scenario.nodes.length > 0) return await runPair(scenario, options, judgedByText(options) ? 'text' : 'ladder');
  RunFiles.checkDisks(options);
  const buffer = new ByteBuffer();
  const listeners: TraceListener[] = [];
  const summary = options.summary === true || options.report !== undefined ? new Summary() : null;
  if (summary !== null) listeners.push(summary.take);
  const traceText: string[] = [];
  if (options.trace !== undefined) listeners.push((event) => traceText.push(traceLine(event)));
  const packets: Uint8Array[] = [];
  if (options.pcap !== undefined) {
    // A file has one time: boots follow each other in it.
    const offsetNs = (): number => (prepared.ok ? prepared.value.elapsedNs : 0);
    listeners.push(pcapView((chunk) => packets.push(chunk), { offsetNs }));
  }
  // Preparing checks the ladder and the phase; only then are files opened.
  const disk = new DeferredDisk();
  const prepared = ScenarioRun.prepare(scenario, {
    ladders: ladderText,
    disk,
    uart: (byte) => buffer.push(byte),
    traceListeners: listeners,
    goal: judgedByText(options) ? 'text' : 'ladder',
    ramBuffer: guestRam(1),
  });
  if (!prepared.ok) throw new UsageError(prepared.error);
  const run = prepared.value;
  const files = new RunFiles(options);
  disk.open(files.disk());
  for (const line of run.info) process.stderr.write(`${line}\n`);
  try {
    const flush = (): void => {
      const bytes = buffer.take();
      if (bytes.length > 0) process.stdout.write(bytes);
      files.uart(bytes);
      files.trace(traceText.splice(0));
      for (const chunk of packets.splice(0)) files.pcap(chunk);
    };
    await drive(
      run,
      flush,
      () => `boot ${run.boot} of ${scenario.boots.length}, ${formatDuration(run.virtualNs)} of virtual time`,
    );
    const outcome = run.outcome();
    files.report({ ...outcome, ...summary?.json() });
    files.settle();
    return finish(outcome, summary, options, files.hostError);
  } finally {
    files.close();
  }
}

function finish(outcome: RunOutcome, summary: Summary | null, options: RunOptions, hostError: string | null): number {
  const color = colorsFor(process.stderr, options.color);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  for (const boot of outcome.boots) {
    const head = outcome.boots.length > 1 ? `boot ${boot.number}: ` : '';
    if (boot.passed) {
      const { seen, required, ladder } = boot.verdict.ladder;
      const time = formatDuration(boot.virtualNs);
      const what = judgedByText(options)
        ? `"${options.untilMarker}" was printed`
        : `${seen} of ${required} markers of ladder ${ladder}`;
      say(color.green(`${head}passed: ${what}, ${time} of virtual time`));
      continue;
    }
    say(color.red(`${head}failed after ${formatDuration(boot.virtualNs)} of virtual time (${boot.end})`));
    if (boot.verdict.stop !== null) say(`  ${boot.verdict.stop}`);
    for (const reason of boot.reasons) say(`  ${reason}`);
    if (boot.stall.length > 0) {
      for (const line of boot.stall) say(color.yellow(`  ${line}`));
    }
    if (!judgedByText(options) && !boot.verdict.ladder.pass) {
      for (const line of verdictLines(boot.verdict.ladder)) {
        if (line.startsWith('[error]')) say(line);
      }
    }
  }
  if (options.summary === true && summary !== null)
    for (const line of summary.lines(bootRows(outcome, color), color)) say(line);
  if (hostError !== null) throw new UsageError(`--disk ${hostError}`);
  return outcome.passed ? ExitCode.PASSED : ExitCode.FAILED;
}

/** The summary's first lines: one per boot. */
function bootRows(outcome: RunOutcome, color: ChalkInstance): readonly string[] {
  return outcome.boots.map(
    (boot) =>
      `boot ${boot.number}: ${boot.passed ? color.green('passed') : color.red('failed')}, ` +
      `${boot.verdict.ladder.seen} of ${boot.verdict.ladder.required} markers, ${boot.lines} lines, ` +
      `${formatDuration(boot.virtualNs)} of virtual time`,
  );
}

/** The scenario with the options of the command line laid over it. */
export function scenarioOf(word: string, options: RunOptions): Scenario {
  // Two machines are another scenario; the other variants judge the same one differently.
  const chosen = options.variant === PAIR_VARIANT && word === DEFAULT_SCENARIO ? PAIR_VARIANT : word;
  const { name, file, text } = readScenarioText(chosen);
  const parsed = parseScenario(text, file, name);
  if (!parsed.ok) throw new UsageError(parsed.error);
  const scenario = parsed.value;
  const quirks =
    options.quirks === undefined ? { ok: true as const, quirks: scenario.quirks } : parseQuirks(options.quirks);
  if (!quirks.ok) throw new UsageError(`--quirks: ${quirks.error}`);
  const paired = scenario.nodes.length > 0;
  if (options.variant !== undefined && paired !== (options.variant === PAIR_VARIANT)) {
    const fits = paired ? `${PAIR_VARIANT}, or none` : `another variant, or scenario ${PAIR_VARIANT}`;
    throw new UsageError(`--variant ${options.variant}: expected ${fits} with image ${scenario.image}`);
  }
  const services = IMAGES.get(scenario.image)?.services ?? [];
  for (const word of options.without ?? []) {
    if (!services.includes(paired ? nodeWord(word).text : word))
      throw new UsageError(`--without ${word}: expected one of ${services.join(', ')}`);
  }
  return {
    ...scenario,
    seed: options.seed === undefined ? scenario.seed : String(whole('--seed', options.seed, 0, MAX_SEED)),
    quirks: quirks.quirks,
    firmwareBanner: options.firmwareBanner ?? scenario.firmwareBanner,
    ladder: options.variant ?? scenario.ladder,
    machine: {
      ...scenario.machine,
      harts: options.smp === undefined ? variantHarts(scenario, options) : whole('--smp', options.smp, 1, MAX_HARTS),
      skipPolls: options.pollSkipping ?? scenario.machine.skipPolls,
    },
    nodes: scenario.nodes.map((node) => ({ ...node, faults: withFaults(node.faults, wordsFor(node.name, options)) })),
    boots: scenario.boots.map((boot) => overlay(boot, paired ? withoutFaults(options) : options)),
  };
}

/** Options that change what a machine is made of. */
type FaultOptions = Pick<RunOptions, 'without' | 'deny' | 'allow' | 'fault'>;

/** What is meant for that node, or for both. */
function wordsFor(name: NodeName, { without, deny, allow, fault }: RunOptions): FaultOptions {
  const mine = (words: readonly string[] = []): readonly string[] =>
    words.map(nodeWord).flatMap(({ node, text }) => (node === null || node === name ? [text] : []));
  return { without: mine(without), deny: mine(deny), allow: mine(allow), fault: mine(fault) };
}

function withoutFaults({ without: _w, deny: _d, allow: _a, fault: _f, ...rest }: RunOptions): RunOptions {
  return rest;
}

/** The SMP ladder needs a second hart; the other variants change nothing in the machine (sheet 85, section 5). */
function variantHarts(scenario: Scenario, options: RunOptions): number {
  return options.variant === 'smp' ? Math.max(SMP_HARTS, scenario.machine.harts) : scenario.machine.harts;
}

function overlay(boot: Boot, options: RunOptions): Boot {
  const maxVirtualNs = options.maxVirtualTime === undefined ? boot.maxVirtualNs : parseDuration(options.maxVirtualTime);
  if (maxVirtualNs === null)
    throw new UsageError(`--max-virtual-time ${options.maxVirtualTime ?? ''}: expected ${DURATION_EXPECTED}`);
  return {
    ...boot,
    until: options.untilMarker ?? (options.phase === undefined ? boot.until : '1'),
    phase: options.phase ?? boot.phase,
    maxVirtualNs,
    faults: withFaults(boot.faults, options),
  };
}

function withFaults(faults: Faults, options: FaultOptions): Faults {
  return {
    ...faults,
    without: [...faults.without, ...(options.without ?? [])],
    deny: [...faults.deny, ...grants('--deny', options.deny)],
    allow: [...faults.allow, ...grants('--allow', options.allow)],
    inject: [...faults.inject, ...faultsOf(options.fault)],
  };
}

function faultsOf(words: readonly string[] | undefined): readonly Fault[] {
  if ((words?.length ?? 0) > MAX_FAULTS) throw new UsageError(`--fault: expected at most ${MAX_FAULTS} of them`);
  return (words ?? []).map((word) => {
    const fault = parseFault(word);
    if (!fault.ok) throw new UsageError(`--fault ${word}: ${fault.error}`);
    return fault.value;
  });
}

function grants(flag: '--deny' | '--allow', words: readonly string[] | undefined): readonly Grant[] {
  return (words ?? []).map((word) => {
    const grant = parseGrant(word, flag === '--deny' ? 'deny' : 'allow');
    if (!grant.ok) throw new UsageError(`${flag} ${word}: expected ${grant.error}`);
    return grant.value;
  });
}

function whole(flag: string, text: string, min: number, max: number): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new UsageError(`${flag} ${text}: expected a whole number from ${min} to ${max}`);
  }
  return value;
}

/** A marker on the command line is what the run is judged by; `0` and `1` are none, and a phase has a ladder of its own (sheet 85, section 6). */
function judgedByText({ untilMarker, phase }: RunOptions): boolean {
  return phase === undefined && untilMarker !== undefined && parseUntil(untilMarker).kind === 'marker';
}

/** Every line contains the empty text, and none is longer than a marker can be. */
function checkUntilMarker({ untilMarker }: RunOptions): void {
  if (untilMarker === undefined || (untilMarker.length > 0 && untilMarker.length <= MAX_MARKER_TEXT)) return;
  throw new UsageError(`--until-marker: expected a text of 1 to ${MAX_MARKER_TEXT} characters`);
}

/** A phase that the scenario's ladder does not have. */
function checkPhase(scenario: Scenario, options: RunOptions): void {
  if (options.phase === undefined) return;
  if (scenario.nodes.length > 0) {
    throw new UsageError(`--phase ${options.phase}: expected none: ladder ${scenario.ladder} has no phases`);
  }
  const ladder = loadLadder(IMAGES.get(scenario.image)?.ladder ?? '', ladderText);
  const names = ladder.ok ? ladder.value.phases.map((phase) => phase.name) : [];
  if (!names.includes(options.phase)) {
    throw new UsageError(`--phase ${options.phase}: expected one of ${names.join(', ')}`);
  }
}

/** A text that is in no ladder is looked for all the same; the nearest markers are named. */
function hintUnknownMarker(scenario: Scenario, options: RunOptions): void {
  if (options.untilMarker === undefined || parseUntil(options.untilMarker).kind !== 'marker') return;
  // The two-machine ladder is short: its nodes print the lines of the default image.
  const name = scenario.nodes.length > 0 ? 'default' : (IMAGES.get(scenario.image)?.ladder ?? '');
  const ladder = loadLadder(name, ladderText);
  const text = scenario.nodes.length > 0 ? nodeWord(options.untilMarker).text : options.untilMarker;
  const known = scenario.nodes.length > 0 ? nodeMarkers(scenario.ladder) : [];
  if (known.some((marker) => marker.includes(text))) return;
  const hint = ladder.ok ? unknownMarkerHint(text, ladder.value) : undefined;
  if (hint !== undefined) process.stderr.write(`${hint}\n`);
}
