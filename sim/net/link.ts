/**
 * A cable between two boards under one clock (sheet 70, section 12 and 13; the reference's socket netdev): frames from
 * one end come out at the other, nobody else is there. Frames to a board that is off, or that goes off before they
 * arrive, are lost.
 */
import type { Clock } from '../clock.ts';
import type { Streams } from '../streams.ts';
import type { NetBackend } from '../virtio/net.ts';
import type { Latency } from './latency.ts';
import { DelayLine } from './latency.ts';

/** Time over the host's loopback between two machines: 20 us, as an order of magnitude. */
export const LINK_LATENCY: Latency = { minNs: 20_000, maxNs: 20_000 };

export type LinkEnd = 'a' | 'b';

/** What a board hangs on the cable: takes the frames that arrive. */
export interface LinkStation {
  deliver(frame: Uint8Array): void;
}

/** Frames always go through the clock, so that a board never runs inside another board's turn. */
export class EthernetLink {
  readonly #stations: Record<LinkEnd, LinkStation | null> = { a: null, b: null };
  readonly #lines: Record<LinkEnd, DelayLine>;
  #lost = 0;

  /** Latencies of the two directions come from the streams `link-a` and `link-b`, named after the sender. */
  constructor(clock: Clock, streams: Streams, latency: Latency = LINK_LATENCY) {
    this.#lines = {
      a: new DelayLine(latency, clock, streams.stream('link-a')),
      b: new DelayLine(latency, clock, streams.stream('link-b')),
    };
  }

  /** Frames that nobody received. */
  get lost(): number {
    return this.#lost;
  }

  /** A board comes up on that end; the result is its wire. A board that was there before is off the cable. */
  connect(end: LinkEnd, station: LinkStation): NetBackend {
    this.#stations[end] = station;
    return {
      transmit: (frame) => {
        if (this.#stations[end] === station) this.#transmit(end, frame);
      },
    };
  }

  /** The board on that end goes off. */
  disconnect(end: LinkEnd): void {
    this.#stations[end] = null;
  }

  #transmit(from: LinkEnd, frame: Uint8Array): void {
    const to: LinkEnd = from === 'a' ? 'b' : 'a';
    const station = this.#stations[to];
    if (station === null) {
      this.#lost += 1;
      return;
    }
    const sent = this.#lines[from].send(() => {
      if (this.#stations[to] === station) station.deliver(frame);
      else this.#lost += 1;
    });
    if (!sent) this.#lost += 1;
  }
}
