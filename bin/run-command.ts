/** `nexus-sim run`: options to scenario, slices of the run, output, verdict. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';

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
import { GRANT_EXPECTED, MAX_HARTS, parseGrant, parseScenario } from '../scenarios/scenario.ts';
import type { Boot, Grant, Scenario } from '../scenarios/scenario.ts';
import { SparseBlockImage, StagedBlockImage } from '../sim/block-image.ts';
import type { BlockImage } from '../sim/block-image.ts';
import type { TraceListener } from '../sim/trace.ts';
import { DiskFile } from './disk-file.ts';
import { ExitCode, UsageError } from './errors.ts';
import { ByteBuffer, GrowingFile, Progress, colorsFor } from './output.ts';
import type { ColorMode } from './output.ts';
import { ladderText, readScenarioText } from './resources.ts';
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

/** Turns executed before the host gets the thread back: a few milliseconds. */
const SLICE_TURNS = 20_000;
/** Harts of the SMP variant. */
const SMP_HARTS = 2;
const MAX_SEED = Number.MAX_SAFE_INTEGER;

/** Runs a scenario. The exit code; throws {@link UsageError} for bad input, before anything is written. */
export async function runCommand(word: string, options: RunOptions): Promise<number> {
  const scenario = scenarioOf(word, options);
  checkPhase(scenario, options);
  hintUnknownMarker(scenario, options);
  if (options.disk !== undefined) DiskFile.check(options.disk);
  const buffer = new ByteBuffer();
  const listeners: TraceListener[] = [];
  const summary = options.summary === true || options.report !== undefined ? new Summary() : null;
  if (summary !== null) listeners.push(summary.take);
  const traceText: string[] = [];
  if (options.trace !== undefined) listeners.push((event) => traceText.push(traceLine(event)));
  // Preparing checks the ladder and the phase; only then are files opened.
  const disk = new DeferredDisk();
  const prepared = ScenarioRun.prepare(scenario, {
    ladders: ladderText,
    disk,
    uart: (byte) => buffer.push(byte),
    traceListeners: listeners,
    goal: options.untilMarker === undefined ? 'ladder' : 'text',
  });
  if (!prepared.ok) throw new UsageError(prepared.error);
  const run = prepared.value;
  const files = new RunFiles(options);
  disk.open(files.disk);
  for (const line of run.info) process.stderr.write(`${line}\n`);
  try {
    const outcome = await drive(run, scenario, () => {
      files.uart(buffer.take());
      if (traceText.length > 0) files.trace(`${traceText.splice(0).join('\n')}\n`);
    });
    files.report(outcome, summary);
    files.settle();
    return finish(outcome, summary, options, files.hostError);
  } finally {
    files.close();
  }
}

/** Slices until the run is over or somebody interrupts it. */
async function drive(run: ScenarioRun, scenario: Scenario, flush: () => void): Promise<RunOutcome> {
  const progress = new Progress(process.stderr);
  const signal = { seen: false };
  const onSignal = (): void => {
    signal.seen = true;
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    for (;;) {
      const over = run.slice(SLICE_TURNS);
      if (signal.seen && !over) run.interrupt();
      progress.clear();
      flush();
      if (over || signal.seen) return run.outcome();
      progress.update(
        () => `boot ${run.boot} of ${scenario.boots.length}, ${formatDuration(run.virtualNs)} of virtual time`,
      );
      await new Promise((next) => setImmediate(next));
    }
  } finally {
    progress.clear();
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
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
      const what =
        options.untilMarker === undefined
          ? `${seen} of ${required} markers of ladder ${ladder}`
          : `"${options.untilMarker}" was printed`;
      say(color.green(`${head}passed: ${what}, ${time} of virtual time`));
      continue;
    }
    say(color.red(`${head}failed after ${formatDuration(boot.virtualNs)} of virtual time (${boot.end})`));
    if (boot.verdict.stop !== null) say(`  ${boot.verdict.stop}`);
    for (const reason of boot.reasons) say(`  ${reason}`);
    if (boot.stall.length > 0) {
      for (const line of boot.stall) say(color.yellow(`  ${line}`));
    }
    if (options.untilMarker === undefined && !boot.verdict.ladder.pass) {
      for (const line of verdictLines(boot.verdict.ladder)) {
        if (line.startsWith('[error]')) say(line);
      }
    }
  }
  if (options.summary === true && summary !== null) for (const line of summary.lines(outcome, color)) say(line);
  if (hostError !== null) throw new UsageError(`--disk ${hostError}`);
  return outcome.passed ? ExitCode.PASSED : ExitCode.FAILED;
}

