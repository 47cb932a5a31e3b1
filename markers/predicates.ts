/**
 * A small language for conditions on trace events, evaluated on plain JSON-like records: `KIND key=value key^=value ...`.
 * Operators: `=` and `!=` compare as text, `^=` begins with, `*=` contains, `>=` and `<=` compare as numbers. A value with
 * spaces stands in double quotes. A list of predicates holds when events that fit them come in that order.
 */
import type { Result } from './ladder.ts';

/** An event as predicates see it: its `kind`, and fields of text, numbers or nothing. */
export type EventRecord = Readonly<Record<string, string | number | boolean | null | undefined>>;

const OPERATORS = ['!=', '^=', '*=', '>=', '<=', '='] as const;
type Operator = (typeof OPERATORS)[number];

interface Test {
  readonly key: string;
  readonly operator: Operator;
  readonly value: string;
}

/** One condition on one event. */
export interface Predicate {
  readonly text: string;
  readonly kind: string;
  readonly tests: readonly Test[];
}

/** Longest predicate, in characters. */
export const MAX_PREDICATE_TEXT = 512;

const WORD = /^([a-z][a-zA-Z0-9-]*)(!=|\^=|\*=|>=|<=|=)(?:"([^"]*)"|([^\s"]*))(?:\s+|$)/;

/** Reads one predicate. Error: one line that quotes the place. */
export function parsePredicate(text: string): Result<Predicate> {
  if (text.length > MAX_PREDICATE_TEXT)
    return { ok: false, error: `expected at most ${MAX_PREDICATE_TEXT} characters` };
  const head = /^([a-z][a-z-]*)(?:\s+|$)/.exec(text);
  if (head === null) return { ok: false, error: `"${text}": expected the kind of an event first` };
  const tests: Test[] = [];
  let rest = text.slice(head[0].length);
  while (rest !== '') {
    const word = WORD.exec(rest);
    if (word === null) {
      return { ok: false, error: `"${rest}": expected key, one of ${OPERATORS.join(' ')}, and a value` };
    }
    const operator = OPERATORS.find((one) => one === word[2]) ?? '=';
    const value = word[3] ?? word[4] ?? '';
    if ((operator === '>=' || operator === '<=') && !/^-?\d+$/.test(value)) {
      return { ok: false, error: `"${word[0].trim()}": expected a whole number after ${operator}` };
    }
    tests.push({ key: word[1] ?? '', operator, value });
    rest = rest.slice(word[0].length);
  }
  return { ok: true, value: { text, kind: head[1] ?? '', tests } };
}

/** True when the event fits. A field that the event does not have fits only `!=`. */
export function fits(predicate: Predicate, event: EventRecord): boolean {
  return event['kind'] === predicate.kind && predicate.tests.every((test) => holds(test, event[test.key]));
}

function holds(test: Test, field: EventRecord[string]): boolean {
  if (field === undefined || field === null) return test.operator === '!=';
  const text = String(field);
  switch (test.operator) {
    case '=':
      return text === test.value;
    case '!=':
      return text !== test.value;
    case '^=':
      return text.startsWith(test.value);
    case '*=':
      return text.includes(test.value);
    case '>=':
      return Number(text) >= Number(test.value);
    case '<=':
      return Number(text) <= Number(test.value);
  }
}

/** Follows a stream of events through a list of predicates. */
export class Sequence {
  readonly #predicates: readonly Predicate[];
  #at = 0;

  constructor(predicates: readonly Predicate[]) {
    this.#predicates = predicates;
  }

  /** Takes the next event; it satisfies one predicate at most. */
  take(event: EventRecord): void {
    const next = this.#predicates[this.#at];
    if (next !== undefined && fits(next, event)) this.#at += 1;
  }

  /** The first predicate that no event has satisfied yet; null when all have been. */
  get missing(): Predicate | null {
    return this.#predicates[this.#at] ?? null;
  }
}
