/**
 * What execd counts (sheet 60, section 6.8; sheet 40, section 16): spawns by outcome, and a span around each exec. Best
 * effort: nothing here changes an answer.
 */
import { serviceIdOf } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import type { Sys } from '../../kernel-model/sys.ts';
import type { Call } from '../lib/ipc.ts';
import { NO_PARENT, TRACE_MIX, composeId, counter } from '../lib/nexus-metrics.ts';
import type { RoutedMetrics } from '../lib/routed-metrics.ts';
import { spanId, traceId } from '../metricsd/wire.ts';
import type { SpanId } from '../metricsd/wire.ts';

const OWN_ID = serviceIdOf('execd');
const LABELS = 'svc=execd\n';
const SPAN_NAME = 'execd.exec';
/** Every exec of one identity belongs to one trace. */
const TRACE_LOCAL = 1n;
const STATUS_OK = 0;
const STATUS_FAIL = 1;

/** execd's metrics. */
export class SpawnMetrics {
  readonly #sys: Sys;
  readonly #routed: RoutedMetrics;
  readonly #requesterIds: boolean;
  #nextSpan = 1n;

  /** `requesterIds`: quirk span-requester-id. */
  constructor(sys: Sys, routed: RoutedMetrics, requesterIds: boolean) {
    this.#sys = sys;
    this.#routed = routed;
    this.#requesterIds = requesterIds;
  }

  /** A request that was refused for its identity or by policy. */
  *denied(): Call<void> {
    yield* this.#count('execd.spawn.deny');
  }

  /** An exec is about to happen for `requester`. */
  *begin(requester: ServiceId): Call<SpanId> {
    const owner = this.#requesterIds ? requester : OWN_ID;
    const span = spanId(composeId(owner, this.#nextSpan));
    this.#nextSpan += 1n;
    const start = yield this.#sys.nsec();
    const metricsd = yield* this.#routed.backend();
    if (metricsd !== null) {
      const trace = traceId(composeId(owner ^ TRACE_MIX, TRACE_LOCAL));
      yield* metricsd.spanStart(span, trace, NO_PARENT, BigInt(start), SPAN_NAME, LABELS);
    }
    return span;
  }

  /** It has. */
  *end(span: SpanId, ok: boolean): Call<void> {
    yield* this.#count(ok ? 'execd.spawn.ok' : 'execd.spawn.fail');
    const end = yield this.#sys.nsec();
    const metricsd = yield* this.#routed.backend();
    if (metricsd === null) return;
    yield* metricsd.spanEnd(span, BigInt(end), ok ? STATUS_OK : STATUS_FAIL, ok ? 'result=ok\n' : 'result=fail\n');
  }

  *#count(name: string): Call<void> {
    const metricsd = yield* this.#routed.backend();
    if (metricsd !== null) yield* counter(metricsd, name, 1n, LABELS);
  }
}
