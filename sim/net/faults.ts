/**
 * Packet faults as plain data: what happens to the n-th frame of a direction, or to the n-th that holds certain bytes. Frames are counted where they pass between
 * card and wire, so a `packet` event of the card shows what the guest sent, and what it got after the faults.
 */
import type { Clock } from '../clock.ts';
import type { ScheduledEvent } from '../clock.ts';
import type { Trace } from '../trace.ts';

/** `tx`: from the guest; `rx`: to the guest. */
export type PacketDirection = 'tx' | 'rx';

/** What happens to a frame. */
export type PacketAction =
  | { readonly action: 'drop' }
  /** It comes twice. */
  | { readonly action: 'duplicate' }
  /** It comes that many virtual ns later; frames behind it overtake it. */
  | { readonly action: 'delay'; readonly ns: number }
  /** It comes after the next `behind` frames of its direction, or after {@link REORDER_HOLD_NS} when fewer follow. */
  | { readonly action: 'reorder'; readonly behind: number }
  /** The byte at `offset` (counted round the frame's end) is exclusive-ored with `mask`. */
  | { readonly action: 'corrupt'; readonly offset: number; readonly mask: number }
  /** `bytes` are written over it at `offset`; what would lie beyond its end is left out. */
  | { readonly action: 'alter'; readonly offset: number; readonly bytes: readonly number[] }
  /** Only its first `length` bytes come. */
  | { readonly action: 'truncate'; readonly length: number };

/** A fault: the frames it hits and what it does. Several on one frame act in order; `drop` ends it. */
export type PacketFault = PacketAction & {
  readonly direction: PacketDirection;
  /** Only frames with these bytes somewhere in them are counted and hit; all when missing. */
  readonly has?: readonly number[];
  /** The first frame hit, counted from 1. */
  readonly packet: number;
  /** How many frames in a row are hit; 1 when missing. */
  readonly count?: number;
};

/** Largest frame number, count and delay. */
export const PACKET_NUMBER_MAX = 2 ** 31 - 1;
export const PACKET_DELAY_MAX_NS = 3_600_000_000_000;
export const REORDER_MAX = 64;
/** Frames of one direction that faults may hold back at once; further ones are lost. */
export const HELD_FRAMES_MAX = 4096;
/** Virtual ns after which a reordered frame comes although too few others did. */
export const REORDER_HOLD_NS = 100_000_000;

/** Says what is wrong with a fault that a person wrote, or null. */
export function packetFaultProblem(fault: PacketFault): string | null {
  if (!within(fault.packet, 1, PACKET_NUMBER_MAX)) return `packet must be 1 to ${PACKET_NUMBER_MAX}`;
  if (!within(fault.count ?? 1, 1, PACKET_NUMBER_MAX)) return `count must be 1 to ${PACKET_NUMBER_MAX}`;
  switch (fault.action) {
    case 'drop':
    case 'duplicate':
      return null;
    case 'delay':
      return within(fault.ns, 1, PACKET_DELAY_MAX_NS) ? null : `ns must be 1 to ${PACKET_DELAY_MAX_NS}`;
    case 'reorder':
      return within(fault.behind, 1, REORDER_MAX) ? null : `behind must be 1 to ${REORDER_MAX}`;
    case 'corrupt':
      if (!within(fault.offset, 0, PACKET_NUMBER_MAX)) return `offset must be 0 to ${PACKET_NUMBER_MAX}`;
      return within(fault.mask, 1, 0xff) ? null : 'mask must be 1 to 255';
    case 'alter':
      return within(fault.offset, 0, PACKET_NUMBER_MAX) ? null : `offset must be 0 to ${PACKET_NUMBER_MAX}`;
    case 'truncate':
      return within(fault.length, 1, PACKET_NUMBER_MAX) ? null : `length must be 1 to ${PACKET_NUMBER_MAX}`;
  }
}

/** Where faults happen: between a card and its wire. */
export interface PacketFaultContext {
  readonly clock: Clock;
  readonly trace: Trace;
}

interface Waiting {
  /** Frames that must still pass. */
  left: number;
  readonly go: () => void;
  readonly timeout: ScheduledEvent;
}

/** A fault and the frames that it has counted. */
interface Counted {
  readonly fault: PacketFault;
  seen: number;
}

/** One direction of one wire. */
export class PacketFaultGate {
  readonly #faults: readonly Counted[];
  readonly #direction: PacketDirection;
  readonly #context: PacketFaultContext;
  readonly #forward: (frame: Uint8Array) => void;
  #waiting: Waiting[] = [];
  #held = 0;

  /** `forward` gets what is left of the frames; faults of the other direction are ignored. */
  constructor(
    faults: readonly PacketFault[],
    direction: PacketDirection,
    context: PacketFaultContext,
    forward: (frame: Uint8Array) => void,
  ) {
    this.#faults = faults.filter((fault) => fault.direction === direction).map((fault) => ({ fault, seen: 0 }));
    this.#direction = direction;
    this.#context = context;
    this.#forward = forward;
  }

