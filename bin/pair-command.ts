/**
 * A run of two linked machines. Standard output has the lines of both in the order of time, each with its node in front; disk,
 * UART log and capture are one file per node.
 */
import type { ChalkInstance } from 'chalk';

import { formatDuration } from '../scenarios/duration.ts';
import type { GoalKind } from '../scenarios/goal.ts';
import { PairRun } from '../scenarios/pair-run.ts';
import type { NodeListener, PairOutcome } from '../scenarios/pair-run.ts';
import { NODE_NAMES } from '../scenarios/scenario.ts';
import type { NodeName, Scenario } from '../scenarios/scenario.ts';
import { pcapView } from '../sim/net/pcap.ts';
import { drive } from './drive.ts';
import { ExitCode, UsageError } from './errors.ts';
import { guestRam } from './guest-ram.ts';
import { colorsFor } from './output.ts';
import { ladderText } from './resources.ts';
import type { RunOptions } from './run-command.ts';
import { DeferredDisk, RunFiles } from './run-files.ts';
import { Summary } from './summary.ts';
import { nodeTraceLine } from './trace-lines.ts';

/** Runs a scenario with nodes. The exit code; throws {@link UsageError} for bad input, before anything is written. */
export async function runPair(scenario: Scenario, options: RunOptions, goal: GoalKind): Promise<number> {
  RunFiles.checkDisks(options, NODE_NAMES);
  const summary = options.summary === true || options.report !== undefined ? new Summary() : null;
  const views = new Views(options, summary);
  const disks = { A: new DeferredDisk(), B: new DeferredDisk() };
  const chunks: { readonly node: NodeName; readonly bytes: Uint8Array }[] = [];
  const uart = (bytes: Uint8Array, node: NodeName): void => void chunks.push({ node, bytes });
  const prepared = PairRun.prepare(scenario, {
    ladders: ladderText,
    disks,
    uart,
    traceListeners: views.listeners,
    goal,
    ramBuffer: guestRam(2),
  });
  if (!prepared.ok) throw new UsageError(prepared.error);
  const run = prepared.value;
  const files = new RunFiles(options, NODE_NAMES);
  for (const node of NODE_NAMES) disks[node].open(files.disk(node));
  const prefixes = nodePrefixes(colorsFor(process.stdout, options.color));
  let told = 0;
  const flush = (): void => {
    for (const { node, bytes } of chunks) files.uart(bytes, node);
    const shown = chunks.splice(0).flatMap(({ node, bytes }) => [prefixes[node], bytes]);
    if (shown.length > 0) process.stdout.write(Buffer.concat(shown));
    views.write(files);
    const { messages } = run;
    for (const message of messages.slice(told)) process.stderr.write(`${message}\n`);
    told = messages.length;
  };
  try {
    flush();
    await drive(run, flush, () => `two machines, ${formatDuration(run.virtualNs)} of virtual time`);
    const outcome = run.outcome();
    files.report({ ...outcome, ...summary?.json() });
    files.settle();
    return finish(outcome, summary, options, goal, files.hostError);
  } finally {
    files.close();
  }
}

/** What stands before each line of a node; in colour only where asked for. */
function nodePrefixes(color: ChalkInstance): Readonly<Record<NodeName, Uint8Array>> {
  return { A: Buffer.from(`${color.cyan('A:')} `), B: Buffer.from(`${color.magenta('B:')} `) };
}

/** Everything that is made of the event trace. */
class Views {
  readonly listeners: NodeListener[] = [];
  readonly #trace: string[] = [];
  readonly #packets: { readonly node: NodeName; readonly bytes: Uint8Array }[] = [];

  constructor(options: RunOptions, summary: Summary | null) {
    if (summary !== null) this.listeners.push(summary.take);
    if (options.trace !== undefined) this.listeners.push((event, node) => this.#trace.push(nodeTraceLine(event, node)));
    if (options.pcap === undefined) return;
    for (const name of NODE_NAMES) {
      const take = pcapView((bytes) => this.#packets.push({ node: name, bytes }));
      this.listeners.push((event, node) => {
        if (node === name) take(event);
      });
    }
  }

  write(files: RunFiles): void {
    files.trace(this.#trace.splice(0));
    for (const { node, bytes } of this.#packets.splice(0)) files.pcap(bytes, node);
  }
}

function finish(
  outcome: PairOutcome,
  summary: Summary | null,
  options: RunOptions,
  goal: GoalKind,
  hostError: string | null,
): number {
  const color = colorsFor(process.stderr, options.color);
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const { ladder } = outcome.verdict;
  const time = formatDuration(outcome.virtualNs);
  if (outcome.passed) {
    const what =
      goal === 'text'
        ? `"${options.untilMarker ?? ''}" was printed`
        : `${ladder.seen} of ${ladder.required} markers of ladder ${ladder.name}`;
    say(color.green(`passed: ${what}, ${time} of virtual time`));
  } else {
    say(color.red(`failed after ${time} of virtual time (${outcome.end})`));
    for (const reason of outcome.reasons) say(`  ${reason}`);
    for (const { name, stall, halted, virtualNs } of outcome.nodes) {
      if (virtualNs === null) say(color.yellow(`  node ${name} was never switched on`));
      if (halted) say(color.yellow(`  node ${name} went off after ${formatDuration(virtualNs ?? 0)}`));
      else for (const line of stall) say(color.yellow(`  ${line.replace(/^at /, `node ${name}, at `)}`));
    }
  }
  if (options.summary === true && summary !== null) {
    for (const line of summary.lines(nodeRows(outcome), color)) say(line);
  }
  if (hostError !== null) throw new UsageError(`--disk ${hostError}`);
  return outcome.passed ? ExitCode.PASSED : ExitCode.FAILED;
}

/** The summary's first lines: one per node. */
function nodeRows(outcome: PairOutcome): readonly string[] {
  return outcome.nodes.map(({ name, lines, virtualNs }) =>
    virtualNs === null
      ? `node ${name}: never switched on`
      : `node ${name}: ${lines} lines, ${formatDuration(virtualNs)} of virtual time since its power-on`,
  );
}
