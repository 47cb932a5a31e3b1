/**
 * The two-VM ladder (sheet 85, section 12.2): steps in order, each a line that one node or both must have printed. The
 * harness looks at both logs once a second; here the caller says when with {@link NodesMatcher.poll}. Between two looks
 * the order of lines does not matter, and a required line counts even when the terminal one is there too. Success does not
 * have to wait for a look: {@link NodesMatcher.advance} sees it at once.
 */

import { Fields, FieldFault } from './fields.ts';
import type { Result } from './ladder.ts';
import { parseTable } from './loader.ts';
import { NeedleSet } from './needles.ts';

/** Steps at most. */
export const MAX_STEPS = 64;

/** Nodes at most. */
export const MAX_NODES = 8;

/** Stands for the node's name in the `ended` message of a step. */
const NODE_NAME = '%n';

export interface NodeStep {
  /** Line for the user when the step begins. */
  readonly info: string | undefined;
  readonly marker: string;
  /** Nodes that must print it. */
  readonly on: readonly string[];
  /** Message when a node that lacks it has printed the terminal line. */
  readonly ended: string;
  /** Message when time runs out. */
  readonly timeout: string;
}

export interface NodesLadder {
  readonly name: string;
  readonly nodes: readonly string[];
  readonly terminal: string;
  /** Line for the user when all steps are done. */
  readonly done: string;
  readonly steps: readonly NodeStep[];
}

/** Reads a ladder for several nodes. Error: one line with file, key and expectation. */
export function parseNodesLadder(text: string, file: string): Result<NodesLadder> {
  try {
    return { ok: true, value: readNodesLadder(new Fields(parseTable(text, file), file, '', LADDER_KEYS)) };
  } catch (fault) {
    if (fault instanceof FieldFault) return { ok: false, error: fault.message };
    throw fault;
  }
}

const LADDER_KEYS = ['name', 'nodes', 'terminal', 'done', 'steps'];

function readNodesLadder(fields: Fields): NodesLadder {
  const nodes = fields.texts('nodes');
  if (nodes.length === 0 || nodes.length > MAX_NODES) fields.fail('nodes', `expected 1 to ${MAX_NODES} nodes`);
  const steps = fields.subs('steps', ['info', 'marker', 'on', 'ended', 'timeout']).map((step): NodeStep => {
    const on = step.texts('on');
    on.forEach((node, index) => {
      if (!nodes.includes(node)) step.fail(`on[${index}]`, `expected one of ${nodes.join(', ')}, found '${node}'`);
    });
    return {
      info: step.optionalText('info'),
      marker: step.text('marker'),
      on,
      ended: step.text('ended'),
      timeout: step.text('timeout'),
    };
  });
  if (steps.length === 0 || steps.length > MAX_STEPS) fields.fail('steps', `expected 1 to ${MAX_STEPS} steps`);
  return { name: fields.text('name'), nodes, terminal: fields.text('terminal'), done: fields.text('done'), steps };
}

export interface NodesVerdict {
  /** Name of the ladder. */
  readonly name: string;
  readonly state: 'running' | 'passed' | 'failed';
  /** Index of the step that is waited for or failed; the number of steps when all are done. */
  readonly step: number;
  /** Its marker and the nodes that still lack it. */
  readonly marker: string | undefined;
  readonly lacking: readonly string[];
  /** What no node that had to has printed yet, over all steps. */
  readonly missing: readonly NodeMarker[];
  /** Markers seen and required, each counted per node. */
  readonly seen: number;
  readonly required: number;
  /** The harness's lines so far, the failure or the last one included. */
  readonly messages: readonly string[];
}

/** A marker on a node. */
export interface NodeMarker {
  readonly node: string;
  readonly marker: string;
}

/** Follows the logs of several nodes. */
export class NodesMatcher {
  private readonly ladder: NodesLadder;
  private readonly texts: readonly string[];
  private readonly needles: NeedleSet;
  private readonly seen: ReadonlyMap<string, Set<number>>;
  private readonly messages: string[] = [];
  private step = 0;
  private state: NodesVerdict['state'] = 'running';

  constructor(ladder: NodesLadder) {
    this.ladder = ladder;
    this.texts = [...new Set([...ladder.steps.map((step) => step.marker), ladder.terminal])];
    this.needles = new NeedleSet(this.texts);
    this.seen = new Map(ladder.nodes.map((node) => [node, new Set<number>()]));
    this.announce();
  }

  /**
   * Takes the next line of a node, without its ending. Lines of unknown nodes are dropped. Gives the markers that this node
   * had to print and shows for the first time.
   */
  line(node: string, text: string): readonly string[] {
    const seen = this.seen.get(node);
    const fresh: string[] = [];
    if (seen === undefined) return fresh;
    this.needles.forEachIn(text, (index) => {
      if (seen.has(index)) return;
      seen.add(index);
      const marker = this.texts[index];
      const step = this.ladder.steps.find((one) => one.marker === marker && one.on.includes(node));
      if (step !== undefined) fresh.push(step.marker);
    });
    return fresh;
  }

  /** Moves on over steps that are done; does not mind terminal lines. */
  advance(): NodesVerdict['state'] {
    while (this.state === 'running') {
      const step = this.ladder.steps[this.step];
      if (step === undefined) {
        this.end('passed', this.ladder.done);
        break;
      }
      if (this.lacking(step).length > 0) break;
      this.step += 1;
      this.announce();
    }
    return this.state;
  }

  /** Looks at the logs as they are and gives the verdict so far. */
  poll(): NodesVerdict {
    const step = this.advance() === 'running' ? this.ladder.steps[this.step] : undefined;
    if (step !== undefined) {
      const ended = this.lacking(step).find((node) => this.has(node, this.ladder.terminal));
      if (ended !== undefined) this.end('failed', step.ended.replaceAll(NODE_NAME, ended));
    }
    return this.verdict();
  }

  /** Looks once more, and fails the step that is still waited for: its time, or the run, is over. */
  timeout(): NodesVerdict {
    this.poll();
    const step = this.ladder.steps[this.step];
    if (this.state === 'running' && step !== undefined) this.end('failed', step.timeout);
    return this.verdict();
  }

  verdict(): NodesVerdict {
    const step = this.ladder.steps[this.step];
    const missing = this.ladder.steps.flatMap((one) =>
      this.lacking(one).map((node): NodeMarker => ({ node, marker: one.marker })),
    );
    const required = this.ladder.steps.reduce((sum, one) => sum + one.on.length, 0);
    return {
      name: this.ladder.name,
      state: this.state,
      step: this.step,
      marker: step?.marker,
      lacking: step === undefined ? [] : this.lacking(step),
      missing,
      seen: required - missing.length,
      required,
      messages: [...this.messages],
    };
  }

  private has(node: string, text: string): boolean {
    return this.seen.get(node)?.has(this.texts.indexOf(text)) ?? false;
  }

  private lacking(step: NodeStep): readonly string[] {
    return step.on.filter((node) => !this.has(node, step.marker));
  }

  private announce(): void {
    const info = this.ladder.steps[this.step]?.info;
    if (info !== undefined) this.messages.push(info);
  }

  private end(state: 'passed' | 'failed', message: string): void {
    this.state = state;
    this.messages.push(message);
  }
}
