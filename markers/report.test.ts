import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { fixtures } from './fixtures/fixtures.ts';
import { LadderMatcher } from './matcher.ts';
import { summaryLines, verdictJson } from './report.ts';
import type { Verdict } from './verdict.ts';

const { lines: REFERENCE_LINES, ladder } = fixtures((path) => readFileSync(new URL(path, import.meta.url), 'utf8'));

function judge(lines: readonly string[]): Verdict {
  const matcher = new LadderMatcher(ladder('default'));
  for (const line of lines) matcher.line(line);
  return matcher.verdict();
}

const GOOD = judge(REFERENCE_LINES);
const BAD = judge([...REFERENCE_LINES.filter((line) => line !== 'SELFTEST: qos ok'), 'SELFTEST: qos FAIL']);

describe('JSON', () => {
  it('has fixed keys in a fixed order, null where nothing applies', () => {
    const keys = (verdict: Verdict): readonly string[] => Object.keys(JSON.parse(verdictJson(verdict)) as object);
    expect(keys(GOOD)).toEqual([
      'pass',
      'ladder',
      'phase',
      'strict',
      'lines',
      'required',
      'seen',
      'failure',
      'missing',
      'missing_required',
      'out_of_order',
      'fail_lines',
      'unexpected_fails',
      'warnings',
    ]);
    expect(keys(BAD)).toEqual(keys(GOOD));
    expect(JSON.parse(verdictJson(GOOD))).toMatchObject({ pass: true, phase: null, failure: null, missing: [] });
  });

  it('describes the failure', () => {
    expect(JSON.parse(verdictJson(BAD))).toMatchObject({
      pass: false,
      failure: {
        kind: 'missing',
        marker: 'SELFTEST: qos ok',
        phase: 'mmio',
        flag: null,
        service: null,
        line: null,
        text: null,
        excerpt_line: 1133,
      },
      missing: [{ index: 50, marker: 'SELFTEST: qos ok', phase: 'mmio' }],
      unexpected_fails: 1,
    });
  });
});

describe('summary', () => {
  it('counts, then lists', () => {
    expect(summaryLines(GOOD)).toEqual(['pass: 128 of 128 markers of ladder default, 1501 lines']);
    expect(summaryLines(BAD)).toEqual([
      'FAIL: 127 of 128 markers of ladder default, 1501 lines',
      '  missing: SELFTEST: qos ok (phase mmio)',
      '  failure line: 1501: SELFTEST: qos FAIL',
    ]);
  });

  it('is bounded', () => {
    const lines = summaryLines(judge([]));
    expect(lines).toHaveLength(18);
    expect(lines.at(-1)).toBe('  missing: 112 more');
  });
});
