/**
 * The one event stream of a run (design, "One event stream"). Everything worth knowing is one typed event with its
 * virtual time and the task that was running; the UART log, statistics, pcap and the "who waits for whom" report are
 * views of it. Producers test {@link Trace.on} before they build an event, so that a run nobody listens to pays one
 * property load per site.
 */

/** Fields every event carries. */
export interface TraceStamp {
  /** Virtual time in ns since power-on. */
  readonly t: number;
  /** Pid of the running task; -1 while no task runs (boot, device events). */
  readonly pid: number;
}

/** A capability as the trace shows it: kind, then the object (endpoint id, or base and length in bytes). */
export interface TraceCap {
  readonly kind: 'endpoint' | 'factory' | 'vmo' | 'mmio';
  readonly endpoint?: number;
  readonly base?: number;
  readonly len?: number;
  readonly rights: number;
}

/** Event bodies, by `kind`. Byte fields are copies that later guest writes cannot change. */
export type TraceBody =
  /** A program that the boot image holds, told at power-on: its name, and its bytes. */
  | { readonly kind: 'image'; readonly name: string; readonly bytes: number }
  | { readonly kind: 'uart-line'; readonly text: string; readonly ending: 'crlf' | 'lf' }
  | { readonly kind: 'marker'; readonly text: string }
  | { readonly kind: 'task-spawn'; readonly child: number; readonly name: string; readonly serviceId: bigint }
  | { readonly kind: 'task-exit'; readonly code: number; readonly cause: 'exit' | 'fault' }
  | {
      readonly kind: 'task-block';
      readonly on: 'recv' | 'send' | 'wait';
      readonly endpoint: number;
      readonly deadline: number;
    }
  | { readonly kind: 'task-wake'; readonly woken: number }
  | { readonly kind: 'syscall'; readonly nr: number; readonly name: string; readonly result: number }
  | {
      readonly kind: 'ipc-send';
      readonly endpoint: number;
      readonly frame: Uint8Array;
      readonly serviceId: bigint;
      readonly moved: TraceCap | null;
    }
  | {
      readonly kind: 'ipc-recv';
      readonly endpoint: number;
      readonly from: number;
      readonly frame: Uint8Array;
      readonly serviceId: bigint;
    }
  | { readonly kind: 'ipc-refused'; readonly endpoint: number; readonly errno: number; readonly len: number }
  | { readonly kind: 'cap-transfer'; readonly target: number; readonly slot: number; readonly cap: TraceCap }
  | { readonly kind: 'endpoint-create'; readonly endpoint: number; readonly owner: number; readonly depth: number }
  | { readonly kind: 'endpoint-close'; readonly endpoint: number }
  | {
      readonly kind: 'mmio-unknown';
      readonly device: string;
      readonly offset: number;
      readonly write: boolean;
      readonly value: number;
    }
  | { readonly kind: 'virtio-status'; readonly device: string; readonly status: number }
  | {
      readonly kind: 'virtio-request';
      readonly device: string;
      readonly queue: number;
      readonly head: number;
      readonly used: number;
    }
  | { readonly kind: 'virtio-broken'; readonly device: string; readonly queue: number; readonly reason: string }
  | {
      readonly kind: 'disk';
      readonly op: 'read' | 'write' | 'flush' | 'get-id' | 'other';
      readonly sector: number;
      readonly bytes: number;
      readonly status: number;
    }
  | { readonly kind: 'packet'; readonly device: string; readonly dir: 'tx' | 'rx'; readonly bytes: Uint8Array }
  | { readonly kind: 'note'; readonly service: string; readonly name: string; readonly value: string | number }
  | { readonly kind: 'fault'; readonly name: string; readonly detail: string };

/** One event as listeners get it. */
export type TraceEvent = TraceStamp & TraceBody;

/** A view of the stream. Must not change the machine. */
export type TraceListener = (event: TraceEvent) => void;

/** The stream itself: stamps events and hands them to its listeners in order of subscription. */
export class Trace {
  /** True while somebody listens. Producers must test it before building an event. */
  on = false;
  /** Pid stamped on events; the kernel keeps it current. */
  pid = -1;
  readonly #clock: { readonly now: number };
  readonly #listeners: TraceListener[] = [];

  constructor(clock: { readonly now: number }) {
    this.#clock = clock;
  }

  /** Adds a view. */
  listen(listener: TraceListener): void {
    this.#listeners.push(listener);
    this.on = true;
  }

  /** Stamps and delivers one event. Call only when {@link Trace.on} is true. */
  emit(body: TraceBody): void {
    const event: TraceEvent = { t: this.#clock.now, pid: this.pid, ...body };
    for (const listener of this.#listeners) listener(event);
  }
}
