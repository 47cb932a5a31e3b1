/** Whole runs of two linked machines in memory, for tests: the same code as the command line's (`scenarios/pair-run.ts`). */
import { createHash } from 'node:crypto';

import { ladderText } from '../bin/resources.ts';
import { nodeTraceLine } from '../bin/trace-lines.ts';
import type { GoalKind } from '../scenarios/goal.ts';
import { PairRun } from '../scenarios/pair-run.ts';
import type { NodeListener, PairOutcome } from '../scenarios/pair-run.ts';
import { NODE_NAMES } from '../scenarios/scenario.ts';
import type { Faults, NodeName, Scenario, ScenarioNode } from '../scenarios/scenario.ts';
import { SparseBlockImage } from '../sim/block-image.ts';
import { diskText, linesOf } from './boot.ts';

type PerNode<T> = Readonly<Record<NodeName, T>>;

/** What a finished run leaves behind. */
export interface PairBooted {
  readonly outcome: PairOutcome;
  /** UART text of each node, one character per byte. */
  readonly uart: PerNode<string>;
  readonly lines: PerNode<readonly string[]>;
  /** Lines of both in the order in which they were handed out, as `A: text`. */
  readonly merged: readonly string[];
  readonly disks: PerNode<SparseBlockImage>;
  /** Hash of the trace as `--trace` writes it; of nothing without a trace. */
  readonly traceHash: string;
}

export interface PairOptions {
  readonly slice?: number;
  /** True: the trace is hashed. */
  readonly trace?: boolean;
  readonly listen?: NodeListener;
  readonly goal?: GoalKind;
  /** Called with the run before its first slice. */
  readonly begin?: (run: PairRun) => void;
}

/** Slices of a run at most; a run that needs more hangs. */
const MAX_SLICES = 2_000_000;

/** Runs a scenario of two machines to its end. */
export function bootPair(scenario: Scenario, options: PairOptions = {}): PairBooted {
  const bytes: PerNode<number[]> = { A: [], B: [] };
  const merged: string[] = [];
  const disks: PerNode<SparseBlockImage> = { A: new SparseBlockImage(), B: new SparseBlockImage() };
  const hash = createHash('sha256');
  const traceListeners: NodeListener[] = options.listen === undefined ? [] : [options.listen];
  if (options.trace === true) traceListeners.push((event, node) => void hash.update(`${nodeTraceLine(event, node)}\n`));
  const prepared = PairRun.prepare(scenario, {
    ladders: ladderText,
    disks,
    uart: (chunk, node) => {
      for (const byte of chunk) bytes[node].push(byte);
      merged.push(
        `${node}: ${Buffer.from(chunk)
          .toString('latin1')
          .replace(/\r?\n$/, '')}`,
      );
    },
    traceListeners,
    goal: options.goal ?? 'ladder',
  });
  if (!prepared.ok) throw new Error(prepared.error);
  options.begin?.(prepared.value);
  for (let slices = 0; !prepared.value.slice(options.slice ?? 1_000_000); slices++) {
    if (slices > MAX_SLICES) throw new Error(`${scenario.name}: no end after ${MAX_SLICES} slices`);
  }
  const uart = { A: Buffer.from(bytes.A).toString('latin1'), B: Buffer.from(bytes.B).toString('latin1') };
  return {
    outcome: prepared.value.outcome(),
    uart,
    lines: { A: linesOf(uart.A), B: linesOf(uart.B) },
    merged,
    disks,
    traceHash: hash.digest('hex'),
  };
}

/** Everything that a run leaves behind, in a form that can be compared. */
export function pairBytes(booted: PairBooted): readonly string[] {
  const { uart, merged, disks, traceHash, outcome } = booted;
  return [
    ...NODE_NAMES.map((node) => uart[node]),
    merged.join('\n'),
    ...NODE_NAMES.map((node) => diskText(disks[node])),
    traceHash,
    JSON.stringify(outcome),
  ];
}

/** The same scenario with a node changed. */
export function withNode(scenario: Scenario, name: NodeName, change: Partial<ScenarioNode>): Scenario {
  return { ...scenario, nodes: scenario.nodes.map((node) => (node.name === name ? { ...node, ...change } : node)) };
}

/** The same scenario with more faults on one node. */
export function withNodeFaults(scenario: Scenario, name: NodeName, faults: Partial<Faults>): Scenario {
  const node = scenario.nodes.find((one) => one.name === name);
  if (node === undefined) throw new Error(`${scenario.name} has no node ${name}`);
  return withNode(scenario, name, { faults: { ...node.faults, ...faults } });
}

/** The same scenario, stopped by another marker. */
export function until(scenario: Scenario, marker: string): Scenario {
  return { ...scenario, boots: scenario.boots.map((one) => ({ ...one, until: marker })) };
}
