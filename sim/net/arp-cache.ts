/** What the user network knows of Ethernet addresses, and the packets that wait for one. */
import type { Ipv4, Mac } from './address.ts';

/** Addresses known; the oldest is forgotten first. */
export const ARP_CACHE_SIZE = 16;
/** Packets that may wait; further ones are lost. */
export const ARP_HELD_MAX = 64;
/** Virtual ns a packet waits for an answer. */
export const ARP_HOLD_NS = 1_000_000_000;

interface Held {
  readonly address: Ipv4;
  readonly packet: Uint8Array;
  readonly until: number;
}

export class ArpCache {
  readonly #clock: { readonly now: number };
  /** Oldest first. */
  readonly #known = new Map<Ipv4, Mac>();
  #held: Held[] = [];

  constructor(clock: { readonly now: number }) {
    this.#clock = clock;
  }

  lookUp(address: Ipv4): Mac | null {
    return this.#known.get(address) ?? null;
  }

  /** Keeps a packet until {@link learn} of its address, or for {@link ARP_HOLD_NS}. */
  hold(address: Ipv4, packet: Uint8Array): void {
    this.#expire();
    if (this.#held.length < ARP_HELD_MAX) {
      this.#held.push({ address, packet, until: this.#clock.now + ARP_HOLD_NS });
    }
  }

  /** Stores an address; returns the packets that waited for it, in order. */
  learn(address: Ipv4, mac: Mac): readonly Uint8Array[] {
    this.#expire();
    if (!this.#known.has(address) && this.#known.size >= ARP_CACHE_SIZE) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest);
        break;
      }
    }
    this.#known.set(address, mac);
    const ready = this.#held.filter((held) => held.address === address);
    if (ready.length > 0) this.#held = this.#held.filter((held) => held.address !== address);
    return ready.map((held) => held.packet);
  }

  #expire(): void {
    const { now } = this.#clock;
    if (this.#held.some((held) => held.until <= now)) this.#held = this.#held.filter((held) => held.until > now);
  }
}
