/**
 * What a run of two machines is judged by: the two-machine ladder, or a single text on one node or any (sheet 85, section
 * 12.2). Takes lines in the order of time, says when the run may stop, and gives the verdict in the end.
 */
import type { Result } from '../markers/ladder.ts';
import { ladderFile } from '../markers/loader.ts';
import type { LadderSource } from '../markers/loader.ts';
import { NodesMatcher, parseNodesLadder } from '../markers/nodes.ts';
import type { NodesVerdict } from '../markers/nodes.ts';
import { parseUntil } from '../markers/until.ts';
import type { Until } from '../markers/until.ts';
import type { GoalKind } from './goal.ts';
import { nodeWord } from './scenario.ts';
import type { Expectation, NodeWord } from './scenario.ts';

/** How a run went, as far as its lines tell. */
export interface NodeGoalVerdict {
  readonly passed: boolean;
  /** Reasons against, one line each; empty when passed. */
  readonly reasons: readonly string[];
  /** The ladder's own verdict, with the harness's lines. */
  readonly ladder: NodesVerdict;
}

/** Watches one run. */
export class NodeGoal {
  readonly #kind: GoalKind;
  readonly #matcher: NodesMatcher;
  readonly #until: Until;
  /** The text of `until`, on its node. */
  readonly #text: NodeWord;
  #textSeen = false;
  #state: NodesVerdict['state'] = 'running';
  readonly #expect: Expectation;
  readonly #present: NodeWord[];
  readonly #absent: readonly NodeWord[];
  readonly #absentSeen: string[] = [];

  private constructor(kind: GoalKind, matcher: NodesMatcher, until: string, expect: Expectation) {
    this.#kind = kind;
    this.#matcher = matcher;
    this.#text = nodeWord(until);
    this.#until = parseUntil(until);
    this.#expect = expect;
    this.#present = expect.present.map(nodeWord);
    this.#absent = expect.absent.map(nodeWord);
  }

  /** `until`: `0` to the end of everything, `1` until the ladder is decided, else a text. Error: no such ladder. */
  static of(
    kind: GoalKind,
    ladder: string,
    ladders: LadderSource,
    until: string,
    expect: Expectation,
  ): Result<NodeGoal> {
    const text = ladders(ladder);
    if (text === undefined) return { ok: false, error: `${ladderFile(ladder)}: expected an existing ladder file` };
    const parsed = parseNodesLadder(text, ladderFile(ladder));
    if (!parsed.ok) return parsed;
    return { ok: true, value: new NodeGoal(kind, new NodesMatcher(parsed.value), until, expect) };
  }

  /** Takes the next line. Gives the ladder's markers that it shows for the first time on its node. */
  line(node: string, text: string): readonly string[] {
    const fresh = this.#matcher.line(node, text);
    const here = (word: NodeWord): boolean => (word.node ?? node) === node && text.includes(word.text);
    const met = this.#present.findIndex(here);
    if (met >= 0) this.#present.splice(met, 1);
    if (this.#absent.some(here)) this.#absentSeen.push(`${node}/${text}`);
    if (this.#until.kind === 'marker' && here(this.#text)) this.#textSeen = true;
    this.#state = this.#matcher.advance();
    return fresh;
  }

  /** The harness looks at both logs: a node that has ended without what it is waited for fails the run. */
  look(): void {
    this.#state = this.#matcher.poll().state;
  }

  /** The time, or the run, is over. */
  over(): void {
    this.#state = this.#matcher.timeout().state;
  }

  /** The run may stop here. */
  get isReached(): boolean {
    if (this.#until.kind === 'marker') return this.#textSeen;
    return this.#until.kind === 'set' && this.#state !== 'running';
  }

  /** The harness's lines so far. */
  get messages(): readonly string[] {
    return this.#kind === 'ladder' ? this.#matcher.verdict().messages : [];
  }

  verdict(): NodeGoalVerdict {
    const ladder = this.#matcher.verdict();
    const reasons = this.#kind === 'text' ? this.#textReasons() : this.#ladderReasons(ladder);
    for (const { node, text } of this.#present) reasons.push(`no line of node ${node ?? 'A or B'} contains "${text}"`);
    for (const line of this.#absentSeen) reasons.push(`unexpected line: ${line}`);
    return { passed: reasons.length === 0, reasons, ladder };
  }

  #textReasons(): string[] {
    const { node, text } = this.#text;
    return this.#textSeen ? [] : [`the marker did not come${node === null ? '' : ` on node ${node}`}: ${text}`];
  }

  #ladderReasons(ladder: NodesVerdict): string[] {
    const missing = ladder.missing.map(({ node, marker }) => `${node}/${marker}`);
    const expected = this.#expect.missing;
    const unexpected = missing.filter((marker) => !expected.includes(marker));
    const reasons = unexpected.map((marker) => `missing marker: ${marker}`);
    // All lines are there, but not before a node had ended.
    if (missing.length === 0 && ladder.state === 'failed') reasons.push(ladder.messages.at(-1) ?? 'the ladder failed');
    for (const marker of expected) {
      if (!missing.includes(marker)) reasons.push(`marker came although its cause was taken away: ${marker}`);
    }
    return reasons;
  }
}
