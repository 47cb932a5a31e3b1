import { readFileSync } from 'node:fs';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fixtures } from './fixtures/fixtures.ts';
import type { Ladder } from './ladder.ts';
import { LadderMatcher, MAX_FAIL_LINES } from './matcher.ts';
import type { MatcherOptions } from './matcher.ts';
import { verdictJson, verdictLines } from './report.ts';
import { planRun } from './until.ts';
import type { Verdict } from './verdict.ts';

const {
  lines: REFERENCE_LINES,
  text: REFERENCE_TEXT,
  ladder,
} = fixtures((path) => readFileSync(new URL(path, import.meta.url), 'utf8'));

const DEFAULT = ladder('default');

function judge(lines: readonly string[], used: Ladder = DEFAULT, options: MatcherOptions = {}): Verdict {
  const matcher = new LadderMatcher(used, options);
  for (const line of lines) matcher.line(line);
  return matcher.verdict();
}

function trimmed(phase: string, used: Ladder = DEFAULT): Ladder {
  const plan = planRun(used, '1', phase);
  if (!plan.ok) throw new Error(plan.error);
  return plan.value.ladder;
}

function without(...markers: readonly string[]): readonly string[] {
  return REFERENCE_LINES.filter((line) => !markers.some((marker) => line.includes(marker)));
}

/** Number of the first line with a text, 1-based. */
function lineOf(text: string): number {
  return REFERENCE_LINES.findIndex((line) => line.includes(text)) + 1;
}

describe('the reference log', () => {
  it.each(['default', 'dhcp', 'dhcp-strict', 'dsoftbus'])('passes ladder %s, strictly too', (name) => {
    for (const strict of [false, true]) {
      const verdict = judge(REFERENCE_LINES, ladder(name), { strict });
      expect(verdict).toMatchObject({ pass: true, exitCode: 0, seen: 128, required: 128, lines: 1501, missing: [] });
      expect(verdictLines(verdict)).toEqual(['QEMU selftest completed (markers verified).']);
    }
  });

  it('sheet 85, section 17.1: five failure lines belong to it', () => {
    const verdict = judge(REFERENCE_LINES);
    expect(verdict.failLines.map(({ line, text, task, expected }) => [line, text, task, expected])).toEqual(
      [921, 982, 990, 1005, 1013].map((line) => [line, 'policyd: audit emit FAIL', 'policyd', true]),
    );
    expect(verdict.unexpectedFails).toBe(0);
  });

  it.each(['mmio', 'ota', 'policy', 'logd', 'routing', 'vfs', 'end'])(
    'H5: cut at the end marker of phase %s it passes the trimmed ladder',
    (phase) => {
      const used = trimmed(phase);
      const cut = REFERENCE_LINES.slice(0, lineOf(used.markers.at(-1)!));
      expect(judge(cut, used)).toMatchObject({ pass: true, phase });
      expect(judge(cut.slice(0, -1), used).pass).toBe(false);
    },
  );

  it('H5: cut at the end marker of bring-up it fails with statefsd', () => {
    const verdict = judge(REFERENCE_LINES.slice(0, 977), trimmed('bring-up'));
    expect(verdictLines(verdict).slice(0, 2)).toEqual([
      "[error] first_failed_phase=bring-up missing_marker='statefsd: ready'",
      "[error] Service up but not ready: missing 'statefsd: ready' after 'init: up statefsd'",
    ]);
  });

  it('observability: every line of its ladder is in the log, and each phase ends with its last one', () => {
    const whole = ladder('observability');
    expect(judge(REFERENCE_LINES, whole, { strict: true })).toMatchObject({ pass: true, required: 85 });
    for (const phase of whole.phases) {
      const used = trimmed(phase.name, whole);
      expect(judge(REFERENCE_LINES.slice(0, lineOf(phase.end)), used).missing).toEqual([]);
    }
  });

  it('knows when a phase has ended and when it is complete', () => {
    const matcher = new LadderMatcher(DEFAULT);
    const ended: number[] = [];
    const complete: number[] = [];
    for (const line of REFERENCE_LINES) {
      matcher.line(line);
      if (matcher.phaseEnded('bring-up')) ended.push(matcher.lines);
      if (matcher.phaseComplete('bring-up')) complete.push(matcher.lines);
    }
    expect([ended[0], complete[0]]).toEqual([977, 1106]);
    expect(matcher.complete).toBe(true);
    expect(matcher.phaseComplete('nope')).toBe(false);
  });

  it('gives each marker once, on its first line, entry bytes or not', () => {
    const matcher = new LadderMatcher(DEFAULT);
    const given = REFERENCE_LINES.flatMap((line) => matcher.line(line));
    expect([...given].sort()).toEqual([...DEFAULT.markers].sort());
    expect(matcher.lineOf('keystored: ready')).toBe(lineOf('UBkeystored: ready'));
    expect(matcher.lineOf('no such marker')).toBeUndefined();
  });
});