  /** A frame comes to the gate. Its bytes are not changed in place. */
  pass(frame: Uint8Array): void {
    if (this.#faults.length === 0) {
      this.#forward(frame);
      return;
    }
    let bytes = frame;
    let copies = 1;
    let delay = 0;
    let behind = 0;
    for (const entry of this.#faults) {
      const { fault } = entry;
      if (fault.has !== undefined && !contains(frame, fault.has)) continue;
      entry.seen += 1;
      const number = entry.seen;
      if (copies === 0 || number < fault.packet || number >= fault.packet + (fault.count ?? 1)) continue;
      this.#report(number, frame, fault);
      switch (fault.action) {
        case 'drop':
          copies = 0;
          break;
        case 'duplicate':
          copies += 1;
          break;
        case 'delay':
          delay += fault.ns;
          break;
        case 'reorder':
          behind += fault.behind;
          break;
        case 'corrupt':
          bytes = corrupted(bytes, fault.offset, fault.mask);
          break;
        case 'alter':
          bytes = altered(bytes, fault.offset, fault.bytes);
          break;
        case 'truncate':
          bytes = bytes.subarray(0, fault.length);
      }
    }
    // Whoever waits is overtaken by this frame even when it is lost: it is places on the wire that count.
    const waiting = this.#waiting;
    const send = (): void => {
      for (let i = 0; i < copies; i += 1) this.#forward(i === 0 ? bytes : bytes.slice());
    };
    if (copies > 0) this.#dispatch(send, delay, behind);
    this.#release(waiting);
  }

  #dispatch(send: () => void, delay: number, behind: number): void {
    if (delay === 0 && behind === 0) {
      send();
      return;
    }
    if (this.#held >= HELD_FRAMES_MAX) return;
    this.#held += 1;
    const { clock } = this.#context;
    const release = (): void => {
      this.#held -= 1;
      send();
    };
    if (behind === 0) {
      clock.schedule(clock.now + delay, release);
      return;
    }
    const timeout = clock.schedule(clock.now + delay + REORDER_HOLD_NS, () => {
      this.#waiting = this.#waiting.filter((waiting) => waiting.timeout !== timeout);
      release();
    });
    const go = delay === 0 ? release : () => void clock.schedule(clock.now + delay, release);
    this.#waiting = [...this.#waiting, { left: behind, go, timeout }];
  }

  /** One frame has passed those that waited before it came. */
  #release(waiting: readonly Waiting[]): void {
    if (waiting.length === 0) return;
    const due: Waiting[] = [];
    for (const entry of waiting) {
      entry.left -= 1;
      if (entry.left === 0) due.push(entry);
    }
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter((entry) => entry.left > 0);
    for (const entry of due) {
      this.#context.clock.cancel(entry.timeout);
      entry.go();
    }
  }

  #report(number: number, frame: Uint8Array, fault: PacketFault): void {
    const { trace } = this.#context;
    if (!trace.on) return;
    const detail = `${this.#direction} packet ${number} of ${frame.length} bytes: ${describe(fault)}`;
    trace.emit({ kind: 'fault', name: `packet-${fault.action}`, detail });
  }
}

function describe(action: PacketAction): string {
  switch (action.action) {
    case 'drop':
      return 'lost';
    case 'duplicate':
      return 'comes twice';
    case 'delay':
      return `${action.ns} ns late`;
    case 'reorder':
      return `behind the next ${action.behind}`;
    case 'corrupt':
      return `byte ${action.offset} ^ 0x${action.mask.toString(16)}`;
    case 'alter':
      return `${action.bytes.length} bytes at ${action.offset} written over`;
    case 'truncate':
      return `cut to ${action.length} bytes`;
  }
}

function corrupted(frame: Uint8Array, offset: number, mask: number): Uint8Array {
  const bytes = frame.slice();
  const at = offset % bytes.length;
  if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ mask;
  return bytes;
}

function altered(frame: Uint8Array, offset: number, over: readonly number[]): Uint8Array {
  const bytes = frame.slice();
  if (offset < bytes.length) bytes.set(over.slice(0, bytes.length - offset), offset);
  return bytes;
}

/** True when `part` stands somewhere in the frame. */
function contains(frame: Uint8Array, part: readonly number[]): boolean {
  for (let at = 0; at + part.length <= frame.length; at += 1) {
    let i = 0;
    while (i < part.length && frame[at + i] === part[i]) i += 1;
    if (i === part.length) return true;
  }
  return false;
}

function within(value: number, low: number, high: number): boolean {
  return Number.isInteger(value) && value >= low && value <= high;
}
