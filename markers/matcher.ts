/**
 * Follows a UART log line by line and judges it as the smoke verifier does (sheet 85, sections 2 to 5). The verdict
 * depends on the lines alone, not on the pieces they came in.
 */

import { failedPhase, isOrdered, phaseNamed } from './ladder.ts';
import type { Ladder, Requirement } from './ladder.ts';
import { LineSplitter, LineStore, MAX_LINE_CHARS, TAIL_LINES } from './lines.ts';
import { NeedleSet } from './needles.ts';
import { taskOfLine } from './tasks.ts';
import type { Excerpt, FailLine, Failure, MissingMarker, MissingRequired, OutOfOrder, Verdict } from './verdict.ts';

/** Failure lines kept for the report; more are only counted. */
export const MAX_FAIL_LINES = 64;

/** Lines after the first one of an excerpt (sheet 85, section 4.5, step 6). */
export const EXCERPT_MORE = 220;

const TRAMPOLINE = 'AS: trampoline enter';
const POST_SATP = 'AS: post-satp OK';
const INIT_START = 'init: start';
const READY_END = ': ready';

export interface MatcherOptions {
  /**
   * Off, the harness's rules: FAIL lines do not matter. On: a failure line earns no marker (sheet 85, quirk H4), and one
   * that the ladder does not expect fails the verdict.
   */
  readonly strict?: boolean;
}

const NOTHING: readonly string[] = [];

export class LadderMatcher {
  private readonly ladder: Ladder;
  private readonly strict: boolean;
  private readonly texts: readonly string[];
  private readonly indexes: ReadonlyMap<string, number>;
  private readonly needles: NeedleSet;
  private readonly failNeedles: NeedleSet;
  private readonly expectedNeedles: NeedleSet;
  private readonly onLadder: ReadonlySet<string>;
  /** Markers that a failure line may not earn in a strict verdict. */
  private readonly earned: ReadonlySet<string>;
  /** First line of each text, 0 while unseen. */
  private readonly firstLines: number[];
  private readonly store = new LineStore();
  private readonly splitter = new LineSplitter();
  private readonly failLines: FailLine[] = [];
  private unexpectedFails = 0;
  private firstUnexpected: FailLine | undefined;
  private seenCount = 0;

  constructor(ladder: Ladder, options: MatcherOptions = {}) {
    this.ladder = ladder;
    this.strict = options.strict ?? false;
    this.onLadder = new Set(ladder.markers);
    this.earned = new Set([...ladder.markers, ...ladder.requirements.flatMap((requirement) => requirement.markers)]);
    this.texts = [...new Set([...this.earned, ...watchedTexts(ladder)])];
    this.indexes = new Map(this.texts.map((text, index) => [text, index]));
    this.needles = new NeedleSet(this.texts);
    this.failNeedles = new NeedleSet(ladder.fail);
    this.expectedNeedles = new NeedleSet(ladder.expectedFail);
    this.firstLines = this.texts.map(() => 0);
  }

  /** Takes the next line, without its ending. Gives the ladder markers that it shows for the first time. */
  line(text: string): readonly string[] {
    const line = text.length > MAX_LINE_CHARS ? text.slice(0, MAX_LINE_CHARS) : text;
    this.store.push(line);
    const number = this.store.count;
    const failing = this.failNeedles.anyIn(line);
    if (failing) this.noteFailure(number, line);
    let fresh: string[] | undefined;
    this.needles.forEachIn(line, (index) => {
      if (this.firstLines[index] !== 0) return;
      const marker = this.texts[index] ?? '';
      if (failing && this.strict && this.earned.has(marker) && !this.failNeedles.anyIn(marker)) return;
      this.firstLines[index] = number;
      if (!this.onLadder.has(marker)) return;
      this.seenCount += 1;
      (fresh ??= []).push(marker);
    });
    return fresh ?? NOTHING;
  }

  /** Takes text as it comes from a wire or a file, with CR LF or LF endings. Call {@link end} after the last piece. */
  feed(chunk: string): void {
    for (const line of this.splitter.feed(chunk)) this.line(line);
  }

  /** Takes an unfinished last line of {@link feed}. */
  end(): void {
    const last = this.splitter.end();
    if (last !== undefined) this.line(last);
  }

  /** Lines so far. */
  get lines(): number {
    return this.store.count;
  }

  /** Ladder markers seen so far. */
  get seen(): number {
    return this.seenCount;
  }

  /** All ladder markers are there; order, requirements and failure lines are the verdict's matter. */
  get complete(): boolean {
    return this.seenCount === this.ladder.markers.length;
  }

  /** First line, 1-based, that contains a marker of the ladder or of its requirements; `undefined` while unseen. */
  lineOf(marker: string): number | undefined {
    const line = this.firstLines[this.indexes.get(marker) ?? -1];
    return line === 0 ? undefined : line;
  }

  /** The end marker of a phase was seen, at which the harness stops a `RUN_PHASE` run. */
  phaseEnded(name: string): boolean {
    const phase = phaseNamed(this.ladder, name);
    return phase !== undefined && this.has(phase.end);
  }

  /**
   * Every marker up to the end marker of a phase was seen, so that a log cut here passes the trimmed ladder (quirk H5:
   * at the end marker itself it need not).
   */
  phaseComplete(name: string): boolean {
    const phase = phaseNamed(this.ladder, name);
    if (phase === undefined) return false;
    const end = this.ladder.markers.indexOf(phase.end);
    return end >= 0 && this.ladder.markers.slice(0, end + 1).every((marker) => this.has(marker));
  }

