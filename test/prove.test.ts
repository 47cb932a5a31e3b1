/**
 * RFC-0024's markers through the prover: each comes after its cause, and goes when the cause is taken away. The same code as
 * `npm run prove`, which does it for whole ladders.
 */
import { beforeAll, describe, expect, it } from 'vitest';

import { causesOf, loadCauses, proveHere } from '../tools/prove/prove.ts';
import type { Proof } from '../tools/prove/prove.ts';

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

function prove(quirks: string, markers: readonly string[]): readonly Proof[] {
  const causes = causesOf('observability', loadCauses()).filter((cause) => markers.includes(cause.marker));
  return proveHere({ image: 'observability', quirks, words: [] }, causes);
}

describe('take the cause away', () => {
  let proofs: readonly Proof[] = [];
  beforeAll(() => {
    proofs = prove('none', RFC_0024);
  }, 120_000);

  it.each(RFC_0024)('OBS-16: %s goes with its cause', (marker) => {
    const proof = proofs.find((one) => one.marker === marker);
    expect(proof?.problems).toEqual([]);
    expect(proof?.status).toBe('killed');
    expect(proof?.expected).toBe(true);
  });

  it('the reference prints an empty marker without its cause, and the prover says so', () => {
    const [proof] = prove('reference', ['SELFTEST: policy deny ok']);
    expect(proof).toMatchObject({ status: 'survived', expected: true });
  });
});
