import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Clock, MAX_TIME } from './clock.ts';
import type { ScheduledEvent } from './clock.ts';

/** Independent model: an unordered list, searched for the earliest live entry each time. */
class ListClock {
  now = 0;
  #sequence = 0;
  entries: { at: number; sequence: number; fire: () => void }[] = [];

  get next(): number {
    return Math.min(Infinity, ...this.entries.map((entry) => entry.at));
  }

  schedule(at: number, fire: () => void): number {
    this.entries.push({ at, sequence: this.#sequence, fire });
    return this.#sequence++;
  }

  cancel(sequence: number): void {
    this.entries = this.entries.filter((entry) => entry.sequence !== sequence);
  }

  runDue(): void {
    for (;;) {
      const due = this.entries.filter((entry) => entry.at <= this.now);
      if (due.length === 0) return;
      const first = due.reduce((a, b) => (b.at < a.at || (b.at === a.at && b.sequence < a.sequence) ? b : a));
      this.cancel(first.sequence);
      first.fire();
    }
  }
}

type Op =
  | { readonly op: 'schedule'; readonly delta: number; readonly child: number }
  | { readonly op: 'cancel'; readonly pick: number }
  | { readonly op: 'advance'; readonly ns: number }
  | { readonly op: 'run' };

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('schedule' as const),
      delta: fc.integer({ min: -5, max: 20 }),
      child: fc.integer({ min: -3, max: 6 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('cancel' as const), pick: fc.nat(300) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('advance' as const), ns: fc.nat(10) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('run' as const) }) },
);

describe('Clock', () => {
  it('fires in (time, sequence) order like a sorted list, whatever is cancelled or scheduled meanwhile', () => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 300 }), (ops) => {
        const clock = new Clock();
        const model = new ListClock();
        const fired: number[] = [];
        const expected: number[] = [];
        const handles: ScheduledEvent[] = [];
        let modelCount = 0;
        // A positive child makes the event schedule another one when it fires; both sides number events alike.
        const addReal = (at: number, child: number): void => {
          const id = handles.length;
          handles.push(
            clock.schedule(at, () => {
              fired.push(id);
              if (child > 0) addReal(clock.now + child - 3, 0);
            }),
          );
        };
        const addModel = (at: number, child: number): void => {
          const id = modelCount++;
          model.schedule(at, () => {
            expected.push(id);
            if (child > 0) addModel(model.now + child - 3, 0);
          });
        };
        for (const step of ops) {
          switch (step.op) {
            case 'schedule':
              addReal(clock.now + step.delta, step.child);
              addModel(model.now + step.delta, step.child);
              break;
            case 'cancel':
              if (handles.length > 0) {
                clock.cancel(handles[step.pick % handles.length]!);
                model.cancel(step.pick % handles.length);
              }
              break;
            case 'advance':
              clock.advance(step.ns);
              model.now += step.ns;
              break;
            case 'run':
              clock.runDue();
              model.runDue();
          }
          expect(clock.next).toBe(model.next);
          expect(clock.pending).toBe(model.entries.length);
          expect(fired).toEqual(expected);
        }
      }),
      { seed: 20240, numRuns: 150 },
    );
  });

  it('events of the same time fire in scheduling order', () => {
    const clock = new Clock();
    const fired: number[] = [];
    for (let i = 0; i < 20; i++) clock.schedule(5, () => fired.push(i));
    clock.advance(5);
    clock.runDue();
    expect(fired).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it('next is the earliest live event, Infinity without one', () => {
    const clock = new Clock();
    expect(clock.next).toBe(Infinity);
    const early = clock.schedule(10, () => {});
    clock.schedule(20, () => {});
    expect(clock.next).toBe(10);
    clock.cancel(early);
    expect(clock.next).toBe(20);
    clock.advance(20);
    clock.runDue();
    expect(clock.next).toBe(Infinity);
  });

  it('advance alone fires nothing; a past event fires at the next runDue', () => {
    const clock = new Clock();
    let fired = 0;
    clock.advance(100);
    clock.schedule(50, () => fired++);
    clock.advance(1);
    expect(fired).toBe(0);
    clock.runDue();
    clock.runDue();
    expect(fired).toBe(1);
  });

  it('an event may cancel another that is due at the same time', () => {
    const clock = new Clock();
    let fired = false;
    let victim: ScheduledEvent | null = null;
    clock.schedule(1, () => clock.cancel(victim!));
    victim = clock.schedule(1, () => (fired = true));
    clock.advance(1);
    clock.runDue();
    expect(fired).toBe(false);
    expect(clock.pending).toBe(0);
  });

  it('cancelling twice, or after it fired, changes nothing', () => {
    const clock = new Clock();
    const event = clock.schedule(1, () => {});
    clock.schedule(2, () => {});
    clock.cancel(event);
    clock.cancel(event);
    expect(clock.pending).toBe(1);
    clock.advance(2);
    clock.runDue();
    clock.cancel(event);
    expect(clock.pending).toBe(0);
  });

  it('sweeps cancelled deadlines without losing the order of the live ones', () => {
    const clock = new Clock();
    const fired: number[] = [];
    for (let i = 0; i < 40; i++) clock.schedule(1000 - i, () => fired.push(1000 - i));
    for (let i = 0; i < 5000; i++) clock.cancel(clock.schedule(1_000_000 + i, () => fired.push(-1)));
    expect(clock.pending).toBe(40);
    clock.advance(2_000_000);
    clock.runDue();
    expect(fired).toEqual(Array.from({ length: 40 }, (_, i) => 961 + i));
  });

  it('time stays an exact integer: fractions and times beyond 2^53 are refused', () => {
    const clock = new Clock();
    expect(() => clock.schedule(0.5, () => {})).toThrow('whole ns');
    expect(() => clock.schedule(NaN, () => {})).toThrow('whole ns');
    clock.schedule(Infinity, () => {});
    expect(clock.next).toBe(Infinity);
    clock.advance(MAX_TIME);
    clock.runDue();
    expect(clock.pending).toBe(1);
    expect(() => clock.advance(1)).toThrow('2^53');
  });
});
