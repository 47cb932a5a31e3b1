/**
 * A run of two linked machines from the first power-on to the verdict. {@link SharedTime} says who runs; what the machines
 * show (UART lines, trace events) is held back until both have come that far, and handed out in the order of the shared time.
 * The machines know nothing of each other: all there is between them is the cable.
 */
import type { Kernel } from '../kernel-model/kernel.ts';
import { renderStall, stallReport } from '../kernel-model/stall.ts';
import type { LadderSource } from '../markers/loader.ts';
import type { Result } from '../markers/ladder.ts';
import type { BlockImage } from '../sim/block-image.ts';
import { Clock } from '../sim/clock.ts';
import { EthernetLink } from '../sim/net/link.ts';
import type { LinkEnd, LinkPlace } from '../sim/net/link.ts';
import type { BufferSource } from '../sim/ram.ts';
import { SharedTime } from '../sim/shared-time.ts';
import { Streams } from '../sim/streams.ts';
import type { TraceEvent } from '../sim/trace.ts';
import { formatDuration } from './duration.ts';
import type { GoalKind } from './goal.ts';
import { buildMachine } from './machine.ts';
import type { Machine } from './machine.ts';
import { NodeGoal } from './node-goal.ts';
import type { NodeGoalVerdict } from './node-goal.ts';
import type { BootEnd } from './run.ts';
import type { Boot, NodeName, Scenario, ScenarioNode } from './scenario.ts';

/** An event of one node; its `t` is the shared time. */
export type NodeListener = (event: TraceEvent, node: NodeName) => void;

/** What the owner of a run supplies. */
export interface PairEnvironment {
  readonly ladders: LadderSource;
  readonly disks: Readonly<Record<NodeName, BlockImage>>;
  /** Bytes that left a node's UART, line by line, lines of both nodes in the order of time. */
  readonly uart: (bytes: Uint8Array, node: NodeName) => void;
  readonly traceListeners: readonly NodeListener[];
  readonly goal: GoalKind;
  /** What each machine's RAM lies in; absent: the engine decides. */
  readonly ramBuffer?: BufferSource;
}

/** How it went on one node. */
export interface NodeOutcome {
  readonly name: NodeName;
  /** Virtual ns from its power-on to where it stands; null: it was never switched on. */
  readonly virtualNs: number | null;
  /** The machine was switched off before the run ended. */
  readonly halted: boolean;
  readonly lines: number;
  /** Who waits for whom, where the run ended without its goal; else empty. */
  readonly stall: readonly string[];
}

/** How the whole run went. */
export interface PairOutcome {
  readonly scenario: string;
  readonly passed: boolean;
  readonly end: BootEnd;
  /** Reasons against, one line each. */
  readonly reasons: readonly string[];
  readonly verdict: NodeGoalVerdict;
  /** Shared time at the end, ns. */
  readonly virtualNs: number;
  readonly nodes: readonly NodeOutcome[];
}

/** The harness looks at both logs that often (sheet 85, section 12.2), ns. */
const LOOK_EVERY_NS = 1_000_000_000;
/** What a step counts of a slice at least: steps are short while both machines are busy. */
const STEP_TURNS = 32;

const ENDS: Readonly<Record<NodeName, LinkEnd>> = { A: 'a', B: 'b' };

/** Something a node showed, until it is handed out. */
interface Shown {
  /** Shared time. */
  readonly t: number;
  /** A whole line with its bytes, or an event. */
  readonly line: string | null;
  readonly bytes: Uint8Array | null;
  readonly event: TraceEvent | null;
}

/** One side of the pair. */
class Node {
  readonly spec: ScenarioNode;
  readonly clock = new Clock();
  machine: Machine | null = null;
  halted = false;
  lines = 0;
  /** What it showed, in its own order, from `next` on. */
  shown: Shown[] = [];
  next = 0;
  /** UART bytes since the last line end. */
  bytes: number[] = [];

  constructor(spec: ScenarioNode) {
    this.spec = spec;
  }

  get name(): NodeName {
    return this.spec.name;
  }

  get powerOnNs(): number {
    return this.spec.powerOnNs ?? Infinity;
  }

  get now(): number {
    return this.powerOnNs + this.clock.now;
  }

  takeBytes(): Uint8Array {
    const taken = Uint8Array.from(this.bytes);
    this.bytes = [];
    return taken;
  }

  /** The oldest thing shown not later than `t`. */
  oldest(t: number): Shown | null {
    const first = this.shown[this.next];
    return first !== undefined && first.t <= t ? first : null;
  }

