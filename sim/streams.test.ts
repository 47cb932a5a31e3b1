import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Streams } from './streams.ts';
import type { Stream } from './streams.ts';

/** Recorded once; a change here means that every recorded seed replays differently. */
const ENTROPY_WORDS = [1_444_620_770, 2_602_904_706, 1_700_652_405, 2_206_093_443];
const NETWORK_BYTES = [244, 72, 19, 29, 198, 227];
const SCHEDULE_FLOAT = 0.39851783076882824;

const words = (stream: Stream, count: number): number[] => Array.from({ length: count }, () => stream.u32());

describe('streams (design, decision 7)', () => {
  it('gives these values, on every Node version', () => {
    const streams = new Streams(1, 0);
    expect(words(streams.stream('entropy'), 4)).toEqual(ENTROPY_WORDS);
    expect([...streams.stream('network').bytes(6)]).toEqual(NETWORK_BYTES);
    expect(streams.stream('schedule').float()).toBe(SCHEDULE_FLOAT);
  });

  it('seed, boot number and name each select another sequence', () => {
    const first = (seed: number | string, boot: number, name: string): string =>
      words(new Streams(seed, boot).stream(name), 4).join();
    const all = [first(1, 0, 'a'), first(2, 0, 'a'), first(1, 1, 'a'), first(1, 0, 'b'), first('x', 0, 'a')];
    expect(new Set(all).size).toBe(all.length);
    expect(first('7', 0, 'a')).toBe(first(7, 0, 'a'));
  });

  it('fields do not run together, and characters that share a low byte differ', () => {
    const first = (seed: string, boot: number, name: string): string =>
      words(new Streams(seed, boot).stream(name), 4).join();
    expect(first('1 boot=0 stream=a', 0, 'b')).not.toBe(first('1', 0, 'a boot=0 stream=b'));
    expect(first('\u0161', 0, 'a')).not.toBe(first('a', 0, 'a'));
    expect(first('\\u{20}', 0, 'a')).not.toBe(first(' ', 0, 'a'));
    expect(first('\ud800', 0, 'a')).not.toBe(first('\ud801', 0, 'a'));
  });

  it('another stream, or another order of use, never shifts a stream', () => {
    const names = ['entropy', 'network', 'faults', 'schedule'];
    const draw = fc.record({ name: fc.constantFrom(...names), count: fc.integer({ min: 1, max: 8 }) });
    fc.assert(
      fc.property(fc.integer(), fc.nat(5), fc.array(draw, { maxLength: 30 }), (seed, boot, draws) => {
        const shared = new Streams(seed, boot);
        const seen = new Map<string, number[]>(names.map((name) => [name, []]));
        for (const { name, count } of draws) seen.get(name)!.push(...words(shared.stream(name), count));
        for (const [name, values] of seen) {
          expect(values).toEqual(words(new Streams(seed, boot).stream(name), values.length));
        }
      }),
      { seed: 20240, numRuns: 50 },
    );
  });

  it('bytes and fill agree with u32, little-endian', () => {
    const a = new Streams(3, 0).stream('x');
    const b = new Streams(3, 0).stream('x');
    const bytes = a.bytes(7);
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, b.u32(), true);
    view.setUint32(4, b.u32(), true);
    expect([...bytes]).toEqual([...new Uint8Array(view.buffer, 0, 7)]);
    expect(a.u32()).toBe(b.u32());
    const target = new Uint8Array(5);
    a.fill(target);
    expect([...target]).toEqual([...b.bytes(5)]);
  });

  it('below stays in range and reaches every value', () => {
    const stream = new Streams(4, 0).stream('x');
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 6000; i++) counts[stream.below(6)]! += 1;
    for (const count of counts) expect(count).toBeGreaterThan(850);
    expect(stream.below(1)).toBe(0);
    for (let i = 0; i < 100; i++) expect(stream.below(2 ** 32)).toBeLessThan(2 ** 32);
    const bound = 3 * 2 ** 30;
    let low = 0;
    for (let i = 0; i < 3000; i++) if (stream.below(bound) < bound / 3) low += 1;
    // A plain remainder would put half of the values there.
    expect(low).toBeLessThan(1150);
    expect(() => stream.below(0)).toThrow('1 to 2^32');
    expect(() => stream.below(2.5)).toThrow('1 to 2^32');
  });

  it('float is in [0, 1) and uses its 53 bits', () => {
    const stream = new Streams(5, 0).stream('x');
    const values = Array.from({ length: 1000 }, () => stream.float());
    for (const value of values) {
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThan(1);
    }
    expect(values.some((value) => (value * 2 ** 32) % 1 !== 0)).toBe(true);
  });

  it('leaves Math.random alone', () => {
    // The generator must not replace the global one: reading the reference is the test.
    /* eslint-disable house/no-wall-clock */
    const random = Math.random;
    new Streams(6, 0).stream('x').u32();
    expect(Math.random).toBe(random);
    /* eslint-enable house/no-wall-clock */
  });
});
