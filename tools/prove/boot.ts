/** One boot for the prover: a scenario with extra words of the command line laid over it, its lines and, if asked for, its events. */
import { readFileSync } from 'node:fs';

import type { EventRecord } from '../../markers/predicates.ts';
import { withoutEntryTokens } from '../../markers/tasks.ts';
import { ladderFile } from '../../markers/loader.ts';
import { EndpointNames } from '../../scenarios/endpoint-names.ts';
import { parseFault } from '../../scenarios/faults.ts';
import { parseQuirks } from '../../scenarios/quirks.ts';
import { PairRun } from '../../scenarios/pair-run.ts';
import { ScenarioRun } from '../../scenarios/run.ts';
import { nodeWord, parseGrant, parseScenario } from '../../scenarios/scenario.ts';
import type { Faults, NodeName, Scenario } from '../../scenarios/scenario.ts';
import { SparseBlockImage } from '../../sim/block-image.ts';
import type { TraceEvent } from '../../sim/trace.ts';

/** Folder of the project; the prover runs from there. */
const ROOT = process.cwd();
/** Turns of one slice, and slices after which a boot is taken as it stands. */
const SLICE_TURNS = 250_000;
const MAX_SLICES = 120;
/** Virtual time of a boot, ns: many times that of an undisturbed one, so that only what waits for ever is cut off. */
const MAX_VIRTUAL_NS = 60_000_000_000;

/** What is booted. */
export interface BootPlan {
  readonly image: string;
  /** `none` or `reference`, as `--quirks` takes it. */
  readonly quirks: string;
  /** Options of `nexus-sim run`, flag and value in turns. */
  readonly words: readonly string[];
}

/** A ladder's file. */
export function ladderText(name: string): string | undefined {
  try {
    return readFileSync(`${ROOT}/markers/${ladderFile(name)}`, 'utf8');
  } catch {
    return undefined;
  }
}

/** The scenario of a plan. Throws a plain error for words that nobody understands. */
export function scenarioOf(plan: BootPlan): Scenario {
  const file = `scenarios/${plan.image}.toml`;
  const parsed = parseScenario(readFileSync(`${ROOT}/${file}`, 'utf8'), file, plan.image);
  if (!parsed.ok) throw new Error(parsed.error);
  const quirks = parseQuirks(plan.quirks);
  if (!quirks.ok) throw new Error(quirks.error);
  const scenario = parsed.value;
  const smp = plan.words.lastIndexOf('--smp');
  const harts = smp < 0 ? scenario.machine.harts : Number(plan.words[smp + 1]);
  return {
    ...scenario,
    quirks: quirks.quirks,
    machine: { ...scenario.machine, harts },
    boots: scenario.boots.map((boot) => ({
      ...boot,
      maxVirtualNs: MAX_VIRTUAL_NS,
      faults: scenario.nodes.length > 0 ? boot.faults : withWords(boot.faults, plan.words),
    })),
    nodes: scenario.nodes.map((node) => ({ ...node, faults: withWords(node.faults, wordsFor(node.name, plan.words)) })),
  };
}

/** The words that are meant for a node, or for both. */
function wordsFor(name: NodeName, words: readonly string[]): readonly string[] {
  return words.flatMap((flag, i) => {
    if (i % 2 === 1) return [];
    const { node, text } = nodeWord(words[i + 1] ?? '');
    return node === null || node === name ? [flag, text] : [];
  });
}

function withWords(base: Faults, words: readonly string[]): Faults {
  let faults = base;
  for (let i = 0; i < words.length; i += 2) {
    const flag = words[i] ?? '';
    const value = words[i + 1] ?? '';
    faults = withWord(faults, flag, value);
  }
  return faults;
}

function withWord(faults: Faults, flag: string, value: string): Faults {
  if (flag === '--smp') return faults;
  if (flag === '--without') return { ...faults, without: [...faults.without, value] };
  if (flag === '--fault') {
    const fault = parseFault(value);
    if (!fault.ok) throw new Error(`--fault ${value}: ${fault.error}`);
    return { ...faults, inject: [...faults.inject, fault.value] };
  }
  if (flag !== '--deny' && flag !== '--allow')
    throw new Error(`${flag}: expected --fault, --without, --deny, --allow or --smp`);
  const what = flag === '--deny' ? 'deny' : 'allow';
  const grant = parseGrant(value, what);
  if (!grant.ok) throw new Error(`${flag} ${value}: expected ${grant.error}`);
  return { ...faults, [what]: [...faults[what], grant.value] };
}

