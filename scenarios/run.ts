/**
 * A scenario from power-on to verdict: one machine per boot on one disk, its UART lines judged by the boot's goal. The
 * owner drives it in slices, so that it can stay responsive; slicing changes nothing in the run.
 */
import type { Kernel, RunEnd } from '../kernel-model/kernel.ts';
import { renderStall, stallReport } from '../kernel-model/stall.ts';
import type { LadderSource } from '../markers/loader.ts';
import { loadLadder } from '../markers/loader.ts';
import type { Result } from '../markers/ladder.ts';
import type { BlockImage } from '../sim/block-image.ts';
import type { BufferSource } from '../sim/ram.ts';
import type { TraceListener } from '../sim/trace.ts';
import { diskKeys } from './disk.ts';
import { formatDuration } from './duration.ts';
import { EndpointNames } from './endpoint-names.ts';
import { Goal } from './goal.ts';
import type { GoalKind, GoalVerdict } from './goal.ts';
import { buildMachine } from './machine.ts';
import type { Machine } from './machine.ts';
import type { Boot, Scenario } from './scenario.ts';

/** What the owner of a run supplies. */
export interface RunEnvironment {
  readonly ladders: LadderSource;
  readonly disk: BlockImage;
  /** UART bytes of boot `boot` (1-based) as they leave the machine. */
  readonly uart: (byte: number, boot: number) => void;
  readonly traceListeners: readonly TraceListener[];
  /** `text`: each boot is judged by its until-marker alone (a marker asked for on the command line). */
  readonly goal: GoalKind;
  /** What each boot's RAM lies in; absent: the engine decides. */
  readonly ramBuffer?: BufferSource;
}

/** Why a boot ended. */
export type BootEnd = 'goal' | 'dead' | 'time' | 'interrupted' | 'halted';

/** How one boot went. */
export interface BootOutcome {
  readonly number: number;
  readonly passed: boolean;
  readonly end: BootEnd;
  /** Reasons against, one line each. */
  readonly reasons: readonly string[];
  readonly verdict: GoalVerdict;
  /** Virtual ns from power-on to the end. */
  readonly virtualNs: number;
  readonly lines: number;
  /** Who waits for whom, where the run ended without its goal; else empty. */
  readonly stall: readonly string[];
}

/** How the whole run went. */
export interface RunOutcome {
  readonly scenario: string;
  readonly passed: boolean;
  readonly boots: readonly BootOutcome[];
}

/** A run in progress. */
export class ScenarioRun {
  readonly #scenario: Scenario;
  readonly #env: RunEnvironment;
  readonly #goals: readonly Goal[];
  readonly #outcomes: BootOutcome[] = [];
  #machine: Machine | null = null;
  #lines = 0;

  private constructor(scenario: Scenario, env: RunEnvironment, goals: readonly Goal[]) {
    this.#scenario = scenario;
    this.#env = env;
    this.#goals = goals;
  }

  /** Prepares a run. Error: a ladder or phase that does not exist, one line (exit code 2). */
  static prepare(scenario: Scenario, env: RunEnvironment): Result<ScenarioRun> {
    const ladder = loadLadder(scenario.ladder, env.ladders);
    if (!ladder.ok) return ladder;
    const goals: Goal[] = [];
    for (const boot of scenario.boots) {
      const { fails } = boot.expect;
      const judged = { ...ladder.value, expectedFail: [...ladder.value.expectedFail, ...fails] };
      const goal = Goal.of(env.goal, judged, boot.until, boot.phase, boot.expect);
      if (!goal.ok) return goal;
      goals.push(goal.value);
    }
    return { ok: true, value: new ScenarioRun(scenario, env, goals) };
  }

  /** Lines for the user before the first slice. */
  get info(): readonly string[] {
    return this.#goals.flatMap((goal) => goal.info);
  }

  /** Virtual ns of the boot in progress. */
  get virtualNs(): number {
    return this.#machine?.board.clock.now ?? 0;
  }

  /** Virtual ns of the boots that are over. */
  get elapsedNs(): number {
    return this.#outcomes.reduce((sum, boot) => sum + boot.virtualNs, 0);
  }

  /** Number of the boot in progress, 1-based. */
  get boot(): number {
    return this.#outcomes.length + 1;
  }

