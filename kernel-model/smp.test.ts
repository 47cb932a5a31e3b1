/** CPUs beyond the first: reschedule requests and the self-test's queues (sheet 10, section 5.5). */
import { describe, expect, it } from 'vitest';
import { Qos } from './abi.ts';
import { MAX_CPUS, plainPort, Smp } from './smp.ts';
import type { IpiPort } from './smp.ts';

function smp(harts: number, port: IpiPort = plainPort(harts)): Smp {
  const cpus = new Smp(port);
  for (let cpu = 1; cpu < harts; cpu++) expect(cpus.start(cpu)).toBe(true);
  return cpus;
}

describe('going online', () => {
  it('is for harts that exist, four at most', () => {
    const cpus = new Smp(plainPort(6));
    expect([1, 2, 3, 4, 5].map((cpu) => cpus.start(cpu))).toEqual([true, true, true, false, false]);
    expect(cpus.online).toBe(0b1111);
    expect([-1, 0, 3, 4].map((cpu) => cpus.isOnline(cpu))).toEqual([false, true, true, false]);
    expect(new Smp(plainPort(2)).start(2)).toBe(false);
  });
});

describe('reschedule requests', () => {
  it('are refused for a CPU that is invalid or offline, and count nothing then', () => {
    const cpus = smp(2);
    expect([MAX_CPUS, 2, 3, -1].map((cpu) => cpus.requestResched(cpu))).toEqual([false, false, false, false]);
    for (const counters of cpus.counters)
      expect(counters).toEqual({ accepted: 0, sent: 0, trapped: 0, acknowledged: 0 });
  });

  it('are accepted, sent, trapped and acknowledged once, by the target alone', () => {
    const cpus = smp(3);
    expect(cpus.requestResched(2)).toBe(true);
    expect(cpus.counters[2]).toEqual({ accepted: 1, sent: 1, trapped: 0, acknowledged: 0 });
    cpus.spin();
    cpus.spin();
    expect(cpus.counters[2]).toEqual({ accepted: 1, sent: 1, trapped: 1, acknowledged: 1 });
    expect(cpus.counters[1]).toEqual({ accepted: 0, sent: 0, trapped: 0, acknowledged: 0 });
  });

  it('two before the target looks are one interrupt and one acknowledgement', () => {
    const cpus = smp(2);
    cpus.requestResched(1);
    cpus.requestResched(1);
    cpus.spin();
    cpus.spin();
    expect(cpus.counters[1]).toEqual({ accepted: 2, sent: 2, trapped: 1, acknowledged: 1 });
  });

  it('an interrupt that nobody asked for is trapped, not acknowledged', () => {
    const cpus = smp(2, { ...plainPort(2), step: (hart) => hart === 1 });
    cpus.spin();
    expect(cpus.counters[1]).toEqual({ accepted: 0, sent: 0, trapped: 1, acknowledged: 0 });
  });

  it('spin as long as something may come of it', () => {
    let steps = 0;
    const port = plainPort(2);
    const counting = (hart: number): boolean => {
      steps += 1;
      return port.step(hart);
    };
    let waiting = 1;
    const quiet = (): boolean => waiting-- <= 0;
    const known = smp(2, { ...port, step: counting, quiet });
    known.requestResched(1);
    known.spinFor(1000);
    expect(known.counters[1]).toEqual({ accepted: 1, sent: 1, trapped: 1, acknowledged: 1 });
    expect(steps).toBe(1);
    smp(2, { ...plainPort(2), step: counting }).spinFor(1000);
    expect(steps).toBe(1001);
  });

  it('with sending made to fail is accepted and pending, and the next interrupt acknowledges it', () => {
    const cpus = smp(2);
    cpus.failSends = true;
    expect(cpus.requestResched(1)).toBe(true);
    cpus.spin();
    expect(cpus.counters[1]).toEqual({ accepted: 1, sent: 0, trapped: 0, acknowledged: 0 });
    cpus.failSends = false;
    cpus.requestResched(1);
    cpus.spin();
    expect(cpus.counters[1]).toEqual({ accepted: 2, sent: 1, trapped: 1, acknowledged: 1 });
  });
});

describe('picking and stealing', () => {
  it('takes the own head of a class first, one task per pick', () => {
    const cpus = smp(2);
    cpus.enqueue(0, 10, Qos.NORMAL);
    cpus.enqueue(0, 11, Qos.NORMAL);
    cpus.enqueue(1, 20, Qos.NORMAL);
    cpus.enqueue(0, 12, Qos.PERF_BURST);
    // Without an own task of the highest class, any remote one comes before the own ones below it.
    expect([0, 0, 0, 0, 0].map((cpu) => cpus.pick(cpu))).toEqual([12, 20, 10, 11, -1]);
    expect(cpus.steals).toBe(1);
  });

  it('steals from the highest class that is allowed, then from the first CPU in order, its head', () => {
    const cpus = smp(4);
    cpus.enqueue(3, 30, Qos.NORMAL);
    cpus.enqueue(2, 20, Qos.NORMAL);
    cpus.enqueue(2, 21, Qos.NORMAL);
    cpus.enqueue(3, 31, Qos.INTERACTIVE);
    cpus.enqueue(1, 10, Qos.IDLE);
    expect(cpus.steal(1, Qos.NORMAL)).toBe(20);
    expect(cpus.steal(1, Qos.PERF_BURST)).toBe(31);
    expect(cpus.steal(1, Qos.NORMAL)).toBe(21);
    expect(cpus.steal(1, Qos.NORMAL)).toBe(30);
    // Its own queue is no victim, and nothing of a class above the bound goes.
    expect(cpus.steal(1, Qos.PERF_BURST)).toBe(-1);
    cpus.enqueue(2, 22, Qos.INTERACTIVE);
    expect(cpus.steal(1, Qos.NORMAL)).toBe(-1);
    expect([cpus.queued(1), cpus.queued(2), cpus.steals]).toEqual([1, 1, 4]);
  });

  it('skips CPUs that are offline', () => {
    const cpus = smp(2);
    cpus.enqueue(3, 30, Qos.NORMAL);
    expect(cpus.steal(0, Qos.PERF_BURST)).toBe(-1);
    expect(cpus.pick(0)).toBe(-1);
    expect(cpus.queued(3)).toBe(1);
  });

  it('clears every queue', () => {
    const cpus = smp(2);
    for (const qos of [Qos.IDLE, Qos.NORMAL, Qos.INTERACTIVE, Qos.PERF_BURST]) cpus.enqueue(1, 9, qos);
    cpus.clearQueues();
    expect([cpus.queued(0), cpus.queued(1), cpus.pick(0)]).toEqual([0, 0, -1]);
  });
});
