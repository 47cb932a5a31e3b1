/**
 * bundlemgrd's metrics (sheet 40, section 16). Contract: fire and forget to metricsd where init has wired it. Quirk
 * metrics-unrouted: each metric costs a route query that init answers with not found, and goes nowhere.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import { routeQuery } from '../lib/ipc.ts';
import type { Call } from '../lib/ipc.ts';
import type { MetricsProducer } from '../lib/metrics-producer.ts';
import { counter, hist } from '../lib/nexus-metrics.ts';

const LABELS = 'svc=bundlemgrd\n';

/** Counters; each counts 1. */
export type BundleCounter =
  | 'bundlemgrd.list.ok'
  | 'bundlemgrd.route_status.ok'
  | 'bundlemgrd.route_status.fail'
  | 'bundlemgrd.fetch.ok'
  | 'bundlemgrd.slot_switch.ok';

/** Where metrics go. */
export interface BundleMetrics {
  count(name: BundleCounter): Call<void>;
  /** Size of a fetched image, bytes. */
  imageBytes(bytes: number): Call<void>;
}

/** The contract; a null producer where there is no metricsd. */
export function producedMetrics(producer: MetricsProducer | null): BundleMetrics {
  return {
    *count(name) {
      if (producer !== null) yield* counter(producer, name, 1n, LABELS);
    },
    *imageBytes(bytes) {
      if (producer !== null) yield* hist(producer, 'bundlemgrd.fetch.image_bytes', BigInt(bytes), LABELS);
    },
  };
}

/** The reference. */
export function unroutedMetrics(sys: Sys): BundleMetrics {
  function* ask(): Call<void> {
    yield* routeQuery(sys, 'metricsd');
  }
  return { count: ask, imageBytes: ask };
}