  /** The kernel of the boot in progress, for views. */
  get kernel(): Kernel | null {
    return this.#machine?.kernel ?? null;
  }

  /** Runs at most `turns` turns. True when the run is over. */
  slice(turns: number): boolean {
    const boot = this.#scenario.boots[this.#outcomes.length];
    const goal = this.#goals[this.#outcomes.length];
    if (boot === undefined || goal === undefined) return true;
    const machine = (this.#machine ??= this.#powerOn(boot, goal));
    const end = machine.kernel.run({ untilNs: boot.maxVirtualNs, maxSteps: turns });
    if (end === 'steps') return false;
    this.#finish(boot, goal, machine, goal.isReached() ? 'goal' : bootEnd(end));
    return this.#outcomes.length >= this.#scenario.boots.length;
  }

  /** Ends the boot in progress where it stands; the disk keeps what the guest wrote. */
  interrupt(): void {
    const boot = this.#scenario.boots[this.#outcomes.length];
    const goal = this.#goals[this.#outcomes.length];
    if (this.#machine !== null && boot !== undefined && goal !== undefined) {
      this.#machine.stop();
      this.#finish(boot, goal, this.#machine, 'interrupted');
    }
  }

  /** The outcome so far; complete once {@link slice} said so. */
  outcome(): RunOutcome {
    const boots = this.#outcomes;
    const passed = boots.length === this.#scenario.boots.length && boots.every((boot) => boot.passed);
    return { scenario: this.#scenario.name, passed, boots: [...boots] };
  }

  #powerOn(boot: Boot, goal: Goal): Machine {
    const number = this.boot;
    this.#lines = 0;
    const machine = buildMachine({
      scenario: this.#scenario,
      boot,
      bootNumber: number,
      disk: this.#env.disk,
      uart: (byte) => this.#env.uart(byte, number),
      traceListeners: this.#env.traceListeners,
      ramBuffer: this.#env.ramBuffer,
      linked: null,
    });
    const { trace, uartLines } = machine.board;
    uartLines.listen((line) => {
      if (goal.isReached()) return;
      this.#lines += 1;
      for (const text of goal.line(line.text)) if (trace.on) trace.emit({ kind: 'marker', text });
      if (goal.isReached()) machine.stop();
    });
    return machine;
  }

  #finish(boot: Boot, goal: Goal, machine: Machine, end: BootEnd): void {
    const verdict = goal.verdict();
    const reasons = [...verdict.reasons, ...this.#missingKeys(boot)];
    if (end === 'interrupted') reasons.push('interrupted');
    if (end === 'time') reasons.push(...this.#timeReason(boot, verdict));
    const passed = reasons.length === 0;
    this.#outcomes.push({
      number: this.boot,
      passed,
      end,
      reasons,
      verdict,
      virtualNs: machine.board.clock.now,
      lines: this.#lines,
      stall: passed || end === 'goal' ? [] : whoWaits(machine.kernel, end),
    });
    this.#machine = null;
  }

  /** The virtual-time bound is only a fault where something was still awaited. */
  #timeReason(boot: Boot, verdict: GoalVerdict): readonly string[] {
    return verdict.passed ? [] : [`virtual-time bound of ${formatDuration(boot.maxVirtualNs)} reached`];
  }

  #missingKeys(boot: Boot): readonly string[] {
    if (boot.expect.diskKeys.length === 0) return [];
    const keys = diskKeys(this.#env.disk);
    if (keys === null) return ['the disk holds no readable journal'];
    return boot.expect.diskKeys.filter((key) => !keys.includes(key)).map((key) => `no key ${key} on the disk`);
  }
}

/** Who waits for whom, with the names that init's table gives to endpoints. */
function whoWaits(kernel: Kernel, end: BootEnd): readonly string[] {
  const names = new EndpointNames(kernel);
  const words = { endpointName: (id: number) => names.nameOf(id), dead: end === 'dead' };
  return renderStall(stallReport(kernel), words).trimEnd().split('\n');
}

function bootEnd(end: Exclude<RunEnd, 'steps'>): BootEnd {
  switch (end) {
    case 'dead':
      return 'dead';
    case 'time':
      return 'time';
    case 'stopped':
      return 'halted';
  }
}
