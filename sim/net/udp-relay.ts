/**
 * The user network's sockets on the host: one per port of the guest, as QEMU keeps them, and with them the reference's
 * DNS behaviour (sheet 70, section 5). A later datagram from the same port to somebody else overwrites the peer, so an
 * answer that was under way arrives with the resolver's own address; a refusal that was not yet reported makes the next
 * send from that port fail.
 */
import type { Ipv4 } from './address.ts';
import { FOREIGN_RESOLVER, HOST_LOOPBACK, USER_DNS, USER_GATEWAY } from './user-addresses.ts';

/** Sockets kept; the oldest is forgotten first. */
export const RELAY_SOCKETS_MAX = 64;
/** Virtual ns until the host side looks at its sockets again. */
export const HOST_TURN_NS = 100_000;
/** Virtual ns until the host's resolver answers: after the 250 ms that netstackd's reference waits (sheet 70, section 4). */
export const RESOLVER_NS = 300_000_000;

/** Queries that the resolver may have before it; further ones are lost. */
export const RESOLVER_PENDING_MAX = 256;

/** A datagram of the guest. */
export interface RelayedDatagram {
  readonly src: Ipv4;
  readonly srcPort: number;
  readonly dst: Ipv4;
  readonly dstPort: number;
  readonly payload: Uint8Array;
  /** The IPv4 packet it came in, for errors to quote. */
  readonly packet: Uint8Array;
}

/** What the sockets need from the network. */
export interface RelayHost {
  /** Calls `fire` after that many virtual ns. */
  later(ns: number, fire: () => void): void;
  /** Tells the guest that a port is closed. */
  portUnreachable(from: Ipv4, datagram: RelayedDatagram): void;
  /** Sends a datagram to the guest. */
  send(from: Ipv4, fromPort: number, to: Ipv4, toPort: number, payload: Uint8Array): void;
  /** The resolver's answer, or null. */
  resolve(query: Uint8Array): Uint8Array | null;
}

interface Socket {
  /** Whom the guest addressed last. */
  peer: Ipv4;
  /** The last datagram that went out. */
  last: RelayedDatagram | null;
  /** Refusals that the host has not yet told. */
  refusals: number;
  /** The newest of them makes the next send fail. */
  refused: boolean;
  turnPending: boolean;
}

export class UdpRelay {
  readonly #host: RelayHost;
  /** By address and port of the guest, oldest first. */
  readonly #sockets = new Map<number, Socket>();
  #asked = 0;

  constructor(host: RelayHost) {
    this.#host = host;
  }

  /** The guest sends to the host itself, where every port is closed. */
  toHost(datagram: RelayedDatagram): void {
    const socket = this.#send(datagram);
    if (socket === null) return;
    socket.refusals += 1;
    socket.refused = true;
    if (socket.turnPending) return;
    socket.turnPending = true;
    this.#host.later(HOST_TURN_NS, () => this.#turn(socket));
  }

  /** The guest sends to the host's resolver, which answers late. */
  toResolver(datagram: RelayedDatagram): void {
    const socket = this.#send(datagram);
    if (socket === null || this.#asked >= RESOLVER_PENDING_MAX) return;
    this.#asked += 1;
    const { src, srcPort, dstPort } = datagram;
    this.#host.later(RESOLVER_NS, () => {
      this.#asked -= 1;
      const answer = this.#host.resolve(datagram.payload);
      const from = socket.peer === USER_DNS ? USER_DNS : FOREIGN_RESOLVER;
      if (answer !== null) this.#host.send(from, dstPort, src, srcPort, answer);
    });
  }

  /** Null when the send failed because of a refusal before. */
  #send(datagram: RelayedDatagram): Socket | null {
    const socket = this.#open(datagram.src, datagram.srcPort);
    socket.peer = datagram.dst;
    if (socket.refused) {
      socket.refused = false;
      this.#host.portUnreachable(USER_GATEWAY, datagram);
      return null;
    }
    socket.last = datagram;
    return socket;
  }

  #turn(socket: Socket): void {
    socket.turnPending = false;
    const { last, refusals } = socket;
    socket.refusals = 0;
    socket.refused = false;
    for (let i = 0; last !== null && i < refusals; i += 1) this.#host.portUnreachable(HOST_LOOPBACK, last);
  }

  #open(address: Ipv4, port: number): Socket {
    const key = address * 0x1_0000 + port;
    const known = this.#sockets.get(key);
    if (known !== undefined) return known;
    if (this.#sockets.size >= RELAY_SOCKETS_MAX) {
      for (const oldest of this.#sockets.keys()) {
        this.#sockets.delete(oldest);
        break;
      }
    }
    const socket: Socket = { peer: address, last: null, refusals: 0, refused: false, turnPending: false };
    this.#sockets.set(key, socket);
    return socket;
  }
}
