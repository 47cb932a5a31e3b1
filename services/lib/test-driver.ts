/**
 * A hand-driven stand-in for the kernel, for tests of one task's loop: it answers each yielded syscall. Slots are queues,
 * peers are a function that sees every sent frame.
 */
import { Errno, NONBLOCK, Nr } from '../../kernel-model/abi.ts';
import type { ServiceId } from '../../kernel-model/abi.ts';
import { Macro, Sys } from '../../kernel-model/sys.ts';
import type { Program, Syscall } from '../../kernel-model/sys.ts';

/** Ends a run when the task waits for something that will never come. */
class Stuck extends Error {}

export interface Sent {
  readonly at: number;
  readonly slot: number;
  readonly frame: Uint8Array;
  /** Slot of the capability that moved with the frame, -1 for none. */
  readonly moved: number;
}

interface Queued {
  readonly frame: Uint8Array;
  readonly sender: bigint;
  /** The slot a moved capability arrives in, -1 for none. */
  readonly cap: number;
  /** Delivered from this time on. */
  readonly at: number;
}

/** Costs of the stand-in: every syscall takes this long, so that loops which poll make time pass. */
const SYSCALL_NS = 1000;

export class Driver {
  now = 0;
  readonly lines: string[] = [];
  readonly notes = new Map<string, number | string>();
  readonly sent: Sent[] = [];
  readonly caps = new Set<number>();
  /** Result of a send, by slot; 0 delivers it to {@link onSend}. */
  refuse: (slot: number, frame: Uint8Array) => number = () => 0;
  onSend: (sent: Sent) => void = () => undefined;
  /** Errno that receives on a slot return once. */
  readonly receiveErrors = new Map<number, number[]>();
  yields = 0;
  clockFails = false;
  exit: number | null = null;
  #text = '';
  readonly #queues = new Map<number, Queued[]>();
  readonly #decoder = new TextDecoder();

  constructor(caps: readonly number[]) {
    for (const slot of caps) this.caps.add(slot);
  }

  /** Queues a frame on a RECV slot. */
  push(slot: number, frame: Uint8Array, options: { sender?: bigint; cap?: number; after?: number } = {}): void {
    const queue = this.#queues.get(slot) ?? [];
    const { sender = 0n, cap = -1, after = 0 } = options;
    queue.push({ frame, sender, cap, at: this.now + after });
    queue.sort((a, b) => a.at - b.at);
    this.#queues.set(slot, queue);
  }

  waiting(slot: number): number {
    return this.#queues.get(slot)?.length ?? 0;
  }

  /** Runs the program until it exits or waits for ever. */
  run(program: Program): this {
    const sys: Sys = new Sys(1, {
      load32: () => 0,
      store32: () => undefined,
      bytes: () => new Uint8Array(0),
      compute: () => undefined,
      note: (name, value) => void this.notes.set(name, value),
    });
    const task = program(sys);
    try {
      let step = task.next();
      while (step.done !== true) {
        if (sys.request !== step.value) throw new Error('a foreign request object');
        step = task.next(this.#answer(sys, step.value));
      }
      this.exit = step.value;
    } catch (error) {
      if (!(error instanceof Stuck)) throw error;
    }
    return this;
  }

  #answer(sys: Sys, call: Syscall): number {
    this.now += SYSCALL_NS;
    switch (call.nr) {
      case Nr.YIELD:
        this.yields += 1;
        return 0;
      case Nr.NSEC:
        return this.clockFails ? -Errno.EPERM : this.now;
      case Macro.PRINT: {
        const parts = (this.#text + this.#decoder.decode(call.bytes)).split('\n');
        this.#text = parts.pop() ?? '';
        this.lines.push(...parts);
        return 0;
      }
      case Nr.CAP_CLONE: {
        if (!this.caps.has(call.a0)) return -Errno.EPERM;
        let slot = 20;
        while (this.caps.has(slot)) slot += 1;
        this.caps.add(slot);
        return slot;
      }
      case Nr.CAP_CLOSE:
        return this.caps.delete(call.a0) ? 0 : -Errno.EPERM;
      case Nr.IPC_SEND_V1:
        return this.#send(call);
      case Nr.IPC_RECV_V1:
      case Nr.IPC_RECV_V2:
        return this.#receive(sys, call);
      case Macro.POLL:
        return this.#poll(sys);
      default:
        throw new Error(`unexpected syscall ${String(call.nr)}`);
    }
  }

  #send(call: Syscall): number {
    const refused = this.refuse(call.a0, call.bytes);
    if (refused < 0) return refused;
    const moved = (call.headerFlags & 1) !== 0 ? call.moveSlot : -1;
    if (moved >= 0) this.caps.delete(moved);
    const sent: Sent = { at: this.now, slot: call.a0, frame: call.bytes.slice(), moved };
    this.sent.push(sent);
    this.onSend(sent);
    return call.bytes.length;
  }

  #receive(sys: Sys, call: Syscall): number {
    const error = this.receiveErrors.get(call.a0)?.shift();
    if (error !== undefined) return error;
    const queue = this.#queues.get(call.a0) ?? [];
    const first = queue[0];
    const blocking = (call.a4 & NONBLOCK) === 0;
    if (first === undefined || (first.at > this.now && !blocking)) {
      if (!blocking) return -Errno.EAGAIN;
      if (call.a5 === 0) throw new Stuck();
      this.now = call.a5;
      return -Errno.ETIMEDOUT;
    }
    if (blocking && call.a5 > 0 && first.at > call.a5) {
      this.now = call.a5;
      return -Errno.ETIMEDOUT;
    }
    this.now = Math.max(this.now, first.at);
    queue.shift();
    const m = sys.message;
    m.payload = first.frame.slice(0, call.a3);
    m.len = first.frame.length;
    m.flags = first.cap >= 0 ? 1 : 0;
    m.src = Math.max(0, first.cap);
    m.serviceId = (call.nr === Nr.IPC_RECV_V2 ? first.sender : 0n) as ServiceId;
    if (first.cap >= 0) this.caps.add(first.cap);
    return m.payload.length;
  }

  /** Jumps to the time the poll ends at; sends that were refused once are refused for ever. */
  #poll(sys: Sys): number {
    const { slots, sendSlots, deadline, maxRounds } = sys.poll;
    const arrivals = slots.map((slot) => this.#queues.get(slot)?.[0]?.at ?? Infinity);
    const room = sendSlots.findIndex((slot) => this.refuse(slot, new Uint8Array(0)) !== -Errno.EAGAIN);
    const earliest = room >= 0 ? this.now : Math.max(this.now, Math.min(Infinity, ...arrivals));
    if (earliest <= this.now || (earliest < deadline && maxRounds === Infinity)) {
      this.now = earliest;
      const index = arrivals.findIndex((at) => at <= this.now);
      return index >= 0 ? index : slots.length + room;
    }
    if (maxRounds !== Infinity) {
      this.yields += maxRounds;
      return -Errno.EAGAIN;
    }
    if (deadline === Infinity) throw new Stuck();
    this.now = deadline;
    return -Errno.ETIMEDOUT;
  }
}
