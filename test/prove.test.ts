/**
 * RFC-0024's markers through the prover: each comes after its cause, and goes when the cause is taken away. The same code as
 * `npm run prove`, which does it for whole ladders.
 */
import { beforeAll, describe, expect, it } from 'vitest';

import type { Cause } from '../markers/causes.ts';
import { parsePredicate } from '../markers/predicates.ts';
import type { Predicate } from '../markers/predicates.ts';
import { causesOf, isLineOf, loadCauses, proveHere, VARIANTS } from '../tools/prove/prove.ts';
import type { Proof, Variant } from '../tools/prove/prove.ts';

/** The eleven markers of RFC-0024. */
const RFC_0024 = [
  'logd: ready',
  'metricsd: ready',
  'SELFTEST: logd hardening rejects ok',
  'SELFTEST: metrics security rejects ok',
  'SELFTEST: metrics counters ok',
  'SELFTEST: metrics gauges ok',
  'SELFTEST: metrics histograms ok',
  'SELFTEST: tracing spans ok',
  'SELFTEST: metrics retention ok',
  'SELFTEST: log query ok',
  'SELFTEST: nexus-log sink-logd ok',
];

/** A marker that is the beginning of its own failure line (sheet 85, quirk H4). */
const H4 = 'SELFTEST: statefs unauthorized access rejected';

const CAUSES = causesOf('observability', loadCauses());

function prove(quirks: string, causes: readonly Cause[]): readonly Proof[] {
  return proveHere({ scenario: 'observability', quirks, words: [] }, causes);
}

/** The cause of a marker, changed. */
function changed(marker: string, change: { readonly [K in keyof Cause]?: Cause[K] }): Cause {
  const cause = CAUSES.find((one) => one.marker === marker);
  if (cause === undefined) throw new Error(`no cause for ${marker}`);
  return { ...cause, ...change };
}

function predicate(text: string): Predicate {
  const parsed = parsePredicate(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

describe('take the cause away', () => {
  let proofs: readonly Proof[] = [];
  beforeAll(() => {
    proofs = prove(
      'none',
      CAUSES.filter((cause) => [...RFC_0024, H4].includes(cause.marker)),
    );
  }, 240_000);

  it.each([...RFC_0024, H4])('OBS-16: %s goes with its cause, and its events with it', (marker) => {
    const proof = proofs.find((one) => one.marker === marker);
    expect(proof).toMatchObject({ status: 'killed', expected: true, problems: [] });
  });

  it('the reference prints an empty marker without its cause, and the prover says so', () => {
    const [proof] = prove('reference', [changed('SELFTEST: policy deny ok', {})]);
    expect(proof).toMatchObject({ status: 'survived', expected: true, quirk: 'cap-check-reply' });
  });
});

describe('the prover is not to be fooled', () => {
  const marker = 'SELFTEST: log query ok';

  it('by a cause that does not take the marker with it', () => {
    const [proof] = prove('none', [
      changed(marker, { take: ['--fault', 'syscall:service=selftest-client,call=task_qos,errno=EPERM'] }),
    ]);
    expect(proof).toMatchObject({ status: 'survived', expected: false });
  });

  it('by events that never come, or come after the line', () => {
    const never = prove('none', [changed(marker, { before: [predicate('ipc-send to=log_req text*="no such text"')] })]);
    expect(never[0]!.problems).toEqual(['not before its line: ipc-send to=log_req text*="no such text"']);
    const late = prove('none', [changed(marker, { before: [predicate('uart-line text="SELFTEST: end"')] })]);
    expect(late[0]!.problems).toContain('not before its line: uart-line text="SELFTEST: end"');
  });

  it('by events that have nothing to do with what is taken away', () => {
    const [proof] = prove('none', [changed(marker, { before: [predicate('uart-line text="init: ready"')] })]);
    expect(proof).toMatchObject({ status: 'killed', expected: false, problems: ['its events came all the same'] });
  });

  it('by a marker that somebody else prints', () => {
    const [proof] = prove('none', [changed(marker, { task: 'logd' })]);
    expect(proof!.problems).toEqual(['printed by selftest-client, not by logd']);
  });

  it('by the failure line that begins with the marker', () => {
    const cause = { marker: H4, prefix: false, tail: false };
    expect(isLineOf(H4, cause)).toBe(true);
    expect(isLineOf(`[INFO x] ${H4}`, cause)).toBe(true);
    expect(isLineOf(`${H4} FAIL`, cause)).toBe(false);
    expect(isLineOf(`${H4} FAIL`, { ...cause, prefix: true })).toBe(false);
    expect(isLineOf(`${H4} FAIL`, { ...cause, tail: true })).toBe(false);
    expect(
      isLineOf('execd: crash report pid=36 code=42', { ...cause, marker: 'execd: crash report pid=', prefix: true }),
    ).toBe(true);
  });
});

describe('what a variant has to prove', () => {
  it('what it adds to the default ladder, or all of it', () => {
    const causes = loadCauses();
    const count = (variant: Variant, whole = false): number => causesOf(variant, causes, whole).length;
    expect(VARIANTS.map((variant) => count(variant))).toEqual([128, 85, 9, 3, 4, 12, 8]);
    expect(VARIANTS.map((variant) => count(variant, true))).toEqual([128, 85, 137, 131, 132, 140, 8]);
    expect(() => causesOf('smp', [])).toThrow('no cause for "KINIT: cpu1 online" of ladder smp');
  });
});
