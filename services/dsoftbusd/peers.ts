/**
 * Who was heard of (sheet 70, section 9.3): the peers, most recent first, bounded and without expiry, and beside them the
 * address each announcement came from.
 */
import type { Ipv4 } from '../../sim/net/address.ts';
import type { Announce } from './discovery.ts';

/** Peers that dsoftbusd keeps. */
export const PEERS_MAX = 16;

/** The peers. */
export class PeerTable {
  readonly #capacity: number;
  /** Most recent first. */
  readonly #peers: Announce[] = [];

  constructor(capacity: number = PEERS_MAX) {
    this.#capacity = capacity;
  }

  /** Ids, most recent first. */
  get ids(): readonly string[] {
    return this.#peers.map((peer) => peer.deviceId);
  }

  /** Puts the peer in front, in place of what was known of it; a full table loses its last. */
  insert(peer: Announce): void {
    const known = this.#indexOf(peer.deviceId);
    if (known >= 0) this.#peers.splice(known, 1);
    else if (this.#peers.length >= this.#capacity) this.#peers.pop();
    this.#peers.unshift(peer);
  }

  /** The peer, which thereby becomes the most recent. */
  get(deviceId: string): Announce | null {
    const at = this.#indexOf(deviceId);
    const peer = this.#peers[at];
    if (peer === undefined) return null;
    this.#peers.splice(at, 1);
    this.#peers.unshift(peer);
    return peer;
  }

  /** The peer; the order stays. */
  peek(deviceId: string): Announce | null {
    return this.#peers[this.#indexOf(deviceId)] ?? null;
  }

  #indexOf(deviceId: string): number {
    return this.#peers.findIndex((peer) => peer.deviceId === deviceId);
  }
}

/** Source addresses by device id. The single machine prunes it to the peers it knows; a pair of machines never does. */
export class PeerAddresses {
  #entries: { readonly deviceId: string; readonly ip: Ipv4 }[] = [];

  get ids(): readonly string[] {
    return this.#entries.map((entry) => entry.deviceId);
  }

  set(deviceId: string, ip: Ipv4): void {
    const at = this.#entries.findIndex((entry) => entry.deviceId === deviceId);
    if (at >= 0) this.#entries[at] = { deviceId, ip };
    else this.#entries.push({ deviceId, ip });
  }

  get(deviceId: string): Ipv4 | null {
    return this.#entries.find((entry) => entry.deviceId === deviceId)?.ip ?? null;
  }

  /** Keeps the entries of these ids, in their order. */
  prune(ids: readonly string[]): void {
    this.#entries = ids.flatMap((id) => this.#entries.filter((entry) => entry.deviceId === id));
  }
}
