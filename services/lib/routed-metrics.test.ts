import { describe, expect, it } from 'vitest';
import type { Program } from '../../kernel-model/sys.ts';
import { Driver } from './fixtures/test-driver.ts';
import { Inbox } from './inbox.ts';
import { MetricsProducer } from './metrics-producer.ts';
import { MetricsClient } from './nexus-metrics.ts';
import type { MetricsBackend } from './nexus-metrics.ts';
import { RoutedMetrics } from './routed-metrics.ts';

/** Asks three times for a backend while init answers with `answers` in turn (slots, or null for NOT_FOUND). */
function backends(
  unrouted: boolean,
  answers: (readonly [number, number] | null)[],
): [(MetricsBackend | null)[], number] {
  const driver = new Driver([1, 2, 5, 6, 8]);
  driver.onSend = () => {
    const slots = answers.shift() ?? null;
    const [send, recv] = slots ?? [0, 0];
    driver.push(2, Uint8Array.of(0x52, 0x54, 1, 0x41, slots === null ? 1 : 0, send, 0, 0, 0, recv, 0, 0, 0));
  };
  const got: (MetricsBackend | null)[] = [];
  const program: Program = function* (sys) {
    const routed = new RoutedMetrics(sys, { replySend: 6, inbox: new Inbox(5, false), unrouted });
    for (let i = 0; i < 3; i++) got.push(yield* routed.backend());
    return 0;
  };
  driver.run(program);
  return [got, driver.sent.length];
}

describe('the way to metricsd', () => {
  it('COR-2: is asked for once, and one producer keeps the nonces of the process', () => {
    const [got, queries] = backends(false, [[8, 5]]);
    expect(got[0]).toBeInstanceOf(MetricsProducer);
    expect(got).toEqual([got[0], got[0], got[0]]);
    expect(queries).toBe(1);
  });

  it('is asked for again while init knows none', () => {
    const [got, queries] = backends(false, [null, [8, 5]]);
    expect(got[0]).toBeNull();
    expect(got[1]).toBeInstanceOf(MetricsProducer);
    expect(got[2]).toBe(got[1]);
    expect(queries).toBe(2);
  });

  it('quirk metrics-unrouted: a query and a client of its own for every metric', () => {
    const [none, queries] = backends(true, []);
    expect(none).toEqual([null, null, null]);
    expect(queries).toBe(3);
    const [clients] = backends(true, [
      [8, 5],
      [8, 5],
      [8, 5],
    ]);
    expect(clients.every((client) => client instanceof MetricsClient)).toBe(true);
    expect(new Set(clients).size).toBe(3);
  });
});
