/**
 * A small language for conditions on trace events, evaluated on plain JSON-like records: `KIND key=value key^=value ...`.
 * Operators: `=` and `!=` compare as text, `^=` begins with, `*=` contains, `>=` and `<=` compare as numbers. A value with
 * spaces stands in double quotes. A list of predicates holds when events that fit them come in that order. In front may
 * stand `first` (the next event of this kind, `task`, `to` and `name` must fit, or the list never holds) or a number and
 * `x` (so many events).
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
  /** The next event of its kind, `task`, `to` and `name` has to fit. */
  readonly first: boolean;
  /** Events that have to fit, at least 1. */
  readonly times: number;
}

/** Tests that say whose event is meant. */
const IDENTITY: readonly string[] = ['task', 'to', 'name'];
/** Most events that one predicate may ask for. */
export const MAX_TIMES = 1000;

/** Longest predicate, in characters. */
export const MAX_PREDICATE_TEXT = 512;

const WORD = /^([a-z][a-zA-Z0-9-]*)(!=|\^=|\*=|>=|<=|=)(?:"([^"]*)"|([^\s"]*))(?:\s+|$)/;

/** Reads one predicate. Error: one line that quotes the place. */
export function parsePredicate(text: string): Result<Predicate> {
  if (text.length > MAX_PREDICATE_TEXT)
    return { ok: false, error: `expected at most ${MAX_PREDICATE_TEXT} characters` };
  const front = /^(?:(first)|([1-9]\d{0,3})x)\s+/.exec(text);
  const times = Number(front?.[2] ?? 1);
  if (times > MAX_TIMES) return { ok: false, error: `"${text}": expected at most ${MAX_TIMES}x` };
  const body = text.slice(front?.[0].length ?? 0);
  const head = /^([a-z][a-z-]*)(?:\s+|$)/.exec(body);
  if (head === null) return { ok: false, error: `"${text}": expected the kind of an event first` };
  const tests: Test[] = [];
  let rest = body.slice(head[0].length);
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
  return { ok: true, value: { text, kind: head[1] ?? '', tests, first: front?.[1] !== undefined, times } };
}

/** True when the event fits. A field that the event does not have fits only `!=`. */
export function fits(predicate: Predicate, event: EventRecord): boolean {
  return event['kind'] === predicate.kind && predicate.tests.every((test) => holds(test, event[test.key]));
}

/** True when the event is of the kind, task, endpoint and name that the predicate speaks of, whatever else it is. */
function isMeant(predicate: Predicate, event: EventRecord): boolean {
  if (event['kind'] !== predicate.kind) return false;
  return predicate.tests.every((test) => !IDENTITY.includes(test.key) || holds(test, event[test.key]));
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
  /** Events that have fitted the predicate at `at`. */
  #times = 0;
  /** A `first` was not what it should be. */
  #broken = false;

  constructor(predicates: readonly Predicate[]) {
    this.#predicates = predicates;
  }

  /** Takes the next event; it satisfies one predicate at most. */
  take(event: EventRecord): void {
    const next = this.#predicates[this.#at];
    if (next === undefined || this.#broken) return;
    if (!fits(next, event)) {
      this.#broken = next.first && isMeant(next, event);
      return;
    }
    this.#times += 1;
    if (this.#times < next.times) return;
    this.#at += 1;
    this.#times = 0;
  }

  /** The first predicate that events have not satisfied; null when all have been. */
  get missing(): Predicate | null {
    return this.#predicates[this.#at] ?? null;
  }
}
