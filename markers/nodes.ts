/**
 * The two-VM ladder (sheet 85, section 12.2): steps in order, each a line that one node or both must have printed. The
 * harness looks at both logs once a second; here the caller says when with {@link NodesMatcher.poll}. Between two looks
 * the order of lines does not matter, and a required line counts even when the terminal one is there too.
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
  readonly state: 'running' | 'passed' | 'failed';
  /** Index of the step that is waited for or failed; the number of steps when all are done. */
  readonly step: number;
  /** Its marker and the nodes that still lack it. */
  readonly marker: string | undefined;
  readonly lacking: readonly string[];
  /** The harness's lines so far, the failure or the last one included. */
  readonly messages: readonly string[];
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

  /** Takes the next line of a node, without its ending. Lines of unknown nodes are dropped. */
  line(node: string, text: string): void {
    const seen = this.seen.get(node);
    if (seen === undefined) return;
    this.needles.forEachIn(text, (index) => seen.add(index));
  }

  /** Looks at the logs as they are and gives the verdict so far. */
  poll(): NodesVerdict {
    while (this.state === 'running') {
      const step = this.ladder.steps[this.step];
      if (step === undefined) {
        this.end('passed', this.ladder.done);
        break;
      }
      const lacking = this.lacking(step);
      if (lacking.length > 0) {
        const ended = lacking.find((node) => this.has(node, this.ladder.terminal));
        if (ended !== undefined) this.end('failed', step.ended.replaceAll(NODE_NAME, ended));
        break;
      }
      this.step += 1;
      this.announce();
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
    return {
      state: this.state,
      step: this.step,
      marker: step?.marker,
      lacking: step === undefined ? [] : this.lacking(step),
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
