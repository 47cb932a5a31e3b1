/**
 * What a boot is judged by: its ladder, one of the ladder's phases, or a single text (sheet 85, sections 4.3 and 6). Takes
 * UART lines, says when the run may stop, and gives the verdict in the end.
 */
import type { Ladder, Result } from '../markers/ladder.ts';
import { LadderMatcher } from '../markers/matcher.ts';
import { planRun, UntilWatcher } from '../markers/until.ts';
import type { Verdict } from '../markers/verdict.ts';
import type { Expectation } from './scenario.ts';

/** What the verdict asks for. `ladder`: all of it (trimmed to a phase, if one was named). `text`: that text. */
export type GoalKind = 'ladder' | 'text';

/** How one boot went, as far as its lines tell. */
export interface GoalVerdict {
  readonly passed: boolean;
  /** Reasons against, one line each; empty when passed. */
  readonly reasons: readonly string[];
  /** The ladder's own verdict. */
  readonly ladder: Verdict;
  /** Why the run stopped early, in the harness's words; null when it did not. */
  readonly stop: string | null;
}

/** Watches one boot. */
export class Goal {
  readonly kind: GoalKind;
  /** Lines for the user before the run. */
  readonly info: readonly string[];
  readonly #ladder: Ladder;
  readonly #until: UntilWatcher;
  readonly #matcher: LadderMatcher;
  readonly #phase: string | undefined;
  readonly #text: string | null;
  readonly #expect: Expectation;
  readonly #present: Set<string>;
  readonly #absentSeen: string[] = [];
  #failsBefore = 0;

  private constructor(
    kind: GoalKind,
    ladder: Ladder,
    until: UntilWatcher,
    text: string | null,
    expect: Expectation,
    info: readonly string[],
  ) {
    this.kind = kind;
    this.info = info;
    this.#ladder = ladder;
    this.#until = until;
    this.#text = text;
    this.#matcher = new LadderMatcher(ladder, { strict: expect.missing.length === 0 });
    this.#phase = ladder.trimmedTo;
    this.#expect = expect;
    this.#present = new Set(expect.present);
  }

  /** `until` as `RUN_UNTIL_MARKER`; `kind` text judges by that text alone. Error: unknown phase (exit code 2). */
  static of(
    kind: GoalKind,
    ladder: Ladder,
    until: string,
    phase: string | undefined,
    expect: Expectation,
  ): Result<Goal> {
    const plan = planRun(ladder, phase !== undefined && until === '0' ? '1' : until, phase);
    if (!plan.ok) return plan;
    // A phase alone stops the run by being complete; a marker named beside it stops the run too.
    const stop =
      phase !== undefined && (until === '0' || until === '1') ? ({ kind: 'never' } as const) : plan.value.until;
    const text = plan.value.until.kind === 'marker' ? plan.value.until.text : null;
    return {
      ok: true,
      value: new Goal(kind, plan.value.ladder, new UntilWatcher(ladder, stop), text, expect, plan.value.info),
    };
  }

  /** Takes the next line. Gives the ladder markers it shows for the first time. */
  line(text: string): readonly string[] {
    const fresh = this.#matcher.line(text);
    for (const wanted of this.#expect.present) if (text.includes(wanted)) this.#present.delete(wanted);
    for (const unwanted of this.#expect.absent) if (text.includes(unwanted)) this.#absentSeen.push(text);
    this.#until.line(text);
    if (!this.isReached() && this.#isFailLine(text)) this.#failsBefore += 1;
    return fresh;
  }

  /** The run may stop here: its marker came, its phase is complete, or trouble says so. */
  isReached(): boolean {
    return this.#until.stopped !== undefined || (this.#phase !== undefined && this.#matcher.complete);
  }

  /** A failure line that does not belong to a good run (sheet 85, section 17.1 lists those that do). */
  #isFailLine(text: string): boolean {
    const has = (needle: string): boolean => text.includes(needle);
    return this.#ladder.fail.some(has) && !this.#ladder.expectedFail.some(has);
  }

  verdict(): GoalVerdict {
    const ladder = this.#matcher.verdict();
    const stop = this.#until.stopped?.message ?? null;
    const reasons = this.kind === 'text' ? this.#textReasons() : this.#ladderReasons(ladder);
    for (const wanted of this.#present) reasons.push(`no line contains "${wanted}"`);
    for (const line of this.#absentSeen) reasons.push(`unexpected line: ${line}`);
    return { passed: reasons.length === 0, reasons, ladder, stop };
  }

  #textReasons(): string[] {
    const reasons: string[] = [];
    const stopped = this.#until.stopped;
    if (stopped === undefined || stopped.kind === 'panic' || stopped.kind === 'hardening') {
      reasons.push(`the marker did not come: ${this.#text ?? 'the complete stop set'}`);
    }
    if (this.#failsBefore > 0) reasons.push(`${this.#failsBefore} FAIL line(s) came before`);
    return reasons;
  }

  #ladderReasons(ladder: Verdict): string[] {
    const expected = this.#expect.missing;
    if (expected.length === 0) {
      if (ladder.pass) return [];
      const missing = ladder.missing.map((entry) => `missing marker (${entry.phase}): ${entry.marker}`);
      if (missing.length > 0) return missing;
      return [ladder.failure === undefined ? 'the ladder failed' : failureReason(ladder.failure)];
    }
    const missing = new Set(ladder.missing.map((entry) => entry.marker));
    const reasons = expected
      .filter((marker) => !missing.has(marker))
      .map((marker) => `marker came although its cause was taken away: ${marker}`);
    for (const marker of missing) {
      if (!expected.includes(marker)) reasons.push(`missing marker that should have come: ${marker}`);
    }
    for (const order of ladder.outOfOrder) reasons.push(`marker out of order: ${order.marker} (line ${order.line})`);
    return reasons;
  }
}

/** A failure other than a missing marker, in one line. */
function failureReason(failure: NonNullable<Verdict['failure']>): string {
  switch (failure.kind) {
    case 'fail-line':
      return `unexpected failure line ${failure.line}: ${failure.text}`;
    case 'order':
      return `marker out of order: ${failure.marker} (line ${failure.line})`;
    default:
      return `ladder: ${failure.kind}`;
  }
}
