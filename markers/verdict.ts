/** What a log says about its run. Plain data; `report.ts` turns it into text and JSON. */

/** Part of the log around a failure (sheet 85, section 4.5). */
export interface Excerpt {
  readonly start: string;
  readonly prev: string;
  /** Number of the first line shown, 1-based; `undefined` when neither marker was found and the log's tail is shown. */
  readonly firstLine: number | undefined;
  readonly lines: readonly string[];
}

export interface MissingMarker {
  /** Index in the ladder. */
  readonly index: number;
  readonly marker: string;
  /** The phase that it is charged to (sheet 85, section 4.2). */
  readonly phase: string;
}

export interface MissingRequired {
  readonly flag: string;
  readonly marker: string;
}

export interface OutOfOrder {
  readonly marker: string;
  readonly line: number;
  /** The ordered marker that should have come on an earlier line. */
  readonly previous: string;
  readonly previousLine: number;
}

/** A line that reports a failure. */
export interface FailLine {
  readonly line: number;
  readonly text: string;
  /** Who printed it, if the table of prefixes knows. */
  readonly task: string | undefined;
  /** It belongs to a good run. */
  readonly expected: boolean;
}

/** The first check that failed, in the verifier's order (sheet 85, section 2). */
export type Failure =
  /** V5 */
  | { readonly kind: 'satp-hang' }
  /** V6 */
  | { readonly kind: 'no-init' }
  /** V7; `service` is set when its `init: up` line is there but not its ready line. */
  | {
      readonly kind: 'missing';
      readonly marker: string;
      readonly phase: string;
      readonly service: string | undefined;
      readonly excerpt: Excerpt;
    }
  /** V8 and V9; `text` is what the second error line names. */
  | {
      readonly kind: 'required';
      readonly marker: string;
      readonly text: string;
      readonly flag: string;
      readonly phase: string;
      readonly excerpt: Excerpt;
    }
  /** V10 */
  | { readonly kind: 'order'; readonly marker: string; readonly line: number; readonly excerpt: Excerpt }
  /** Only in a strict verdict, after everything the harness checks. */
  | { readonly kind: 'fail-line'; readonly line: number; readonly text: string };

export interface Verdict {
  readonly pass: boolean;
  /** 0 or 1, as the verifier's. */
  readonly exitCode: 0 | 1;
  readonly ladder: string;
  /** The phase that the ladder was trimmed to. */
  readonly phase: string | undefined;
  readonly strict: boolean;
  /** Lines of the log. */
  readonly lines: number;
  /** Ladder markers, and how many of them were seen. */
  readonly required: number;
  readonly seen: number;
  readonly failure: Failure | undefined;
  readonly missing: readonly MissingMarker[];
  readonly missingRequired: readonly MissingRequired[];
  readonly outOfOrder: readonly OutOfOrder[];
  /** The first failure lines, expected ones included; `unexpectedFails` counts all that are not expected. */
  readonly failLines: readonly FailLine[];
  readonly unexpectedFails: number;
  /** Harness warnings, such as a missing lease with a fallback. */
  readonly warnings: readonly string[];
}