  drop(): void {
    this.next += 1;
    if (this.next < this.shown.length) return;
    this.shown = [];
    this.next = 0;
  }
}

/** A run in progress. */
export class PairRun {
  readonly #scenario: Scenario;
  readonly #boot: Boot;
  readonly #env: PairEnvironment;
  readonly #goal: NodeGoal;
  readonly #nodes: readonly Node[];
  #time: SharedTime | null = null;
  #link: EthernetLink | null = null;
  #nextLookNs = LOOK_EVERY_NS;
  /** The last thing handed out. */
  #shownNs = 0;
  #outcome: PairOutcome | null = null;

  private constructor(scenario: Scenario, boot: Boot, env: PairEnvironment, goal: NodeGoal) {
    this.#scenario = scenario;
    this.#boot = boot;
    this.#env = env;
    this.#goal = goal;
    this.#nodes = scenario.nodes.map((spec) => new Node(spec));
  }

  /** Prepares a run of a scenario with two nodes. Error: a ladder or phase that does not exist, one line (exit code 2). */
  static prepare(scenario: Scenario, env: PairEnvironment): Result<PairRun> {
    const [boot] = scenario.boots;
    if (boot === undefined) return { ok: false, error: 'expected a boot' };
    if (boot.phase !== undefined) return { ok: false, error: `phase ${boot.phase}: expected none with two machines` };
    const goal = NodeGoal.of(env.goal, scenario.ladder, env.ladders, boot.until, boot.expect);
    return goal.ok ? { ok: true, value: new PairRun(scenario, boot, env, goal.value) } : goal;
  }

  /** The harness's lines so far; more come while the run goes on. */
  get messages(): readonly string[] {
    return this.#goal.messages;
  }

  /** Shared time up to which everything was handed out, ns. */
  get virtualNs(): number {
    return this.#shownNs;
  }

  /** A node's kernel, for views; null while it is off. */
  kernelOf(name: NodeName): Kernel | null {
    return this.#nodes.find((node) => node.name === name)?.machine?.kernel ?? null;
  }

  /** Runs about `turns` turns. True when the run is over. */
  slice(turns: number): boolean {
    const time = (this.#time ??= this.#powerOn());
    for (let left = turns; left > 0 && !this.#isOver; left -= STEP_TURNS) {
      const limit = Math.min(this.#boot.maxVirtualNs, this.#nextLookNs);
      const end = time.step(limit, left);
      if (end === 'steps') break;
      this.#noticeHalts();
      this.#handOut(time.frontierNs);
      if (end === 'over') this.#limitReached(time, limit);
    }
    return this.#isOver;
  }

  /** Ends the run where it stands; the disks keep what the guests flushed. */
  interrupt(): void {
    if (this.#isOver || this.#time === null) return;
    this.#handOut(Infinity);
    this.#finish('interrupted');
  }

  /** The outcome, once {@link slice} said that the run is over. */
  outcome(): PairOutcome {
    return this.#outcome ?? this.#outcomeAt('interrupted');
  }

  get #isOver(): boolean {
    return this.#outcome !== null;
  }

  #powerOn(): SharedTime {
    const places = this.#nodes.map((node): LinkPlace => ({ clock: node.clock, powerOnNs: node.powerOnNs }));
    const [a, b] = places;
    if (a === undefined || b === undefined) throw new Error('a pair has two nodes');
    const { latency } = this.#scenario.machine;
    const streams = new Streams(this.#scenario.seed, 1);
    const link = new EthernetLink({ a, b }, streams, latency, () => this.#time?.frameSent());
    this.#link = link;
    for (const node of this.#nodes) if (node.spec.powerOnNs !== null) this.#build(node, link);
    const seats = this.#nodes.flatMap(({ machine, powerOnNs }) =>
      machine === null ? [] : [{ machine: timed(machine), powerOnNs }],
    );
    return new SharedTime(seats, latency.minNs);
  }

  #build(node: Node, link: EthernetLink): void {
    const { traceListeners } = this.#env;
    const show = (event: TraceEvent): void => {
      const t = node.powerOnNs + event.t;
      node.shown.push({ t, line: null, bytes: null, event: { ...event, t } });
    };
    const machine = buildMachine({
      scenario: this.#scenario,
      boot: { ...this.#boot, faults: node.spec.faults },
      bootNumber: 1,
      disk: this.#env.disks[node.name],
      uart: (byte) => {
        node.bytes.push(byte);
      },
      traceListeners: traceListeners.length === 0 ? [] : [show],
      ramBuffer: this.#env.ramBuffer,
      linked: { node: node.spec, clock: node.clock, link, end: ENDS[node.name] },
    });
    machine.board.uartLines.listen((line) => {
      node.shown.push({ t: node.now, line: line.text, bytes: node.takeBytes(), event: null });
      // A line may be what the run waits for: nobody runs further than it must before that is looked at.
      this.#time?.pause();
    });
    node.machine = machine;
  }

  #noticeHalts(): void {
    for (const node of this.#nodes) {
      if (node.halted || node.machine?.kernel.stopping !== true) continue;
      node.halted = true;
      this.#link?.disconnect(ENDS[node.name]);
    }
  }

  /** Hands out what was shown up to `ns`, in the order of time, until the goal is reached. */
  #handOut(ns: number): void {
    while (!this.#isOver) {
      const node = this.#firstToShow(ns);
      const shown = node?.oldest(ns) ?? null;
      if (node === null || shown === null) return;
      node.drop();
      this.#shownNs = shown.t;
      this.#handOutOne(shown, node);
    }
  }

  /** The node that showed something first, the first node where both did; null: nothing was shown up to `ns`. */
  #firstToShow(ns: number): Node | null {
    let found: Node | null = null;
    let foundNs = Infinity;
    for (const node of this.#nodes) {
      const t = node.oldest(ns)?.t ?? Infinity;
      if (t >= foundNs) continue;
      found = node;
      foundNs = t;
    }
    return found;
  }

