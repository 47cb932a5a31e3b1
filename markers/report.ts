/** A verdict as text, in the harness's own words, and as JSON. */

import * as messages from './messages.ts';
import type { Excerpt, Failure, Verdict } from './verdict.ts';

/** Entries of one list that a summary shows. */
export const MAX_SUMMARY_ENTRIES = 16;

/** The verifier's lines, in its order and exactly (sheet 85, sections 2 and 4.4); a passed log ends with its last line. */
export function verdictLines(verdict: Verdict): readonly string[] {
  const { failure, warnings } = verdict;
  return [...warnings, ...(failure === undefined ? [messages.COMPLETED] : failureLines(failure))];
}

function failureLines(failure: Failure): readonly string[] {
  switch (failure.kind) {
    case 'satp-hang':
      return [messages.SATP_HANG];
    case 'no-init':
      return [messages.NO_INIT];
    case 'missing':
      return [
        messages.firstFailedPhase(failure.phase, failure.marker),
        failure.service === undefined
          ? messages.missingMarker(failure.marker)
          : messages.upButNotReady(failure.marker, failure.service),
        ...excerptLines(failure.excerpt),
      ];
    case 'required':
      return [
        messages.firstFailedPhase(failure.phase, failure.marker),
        messages.missingRequired(failure.flag, failure.text),
        ...excerptLines(failure.excerpt),
      ];
    case 'order':
      return [messages.outOfOrder(failure.marker, failure.line), ...excerptLines(failure.excerpt)];
    case 'fail-line':
      return [messages.unexpectedFail(failure.line, failure.text)];
    default: {
      const never: never = failure;
      return never;
    }
  }
}

function excerptLines(excerpt: Excerpt): readonly string[] {
  const head = messages.excerptHead(excerpt.start, excerpt.prev);
  return excerpt.firstLine === undefined
    ? [...head, messages.EXCERPT_TAIL, ...excerpt.lines]
    : [...head, ...excerpt.lines];
}

/** A few lines for a person: counts, then what is missing, out of order or failing. Not the harness's words. */
export function summaryLines(verdict: Verdict): readonly string[] {
  const where = verdict.phase === undefined ? '' : `, to phase ${verdict.phase}`;
  const state = verdict.pass ? 'pass' : 'FAIL';
  const fails = verdict.failLines.filter((entry) => !entry.expected);
  return [
    `${state}: ${verdict.seen} of ${verdict.required} markers of ladder ${verdict.ladder}${where}, ${verdict.lines} lines`,
    ...listed('missing', verdict.missing, (entry) => `${entry.marker} (phase ${entry.phase})`),
    ...listed('missing', verdict.missingRequired, (entry) => `${entry.marker} (${entry.flag})`),
    ...listed(
      'out of order',
      verdict.outOfOrder,
      (entry) => `${entry.marker} (line ${entry.line}) after ${entry.previous} (line ${entry.previousLine})`,
    ),
    ...listed('failure line', fails, (entry) => `${entry.line}: ${entry.text}`, verdict.unexpectedFails),
  ];
}

function listed<T>(
  what: string,
  entries: readonly T[],
  show: (entry: T) => string,
  total: number = entries.length,
): readonly string[] {
  const shown = entries.slice(0, MAX_SUMMARY_ENTRIES).map((entry) => `  ${what}: ${show(entry)}`);
  return total > shown.length ? [...shown, `  ${what}: ${total - shown.length} more`] : shown;
}

/**
 * The verdict as JSON text, two blanks deep, with fixed keys in a fixed order; what does not apply is `null`. Holds
 * everything but the excerpt's lines, which are the log's.
 */
export function verdictJson(verdict: Verdict): string {
  return JSON.stringify(
    {
      pass: verdict.pass,
      ladder: verdict.ladder,
      phase: verdict.phase ?? null,
      strict: verdict.strict,
      lines: verdict.lines,
      required: verdict.required,
      seen: verdict.seen,
      failure: verdict.failure === undefined ? null : failureJson(verdict.failure),
      missing: verdict.missing.map(({ index, marker, phase }) => ({ index, marker, phase })),
      missing_required: verdict.missingRequired.map(({ flag, marker }) => ({ flag, marker })),
      out_of_order: verdict.outOfOrder.map((entry) => ({
        marker: entry.marker,
        line: entry.line,
        previous: entry.previous,
        previous_line: entry.previousLine,
      })),
      fail_lines: verdict.failLines.map(({ line, text, task, expected }) => ({
        line,
        text,
        task: task ?? null,
        expected,
      })),
      unexpected_fails: verdict.unexpectedFails,
      warnings: verdict.warnings,
    },
    null,
    2,
  );
}

interface FailureJson {
  readonly kind: Failure['kind'];
  readonly marker: string | null;
  readonly phase: string | null;
  readonly flag: string | null;
  readonly service: string | null;
  readonly line: number | null;
  readonly text: string | null;
  readonly excerpt_line: number | null;
}

function failureJson(failure: Failure): FailureJson {
  return {
    kind: failure.kind,
    marker: 'marker' in failure ? failure.marker : null,
    phase: 'phase' in failure ? failure.phase : null,
    flag: 'flag' in failure ? failure.flag : null,
    service: 'service' in failure ? (failure.service ?? null) : null,
    line: 'line' in failure ? failure.line : null,
    text: 'text' in failure ? failure.text : null,
    excerpt_line: 'excerpt' in failure ? (failure.excerpt.firstLine ?? null) : null,
  };
}
