/** The stack's ARP cache (sheet 70, section 3). */
import type { Ipv4, Mac } from '../../sim/net/address.ts';

/** Entries; one more takes the place of the one that ends first. */
export const NEIGHBOR_ENTRIES = 4;
/** Life of an entry, ms of poll time. */
export const NEIGHBOR_LIFETIME_MS = 60_000;
/** Silence after a request, ms of poll time, for all addresses together. */
export const ARP_SILENCE_MS = 1000;

interface Neighbor {
  readonly mac: Mac;
  readonly expiresAt: number;
}

/** An address, or why there is none: `unknown` asks for a request, `silent` says that one was sent lately. */
export type NeighborAnswer = Mac | 'unknown' | 'silent';

export class NeighborCache {
  readonly #entries = new Map<Ipv4, Neighbor>();
  #silentUntil = 0;

  /** Learns or renews an entry. */
  fill(ip: Ipv4, mac: Mac, now: number): void {
    if (!this.#entries.has(ip) && this.#entries.size >= NEIGHBOR_ENTRIES) this.#evict();
    this.#entries.set(ip, { mac, expiresAt: now + NEIGHBOR_LIFETIME_MS });
  }

  lookup(ip: Ipv4, now: number): NeighborAnswer {
    const entry = this.#entries.get(ip);
    if (entry !== undefined && now < entry.expiresAt) return entry.mac;
    return now < this.#silentUntil ? 'silent' : 'unknown';
  }

  has(ip: Ipv4, now: number): boolean {
    return typeof this.lookup(ip, now) === 'number';
  }

  /** A request was sent. */
  startSilence(now: number): void {
    this.#silentUntil = now + ARP_SILENCE_MS;
  }

  /** The interface's address changed. */
  flush(): void {
    this.#entries.clear();
  }

  #evict(): void {
    let oldest: Ipv4 | null = null;
    let least = Infinity;
    for (const [ip, entry] of this.#entries) {
      if (entry.expiresAt >= least) continue;
      least = entry.expiresAt;
      oldest = ip;
    }
    if (oldest !== null) this.#entries.delete(oldest);
  }
}