/** The files of a run, opened once everything else was checked: all of them, or none is made or changed. */
class RunFiles {
  readonly disk: BlockImage;
  readonly #diskFile: DiskFile | null = null;
  readonly #uartLog: GrowingFile | null;
  readonly #trace: GrowingFile | null;
  readonly #report: GrowingFile | null;

  constructor(options: RunOptions) {
    checkDistinct(options);
    const opened: GrowingFile[] = [];
    const open = (path: string | undefined, flag: string): GrowingFile | null => {
      if (path === undefined) return null;
      const file = new GrowingFile(path, flag);
      opened.push(file);
      return file;
    };
    try {
      this.#uartLog = open(options.uartLog, '--uart-log');
      this.#trace = open(options.trace, '--trace');
      this.#report = open(options.report, '--report');
      this.#diskFile = options.disk === undefined ? null : DiskFile.open(options.disk);
    } catch (error) {
      for (const file of opened) file.discard();
      throw error;
    }
    for (const file of opened) file.begin();
    this.disk = this.#diskFile === null ? new SparseBlockImage() : new StagedBlockImage(this.#diskFile);
  }

  get hostError(): string | null {
    return this.disk.hostError;
  }

  uart(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    process.stdout.write(bytes);
    this.#uartLog?.write(bytes);
  }

  trace(text: string): void {
    this.#trace?.write(Buffer.from(text));
  }

  report(outcome: RunOutcome, summary: Summary | null): void {
    this.#report?.write(Buffer.from(`${JSON.stringify({ ...outcome, ...summary?.json() }, null, 2)}\n`));
  }

  /**
   * The run is over in good order: like any host that ends so, it writes back what the guest had written and not flushed.
   * (A power cut of the run has taken its writes back already; a killed process never gets here.)
   */
  settle(): void {
    this.disk.flush();
  }

  close(): void {
    this.#uartLog?.close();
    this.#trace?.close();
    this.#report?.close();
    this.#diskFile?.close();
  }
}

/** Two options that name one file would write over each other. Devices and pipes may be named twice. */
function checkDistinct(options: RunOptions): void {
  const named = [
    ['--disk', options.disk],
    ['--uart-log', options.uartLog],
    ['--trace', options.trace],
    ['--report', options.report],
  ] as const;
  const seen = new Map<string, string>();
  for (const [flag, path] of named) {
    if (path === undefined) continue;
    const key = fileKey(path);
    if (key === null) continue;
    const other = seen.get(key);
    if (other !== undefined) throw new UsageError(`${flag} ${path}: expected another file than that of ${other}`);
    seen.set(key, flag);
  }
}

/** What two paths of one file have in common; null for what is no regular file. */
function fileKey(path: string): string | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return resolve(path);
  return stat.isFile() ? `${stat.dev}:${stat.ino}` : null;
}

/** A disk that is named before it is opened: a run is checked first, files are touched afterwards. */
class DeferredDisk implements BlockImage {
  #image: BlockImage = new SparseBlockImage();

