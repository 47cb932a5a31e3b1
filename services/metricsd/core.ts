/**
 * What metricsd does with one frame, without IPC (sheet 40, sections 11.4 and 17.2): decode, rate, registry, in this
 * order. Identity is the kernel's sender id; nothing in the payload can change it (OBS-1).
 */
import { unreachable } from '../../sim/assert.ts';
import { RateLimiter } from '../lib/rate-limiter.ts';
import type { MetricsdConfig } from './config.ts';
import { Registry } from './registry.ts';
import type { Outcome, RegistryReject, SenderId } from './registry.ts';
import type { RecordKind } from './retention.ts';
import { counterTexts, gaugeTexts, histogramTexts, spanTexts } from './texts.ts';
import type { ExportTexts } from './texts.ts';
import {
  OP_COUNTER_INC,
  OP_GAUGE_SET,
  OP_HIST_OBSERVE,
  OP_PING,
  OP_SPAN_END,
  OP_SPAN_START,
  STATUS_INVALID_ARGS,
  STATUS_NOT_FOUND,
  STATUS_OK,
  STATUS_OVER_LIMIT,
  STATUS_RATE_LIMITED,
  decodeRequest,
  encodeResponse,
  nonce,
} from './wire.ts';
import type { MetricsRequest } from './wire.ts';

/** Reject classes of the contract (RFC-0024); not-found has no marker. */
export type RejectClass = RegistryReject | 'rate-limited';

/** An accepted event that is exported and retained. */
export interface MetricsEvent {
  readonly kind: RecordKind;
  readonly texts: ExportTexts;
}

/** Everything that follows from one frame. */
export interface Handled {
  /** The response frame. */
  readonly response: Uint8Array;
  readonly reject: RejectClass | null;
  /** To export and retain before the response is sent; null for pings, span starts and rejects. */
  readonly event: MetricsEvent | null;
}

/** Options of the core; see `MetricsdOptions`. */
export interface CoreOptions {
  readonly errorDropsNonce: boolean;
  readonly redact: boolean;
}

const REJECT_STATUS: Readonly<Record<RejectClass, number>> = {
  'invalid-args': STATUS_INVALID_ARGS,
  'over-limit': STATUS_OVER_LIMIT,
  'rate-limited': STATUS_RATE_LIMITED,
  'not-found': STATUS_NOT_FOUND,
};

type Decision = { readonly event: MetricsEvent | null } | { readonly reject: RejectClass };

const ACCEPTED: Decision = { event: null };

/** The pure part of one metricsd process. */
export class MetricsCore {
  readonly registry: Registry;
  readonly #limiter: RateLimiter;
  readonly #options: CoreOptions;

  constructor(config: MetricsdConfig, options: CoreOptions) {
    this.registry = new Registry(config.registry);
    this.#limiter = new RateLimiter(config.ingest);
    this.#options = options;
  }

  /** Handles one frame of `sender` received at `now` (ns). */
  handle(frame: Uint8Array, sender: SenderId, now: number): Handled {
    const decoded = decodeRequest(frame);
    if (!decoded.ok) {
      const reject = decoded.reject === 'over-limit' ? 'over-limit' : 'invalid-args';
      const echoed = this.#options.errorDropsNonce ? nonce(0) : decoded.nonce;
      return { response: encodeResponse(decoded.op, REJECT_STATUS[reject], echoed), reject, event: null };
    }
    const { request } = decoded;
    const decision = this.#decide(request, sender, now);
    if ('reject' in decision) {
      const response = encodeResponse(request.op, REJECT_STATUS[decision.reject], request.nonce);
      return { response, reject: decision.reject, event: null };
    }
    return { response: encodeResponse(request.op, STATUS_OK, request.nonce), reject: null, event: decision.event };
  }

  #decide(request: MetricsRequest, sender: SenderId, now: number): Decision {
    if (request.op === OP_PING) return ACCEPTED;
    // The budget is spent before the registry is asked, so what the registry refuses counts too.
    if (!this.#limiter.allow(sender, now)) return { reject: 'rate-limited' };
    switch (request.op) {
      case OP_COUNTER_INC:
        return decisionOf(
          this.registry.counterInc(sender, request.name, request.labels, request.value),
          'metric',
          (value) => counterTexts(request.name, value),
        );
      case OP_GAUGE_SET:
        return decisionOf(
          this.registry.gaugeSet(sender, request.name, request.labels, request.value),
          'metric',
          (value) => gaugeTexts(request.name, value),
        );
      case OP_HIST_OBSERVE:
        return decisionOf(
          this.registry.histObserve(sender, request.name, request.labels, request.value),
          'metric',
          (state) => histogramTexts(request.name, state),
        );
      case OP_SPAN_START: {
        const started = this.registry.spanStart({
          sender,
          spanId: request.spanId,
          traceId: request.traceId,
          parentSpanId: request.parentSpanId,
          name: request.name,
          startAttrs: request.attrs,
          startNs: request.startNs,
        });
        return started.ok ? ACCEPTED : { reject: started.reject };
      }
      case OP_SPAN_END:
        return decisionOf(
          this.registry.spanEnd(sender, request.spanId, request.endNs, request.status, request.attrs),
          'span',
          (ended) => spanTexts(ended, this.#options.redact),
        );
      default:
        return unreachable(request);
    }
  }
}

function decisionOf<T>(outcome: Outcome<T>, kind: RecordKind, texts: (value: T) => ExportTexts): Decision {
  return outcome.ok ? { event: { kind, texts: texts(outcome.value) } } : { reject: outcome.reject };
}