/**
 * Boots and gives the UART's lines without entry tokens; of two machines with their node and a slash in front. `listen` gets
 * every event as a plain record.
 */
export function linesOf(plan: BootPlan, listen?: (event: EventRecord) => void): readonly string[] {
  const scenario = scenarioOf(plan);
  if (scenario.nodes.length > 0) return pairLinesOf(scenario, listen);
  const bytes: number[] = [];
  const view = listen === undefined ? null : new EventView(() => prepared.ok && prepared.value.kernel, listen);
  const prepared = ScenarioRun.prepare(scenario, {
    ladders: ladderText,
    disk: new SparseBlockImage(),
    uart: (byte) => void bytes.push(byte),
    traceListeners: view === null ? [] : [view.take],
    goal: 'ladder',
  });
  if (!prepared.ok) throw new Error(prepared.error);
  for (let slices = 0; slices < MAX_SLICES && !prepared.value.slice(SLICE_TURNS); slices++);
  return Buffer.from(Uint8Array.from(bytes)).toString('latin1').split(/\r?\n/).map(withoutEntryTokens);
}

function pairLinesOf(scenario: Scenario, listen?: (event: EventRecord) => void): readonly string[] {
  const lines: string[] = [];
  const view = (node: NodeName): EventView =>
    new EventView(
      () => prepared.ok && prepared.value.kernelOf(node),
      (event) => listen?.({ ...event, node }),
    );
  const views = { A: view('A'), B: view('B') };
  const prepared = PairRun.prepare(scenario, {
    ladders: ladderText,
    disks: { A: new SparseBlockImage(), B: new SparseBlockImage() },
    uart: (bytes, node) => {
      const text = Buffer.from(bytes).toString('latin1');
      for (const line of text.split(/\r?\n/)) if (line !== '') lines.push(`${node}/${withoutEntryTokens(line)}`);
    },
    traceListeners: listen === undefined ? [] : [(event, node) => views[node].take(event)],
    goal: 'ladder',
  });
  if (!prepared.ok) throw new Error(prepared.error);
  for (let slices = 0; slices < MAX_SLICES && !prepared.value.slice(SLICE_TURNS); slices++);
  return lines;
}

type KernelOf = () => ScenarioRun['kernel'] | false;

/** Trace events as flat records: `task` is the running task's name, `to` an endpoint's name, `from` a sender's; frames are hex. */
class EventView {
  readonly #kernelOf: KernelOf;
  readonly #listen: (event: EventRecord) => void;
  #names: EndpointNames | null = null;

  constructor(kernelOf: KernelOf, listen: (event: EventRecord) => void) {
    this.#kernelOf = kernelOf;
    this.#listen = listen;
  }

  readonly take = (event: TraceEvent): void => {
    const record: Record<string, string | number | boolean | null> = {};
    for (const [key, value] of Object.entries(event) as [string, unknown][]) {
      if (value instanceof Uint8Array) record[key] = Buffer.from(value).toString('hex');
      else if (typeof value === 'bigint') record[key] = `0x${value.toString(16).padStart(16, '0')}`;
      else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
        record[key] = value;
    }
    const kernel = this.#kernelOf();
    if (kernel !== false && kernel !== null) {
      record['task'] = kernel.tasks[event.pid]?.name ?? null;
      this.#names ??= new EndpointNames(kernel);
      if (event.kind === 'ipc-send' || event.kind === 'ipc-recv') {
        record['to'] = this.#names.nameOf(event.endpoint);
        record['text'] = Buffer.from(event.frame).toString('latin1');
      }
      if (event.kind === 'ipc-recv') record['from'] = kernel.tasks[event.from]?.name ?? null;
    }
    this.#listen(record);
  };
}