  #handOutOne({ t, line, bytes, event }: Shown, node: Node): void {
    if (event !== null) for (const listener of this.#env.traceListeners) listener(event, node.name);
    if (line === null || bytes === null) return;
    node.lines += 1;
    for (const text of this.#goal.line(node.name, line)) {
      for (const listener of this.#env.traceListeners) listener({ t, pid: -1, kind: 'marker', text }, node.name);
    }
    this.#env.uart(bytes, node.name);
    if (!this.#goal.isReached) return;
    // The line's own event is the next thing its node showed.
    const own = node.oldest(t)?.event;
    if (own?.kind === 'uart-line') for (const listener of this.#env.traceListeners) listener(own, node.name);
    this.#finish('goal');
  }

  #limitReached(time: SharedTime, limit: number): void {
    if (this.#isOver) return;
    if (time.frontierNs === Infinity) {
      this.#end('dead');
    } else if (limit < this.#boot.maxVirtualNs) {
      this.#shownNs = limit;
      this.#nextLookNs += LOOK_EVERY_NS;
      this.#goal.look();
      if (this.#goal.isReached) this.#finish('goal');
    } else {
      this.#shownNs = limit;
      this.#end('time');
    }
  }

  #end(end: BootEnd): void {
    this.#handOut(Infinity);
    this.#goal.over();
    this.#finish(end);
  }

  #finish(end: BootEnd): void {
    // Text without a line end, as the machines left it.
    if (end !== 'goal') {
      for (const node of this.#nodes) if (node.bytes.length > 0) this.#env.uart(node.takeBytes(), node.name);
    }
    this.#outcome = this.#outcomeAt(end);
  }

  #outcomeAt(end: BootEnd): PairOutcome {
    const verdict = this.#goal.verdict();
    const reasons = [...verdict.reasons];
    if (end === 'interrupted') reasons.push('interrupted');
    if (end === 'time' && !verdict.passed) {
      reasons.push(`virtual-time bound of ${formatDuration(this.#boot.maxVirtualNs)} reached`);
    }
    const passed = reasons.length === 0;
    return {
      scenario: this.#scenario.name,
      passed,
      end,
      reasons,
      verdict,
      virtualNs: this.#shownNs,
      nodes: this.#nodes.map(({ name, machine, halted, lines }) => ({
        name,
        virtualNs: machine?.board.clock.now ?? null,
        halted,
        lines,
        stall: passed || end === 'goal' || machine === null ? [] : stallOf(machine),
      })),
    };
  }
}

function timed({ board, kernel }: Machine): ConstructorParameters<typeof SharedTime>[0][number]['machine'] {
  return {
    clock: board.clock,
    get quietUntil() {
      return kernel.quietUntilNs;
    },
    run: (untilNs, maxSteps) => kernel.run({ untilNs, maxSteps }),
    endBy: (ns) => kernel.endBy(ns),
  };
}

function stallOf(machine: Machine): readonly string[] {
  return renderStall(stallReport(machine.kernel)).trimEnd().split('\n');
}