  open(image: BlockImage): void {
    this.#image = image;
  }
  get sectors(): number {
    return this.#image.sectors;
  }
  get hostError(): string | null {
    return this.#image.hostError;
  }
  read(sector: number, target: Uint8Array): boolean {
    return this.#image.read(sector, target);
  }
  write(sector: number, source: Uint8Array): boolean {
    return this.#image.write(sector, source);
  }
  flush(): boolean {
    return this.#image.flush();
  }
}

/** The scenario with the options of the command line laid over it. */
export function scenarioOf(word: string, options: RunOptions): Scenario {
  const { name, file, text } = readScenarioText(word);
  const parsed = parseScenario(text, file, name);
  if (!parsed.ok) throw new UsageError(parsed.error);
  const scenario = parsed.value;
  const quirks =
    options.quirks === undefined ? { ok: true as const, quirks: scenario.quirks } : parseQuirks(options.quirks);
  if (!quirks.ok) throw new UsageError(`--quirks: ${quirks.error}`);
  const services = IMAGES.get(scenario.image)?.services ?? [];
  for (const service of options.without ?? []) {
    if (!services.includes(service))
      throw new UsageError(`--without ${service}: expected one of ${services.join(', ')}`);
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
    boots: scenario.boots.map((boot) => overlay(boot, options)),
  };
}

/** The SMP ladder needs a second hart; the other variants change nothing in the machine (sheet 85, section 5). */
function variantHarts(scenario: Scenario, options: RunOptions): number {
  return options.variant === 'smp' ? Math.max(SMP_HARTS, scenario.machine.harts) : scenario.machine.harts;
}

function overlay(boot: Boot, options: RunOptions): Boot {
  const maxVirtualNs = options.maxVirtualTime === undefined ? boot.maxVirtualNs : parseDuration(options.maxVirtualTime);
  if (maxVirtualNs === null)
    throw new UsageError(`--max-virtual-time ${options.maxVirtualTime ?? ''}: expected ${DURATION_EXPECTED}`);
  const { faults } = boot;
  return {
    ...boot,
    until: options.untilMarker ?? (options.phase === undefined ? boot.until : '1'),
    phase: options.phase ?? boot.phase,
    maxVirtualNs,
    faults: {
      ...faults,
      without: [...faults.without, ...(options.without ?? [])],
      deny: [...faults.deny, ...grants('--deny', options.deny)],
      allow: [...faults.allow, ...grants('--allow', options.allow)],
      inject: [...faults.inject, ...faultsOf(options.fault)],
    },
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

function grants(flag: string, words: readonly string[] | undefined): readonly Grant[] {
  return (words ?? []).map((word) => {
    const grant = parseGrant(word);
    if (grant === null) throw new UsageError(`${flag} ${word}: expected ${GRANT_EXPECTED}`);
    return grant;
  });
}

function whole(flag: string, text: string, min: number, max: number): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new UsageError(`${flag} ${text}: expected a whole number from ${min} to ${max}`);
  }
  return value;
}

/** A phase that the scenario's ladder does not have. */
function checkPhase(scenario: Scenario, options: RunOptions): void {
  if (options.phase === undefined) return;
  const ladder = loadLadder(IMAGES.get(scenario.image)?.ladder ?? '', ladderText);
  const names = ladder.ok ? ladder.value.phases.map((phase) => phase.name) : [];
  if (!names.includes(options.phase)) {
    throw new UsageError(`--phase ${options.phase}: expected one of ${names.join(', ')}`);
  }
}

/** A text that is in no ladder is looked for all the same; the nearest markers are named. */
function hintUnknownMarker(scenario: Scenario, options: RunOptions): void {
  if (options.untilMarker === undefined || parseUntil(options.untilMarker).kind !== 'marker') return;
  const ladder = loadLadder(IMAGES.get(scenario.image)?.ladder ?? '', ladderText);
  const hint = ladder.ok ? unknownMarkerHint(options.untilMarker, ladder.value) : undefined;
  if (hint !== undefined) process.stderr.write(`${hint}\n`);
}
