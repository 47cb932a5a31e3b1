/** TCP's clocks: retransmission time (sheet 70, section 3) and the one timer of a socket. All times are ms of poll time. */
import { seqDiff } from './tcp-segment.ts';

const RTT_INITIAL_MS = 300;
const DEVIATION_INITIAL_MS = 100;
const MARGIN_MIN_MS = 5;
export const RTO_MIN_MS = 10;
export const RTO_MAX_MS = 10_000;
/** Retransmissions in a row after which the round trip counts as twice as long. */
const RETRANSMITS_PER_DOUBLING = 3;

/** Round-trip estimate of one connection. The initial retransmission time is 700 ms. */
export class RttEstimator {
  #rtt = RTT_INITIAL_MS;
  #deviation = DEVIATION_INITIAL_MS;
  #sample: { readonly at: number; readonly seq: number } | null = null;
  #highest: number | null = null;
  #retransmits = 0;

  /** Retransmission time, {@link RTO_MIN_MS} to {@link RTO_MAX_MS}. */
  get timeoutMs(): number {
    const margin = Math.max(MARGIN_MIN_MS, 4 * this.#deviation);
    return Math.min(Math.max(this.#rtt + margin, RTO_MIN_MS), RTO_MAX_MS);
  }

  /** A segment that ends at `seq` left. Only bytes sent for the first time are measured. */
  onSend(now: number, seq: number): void {
    if (this.#highest !== null && seqDiff(seq, this.#highest) <= 0) return;
    this.#highest = seq;
    this.#sample ??= { at: now, seq };
  }

  onAck(now: number, ack: number): void {
    const sample = this.#sample;
    if (sample === null || seqDiff(ack, sample.seq) < 0) return;
    this.#sample = null;
    const rtt = Math.max(0, now - sample.at);
    const difference = Math.abs(this.#rtt - rtt);
    this.#rtt = Math.floor((this.#rtt * 7 + rtt + 7) / 8);
    this.#deviation = Math.floor((this.#deviation * 3 + difference + 3) / 4);
    this.#retransmits = 0;
  }

  onRetransmit(): void {
    this.#sample = null;
    this.#retransmits += 1;
    if (this.#retransmits < RETRANSMITS_PER_DOUBLING) return;
    this.#retransmits = 0;
    this.#rtt = Math.min(2 * this.#rtt, RTO_MAX_MS);
  }
}

/** What a socket waits for; `at` is poll time, Infinity for never. */
export type TcpTimer =
  | { readonly kind: 'idle'; readonly at: number }
  | { readonly kind: 'retransmit'; readonly at: number; readonly delay: number }
  | { readonly kind: 'close'; readonly at: number };

/** No keep-alive, nothing in flight. */
export const TIMER_OFF: TcpTimer = { kind: 'idle', at: Infinity };
