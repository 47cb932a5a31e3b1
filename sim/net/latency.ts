/** Time that frames take, in virtual ns, from a named stream; frames of one direction keep their order. */
import type { Clock } from '../clock.ts';
import type { Stream } from '../streams.ts';

/** Every whole ns from `minNs` to `maxNs` is equally likely; 0 <= minNs <= maxNs <= {@link LATENCY_MAX_NS}. */
export interface Latency {
  readonly minNs: number;
  readonly maxNs: number;
}

export const LATENCY_MAX_NS = 4_000_000_000;
/** Answers come within the poll that asked (sheet 70, section 5, "deterministic default"). */
export const NO_LATENCY: Latency = { minNs: 0, maxNs: 0 };
/** Frames under way in one direction; further ones are lost. */
export const IN_FLIGHT_MAX = 4096;

/** Says what is wrong with a latency that a person wrote, or null. */
export function latencyProblem({ minNs, maxNs }: Latency): string | null {
  const whole = Number.isInteger(minNs) && Number.isInteger(maxNs);
  if (whole && minNs >= 0 && minNs <= maxNs && maxNs <= LATENCY_MAX_NS) return null;
  return `latency must be whole ns, 0 <= min <= max <= ${LATENCY_MAX_NS}`;
}

/** The clock on which frames arrive, where it is not the sender's, and what its time is behind the sender's, ns. */
export interface FarClock {
  readonly clock: Clock;
  readonly behindNs: number;
}

/** One direction of a wire. */
export class DelayLine {
  readonly #latency: Latency;
  readonly #clock: Clock;
  readonly #stream: Stream;
  readonly #far: FarClock;
  #inFlight = 0;
  #lastAt = 0;

  /** `clock` is the sender's. The stream is drawn from only when there is a choice, once per frame. */
  constructor(latency: Latency, clock: Clock, stream: Stream, far: FarClock = { clock, behindNs: 0 }) {
    this.#latency = latency;
    this.#clock = clock;
    this.#stream = stream;
    this.#far = far;
  }

  /** True when frames need no time at all. */
  get immediate(): boolean {
    return this.#latency.maxNs === 0;
  }

  /** Calls `arrive` through the clock when the frame has come; false when it is lost because too many are under way. */
  send(arrive: () => void): boolean {
    if (this.#inFlight >= IN_FLIGHT_MAX) return false;
    const { minNs, maxNs } = this.#latency;
    const takes = maxNs > minNs ? minNs + this.#stream.below(maxNs - minNs + 1) : minNs;
    // Not before the frame in front; the clock fires equal times in scheduling order.
    this.#lastAt = Math.max(this.#clock.now + takes, this.#lastAt);
    this.#inFlight += 1;
    this.#far.clock.schedule(this.#lastAt - this.#far.behindNs, () => {
      this.#inFlight -= 1;
      arrive();
    });
    return true;
  }
}
