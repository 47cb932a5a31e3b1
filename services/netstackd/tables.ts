/**
 * The facade's three handle tables and the in-memory loopback (sheet 70, sections 6.3 and 6.5). Pure. A handle is the
 * 1-based position of an append, never used again; listeners and UDP sockets cannot be closed. Loopback is keyed on literal
 * addresses and ports, because the user network delivers nothing to its own guest.
 */
import { ipv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import { ByteRing } from './bytes.ts';
import type { UdpSocket } from './datagram-sockets.ts';
import { LOOP_BUFFER } from './heap.ts';
import type { TcpSocket } from './tcp-socket.ts';

/** Address of loopback, whatever address the interface has. */
export const LOOP_IP = ipv4(10, 0, 2, 15);
const LOOP_TCP_PORTS: readonly number[] = [34_567, 34_568];
const LOOP_UDP_PORT = 37_020;

/** True when LISTEN or CONNECT there is loopback. */
export function isLoopTcp(ip: Ipv4, port: number): boolean {
  return ip === LOOP_IP && LOOP_TCP_PORTS.includes(port);
}

/** True when UDP_BIND there is loopback. */
export function isLoopUdp(ip: Ipv4, port: number): boolean {
  return port === LOOP_UDP_PORT && (ip === LOOP_IP || ip === 0);
}

export interface LoopListener {
  readonly kind: 'loop';
  readonly port: number;
  /** The stream that waits for ACCEPT: a backlog of one. */
  pending: number | null;
}

export interface LoopStream {
  readonly kind: 'loop';
  /** Handle of the other end. */
  readonly peer: number;
  readonly rx: ByteRing;
}

export interface LoopUdp {
  readonly kind: 'loop';
  readonly port: number;
  /** Bytes, not datagrams (quirk Q8). */
  readonly ring: ByteRing;
}

export interface TcpHandle {
  readonly kind: 'tcp';
  readonly socket: TcpSocket;
}

export interface UdpHandle {
  readonly kind: 'udp';
  readonly socket: UdpSocket;
}

export class SocketTables {
  readonly #listeners: (LoopListener | TcpHandle)[] = [];
  readonly #streams: (LoopStream | TcpHandle | null)[] = [];
  readonly #udps: (LoopUdp | UdpHandle)[] = [];

  listener(handle: number): LoopListener | TcpHandle | null {
    return this.#listeners[handle - 1] ?? null;
  }

  /** Null also for closed streams. */
  stream(handle: number): LoopStream | TcpHandle | null {
    return this.#streams[handle - 1] ?? null;
  }

  udp(handle: number): LoopUdp | UdpHandle | null {
    return this.#udps[handle - 1] ?? null;
  }

  addListener(socket: TcpSocket): number {
    return this.#listeners.push({ kind: 'tcp', socket });
  }

  addStream(socket: TcpSocket): number {
    return this.#streams.push({ kind: 'tcp', socket });
  }

  addUdp(socket: UdpSocket): number {
    return this.#udps.push({ kind: 'udp', socket });
  }

  addLoopListener(port: number): number {
    return this.#listeners.push({ kind: 'loop', port, pending: null });
  }

  addLoopUdp(port: number): number {
    return this.#udps.push({ kind: 'loop', port, ring: new ByteRing(LOOP_BUFFER) });
  }

  /** Two streams, the caller's end first; the other waits at the first free listener of that port, if there is one. */
  connectLoop(port: number): number {
    const near = this.#streams.length + 1;
    const far = near + 1;
    this.#streams.push({ kind: 'loop', peer: far, rx: new ByteRing(LOOP_BUFFER) });
    this.#streams.push({ kind: 'loop', peer: near, rx: new ByteRing(LOOP_BUFFER) });
    for (const listener of this.#listeners) {
      if (listener.kind !== 'loop' || listener.port !== port || listener.pending !== null) continue;
      listener.pending = far;
      break;
    }
    return near;
  }

  /** The stream that waited, or null. */
  acceptLoop(listener: LoopListener): number | null {
    const { pending } = listener;
    listener.pending = null;
    return pending;
  }

  /** Bytes the other end took; null when it is closed. */
  writeLoop(stream: LoopStream, data: Uint8Array): number | null {
    const peer = this.stream(stream.peer);
    return peer?.kind === 'loop' ? peer.rx.push(data) : null;
  }

  /** Empties the stream's place; false when there was none. Nothing is sent, and no socket goes away. */
  close(handle: number): boolean {
    if (this.stream(handle) === null) return false;
    this.#streams[handle - 1] = null;
    return true;
  }
}
