/**
 * netstackd's heap (sheet 70, section 6.3): a bump allocator that never frees, so that sockets are a resource that runs
 * out. Only the buffers of sockets are counted.
 */
import type { Sys } from '../../kernel-model/sys.ts';
import type { Call } from '../lib/ipc.ts';
import { hex16 } from '../lib/text.ts';

export const HEAP_BYTES = 384 * 1024;
/** First address. The sheet gives none; this is the page behind the image's initialised data. */
export const HEAP_START = 0x2_8000;
/** Bytes of a TCP socket beside its buffers. The sheet gives no number; about 20 connections fit, as it says. */
export const TCP_SOCKET_BYTES = 512;
/** Receive and transmit buffer of each kind of socket. */
export const LISTEN_BUFFER = 1024;
export const CONNECT_BUFFER = 8192;
export const UDP_BUFFER = 2048;
/** Ring of a loopback stream or UDP socket; never counted against the limit by its clients. */
export const LOOP_BUFFER = 128;

/** A request that did not fit. */
export interface HeapFault {
  readonly site: 'alloc' | 'alloc_zeroed';
  readonly size: number;
  readonly align: number;
}

export class Heap {
  /** Size in bytes. */
  readonly bytes: number;
  #used = 0;

  constructor(bytes = HEAP_BYTES) {
    this.bytes = bytes;
  }

  /** Bytes given out. */
  get used(): number {
    return this.#used;
  }

  /** Two zeroed buffers of `bytes`, and `socketBytes` for the socket; null, or what did not fit. */
  socket(bytes: number, socketBytes = 0): HeapFault | null {
    return (
      this.#take('alloc_zeroed', bytes, 1) ??
      this.#take('alloc_zeroed', bytes, 1) ??
      this.#take('alloc', socketBytes, 8)
    );
  }

  /** One zeroed buffer. */
  ring(bytes: number): HeapFault | null {
    return this.#take('alloc_zeroed', bytes, 1);
  }

  #take(site: HeapFault['site'], size: number, align: number): HeapFault | null {
    const start = Math.ceil(this.#used / align) * align;
    if (start + size > this.bytes) return { site, size, align };
    this.#used = start + size;
    return null;
  }
}

/** Prints the two lines of an exhausted heap and ends the task (sheet 60, section 1). */
export function* exhausted(sys: Sys, service: string, heap: Heap, fault: HeapFault): Call<void> {
  const request = `size=0x${hex16(fault.size)} align=0x${hex16(fault.align)}`;
  const bounds = `heap_start=0x${hex16(HEAP_START)} heap_end=0x${hex16(HEAP_START + heap.bytes)}`;
  const before = HEAP_START + heap.used;
  const after = before + fault.size;
  yield sys.println(
    `alloc-fail svc=${service} site=${fault.site} ${request} ${bounds} cur_before=0x${hex16(before)} cur_after=0x${hex16(after)}`,
  );
  yield sys.println(`alloc_error svc=${service} ${request}`);
  yield sys.exit(-1);
}
