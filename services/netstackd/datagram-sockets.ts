/** UDP and ICMP echo sockets: bounded queues of datagrams in both directions (sheet 70, section 3). */
import type { Ipv4 } from '../../sim/net/address.ts';
import { isMulticast } from '../../sim/net/address.ts';

/** Datagrams that wait in one direction of a UDP socket, and their bytes together. */
export const UDP_QUEUE_PACKETS = 4;
export const UDP_QUEUE_BYTES = 2048;

/** A payload with the peer it comes from or goes to. */
export interface Datagram {
  readonly ip: Ipv4;
  readonly port: number;
  readonly payload: Uint8Array;
}

/** First in, first out; full by number or by bytes. */
class DatagramQueue {
  readonly #datagrams: Datagram[] = [];
  #bytes = 0;

  get first(): Datagram | null {
    return this.#datagrams[0] ?? null;
  }

  /** Keeps a copy; false when there is no room. */
  push(datagram: Datagram): boolean {
    const { length } = datagram.payload;
    if (this.#datagrams.length >= UDP_QUEUE_PACKETS || this.#bytes + length > UDP_QUEUE_BYTES) return false;
    this.#datagrams.push({ ...datagram, payload: datagram.payload.slice() });
    this.#bytes += length;
    return true;
  }

  shift(): Datagram | null {
    const first = this.#datagrams.shift() ?? null;
    if (first !== null) this.#bytes -= first.payload.length;
    return first;
  }
}

/** A bound UDP socket. */
export class UdpSocket {
  readonly kind = 'udp';
  /** 0.0.0.0 is an address like any other here: it takes only broadcasts, and is sent as source (quirk Q9). */
  readonly ip: Ipv4;
  readonly port: number;
  readonly #rx = new DatagramQueue();
  readonly #tx = new DatagramQueue();

  /** `port` is not 0. */
  constructor(ip: Ipv4, port: number) {
    this.ip = ip;
    this.port = port;
  }

  /** True when a datagram to `dst` belongs here; `broadcast` says whether `dst` is a broadcast address. */
  accepts(dst: Ipv4, port: number, broadcast: boolean): boolean {
    return port === this.port && (dst === this.ip || broadcast || isMulticast(dst));
  }

  /** Takes a received datagram, or drops it when the queue is full. */
  process(datagram: Datagram): void {
    this.#rx.push(datagram);
  }

  /** Queues a datagram for sending; false when the queue is full. */
  send(datagram: Datagram): boolean {
    return this.#tx.push(datagram);
  }

  /** The next received datagram, or null. */
  recv(): Datagram | null {
    return this.#rx.shift();
  }

  /** What leaves next, or null. */
  get next(): Datagram | null {
    return this.#tx.first;
  }

  /** {@link next} has left. */
  sent(): void {
    this.#tx.shift();
  }
}

/** One echo request and the first message that answers it: a socket lives for one ping. */
export class PingSocket {
  readonly kind = 'icmp';
  readonly ident: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
  #target: Ipv4 | null = null;
  #answered = false;

  constructor(ident: number, sequence: number, payload: Uint8Array) {
    this.ident = ident;
    this.sequence = sequence;
    this.payload = payload;
  }

  /** True once a message with this socket's identifier came in. Nothing else of it is looked at. */
  get answered(): boolean {
    return this.#answered;
  }

  /** Queues the request. */
  send(target: Ipv4): void {
    this.#target = target;
  }

  /** Where the request goes next, or null. */
  get next(): Ipv4 | null {
    return this.#target;
  }

  sent(): void {
    this.#target = null;
  }

  process(): void {
    this.#answered = true;
  }
}
