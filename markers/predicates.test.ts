import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fits, parsePredicate, Sequence } from './predicates.ts';
import type { Predicate } from './predicates.ts';

function predicate(text: string): Predicate {
  const parsed = parsePredicate(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

const SEND = { kind: 'ipc-send', task: 'logd', to: 'log_req', frame: '4c4f0201', result: -110, from: null };

describe('predicates', () => {
  it.each([
    ['ipc-send', true],
    ['ipc-recv', false],
    ['ipc-send task=logd', true],
    ['ipc-send task=log', false],
    ['ipc-send task!=logd', false],
    ['ipc-send frame^=4c4f', true],
    ['ipc-send frame^=4f', false],
    ['ipc-send frame*=02', true],
    ['ipc-send result=-110', true],
    ['ipc-send result>=-110 result<=-110', true],
    ['ipc-send result>=0', false],
    ['ipc-send from=logd', false],
    ['ipc-send from!=logd', true],
    ['ipc-send nothing=x', false],
  ])('%s is %s', (text, expected) => {
    expect(fits(predicate(text), SEND)).toBe(expected);
  });

  it('takes values with spaces in quotes', () => {
    const one = predicate('uart-line text="SELFTEST: end" ending=crlf');
    expect(fits(one, { kind: 'uart-line', text: 'SELFTEST: end', ending: 'crlf' })).toBe(true);
    expect(fits(one, { kind: 'uart-line', text: 'SELFTEST:', ending: 'crlf' })).toBe(false);
  });

  it.each([
    ['', /expected the kind of an event first/],
    ['ipc-send task', /^"task": expected key/],
    ['ipc-send task~x', /^"task~x": expected key/],
    ['disk status>=ok', /^"status>=ok": expected a whole number after >=/],
    ['1001x a', /expected at most 1000x/],
    ['x '.repeat(400), /^expected at most 512 characters/],
  ])('%s: one clear line', (text, expected) => {
    const parsed = parsePredicate(text);
    expect(!parsed.ok && parsed.error).toMatch(expected);
  });

  it('never throws, on any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parsePredicate(text);
        if (parsed.ok) expect(fits(parsed.value, SEND)).toBeTypeOf('boolean');
      }),
      { seed: 20240, numRuns: 2000 },
    );
  });
});

describe('a sequence', () => {
  it('holds when fitting events come in its order', () => {
    const list = [predicate('a'), predicate('b x=1'), predicate('a')];
    const sequence = new Sequence(list);
    for (const event of [{ kind: 'b', x: 1 }, { kind: 'a' }, { kind: 'b', x: 2 }, { kind: 'b', x: 1 }]) {
      sequence.take(event);
    }
    expect(sequence.missing?.text).toBe('a');
    sequence.take({ kind: 'a' });
    expect(sequence.missing).toBeNull();
  });

  it('one event satisfies one predicate', () => {
    const sequence = new Sequence([predicate('a'), predicate('a')]);
    sequence.take({ kind: 'a' });
    expect(sequence.missing).not.toBeNull();
  });

  it('`first`: the next event that is meant has to fit, or the list never holds', () => {
    const list = [predicate('a'), predicate('first b task=t to=q x=1')];
    const good = new Sequence(list);
    // Another task's event, or another endpoint's, is not meant.
    for (const [task, to, x] of [
      ['u', 'q', 2],
      ['t', 'r', 2],
      ['t', 'q', 1],
    ]) {
      good.take({ kind: 'a' });
      good.take({ kind: 'b', task, to, x });
    }
    expect(good.missing).toBeNull();
    const bad = new Sequence(list);
    bad.take({ kind: 'a' });
    bad.take({ kind: 'b', task: 't', to: 'q', x: 2 });
    bad.take({ kind: 'b', task: 't', to: 'q', x: 1 });
    expect(bad.missing?.text).toBe('first b task=t to=q x=1');
  });

  it('a number: so many events have to fit', () => {
    const sequence = new Sequence([predicate('3x a'), predicate('b')]);
    for (const kind of ['a', 'a', 'b', 'a']) sequence.take({ kind });
    expect(sequence.missing?.text).toBe('b');
    sequence.take({ kind: 'b' });
    expect(sequence.missing).toBeNull();
  });
});