describe('missing markers', () => {
  // "init: start" is part of every "init: start x"; see the order rule below.
  const alone = DEFAULT.markers.filter((marker) => marker !== 'init: start');

  it.each(alone)('without %s exactly that marker is missing', (marker) => {
    const verdict = judge(without(marker));
    expect(verdict.missing.map((entry) => entry.marker)).toEqual([marker]);
    expect(verdict).toMatchObject({ pass: false, exitCode: 1, seen: 127, failure: { kind: 'missing', marker } });
  });

  it('a marker that is not a ready line', () => {
    const marker = 'SELFTEST: metrics counters ok';
    const verdict = judge(without(marker));
    const lines = verdictLines(verdict);
    const prev = lineOf('metricsd: reject rate_limited') + 2;
    expect(lines.slice(0, 5)).toEqual([
      `[error] first_failed_phase=mmio missing_marker='${marker}'`,
      `[error] Missing UART marker: ${marker}`,
      '[info] --- uart excerpt (bounded, phase-scoped) ---',
      "[info] start_marker='execd: ready' prev_marker='SELFTEST: metrics security rejects ok'",
      REFERENCE_LINES[prev - 1],
    ]);
  });

  it('updated: ready (statefs) takes the plain form although the service is up', () => {
    expect(verdictLines(judge(without('updated: ready (statefs)')))[1]).toBe(
      '[error] Missing UART marker: updated: ready (statefs)',
    );
  });

  it('a ready line without its up line takes the plain form', () => {
    const verdict = judge(without('init: up statefsd', 'statefsd: ready'));
    expect(verdictLines(verdict)[1]).toBe('[error] Missing UART marker: statefsd: ready');
  });

  it('H2: before the first marker stands the last one', () => {
    const verdict = judge(without('neuron vers.'));
    expect(verdict.failure).toMatchObject({
      kind: 'missing',
      excerpt: { start: 'init: start', prev: 'SELFTEST: end', firstLine: 1500, lines: ['SELFTEST: end'] },
    });
  });

  it('H3: an excerpt has 221 lines, the tail of the log 220', () => {
    const early = judge(without('keystored: ready'));
    expect(early.failure).toMatchObject({ kind: 'missing', excerpt: { prev: 'init: ready' } });
    expect(early.failure?.kind === 'missing' && early.failure.excerpt.lines.length).toBe(221);

    const noise = ['init: start', ...Array.from({ length: 500 }, (_, index) => `noise ${index}`)];
    const late = judge(noise, trimmed('mmio'));
    expect(late.failure).toMatchObject({ kind: 'missing', marker: 'neuron vers.', excerpt: { firstLine: 1 } });

    const lines = [...noise, 'AS: post-satp OK'];
    const unfound = judge(lines, { ...DEFAULT, phases: [] });
    expect(verdictLines(unfound).slice(0, 5)).toEqual([
      "[error] first_failed_phase=unknown missing_marker='neuron vers.'",
      '[error] Missing UART marker: neuron vers.',
      '[info] --- uart excerpt (bounded, phase-scoped) ---',
      "[info] start_marker='' prev_marker='SELFTEST: end'",
      '[info] (no start marker found; showing last 220 lines)',
    ]);
    expect(verdictLines(unfound).slice(5)).toEqual(lines.slice(-220));
  });

  it('V5 and V6 come before the ladder', () => {
    expect(verdictLines(judge(['AS: trampoline enter val=0x1']))).toEqual([
      '[error] SATP switch hang: trampoline entered but no post-satp marker',
    ]);
    expect(verdictLines(judge([]))).toEqual([
      '[error] os-lite init markers not found (init: start); userspace bring-up required',
    ]);
  });
});

