/** netstackd's operations as dsoftbusd uses them (sheet 70, section 6.3): typed results over {@link FacadeRpc}. */
import { readIpv4 } from '../../sim/net/address.ts';
import type { Ipv4 } from '../../sim/net/address.ts';
import type { Call } from '../lib/ipc.ts';
import { Op, Status, port } from '../netstackd/wire.ts';
import type { FacadeRequest, Handle } from '../netstackd/wire.ts';
import type { FacadeRpc } from './facade-rpc.ts';

/** What a call came to; null: no answer at all (or none of the form its operation has). */
export type Reply<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly status: number } | null;

/** A received datagram. */
export interface Datagram {
  readonly data: Uint8Array;
  readonly source: Ipv4;
}

/** Reads the body of an OK answer; null: not its form. */
type ReadBody<T> = (body: Uint8Array) => T | null;

/** netstackd as a client sees it. */
export class Facade {
  readonly #rpc: FacadeRpc;

  constructor(rpc: FacadeRpc) {
    this.#rpc = rpc;
  }

  localAddress(): Call<Reply<Ipv4>> {
    return this.#ask({ op: Op.LOCAL_ADDR, nonce: null }, (body) => (body.length < 4 ? null : readIpv4(body, 0)));
  }

  /** Null as address: netstackd's own. */
  listen(ip: Ipv4 | null, at: number): Call<Reply<Handle>> {
    return this.#ask({ op: Op.LISTEN, ip, port: port(at), nonce: null }, handleOf);
  }

  accept(listener: Handle): Call<Reply<Handle>> {
    return this.#ask({ op: Op.ACCEPT, listener, nonce: null }, handleOf);
  }

  connect(ip: Ipv4, to: number): Call<Reply<Handle>> {
    return this.#ask({ op: Op.CONNECT, ip, port: port(to), nonce: null }, handleOf);
  }

  /** At most `max` bytes. */
  read(stream: Handle, max: number): Call<Reply<Uint8Array>> {
    return this.#ask({ op: Op.READ, stream, max, nonce: null }, (body) => counted(body, 2));
  }

  /** Number of bytes taken. */
  write(stream: Handle, data: Uint8Array): Call<Reply<number>> {
    return this.#ask({ op: Op.WRITE, stream, data, nonce: null }, countOf);
  }

  udpBind(ip: Ipv4, at: number): Call<Reply<Handle>> {
    return this.#ask({ op: Op.UDP_BIND, ip, port: port(at), nonce: null }, handleOf);
  }

  udpSendTo(udp: Handle, ip: Ipv4, to: number, data: Uint8Array): Call<Reply<number>> {
    return this.#ask({ op: Op.UDP_SEND_TO, udp, ip, port: port(to), data, nonce: null }, countOf);
  }

  udpReceiveFrom(udp: Handle, max: number): Call<Reply<Datagram>> {
    return this.#ask({ op: Op.UDP_RECV_FROM, udp, max, nonce: null }, (body) => {
      const data = counted(body, 8);
      return data === null ? null : { data, source: readIpv4(body, 2) };
    });
  }

  close(stream: Handle): Call<Reply<true>> {
    return this.#ask({ op: Op.CLOSE, stream, nonce: null }, () => true);
  }

  waitWritable(stream: Handle): Call<Reply<true>> {
    return this.#ask({ op: Op.WAIT_WRITABLE, stream, nonce: null }, () => true);
  }

  *#ask<T>(request: FacadeRequest, read: ReadBody<T>): Call<Reply<T>> {
    const response = yield* this.#rpc.call(request);
    if (response === null) return null;
    if (response.status !== Status.OK) return { ok: false, status: response.status };
    const value = read(response.body);
    return value === null ? null : { ok: true, value };
  }
}

/** True for the answer that says try again. */
export function wouldBlock(reply: Reply<unknown>): boolean {
  return reply !== null && !reply.ok && reply.status === Status.WOULD_BLOCK;
}

function handleOf(body: Uint8Array): Handle | null {
  if (body.length < 4) return null;
  return new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(0, true) as Handle;
}

function countOf(body: Uint8Array): number | null {
  return body.length < 2 ? null : (body[0] ?? 0) | ((body[1] ?? 0) << 8);
}

/** As many bytes from `at` on as the count in front says. */
function counted(body: Uint8Array, at: number): Uint8Array | null {
  const n = countOf(body);
  return n === null || body.length < at + n ? null : body.subarray(at, at + n);
}
