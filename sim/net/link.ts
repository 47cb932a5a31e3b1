/**
 * A cable between two boards (sheet 70, section 12 and 13; the reference's socket netdev): frames from one end come out at
 * the other, nobody else is there. Each board has a clock of its own, which begins at its power-on; the cable adds up.
 * Frames to a board that is off, or that goes off before they arrive, are lost.
 */
import type { Clock } from '../clock.ts';
import type { Streams } from '../streams.ts';
import type { NetBackend } from '../virtio/net.ts';
import type { Latency } from './latency.ts';
import { DelayLine } from './latency.ts';

/** From one machine to the other over the host's loopback: 50 us, as an order of magnitude. */
export const LINK_LATENCY: Latency = { minNs: 50_000, maxNs: 50_000 };
/** Shorter latencies would make two machines wait for each other at every instruction. */
export const LINK_LATENCY_MIN_NS = 1000;

export type LinkEnd = 'a' | 'b';

/** The board at an end, as far as time goes. */
export interface LinkPlace {
  readonly clock: Clock;
  /** ns of the common time at which its clock stands at 0; Infinity: it is never switched on. */
  readonly powerOnNs: number;
}

/** What a board hangs on the cable. */
export interface LinkStation {
  /** A frame has arrived. */
  deliver(frame: Uint8Array): void;
  /** A frame that this board sent will not arrive. */
  lost?(why: string): void;
}

const OFF = 'the other board is off';
const FULL = 'too many frames are under way';

/** Frames always go through the receiver's clock, so that a board never runs inside another board's turn. */
export class EthernetLink {
  readonly #places: Readonly<Record<LinkEnd, LinkPlace>>;
  readonly #stations: Record<LinkEnd, LinkStation | null> = { a: null, b: null };
  readonly #lines: Readonly<Record<LinkEnd, DelayLine>>;
  readonly #onSend: () => void;
  #lost = 0;

  /**
   * Latencies of the two directions come from the streams `link-a` and `link-b`, named after the sender. `onSend` is called
   * for each frame that is on its way.
   */
  constructor(
    places: Readonly<Record<LinkEnd, LinkPlace>>,
    streams: Streams,
    latency: Latency = LINK_LATENCY,
    onSend: () => void = () => undefined,
  ) {
    const line = (from: LinkEnd): DelayLine => {
      const near = places[from];
      const far = places[otherEnd(from)];
      const behindNs = far.powerOnNs - near.powerOnNs;
      return new DelayLine(latency, near.clock, streams.stream(`link-${from}`), { clock: far.clock, behindNs });
    };
    this.#places = places;
    this.#lines = { a: line('a'), b: line('b') };
    this.#onSend = onSend;
  }

  /** Frames that nobody received. */
  get lost(): number {
    return this.#lost;
  }

  /** A board is on that end; the result is its wire. A board that was there before is off the cable. */
  connect(end: LinkEnd, station: LinkStation): NetBackend {
    this.#stations[end] = station;
    return {
      transmit: (frame) => {
        if (this.#stations[end] === station) this.#transmit(end, station, frame);
      },
    };
  }

  /** The board on that end goes off. */
  disconnect(end: LinkEnd): void {
    this.#stations[end] = null;
  }

  #transmit(from: LinkEnd, sender: LinkStation, frame: Uint8Array): void {
    const to = otherEnd(from);
    const station = this.#stations[to];
    const { clock, powerOnNs } = this.#places[from];
    if (station === null || powerOnNs + clock.now < this.#places[to].powerOnNs) {
      this.#lose(sender, OFF);
      return;
    }
    const sent = this.#lines[from].send(() => {
      if (this.#stations[to] === station) station.deliver(frame);
      else this.#lose(sender, OFF);
    });
    if (sent) this.#onSend();
    else this.#lose(sender, FULL);
  }

  #lose(sender: LinkStation, why: string): void {
    this.#lost += 1;
    sender.lost?.(why);
  }
}

function otherEnd(end: LinkEnd): LinkEnd {
  return end === 'a' ? 'b' : 'a';
}
