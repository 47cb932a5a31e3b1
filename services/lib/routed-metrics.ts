/**
 * How a service that answers clients finds metricsd (sheet 40, sections 15.4 and 16; quirks.md, metrics-unrouted). Contract:
 * one route query when the first metric is due, then one producer for the life of the process. Quirk: a new client, and
 * so a route query, for every metric; init never says OK.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import type { Inbox } from './inbox.ts';
import { routeQuery } from './ipc.ts';
import type { Call } from './ipc.ts';
import { MetricsProducer } from './metrics-producer.ts';
import { MetricsClient } from './nexus-metrics.ts';
import type { MetricsBackend } from './nexus-metrics.ts';

/** What a service knows before it asks. */
export interface RoutedMetricsOptions {
  /** The process's own SEND to its reply inbox. */
  readonly replySend: number;
  /** The inbox, shared with the process's other clients. */
  readonly inbox: Inbox;
  /** quirk metrics-unrouted. */
  readonly unrouted: boolean;
}

/** One process's way to metricsd. */
export class RoutedMetrics {
  readonly #sys: Sys;
  readonly #options: RoutedMetricsOptions;
  #producer: MetricsProducer | null = null;

  constructor(sys: Sys, options: RoutedMetricsOptions) {
    this.#sys = sys;
    this.#options = options;
  }

  /** Whom to send the next metric to; null when init names nobody (asked again next time). */
  *backend(): Call<MetricsBackend | null> {
    const { replySend, inbox, unrouted } = this.#options;
    if (unrouted) return yield* MetricsClient.connect(this.#sys);
    if (this.#producer !== null) return this.#producer;
    const route = yield* routeQuery(this.#sys, 'metricsd');
    if (route === null) return null;
    this.#producer = new MetricsProducer(this.#sys, { metricsd: route.send, replySend }, inbox);
    return this.#producer;
  }
}
