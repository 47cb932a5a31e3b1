/** What a TCP connection knows of its peer: options of the SYN, and the send window. */
import { segmentLength, seqAdd, seqDiff } from './tcp-segment.ts';
import type { Segment } from './tcp-segment.ts';

/** Largest payload to a peer that names none (RFC 9293, section 3.7.1). */
export const TCP_MSS_DEFAULT = 536;

export class TcpPeer {
  /** Bytes the peer takes beyond its last acknowledgement. */
  window = 0;
  /** Largest payload it takes. */
  readonly mss: number;
  /** True when it scales its windows, so that our answer may name a scale too. */
  readonly scales: boolean;
  readonly sackPermitted: boolean;
  readonly #factor: number;
  /** End and acknowledgement of the segment that told the window: older ones tell nothing any more. */
  #toldAt: number;
  #toldAck: number;

  /** From the peer's SYN; `localSeq` is our next sequence number to be acknowledged. */
  constructor(syn: Segment, localSeq: number) {
    // A peer that asks for segments without payload would never get any.
    this.mss = syn.mss === null || syn.mss === 0 ? TCP_MSS_DEFAULT : syn.mss;
    this.scales = syn.scale !== null;
    this.sackPermitted = syn.sackPermitted;
    this.#factor = 2 ** (syn.scale ?? 0);
    // The window of a SYN is never scaled (RFC 7323, section 2.2).
    this.window = syn.window;
    this.#toldAt = seqAdd(syn.seq, 1);
    this.#toldAck = syn.ack ?? localSeq;
  }

  /** Takes the window from the newest segment, a keep-alive included (RFC 9293, section 3.10.7.4, SND.WL1 and WL2). */
  learn(segment: Segment): void {
    if (segment.ack === null || segment.control === 'syn') return;
    const end = seqAdd(segment.seq, segmentLength(segment));
    const newer = seqDiff(end, this.#toldAt);
    if (newer < 0 || (newer === 0 && seqDiff(segment.ack, this.#toldAck) < 0)) return;
    this.#toldAt = end;
    this.#toldAck = segment.ack;
    this.window = segment.window * this.#factor;
  }
}