  /** Judges the lines so far. */
  verdict(): Verdict {
    const missing = this.missingMarkers();
    const outOfOrder = this.orderViolations();
    const warnings: string[] = [];
    const missingRequired: MissingRequired[] = [];
    let requiredFailure: Failure | undefined;
    for (const requirement of this.ladder.requirements) {
      const failed = this.checkRequirement(requirement, missingRequired, warnings);
      requiredFailure ??= failed;
    }
    const failure =
      this.bootFailure() ??
      this.missingFailure(missing[0]) ??
      requiredFailure ??
      this.orderFailure(outOfOrder[0]) ??
      this.failLineFailure();
    return {
      pass: failure === undefined,
      exitCode: failure === undefined ? 0 : 1,
      ladder: this.ladder.name,
      phase: this.ladder.trimmedTo,
      strict: this.strict,
      lines: this.store.count,
      required: this.ladder.markers.length,
      seen: this.seenCount,
      failure,
      missing,
      missingRequired,
      outOfOrder,
      failLines: [...this.failLines],
      unexpectedFails: this.unexpectedFails,
      warnings,
    };
  }

  private has(text: string): boolean {
    return this.lineOf(text) !== undefined;
  }

  private noteFailure(line: number, text: string): void {
    const expected = this.expectedNeedles.anyIn(text);
    const entry: FailLine = { line, text, task: taskOfLine(text), expected };
    if (!expected) {
      this.unexpectedFails += 1;
      this.firstUnexpected ??= entry;
    }
    if (this.failLines.length < MAX_FAIL_LINES) this.failLines.push(entry);
  }

  private missingMarkers(): readonly MissingMarker[] {
    const missing: MissingMarker[] = [];
    this.ladder.markers.forEach((marker, index) => {
      if (!this.has(marker)) missing.push({ index, marker, phase: failedPhase(this.ladder, index) });
    });
    return missing;
  }

  private orderViolations(): readonly OutOfOrder[] {
    const violations: OutOfOrder[] = [];
    let previous: { readonly marker: string; readonly line: number } | undefined;
    for (const marker of this.ladder.markers) {
      if (!isOrdered(this.ladder, marker)) continue;
      const line = this.lineOf(marker);
      if (line === undefined) continue;
      if (previous !== undefined && line <= previous.line) {
        violations.push({ marker, line, previous: previous.marker, previousLine: previous.line });
      }
      previous = { marker, line };
    }
    return violations;
  }

  private bootFailure(): Failure | undefined {
    if (this.has(TRAMPOLINE) && !this.has(POST_SATP)) return { kind: 'satp-hang' };
    return this.has(INIT_START) ? undefined : { kind: 'no-init' };
  }

  private missingFailure(first: MissingMarker | undefined): Failure | undefined {
    if (first === undefined) return undefined;
    const service = first.marker.endsWith(READY_END) ? serviceOf(first.marker) : undefined;
    // For index 0 the harness looks at index -1, which is the ladder's last marker (quirk H2).
    const prev = this.ladder.markers.at(first.index - 1) ?? '';
    return {
      kind: 'missing',
      marker: first.marker,
      phase: first.phase,
      service: service !== undefined && this.has(upText(service)) ? service : undefined,
      excerpt: this.excerpt(phaseNamed(this.ladder, first.phase)?.start ?? '', prev),
    };
  }

  private checkRequirement(
    requirement: Requirement,
    missing: MissingRequired[],
    warnings: string[],
  ): Failure | undefined {
    const fail = (marker: string, text: string, flag: string): Failure => {
      missing.push({ flag, marker: text });
      const { phase, start, prev } = requirement;
      return { kind: 'required', marker, text, flag, phase, excerpt: this.excerpt(start, prev) };
    };
    const { gate, flag } = requirement;
    if (gate !== undefined && !this.has(gate.marker)) {
      if (gate.strictFlag !== undefined) return fail(gate.marker, gate.marker, gate.strictFlag);
      if (!this.has(gate.fallback)) return fail(gate.neither, gate.neitherText, flag);
      warnings.push(`[warn] ${flag}: ${gate.fallbackWarning}`);
      return undefined;
    }
    const absent = requirement.markers.filter((marker) => !this.has(marker));
    const [first, ...rest] = absent;
    if (first === undefined) return undefined;
    const failure = fail(first, first, flag);
    for (const marker of rest) missing.push({ flag, marker });
    return failure;
  }

  private orderFailure(first: OutOfOrder | undefined): Failure | undefined {
    if (first === undefined) return undefined;
    return { kind: 'order', marker: first.marker, line: first.line, excerpt: this.excerpt(INIT_START, '') };
  }

  private failLineFailure(): Failure | undefined {
    if (!this.strict || this.firstUnexpected === undefined) return undefined;
    return { kind: 'fail-line', line: this.firstUnexpected.line, text: this.firstUnexpected.text };
  }

  private excerpt(start: string, prev: string): Excerpt {
    const firstLine = this.lineOf(prev) ?? this.lineOf(start);
    const from = firstLine ?? this.store.count - TAIL_LINES + 1;
    const lines = this.store.range(from, from + EXCERPT_MORE);
    return { start, prev, firstLine, lines };
  }
}

function serviceOf(marker: string): string {
  return marker.slice(0, marker.indexOf(':'));
}

function upText(service: string): string {
  return `init: up ${service}`;
}

/** Texts that are no markers but that verdict and excerpts ask for. */
function watchedTexts(ladder: Ladder): readonly string[] {
  const ups = ladder.markers.filter((marker) => marker.endsWith(READY_END)).map((marker) => upText(serviceOf(marker)));
  const gates = ladder.requirements.flatMap(({ start, prev, gate }) =>
    gate === undefined ? [start, prev] : [start, prev, gate.marker, gate.fallback],
  );
  return [TRAMPOLINE, POST_SATP, INIT_START, ...ups, ...gates, ...ladder.phases.map((phase) => phase.start)];
}
