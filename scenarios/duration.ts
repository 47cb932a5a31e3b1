/** Durations of virtual time as people write them: `30s`, `1.5 ms`, `2h`. */

import { LATENCY_MAX_NS, latencyProblem } from '../sim/net/latency.ts';
import type { Latency } from '../sim/net/latency.ts';

/** ns per unit, longest name first so that `ms` is not read as `m`. */
const UNITS: readonly (readonly [string, number])[] = [
  ['ns', 1],
  ['us', 1_000],
  ['ms', 1_000_000],
  ['min', 60_000_000_000],
  ['s', 1_000_000_000],
  ['h', 3_600_000_000_000],
];

/** What the error lines name as expected. */
export const DURATION_EXPECTED = 'a duration such as 500ms, 30s, 5min or 1h, from 1ns to 1000h';
/** Longest duration taken, ns (below the clock's 2^53). */
const MAX_NS = 1000 * 3_600_000_000_000;

/** ns of a duration, or null. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,12}(?:\.\d{1,9})?)\s*(ns|us|ms|min|s|h)$/.exec(text.trim());
  const unit = UNITS.find(([name]) => name === match?.[2]);
  if (match === null || unit === undefined) return null;
  const ns = Math.round(Number(match[1]) * unit[1]);
  return ns >= 1 && ns <= MAX_NS ? ns : null;
}

/** What the error lines name as expected of a latency. */
export const LATENCY_EXPECTED = `a duration such as 50us, or a range such as 40us..60us, of at most ${LATENCY_MAX_NS / 1e9}s`;

/** A latency: a duration, or two with `..` between them, from the shorter to the longer; null for anything else. */
export function parseLatency(text: string): Latency | null {
  const ends = text.split('..');
  const [minNs, maxNs = minNs] = ends.map(parseDuration);
  if (ends.length > 2 || minNs === undefined || minNs === null || maxNs === undefined || maxNs === null) return null;
  const latency = { minNs, maxNs };
  return latencyProblem(latency) === null ? latency : null;
}

/** A duration for people: three significant digits in the largest fitting unit. */
export function formatDuration(ns: number): string {
  for (const [name, size] of [...UNITS].sort((a, b) => b[1] - a[1])) {
    if (ns >= size) return `${Number((ns / size).toPrecision(4))} ${name}`;
  }
  return '0 ns';
}