describe('order', () => {
  const swap = (a: number, b: number): readonly string[] => {
    const lines = [...REFERENCE_LINES];
    [lines[a - 1], lines[b - 1]] = [lines[b - 1]!, lines[a - 1]!];
    return lines;
  };
  const ordered = DEFAULT.markers.slice(1, 29);

  it.each(ordered.slice(1).map((marker, index) => [ordered[index]!, marker] as const))(
    'swapping %s and %s is an order error',
    (first, second) => {
      const verdict = judge(swap(lineOf(first), lineOf(second)));
      // The bare "init: start" is found on the swapped line of the next service too, which then fails for being equal.
      expect(verdict.failure).toMatchObject({ kind: 'order', marker: second });
      expect(verdict.missing).toEqual([]);
    },
  );

  it('prints the line and an excerpt from init: start', () => {
    const verdict = judge(swap(lineOf('init: up keystored'), lineOf('init: start rngd')));
    expect(verdictLines(verdict).slice(0, 4)).toEqual([
      `[error] Marker out of order: init: start rngd (line ${lineOf('init: up keystored')})`,
      '[info] --- uart excerpt (bounded, phase-scoped) ---',
      "[info] start_marker='init: start' prev_marker=''",
      'init: start',
    ]);
  });

  it('without the bare init: start the first service fails on the same line', () => {
    const lines = REFERENCE_LINES.filter((line) => line !== 'init: start');
    const at = lines.indexOf('init: start keystored') + 1;
    expect(judge(lines).failure).toMatchObject({ kind: 'order', marker: 'init: start keystored', line: at });
  });

  it('unordered markers may come anywhere', () => {
    expect(judge(swap(lineOf('SELFTEST: qos ok'), lineOf('SELFTEST: vfs stat ok'))).pass).toBe(true);
  });

  it('the trimmed ladder alone is compared', () => {
    const lines = [...REFERENCE_LINES.slice(0, lineOf('SELFTEST: cap query vmo ok'))];
    expect(judge(lines, trimmed('mmio')).pass).toBe(true);
  });
});

describe('requirements', () => {
  const dhcp = ladder('dhcp');
  const bound = 'net: dhcp bound';

  it('with a lease the first missing proof is named', () => {
    const verdict = judge(without('SELFTEST: net udp dns ok', 'SELFTEST: icmp ping ok'), dhcp);
    expect(verdictLines(verdict).slice(0, 4)).toEqual([
      "[error] first_failed_phase=mmio missing_marker='SELFTEST: net udp dns ok'",
      '[error] Missing UART marker (REQUIRE_QEMU_DHCP=1): SELFTEST: net udp dns ok',
      '[info] --- uart excerpt (bounded, phase-scoped) ---',
      "[info] start_marker='execd: ready' prev_marker='SELFTEST: net iface ok'",
    ]);
    expect(verdict.missingRequired).toHaveLength(2);
    expect(verdict.missing).toEqual([]);
  });

  it('without a lease the fallback passes with a warning', () => {
    const lines = without(bound, 'SELFTEST: net ping ok', 'SELFTEST: net udp dns ok');
    const verdict = judge([...lines, 'net: dhcp unavailable (fallback static 10.0.2.15/24)'], dhcp);
    expect(verdictLines(verdict)).toEqual([
      '[warn] REQUIRE_QEMU_DHCP=1: DHCP not bound; static fallback in use (skipping DHCP-dependent proofs)',
      'QEMU selftest completed (markers verified).',
    ]);
  });

  it('with neither it fails, and strictly the lease itself is asked for', () => {
    expect(verdictLines(judge(without(bound), dhcp)).slice(0, 2)).toEqual([
      "[error] first_failed_phase=mmio missing_marker='net: dhcp bound|net: dhcp unavailable'",
      '[error] Missing UART marker (REQUIRE_QEMU_DHCP=1): net: dhcp bound (or fallback marker)',
    ]);
    const fallback = [...without(bound), 'net: dhcp unavailable (fallback static 10.0.2.15/24)'];
    expect(verdictLines(judge(fallback, ladder('dhcp-strict'))).slice(0, 2)).toEqual([
      "[error] first_failed_phase=mmio missing_marker='net: dhcp bound'",
      '[error] Missing UART marker (REQUIRE_QEMU_DHCP_STRICT=1): net: dhcp bound',
    ]);
  });

  it('H8: a phase does not trim them', () => {
    const used = trimmed('bring-up', ladder('dsoftbus'));
    const verdict = judge(REFERENCE_LINES.slice(0, 1106), used);
    expect(verdictLines(verdict).slice(0, 4)).toEqual([
      "[error] first_failed_phase=routing missing_marker='dsoftbusd: discovery up (udp loopback)'",
      '[error] Missing UART marker (REQUIRE_DSOFTBUS=1): dsoftbusd: discovery up (udp loopback)',
      '[info] --- uart excerpt (bounded, phase-scoped) ---',
      "[info] start_marker='SELFTEST: ipc routing keystored ok' prev_marker='netstackd: facade up'",
    ]);
    expect(verdict.missingRequired).toHaveLength(12);
  });
});

