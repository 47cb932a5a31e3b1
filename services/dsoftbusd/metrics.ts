/** dsoftbusd's metrics (sheet 70, section 12.8): sessions between machines. Best effort, and none on a single machine. */
import type { Call } from '../lib/ipc.ts';
import { counter, hist } from '../lib/nexus-metrics.ts';
import { RoutedMetrics } from '../lib/routed-metrics.ts';
import { Slot } from './options.ts';
import type { SoftbusProcess } from './process.ts';

const LABELS = 'svc=dsoftbusd\n';

export class SessionMetrics {
  readonly #routed: RoutedMetrics;
  #failed = false;

  constructor({ sys, inbox, options }: SoftbusProcess) {
    this.#routed = new RoutedMetrics(sys, { replySend: Slot.INBOX_SEND, inbox, unrouted: options.metricsUnrouted });
  }

  /** A session stands, `ns` after its set-up began. */
  *established(ns: number): Call<void> {
    yield* this.#count('dsoftbusd.session.ok');
    const metricsd = yield* this.#routed.backend();
    if (metricsd !== null) yield* hist(metricsd, 'dsoftbusd.handshake.duration_ns', BigInt(ns), LABELS);
  }

  /** A handshake failed; only the first of the process counts. */
  *failed(): Call<void> {
    if (this.#failed) return;
    this.#failed = true;
    yield* this.#count('dsoftbusd.session.fail');
  }

  *#count(name: string): Call<void> {
    const metricsd = yield* this.#routed.backend();
    if (metricsd !== null) yield* counter(metricsd, name, 1n, LABELS);
  }
}
