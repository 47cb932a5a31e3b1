import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Clock } from '../clock.ts';
import { Streams } from '../streams.ts';
import { DelayLine, IN_FLIGHT_MAX, LATENCY_MAX_NS, latencyProblem } from './latency.ts';

/** Arrival times of frames that leave at the given gaps. */
function arrivals(seed: number, latency: { minNs: number; maxNs: number }, gaps: readonly number[]) {
  const clock = new Clock();
  const line = new DelayLine(latency, clock, new Streams(seed, 0).stream('network'));
  const sent: number[] = [];
  const runTo = (target: number) => {
    while (clock.next <= target) {
      clock.advance(Math.max(0, clock.next - clock.now));
      clock.runDue();
    }
    clock.advance(target - clock.now);
  };
  const got: [frame: number, at: number][] = [];
  gaps.forEach((gap, frame) => {
    runTo(clock.now + gap);
    sent.push(clock.now);
    line.send(() => got.push([frame, clock.now]));
  });
  runTo(clock.now + 1_000_000);
  return { sent, got };
}

describe('latency', () => {
  it('keeps order, stays within its bounds but for waiting behind others, and repeats with the seed', () => {
    const gaps = fc.array(fc.nat(300), { maxLength: 40 });
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(200), fc.nat(500), gaps, (seed, minNs, more, between) => {
        const latency = { minNs, maxNs: minNs + more };
        const { sent, got } = arrivals(seed, latency, between);
        expect(got.map(([frame]) => frame)).toEqual(between.map((_, frame) => frame));
        got.forEach(([frame, at]) => {
          expect(at).toBeGreaterThanOrEqual(sent[frame]! + minNs);
          expect(at).toBeLessThanOrEqual(Math.max(sent[frame]! + latency.maxNs, got[frame - 1]?.[1] ?? 0));
        });
        expect(arrivals(seed, latency, between).got).toEqual(got);
      }),
      { seed: 20240, numRuns: 100 },
    );
  });

  it('another seed gives other times', () => {
    const gaps = new Array<number>(20).fill(1_000_000);
    const latency = { minNs: 0, maxNs: 100_000 };
    expect(arrivals(1, latency, gaps).got).not.toEqual(arrivals(2, latency, gaps).got);
  });

  it('draws nothing without a choice', () => {
    const streams = new Streams(1, 0);
    const line = new DelayLine({ minNs: 5, maxNs: 5 }, new Clock(), streams.stream('network'));
    line.send(() => undefined);
    expect(streams.stream('network').u32()).toBe(new Streams(1, 0).stream('network').u32());
  });

  it('bounds what is under way', () => {
    const clock = new Clock();
    const line = new DelayLine({ minNs: 5, maxNs: 5 }, clock, new Streams(1, 0).stream('network'));
    let got = 0;
    const sent = Array.from({ length: IN_FLIGHT_MAX + 1 }, () => line.send(() => (got += 1)));
    expect(sent.filter((ok) => !ok)).toHaveLength(1);
    clock.advance(5);
    clock.runDue();
    expect(got).toBe(IN_FLIGHT_MAX);
    expect(line.send(() => undefined)).toBe(true);
  });

  it('says what is wrong with one', () => {
    expect(latencyProblem({ minNs: 0, maxNs: LATENCY_MAX_NS })).toBeNull();
    for (const [minNs, maxNs] of [
      [-1, 0],
      [2, 1],
      [0, LATENCY_MAX_NS + 1],
      [0, 0.5],
    ] as const) {
      expect(latencyProblem({ minNs, maxNs })).toMatch(/^latency must be whole ns/u);
    }
  });
});