describe('failure lines', () => {
  const denied = 'SELFTEST: statefs unauthorized access rejected';
  const renamed = REFERENCE_LINES.map((line) => (line === denied ? `${denied} FAIL` : line));

  it('H4: the harness takes a failure line for its marker, a strict verdict does not', () => {
    expect(judge(renamed)).toMatchObject({ pass: true, unexpectedFails: 1 });
    expect(judge(renamed, DEFAULT, { strict: true })).toMatchObject({
      pass: false,
      failure: { kind: 'missing', marker: denied },
    });
  });

  it('a strict verdict fails on one that the ladder does not expect', () => {
    const lines = [...REFERENCE_LINES, 'SELFTEST: icmp ping FAIL'];
    expect(judge(lines).pass).toBe(true);
    expect(verdictLines(judge(lines, DEFAULT, { strict: true }))).toEqual([
      '[error] Unexpected failure line 1502: SELFTEST: icmp ping FAIL',
    ]);
  });

  it('keeps the first ones and counts all', () => {
    const many = Array.from({ length: 1000 }, (_, index) => `SELFTEST: x FAIL ${index}`);
    const verdict = judge([...REFERENCE_LINES, ...many]);
    expect(verdict.failLines).toHaveLength(MAX_FAIL_LINES);
    expect(verdict.unexpectedFails).toBe(1000);
  });
});

describe('feeding', () => {
  const text = REFERENCE_TEXT;

  it('any cuts of the log give the same verdict as its lines', () => {
    const byLine = verdictJson(judge(REFERENCE_LINES));
    const whole = new LadderMatcher(DEFAULT);
    whole.feed(text);
    whole.end();
    expect(verdictJson(whole.verdict())).toBe(byLine);
    fc.assert(
      fc.property(fc.array(fc.nat({ max: text.length }), { maxLength: 40 }), (cuts) => {
        const matcher = new LadderMatcher(DEFAULT);
        let from = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), text.length]) {
          matcher.feed(text.slice(from, cut));
          from = cut;
        }
        matcher.end();
        expect(verdictJson(matcher.verdict())).toBe(byLine);
      }),
      { seed: 20240, numRuns: 60 },
    );
  });

  it('random logs: pieces against lines, and a naive count of missing markers', () => {
    const piece = fc.oneof(
      fc.constantFrom(...DEFAULT.markers, '\n', '\r\n', 'UB', ' FAIL', '\r', 'noise'),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 120 }), fc.boolean(), (pieces, strict) => {
        const whole = pieces.join('');
        const lines = whole.split('\n');
        if (lines.at(-1) === '') lines.pop();
        const plain = lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
        const byLine = judge(plain, DEFAULT, { strict });
        const matcher = new LadderMatcher(DEFAULT, { strict });
        for (const part of pieces) matcher.feed(part);
        matcher.end();
        expect(verdictJson(matcher.verdict())).toBe(verdictJson(byLine));
        if (strict) return;
        const naive = DEFAULT.markers.filter((marker) => !plain.some((line) => line.includes(marker)));
        expect(byLine.missing.map((entry) => entry.marker)).toEqual(naive);
      }),
      { seed: 20240, numRuns: 200 },
    );
  });
});
