import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RUN_QUEUE_CAPACITY } from './abi.ts';
import type { QosClass } from './abi.ts';
import { NO_PID, Scheduler } from './scheduler.ts';

type Op =
  | { readonly op: 'enqueue' | 'qos'; readonly pid: number; readonly qos: QosClass }
  | { readonly op: 'remove'; readonly pid: number }
  | { readonly op: 'pick' | 'yield' };

/** Queues as arrays; a pid is queued at most once, as the kernel guarantees. */
class Naive {
  queues: number[][] = [[], [], [], []];
  current = NO_PID;
  currentQos = 1;

  apply(op: Op): unknown {
    switch (op.op) {
      case 'enqueue':
        if (this.current === op.pid || this.queues.some((q) => q.includes(op.pid))) return 'skip';
        return this.push(op.pid, op.qos);
      case 'qos': {
        if (this.current === op.pid) {
          this.currentQos = op.qos;
          return true;
        }
        const from = this.queues.findIndex((q) => q.includes(op.pid));
        if (from < 0) return true;
        this.queues[from] = this.queues[from]!.filter((p) => p !== op.pid);
        this.queues[op.qos]!.push(op.pid);
        return true;
      }
      case 'remove':
        this.queues = this.queues.map((q) => q.filter((p) => p !== op.pid));
        if (this.current === op.pid) this.current = NO_PID;
        return undefined;
      case 'yield':
        if (this.current !== NO_PID) this.push(this.current, this.currentQos);
        return this.pick();
      case 'pick':
        return this.pick();
    }
  }

  push(pid: number, qos: number): boolean {
    this.queues[qos]!.push(pid);
    return true;
  }

  pick(): number {
    for (let qos = 3; qos >= 0; qos--) {
      const pid = this.queues[qos]!.shift();
      if (pid === undefined) continue;
      this.current = pid;
      this.currentQos = qos;
      return pid;
    }
    this.current = NO_PID;
    return NO_PID;
  }
}

function real(s: Scheduler, classes: Map<number, QosClass>, op: Op): unknown {
  const queued = (pid: number): boolean => contents(s).some((q) => q.includes(pid));
  switch (op.op) {
    case 'enqueue':
      if (s.current === op.pid || queued(op.pid)) return 'skip';
      classes.set(op.pid, op.qos);
      return s.enqueue(op.pid, op.qos);
    case 'qos': {
      const done = s.setQos(op.pid, classes.get(op.pid) ?? 1, op.qos);
      if (done) classes.set(op.pid, op.qos);
      return done;
    }
    case 'remove':
      return s.remove(op.pid);
    case 'yield':
      return s.yieldCurrent();
    case 'pick':
      return s.pick();
  }
}

function contents(s: Scheduler): number[][] {
  return s.queues.map((q) => Array.from({ length: q.count }, (_, i) => q.at(i)));
}

const quiet = (): void => undefined;

describe('Scheduler', () => {
  it('behaves as the naive scheduler', () => {
    const pid = fc.nat(7);
    const qos = fc.constantFrom(0, 1, 2, 3) as fc.Arbitrary<QosClass>;
    const op: fc.Arbitrary<Op> = fc.oneof(
      fc.record({ op: fc.constantFrom('enqueue', 'qos' as const), pid, qos }),
      fc.record({ op: fc.constant('remove' as const), pid }),
      fc.record({ op: fc.constantFrom('pick', 'yield', 'yield' as const) }),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 200 }), (ops) => {
        const scheduler = new Scheduler(quiet);
        const classes = new Map<number, QosClass>();
        const model = new Naive();
        for (const o of ops) {
          expect(real(scheduler, classes, o)).toEqual(model.apply(o));
          expect(contents(scheduler)).toEqual(model.queues);
          expect(scheduler.current).toBe(model.current);
        }
      }),
      { seed: 20240, numRuns: 200 },
    );
  });

  it('picks by class: 1 Normal, 2 Interactive, 3 PerfBurst give 3, 2, 1', () => {
    const s = new Scheduler(quiet);
    s.enqueue(1, 1);
    s.enqueue(2, 2);
    s.enqueue(3, 3);
    expect([s.pick(), s.pick(), s.pick(), s.pick()]).toEqual([3, 2, 1, NO_PID]);
  });

  it('holds 64 entries per class; the 65th is rejected', () => {
    const s = new Scheduler(quiet);
    for (let pid = 0; pid < RUN_QUEUE_CAPACITY; pid++) expect(s.enqueue(pid, 1)).toBe(true);
    expect(s.enqueue(99, 1)).toBe(false);
    expect(s.enqueue(99, 2)).toBe(true);
  });

  it('loses a task that yields into a full class (section 5.2)', () => {
    const s = new Scheduler(quiet);
    s.enqueue(99, 1);
    s.pick();
    for (let pid = 0; pid < RUN_QUEUE_CAPACITY; pid++) s.enqueue(pid, 1);
    expect(s.yieldCurrent()).toBe(0);
    for (let i = 1; i < RUN_QUEUE_CAPACITY; i++) expect(s.pick()).toBe(i);
    expect(s.pick()).toBe(NO_PID);
  });

  it('refuses a QoS change into a full class and keeps the place', () => {
    const s = new Scheduler(quiet);
    for (let pid = 0; pid < RUN_QUEUE_CAPACITY; pid++) s.enqueue(pid, 2);
    s.enqueue(70, 1);
    s.enqueue(71, 1);
    expect(s.setQos(70, 1, 2)).toBe(false);
    expect(contents(s)[1]).toEqual([70, 71]);
    expect(s.setQos(0, 2, 2)).toBe(true);
    expect(contents(s)[2]!.at(-1)).toBe(0);
  });

  it('prints the first 32 enqueue attempts', () => {
    const lines: string[] = [];
    const s = new Scheduler((pid, qos) => void lines.push(`${pid}/${qos}`));
    for (let i = 0; i < 40; i++) s.enqueue(i, 1);
    expect(lines).toHaveLength(32);
    expect(lines[31]).toBe('31/1');
  });
});
